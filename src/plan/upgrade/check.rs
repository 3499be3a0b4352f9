//! What is checked before an upgrade.

use crate::model::{BrokerState, Instance, World};
use crate::plan::snapshot::Snapshot;
use crate::plan::upgrade::target::{UpgradeRequest, UpgradeTarget};

/// An owner of fields that the upgrade writes, by `managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldOwner {
    pub manager: String,
    /// The fields, as paths (`spec.image`).
    pub fields: Vec<String>,
}

impl FieldOwner {
    /// Whether it is a user's kubectl: the confirmation also takes its fields over.
    pub fn is_person(&self) -> bool {
        self.manager.starts_with("kubectl")
    }
}

/// What is checked.
#[derive(Clone, Copy)]
pub struct UpgradeCheck<'a> {
    pub world: &'a World,
    /// The cluster.
    pub instance: &'a Instance,
    /// The snapshot of the cluster.
    pub snapshot: &'a Snapshot,
    /// The requested upgrade.
    pub ask: &'a UpgradeRequest,
    /// The target that follows from the request.
    pub target: &'a UpgradeTarget,
    /// The owners of the fields that the upgrade writes, without this program.
    pub owners: &'a [FieldOwner],
    /// `--force-conflicts`.
    pub force: bool,
    /// Whether the object may be patched; `None` when that could not be asked.
    pub allowed: Option<bool>,
    /// Whether this program's ConfigMap may be created and patched; `None` when that could not be asked.
    pub stores: [Option<bool>; 2],
    /// Whether StatefulSets may be scaled; `None` when that could not be asked.
    pub scales: Option<bool>,
}

impl<'a> UpgradeCheck<'a> {
    /// What the EMQX of the instance has answered.
    pub(crate) fn broker(&self) -> &'a BrokerState {
        self.world.broker(&self.instance.id)
    }
}
