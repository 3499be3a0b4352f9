//! The request of `drain`.

use super::removal::RemovalFlags;
use super::selection::Filter;

/// The request of `drain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// The Kubernetes nodes to drain, each listed once.
    pub machines: Vec<String>,
    /// The instances whose pods are moved.
    pub filter: Filter,
    /// The number of pods of one instance that are moved at a time.
    pub parallel: u64,
    /// Whether the Kubernetes nodes are cordoned.
    pub cordon: bool,
    /// Whether an earlier drain is undone.
    pub undo: bool,
    /// How pods are evacuated and removed.
    pub removal: RemovalFlags,
}
