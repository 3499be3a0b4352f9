//! The follower in situations that the recordings do not contain: stalls and their causes, undos, followers
//! that join late, evacuations beside an upgrade, missing sources.

mod ends;
mod joining;
mod stalls;
mod undos;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::change::UpgradeRecord;
use super::UpgradeTracker;
use crate::model::human::seconds_between;
use crate::model::lease::{OPERATOR_LEASE, OperatorLease};
use crate::model::{
    ApiVersion, BrokerUpdate, ClusterEvent, Condition, Evacuation, Event, EventType, EvictionStatus, Fact,
    GuardState, Instance, InstanceId, Judgement, Link, Node, NodeName, Object, Operation, Owner, Pod, Set,
    Source, Stage, Update, UpdateSpec, Verdict, World,
};
use crate::plan::fixtures;

const OLD: &str = "emqx/emqx-enterprise:5.8.6";
const NEW: &str = "emqx/emqx-enterprise:5.8.7";

/// A set: its revision, its image, and its pods with their clients.
#[derive(Clone)]
struct Side(&'static str, &'static str, Vec<u64>);

/// A v2beta1 cluster at one moment.
#[derive(Clone)]
struct Scene {
    image: &'static str,
    revisions: (&'static str, &'static str),
    conditions: Vec<(&'static str, i64)>,
    sets: Vec<Side>,
    evacuations: Vec<(NodeName, &'static str)>,
    pods: BTreeMap<String, fn(&mut Pod)>,
    events: Vec<ClusterEvent>,
    record: Option<UpgradeRecord>,
    unanswered: bool,
    /// EMQX gave its last answer at this second.
    unanswered_since: Option<i64>,
    /// The API server gave its last list of pods at this second.
    unlisted_since: Option<i64>,
    /// The second in which the operator renewed its Lease.
    renewed: Option<i64>,
    gone: bool,
}

/// The record of an upgrade from [`OLD`] to an image, with 300 clients at its start.
fn recorded(at: i64, to: &str) -> UpgradeRecord {
    UpgradeRecord {
        version: 1,
        time: fixtures::at(at),
        from: Some(OLD.into()),
        to: to.into(),
        version_only: false,
        connections: Some(300),
        sessions: Some(330),
        edit: Vec::new(),
    }
}

/// An event of the operator about the instance, last seen at this second.
fn operator_event(reason: &str, message: &str, count: u64, last: i64) -> ClusterEvent {
    ClusterEvent {
        namespace: "mq".into(),
        name: "e".into(),
        uid: "e".into(),
        about: "emqx".into(),
        about_kind: "EMQX".into(),
        reason: reason.into(),
        message: message.into(),
        count,
        last: Some(fixtures::at(last)),
        ..ClusterEvent::default()
    }
}

fn name(revision: &str, number: usize) -> String {
    format!("emqx-core-{revision}-{number}")
}

fn node(revision: &str, number: usize) -> NodeName {
    NodeName::from(format!("emqx@{}.emqx-headless.mq.svc.cluster.local", name(revision, number)))
}

impl Scene {
    /// Three pods of 100 clients, at rest.
    fn rest() -> Self {
        Self {
            image: OLD,
            revisions: ("a", "a"),
            conditions: vec![("Ready", -600), ("Available", -601)],
            sets: vec![Side("a", OLD, vec![100, 100, 100])],
            evacuations: Vec::new(),
            pods: BTreeMap::new(),
            events: Vec::new(),
            record: None,
            unanswered: false,
            unanswered_since: None,
            unlisted_since: None,
            renewed: None,
            gone: false,
        }
    }

    /// The image changed, and the operator has not reacted yet.
    fn asked() -> Self {
        Self { image: NEW, ..Self::rest() }
    }

    /// The new pods have been ready since `at`.
    fn up(at: i64) -> Self {
        let mut scene = Self::asked();
        scene.revisions = ("a", "b");
        scene.conditions = vec![("Available", at)];
        scene.sets.push(Side("b", NEW, vec![0, 0, 0]));
        scene
    }

    fn empties(mut self, number: usize, state: &'static str) -> Self {
        self.evacuations = vec![(node("a", number), state)];
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn world(&self, now: i64) -> World {
        let mut instance: Instance = fixtures::instance(ApiVersion::V2beta1);
        instance.image = Some(self.image.into());
        instance.cores = Some(3);
        instance.core_revisions.current = Some(self.revisions.0.into());
        instance.core_revisions.update = Some(self.revisions.1.into());
        let state = |record| GuardState { version: 1, upgrade: Some(record), ..GuardState::default() };
        instance.guard = self.record.clone().map(state);
        instance.update = UpdateSpec {
            present: true,
            initial_delay: Some(5),
            conn_evict_rate: Some(50),
            sess_evict_rate: Some(50),
            wait_takeover: Some(5),
            ..UpdateSpec::default()
        };
        let condition = |(kind, since): &(&str, i64)| Condition {
            kind: (*kind).into(),
            status: "True".into(),
            since: Some(fixtures::at(*since)),
            ..Condition::default()
        };
        instance.conditions = self.conditions.iter().map(condition).collect();
        let mut facts: Vec<Fact> = Vec::new();
        let is = |object: Object| fixtures::fact(now, Update::Upserted(object));
        if self.gone {
            // Only another cluster exists.
            instance.id = InstanceId { name: "other".into(), ..instance.id };
            instance.image = None;
        }
        facts.extend(self.renewed.map(|renewed| {
            is(Object::Lease(Box::new(OperatorLease {
                namespace: "emqx-operator-system".into(),
                name: OPERATOR_LEASE.into(),
                uid: "lease".into(),
                holder: Some("pod".into()),
                renewed: Some(fixtures::at(renewed)),
                seconds: 15,
            })))
        }));
        if let Some(since) = self.unlisted_since {
            let refused = Link::Unreachable("connection refused".into());
            for (at, link) in [(since, Link::Up), (now, refused)] {
                facts.push(fixtures::fact(at, Update::Link(Source::Pods, "pods", link)));
            }
        }
        let mut nodes = Vec::new();
        for (place, Side(revision, image, clients)) in (0_i64..).zip(&self.sets) {
            let set = format!("emqx-core-{revision}");
            let created = Some(fixtures::at(if place == 0 { -3600 } else { 2 * place }));
            facts.push(is(Object::Set(Box::new(Set {
                namespace: "mq".into(),
                name: set.clone(),
                uid: set.clone(),
                instance: Some("emqx".into()),
                replicas: clients.len() as u64,
                revision: Some((*revision).into()),
                image: Some((*image).into()),
                created,
                ..Set::default()
            }))));
            for (number, connections) in clients.iter().enumerate() {
                let pod = name(revision, number);
                let mut object = fixtures::pod(&pod, |it| {
                    it.owner =
                        Some(Owner { kind: "StatefulSet".into(), name: set.clone(), uid: set.clone() });
                    it.revision = Some((*revision).into());
                    it.image = Some((*image).into());
                    (it.gated, it.on_serving) = (true, Some(true));
                });
                if let Some(change) = self.pods.get(&pod) {
                    change(&mut object);
                }
                let ready = object.containers_ready;
                facts.push(is(Object::Pod(Box::new(object))));
                if ready {
                    nodes.push(Node {
                        name: node(revision, number),
                        running: true,
                        connections: Some(*connections),
                        sessions: Some(connections + 10),
                        ..Node::default()
                    });
                }
            }
        }
        facts.extend(self.events.iter().map(|event| is(Object::Event(Box::new(event.clone())))));
        let entry = |(node, state): &(NodeName, &'static str)| Evacuation {
            node: node.clone(),
            stage: Stage::parse(state),
            state: (*state).into(),
            recipients: Vec::new(),
            conn_evict_rate: Some(50),
            sess_evict_rate: Some(50),
            initial_connections: Some(100),
            connections: None,
            initial_sessions: Some(110),
            sessions: None,
        };
        if self.unanswered {
            // The copies of an operator that could ask EMQX.
            instance.nodes = nodes;
            instance.evacuations = self.evacuations.iter().map(entry).collect();
            let link = Link::Forbidden("no key".into());
            facts.push(fixtures::answer(now, BrokerUpdate::Link("nodes", link)));
        } else if let Some(since) = self.unanswered_since {
            facts.push(fixtures::answer(since, BrokerUpdate::Nodes(nodes)));
            let evacuations = self.evacuations.iter().map(entry).collect();
            facts.push(fixtures::answer(
                since,
                BrokerUpdate::Evictions(EvictionStatus { evacuations, ..EvictionStatus::default() }),
            ));
            let link = Link::Unreachable("connection refused".into());
            facts.push(fixtures::answer(now, BrokerUpdate::Link("nodes", link)));
        } else {
            facts.push(fixtures::answer(now, BrokerUpdate::Nodes(nodes)));
            let evacuations = self.evacuations.iter().map(entry).collect();
            facts.push(fixtures::answer(
                now,
                BrokerUpdate::Evictions(EvictionStatus { evacuations, ..EvictionStatus::default() }),
            ));
        }
        facts.push(is(Object::Instance(Box::new(instance))));
        World::of(facts)
    }
}

/// The events of these scenes, each lasting from its second until the next one begins; the tracker observes
/// every second.
fn events_of(scenes: &[(i64, Scene)], until: i64) -> Vec<Event> {
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut events = Vec::new();
    let mut last = World::new();
    for now in scenes[0].0..=until {
        let scene = &scenes.iter().rfind(|(from, _)| *from <= now).expect("one is on").1;
        last = scene.world(now);
        events.extend(follower.observe(&last, fixtures::at(now)));
    }
    events.extend(follower.finish(&last, fixtures::at(until)));
    assert!(
        events.iter().filter(|it| it.operation == Operation::Upgrade).filter_map(|it| it.percent).is_sorted()
    );
    events
}

fn last(events: &[Event]) -> Judgement {
    let verdicts = || events.iter().filter(|event| event.verdict.is_some());
    let upgrade = verdicts().rfind(|event| event.operation == Operation::Upgrade);
    let event = upgrade.or(verdicts().next_back()).expect("there is a verdict");
    Judgement::new(event.verdict.expect("a verdict"), event.reason.clone().unwrap_or_default())
}

/// Only the new set remains.
fn done() -> Scene {
    let mut scene = Scene::rest();
    scene.image = NEW;
    scene.revisions = ("b", "b");
    scene.sets = vec![Side("b", NEW, vec![100, 100, 100])];
    scene
}
