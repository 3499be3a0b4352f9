//! Percentages, and the pauses between reports.

use super::*;

#[test]
fn percent_rises_only() {
    let scene = until_evicting();
    let percents: Vec<u8> = scene.events.iter().filter_map(|event| event.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[test]
fn a_follower_reports_at_least_every_thirty_seconds_also_when_nothing_moves() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |it| it.created = Some(fixtures::at(1)));
    for second in 2..200 {
        scene.look(second);
    }
    let times: Vec<i64> =
        scene.events.iter().map(|event| event.time.as_second() - fixtures::at(0).as_second()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 30) && times.last() >= Some(&170), "{times:?}");
    assert!(
        scene.messages(EventType::Progress).iter().any(|it| it.starts_with("waiting for the operator ("))
    );
    assert_eq!(scene.follower.running().map(RebalanceRun::standing), Some(Verdict::Waiting));
}

#[test]
fn percent_does_not_move_while_no_client_moves() {
    let mut scene = until_evicting();
    scene.asked(20, &[3263, 3263, 3264, 180], fixtures::load("evicting_conns"));
    let before = scene.follower.running().map(|run| run.percent);
    for second in 21..60 {
        scene.asked(second, &[3263, 3263, 3264, 180], fixtures::load("evicting_conns"));
    }
    assert_eq!(scene.follower.running().map(|run| run.percent), before);
}
