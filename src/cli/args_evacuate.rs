//! The arguments of `evacuate`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::forms::FormParser;
use super::groups::{
    ApplyForm, FollowArgs, LimitArgs, OutputArgs, SelectArgs, SkipArgs, StreamForm, WriteArgs,
};
use super::help;
use super::value;

/// `evacuate`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateArgs {
    #[command(subcommand)]
    pub(super) verb: EvacuateVerbArgs,
}

/// The subcommands of `evacuate`.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum EvacuateVerbArgs {
    /// Check, plan, confirm, start an evacuation
    ///
    /// Prints to stderr the number of clients and sessions that move, the duration, and the reconnects per second on each
    /// other node; prompts; then starts the evacuation through EMQX's own API. The node refuses clients until `evacuate
    /// stop`.
    #[command(verbatim_doc_comment, after_help = help::EVACUATE_START)]
    Start(Box<EvacuateStartArgs>),
    /// Stop an evacuation and verify that the node serves again
    ///
    /// EMQX no longer lists the evacuation, the node's own availability check passes, and the Service routes clients to it.
    #[command(verbatim_doc_comment, after_help = help::EVACUATE_STOP)]
    Stop(EvacuateStopArgs),
    /// Show the progress of the evacuation of each node
    #[command(verbatim_doc_comment, after_help = help::EVACUATE_STATUS)]
    Status(EvacuateStatusArgs),
    /// Follow evacuations to their verdict
    ///
    /// On a terminal a few lines are redrawn in place (--full: the full-screen view), otherwise a line is printed per
    /// change. Ctrl-C leaves the evacuations running.
    #[command(verbatim_doc_comment, after_help = help::EVACUATE_WATCH)]
    Watch(EvacuateWatchArgs),
    /// List running and past evacuations
    ///
    /// Also those that another client started, and those that EMQX restored from disk after a restart. Past ones are those of your
    /// own history; `history` lists those of other users too.
    #[command(verbatim_doc_comment, after_help = help::EVACUATE_LIST)]
    List(EvacuateListArgs),
}

/// `evacuate start`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateStartArgs {
    /// EMQX nodes, by their own name or by their pod's
    #[arg(value_name = "NODE|POD", required = true, value_parser = value::target)]
    pub(super) targets: Vec<String>,
    /// Follow it until the nodes are empty
    #[arg(short, long)]
    pub(super) watch: bool,
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
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// What is requested of EMQX, by EMQX's own names and defaults.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Evacuation")]
pub(super) struct EvacuateSettingsArgs {
    /// Clients that each node loses per second [default: 500]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) conn_evict_rate: Option<u64>,
    /// Sessions that each node gives per second [default: 500]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) sess_evict_rate: Option<u64>,
    /// Wait for load balancers to remove the node [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_health_check: Option<u64>,
    /// Wait for clients to take over their sessions [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_takeover: Option<u64>,
    /// Move sessions to these nodes only [default: all other nodes]
    #[arg(long, value_name = "NODE,…", value_delimiter = ',', value_parser = value::target)]
    pub(super) migrate_to: Vec<String>,
    /// Send MQTT 5 clients there (the server reference of their DISCONNECT)
    #[arg(long, value_name = "HOST:PORT", value_parser = value::redirect)]
    pub(super) redirect_to: Option<String>,
}

/// `evacuate stop`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateStopArgs {
    /// EMQX nodes, by their own name or by their pod's; may be left out when one is evacuated
    #[arg(value_name = "NODE|POD", value_parser = value::target)]
    pub(super) targets: Vec<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Limit of the verification
    #[arg(long, value_name = "DURATION", value_parser = value::limit, default_value = "60s")]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) write: WriteArgs,
}

/// `evacuate status`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateStatusArgs {
    /// EMQX nodes, by their own name or by their pod's; every running evacuation when omitted
    #[arg(value_name = "NODE|POD", value_parser = value::target)]
    pub(super) targets: Vec<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// `evacuate watch`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateWatchArgs {
    /// EMQX nodes, by their own name or by their pod's; every running evacuation when omitted
    #[arg(value_name = "NODE|POD", value_parser = value::target)]
    pub(super) targets: Vec<String>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `evacuate list`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvacuateListArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
