//! The requests of the subcommands of `rebalance`.

use std::path::PathBuf;
use std::time::Duration;

use super::follow::{Follow, Then};
use super::selection::{Filter, InstanceName, OperationName};
use super::write::WriteOptions;
use crate::model::form::{Manifest, Output};
use crate::model::limits::Limits;
use crate::model::{BackendRequest, OperatorLine, StrategyRequest};

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
    pub backend: BackendRequest,
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

/// `rebalance apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// The source of the rebalance.
    pub source: ApplySource,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// The way by which the rebalance is driven.
    pub backend: BackendRequest,
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

/// `rebalance watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where the operation is looked up.
    pub backend: BackendRequest,
    /// How the operation is followed.
    pub follow: Follow,
}

/// `rebalance stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The operation; `None` for the only running one.
    pub operation: Option<OperationName>,
    /// Where the operation is looked up.
    pub backend: BackendRequest,
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
    pub backend: BackendRequest,
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
