//! Conditions of pods, as the kubelet writes them.

use serde_json::{Value, json};

/// Whether a condition of a pod is True.
pub(super) fn is_true(pod: &Value, kind: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// The pod with `ContainersReady` and `Ready` as they follow from its containers and gates.
pub(super) fn with_conditions(pod: &Value, now: &str) -> Value {
    let containers = pod["status"]["containerStatuses"].as_array();
    let containers_ready = containers.into_iter().flatten().all(|container| container["ready"] == true);
    let gates = pod["spec"]["readinessGates"].as_array();
    let gates_open = gates
        .into_iter()
        .flatten()
        .all(|gate| gate["conditionType"].as_str().is_some_and(|kind| is_true(pod, kind)));
    let mut next = pod.clone();
    set_condition(&mut next, "ContainersReady", containers_ready, now);
    set_condition(&mut next, "Ready", containers_ready && gates_open, now);
    next
}

fn set_condition(pod: &mut Value, kind: &str, is_true: bool, now: &str) {
    let status = if is_true { "True" } else { "False" };
    let list = pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    let Some(conditions) = list else { return };
    if let Some(known) = conditions.iter_mut().find(|condition| condition["type"] == kind)
        && known["status"] != status
    {
        known["status"] = json!(status);
        known["lastTransitionTime"] = json!(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(container: bool, gate: &str) -> Value {
        json!({
            "spec": { "readinessGates": [{ "conditionType": "g" }] },
            "status": {
                "containerStatuses": [{ "ready": container }],
                "conditions": [
                    { "type": "g", "status": gate }, { "type": "ContainersReady", "status": "True" },
                    { "type": "Ready", "status": "True" },
                ],
            },
        })
    }

    #[test]
    fn a_pod_is_ready_when_its_containers_and_its_gate_say_so() {
        let ready = |container, gate| is_true(&with_conditions(&pod(container, gate), "now"), "Ready");
        assert!(ready(true, "True"));
        assert!(!ready(true, "False"));
        assert!(!ready(true, "Unknown"));
        assert!(!ready(false, "True"));
        assert!(is_true(&with_conditions(&pod(true, "False"), "now"), "ContainersReady"));
    }
}
