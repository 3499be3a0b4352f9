//! The built program on a terminal of its own, against the pretend cluster: opened, driven by keys, left in every way; and
//! the terminal whole afterwards.
#![cfg(unix)]

#[path = "../support/session.rs"]
#[expect(dead_code, reason = "the measurement of the view uses the rest")]
mod session;

use std::path::PathBuf;

use session::{Cluster, Session};

/// The program under test.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_kubectl-emqx").into()
}

#[test]
fn opened_filtered_planned_applied_watched_and_left() {
    let cluster = Cluster::serve("documented", "20");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven: 3 nodes hold everything");
    view.types("/-3\r");
    view.until("one row", |text| text.contains("/-3") && !text.contains("f5c8-0"));
    view.types("\u{1b}");
    view.sees("f5c8-0");
    view.types("p");
    view.sees("PLAN");
    view.sees("every node within");
    view.types("m10\r");
    view.types("j100\rj1.1\rj10\rj10\r");
    view.sees("78 rounds");
    view.types("a");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("REBALANCING");
    view.sees("BALANCED");
    view.types("q");
    view.ends(0);
}

#[test]
fn a_running_one_is_stopped_after_a_typed_word() {
    let cluster = Cluster::serve("documented", "5");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    view.types("pm10\rj100\rjj10\rj10\ra");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("evicting 30 clients a second");
    view.types("x");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("STOPPED");
    view.types("q");
    view.ends(0);
}

#[test]
fn a_followed_rebalance_that_is_stopped_from_the_view_ends_with_exit_0() {
    let cluster = Cluster::serve("documented", "10");
    let mut view = Session::open(
        &cluster.kubeconfig,
        &[
            "rebalance",
            "apply",
            "--yes",
            "--watch",
            "--full",
            "--conn-evict-rate",
            "1",
            "--abs-conn-threshold",
            "100",
        ],
    );
    view.sees("REBALANCING");
    view.types("x");
    view.sees("Type emqx and press Enter");
    // Left at once: the view closes when the stop is verified.
    view.types("emqx\rq");
    view.ends(0);
}

#[test]
fn ctrl_c_and_signals_leave_a_whole_terminal() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    view.types("\u{3}");
    let said = view.ends(130);
    assert!(said.contains("interrupted"), "{said}");
    for signal in ["-TERM", "-HUP", "-INT"] {
        let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
        view.sees("uneven");
        view.signal(signal);
        view.ends(130);
    }
}

#[test]
fn ctrl_z_and_ctrl_l_draw_the_whole_screen_again() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    // Without a shell that could say `fg` the kernel lets nobody stop: the terminal is given back and taken again.
    view.types("\u{1a}");
    view.types("?");
    view.sees("KEYS");
    view.types("\u{1b}\u{c}/");
    view.sees("filter:");
    view.sees("uneven");
    // Esc and a letter in one breath are Alt and that letter, for a terminal.
    view.types("\u{1b}");
    view.until("the filter's end", |text| !text.contains("filter:"));
    view.types("q");
    view.ends(0);
}

#[test]
fn a_recording_is_paused_stepped_and_jumped() {
    let file =
        format!("{}/tests/data/recorded/v2beta1-rebalance-operator-2.2.jsonl", env!("CARGO_MANIFEST_DIR"));
    let mut view = Session::open("/nowhere", &["replay", &file, "--speed", "20"]);
    view.sees("REBALANCING");
    view.types(" ");
    view.sees("PAUSED");
    view.types("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    view.until("its beginning", |text| !text.contains("REBALANCING"));
    view.types("llllllllllllllllllll");
    view.sees("BALANCED");
    view.types("q");
    view.ends(0);
}

#[test]
fn the_demo_opens_on_a_running_rebalance() {
    let mut view = Session::open("/nowhere", &["demo"]);
    view.sees("REBALANCING");
    view.types("q");
    view.ends(0);
}
