//! `drain`.

use super::Filter;
use super::removal::RemovalFlags;

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
    /// How pods are evacuated and removed.
    pub removal: RemovalFlags,
}
