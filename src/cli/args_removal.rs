//! What `drain` and `scale` share: evacuations of pods that are removed, followed to their verdict.

use std::time::Duration;

use clap::Args;

use super::args_evacuate::EvacuateSettingsArgs;
use super::forms::FormParser;
use super::groups::{ApplyForm, KeepArgs, LimitArgs, SkipArgs, WriteArgs};
use super::value;

/// The flags of a command that removes pods.
#[derive(Args, Clone, Debug)]
pub(super) struct RemovalArgs {
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
    pub(super) settings: EvacuateSettingsArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
}
