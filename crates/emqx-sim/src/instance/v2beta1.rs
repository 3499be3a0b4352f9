//! v2beta1: a state machine of stages. The loss of a pod removes the stages that it undoes; the newest stage
//! is first.

use serde_json::{Value, json};

use super::parts::{condition, counts, without_zeros};
use super::view::{NodeView, View};
use crate::clock::rfc3339;
use crate::scenario::Role;

pub(super) fn status(view: &View, before: &Value) -> Value {
    let entry = |node: &NodeView| {
        if !node.running {
            return json!({ "node": node.name, "node_status": "stopped", "role": node.role.name() });
        }
        without_zeros(json!({
            "controllerUID": node.controller_uid, "podUID": node.pod_uid, "node": node.name,
            "node_status": "running", "otp_release": "26.2.5/14.2.5", "version": node.version,
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

/// The conditions of the state machine: stages undone by the loss of a pod are removed, the newest one is
/// first.
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
        "Available" if view.complete() => Some(make("Ready", "Cluster is ready")),

        _ => None,
    };
    if let Some(next) = next {
        list.insert(0, next);
    }
    list
}
