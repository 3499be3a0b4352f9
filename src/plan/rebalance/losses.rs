//! Nodes that stop running while a rebalance runs, with the time and the clients that they held.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::human::{plural, seconds_between, utc};
use crate::model::{Node, NodeName, PodName, RunningRebalance, Seen};
use crate::timing::{END_GAP_SECONDS, LIST_SKEW_SECONDS};

/// A node that stopped running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNode {
    /// Its pod, or the short name of the node.
    pub label: String,
    /// What it did in the rebalance: `donor`, `recipient`, `coordinator`.
    pub part: &'static str,
    /// When it was last seen running.
    pub last_seen: Timestamp,
    /// When EMQX first reported that it does not run.
    pub at: Timestamp,
    /// The live clients that it held when it was last seen running.
    pub held: Option<u64>,
    /// Whether only its restart was observed, not the time in which it did not run.
    pub restarted: bool,
}

impl LostNode {
    /// Whether EMQX did not report its nodes around the time at which it stopped, so that this time is not known.
    pub(super) fn was_unobserved(&self) -> bool {
        seconds_between(self.last_seen, self.at) > END_GAP_SECONDS
    }

    /// `emqx-core-1 (donor) stopped running at 10:02:03 UTC with 680 clients on it`.
    pub(crate) fn sentence(&self) -> String {
        let how = if self.restarted { "restarted" } else { "stopped running" };
        let who = format!("{} ({}) {how}", self.label, self.part);
        let held = self.held.map(|held| format!(" with {} on it", plural(held, "client")));
        let held = held.unwrap_or_default();
        if !self.was_unobserved() {
            return format!("{who} at {}{held}", utc(self.at));
        }
        let seen = utc(self.last_seen);
        let held = if held.is_empty() { held } else { format!("{held} at {seen}") };
        format!("{who} between {seen} and {}{held}", utc(self.at))
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
    /// Processes EMQX's list; returns the nodes that no longer run. `ended` is when the entry was first
    /// missing: a node that stops later is no loss of the rebalance. `pods` has the pods of nodes that are named by an address.
    pub(super) fn observe(
        &mut self,
        nodes: &Seen<Vec<Node>>,
        entry: &RunningRebalance,
        ended: Option<Timestamp>,
        pods: &BTreeMap<NodeName, PodName>,
    ) -> Vec<LostNode> {
        if self.seen.is_some_and(|seen| nodes.at <= seen) {
            return Vec::new();
        }
        self.seen = Some(nodes.at);
        let mut stops = Vec::new();
        let parts = PartsByName::of(entry);
        for node in nodes.value.iter().filter(|node| parts.part(&node.name).is_some()) {
            if node.stopped {
                stops.push((node.name.clone(), nodes.at, false, self.alive.remove(&node.name)));
            } else if node.running {
                let alive = Alive {
                    at: nodes.at,
                    connections: node.connections,
                    uptime_millis: node.uptime_millis,
                    unlisted: None,
                };
                let before = self.alive.insert(node.name.clone(), alive);
                let times = before.as_ref().and_then(|before| before.uptime_millis.zip(node.uptime_millis));
                if times.is_some_and(|(before, now)| now < before) {
                    stops.push((node.name.clone(), nodes.at, true, before));
                }
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
                let before = self.alive.remove(&name);
                stops.push((name, at, false, before));
            }
        }
        let lost = stops.into_iter().filter_map(|(node, at, restarted, before)| {
            // A node that did not run when the rebalance was first seen is no loss of the rebalance.
            let before = before?;
            let after = ended.is_some_and(|ended| {
                before.at > ended && seconds_between(ended, before.at) >= LIST_SKEW_SECONDS
            });
            let label = pods.get(&node).map_or_else(|| node.short(), PodName::as_str).to_owned();
            let part = parts.part(&node).filter(|_| !after)?;
            Some(LostNode { label, part, last_seen: before.at, at, held: before.connections, restarted })
        });
        let lost: Vec<LostNode> = lost.collect();
        self.lost.extend(lost.iter().cloned());
        lost
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
