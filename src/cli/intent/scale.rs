//! `scale`.

use super::InstanceName;
use super::removal::RemovalFlags;
use crate::model::scale::ScaledField;

/// `scale` with all it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Which instance.
    pub instance: Option<InstanceName>,
    /// What is changed, and to which number; `None` for an undo.
    pub change: Option<(ScaledField, u64)>,
    /// Whether a scale-up is evened out.
    pub rebalance: bool,
    /// How pods are evacuated and removed.
    pub removal: RemovalFlags,
}
