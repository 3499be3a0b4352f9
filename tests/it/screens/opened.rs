//! A view that is opened in the middle of something: what began before has no invented time, and an object that no operator
//! picks up names what to type.

use jiff::SignedDuration;
use kubectl_emqx::model::{BrokerUpdate, Link};
use kubectl_emqx::tui::closing_line;
use kubectl_emqx::tui::{Msg, Play, ViewSetup};
use serde_json::{Value, json};

use crate::screens::make::{
    Bench, answer, at, core, documented, emqx, evacuation, instance, kubernetes, node, nodes, nothing, pod,
    received, setup,
};
use crate::screens::sections::{joined, player};
use crate::screens::situations::{REBALANCE, SIZES, UNEVEN, running};

#[test]
fn what_began_before_the_view_was_opened_has_the_time_of_its_source_or_none() {
    let mut bench = joined(true);
    let opened = bench.state.now;
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let screen = bench.screen(width, height);
        assert!(screen.contains(" 08:43:04  began earlier: evicting 30 clients a second"), "{screen}");
        assert!(screen.contains(" 08:43:04  operator reports Failed since 08:42:32 UTC"), "{screen}");
        assert!(!screen.contains(" 08:43:04  evict"), "{screen}");
        let (any, before) = ("08:43:04 evict", "before 08:43:04 evict");
        assert_eq!(screen.matches(any).count(), screen.matches(before).count(), "{screen}");
    }
    bench.send(Msg::Tick(opened + SignedDuration::from_secs(60)));
    let screen = bench.screen(120, 40);
    assert!(screen.contains("before 08:43:04 evict"), "{screen}");
    let marks = bench.state.here().expect("a cluster").marks.iter();
    let marks: Vec<String> = marks.map(|mark| format!("{} {} {}", mark.at, mark.text, mark.timed)).collect();
    insta::assert_snapshot!("opened_in_the_middle_marks", marks.join("\n"));
    insta::assert_snapshot!("opened_in_the_middle_120x40", joined(true).screen(120, 40));
}

#[test]
fn an_evacuation_that_ran_when_the_view_was_opened_has_no_time_of_its_begin() {
    for (state, connections) in [("evicting_conns", 1200), ("prohibiting", 0)] {
        let load = evacuation(&core(2), state, connections, connections);
        let mut bench = Bench::of(setup(), documented(5, &[3333, 3333, 3334, 0], &load));
        bench.tick(6);
        let marks: Vec<bool> =
            bench.state.here().expect("a cluster").marks.iter().map(|mark| mark.timed).collect();
        assert!(!marks.is_empty() && marks.iter().all(|timed| !timed), "{marks:?}");
        insta::assert_snapshot!(format!("opened_in_an_evacuation_{state}"), bench.screen(120, 40));
    }
}

/// A Rebalance that no operator has picked up, created 100 s before the view was opened.
fn pending() -> Value {
    json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "evening", "namespace": "mq", "uid": "waits", "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T09:58:20Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}}})
}

#[test]
fn an_object_that_no_operator_picks_up_names_the_next_step_at_every_size() {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &pending()));
    let mut bench = Bench::of(setup(), facts);
    bench.learn(60, documented(60, &UNEVEN, &nothing()));
    bench.tick(60);
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        for text in [
            "WAITING",
            "waiting for the operator (2m40s)",
            "kubectl get pods -A | grep emqx-operator",
            "x deletes it",
        ] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        insta::assert_snapshot!(format!("waiting_for_the_operator_{width}x{height}"), screen);
    }
    // In a view that may change nothing the key is not offered.
    bench.state.setup.read_only = true;
    let screen = bench.screen(80, 24);
    assert!(screen.contains("grep emqx-operator") && !screen.contains("x deletes it"), "{screen}");
}

#[test]
fn the_list_of_clusters_shows_which_counts_are_old_and_one_line_stays_after_it() {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &instance("prod", "orders", "two")));
    let mut bench = Bench::of(ViewSetup { many: true, ..setup() }, facts);
    bench.tick(3);
    let lost = Link::Unreachable("pod emqx-core-0 does not answer: reset".into());
    bench.learn(4, vec![answer(4, BrokerUpdate::Link("nodes", lost))]);
    bench.tick(90);
    bench.learn(90, received(at(90)));
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("mq/emqx: emqx LOST, 90s ago"), "{screen}");
        assert!(width < 72 || screen.contains("~10,000"), "{screen}");
    }
    insta::assert_snapshot!("clusters_old_80x24", bench.screen(80, 24));
    let line = closing_line::line(&bench.state).expect("a line");
    assert!(
        line.starts_with("2 EMQX clusters: mq/emqx NOT SURE, ")
            && line.ends_with("; kubectl emqx status -A shows them"),
        "{line}"
    );
}

#[test]
fn the_history_has_a_running_evacuation_in_the_words_of_the_program() {
    let facts = documented(0, &UNEVEN, &evacuation(&core(2), "waiting_health_check", 3334, 3400));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    for (width, height) in SIZES {
        let screen = bench.keys("h").screen(width, height);
        let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        bench.keys("Esc");
        assert!(!screen.contains("waiting_health_check"), "{screen}");
        assert!(
            words.contains("emqx-core-66c88f5c8-2: running: waiting for load balancers to notice"),
            "{screen}"
        );
    }
}

#[test]
fn a_rebalance_that_is_no_longer_listed_has_only_its_earlier_steps_done() {
    let mut bench = running();
    assert!(bench.screen(80, 24).contains("wait ✓ ── evict 84s ─"), "{}", bench.screen(80, 24));
    bench.learn(6, documented(6, &[3300, 3300, 3300, 100], &nothing()));
    bench.tick(6);
    let screen = bench.screen(80, 24);
    let steps = screen.lines().find(|line| line.starts_with(" wait ✓")).unwrap_or_default();
    assert!(screen.contains("WAITING  coordinator core-…f5c8-0: EMQX does not list it any more"), "{screen}");
    assert!(
        steps.contains("evict") && steps.contains("sessions") && steps.matches('✓').count() == 1,
        "{screen}"
    );
}

#[test]
fn the_beginning_of_a_recording_has_its_position_bar() {
    let (mut bench, mut player) = player(REBALANCE);
    player.play(&mut bench.state, Play::Mark(true)).expect("it plays");
    player.play(&mut bench.state, Play::Begin).expect("it plays");
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(
            screen.contains("the beginning of the recording") && screen.contains("0s of 2m16s"),
            "{screen}"
        );
    }
}

#[test]
fn the_page_of_a_node_reports_that_its_pod_was_removed_at_every_size() {
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    bench.keys("j Enter");
    let names: Vec<String> = [0, 2, 3].map(|number| node(&core(number))).to_vec();
    bench.learn(9, kubernetes(9, "DELETED", &pod(&core(1), true)));
    bench.learn(9, emqx(9, "/api/v5/nodes", &nodes(&names, &[3333, 3334, 3333])));
    bench.tick(9);
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("emqx-core-66c88f5c8-1 was removed"), "{screen}");
    }
}
