//! Follows rebalances: observes the world as it changes, and returns the steps of every rebalance up to its
//! verdict.
//!
//! A [`RebalanceRun`] is one rebalance: an object of the operator's, an entry of EMQX's, or (as it should be) both. EMQX's entry
//! reports whether it runs; the object holds what was requested and the operator's status.
//!
//! ```text
//!   object appears ──► pending ──► EMQX's entry appears ──► running ──► entry vanishes ──► verdict
//!        │                                 ▲                   │
//!        └─ Failed, never processed        │                   └─ object reports Failed: a notice, it continues
//!                 └──► verdict      (no object: coordinator/NODE)
//! ```

use jiff::Timestamp;

use self::endings::{
    cause_seen, conclude, cut_short, late_counts, lost, silent, unconfirmed, unseen, verdict_if_final,
};
use self::steps::{counted, forecast, resume};
use super::messages;
use super::progress::{Counts, NodeCounts};
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Event, EventType, InstanceId, Judgement, NodeName, Rebalance, Strategy, Verdict, World,
};
use crate::plan::rebalance::run::{Baseline, RebalanceRun, RunKey};
use crate::plan::tracked::{Runs, Tracked as _};
use crate::timing::STOP_SECONDS;

pub(in crate::plan) mod alarm;
mod endings;
mod entries;
mod objects;
mod planned;
mod report;
mod steps;

/// The time between two refreshes counts for at most this many seconds without an answer: a laptop may have
/// slept in between, or a clock was corrected.
const MAX_REFRESH_GAP: u64 = 10;

/// Follows every rebalance of one cluster.
#[derive(Clone, Debug)]
pub struct RebalanceTracker {
    /// The running rebalances and the last ones that are over, in the order in which they began.
    pub runs: Runs<RebalanceRun>,
    id: InstanceId,
    /// What this process requested from EMQX, by name: no source reports it.
    asked: Vec<(String, Strategy)>,
    /// Objects that this process created and that belong to no run so far.
    made: Vec<Rebalance>,
    /// The uid of the instance, once it was seen.
    instance: Option<String>,
    /// The name of the object that the user requested.
    wanted: Option<String>,
    /// Objects of the past: over when they were first seen and not requested, or over long ago.
    past: Vec<String>,
    began: bool,
    seen_load: Option<Timestamp>,
    seen_nodes: Option<Timestamp>,
    last_observed: Option<Timestamp>,
    /// Seconds of observation in which EMQX did not answer.
    silent: u64,
}

impl RebalanceTracker {
    /// Follows the rebalances of one cluster.
    pub(crate) fn new(id: InstanceId) -> Self {
        Self {
            runs: Runs::default(),
            id,
            asked: Vec::new(),
            made: Vec::new(),
            instance: None,
            wanted: None,
            past: Vec::new(),
            began: false,
            seen_load: None,
            seen_nodes: None,
            last_observed: None,
            silent: 0,
        }
    }

    /// The same; the object of this name is followed even if it is over when it is first seen, because EMQX
    /// may continue.
    #[must_use]
    pub(crate) fn wanting(mut self, name: &str) -> Self {
        self.wanted = Some(name.to_owned());
        self
    }

    /// The run of this name: the running one, else the last.
    pub(crate) fn run(&self, name: &str) -> Option<&RebalanceRun> {
        self.runs.named(name)
    }

    /// The run with this key.
    pub(crate) fn keyed(&self, key: &RunKey) -> Option<&RebalanceRun> {
        self.runs.iter().find(|run| run.key() == *key || run.formerly.contains(key))
    }

    /// The current run, if there is one.
    pub(crate) fn running(&self) -> Option<&RebalanceRun> {
        self.runs.iter().find(|run| run.verdict.is_none())
    }

    /// Remembers that this process stopped it, so that its end is judged as a stop.
    pub(crate) fn we_stopped(&mut self, name: &str) {
        self.runs.iter_mut().filter(|run| run.name == name).for_each(|run| run.stopped_by_us = true);
    }

    /// Follows an object that this process has just created, whichever source reports it first: a list may be
    /// late, refused, or answered from an old cache.
    pub(crate) fn created(&mut self, object: Rebalance) {
        self.made.push(object);
    }

    /// Remembers what EMQX itself is asked for under this name, before its entry is seen.
    pub(crate) fn asked(&mut self, name: String, strategy: Strategy) {
        self.asked.push((name, strategy));
    }

    /// Observes the current world; returns what changed.
    pub(crate) fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let passed =
            self.last_observed.replace(now).map_or(0, |last_observed| seconds_between(last_observed, now));
        self.silent += passed.min(MAX_REFRESH_GAP);
        let broker = world.broker(&self.id);
        self.runs.report_outages(broker, now, &mut events);
        self.absorb_ours(world, now, &mut events);
        self.absorb_objects(world, now, &mut events);
        let load = broker.load.as_ref().filter(|load| self.seen_load.is_none_or(|seen| load.at > seen));
        let nodes = broker.nodes.as_ref().filter(|nodes| self.seen_nodes.is_none_or(|seen| nodes.at > seen));
        let counted = nodes.is_some();
        self.seen_nodes = nodes.map(|nodes| nodes.at).or(self.seen_nodes);
        self.absorb_counts(broker, now, &mut events);
        if let Some(load) = load {
            self.silent = 0;
            if self.absorb_load(load, world, now, &mut events) {
                self.seen_load = Some(load.at);
            }
        }
        self.absorb_losses(broker, now, &mut events);
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none() && run.verdict.is_none()) {
            alarm::observe(run, world, now, &mut events);
        }
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none()) {
            if let Some(entry) = run.entry.clone() {
                run.take_starts(broker, &entry);
            }
        }
        self.progress(counted, now, &mut events);
        self.judge(world, now, &mut events);
        self.deleted_instance(world, now, &mut events);
        self.runs.iter_mut().for_each(|run| run.observed = now);
        self.runs.report_without_news(world, broker, now, &mut events);
        self.forget(world);
        self.began = true;
        events
    }

    /// Removes runs that ended long ago. Their objects are past while they still exist.
    fn forget(&mut self, world: &World) {
        let old = self.runs.forget();
        self.past.extend(old.into_iter().filter_map(|run| Some(run.object?.uid)));
        if !self.past.is_empty() {
            self.past.retain(|uid| world.kubernetes.rebalances.values().any(|seen| seen.value.uid == *uid));
        }
    }

    /// The source ended: returns the last events of the runs without a verdict.
    pub(crate) fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for run in self.runs.open() {
            if run.ended.is_some() {
                let open = unconfirmed(run, now).or_else(|| cut_short(run, now));
                let verdict = open.unwrap_or_else(|| conclude(run, now));
                run.record_verdict(verdict, now, &mut events);
            } else if let Some(unknown) = silent(run, now) {
                run.record_verdict(unknown, now, &mut events);
            } else if run.entry.is_some() {
                let verdict = run.standing();
                let reason = match verdict {
                    Verdict::StillRunning => {
                        format!("{}; EMQX continues", messages::contradiction(run.object.as_ref()))
                    }
                    _ => "it is still running".to_owned(),
                };
                run.record_verdict(Judgement::new(verdict, reason), now, &mut events);
            } else {
                let verdict = unseen(run, world.broker(&self.id).load.is_some());
                run.record_verdict(verdict, now, &mut events);
            }
        }
        events
    }

    fn concerns(&self, object: &Rebalance) -> bool {
        object.is_of(&self.id)
    }

    /// Reports each node that stopped running, once.
    fn absorb_losses(&mut self, broker: &BrokerState, now: Timestamp, events: &mut Vec<Event>) {
        let Some(nodes) = &broker.nodes else { return };
        for run in self.runs.iter_mut().filter(|run| run.is_open()) {
            let Some(entry) = &run.entry else { continue };
            for lost in run.losses.observe(nodes, entry, run.ended, &run.pods) {
                events.push(run.event(now, EventType::Notice, lost.sentence()));
            }
            if run.ended.is_some() && !run.confirmed {
                run.confirmed = cause_seen(run, now);
            }
        }
    }

    /// Ends the runs of an instance that was deleted.
    fn deleted_instance(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        let uid = world.instance(&self.id).map(|instance| instance.uid.clone());
        let known = std::mem::replace(&mut self.instance, uid);
        if known.is_none() || known == self.instance {
            return;
        }
        for run in self.runs.iter_mut().filter(|run| run.is_open()) {
            // The nodes and their clients were deleted with the instance.
            (run.left, run.percent) = (None, 0);
            run.entry = None;
            run.counts = Counts::default();
            let deleted = Judgement::new(Verdict::Failed, "the instance was deleted".to_owned());
            run.record_verdict(deleted, now, events);
        }
    }

    fn absorb_counts(&mut self, broker: &BrokerState, now: Timestamp, events: &mut Vec<Event>) {
        let Some(nodes) = counted(broker, now) else { return };
        let counts = Counts::of(&nodes.value);
        let newer = |run: &&mut RebalanceRun| run.counted.is_none_or(|counted| nodes.at >= counted);
        for run in self.runs.iter_mut().filter(|run| run.is_open()).filter(newer) {
            run.counted = Some(nodes.at);
            if run.counts != counts {
                run.counts = counts.clone();
                run.moved = now;
                resume(run, now, events);
            }
            if let Some(ended) = run.ended {
                if late_counts(run, ended) && nodes.at >= ended {
                    // EMQX answers slowly: the counts that were known when the entry was first missing are
                    // not those of the end.
                    run.at_end = counts.clone();
                    run.end_counted = Some(nodes.at);
                } else {
                    land(&mut run.at_end, &counts, run.start.as_ref());
                }
            }
            match &mut run.baseline {
                Baseline::Open(before) if run.start.as_ref() != Some(&counts) => {
                    *before = run.start.replace(counts.clone());
                }
                // EMQX evicts nothing while it waits: fewer clients than a moment ago mean that clients are
                // missing.
                Baseline::Until(until) if nodes.at <= *until && !fewer(&counts, run.start.as_ref()) => {
                    run.start = Some(counts.clone());
                }
                _ => {}
            }
            // No counts were known when the entry appeared.
            let late = run.recounts && run.entry.is_some() && run.ended.is_none();
            if let Some(since) = late.then(|| run.count_from(Some(nodes), now)).flatten() {
                events.push(run.event(now, EventType::Notice, messages::counted_since(since)));
            }
        }
    }

    fn progress(&mut self, counted: bool, now: Timestamp, events: &mut Vec<Event>) {
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && run.ended.is_none()) {
            if run.entry.is_none() {
                continue;
            }
            forecast(run, now);
            // The operator calls EMQX at once or not at all.
            let asked = run.deleted.or(run.object.as_ref().and_then(|object| object.deleting));
            if asked.is_some_and(|asked| seconds_between(asked, now) >= STOP_SECONDS)
                && !run.deletion_reported
            {
                run.deletion_reported = true;
                let message = format!("the deletion of {} was requested, but EMQX continues", run.name);
                events.push(run.event(now, EventType::Notice, message));
            }
            if counted && run.moved == now {
                let message = messages::progress(run);
                events.push(run.event(now, EventType::Progress, message));
            }
        }
    }

    fn judge(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        let running: Vec<String> = self
            .runs
            .iter()
            .filter(|run| run.entry.is_some() && run.verdict.is_none() && run.ended.is_none())
            .map(|run| run.name.clone())
            .collect();
        let broker = world.broker(&self.id);
        let last_seen = broker.load.as_ref().map(|load| load.at);
        let busy = broker
            .load
            .as_ref()
            .is_some_and(|load| !load.value.evacuations.is_empty() || !load.value.rebalances.is_empty());
        for run in self.runs.open() {
            let others = busy || running.iter().any(|name| *name != run.name);
            if let Some(verdict) = lost(run, self.silent) {
                run.record_verdict(verdict, now, events);
                continue;
            }
            if let Some(verdict) = verdict_if_final(run, last_seen, others, world, now) {
                run.record_verdict(verdict, now, events);
            }
        }
    }
}

/// Uses later counts only where clients came back: a node that lost clients lost them for another reason,
/// and clients beyond the number at the start are other clients.
fn land(at_end: &mut Counts, now: &Counts, start: Option<&Counts>) {
    let fell = |(node, before): (&NodeName, &NodeCounts)| {
        let now = now.connections(node);
        before.connections.is_some_and(|before| now.is_some_and(|now| now + 1 + before / 50 < before))
    };
    let totals = start.and_then(|start| start.all_connections().zip(now.connections_since(start)));
    let others = totals.is_some_and(|(before, now)| now > before + before / 50 + 1);
    if !others && !at_end.0.iter().any(fell) {
        *at_end = now.clone();
    }
}

/// Whether there are fewer connections than these, as far as both are known.
fn fewer(now: &Counts, before: Option<&Counts>) -> bool {
    before
        .and_then(|before| before.all_connections().zip(now.connections_since(before)))
        .is_some_and(|(before, now)| now < before)
}

#[cfg(test)]
mod tests;
