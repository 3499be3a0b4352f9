//! The tracker of every kind of operation: the common trait, and one place to find an operation by its name.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::happened::Happened;
use super::purges::PurgeTracker;
use super::rebalance::tracker::RebalanceTracker;
use super::tracked::Tracked;
use super::upgrade::run::UpgradeRun;
use super::upgrade::tracker::UpgradeTracker;
use crate::model::{Event, Instance, InstanceId, Operation, Phase, Rebalance, Verdict, World};
use crate::plan::evacuation::run::EvacuationRun;

/// Follows operations: observes the world each time it changed, and returns the events that follow.
pub trait Tracker {
    /// Observes the world and returns what changed.
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event>;
    /// The source ended: returns the last events.
    fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event>;
}

impl Tracker for RebalanceTracker {
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        RebalanceTracker::observe(self, world, now)
    }

    fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        RebalanceTracker::finish(self, world, now)
    }
}

/// Follows every kind of operation: rebalances, upgrades, evacuations, purges.
#[derive(Clone, Debug)]
pub struct OperationTracker {
    pub rebalances: RebalanceTracker,
    /// Upgrades, and evacuations beside them.
    pub upgrades: UpgradeTracker,
    pub purges: PurgeTracker,
}

impl OperationTracker {
    /// A tracker of the operations of one instance.
    pub fn of(id: &InstanceId) -> Self {
        Self {
            rebalances: RebalanceTracker::new(id.clone()),
            upgrades: UpgradeTracker::new(id.clone()),
            purges: PurgeTracker::new(id.clone()),
        }
    }

    /// When the cause of an event happened that this tracker has just returned.
    pub(crate) fn happened(&self, event: &Event) -> Happened {
        if event.operation == Operation::Purge {
            return self.purges.happened(event);
        }
        self.run(&event.name).map_or(Happened::At(event.time), |run| run.happened(event))
    }

    /// The operation of this name that was seen last.
    fn run(&self, name: &str) -> Option<&dyn Tracked> {
        let rebalance = self.rebalances.run(name).map(|run| run as &dyn Tracked);
        let upgrade = || self.upgrade(name).map(|run| run as &dyn Tracked);
        let evacuation = || self.evacuation(name).map(|run| run as &dyn Tracked);
        rebalance.or_else(upgrade).or_else(evacuation)
    }

    /// Whether an operation runs in this instance, or may start soon: then EMQX is asked every second.
    pub(crate) fn is_busy(&self, world: &World, id: &InstanceId) -> bool {
        let open = |object: &Rebalance| {
            matches!(object.phase, Phase::Pending | Phase::Processing) && object.deleting.is_none()
        };
        world.broker(id).eviction_status().is_some_and(|load| !load.is_idle())
            || world.rebalances_of(id).iter().any(|seen| open(&seen.value))
            || world.instance(id).is_some_and(Instance::upgrading)
            || self.rebalances.running().is_some()
            || self.upgrades.running().is_some()
    }

    /// The upgrade of this name (`upgrade/NAME`) that was seen last.
    pub(crate) fn upgrade(&self, name: &str) -> Option<&UpgradeRun> {
        self.upgrades.runs.named(name)
    }

    /// The evacuation of this name (`evacuation/NODE`) that was seen last.
    pub(crate) fn evacuation(&self, name: &str) -> Option<&EvacuationRun> {
        self.upgrades.evacuations.run(name)
    }

    /// Whether an operation of this name was seen.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.run(name).is_some()
    }

    /// The present verdict of the operation of this name.
    pub(crate) fn standing(&self, name: &str) -> Verdict {
        self.run(name).map_or(Verdict::Running, Tracked::standing)
    }

    /// EMQX's last answer about the operation of this name before an outage that is reported.
    pub(crate) fn silent_since(&self, name: &str) -> Option<Timestamp> {
        self.run(name)?.silent_since()
    }
}

impl Tracker for OperationTracker {
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = self.rebalances.observe(world, now);
        events.extend(self.upgrades.observe(world, now));
        events.extend(self.purges.observe(world, now));
        events
    }

    fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = self.rebalances.finish(world, now);
        events.extend(self.upgrades.finish(world, now));
        events
    }
}

/// Follows the operations of every cluster of a recording; a cluster is followed from the first fact that names it.
#[derive(Clone, Debug, Default)]
pub struct RecordedOperations(BTreeMap<InstanceId, OperationTracker>);

impl RecordedOperations {
    /// The tracker of this cluster.
    pub fn of(&self, id: &InstanceId) -> Option<&OperationTracker> {
        self.0.get(id)
    }

    /// The tracker of each cluster.
    pub fn trackers(&self) -> impl Iterator<Item = &OperationTracker> {
        self.0.values()
    }
}

impl Tracker for RecordedOperations {
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        for id in world.named() {
            self.0.entry(id).or_insert_with_key(OperationTracker::of);
        }
        self.0.values_mut().flat_map(|tracker| tracker.observe(world, now)).collect()
    }

    fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        self.0.values_mut().flat_map(|tracker| tracker.finish(world, now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus};
    use crate::plan::fixtures;

    #[test]
    fn emqx_is_asked_often_while_something_runs_or_may_start() {
        let id = fixtures::id(ApiVersion::V2);
        let busy = |world: &World| OperationTracker::of(&id).is_busy(world, &id);
        assert!(!busy(&World::new()));
        let purge = EvictionStatus { purges: vec![fixtures::core(0)], ..EvictionStatus::default() };
        assert!(busy(&World::of([fixtures::answer(0, BrokerUpdate::Evictions(purge))])));
        let object =
            |deleting| fixtures::rebalance("even", Phase::Pending, |object| object.deleting = deleting);
        assert!(busy(&World::of([object(None)])));
        assert!(!busy(&World::of([object(Some(fixtures::at(0)))])), "it is not started any more");
    }
}
