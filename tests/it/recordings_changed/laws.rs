//! Properties of every recording, wherever it is truncated.

use std::collections::BTreeMap;

use kubectl_emqx::model::{Event, Operation, Verdict};

use super::changed_recording::{ChangedRecording, NODES, REBALANCES, STATUS, UPGRADES, replayed, verdicts};

/// Verdicts that report a good end.
fn good(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Balanced | Verdict::Upgraded | Verdict::Reverted | Verdict::NothingToDo)
}

fn all() -> impl Iterator<Item = &'static str> {
    REBALANCES.into_iter().chain(UPGRADES)
}

#[test]
fn a_recording_that_breaks_off_is_never_called_done() {
    for name in all() {
        let changed = ChangedRecording::read(name);
        let whole = changed.replayed();
        let begin = whole.first().expect("a step").time;
        let judged: BTreeMap<String, f64> = whole
            .iter()
            .filter(|event| event.verdict.is_some())
            .map(|event| (event.name.clone(), event.time.duration_since(begin).as_secs_f64()))
            .collect();
        for part in 1..5 {
            let end = changed.end() * f64::from(part) / 5.0;
            let events = changed.until(end).replayed();
            let last = events.last().map_or(0.0, |event| event.time.duration_since(begin).as_secs_f64());
            for (who, verdict) in verdicts(&events) {
                // The whole recording has a verdict only later: up to this point the rebalance was running.
                let early = judged.get(&who).is_some_and(|at| *at > last + 0.5);
                let open = matches!(verdict, Verdict::Running | Verdict::StillRunning | Verdict::Unknown);
                assert!(!early || open, "{name} up to {end}: {who} {verdict:?}");
            }
        }
    }
}

#[test]
fn a_late_watcher_gets_the_same_verdict() {
    for name in
        REBALANCES.into_iter().chain(["v1beta4-bluegreen-operator-2.2", "v1beta4-guarded-operator-2.2"])
    {
        let changed = ChangedRecording::read(name);
        let whole: BTreeMap<String, Verdict> = changed.verdicts().into_iter().collect();
        for part in 1..5 {
            let begin = changed.end() * f64::from(part) / 5.0;
            for (who, verdict) in changed.from(begin).verdicts() {
                assert_eq!(Some(&verdict), whole.get(&who), "{name} from {begin}: {who}");
            }
        }
    }
}

#[test]
fn without_emqx_nothing_is_called_balanced_or_lost() {
    for name in REBALANCES {
        for (who, verdict) in ChangedRecording::read(name).without("emqx").verdicts() {
            assert!(
                matches!(verdict, Verdict::Unknown | Verdict::Failed | Verdict::NothingToDo),
                "{name}: {who} {verdict:?}"
            );
        }
    }
    for name in UPGRADES {
        let events = ChangedRecording::read(name).without("emqx").replayed();
        for event in events.iter().filter(|event| event.verdict.is_some_and(good)) {
            let reason = event.reason.as_deref().unwrap_or_default();
            assert!(reason.contains("EMQX could not be asked"), "{name}: {reason}");
        }
    }
}

#[test]
fn counts_that_emqx_does_not_report_any_more_support_no_verdict() {
    for name in REBALANCES {
        let changed = ChangedRecording::read(name);
        for from in [30.0, 60.0] {
            let events = changed.failing(NODES, from, changed.end()).replayed();
            let rebalances = events.iter().filter(|event| event.operation == Operation::Rebalance);
            for event in rebalances.filter(|event| event.verdict.is_some()) {
                let (verdict, reason) = (event.verdict.expect("filtered"), event.reason.as_deref());
                let counted = matches!(
                    verdict,
                    Verdict::Balanced | Verdict::Uneven | Verdict::ClientsMissing | Verdict::CoordinatorLost
                );
                assert!(!counted, "{name} from {from}: {} {verdict:?} {reason:?}", event.name);
            }
        }
    }
}

#[test]
fn an_answer_that_fails_for_a_while_changes_no_verdict() {
    for name in REBALANCES {
        let changed = ChangedRecording::read(name);
        let whole = changed.verdicts();
        for path in [NODES, STATUS] {
            let changed = changed.failing(path, 40.0, 60.0).verdicts();
            assert_eq!(changed, whole, "{name}: {path}");
        }
    }
}

#[test]
fn an_operation_that_emqx_does_not_report_any_more_is_not_shown_as_running() {
    for name in REBALANCES.into_iter().chain(["emqx-5.4-evacuation"]) {
        let changed = if name.starts_with("emqx") {
            super::real_emqx::polled(name)
        } else {
            ChangedRecording::read(name)
        };
        let changed = changed.until(if name.starts_with("emqx") { 8.0 } else { 60.0 });
        // One request a second fails for half a minute, up to the end.
        let end = changed.end();
        let mut unanswered = changed.failing(STATUS, end - 2.0, end).failing(NODES, end - 2.0, end);
        for path in [STATUS, NODES] {
            let failed = unanswered
                .0
                .iter()
                .rfind(|line| super::changed_recording::answers(line, path))
                .expect("a line")
                .clone();
            for seconds in 1..30 {
                let mut again = failed.clone();
                again["t"] = (end + f64::from(seconds)).into();
                unanswered.insert(again);
            }
        }
        let verdicts = unanswered.verdicts();
        let runs = |verdict: &Verdict| matches!(verdict, Verdict::Running | Verdict::StillRunning);
        assert!(verdicts.iter().all(|(_, verdict)| !runs(verdict)), "{name}: {verdicts:?}");
        assert!(verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Unknown), "{name}: {verdicts:?}");
    }
}

#[test]
fn percent_never_falls_and_every_operation_is_judged_once() {
    for name in all() {
        let changed = ChangedRecording::read(name);
        for changed in
            [changed.from(changed.end() / 3.0), changed.failing(STATUS, 40.0, 60.0), changed.without("emqx")]
        {
            let events = changed.replayed();
            let mut seen: BTreeMap<&str, (u8, bool)> = BTreeMap::new();
            for event in events.iter().filter(|event| event.operation == Operation::Rebalance) {
                let (percent, over) = seen.entry(&event.name).or_default();
                assert!(!*over || event.verdict.is_none(), "{name}: {} is judged twice", event.name);
                assert!(event.percent.is_none_or(|now| now >= *percent), "{name}: {}", event.name);
                (*percent, *over) = (event.percent.unwrap_or(*percent), *over || event.verdict.is_some());
            }
        }
    }
}

#[test]
fn broken_lines_cost_themselves_only() {
    let name = "v2beta1-rebalance-operator-2.2";
    let text = ChangedRecording::text(name);
    let whole = replayed(&text).0;
    let same = |text: &str, broken: usize, what: &str| {
        let (events, unread) = replayed(text);
        assert_eq!(unread, broken, "{what}");
        let shape = |events: &[Event]| -> Vec<(String, String)> {
            events.iter().map(|event| (event.name.clone(), event.message.clone())).collect()
        };
        assert_eq!(shape(&events), shape(&whole), "{what}");
    };
    same(&text.replace('\n', "\r\n"), 0, "CRLF");
    same(&text.replace('\n', "\n\n"), 0, "blank lines");
    same(&format!("{text}{{\"t\":101.5,\"from\":\"kuber"), 1, "a line half written");
    same(
        &text.replacen('\n', "\nnull\n{}\n[]\n{\"t\":\"x\",\"from\":\"emqx\"}\n", 1),
        4,
        "lines that are none",
    );
    let odd = "\n{\"t\":1.5,\"from\":\"kubernetes\",\"event\":\"ADDED\",\"object\":null}\
               \n{\"t\":1.5,\"from\":\"kubernetes\",\"event\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"metadata\":null}}\
               \n{\"t\":1.5,\"from\":\"tomorrow\"}\n";
    let (events, _) = replayed(&text.replacen('\n', odd, 1));
    assert_eq!(verdicts(&events), verdicts(&whole), "objects that are none");
    assert!(
        replayed("").0.is_empty() && replayed("\n\n").0.is_empty() && replayed("\u{0}\u{1b}[2J").0.is_empty()
    );
}

#[test]
fn other_names_and_counts_are_reported_in_the_same_way() {
    for name in all() {
        let text = ChangedRecording::text(name);
        let whole = ChangedRecording::parse(&text).verdicts();
        let renamed = text
            .replace("\"namespace\":\"mq\"", "\"namespace\":\"kunde-7\"")
            .replace(".mq.svc", ".kunde-7.svc");
        assert_ne!(renamed, text);
        let events = ChangedRecording::parse(&renamed).replayed();
        assert_eq!(verdicts(&events), whole, "{name} in another namespace");
    }
    // Ten times as many clients on every node: the moved clients grow in proportion.
    let mut changed = ChangedRecording::read("v2beta1-rebalance-operator-2.2");
    for line in changed.0.iter_mut().filter(|line| super::changed_recording::answers(line, NODES)) {
        for node in line["body"].as_array_mut().expect("nodes") {
            for field in ["connections", "live_connections"] {
                let count = node[field].as_u64().expect("a count");
                node[field] = (count * 10).into();
            }
        }
    }
    let events = changed.replayed();
    assert_eq!(verdicts(&events), [("golden".to_owned(), Verdict::Balanced)]);
    assert_eq!(events.last().and_then(|event| event.moved_connections), Some(23_400));
}

#[test]
fn numbers_that_are_no_counts_are_not_known() {
    for absurd in ["1e308", "18446744073709551615", "-1", "\"many\""] {
        let mut changed = ChangedRecording::read("v2beta1-rebalance-operator-2.2");
        for line in changed.0.iter_mut().filter(|line| super::changed_recording::answers(line, NODES)) {
            for node in line["body"].as_array_mut().expect("nodes") {
                node["connections"] = serde_json::from_str(absurd).expect("JSON");
                node["live_connections"] = node["connections"].clone();
            }
        }
        assert_eq!(changed.verdicts(), [("golden".to_owned(), Verdict::Unknown)], "{absurd}");
    }
}
