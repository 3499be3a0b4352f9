//! The checked request, complete with defaults. Code after this does not depend on whether a flag was given.

pub mod drain;
pub mod evacuate;
pub mod history;
pub mod removal;
pub mod scale;
pub mod upgrade;

use std::path::PathBuf;
use std::time::Duration;

use crate::model::check::Purpose;
pub use history::{HistoryQuery, Keeps, ReportForm, ReportQuery};

pub use crate::model::form::{Color, Look, Manifest, Output, Stream};
use crate::model::limits::{CommandLine, Limits};
use crate::model::{EmqxUrl, InstanceKind, NodeName, OperationRef, OperatorLine, StrategyRequest};

/// One call of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The options that every command shares.
    pub global: Global,
    /// The command with its own options.
    pub verb: Verb,
}

/// The options that every command shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// The API server, the user and the namespace.
    pub connect: KubernetesFlags,
    /// How EMQX is reached.
    pub emqx: EmqxAccess,
    /// The use of colour and the output style.
    pub look: Look,
    /// The level and destination of the log.
    pub log: Log,
    /// The user's own state folder; `None` if it is neither written nor read.
    pub folder: Option<PathBuf>,
    /// Whether started operations are recorded in the folder.
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
    /// Whether a login command must not prompt or print, as during completion.
    pub silent: bool,
}

/// A text that must not reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
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
    /// The given URLs, in the order in which they are tried; empty means a port-forward to a pod.
    pub urls: Vec<EmqxUrl>,
    /// A file with `key:secret`; `None` for the operator's Secret.
    pub key_file: Option<PathBuf>,
    /// A CA to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// Whether certificates are not verified.
    pub insecure: bool,
}

/// The level and destination of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is logged; `None` logs nothing.
    pub level: Option<Level>,
    /// The log file; `None` for stderr.
    pub file: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also the actions of the program.
    Info,
    /// Also requests and their results.
    Debug,
    /// Also every step within a request.
    Trace,
}

/// A command with all its options.
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
    /// The folder of the completion script; `None` for the folder of the program.
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

/// A word that could be completed to, for the shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The completed word.
    pub value: String,
    /// A description; may be empty.
    pub about: String,
}

impl Candidate {
    /// A candidate with its description.
    pub fn new(value: impl Into<String>, about: impl Into<String>) -> Self {
        Self { value: value.into(), about: about.into() }
    }
}

/// The candidates of a word (`cli::complete`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completing {
    /// The beginning that was typed.
    pub word: String,
    /// Candidates that need no look-up.
    pub candidates: Vec<Candidate>,
    /// The kind of names that would also fit.
    pub names: Option<Names>,
    /// Whether file names would also fit.
    pub files: bool,
}

/// Kinds of names that are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The cluster's namespaces.
    Namespaces,
    /// The kubeconfig's contexts.
    Contexts,
    /// The kubeconfig's clusters.
    Clusters,
    /// The kubeconfig's users.
    Users,
    /// The EMQX clusters in the namespace.
    Instances,
    /// The Rebalances, and the EMQX nodes that coordinate a rebalance without an object.
    Operations,
    /// The EMQX nodes, by their pods.
    Nodes,
    /// The images that EMQX clusters in the namespace run or ran.
    Images,
    /// The scenarios of the demo.
    Scenarios,
}

/// An instance by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName {
    /// The kind, if one was typed before a slash.
    pub kind: Option<InstanceKind>,
    /// The name.
    pub name: String,
}

/// The instances that a read is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The only one of the namespace. Two are a usage error for commands that are about one.
    #[default]
    Only,
    /// The instance of this name.
    Named(InstanceName),
    /// All instances that match. The answer is a list.
    Many(Filter),
}

/// The choice among several instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whether every namespace is included.
    pub all_namespaces: bool,
    /// A label selector.
    pub labels: Option<String>,
    /// A field selector.
    pub fields: Option<String>,
}

/// `status`, `nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The instances to read.
    pub selection: Selection,
    /// The output format.
    pub output: Output,
}

/// `version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The clusters whose versions are read.
    pub filter: Filter,
    /// The output format.
    pub output: Output,
}

/// `check`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// The instance to check; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The operation that the checks have to be relevant to; `None` for all operations.
    pub purpose: Option<Purpose>,
    /// The output format.
    pub output: Output,
}

/// The way by which a rebalance is driven.
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

/// The source of a plan's numbers.
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
    /// The source of the numbers.
    pub source: PlanSource,
    /// The strategy for EMQX.
    pub strategy: StrategyRequest,
    /// The limits that a given strategy must not exceed, such as reconnects per second and recipient.
    pub limits: Limits,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// Whether the new content is shown beside the existing content.
    pub diff: bool,
    /// Recordings of past rebalances.
    pub calibrate: Vec<PathBuf>,
    /// Seconds for which an evicted client stays away; `None`: as calibrated, or 0.
    pub reconnect_delay: Option<u64>,
    /// Where an evicted client comes back; `None` if this is unknown.
    pub lb: Option<LoadBalancer>,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// The way by which the rebalance is driven.
    pub backend: BackendChoice,
    /// The EMQX nodes or pods that take part; empty means all.
    pub nodes: Vec<String>,
    /// The output format.
    pub output: Output,
}

/// `rebalance generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// The instance of the manifest; `None` for the only one of the namespace. Always set with
    /// [`Generate::line`].
    pub instance: Option<InstanceName>,
    /// The operator line (2.2 or 2.3) of the manifest, which is then made without a request to a cluster.
    pub line: Option<OperatorLine>,
    /// A fixed name; `None` for a name with the time in it.
    pub name: Option<String>,
    /// The strategy for EMQX.
    pub strategy: StrategyRequest,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// The output format.
    pub output: Manifest,
}

/// The location of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestFile {
    /// A file.
    Path(PathBuf),
    /// The standard input.
    Stdin,
}

/// The source of what `apply` creates.
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
    /// Whether the change is only tried.
    pub dry_run: DryRun,
    /// The field manager of the change.
    pub field_manager: String,
    /// Whether the change is made without a confirmation.
    pub yes: bool,
    /// The user's reason.
    pub reason: Option<String>,
    /// Whether "nothing changed" has its own exit code.
    pub error_unchanged: bool,
}

/// How an operation is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub struct Follow {
    /// The time limit, in wall-clock time; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The output format on stdout.
    pub stream: Stream,
    /// Whether the inline progress is shown even where the full screen is the default.
    pub inline: bool,
    /// Whether the full screen is shown even where the inline progress is the default.
    pub full: bool,
    /// Whether nothing can be changed from the full screen.
    pub read_only: bool,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// The file in which all input is recorded.
    pub record: Option<PathBuf>,
    /// Whether the result is kept out of the user's own history.
    pub no_history: bool,
    /// Whether a started operation is not recorded in the user's own state folder.
    pub no_record: bool,
    /// The limits at which the operation is stopped.
    pub limits: Limits,
    /// The command that is run on events.
    pub notify: Option<CommandLine>,
}

/// `watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The instances to watch.
    pub selection: Selection,
    /// How the view is shown.
    pub follow: Follow,
}

/// What a command does after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It prints the result in this form and exits.
    Leave(Output),
    /// It follows the operation to the verdict.
    Follow(Follow),
}

/// `rebalance apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// The source of the rebalance.
    pub source: ApplySource,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// The way by which the rebalance is driven.
    pub backend: BackendChoice,
    /// The EMQX nodes or pods that take part; empty means all.
    pub nodes: Vec<String>,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the rebalance.
    pub skip: Vec<String>,
    /// The limits above which the rebalance is refused.
    pub limits: Limits,
    /// Whether the command with every setting is printed.
    pub show_command: bool,
    /// What the command does after the start.
    pub then: Then,
}

/// An operation by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationName {
    /// The name of a Rebalance, or else of an instance with a running operation.
    Name(String),
    /// The name of a Rebalance.
    Rebalance(String),
    /// The running operation of an instance.
    Instance(InstanceName),
    /// The operation that this EMQX node coordinates, with or without an object.
    Coordinator(NodeName),
}

impl OperationName {
    /// A rebalance by the name that trackers and events give it.
    pub fn of_rebalance(name: &str) -> Self {
        match OperationRef::of(name) {
            OperationRef::Coordinator(node) => Self::Coordinator(node),
            _ => Self::Rebalance(name.to_owned()),
        }
    }
}

/// `rebalance watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where the operation is looked up.
    pub backend: BackendChoice,
    /// How the operation is followed.
    pub follow: Follow,
}

/// `rebalance stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where the operation is looked up.
    pub backend: BackendChoice,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the stop.
    pub skip: Vec<String>,
    /// The time limit of the wait for the result.
    pub timeout: Duration,
    /// The output format.
    pub output: Output,
}

/// `rebalance list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The operations to list.
    pub filter: Filter,
    /// The way by which the listed operations are driven; `Auto` for every way.
    pub backend: BackendChoice,
    /// The output format.
    pub output: Output,
    /// Whether `rebalance` was called bare. Then suggested commands are printed on stderr.
    pub bare: bool,
}

/// `rebalance prune`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// The minimum age of a removed object, counted from its end.
    pub older_than: Duration,
    /// How the change is made.
    pub write: WriteOptions,
    /// The output format: only names, or sentences.
    pub output: Output,
}

/// `replay`.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// The output format.
    pub stream: Stream,
    /// Whether a format was requested. Then lines are printed on a terminal too.
    pub lines: bool,
    /// The speed relative to real time; `None` prints everything at once.
    pub speed: Option<f64>,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
}

/// `demo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// The scenario's name; `None` for the documented scenario.
    pub scenario: Option<String>,
    /// The speed relative to real time.
    pub speed: f64,
}

/// What `demo serve` plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A built-in scenario; `None` for the documented scenario.
    Named(Option<String>),
    /// A scenario from a file.
    File(PathBuf),
}

/// `demo serve`.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoServe {
    /// The scenario.
    pub scenario: Scenario,
    /// The speed relative to real time.
    pub speed: f64,
    /// The path of the written kubeconfig; `None` for a temporary folder.
    pub kubeconfig_out: Option<PathBuf>,
    /// Whether a file of another origin is overwritten.
    pub force: bool,
}
