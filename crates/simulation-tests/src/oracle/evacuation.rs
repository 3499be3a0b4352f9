//! Evacuations by the product: `evacuate start --watch` and `evacuate stop`.

use super::finding::{Finding, find};
use super::printed::verdicts;
use super::rebalance::silent;
use super::times::{IN_TIME, is_hidden, knowable, moved};
use crate::case::Fault;
use crate::run::{LIMIT, Record};
use crate::truth::Truth;

/// An evacuation from its start to its end.
struct Emptied {
    node: usize,
    start: f64,
    /// When the node was empty and refused clients.
    empty: Option<f64>,
    /// When EMQX no longer listed it.
    end: Option<f64>,
}

fn evacuations(truth: &Truth) -> Vec<Emptied> {
    let mut all: Vec<Emptied> = Vec::new();
    for moment in &truth.moments {
        for one in all.iter_mut().filter(|one| one.end.is_none()) {
            match moment.evacuations.iter().find(|(node, _)| *node == one.node) {
                None => one.end = Some(moment.at),
                Some((node, state)) => {
                    let holds = &moment.nodes[*node];
                    if *state == "prohibiting" && holds.connections == 0 && holds.offline == 0 {
                        one.empty = one.empty.or(Some(moment.at));
                    }
                }
            }
        }
        for (node, _) in &moment.evacuations {
            if !all.iter().any(|one| one.node == *node && one.end.is_none()) {
                all.push(Emptied { node: *node, start: moment.at, empty: None, end: None });
            }
        }
    }
    all
}

/// `evacuate start --watch`.
pub(super) fn followed(record: &Record, found: &mut Vec<Finding>) {
    let all = evacuations(&record.truth);
    let printed = verdicts(record);
    let fired = |wanted: fn(&Fault) -> bool, to: f64| {
        record.faults.iter().any(|(when, fault)| wanted(fault) && *when <= to)
    };
    let Some(first) = all.first() else {
        for verdict in printed.iter().filter(|it| it.verdict == "evacuated") {
            find(found, "evacuated although nothing ever ran", verdict.message.clone());
        }
        return;
    };
    let died =
        |until: f64| record.truth.within(first.start, until).any(|moment| !moment.nodes[first.node].alive);
    for verdict in &printed {
        let at = verdict.at;
        let what = format!("at {at:.1}s: {}", verdict.message);
        let ended = first.end.is_some_and(|end| end <= at + 0.3);
        let wrong = match verdict.verdict.as_str() {
            "evacuated" => !first.empty.is_some_and(|empty| empty <= at + 0.3),
            "nodesLost" => !died(at + 0.3),
            "stopped" => !ended || (died(at) && !fired(|fault| matches!(fault, Fault::StoppedByOther), at)),
            "stalled" => moved(&record.truth, at - 60.0, at),
            "unknown" => !is_hidden(record, at - 60.0, at),
            "failed" => !ended && !is_hidden(record, at - 60.0, at),
            _ => false,
        };
        if wrong {
            let state = if ended { "after its end" } else { "while it runs" };
            find(found, format!("an evacuation is {} {state}", verdict.verdict), what);
        }
    }
    for (number, process) in record.processes.iter().enumerate().filter(|(_, process)| process.follows()) {
        silent(record, process.started, process.ended, number, found);
    }
    let last = record.processes.iter().rposition(crate::run::Process::follows);
    let (Some(number), Some(due)) = (last, first.empty.or(first.end)) else { return };
    let process = &record.processes[number];
    let known = knowable(record, due.max(process.started));
    match printed.iter().find(|verdict| verdict.process == number) {
        Some(verdict) if verdict.at > known + IN_TIME => {
            let what = format!("due at {due:.1}s, known from {known:.1}s, printed at {:.1}s", verdict.at);
            find(found, format!("the end of an evacuation is reported too late ({})", verdict.verdict), what);
        }
        None if process.ended.is_none() && known + IN_TIME < LIMIT => {
            find(found, "the end of an evacuation is never reported", format!("due at {due:.1}s"));
        }
        _ => {}
    }
}

/// After `evacuate stop` exited with 0 no node is evacuated.
pub(super) fn stopped(record: &Record, found: &mut Vec<Finding>) {
    let Some(process) = record.processes.iter().find(|process| process.begins(&["evacuate", "stop"])) else {
        return;
    };
    let (Some(0), Some(ended)) = (process.exit, process.ended) else { return };
    let mut after = record.truth.within(ended + 0.5, LIMIT);
    if let Some(moment) = after.find(|moment| !moment.evacuations.is_empty()) {
        let what = format!("stop ended at {ended:.1}s, it runs at {:.1}s", moment.at);
        find(found, "stop leaves an evacuation running", what);
    }
}
