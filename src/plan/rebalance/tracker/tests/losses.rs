//! Clients that are missing, and nodes that stop or leave.

use super::*;

#[test]
fn clients_that_are_redirected_are_reported_once_with_what_stops_it() {
    let mut scene = until_evicting();
    scene.asked(42, &[3033, 3033, 3034, 0], fixtures::load("evicting_conns"));
    assert_eq!(scene.messages(EventType::Notice), Vec::<&str>::new(), "they get thirty seconds");
    scene.asked(43, &[3023, 3023, 3024, 0], fixtures::load("evicting_conns"));
    scene.asked(44, &[3013, 3013, 3014, 0], fixtures::load("evicting_conns"));
    let notices = scene.messages(EventType::Notice);
    assert!(
        notices.len() == 1
            && notices[0].starts_with("STOP IT: only 0 of 930 evicted clients reached emqx-core-3"),
        "{notices:?}"
    );
    assert!(notices[0].contains("kubectl emqx rebalance stop r "), "{notices:?}");
    // Half of the evicted clients on the recipient are enough: no alarm.
    let mut scene = until_evicting();
    scene.asked(60, &[2853, 2853, 2854, 721], fixtures::load("evicting_conns"));
    assert_eq!(scene.messages(EventType::Notice), Vec::<&str>::new());
}

#[test]
fn missing_clients_get_thirty_seconds_to_come_back() {
    let mut scene = until_evicting();
    scene.asked(91, &[2553, 2553, 2554, 0], fixtures::load("wait_takeover"));
    scene.asked(101, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), None);
    scene.asked(130, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), None);
    scene.asked(131, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::ClientsMissing));
}

#[test]
fn clients_that_come_back_late_are_not_missing() {
    let mut scene = until_evicting();
    scene.asked(91, &[2553, 2553, 2554, 0], fixtures::load("wait_takeover"));
    scene.asked(101, &[2553, 2553, 2554, 0], EvictionStatus::default());
    scene.asked(120, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn clients_that_leave_right_after_the_start_are_reported_missing() {
    let mut scene = Scene::of(&START);
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(4, &[3133, 3133, 3134, 0], fixtures::load("wait_health_check"));
    scene.asked(6, &[3133, 3133, 3134, 0], fixtures::load("wait_health_check"));
    let run = scene.follower.running().expect("it runs");
    assert_eq!(messages::missing(run).map(|it| it.text).as_deref(), Some("600 clients missing"));
}

#[test]
fn clients_of_a_node_that_does_not_report_them_are_not_missing() {
    let mut scene = until_evicting();
    let without = |counts: &[u64; 4]| {
        let mut nodes = fixtures::nodes(counts);
        (nodes[0].connections, nodes[0].sessions) = (None, None);
        nodes
    };
    let unreported = |scene: &mut Scene, at: i64, counts: &[u64; 4], load: EvictionStatus| {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(without(counts))));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    };
    unreported(&mut scene, 14, &[3313, 3313, 3314, 30], fixtures::load("evicting_conns"));
    let run = scene.follower.running().expect("it runs");
    assert_eq!(messages::missing(run), None);
    let event = scene.events.iter().rfind(|event| event.kind == EventType::Progress).expect("progress");
    assert_eq!((event.lost_clients, event.lost_sessions), (None, None), "{}", event.message);
    assert!(!event.message.contains("missing"), "{}", event.message);
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    // The end, and the half minute after it, in which the node reports no counts.
    for second in [101, 112, 140] {
        unreported(&mut scene, second, &END, EvictionStatus::default());
    }
    assert_ne!(scene.verdict(), Some(Verdict::ClientsMissing));
    scene.asked(141, &END, EvictionStatus::default());
    let verdict = scene.verdict();
    assert!(!matches!(verdict, Some(Verdict::ClientsMissing | Verdict::CoordinatorLost)), "{verdict:?}");
}

/// EMQX's answers when core 1 has stopped running.
fn without_core_1(scene: &mut Scene, at: i64, connections: &[u64], load: EvictionStatus) {
    let mut nodes = fixtures::nodes(connections);
    nodes[1] = crate::model::Node { name: fixtures::core(1), stopped: true, ..crate::model::Node::default() };
    scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
    scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
    scene.look(at);
}

#[test]
fn a_node_that_stops_in_mid_run_is_named_with_its_clients_and_never_balanced() {
    let mut scene = until_evicting();
    without_core_1(&mut scene, 20, &[3263, 0, 3264, 3473], EvictionStatus::default());
    let notices = scene.messages(EventType::Notice);
    assert!(
        notices[0].contains("(donor) stopped running at 10:00:20 UTC with 3,323 clients on it"),
        "{notices:?}"
    );
    without_core_1(&mut scene, 23, &[3263, 0, 3264, 3473], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
    // The node starts again and the counts at the end are even: the verdict is still `nodesLost`.
    let mut scene = until_evicting();
    without_core_1(&mut scene, 20, &[3263, 0, 3264, 3473], fixtures::load("evicting_conns"));
    scene.asked(30, &[2500, 2500, 2500, 2500], fixtures::load("wait_takeover"));
    scene.asked(40, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    scene.asked(51, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
}

#[test]
fn a_node_that_stops_in_an_outage_in_which_the_rebalance_can_have_ended_leaves_the_verdict_unknown() {
    let after_outage = |mut scene: Scene, until: i64| {
        for at in [until, until + 11] {
            without_core_1(&mut scene, at, &[3800, 0, 3900, 2280], EvictionStatus::default());
        }
        let notices = scene.messages(EventType::Notice).join("; ");
        (scene.follower.runs[0].verdict.clone().expect("it is over"), notices)
    };
    // 12 s of work are left, and EMQX does not answer for 100 s.
    let mut scene = until_evicting();
    scene.asked(100, &[2573, 2573, 2574, 2280], fixtures::load("evicting_conns"));
    let (Judgement { verdict, message }, notices) = after_outage(scene, 200);
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    let stop = "(donor) stopped running between 10:01:40 UTC and 10:03:20 UTC with 2,573 clients on it at 10:01:40 UTC";
    assert!(message.contains(stop), "{message}");
    assert!(message.contains("whether the rebalance had ended before is not known"), "{message}");
    assert!(notices.contains(stop), "{notices}");
    // It cannot have come to its end in 47 s.
    let (Judgement { verdict, message }, _) = after_outage(until_evicting(), 60);
    assert_eq!(verdict, Verdict::NodesLost, "{message}");
}

#[test]
fn a_donor_that_a_scale_down_removes_in_mid_run_is_lost_and_never_balanced() {
    let mut scene = until_evicting();
    // EMQX does not list a node that left the cluster; its clients reconnected to the others.
    for (at, load) in [
        (20, fixtures::load("evicting_conns")),
        (22, fixtures::load("evicting_conns")),
        (30, EvictionStatus::default()),
    ] {
        let mut nodes = fixtures::nodes(&[4400, 0, 2800, 2800]);
        nodes.remove(1);
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    }
    scene.asked(41, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
}

#[test]
fn a_core_that_takes_no_part_and_stops_is_no_loss_of_the_rebalance() {
    let mut scene = Scene::of(&[3333, 3333, 3334, 0, 0]);
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &[3333, 3333, 3334, 0, 0], fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0, 0], fixtures::load("evicting_conns"));
    let mut nodes = fixtures::nodes(&[2553, 2553, 2554, 2340, 0]);
    nodes[4] = crate::model::Node { name: fixtures::core(4), stopped: true, ..crate::model::Node::default() };
    for (at, load) in [(91, fixtures::load("wait_takeover")), (101, EvictionStatus::default())] {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes.clone())));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    }
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn a_node_that_stops_after_the_end_is_no_loss_of_the_rebalance() {
    let mut scene = until_evicting();
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(93, &END, EvictionStatus::default());
    scene.asked(96, &END, EvictionStatus::default());
    without_core_1(&mut scene, 100, &END, EvictionStatus::default());
    without_core_1(&mut scene, 104, &END, EvictionStatus::default());
    assert_ne!(scene.verdict(), Some(Verdict::NodesLost));
}
