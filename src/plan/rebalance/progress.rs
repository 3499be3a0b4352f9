//! How far a running rebalance is, and what remains of it: the forecast again, from the counts of this
//! moment.

use std::collections::BTreeMap;

use crate::model::{Node, NodeName, Stage, Strategy};
use crate::plan::rebalance::plan::thresholds;
use emqx_rebalance::eviction::{Landing, Loop, run};
use emqx_rebalance::rules::{SESSION_MOVE_MS, mean};

/// What one node holds. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Live clients.
    pub connections: Option<u64>,
    /// With or without a client.
    pub sessions: Option<u64>,
}

impl NodeCounts {
    /// Counts that are known.
    pub(crate) fn known(connections: u64, sessions: u64) -> Self {
        Self { connections: Some(connections), sessions: Some(sessions) }
    }
}

/// Connections and sessions of every node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<NodeName, NodeCounts>);

impl Counts {
    /// The counts of these nodes. A stopped node holds nothing and is left out, like a node that EMQX no
    /// longer lists.
    pub(crate) fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let counts = |node: &Node| NodeCounts { connections: node.connections, sessions: node.sessions };
        let running = nodes.into_iter().filter(|node| !node.stopped);
        Self(running.map(|node| (node.name.clone(), counts(node))).collect())
    }

    /// The live clients of one node.
    pub(crate) fn connections(&self, node: &NodeName) -> Option<u64> {
        self.0.get(node).and_then(|counts| counts.connections)
    }

    /// The sessions of one node.
    pub(crate) fn sessions(&self, node: &NodeName) -> Option<u64> {
        self.0.get(node).and_then(|counts| counts.sessions)
    }

    /// The live clients of a node that holds this.
    pub(crate) fn connections_of(held: NodeCounts) -> Option<u64> {
        held.connections
    }

    /// The sessions without a client of a node that holds this.
    pub(crate) fn offline_of(NodeCounts { connections, sessions }: NodeCounts) -> Option<u64> {
        Some(sessions?.saturating_sub(connections?))
    }

    /// All live clients of the nodes whose count is known.
    pub(crate) fn all_connections(&self) -> Option<u64> {
        self.0
            .values()
            .filter_map(|counts| counts.connections)
            .fold(None, |sum, count| Some(sum.unwrap_or(0) + count))
    }

    /// All live clients, to be compared with earlier counts; `None` where a node that was counted then runs and does not
    /// report its clients: those clients are not missing.
    pub(crate) fn connections_since(&self, before: &Self) -> Option<u64> {
        if self.hides(before, Self::connections) { None } else { self.all_connections() }
    }

    /// The same for all sessions.
    pub(crate) fn sessions_since(&self, before: &Self) -> Option<u64> {
        if self.hides(before, Self::sessions) { None } else { self.all_sessions() }
    }

    /// Whether a node that runs does not report what it reported before.
    fn hides(&self, before: &Self, of: fn(&Self, &NodeName) -> Option<u64>) -> bool {
        self.0.keys().any(|node| of(self, node).is_none() && of(before, node).is_some())
    }

    /// All live clients; `None` where one node does not report them.
    pub(crate) fn known_connections(&self) -> Option<u64> {
        if self.0.is_empty() { None } else { self.0.values().map(|counts| counts.connections).sum() }
    }

    /// All sessions of the nodes whose count is known.
    pub(crate) fn all_sessions(&self) -> Option<u64> {
        self.0
            .values()
            .filter_map(|counts| counts.sessions)
            .fold(None, |sum, count| Some(sum.unwrap_or(0) + count))
    }

    /// What each of these nodes holds, by `of`; nodes that do not run are left out. `None` when the count of one is not
    /// known, or nothing is known at all.
    pub(crate) fn each(
        &self,
        nodes: &[NodeName],
        of: impl Fn(NodeCounts) -> Option<u64>,
    ) -> Option<Vec<u64>> {
        if self.0.is_empty() {
            return None;
        }
        nodes.iter().filter_map(|node| self.0.get(node)).map(|held| of(*held)).collect()
    }

    /// The means of the donors and of the recipients that run, by `of`; `None` where no node of one side runs.
    pub(crate) fn means(
        &self,
        donors: &[NodeName],
        recipients: &[NodeName],
        of: impl Fn(NodeCounts) -> Option<u64> + Copy,
    ) -> Option<(f64, f64)> {
        let side = |nodes| self.each(nodes, of).filter(|counts| !counts.is_empty()).map(mean);
        Some((side(donors)?, side(recipients)?))
    }
}

/// What remains of a rebalance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Rounds that will still evict connections.
    pub rounds: u64,
    /// Rounds that will still move sessions.
    pub session_rounds: u64,
    /// Seconds to the end.
    pub seconds: u64,
}

/// What is left, from these counts. `in_stage` are the seconds spent in the present stage, as far as they are known.
/// `None` when the counts are not known or the stage is not one that EMQX documents.
pub(crate) fn remaining(
    stage: &Stage,
    in_stage: u64,
    strategy: &Strategy,
    counts: &Counts,
    donors: &[NodeName],
    recipients: &[NodeName],
) -> Option<Remaining> {
    let order = stage.order().filter(|order| *order <= 3)?;
    let (conn, sess) = thresholds(strategy);
    let rounds = if order <= 1 {
        let outcome = run(&Loop {
            donors: &counts.each(donors, Counts::connections_of)?,
            recipients: &counts.each(recipients, Counts::connections_of)?,
            rate: strategy.conn_evict_rate,
            threshold: conn,
            delay: 0,
            landing: Landing::Even,
            donors_open_after_ms: 0,
        });
        outcome.rounds
    } else {
        0
    };
    // Sessions are the smaller part of the forecast: unknown sessions are left out.
    let offline = |nodes: &[NodeName]| counts.each(nodes, Counts::offline_of);
    let (session_rounds, session_ms) = match (offline(donors), offline(recipients)) {
        (Some(donors), Some(recipients)) => {
            let outcome = run(&Loop {
                donors: &donors,
                recipients: &recipients,
                rate: strategy.sess_evict_rate,
                threshold: sess,
                delay: 0,
                landing: Landing::Even,
                donors_open_after_ms: 0,
            });
            (outcome.rounds, outcome.session_ms(SESSION_MOVE_MS))
        }
        _ => (0, 0),
    };
    let wait = |of: &Stage, length: u64| stage.wait_left(of, length, in_stage);
    let seconds = wait(&Stage::WaitHealthCheck, strategy.wait_health_check_seconds)
        .saturating_add(rounds)
        .saturating_add(wait(&Stage::WaitTakeover, strategy.wait_takeover_seconds))
        .saturating_add(u64::try_from(session_ms.div_ceil(1000)).unwrap_or(u64::MAX));
    Some(Remaining { rounds, session_rounds, seconds })
}

/// Clients fewer than at the start; `None` when either is not known.
pub(crate) fn lost_clients(start: Option<&Counts>, now: &Counts) -> Option<u64> {
    let start = start?;
    Some(start.all_connections()?.saturating_sub(now.connections_since(start)?))
}

/// Whether clients are missing.
pub(crate) fn missing(start: Option<&Counts>, now: &Counts) -> bool {
    let Some(start) = start else { return false };
    match (start.all_connections(), now.connections_since(start)) {
        (Some(before), Some(after)) => (after as f64) < before as f64 * PRESENT,
        _ => false,
    }
}

/// The number of clients that recipients gained since the start.
pub(crate) fn arrived(start: Option<&Counts>, now: &Counts, recipients: &[NodeName]) -> Option<u64> {
    let sum = |counts: &Counts| Some(counts.each(recipients, Counts::connections_of)?.iter().sum::<u64>());
    Some(sum(now)?.saturating_sub(sum(start?)?))
}

/// The number of clients that donors lost since the start.
pub(crate) fn gone(start: Option<&Counts>, now: &Counts, donors: &[NodeName]) -> Option<u64> {
    let sum = |counts: &Counts| Some(counts.each(donors, Counts::connections_of)?.iter().sum::<u64>());
    Some(sum(start?)?.saturating_sub(sum(now)?))
}

/// The number of sessions without a client that recipients gained since the start.
pub(crate) fn arrived_sessions(start: Option<&Counts>, now: &Counts, recipients: &[NodeName]) -> Option<u64> {
    let sum = |counts: &Counts| Some(counts.each(recipients, Counts::offline_of)?.iter().sum::<u64>());
    Some(sum(now)?.saturating_sub(sum(start?)?))
}

/// Live clients below this share of those at the start count as missing.
pub(crate) const PRESENT: f64 = 0.98;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        Counts(
            of.iter()
                .map(|(node, count)| (NodeName::from(*node), NodeCounts::known(*count, *count)))
                .collect(),
        )
    }

    fn strategy() -> Strategy {
        Strategy {
            conn_evict_rate: 10,
            wait_health_check_seconds: 10,
            wait_takeover_seconds: 10,
            abs_conn_threshold: 100,
            ..Strategy::default()
        }
    }

    #[test]
    fn what_is_left_shrinks_stage_by_stage() {
        let (donors, recipients) =
            ([NodeName::from("a"), NodeName::from("b"), NodeName::from("c")], [NodeName::from("d")]);
        let start = counts(&[("a", 3333), ("b", 3333), ("c", 3334), ("d", 0)]);
        let end = counts(&[("a", 2553), ("b", 2553), ("c", 2554), ("d", 2340)]);
        let left = |stage: &Stage, spent, counts: &Counts| {
            remaining(stage, spent, &strategy(), counts, &donors, &recipients).map(|left| left.seconds)
        };
        assert_eq!(left(&Stage::WaitHealthCheck, 4, &start), Some(6 + 78 + 10));
        assert_eq!(left(&Stage::EvictingConns, 0, &start), Some(78 + 10));
        assert_eq!(left(&Stage::EvictingConns, 78, &end), Some(10));
        assert_eq!(left(&Stage::WaitTakeover, 7, &end), Some(3));
        assert_eq!(left(&Stage::Unknown("later".into()), 0, &end), None);
    }

    #[test]
    fn means_are_over_the_nodes_that_run() {
        let nodes = [
            Node { name: "a".into(), running: true, connections: Some(680), ..Node::default() },
            Node { name: "b".into(), stopped: true, ..Node::default() },
            Node { name: "d".into(), running: true, connections: Some(1040), ..Node::default() },
        ];
        let counts = Counts::of(&nodes);
        let (donors, recipients) = (["a", "b", "c"].map(NodeName::from), ["d"].map(NodeName::from));
        assert_eq!(counts.means(&donors, &recipients, Counts::connections_of), Some((680.0, 1040.0)));
        assert_eq!(counts.means(&donors[1..], &recipients, Counts::connections_of), None);
        assert_eq!(counts.each(&donors, Counts::connections_of), Some(vec![680]));
    }
}
