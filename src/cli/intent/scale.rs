//! The request of `scale`.

use super::removal::RemovalFlags;
use super::selection::InstanceName;
use crate::model::scale::ScaledField;

/// The request of `scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The instance to scale; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The field to change and its new number; `None` for an undo.
    pub change: Option<(ScaledField, u64)>,
    /// Whether clients are rebalanced after a scale-up.
    pub rebalance: bool,
    /// How pods are evacuated and removed.
    pub removal: RemovalFlags,
}
