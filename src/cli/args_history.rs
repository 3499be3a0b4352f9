//! The arguments of `history`.

use clap::Args;

use super::groups::OutputArgs;
use super::intent::InstanceName;
use super::value;

/// `history`.
#[derive(Args, Clone, Debug)]
pub(super) struct HistoryArgs {
    /// The EMQX or EmqxEnterprise, also as emqx/NAME or emqxenterprise/NAME [default: all in the namespace]
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
