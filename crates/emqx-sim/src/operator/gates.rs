//! The gates through which pods leave and join the Service: `apps.emqx.io/on-serving`, maintained by the
//! operators of 2.x.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::observation::{Observation, name};
use super::shared::{MANAGER, Shared};
use crate::clock::rfc3339;
use crate::conditions::is_true;
use crate::instance::{RoleView, holds};
use crate::population::GATE;
use crate::scenario::{Api, Role};

/// The target state of a gate.
enum Gate {
    /// The answer of EMQX's `availability_check`.
    Asked,
    Shut,
    Left,
}

/// Sets the gates of all pods; returns whether any changed.
pub(super) async fn keep(
    shared: &Shared,
    observation: &Observation,
    status: &Value,
    roles: &[(Role, &RoleView)],
) -> Result<bool, kube::Error> {
    if shared.api == Api::V3beta1 {
        return Ok(false);
    }
    let api = shared.plain("", "Pod", "pods");
    let now = rfc3339(shared.clock.now());
    let mut moved = false;
    for pod in &observation.pods {
        let known =
            pod["status"]["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == GATE);
        if known.is_none() && shared.api != Api::V1beta4 {
            // A gate that was not set exists at once, without a value.
            let empty = if shared.api == Api::V2 { "Unknown" } else { "" };
            write(&api, pod, &json!({ "type": GATE, "status": empty, "lastTransitionTime": null })).await?;
        }
        if !is_true(pod, "ContainersReady") {
            continue;
        }
        let status = match gate(shared.api, pod, status, roles) {
            Gate::Left => continue,
            Gate::Shut => "False",
            Gate::Asked => match observation.available_in(name(pod)) {
                None => continue,
                Some(true) => "True",
                Some(false) => "False",
            },
        };
        let changed = known.is_none_or(|known| known["status"] != status);
        moved |= changed;
        let mut gate = json!({ "type": GATE, "status": status });
        if shared.api == Api::V1beta4 {
            // It writes the time of the probe in each pass, and never changes `lastTransitionTime`.
            gate["lastProbeTime"] = json!(now);
            if known.is_none() {
                gate["lastTransitionTime"] = json!(now);
            }
        } else if changed {
            gate["lastTransitionTime"] = json!(now);
        } else {
            continue;
        }
        write(&api, pod, &gate).await?;
    }
    Ok(moved)
}

async fn write(
    api: &kube::Api<kube::api::DynamicObject>,
    pod: &Value,
    gate: &Value,
) -> Result<(), kube::Error> {
    let patch = Patch::Strategic(json!({ "status": { "conditions": [gate] } }));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_status(name(pod), &params, &patch).await {
        // The pod was deleted since it was listed.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.map(drop),
    }
}

/// v2beta1 and v2: as soon as the new set is available all gates of the old set are closed at once; a set
/// between the two (after an undo) keeps its gates.
fn gate(api: Api, pod: &Value, status: &Value, roles: &[(Role, &RoleView)]) -> Gate {
    let replicant = pod["metadata"]["labels"]["apps.emqx.io/db-role"] == "replicant";
    let own = if replicant { Role::Replicant } else { Role::Core };
    let Some((_, role)) = roles.iter().find(|(role, _)| *role == own).filter(|_| api != Api::V1beta4) else {
        return Gate::Asked;
    };
    let hash = &pod["metadata"]["labels"][super::observation::HASH];
    if *hash == role.update.revision.as_str() {
        Gate::Asked
    } else if *hash == role.current.revision.as_str() && holds(status, "Available") {
        Gate::Shut
    } else {
        Gate::Left
    }
}
