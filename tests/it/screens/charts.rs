//! The charts, and the picture of README.

use super::make::{Bench, cluster, core, nothing, played, setup};
use super::situations::{REBALANCE, live};

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the picture is a file, and drawn again when a variable requires it"
)]
fn the_picture_in_the_readme_is_of_this_view() {
    let reports = "kubectl emqx watch, 55 seconds into a rebalance: operator reports Failed, EMQX continues";
    let drawn = super::svg::svg(&live().buffer(110, 34), reports);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/view.svg");
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        std::fs::write(path, &drawn).expect("it is written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == drawn, "draw it again: UPDATE_PICTURE=1 cargo test --test it screens picture");
    assert!(include_str!("../../../README.md").contains("](docs/view.svg)"));
}

#[test]
fn the_chart_shows_each_quantity_in_each_window_and_takes_the_whole_page() {
    let mut bench = played(REBALANCE, 55.5);
    let shows = |bench: &mut Bench, texts: &[&str]| {
        let screen = bench.screen(120, 40);
        for text in texts {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        screen
    };
    // The counts of the recording at that moment, and the marks.
    shows(
        &mut bench,
        &["connections per node   all 9,970", "[ ] 5m", "08:42:12 wait", "08:42:32 operator: Failed", "goal"],
    );
    bench.keys("c");
    shows(&mut bench, &["sessions per node"]);
    bench.keys("c");
    shows(&mut bench, &["change per second per node"]);
    bench.keys("c ]");
    shows(&mut bench, &["connections per node", "[ ] 15m"]);
    bench.keys("] ] ]");
    shows(&mut bench, &["[ ] 4h"]);
    bench.keys("[ [ [ [");
    shows(&mut bench, &["[ ] 5m"]);
    bench.keys("C");
    let whole = shows(&mut bench, &["connections per node", "C table"]);
    assert!(!whole.contains("SESSIONS"), "{whole}");
    insta::assert_snapshot!("chart_whole_80x24", bench.screen(80, 24));
    insta::assert_snapshot!("chart_whole_60x15", bench.screen(60, 15));
    bench.keys("Esc");
    shows(&mut bench, &["SESSIONS", "C larger"]);
}

#[test]
fn the_chart_of_an_upgrade_has_a_curve_for_each_revision() {
    let screen = played("v1beta4-guarded-operator-2.2", 48.5).screen(120, 50);
    for text in ["connections per revision", "previous\n", "target\n", "all\n"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
    insta::assert_snapshot!("chart_upgrade_120x50", screen);
}

#[test]
fn the_chart_of_many_nodes_has_the_largest_the_mean_and_the_smallest() {
    let pods: Vec<String> = (0..12).map(core).collect();
    let counts: Vec<u64> = (0..12).map(|number| 100 * number).collect();
    let mut bench = Bench::of(setup(), cluster(0, &pods, &counts, &nothing()));
    bench.tick(3);
    let screen = bench.screen(120, 50);
    for text in ["max", "mean", "min", "1,200"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
}
