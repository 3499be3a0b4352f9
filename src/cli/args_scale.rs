//! What is typed after `scale`.

use std::time::Duration;

use clap::Args;

use super::args_evacuate::EvacuateSettingsArgs;
use super::forms::FormParser;
use super::groups::{ApplyForm, LimitArgs, SkipArgs, WriteArgs};
use super::intent::InstanceName;
use super::value;

/// `scale`.
#[derive(Args, Clone, Debug)]
pub(super) struct ScaleArgs {
    /// The EMQX or EmqxEnterprise, also as emqx/NAME or emqxenterprise/NAME; may be left out when there is one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// The number of replicants
    #[arg(long, value_name = "N", value_parser = value::replicas, allow_negative_numbers = true)]
    pub(super) replicants: Option<u64>,
    /// The number of cores
    #[arg(long, value_name = "N", value_parser = value::replicas, allow_negative_numbers = true)]
    pub(super) cores: Option<u64>,
    /// The number of nodes of an EmqxEnterprise or EmqxBroker
    #[arg(long, value_name = "N", value_parser = value::replicas, allow_negative_numbers = true)]
    pub(super) replicas: Option<u64>,
    /// Run the rebalance that evens a scale-up out
    #[arg(long)]
    pub(super) rebalance: bool,
    /// Undo an unfinished scale: the number before, and the evacuations stopped
    #[arg(long)]
    pub(super) undo: bool,
    /// Print how far each evacuation is, not only the steps
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Stop after this duration (exit 5 when it is not finished)
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
}
