//! What a tracker takes from the objects of the operator: each belongs to one run, together with EMQX's entry.

use jiff::Timestamp;

use super::super::messages;
use super::super::ownership::{self, owns};
use super::RebalanceTracker;
use super::steps::{absorb_object, attach_object, begin};
use crate::model::human::seconds_between;
use crate::model::{Event, EventType, Link, Phase, Rebalance, Seen, Source, World};
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::{CREATED_UNLISTED_SECONDS, OPERATOR_STATUS_SECONDS};

impl RebalanceTracker {
    pub(super) fn absorb_objects(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
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
    pub(super) fn absorb_ours(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
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
}
