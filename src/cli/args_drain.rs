//! The arguments of `drain`.

use clap::Args;

use super::args_removal::RemovalArgs;
use super::groups::SelectArgs;
use super::value;

/// `drain`.
#[derive(Args, Clone, Debug)]
pub(super) struct DrainArgs {
    /// Kubernetes nodes
    #[arg(value_name = "KUBERNETES-NODE", required = true, value_parser = value::target)]
    pub(super) machines: Vec<String>,
    /// Replicants of one instance moved at a time; cores always go one by one
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) parallel: u64,
    /// Do not cordon the nodes
    #[arg(long)]
    pub(super) no_cordon: bool,
    /// Undo what was not moved: stop the evacuations and uncordon the nodes of a drain
    #[arg(long)]
    pub(super) undo: bool,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) removal: RemovalArgs,
}
