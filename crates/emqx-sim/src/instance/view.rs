//! What an operator sees of an instance.

use jiff::Timestamp;
use serde_json::Value;

use crate::broker::Node;
use crate::scenario::{Api, Role};

/// One EMQX node and the pod it runs in, as an operator sees them together.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) running: bool,
    pub(crate) version: String,
    pub(crate) connections: u64,
    pub(crate) sessions: u64,
    pub(crate) pod: String,
    pub(crate) pod_uid: String,
    pub(crate) controller_uid: String,
}

impl NodeView {
    /// A node in this pod; `uids` are those of the pod and of its set.
    pub(crate) fn of(node: &Node, pod: String, uids: (String, String)) -> Self {
        Self {
            name: node.name.clone(),
            role: node.role,
            running: node.running,
            version: node.version.clone(),
            connections: node.connections,
            sessions: node.sessions(),
            pod,
            pod_uid: uids.0,
            controller_uid: uids.1,
        }
    }
}

/// One set of pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SetView {
    /// The pod template's hash; on v1beta4 the StatefulSet's `currentRevision`.
    pub(crate) revision: String,
    /// Pods that are there.
    pub(crate) replicas: u64,
    pub(crate) ready: u64,
}

/// The sets of one role: the previous and the target one; the same one while nothing is updated.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleView {
    /// Wanted nodes.
    pub(crate) replicas: u64,
    pub(crate) current: SetView,
    pub(crate) update: SetView,
    /// How often a name was in use already.
    pub(crate) collisions: u64,
}

impl RoleView {
    /// A role with one set, with all pods ready.
    pub(crate) fn steady(revision: String, replicas: u64) -> Self {
        let set = SetView { revision, replicas, ready: replicas };
        Self { replicas, current: set.clone(), update: set, collisions: 0 }
    }

    pub(super) fn ready(&self) -> bool {
        self.update.ready == self.replicas && self.update.replicas == self.replicas
    }

    pub(super) fn complete(&self) -> bool {
        self.current.revision == self.update.revision
    }
}

/// The data of a status.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) api: Api,
    pub(crate) generation: u64,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) cores: RoleView,
    pub(crate) replicants: Option<RoleView>,
    pub(crate) evacuations: Vec<Value>,
    /// v1beta4: how many sets count as part of the cluster, and the update between them.
    pub(crate) in_cluster: usize,
    pub(crate) blue_green: Option<Value>,
    /// v2: why the stages begin again, when a set was just created or taken back.
    pub(crate) renewed: Option<&'static str>,
    pub(crate) now: Timestamp,
}

impl View {
    pub(super) fn role(&self, role: Role) -> impl Iterator<Item = &NodeView> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    pub(super) fn running(&self, role: Role) -> u64 {
        self.role(role).filter(|node| node.running).count() as u64
    }

    pub(super) fn cores_ready(&self) -> bool {
        self.cores.ready()
    }

    pub(super) fn replicants_ready(&self) -> bool {
        self.replicants.as_ref().is_none_or(RoleView::ready)
    }

    /// Whether no update is in progress.
    pub(super) fn complete(&self) -> bool {
        self.cores.complete() && self.replicants.as_ref().is_none_or(RoleView::complete)
    }
}
