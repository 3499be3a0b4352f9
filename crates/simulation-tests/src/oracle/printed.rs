//! The output: events, verdicts, percentages, exit codes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::{Finding, find};
use super::times::{is_hidden, moved, pods_changed};
use crate::case::{Fault, NewPods};
use crate::run::Record;
use crate::truth::Moment;

/// A verdict as it was printed.
#[derive(Clone, Debug)]
pub(super) struct Printed {
    pub(super) at: f64,
    pub(super) process: usize,
    pub(super) verdict: String,
    pub(super) message: String,
    /// The operation, where it is printed.
    pub(super) operation: Option<String>,
}

/// Every JSON line on stdout: its time, its process, its content.
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

/// The exit code of a process that followed an operation to this verdict; `None` where any code is accepted.
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
                let operation = event["operation"].as_str().map(str::to_owned);
                Some(Printed { at, process, verdict, message: text("message"), operation })
            })
            .collect();
    }
    // The last line of a process that ended by itself, with an exit code that matches one of the verdicts.
    let mut all = Vec::new();
    for (number, process) in record.processes.iter().enumerate() {
        let (Some(exit), true) = (process.exit, process.follows()) else { continue };
        let fits = |verdict: &str| codes(verdict) == Some(exit);
        let last = record.lines.iter().rfind(|line| {
            line.process == number
                && !line.text.contains("is not being evacuated")
                && WORDS.iter().any(|(word, it)| fits(it) && line.text.contains(word))
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
                operation: None,
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
        // The percentage of the next operation of this name starts at 0.
        let before = last.insert((process, name), percent).filter(|_| event["type"] != "created");
        if let Some(before) = before.filter(|before| percent < *before) {
            find(found, "percent falls", format!("at {at:.1}s from {before} to {percent}"));
        }
    }
}

/// Seconds without any change before and between two lines: longer than any wait that counts as work. In a
/// rebalance that evicts, every round changes counts; an upgrade waits for EMQX's health check, and for the
/// operator's next pass. Before there is capacity for new pods, an upgrade does nothing at all.
fn waits(record: &Record, from: f64, to: f64) -> f64 {
    if record.case.operation.upgrades() {
        // If EMQX evacuates a node in the meantime, the waits of the evacuation are work.
        let evacuates = record.truth.within(from - 1.0, to).any(|moment| !moment.evacuations.is_empty());
        return if record.case.new_pods == NewPods::Pending && !evacuates { 5.0 } else { 110.0 };
    }
    let evicts = |moment: &Moment| moment.runs.iter().all(|run| run.state.starts_with("evicting"));
    let runs = record.truth.within(from - 1.0, to).all(|moment| evicts(moment) && !moment.runs.is_empty());
    // Time counts within a wait, up to its length.
    let strategy = &record.case.strategy;
    // EMQX waits for a minute where no length is given.
    let length = |seconds: u64| if seconds == 0 { 60 } else { seconds };
    let longest = length(strategy.wait_health_check).max(length(strategy.wait_takeover)) as f64;
    if runs { 4.0 } else { (longest + 5.0).max(25.0) }
}

/// The percentage counts work: where nothing has moved for longer than any wait, it does not rise.
pub(super) fn percent_stands_still_with_the_work(record: &Record, found: &mut Vec<Finding>) {
    let mut last: BTreeMap<(usize, String), (f64, f64)> = BTreeMap::new();
    for (at, process, event) in events(record) {
        let percent = event["percent"].as_f64();
        let Some(percent) = percent.filter(|_| event["kind"] == "Event" && event["type"] != "verdict") else {
            continue;
        };
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        let before = last.insert((process, name), (at, percent));
        let Some((then, before)) = before.filter(|(_, before)| percent > *before + 1.0) else { continue };
        // Events during an outage or a pause are observed only at its end.
        let since = then - waits(record, then, at);
        // The removal of a pod is work even where EMQX never ran in it; the product may observe it a moment
        // before a line.
        let replaces = record.case.operation.upgrades() && pods_changed(&record.truth, since, at + 0.5);
        if since > 0.0 && !replaces && !moved(&record.truth, since, at) && !is_hidden(record, since, at) {
            let what = format!(
                "from {before} at {then:.1}s to {percent} at {at:.1}s, nothing moved since {since:.1}s"
            );
            find(found, "percent rises while nothing moves", what);
        }
    }
}

/// The percentage does not stand still while clients move from donors to recipients.
pub(super) fn percent_moves_with_the_work(record: &Record, found: &mut Vec<Finding>) {
    for history in record.truth.histories() {
        let end = history.end.unwrap_or(record.truth.moments.last().map_or(0.0, |moment| moment.at));
        let on = |at: f64| {
            let moment = record.truth.at(at)?;
            Some(history.run.donors.iter().map(|&node| moment.nodes[node].connections).sum::<u64>())
        };
        let got = |at: f64| {
            let moment = record.truth.at(at)?;
            Some(history.run.recipients.iter().map(|&node| moment.nodes[node].connections).sum::<u64>())
        };
        let (Some(first), Some(last)) = (on(history.start), on(end)) else { continue };
        let arrived = got(end).zip(got(history.start)).map_or(0, |(end, start)| end.saturating_sub(start));
        let moved = first.saturating_sub(last) as f64;
        let died = !super::times::died(&record.truth, &history, end).is_empty();
        let crowd = record.faults.iter().any(|(at, fault)| {
            matches!(fault, Fault::ClientsCrowd | Fault::ClientsLeave(_)) && *at > history.start && *at < end
        });
        // Clients that stay away make the forecast longer, and are not moved.
        let away = (arrived as f64) < moved / 2.0;
        if moved < 50.0 || away || died || crowd || is_hidden(record, history.start - 5.0, end) {
            continue;
        }
        let mut still: BTreeMap<(usize, String), (f64, f64)> = BTreeMap::new();
        for (at, process, event) in events(record) {
            let within = at > history.start + 3.0 && at < end - 1.0 && event["kind"] == "Event";
            let Some(percent) = event["percent"].as_f64().filter(|_| within && event["type"] != "verdict")
            else {
                continue;
            };
            let name = event["name"].as_str().unwrap_or_default().to_owned();
            let (since, before) = *still.entry((process, name.clone())).or_insert((at, percent));
            if percent > before {
                still.insert((process, name), (at, percent));
                continue;
            }
            let share = on(since + 2.0)
                .zip(on(at))
                .map_or(0.0, |(then, now)| then.saturating_sub(now) as f64 / moved);
            if share > 0.3 && percent < 95.0 {
                let what = format!(
                    "{percent} % from {since:.1}s to {at:.1}s, while {:.0} % of the clients moved",
                    share * 100.0
                );
                find(found, "percent stands still while clients move", what);
            }
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
        // The requested rollback is the goal of `upgrade undo`.
        let goal = process.begins(&["upgrade", "undo"]) && last.verdict == "reverted";
        let wanted = if goal { Some(0) } else { codes(&last.verdict) };
        if let Some(code) = wanted.filter(|code| *code != exit) {
            let what = format!("{:?} ends with {exit}, not with {code}", process.arguments.join(" "));
            find(found, format!("the exit code does not fit {}", last.verdict), what);
        }
    }
}

/// A verdict `unknown` has neither a percentage nor an end.
pub(super) fn unknown_has_no_percent(record: &Record, found: &mut Vec<Finding>) {
    for (at, _, event) in events(record) {
        let given = !event["percent"].is_null() || !event["etaSeconds"].is_null();
        if event["kind"] == "Event" && event["verdict"] == "unknown" && given {
            let what = format!("at {at:.1}s: {} %, {} s to go", event["percent"], event["etaSeconds"]);
            find(found, "unknown has a percentage", what);
        }
    }
}
