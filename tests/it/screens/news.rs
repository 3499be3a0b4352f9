//! What the view announces and records when facts arrive.

use jiff::SignedDuration;
use kubectl_emqx::app::Wire;
use kubectl_emqx::model::{Fact, Link, Source, Update};
use kubectl_emqx::ports::Translate;
use kubectl_emqx::tui::{Effect, Msg};

use super::make::{
    Bench, at, core, documented, id, instance, kubernetes, node, nodes, nothing, played, received, setup,
};
use super::situations::{REBALANCE, SIZES, UNEVEN, idle, live, live_until, not_arriving};

#[test]
fn clients_that_do_not_come_back_turn_the_headline_and_ring_the_bell_once() {
    let mut bench = not_arriving();
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("2,370 of 10,000 clients are offline and do not come back"), "{screen}");
        insta::assert_snapshot!(format!("stop_it_{width}x{height}"), screen);
    }
    assert!(bench.screen(80, 24).contains("0 of 2,370 evicted clients reached emqx-core-66c88f5c8-3"));
    let alarms: Vec<&Effect> =
        bench.effects.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).collect();
    let [Effect::Alarm(title)] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert!(title.starts_with("emqx: STOP IT: ") && title.is_ascii(), "{title}");
    // The status of the same moment has the same text, and the command to type.
    let board = bench.state.board().expect("a board");
    assert!(board.status.message.contains("STOP IT: 2,370 of"), "{}", board.status.message);
    assert_eq!(board.status.next.as_deref(), Some("kubectl emqx rebalance stop emqx"));
}

#[test]
fn what_is_deleted_and_made_again_is_shown_as_what_it_is() {
    let mut bench = idle();
    bench.learn(5, kubernetes(5, "DELETED", &instance("mq", "emqx", "one")));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("GONE") && screen.contains("EMQX mq/emqx is gone"), "{screen}");
    bench.learn(9, kubernetes(9, "ADDED", &instance("mq", "emqx", "two")));
    assert!(!bench.screen(80, 24).contains("GONE"), "it comes back by itself");
}

#[test]
fn counters_that_go_backwards_are_only_other_numbers() {
    let mut bench = idle();
    for (second, counts) in [(10, [5, 5, 5, 5]), (11, [3333, 0, 1, 9]), (9, [1, 1, 1, 1])] {
        bench.learn(second, documented(second, &counts, &nothing()));
        bench.tick(second);
        bench.screen(80, 24);
    }
}

#[test]
fn nothing_is_drawn_when_nothing_changed() {
    let mut bench = idle();
    bench.screen(80, 24);
    bench.state.dirty = false;
    bench.learn(4, documented(4, &UNEVEN, &nothing()));
    assert!(!bench.state.dirty, "the same again is nothing to draw");
    bench.learn(5, documented(5, &[3333, 3333, 3333, 1], &nothing()));
    assert!(bench.state.dirty);
}

#[test]
fn an_unreachable_server_is_reported_once_and_not_for_each_resource() {
    let mut bench = idle();
    let why = "the API server at https://10.0.0.1:6443 does not answer";
    for (place, resource) in
        ["emqxes", "rebalances", "pods", "statefulsets", "events"].into_iter().enumerate()
    {
        let second = 10 + i64::try_from(place).expect("a few");
        let lost = Update::Link(Source::Kubernetes, resource, Link::Unreachable(why.into()));
        bench.learn(second, vec![Fact { at: at(second), update: lost }]);
    }
    let screen = bench.screen(120, 40);
    assert_eq!(screen.matches(why).count(), 1, "{screen}");
}

#[test]
fn a_verdict_is_recorded_once_as_soon_as_the_operation_has_ended() {
    let requests = |bench: &Bench| -> Vec<String> {
        let ended = bench.effects.iter().filter_map(|effect| match effect {
            Effect::RecordVerdicts(ended) => Some(ended),
            _ => None,
        });
        ended.flatten().map(|it| format!("{} {}", it.entry.name, it.entry.verdict.as_str())).collect()
    };
    assert!(requests(&live()).is_empty(), "it still runs");
    let mut bench = live_until(106.5);
    let now = bench.state.now;
    let names: Vec<String> = (0..4).map(|number| node(&core(number))).collect();
    for second in 1..60 {
        let now = now + SignedDuration::from_secs(second);
        let mut facts =
            Wire.emqx(now, &id(), "/api/v5/nodes", 200, &nodes(&names, &[2553, 2553, 2554, 2340]));
        facts.extend(Wire.emqx(now, &id(), "/api/v5/load_rebalance/global_status", 200, &nothing()));
        facts.extend(received(now));
        bench.learn_at(now, facts);
        // While facts are drawn one after the other, no tick is sent in between.
        if second > 50 {
            assert!(!requests(&bench).is_empty(), "{second} s");
            bench.send(Msg::Tick(now));
        }
    }
    let screen = bench.screen(120, 40);
    let [one] = requests(&bench).try_into().unwrap_or_else(|all| panic!("{all:?}\n{screen}"));
    assert!(one.ends_with(" balanced"), "{one}");
    assert!(requests(&played(REBALANCE, 106.5)).is_empty(), "a recording changes nothing");
}

#[test]
fn an_event_of_another_instance_with_a_longer_name_is_not_announced() {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &instance("mq", "emqx-core-66c88f5c8-0", "two")));
    let mut bench = Bench::of(setup(), facts);
    bench.state.open(&id());
    bench.learn(20, kubernetes(20, "ADDED", &cluster_event("one", "of the longer name", 20)));
    let screen = bench.keys("Tab").screen(120, 40);
    assert!(!screen.contains("of the longer name"), "{screen}");
}

/// An event of the first pod, as the watch delivers it.
fn cluster_event(name: &str, message: &str, last: i64) -> serde_json::Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Unhealthy", "message": message,
        "metadata": {"name": name, "namespace": "mq", "uid": name, "resourceVersion": "1"},
        "involvedObject": {"kind": "Pod", "namespace": "mq", "name": core(0)}, "count": 1,
        "lastTimestamp": at(last).to_string()})
}

#[test]
fn each_event_of_one_second_is_announced_whenever_it_arrives() {
    let mut bench = idle();
    for (seconds, name, message, last) in [
        (20, "one", "the first of a second", 20),
        (20, "two", "the second of the same second", 20),
        (22, "three", "one of an earlier second", 19),
        (23, "one", "the first of a second", 20),
    ] {
        bench.learn(seconds, kubernetes(seconds, "ADDED", &cluster_event(name, message, last)));
    }
    let screen = bench.keys("Tab").screen(120, 40);
    for message in ["the first of a second", "the second of the same second", "one of an earlier second"] {
        assert_eq!(screen.matches(message).count(), 1, "{message}\n{screen}");
    }
}
