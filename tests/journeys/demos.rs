//! `demo`, `demo serve`, and `replay` of recordings of the real operators.

use std::time::{Duration, Instant};

use emqx_sim::Scenario;

use crate::harness::{Cluster, Going, alone, folder, harmless, program};

#[test]
fn the_demo_shows_a_whole_run_in_half_a_minute() {
    let began = Instant::now();
    let ran = alone("demo --speed 20").exits(0);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let ran = ran.shows("$ kubectl emqx status").shows("rebalance plan").shows("--watch").shows("balanced");
    harmless(&ran.out);
    harmless(&ran.err);
    assert!(ran.out.contains("2,553") && ran.out.contains("2,340"), "{ran}");
}

#[test]
fn the_demo_of_other_scenarios_ends_as_they_do() {
    alone("demo balanced --speed 20").exits(0).reports("nothing to do");
    alone("demo coordinator-crash --speed 40").exits(4);
    alone("demo no-such").exits(2).reports("coordinator-crash");
}

#[test]
fn the_demo_of_an_upgrade_upgrades() {
    let ran = alone("demo upgrade-v1beta4 --speed 10").exits(0);
    let ran = ran
        .shows("$ kubectl emqx upgrade plan --image emqx/emqx-ee:4.4.24")
        .reports("removing old pod 4 of 4");
    harmless(&ran.out);
    ran.reports("3,200 clients, none missing, no session lost").shows("EMQX 4.4.24, operator 2.2, 4 nodes");
}

#[test]
fn the_help_names_every_scenario() {
    let help = alone("demo serve --help").exits(0);
    // `hostile` is for tests against the program, not for a demonstration.
    for name in Scenario::names().filter(|name| *name != "hostile") {
        assert!(help.out.split([' ', ',', ')', '\n']).any(|word| word == name), "{name}\n{help}");
    }
}

#[cfg(unix)]
#[test]
fn demo_serve_runs_until_a_signal_and_leaves_nothing_behind() {
    for signal in ["TERM", "INT"] {
        let home = folder();
        let mut server = Going::start(program(&home, &["demo", "serve"]), None);
        server.until("export KUBECONFIG=");
        server.until("\n");
        let line = server.out();
        let path = line.trim().strip_prefix("export KUBECONFIG=").expect("the first line").to_owned();
        assert!(path.starts_with(&home.display().to_string()), "in the temporary folder: {path}");
        let mut status = program(&home, &["status"]);
        status.env("KUBECONFIG", &path);
        Going::start(status, None).end().exits(0).shows("10,000 connections");
        server.signal(signal);
        let ran = server.end().exits(0);
        assert_eq!(ran.out.lines().count(), 1, "{ran}");
        assert!(!std::path::Path::new(&path).exists(), "the kubeconfig is gone");
        assert_eq!(std::fs::read_dir(&home).expect("a folder").count(), 0, "nothing is left");
        std::fs::remove_dir_all(home).expect("ours");
    }
}

#[test]
fn demo_serve_plays_a_scenario_of_ones_own() {
    let home = folder();
    let file = home.join("mine.yaml");
    let text =
        "name: mine\napi: v2\nnamespace: else\ninstance: broker\nnodes:\n- count: 2\n  connections: 7\n";
    std::fs::write(&file, text).expect("a file");
    let demo = Cluster::serving(&["--file", &file.display().to_string(), "--speed", "20"]);
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!(status["instance"]["name"], "broker");
    assert_eq!(status["instance"]["namespace"], "else");
    assert_eq!(status["totals"]["connections"], 14);
    assert_eq!(status["operator"]["line"], "2.3");
    for (name, bad) in
        [("not.yaml", "{["), ("none.yaml", "name: x\napi: v9\nnodes: []\n"), ("typo.yaml", "nmae: x\n")]
    {
        let path = home.join(name);
        std::fs::write(&path, bad).expect("a file");
        alone(&format!("demo serve --file {}", path.display())).exits(1).reports(name);
    }
    alone("demo serve --file /nowhere.yaml").exits(1);
    alone(&format!("demo serve documented --file {}", file.display())).exits(2);
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn every_recording_of_the_real_operators_replays() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recorded");
    for entry in std::fs::read_dir(data).expect("the recordings") {
        let path = entry.expect("a file").path();
        // Recordings of EMQX alone have exchanges, not lines that `replay` reads;
        // `tests/it/recordings_changed` converts them.
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("emqx-")) {
            continue;
        }
        let shown = path.display();
        let events = alone(&format!("replay {shown} -o jsonl")).exits(0).events();
        let verdicts: Vec<&str> = events.iter().filter_map(|it| it["verdict"].as_str()).collect();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if name.contains("rebalance") {
            assert!(!verdicts.is_empty(), "{name}");
            let text = alone(&format!("replay {shown}")).exits(0);
            harmless(&text.out);
            for verdict in verdicts.iter().filter(|verdict| **verdict == "balanced") {
                assert!(text.out.contains(verdict), "{text}");
            }
            // The end of another rebalance, reported right after the next one was created, is not its end.
            let whose = if name.starts_with("v2-") { " edit: stopped by the deletion" } else { "" };
            assert!(text.out.contains(whose) && !text.out.contains("golden: "), "{text}");
        }
        match name {
            "v2beta1-rebalance-operator-2.2.jsonl" => assert!(verdicts.contains(&"balanced"), "{verdicts:?}"),
            "v1beta4-rebalance-operator-2.2.jsonl" => {
                assert!(
                    verdicts.contains(&"balanced") && verdicts.contains(&"coordinatorLost"),
                    "{verdicts:?}"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn a_recording_that_is_none_is_explained() {
    alone("replay /nowhere.jsonl").fails(1).reports("/nowhere.jsonl").never_reports("os error");
    let home = folder();
    for (name, text) in
        [("words", "these are words\n"), ("other", "{\"a\":1}\n"), ("bytes", "\u{0}\u{1b}[31m\n")]
    {
        let path = home.join(name);
        std::fs::write(&path, text).expect("a file");
        let ran = alone(&format!("replay {}", path.display())).exits(1).never_reports("os error");
        assert!(ran.err.contains(name), "{ran}");
        harmless(&ran.err);
    }
    let clock = r#"{"t":0,"from":"clock","at":"2026-11-23T10:00:00Z"}"#;
    std::fs::write(home.join("cut"), format!("{clock}\n{{\"t\":1,\"fr")).expect("a file");
    let ran = alone(&format!("replay {}", home.join("cut").display()));
    assert!(ran.err.contains("cannot read line 2 of") && ran.err.contains(": it is truncated\n"), "{ran}");
    std::fs::write(home.join("empty"), "").expect("a file");
    let ran = alone(&format!("replay {}", home.join("empty").display()));
    assert!(matches!(ran.code, Some(0 | 1)) && !ran.err.is_empty(), "{ran}");
    std::fs::remove_dir_all(home).expect("ours");
}
