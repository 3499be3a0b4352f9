//! Drains that an earlier process began.

use super::*;

fn stored_of(state: &DrainState) -> OperationState {
    OperationState {
        drain: Some(state.clone()),
        ..fixtures::operation_state(&fixtures::id(ApiVersion::V2beta1), "instance")
    }
}

#[test]
fn a_drain_of_other_nodes_that_is_not_finished_refuses_this_one_and_one_of_the_same_is_continued() {
    let mut world = world(&[9, 9, 9, 9], EvictionStatus::default());
    let state = DrainState {
        version: 1,
        time: fixtures::at(0),
        machines: vec!["worker-1".into()],
        pods: stored_pods(&[1], true),
        connections: Some(36),
        by: None,
        reason: None,
    };
    let stored = stored_of(&state);
    world.apply(fixtures::fact(0, Update::Upserted(Object::State(Box::new(stored)))));
    let other = planned(&world, &placement(4), &request(&[0]));
    assert_eq!(blocked(&other), Some("drain-unfinished"));
    let same = planned(&world, &placement(4), &request(&[1]));
    assert!(same.removal.resumed && same.removal.pods[0].started, "{same:?}");
    assert_eq!(DrainState::parse(&state.text()), Some(state.clone()));
    // A part of its nodes would leave the others cordoned and their evacuations unknown.
    let more = DrainState { machines: vec!["worker-1".into(), "worker-2".into()], ..state.clone() };
    let of = OperationState { drain: Some(more), ..stored_of(&state) };
    world.apply(fixtures::fact(1, Update::Upserted(Object::State(Box::new(of)))));
    assert_eq!(blocked(&planned(&world, &placement(4), &request(&[1]))), Some("drain-unfinished"));
    assert!(planned(&world, &placement(4), &request(&[2, 1])).removal.resumed);
}

#[test]
fn the_own_evacuation_of_a_drain_that_is_continued_does_not_refuse_it() {
    let emptied =
        |stage: Stage| EvictionStatus { evacuations: vec![entry(2, stage)], ..EvictionStatus::default() };
    let state = DrainState {
        version: 1,
        time: fixtures::at(0),
        machines: vec!["worker-1".into(), "worker-2".into()],
        pods: [stored_pods(&[2], true), stored_pods(&[1], false)].concat(),
        connections: Some(27),
        by: None,
        reason: None,
    };
    for stage in [Stage::EvictingConns, Stage::Prohibiting] {
        let mut world = world(&[9, 9, 9], emptied(stage.clone()));
        let stored = Update::Upserted(Object::State(Box::new(stored_of(&state))));
        world.apply(fixtures::fact(0, stored));
        let drain = planned(&world, &placement(3), &request(&[1, 2]));
        let found: Vec<&str> = drain.removal.findings.iter().map(|it| it.id).collect();
        assert!(drain.removal.resumed && blocked(&drain).is_none(), "{stage:?}: {found:?}");
        assert!(!found.contains(&"evacuation-running"), "{found:?}");
    }
    // An evacuation of a pod that the drain does not move leaves one of three nodes to take clients.
    let mut foreign = emptied(Stage::Prohibiting);
    foreign.evacuations.push(entry(0, Stage::Prohibiting));
    let drain = planned(&world(&[9, 9, 9], foreign), &placement(3), &request(&[1, 2]));
    assert!(blocked(&drain).is_some(), "{:?}", drain.removal.findings);
}

#[test]
fn the_end_of_an_evacuation_that_an_earlier_process_started_follows_from_its_stored_waits() {
    let waiting = Evacuation {
        stage: Stage::WaitHealthCheck,
        state: "wait_health_check".into(),
        connections: Some(10),
        sessions: Some(10),
        ..entry(1, Stage::EvictingConns)
    };
    let message = |waits: Option<EvacuationWaits>, started: bool| {
        let load = EvictionStatus { evacuations: vec![waiting.clone()], ..EvictionStatus::default() };
        let mut world = world(&[9, 10, 9, 9], load);
        let pods = stored_pods(&[1], started).into_iter();
        let state = DrainState {
            version: 1,
            time: fixtures::at(0),
            machines: vec!["worker-1".into()],
            pods: pods.map(|pod| DrainedPod { waits, ..pod }).collect(),
            connections: Some(37),
            by: None,
            reason: None,
        };
        assert_eq!(DrainState::parse(&state.text()), Some(state.clone()));
        world.apply(fixtures::fact(0, Update::Upserted(Object::State(Box::new(stored_of(&state))))));
        let mut tracker = EvacuationTracker::default();
        let id = fixtures::id(ApiVersion::V2beta1);
        tracker.observe(&world, &id, &BTreeSet::new(), fixtures::at(1));
        assert_eq!(tracker.runs[0].planned, None, "it was not seen from its beginning");
        tracker.runs[0].message()
    };
    let stored = EvacuationWaits { health_check_seconds: 5, takeover_seconds: 7 };
    let ends = |message: &str, with: &str| message.ends_with(with);
    let known = message(Some(stored), true);
    assert!(ends(&known, ", at most 13s to go"), "{known}");
    for unknown in [message(None, true), message(Some(stored), false)] {
        assert!(ends(&unknown, ", at most 2m1s to go with EMQX's default waits"), "{unknown}");
    }
}
