//! The page of the history: what ended, with its recorded verdict.

use kubectl_emqx::model::{
    Fact, HistoryEntry, InstanceId, Object, Operation, OperationState, Update, Verdict,
};
use kubectl_emqx::plan::history::{PastEntry, Recorded};
use kubectl_emqx::tui::ViewSetup;
use serde_json::{Value, json};

use crate::screens::make::{Bench, at, documented, id, kubernetes, nothing, setup};
use crate::screens::situations::{SIZES, UNEVEN, idle};

fn past(name: &str, recorded: Option<&Value>, phase: &str) -> Value {
    let mut object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": name, "namespace": "mq", "uid": name, "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T08:50:00Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}},
        "status": {"phase": phase, "startedTime": "2026-11-23T08:50:01Z",
            "completedTime": "2026-11-23T08:52:00Z"}});
    if let Some(recorded) = recorded {
        object["metadata"]["annotations"] = json!({"cli.emqx.io/verdict": recorded.to_string()});
    }
    object
}

fn with_past() -> Bench {
    let recorded = json!({"uid": "evening", "verdict": "clientsMissing",
        "message": "120 of 10,000 clients are missing", "started": "2026-11-23T09:50:01Z",
        "ended": "2026-11-23T09:52:00Z", "connections": [10000, 9880], "sessions": [10000, 10000], "by": "ci"});
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &past("evening", Some(&recorded), "Failed")));
    facts.extend(kubernetes(0, "LISTED", &past("morning", None, "Completed")));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    bench
}

#[test]
fn of_two_past_verdicts_the_view_names_the_one_with_the_later_end() {
    let recorded = |uid: &str, verdict: &str, ended: &str| {
        json!({"uid": uid, "verdict": verdict, "message": format!("{uid} ended"), "started": "2026-11-23T08:50:01Z",
            "ended": ended, "connections": [10000, 10000], "sessions": [10000, 10000], "by": "ci"})
    };
    // `long` was reported as Failed by the operator at 08:52 and ended in EMQX at 09:58; `short` ended at 09:40.
    let mut long = past("long", Some(&recorded("long", "uneven", "2026-11-23T09:58:00Z")), "Failed");
    long["status"]["conditions"] = json!([{"type": "Failed", "status": "True", "reason": "Failed",
        "message": "EMQX emqx is not ready", "lastTransitionTime": "2026-11-23T08:52:00Z"}]);
    long["status"].as_object_mut().expect("a status").remove("completedTime");
    let mut short = past("short", Some(&recorded("short", "balanced", "2026-11-23T09:40:00Z")), "Completed");
    short["status"]["completedTime"] = json!("2026-11-23T09:40:00Z");
    for order in [[&long, &short], [&short, &long]] {
        let mut facts = documented(0, &[2500, 2500, 2500, 2500], &nothing());
        for object in &order {
            facts.extend(kubernetes(0, "LISTED", object));
        }
        let mut bench = Bench::of(setup(), facts);
        bench.tick(3);
        let screen = bench.screen(120, 40);
        assert!(screen.contains("UNEVEN") && screen.contains("long: long ended"), "{screen}");
        assert!(!screen.contains("short ended"), "{screen}");
    }
}

#[test]
fn the_history_shows_recorded_verdicts_newest_first_and_opens_one() {
    for (width, height) in SIZES {
        let mut bench = with_past();
        bench.keys("h");
        let screen = bench.screen(width, height);
        assert!(screen.contains("HISTORY") && screen.contains("2 operations"), "{screen}");
        assert!(screen.contains("clientsMissing") && screen.contains("120 of 10,000"), "{screen}");
        insta::assert_snapshot!(format!("history_{width}x{height}"), screen);
        bench.keys("Enter");
        let screen = bench.screen(width, height);
        assert!(screen.contains("REBALANCE evening") && screen.contains("ci, recorded"), "{screen}");
        insta::assert_snapshot!(format!("history_one_{width}x{height}"), screen);
    }
    let mut bench = with_past();
    bench.keys("h");
    let screen = bench.screen(120, 40);
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).expect(text);
    assert!(line("evening") < line("morning"), "{screen}");
    assert!(screen.contains("120"), "{screen}");
    // A past operation without a record is not judged again.
    bench.keys("j");
    assert!(bench.screen(120, 40).contains("not followed"));
    let mut bench = idle();
    bench.keys("h");
    assert!(bench.screen(80, 24).contains("no rebalance, upgrade or evacuation is known"));
}

/// An entry as a client records it.
fn entry(operation: Operation, name: &str, verdict: Verdict, message: &str, ended: i64) -> HistoryEntry {
    HistoryEntry {
        version: 1,
        operation,
        instance: id(),
        cluster: None,
        name: name.to_owned(),
        uid: None,
        object_unknown: false,
        verdict,
        message: message.to_owned(),
        started: Some(at(ended - 120)),
        ended_after: None,
        ended: at(ended),
        followed: None,
        planned_seconds: None,
        evacuations: None,
        connections: (Some(10_000), Some(9_990)),
        sessions: (None, None),
        moved_connections: Some(3_334),
        by: "ann@laptop".to_owned(),
        recording: None,
    }
}

#[test]
fn the_history_shows_what_the_state_folder_and_the_config_map_of_the_instance_hold() {
    let evacuation = "evacuation/emqx@core-2";
    let own = [
        entry(Operation::Evacuation, evacuation, Verdict::Evacuated, "empty", -7200),
        // The same upgrade as in the ConfigMap, and an operation of another cluster.
        entry(Operation::Upgrade, "upgrade/emqx", Verdict::Upgraded, "emqx 5.8.6 -> 5.8.7", -3600),
        HistoryEntry {
            instance: InstanceId { name: "other".to_owned(), ..id() },
            ..entry(Operation::Drain, "drain/other", Verdict::Done, "moved", -60)
        },
    ];
    let past = |entry: &HistoryEntry| PastEntry::recorded(entry.clone(), Recorded::Folder);
    let setup = ViewSetup { recorded: own.iter().map(past).collect(), ..setup() };
    let mut facts = documented(0, &[2500; 4], &nothing());
    let state = OperationState {
        instance: id(),
        owner: "one".to_owned(),
        uid: "map".to_owned(),
        version: String::new(),
        guard: None,
        drain: None,
        scale: None,
        history: vec![own[1].clone()],
    };
    facts.push(Fact { at: at(0), update: Update::Upserted(Object::State(Box::new(state))) });
    let mut bench = Bench::of(setup, facts);
    bench.tick(3);
    // The last operation is the headline, instead of `IDLE`.
    let screen = bench.screen(120, 40);
    assert!(screen.contains("UPGRADED") && screen.contains("60m ago, upgrade/emqx"), "{screen}");
    bench.keys("h");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("2 operations") && !screen.contains("drain/other"), "{screen}");
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).expect(text);
    assert!(line("upgraded") < line("evacuated"), "{screen}");
    assert!(screen.contains("3,334"), "{screen}");
    bench.keys("Enter");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("UPGRADE") && screen.contains("ann@laptop"), "{screen}");
}
