//! v1beta4: `Running` counts EMQX's nodes, independently of their pods. An update shows as
//! `BlueGreenUpdating`, which is never removed, and as `blueGreenUpdateStatus`, which appears and disappears.

use serde_json::{Value, json};

use super::parts::without_zeros;
use super::view::View;
use crate::clock::rfc3339;

pub(super) fn status(view: &View, before: &Value) -> Value {
    let running = view.nodes.iter().filter(|node| node.running).count() as u64;
    let now = rfc3339(view.now);
    let mut conditions = before["conditions"].as_array().cloned().unwrap_or_default();
    let mut condition = if view.in_cluster > 1 {
        // `Running` is not updated in the meantime.
        json!({ "type": "BlueGreenUpdating", "status": "True", "lastUpdateTime": now })
    } else if running == view.cores.replicas {
        json!({
            "type": "Running", "status": "True", "reason": "ClusterReady", "message": "All resources are ready",
            "lastUpdateTime": now,
        })
    } else {
        json!({
            "type": "Running", "status": "False", "reason": "ClusterNotReady",
            "message": "Some resources are not ready", "lastUpdateTime": now,
        })
    };
    let known = conditions.iter().position(|known| known["type"] == condition["type"]);
    let known = known.map(|at| conditions.remove(at));
    // `lastTransitionTime` does not change when `Running` flips: observed on the real operator.
    let since = known.map_or_else(|| json!(now), |known| known["lastTransitionTime"].clone());
    condition["lastTransitionTime"] = since;
    conditions.insert(0, condition);
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .filter(|node| node.running)
        .map(|node| {
            without_zeros(json!({
                "node": node.name, "node_status": "Running", "otp_release": "24.3.4.2/12.3.2.2",
                "version": node.version, "connections": node.sessions,
            }))
        })
        .collect();
    without_zeros(json!({
        "conditions": conditions, "currentStatefulSetVersion": view.cores.update.revision, "emqxNodes": nodes,
        "readyReplicas": running, "replicas": view.cores.replicas,
        "blueGreenUpdateStatus": view.blue_green,
    }))
}
