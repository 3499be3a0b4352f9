//! A tracker that joins an upgrade in progress.

use super::*;

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
