//! Recordings of the real EMQX 5.4, 5.8 and 5.10 (four cores, up to 10,000 MQTT clients), converted into the
//! format of `replay`: EMQX's answers alone, without any object and so without the thresholds. Each gives the
//! verdict of what happened.

use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::model::{Event, Operation, Verdict};
use serde_json::{Value, json};

use super::changed_recording::{ChangedRecording, STATUS, answers, second};

/// The recordings in which an operation runs.
pub(crate) const ALL: [&str; 11] = [
    "emqx-5.10-rest-node-is-coordinator-killed",
    "emqx-5.10-session-rpc-timeout",
    "emqx-5.10-stopped-by-other",
    "emqx-5.4-balancer-does-not-skip-donors",
    "emqx-5.4-coordinator-killed",
    "emqx-5.4-evacuation",
    "emqx-5.4-offline-sessions",
    "emqx-5.4-recipient-killed",
    "emqx-5.4-rest-address-cut",
    "emqx-5.8-clients-missing",
    "emqx-5.8-documented-10000",
];

/// EMQX's answers to the requests of `who`, after a line with the clock.
fn answers_of(name: &str, who: impl Fn(&Value) -> bool) -> ChangedRecording {
    let lines = ChangedRecording::parse(&ChangedRecording::text(name)).0;
    let begin = lines[0]["time"].as_f64().expect("seconds");
    let at = jiff::Timestamp::from_second(begin as i64).expect("a time");
    let mut changed = ChangedRecording(vec![json!({"t": 0, "from": "clock", "at": at.to_string()})]);
    for line in lines.iter().filter(|line| line["method"] == "GET" && who(line)) {
        // An answer is known when it arrives.
        let t = line["time"].as_f64().expect("seconds") - begin + line["ms"].as_f64().unwrap_or(0.0) / 1000.0;
        changed.insert(json!({"t": t, "from": "emqx", "get": line["path"], "status": line["status"], "body": line["body"]}));
    }
    changed
}

pub(crate) fn polled(name: &str) -> ChangedRecording {
    answers_of(name, |line| line["who"] == "poll")
}

/// The verdicts on rebalances, in order.
fn rebalances(events: &[Event]) -> Vec<Verdict> {
    let of = events.iter().filter(|event| event.operation == Operation::Rebalance);
    of.filter_map(|event| event.verdict).collect()
}

fn why(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.verdict.is_some()).map(|event| event.message.as_str()).collect()
}

/// The allowed verdicts at the end of each recording, for its rebalances in order.
pub(crate) fn right(name: &str) -> Vec<&'static [Verdict]> {
    use Verdict::{Balanced, ClientsMissing, NodesLost, Running, Unknown};
    match name {
        "emqx-5.4-coordinator-killed" | "emqx-5.4-recipient-killed" => vec![&[NodesLost]],
        "emqx-5.10-rest-node-is-coordinator-killed" => vec![&[NodesLost, Unknown]],
        "emqx-5.8-clients-missing" => vec![&[ClientsMissing]],
        "emqx-5.10-stopped-by-other" => vec![&[Unknown], &[Running]],
        // The load balancer sent clients back to the donors, so EMQX moved too many: 533 against 800.
        "emqx-5.4-balancer-does-not-skip-donors" => vec![&[Unknown]],
        // After the first rebalance, the clients of the next run replace the earlier ones within seconds.
        "emqx-5.10-session-rpc-timeout" => {
            vec![&[Unknown], &[Unknown], &[Unknown], &[Unknown, Balanced], &[Unknown, Balanced]]
        }
        "emqx-5.4-evacuation" => vec![],
        _ => vec![&[Balanced]],
    }
}

#[test]
fn each_recording_of_the_real_emqx_comes_to_the_right_verdict() {
    for name in ALL {
        let events = polled(name).replayed();
        let replayed = rebalances(&events);
        let right = right(name);
        assert_eq!(replayed.len(), right.len(), "{name}: {:?}", why(&events));
        for (verdict, right) in replayed.iter().zip(right) {
            assert!(right.contains(verdict), "{name}: {:?}", why(&events));
        }
    }
}

#[test]
fn a_node_that_was_killed_is_named_with_the_clients_that_it_held() {
    for (name, node) in [
        ("emqx-5.4-coordinator-killed", "127.0.0.1 (donor and coordinator)"),
        ("emqx-5.4-recipient-killed", "127.0.0.4 (recipient)"),
    ] {
        let events = polled(name).replayed();
        let why = why(&events);
        assert!(
            why[0].contains(node)
                && why[0].contains("stopped running at")
                && why[0].contains("clients on it"),
            "{why:?}"
        );
    }
}

#[test]
fn wherever_a_recording_of_the_real_emqx_breaks_off_no_verdict_is_wrong() {
    for name in ALL {
        let mut teller = ReplayOutput::default();
        let mut replayed: Vec<Event> = Vec::new();
        let right: Vec<Verdict> = right(name).into_iter().flatten().copied().collect();
        for moment in polled(name).moments() {
            replayed.extend(teller.take(moment).0);
            let mut events = replayed.clone();
            events.extend(teller.clone().finish());
            for event in events.iter().filter(|event| event.operation == Operation::Rebalance) {
                let Some(verdict) = event.verdict else { continue };
                let open = matches!(verdict, Verdict::Running | Verdict::Unknown);
                assert!(open || right.contains(&verdict), "{name}: {}", event.message);
                assert!(verdict != Verdict::Unknown || event.percent.is_none(), "{name}: {}", event.message);
            }
        }
    }
}

#[test]
fn other_names_and_another_order_change_no_verdict() {
    for name in ALL {
        let changed = polled(name);
        let before = rebalances(&changed.replayed());
        let mut other = ChangedRecording::parse(
            &changed
                .0
                .iter()
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join("\n")
                .replace("emqx@127.0.0.", "mqtt@node-"),
        );
        assert_eq!(rebalances(&other.replayed()), before, "{name}: renamed");
        for (place, line) in other.0.iter_mut().enumerate() {
            if place % 2 == 0 {
                continue;
            }
            if let Some(nodes) = line["body"].as_array_mut() {
                nodes.reverse();
            }
            let entries = line["body"].get_mut("rebalances").and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                for side in ["donors", "recipients"] {
                    entry[side].as_array_mut().expect("a list").reverse();
                }
            }
        }
        assert_eq!(rebalances(&other.replayed()), before, "{name}: in another order");
    }
}

#[test]
fn one_odd_answer_in_mid_run_changes_no_verdict() {
    let changed = polled("emqx-5.8-documented-10000");
    let place =
        changed.0.iter().position(|line| answers(line, STATUS) && second(line) > 50.0).expect("an answer");
    for body in [
        json!({"rebalances": [], "evacuations": [], "purges": []}),
        json!({"rebalances": null, "evacuations": []}),
        json!({"evacuations": []}),
        json!({"rebalances": [{"state": "evicting_conns"}], "evacuations": []}),
        json!({"rebalances": {}, "evacuations": []}),
    ] {
        let mut odd = changed.clone();
        odd.0[place]["body"] = body.clone();
        let events = odd.replayed();
        assert_eq!(rebalances(&events), [Verdict::Balanced], "{body}: {:?}", why(&events));
    }
}

#[test]
fn an_evacuation_that_came_back_from_disk_is_recognised() {
    let events = polled("emqx-5.8-evacuation-restart").replayed();
    assert!(
        events.iter().any(|event| event.operation == Operation::Evacuation),
        "{:?}",
        events.iter().map(|event| &event.message).collect::<Vec<_>>()
    );
    assert!(events.iter().all(|event| event.verdict != Some(Verdict::Balanced)));
}
