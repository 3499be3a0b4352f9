//! Rebalances: which verdicts are true, when they are due, and the state after a stop.

use std::collections::BTreeSet;

use super::finding::{Finding, find};
use super::printed::{Printed, verdicts};
use super::times::{IN_TIME, MISSING_IN_TIME, died, is_hidden, jumps, knowable, moved};
use crate::case::{Fault, Operation, Shape};
use crate::run::{LIMIT, Process, Record};
use crate::truth::{History, Moment, Node};

/// A follower prints at least this often, in seconds, with some seconds of tolerance for slow answers.
const SILENCE: f64 = 45.0;

/// A rebalance that ran for less, in seconds, may not have been listed at all.
const SHORT: f64 = 2.0;

fn mean(moment: &Moment, group: &[usize], of: impl Fn(&Node) -> u64) -> f64 {
    let alive: Vec<f64> = group
        .iter()
        .map(|&node| &moment.nodes[node])
        .filter(|node| node.alive)
        .map(|node| of(node) as f64)
        .collect();
    if alive.is_empty() { 0.0 } else { alive.iter().sum::<f64>() / alive.len() as f64 }
}

/// EMQX's own comparison: the first mean may exceed the second by `abs`, or by the factor `rel`.
fn holds((abs, rel): (f64, f64), more: f64, less: f64) -> bool {
    more <= less + abs || more <= less * rel
}

/// How the donors compare with the recipients at one moment: `balanced`, `uneven` or `overshot`.
fn shape(moment: &Moment, history: &History) -> &'static str {
    let run = &history.run;
    let pairs = [
        (
            run.thresholds[0],
            mean(moment, &run.donors, |node| node.connections),
            mean(moment, &run.recipients, |node| node.connections),
        ),
        (
            run.thresholds[1],
            mean(moment, &run.donors, |node| node.offline),
            mean(moment, &run.recipients, |node| node.offline),
        ),
    ];
    if pairs.iter().any(|&(limits, donors, recipients)| !holds(limits, donors, recipients)) {
        "uneven"
    } else if !holds(pairs[0].0, pairs[0].2, pairs[0].1) {
        "overshot"
    } else {
        "balanced"
    }
}

/// Whether recipients hold more than the thresholds allow, of connections or of sessions.
fn reversed(moment: &Moment, history: &History) -> bool {
    let run = &history.run;
    let more = |limits: (f64, f64), of: fn(&Node) -> u64| {
        !holds(limits, mean(moment, &run.recipients, of), mean(moment, &run.donors, of))
    };
    more(run.thresholds[0], |node| node.connections) || more(run.thresholds[1], |node| node.offline)
}

/// The verdicts that may be printed at this time.
pub(super) fn acceptable(record: &Record, history: &History, at: f64) -> BTreeSet<&'static str> {
    let truth = &record.truth;
    let mut may = BTreeSet::new();
    let fired = |wanted: fn(&Fault) -> bool, from: f64, to: f64| {
        record.faults.iter().any(|(when, fault)| wanted(fault) && *when >= from && *when <= to)
    };
    let Some(end) = history.end.filter(|&end| end <= at + 0.3) else {
        // The rebalance runs. No final verdict may be printed, but a coordinator that hangs is stalled.
        if !moved(truth, at - 60.0, at)
            || fired(|fault| matches!(fault, Fault::CoordinatorHang), 0.0, at - 50.0)
        {
            may.insert("stalled");
        }
        if is_hidden(record, at - 40.0, at) {
            may.insert("unknown");
        }
        // One answer without it, at the end of its last wait and with counts within: the cause of an end is seen.
        let last = matches!(history.run.state, "wait_takeover" | "evicting_sessions");
        let over = history.end.is_some_and(|end| end <= at + 3.0) && last;
        let odd = fired(|fault| matches!(fault, Fault::Misshapen(Shape::Empty, _)), at - 4.0, at);
        if over && odd && truth.at(at).is_some_and(|moment| shape(moment, history) == "balanced") {
            may.insert("balanced");
        }
        if !died(truth, history, at).is_empty() {
            may.insert("nodesLost");
        }
        return may;
    };
    if is_hidden(record, end - 5.0, at) || end - history.start < SHORT {
        may.insert("unknown");
    }
    if !died(truth, history, end + 0.6).is_empty() {
        may.insert("nodesLost");
        // A node that stops right after the end is not lost by the rebalance.
        if !died(truth, history, end).is_empty() {
            return may;
        }
    }
    // Where EMQX did not answer in the meantime, a node that stopped after the end may have stopped before
    // it.
    let after_death = fired(
        |fault| {
            matches!(
                fault,
                Fault::NodeDown { .. } | Fault::PodKilled(_) | Fault::NotInCluster(_) | Fault::Scaled(_)
            )
        },
        end - 1.0,
        at,
    );
    if after_death {
        may.insert("nodesLost");
    }
    let start = truth.at(history.start - 0.3).map_or(0, Moment::live) as f64;
    let missing = |moment: &Moment| (moment.live() as f64) < start * 0.98;
    let late: Vec<&Moment> = truth.within(end + 28.0, at).collect();
    if late.iter().any(|moment| missing(moment)) {
        may.insert("clientsMissing");
        if late.iter().all(|moment| missing(moment)) && at >= end + 35.0 {
            return may;
        }
    }
    // A rebalance that was started through EMQX has no object.
    let direct =
        matches!(record.case.operation, Operation::DirectRebalance | Operation::OthersDirectRebalance);
    let deleted = !direct && fired(|fault| matches!(fault, Fault::ObjectDeleted), history.start, end + 0.6);
    let by_other = fired(|fault| matches!(fault, Fault::StoppedByOther), end - 1.0, end + 0.6);
    let crashed = fired(|fault| matches!(fault, Fault::CoordinatorCrash), end - 1.0, end + 0.6);
    let ordered = record.orders.iter().any(|(_, path)| path.ends_with("/stop"));
    if deleted || ordered {
        may.insert("stopped");
    }
    // Counts are two seconds old at most, and clients may have moved since.
    let moves = fired(|fault| matches!(fault, Fault::ClientsCrowd | Fault::ClientsLeave(_)), end - 2.5, at);
    let counted = if moves { end - 2.7 } else { end - 0.3 };
    let shapes: BTreeSet<&str> =
        truth.within(counted, at + 0.6).map(|moment| shape(moment, history)).collect();
    if shapes.contains("balanced") {
        may.insert("balanced");
    }
    // It precedes `uneven` where one of the two means is outside in each direction.
    let reversed = truth.within(end - 0.3, at + 0.6).any(|moment| reversed(moment, history));
    if shapes.contains("overshot") || reversed {
        may.insert("overshot");
    }
    let to_its_end = matches!(history.run.state, "wait_takeover" | "evicting_sessions");
    if shapes.contains("uneven") {
        if by_other || crashed || deleted {
            may.insert("coordinatorLost");
            if by_other {
                may.insert("stopped");
            }
            if to_its_end {
                may.insert("uneven");
            }
        } else {
            may.insert("uneven");
        }
    }
    // Another client or a killed process started it without an object: the thresholds are unknown.
    let killed = fired(|fault| matches!(fault, Fault::Killed(_)), 0.0, at);
    let operation = record.case.operation;
    if operation == Operation::OthersDirectRebalance || (operation == Operation::DirectRebalance && killed) {
        may.extend(["unknown", "uneven"]);
    }
    may
}

/// The rebalance that a process follows: the last one that began before a time and had not ended long before
/// the process started.
pub(super) fn history_of<'a>(all: &'a [History], process: &Process, at: f64) -> Option<&'a History> {
    let began = || all.iter().filter(|history| history.start <= at);
    began().rfind(|history| history.end.is_none_or(|end| end > process.started - 2.0)).or_else(|| {
        // A watcher that starts after the end follows the past rebalance; an apply never does.
        began().next_back().filter(|_| !process.writes())
    })
}

/// `apply --watch`, `rebalance watch`, `watch`.
pub(super) fn followed(record: &Record, found: &mut Vec<Finding>) {
    let histories = record.truth.histories();
    let printed = verdicts(record);
    for verdict in &printed {
        let process = &record.processes[verdict.process];
        let Some(history) = history_of(&histories, process, verdict.at) else {
            never_started(verdict, found);
            continue;
        };
        let mut may = acceptable(record, history, verdict.at);
        // A process that began after the end did not follow it.
        let past = history.end.is_some_and(|end| end <= process.started);
        if past || seems_too_old(record, history, process) {
            may.insert("unknown");
        }
        if !may.contains(verdict.verdict.as_str()) {
            let wanted: Vec<&str> = may.iter().copied().collect();
            let wanted = if wanted.is_empty() { "it still runs".to_owned() } else { wanted.join(" or ") };
            let rule = match history.end.filter(|end| *end <= verdict.at + 0.3) {
                None => format!("{} while it runs", verdict.verdict),
                Some(_) => format!("{} instead of {wanted}", verdict.verdict),
            };
            let what = format!(
                "at {:.1}s: {} (it ran from {:.1}s to {})",
                verdict.at,
                verdict.message,
                history.start,
                history.end.map_or("the limit".to_owned(), |end| format!("{end:.1}s")),
            );
            find(found, rule, what);
        }
        means_are_true(record, history, verdict, found);
        let seconds = verdict.message.rsplit_once(", ").and_then(|(_, last)| last.strip_suffix(" s"));
        if let Some(seconds) = seconds.and_then(|seconds| seconds.parse().ok()) {
            took(record, history, seconds, &verdict.message, found);
        }
        if verdict.verdict == "nodesLost" {
            lost_nodes_are_named(record, history, verdict, found);
        }
    }
    for (number, process) in record.processes.iter().enumerate() {
        // A verdict in text is recognized by the exit code, which a process that is ended from outside does
        // not have.
        if !process.follows() || (record.case.text && process.exit.is_none()) {
            continue;
        }
        let at = process.ended.unwrap_or(LIMIT);
        let next = record.processes.get(number + 1).map_or(LIMIT, |next| next.started);
        // After a process was killed the next one takes over.
        if process.exit.is_none() && record.processes.get(number + 1).is_some_and(Process::follows) {
            continue;
        }
        if let Some(history) = history_of(&histories, process, at.min(next)) {
            in_time(record, history, &printed, number, found);
        }
        silent(record, process.started, process.ended, number, found);
    }
}

/// Seconds by which an object may be older than its first wait lasts before it counts as another rebalance's.
const WAIT_SLACK: f64 = 60.0;

/// Whether the clock of the API server was set forward between the begin of a rebalance and the begin of this process, by so
/// much that its object seems to be too old for the first wait, in which EMQX lists it.
fn seems_too_old(record: &Record, history: &History, process: &Process) -> bool {
    let wait = record.case.strategy.wait_health_check as f64;
    let age = process.started - history.start;
    age <= wait + 3.0 && age + jumps(record, history.start, process.started) > wait + WAIT_SLACK
}

/// `nodesLost` names at least one node that was lost.
fn lost_nodes_are_named(record: &Record, history: &History, verdict: &Printed, found: &mut Vec<Finding>) {
    let lost = died(&record.truth, history, verdict.at);
    let host = |name: &str| name.split_once('@').map_or(name, |(_, host)| host).to_owned();
    let named = lost.iter().any(|name| {
        let host = host(name);
        let first = host.split('.').next().unwrap_or(&host).to_owned();
        let address = host.parse::<std::net::Ipv4Addr>().is_ok();
        verdict.message.contains(&host) || (!address && verdict.message.contains(&first))
            // A node that is named by an address is printed with its pod's name.
            || (address && verdict.message.contains("emqx"))
    });
    if !lost.is_empty() && !named {
        let what = format!("at {:.1}s: {}; lost: {lost:?}", verdict.at, verdict.message);
        find(found, "a lost node is not named", what);
    }
}

/// The truth is sampled every quarter of a second: what a verdict contains may have been so just before the next sample.
const SAMPLED: f64 = 0.25;

/// The means in the message of a verdict are those of the nodes that run, at some moment from its end on.
fn means_are_true(record: &Record, history: &History, verdict: &Printed, found: &mut Vec<Finding>) {
    let (Some(end), Some((donors, recipients))) = (history.end, means_of(&verdict.message)) else { return };
    let run = &history.run;
    let near = |printed: f64, true_one: f64| (printed - true_one).abs() <= true_one * 0.03 + 5.0;
    let is = |moment: &Moment| {
        near(donors, mean(moment, &run.donors, |node| node.connections))
            && near(recipients, mean(moment, &run.recipients, |node| node.connections))
    };
    // Without answers the counts of the end are not known.
    if is_hidden(record, end - 5.0, verdict.at)
        || record.truth.within(end - 3.0, verdict.at + SAMPLED).any(is)
    {
        return;
    }
    let what = format!("at {:.1}s: {}", verdict.at, verdict.message);
    find(found, "the means of a verdict are not those of the nodes that run", what);
}

/// `donors 2,553.33, recipient 2,340` in a message.
fn means_of(message: &str) -> Option<(f64, f64)> {
    let number = |text: &str| {
        let end = text.find(|it: char| !it.is_ascii_digit() && it != ',' && it != '.').unwrap_or(text.len());
        text[..end].trim_end_matches([',', '.']).replace(',', "").parse::<f64>().ok()
    };
    let (_, rest) = message.split_once("donors ")?;
    let (_, recipients) = rest.split_once(", recipient")?;
    Some((number(rest)?, number(recipients.trim_start_matches('s').trim_start())?))
}

/// A verdict about an operation that never ran.
fn never_started(verdict: &Printed, found: &mut Vec<Finding>) {
    let fine = ["nothingToDo", "failed", "unknown", "waiting", "stopped", "nodesLost", "running"];
    if !fine.contains(&verdict.verdict.as_str()) {
        let what = format!("at {:.1}s: {}", verdict.at, verdict.message);
        find(found, format!("{} although nothing ever ran", verdict.verdict), what);
    }
}

fn in_time(record: &Record, history: &History, printed: &[Printed], number: usize, found: &mut Vec<Finding>) {
    let process = &record.processes[number];
    let word = printed.iter().find(|verdict| verdict.process == number && verdict.at >= history.start);
    let Some(end) = history.end else {
        if let (None, Some(at), Some(exit)) = (word, process.ended, process.exit) {
            gave_up(record, history, number, at, exit, found);
        }
        return;
    };
    let known = knowable(record, end.max(process.started));
    let start = record.truth.at(history.start - 0.3).map_or(0, Moment::live) as f64;
    let low =
        record.truth.within(end, known + MISSING_IN_TIME).any(|moment| (moment.live() as f64) < start * 0.98);
    let limit = known + if low { MISSING_IN_TIME } else { IN_TIME };
    match word {
        Some(word) if word.at > limit => {
            let what = format!("ended at {end:.1}s, known from {known:.1}s, printed at {:.1}s", word.at);
            find(found, format!("an end is reported too late ({})", word.verdict), what);
        }
        Some(_) => {}
        None => match (process.ended, process.exit) {
            (Some(at), Some(exit)) => gave_up(record, history, number, at, exit, found),
            // The process was ended from outside before the verdict was due.
            (Some(at), None) if at < limit => {}
            // The verdict is due after the end of the run.
            _ if limit >= LIMIT => {}
            // It was over before the process could know of it: `watch` of an instance reports only what runs.
            _ if end < knowable(record, process.started) && process.begins(&["watch"]) => {}
            _ => {
                let what = format!("ended at {end:.1}s, known from {known:.1}s, never printed");
                find(found, "an end is never reported", what);
            }
        },
    }
}

/// A process that ended without a verdict, although it was to follow.
fn gave_up(record: &Record, history: &History, number: usize, at: f64, exit: u8, found: &mut Vec<Finding>) {
    let process = &record.processes[number];
    let away = record.faults.iter().any(|(when, fault)| {
        matches!(
            fault,
            Fault::ApiStatus { .. }
                | Fault::ApiDown(_)
                | Fault::ApiHang(_)
                | Fault::TooManyRequests(_)
                | Fault::ApiRestart
                | Fault::ApiCut
                | Fault::ApiSlow(..)
                | Fault::KeyRefused(_)
                | Fault::EmqxSilent(_)
                | Fault::EmqxAnswersNobody(_)
                | Fault::EmqxFailsForAll(_)
                | Fault::EmqxErrors(_)
                | Fault::EmqxHtml(_)
                | Fault::EmqxSlow(..)
                | Fault::NodeFrozen { .. }
                | Fault::NodeSilent(_)
                | Fault::Asleep(_)
        ) && *when <= history.start.max(process.started) + 3.0
            && *when + fault.outage().unwrap_or(LIMIT) + 5.0 >= process.started
    });
    // A command that finds nothing does not ask again, unless another source suggests that something runs.
    let odd = record
        .faults
        .iter()
        .any(|(when, fault)| matches!(fault, Fault::Misshapen(..)) && *when <= process.started + 3.0);
    let away = away || odd;
    // An operation that began during an outage may be refused, and a process that starts after the end finds
    // nothing.
    let late = history.end.is_some_and(|end| end <= process.started + 5.0);
    if away || late || exit == 6 {
        return;
    }
    let last = record.lines.iter().rfind(|line| line.process == number && !line.text.is_empty());
    let last = last.map_or("", |line| line.text.as_str());
    find(found, format!("following ends without a verdict (exit {exit})"), format!("at {at:.1}s: {last}"));
}

/// Followers print at least every 30 s.
pub(super) fn silent(record: &Record, from: f64, to: Option<f64>, process: usize, found: &mut Vec<Finding>) {
    // `watch` of an instance prints nothing while nothing runs.
    if record.processes[process].begins(&["watch"]) {
        return;
    }
    let mut last = from;
    let to = to.unwrap_or(LIMIT);
    let ours = record.lines.iter().filter(|line| line.process == process).map(|line| line.at);
    for at in ours.chain([to]) {
        let asleep = record.faults.iter().any(|(when, fault)| {
            matches!(fault, Fault::Asleep(_)) && *when <= at && when + fault.outage().unwrap_or(0.0) >= last
        });
        // Nothing is followed before the plan is shown, which needs several answers of the API server.
        let slow = last <= from && record.faults.iter().any(|(_, fault)| matches!(fault, Fault::ApiSlow(..)));
        if at - last > SILENCE && !asleep && !slow {
            let words: Vec<&str> = record.processes[process].arguments.iter().map(String::as_str).collect();
            let what = match words.first() {
                Some(&"upgrade") => "the follower of an upgrade",
                Some(&"evacuate") => "the follower of an evacuation",
                _ => "a follower",
            };
            find(found, format!("{what} prints nothing for long"), format!("from {last:.1}s to {at:.1}s"));
            return;
        }
        last = at;
    }
}

/// After a stop that exited with 0 nothing runs.
pub(super) fn stopped(record: &Record, found: &mut Vec<Finding>) {
    let Some(process) = record.processes.iter().find(|process| process.begins(&["rebalance", "stop"])) else {
        return;
    };
    let (Some(0), Some(ended)) = (process.exit, process.ended) else { return };
    if let Some(moment) = record.truth.within(ended + 0.5, LIMIT).find(|moment| !moment.runs.is_empty()) {
        let what = format!("stop ended at {ended:.1}s, it runs at {:.1}s", moment.at);
        find(found, "stop leaves it running", what);
    }
}

/// Seconds by which a reported duration may differ from the true one: a shorter outage of EMQX is no outage, and the end
/// is seen by the next answer after it.
const EXACT: f64 = 25.0;

/// A duration is reported only where it is known.
pub(super) fn took(
    record: &Record,
    history: &History,
    seconds: f64,
    printed: &str,
    found: &mut Vec<Finding>,
) {
    let Some(end) = history.end else { return };
    // An object begins when the operator starts it; before that EMQX ran nothing.
    let ran = end - history.start;
    // The age of an object that a follower finds running is known by the clock of the API server alone.
    let joined =
        record.processes.iter().filter(|process| process.follows() && process.started > history.start);
    let mut jumps = joined.map(|process| jumps(record, history.start, process.started)).chain([0.0]);
    let near = jumps.any(|jump| (seconds - ran - jump).abs() <= EXACT);
    if !near && !record.case.operation.upgrades() {
        let what = format!("{seconds:.0} s are reported, {ran:.0} s it ran; {printed}");
        find(found, "another duration is reported than it took", what);
    }
}
