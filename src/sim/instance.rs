//! What the operators write into an instance's status, each version in its own shape and with its own omissions
//! (zeros vanish, names differ, conditions are removed or kept as False). Pure: a view in, a status out.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::broker::Broker;
use super::clock::rfc3339;
use super::scenario::{Api, Role};

/// One EMQX node and the pod it runs in, as an operator sees them together.
#[derive(Clone, Debug)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) running: bool,
    pub(super) connections: u64,
    pub(super) sessions: u64,
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) controller_uid: String,
}

/// One set of pods.
#[derive(Clone, Debug, Default)]
pub(super) struct SetView {
    /// The pod template's hash; on v1beta4 the StatefulSet's `currentRevision`.
    pub(super) revision: String,
    pub(super) replicas: u64,
    pub(super) ready: u64,
}

/// Everything a status is made of.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) api: Api,
    pub(super) version: String,
    pub(super) generation: u64,
    pub(super) nodes: Vec<NodeView>,
    pub(super) cores: SetView,
    pub(super) replicants: Option<SetView>,
    pub(super) evacuations: Vec<Value>,
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
        self.cores.ready == self.cores.replicas
    }

    fn replicants_ready(&self) -> bool {
        self.replicants.as_ref().is_none_or(|set| set.ready == set.replicas)
    }
}

/// The evacuations as the operator stores them: EMQX's entries without zeros, but for the statistics.
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
        Api::V1beta4 => v1beta4(view, before),
        Api::V2beta1 => v2beta1(view, before),
        Api::V2 => v2(view, before),
        Api::V3beta1 => v3beta1(view, before),
    }
}

/// Whether the Rebalance controller takes the instance for ready.
pub(super) fn is_ready(api: Api, status: &Value) -> bool {
    let wanted = if api == Api::V1beta4 { "Running" } else { "Ready" };
    let conditions = status["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == wanted && condition["status"] == "True")
}

fn v1beta4(view: &View, before: &Value) -> Value {
    let running = view.nodes.iter().filter(|node| node.running).count() as u64;
    let fine = running == view.cores.replicas;
    let now = rfc3339(view.now);
    let old = &before["conditions"][0];
    let since = if old["type"] == "Running" { old["lastTransitionTime"].clone() } else { json!(now) };
    let (text, reason, message) = if fine {
        ("True", "ClusterReady", "All resources are ready")
    } else {
        ("False", "ClusterNotReady", "Some resources are not ready")
    };
    // `lastTransitionTime` does not move when `Running` flips: seen, and kept.
    let condition = json!({
        "type": "Running", "status": text, "reason": reason, "message": message, "lastUpdateTime": now,
        "lastTransitionTime": since,
    });
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .filter(|node| node.running)
        .map(|node| {
            without_zeros(json!({
                "node": node.name, "node_status": "Running", "otp_release": "24.3.4.2/12.3.2.2",
                "version": view.version, "connections": node.sessions,
            }))
        })
        .collect();
    without_zeros(json!({
        "conditions": [condition], "currentStatefulSetVersion": view.cores.revision, "emqxNodes": nodes,
        "readyReplicas": running, "replicas": view.cores.replicas,
    }))
}

/// `coreNodesStatus` and `replicantNodesStatus` of v2beta1 and v2; `readyReplicas` counts EMQX nodes, not ready pods.
fn counts(set: &SetView, running: u64) -> Value {
    without_zeros(json!({
        "replicas": set.replicas, "readyReplicas": running, "currentRevision": set.revision,
        "currentReplicas": set.replicas, "updateRevision": set.revision, "updateReplicas": set.replicas,
    }))
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now })
}

fn v2beta1(view: &View, before: &Value) -> Value {
    let entry = |node: &NodeView| {
        if !node.running {
            return json!({ "node": node.name, "node_status": "stopped", "role": node.role.name() });
        }
        without_zeros(json!({
            "controllerUID": node.controller_uid, "podUID": node.pod_uid, "node": node.name,
            "node_status": "running", "otp_release": "26.2.5/14.2.5", "version": view.version,
            "role": node.role.name(), "edition": "Enterprise", "connections": node.sessions,
            "live_connections": node.connections,
        }))
    };
    let list = |role| -> Vec<Value> { view.role(role).map(entry).collect() };
    let mut status = json!({
        "conditions": v2beta1_conditions(view, before),
        "coreNodes": list(Role::Core), "coreNodesStatus": counts(&view.cores, view.running(Role::Core)),
        "replicantNodesStatus": {},
    });
    if let Some(set) = &view.replicants {
        status["replicantNodes"] = json!(list(Role::Replicant));
        status["replicantNodesStatus"] = counts(set, view.running(Role::Replicant));
    }
    if !view.evacuations.is_empty() {
        status["nodeEvacuationsStatus"] = json!(view.evacuations);
    }
    status
}

/// A machine of stages; what a lost pod undoes is removed, the newest stands first.
fn v2beta1_conditions(view: &View, before: &Value) -> Vec<Value> {
    let now = rfc3339(view.now);
    let make = |kind: &str, message: &str| condition(kind, "True", kind, message, &now);
    let mut list: Vec<Value> = before["conditions"].as_array().cloned().unwrap_or_default();
    let stage = list.first().and_then(|first| first["type"].as_str()).unwrap_or_default().to_owned();
    let next = match stage.as_str() {
        "" => Some(make("CoreNodesProgressing", "Core nodes progressing")),
        "CoreNodesProgressing" => view.cores_ready().then(|| make("CoreNodesReady", "Core nodes is ready")),
        _ if !view.cores_ready() => {
            return vec![make("CoreNodesProgressing", "Core nodes progressing")];
        }
        "CoreNodesReady" if view.replicants.is_some() => {
            Some(make("ReplicantNodesProgressing", "Replicant nodes progressing"))
        }
        "ReplicantNodesProgressing" => {
            view.replicants_ready().then(|| make("ReplicantNodesReady", "Replicant nodes ready"))
        }
        _ if !view.replicants_ready() => {
            let kept = ["CoreNodesProgressing", "CoreNodesReady"];
            list.retain(|old| old["type"].as_str().is_some_and(|kind| kept.contains(&kind)));
            Some(make("ReplicantNodesProgressing", "Replicant nodes progressing"))
        }
        "CoreNodesReady" | "ReplicantNodesReady" => Some(make("Available", "Cluster is available")),
        "Available" => Some(make("Ready", "Cluster is ready")),
        _ => None,
    };
    if let Some(next) = next {
        list.insert(0, next);
    }
    list
}

fn v2(view: &View, before: &Value) -> Value {
    let entry = |node: &NodeView| {
        without_zeros(json!({
            "name": node.name, "podName": node.pod, "status": if node.running { "running" } else { "stopped" },
            "otpRelease": if node.running { "27.3.4/15.2" } else { "" },
            "version": if node.running { view.version.as_str() } else { "" },
            "role": node.role.name(), "sessions": node.sessions, "connections": node.connections,
        }))
    };
    let list = |role| -> Vec<Value> { view.role(role).map(entry).collect() };
    let mut status = json!({
        "conditions": v2_conditions(view, before), "coreNodes": list(Role::Core),
        "coreNodesStatus": counts(&view.cores, view.running(Role::Core)), "dsReplication": {},
        "replicantNodesStatus": {},
    });
    if let Some(set) = &view.replicants {
        status["replicantNodes"] = json!(list(Role::Replicant));
        status["replicantNodesStatus"] = counts(set, view.running(Role::Replicant));
    }
    if !view.evacuations.is_empty() {
        status["nodeEvacuationsStatus"] = view.evacuations.iter().map(v2_evacuation).collect();
    }
    status
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

/// v2's conditions, the newest stage first.
const V2_ORDER: [&str; 7] = [
    "Ready",
    "Available",
    "ReplicantNodesReady",
    "ReplicantNodesProgressing",
    "CoreNodesReady",
    "CoreNodesProgressing",
    "Initialized",
];

/// Cleared conditions stay as False; those that are True stand first, the newest at the very front.
fn v2_conditions(view: &View, before: &Value) -> Vec<Value> {
    let now = rfc3339(view.now);
    let old = before["conditions"].as_array().cloned().unwrap_or_default();
    let lost = if !view.cores_ready() {
        Some("CoreNodesNotReady")
    } else if !view.replicants_ready() {
        Some("ReplicantNodesNotReady")
    } else {
        None
    };
    let with_replicants = view.replicants.is_some();
    let wanted = |kind: &str| -> (bool, String) {
        let own = kind.to_owned();
        match (kind, lost) {
            ("ReplicantNodesProgressing" | "ReplicantNodesReady", _) if !with_replicants => {
                (false, "NoReplicants".to_owned())
            }
            ("Initialized" | "CoreNodesProgressing", _)
            | (_, None)
            | ("CoreNodesReady" | "ReplicantNodesProgressing", Some("ReplicantNodesNotReady")) => (true, own),
            (_, Some(reason)) => (false, reason.to_owned()),
        }
    };
    let was = |kind: &str| old.iter().find(|known| known["type"] == kind);
    let newly_lost = lost.is_some() && was("Ready").is_some_and(|ready| ready["status"] == "True");
    let mut list: Vec<(bool, Value)> = V2_ORDER
        .iter()
        .map(|&kind| {
            let (is_true, reason) = wanted(kind);
            let status = if is_true { "True" } else { "False" };
            let message = if kind == "Ready" && is_true { "Cluster is ready" } else { "" };
            // Losing readiness starts the machine anew, so all but the first get a new time.
            let anew = newly_lost && kind != "Initialized";
            let since = was(kind)
                .filter(|known| known["status"] == status && !anew)
                .and_then(|known| known["lastTransitionTime"].as_str())
                .unwrap_or(&now)
                .to_owned();
            (is_true || kind == "Initialized", condition(kind, status, &reason, message, &since))
        })
        .collect();
    if lost.is_some() {
        // True ones first, then those that are False, the very first stage last.
        let initialized = list.pop();
        list.sort_by_key(|(is_true, _)| !is_true);
        list.extend(initialized);
    }
    list.into_iter().map(|(_, condition)| condition).collect()
}

fn v3beta1(view: &View, before: &Value) -> Value {
    let now = rfc3339(view.now);
    let entry = |node: &NodeView| {
        let mut entry = without_zeros(json!({
            "name": node.name, "podName": node.pod, "status": if node.running { "running" } else { "stopped" },
            "otpRelease": if node.running { "27.3.4/15.2" } else { "" },
            "version": if node.running { view.version.as_str() } else { "" }, "role": node.role.name(),
        }));
        entry["sessions"] = json!(node.sessions);
        entry["connections"] = json!(node.connections);
        entry
    };
    let list = |role| -> Vec<Value> { view.role(role).map(entry).collect() };
    let old = before["conditions"].as_array().cloned().unwrap_or_default();
    let make = |kind: &str, is_true: bool, reason: &str, message: &str| {
        let status = if is_true { "True" } else { "False" };
        let known = old.iter().find(|known| known["type"] == kind && known["status"] == status);
        let since = known.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(&now);
        let mut made = condition(kind, status, reason, message, since);
        made["observedGeneration"] = json!(view.generation);
        made
    };
    let converged = |ready: bool| if ready { "Converged" } else { "RollingUpdate" };
    let (set, who) = view.replicants.as_ref().map_or((&view.cores, "core"), |set| (set, "replicant"));
    let available = set.ready == set.replicas;
    let word = |state: &str| format!("{}{}Pods{state}", who[..1].to_uppercase(), &who[1..]);
    let mut conditions = vec![
        make("EMQXAPIAvailable", true, "Available", ""),
        make("CoreNodesProgressing", !view.cores_ready(), converged(view.cores_ready()), ""),
        make(
            "Available",
            available,
            &word(if available { "Available" } else { "Unavailable" }),
            &format!("{}/{} {who} pods available", set.ready, set.replicas),
        ),
        make("ConfigApplied", true, "Applied", ""),
    ];
    if view.replicants.is_some() {
        conditions.push(make(
            "ReplicantNodesProgressing",
            !view.replicants_ready(),
            converged(view.replicants_ready()),
            "",
        ));
    }
    let reason = match (view.cores_ready(), view.replicants_ready()) {
        (true, true) => "Ready",
        (false, _) => "CoreNodesProgressing",
        (true, false) => "ReplicantNodesProgressing",
    };
    conditions.push(make("Ready", reason == "Ready", reason, ""));
    let replicants = view.replicants.clone().unwrap_or_default();
    let mut status = json!({
        "coreReplicas": view.cores.replicas, "replicantReplicas": replicants.replicas,
        "coreSelector": "apps.emqx.io/db-role=core,apps.emqx.io/managed-by=emqx-operator",
        "replicantSelector": "apps.emqx.io/db-role=replicant,apps.emqx.io/managed-by=emqx-operator",
        "conditions": conditions, "coreNodes": list(Role::Core),
        "coreNodesStatus": without_zeros(json!({
            "readyReplicas": view.running(Role::Core), "updatedReplicas": view.cores.replicas,
            "currentReplicas": view.cores.replicas,
        })),
    });
    if view.replicants.is_some() {
        status["replicantNodes"] = json!(list(Role::Replicant));
        status["replicantNodesStatus"] = counts(&replicants, view.running(Role::Replicant));
    }
    if !view.evacuations.is_empty() {
        status["nodeEvacuations"] = view.evacuations.iter().map(v2_evacuation).collect();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(api: Api, ready: u64) -> View {
        let node = NodeView {
            name: "emqx@a".to_owned(),
            role: Role::Core,
            running: true,
            connections: 0,
            sessions: 40,
            pod: "a".to_owned(),
            pod_uid: "u".to_owned(),
            controller_uid: "c".to_owned(),
        };
        View {
            api,
            version: "5.8.6".to_owned(),
            generation: 1,
            nodes: vec![node],
            cores: SetView { revision: "r".to_owned(), replicas: 1, ready },
            replicants: None,
            evacuations: Vec::new(),
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
        seen.replicants = Some(SetView { revision: "r".to_owned(), replicas: 4, ready: 4 });
        let fine = status(&seen, &Value::Null);
        assert_eq!(types(&fine)[0], ("Ready", "True"));
        seen.replicants = Some(SetView { revision: "r".to_owned(), replicas: 4, ready: 1 });
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
