//! Numbers in messages that can be compared with the clients and the nodes.

use super::finding::{Finding, find};
use crate::product::Line;
use crate::run::Record;
use crate::truth::{History, Moment};

/// The whole number before these words, with its thousands separators.
pub(super) fn number_before(text: &str, words: &str) -> Option<u64> {
    let place = text.find(words)?;
    let digits: String = text[..place]
        .trim_end()
        .chars()
        .rev()
        .take_while(|letter| letter.is_ascii_digit() || *letter == ',')
        .filter(char::is_ascii_digit)
        .collect();
    // The seconds of a time of day at the beginning of a line are no number of clients.
    let before =
        text[..place].trim_end().trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ',');
    if before.ends_with(':') {
        return None;
    }
    digits.chars().rev().collect::<String>().parse().ok()
}

/// The least and the most clients that can be regarded as those of the start, for a process.
fn starts(record: &Record, process: usize) -> (u64, u64) {
    let began = record.processes.get(process).map_or(0.0, |process| process.started);
    let histories = record.truth.histories();
    // Missing clients are counted from the start of the operation; a watcher may have joined later, which its
    // message states.
    let from = histories.iter().filter(|it| it.end.is_none_or(|end| end > began - 60.0)).map(|it| it.start);
    let from = from.fold(began, f64::min).min(record.begun_by_other.unwrap_or(began));
    let counts = record.truth.within(from - 1.0, began + 6.0).map(Moment::live);
    // Where an operator did nothing, the rebalance does not miss clients that left before EMQX began.
    let at_starts = histories.iter().filter(|it| it.start >= from);
    let at_starts = at_starts.filter_map(|it| record.truth.at(it.start - 0.3).map(Moment::live));
    let at_begin = record.truth.at(from).map(Moment::live);
    let counts: Vec<u64> = counts.chain(at_begin).chain(at_starts).collect();
    (counts.iter().copied().min().unwrap_or(0), counts.iter().copied().max().unwrap_or(0))
}

/// The time that a line states for its counts, as `as of 08:00:52 UTC`; runs begin at 08:00:00.
fn stated(text: &str) -> Option<f64> {
    let time = text.split_once("as of ")?.1.get(..8)?;
    let parts: Option<Vec<f64>> = time.split(':').map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts?[..] else { return None };
    // The time is truncated to whole seconds.
    Some((hours - 8.0) * 3600.0 + minutes * 60.0 + seconds + 0.99)
}

pub(super) fn are_true(record: &Record, found: &mut Vec<Finding>) {
    for line in &record.lines {
        let at = stated(&line.text).unwrap_or(line.at);
        let line = &Line { at, ..line.clone() };
        let (start, _) = starts(record, line.process);
        let contains = |words: &str| line.text.contains(words);
        if contains("none missing") || contains("no client is missing") {
            let low = |at: f64| {
                record.truth.at(at).is_some_and(|moment| {
                    (moment.live() + moment.in_flight) as f64 + 0.5 < start as f64 * 0.97
                })
            };
            // A list has the verdicts of the past, which were true when they were recorded.
            let listed =
                record.processes.get(line.process).is_some_and(|it| it.begins(&["rebalance", "list"]));
            let ends = record.truth.histories().into_iter().filter_map(|it| it.end);
            if low(line.at) && low(line.at - 4.0) && !(listed && ends.into_iter().any(|end| !low(end))) {
                find(found, "none missing is not true", format!("at {:.1}s: {}", line.at, line.text));
            }
        }
        if let Some(number) = number_before(&line.text, "clients missing").filter(|number| *number > 0) {
            missing_clients_are_missing(record, line.at, line.process, number, &line.text, found);
        }
        if let Some(number) = number_before(&line.text, "clients moved")
            && !contains("moved since")
            && (contains("verdict") || record.case.text)
        {
            moved_clients_were_moved(record, line.at, line.process, number, &line.text, found);
        }
        if contains("no session lost") || contains("no session was lost") {
            let lost = record.truth.at(line.at - 2.0).map_or(0, |moment| moment.lost_sessions);
            if lost > 0 {
                find(found, "no session lost is not true", format!("{lost} were: {}", line.text));
            }
        }
    }
}

/// `35 clients missing`: this number was disconnected within the last seconds, with a tolerance of a fiftieth
/// of all.
fn missing_clients_are_missing(
    record: &Record,
    at: f64,
    process: usize,
    number: u64,
    text: &str,
    found: &mut Vec<Finding>,
) {
    let (_, most) = starts(record, process);
    let tolerance = most / 50 + 5;
    // Counts from before an outage are old, and are reported with their age.
    let seconds = 12.0;
    let away =
        record.truth.within(at - seconds, at + 0.3).map(|moment| most.saturating_sub(moment.live())).max();
    let away = away.unwrap_or(0);
    let hidden = super::times::is_hidden(record, at - seconds, at);
    if !hidden && number > away + tolerance {
        let what = format!("at {at:.1}s {number} are reported, {away} are: {text}");
        find(found, "more clients are reported missing than are", what);
    }
}

/// `2,340 clients moved`: this number arrived on the recipients, with a tolerance of a fiftieth of all.
fn moved_clients_were_moved(
    record: &Record,
    at: f64,
    process: usize,
    number: u64,
    text: &str,
    found: &mut Vec<Finding>,
) {
    let histories = record.truth.histories();
    let Some(process) = record.processes.get(process) else { return };
    // A list has a line for each; a follower prints only the followed operation.
    let about: Vec<&History> = if process.begins(&["rebalance", "list"]) {
        histories.iter().filter(|history| history.start <= at).collect()
    } else {
        super::rebalance::history_of(&histories, process, at).into_iter().collect()
    };
    let left = record.faults.iter().any(|(_, fault)| matches!(fault, crate::case::Fault::ClientsLeave(_)));
    let mut ranges = Vec::new();
    for history in about {
        let hidden = super::times::is_hidden(record, history.start - 5.0, at);
        if left || hidden || !super::times::died(&record.truth, history, at).is_empty() {
            return;
        }
        let end = history.end.unwrap_or(at).min(at);
        let on = |moment: &Moment| {
            history.run.recipients.iter().map(|&node| moment.nodes[node].connections).sum::<u64>()
        };
        let Some(before) = record.truth.at(history.start).map(on) else { return };
        let after = || record.truth.within(end - 1.0, at + 0.3).map(|it| on(it).saturating_sub(before));
        ranges.push((after().min().unwrap_or(0), after().max().unwrap_or(0), history.start));
    }
    let Some(start) = ranges.first().map(|(_, _, start)| *start) else { return };
    let all = record.truth.at(start).map_or(0, Moment::live);
    let tolerance = all / 50 + 5;
    if ranges.iter().all(|(least, most, _)| number + tolerance < *least || number > most + tolerance) {
        let were: Vec<String> = ranges.iter().map(|(least, most, _)| format!("{least} to {most}")).collect();
        let what = format!("at {at:.1}s {number} are reported, {} were: {text}", were.join(" or "));
        find(found, "another number of clients is reported moved than was", what);
    }
}
