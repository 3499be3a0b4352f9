//! Upgrades that the guard brings to their end, and how long they take.

use super::*;

#[test]
fn a_guarded_upgrade_disconnects_every_client_once_and_loses_nothing() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    let events = run(&mut simulated, MEANS, 200, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (3200, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay, &simulated.hold), (200, 5, &None));
    assert_eq!(verdicts(&events), [Verdict::Upgraded], "{:?}", events.last());
    assert_eq!(events.last().and_then(|event| event.lost_sessions), Some(0));
    let last = guard::next(
        &simulated.world(),
        &fixtures::id(ApiVersion::V1beta4),
        MEANS,
        fixtures::at(simulated.now),
    );
    assert_eq!(last, [GuardAction::Done]);
}

#[test]
fn a_rebalance_that_starts_in_mid_upgrade_is_named_with_the_way_out_and_the_upgrade_continues_after_it() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.rebalance = Some((10, 120));
    let before = run(&mut simulated, MEANS, 60, |_| true);
    let acts = guard::next(
        &simulated.world(),
        &fixtures::id(ApiVersion::V1beta4),
        MEANS,
        fixtures::at(simulated.now),
    );
    let [GuardAction::Needs(what)] = acts.as_slice() else { panic!("{acts:?}") };
    let coordinator = fixtures::core(0);
    assert!(
        what.contains(&format!("kubectl emqx rebalance stop coordinator/{coordinator}"))
            && what.contains("the old pods are held meanwhile"),
        "{what}"
    );
    assert_eq!((simulated.cut, simulated.at_once, simulated.delay), (0, 0, HOLD_SECONDS));
    assert_eq!(verdicts(&before), [], "{:?}", before.last());
    let after = run(&mut simulated, MEANS, 240, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (3200, 0, 0));
    assert_eq!(verdicts(&after), [Verdict::Upgraded], "{:?}", after.last());
    assert_eq!((simulated.delay, &simulated.hold), (5, &None));
}

#[test]
fn it_continues_from_wherever_it_was_killed() {
    for killed in (1..120).step_by(5) {
        let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
        let events = run(&mut simulated, MEANS, 380, |now| now < killed || now > killed + 130);
        assert_eq!(
            (simulated.cut, simulated.at_once, simulated.offline_lost),
            (270, 0, 0),
            "killed at {killed}"
        );
        assert!(simulated.peak_rate <= 30, "killed at {killed}");
        assert_eq!((simulated.delay, &simulated.hold), (5, &None), "killed at {killed}");
        assert_eq!(verdicts(&events), [Verdict::Upgraded], "killed at {killed}: {:?}", events.last());
    }
}

#[test]
fn a_rate_below_the_number_of_nodes_is_shared_in_groups() {
    let mut simulated = SimulatedCluster::new(5, 6, 2, 2);
    run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (30, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay), (2, 5));
}

#[test]
fn one_by_one_goes_at_the_whole_rate_each() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.manner(HoldManner::OneByOne);
    run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (270, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay), (30, 5));
}

/// Each second with the displayed seconds to the end, up to the verdict; and the second of the verdict.
fn shown(simulated: &mut SimulatedCluster) -> (Vec<(i64, u64)>, i64) {
    let id = fixtures::id(ApiVersion::V1beta4);
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V1beta4));
    let mut shown = Vec::new();
    for _ in 0..1000 {
        follower.observe(&simulated.world(), fixtures::at(simulated.now));
        let run = follower.last();
        if run.is_some_and(|run| run.verdict.is_some()) {
            return (shown, simulated.now);
        }
        shown.extend(run.and_then(|run| run.seconds).map(|left| (simulated.now, left)));
        simulated.second();
        let acts = guard::next(&simulated.world(), &id, MEANS, fixtures::at(simulated.now));
        simulated.act(acts);
    }
    panic!("it has no end");
}

#[test]
fn a_guarded_upgrade_never_shows_0_seconds_to_go_before_its_end() {
    for manner in [HoldManner::Together, HoldManner::OneByOne] {
        let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
        simulated.manner(manner);
        let (shown, end) = shown(&mut simulated);
        for (at, left) in &shown {
            assert_ne!(*left, 0, "{manner:?}: at {at}, {} s before the end", end - at);
            let near = *left == 1 && end - at > 5;
            assert!(!near, "{manner:?}: 1 s to go at {at}, {} s before the end", end - at);
        }
    }
}

#[test]
fn one_by_one_has_an_end_time_that_moves_with_every_pod_that_is_emptied() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.manner(HoldManner::OneByOne);
    let (shown, end) = shown(&mut simulated);
    let whole = end - shown[0].0;
    assert!(whole > 100, "{shown:?}");
    for (at, left) in &shown {
        let wrong = (at + i64::try_from(*left).expect("it fits") - end).abs();
        assert!(wrong * 10 <= whole, "{left} s to go at {at}, {} s before the end", end - at);
    }
    // The displayed time does not change for at most the length of one operator loop.
    for pair in shown.windows(22) {
        assert!(pair[21].1 < pair[0].1, "{pair:?}");
    }
}

#[test]
fn without_permission_for_gates_some_are_disconnected_again_but_nothing_is_lost() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.manner(HoldManner::OneByOne);
    run(&mut simulated, GuardPermissions { gates: false, fresh_seconds: PROOF_SECONDS }, 400, |_| true);
    assert!(simulated.cut > 270, "{}", simulated.cut);
    assert_eq!((simulated.at_once, simulated.offline_lost, simulated.delay), (0, 0, 5));
}

#[test]
fn old_answers_of_emqx_prove_nothing() {
    let mut simulated = SimulatedCluster::new(2, 9000, 0, 50);
    run(&mut simulated, MEANS, 30, |_| true);
    let world = simulated.world();
    let later =
        guard::next(&world, &fixtures::id(ApiVersion::V1beta4), MEANS, fixtures::at(simulated.now + 60));
    assert_eq!(later, [GuardAction::Wait("EMQX does not report what it moves".to_owned())]);
}
