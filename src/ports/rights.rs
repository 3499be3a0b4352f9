//! The permissions that a command needs.

use crate::model::InstanceId;
use crate::model::operation_state::state_name;

/// A permission that can be queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `create`, `delete`, `get`, …
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, `pods` or `pods/portforward`.
    pub resource: &'static str,
    pub namespace: String,
    /// The name of one object: a role may be restricted to names.
    pub name: Option<String>,
}

impl Right {
    /// Verb and resource, with its group and namespace: `patch pods/status in namespace mq`.
    pub(crate) fn sentence(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let place = if self.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace {}", self.namespace)
        };
        format!("{} {}{group}{place}", self.verb, self.resource)
    }

    /// The permissions of a rebalance by an object.
    pub(crate) fn of_rebalance(verb: &'static str, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { verb, group: "apps.emqx.io", resource: "rebalances", namespace, name: None }
    }

    /// The permissions of an upgrade in Kubernetes: the instance; where a guard empties pods, their readiness
    /// gates; and this program's ConfigMap, which is created once and patched afterwards.
    pub fn of_upgrade(id: &InstanceId) -> [Self; 5] {
        let patch = |group, resource, name| {
            let namespace = id.namespace.clone();
            Self { verb: "patch", group, resource, namespace, name }
        };
        let state = Some(state_name(id));
        let create = Self { verb: "create", ..patch("", "configmaps", None) };
        [
            patch("apps.emqx.io", id.kind.plural(), Some(id.name.clone())),
            patch("", "pods/status", None),
            create,
            patch("", "configmaps", state),
            patch("apps", "statefulsets/scale", None),
        ]
    }

    /// The permissions of a drain: Kubernetes nodes where it cordons them, evictions, and this program's
    /// ConfigMap and Lease.
    pub(crate) fn of_drain(id: &InstanceId, cordon: bool) -> Vec<Self> {
        let right = |verb, group, resource, namespace: &str, name: Option<String>| Self {
            verb,
            group,
            resource,
            namespace: namespace.to_owned(),
            name,
        };
        let mut rights = vec![right("create", "", "pods/eviction", &id.namespace, None)];
        rights.extend(Self::of_state(id));
        if cordon {
            rights.push(right("get", "", "nodes", "", None));
            rights.push(right("patch", "", "nodes", "", None));
        }
        rights
    }

    /// The permission to take pods out of the Service before EMQX 4.4 evicts their clients: their readiness gates.
    pub(crate) fn of_gates(id: &InstanceId) -> Self {
        let namespace = id.namespace.clone();
        Self { verb: "patch", group: "", resource: "pods/status", namespace, name: None }
    }

    /// The permissions for the recorded verdict of an operation without an object of its own: this program's
    /// ConfigMap.
    pub(crate) fn of_history(id: &InstanceId) -> Vec<Self> {
        Self::of_state(id).into_iter().filter(|right| right.resource == "configmaps").collect()
    }

    /// The permissions of a scale: the instance, this program's ConfigMap and Lease, and the deletion costs
    /// of pods of a ReplicaSet.
    pub(crate) fn of_scale(id: &InstanceId, costs: bool) -> Vec<Self> {
        let patch = |group, resource, name| {
            let namespace = id.namespace.clone();
            Self { verb: "patch", group, resource, namespace, name }
        };
        let mut rights = vec![patch("apps.emqx.io", id.kind.plural(), Some(id.name.clone()))];
        rights.extend(Self::of_state(id));
        if costs {
            rights.push(patch("", "pods", None));
        }
        rights
    }

    /// The permissions for the stored state of a drain or a scale: this program's ConfigMap and Lease.
    fn of_state(id: &InstanceId) -> [Self; 5] {
        let right = |verb, group, resource, named: bool| Self {
            verb,
            group,
            resource,
            namespace: id.namespace.clone(),
            name: named.then(|| state_name(id)),
        };
        [
            right("create", "", "configmaps", false),
            right("patch", "", "configmaps", true),
            right("create", "coordination.k8s.io", "leases", false),
            right("get", "coordination.k8s.io", "leases", true),
            right("update", "coordination.k8s.io", "leases", true),
        ]
    }
}
