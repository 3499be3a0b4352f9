//! `status` and `rebalance list`, which are run during an operation, while nothing runs, and afterwards.

use serde_json::Value;

use super::finding::{Finding, find};
use super::printed::verdicts;
use super::rebalance::{acceptable, took};
use super::times::is_hidden;
use crate::case::Fault;
use crate::run::{Process, Record};
use crate::truth::Moment;

/// Seconds before and after a command in which nothing may begin or end, so that its answer can be judged.
const STEADY: f64 = 4.0;

/// Seconds after which the last clients have reconnected and missing ones are certain.
const SETTLE_SECONDS: f64 = 45.0;

/// Seconds after its end in which an unfollowed rebalance may be judged by the present counts.
const JUDGED: f64 = 121.0;

/// An even spread is at most a quarter, or 100 clients; with some tolerance for reconnecting clients.
const SURELY_UNEVEN: f64 = 0.32;
const SURELY_EVEN: f64 = 0.18;

fn document(record: &Record, number: usize) -> Option<Value> {
    let lines = record.lines.iter().filter(|line| line.process == number && line.out);
    let text: Vec<&str> = lines.map(|line| line.text.as_str()).collect();
    serde_json::from_str(&text.join("\n")).ok()
}

/// The operation that runs in EMQX: `rebalance`, `evacuation`, `purge` or nothing.
fn runs(moment: &Moment) -> &'static str {
    if !moment.runs.is_empty() {
        "rebalance"
    } else if !moment.evacuations.is_empty() {
        "evacuation"
    } else if moment.purging {
        "purge"
    } else {
        "none"
    }
}

/// The operation that ran throughout a span; `None` where it changed.
fn steady(record: &Record, from: f64, to: f64) -> Option<&'static str> {
    let mut moments = record.truth.within(from, to);
    let first = runs(moments.next()?);
    moments.all(|moment| runs(moment) == first).then_some(first)
}

/// The largest deviation from the mean among the nodes that serve, and its share of the mean.
fn spread(moment: &Moment) -> Option<(f64, f64)> {
    let replicants = moment.nodes.iter().any(|node| !node.core && node.alive);
    let serving = moment.nodes.iter().filter(|node| node.alive && node.core != replicants);
    let counts: Vec<f64> = serving.map(|node| node.connections as f64).collect();
    let mean = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
    let most = counts.iter().map(|count| (count - mean).abs()).fold(0.0, f64::max);
    (counts.len() > 1 && mean > 0.0).then_some((most, most / mean))
}

/// Every `status -o json`.
pub(super) fn all(record: &Record, found: &mut Vec<Finding>) {
    for (number, process) in record.processes.iter().enumerate() {
        if process.begins(&["status"])
            && let Some(status) = document(record, number)
        {
            one(record, process, &status, found);
        }
    }
}

fn one(record: &Record, process: &Process, status: &Value, found: &mut Vec<Finding>) {
    let ended = process.ended.unwrap_or(process.started);
    let Some(moment) = record.truth.at(process.started) else { return };
    let verdict = status["verdict"].as_str().unwrap_or_default();
    let operation = status["operation"].as_str().unwrap_or_default();
    let message = status["message"].as_str().unwrap_or_default();
    let printed = format!("at {ended:.1}s: {operation}, {verdict}, {message}");
    let emqx = status["sources"]["emqx"]["state"].as_str().unwrap_or_default();
    let quiet = ["idle", "even", "uneven", "nothingToDo", "balanced"].contains(&verdict);
    let truly = steady(record, process.started - STEADY, ended + 0.5);
    let hidden = is_hidden(record, process.started - 1.0, ended + 0.5);
    if let Some(running) = truly.filter(|running| *running != "none")
        && quiet
        && operation == "none"
        && emqx == "ok"
        && !hidden
    {
        find(found, format!("{verdict} while a {running} runs"), printed.clone());
    }
    if truly == Some("none")
        && emqx == "ok"
        && !hidden
        && ["rebalance", "evacuation", "purge"].contains(&operation)
        && ["running", "stillRunning"].contains(&verdict)
        && steady(record, process.started - 40.0, ended + 0.5) == Some("none")
    {
        find(found, format!("a {operation} is reported although none runs"), printed.clone());
    }
    if verdict == "idle" && !emqx.is_empty() && emqx != "ok" {
        find(found, "idle although EMQX was not asked", format!("emqx is {emqx}, {printed}"));
    }
    let upgrade = record.case.operation.upgrades();
    let dead = moment.nodes.iter().find(|node| !node.alive);
    let dead_before = record
        .truth
        .at(process.started - 5.0)
        .is_some_and(|before| before.nodes.iter().any(|node| !node.alive));
    let replaced =
        record.faults.iter().any(|(_, fault)| matches!(fault, Fault::PodKilled(_) | Fault::Scaled(_)));
    let dead_after =
        record.truth.within(process.started, ended).all(|it| it.nodes.iter().any(|node| !node.alive));
    if let (Some(node), true, false) = (dead, dead_before && dead_after, upgrade || replaced)
        && ["idle", "even", "nothingToDo"].contains(&verdict)
    {
        find(
            found,
            format!("{verdict} although a node is down"),
            format!("{} is down, {printed}", node.name),
        );
    }
    let calm = record.truth.within(process.started - STEADY, ended + 0.5).all(|it| it.in_flight == 0);
    if truly == Some("none")
        && calm
        && !hidden
        && emqx == "ok"
        && let Some((clients, share)) = spread(moment)
    {
        let what = format!("{clients:.0} clients, {:.0} % of the mean; {printed}", share * 100.0);
        if verdict == "even" && share > SURELY_UNEVEN && clients > 130.0 {
            find(found, "even although it is uneven", what);
        } else if verdict == "uneven" && share < SURELY_EVEN && clients < 900.0 {
            find(found, "uneven although it is even", what);
        }
    }
}

/// Every `rebalance list -o json`: a past rebalance has a verdict that was true at its end, or an unknown one.
pub(super) fn lists(record: &Record, found: &mut Vec<Finding>) {
    for (number, process) in record.processes.iter().enumerate() {
        if !process.begins(&["rebalance", "list"]) {
            continue;
        }
        let Some(document) = document(record, number) else { continue };
        waits(record, process, &document, found);
        let mut histories = record.truth.histories();
        // What an operator starts later ran nothing so far.
        histories.retain(|history| history.start <= process.started);
        let items: Vec<&Value> = document["items"].as_array().into_iter().flatten().collect();
        let ended = process.ended.unwrap_or(process.started);
        let hidden = is_hidden(record, process.started - 1.0, ended + 0.5);
        // Objects and histories are matched by their order, where their numbers are equal.
        if items.len() != histories.len() || hidden {
            continue;
        }
        for (item, history) in items.iter().zip(&histories) {
            let verdict = item["verdict"].as_str().unwrap_or_default();
            let message = item["message"].as_str().unwrap_or_default();
            let printed = format!("at {ended:.1}s: {verdict}, {message}");
            let Some(end) = history.end.filter(|end| *end <= process.started - STEADY) else {
                if history.end.is_none()
                    && !["running", "stillRunning", "unknown", "stalled"].contains(&verdict)
                {
                    find(found, format!("the list has {verdict} while it runs"), printed);
                }
                continue;
            };
            // Only within two minutes of its end it may be judged by the present counts.
            let mut may = acceptable(record, history, ended.min(end + SETTLE_SECONDS));
            if ended <= end + JUDGED {
                may.extend(acceptable(record, history, ended));
            }
            may.extend(acceptable(record, history, end + 1.0));
            // A follower has recorded what it printed, which was judged then.
            let printed_then = verdicts(record).into_iter().map(|it| it.at);
            for at in printed_then.filter(|at| *at >= end && *at <= end + SETTLE_SECONDS) {
                may.extend(acceptable(record, history, at));
            }
            if let Some(seconds) = item["durationSeconds"].as_f64().filter(|_| verdict != "unknown") {
                took(record, history, seconds, &printed, found);
            }
            // The verdict of an operation that was not followed to its end may be unknown.
            may.insert("unknown");
            if !may.contains(verdict) {
                let wanted: Vec<&str> = may.iter().copied().collect();
                find(found, format!("the list has {verdict} instead of {}", wanted.join(" or ")), printed);
            }
        }
    }
}

/// An object that no operator picked up within this number of seconds waits for one.
const PICKED_UP: f64 = 35.0;

/// While the operator does nothing from the start on, the object of an `apply` waits.
fn waits(record: &Record, process: &Process, document: &Value, found: &mut Vec<Finding>) {
    let Some(away) = record.case.operator_away else { return };
    let ended = process.ended.unwrap_or(process.started);
    let created = record.writes.iter().find(|write| write.request.ends_with("/rebalances"));
    let due = created.is_some_and(|write| write.at + PICKED_UP <= process.started);
    if !due || ended >= away || is_hidden(record, process.started - 1.0, ended + 0.5) {
        return;
    }
    for item in document["items"].as_array().into_iter().flatten() {
        if item["verdict"] != "waiting" {
            let what = format!("at {ended:.1}s: {}, {}", item["verdict"], item["message"]);
            find(found, "an object that no operator picks up does not wait", what);
        }
    }
}
