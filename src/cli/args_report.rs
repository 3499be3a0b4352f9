//! The arguments of `report`.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::intent::ReportForm;

/// `report`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// A past operation or an instance, as `history` lists them [default: the last operation]
    pub(super) name: Option<String>,
    /// Report on a recording instead; contacts nothing
    #[arg(long, value_name = "RECORDING")]
    pub(super) from: Option<PathBuf>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(super) output: ReportForm,
    /// Replace the names of namespaces, instances, pods and nodes
    #[arg(long)]
    pub(super) redact: bool,
}

impl ValueEnum for ReportForm {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Markdown, Self::Json, Self::Html]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Markdown => PossibleValue::new("markdown").alias("text").alias("md").help("Markdown"),
            Self::Json => PossibleValue::new("json").help("One JSON document"),
            Self::Html => PossibleValue::new("html").help("One HTML page with charts, without other files"),
        })
    }
}
