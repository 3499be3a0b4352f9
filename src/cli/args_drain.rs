//! What is typed after `drain`.

use std::time::Duration;

use clap::Args;

use super::args_evacuate::EvacuateSettingsArgs;
use super::forms::FormParser;
use super::groups::{ApplyForm, LimitArgs, SelectArgs, SkipArgs, WriteArgs};
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
    /// Print how far each evacuation is, not only the steps
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Stop after this duration (exit 5 when pods remain)
    #[arg(long, value_name = "DURATION", value_parser = value::limit)]
    pub(super) timeout: Option<Duration>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_parser = FormParser::<ApplyForm>::new())]
    pub(super) output: Option<ApplyForm>,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) settings: EvacuateSettingsArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}
