//! A recording passed through the follower: what was there at the beginning is one look, and the seconds in which nothing
//! was written are the same answers again.

use jiff::{SignedDuration, Timestamp};

use super::evacuation::tracker::EvacuationRun;
use super::purges::PurgeTracker;
use super::rebalance::tracker::{RebalanceRun, RebalanceTracker};
use super::upgrade::run::UpgradeRun as Upgrade;
use super::upgrade::tracker::UpgradeTracker;
use crate::model::{Event, Fact, InstanceId, Link, Source, Verdict, World};

/// Follows operations: observes the world each time it changed, and returns the events that follow.
pub trait Tracker {
    /// Observes the world and returns what changed.
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event>;
    /// No more facts come: returns the last events.
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
    /// Rebalances.
    pub rebalances: RebalanceTracker,
    /// Upgrades, and evacuations beside them.
    pub upgrades: UpgradeTracker,
    /// Purges.
    pub purges: PurgeTracker,
}

impl OperationTracker {
    /// All of them, of every instance.
    pub fn all() -> Self {
        Self {
            rebalances: RebalanceTracker::new(None),
            upgrades: UpgradeTracker::new(None),
            purges: PurgeTracker::default(),
        }
    }

    /// All of them, of one instance.
    pub fn of(id: &InstanceId) -> Self {
        Self {
            rebalances: RebalanceTracker::new(Some(id.clone())),
            upgrades: UpgradeTracker::new(Some(id.clone())),
            purges: PurgeTracker::default(),
        }
    }

    /// The upgrade of this name (`upgrade/NAME`) that was seen last.
    pub fn upgrade(&self, name: &str) -> Option<&Upgrade> {
        self.upgrades.runs.iter().rfind(|run| run.name == name)
    }

    /// The evacuation of this name (`evacuation/NODE`) that was seen last.
    pub fn evacuation(&self, name: &str) -> Option<&EvacuationRun> {
        self.upgrades.evacuations.run(name)
    }

    /// Whether an operation of this name was seen.
    pub fn knows(&self, name: &str) -> bool {
        self.rebalances.run(name).is_some() || self.upgrade(name).is_some() || self.evacuation(name).is_some()
    }

    /// How the operation of this name ended, and why.
    pub fn verdict(&self, name: &str) -> Option<&(Verdict, String)> {
        let rebalance = self.rebalances.run(name).and_then(|run| run.verdict.as_ref());
        let upgrade = || self.upgrade(name)?.verdict.as_ref();
        rebalance.or_else(upgrade).or_else(|| self.evacuation(name)?.verdict.as_ref())
    }

    /// How the operation of this name stands.
    pub fn standing(&self, name: &str) -> Verdict {
        let rebalance = self.rebalances.run(name).map(RebalanceRun::standing);
        let upgrade = || Some(self.upgrade(name)?.standing());
        let evacuation = || self.evacuation(name)?.verdict.as_ref().map(|(verdict, _)| *verdict);
        rebalance.or_else(upgrade).or_else(evacuation).unwrap_or(Verdict::Running)
    }

    /// EMQX's last answer about the operation of this name, where EMQX has not answered for so long that it is reported.
    pub fn silent_since(&self, name: &str) -> Option<Timestamp> {
        let rebalance = self.rebalances.run(name).and_then(RebalanceRun::silent_since);
        rebalance.or_else(|| self.evacuation(name)?.silent_since())
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

/// What EMQX and the API server are asked when a recording begins comes within this many seconds.
const BEGINNING: f64 = 1.0;

/// Seconds between two lines that are replayed one by one; beyond this the recording has a gap, and nothing is known of it.
pub const HOLE: i64 = 900;

/// Seconds for which the last answers of a recording still hold: EMQX is asked about once a second, and an answer that is the
/// same again leaves a line only when a second has passed.
const HELD_SECONDS: i64 = 2;

/// The content of one line of a recording.
#[derive(Clone, Debug)]
pub struct Told {
    /// Seconds since the recording began.
    pub t: f64,
    /// The time by the recorded clock.
    pub at: Timestamp,
    /// Whether it is something that changed: not a list, and not EMQX's first words.
    pub change: bool,
    /// What was learned.
    pub facts: Vec<Fact>,
}

/// Where a recording stands.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    first: Option<f64>,
    began: bool,
    last: Option<Timestamp>,
}

impl Tape {
    /// Takes a line in; gives the steps that follow from it, and the notices.
    pub fn take(
        &mut self,
        world: &mut World,
        follower: &mut impl Tracker,
        told: Told,
    ) -> (Vec<Event>, Vec<String>) {
        let mut events = Vec::new();
        let first = *self.first.get_or_insert(told.t);
        if !self.began && (told.change || told.t - first > BEGINNING) {
            let at = self.last.unwrap_or(told.at);
            events = follower.observe(world, at);
            self.began = true;
        }
        events.extend(self.pass(world, follower, told.at));
        let mut notices = Vec::new();
        for fact in told.facts {
            notices.extend(world.apply(fact).notice);
        }
        if self.began {
            events.extend(follower.observe(world, told.at));
        }
        self.last = Some(told.at);
        (events, notices)
    }

    /// The seconds before `until`. An answer of EMQX's is written when it differs from the one before, and was asked for
    /// every second: silence is the same answer again, unless the last one was none.
    pub fn pass(&mut self, world: &mut World, follower: &mut impl Tracker, until: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(last) = self.last.filter(|_| self.began) else { return events };
        let gap = until.as_second() - last.as_second();
        if gap > HOLE {
            return events;
        }
        for second in 1..gap {
            let at = last + SignedDuration::from_secs(second);
            let up = |resource: &'static str| {
                world.hearings.get(&(Source::Emqx, resource)).is_none_or(|hearing| hearing.link == Link::Up)
            };
            let (nodes, load) = (up("nodes"), up("load_rebalance"));
            if let Some(nodes) = world.nodes.as_mut().filter(|_| nodes) {
                nodes.at = at;
            }
            if let Some(load) = world.load.as_mut().filter(|_| load) {
                load.at = at;
            }
            for ((source, _), hearing) in &mut world.hearings {
                if *source == Source::Emqx && hearing.link == Link::Up {
                    hearing.heard = Some(at);
                }
            }
            events.extend(follower.observe(world, at));
            self.last = Some(at);
        }
        events
    }

    /// The recording is over.
    pub fn finish(&mut self, world: &World, follower: &mut impl Tracker) -> Vec<Event> {
        let Some(at) = self.last else { return Vec::new() };
        let mut events = if self.began { Vec::new() } else { follower.observe(world, at) };
        self.began = true;
        let until = at + SignedDuration::from_secs(HELD_SECONDS + 1);
        events.extend(self.pass(&mut world.clone(), follower, until));
        events.extend(follower.finish(world, self.last.unwrap_or(at)));
        events
    }
}
