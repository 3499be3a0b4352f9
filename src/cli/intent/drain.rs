//! `drain`.

use std::time::Duration;

use super::{Filter, Output, Stream, Write};
use crate::model::evacuation::Settings;
use crate::model::limits::{CommandLine, Limits};

/// `drain` with all it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// The Kubernetes nodes, each once.
    pub machines: Vec<String>,
    /// Which instances.
    pub filter: Filter,
    /// Pods of one instance that are moved at a time.
    pub parallel: u64,
    /// Whether the nodes are cordoned.
    pub cordon: bool,
    /// Whether a drain is undone.
    pub undo: bool,
    /// What is requested of EMQX.
    pub settings: Settings,
    /// How it is changed.
    pub write: Write,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// Whether progress within a step is printed.
    pub watch: bool,
    /// At which limits it is stopped.
    pub limits: Limits,
    /// The command that is run with events.
    pub notify: Option<CommandLine>,
    /// For how long at most.
    pub timeout: Option<Duration>,
    /// The form of the events.
    pub stream: Stream,
    /// The form of the result.
    pub output: Output,
}
