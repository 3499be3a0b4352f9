//! The follower in situations that the recordings do not contain: stalls and their causes, undos, followers
//! that join late, evacuations beside an upgrade, missing sources.

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

fn stalls(scene: Scene, within: i64) -> String {
    let scenes = [(0, Scene::rest()), (1, Scene::asked()), (3, scene)];
    let events = events_of(&scenes, within);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Stalled, "{message}");
    message
}

#[test]
fn a_change_without_a_reaction_is_not_a_finished_upgrade() {
    let events = events_of(&[(0, Scene::rest()), (1, Scene::asked())], 30);
    assert_eq!(
        last(&events),
        Judgement::new(Verdict::StillRunning, "0 of 3 old pods gone, although the operator reports ready")
    );
    assert!(events.iter().all(|event| event.phase.is_none() || event.phase.as_deref() == Some("newPods")));
}

#[test]
fn a_silent_operator_is_a_stall_with_its_last_complaint() {
    let mut scene = Scene::asked();
    let message = stalls(scene.clone(), 90);
    assert!(message.contains("the operator is silent: it has not made a new set"), "{message}");
    let dead = stalls(scene.clone().with(|scene| scene.renewed = Some(0)), 90);
    assert!(dead.contains("it has not made a new set: the operator's process is gone: its Lease"), "{dead}");
    let alive = stalls(scene.clone().with(|scene| scene.renewed = Some(85)), 90);
    assert!(alive.contains("silent although its process runs: it has not made a new set"), "{alive}");
    scene.events.push(operator_event("ReconcilerFailed", "no site for node", 11, 5));
    assert!(stalls(scene.clone(), 90).contains("it reports: no site for node"));
    // An event from before the upgrade does not explain its stall.
    scene.events.iter_mut().for_each(|event| event.last = Some(fixtures::at(-600)));
    assert!(!stalls(scene, 90).contains("no site for node"));
}

#[test]
fn without_answers_nothing_is_called_stalled() {
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut stalled = |world: &World, now: i64| {
        let events = follower.observe(world, fixtures::at(now));
        events.iter().any(|event| event.verdict == Some(Verdict::Stalled))
    };
    let emptying = Scene::up(2).empties(2, "evicting_conns");
    for (at, scene) in [(0, Scene::rest()), (1, Scene::asked()), (3, emptying.clone())] {
        assert!(!stalled(&scene.world(at), at));
    }
    // No answer for five minutes, then all answers at once: the stall begins only a minute after that.
    let last = emptying.world(20);
    assert!((20..320).all(|now| !stalled(&last, now)));
    let first = (320..500).find(|now| stalled(&emptying.world(*now), *now));
    assert!(first.is_some_and(|first| (380..400).contains(&first)), "{first:?}");
}

#[test]
fn followers_of_upgrades_and_evacuations_print_at_least_every_30_s_while_a_source_is_silent() {
    let upgrade = Scene::up(2).empties(2, "evicting_conns");
    let evacuation = Scene::rest().empties(1, "evicting_conns");
    for scenes in [
        vec![(0, Scene::rest()), (1, Scene::asked()), (3, upgrade)],
        vec![(0, Scene::rest()), (1, evacuation)],
    ] {
        let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
        let mut printed = vec![fixtures::at(0)];
        let mut messages = Vec::new();
        let mut observe = |world: &World, now: i64| {
            for event in follower.observe(world, fixtures::at(now)) {
                assert_eq!(event.verdict, None, "{}", event.message);
                printed.push(event.time);
                messages.push(event.message);
            }
        };
        for now in 0..20 {
            let scene = &scenes.iter().rfind(|(from, _)| *from <= now).expect("one is on").1;
            observe(&scene.world(now), now);
        }
        let last = scenes.last().expect("one is on").1.clone();
        let old = last.world(20);
        (20..320).for_each(|now| observe(&old, now));
        (320..340).for_each(|now| observe(&last.world(now), now));
        let pause = |pair: &[Timestamp]| seconds_between(pair[0], pair[1]);
        assert!(printed.windows(2).all(|pair| pause(pair) <= 30), "{printed:?}");
        let once = |words: &str| messages.iter().filter(|message| message.contains(words)).count();
        assert!(once("EMQX has not answered since") >= 9, "{messages:?}");
        assert_eq!(once("EMQX answers again"), 1, "{messages:?}");
    }
}

#[test]
fn new_pods_that_do_not_come_up_are_named_with_the_cause() {
    let down = |change: fn(&mut Pod)| {
        Scene::up(-700).with(|scene| {
            scene.pods.insert(name("b", 1), change);
        })
    };
    let pull = down(|pod| {
        (pod.ready, pod.containers_ready, pod.waiting) = (false, false, Some("ImagePullBackOff".into()));
    });
    assert!(
        stalls(pull, 90).contains("emqx-core-b-1 cannot pull emqx/emqx-enterprise:5.8.7 (ImagePullBackOff)")
    );
    let crash = down(|pod| {
        (pod.ready, pod.containers_ready, pod.waiting) = (false, false, Some("CrashLoopBackOff".into()));
    });
    assert!(stalls(crash, 90).contains("crashes again and again"));
    let pending = down(|pod| {
        (pod.ready, pod.containers_ready, pod.phase) = (false, false, "Pending".into());
        pod.conditions = vec![Condition {
            kind: "PodScheduled".into(),
            status: "False".into(),
            message: "0/3 nodes are available: insufficient memory".into(),
            ..Condition::default()
        }];
    });
    assert!(stalls(pending, 90).contains("insufficient memory"));
    let gate = down(|pod| (pod.ready, pod.on_serving) = (false, Some(false)));
    assert!(stalls(gate, 90).contains("does not open its gate"));
    // Without a visible problem the kubelet may be pulling an image: the limit is five minutes.
    let quiet = down(|pod| (pod.ready, pod.containers_ready) = (false, false));
    let events = events_of(&[(0, Scene::rest()), (1, Scene::asked()), (3, quiet.clone())], 290);
    assert_eq!(last(&events).verdict, Verdict::Running);
    assert!(stalls(quiet, 320).contains("new pods are not ready"));
}

/// One old pod is gone, and a new one finds no node to run on.
fn out_of_room() -> Scene {
    Scene::up(2).with(|scene| {
        scene.sets[0].2.truncate(2);
        scene.pods.insert(name("b", 1), |pod| {
            (pod.ready, pod.containers_ready, pod.phase) = (false, false, "Pending".into());
            pod.conditions = vec![Condition {
                kind: "PodScheduled".into(),
                status: "False".into(),
                message: "0/3 nodes are available: insufficient memory".into(),
                ..Condition::default()
            }];
        });
    })
}

#[test]
fn a_new_pod_that_stops_the_operator_between_two_old_ones_is_the_cause_and_not_the_operator() {
    let before = Scene::up(2).empties(2, "prohibiting");
    let emptied = out_of_room().empties(1, "prohibiting");
    for stuck in [out_of_room(), emptied] {
        let scenes =
            [(0, Scene::rest()), (1, Scene::asked()), (3, Scene::up(2)), (10, before.clone()), (12, stuck)];
        let Judgement { verdict, message } = last(&events_of(&scenes, 150));
        assert_eq!(verdict, Verdict::Stalled, "{message}");
        assert!(message.contains("insufficient memory"), "{message}");
    }
}

#[test]
fn who_comes_while_emqx_cannot_be_asked_judges_nothing_by_the_copy_of_the_operator() {
    let late = Scene::up(3).empties(2, "waiting_health_check").with(|scene| scene.unanswered = true);
    let events = events_of(&[(50, late)], 400);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Stalled, "{message}");
    assert!(message.contains("what is left on the old pods is unknown"), "{message}");
    for event in &events {
        assert!(
            !event.message.contains("on old") && !event.message.contains("stays in"),
            "{}",
            event.message
        );
        assert_eq!(event.moved_connections, None, "{}", event.message);
    }
}

#[test]
fn who_comes_after_the_first_old_pods_were_removed_does_not_count_those_that_are_gone() {
    let late = Scene::up(3).empties(1, "evicting_conns").with(|scene| scene.sets[0].2.truncate(2));
    let events = events_of(&[(50, late)], 90);
    assert!(events.iter().any(|event| event.message.contains("2 old pods left")), "{events:?}");
    assert!(events.iter().all(|event| !event.message.contains("of 2")), "{events:?}");
}

#[test]
fn gates_that_flip_are_no_progress() {
    let open = Scene::up(-700).with(|scene| {
        scene.pods.insert(name("b", 1), |pod| (pod.ready, pod.on_serving) = (false, Some(false)));
    });
    let shut = Scene::up(-700).with(|scene| {
        scene.pods.insert(name("b", 2), |pod| (pod.ready, pod.on_serving) = (false, Some(false)));
    });
    let mut scenes = vec![(0, Scene::rest()), (1, Scene::asked())];
    scenes.extend((3..100).map(|now| (now, if now % 2 == 0 { open.clone() } else { shut.clone() })));
    assert_eq!(last(&events_of(&scenes, 100)).verdict, Verdict::Stalled);
}

#[test]
fn an_evacuation_that_does_not_go_on_is_named() {
    let foreign = Scene::up(3).with(|scene| scene.evacuations = vec![(node("b", 0), "prohibiting")]);
    // EMQX listed the evacuation and no longer answers: whether it continues is unknown.
    let silent = foreign.clone().with(|scene| scene.unanswered_since = Some(20));
    let scenes = [(0, Scene::rest()), (1, Scene::asked()), (3, foreign.clone()), (20, silent)];
    let Judgement { verdict, message } = last(&events_of(&scenes, 200));
    assert_eq!(verdict, Verdict::Stalled, "{message}");
    assert!(
        !message.contains("is being evacuated") && message.contains("no answer of EMQX since"),
        "{message}"
    );
    let message = stalls(foreign, 120);
    assert!(
        message.contains("emqx-core-b-0 is being evacuated (prohibiting) and is no old pod"),
        "{message}"
    );
    let stuck = Scene::up(3).empties(2, "evicting_sessions").with(|scene| scene.sets[0].2[2] = 0);
    let message = stalls(stuck, 120);
    assert!(
        message.contains("10 sessions on emqx-core-a-2 do not go") && message.contains("emqx#14353"),
        "{message}"
    );
    let again = Scene::up(3).empties(2, "prohibiting").with(|scene| {
        scene.events.push(operator_event("NodeEvacuation", "", 80, 60));
    });
    assert!(stalls(again.clone(), 120).contains("again and again (80 times)"));
    let earlier = again.with(|scene| scene.events[0].last = Some(fixtures::at(-600)));
    assert!(
        !stalls(earlier, 120).contains("80 times"),
        "an event from before the upgrade explains nothing of it"
    );
    let waiting = Scene::up(3).empties(2, "waiting_health_check");
    let events = events_of(&[(0, Scene::rest()), (1, Scene::asked()), (3, waiting.clone())], 170);
    assert_eq!(last(&events).verdict, Verdict::Running, "three times 60 s are not over");
    assert!(stalls(waiting, 200).contains("waiting_health_check"));
}

#[test]
fn back_before_anything_was_removed_is_reverted() {
    let scenes = [
        (0, Scene::rest()),
        (1, Scene::asked()),
        (
            3,
            Scene::up(-700).with(|it| {
                it.pods.insert(name("b", 0), |pod| (pod.ready, pod.containers_ready) = (false, false));
            }),
        ),
        // The old set is used again (RevertStatefulSet), and the new one is removed.
        (
            20,
            Scene::rest().with(|scene| {
                scene.conditions = vec![("Ready", 20), ("Available", 20)];
                scene.sets.push(Side("b", NEW, vec![0]));
                scene.revisions = ("b", "a");
            }),
        ),
        (30, Scene::rest().with(|scene| scene.conditions = vec![("Ready", 30), ("Available", 29)])),
    ];
    let events = events_of(&scenes, 40);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Reverted, "{message}");
    assert!(message.contains("3 nodes of emqx/emqx-enterprise:5.8.6 run and serve"), "{message}");
    let notice = events.iter().find(|event| event.kind == EventType::Notice).expect("a notice");
    assert!(notice.message.starts_with("the image was changed back to"), "{}", notice.message);
}

#[test]
fn a_cluster_that_is_deleted_on_the_way_is_failed() {
    let scenes = [
        (0, Scene::rest()),
        (1, Scene::asked()),
        (3, Scene::up(3)),
        (9, Scene::rest().with(|it| it.gone = true)),
    ];
    assert_eq!(
        last(&events_of(&scenes, 12)),
        Judgement::new(Verdict::Failed, "EMQX mq/emqx was deleted on the way")
    );
}

/// Only the new set remains.
fn done() -> Scene {
    let mut scene = Scene::rest();
    scene.image = NEW;
    scene.revisions = ("b", "b");
    scene.sets = vec![Side("b", NEW, vec![100, 100, 100])];
    scene
}

#[test]
fn one_who_comes_late_judges_by_what_was_written_down() {
    let record = UpgradeRecord { connections: Some(400), sessions: Some(440), ..recorded(0, NEW) };
    let late = Scene::up(3).empties(2, "evicting_conns").with(|it| {
        it.record = Some(record.clone());
    });
    let events = events_of(&[(50, late.clone()), (60, done())], 100);
    assert!(events[0].message.contains("from emqx/emqx-enterprise:5.8.6 to emqx/emqx-enterprise:5.8.7"));
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::ClientsMissing, "{message}");
    assert!(message.contains("100 of 400 clients are missing"), "{message}");
    // Without a recorded start no missing clients are reported.
    let events = events_of(&[(50, Scene::up(3).empties(2, "evicting_conns")), (60, done())], 100);
    let Judgement { verdict, message } = last(&events);
    assert_eq!((verdict, events[1].lost_clients), (Verdict::Upgraded, None));
    assert!(message.contains("300 clients") && !message.contains("missing"), "{message}");
}

#[test]
fn an_undo_that_finishes_what_another_client_began_is_reverted() {
    let record = |to: &str| recorded(0, to);
    // The image was changed back before the follower joined; only the stored record changes then.
    let back = |record: UpgradeRecord| {
        Scene::rest().with(|it| {
            it.sets.push(Side("b", NEW, vec![0]));
            it.revisions = ("b", "a");
            it.record = Some(record);
        })
    };
    let scenes = [(50, back(record(NEW))), (52, back(record(OLD))), (60, Scene::rest())];
    let events = events_of(&scenes, 70);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Reverted, "{message}");
    let end = events.last().expect("an end");
    assert_eq!((end.lost_clients, end.lost_sessions), (Some(0), Some(0)), "{message}");
}

#[test]
fn an_undo_counts_its_time_from_its_own_start() {
    let seconds = |scenes: &[(i64, Scene)]| {
        let Judgement { verdict, message } = last(&events_of(scenes, 90));
        assert_eq!(verdict, Verdict::Reverted, "{message}");
        message.rsplit(", ").next().map(str::to_owned).unwrap_or_default()
    };
    let back = |record: Option<(&str, i64)>| {
        Scene::rest().with(|scene| {
            scene.sets.push(Side("b", NEW, vec![0]));
            scene.revisions = ("b", "a");
            scene.record = record.map(|(to, time)| recorded(time, to));
        })
    };
    // The follower observes the upgrade from its start, 59 s before the undo.
    let whole =
        [(0, Scene::rest()), (1, Scene::asked()), (3, Scene::up(3)), (60, back(None)), (80, Scene::rest())];
    assert_eq!(seconds(&whole), "20 s");
    // The follower joins 5 s after the start of the undo.
    assert_eq!(seconds(&[(65, back(Some((OLD, 60)))), (80, Scene::rest())]), "20 s");
    // Another client changed the image back, and a stored undo completes that.
    let finished = [(50, back(Some((NEW, 0)))), (60, back(Some((OLD, 60)))), (80, Scene::rest())];
    assert_eq!(seconds(&finished), "20 s");
}

#[test]
fn percent_of_an_undo_counts_the_pods_that_are_removed_although_emqx_never_ran_in_them() {
    let record = recorded(0, OLD);
    let waiting = |pods: usize| {
        Scene::rest().with(|it| {
            it.sets.push(Side("b", NEW, vec![0; pods]));
            it.revisions = ("b", "a");
            it.record = Some(record.clone());
            for number in 0..pods {
                it.pods.insert(name("b", number), |pod| {
                    (pod.ready, pod.containers_ready, pod.phase) = (false, false, "Pending".into());
                });
            }
        })
    };
    let mut tracker = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut percent = |second: i64, scene: &Scene| {
        tracker.observe(&scene.world(second), fixtures::at(second));
        tracker.runs.last().expect("it is followed").percent
    };
    let percents = [(1, 3), (9, 3), (10, 2), (15, 1)].map(|(second, pods)| percent(second, &waiting(pods)));
    assert_eq!(percents[..2], [0, 0], "no pod is removed");
    assert!((30..80).contains(&percents[2]), "one of three pods is removed: {percents:?}");
    assert!((percents[2] + 10..100).contains(&percents[3]), "two of three pods are removed: {percents:?}");
    percent(20, &Scene::rest());
    assert_eq!(tracker.runs[0].verdict.as_ref().map(|judgement| judgement.verdict), Some(Verdict::Reverted));
}

#[test]
fn percent_does_not_rise_where_an_undo_finds_less_to_do_than_was_forecast() {
    let record = recorded(20, OLD);
    let undone = |revisions| {
        Scene::up(3).with(|it| {
            (it.image, it.revisions, it.record) = (OLD, revisions, Some(record.clone()));
        })
    };
    let mut tracker = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut percent = |second: i64, scene: &Scene| {
        tracker.observe(&scene.world(second), fixtures::at(second));
        tracker.runs.last().map_or(0, |run| run.percent)
    };
    percent(0, &Scene::rest());
    percent(1, &Scene::asked());
    let before = percent(4, &Scene::up(3));
    // The operator reports the other target revision a second after the image was changed back.
    let at_first = percent(21, &undone(("a", "b")));
    let then = percent(22, &undone(("b", "a")));
    assert!(at_first >= before && then <= at_first + 1, "{before}, {at_first}, {then}");
}

#[test]
fn an_upgrade_that_ended_in_an_outage_has_the_earliest_and_the_latest_time_of_its_end() {
    let moved = |left: u64| {
        Scene::up(3)
            .with(|it| it.sets = vec![Side("a", OLD, vec![left]), Side("b", NEW, vec![100, 100, 100 - left])])
    };
    let end = |answers_again: i64| {
        let silent = moved(40).with(|it| (it.unanswered_since, it.unlisted_since) = (Some(30), Some(30)));
        let scenes = [
            (0, Scene::rest()),
            (1, Scene::asked()),
            (3, Scene::up(3)),
            (20, moved(40)),
            (31, silent),
            (answers_again, done()),
        ];
        let mut tracker = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
        for now in 0..answers_again + 60 {
            let scene = &scenes.iter().rfind(|(from, _)| *from <= now).expect("a scene").1;
            tracker.observe(&scene.world(now), fixtures::at(now));
        }
        let run = tracker.runs.last().expect("it is followed").clone();
        let verdict = run.verdict.clone().expect("a verdict");
        let entry = crate::plan::history::of_upgrade(&run, verdict.clone(), fixtures::at(900));
        assert_eq!(verdict.verdict, Verdict::Upgraded, "{}", verdict.message);
        (run.ended_after(), entry.ended_after, entry.seconds(), verdict.message)
    };
    let (after, recorded, seconds, reason) = end(200);
    assert_eq!(
        (after, recorded, seconds),
        (Some(fixtures::at(30)), Some(fixtures::at(30)), None),
        "{reason}"
    );
    assert!(reason.contains("ended between 10:00:30 UTC and 10:03:20 UTC"), "{reason}");
    let (after, recorded, seconds, reason) = end(35);
    assert_eq!((after, recorded), (None, None), "{reason}");
    assert!(seconds.is_some_and(|seconds| seconds <= 40), "{seconds:?}");
    assert!(!reason.contains("ended between"), "{reason}");
}

#[test]
fn an_evacuation_in_a_pod_that_an_undo_keeps_is_progress_although_emqx_does_not_answer() {
    let record = recorded(0, OLD);
    let undone = |state| {
        Scene::up(3).with(|it| {
            (it.image, it.revisions, it.record) = (OLD, ("b", "a"), Some(record.clone()));
            (it.unanswered, it.evacuations) = (true, vec![(node("a", 1), state)]);
        })
    };
    let states = [(0, "waiting_health_check"), (45, "evicting_conns"), (55, "prohibiting")];
    let scenes = states.map(|(from, state)| (from, undone(state)));
    let events = events_of(&scenes, 200);
    let stalled = events.iter().find(|event| event.verdict == Some(Verdict::Stalled)).expect("a stall");
    assert!(stalled.time >= fixtures::at(55 + 60), "{stalled:?}");
}

#[test]
fn without_emqx_pods_and_the_object_decide_and_that_is_reported() {
    let unanswered = |scene: Scene| scene.with(|it| it.unanswered = true);
    let scenes = [
        (0, unanswered(Scene::rest())),
        (1, unanswered(Scene::asked())),
        (3, unanswered(Scene::up(3))),
        (60, unanswered(done())),
    ];
    let Judgement { verdict, message } = last(&events_of(&scenes, 70));
    assert_eq!(verdict, Verdict::Upgraded, "{message}");
    assert!(message.contains("EMQX could not be asked"), "{message}");
}

#[test]
fn an_upgrade_waits_for_a_new_pod_to_answer_after_the_old_one_that_was_asked_is_removed() {
    let unanswered = || done().with(|it| it.unanswered_since = Some(59));
    let begin = || [(0, Scene::rest()), (1, Scene::asked()), (3, Scene::up(3))];
    let answered = [begin().to_vec(), vec![(60, unanswered()), (72, done())]].concat();
    let Judgement { verdict, message } = last(&events_of(&answered, 90));
    assert_eq!(verdict, Verdict::Upgraded, "{message}");
    assert!(!message.contains("EMQX"), "{message}");
    // Where no pod answers, the upgrade still ends, and the verdict names what is unknown.
    let never = [begin().to_vec(), vec![(60, unanswered())]].concat();
    let events = events_of(&never, 120);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Upgraded, "{message}");
    assert!(message.contains("no answer of EMQX since"), "{message}");
    let end = events.iter().find(|event| event.verdict.is_some()).expect("an end").time;
    assert_eq!(
        end,
        fixtures::at(90),
        "30 s after the last answer, and the seconds in which clients come back"
    );
}

#[test]
fn an_old_pod_that_restarts_is_no_removal_and_does_not_reset_how_long_the_operator_is_silent() {
    let scene = |change: fn(&mut Pod)| {
        let mut scene = Scene::up(3);
        scene.pods.insert(name("a", 1), change);
        scene
    };
    let scenes = [
        (0, Scene::rest()),
        (1, Scene::asked()),
        (3, Scene::up(3)),
        (40, scene(|pod| pod.deleting = Some(fixtures::at(40)))),
        (45, scene(|pod| pod.uid = "made-again".into())),
    ];
    let events = events_of(&scenes, 100);
    let stalled = events.iter().find(|event| event.verdict == Some(Verdict::Stalled)).expect("it is stalled");
    assert_eq!(stalled.time, fixtures::at(3 + 60), "{}", stalled.message);
    assert!(stalled.message.contains("the operator is silent"), "{}", stalled.message);
    let phases: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    assert!(
        !phases.iter().any(|message| message.contains("1 of 4") || message.contains("1 of 3")),
        "{phases:#?}"
    );
}

#[test]
fn an_old_node_that_emqx_still_lists_is_not_the_end() {
    let still = done().with(|it| it.sets.insert(0, Side("a", OLD, vec![])));
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut events = Vec::new();
    for (now, scene) in [(0, Scene::rest()), (1, Scene::asked()), (3, Scene::up(3))] {
        events.extend(follower.observe(&scene.world(now), fixtures::at(now)));
    }
    let mut world = still.world(9);
    let mut nodes = world.broker(&fixtures::id(ApiVersion::V2)).listed().to_vec();
    nodes.push(Node {
        name: node("a", 0),
        running: true,
        connections: Some(0),
        sessions: Some(0),
        ..Node::default()
    });
    world.apply(fixtures::answer(9, BrokerUpdate::Nodes(nodes)));
    events.extend(follower.observe(&world, fixtures::at(9)));
    assert!(
        events.iter().all(|event| event.verdict.is_none()),
        "currentRevision is new while an old node is listed"
    );
    events.extend(follower.observe(&still.world(10), fixtures::at(10)));
    assert_eq!(last(&events).verdict, Verdict::Upgraded);
}

#[test]
fn an_evacuation_beside_an_upgrade_has_its_own_name_and_end() {
    let at = |state| Scene::rest().empties(1, state);
    let scenes = [
        (0, Scene::rest()),
        (1, at("waiting_health_check")),
        (5, at("evicting_conns").with(|it| it.sets[0].2 = vec![125, 50, 125])),
        (9, at("prohibiting").with(|it| it.sets[0].2 = vec![150, 0, 150])),
        (20, Scene::rest()),
    ];
    let events = events_of(&scenes, 25);
    let id = format!("evacuation/{}", node("a", 1));
    assert!(events.iter().all(|event| event.operation == Operation::Evacuation && event.name == id));
    let phases: Vec<&str> =
        events.iter().filter(|it| it.kind == EventType::Phase).filter_map(|it| it.phase.as_deref()).collect();
    assert_eq!(phases, ["waitHealthCheck", "evictConnections", "prohibiting"]);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(
        verdict,
        Verdict::Evacuated,
        "an empty node that refuses clients is the end of its evacuation"
    );
    assert!(message.contains("is empty and refuses clients"), "{message}");
    let remaining = events_of(&scenes[..3], 8);
    assert_eq!(last(&remaining).verdict, Verdict::Running);
    let lost = [
        (0, Scene::rest()),
        (1, at("evicting_conns")),
        (5, Scene::rest().with(|it| it.sets[0].2 = vec![150])),
    ];
    assert_eq!(last(&events_of(&lost, 9)).verdict, Verdict::NodesLost);
}

#[test]
fn a_new_template_whose_revision_is_not_computed_yet_is_no_upgrade_that_is_done() {
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V2));
    let mut verdicts = Vec::new();
    // At 1 s the operator has changed the template, and `updateRevision` is still the one of the running pods.
    for (now, image) in [(0, OLD), (1, NEW), (2, NEW)] {
        let mut instance = fixtures::instance(ApiVersion::V3beta1);
        instance.image = Some(image.into());
        instance.cores = Some(3);
        let set = Set {
            namespace: "mq".into(),
            name: "emqx-core".into(),
            uid: "emqx-core".into(),
            instance: Some("emqx".into()),
            replicas: 3,
            present: 3,
            image: Some(image.into()),
            update_revision: Some("a".into()),
            created: Some(fixtures::at(-3600)),
            ..Set::default()
        };
        let is = |object: Object| fixtures::fact(now, Update::Upserted(object));
        let mut facts = vec![is(Object::Instance(Box::new(instance))), is(Object::Set(Box::new(set)))];
        for number in 0..3 {
            let pod = fixtures::pod(&format!("emqx-core-{number}"), |it| {
                let (kind, name, uid) = ("StatefulSet".into(), "emqx-core".into(), "emqx-core".into());
                it.owner = Some(Owner { kind, name, uid });
                it.revision = Some("a".into());
                it.image = Some(OLD.into());
            });
            facts.push(is(Object::Pod(Box::new(pod))));
        }
        facts.push(fixtures::answer(now, BrokerUpdate::Nodes(fixtures::nodes(&[100, 100, 100]))));
        let events = follower.observe(&World::of(facts), fixtures::at(now));
        verdicts.extend(events.into_iter().filter_map(|event| event.verdict));
    }
    assert_eq!(verdicts, Vec::<Verdict>::new(), "no pod was replaced");
}
