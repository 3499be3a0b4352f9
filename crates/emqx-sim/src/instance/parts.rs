//! Parts of a status that several versions share.

use serde_json::{Map, Value, json};

use super::view::RoleView;
use crate::broker::Broker;

/// The evacuations as the operator stores them: EMQX's entries without zeros, except for the statistics.
pub(crate) fn evacuations(broker: &Broker) -> Vec<Value> {
    let status = crate::rest_bodies::global_status(broker);
    let entries = status["evacuations"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(without_zeros).collect()
}

/// `omitempty`: zeros, empty texts and empty lists vanish, one level deep.
pub(super) fn without_zeros(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let kept = map.into_iter().filter(|(_, value)| {
        *value != json!(0) && *value != json!("") && *value != json!([]) && !value.is_null()
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

/// Whether a condition is True.
pub(crate) fn holds(status: &Value, kind: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// `coreNodesStatus` and `replicantNodesStatus` of v2beta1 and v2; `readyReplicas` counts EMQX nodes, not ready pods.
pub(super) fn counts(role: &RoleView, running: u64) -> Value {
    let RoleView { current, update, .. } = role;
    without_zeros(json!({
        "replicas": role.replicas, "readyReplicas": running, "currentRevision": current.revision,
        "currentReplicas": current.replicas, "updateRevision": update.revision,
        "updateReplicas": update.replicas, "collisionCount": role.collisions,
    }))
}

pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now })
}

/// v2 and v3beta1 keep only the start of an evacuation.
pub(super) fn v2_evacuation(entry: &Value) -> Value {
    without_zeros(json!({
        "nodeName": entry["node"], "state": entry["state"], "sessionRecipients": entry["session_recipients"],
        "sessionEvictionRate": entry["session_eviction_rate"],
        "connectionEvictionRate": entry["connection_eviction_rate"],
        "initialSessions": entry["stats"]["initial_sessions"],
        "initialConnections": entry["stats"]["initial_connected"],
    }))
}
