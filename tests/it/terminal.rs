//! The built program on a terminal of its own, with the simulated cluster: opened, driven by keys, closed in
//! every way; the terminal is restored afterwards.
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
    // `q` during the stop: the view closes when the stop is verified.
    view.types("emqx\rq");
    view.ends(0);
}

#[test]
fn ctrl_c_and_signals_leave_a_whole_terminal() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    view.types("\u{3}");
    let reported = view.ends(130);
    assert!(reported.contains("interrupted"), "{reported}");
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
    // Without a shell that could continue it the kernel stops no process: the terminal is restored and taken
    // over again.
    view.types("\u{1a}");
    view.types("?");
    view.sees("KEYS");
    view.types("\u{1b}\u{c}/");
    view.sees("filter:");
    view.sees("uneven");
    // For a terminal, Esc followed immediately by a letter is Alt and that letter.
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

#[test]
fn an_interrupted_demo_names_no_operation_that_would_continue() {
    let mut view = Session::open("/nowhere", &["demo"]);
    view.sees("REBALANCING");
    view.types("\u{3}");
    let text = view.ends(130);
    assert!(
        text.contains("the simulated cluster ended with the demo") && !text.contains("still running"),
        "{text}"
    );
}

#[test]
fn the_mouse_selects_and_scrolls_and_another_size_is_drawn_at_once() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    let selects = |view: &mut Session, node: &str| {
        view.until(node, |text| text.lines().any(|line| line.contains('▸') && line.contains(node)));
    };
    view.sees("f5c8-3");
    assert!(view.has_mouse());
    view.mouse(0, "f5c8-2");
    selects(&mut view, "f5c8-2");
    view.mouse(64, "f5c8-2");
    selects(&mut view, "f5c8-0");
    view.mouse(0, "CONNECTIONS");
    view.sees("CONNECTIONS▾");
    view.resize(120, 40);
    view.sees("connections per node");
    view.resize(60, 15);
    view.until("the narrow view", |text| !text.contains("connections per node") && text.contains("IDLE"));
    view.types("q");
    view.ends(0);
    let mut view = Session::open(&cluster.kubeconfig, &["watch", "--no-mouse"]);
    view.sees("f5c8-3");
    assert!(!view.has_mouse(), "the mouse is left to the terminal");
    view.types("q");
    view.ends(0);
}

#[test]
fn a_view_that_is_stopped_leaves_the_terminal_to_its_shell_and_comes_back_with_fg() {
    let cluster = Cluster::serve("documented", "1");
    let mut shell = Session::shell(&cluster.kubeconfig);
    shell.sees("$");
    shell.types(&format!("{} watch\r", program().display()));
    shell.sees("uneven");
    assert!(shell.taken());
    shell.types("\u{1a}");
    shell.until("the shell", |text| text.contains("topped") && !text.contains("uneven"));
    assert!(!shell.taken(), "the first screen is back");
    shell.types("echo an''swers\r");
    shell.sees("answers");
    shell.types("fg\r");
    shell.until("the view", |text| text.contains("uneven") && !text.contains("answers"));
    assert!(shell.taken());
    shell.types("/f5c8-3\r");
    shell.until("its keys", |text| text.contains("/f5c8-3") && !text.contains("f5c8-0"));
    shell.types("q");
    shell.until("the shell", |text| text.contains("answers"));
    shell.types("exit\r");
    shell.ends(0);
}

#[test]
fn a_node_is_evacuated_and_serves_again_from_the_view() {
    let cluster = Cluster::serve("documented", "20");
    let mut view = Session::sized(&cluster.kubeconfig, &["watch"], 120, 40);
    view.sees("uneven");
    view.types("je");
    view.sees("EVACUATE A NODE");
    view.sees("kubectl emqx evacuate start");
    view.types("emqx\r");
    view.sees("EVACUATED");
    view.types("E");
    view.sees("STOP THE EVACUATION");
    view.types("\r");
    view.sees("is stopped");
    view.until("its end", |text| !text.contains("EVACUATED"));
    view.types("q");
    view.ends(0);
}

#[test]
fn an_upgrade_is_planned_and_applied_from_the_view() {
    let cluster = Cluster::serve("upgrade-v2beta1", "20");
    let mut view = Session::sized(&cluster.kubeconfig, &["watch"], 120, 40);
    view.sees("in the Service");
    view.types("u");
    view.sees("image: emqx/emqx-enterprise:5.8.6_");
    view.types("\u{7f}7\r");
    view.sees("5.8.7");
    view.until("the plan", |text| !text.contains("reading the plan") && text.contains("capacity"));
    view.types("a");
    view.sees("UPGRADE THE CLUSTER");
    view.types("emqx\r");
    view.sees("the image of emqx is emqx/emqx-enterprise:5.8.7 now");
    view.sees("UPGRADING");
    view.types("q");
    view.ends(0);
}

#[test]
fn an_action_without_permission_shows_why() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::sized(&cluster.kubeconfig, &["watch", "--context", "viewer"], 120, 40);
    view.sees("NOT SURE");
    view.types("p");
    view.sees("you may not create a Rebalance");
    view.types("\u{1b}");
    view.until("the table", |text| !text.contains("PLAN"));
    view.types("e");
    view.sees("EVACUATE A NODE");
    view.types("emqx\r");
    view.sees("cannot find the EMQX node");
    // The notices have the whole reason.
    view.types("\t");
    view.until("the reason", |text| {
        text.split_whitespace().collect::<Vec<_>>().join(" ").contains("is forbidden: User")
    });
    view.types("q");
    view.ends(0);
}
