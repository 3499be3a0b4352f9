//! What stops an upgrade, and what is no stall.

use super::*;

fn stalls(scene: Scene, within: i64) -> String {
    let scenes = [(0, Scene::rest()), (1, Scene::asked()), (3, scene)];
    let events = events_of(&scenes, within);
    let Judgement { verdict, message } = last(&events);
    assert_eq!(verdict, Verdict::Stalled, "{message}");
    message
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
