//! Nodes that stop running while a rebalance runs, with the time and the clients that they held.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::human::{plural, seconds_between};
use crate::model::{Node, NodeName, RunningRebalance, Seen};
use crate::plan::rebalance::messages::{short, utc};
use crate::timing::LIST_SKEW_SECONDS;

/// A node that stopped running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNode {
    /// Its name.
    pub node: NodeName,
    /// What it did in the rebalance: `donor`, `recipient`, `coordinator`.
    pub part: &'static str,
    /// When EMQX first reported that it does not run.
    pub at: Timestamp,
    /// The live clients that it held when it was last seen running.
    pub held: Option<u64>,
    /// Whether only its restart was observed, not the time in which it did not run.
    pub restarted: bool,
}

impl LostNode {
    /// `emqx-core-1 (donor) stopped running at 10:02:03 UTC with 680 clients on it`.
    pub fn sentence(&self, label: &str) -> String {
        let how = if self.restarted { "restarted" } else { "stopped running" };
        let held = self.held.map(|held| format!(" with {} on it", plural(held, "client")));
        format!("{label} ({}) {how} at {}{}", self.part, utc(self.at), held.unwrap_or_default())
    }

    /// The same with the short name of the node.
    pub fn short(&self) -> String {
        self.sentence(short(&self.node))
    }
}

/// A node that runs, as it was last seen.
#[derive(Clone, Debug)]
struct Alive {
    at: Timestamp,
    connections: Option<u64>,
    uptime_millis: Option<u64>,
    /// The time of the first list that did not have it.
    unlisted: Option<Timestamp>,
}

/// Watches the nodes of one rebalance.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    alive: BTreeMap<NodeName, Alive>,
    seen: Option<Timestamp>,
    /// Nodes that stopped running, in the order in which that was observed.
    pub(super) lost: Vec<LostNode>,
}

impl Losses {
    /// Takes in EMQX's list; returns the nodes that no longer run. `ended` is when the entry was first
    /// missing: a node that stops later is no loss of the rebalance.
    pub(super) fn observe(
        &mut self,
        nodes: &Seen<Vec<Node>>,
        entry: &RunningRebalance,
        ended: Option<Timestamp>,
    ) -> Vec<LostNode> {
        if self.seen.is_some_and(|seen| nodes.at <= seen) {
            return Vec::new();
        }
        self.seen = Some(nodes.at);
        let mut fresh = Vec::new();
        let parts = PartsByName::of(entry);
        for node in &nodes.value {
            let Some(part) = parts.part(&node.name) else { continue };
            if node.stopped {
                self.lose(&node.name, part, nodes.at, ended, false, &mut fresh);
            } else if node.running {
                let before = self.alive.get(&node.name);
                let younger = before
                    .and_then(|before| before.uptime_millis.zip(node.uptime_millis))
                    .is_some_and(|(before, now)| now < before);
                if younger {
                    self.lose(&node.name, part, nodes.at, ended, true, &mut fresh);
                }
                let alive = Alive {
                    at: nodes.at,
                    connections: node.connections,
                    uptime_millis: node.uptime_millis,
                    unlisted: None,
                };
                self.alive.insert(node.name.clone(), alive);
            }
        }
        let listed: BTreeSet<&NodeName> = nodes.value.iter().map(|node| &node.name).collect();
        let unlisted: Vec<NodeName> =
            self.alive.keys().filter(|name| !listed.contains(name)).cloned().collect();
        for name in unlisted {
            let Some(alive) = self.alive.get_mut(&name) else { continue };
            // One list without the node may be an error of the node that answered; a second list, or a list
            // after the entry vanished, is not.
            let first = alive.unlisted.replace(alive.unlisted.unwrap_or(nodes.at));
            if let Some(at) = first.or(ended.map(|_| nodes.at)) {
                let Some(part) = parts.part(&name) else { continue };
                self.lose(&name, part, at, ended, false, &mut fresh);
            }
        }
        self.lost.extend(fresh.iter().cloned());
        fresh
    }

    fn lose(
        &mut self,
        node: &NodeName,
        part: &'static str,
        at: Timestamp,
        ended: Option<Timestamp>,
        restarted: bool,
        fresh: &mut Vec<LostNode>,
    ) {
        // A node that did not run when the rebalance was first seen is no loss of the rebalance.
        let Some(alive) = self.alive.remove(node) else { return };
        let after = ended
            .is_some_and(|ended| alive.at > ended && seconds_between(ended, alive.at) >= LIST_SKEW_SECONDS);
        if !after {
            fresh.push(LostNode { node: node.clone(), part, at, held: alive.connections, restarted });
        }
    }
}

/// The participants of a rebalance, to be found by name: with 1000 nodes a search in the lists for each takes longer than the
/// rest of the tracking.
struct PartsByName<'a> {
    coordinator: &'a NodeName,
    donors: BTreeSet<&'a NodeName>,
    recipients: BTreeSet<&'a NodeName>,
}

impl<'a> PartsByName<'a> {
    fn of(entry: &'a RunningRebalance) -> Self {
        let (donors, recipients) = (entry.donors.iter().collect(), entry.recipients.iter().collect());
        Self { coordinator: &entry.coordinator, donors, recipients }
    }

    /// What a node does in the rebalance; `None` for one that takes no part: where replicants are rebalanced, cores do not.
    fn part(&self, node: &NodeName) -> Option<&'static str> {
        let coordinates = self.coordinator == node;
        Some(match (self.donors.contains(node), self.recipients.contains(node)) {
            (true, _) if coordinates => "donor and coordinator",
            (true, _) => "donor",
            (_, true) if coordinates => "recipient and coordinator",
            (_, true) => "recipient",
            _ if coordinates => "coordinator",
            _ => return None,
        })
    }
}
