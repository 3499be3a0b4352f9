//! The parsed arguments: the commands with their flags and help. Rules about two flags are in
//! [`super::rules`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::args_check::CheckArgs;
use super::args_drain::DrainArgs;
use super::args_evacuate::EvacuateArgs;
use super::args_history::HistoryArgs;
use super::args_report::ReportArgs;
use super::args_scale::ScaleArgs;
use super::args_upgrade::UpgradeArgs;
use super::forms::FormParser;
use super::global::GlobalArgs;
use super::groups::{
    ApplyForm, BackendArgs, FollowArgs, LimitArgs, NodesArgs, OutputArgs, ReconnectArgs, RequirementArgs,
    SelectArgs, SkipArgs, StrategyArgs, StreamForm, WriteArgs,
};
use super::help;
use super::intent::{InstanceName, LoadBalancer, Manifest, OperationName, Shell};
use super::value::{self, CountList};
use emqx_rebalance::rules::SESSION_MOVE_MS;

/// Predict, start, follow, judge and stop rebalances and upgrades of EMQX on Kubernetes
///
/// Joins three sources that can disagree: the custom resources (what the operator observed), the pods and endpoints (what
/// the load balancer uses), and EMQX's own API (what happens to clients).
#[derive(Parser, Clone, Debug)]
#[command(
    name = "kubectl-emqx",
    bin_name = "kubectl emqx",
    display_name = "kubectl emqx",
    version,
    verbatim_doc_comment,
    after_help = help::ROOT,
    disable_help_subcommand = false,
    subcommand_required = false
)]
pub(super) struct Root {
    #[command(flatten)]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) verb: Option<VerbArgs>,
}

/// The subcommands.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum VerbArgs {
    /// One cluster at a glance: its nodes, what runs, one verdict line
    ///
    /// Joins the custom resource, the pods, the endpoints and EMQX's own API. A source that is forbidden or cannot be
    /// reached is named once, and its values are unknown; the exit code stays 0.
    #[command(verbatim_doc_comment, after_help = help::STATUS)]
    Status(ReadArgs),
    /// A row per EMQX node: pod, role, ready, serving, connections, sessions
    ///
    /// `serving` is whether the Service routes new clients to the node. `?` is unknown; unknown is never shown as 0.
    #[command(verbatim_doc_comment, after_help = help::NODES)]
    Nodes(ReadArgs),
    /// The full-screen view: nodes, the running operation, its progress, and the next step
    ///
    /// Without a terminal, with --plain or -o jsonl: a line for every step of the running operation, until Ctrl-C.
    /// `?` shows the keys.
    #[command(verbatim_doc_comment, visible_alias = "ui", after_help = help::VIEW)]
    Watch(ViewArgs),
    /// Even out connections: plan, start, follow, stop
    ///
    /// Without a subcommand: running and past rebalances, and the next command to type.
    #[command(verbatim_doc_comment, after_help = help::REBALANCE)]
    Rebalance(RebalanceArgs),
    /// Evacuate EMQX nodes: plan, start, follow, stop
    ///
    /// An evacuated node moves its clients and sessions to the other nodes and refuses new clients until the evacuation is stopped.
    #[command(verbatim_doc_comment, after_help = help::EVACUATE)]
    Evacuate(EvacuateArgs),
    /// Move the EMQX pods off Kubernetes nodes without a reconnect storm
    ///
    /// For each EMQX pod on these nodes: cordon the node, evacuate the EMQX node, wait until it is empty, evict the pod,
    /// wait until its replacement serves, then the next. Interrupted at any point it can be run again and continues.
    #[command(verbatim_doc_comment, after_help = help::DRAIN)]
    Drain(DrainArgs),
    /// Change the number of nodes without a reconnect storm
    ///
    /// Down: the nodes that go are evacuated first, and exactly these are removed. Up: the number is changed, and the
    /// rebalance that evens the new nodes out is printed. Interrupted at any point it can be run again and continues.
    #[command(verbatim_doc_comment, after_help = help::SCALE)]
    Scale(ScaleArgs),
    /// Upgrade to a new image: plan, start, guard, follow, roll back
    ///
    /// Without a subcommand: `upgrade apply --watch`.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE)]
    Upgrade(UpgradeArgs),
    /// Play a recording: every operation in it, with its verdict
    ///
    /// A recording is a file of `--record`: the responses of Kubernetes and EMQX as JSON lines, with their times.
    #[command(verbatim_doc_comment, after_help = help::REPLAY)]
    Replay(ReplayArgs),
    /// Run a whole rebalance on a simulated cluster inside the program
    ///
    /// The real client runs against a simulated Kubernetes and EMQX on this machine. Nothing else is contacted.
    #[command(verbatim_doc_comment, after_help = help::DEMO)]
    Demo(DemoArgs),
    /// The doctor: one line per check, with evidence and a way out
    ///
    /// Runs the checks of rebalance, upgrade, evacuate and drain, and those of what surrounds the cluster. Exit code 6 when a
    /// check would refuse an operation. Changes nothing.
    #[command(verbatim_doc_comment, after_help = help::CHECK)]
    Check(CheckArgs),
    /// Past operations of every kind, with recorded verdicts
    ///
    /// Joins your own history (below $XDG_STATE_HOME), the verdicts on Rebalances, and those in the ConfigMap of each
    /// instance. An operation that no client followed to its end is `unknown`. Without a cluster your own history is shown.
    #[command(verbatim_doc_comment, after_help = help::HISTORY)]
    History(HistoryArgs),
    /// What was planned and what happened: Markdown, JSON, or one HTML page
    ///
    /// Per phase and per node, with the verdict, missing clients, the most reconnects and the error of the forecast. Made from the
    /// recording of an operation that was started here, or from --from RECORDING; without one from what `history` knows, with
    /// the findings of the checks in the cluster now.
    #[command(verbatim_doc_comment, after_help = help::REPORT)]
    Report(ReportArgs),
    /// The versions of the plugin, Kubernetes, the operator and EMQX
    ///
    /// `kubectl emqx --version` prints only the plugin's version and contacts nothing.
    #[command(verbatim_doc_comment, after_help = help::VERSION)]
    Version(VersionArgs),
    /// Completion for a shell, and for `kubectl emqx <Tab>`
    ///
    /// `completion install` writes the helper that kubectl's own completion runs on `kubectl emqx <Tab>`. The script of a
    /// shell completes the program's own name, with a dash.
    #[command(verbatim_doc_comment, after_help = help::COMPLETION)]
    Completion(CompletionArgs),
}

/// `status`, `nodes`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReadArgs {
    /// The EMQX or EmqxEnterprise, also as emqx/NAME or emqxenterprise/NAME; may be left out when there is one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// `watch`.
#[derive(Args, Clone, Debug)]
pub(super) struct ViewArgs {
    /// The EMQX or EmqxEnterprise [default: all that can be listed]
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// The form of the output: no full screen
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
}

/// `version`.
#[derive(Args, Clone, Debug)]
pub(super) struct VersionArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// `rebalance`.
#[derive(Args, Clone, Debug)]
pub(super) struct RebalanceArgs {
    #[command(flatten)]
    pub(super) list: ListArgs,
    #[command(subcommand)]
    pub(super) verb: Option<RebalanceVerbArgs>,
}

/// The subcommands of `rebalance`.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum RebalanceVerbArgs {
    /// Show what a rebalance would do, and why; writes nothing
    ///
    /// Computes EMQX's own rule round by round: donors, recipients, duration, disconnected clients, and whether EMQX would
    /// start it. Exit 0 when it would run or there is nothing to do, 6 when a check refuses it.
    #[command(verbatim_doc_comment, after_help = help::PLAN)]
    Plan(PlanArgs),
    /// Print the Rebalance manifest, every field written out
    ///
    /// In the API version and form that the server accepts, for `kubectl apply` or a repository.
    #[command(verbatim_doc_comment, after_help = help::GENERATE)]
    Generate(GenerateArgs),
    /// Check, plan, confirm, start a rebalance
    ///
    /// Prints the plan to stderr, prompts, reads the counts again, and creates a Rebalance with a new name, which is the
    /// only text on stdout. Never creates a Rebalance that would do nothing, and never a second one.
    #[command(verbatim_doc_comment, after_help = help::APPLY)]
    Apply(ApplyArgs),
    /// Follow a rebalance to its verdict
    ///
    /// The verdict depends on what happens to clients, not only on the operator's phase. On a terminal a few lines are
    /// redrawn in place (--full: the full-screen view), otherwise a line is printed per change. Ctrl-C leaves the
    /// rebalance running.
    #[command(verbatim_doc_comment, after_help = help::WATCH)]
    Watch(WatchArgs),
    /// Stop a rebalance and verify that it stopped
    ///
    /// Sends the stop to EMQX, verifies that no client is evicted any more, and then deletes the object; an object that no
    /// operator has picked up is deleted before it starts. While EMQX answers with errors, the stop is retried until
    /// --timeout, and nothing is deleted.
    #[command(verbatim_doc_comment, after_help = help::STOP)]
    Stop(StopArgs),
    /// List running and past rebalances, with verdict and duration
    ///
    /// Includes rebalances that run in EMQX without an object. A past rebalance has the verdict that its follower recorded on
    /// the object. Without one it is judged by the plan that `apply` left there, for two minutes after its end.
    #[command(verbatim_doc_comment, after_help = help::LIST)]
    List(ListArgs),
    /// Delete finished Rebalance objects
    ///
    /// Never deletes an object whose rebalance may still be running.
    #[command(verbatim_doc_comment, after_help = help::PRUNE)]
    Prune(PruneArgs),
}

/// `rebalance plan`.
#[derive(Args, Clone, Debug)]
pub(super) struct PlanArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// Connections of each node, instead of a cluster: nothing is contacted
    #[arg(long, value_name = "N,N,…", value_parser = value::counts, allow_hyphen_values = true)]
    pub(super) counts: Option<CountList>,
    /// Sessions of each node, with --counts [default: the connections]
    #[arg(long, value_name = "N,N,…", value_parser = value::counts, allow_hyphen_values = true)]
    pub(super) sessions: Option<CountList>,
    /// Seconds until an evicted client reconnects [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) reconnect_delay: Option<u64>,
    /// Where evicted clients reconnect [default: even]
    ///
    /// Without it, the end of all three is compared.
    #[arg(long, value_name = "HOW", value_enum)]
    pub(super) lb: Option<LoadBalancer>,
    /// Milliseconds that EMQX takes to move one session
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=60_000), default_value_t = SESSION_MOVE_MS)]
    pub(super) session_move_ms: u64,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) nodes: NodesArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Show what would be written, beside what is there
    #[arg(long)]
    pub(super) diff: bool,
    /// Take the reconnect delay and the length of a round from recordings of past rebalances
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) calibrate: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) required: RequirementArgs,
    #[command(flatten)]
    pub(super) reconnects: ReconnectArgs,
    #[command(flatten)]
    pub(super) strategy: StrategyArgs,
}

/// `rebalance generate`.
#[derive(Args, Clone, Debug)]
pub(super) struct GenerateArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// For this operator line, without contacting a cluster; needs NAME
    #[arg(long, value_name = "LINE", value_parser = ["2.2", "2.3"])]
    pub(super) for_operator: Option<String>,
    /// A fixed name for the Rebalance [default: one with the time in it]
    #[arg(long = "name", id = "rebalance-name", value_name = "NAME", value_parser = value::new_name)]
    pub(super) rebalance_name: Option<String>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(super) output: Manifest,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) required: RequirementArgs,
    #[command(flatten)]
    pub(super) reconnects: ReconnectArgs,
    #[command(flatten)]
    pub(super) strategy: StrategyArgs,
}

/// `rebalance apply`.
#[derive(Args, Clone, Debug)]
pub(super) struct ApplyArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// A Rebalance manifest, or a plan saved with `plan -o json`; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub(super) filename: Option<PathBuf>,
    /// Follow it to its verdict
    #[arg(short, long)]
    pub(super) watch: bool,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_parser = FormParser::<ApplyForm>::new())]
    pub(super) output: Option<ApplyForm>,
    /// Milliseconds that EMQX takes to move one session
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=60_000), default_value_t = SESSION_MOVE_MS)]
    pub(super) session_move_ms: u64,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) nodes: NodesArgs,
    #[command(flatten)]
    pub(super) required: RequirementArgs,
    #[command(flatten)]
    pub(super) strategy: StrategyArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `rebalance watch`.
#[derive(Args, Clone, Debug)]
pub(super) struct WatchArgs {
    /// A Rebalance, an instance that has one running, or `coordinator/NODE`; may be left out when one runs
    #[arg(value_parser = value::operation)]
    pub(super) name: Option<OperationName>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    /// Accepted for compatibility with kubectl; no effect
    #[arg(short, long, hide = true)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `rebalance stop`.
#[derive(Args, Clone, Debug)]
pub(super) struct StopArgs {
    /// A Rebalance, an instance that has one running, or `coordinator/NODE`; may be left out when one runs
    #[arg(value_parser = value::operation)]
    pub(super) name: Option<OperationName>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Limit of the wait
    #[arg(long, value_name = "DURATION", value_parser = value::limit, default_value = "60s")]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
}

/// `rebalance list`.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) backend: BackendArgs,
}

/// `rebalance prune`.
#[derive(Args, Clone, Debug)]
pub(super) struct PruneArgs {
    /// Only those that ended longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "0s", hide_default_value = true)]
    pub(super) older_than: Duration,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
}

/// `replay`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReplayArgs {
    /// The recording
    pub(super) file: PathBuf,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    /// Play it N times faster than it was recorded [default: at once]
    #[arg(long, value_name = "N", value_parser = value::speed, allow_negative_numbers = true)]
    pub(super) speed: Option<f64>,
    /// Leave the mouse to the terminal: text can be selected in the full screen
    #[arg(long)]
    pub(super) no_mouse: bool,
}

/// `demo`.
#[derive(Args, Clone, Debug)]
pub(super) struct DemoArgs {
    /// The scenario
    pub(super) scenario: Option<String>,
    /// Run N times faster than real time [default: 6]
    #[arg(long, value_name = "N", value_parser = value::speed, allow_negative_numbers = true)]
    pub(super) speed: Option<f64>,
    #[command(subcommand)]
    pub(super) verb: Option<DemoVerbArgs>,
}

/// The subcommand of `demo`.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum DemoVerbArgs {
    /// Leave the simulated cluster running, for any command and for kubectl
    ///
    /// Prints `export KUBECONFIG=…` as its first line once it serves requests, and runs until Ctrl-C.
    #[command(verbatim_doc_comment, after_help = help::DEMO_SERVE)]
    Serve(ServeArgs),
}

/// `demo serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    /// The scenario
    pub(super) scenario: Option<String>,
    /// Run N times faster than real time [default: 1]
    #[arg(long, value_name = "N", value_parser = value::speed, allow_negative_numbers = true)]
    pub(super) speed: Option<f64>,
    /// Write the kubeconfig here
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig_out: Option<PathBuf>,
    /// Overwrite the file of --kubeconfig-out or --log-file even if this program did not write it
    #[arg(long)]
    pub(super) force: bool,
    /// Your own scenario
    #[arg(long, value_name = "SCENARIO.yaml")]
    pub(super) file: Option<PathBuf>,
}

/// `completion`.
#[derive(Args, Clone, Debug)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: Option<Shell>,
    #[command(subcommand)]
    pub(super) verb: Option<CompletionVerbArgs>,
}

/// The subcommand of `completion`.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum CompletionVerbArgs {
    /// Write `kubectl_complete-emqx`, which kubectl runs on `kubectl emqx <Tab>`
    ///
    /// It must be on the PATH, and kubectl's own completion must be enabled (kubectl completion --help).
    #[command(verbatim_doc_comment, after_help = help::COMPLETION_INSTALL)]
    Install(InstallArgs),
}

/// `completion install`.
#[derive(Args, Clone, Debug)]
pub(super) struct InstallArgs {
    /// Into this folder [default: beside the program]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(super) dir: Option<PathBuf>,
    /// Overwrite kubectl_complete-emqx, or the file of --log-file, even if this program did not write it
    #[arg(long)]
    pub(super) force: bool,
}
