//! What is read of a cluster.

use crate::model::InstanceKind;

/// The requested resources and instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One namespace; `None` for all.
    pub namespace: Option<String>,
    /// One instance by name, and by kind where it is given.
    pub instance: Option<(Option<InstanceKind>, String)>,
    /// A label selector for the instances, as kubectl takes it.
    pub labels: Option<String>,
    /// A field selector for the instances.
    pub fields: Option<String>,
    /// The requested kinds of resources.
    pub want: RefreshScope,
}

/// The resources to read: every command requests only those that it shows.
#[expect(clippy::struct_excessive_bools, reason = "each is one list that is made or not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshScope {
    pub instances: bool,
    pub rebalances: bool,
    pub pods: bool,
    /// StatefulSets and ReplicaSets, which distinguish the revisions of an upgrade.
    pub sets: bool,
    /// EndpointSlices.
    pub endpoints: bool,
    pub events: bool,
    /// The stored state of instances.
    pub states: bool,
    /// The operator's Lease, where it may be read.
    pub lease: bool,
}

impl RefreshScope {
    /// Everything.
    pub const ALL: Self = Self {
        instances: true,
        rebalances: true,
        pods: true,
        sets: true,
        endpoints: true,
        events: true,
        states: true,
        lease: true,
    };
    /// The resources from which a rebalance is judged.
    pub(crate) const REBALANCE: Self =
        Self { sets: false, events: false, states: false, lease: false, ..Self::ALL };
}

/// What is read of the surroundings of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurroundingScope {
    pub services: bool,
    /// ResourceQuotas.
    pub quotas: bool,
    /// The CRD and its conversion webhook.
    pub webhook: bool,
}

impl SurroundingScope {
    /// Everything.
    pub(crate) const ALL: Self = Self { services: true, quotas: true, webhook: true };
}
