//! Upgrades that are undone.

use super::*;

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
