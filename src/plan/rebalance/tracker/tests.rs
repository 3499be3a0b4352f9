//! Rebalances, given to a tracker fact by fact.

mod ends;
mod joining;
mod losses;
mod objects;
mod outages;
mod progress;
mod starts;

use super::*;
use crate::model::{
    ApiVersion, BrokerUpdate, DonorStart, EvictionStatus, Judgement, Link, Object, Phase, RunningRebalance,
    StopMark, Update,
};
use crate::plan::fixtures;
use crate::plan::rebalance::plan::{Participant, Return};
use crate::plan::rebalance::record::PlanRecord;

/// A world that receives facts, and a tracker that observes it.
struct Scene {
    world: World,
    follower: RebalanceTracker,
    events: Vec<Event>,
}

impl Scene {
    fn empty() -> Self {
        Self {
            world: World::new(),
            follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
            events: Vec::new(),
        }
    }

    fn of(connections: &[u64]) -> Self {
        let mut scene = Self::empty();
        scene.world.apply(fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ));
        scene.asked(0, connections, EvictionStatus::default());
        scene
    }

    fn asked(&mut self, at: i64, connections: &[u64], load: EvictionStatus) {
        self.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(connections))));
        self.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        self.look(at);
    }

    fn object(&mut self, at: i64, phase: Phase, change: impl FnOnce(&mut Rebalance)) {
        let mut fact = fixtures::rebalance("r", phase, change);
        fact.at = fixtures::at(at);
        self.world.apply(fact);
        self.look(at);
    }

    fn look(&mut self, at: i64) {
        let events = self.follower.observe(&self.world, fixtures::at(at));
        self.events.extend(events);
    }

    fn verdict(&self) -> Option<Verdict> {
        self.follower
            .run("r")
            .or(self.follower.runs.last())
            .and_then(|run| run.verdict.clone())
            .map(|it| it.verdict)
    }

    fn messages(&self, kind: EventType) -> Vec<&str> {
        self.events.iter().filter(|it| it.kind == kind).map(|it| it.message.as_str()).collect()
    }
}

const START: [u64; 4] = [3333, 3333, 3334, 0];
const END: [u64; 4] = [2553, 2553, 2554, 2340];

/// The annotation of the client that created the object in these tests.
fn record() -> String {
    let plan = crate::plan::rebalance::forecast::forecast(
        None,
        &fixtures::nodes(&START)
            .iter()
            .map(|node| Participant {
                node: node.name.clone(),
                pod: None,
                connections: node.connections.unwrap_or(0),
                sessions: node.sessions.unwrap_or(0),
            })
            .collect::<Vec<_>>(),
        &fixtures::strategy(),
        Return::default(),
    );
    PlanRecord::of(&plan, fixtures::at(0)).text()
}

fn until_evicting() -> Scene {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene
}
