//! v2: what v2beta1 removes stays here as False, with the true ones first.

use serde_json::{Value, json};

use super::parts::{condition, counts, v2_evacuation, without_zeros};
use super::view::{NodeView, View};
use crate::clock::rfc3339;
use crate::scenario::Role;

pub(super) fn status(view: &View, before: &Value) -> Value {
    let entry = |node: &NodeView| {
        without_zeros(json!({
            "name": node.name, "podName": node.pod, "status": if node.running { "running" } else { "stopped" },
            "otpRelease": if node.running { "27.3.4/15.2" } else { "" },
            "version": if node.running { node.version.as_str() } else { "" },
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

/// Cleared conditions stay as False; those that are True come first, the newest of them at the front.
fn v2_conditions(view: &View, before: &Value) -> Vec<Value> {
    let now = rfc3339(view.now);
    let old = before["conditions"].as_array().cloned().unwrap_or_default();
    let lost = if view.renewed.is_some() {
        view.renewed
    } else if !view.cores_ready() {
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
            ("Ready", None) if !view.complete() => (false, own),
            ("Initialized", _) | (_, None) => (true, own),
            (_, Some(reason)) if view.renewed.is_some() => (false, reason.to_owned()),
            ("CoreNodesProgressing", _)
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
            // A condition that is False already keeps its reason.
            let kept = was(kind).filter(|known| !is_true && known["status"] == "False");
            let reason = kept.and_then(|known| known["reason"].as_str()).unwrap_or(&reason);
            let message = if kind == "Ready" && is_true { "Cluster is ready" } else { "" };
            // A loss of readiness restarts the state machine, so all conditions but the first get a new time.
            let renewed = newly_lost && kind != "Initialized";
            let since = was(kind)
                .filter(|known| known["status"] == status && !renewed)
                .and_then(|known| known["lastTransitionTime"].as_str())
                .unwrap_or(&now)
                .to_owned();
            (is_true || kind == "Initialized", condition(kind, status, reason, message, &since))
        })
        .collect();
    if lost.is_some() || !view.complete() {
        // True conditions first, then False ones, the first stage last.
        let initialized = list.pop();
        list.sort_by_key(|(is_true, _)| !is_true);
        list.extend(initialized);
    }
    list.into_iter().map(|(_, condition)| condition).collect()
}
