//! What the operators write into an instance's status, each version in its own shape and with its own omissions
//! (zeros vanish, names differ, conditions are removed or kept as False). Pure: a view in, a status out.

mod v1beta4;
mod v2;
mod v2beta1;
mod v3beta1;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::broker::{Broker, Node};
use super::scenario::{Api, Role};

/// One EMQX node and the pod it runs in, as an operator sees them together.
#[derive(Clone, Debug)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) running: bool,
    pub(super) version: String,
    pub(super) connections: u64,
    pub(super) sessions: u64,
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) controller_uid: String,
}

impl NodeView {
    /// A node in this pod; `uids` are those of the pod and of its set.
    pub(super) fn of(node: &Node, pod: String, uids: (String, String)) -> Self {
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
pub(super) struct SetView {
    /// The pod template's hash; on v1beta4 the StatefulSet's `currentRevision`.
    pub(super) revision: String,
    /// Pods that are there.
    pub(super) replicas: u64,
    pub(super) ready: u64,
}

/// The sets of one role: the previous and the target one; the same one while nothing is updated.
#[derive(Clone, Debug, Default)]
pub(super) struct RoleView {
    /// Wanted nodes.
    pub(super) replicas: u64,
    pub(super) current: SetView,
    pub(super) update: SetView,
    /// How often a name was in use already.
    pub(super) collisions: u64,
}

impl RoleView {
    /// A role with one set, with all pods ready.
    pub(super) fn steady(revision: String, replicas: u64) -> Self {
        let set = SetView { revision, replicas, ready: replicas };
        Self { replicas, current: set.clone(), update: set, collisions: 0 }
    }

    fn ready(&self) -> bool {
        self.update.ready == self.replicas && self.update.replicas == self.replicas
    }

    fn complete(&self) -> bool {
        self.current.revision == self.update.revision
    }
}

/// The data of a status.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) api: Api,
    pub(super) generation: u64,
    pub(super) nodes: Vec<NodeView>,
    pub(super) cores: RoleView,
    pub(super) replicants: Option<RoleView>,
    pub(super) evacuations: Vec<Value>,
    /// v1beta4: how many sets count as part of the cluster, and the update between them.
    pub(super) in_cluster: usize,
    pub(super) blue_green: Option<Value>,
    /// v2: why the stages begin again, when a set was just created or taken back.
    pub(super) renewed: Option<&'static str>,
    pub(super) now: Timestamp,
}

impl View {
    fn role(&self, role: Role) -> impl Iterator<Item = &NodeView> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    fn running(&self, role: Role) -> u64 {
        self.role(role).filter(|node| node.running).count() as u64
    }

    fn cores_ready(&self) -> bool {
        self.cores.ready()
    }

    fn replicants_ready(&self) -> bool {
        self.replicants.as_ref().is_none_or(RoleView::ready)
    }

    /// Whether no update is in progress.
    fn complete(&self) -> bool {
        self.cores.complete() && self.replicants.as_ref().is_none_or(RoleView::complete)
    }
}

/// The evacuations as the operator stores them: EMQX's entries without zeros, except for the statistics.
pub(super) fn evacuations(broker: &Broker) -> Vec<Value> {
    let status = super::rest_bodies::global_status(broker);
    let entries = status["evacuations"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(without_zeros).collect()
}

/// `omitempty`: zeros, empty texts and empty lists vanish, one level deep.
fn without_zeros(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let kept = map.into_iter().filter(|(_, value)| {
        *value != json!(0) && *value != json!("") && *value != json!([]) && !value.is_null()
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

/// The status after one pass of the operator, given the one before.
pub(super) fn status(view: &View, before: &Value) -> Value {
    match view.api {
        Api::V1beta4 => v1beta4::status(view, before),
        Api::V2beta1 => v2beta1::status(view, before),
        Api::V2 => v2::status(view, before),
        Api::V3beta1 => v3beta1::status(view, before),
    }
}

/// Whether the Rebalance controller regards the instance as ready.
pub(super) fn is_ready(api: Api, status: &Value) -> bool {
    holds(status, if api == Api::V1beta4 { "Running" } else { "Ready" })
}

/// Whether a condition is True.
pub(super) fn holds(status: &Value, kind: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// `coreNodesStatus` and `replicantNodesStatus` of v2beta1 and v2; `readyReplicas` counts EMQX nodes, not ready pods.
fn counts(role: &RoleView, running: u64) -> Value {
    let RoleView { current, update, .. } = role;
    without_zeros(json!({
        "replicas": role.replicas, "readyReplicas": running, "currentRevision": current.revision,
        "currentReplicas": current.replicas, "updateRevision": update.revision,
        "updateReplicas": update.replicas, "collisionCount": role.collisions,
    }))
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now })
}

/// v2 and v3beta1 keep only the start of an evacuation.
fn v2_evacuation(entry: &Value) -> Value {
    without_zeros(json!({
        "nodeName": entry["node"], "state": entry["state"], "sessionRecipients": entry["session_recipients"],
        "sessionEvictionRate": entry["session_eviction_rate"],
        "connectionEvictionRate": entry["connection_eviction_rate"],
        "initialSessions": entry["stats"]["initial_sessions"],
        "initialConnections": entry["stats"]["initial_connected"],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role with one set, not all of it ready.
    fn steady(replicas: u64, ready: u64) -> RoleView {
        let mut role = RoleView::steady("r".to_owned(), replicas);
        role.update.ready = ready;
        role
    }

    fn view(api: Api, ready: u64) -> View {
        let node = NodeView {
            name: "emqx@a".to_owned(),
            role: Role::Core,
            running: true,
            version: "5.8.6".to_owned(),
            connections: 0,
            sessions: 40,
            pod: "a".to_owned(),
            pod_uid: "u".to_owned(),
            controller_uid: "c".to_owned(),
        };
        View {
            api,
            generation: 1,
            nodes: vec![node],
            cores: steady(1, ready),
            replicants: None,
            evacuations: Vec::new(),
            in_cluster: 1,
            blue_green: None,
            renewed: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn types(status: &Value) -> Vec<(&str, &str)> {
        let conditions = status["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .map(|one| (one["type"].as_str().unwrap_or_default(), one["status"].as_str().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn each_version_names_sessions_and_clients_its_own_way_and_drops_zeros() {
        let of = |api| status(&view(api, 1), &Value::Null);
        assert_eq!(of(Api::V1beta4)["emqxNodes"][0]["connections"], 40);
        let old = of(Api::V2beta1);
        assert_eq!(old["coreNodes"][0]["connections"], 40);
        assert_eq!(old["coreNodes"][0]["live_connections"], Value::Null);
        let new = of(Api::V2);
        assert_eq!(new["coreNodes"][0]["sessions"], 40);
        assert_eq!(new["coreNodes"][0]["connections"], Value::Null);
        assert_eq!(of(Api::V3beta1)["coreNodes"][0]["connections"], 0);
    }

    #[test]
    fn v2beta1_goes_stage_by_stage_and_falls_back_to_the_first() {
        let mut now = Value::Null;
        for _ in 0..6 {
            now = status(&view(Api::V2beta1, 1), &now);
        }
        let all = ["Ready", "Available", "CoreNodesReady", "CoreNodesProgressing"];
        assert_eq!(types(&now).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), all);
        assert!(is_ready(Api::V2beta1, &now));
        let lost = status(&view(Api::V2beta1, 0), &now);
        assert_eq!(types(&lost), [("CoreNodesProgressing", "True")]);
        assert!(!is_ready(Api::V2beta1, &lost));
    }

    #[test]
    fn v2_keeps_what_it_lost_as_false_with_the_true_ones_first() {
        let mut seen = view(Api::V2, 1);
        seen.replicants = Some(steady(4, 4));
        let fine = status(&seen, &Value::Null);
        assert_eq!(types(&fine)[0], ("Ready", "True"));
        seen.replicants = Some(steady(4, 1));
        let lost = status(&seen, &fine);
        assert_eq!(
            types(&lost),
            [
                ("ReplicantNodesProgressing", "True"),
                ("CoreNodesReady", "True"),
                ("CoreNodesProgressing", "True"),
                ("Ready", "False"),
                ("Available", "False"),
                ("ReplicantNodesReady", "False"),
                ("Initialized", "True"),
            ]
        );
    }
}
