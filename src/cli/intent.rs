//! The checked request, complete with defaults. Code after this does not depend on whether a flag was given.

mod completion;
pub mod drain;
pub mod evacuate;
mod follow;
mod global;
pub mod history;
mod rebalance;
pub mod removal;
pub mod scale;
mod selection;
pub mod upgrade;
mod write;

use std::path::PathBuf;

use crate::model::check::Purpose;
pub use crate::model::form::{Color, Look, Manifest, Output, Stream};
pub use completion::{Candidate, Completing, CompletionInstall, Names, Shell};
pub use follow::{Follow, Then};
pub use global::{Global, Level, Log};
pub use history::{HistoryQuery, Keeps, ReportForm, ReportQuery};
pub use rebalance::{
    Apply, ApplySource, Generate, List, LoadBalancer, ManifestFile, Plan, PlanSource, Prune, Stop, Watch,
};
pub use selection::{Filter, InstanceName, OperationName, Selection};
pub use write::{DryRun, WriteOptions};

/// One call of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The options that every command shares.
    pub global: Global,
    /// The command with its own options.
    pub verb: Verb,
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

impl Verb {
    /// What the command writes into the user's own state folder. Commands that follow no operation only read
    /// it.
    pub(crate) fn keeps(&self) -> Keeps {
        match self {
            Self::Apply(apply) => Keeps::after(&apply.then),
            Self::Watch(watch) => Keeps::of(&watch.follow, false),
            Self::View(view) => Keeps::of(&view.follow, false),
            Self::Upgrade(upgrade::Upgrade::Apply(apply)) => Keeps::after(&apply.then),
            Self::Upgrade(upgrade::Upgrade::Undo(undo)) => Keeps::after(&undo.then),
            Self::Upgrade(upgrade::Upgrade::Watch(watch)) => Keeps::of(&watch.follow, false),
            Self::Evacuate(evacuate::Evacuate::Start(start)) => Keeps::after(&start.then),
            Self::Evacuate(evacuate::Evacuate::Watch(watch)) => Keeps::of(&watch.follow, false),
            Self::Drain(drain::Drain { removal, .. }) | Self::Scale(scale::Scale { removal, .. }) => Keeps {
                history: !removal.no_history,
                recording: !removal.no_record && removal.write.dry_run == DryRun::None,
            },
            // The simulated cluster of a demo has no past.
            Self::Demo(_) | Self::DemoServe(_) => Keeps::default(),
            _ => Keeps { history: true, recording: false },
        }
    }
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

/// `watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The instances to watch.
    pub selection: Selection,
    /// How the view is shown.
    pub follow: Follow,
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
