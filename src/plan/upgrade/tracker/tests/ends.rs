//! When an upgrade is over, and when it is not.

use super::*;

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
