//! Upgrades without a guard, and upgrades that stall, lose clients or are undone.

use super::*;

#[test]
fn unguarded_the_follower_reports_disconnections_and_lost_sessions() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.hold = None;
    simulated.delay = 0;
    let events = run(&mut simulated, MEANS, 150, |_| false);
    assert!(simulated.at_once > 3200 && simulated.offline_lost == 240);
    let last = events.last().expect("there are steps");
    assert_eq!((last.verdict, last.lost_sessions), (Some(Verdict::Upgraded), Some(240)), "{last:?}");
    let percents: Vec<u8> = events.iter().filter_map(|event| event.percent).collect();
    assert!(percents.is_sorted());
}

#[test]
fn a_paused_upgrade_without_a_guard_is_not_stalled_and_is_reported_as_paused() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    let events = run(&mut simulated, MEANS, 2000, |_| false);
    assert_eq!(verdicts(&events), []);
    assert!(events.iter().any(|event| event.message.contains("3 old pods held")), "{events:?}");
    assert_eq!((simulated.cut, simulated.at_once), (0, 0));
}

#[test]
fn new_pods_that_never_come_up_are_a_stall() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.new_up_after = None;
    let events = run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!(verdicts(&events), [Verdict::Stalled]);
    let reason = events.last().and_then(|event| event.reason.clone()).unwrap_or_default();
    assert!(reason.contains("does not open its gate"), "{reason}");
    assert_eq!(simulated.cut, 0);
}

#[test]
fn clients_that_never_come_back_are_missing() {
    let mut simulated = SimulatedCluster::new(2, 100, 0, 50);
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V1beta4));
    let mut events = follower.observe(&simulated.world(), fixtures::at(0));
    for _ in 0..250 {
        simulated.second();
        simulated.flying = 0;
        let acts = guard::next(
            &simulated.world(),
            &fixtures::id(ApiVersion::V1beta4),
            MEANS,
            fixtures::at(simulated.now),
        );
        simulated.act(acts);
        events.extend(follower.observe(&simulated.world(), fixtures::at(simulated.now)));
    }
    assert_eq!(verdicts(&events), [Verdict::ClientsMissing]);
}

#[test]
fn a_way_back_keeps_the_old_pods_and_empties_the_new_ones() {
    let mut simulated = SimulatedCluster::new(3, 900, 7, 30);
    run(&mut simulated, MEANS, 45, |_| true);
    let next = |simulated: &SimulatedCluster| {
        guard::next(
            &simulated.world(),
            &fixtures::id(ApiVersion::V1beta4),
            MEANS,
            fixtures::at(simulated.now),
        )
    };
    simulated.undone = true;
    simulated.manner(HoldManner::Undo);
    let acts = next(&simulated);
    let stops = acts.iter().filter(|act| matches!(act, GuardAction::StopEvacuation { .. })).count();
    let gates = acts.iter().filter(|act| matches!(act, GuardAction::SetGate { serving: true, .. })).count();
    assert_eq!((stops, gates, acts.len()), (3, 3, 6), "{acts:?}");
    run(&mut simulated, MEANS, 120, |_| true);
    let of = |set: &str| -> u64 {
        let pods = simulated.pods.iter().filter(|(name, _)| name.starts_with(set));
        pods.map(|(_, pod)| pod.connections).sum()
    };
    assert_eq!((of(OLD), of(NEW), simulated.at_once), (2700, 0, 0));
    assert_eq!(simulated.delay, HOLD_SECONDS, "with two sets the operator would empty the first");
    assert!(simulated.given_up, "the set that was given up is scaled to 0 once it is empty");
    simulated.pods.retain(|name, _| name.starts_with(OLD));
    run(&mut simulated, MEANS, 3, |_| true);
    assert_eq!((simulated.delay, &simulated.hold), (5, &None));
    assert_eq!(next(&simulated), [GuardAction::Done]);
}

#[test]
fn an_undo_uses_the_operators_copy_while_emqx_does_not_answer() {
    let id = fixtures::id(ApiVersion::V1beta4);
    let mut simulated = SimulatedCluster::new(2, 900, 0, 30);
    run(&mut simulated, MEANS, 12, |_| true);
    let mut world = simulated.world();
    let mut instance = world.instance(&id).cloned().expect("it is there");
    instance.evacuations = vec![Evacuation::in_state(node(&format!("{OLD}-0")), "prohibiting")];
    let copied = Update::Upserted(Object::Instance(Box::new(instance)));
    world.apply(fixtures::fact(simulated.now, copied));
    assert_eq!(undo::undo(&world, &id), Some(Undo::Keep), "EMQX answers that nothing is evacuated");
    let away = BrokerUpdate::Link("nodes", Link::Unreachable("timeout".to_owned()));
    world.apply(fixtures::answer_of(ApiVersion::V1beta4, simulated.now + 60, away));
    assert_eq!(undo::undo(&world, &id), Some(Undo::Never("1 of 2 old pods empty".to_owned())));
}
