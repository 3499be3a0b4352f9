//! What was printed: events, verdicts, percent, exit codes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, find};
use crate::run::Record;

/// A verdict as it was printed.
#[derive(Clone, Debug)]
pub(super) struct Printed {
    pub(super) at: f64,
    pub(super) process: usize,
    pub(super) verdict: String,
    pub(super) message: String,
}

/// Every JSON line on stdout: when, by which process, what.
pub(super) fn events(record: &Record) -> impl Iterator<Item = (f64, usize, Value)> {
    record
        .lines
        .iter()
        .filter(|line| line.out)
        .filter_map(|line| Some((line.at, line.process, serde_json::from_str(&line.text).ok()?)))
}

const WORDS: [(&str, &str); 16] = [
    ("coordinator lost", "coordinatorLost"),
    ("clients missing", "clientsMissing"),
    ("nodes lost", "nodesLost"),
    ("nothing to do", "nothingToDo"),
    ("still running", "stillRunning"),
    ("evacuated", "evacuated"),
    ("balanced", "balanced"),
    ("overshot", "overshot"),
    ("uneven", "uneven"),
    ("stopped", "stopped"),
    ("stalled", "stalled"),
    ("failed", "failed"),
    ("superseded", "superseded"),
    ("reverted", "reverted"),
    ("upgraded", "upgraded"),
    ("unknown", "unknown"),
];

/// The exit codes of a process that followed an operation to this verdict; none where any will do.
fn codes(verdict: &str) -> Option<u8> {
    Some(match verdict {
        "balanced" | "upgraded" | "nothingToDo" | "evacuated" | "done" | "idle" => 0,
        "unknown" => 1,
        "failed" | "coordinatorLost" | "stalled" => 4,
        "running" | "stillRunning" | "waiting" => 5,
        "uneven" | "overshot" | "stopped" | "clientsMissing" | "nodesLost" | "reverted" | "superseded" => 7,
        _ => return None,
    })
}

/// The verdicts that ended a followed operation.
pub(super) fn verdicts(record: &Record) -> Vec<Printed> {
    if !record.case.text {
        return events(record)
            .filter(|(_, _, event)| event["type"] == "verdict")
            .filter_map(|(at, process, event)| {
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                let verdict = event["verdict"].as_str()?.to_owned();
                Some(Printed { at, process, verdict, message: text("message") })
            })
            .collect();
    }
    // The last line of a process that ended by itself, with an exit code that fits one of the verdicts.
    let mut all = Vec::new();
    for (number, process) in record.processes.iter().enumerate() {
        let (Some(exit), true) = (process.exit, process.follows()) else { continue };
        let fits = |verdict: &str| codes(verdict) == Some(exit);
        let last = record.lines.iter().rfind(|line| {
            line.process == number && WORDS.iter().any(|(word, it)| fits(it) && line.text.contains(word))
        });
        let Some(line) = last else { continue };
        let first = WORDS
            .iter()
            .filter(|(_, it)| fits(it))
            .filter_map(|(word, it)| Some((line.text.find(word)?, *it)))
            .min();
        if let Some((_, verdict)) = first {
            all.push(Printed {
                at: line.at,
                process: number,
                verdict: verdict.to_owned(),
                message: line.text.clone(),
            });
        }
    }
    all
}

pub(super) fn percent_never_falls(record: &Record, found: &mut Vec<Finding>) {
    let mut last: BTreeMap<(usize, String), f64> = BTreeMap::new();
    for (at, process, event) in events(record) {
        let Some(percent) = event["percent"].as_f64().filter(|_| event["kind"] == "Event") else { continue };
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        let before = last.insert((process, name), percent);
        if let Some(before) = before.filter(|before| percent < *before) {
            find(found, "percent falls", format!("at {at:.1}s from {before} to {percent}"));
        }
    }
}

pub(super) fn percent_is_full_only_with_a_verdict(record: &Record, found: &mut Vec<Finding>) {
    for (at, _, event) in events(record) {
        if event["kind"] == "Event" && event["type"] == "progress" && event["percent"] == 100 {
            let what = format!("at {at:.1}s: {}", event["message"].as_str().unwrap_or_default());
            find(found, "100 % before the verdict", what);
        }
    }
}

/// A process that ends by itself ends with the exit code of its last verdict.
pub(super) fn exit_codes_fit_verdicts(record: &Record, found: &mut Vec<Finding>) {
    if record.case.text {
        return;
    }
    let printed = verdicts(record);
    for (number, process) in record.processes.iter().enumerate() {
        let last = printed.iter().rfind(|verdict| verdict.process == number);
        let (Some(exit), Some(last)) = (process.exit, last) else { continue };
        if let Some(code) = codes(&last.verdict).filter(|code| *code != exit) {
            let what = format!("{:?} ends with {exit}, not with {code}", process.arguments.join(" "));
            find(found, format!("the exit code does not fit {}", last.verdict), what);
        }
    }
}
