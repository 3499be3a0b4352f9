//! Recordings of which the beginning, or a minute of one source, is missing: the verdict is the right one or unknown.

use std::collections::BTreeMap;

use kubectl_emqx::model::{Event, EventType, Operation, Verdict};

use super::changed_recording::{ChangedRecording, NODES, REBALANCES, STATUS, answers, second, verdicts};
use super::real_emqx::{ALL, polled, right};

/// The verdicts on rebalances, with their reasons.
fn judged(events: &[Event]) -> Vec<(Verdict, &str)> {
    let of = events.iter().filter(|event| event.operation == Operation::Rebalance);
    of.filter_map(|event| Some((event.verdict?, event.message.as_str()))).collect()
}

/// The verdicts that a recording of the real EMQX allows when its beginning was not observed: a client that
/// joins late does not know the number of clients at the start.
fn allowed(name: &str) -> Vec<Verdict> {
    let mut allowed: Vec<Verdict> = right(name).into_iter().flatten().copied().collect();
    allowed.extend([Verdict::Unknown, Verdict::Running]);
    allowed
}

#[test]
fn a_client_that_joins_a_rebalance_of_the_real_emqx_late_comes_to_no_wrong_verdict() {
    for name in ALL {
        let changed = polled(name);
        for part in 1..10 {
            let late = changed.from(changed.end() * f64::from(part) / 10.0);
            let events = late.replayed();
            for (verdict, why) in judged(&events) {
                // Clients that disappeared before the first observation were not seen to leave.
                let unseen = name == "emqx-5.8-clients-missing" && verdict == Verdict::Balanced;
                assert!(unseen || allowed(name).contains(&verdict), "{name} from part {part}: {why}");
            }
            let mut percent: BTreeMap<&str, u8> = BTreeMap::new();
            for event in events.iter().filter(|event| event.operation == Operation::Rebalance) {
                let before = percent.entry(&event.name).or_default();
                // The next rebalance of the same coordinator has the same name.
                if event.verdict.is_some() || event.kind == EventType::Created {
                    *before = 0;
                    continue;
                }
                let now = event.percent.unwrap_or(*before);
                assert!(now >= *before, "{name} from part {part}: {}", event.message);
                *before = now;
            }
        }
    }
}

#[test]
fn a_client_that_joins_a_running_rebalance_of_the_real_emqx_sees_percent_and_end() {
    for name in ["emqx-5.8-documented-10000", "emqx-5.4-offline-sessions", "emqx-5.8-clients-missing"] {
        let changed = polled(name);
        let running = |line: &&serde_json::Value| {
            let listed = line["body"]["rebalances"].as_array().is_some_and(|list| !list.is_empty());
            answers(line, STATUS) && listed
        };
        let seen: Vec<f64> = changed.0.iter().filter(running).map(second).collect();
        for at in seen.iter().step_by(7) {
            let events = changed.from(*at).until(at + 2.5).replayed();
            let mut shown = events.iter().filter(|event| event.verdict.is_none() && event.phase.is_some());
            let last = shown.next_back().unwrap_or_else(|| panic!("{name} from {at}: {events:?}"));
            assert!(last.percent.is_some() && last.eta_seconds.is_some(), "{name} from {at}: {last:?}");
        }
    }
}

#[test]
fn a_minute_in_which_the_real_emqx_does_not_answer_leads_to_no_wrong_verdict() {
    for name in ALL {
        let changed = polled(name);
        for part in 1..8 {
            let from = changed.end() * f64::from(part) / 8.0;
            let unanswered = changed.failing(NODES, from, from + 60.0).failing(STATUS, from, from + 60.0);
            let events = unanswered.replayed();
            for (verdict, why) in judged(&events) {
                assert!(allowed(name).contains(&verdict), "{name} without {from} to +60: {why}");
            }
        }
    }
}

#[test]
fn a_minute_without_kubernetes_changes_no_verdict() {
    for name in REBALANCES {
        let changed = ChangedRecording::read(name);
        let whole: BTreeMap<String, Verdict> = changed.verdicts().into_iter().collect();
        for from in [15.0, 40.0, 70.0] {
            let mut unanswered = changed.clone();
            // Changes during the outage are observed when the connection is back.
            for line in unanswered.0.iter_mut().filter(|line| line["from"] == "kubernetes") {
                if second(line) > from && second(line) < from + 60.0 {
                    line["t"] = (from + 60.0).into();
                }
            }
            unanswered.0.sort_by(|one, other| second(one).total_cmp(&second(other)));
            for (who, verdict) in verdicts(&unanswered.replayed()) {
                let fits = whole.get(&who).is_none_or(|right| *right == verdict);
                let open = matches!(verdict, Verdict::Unknown | Verdict::Running);
                assert!(fits || open, "{name} without {from} to +60: {who} {verdict:?} {whole:?}");
            }
        }
    }
}
