//! The checked request, complete with defaults. Code after this does not depend on whether a flag was given.

pub mod drain;
pub mod evacuate;
pub mod history;
pub mod removal;
pub mod scale;
pub mod upgrade;

use std::path::PathBuf;
use std::time::Duration;

use super::complete::Candidate;
use crate::model::check::Purpose;
pub use history::{HistoryQuery, Keeps, ReportForm, ReportQuery};

pub use crate::model::form::{Color, Look, Manifest, Output, Stream};
use crate::model::limits::{CommandLine, Limits};
use crate::model::{EmqxUrl, InstanceKind, NodeName, OperatorLine, StrategyRequest};

/// One call of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// What every command shares.
    pub global: Global,
    /// The command.
    pub verb: Verb,
}

/// What every command shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// Which API server, as whom, in which namespace.
    pub connect: KubernetesFlags,
    /// How EMQX is reached.
    pub emqx: EmqxAccess,
    /// Colour and form.
    pub look: Look,
    /// What is logged.
    pub log: Log,
    /// The user's own state folder; `None` where it is neither written nor read.
    pub folder: Option<PathBuf>,
    /// Whether what is started is recorded there.
    pub records: bool,
}

/// kubectl's own flags, as given. Absent values come from the kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesFlags {
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`; the one secret that is taken from a flag, because kubectl does.
    pub token: Option<Secret>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-group`, repeated.
    pub impersonate_groups: Vec<String>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub client_key: Option<PathBuf>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`.
    pub insecure: bool,
    /// `--request-timeout`; `None` is no limit, as kubectl's `0`.
    pub request_timeout: Option<Duration>,
    /// Whether a login command must not prompt or print: during completion.
    pub silent: bool,
}

/// A text that must not reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}

/// How EMQX's API is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmqxAccess {
    /// Given URLs, in the order in which they are tried; none: by port-forward to a pod.
    pub urls: Vec<EmqxUrl>,
    /// A file with `key:secret`; else the operator's Secret.
    pub key_file: Option<PathBuf>,
    /// A CA to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether certificates go unverified.
    pub insecure: bool,
}

/// What is logged, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Down to this level; `None` logs nothing.
    pub level: Option<Level>,
    /// Into this file; else to stderr.
    pub file: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// What went wrong.
    Error,
    /// And what may.
    Warn,
    /// Also actions.
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// `status`.
    Status(ReadOptions),
    /// `nodes`.
    Nodes(ReadOptions),
    /// `rebalance plan`.
    Plan(Plan),
    /// `rebalance generate`.
    Generate(Generate),
    /// `rebalance apply`.
    Apply(Apply),
    /// `rebalance watch`.
    Watch(Watch),
    /// `rebalance stop`.
    Stop(Stop),
    /// `rebalance list`, and bare `rebalance`.
    List(List),
    /// `rebalance prune`.
    Prune(Prune),
    /// `upgrade` and its subcommands.
    Upgrade(upgrade::Upgrade),
    /// `evacuate` and its subcommands.
    Evacuate(evacuate::Evacuate),
    /// `drain`.
    Drain(drain::Drain),
    /// `scale`.
    Scale(scale::Scale),
    /// `watch`.
    View(View),
    /// `replay`.
    Replay(Replay),
    /// `demo`.
    Demo(Demo),
    /// `demo serve`.
    DemoServe(DemoServe),
    /// `check`.
    Check(Check),
    /// `history`.
    History(HistoryQuery),
    /// `report`.
    Report(ReportQuery),
    /// `version`.
    Version(Version),
    /// `completion SHELL`.
    Completion(Shell),
    /// `completion install`.
    CompletionInstall(CompletionInstall),
    /// A completion request of a shell.
    Complete(Completing),
}

/// `completion install`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionInstall {
    /// Into this folder; else beside the program.
    pub folder: Option<PathBuf>,
    /// Whether a file of another origin is overwritten.
    pub force: bool,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// The GNU shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// PowerShell, on Windows and elsewhere.
    #[value(alias = "pwsh")]
    Powershell,
}

/// The candidates of a word ([`super::complete`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completing {
    /// The beginning that was typed.
    pub word: String,
    /// Candidates that need no look-up.
    pub candidates: Vec<Candidate>,
    /// Whose names would do as well.
    pub names: Option<Names>,
    /// Whether the name of a file would do.
    pub files: bool,
}

/// Kinds of names that are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Of the cluster's namespaces.
    Namespaces,
    /// Of the kubeconfig's contexts.
    Contexts,
    /// Of the kubeconfig's clusters.
    Clusters,
    /// Of the kubeconfig's users.
    Users,
    /// Of the EMQX clusters in the namespace.
    Instances,
    /// Of Rebalances, and of the EMQX nodes that conduct one without an object.
    Operations,
    /// Of EMQX nodes, by their pods.
    Nodes,
    /// Of the images that EMQX clusters in the namespace run or ran.
    Images,
    /// Of what the demo can play.
    Scenarios,
}

/// An instance by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName {
    /// The kind, where it was typed before a slash.
    pub kind: Option<InstanceKind>,
    /// The name.
    pub name: String,
}

/// Which instances a read is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The only one of the namespace; two are a usage error for commands that are about one.
    #[default]
    Only,
    /// This one.
    Named(InstanceName),
    /// All that fit: answered with a list.
    Many(Filter),
}

/// Which of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In every namespace.
    pub all_namespaces: bool,
    /// A label selector.
    pub labels: Option<String>,
    /// A field selector.
    pub fields: Option<String>,
}

/// `status`, `nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// About what.
    pub selection: Selection,
    /// The form.
    pub output: Output,
}

/// `version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Of which clusters.
    pub filter: Filter,
    /// The form.
    pub output: Output,
}

/// `check`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Which instance.
    pub instance: Option<InstanceName>,
    /// The operation that the checks have to matter to; `None`: all.
    pub purpose: Option<Purpose>,
    /// The form.
    pub output: Output,
}

/// By which way a rebalance is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendChoice {
    /// Through an object where its kind is served by a living operator, else through EMQX.
    #[default]
    Auto,
    /// Through an object for the operator.
    Rebalance,
    /// Through EMQX's own API.
    Emqx,
}

/// What the numbers of a plan are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanSource {
    /// A cluster; `None` for the only one of the namespace.
    Cluster(Option<InstanceName>),
    /// Counts from the command line: nothing is contacted.
    Numbers {
        /// Live clients, one per node.
        connections: Vec<u64>,
        /// Sessions, one per node; never fewer than the connections.
        sessions: Vec<u64>,
    },
}

/// Where evicted clients come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LoadBalancer {
    /// Equally over the recipients.
    #[default]
    Even,
    /// Each to the recipient with the fewest.
    Least,
    /// All to the first.
    One,
}

/// `rebalance plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The numbers.
    pub source: PlanSource,
    /// The strategy for EMQX.
    pub strategy: StrategyRequest,
    /// Reconnects per second and recipient that are not to be exceeded by a strategy that is given.
    pub limits: Limits,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// Whether what would be written is shown beside what is there.
    pub diff: bool,
    /// Recordings of past rebalances.
    pub calibrate: Vec<PathBuf>,
    /// Seconds for which an evicted client stays away; `None`: as calibrated, or 0.
    pub reconnect_delay: Option<u64>,
    /// Where it comes back; `None`: not known.
    pub lb: Option<LoadBalancer>,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// By which way.
    pub backend: BackendChoice,
    /// The EMQX nodes or pods that take part; none: all.
    pub nodes: Vec<String>,
    /// The form.
    pub output: Output,
}

/// `rebalance generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// For which instance; `None` for the only one of the namespace. Always there with [`Generate::line`].
    pub instance: Option<InstanceName>,
    /// For this operator line, without asking a cluster (2.2 or 2.3).
    pub line: Option<OperatorLine>,
    /// A fixed name; else one with the time in it.
    pub name: Option<String>,
    /// The strategy for EMQX.
    pub strategy: StrategyRequest,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// The form.
    pub output: Manifest,
}

/// Where a manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestFile {
    /// In a file.
    Path(PathBuf),
    /// On stdin.
    Stdin,
}

/// What `apply` makes.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplySource {
    /// A rebalance of an instance (`None`: the only one of the namespace).
    Instance(Option<InstanceName>, StrategyRequest),
    /// The request of a manifest.
    File(ManifestFile),
}

/// Whether a change is only tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    /// It is made.
    #[default]
    None,
    /// It is only shown.
    Client,
    /// The server checks it and stores nothing.
    Server,
}

/// How a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether it is only tried.
    pub dry_run: DryRun,
    /// Whose change it is.
    pub field_manager: String,
    /// Without asking.
    pub yes: bool,
    /// The user's reason.
    pub reason: Option<String>,
    /// Whether "nothing changed" is an exit of its own.
    pub error_unchanged: bool,
}

/// How an operation is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub struct Follow {
    /// For how long, by the clock on the wall; `None` is no limit.
    pub timeout: Option<Duration>,
    /// The form on stdout.
    pub stream: Stream,
    /// The small progress even where the full screen would come.
    pub inline: bool,
    /// The full screen even where the small progress would come.
    pub full: bool,
    /// Whether nothing can be changed from the full screen.
    pub read_only: bool,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// Where everything that comes in is kept.
    pub record: Option<PathBuf>,
    /// Whether its end is not written into the user's own history.
    pub no_history: bool,
    /// Whether what is started is not recorded in the user's own state folder.
    pub no_record: bool,
    /// At which limits it is stopped.
    pub limits: Limits,
    /// The command that is run with events.
    pub notify: Option<CommandLine>,
}

/// `watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Of what.
    pub selection: Selection,
    /// How.
    pub follow: Follow,
}

/// What `apply` does after it made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Print the help or version in this form, and exit.
    Leave(Output),
    /// It stays to the verdict.
    Follow(Follow),
}

/// `rebalance apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// What.
    pub source: ApplySource,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// By which way.
    pub backend: BackendChoice,
    /// The EMQX nodes or pods that take part; none: all.
    pub nodes: Vec<String>,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// The limits that refuse it.
    pub limits: Limits,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// What comes next.
    pub then: Then,
}

/// An operation by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationName {
    /// A Rebalance of this name, else what runs in the instance of this name.
    Name(String),
    /// A Rebalance.
    Rebalance(String),
    /// What runs in an instance.
    Instance(InstanceName),
    /// What this EMQX node conducts, with or without an object.
    Coordinator(NodeName),
}

/// `rebalance watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where it is looked for.
    pub backend: BackendChoice,
    /// How.
    pub follow: Follow,
}

/// `rebalance stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where it is looked for.
    pub backend: BackendChoice,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// For how long it is waited for.
    pub timeout: Duration,
    /// The form.
    pub output: Output,
}

/// `rebalance list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Which.
    pub filter: Filter,
    /// Only those driven so; `Auto` for all.
    pub backend: BackendChoice,
    /// The form.
    pub output: Output,
    /// Bare `rebalance`: what to type next goes to stderr.
    pub bare: bool,
}

/// `rebalance prune`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Only those that ended longer ago than this.
    pub older_than: Duration,
    /// How it is changed.
    pub write: WriteOptions,
    /// Names alone, or sentences.
    pub output: Output,
}

/// `replay`.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// The form.
    pub stream: Stream,
    /// Whether a form was requested: then it prints lines also on a terminal.
    pub lines: bool,
    /// How many times faster than it happened; `None` at once.
    pub speed: Option<f64>,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
}

/// `demo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// The scenario's name; `None` for the documented one.
    pub scenario: Option<String>,
    /// How many times faster than real time.
    pub speed: f64,
}

/// What `demo serve` plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A built-in scenario; `None` for the documented one.
    Named(Option<String>),
    /// One from a file.
    File(PathBuf),
}

/// `demo serve`.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoServe {
    /// The scenario.
    pub scenario: Scenario,
    /// How many times faster than real time.
    pub speed: f64,
    /// Where the kubeconfig goes; else into a temporary folder.
    pub kubeconfig_out: Option<PathBuf>,
    /// Whether a file of another origin is overwritten.
    pub force: bool,
}
