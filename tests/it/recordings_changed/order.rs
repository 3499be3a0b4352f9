//! Recordings whose lists are in another order, and recordings without most answers of EMQX.

use std::collections::BTreeMap;

use kubectl_emqx::model::{Event, Verdict};
use serde_json::Value;

use super::changed_recording::{ChangedRecording, REBALANCES, UPGRADES, verdicts};
use super::real_emqx::{ALL, polled};

/// Every recording, by its name.
fn recordings() -> impl Iterator<Item = (&'static str, ChangedRecording)> {
    let operators = REBALANCES.into_iter().chain(UPGRADES).chain(["v2beta1-undo-by-plugin-operator-2.2"]);
    let emqx = ALL.into_iter().chain(["emqx-5.8-evacuation-restart"]);
    operators.map(|name| (name, ChangedRecording::read(name))).chain(emqx.map(|name| (name, polled(name))))
}

/// The events of a recording, without the times.
fn reported(changed: &ChangedRecording) -> Vec<(String, Option<Verdict>, Option<u8>, String)> {
    let shape = |event: Event| (event.name, event.verdict, event.percent, event.message);
    changed.replayed().into_iter().map(shape).collect()
}

/// Reverses every list in a value except conditions: the operator writes the condition that describes the
/// instance first.
fn reverse(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.reverse();
            items.iter_mut().for_each(reverse);
        }
        Value::Object(fields) => {
            fields.iter_mut().filter(|(key, _)| *key != "conditions").for_each(|(_, value)| reverse(value));
        }
        _ => {}
    }
}

#[test]
fn the_order_of_lists_of_emqx_pods_and_objects_has_no_influence() {
    let mut found = Vec::new();
    for (name, changed) in recordings() {
        let mut other = changed.clone();
        for (place, line) in other.0.iter_mut().enumerate() {
            if line["from"] == "emqx" && place % 2 == 0 {
                reverse(&mut line["body"]);
            }
            if line["from"] == "kubernetes" {
                reverse(&mut line["object"]["status"]);
                reverse(&mut line["object"]["endpoints"]);
            }
        }
        // The lists at the beginning come in another order, too.
        let listed = other.0.iter().take_while(|line| line["event"] == "LISTED").count();
        other.0[..listed].reverse();
        let (other, whole) = (reported(&other), reported(&changed));
        let different = other.iter().zip(&whole).find(|(one, other)| one != other);
        if different.is_some() || other.len() != whole.len() {
            found.push(format!("{name}: {different:#?}, {} and {} events", other.len(), whole.len()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every answer of EMQX is a line of these recordings; those of the operators have a line only where an answer changed.
#[test]
fn with_most_answers_of_emqx_left_out_the_verdict_is_the_same_or_unknown() {
    let mut found = Vec::new();
    for name in ALL {
        let changed = polled(name);
        let whole = verdicts(&changed.replayed());
        for keep in [2, 5, 10] {
            let (mut thinned, mut places) = (changed.clone(), BTreeMap::<String, usize>::new());
            thinned.0.retain(|line| {
                let Some(path) = line["get"].as_str() else { return true };
                let place = places.entry(path.to_owned()).or_default();
                *place += 1;
                *place % keep == 1
            });
            let events = thinned.replayed();
            for event in events.iter().filter(|event| event.verdict.is_some()) {
                let verdict = event.verdict.expect("filtered");
                let open = matches!(verdict, Verdict::Running | Verdict::StillRunning | Verdict::Unknown);
                // Between two of every fifth answers all clients were replaced, and the next run began.
                let replaced = (name, keep) == ("emqx-5.10-stopped-by-other", 5);
                let same = replaced || whole.iter().any(|(other, is)| *other == event.name && *is == verdict);
                if !open && !same {
                    found.push(format!("{name}, every {keep}th answer: {}, not {whole:?}", event.message));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
