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
    pub(super) fn forecast(&mut self, sides: &UpgradeRevisions<'_>, world: &World, now: Timestamp) {
        let left = self.left(sides, world, now);
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
                let work = *self
                    .work
                    .insert(work.unwrap_or(NEW_PODS_SECONDS + left + self.before_us(sides, left)).max(rest));
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
    fn before_us(&self, sides: &UpgradeRevisions<'_>, left: u64) -> u64 {
        let standing = sides.old.len() as u64;
        let wanted = sides.instance.cores.unwrap_or(0) + sides.instance.replicants.unwrap_or(0);
        if standing == 0 || self.told.contains("fresh") {
            return 0;
        }
        left * wanted.saturating_sub(standing) / standing
    }

    fn left(&self, sides: &UpgradeRevisions<'_>, world: &World, now: Timestamp) -> Option<u64> {
        if sides.old.is_empty() {
            return (self.step != UpgradeStep::NewPods).then_some(1);
        }
        // New pods have just started: what they took is what the next ones will take.
        let pods = |members: &[Member<'_>]| boot(members.iter().map(|member| member.pod));
        let known = pods(&sides.new).or_else(|| pods(&sides.old));
        let pace = DrainTiming { boot: known.unwrap_or(BOOT_SECONDS), ..DrainTiming::of(sides.instance) };
        let standing: Vec<&Member<'_>> =
            sides.old.iter().filter(|member| member.pod.deleting.is_none()).collect();
        if standing.iter().any(|member| member.holds.is_none()) {
            return None;
        }
        let evacuations = evacuations(world, sides);
        let drain = |member: &Member<'_>, pace: &DrainTiming| {
            let holds = member.holds.unwrap_or_default();
            let entry = evacuations.iter().find(|it| Some(&it.node) == member.node.as_ref())?;
            let (stage, _, since) = self.known.get(&member.pod.uid)?.stage.as_ref()?;
            let own = DrainTiming {
                conn_evict_rate: entry.conn_evict_rate.or(pace.conn_evict_rate),
                sess_evict_rate: entry.sess_evict_rate.or(pace.sess_evict_rate),
                ..*pace
            };
            Some(own.left(stage, seconds_between(*since, now), holds))
        };
        let count = standing.len() as u64;
        if self.api == ApiVersion::V1beta4 {
            let guarded = self.holding || self.held || evacuations.iter().any(|it| is_old(sides, &it.node));
            if guarded {
                return Some(self.guarded_left(sides, &standing, &pace, &drain, now));
            }
            return Some(self.unguarded_left(count, &pace, now));
        }
        let mut seconds = 0;
        let mut begun = false;
        for member in &standing {
            let holds = member.holds.unwrap_or_default();
            seconds += match drain(member, &pace) {
                Some(left) => {
                    begun = true;
                    left + pace.removal()
                }
                None => pace.turn(holds),
            };
        }
        if sides.old.len() > standing.len() {
            seconds += 1;
        } else if !begun && self.places().0 == 0 {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            seconds += pace.first().saturating_sub(since);
        }
        Some(seconds)
    }

    /// A guard empties all old nodes together, then the operator removes them one by one.
    fn guarded_left(
        &self,
        sides: &UpgradeRevisions<'_>,
        standing: &[&Member<'_>],
        pace: &DrainTiming,
        drain: &impl Fn(&Member<'_>, &DrainTiming) -> Option<u64>,
        now: Timestamp,
    ) -> u64 {
        let count = standing.len() as u64;
        let one_by_one = one_by_one(sides.instance);
        let shared = if one_by_one { *pace } else { pace.shared(count) };
        let mut emptying = 0;
        for member in standing {
            let left = drain(member, pace).unwrap_or_else(|| {
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
    fn unguarded_left(&self, count: u64, pace: &DrainTiming, now: Timestamp) -> u64 {
        let Some(removed) = self.removed else {
            let since = self.started.map_or(0, |started| seconds_between(started, now));
            return pace.delay.saturating_sub(since) + timing::removals(count, Some(pace.delay));
        };
        let gone = self.known.values().filter(|known| known.deleting).count() as u64;
        let gap = |place: u64| LOOP_SECONDS + if place % 2 == 1 { pace.delay } else { 0 };
        let first = gap(gone).saturating_sub(seconds_between(removed, now));
        if count == 0 { 1 } else { first + (gone + 1..gone + count).map(gap).sum::<u64>() + 1 }
    }
}

/// Percent of the work that is done; it never falls, and is 100 only with a verdict.
fn done(work: u64, rest: u64, before: u8) -> u8 {
    let percent = work.saturating_sub(rest) * 100 / work.max(1);
    before.max(u8::try_from(percent.min(99)).unwrap_or(99))
}

fn is_old(sides: &UpgradeRevisions<'_>, node: &NodeName) -> bool {
    sides.old.iter().any(|member| member.node.as_ref() == Some(node))
}
