//! v3beta1: conditions that are independent of each other, counts that are always there, and pods that roll.

use serde_json::{Value, json};

use super::parts::{condition, counts, v2_evacuation, without_zeros};
use super::view::{NodeView, RoleView, View};
use crate::clock::rfc3339;
use crate::scenario::Role;

pub(super) fn status(view: &View, before: &Value) -> Value {
    let now = rfc3339(view.now);
    let entry = |node: &NodeView| {
        let mut entry = without_zeros(json!({
            "name": node.name, "podName": node.pod, "status": if node.running { "running" } else { "stopped" },
            "otpRelease": if node.running { "27.3.4/15.2" } else { "" },
            "version": if node.running { node.version.as_str() } else { "" }, "role": node.role.name(),
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
    let ready = match &view.replicants {
        Some(set) if set.current.revision != set.update.revision => set.update.ready + set.current.ready,
        _ => set.update.ready,
    };
    let available = ready >= set.replicas;
    let updated = |role: &RoleView, who: &str| {
        let (new, wanted) = (role.update.replicas, role.replicas);
        if new < wanted { format!("{new}/{wanted} {who} pods updated") } else { String::new() }
    };
    let word = |state: &str| format!("{}{}Pods{state}", who[..1].to_uppercase(), &who[1..]);
    let mut conditions = vec![
        make("EMQXAPIAvailable", true, "Available", ""),
        make(
            "CoreNodesProgressing",
            !view.cores_ready(),
            converged(view.cores_ready()),
            &updated(&view.cores, "core"),
        ),
        make(
            "Available",
            available,
            &word(if available { "Available" } else { "Unavailable" }),
            &format!("{ready}/{} {who} pods available", set.replicas),
        ),
        make("ConfigApplied", true, "Applied", ""),
    ];
    // Old replicants must be removed as well.
    let replicants_ready = view.replicants_ready() && view.replicants.as_ref().is_none_or(RoleView::complete);
    if let Some(role) = &view.replicants {
        conditions.push(make(
            "ReplicantNodesProgressing",
            !replicants_ready,
            converged(replicants_ready),
            &updated(role, "replicant"),
        ));
    }
    let reason = match (view.cores_ready(), replicants_ready) {
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
            "readyReplicas": view.running(Role::Core), "updatedReplicas": view.cores.update.replicas,
            "currentReplicas": view.cores.current.replicas,
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
