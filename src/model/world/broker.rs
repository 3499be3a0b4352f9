//! What one cluster's own EMQX has answered.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::health::{SourceHealth, record_health};
use crate::model::cluster::Node;
use crate::model::fact::{BrokerUpdate, Link, Seen};
use crate::model::load::{DonorStart, Evacuation, EvictionStatus, Stage};
use crate::model::name::NodeName;

/// The answers of the EMQX of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerState {
    /// EMQX's list of nodes.
    pub nodes: Option<Seen<Vec<Node>>>,
    /// The operations that EMQX runs.
    pub load: Option<Seen<EvictionStatus>>,
    /// The counts of donors when their running rebalances began.
    pub begun: BTreeMap<NodeName, DonorStart>,
    /// The last period in which every answer of EMQX reported that no rebalance runs: its first and its last
    /// answer.
    pub idle: Option<(Timestamp, Timestamp)>,
    /// Whether EMQX answers, by the list that was requested.
    pub sources: BTreeMap<&'static str, SourceHealth>,
}

impl BrokerState {
    /// The state before the first answer.
    pub(super) const fn new() -> Self {
        Self { nodes: None, load: None, begun: BTreeMap::new(), idle: None, sources: BTreeMap::new() }
    }

    /// Whether EMQX answers a request for this list; `None` where it was not asked.
    pub(crate) fn link(&self, resource: &str) -> Option<&Link> {
        self.sources.get(resource).map(|source| &source.link)
    }

    /// The nodes of its last list; none before the first one.
    pub fn listed(&self) -> &[Node] {
        self.nodes.as_ref().map(|seen| seen.value.as_slice()).unwrap_or_default()
    }

    /// The evacuations of its last list; none before the first one.
    pub(crate) fn evacuations(&self) -> &[Evacuation] {
        self.eviction_status().map(|load| load.evacuations.as_slice()).unwrap_or_default()
    }

    /// The operations of its last list; `None` before the first one.
    pub(crate) fn eviction_status(&self) -> Option<&EvictionStatus> {
        self.load.as_ref().map(|seen| &seen.value)
    }

    /// Whether the last request for this list was answered; also where EMQX was not asked for it.
    fn answers(&self, list: &str) -> bool {
        self.link(list).is_none_or(|link| *link == Link::Up)
    }

    /// Whether the last request for its nodes was answered; also where EMQX was not asked.
    pub(crate) fn answers_nodes(&self) -> bool {
        self.answers("nodes")
    }

    /// Whether the last requests for its nodes and for what it moves were answered; also where EMQX was not asked. While EMQX
    /// does not answer with its nodes, it is not asked for what it moves.
    pub(crate) fn is_up(&self) -> bool {
        self.answers_nodes() && self.answers("load_rebalance")
    }

    /// The last answers are repeated at this time, except those of requests that failed.
    pub(crate) fn repeat(&mut self, at: Timestamp) {
        let (nodes, load) = (self.answers_nodes(), self.answers("load_rebalance"));
        if let Some(nodes) = self.nodes.as_mut().filter(|_| nodes) {
            nodes.at = at;
        }
        if let Some(load) = self.load.as_mut().filter(|_| load) {
            load.at = at;
        }
        for source in self.sources.values_mut().filter(|source| source.link == Link::Up) {
            source.last_seen = Some(at);
        }
    }

    /// Whether its nodes and what it moves were both reported in the last seconds.
    pub(crate) fn is_within(&self, seconds: u64, now: Timestamp) -> bool {
        self.load.as_ref().is_some_and(|seen| seen.is_within(seconds, now))
            && self.nodes.as_ref().is_some_and(|seen| seen.is_within(seconds, now))
    }

    /// Applies one answer; whether anything that is shown has changed.
    pub(super) fn apply(&mut self, update: BrokerUpdate, at: Timestamp) -> bool {
        match update {
            BrokerUpdate::Nodes(nodes) => {
                record_health(&mut self.sources, "nodes", Link::Up, at);
                let different = self.nodes.as_ref().is_none_or(|seen| seen.value != nodes);
                self.nodes = Some(Seen { value: nodes, at });
                different
            }
            BrokerUpdate::Evictions(load) => {
                record_health(&mut self.sources, "load_rebalance", Link::Up, at);
                let different = self.load.as_ref().is_none_or(|seen| seen.value != load);
                if load.rebalances.is_empty() {
                    let before = self.load.as_ref().is_some_and(|seen| seen.value.rebalances.is_empty());
                    let since = self.idle.filter(|_| before).map_or(at, |(since, _)| since);
                    self.idle = Some((since, at));
                }
                self.begun.retain(|donor, start| {
                    load.rebalances.iter().any(|entry| {
                        entry.coordinator == start.coordinator
                            && entry.donors.contains(donor)
                            && entry.stage != Stage::WaitHealthCheck
                    })
                });
                self.load = Some(Seen { value: load, at });
                different
            }
            BrokerUpdate::Began(start) => {
                let different = self.begun.get(&start.donor) != Some(&start);
                self.begun.insert(start.donor.clone(), start);
                different
            }
            BrokerUpdate::Link(resource, link) => record_health(&mut self.sources, resource, link, at),
        }
    }
}
