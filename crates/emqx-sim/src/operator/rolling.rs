//! How v3beta1 (operator 3.x) changes pods: no second core set, but one core after another, the highest number first
//! and only while the others serve; replicants move between two ReplicaSets within `maxSurge` and `maxUnavailable`
//! ([OP-62], [OP-76]; there is no recording of it). One old core stays until the replicants have moved.

use serde_json::{Map, Value, json};

use super::actions::OperatorAction;
use super::observation::{
    HASH, Observation, Template, another, name, present, ready, revision, terminating, text, view, wanted,
};
use crate::conditions::is_true;
use crate::instance::{RoleView, SetView};
use crate::scenario::{Api, Role};
use crate::workloads::COST;

/// The annotation on a replicant that is to be removed.
const SCALING_DOWN: &str = "apps.emqx.io/scaling-down";

fn core_set(observation: &Observation) -> Option<&Value> {
    observation.sets_of(Role::Core).next()
}

fn ordinal(pod: &Value) -> u64 {
    name(pod).rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

fn wanted_template(observation: &Observation, role: Role) -> Template {
    Template::wanted(Api::V3beta1, &observation.object["spec"], role)
}

/// The new and the old replicants: the set with the requested template, and the others that have or request
/// pods.
fn replicant_sets(observation: &Observation) -> (Option<&Value>, Vec<&Value>) {
    let template = wanted_template(observation, Role::Replicant);
    let new = observation.sets_of(Role::Replicant).rfind(|set| template.fits(set));
    let old = observation
        .sets_of(Role::Replicant)
        .filter(|set| Some(name(set)) != new.map(name) && (wanted(set) > 0 || present(set) > 0));
    (new, old.collect())
}

/// The roles as the status counts them.
pub(super) fn roles(observation: &Observation) -> (RoleView, Option<RoleView>) {
    let cores = core_set(observation).map(|set| {
        let count = |key: &str| set["status"][key].as_u64().unwrap_or(0);
        let part = |revision: &str, replicas: &str| SetView {
            revision: text(&set["status"][revision]),
            replicas: count(replicas),
            ready: ready(set),
        };
        RoleView {
            replicas: wanted(set),
            current: part("currentRevision", "currentReplicas"),
            update: part("updateRevision", "updatedReplicas"),
            collisions: 0,
        }
    });
    let (new, old) = replicant_sets(observation);
    let update = new.or_else(|| old.last().copied());
    let replicants = update.map(|update| RoleView {
        replicas: wanted_replicants(observation),
        current: view(old.first().copied().unwrap_or(update)),
        update: view(update),
        collisions: 0,
    });
    (cores.unwrap_or_default(), replicants)
}

fn wanted_replicants(observation: &Observation) -> u64 {
    observation.object["spec"]["replicantTemplate"]["spec"]["replicas"].as_u64().unwrap_or(0)
}

/// A number or a percentage of the replicants, rounded up or down.
fn amount(value: &Value, of: u64, default: u64, up: bool) -> u64 {
    match value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<u64>().ok()) {
        Some(share) if up => (share * of).div_ceil(100),
        Some(share) => share * of / 100,
        None => value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(default),
    }
}

/// The actions of this pass.
pub(super) fn step(observation: &Observation) -> Vec<OperatorAction> {
    let template = wanted_template(observation, Role::Core);
    let Some(cores) = core_set(observation).filter(|_| !template.image.is_empty()) else { return Vec::new() };
    if !template.fits(cores) {
        return vec![OperatorAction::Template { set: cores.clone(), template }];
    }
    let target = &cores["status"]["updateRevision"];
    let is_new = |pod: &&&Value| pod["metadata"]["labels"]["controller-revision-hash"] == *target;
    let mut pods = observation.pods_of(cores);
    pods.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    // Another number of cores: the highest ones are removed, each evacuated before.
    let number =
        observation.object["spec"]["coreTemplate"]["spec"]["replicas"].as_u64().unwrap_or(wanted(cores));
    if wanted(cores) < number {
        return vec![OperatorAction::Scale { set: cores.clone(), to: number }];
    }
    let (going, staying): (Vec<&Value>, Vec<&Value>) =
        pods.iter().copied().partition(|pod| ordinal(pod) >= number);
    if let Some(first) = going.first().filter(|_| wanted(cores) > number) {
        let others: Vec<&str> = staying
            .iter()
            .filter_map(|pod| observation.node_in(name(pod)))
            .map(|node| node.name.as_str())
            .collect();
        return empty(observation, first, &others, || {
            vec![OperatorAction::Scale { set: cores.clone(), to: wanted(cores) - 1 }]
        });
    }
    // Any evacuation of an updated core is stopped, even one of a user.
    let freed: Vec<&str> = pods
        .iter()
        .filter(is_new)
        .filter_map(|pod| observation.node_in(name(pod)))
        .filter(|node| observation.evacuation(&node.name).is_some())
        .map(|node| node.name.as_str())
        .collect();
    if !freed.is_empty() {
        let stop = |node: &&str| {
            let message = format!("Node {node} evacuation stopped");
            [
                OperatorAction::Stop { node: (*node).to_owned() },
                OperatorAction::Emit { reason: "NodeEvacuation", message },
            ]
        };
        return freed.iter().flat_map(stop).collect();
    }
    let old: Vec<&Value> = pods.iter().copied().filter(|pod| !is_new(&pod)).collect();
    let (_, old_sets) = replicant_sets(observation);
    let moved = old_sets.is_empty() && wanted_replicants(observation) <= new_ready(observation);
    // The last old core stays until the replicants have moved.
    let turn = old.first().filter(|_| old.len() > 1 || moved || wanted_replicants(observation) == 0);
    let actions = turn.map(|pod| core(observation, pod, &pods)).unwrap_or_default();
    if actions.is_empty() && (old.len() <= 1) { replicants(observation) } else { actions }
}

fn new_ready(observation: &Observation) -> u64 {
    replicant_sets(observation).0.map_or(0, ready)
}

/// The turn of one core.
fn core(observation: &Observation, pod: &Value, all: &[&Value]) -> Vec<OperatorAction> {
    let others_serve =
        all.iter().all(|other| name(other) == name(pod) || (is_true(other, "Ready") && !terminating(other)));
    if terminating(pod) || !others_serve || (all.len() as u64) < core_set(observation).map_or(0, wanted) {
        return Vec::new();
    }
    let others: Vec<&str> = all
        .iter()
        .filter(|other| name(other) != name(pod))
        .filter_map(|other| observation.node_in(name(other)))
        .map(|node| node.name.as_str())
        .collect();
    empty(observation, pod, &others, || vec![OperatorAction::Delete { pod: name(pod).to_owned() }])
}

/// Evacuates a pod, and does `then` once the pod is empty.
fn empty(
    observation: &Observation,
    pod: &Value,
    recipients: &[&str],
    then: impl FnOnce() -> Vec<OperatorAction>,
) -> Vec<OperatorAction> {
    let strategy = &observation.object["spec"]["updateStrategy"]["evacuationStrategy"];
    let Some(node) = observation.node_in(name(pod)).filter(|_| strategy["type"] != "Disabled") else {
        return then();
    };
    match observation.evacuation(&node.name) {
        Some(entry) if entry["state"] == "prohibiting" => then(),
        Some(_) => Vec::new(),
        None if node.sessions == 0 => then(),
        None if recipients.is_empty() => {
            let message = format!("Node {} evacuation skipped: no nodes to migrate to", node.name);
            let mut actions = vec![OperatorAction::Emit { reason: "NodeEvacuation", message }];
            actions.extend(then());
            actions
        }
        None => {
            let number = |key: &str, default: u64| json!(strategy[key].as_u64().unwrap_or(default));
            let body = Map::from_iter([
                ("conn_evict_rate".to_owned(), number("connectionEvictionRate", 1000)),
                ("sess_evict_rate".to_owned(), number("sessionEvictionRate", 1000)),
                ("wait_takeover".to_owned(), number("waitTakeover", 10)),
                ("wait_health_check".to_owned(), number("waitHealthCheck", 60)),
                ("migrate_to".to_owned(), json!(recipients)),
            ]);
            let message = format!("Node {} evacuation started", node.name);
            vec![
                OperatorAction::Evacuate { node: node.name.clone(), body, ignore: false },
                OperatorAction::Emit { reason: "NodeEvacuation", message },
            ]
        }
    }
}

/// A replicant that was being removed stays if its set is the target again: its evacuation is stopped.
fn stays(observation: &Observation, pod: &Value) -> Vec<OperatorAction> {
    let mut actions = Vec::new();
    let node = observation.node_in(name(pod)).filter(|node| observation.evacuation(&node.name).is_some());
    if let Some(node) = node {
        let message = format!("Node {} evacuation stopped", node.name);
        actions.push(OperatorAction::Stop { node: node.name.clone() });
        actions.push(OperatorAction::Emit { reason: "NodeEvacuation", message });
    }
    let annotated =
        [SCALING_DOWN, COST].into_iter().filter(|key| !pod["metadata"]["annotations"][*key].is_null());
    actions.extend(annotated.map(|key| OperatorAction::Unannotate { pod: name(pod).to_owned(), key }));
    actions
}

/// Scale-down of replicants: the youngest are evacuated, and each is removed when it is empty.
fn fewer(observation: &Observation, set: &Value, total: u64) -> Vec<OperatorAction> {
    let goes = |pod: &&Value| !pod["metadata"]["annotations"][SCALING_DOWN].is_null();
    let pods: Vec<&Value> = observation.pods_of(set).into_iter().filter(|pod| !terminating(pod)).collect();
    let leaving = pods.iter().copied().filter(|pod| goes(pod)).count() as u64;
    let missing = (pods.len() as u64).saturating_sub(total).saturating_sub(leaving);
    if missing > 0 {
        let free = pods.iter().rev().filter(|pod| !goes(pod));
        return free
            .take(usize::try_from(missing).unwrap_or(usize::MAX))
            .map(|pod| OperatorAction::Annotate {
                pod: name(pod).to_owned(),
                key: SCALING_DOWN,
                value: "true",
            })
            .collect();
    }
    let others: Vec<&str> = pods
        .iter()
        .filter(|pod| !goes(pod))
        .filter_map(|pod| observation.node_in(name(pod)))
        .map(|node| node.name.as_str())
        .collect();
    for pod in pods.iter().filter(|pod| goes(pod)) {
        let actions = empty(observation, pod, &others, || {
            vec![
                OperatorAction::Annotate { pod: name(pod).to_owned(), key: COST, value: "-99999" },
                OperatorAction::Scale { set: set.clone(), to: wanted(set).saturating_sub(1) },
            ]
        });
        if !actions.is_empty() {
            return actions;
        }
    }
    Vec::new()
}

/// The turn of the replicants: the new set grows by `maxSurge`, old pods are removed by `maxUnavailable`.
fn replicants(observation: &Observation) -> Vec<OperatorAction> {
    let total = wanted_replicants(observation);
    let limits = &observation.object["spec"]["updateStrategy"]["replicants"];
    let surge = amount(&limits["maxSurge"], total, 0, true);
    let missing = amount(&limits["maxUnavailable"], total, 1, false).max(u64::from(surge == 0));
    let (new, old) = replicant_sets(observation);
    let old_wanted: u64 = old.iter().map(|set| wanted(set)).sum();
    let room = total.min((total + surge).saturating_sub(old_wanted));
    let Some(new) = new else {
        let Some(model) = old.last() else { return Vec::new() };
        let template = wanted_template(observation, Role::Replicant);
        let hash = template.hash(None);
        let set_name = format!("{}-replicant-{hash}", name(&observation.object));
        return vec![OperatorAction::Create(another(model, &set_name, &hash, &template, room))];
    };
    if wanted(new) < room {
        return vec![OperatorAction::Scale { set: new.clone(), to: room }];
    }
    let pods: Vec<(&&Value, &Value)> = old
        .iter()
        .flat_map(|set| observation.pods_of(set).into_iter().map(move |pod| (set, pod)))
        .filter(|(_, pod)| !terminating(pod))
        .collect();
    let goes = |pod: &Value| !pod["metadata"]["annotations"][SCALING_DOWN].is_null();
    if old.is_empty() && wanted(new) > total {
        return fewer(observation, new, total);
    }
    if old.is_empty() && present(new) == total {
        return observation
            .pods_of(new)
            .into_iter()
            .filter(|pod| goes(pod))
            .flat_map(|pod| stays(observation, pod))
            .collect();
    }
    let new_nodes = observation.nodes_of(new);
    // Pods that are being removed come first: empty ones are deleted.
    for (set, pod) in pods.iter().filter(|(_, pod)| goes(pod)) {
        let others: Vec<&str> = if new_nodes.is_empty() {
            let stays = |(_, other): &&(&&Value, &Value)| !goes(other) && is_true(other, "Ready");
            pods.iter()
                .filter(stays)
                .filter_map(|(_, it)| observation.node_in(name(it)))
                .map(|it| it.name.as_str())
                .collect()
        } else {
            new_nodes.clone()
        };
        let actions = empty(observation, pod, &others, || {
            vec![
                OperatorAction::Annotate { pod: name(pod).to_owned(), key: COST, value: "-99999" },
                OperatorAction::Scale { set: (**set).clone(), to: wanted(set).saturating_sub(1) },
            ]
        });
        if !actions.is_empty() {
            return actions;
        }
    }
    // Then further pods, up to the number that may be missing.
    let of_new = |pod: &&Value| pod["metadata"]["labels"][HASH] == revision(new);
    let serving = pods.iter().filter(|(_, pod)| !goes(pod) && is_true(pod, "Ready")).count()
        + observation.pods.iter().filter(of_new).filter(|pod| is_true(pod, "Ready")).count();
    let spare = (serving as u64).saturating_sub(total.saturating_sub(missing));
    pods.iter()
        .filter(|(_, pod)| !goes(pod))
        .take(usize::try_from(spare).unwrap_or(usize::MAX))
        .map(|(_, pod)| OperatorAction::Annotate {
            pod: name(pod).to_owned(),
            key: SCALING_DOWN,
            value: "true",
        })
        .collect()
}
