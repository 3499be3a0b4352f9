//! What is left of an upgrade that is followed, and so how far it is: the forecast again, from this moment's counts.

use jiff::Timestamp;

use super::revisions::{Member, UpgradeRevisions};
use super::run::{UpgradeRun, UpgradeStep, evacuations};
use super::target::one_by_one;
use super::timing::{self, BOOT_SECONDS, DrainTiming, GUARD_SECONDS, LOOP_SECONDS, boot};
use crate::model::human::seconds_between;
use crate::model::{ApiVersion, NodeName, World};

/// Seconds that new pods are taken to need until they are up, for a percent that begins somewhere. How long an image is
/// pulled nobody knows: no ETA is told meanwhile.
const NEW_PODS_SECONDS: u64 = 30;

impl UpgradeRun {
    /// What is left, as a forecast from this moment; and so the percent.
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
            (Some(left), work) => {
                let rest = before + left;
                let work = *self.work.insert(
                    work.unwrap_or(NEW_PODS_SECONDS + left + self.before_us(revisions, left)).max(rest),
                );
                self.percent = done(work, rest, self.percent);
            }
            // Clients are unknown: every old pod that is removed counts the same.
            (None, Some(work)) if self.blind.is_some() && total > 0 => {
                let rest = work * (total - gone) as u64 / total as u64;
                self.percent = done(work, rest, self.percent);
            }
            _ => {}
        }
        self.seconds = left.filter(|_| self.step != UpgradeStep::NewPods);
    }

    /// Seconds of work that were done before this run was first seen, by the pods that are gone already.
    fn before_us(&self, revisions: &UpgradeRevisions<'_>, left: u64) -> u64 {
        let standing = revisions.old.len() as u64;
        let wanted = revisions.instance.cores.unwrap_or(0) + revisions.instance.replicants.unwrap_or(0);
        if standing == 0 || self.told.contains("fresh") {
            return 0;
        }
        left * wanted.saturating_sub(standing) / standing
    }

    fn left(&self, revisions: &UpgradeRevisions<'_>, world: &World, now: Timestamp) -> Option<u64> {
        if revisions.old.is_empty() {
            return (self.step != UpgradeStep::NewPods).then_some(1);
        }
        // New pods have just started: what they took is what the next ones will take.
        let pods = |members: &[Member<'_>]| boot(members.iter().map(|member| member.pod));
        let known = pods(&revisions.new).or_else(|| pods(&revisions.old));
        let timing =
            DrainTiming { boot: known.unwrap_or(BOOT_SECONDS), ..DrainTiming::of(revisions.instance) };
        let standing: Vec<&Member<'_>> =
            revisions.old.iter().filter(|member| member.pod.deleting.is_none()).collect();
        if standing.iter().any(|member| member.holds.is_none()) {
            return None;
        }
        let evacuations = evacuations(world, revisions);
        let drain = |member: &Member<'_>, timing: &DrainTiming| {
            let holds = member.holds.unwrap_or_default();
            let entry = evacuations.iter().find(|it| Some(&it.node) == member.node.as_ref())?;
            let (stage, _, since) = self.known.get(&member.pod.uid)?.stage.as_ref()?;
            let own = DrainTiming {
                conn_evict_rate: entry.conn_evict_rate.or(timing.conn_evict_rate),
                sess_evict_rate: entry.sess_evict_rate.or(timing.sess_evict_rate),
                ..*timing
            };
            Some(own.left(stage, seconds_between(*since, now), holds))
        };
        let count = standing.len() as u64;
        if self.api == ApiVersion::V1beta4 {
            let guarded =
                self.holding || self.held || evacuations.iter().any(|it| is_old(revisions, &it.node));
            if guarded {
                return Some(self.guarded_left(revisions, &standing, &timing, &drain, now));
            }
            return Some(self.unguarded_left(count, &timing, now));
        }
        let mut seconds = 0;
        let mut begun = false;
        for member in &standing {
            let holds = member.holds.unwrap_or_default();
            seconds += match drain(member, &timing) {
                Some(left) => {
                    begun = true;
                    left + timing.removal()
                }
                None => timing.turn(holds),
            };
        }
        if revisions.old.len() > standing.len() {
            seconds += 1;
        } else if !begun && self.places().0 == 0 {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            seconds += timing.first().saturating_sub(since);
        }
        Some(seconds)
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
        let mut emptying = 0;
        for member in standing {
            let left = drain(member, timing).unwrap_or_else(|| {
                let since = self.started.map_or(0, |started| seconds_between(started, now));
                shared.drain(member.holds.unwrap_or_default()) + GUARD_SECONDS.saturating_sub(since)
            });
            // One after another takes the sum, all together the longest.
            emptying = if one_by_one { emptying + left } else { emptying.max(left) };
        }
        let release = u64::from(self.holding);
        match self.removed {
            Some(removed) if count > 0 => {
                let look = LOOP_SECONDS.saturating_sub(seconds_between(removed, now));
                emptying.max(look) + timing::removals(count, None)
            }
            _ => emptying + release + timing::removals(count, None),
        }
    }

    /// The operator deletes one pod a look, loaded as they are.
    fn unguarded_left(&self, count: u64, timing: &DrainTiming, now: Timestamp) -> u64 {
        let Some(removed) = self.removed else {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            return timing.delay.saturating_sub(since) + timing::removals(count, Some(timing.delay));
        };
        let gone = self.known.values().filter(|known| known.deleting).count() as u64;
        let gap = |place: u64| LOOP_SECONDS + if place % 2 == 1 { timing.delay } else { 0 };
        let first = gap(gone).saturating_sub(seconds_between(removed, now));
        if count == 0 { 1 } else { first + (gone + 1..gone + count).map(gap).sum::<u64>() + 1 }
    }
}

/// Percent of the work that is done; it never falls, and is 100 only with a verdict.
fn done(work: u64, rest: u64, before: u8) -> u8 {
    let percent = work.saturating_sub(rest) * 100 / work.max(1);
    before.max(u8::try_from(percent.min(99)).unwrap_or(99))
}

fn is_old(revisions: &UpgradeRevisions<'_>, node: &NodeName) -> bool {
    revisions.old.iter().any(|member| member.node.as_ref() == Some(node))
}
