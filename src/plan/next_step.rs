//! What happens to one node next, and what it waits for; in sentences.

use jiff::Timestamp;

use super::membership::{Membership, lasting};
use super::rebalance::goal::Goals;
use super::snapshot::NodeRow;
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::{count, duration, plural, seconds_between};
use crate::model::{BrokerState, Evacuation, Instance, InstanceId, NodeName, OperationRef, Stage, World};
use crate::plan::durations::DrainTiming;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::upgrade::target::UpgradeTarget;

/// What is known beside the row of the node.
#[derive(Clone, Copy)]
pub struct NodeContext<'a> {
    /// What the cluster's EMQX has answered.
    pub broker: &'a BrokerState,
    /// The cluster's custom resource.
    pub instance: Option<&'a Instance>,
    /// The running rebalance.
    pub run: Option<&'a RebalanceRun>,
    /// Where the rebalance ends.
    pub goals: Option<&'a Goals>,
    /// Whether the node belongs to the previous revision of an upgrade.
    pub old: bool,
    pub now: Timestamp,
}

/// Seconds that an evacuation needs for what it does now, where that follows from its counts. `connections` are those of
/// this moment, if EMQX's list of nodes has them.
pub(crate) fn seconds_left(evacuation: &Evacuation, connections: Option<u64>) -> Option<u64> {
    let (left, rate) = match evacuation.stage {
        Stage::EvictingConns => (connections.or(evacuation.connections), evacuation.conn_evict_rate),
        Stage::EvictingSessions => (evacuation.sessions, evacuation.sess_evict_rate),
        _ => return None,
    };
    Some(left?.div_ceil(rate.filter(|rate| *rate > 0)?))
}

/// Seconds that a rebalance still waits; `None` while it does not wait.
pub(crate) fn wait_left(run: &RebalanceRun, now: Timestamp) -> Option<(u64, u64)> {
    let (entry, strategy) = (run.entry.as_ref().filter(|_| run.ended.is_none())?, run.strategy.as_ref()?);
    let length = match entry.stage {
        Stage::WaitHealthCheck => strategy.wait_health_check_seconds,
        Stage::WaitTakeover => strategy.wait_takeover_seconds,
        _ => return None,
    };
    Some((seconds_between(run.stage_since, now).min(length), length))
}

/// What comes next for this node.
pub(crate) fn next(row: &NodeRow, around: NodeContext<'_>) -> Vec<String> {
    let evacuations = evacuations_or_copy(around.broker.eviction_status(), around.instance);
    let upgrading = around.instance.is_some_and(Instance::upgrading);
    let Some(node) = &row.node else {
        return vec![absent(row, around.now)];
    };
    if let Some(evacuation) = evacuations.iter().find(|it| it.node == *node) {
        return evacuating(evacuation, row, upgrading);
    }
    if let Some(run) = around.run.filter(|run| run.ended.is_none() && run.entry.is_some()) {
        if run.donors().contains(node) {
            return giving(run, node, around);
        }
        if run.recipients().contains(node) {
            return receiving(node, around);
        }
        return vec!["takes no part in the running operation".to_owned()];
    }
    if upgrading && around.old {
        return match evacuations.first() {
            Some(other) => vec![format!(
                "its turn comes when {} is empty (`prohibiting`, now {}) and its pod is gone",
                other.node.short(),
                other.state
            )],
            None => vec![
                "the operator empties old nodes one after another, as soon as the new ones serve".to_owned(),
            ],
        };
    }
    if !row.running {
        return vec!["EMQX calls it stopped".to_owned()];
    }
    vec!["no operation concerns this node".to_owned()]
}

/// What is known of a pod that EMQX does not list.
fn absent(row: &NodeRow, now: Timestamp) -> String {
    let lasting = lasting(row.since, now);
    let reason = row.pod_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    match row.membership {
        Some(Membership::NotInCluster) => format!("EMQX does not list this pod as a node{lasting}"),
        Some(Membership::Starting) => format!("its container does not run{lasting}{reason}"),
        Some(Membership::Unschedulable) => {
            format!("Kubernetes has not found a node for it{lasting}{reason}")
        }
        Some(Membership::Terminating) => format!("its deletion was requested{lasting}"),
        _ => "EMQX has not reported whether it lists this pod as a node".to_owned(),
    }
}

fn waits(run: &RebalanceRun, now: Timestamp) -> String {
    wait_left(run, now).map_or(String::new(), |(spent, length)| format!(": {spent} of {length} s"))
}

fn giving(run: &RebalanceRun, node: &NodeName, around: NodeContext<'_>) -> Vec<String> {
    let Some(entry) = &run.entry else { return Vec::new() };
    let goal = around.goals.and_then(|goals| goals.nodes.get(node)).copied();
    let until = goal.map(|goal| format!(" until it holds about {}", count(goal))).unwrap_or_default();
    let rate = entry.conn_evict_rate.map_or_else(|| "clients".to_owned(), |rate| plural(rate, "client"));
    match &entry.stage {
        Stage::WaitHealthCheck => vec![
            format!("EMQX waits for load balancers to notice ({}{})", entry.state, waits(run, around.now)),
            format!("then it loses {rate} a second{until}"),
        ],
        Stage::EvictingConns => {
            let left = run.left.map(|left| format!(", {} to go", plural(left.rounds, "round")));
            vec![format!("loses {rate} a second{until}{}", left.unwrap_or_default())]
        }
        Stage::WaitTakeover => {
            vec![format!("clients take their sessions over ({}{})", entry.state, waits(run, around.now))]
        }
        Stage::EvictingSessions => {
            let left = run.left.map(|left| format!(", {} to go", plural(left.session_rounds, "round")));
            vec![format!("its sessions without a client are moved{}", left.unwrap_or_default())]
        }
        Stage::Prohibiting | Stage::Unknown(_) => vec![format!("EMQX reports {}", entry.state)],
    }
}

fn receiving(node: &NodeName, around: NodeContext<'_>) -> Vec<String> {
    match around.goals.and_then(|goals| goals.nodes.get(node)) {
        Some(goal) => vec![format!("receives what donors lose, up to about {}", count(*goal))],
        None => vec!["receives what donors lose".to_owned()],
    }
}

fn evacuating(evacuation: &Evacuation, row: &NodeRow, upgrading: bool) -> Vec<String> {
    let connections = row.connections.or(evacuation.connections);
    let mut parts = match &evacuation.stage {
        Stage::WaitHealthCheck => {
            vec![format!(
                "refuses new clients; EMQX waits for load balancers to notice ({})",
                evacuation.state
            )]
        }
        Stage::EvictingConns => {
            let left = connections.map(|left| format!(", {} left", count(left))).unwrap_or_default();
            let seconds = seconds_left(evacuation, connections);
            let seconds = seconds.map(|left| format!(", about {}", duration(left))).unwrap_or_default();
            let rate = evacuation.conn_evict_rate.map(|rate| plural(rate, "client"));
            vec![format!("loses {} a second{left}{seconds}", rate.unwrap_or_else(|| "clients".to_owned()))]
        }
        Stage::WaitTakeover => vec![format!("clients take their sessions over ({})", evacuation.state)],
        Stage::EvictingSessions => {
            let left = evacuation.sessions.map(|left| format!(", {} left", count(left))).unwrap_or_default();
            vec![format!("its sessions without a client are moved{left}")]
        }
        Stage::Prohibiting => vec!["empty: refuses clients until the evacuation is stopped".to_owned()],
        Stage::Unknown(state) => vec![format!("EMQX reports {state}")],
    };
    if upgrading {
        parts.push(match evacuation.stage {
            Stage::Prohibiting => "the operator removes its pod next".to_owned(),
            _ => format!("the operator removes its pod when it is `prohibiting` (now {})", evacuation.state),
        });
    }
    parts
}

/// The message for an operation that is still running when the follow ends: what is paused, and how to continue.
pub(crate) fn still_running(world: &World, id: &InstanceId, name: &str) -> (String, String) {
    let still_running = format!("{name} is still running in the cluster");
    let operation = OperationRef::of(name);
    if let OperationRef::Evacuation(node) = &operation {
        let hint = format!(
            "kubectl emqx evacuate watch {node} follows it, kubectl emqx evacuate stop {node} stops it"
        );
        return (still_running, hint);
    }
    let OperationRef::Upgrade(instance) = &operation else {
        let hint = format!(
            "kubectl emqx rebalance watch {name} follows it, kubectl emqx rebalance stop {name} stops it"
        );
        return (still_running, hint);
    };
    let hint = format!(
        "kubectl emqx upgrade watch {instance} follows it, kubectl emqx upgrade undo {instance} turns back"
    );
    let held = world
        .instance(id)
        .map(|instance| (DrainTiming::of(instance).held(), UpgradeTarget::resumed(instance).is_some()));
    if let Some((false, true)) = held {
        let why = format!(
            "the operator removes the empty old pods of {id} by itself; its own delay comes back with `kubectl emqx upgrade watch \
             {instance}`"
        );
        return (why, format!("kubectl emqx upgrade watch {instance}"));
    }
    if let Some((true, _)) = held {
        let why = format!(
            "the old pods of {id} are held: nothing is removed until `kubectl emqx upgrade watch {instance}`, which picks up \
             where it stood"
        );
        return (why, hint);
    }
    (still_running, hint)
}
