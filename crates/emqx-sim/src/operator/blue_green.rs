//! How v1beta4 (operator 2.2) changes the image, with the defect of [OP-15]: while no evacuation is listed it
//! takes "none" for "done", and removes a loaded pod in the very second in which it starts to empty it.
//!
//! ```text
//! image changed ─► second StatefulSet ─► both count ─► all new pods ready: startedAt ─► initialDelaySeconds: it sleeps
//!                                                                                        └► every 20 s one old pod
//! ```
//!
//! Without `blueGreenUpdate` the one StatefulSet gets another template, and Kubernetes rolls it.

use serde_json::{Map, Value, json};

use super::actions::OperatorAction;
use super::observation::{Observation, Template, another, name, ready, terminating, text, wanted};
use crate::clock::rfc3339;
use crate::instance::{RoleView, SetView};
use crate::scenario::{Api, Role};

/// The sets that count as part of the cluster: EMQX runs in the number of pods that the set has. The first
/// set requests the most pods; among equal ones the newest is first.
pub(super) fn in_cluster(observation: &Observation) -> Vec<&Value> {
    let counts = |set: &&Value| {
        let running = observation.nodes_of(set).len() as u64;
        wanted(set) > 0 && running == set["status"]["currentReplicas"].as_u64().unwrap_or(0)
    };
    let mut sets: Vec<&Value> = observation.sets_of(Role::Core).rev().filter(counts).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(wanted(set)));
    sets
}

/// The set that is emptied and its successor.
fn pair(observation: &Observation) -> Option<(&Value, &Value)> {
    match in_cluster(observation).as_slice() {
        [.., current, origin] => Some((origin, current)),
        _ => None,
    }
}

/// The sets as the status counts them.
pub(super) fn role(observation: &Observation) -> RoleView {
    let counted = in_cluster(observation);
    let newest = counted.first().copied().or_else(|| observation.sets_of(Role::Core).next_back());
    let update = newest.map(|set| SetView {
        revision: text(&set["status"]["currentRevision"]),
        replicas: super::observation::present(set),
        ready: ready(set),
    });
    RoleView {
        replicas: observation.object["spec"]["replicas"].as_u64().unwrap_or(3),
        update: update.unwrap_or_default(),
        ..RoleView::default()
    }
}

/// `blueGreenUpdateStatus`: present while two sets count and the new one has been ready; its start time does
/// not change while it is present.
pub(super) fn status(observation: &Observation, now: jiff::Timestamp) -> Option<Value> {
    let (origin, current) = pair(observation)?;
    let before = &observation.object["status"]["blueGreenUpdateStatus"];
    let started = &before["startedAt"];
    if started.is_null() && ready(current) < wanted(current) {
        return None;
    }
    let mut status = json!({
        "originStatefulSet": name(origin), "currentStatefulSet": name(current),
        "startedAt": if started.is_null() { json!(rfc3339(now)) } else { started.clone() },
    });
    if !observation.evacuations.is_empty() {
        status["evacuationsStatus"] = json!(observation.evacuations);
    }
    Some(status)
}

/// The changes that the spec requests.
pub(super) fn change(observation: &Observation) -> Option<OperatorAction> {
    let spec = &observation.object["spec"];
    let template = Template::wanted(Api::V1beta4, spec, Role::Core);
    let replicas = spec["replicas"].as_u64().unwrap_or(3);
    let known = observation.sets_of(Role::Core).rfind(|set| template.fits(set));
    if let Some(set) = known {
        return (wanted(set) != replicas).then(|| OperatorAction::Scale { set: set.clone(), to: replicas });
    }
    let model = observation.sets_of(Role::Core).rfind(|set| wanted(set) > 0)?;
    if spec["blueGreenUpdate"].is_null() {
        return Some(OperatorAction::Template { set: model.clone(), template });
    }
    let hash = template.hash(None);
    let set = another(model, &format!("{}-{hash}", name(&observation.object)), &hash, &template, replicas);
    Some(OperatorAction::Create(set))
}

/// The action on the old set in this pass.
pub(super) enum Step {
    Nothing,
    /// The operator sleeps this many seconds, whatever happens in the meantime.
    Sleep(u64),
    Do(Vec<OperatorAction>),
}

fn event(message: String) -> OperatorAction {
    OperatorAction::Emit { reason: "Evacuate", message }
}

/// The next step, by the status as it was written in this pass.
pub(super) fn step(observation: &Observation, status: &Value, now: jiff::Timestamp) -> Step {
    let update = &observation.object["spec"]["blueGreenUpdate"];
    let started = status["blueGreenUpdateStatus"]["startedAt"].as_str();
    let started = started.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let (Some(started), Some((origin, current)), false) = (started, pair(observation), update.is_null())
    else {
        return Step::Nothing;
    };
    let delay = update["initialDelaySeconds"].as_u64().unwrap_or(0);
    if now.duration_since(started).as_secs_f64() < delay as f64 {
        return Step::Sleep(delay);
    }
    let left = wanted(origin).saturating_sub(1);
    let down = || event(format!("Scale down StatefulSet {} to {left}", name(origin)));
    let scale = OperatorAction::Scale { set: origin.clone(), to: left };
    // The highest name as text: of eleven pods `-9`, while the set removes `-10`.
    let living = observation.pods_of(origin).into_iter().rfind(|pod| !terminating(pod));
    let Some(node) = living.and_then(|pod| observation.node_in(name(pod))) else { return Step::Nothing };
    if observation.evacuations.is_empty() {
        let start = OperatorAction::Evacuate {
            node: node.name.clone(),
            body: body(observation, update, current),
            ignore: true,
        };
        let event = event(format!("Evacuate node {} start", node.name));
        return Step::Do(vec![down(), event, start, scale]);
    }
    let empty = |entry: &Value| {
        entry["state"] == "prohibiting"
            && entry["stats"]["current_connected"] == 0
            && entry["stats"]["current_sessions"] == 0
    };
    if observation.evacuation(&node.name).is_some_and(empty) {
        let event = event(format!("Evacuated node {} successfully", node.name));
        return Step::Do(vec![event, down(), scale]);
    }
    Step::Nothing
}

/// The request to EMQX: rates that are not set are sent as 0, which EMQX refuses.
fn body(observation: &Observation, update: &Value, current: &Value) -> Map<String, Value> {
    let number = |key: &str| update["evacuationStrategy"][key].as_u64().unwrap_or(0);
    let mut body = Map::from_iter([
        ("conn_evict_rate".to_owned(), json!(number("connEvictRate"))),
        ("sess_evict_rate".to_owned(), json!(number("sessEvictRate"))),
        ("migrate_to".to_owned(), json!(observation.nodes_of(current))),
    ]);
    if number("waitTakeover") > 0 {
        body.insert("wait_takeover".to_owned(), json!(number("waitTakeover")));
    }
    body
}
