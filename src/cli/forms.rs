//! The forms of [`crate::model::form`] as values on the command line.

use std::ffi::OsStr;
use std::marker::PhantomData;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error, ValueEnum};

use super::value;
use crate::model::form::{Color, Manifest, Output};
use crate::model::jsonpath::Template;

/// Any template, to be listed among the forms.
pub(super) const JSONPATH: Output = Output::JsonPath(&Template(Vec::new()));

/// Reads one of several forms, or a template.
#[derive(Clone)]
pub(super) struct FormParser<T>(PhantomData<T>);

impl<T> FormParser<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: ValueEnum + From<Output> + Clone + Send + Sync + 'static> TypedValueParser for FormParser<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        match value.to_str().and_then(|text| text.strip_prefix("jsonpath")) {
            Some(rest) if rest.is_empty() || rest.starts_with('=') => {
                template.parse_ref(command, arg, value).map(T::from)
            }
            _ => EnumValueParser::new().parse_ref(command, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(T::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

fn template(text: &str) -> Result<Output, value::Bad> {
    value::template(text.strip_prefix("jsonpath=").unwrap_or_default())
        .map(|template| Output::JsonPath(Box::leak(Box::new(template))))
}

impl ValueEnum for Output {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Wide, Self::Json, Self::Yaml, Self::Name, JSONPATH]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").help("For people"),
            Self::Wide => PossibleValue::new("wide").help("For people, with more columns"),
            Self::Json => PossibleValue::new("json").help("One JSON document"),
            Self::Yaml => PossibleValue::new("yaml").help("One YAML document"),
            Self::Name => PossibleValue::new("name").help("Names alone"),
            Self::JsonPath(_) => {
                PossibleValue::new("jsonpath=…").help("What a template picks, as in kubectl")
            }
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
