//! Follows evacuations of single nodes that are part of no upgrade: those that `evacuate start` or another client began.
//!
//! EMQX's entry is all there is. It reaches `prohibiting`, in which the node is empty and refuses clients until the
//! evacuation is stopped; it vanishes when it is stopped or when its node goes down. EMQX restores an evacuation from disk
//! when its node starts again, without `migrate_to`, and with counts of 0 (seen on EMQX 5.8.11).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::durations::DrainTiming;
use super::super::eviction_alarm::EvictionWatch;
use super::super::tracked::{Runs, Tracked as _};
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::{seconds_between, utc};
use crate::model::{Event, EventType, InstanceId, Judgement, NodeName, Verdict, World};
use crate::plan::alarm::Alarm;
use crate::plan::evacuation::run::{EvacuationRun, clients, node};
use crate::timing::{EVACUATION_MISSING_SECONDS, EVACUATION_UNLISTED_SECONDS, NEW_ENTRY_SECONDS};

mod alarm;
mod report;

use super::requested::Requested;

/// Follows evacuations.
#[derive(Clone, Debug, Default)]
pub struct EvacuationTracker {
    /// Those that are running and the last that are over, in the order in which they began.
    pub runs: Runs<EvacuationRun>,
    requested: Runs<Requested>,
    stopped: BTreeSet<NodeName>,
    seen: Option<Timestamp>,
    /// The clients of the cluster since the first of the evacuations that run began.
    watched: Option<EvictionWatch>,
    /// What one answer of EMQX proves without the clients at the start, and whether it was announced.
    proved: Option<Alarm>,
    announced: bool,
}

impl EvacuationTracker {
    /// Remembers the timing that this program requested, before EMQX lists the evacuation.
    pub(crate) fn asked(&mut self, node: NodeName, timing: DrainTiming, now: Timestamp) {
        self.requested.push(Requested::of(node, timing, now));
    }

    /// Remembers that this program stopped an evacuation: its end needs no second answer.
    pub(crate) fn we_stopped(&mut self, node: NodeName) {
        self.stopped.insert(node);
    }

    /// The run of this name (`evacuation/NODE`) that was seen last.
    pub(crate) fn run(&self, name: &str) -> Option<&EvacuationRun> {
        self.runs.named(name)
    }

    /// Observes the current world. `ours` are the nodes of upgrades.
    pub(crate) fn observe(
        &mut self,
        world: &World,
        id: &InstanceId,
        ours: &BTreeSet<NodeName>,
        now: Timestamp,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let broker = world.broker(id);
        self.runs.report_outages(broker, now, &mut events);
        self.take(world, id, ours, now, &mut events);
        self.watch(broker, now, &mut events);
        self.runs.report_without_news(world, broker, now, &mut events);
        self.requested.report_without_news(world, broker, now, &mut events);
        self.runs.forget();
        events
    }

    /// Processes EMQX's answers.
    fn take(
        &mut self,
        world: &World,
        id: &InstanceId,
        ours: &BTreeSet<NodeName>,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let broker = world.broker(id);
        let entries = evacuations_or_copy(broker.eviction_status(), world.instance(id));
        let at = broker.load.as_ref().map_or(now, |load| load.at);
        self.requested.iter_mut().for_each(|request| request.count(broker));
        // The list of nodes is a separate answer: a node that went down is detected without waiting for the
        // entries.
        for run in self.runs.open() {
            run.lost(broker, now, events);
        }
        // Each answer of EMQX is processed once: an entry vanishes with EMQX's next answer, not with the next
        // fact.
        if self.seen.is_some_and(|seen| at <= seen) {
            return;
        }
        let before = self.seen.replace(at);
        let unseen = before.is_none_or(|before| seconds_between(before, at) > NEW_ENTRY_SECONDS);
        for run in self.runs.iter_mut() {
            let here = entries.iter().any(|entry| entry.node == run.entry.node);
            if run.verdict.is_some() {
                run.listed &= here;
            } else if !here {
                let known = self.stopped.contains(&run.entry.node);
                run.absent(broker, known, at, now, events);
            }
        }
        for entry in entries.iter().filter(|entry| !ours.contains(&entry.node)) {
            let same = |run: &EvacuationRun| run.entry.node == entry.node;
            if self.runs.iter().any(|run| same(run) && run.verdict.is_some() && run.listed) {
                continue;
            }
            let open = self.runs.iter().position(|run| run.verdict.is_none() && same(run));
            let place = open.unwrap_or_else(|| {
                let asked = self.requested.iter().position(|request| request.node == entry.node);
                let request = asked.map(|place| self.requested.remove(place));
                if let Some(request) = &request {
                    self.restarted_unlisted(request, (world, id), now, events);
                }
                let timing = request.map(|request| request.timing);
                let lost = self.runs.iter().any(|run| {
                    same(run) && run.verdict.as_ref().is_some_and(|end| end.verdict != Verdict::Stopped)
                });
                let mut run = EvacuationRun::begin(entry, timing, lost, (world, id), now);
                run.joined = (unseen && asked.is_none()).then(|| entry.stage.clone());
                let restored = if run.restored {
                    ", which EMQX restored from disk after the node restarted"
                } else {
                    ""
                };
                let message = format!("evacuation of {}{restored}", run.label);
                events.push(run.event(now, EventType::Created, message));
                self.stopped.remove(&entry.node);
                self.runs.push(run);
                self.runs.len() - 1
            });
            if let Some(run) = self.runs.get_mut(place) {
                run.absorb(entry, broker, open.is_none(), now, events);
            }
        }
        // A drain requests one whose entry may be listed already.
        self.requested.retain(|request| !entries.iter().any(|entry| entry.node == request.node));
        self.never_listed((world, id), at, now, events);
        // An evacuation whose node an upgrade took over later belongs to the upgrade.
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && ours.contains(&run.entry.node))
        {
            let reason = "it continues as a part of the upgrade".to_owned();
            run.record_verdict(Judgement::new(Verdict::Running, reason), now, events);
        }
    }

    /// The source ended.
    pub(crate) fn finish(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for run in self.runs.open() {
            let end = match run.silent_since() {
                Some(since) => {
                    let reason = format!(
                        "EMQX has not answered since {}; when it last did, {} was in {}",
                        utc(since),
                        run.label,
                        run.entry.state
                    );
                    Judgement::new(Verdict::Unknown, reason)
                }
                None => Judgement::new(Verdict::Running, format!("{} is still being evacuated", run.label)),
            };
            run.record_verdict(end, now, &mut events);
        }
        events
    }
}

impl EvacuationTracker {
    /// A node that restarted between the request and EMQX's first list of the evacuation: its clients were disconnected at
    /// once, and EMQX restored the evacuation from disk.
    pub(super) fn restarted_unlisted(
        &mut self,
        request: &Requested,
        (world, id): (&World, &InstanceId),
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        if request.connections == Some(0) || !request.restarted(world.broker(id)) {
            return;
        }
        let clients = clients(request.connections);
        self.end_unlisted(request, (world, id), now, events, |label| {
            let why = format!(
                "{label} restarted before EMQX listed its evacuation, with {clients} connected, which were disconnected at once"
            );
            Judgement::new(Verdict::NodesLost, why)
        });
    }

    /// Adds the run of an evacuation that EMQX never listed, with its end; `end` gets the name of the node.
    fn end_unlisted(
        &mut self,
        request: &Requested,
        cluster: (&World, &InstanceId),
        now: Timestamp,
        events: &mut Vec<Event>,
        end: impl FnOnce(&str) -> Judgement,
    ) {
        let mut run = EvacuationRun::begin(&request.entry(), Some(request.timing), false, cluster, now);
        run.listed = false;
        run.record_verdict(end(&run.label), now, events);
        self.runs.push(run);
    }

    /// Those that EMQX accepted and does not list, although it answers: their node went down before, or nothing is known.
    pub(super) fn never_listed(
        &mut self,
        (world, id): (&World, &InstanceId),
        at: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let broker = world.broker(id);
        let late = |request: &Requested| {
            let down = node(broker, &request.node).is_none_or(|node| !node.running) && broker.nodes.is_some();
            let limit = if down { EVACUATION_MISSING_SECONDS } else { EVACUATION_UNLISTED_SECONDS };
            (broker.load.is_some() && seconds_between(request.since, at) >= limit).then_some(down)
        };
        let mut index = 0;
        while index < self.requested.len() {
            let Some(down) = late(&self.requested[index]) else {
                index += 1;
                continue;
            };
            let request = self.requested.remove(index);
            self.end_unlisted(&request, (world, id), now, events, |label| {
                if down {
                    let why = format!("{label} stopped running before EMQX listed its evacuation");
                    return Judgement::new(Verdict::NodesLost, why);
                }
                let why = format!(
                    "EMQX accepted the evacuation of {label}, and has not listed it for {EVACUATION_UNLISTED_SECONDS} s"
                );
                Judgement::new(Verdict::Unknown, why)
            });
        }
    }
}

#[cfg(test)]
mod tests;
