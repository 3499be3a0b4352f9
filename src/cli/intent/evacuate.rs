//! `evacuate` and its subcommands.

use std::time::Duration;

use super::{Filter, Follow, Output, Then, WriteOptions};
use crate::model::evacuation::Settings;
use crate::model::limits::Limits;

/// A node by its own name, by its pod's name, or by its pod's name alone in the node's name.
pub type NodeArgument = String;

/// `evacuate` with all it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Evacuate {
    /// `evacuate start`.
    Start(Box<EvacuateStart>),
    /// `evacuate stop`.
    Stop(EvacuateStop),
    /// `evacuate status` (of these nodes), `evacuate list` (of whatever runs).
    Show(Show),
    /// `evacuate watch`.
    Watch(EvacuateWatch),
}

/// `evacuate start`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateStart {
    /// The nodes.
    pub targets: Vec<NodeArgument>,
    /// What is requested of EMQX.
    pub settings: Settings,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// The limits that refuse it.
    pub limits: Limits,
    /// What comes next.
    pub then: Then,
}

/// `evacuate stop`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateStop {
    /// The nodes; none: the only one that is evacuated.
    pub targets: Vec<NodeArgument>,
    /// How it is changed.
    pub write: WriteOptions,
    /// How long the verification may take.
    pub timeout: Duration,
    /// The form.
    pub output: Output,
}

/// `evacuate status`, `evacuate list`.
#[derive(Clone, Debug, PartialEq)]
pub struct Show {
    /// The nodes; none: every evacuation that runs.
    pub targets: Vec<NodeArgument>,
    /// In which namespaces and clusters, without targets.
    pub filter: Filter,
    /// Whether past ones are listed too.
    pub past: bool,
    /// The form.
    pub output: Output,
}

/// `evacuate watch`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateWatch {
    /// The nodes; none: every evacuation that runs.
    pub targets: Vec<NodeArgument>,
    /// How.
    pub follow: Follow,
}
