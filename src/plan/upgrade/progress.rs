//! What remains of a followed upgrade, and so the work done: the forecast again, from the counts of this
//! moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::revisions::{Member, UpgradeRevisions};
use super::run::{ForecastBasis, Milestone, PodTurn, UpgradeRun, UpgradeStep, evacuations};
use super::target::one_by_one;
use crate::model::human::seconds_between;
use crate::model::{ApiVersion, Evacuation, NodeName, Stage, World};
use crate::plan::durations::{self, DrainTiming, NodeContent, boot};
use crate::plan::percent;
use crate::timing::{BOOT_SECONDS, GUARD_SECONDS, LOOP_SECONDS, NEW_PODS_SECONDS};

impl UpgradeRun {
    /// Forecasts what remains from this moment, and from it the percentage.
    pub(super) fn forecast(&mut self, revisions: &UpgradeRevisions<'_>, world: &World, now: Timestamp) {
        let left = self.left(revisions, world, now);
        let before = match (self.started, self.step) {
            (None, UpgradeStep::NewPods) => {
                let (ready, wanted) = self.ready;
                NEW_PODS_SECONDS * (wanted.max(1) - ready.min(wanted)) / wanted.max(1)
            }
            _ => 0,
        };
        let (gone, total) = self.places();
        match (left, self.work) {
            (Some(left), _) => {
                let rest = before + left;
                // The pods that an undo has to remove are known when the operator reports the other target revision.
                if self.turned {
                    let basis = self.basis(rest, revisions, world, now);
                    let revised = self.forecast_from.as_ref().is_some_and(|last| last.is_revised_by(&basis));
                    self.forecast_from = Some(basis);
                    if revised {
                        // The percentage stands still with the work, and rises from there.
                        self.work = Some(rest * 100 / (100 - u64::from(self.percent.min(99))));
                    }
                }
                let work = self.work;
                // The pods that an undo finds running were not started for the undo.
                let new_pods = if self.turned { before } else { NEW_PODS_SECONDS };
                let work = *self
                    .work
                    .insert(work.unwrap_or(new_pods + left + self.before_us(revisions, left)).max(rest));
                self.percent = percent::done(work, rest, self.percent);
            }
            // The clients are unknown: every removed old pod counts the same.
            (None, Some(work)) if self.blind.is_some() && total > 0 => {
                let rest = work * (total - gone) as u64 / total as u64;
                self.percent = percent::done(work, rest, self.percent);
            }
            _ => {}
        }
        self.seconds = left.filter(|_| self.step != UpgradeStep::NewPods);
        let whole = self.seconds.map(|left| seconds_between(self.began, now).saturating_add(left));
        self.planned = self.planned.or(whole);
        self.turns = if self.seconds.is_some() { self.turns(revisions, world, now) } else { BTreeMap::new() };
    }

    fn basis(
        &self,
        rest: u64,
        revisions: &UpgradeRevisions<'_>,
        world: &World,
        now: Timestamp,
    ) -> ForecastBasis {
        let pods = revisions.old.iter().chain(&revisions.new).map(|member| member.pod);
        let drained = evacuations(world, revisions).iter().map(|it| (it.node.clone(), it.stage.clone()));
        ForecastBasis {
            at: now,
            rest,
            pods: pods
                .map(|pod| (pod.uid.clone(), u8::from(pod.containers_ready) + u8::from(pod.ready)))
                .collect(),
            evacuations: drained.collect(),
            counts: self.counts.clone(),
        }
    }

    /// For each old pod that is not being emptied yet, by name: the seconds until its turn. For the others:
    /// the remaining seconds of their present wait. Where a guard empties all of them together, and where
    /// nothing empties them, no pod has a turn.
    fn turns(
        &self,
        revisions: &UpgradeRevisions<'_>,
        world: &World,
        now: Timestamp,
    ) -> BTreeMap<String, PodTurn> {
        if self.api == ApiVersion::V1beta4 {
            return BTreeMap::new();
        }
        let timing = Self::timing(revisions);
        let standing: Vec<&Member<'_>> = standing(revisions);
        let draining = evacuations(world, revisions);
        let mut turns = BTreeMap::new();
        let first = self.first_turn(revisions, &standing, draining, &timing, now);
        let mut seconds = first;
        for member in &standing {
            let name = member.pod.name.as_str().to_owned();
            if let Some(left) = self.drain_left(member, draining, &timing, now) {
                let nothing = NodeContent::default();
                let stage = self.known.get(&member.pod.uid).and_then(|known| known.stage.as_ref());
                if let Some((stage @ (Stage::WaitHealthCheck | Stage::WaitTakeover), _, since)) = stage {
                    // Without clients and sessions only the waits take time.
                    let spent = seconds_between(*since, now);
                    let rest = match stage {
                        Stage::WaitHealthCheck => timing.remaining(&Stage::EvictingConns, 0, nothing),
                        _ => 0,
                    };
                    turns.insert(name, PodTurn::Waits(timing.remaining(stage, spent, nothing) - rest));
                }
                seconds += left + timing.pod_removal();
            } else {
                turns.insert(name, PodTurn::Starts(seconds));
                seconds += timing.per_pod(member.holds.unwrap_or_default());
            }
        }
        turns
    }

    /// Seconds of work before this run was first seen, estimated from the pods that were removed by then.
    fn before_us(&self, revisions: &UpgradeRevisions<'_>, left: u64) -> u64 {
        let standing = revisions.old.len() as u64;
        let wanted = revisions.instance.cores.unwrap_or(0) + revisions.instance.replicants.unwrap_or(0);
        // The pods that an undo keeps are no pods that it removed.
        if standing == 0 || self.turned || self.seen.contains(&Milestone::Beginning) {
            return 0;
        }
        left * wanted.saturating_sub(standing) / standing
    }

    fn left(&self, revisions: &UpgradeRevisions<'_>, world: &World, now: Timestamp) -> Option<u64> {
        if revisions.old.is_empty() {
            return (self.step != UpgradeStep::NewPods).then_some(1);
        }
        let timing = Self::timing(revisions);
        let standing: Vec<&Member<'_>> = standing(revisions);
        if standing.iter().any(|member| member.holds.is_none()) {
            return None;
        }
        let evacuations = evacuations(world, revisions);
        let drain =
            |member: &Member<'_>, timing: &DrainTiming| self.drain_left(member, evacuations, timing, now);
        let count = standing.len() as u64;
        if self.api == ApiVersion::V1beta4 {
            let guarded =
                self.holding || self.held || evacuations.iter().any(|it| is_old(revisions, &it.node));
            if guarded {
                return Some(self.guarded_left(revisions, &standing, &timing, &drain, now));
            }
            return Some(self.unguarded_left(count, &timing, now));
        }
        let mut seconds = self.first_turn(revisions, &standing, evacuations, &timing, now);
        for member in &standing {
            let holds = member.holds.unwrap_or_default();
            seconds += match drain(member, &timing) {
                Some(left) => left + timing.pod_removal(),
                None => timing.per_pod(holds),
            };
        }
        Some(seconds)
    }

    /// The timing of the instance, with the seconds that its pods took to start.
    fn timing(revisions: &UpgradeRevisions<'_>) -> DrainTiming {
        // The last start of new pods is the best estimate for the next ones.
        let pods = |members: &[Member<'_>]| boot(members.iter().map(|member| member.pod));
        let known = pods(&revisions.new).or_else(|| pods(&revisions.old));
        DrainTiming { startup: known.unwrap_or(BOOT_SECONDS), ..DrainTiming::of(revisions.instance) }
    }

    /// Seconds until the first remaining old pod is emptied, or its evacuation continues.
    fn first_turn(
        &self,
        revisions: &UpgradeRevisions<'_>,
        standing: &[&Member<'_>],
        evacuations: &[Evacuation],
        timing: &DrainTiming,
        now: Timestamp,
    ) -> u64 {
        let begun = || standing.iter().any(|it| self.drain_left(it, evacuations, timing, now).is_some());
        if revisions.old.len() > standing.len() {
            1
        } else if self.places().0 == 0 && !begun() {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            timing.first_eviction_at().saturating_sub(since)
        } else {
            0
        }
    }

    /// Seconds that remain of the evacuation of an old pod; `None` before it begins.
    fn drain_left(
        &self,
        member: &Member<'_>,
        evacuations: &[Evacuation],
        timing: &DrainTiming,
        now: Timestamp,
    ) -> Option<u64> {
        let holds = member.holds.unwrap_or_default();
        let entry = evacuations.iter().find(|it| Some(&it.node) == member.node.as_ref())?;
        let (stage, _, since) = self.known.get(&member.pod.uid)?.stage.as_ref()?;
        let own = DrainTiming {
            conn_evict_rate: entry.conn_evict_rate.or(timing.conn_evict_rate),
            sess_evict_rate: entry.sess_evict_rate.or(timing.sess_evict_rate),
            ..*timing
        };
        Some(own.remaining(stage, seconds_between(*since, now), holds))
    }

    /// A guard empties all old nodes together, then the operator removes them one by one.
    fn guarded_left(
        &self,
        revisions: &UpgradeRevisions<'_>,
        standing: &[&Member<'_>],
        timing: &DrainTiming,
        drain: &impl Fn(&Member<'_>, &DrainTiming) -> Option<u64>,
        now: Timestamp,
    ) -> u64 {
        let count = standing.len() as u64;
        let one_by_one = one_by_one(revisions.instance);
        let shared = if one_by_one { *timing } else { timing.shared(count) };
        // The guard's own steps come once, before the first node is emptied.
        let first = if standing.iter().any(|member| drain(member, timing).is_some()) {
            0
        } else {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            GUARD_SECONDS.saturating_sub(since)
        };
        let mut emptying = 0;
        for member in standing {
            let left =
                drain(member, timing).unwrap_or_else(|| shared.drain(member.holds.unwrap_or_default()));
            // One pod after another takes the sum, all pods together take the longest time.
            emptying = if one_by_one { emptying + left } else { emptying.max(left) };
        }
        emptying += first;
        let release = u64::from(self.holding);
        match self.removed {
            Some(removed) if count > 0 => {
                let look = LOOP_SECONDS.saturating_sub(seconds_between(removed, now));
                emptying.max(look) + durations::removals(count, None)
            }
            // The last pod is being deleted: at least one second remains.
            _ => (emptying + release + durations::removals(count, None)).max(1),
        }
    }

    /// The operator deletes one pod in each loop, with its clients still connected.
    fn unguarded_left(&self, count: u64, timing: &DrainTiming, now: Timestamp) -> u64 {
        let Some(removed) = self.removed else {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            return timing.delay.saturating_sub(since) + durations::removals(count, Some(timing.delay));
        };
        let gone = self.known.values().filter(|known| known.deleting).count() as u64;
        let gap = |place: u64| LOOP_SECONDS + if place % 2 == 1 { timing.delay } else { 0 };
        let first = gap(gone).saturating_sub(seconds_between(removed, now));
        if count == 0 { 1 } else { first + (gone + 1..gone + count).map(gap).sum::<u64>() + 1 }
    }
}

/// The old pods whose deletion was not requested.
fn standing<'a, 'b>(revisions: &'b UpgradeRevisions<'a>) -> Vec<&'b Member<'a>> {
    revisions.old.iter().filter(|member| member.pod.deleting.is_none()).collect()
}

fn is_old(revisions: &UpgradeRevisions<'_>, node: &NodeName) -> bool {
    revisions.old.iter().any(|member| member.node.as_ref() == Some(node))
}
