//! The forms of [`crate::model::form`] as values on the command line.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::model::form::{Color, Manifest, Output};

impl ValueEnum for Output {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Wide, Self::Json, Self::Yaml, Self::Name]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").help("For people"),
            Self::Wide => PossibleValue::new("wide").help("For people, with more columns"),
            Self::Json => PossibleValue::new("json").help("One JSON document"),
            Self::Yaml => PossibleValue::new("yaml").help("One YAML document"),
            Self::Name => PossibleValue::new("name").help("Names alone"),
        })
    }
}

impl ValueEnum for Manifest {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Yaml, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
        }))
    }
}

impl ValueEnum for Color {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => {
                PossibleValue::new("auto").help("On a terminal, unless NO_COLOR or TERM=dumb is set")
            }
            Self::Always => PossibleValue::new("always"),
            Self::Never => PossibleValue::new("never"),
        })
    }
}
