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

use self::steps::{
    absorb_object, attach_object, begin, complete, continues, counted, enter, forecast, reopen, resume,
    same_nodes,
};
use super::messages;
use super::ownership::{self, outlived, owns};
use super::progress::{Counts, NodeCounts};
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Event, EventType, EvictionStatus, InstanceId, Judgement, Link, NodeName, Phase, Rebalance,
    RunningRebalance, Seen, Source, Strategy, Verdict, World,
};
use crate::plan::rebalance::run::{Baseline, RebalanceRun, RunKey};
use crate::plan::tracked::{Runs, Tracked as _};
use crate::timing::{
    CONFIRM_SECONDS, CREATED_UNLISTED_SECONDS, END_GAP_SECONDS, NEW_ENTRY_SECONDS, OPERATOR_STATUS_SECONDS,
    PENDING_SECONDS, STOP_SECONDS,
};

pub(in crate::plan) mod alarm;
mod endings;
mod planned;
mod report;
mod steps;

use endings::{
    cause_seen, conclude, cut_short, late_counts, lost, outage, silent, stopped, unconfirmed, unseen,
    verdict_if_final,
};

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

    fn absorb_objects(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        for Seen { value: object, .. } in world.kubernetes.rebalances.values() {
            if !self.concerns(object) || self.past.contains(&object.uid) {
                continue;
            }
            let of = |run: &RebalanceRun| run.object.as_ref().is_some_and(|it| it.uid == object.uid);
            self.join(object, now);
            if let Some(run) = self.runs.iter_mut().find(|run| of(run)) {
                absorb_object(run, object, now, events);
                continue;
            }
            // EMQX's entry may arrive before its object does.
            let owns = |run: &RebalanceRun| {
                run.object.is_none()
                    && run.is_open()
                    && run.ended.is_none()
                    && run.entry.as_ref().is_some_and(|entry| owns(object, entry, now))
                    && !run.direct
            };
            if let Some(run) = self.runs.iter_mut().find(|run| owns(run)) {
                attach_object(run, object);
                absorb_object(run, object, now, events);
                continue;
            }
            let over = matches!(object.phase, Phase::Completed | Phase::Failed);
            if over && !self.began && self.wanted.as_ref() != Some(&object.name) {
                self.past.push(object.uid.clone());
                continue;
            }
            let run = begin(Some(object), None, (world, &self.id), now, self.began);
            // An object that existed before this process began was not created now: it has no such event.
            if self.began {
                let message = messages::created(&run.name, run.object.as_ref(), false);
                events.push(run.event(now, EventType::Created, message));
            }
            self.runs.push(run);
            if let Some(run) = self.runs.last_mut() {
                absorb_object(run, object, now, events);
            }
        }
        let listed = world.kubernetes.sources.get(&(Source::Kubernetes, "rebalances"));
        let listed = listed.filter(|source| source.link == Link::Up).and_then(|source| source.last_seen);
        for run in self.runs.iter_mut().filter(|run| !run.object_gone) {
            // A list that was requested before the creation, or comes from an old cache, does not have the
            // object.
            let late =
                listed.is_none_or(|listed| seconds_between(run.began, listed) < CREATED_UNLISTED_SECONDS);
            if run.unlisted && late {
                continue;
            }
            let Some(object) = &run.object else { continue };
            let key = (object.namespace.clone(), object.name.clone());
            let here = world.kubernetes.rebalances.get(&key).is_some_and(|seen| seen.value.uid == object.uid);
            if !here {
                run.object_gone = true;
                if let Some(last) =
                    world.kubernetes.departed.iter().rfind(|seen| seen.value.uid == object.uid)
                {
                    let deleting = last.value.deleting.unwrap_or(last.at);
                    if last.value.phase == Phase::Processing && run.deleted.is_none() {
                        run.deleted = Some(deleting.max(run.began));
                    }
                    run.object = Some(last.value.clone());
                }
            }
        }
    }

    /// For an operator that writes its status late: an entry that seemed to have no object belongs to this
    /// object, if the object's own run has seen no entry.
    fn join(&mut self, object: &Rebalance, now: Timestamp) {
        let of = |run: &RebalanceRun| run.object.as_ref().is_some_and(|it| it.uid == object.uid);
        let idle = |run: &RebalanceRun| of(run) && run.entry.is_none() && run.verdict.is_none();
        let Some(own) = self.runs.iter().position(idle) else { return };
        // The object may be observed later than EMQX's entry: its creation time is compared.
        let since = object.created.unwrap_or(now).min(self.runs[own].began);
        // Another copy of EMQX's entries since the last version: the operator follows it now, whatever the age of the
        // object is by the clock of the API server, which may have jumped before this process began.
        let before = self.runs[own].object.as_ref();
        let copied = before.is_some_and(|before| before.states != object.states && ownership::copied(object));
        let started = |run: &RebalanceRun| {
            let owned = || run.entry.as_ref().is_some_and(|entry| owns(object, entry, now));
            let later = run.began >= since && seconds_between(since, run.began) <= OPERATOR_STATUS_SECONDS;
            let later = later || copied;
            run.object.is_none() && !run.direct && run.verdict.is_none() && later && owned()
        };
        let Some(other) = self.runs.iter().position(started) else { return };
        let (own_run, run) = (self.runs[own].clone(), &mut self.runs[other]);
        // A follower of one of the two follows both from now on.
        run.formerly.extend([run.key(), own_run.key()]);
        run.name.clone_from(&own_run.name);
        run.object = own_run.object;
        if seconds_between(since, run.began) <= OPERATOR_STATUS_SECONDS {
            run.begin_known = own_run.begin_known;
            run.began = run.began.min(own_run.began);
            attach_object(run, object);
        } else {
            // The clock of the API server is no measure of how long it has run.
            run.strategy = Some(object.strategy.clone());
        }
        self.runs.remove(own);
    }

    /// Follows what this process created or started, under the name that was printed.
    fn absorb_ours(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        for object in std::mem::take(&mut self.made) {
            let known =
                self.runs.iter().any(|run| run.object.as_ref().is_some_and(|it| it.uid == object.uid));
            if known {
                continue;
            }
            let mut run = begin(Some(&object), None, (world, &self.id), now, true);
            run.unlisted = true;
            events.push(run.event(
                now,
                EventType::Created,
                messages::created(&run.name, Some(&object), false),
            ));
            self.runs.push(run);
        }
        for (name, strategy) in std::mem::take(&mut self.asked) {
            // The entry may have been observed before EMQX answered the request to start.
            if let Some(run) = self.runs.iter_mut().find(|run| run.name == name && run.verdict.is_none()) {
                run.strategy.get_or_insert(strategy);
                continue;
            }
            let mut run = begin(None, None, (world, &self.id), now, true);
            (run.name, run.strategy, run.direct) = (name, Some(strategy), true);
            events.push(run.event(now, EventType::Created, messages::created(&run.name, None, true)));
            self.runs.push(run);
        }
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

    /// Whether the owner of each entry is known; if not, the same entries are examined again.
    fn absorb_load(
        &mut self,
        load: &Seen<EvictionStatus>,
        world: &World,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> bool {
        let mut is_judged = true;
        let broker = world.broker(&self.id);
        let mut fresh: Vec<&RunningRebalance> = load.value.rebalances.iter().collect();
        for run in self.runs.iter_mut().filter(|run| run.is_open() && !run.confirmed) {
            reopen(run, now, events);
            let Some(old) = &run.entry else { continue };
            let same = fresh.iter().position(|entry| continues(old, entry));
            let earlier = fresh.iter().position(|entry| same_nodes(old, entry));
            let backwards = earlier.filter(|_| same.is_none() && run.ended.is_none());
            if let Some(place) = backwards.filter(|_| stopped(run, now).is_none())
                && *run.backwards.get_or_insert(load.at) == load.at
            {
                // One answer with an earlier stage may be wrong; a second one means another rebalance on the
                // same nodes.
                fresh.remove(place);
                run.seen = now;
            } else if let Some(place) = same {
                run.backwards = None;
                let entry = complete(fresh.remove(place).clone(), old);
                if entry.stage != old.stage {
                    resume(run, now, events);
                }
                if let Some(ended) = run.ended.take() {
                    run.outage = None;
                    let message = messages::listed_again(ended);
                    events.push(run.event(now, EventType::Notice, message));
                }
                enter(run, entry, now, events);
            } else if let Some(ended) = run.ended {
                if seconds_between(run.missed, now) > END_GAP_SECONDS {
                    // One answer without it shows no end, and EMQX did not answer since: it ended at some time before this answer.
                    run.outage = Some((run.seen, now));
                    (run.at_end, run.end_counted) = (run.counts.clone(), run.counted);
                }
                run.missed = now;
                // Another rebalance on the same coordinator verifies that this one is over.
                let replaced = fresh.iter().any(|entry| entry.coordinator == old.coordinator);
                run.confirmed =
                    replaced || seconds_between(ended, now) >= CONFIRM_SECONDS || cause_seen(run, now);
            } else {
                resume(run, now, events);
                run.outage = outage(run, now);
                run.ended = Some(run.backwards.take().unwrap_or(now));
                run.missed = now;
                (run.at_end, run.end_counted) = (run.counts.clone(), run.counted);
                let replaced = fresh
                    .iter()
                    .any(|entry| run.entry.as_ref().is_some_and(|old| entry.coordinator == old.coordinator));
                run.confirmed = replaced || cause_seen(run, now);
            }
        }
        if !fresh.is_empty() {
            for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && run.ended.is_some()) {
                run.overtaken = true;
            }
        }
        // An entry in EMQX's first answer, or in the first one after an outage, may have run for a long time.
        let unlisted = self.seen_load.filter(|_| self.began).map(|seen| seconds_between(seen, load.at));
        let appeared = unlisted.is_some_and(|seconds| seconds <= NEW_ENTRY_SECONDS);
        for entry in fresh {
            let mine = |run: &&mut RebalanceRun| {
                let free = run.verdict.is_none() && run.entry.is_none() && run.ended.is_none();
                let object =
                    run.object.as_ref().is_some_and(|object| run.unlisted || owns(object, entry, now));
                // No rebalance ran when the object was created, and the entry that appeared within seconds
                // matches its plan.
                let planned = run.expects.as_ref() == Some(&entry.coordinator)
                    && run.object.as_ref().is_some_and(|object| ownership::planned(object, entry));
                let object = object || (planned && seconds_between(run.began, now) >= PENDING_SECONDS);
                free && (object || (run.direct && run.name == entry.operation().to_string()))
            };
            // The entry that appears now belongs to the object that started last.
            let run = self.runs.iter_mut().filter(mine).max_by_key(|run| (run.direct, run.began));
            if let Some(run) = run {
                // An operator may start it long after the object was created.
                run.starts_late(unlisted, now);
                run.close_baseline(entry, now);
                if let Some(since) = run.count_from(counted(broker, now), now) {
                    events.push(run.event(now, EventType::Notice, messages::counted_since(since)));
                }
                enter(run, entry.clone(), now, events);
                if appeared {
                    run.appeared();
                }
                continue;
            }
            if self.may_be_of_a_pending_one(entry, now) {
                is_judged = false;
                continue;
            }
            let object = self.orphan(world, entry, now);
            if let Some(object) = &object {
                self.past.retain(|uid| *uid != object.uid);
            }
            let mut run = begin(object.as_ref(), Some(entry), (world, &self.id), now, appeared);
            run.close_baseline(entry, now);
            run.take_starts(broker, entry);
            if appeared {
                let message = messages::created(&run.name, run.object.as_ref(), false);
                events.push(run.event(now, EventType::Created, message));
            }
            if let Some(since) = run.counted_since {
                events.push(run.event(now, EventType::Notice, messages::counted_since(since)));
            }
            if let Some(object) = &object {
                absorb_object(&mut run, object, now, events);
            }
            enter(&mut run, entry.clone(), now, events);
            if appeared {
                run.appeared();
            }
            self.runs.push(run);
        }
        is_judged
    }

    /// The operator calls EMQX first and writes `Processing` afterwards: in between, an entry seems to have
    /// no object.
    fn may_be_of_a_pending_one(&mut self, entry: &RunningRebalance, now: Timestamp) -> bool {
        let pending = |run: &RebalanceRun| {
            run.verdict.is_none()
                && run.entry.is_none()
                && seconds_between(run.began, now) < PENDING_SECONDS
                && run.object.as_ref().is_some_and(|it| it.phase == Phase::Pending && it.deleting.is_none())
        };
        let mut all = self.runs.iter_mut().filter(|run| pending(run)).peekable();
        let may = all.peek().is_some() && !entry.coordinator.as_str().is_empty();
        all.for_each(|run| run.expects = Some(entry.coordinator.clone()));
        may
    }

    /// The object behind an entry that existed before this process began; the newest of several.
    fn orphan(&self, world: &World, entry: &RunningRebalance, now: Timestamp) -> Option<Rebalance> {
        let taken = |object: &Rebalance| {
            self.runs.iter().any(|run| run.object.as_ref().is_some_and(|it| it.uid == object.uid))
        };
        world
            .kubernetes
            .rebalances
            .values()
            .map(|seen| &seen.value)
            .filter(|object| self.concerns(object) && !taken(object) && owns(object, entry, now))
            .filter(|object| !outlived(world.broker(&self.id), object, now))
            .max_by_key(|object| object.started.or(object.created))
            .cloned()
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
