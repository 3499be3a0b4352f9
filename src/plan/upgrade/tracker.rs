//! Follows upgrades (and evacuations beside them): observes the world as it changes, and returns the steps of
//! each upgrade up to its verdict.
//!
//! ```text
//!   image changed, or two revisions ──► new pods ──► traffic moved ──► emptying ⇄ removing ──► only new pods ──► verdict
//!                                          ▲                              │
//!                                          └── image changed again ───────┘
//! ```
//!
//! An upgrade is called `upgrade/NAME` after its cluster, which has one at a time; an evacuation `evacuation/NODE`.
//!
//! The evidence is pods, sets, and EMQX's own list. The object's conditions only show when the new pods
//! received the traffic, and only once the new pods are seen to be ready: for 0.2 s after a change `Ready` is
//! True and both revisions are equal, v1beta4 looks idle for 15 s, `blueGreenUpdateStatus` appears and
//! disappears ([OP-42]).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use self::beginning::{awaited, begin};
use self::old_pods::know;
use self::turning::{Turn, turn};
use super::super::evacuation::tracker::EvacuationTracker;
use super::super::tracked::{Runs, Tracked as _};
use super::announcements::announce;
use super::revisions::{self, UpgradeRevisions};
use super::run::{UpgradeRun, UpgradeStep};
use super::{messages, stall, verdict};
use crate::model::human::seconds_between;
use crate::model::{ApiVersion, Event, EventType, InstanceId, Judgement, NodeName, Verdict, World};
use crate::plan::durations::DrainTiming;
use crate::plan::rebalance::messages::RESUMED;
use crate::plan::upgrade::sources::{blind, known_until, outage_reason};
use crate::timing::{
    COMPLETE_VIEW_SECONDS, END_GAP_SECONDS, LONG_OUTAGE_SECONDS, OLD_CONDITION_SECONDS, SECOND_SET_SECONDS,
};

mod beginning;
mod old_pods;
mod turning;

/// The image of an object that was seen; `None` where the object names none.
#[derive(Clone, Debug, PartialEq)]
struct SeenImage(Option<String>);

/// Follows every upgrade of one cluster.
#[derive(Clone, Debug)]
pub struct UpgradeTracker {
    /// The running upgrades and the last ones that are over, in the order in which they began.
    pub runs: Runs<UpgradeRun>,
    /// Evacuations that belong to no upgrade.
    pub evacuations: EvacuationTracker,
    id: InstanceId,
    /// The image of the last version of the object.
    image: Option<SeenImage>,
    /// When the cluster last had one set of each kind and its operator changed nothing.
    calm: Option<Timestamp>,
    seen_nodes: Option<Timestamp>,
    /// Until when the state was known.
    known: Option<Timestamp>,
}

impl UpgradeTracker {
    /// Follows the upgrades of one cluster.
    pub(crate) fn new(id: InstanceId) -> Self {
        Self {
            runs: Runs::default(),
            evacuations: EvacuationTracker::default(),
            id,
            image: None,
            calm: None,
            seen_nodes: None,
            known: None,
        }
    }

    /// The upgrade that is not over: it is running, or it is stalled.
    pub(crate) fn running(&self) -> Option<&UpgradeRun> {
        self.runs.iter().find(|run| run.verdict.is_none() || stalled(run))
    }

    /// The last upgrade that was seen.
    pub(crate) fn last(&self) -> Option<&UpgradeRun> {
        self.runs.last()
    }

    /// Observes the current world; returns what changed.
    pub(crate) fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let broker = world.broker(&self.id);
        let nodes = broker.nodes.as_ref().map(|seen| seen.at);
        let counted = nodes > self.seen_nodes;
        self.seen_nodes = nodes.max(self.seen_nodes);
        let known = known_until(world, broker, now);
        let before = self.known.replace(known).unwrap_or(known);
        let gap = seconds_between(before, known);
        if gap > LONG_OUTAGE_SECONDS {
            self.calm = None;
        }
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && gap > COMPLETE_VIEW_SECONDS) {
            // The time of the outage does not count as time without progress.
            let listened = i64::try_from(gap)
                .ok()
                .and_then(|gap| run.moved.checked_add(SignedDuration::from_secs(gap)).ok());
            run.moved = listened.filter(|_| gap <= LONG_OUTAGE_SECONDS).unwrap_or(known).min(known);
        }
        self.runs.report_outages(broker, now, &mut events);
        self.follow(world, counted, gap, now, &mut events);
        for run in self.runs.open() {
            if world.instance(&run.id).is_none() && !world.ids().is_empty() {
                let reason = format!("{} was deleted on the way", run.id);
                run.record_verdict(Judgement::new(Verdict::Failed, reason), now, &mut events);
            }
        }
        self.runs.report_without_news(world, broker, now, &mut events);
        self.runs.forget();
        let ours: BTreeSet<NodeName> = self
            .runs
            .iter()
            .flat_map(|run| run.known.values())
            .filter_map(|known| known.node.clone())
            .collect();
        events.extend(self.evacuations.observe(world, &self.id, &ours, now));
        events
    }

    /// Finds the upgrade that runs, begins one that is new, and processes its state. `gap`: the seconds before this observation
    /// in which nothing was known.
    fn follow(&mut self, world: &World, counted: bool, gap: u64, now: Timestamp, events: &mut Vec<Event>) {
        let id = &self.id;
        let open = self.running().is_some();
        let known = world.instance(id).map(|instance| SeenImage(instance.image.clone()));
        let quiet = revisions::quiet(world, id);
        // A new template with the same image also begins an upgrade: a second set appears seconds after the
        // change.
        let calm = self.calm.is_some_and(|at| seconds_between(at, now) <= SECOND_SET_SECONDS);
        if quiet {
            self.calm = Some(now);
        }
        if !open && self.image == known && quiet {
            return;
        }
        let Some(mut revisions) = UpgradeRevisions::of(world, id) else { return };
        if blind(world.broker(id), now) {
            revisions.forget_counts();
        }
        let image = SeenImage(revisions.instance.image.clone());
        let before = self.image.replace(image.clone());
        let changed = before.as_ref().is_some_and(|before| before.0.is_some() && *before != image);
        let open = self.runs.iter().position(|run| run.verdict.is_none());
        let mut created = None;
        let place = match open {
            Some(place) => place,
            None if changed
                || ((revisions.in_transition() || revisions.requested() || awaited(&revisions, now))
                    && !self.judged(&revisions)) =>
            {
                let before = before.filter(|_| changed).and_then(|seen| seen.0);
                let run = begin(&revisions, world, before, changed || (calm && !quiet), now);
                self.calm = None;
                created = Some(events.len());
                events.push(run.event(now, EventType::Created, messages::created(&run)));
                self.runs.push(run);
                self.runs.len() - 1
            }
            None => {
                if let Some(run) = self.runs.last_mut().filter(|run| stalled(run)) {
                    resume(run, &revisions, world, counted, now, events);
                }
                return;
            }
        };
        if let Some(run) = self.runs.get_mut(place) {
            if gap > END_GAP_SECONDS {
                run.unobserved = Some(now);
            }
            absorb(run, &revisions, world, counted, now, events);
            // What was done before it was first seen is known only now.
            let begun = created.and_then(|place| events.get_mut(place..)).filter(|_| run.verdict.is_none());
            for event in begun.into_iter().flatten().filter(|event| event.name == run.name) {
                event.percent = event.percent.map(|percent| percent.max(run.percent));
            }
        }
    }

    /// The source ended: returns the last events of the runs without a verdict.
    pub(crate) fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let broker = world.broker(&self.id);
        for run in self.runs.open() {
            let revisions = UpgradeRevisions::of(world, &run.id);
            if run.ended.is_none()
                && revisions.is_some_and(|revisions| verdict::reported_over(run, &revisions))
            {
                // The pod through which EMQX was asked was removed with the old set, and the source ended
                // before another pod was asked.
                run.ended = Some(now);
                run.blind = Some("EMQX was not asked after the last old pod was removed".to_owned());
                let verdict = verdict::conclude(run, broker, now);
                run.record_verdict(verdict, now, &mut events);
                continue;
            }
            let verdict = match run.ended {
                Some(ended) => verdict::cut_short(run, seconds_between(ended, now))
                    .unwrap_or_else(|| verdict::conclude(run, broker, now)),
                None => Judgement::new(run.standing(), verdict::remaining(run)),
            };
            run.record_verdict(verdict, now, &mut events);
        }
        events.extend(self.evacuations.finish(now));
        events
    }

    /// Whether this upgrade was judged already: a stalled upgrade does not begin again.
    fn judged(&self, revisions: &UpgradeRevisions<'_>) -> bool {
        self.last().is_some_and(|run| {
            run.to == revisions.instance.image
                && revisions.old.iter().all(|member| run.known.contains_key(&member.pod.uid))
        })
    }
}

fn absorb(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    counted: bool,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    match turn(run, revisions, now, events) {
        Turn::On => {}
        Turn::Unsure => return,
        Turn::Superseded(reason) => {
            return run.record_verdict(Judgement::new(Verdict::Superseded, reason), now, events);
        }
    }
    let broker = world.broker(&run.id);
    run.blind = blind(broker, now).then(|| outage_reason(broker));
    run.trouble = stall::trouble(revisions);
    know(run, revisions, world, now, events);
    run.ready = revisions.ready();
    let holding = DrainTiming::of(revisions.instance).held();
    if holding != run.holding {
        // From this moment on progress is expected.
        run.moved = now;
    }
    run.holding = holding;
    run.held |= run.holding;
    let changed = run.count(world, revisions, now);
    if counted {
        run.watch_clients(world, revisions, now, events);
    }
    if run.started.is_none() {
        run.started =
            if run.rolling { revisions.answered.then_some(now) } else { available_since(run, revisions) };
    }
    contradict(run, revisions, now);
    step(run, revisions, now);
    run.advance(revisions, world, now);
    run.forecast(revisions, world, now);
    run.rows(revisions);
    announce(run, revisions, now, events);
    if counted && changed {
        let message = messages::progress(run);
        events.push(run.event(now, EventType::Progress, message));
    }
    if let Some(verdict) = judge(run, revisions, world, now) {
        run.record_verdict(verdict, now, events);
    }
}

fn stalled(run: &UpgradeRun) -> bool {
    run.verdict.as_ref().is_some_and(|judgement| judgement.verdict == Verdict::Stalled)
}

/// Observes a stalled upgrade: it may continue.
fn resume(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    counted: bool,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let (verdict, moved) = (run.verdict.take(), run.moved);
    let mut steps = Vec::new();
    absorb(run, revisions, world, counted, now, &mut steps);
    if run.moved > moved || !stalled(run) {
        events.push(run.event(now, EventType::Notice, RESUMED.to_owned()));
        events.extend(steps);
    } else {
        run.verdict = verdict;
        events.extend(steps.into_iter().filter(|step| step.kind == EventType::Notice));
    }
}

/// When the new pods received the traffic, if that was after the present target was requested.
fn available_since(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>) -> Option<Timestamp> {
    let at = revisions.available_since()?;
    // The times in objects are whole seconds.
    run.asked.is_none_or(|asked| at.as_second() >= asked.as_second()).then_some(at)
}

/// Detects that the object reports it is ready while old pods remain.
fn contradict(run: &mut UpgradeRun, revisions: &UpgradeRevisions<'_>, now: Timestamp) {
    let instance = revisions.instance;
    let quiet = matches!(instance.api, ApiVersion::V2beta1 | ApiVersion::V2)
        && instance.ready()
        && !instance.upgrading()
        && !revisions.old.is_empty()
        && run.asked.is_none_or(|asked| seconds_between(asked, now) > OLD_CONDITION_SECONDS);
    if !quiet {
        run.contradicted = None;
    } else if run.contradicted.is_none() {
        run.contradicted = Some(now);
    }
}

fn step(run: &mut UpgradeRun, revisions: &UpgradeRevisions<'_>, now: Timestamp) {
    let again = |uid: &str| run.known.get(uid).is_some_and(|known| known.again);
    let removing =
        revisions.old.iter().any(|member| member.pod.deleting.is_some() && !again(&member.pod.uid));
    // Where pods are replaced in place, the first old pod is emptied before a new one exists.
    let begun = run.started.is_some() || run.turned || run.rolling || run.step > UpgradeStep::NewPods;
    let evacuating = begun && !run.evacuating(revisions).is_empty();
    let gone = run.places().0;
    let next = if removing {
        UpgradeStep::Removing
    } else if evacuating {
        UpgradeStep::Emptying
    } else if revisions.answered && revisions.old.is_empty() {
        UpgradeStep::Settling
    } else if run.started.is_none() && (gone == 0 || run.turned) {
        UpgradeStep::NewPods
    } else if gone == 0 {
        UpgradeStep::Moved
    } else {
        UpgradeStep::Waiting
    };
    if next != run.step {
        run.step = next;
        run.step_since = now;
    }
}

/// The verdict, if there is one by now.
fn judge(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
) -> Option<Judgement> {
    if verdict::over(run, revisions, world, now) {
        if run.ended.is_none() {
            run.ended = Some(now);
            run.before_outage =
                (seconds_between(run.known_until, now) > END_GAP_SECONDS).then_some(run.known_until);
        }
    } else {
        (run.ended, run.before_outage) = (None, None);
        run.known_until = known_until(world, world.broker(&run.id), now).max(run.known_until);
    }
    match run.ended {
        Some(_) => verdict::verdict_if_final(run, world.broker(&run.id), now),
        None => {
            stall::find(run, revisions, world, now).map(|reason| Judgement::new(Verdict::Stalled, reason))
        }
    }
}

#[cfg(test)]
mod tests;
