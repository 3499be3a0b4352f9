//! The limits of an operation that is followed: a warning before a limit is reached, and one decision to stop
//! the operation.
//!
//! Every number is taken from an answer of EMQX that lists the clients of each node. Where one node does not report them,
//! the number of all clients is unknown: then nothing is concluded, and nothing is stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::model::human::{count, duration, plural, seconds_between, utc_from};
use crate::model::limits::Limits;
use crate::model::{BrokerState, EvictionStatus, NodeName, Stage};
use crate::timing::{NO_CLIENTS_SECONDS, RATE_SECONDS, SUSTAINED_SECONDS};

mod before;

pub use before::{LimitForecast, drift, drifted, findings};

/// The measured rate may exceed its limit by this factor: of ten seconds between two answers EMQX evicts in nine to
/// eleven, and one of them may be counted late.
const RATE_TOLERANCE: f64 = 1.25;

/// A limit, by its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// `--abort-if-lost`
    Lost,
    /// `--not-after`
    NotAfter,
    /// `--max-drift`
    Drift,
    /// `--max-reconnect-rate`
    ReconnectRate,
}

/// What follows from a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitOutcome {
    /// The limit is near, or cannot be checked.
    Warning(String),
    /// The operation has to be stopped; the reason. Returned once.
    Stop(String),
}

impl LimitOutcome {
    /// The notice of a follower, and the reason for a stop.
    pub(crate) fn into_notice(self) -> (String, Option<String>) {
        match self {
            Self::Warning(text) => (text, None),
            Self::Stop(why) => (format!("{why}: it is stopped"), Some(why)),
        }
    }
}

/// What a stop reverted, and what it did not revert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopping {
    /// What is verified to be reverted.
    pub undone: Vec<String>,
    /// What remains.
    pub kept: Vec<String>,
}

impl Stopping {
    /// Both as one sentence.
    pub(crate) fn sentence(&self) -> String {
        let of = |label: &str, parts: &[String]| match parts {
            [] => None,
            parts => Some(format!("{label}: {}", parts.join(", "))),
        };
        let parts = [of("undone", &self.undone), of("not undone", &self.kept)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// Facts about the operation that the caller knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperationFacts {
    /// All clients at its start.
    pub start: Option<u64>,
    /// Seconds to its end.
    pub eta_seconds: Option<u64>,
}

/// The clients of the nodes that take no part in the operation.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    before: u64,
    now: u64,
    drift: u64,
}

/// Compares one operation with its limits.
#[derive(Clone, Debug)]
pub struct LimitTracker {
    limits: Limits,
    not_after: Option<Timestamp>,
    start: Option<u64>,
    answered: Option<Timestamp>,
    beyond: BTreeMap<Limit, Timestamp>,
    warned: BTreeSet<Limit>,
    unknown_reported: bool,
    /// The clients of each node, when it was last listed.
    listed: BTreeMap<NodeName, (u64, Timestamp)>,
    /// The clients of each node in the last [`RATE_SECONDS`].
    answers: VecDeque<(Timestamp, BTreeMap<NodeName, u64>)>,
    /// The clients of each node in the first answer.
    first: BTreeMap<NodeName, u64>,
    stopped: bool,
}

impl LimitTracker {
    /// A tracker of these limits; `not_after` is the resolved time.
    pub(crate) fn new(limits: Limits, not_after: Option<Timestamp>) -> Self {
        Self {
            limits,
            not_after,
            start: None,
            answered: None,
            beyond: BTreeMap::new(),
            warned: BTreeSet::new(),
            unknown_reported: false,
            listed: BTreeMap::new(),
            answers: VecDeque::new(),
            first: BTreeMap::new(),
            stopped: false,
        }
    }

    /// Observes the world as it is now.
    pub(crate) fn observe(
        &mut self,
        broker: &BrokerState,
        known: OperationFacts,
        now: Timestamp,
    ) -> Vec<LimitOutcome> {
        let mut outcomes = Vec::new();
        if self.stopped || !self.limits.any() {
            return outcomes;
        }
        let stop =
            self.late(known, now, &mut outcomes).or_else(|| self.counted(broker, known, &mut outcomes));
        if let Some(why) = stop {
            self.stopped = true;
            outcomes.push(LimitOutcome::Stop(why));
        }
        outcomes
    }

    fn late(
        &mut self,
        known: OperationFacts,
        now: Timestamp,
        outcomes: &mut Vec<LimitOutcome>,
    ) -> Option<String> {
        let end = self.not_after?;
        if now >= end {
            return Some(format!("still running at {} (--not-after)", utc_from(end, now)));
        }
        let left = seconds_between(now, end);
        if known.eta_seconds.is_some_and(|eta| eta > left) && self.warned.insert(Limit::NotAfter) {
            outcomes.push(LimitOutcome::Warning(format!(
                "the forecast ends in {}, but --not-after {} is in {}: then it is stopped",
                duration(known.eta_seconds.unwrap_or(0)),
                utc_from(end, now),
                duration(left)
            )));
        }
        None
    }

    /// Checks the limits that depend on counts, once for each answer of EMQX.
    fn counted(
        &mut self,
        broker: &BrokerState,
        known: OperationFacts,
        outcomes: &mut Vec<LimitOutcome>,
    ) -> Option<String> {
        let limits = &self.limits;
        if limits.abort_if_lost.is_none() && limits.max_drift.is_none() && limits.max_reconnect_rate.is_none()
        {
            return None;
        }
        let nodes = broker.nodes.as_ref()?;
        if self.answered.is_some_and(|answered| nodes.at <= answered) {
            return None;
        }
        self.answered = Some(nodes.at);
        let counts = match self.counts(broker, nodes.at) {
            Ok(counts) => counts,
            Err(silent) => {
                // An unknown count is neither a loss nor a recovery.
                self.beyond.clear();
                self.answers.clear();
                if !std::mem::replace(&mut self.unknown_reported, true) {
                    outcomes.push(LimitOutcome::Warning(format!(
                        "limits cannot be checked: the clients of {} are not known",
                        silent.short()
                    )));
                }
                return None;
            }
        };
        self.unknown_reported = false;
        let all: u64 = counts.values().sum();
        let start = known.start.or(self.start).unwrap_or(all);
        self.start = Some(start);
        let flight = flight(broker);
        if self.first.is_empty() {
            self.first.clone_from(&counts);
        }
        let beside = self.beside(broker, &counts);
        self.answers.push_back((nodes.at, counts));
        let at = nodes.at;
        let too_old = |(time, _): &(Timestamp, _)| seconds_between(*time, at) > RATE_SECONDS * 2;
        while self.answers.front().is_some_and(too_old) {
            self.answers.pop_front();
        }
        self.lost(start, all, flight, at, outcomes)
            .or_else(|| self.drifted((start, all), beside, flight, at, outcomes))
            .or_else(|| self.reconnects(at, outcomes))
    }

    /// The clients of each node, or the node that does not report them.
    fn counts(&mut self, broker: &BrokerState, at: Timestamp) -> Result<BTreeMap<NodeName, u64>, NodeName> {
        let nodes = broker.listed();
        let mut counts = BTreeMap::new();
        for node in nodes {
            let clients = if node.stopped { Some(0) } else { node.connections };
            counts.insert(node.name.clone(), clients.ok_or_else(|| node.name.clone())?);
        }
        let recent = |(clients, seen): &(u64, Timestamp)| {
            *clients > 0 && seconds_between(*seen, at) < NO_CLIENTS_SECONDS
        };
        let absent = self.listed.iter().find(|(node, last)| !counts.contains_key(*node) && recent(last));
        if let Some((node, _)) = absent {
            return Err(node.clone());
        }
        self.listed = counts.iter().map(|(node, clients)| (node.clone(), (*clients, at))).collect();
        Ok(counts)
    }

    /// Whether a limit has been exceeded in every answer for [`SUSTAINED_SECONDS`].
    fn sustained(&mut self, limit: Limit, beyond: bool, at: Timestamp) -> Option<u64> {
        if !beyond {
            self.beyond.remove(&limit);
            return None;
        }
        let since = *self.beyond.entry(limit).or_insert(at);
        let seconds = seconds_between(since, at);
        (seconds >= SUSTAINED_SECONDS).then_some(seconds)
    }

    /// For how many seconds a number of clients has exceeded its limit in every answer; warns once above half of it.
    fn exceeded(
        &mut self,
        limit: Limit,
        (clients, most): (u64, u64),
        at: Timestamp,
        warning: impl FnOnce() -> String,
        outcomes: &mut Vec<LimitOutcome>,
    ) -> Option<u64> {
        if clients > most / 2 && self.warned.insert(limit) {
            outcomes.push(LimitOutcome::Warning(warning()));
        }
        self.sustained(limit, clients > most, at)
    }

    fn lost(
        &mut self,
        start: u64,
        all: u64,
        flight: Option<u64>,
        at: Timestamp,
        outcomes: &mut Vec<LimitOutcome>,
    ) -> Option<String> {
        let limit = self.limits.abort_if_lost?;
        let most = limit.clients(start);
        // Clients that were evicted a moment ago may be reconnecting.
        let lost = start.saturating_sub(all).saturating_sub(flight?);
        let warning = || {
            format!(
                "{} missing; more than {} stop it (--abort-if-lost {})",
                is(lost),
                count(most),
                limit.text()
            )
        };
        let seconds = self.exceeded(Limit::Lost, (lost, most), at, warning, outcomes)?;
        Some(format!(
            "{} missing for {} (--abort-if-lost {})",
            have_been(lost),
            duration(seconds),
            limit.text()
        ))
    }

    /// The clients of the nodes that take no part in the rebalances that run, in the first answer and now, and by how much
    /// each of these nodes differs. During an evacuation every other node takes part.
    fn beside(&self, broker: &BrokerState, counts: &BTreeMap<NodeName, u64>) -> Beside {
        let mut beside = Beside::default();
        let Some(load) = broker.eviction_status() else { return beside };
        if load.rebalances.is_empty() || !load.evacuations.is_empty() {
            return beside;
        }
        let takes_part = |node: &NodeName| {
            load.rebalances.iter().any(|it| it.donors.contains(node) || it.recipients.contains(node))
        };
        for (node, before) in self.first.iter().filter(|(node, _)| !takes_part(node)) {
            let now = counts.get(node).copied().unwrap_or(0);
            beside.before += before;
            beside.now += now;
            beside.drift += before.abs_diff(now);
        }
        beside
    }

    fn drifted(
        &mut self,
        (start, all): (u64, u64),
        beside: Beside,
        flight: Option<u64>,
        at: Timestamp,
        outcomes: &mut Vec<LimitOutcome>,
    ) -> Option<String> {
        let limit = self.limits.max_drift?;
        let most = limit.of(start);
        let (before, now) = (start.saturating_sub(beside.before), all.saturating_sub(beside.now));
        let moved = if now > before { now - before } else { (before - now).saturating_sub(flight?) };
        let drift = moved + beside.drift;
        let sentence = || {
            let others = if beside.drift > 0 {
                format!(", {} came or left on nodes that take no part", plural(beside.drift, "client"))
            } else {
                String::new()
            };
            format!(
                "{} connected, {} at the start{others} (--max-drift {})",
                count(all),
                count(start),
                limit.text()
            )
        };
        self.exceeded(Limit::Drift, (drift, most), at, sentence, outcomes)?;
        Some(sentence())
    }

    fn reconnects(&mut self, at: Timestamp, outcomes: &mut Vec<LimitOutcome>) -> Option<String> {
        let most = self.limits.max_reconnect_rate?;
        let old = self.answers.iter().rfind(|(time, _)| seconds_between(*time, at) >= RATE_SECONDS)?;
        let (_, new) = self.answers.back()?;
        let seconds = seconds_between(old.0, at).max(1) as f64;
        // A node that was not listed before has just started: the rate at which its clients connected is
        // unknown.
        let rate = |(node, clients): (&NodeName, &u64)| {
            let before = old.1.get(node)?;
            Some((node.clone(), clients.saturating_sub(*before) as f64 / seconds))
        };
        let (node, rate) = new.iter().filter_map(rate).max_by(|one, other| one.1.total_cmp(&other.1))?;
        let sentence = format!(
            "{} clients per second connected to {} over {} (--max-reconnect-rate {})",
            count(rate.round() as u64),
            node.short(),
            duration(seconds as u64),
            count(most)
        );
        if rate > most as f64 && self.warned.insert(Limit::ReconnectRate) {
            outcomes.push(LimitOutcome::Warning(sentence.clone()));
        }
        self.sustained(Limit::ReconnectRate, rate > most as f64 * RATE_TOLERANCE, at)?;
        Some(sentence)
    }
}

fn is(clients: u64) -> String {
    format!("{} {}", plural(clients, "client"), if clients == 1 { "is" } else { "are" })
}

fn have_been(clients: u64) -> String {
    format!("{} {} been", plural(clients, "client"), if clients == 1 { "has" } else { "have" })
}

/// Clients that EMQX evicts in one second, of all operations: this many may be between two nodes at any moment. `None` where
/// EMQX does not report a rate, or its answer is missing.
pub(crate) fn flight(broker: &BrokerState) -> Option<u64> {
    evicted_per_second(&broker.load.as_ref()?.value)
}

fn evicted_per_second(load: &EvictionStatus) -> Option<u64> {
    let evicts = |stage: &Stage| *stage == Stage::EvictingConns;
    let rebalances = load.rebalances.iter().filter(|entry| evicts(&entry.stage));
    let of_rebalances = rebalances.map(|entry| Some(entry.conn_evict_rate? * entry.donors.len() as u64));
    let evacuations = load.evacuations.iter().filter(|entry| evicts(&entry.stage));
    of_rebalances.chain(evacuations.map(|entry| entry.conn_evict_rate)).sum()
}

#[cfg(test)]
mod tests;
