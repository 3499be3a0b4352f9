//! The arguments of `check`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::groups::OutputArgs;
use super::intent::InstanceName;
use super::value;
use crate::model::check::Purpose;

/// `check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// The EMQX or EmqxEnterprise, also as emqx/NAME or emqxenterprise/NAME; may be left out when there is one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// Only the checks of one operation [default: all]
    #[arg(long = "for", value_name = "OPERATION", value_parser = purposes())]
    pub(super) purpose: Option<Purpose>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

fn purposes() -> impl TypedValueParser<Value = Purpose> {
    PossibleValuesParser::new(Purpose::ALL.map(Purpose::as_str)).map(|typed| {
        let fits = |purpose: &Purpose| purpose.as_str() == typed;
        Purpose::ALL.into_iter().find(fits).unwrap_or(Purpose::Rebalance)
    })
}
