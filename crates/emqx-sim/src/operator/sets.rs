//! How v2beta1 (operator 2.2) and v2 (2.3) change pods: a second set of each role beside the first, then the pods of
//! the older one are emptied and removed one by one, replicants before cores.
//!
//! ```text
//! image changed ─► new core set ─► up ─► new replicant set ─► up ─► Available: the old pods leave the Service
//!                                                                     └► initialDelaySeconds ─► one pod after another:
//!                                                                        evacuation ─► prohibiting ─► removed
//! ```
//!
//! Seen in the recordings ([OP-13], [OP-14], [OP-21], [OP-22]): v2beta1 sends no health wait, so that EMQX
//! uses its default of a minute, and removes the highest name first; v2 removes replicants in ascending order
//! of names, and empty ones at once. A pod template changes here by its image and its annotations; other
//! fields are ignored.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::actions::OperatorAction;
use super::observation::{Observation, Template, another, name, revision, terminating, text, view, wanted};
use crate::instance::{RoleView, holds};
use crate::scenario::{Api, Role};
use crate::workloads::COST;

/// A set has been created or taken back.
pub(super) struct SetChange {
    pub(super) role: Role,
    pub(super) actions: Vec<OperatorAction>,
    pub(super) revision: String,
    pub(super) collisions: u64,
    /// v2's reason.
    pub(super) why: &'static str,
}

fn counts(observation: &Observation, role: Role) -> &Value {
    let key = if role == Role::Core { "coreNodesStatus" } else { "replicantNodesStatus" };
    &observation.object["status"][key]
}

/// The target set: the one that the status names, else the newest that requests pods.
fn update(observation: &Observation, role: Role) -> Option<&Value> {
    let named = &counts(observation, role)["updateRevision"];
    let newest = || observation.sets_of(role).rfind(|set| wanted(set) > 0);
    observation.sets_of(role).find(|set| *named == revision(set)).or_else(newest)
}

/// The previous set: the oldest other one that has or requests pods.
fn current<'p>(observation: &'p Observation, role: Role, update: &'p Value) -> &'p Value {
    let other =
        |set: &&Value| name(set) != name(update) && (wanted(set) > 0 || super::observation::present(set) > 0);
    observation.sets_of(role).find(other).unwrap_or(update)
}

/// The sets of a role as the status counts them.
pub(super) fn role(observation: &Observation, role: Role) -> Option<RoleView> {
    let update = update(observation, role)?;
    Some(RoleView {
        replicas: wanted(update),
        current: view(current(observation, role, update)),
        update: view(update),
        collisions: counts(observation, role)["collisionCount"].as_u64().unwrap_or(0),
    })
}

/// The change that the spec requests: another template creates another set.
pub(super) fn change(observation: &Observation, api: Api, role: Role) -> Option<SetChange> {
    let (spec, status) = (&observation.object["spec"], &observation.object["status"]);
    let update = update(observation, role)?;
    let template = Template::wanted(api, spec, role);
    let key = if role == Role::Core { "coreTemplate" } else { "replicantTemplate" };
    let replicas = spec[key]["spec"]["replicas"].as_u64().unwrap_or_else(|| wanted(update));
    let collisions = counts(observation, role)["collisionCount"].as_u64().unwrap_or(0);
    let to = |actions, revision: &str, collisions, why| {
        Some(SetChange { role, actions, revision: revision.to_owned(), collisions, why })
    };
    if template.fits(update) || template.image.is_empty() {
        if wanted(update) == replicas {
            return None;
        }
        let why = if role == Role::Core { "UpdateStatefulSet" } else { "UpdateReplicaSet" };
        let actions = vec![OperatorAction::Scale { set: update.clone(), to: replicas }];
        return to(actions, revision(update), collisions, why);
    }
    // Replicants follow when the new cores are ready.
    if role == Role::Replicant && !holds(status, "CoreNodesReady") {
        return None;
    }
    let current = current(observation, role, update);
    if !holds(status, "Available") && template.fits(current) {
        // Taken back before anything was emptied: the old set is the target again.
        let why = if role == Role::Core { "RevertStatefulSet" } else { "RevertReplicaSet" };
        let actions = vec![OperatorAction::Scale { set: update.clone(), to: 0 }];
        return to(actions, revision(current), collisions, why);
    }
    let taken = |hash: &str| observation.sets_of(role).any(|set| revision(set) == hash);
    let mut number = collisions + u64::from(observation.sets_of(role).any(|set| template.fits(set)));
    let mut fresh = template.hash(Some(number));
    while taken(&fresh) {
        number += 1;
        fresh = template.hash(Some(number));
    }
    let instance = name(&observation.object);
    let set = another(update, &format!("{instance}-{}-{fresh}", role.name()), &fresh, &template, replicas);
    let why = match (role, api) {
        (Role::Core, _) => "CreateNewStatefulSet",
        (Role::Replicant, _) => "CreateReplicaSet",
    };
    to(vec![OperatorAction::Create(set)], &fresh, number, why)
}

/// The update strategy with the defaults of each version ([OP-72], [OP-73]).
struct Strategy<'s> {
    api: Api,
    spec: &'s Value,
}

impl Strategy<'_> {
    fn delay(&self) -> u64 {
        let whole = if self.spec.is_null() || self.api == Api::V2 { 10 } else { 0 };
        self.spec["initialDelaySeconds"].as_u64().unwrap_or(whole)
    }

    fn number(&self, key: &str, default: u64) -> u64 {
        self.spec["evacuationStrategy"][key].as_u64().unwrap_or(default)
    }

    fn takeover(&self) -> u64 {
        self.number("waitTakeover", if self.spec.is_null() || self.api == Api::V2 { 10 } else { 0 })
    }

    /// The request to EMQX; 2.2 sends no health wait, 2.3 sends one that differs from EMQX's default.
    fn body(&self, recipients: &[&str]) -> Map<String, Value> {
        let mut body = Map::from_iter([
            ("conn_evict_rate".to_owned(), json!(self.number("connEvictRate", 1000))),
            ("sess_evict_rate".to_owned(), json!(self.number("sessEvictRate", 1000))),
            ("migrate_to".to_owned(), json!(recipients)),
        ]);
        if self.takeover() > 0 {
            body.insert("wait_takeover".to_owned(), json!(self.takeover()));
        }
        let health = self.number("waitHealthCheck", 60);
        if self.api == Api::V2 && health != 60 {
            body.insert("wait_health_check".to_owned(), json!(format!("{health}s")));
        }
        body
    }
}

/// The actions on old pods in this pass; `removed` is the time since the last removal.
pub(super) fn drain(
    observation: &Observation,
    api: Api,
    status: &Value,
    now: Timestamp,
    removed: Option<Duration>,
) -> Result<Vec<OperatorAction>, String> {
    let strategy = Strategy { api, spec: &observation.object["spec"]["updateStrategy"] };
    let available = status["conditions"].as_array().into_iter().flatten();
    let since = available
        .filter(|condition| condition["type"] == "Available" && condition["status"] == "True")
        .find_map(|condition| condition["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
    let Some(since) = since else { return Ok(Vec::new()) };
    if now.duration_since(since).as_secs_f64() <= strategy.delay() as f64 {
        return Ok(Vec::new());
    }
    // Cores wait until the replicants' revisions match.
    let unsettled = [Role::Replicant, Role::Core].into_iter().find_map(|role| {
        let update = update(observation, role)?;
        let current = current(observation, role, update);
        (name(current) != name(update) && wanted(current) > 0).then_some((role, current, update))
    });
    let Some((role, set, update)) = unsettled else { return Ok(Vec::new()) };
    // Only the first entry is read, whichever client started it.
    let first = observation.evacuations.first();
    if first.is_some_and(|entry| entry["state"] != "prohibiting") {
        return Ok(Vec::new());
    }
    let pods: Vec<&str> =
        observation.pods_of(set).into_iter().filter(|pod| !terminating(pod)).map(name).collect();
    let target = match (role, first) {
        (Role::Core, _) => Some(format!("{}-{}", name(set), wanted(set) - 1)),
        (Role::Replicant, Some(entry)) => {
            let node = text(&entry["node"]);
            let pod = pods.iter().find(|pod| observation.node_in(pod).is_some_and(|it| it.name == node));
            Some((*pod.ok_or_else(|| format!("evacuated node {node} already deleted"))?).to_owned())
        }
        (Role::Replicant, None) if api == Api::V2 => pods.first().map(|pod| (*pod).to_owned()),
        (Role::Replicant, None) => pods.last().map(|pod| (*pod).to_owned()),
    };
    let Some(target) = target else { return Ok(Vec::new()) };
    let node = observation.node_in(&target).filter(|node| node.sessions > 0);
    if let Some(node) = node {
        let message = if api == Api::V2 {
            format!("Node {} evacuation started", node.name)
        } else {
            format!("Node {} is being evacuated", node.name)
        };
        let body = strategy.body(&observation.nodes_of(update));
        let start = OperatorAction::Evacuate { node: node.name.clone(), body, ignore: false };
        return Ok(vec![start, OperatorAction::Emit { reason: "NodeEvacuation", message }]);
    }
    let takeover = Duration::from_secs(strategy.takeover());
    if api == Api::V2beta1 && removed.is_some_and(|removed| removed < takeover) {
        return Ok(Vec::new());
    }
    let mut actions = Vec::new();
    if role == Role::Replicant {
        actions.push(OperatorAction::Annotate { pod: target, key: COST, value: "-99999" });
    }
    actions.push(OperatorAction::Scale { set: set.clone(), to: wanted(set) - 1 });
    Ok(actions)
}
