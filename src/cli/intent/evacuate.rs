//! The requests of `evacuate` and its subcommands.

use std::time::Duration;

use super::follow::{Follow, Then};
use super::selection::Filter;
use super::write::WriteOptions;
use crate::model::evacuation::Settings;
use crate::model::form::Output;
use crate::model::limits::Limits;

/// An EMQX node: its own name, the name of its pod, or the part of its own name that names the pod.
pub type NodeArgument = String;

/// The subcommands of `evacuate`.
#[derive(Clone, Debug, PartialEq)]
pub enum Evacuate {
    /// `evacuate start`.
    Start(Box<EvacuateStart>),
    /// `evacuate stop`.
    Stop(EvacuateStop),
    /// `evacuate status` (of the given nodes) and `evacuate list` (of all running evacuations).
    Show(Show),
    /// `evacuate watch`.
    Watch(EvacuateWatch),
}

/// `evacuate start`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateStart {
    /// The nodes to evacuate.
    pub targets: Vec<NodeArgument>,
    /// The evacuation settings that EMQX is asked for.
    pub settings: Settings,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the evacuation.
    pub skip: Vec<String>,
    /// The limits above which the evacuation is refused.
    pub limits: Limits,
    /// What the command does after the start.
    pub then: Then,
}

/// `evacuate stop`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateStop {
    /// The nodes; empty means the only node that is being evacuated.
    pub targets: Vec<NodeArgument>,
    /// How the change is made.
    pub write: WriteOptions,
    /// The time limit of the verification.
    pub timeout: Duration,
    /// The output format.
    pub output: Output,
}

/// `evacuate status`, `evacuate list`.
#[derive(Clone, Debug, PartialEq)]
pub struct Show {
    /// The nodes; empty means every running evacuation.
    pub targets: Vec<NodeArgument>,
    /// The namespaces and clusters to list, if no nodes are given.
    pub filter: Filter,
    /// Whether past evacuations are listed too.
    pub past: bool,
    /// The output format.
    pub output: Output,
}

/// `evacuate watch`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvacuateWatch {
    /// The nodes; empty means every running evacuation.
    pub targets: Vec<NodeArgument>,
    /// How the evacuation is followed.
    pub follow: Follow,
}
