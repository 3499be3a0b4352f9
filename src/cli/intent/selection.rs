//! The clusters and operations that a command is about.

use crate::model::{InstanceKind, NodeName, OperationRef};

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
    pub(crate) fn of_rebalance(name: &str) -> Self {
        match OperationRef::of(name) {
            OperationRef::Coordinator(node) => Self::Coordinator(node),
            _ => Self::Rebalance(name.to_owned()),
        }
    }
}
