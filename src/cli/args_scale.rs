//! The arguments of `scale`.

use clap::Args;

use super::args_removal::RemovalArgs;
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
    #[command(flatten)]
    pub(super) removal: RemovalArgs,
}
