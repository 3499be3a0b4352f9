//! The recordings of the real operator, replayed to their verdicts: wire to world to verdict, as in `replay`.

use std::path::PathBuf;
use std::rc::Rc;

use kubectl_emqx::app::Wire;
use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::model::{Event, EventType, Operation, Verdict};
use kubectl_emqx::replay::Recording;

/// Every step of every rebalance of a recording.
fn replayed(file: &str) -> Vec<Event> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(file);
    let recording = Recording::open(path, Rc::new(Wire)).expect("a recording");
    let mut teller = ReplayOutput::default();
    let mut events = Vec::new();
    for moment in recording {
        let (more, notices) = teller.take(moment.expect("a line"));
        assert_eq!(notices, Vec::<String>::new(), "everything that was recorded can be read");
        events.extend(more);
    }
    events.extend(teller.finish());
    events.retain(|event| event.operation == Operation::Rebalance);
    events
}

fn verdicts(events: &[Event]) -> Vec<(&str, Verdict)> {
    events.iter().filter_map(|event| Some((event.name.as_str(), event.verdict?))).collect()
}

fn of<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.name == name).collect()
}

#[test]
fn v2beta1_is_balanced_while_the_phase_is_failed() {
    let events = replayed("v2beta1-rebalance-operator-2.2.jsonl");
    assert_eq!(verdicts(&events), [("golden", Verdict::Balanced)]);
    let last = events.last().expect("a verdict");
    assert_eq!(last.moved_connections, Some(2340));
    assert_eq!((last.percent, last.lost_clients), (Some(100), Some(0)));
    let counts: Vec<_> = last.nodes.iter().map(|node| node.connections).collect();
    assert_eq!(counts, [Some(2553), Some(2553), Some(2554), Some(2340)]);
    let failed = events.iter().position(|event| event.message.contains("operator reports Failed"));
    let notice = &events[failed.expect("the contradiction is reported")];
    assert_eq!(notice.kind, EventType::Notice);
    assert!(notice.message.contains("EMQX continues"), "{}", notice.message);
}

#[test]
fn v2_is_balanced_too_and_every_other_run_of_that_recording_has_its_verdict() {
    let events = replayed("v2-rebalance-operator-2.3.jsonl");
    assert_eq!(
        verdicts(&events),
        [
            ("golden", Verdict::Balanced),
            ("balanced", Verdict::NothingToDo),
            ("ik", Verdict::NothingToDo),
            ("edit", Verdict::Stopped),
            ("early2", Verdict::Failed),
            ("early3", Verdict::Failed),
            ("early1", Verdict::StillRunning),
        ]
    );
    // Replicants are named by their pods: the addresses in EMQX's names are not known to the user.
    let donors = events.iter().find_map(|event| event.message.split_once("; donors ")).expect("the donors").1;
    assert!(
        donors.split(", recipient ").flat_map(|it| it.split(' ')).all(|it| it.starts_with("emqx-replicant-")),
        "{donors}"
    );
}

#[test]
fn v1beta4_distinguishes_the_lost_kind_the_delete_and_the_crash() {
    let events = replayed("v1beta4-rebalance-operator-2.2.jsonl");
    let verdicts = verdicts(&events);
    assert_eq!(
        &verdicts[..4],
        [
            ("seed-v1beta4", Verdict::Failed),
            ("golden", Verdict::Balanced),
            ("stopme", Verdict::Stopped),
            ("crash", Verdict::CoordinatorLost),
        ]
    );
    assert!(verdicts[4..].iter().all(|(_, verdict)| *verdict == Verdict::Failed), "{verdicts:?}");
    let crash = of(&events, "crash");
    let last = crash.last().expect("a verdict");
    assert!(
        last.reason.as_deref().is_some_and(|reason| reason.contains("donors 3,173.33")),
        "{:?}",
        last.reason
    );
}

#[test]
fn the_forecast_comes_true() {
    for (file, name) in [
        ("v2beta1-rebalance-operator-2.2.jsonl", "golden"),
        ("v2-rebalance-operator-2.3.jsonl", "golden"),
        ("v1beta4-rebalance-operator-2.2.jsonl", "golden"),
    ] {
        let events = replayed(file);
        let steps = of(&events, name);
        let end = steps.last().expect("an end").time;
        let began = steps.iter().find(|event| event.kind == EventType::Phase).expect("a phase").time;
        let whole = end.duration_since(began).as_secs_f64();
        for event in steps.iter().filter(|event| event.eta_seconds.is_some()) {
            let left = end.duration_since(event.time).as_secs_f64();
            let reported = event.eta_seconds.expect("filtered") as f64;
            assert!((reported - left).abs() <= 0.05 * whole + 1.0, "{file}: reported {reported}, was {left}");
        }
    }
}

#[test]
fn percent_never_falls_within_one_operation() {
    for file in [
        "v2beta1-rebalance-operator-2.2.jsonl",
        "v2-rebalance-operator-2.3.jsonl",
        "v1beta4-rebalance-operator-2.2.jsonl",
    ] {
        let events = replayed(file);
        let names: std::collections::BTreeSet<&str> =
            events.iter().map(|event| event.name.as_str()).collect();
        for name in names {
            let percents: Vec<u8> = of(&events, name).iter().filter_map(|event| event.percent).collect();
            assert!(percents.is_sorted(), "{file} {name}: {percents:?}");
            let early =
                of(&events, name).iter().any(|event| event.percent == Some(100) && event.verdict.is_none());
            assert!(!early, "100 comes with a verdict only");
        }
    }
}

#[test]
fn nothing_is_called_missing_while_it_is_on_its_way() {
    let events = replayed("v2beta1-rebalance-operator-2.2.jsonl");
    let progress: Vec<_> = events.iter().filter(|event| event.kind == EventType::Progress).collect();
    assert!(progress.len() > 50, "{}", progress.len());
    assert!(progress.iter().all(|event| event.message.contains("none missing")));
}

#[test]
fn a_line_of_another_rebalance_than_the_one_before_names_it() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/recorded/v1beta4-rebalance-operator-2.2.jsonl");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-emqx"))
        .args(["replay", "--plain"])
        .arg(file)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(out.stdout).expect("text");
    let stopped: Vec<&str> = text.lines().filter(|line| line.contains("stopped by the deletion")).collect();
    assert!(stopped.len() == 1 && stopped[0].contains(" stopme: stopped by"), "{text}");
    assert!(
        text.contains(" balanced: donors 2,553.33") && !text.contains("golden: "),
        "one alone needs no name\n{text}"
    );
}
