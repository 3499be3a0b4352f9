//! What a tracker takes from the rebalances that EMQX lists: each continues a run, or begins one.

use jiff::Timestamp;

use super::super::messages;
use super::super::ownership::{self, outlived, owns};
use super::RebalanceTracker;
use super::endings::{cause_seen, outage, stopped};
use super::steps::{absorb_object, begin, complete, continues, counted, enter, reopen, resume, same_nodes};
use crate::model::human::seconds_between;
use crate::model::{Event, EventType, EvictionStatus, Phase, Rebalance, RunningRebalance, Seen, World};
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::{CONFIRM_SECONDS, END_GAP_SECONDS, NEW_ENTRY_SECONDS, PENDING_SECONDS};

impl RebalanceTracker {
    /// Whether the owner of each entry is known; if not, the same entries are examined again.
    pub(super) fn absorb_load(
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
}
