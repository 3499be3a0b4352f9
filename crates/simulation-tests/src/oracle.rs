//! Compares what was printed with what happened.
//!
//! The rules are those of EMQX and Kubernetes and of the promises in `docs`: verdicts, when they are due, what percent may
//! do, what may be written. Where two answers are defensible (a moment between two states, a source that was away), both are
//! accepted: a finding is a fault, not a doubt.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::case::{Fault, Operation};
use crate::run::{LIMIT, Record};
use crate::truth::{History, Moment, Truth};

/// An end has to be reported within this many seconds after it can be known.
const IN_TIME: f64 = 45.0;

/// The same where clients are missing, which is decided 30 s after the end.
const MISSING_IN_TIME: f64 = 75.0;

/// A second answer that nothing runs comes this many seconds after the first.
const ASKED_TWICE: f64 = 12.0;

/// A follower prints at least this often, in seconds, with some seconds of tolerance for slow answers.
const SILENCE: f64 = 45.0;

/// Something that the product got wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The kind of fault, the same for every seed that finds it.
    pub rule: String,
    /// What was printed, when, and what was true.
    pub what: String,
}

/// A verdict as it was printed.
#[derive(Clone, Debug)]
struct Printed {
    at: f64,
    process: usize,
    verdict: String,
    message: String,
}

/// Everything that is wrong in a run.
pub fn judge(record: &Record) -> Vec<Finding> {
    let mut found = Vec::new();
    percent_never_falls(record, &mut found);
    words_are_true(record, &mut found);
    nothing_unasked_is_written(record, &mut found);
    match record.case.operation {
        Operation::Rebalance
        | Operation::DirectRebalance
        | Operation::OthersRebalance
        | Operation::OthersDirectRebalance => rebalance(record, &mut found),
        Operation::StoppedRebalance => stopped(record, &mut found),
        Operation::Upgrade | Operation::OthersUpgrade => upgrade(record, &mut found),
        Operation::OthersEvacuation | Operation::Status => statuses(record, &mut found),
    }
    found.sort();
    found.dedup_by(|a, b| a.rule == b.rule);
    found
}

fn find(found: &mut Vec<Finding>, rule: impl Into<String>, what: impl Into<String>) {
    found.push(Finding { rule: rule.into(), what: what.into() });
}

fn events(record: &Record) -> impl Iterator<Item = (f64, usize, Value)> {
    record
        .lines
        .iter()
        .filter(|line| line.out)
        .filter_map(|line| Some((line.at, line.process, serde_json::from_str(&line.text).ok()?)))
}

const WORDS: [(&str, &str); 14] = [
    ("coordinator lost", "coordinatorLost"),
    ("clients missing", "clientsMissing"),
    ("nodes lost", "nodesLost"),
    ("nothing to do", "nothingToDo"),
    ("still running", "stillRunning"),
    ("balanced", "balanced"),
    ("overshot", "overshot"),
    ("uneven", "uneven"),
    ("stopped", "stopped"),
    ("stalled", "stalled"),
    ("failed", "failed"),
    ("superseded", "superseded"),
    ("reverted", "reverted"),
    ("upgraded", "upgraded"),
];

/// The verdicts that ended a followed operation.
fn verdicts(record: &Record) -> Vec<Printed> {
    if !record.case.text {
        return events(record)
            .filter(|(_, _, event)| event["type"] == "verdict")
            .filter_map(|(at, process, event)| {
                let verdict = event["verdict"].as_str()?.to_owned();
                Some(Printed {
                    at,
                    process,
                    verdict,
                    message: event["message"].as_str().unwrap_or_default().to_owned(),
                })
            })
            .collect();
    }
    // The last line of a process that ended by itself, with an exit code that fits one of the verdicts.
    let mut all = Vec::new();
    for (number, process) in record.processes.iter().enumerate() {
        let follows =
            process.arguments.iter().any(|word| word == "watch" || word == "--watch" || word == "upgrade");
        let (Some(exit), true) = (process.exit, follows) else { continue };
        let classes: &[&str] = match exit {
            0 => &["balanced", "nothingToDo", "upgraded"],
            4 => &["failed", "coordinatorLost", "stalled"],
            7 => &["uneven", "overshot", "stopped", "clientsMissing", "nodesLost", "reverted", "superseded"],
            _ => continue,
        };
        let last = record.lines.iter().rfind(|line| {
            line.process == number
                && WORDS.iter().any(|(word, it)| classes.contains(it) && line.text.contains(word))
        });
        let Some(line) = last else { continue };
        let first = WORDS
            .iter()
            .filter(|(_, it)| classes.contains(it))
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

fn percent_never_falls(record: &Record, found: &mut Vec<Finding>) {
    let mut last: Option<(usize, String, f64)> = None;
    for (at, process, event) in events(record) {
        let Some(percent) = event["percent"].as_f64().filter(|_| event["kind"] == "Event") else { continue };
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        if let Some((before_process, before_name, before)) = &last
            && *before_process == process
            && *before_name == name
            && percent < *before
        {
            find(found, "percent falls", format!("at {at:.1}s from {before} to {percent}"));
        }
        last = Some((process, name, percent));
    }
}

/// Words in messages that can be compared with the clients.
fn words_are_true(record: &Record, found: &mut Vec<Finding>) {
    let start = record.truth.moments.first().map_or(0, Moment::live);
    for line in &record.lines {
        let says = |words: &str| line.text.contains(words);
        if says("none missing") || says("no client is missing") {
            let low = |at: f64| {
                record.truth.at(at).is_some_and(|moment| {
                    (moment.live() + moment.in_flight) as f64 + 0.5 < start as f64 * 0.97
                })
            };
            if low(line.at) && low(line.at - 4.0) {
                find(found, "none missing is not true", format!("at {:.1}s: {}", line.at, line.text));
            }
        }
        if says("no session lost") || says("no session was lost") {
            let lost = record.truth.at(line.at - 2.0).map_or(0, |moment| moment.lost_sessions);
            if lost > 0 {
                find(found, "no session lost is not true", format!("{lost} were: {}", line.text));
            }
        }
    }
}

fn nothing_unasked_is_written(record: &Record, found: &mut Vec<Finding>) {
    let writes_allowed = record.processes.iter().any(|process| {
        ["apply", "stop", "upgrade"].iter().any(|verb| process.arguments.iter().any(|word| word == verb))
            && !process.arguments.starts_with(&["upgrade".to_owned(), "watch".to_owned()])
    });
    if writes_allowed {
        let creates = record
            .writes
            .iter()
            .filter(|write| write.request.starts_with("POST") && write.request.ends_with("/rebalances"));
        let refused = record.faults.iter().any(|(_, fault)| {
            matches!(
                fault,
                Fault::ApiStatus { .. } | Fault::TooManyRequests(_) | Fault::ApiDown(_) | Fault::ApiHang(_)
            )
        });
        if creates.count() > 1 && !refused {
            find(found, "one apply creates two objects", "two creates were sent");
        }
        return;
    }
    if let Some(write) = record.writes.first() {
        find(found, "a command that reads has written", format!("at {:.1}s {}", write.at, write.request));
    }
    if let Some((at, path)) = record.orders.first() {
        find(found, "a command that reads has given EMQX an order", format!("at {at:.1}s {path}"));
    }
}

fn mean(moment: &Moment, group: &[usize], of: impl Fn(&crate::truth::Node) -> u64) -> f64 {
    let alive: Vec<f64> = group
        .iter()
        .map(|&node| &moment.nodes[node])
        .filter(|node| node.alive)
        .map(|node| of(node) as f64)
        .collect();
    if alive.is_empty() { 0.0 } else { alive.iter().sum::<f64>() / alive.len() as f64 }
}

/// EMQX's own comparison: the first mean may be larger by so much or by so many times.
fn holds((abs, rel): (f64, f64), more: f64, less: f64) -> bool {
    more <= less + abs || more <= less * rel
}

/// How the donors stand to the recipients at one moment: `balanced`, `uneven` or `overshot`.
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

/// The spans in which the product could not know what EMQX does.
fn hidden(record: &Record) -> Vec<(f64, f64)> {
    record
        .faults
        .iter()
        .filter(|(_, fault)| fault.hides_emqx())
        .map(|(at, fault)| (*at, at + fault.outage().unwrap_or(LIMIT) + 3.0))
        .collect()
}

fn is_hidden(record: &Record, from: f64, to: f64) -> bool {
    hidden(record).iter().any(|(begin, end)| *begin <= to && *end >= from)
}

/// When an end at this time could be known at last.
fn knowable(record: &Record, end: f64) -> f64 {
    let mut known = end + ASKED_TWICE;
    let mut spans = hidden(record);
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (begin, over) in spans {
        if begin <= known + IN_TIME && over > known - ASKED_TWICE {
            known = known.max(over + ASKED_TWICE);
        }
    }
    known
}

fn died<'a>(truth: &'a Truth, history: &History, until: f64) -> Option<&'a str> {
    let members = history.run.donors.iter().chain(&history.run.recipients).chain([&history.run.coordinator]);
    let members: BTreeSet<usize> = members.copied().collect();
    truth.within(history.start, until).find_map(|moment| {
        members.iter().find(|&&node| !moment.nodes[node].alive).map(|&node| moment.nodes[node].name.as_str())
    })
}

/// Which verdicts may be printed at this time.
fn acceptable(record: &Record, history: &History, at: f64) -> BTreeSet<&'static str> {
    let truth = &record.truth;
    let mut may = BTreeSet::new();
    let fired = |wanted: fn(&Fault) -> bool, from: f64, to: f64| {
        record.faults.iter().any(|(when, fault)| wanted(fault) && *when >= from && *when <= to)
    };
    let Some(end) = history.end.filter(|&end| end <= at + 0.3) else {
        // It runs. Nothing that is over may be printed, but a coordinator that hangs is stalled.
        if !moved(truth, at - 60.0, at)
            || fired(|fault| matches!(fault, Fault::CoordinatorHang), 0.0, at - 50.0)
        {
            may.insert("stalled");
        }
        if is_hidden(record, at - 40.0, at) {
            may.insert("unknown");
        }
        if died(truth, history, at).is_some() {
            may.insert("nodesLost");
        }
        return may;
    };
    if is_hidden(record, end - 5.0, at) {
        may.insert("unknown");
    }
    if died(truth, history, end + 0.6).is_some() {
        may.insert("nodesLost");
        return may;
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
    let after_death =
        fired(|fault| matches!(fault, Fault::NodeDown { .. } | Fault::PodKilled(_)), end - 1.0, at);
    if after_death {
        may.insert("nodesLost");
    }
    let deleted = fired(|fault| matches!(fault, Fault::ObjectDeleted), history.start, end + 0.6);
    let by_other = fired(|fault| matches!(fault, Fault::StoppedByOther), end - 1.0, end + 0.6);
    let crashed = fired(|fault| matches!(fault, Fault::CoordinatorCrash), end - 1.0, end + 0.6);
    let ordered = record.orders.iter().any(|(_, path)| path.ends_with("/stop"));
    if deleted || ordered {
        may.insert("stopped");
    }
    let shapes: BTreeSet<&str> = truth.within(end - 0.3, at).map(|moment| shape(moment, history)).collect();
    if shapes.contains("balanced") {
        may.insert("balanced");
    }
    if shapes.contains("overshot") {
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
        // By someone else without an object: the thresholds are not known.
        if record.case.operation == Operation::OthersDirectRebalance {
            may.extend(["unknown", "uneven"]);
        }
    }
    if record.case.operation == Operation::OthersDirectRebalance {
        may.extend(["unknown", "uneven"]);
    }
    may
}

/// Whether any count or state changed in this span.
fn moved(truth: &Truth, from: f64, to: f64) -> bool {
    let mut moments = truth.within(from.max(0.0), to);
    let Some(first) = moments.next() else { return true };
    from < 0.0
        || moments.any(|moment| {
            moment.nodes != first.nodes
                || moment.runs != first.runs
                || moment.evacuations != first.evacuations
                || moment.in_flight != first.in_flight
        })
}

fn rebalance(record: &Record, found: &mut Vec<Finding>) {
    let histories = record.truth.histories();
    let printed = verdicts(record);
    let last = record.processes.len().saturating_sub(1);
    let Some(process) = record.processes.last() else { return };
    let history = histories.first();
    for verdict in &printed {
        let Some(history) = history.filter(|history| history.start <= verdict.at) else {
            never_started(record, verdict, found);
            continue;
        };
        let may = acceptable(record, history, verdict.at);
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
    }
    in_time(record, history, &printed, last, found);
    silent(record, process.started, process.ended, last, found);
}

/// A verdict on something that never ran.
fn never_started(record: &Record, verdict: &Printed, found: &mut Vec<Finding>) {
    let fine = ["nothingToDo", "failed", "unknown", "waiting", "stopped", "nodesLost", "running"];
    if !fine.contains(&verdict.verdict.as_str()) {
        let what = format!("at {:.1}s: {}", verdict.at, verdict.message);
        find(found, format!("{} although nothing ever ran", verdict.verdict), what);
    }
    let _ = record;
}

fn in_time(
    record: &Record,
    history: Option<&History>,
    printed: &[Printed],
    last: usize,
    found: &mut Vec<Finding>,
) {
    let Some(history) = history else { return };
    let process = &record.processes[last];
    let word = printed.iter().find(|verdict| verdict.process == last);
    let Some(end) = history.end else {
        if let (None, Some(at), Some(exit)) = (word, process.ended, process.exit) {
            gave_up(record, history, at, exit, found);
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
        None => {
            if let (Some(at), Some(exit)) = (process.ended, process.exit) {
                gave_up(record, history, at, exit, found);
            } else {
                let what = format!("ended at {end:.1}s, known from {known:.1}s, never printed");
                find(found, "an end is never reported", what);
            }
        }
    }
}

/// A process that ended without a verdict, although it was to follow.
fn gave_up(record: &Record, history: &History, at: f64, exit: u8, found: &mut Vec<Finding>) {
    let follows = record
        .processes
        .last()
        .is_some_and(|process| process.arguments.iter().any(|word| word == "watch" || word == "--watch"));
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
                | Fault::EmqxErrors(_)
                | Fault::EmqxHtml(_)
                | Fault::EmqxSlow(..)
                | Fault::NodeSilent(_)
        ) && *when <= history.start + 3.0
    });
    // What began while a source was away may be refused, and a process that came after the end finds nothing.
    let late =
        history.end.is_some_and(|end| end <= record.processes.last().map_or(0.0, |it| it.started) + 5.0);
    if !follows || away || late || exit == 6 {
        return;
    }
    let said = record.lines.iter().rfind(|line| !line.text.is_empty()).map_or("", |line| line.text.as_str());
    find(found, format!("following ends without a verdict (exit {exit})"), format!("at {at:.1}s: {said}"));
}

/// Followers print at least every 30 s.
fn silent(record: &Record, from: f64, to: Option<f64>, process: usize, found: &mut Vec<Finding>) {
    let mut last = from;
    let to = to.unwrap_or(LIMIT);
    let ours = record.lines.iter().filter(|line| line.process == process).map(|line| line.at);
    for at in ours.chain([to]) {
        let asleep = record.faults.iter().any(|(when, fault)| {
            matches!(fault, Fault::Asleep(_)) && *when <= at && when + fault.outage().unwrap_or(0.0) >= last
        });
        if at - last > SILENCE && !asleep {
            find(found, "a follower prints nothing for long", format!("from {last:.1}s to {at:.1}s"));
            return;
        }
        last = at;
    }
}

fn stopped(record: &Record, found: &mut Vec<Finding>) {
    let Some(process) = record.processes.last() else { return };
    let stops = process.arguments.iter().any(|word| word == "stop");
    let (true, Some(0), Some(ended)) = (stops, process.exit, process.ended) else { return };
    if let Some(moment) = record.truth.within(ended + 0.5, LIMIT).find(|moment| !moment.runs.is_empty()) {
        find(
            found,
            "stop leaves it running",
            format!("stop ended at {ended:.1}s, it runs at {:.1}s", moment.at),
        );
    }
}

fn upgrade(record: &Record, found: &mut Vec<Finding>) {
    let image = record.case.api.next_image();
    let target = image.rsplit(':').next().unwrap_or_default();
    for verdict in verdicts(record) {
        let Some(moment) = record.truth.at(verdict.at) else { continue };
        let alive: Vec<_> = moment.nodes.iter().filter(|node| node.alive).collect();
        let done = !alive.is_empty() && alive.iter().all(|node| node.version == target);
        let what = format!("at {:.1}s: {}", verdict.at, verdict.message);
        match verdict.verdict.as_str() {
            "upgraded" if !done => find(found, "upgraded although old nodes run", what),
            "stalled" if moved(&record.truth, verdict.at - 60.0, verdict.at) => {
                find(found, "an upgrade is stalled while it moves", what);
            }
            "failed" | "reverted" | "superseded" => {
                find(found, format!("an upgrade is {} although nobody did that", verdict.verdict), what);
            }
            "clientsMissing" => {
                let start = record.truth.moments.first().map_or(0, Moment::live) as f64;
                let low = record
                    .truth
                    .within(verdict.at - 40.0, verdict.at)
                    .any(|it| (it.live() as f64) < start * 0.98);
                if !low {
                    find(found, "clientsMissing although all are there", what);
                }
            }
            _ => {}
        }
    }
    let harmless = record.faults.iter().all(|(_, fault)| {
        !matches!(fault, Fault::NodeDown { .. } | Fault::PodKilled(_) | Fault::ClientsLeave(_))
    });
    let ours = record.case.operation == Operation::Upgrade && record.case.api == crate::case::Api::V1beta4;
    if let (true, true, Some(first), Some(last)) =
        (harmless, ours, record.truth.moments.first(), record.truth.moments.last())
        && record.faults.is_empty()
    {
        let clients = first.live();
        if last.cuts > clients + clients / 50 {
            let what = format!("{} disconnections for {clients} clients", last.cuts);
            find(found, "a guarded upgrade disconnects clients more than once", what);
        }
        if last.lost_sessions > 0 {
            find(found, "a guarded upgrade loses sessions", format!("{} sessions", last.lost_sessions));
        }
    }
}

/// `status` again and again, while an evacuation or nothing runs.
fn statuses(record: &Record, found: &mut Vec<Finding>) {
    for (number, process) in record.processes.iter().enumerate() {
        let text: Vec<&str> = record
            .lines
            .iter()
            .filter(|line| line.process == number && line.out)
            .map(|line| line.text.as_str())
            .collect();
        let Ok(status) = serde_json::from_str::<Value>(&text.join("\n")) else { continue };
        let at = process.ended.unwrap_or(process.started);
        let Some(moment) = record.truth.at(process.started) else { continue };
        let verdict = status["verdict"].as_str().unwrap_or_default();
        let says = format!("at {at:.1}s: {}", status["message"].as_str().unwrap_or_default());
        let steady = record
            .truth
            .at(process.started - 3.0)
            .is_some_and(|before| !before.evacuations.is_empty() && !moment.evacuations.is_empty());
        if verdict == "idle" && steady {
            find(found, "idle while an evacuation runs", says.clone());
        }
        let emqx = status["sources"]["emqx"]["state"].as_str().unwrap_or_default();
        if verdict == "idle" && !emqx.is_empty() && emqx != "ok" {
            find(found, "idle although EMQX was not asked", format!("emqx is {emqx}, {says}"));
        }
        let dead = moment.nodes.iter().find(|node| !node.alive);
        let dead_before = record
            .truth
            .at(process.started - 5.0)
            .is_some_and(|before| before.nodes.iter().any(|node| !node.alive));
        if let (Some(node), true) = (dead, dead_before)
            && ["idle", "even", "nothingToDo"].contains(&verdict)
            && !record.faults.iter().any(|(_, fault)| matches!(fault, Fault::PodKilled(_)))
        {
            find(
                found,
                format!("{verdict} although a node is down"),
                format!("{} is down, {says}", node.name),
            );
        }
    }
}
