//! Rows, the cursor, the filter, and what of a long list is visible.

use kubectl_emqx::tui::ViewSetup;

use super::make::{
    Bench, core, documented, emqx, instance, kubernetes, node, nodes, nothing, played, pod, setup,
};
use super::situations::{REBALANCE, SIZES, UNEVEN, idle, thousand};

#[test]
fn the_details_of_a_node_are_shown() {
    for (width, height) in SIZES {
        let mut bench = played(REBALANCE, 55.5);
        bench.keys("Enter");
        insta::assert_snapshot!(format!("node_{width}x{height}"), bench.screen(width, height));
    }
}

#[test]
fn rows_are_filtered_sorted_and_held() {
    let mut bench = idle();
    bench.keys("/").types("-3");
    insta::assert_snapshot!("filter_typing", bench.screen(80, 24));
    bench.keys("Enter");
    assert!(bench.screen(80, 24).contains("/-3"));
    bench.keys("Esc s");
    let screen = bench.screen(80, 24);
    let first = screen.lines().nth(5).unwrap_or_default();
    assert!(first.contains("f5c8-2"), "most connections first: {screen}");
    bench.keys("S");
    let screen = bench.screen(80, 24);
    assert!(screen.lines().nth(5).unwrap_or_default().contains("f5c8-3"), "{screen}");
    bench.keys("Space");
    bench.learn(30, documented(30, &[1, 2, 3, 4], &nothing()));
    bench.tick(30);
    let held = bench.screen(80, 24);
    assert!(held.contains("3,334") && held.contains("HELD for"), "{held}");
    bench.keys("Space");
    assert!(!bench.screen(80, 24).contains("3,334"));
}

#[test]
fn the_cursor_stays_on_its_node_wherever_that_goes() {
    let mut bench = idle();
    bench.keys("j j j");
    assert_eq!(bench.state.selected, Some(node(&core(3))));
    bench.keys("s");
    assert_eq!(bench.state.selected, Some(node(&core(3))));
    let names: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    bench.learn(6, emqx(6, "/api/v5/nodes", &nodes(&names, &[1, 2, 3])));
    bench.learn(6, kubernetes(6, "DELETED", &pod(&core(3), true)));
    bench.screen(80, 24);
    assert!(bench.state.selected.is_some(), "a vanished node leaves the cursor on another");
}

#[test]
fn notices_and_keys_have_their_places() {
    let mut bench = played(REBALANCE, 55.5);
    bench.keys("Tab");
    insta::assert_snapshot!("notices", bench.screen(80, 24));
    bench.keys("Tab ?");
    insta::assert_snapshot!("help", bench.screen(80, 24));
    bench.keys("Esc");
    assert!(bench.state.overlay.is_none());
}

#[test]
fn where_rows_are_out_of_sight_the_table_states_which_are_shown() {
    let mut bench = thousand();
    let first = bench.screen(80, 24);
    assert!(first.contains("1–") && first.contains(" of 1,000"), "{first}");
    bench.keys("G");
    let last = bench.screen(80, 24);
    assert!(last.contains("–1,000 of 1,000"), "{last}");
    assert!(!idle().screen(80, 24).contains(" of 4 "), "not where all are in sight");
    // Also on a narrow page, and the columns keep their titles.
    let narrow = bench.screen(60, 15);
    assert!(narrow.contains("–1,000 of 1,000") && narrow.contains("CONNECTIONS"), "{narrow}");
}

#[test]
fn the_topology_and_the_lists_name_the_visible_rows_where_not_all_fit() {
    let mut bench = thousand();
    let first = bench.keys("t").screen(80, 24);
    assert!(first.contains(" 1–") && first.contains(" of 1,000\n"), "{first}");
    let last = bench.keys("G").screen(80, 24);
    assert!(last.contains("–1,000 of 1,000\n"), "{last}");
    bench.screen(60, 15);
    let narrow = bench.keys("G").screen(60, 15);
    assert!(narrow.contains("–1,000 of 1,000\n"), "{narrow}");
    let whole = idle().keys("t").screen(80, 24);
    assert!(!whole.contains("–4 of 4"), "{whole}");

    let mut facts = documented(0, &UNEVEN, &nothing());
    for number in 0..40 {
        let (name, uid) = (format!("emqx-{number}"), format!("uid-{number}"));
        facts.extend(kubernetes(0, "LISTED", &instance("prod", &name, &uid)));
    }
    let mut bench = Bench::of(ViewSetup { many: true, ..setup() }, facts);
    let clusters = bench.screen(80, 24);
    assert!(clusters.contains("41 EMQX clusters   1–"), "{clusters}");
    let clusters = bench.keys("G").screen(80, 24);
    assert!(clusters.contains("–41 of 41"), "{clusters}");
}

#[test]
fn a_text_that_was_scrolled_past_its_end_moves_with_the_first_key_back() {
    let mut bench = idle();
    let before = bench.keys("?").screen(80, 15);
    for _ in 0..60 {
        bench.keys("j");
        bench.screen(80, 15);
    }
    let end = bench.screen(80, 15);
    assert_ne!(end, before);
    bench.keys("k");
    assert_ne!(bench.screen(80, 15), end, "one key goes one line back");
}
