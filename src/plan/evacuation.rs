//! The evacuation of EMQX nodes: what it moves and how long it takes, its checks, and (in [`tracker`]) how it
//! ends. Pure: counts in, a forecast out.

use serde::Serialize;

use super::snapshot::Snapshot;
use crate::model::human::{count, plural};
use crate::model::image::EmqxVersion;
use crate::model::{ApiVersion, Instance, InstanceId, NodeName, PodName, Stage, World};
use crate::plan::durations::PlannedPhase;
use crate::plan::finding::{Decision, Finding, Severity};
use emqx_rebalance::eviction::round_robin;
use emqx_rebalance::rules::SESSION_MOVE_MS;

pub use crate::model::evacuation::Settings;

pub mod checks;
mod requested;
pub mod run;
pub mod tracker;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedNode {
    pub node: NodeName,
    pub pod: Option<PodName>,
    /// Live clients.
    pub connections: u64,
    /// Sessions, live or not.
    pub sessions: u64,
}

/// What happens to one evacuated node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEvacuation {
    pub node: NodeName,
    pub pod: Option<PodName>,
    /// Live clients, which are disconnected.
    pub connections: u64,
    /// Sessions, live or not.
    pub sessions: u64,
    /// Seconds until it is empty.
    pub seconds: u64,
}

/// What one of the other nodes receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRecipient {
    pub node: NodeName,
    pub pod: Option<PodName>,
    /// Live clients now.
    pub connections: u64,
    /// Live clients afterwards, if all come back and are spread evenly.
    pub connections_after: u64,
    /// Sessions afterwards.
    pub sessions_after: u64,
    /// The most clients that reconnect to it in one second.
    pub reconnects_per_second: u64,
}

/// What an evacuation would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvacuationPlan {
    /// The cluster.
    pub instance: InstanceId,
    /// What is requested of EMQX.
    pub settings: Settings,
    /// Whether it would start.
    pub decision: Decision,
    /// The reason for the decision, as a sentence.
    pub message: String,
    /// The nodes that are emptied.
    pub nodes: Vec<PlannedEvacuation>,
    /// The nodes that take their clients or sessions.
    pub recipients: Vec<PlannedRecipient>,
    /// The steps of the longest one.
    pub phases: Vec<PlannedPhase>,
    /// Seconds until all of them are empty.
    pub total_seconds: u64,
    /// What the checks found.
    pub findings: Vec<Finding>,
}

/// The nodes that receive the clients and sessions of the evacuated nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// Where clients reconnect to.
    pub clients: Vec<CountedNode>,
    /// Where EMQX moves sessions to.
    pub sessions: Vec<CountedNode>,
}

/// The seconds of each phase of one node: first wait, connections, wait for takeovers, sessions.
fn phases(node: &CountedNode, settings: &Settings, health_check: bool) -> [u64; 4] {
    let offline = node.sessions.saturating_sub(node.connections);
    let rounds = node.connections.div_ceil(settings.conn_evict_rate.max(1));
    let session_rounds = offline.div_ceil(settings.sess_evict_rate.max(1));
    let session_ms =
        session_rounds.saturating_mul(1000).saturating_add(offline.saturating_mul(SESSION_MOVE_MS));
    let wait = if health_check { settings.wait_health_check_seconds } else { 0 };
    [wait, rounds, settings.wait_takeover_seconds, session_ms.div_ceil(1000)]
}

/// What would happen: each second every evacuated node loses `connEvictRate` clients, which reconnect evenly to the
/// recipients; after the wait for takeovers its sessions without a client are moved. `health_check` is whether this EMQX
/// waits for load balancers (4.4 and 5.0 do not).
pub(crate) fn forecast(
    instance: InstanceId,
    nodes: &[CountedNode],
    recipients: &Recipients,
    settings: &Settings,
    health_check: bool,
) -> EvacuationPlan {
    let number = recipients.clients.len();
    let mut arrived = vec![0_u64; number];
    let mut peak = vec![0_u64; number];
    let mut left: Vec<u64> = nodes.iter().map(|node| node.connections).collect();
    let rate = settings.conn_evict_rate.max(1);
    while number > 0 && left.iter().any(|own| *own > 0) {
        // Rounds in which every node loses the same as in the next one are counted together.
        let busy: Vec<u64> = left.iter().copied().filter(|own| *own > 0).collect();
        let same = busy.iter().map(|own| own / rate).min().unwrap_or(0).max(1);
        let round: u64 = left.iter().map(|own| rate.min(*own)).sum();
        // The remainder of a round reconnects to another recipient each second.
        let most = round.div_ceil(number as u64);
        for peak in &mut peak {
            *peak = (*peak).max(most);
        }
        for own in &mut left {
            *own = own.saturating_sub(rate.saturating_mul(same));
        }
    }
    let all: u64 = nodes.iter().map(|node| node.connections).sum();
    if number > 0 {
        for (place, part) in round_robin(u128::from(all), number).enumerate() {
            arrived[place] = u64::try_from(part).unwrap_or(u64::MAX);
        }
    }
    let offline: u64 = nodes.iter().map(|node| node.sessions.saturating_sub(node.connections)).sum();
    let moved: Vec<u64> = match recipients.sessions.len() {
        0 => Vec::new(),
        number => round_robin(u128::from(offline), number)
            .map(|part| u64::try_from(part).unwrap_or(u64::MAX))
            .collect(),
    };
    let mut planned: Vec<PlannedRecipient> = Vec::new();
    let row = |it: &CountedNode| PlannedRecipient {
        node: it.node.clone(),
        pod: it.pod.clone(),
        connections: it.connections,
        connections_after: it.connections,
        sessions_after: it.sessions,
        reconnects_per_second: 0,
    };
    for (place, it) in recipients.clients.iter().enumerate() {
        let mut planned_row = row(it);
        planned_row.connections_after += arrived[place];
        planned_row.sessions_after += arrived[place];
        planned_row.reconnects_per_second = peak[place];
        planned.push(planned_row);
    }
    for (it, sessions) in recipients.sessions.iter().zip(moved) {
        match planned.iter_mut().find(|planned| planned.node == it.node) {
            Some(planned) => planned.sessions_after += sessions,
            None if sessions > 0 => {
                let mut planned_row = row(it);
                planned_row.sessions_after += sessions;
                planned.push(planned_row);
            }
            None => {}
        }
    }
    planned.sort_by(|one, other| one.node.cmp(&other.node));

    let each: Vec<[u64; 4]> = nodes.iter().map(|node| phases(node, settings, health_check)).collect();
    let total = |of: &[u64; 4]| of.iter().sum::<u64>();
    let longest = each.iter().max_by_key(|of| total(of)).copied().unwrap_or_default();
    let evacuated = nodes
        .iter()
        .zip(&each)
        .map(|(node, of)| PlannedEvacuation {
            node: node.node.clone(),
            pod: node.pod.clone(),
            connections: node.connections,
            sessions: node.sessions,
            seconds: total(of),
        })
        .collect();
    let names = ["waitHealthCheck", "evictConnections", "waitTakeover", "evictSessions"];
    let most = planned.iter().map(|it| it.reconnects_per_second).max().unwrap_or(0);
    let message = format!(
        "{} reconnect, at most {} a second on each of {}; {} without a client {} moved",
        plural(all, "client"),
        count(most),
        plural(number as u64, "node"),
        plural(offline, "session"),
        if offline == 1 { "is" } else { "are" },
    );
    EvacuationPlan {
        instance,
        settings: settings.clone(),
        decision: Decision::Go,
        message,
        nodes: evacuated,
        recipients: planned,
        phases: names.iter().zip(longest).map(|(name, seconds)| PlannedPhase { name, seconds }).collect(),
        total_seconds: total(&longest),
        findings: Vec::new(),
    }
}

/// The nodes that would receive the clients and sessions of these nodes: clients reconnect through the
/// Service (to replicants, where there are any), sessions move to the nodes of `migrate_to`, else to all
/// nodes that run. Donors and evacuated nodes receive neither.
pub(crate) fn recipients(
    world: &World,
    snapshot: &Snapshot,
    nodes: &[NodeName],
    settings: &Settings,
) -> Recipients {
    let load = world.broker(&snapshot.instance).eviction_status();
    let busy = |node: &NodeName| {
        nodes.contains(node)
            || load.is_some_and(|load| {
                load.evacuations.iter().any(|it| it.node == *node)
                    || load.purges.contains(node)
                    || load.rebalances.iter().any(|it| it.donors.contains(node))
            })
    };
    let clients = snapshot
        .participants()
        .into_iter()
        .filter_map(|row| counted(world, snapshot, row.node.as_ref()?))
        .filter(|it| !busy(&it.node))
        .collect();
    let all = world.broker(&snapshot.instance).listed();
    let sessions = all
        .iter()
        .filter(|node| node.running && !busy(&node.name))
        .filter(|node| settings.migrate_to.is_empty() || settings.migrate_to.contains(&node.name))
        .filter_map(|node| counted(world, snapshot, &node.name))
        .collect();
    Recipients { clients, sessions }
}

/// A running node with its counts; `None` when it does not run or EMQX does not report its live clients.
pub(crate) fn counted(world: &World, snapshot: &Snapshot, node: &NodeName) -> Option<CountedNode> {
    let found = world.broker(&snapshot.instance).nodes.as_ref()?.value.iter().find(|it| it.name == *node)?;
    let connections = found.connections.filter(|_| found.running)?;
    Some(CountedNode {
        node: node.clone(),
        pod: snapshot.node(node).and_then(|row| row.pod.clone()),
        connections,
        sessions: found.sessions.unwrap_or(connections).max(connections),
    })
}

impl EvacuationPlan {
    /// Adds findings; a blocked one refuses the evacuation.
    pub(crate) fn judge(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        if let Some(blocked) = self.findings.iter().find(|it| it.severity == Severity::Blocked) {
            self.decision = Decision::Refused;
            self.message.clone_from(&blocked.message);
        }
    }
}

/// EMQX waits for load balancers from 5.1 on.
pub(in crate::plan) fn waits_for_health_check(world: &World, instance: &Instance) -> bool {
    if instance.api == ApiVersion::V1beta4 {
        return false;
    }
    let nodes = world.broker(&instance.id).listed();
    !nodes
        .iter()
        .filter_map(|node| EmqxVersion::find(node.version.as_deref()?))
        .any(|version| version < EmqxVersion(5, 1, 0))
}

/// What EMQX does in a stage of an evacuation.
pub(crate) fn doing(stage: &Stage) -> String {
    match stage {
        Stage::WaitHealthCheck => "waiting for load balancers to notice".to_owned(),
        Stage::EvictingConns => "disconnecting clients".to_owned(),
        Stage::WaitTakeover => "waiting for sessions to be taken over".to_owned(),
        Stage::EvictingSessions => "moving sessions without a client".to_owned(),
        Stage::Prohibiting => "empty, refusing connections".to_owned(),
        Stage::Unknown(text) => format!("EMQX reports {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, InstanceKind};

    fn counted(node: &str, connections: u64, sessions: u64) -> CountedNode {
        CountedNode { node: node.into(), pod: None, connections, sessions }
    }

    fn id() -> InstanceId {
        let _ = ApiVersion::V2;
        InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() }
    }

    fn three() -> Recipients {
        let nodes: Vec<CountedNode> = ["a", "b", "d"].map(|node| counted(node, 500, 500)).to_vec();
        Recipients { clients: nodes.clone(), sessions: nodes }
    }

    #[test]
    fn an_evacuation_is_forecast_by_its_rounds_and_waits() {
        let settings = Settings {
            conn_evict_rate: 60,
            sess_evict_rate: 40,
            wait_health_check_seconds: 6,
            wait_takeover_seconds: 8,
            ..Settings::default()
        };
        let plan = forecast(id(), &[counted("c", 500, 650)], &three(), &settings, true);
        let seconds: Vec<u64> = plan.phases.iter().map(|phase| phase.seconds).collect();
        assert_eq!(seconds, [6, 9, 8, 5]);
        assert_eq!((plan.total_seconds, plan.nodes[0].seconds), (28, 28));
        let after: Vec<u64> = plan.recipients.iter().map(|it| it.connections_after).collect();
        assert_eq!(after, [667, 667, 666]);
        assert_eq!(plan.recipients.iter().map(|it| it.sessions_after).sum::<u64>(), 1500 + 650);
        assert!(plan.recipients.iter().all(|it| it.reconnects_per_second == 20), "{:?}", plan.recipients);
    }

    #[test]
    fn several_nodes_are_emptied_at_the_same_time() {
        let settings = Settings { conn_evict_rate: 100, ..Settings::default() };
        let nodes = [counted("a", 1000, 1000), counted("b", 250, 250)];
        let to = [counted("c", 0, 0), counted("d", 0, 0)].to_vec();
        let to = Recipients { clients: to.clone(), sessions: to };
        let plan = forecast(id(), &nodes, &to, &settings, false);
        assert_eq!(plan.phases[0].seconds, 0, "EMQX 4.4 does not wait for load balancers");
        assert_eq!(plan.phases[1].seconds, 10);
        assert_eq!(plan.nodes[1].seconds, 3 + 60);
        let after: Vec<_> =
            plan.recipients.iter().map(|it| (it.connections_after, it.reconnects_per_second)).collect();
        assert_eq!(after, [(625, 100), (625, 100)]);
    }

    #[test]
    fn absurd_counts_are_forecast_at_once() {
        let settings = Settings { conn_evict_rate: 1, sess_evict_rate: 1, ..Settings::default() };
        let plan = forecast(id(), &[counted("a", 10_000_000_000, 10_000_000_001)], &three(), &settings, true);
        assert_eq!(plan.phases[1].seconds, 10_000_000_000);
    }
}
