//! Starts that an operator delays, and those that were not observed.

use super::*;

#[test]
fn one_that_an_operator_starts_late_is_not_stalled_since_its_object_was_created() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.look(60);
    scene.object(100, Phase::Processing, |_| {});
    scene.asked(101, &START, fixtures::load("wait_health_check"));
    scene.asked(102, &START, fixtures::load("wait_health_check"));
    assert_eq!(scene.verdict(), None);
}

#[test]
fn an_object_that_waits_for_an_operator_is_waiting_also_when_the_recording_ends() {
    for answered in [true, false] {
        let mut scene = Scene::empty();
        if answered {
            scene.asked(0, &START, EvictionStatus::default());
        }
        scene.look(0);
        scene.object(1, Phase::Pending, |it| it.created = Some(fixtures::at(1)));
        scene.look(60);
        let last = scene.follower.finish(&scene.world, fixtures::at(60));
        let last = last.last().expect("a last event");
        assert_eq!(last.verdict, Some(Verdict::Waiting), "{}", last.message);
        assert!(last.message.contains("waiting for the operator (59s)"), "{}", last.message);
    }
}

#[test]
fn a_rebalance_that_a_late_operator_starts_has_the_duration_and_the_counts_of_its_own_start() {
    let notices = |answers: bool| {
        let mut scene = Scene::of(&START);
        scene.object(1, Phase::Pending, |_| {});
        // A fifth of the clients leaves before the operator begins.
        let fewer = START.map(|count| count * 4 / 5);
        for second in 2..100 {
            if answers {
                scene.asked(second, &fewer, EvictionStatus::default());
            } else {
                scene.look(second);
            }
        }
        scene.object(100, Phase::Processing, |it| it.started = Some(fixtures::at(100)));
        if answers {
            scene.asked(101, &fewer, fixtures::load("wait_health_check"));
        }
        scene.asked(112, &fewer, fixtures::load("evicting_conns"));
        let end = [2003, 2003, 2004, 1989];
        scene.asked(168, &end, fixtures::load("wait_takeover"));
        for second in [178, 189, 220] {
            scene.asked(second, &end, EvictionStatus::default());
        }
        let run = scene.follower.runs.last().expect("a run");
        (run.verdict.clone().map(|judgement| judgement.verdict), run.duration_seconds())
    };
    assert_eq!(notices(true), (Some(Verdict::Balanced), Some(77)));
    // EMQX did not answer until it ran: the object gives its start, and nothing gives the counts.
    assert_eq!(notices(false), (Some(Verdict::Balanced), Some(78)));
}

#[test]
fn clients_that_left_before_a_late_start_are_not_missing_although_emqx_reported_no_counts_at_that_start() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    let listed = |scene: &mut Scene, at: i64, load: EvictionStatus| {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    };
    for second in 2..100 {
        listed(&mut scene, second, EvictionStatus::default());
    }
    scene.object(100, Phase::Processing, |it| it.started = Some(fixtures::at(100)));
    listed(&mut scene, 101, fixtures::load("wait_health_check"));
    listed(&mut scene, 112, fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].start, None, "the counts of second 0 are not those of the start");
    // A fifth of the clients left before the operator began.
    scene.asked(113, &[2656, 2656, 2657, 30], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].counted_since, Some(fixtures::at(113)));
    let end = [2003, 2003, 2004, 1989];
    scene.asked(168, &end, fixtures::load("wait_takeover"));
    for second in [178, 189, 220] {
        scene.asked(second, &end, EvictionStatus::default());
    }
    assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
}

#[test]
fn a_rebalance_that_began_while_the_machine_slept_has_the_duration_since_its_start() {
    let duration = |started: Option<i64>| {
        let mut scene = Scene::of(&START);
        scene.object(1, Phase::Pending, |_| {});
        // The machine sleeps from second 1 to second 31.
        scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| {
            (it.created, it.started) = (Some(fixtures::at(1)), started.map(fixtures::at));
        }));
        scene.asked(31, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
        scene.asked(91, &END, fixtures::load("wait_takeover"));
        for second in [101, 112] {
            scene.asked(second, &END, EvictionStatus::default());
        }
        assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
        scene.follower.runs[0].duration_seconds()
    };
    assert_eq!(duration(Some(1)), Some(100));
    // Without the start that the operator reports it is not known.
    assert_eq!(duration(None), None);
}
