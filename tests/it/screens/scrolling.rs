//! Lists that are longer than the page: the position, the keys and the wheel.

use crossterm::event::{KeyModifiers, MouseEvent, MouseEventKind};
use kubectl_emqx::tui::Msg;

use serde_json::json;

use crate::screens::make::{Bench, at, cluster, core, documented, node, nothing, setup};
use crate::screens::situations::{SIZES, idle};

fn wheel(bench: &mut Bench, down: bool) {
    let kind = if down { MouseEventKind::ScrollDown } else { MouseEventKind::ScrollUp };
    bench.send(Msg::Mouse(MouseEvent { kind, column: 20, row: 10, modifiers: KeyModifiers::NONE }));
}

/// A plan for a hundred nodes, with each of them shown.
fn planned() -> Bench {
    let counts: Vec<u64> = (0..100).map(|number| if number < 90 { 1_000 } else { 0 }).collect();
    let mut bench = Bench::of(setup(), documented(0, &counts, &nothing()));
    bench.tick(3);
    bench.keys("p Enter");
    bench
}

#[test]
fn every_node_of_a_plan_can_be_reached_and_the_position_is_shown() {
    let mut bench = planned();
    for (width, height) in SIZES {
        bench.keys("g");
        let first = bench.screen(width, height);
        assert!(first.contains(" 1–") && first.contains(" of 100"), "{first}");
        insta::assert_snapshot!(format!("planned_nodes_{width}x{height}"), first);
        bench.keys("G");
        let last = bench.screen(width, height);
        assert!(last.contains("–100 of 100") && last.contains("-99 "), "{last}");
        // From the end, the first key up moves.
        wheel(&mut bench, false);
        assert!(bench.screen(width, height).contains("–97 of 100"), "{}", bench.screen(width, height));
        let field = bench.state.form.field;
        bench.keys("j");
        assert!(bench.screen(width, height).contains("–97 of 100"), "the keys of a step choose a value");
        bench.keys("k");
        assert_eq!(bench.state.form.field, field);
    }
    // Donors and recipients together need no position.
    let parts = bench.keys("Enter").screen(80, 24);
    assert!(parts.contains("90 donors") && !parts.contains("PageDown"), "{parts}");
    assert!(!idle().keys("p Enter").screen(80, 24).contains("PageDown"), "not where every node is visible");
}

#[test]
fn a_question_that_is_longer_than_the_screen_can_be_read_to_its_end() {
    for (width, height) in [(60, 15), (60, 10), (80, 24)] {
        let mut bench = idle();
        // The values of the requirement give the longest command line.
        bench.keys("p m a");
        let first = bench.screen(width, height);
        assert!(
            first.contains("START A REBALANCE") && first.contains("Type emqx and press Enter"),
            "{first}"
        );
        let mut screens = vec![first.clone()];
        for _ in 0..20 {
            bench.keys("Down");
            screens.push(bench.screen(width, height));
        }
        let last = screens.last().expect("a screen").clone();
        let all = screens.concat();
        for text in [
            "Disconnects",
            "Ends even",
            "= kubectl emqx rebalance apply emqx",
            "--rel-conn-threshold",
            "--context",
        ] {
            assert!(all.contains(text), "{text}\n{all}");
        }
        let fits = last == first;
        assert_eq!(fits, !first.contains("Up Down scroll"), "{first}");
        assert!(fits || first.contains(" 0 above, ") && last.contains(", 0 below"), "{first}\n{last}");
        if !fits {
            bench.keys("Up");
            assert_ne!(bench.screen(width, height), last, "one key goes one line back");
        }
        insta::assert_snapshot!(format!("question_{width}x{height}"), first);
    }
}

#[test]
fn the_wheel_and_the_keys_scroll_notices_in_the_same_direction() {
    let scrolled = |keys: Option<&str>, down: bool| {
        let mut bench = idle();
        for number in 0..60 {
            bench.send(Msg::Tick(at(4 + number)));
            let (tone, text) = (kubectl_emqx::output::theme::Tone::Plain, format!("notice {number}"));
            let cluster = bench.state.clusters.values_mut().next().expect("a cluster");
            cluster.log.push(at(4 + number), tone, text);
        }
        bench.keys("Tab k k k k k k");
        match keys {
            Some(keys) => {
                bench.keys(keys);
            }
            None => wheel(&mut bench, down),
        }
        bench.screen(80, 24)
    };
    assert_eq!(scrolled(None, true), scrolled(Some("j j j"), true));
    assert_eq!(scrolled(None, false), scrolled(Some("k k k"), false));
}

#[test]
fn a_rebalance_of_many_nodes_shows_at_80_columns_whether_clients_are_missing_and_which_rows_are_visible() {
    let pods: Vec<String> = (0..40).map(core).collect();
    let names: Vec<String> = pods.iter().map(|pod| node(pod)).collect();
    let load = json!({"evacuations": [], "purges": [], "rebalances": [{"node": names[0], "coordinator_node": names[0],
        "state": "evicting_conns", "donors": names[..30], "recipients": names[30..],
        "connection_eviction_rate": 10, "session_eviction_rate": 10}]});
    let counts = |moved: u64| -> Vec<u64> {
        (0..40).map(|number| if number < 30 { 900_000 - moved } else { moved * 3 }).collect()
    };
    let mut bench = Bench::of(setup(), cluster(0, &pods, &counts(0), &nothing()));
    for second in 1..20_u64 {
        let at = second.cast_signed();
        bench.learn(at, cluster(at, &pods, &counts(second * 10), &load));
        bench.tick(at);
    }
    let screen = bench.screen(80, 24);
    assert!(screen.contains("none missing") && screen.contains(" of 40\n"), "{screen}");
    let chart = bench.keys("C").screen(120, 40);
    assert!(chart.contains("donors max,mean,min") && chart.contains("recipients m"), "{chart}");
    assert!(!chart.contains(",donors"), "{chart}");
}
