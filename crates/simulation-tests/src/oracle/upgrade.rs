//! Upgrades: whether the verdict is true, when it is due, and how clients are affected.

use super::finding::{Finding, find};
use super::printed::{Printed, verdicts};
use super::rebalance::silent;
use super::times::{IN_TIME, MISSING_IN_TIME, advanced, is_hidden, knowable, pods_changed};
use crate::case::{Api, Fault, Image, NewPods, Operation};
use crate::run::{LIMIT, Process, Record};
use crate::truth::Moment;

/// A node that starts again is ready and in the Service after at most this many seconds.
const SERVES_AGAIN: f64 = 15.0;

fn tag(image: &str) -> &str {
    image.rsplit(':').next().unwrap_or_default()
}

/// Whether only nodes of this version remain, created from the last template, in the same number as before,
/// and all of them run and serve.
fn all_are(record: &Record, moment: &Moment, version: &str) -> bool {
    let members: Vec<_> = moment.nodes.iter().filter(|node| node.alive).collect();
    let operation = record.case.operation;
    let changed = |(at, fault): &(f64, Fault)| *fault == Fault::TemplateChanged && *at <= moment.at;
    let all = operation == Operation::OthersTemplate || record.faults.iter().any(changed);
    let renewed = |core: bool| all || (core && operation == Operation::OthersCoreTemplate);
    let front =
        if record.case.nodes.iter().any(|node| node.replicant) { |core: bool| !core } else { |core| core };
    members.len() >= record.case.nodes.len()
        && (operation.renews() || members.iter().all(|node| node.version == version))
        && members.iter().all(|node| node.renewed || !renewed(node.core))
        && members.iter().filter(|node| front(node.core)).all(|node| node.serves)
}

/// The target image of a process: after `upgrade undo` the previous one.
fn goal(record: &Record, number: usize) -> &'static str {
    let api = record.case.api;
    let undone = record.processes.iter().take(number + 1).any(|process| process.begins(&["upgrade", "undo"]));
    if undone { api.previous_image() } else { api.next_image() }
}

fn undoes(process: &Process) -> bool {
    process.begins(&["upgrade", "undo"])
}

/// `upgrade` and `upgrade watch`.
pub(super) fn followed(record: &Record, found: &mut Vec<Finding>) {
    let fired = |wanted: fn(&Fault) -> bool, to: f64| {
        record.faults.iter().any(|(when, fault)| wanted(fault) && *when <= to)
    };
    // A follower of the instance reports the rebalance of another client, too.
    let (others, printed): (Vec<Printed>, Vec<Printed>) =
        verdicts(record).into_iter().partition(|it| it.operation.as_deref() == Some("rebalance"));
    for verdict in others {
        if record.truth.at(verdict.at).is_some_and(|moment| !moment.runs.is_empty()) {
            find(found, "a rebalance has a verdict while it runs", verdict.message);
        }
    }
    for verdict in &printed {
        let at = verdict.at;
        let what = format!("at {at:.1}s: {}", verdict.message);
        let within = |version: &str, seconds: f64| {
            record.truth.within(at - seconds, at + 0.3).any(|moment| all_are(record, moment, version))
        };
        // After another client changed the image back, that is an upgrade to it.
        let back = |at: f64| {
            let changes = |fault: &Fault| {
                matches!(fault, Fault::ImageChanged(Image::Previous) | Fault::ManifestReapplied)
            };
            fired(changes, at) && within(tag(record.case.api.previous_image()), 6.0)
        };
        // A watcher of an instance follows the upgrade to a third image as the next one.
        let third = |at: f64| {
            let process = &record.processes[verdict.process];
            let ended = |it: &Printed| {
                it.process == verdict.process && it.verdict == "superseded" && it.at <= verdict.at
            };
            let next = printed.iter().any(ended)
                || fired(|fault| *fault == Fault::ImageChanged(Image::Third), process.started);
            let changed = fired(|fault| *fault == Fault::ImageChanged(Image::Third), at);
            changed && next && within(tag(record.case.api.third_image()), 6.0)
        };
        // The image of the operation itself may be changed after a new template, which a watcher follows first.
        let image_changed = |at: f64| {
            let changes = |fault: &Fault| matches!(fault, Fault::ImageChanged(_) | Fault::ManifestReapplied);
            let others = record.case.operation == Operation::OthersUpgrade;
            fired(changes, at) || others && fired(|fault| *fault == Fault::TemplateChanged, at)
        };
        let goal = tag(goal(record, verdict.process));
        let ours = record.processes.iter().take(verdict.process + 1).any(undoes);
        let rule = match verdict.verdict.as_str() {
            "upgraded" if !within(goal, 6.0) && !back(at) && !third(at) => "upgraded although it is not done",
            "upgraded" if left_for_good(record, verdict.process, at) => {
                "upgraded although clients are missing"
            }
            "reverted" if ours && !within(goal, 6.0) => "reverted although it is not done",
            // Movement that a fault causes is no progress.
            "stalled"
                if advanced(&record.truth, at - 58.0, at)
                    && !struck(record, at - 60.0, at)
                    && !pods_alone(record, at, &verdict.message) =>
            {
                "an upgrade is stalled while it moves"
            }
            "superseded" if !image_changed(at) => {
                "an upgrade is superseded although no client changed the image"
            }
            "reverted"
                if !ours
                    && !fired(
                        |fault| {
                            matches!(fault, Fault::ImageChanged(Image::Previous) | Fault::ManifestReapplied)
                        },
                        at,
                    ) =>
            {
                "an upgrade is reverted although no client changed the image back"
            }
            "failed" if record.case.new_pods == NewPods::Healthy => {
                "an upgrade is failed although it continues"
            }
            "unknown" if !is_hidden(record, at - 90.0, at) => "the end of an upgrade is unknown",
            "clientsMissing" => {
                let start = record.truth.moments.first().map_or(0, Moment::live) as f64;
                let low = |moment: &Moment| (moment.live() as f64) < start * 0.98;
                if record.truth.within(at - 40.0, at).any(low) {
                    continue;
                }
                "clientsMissing although all are there"
            }
            "nothingToDo" if record.truth.at(at).is_some_and(|it| !all_are(record, it, goal)) => {
                "an upgrade has nothing to do although old nodes run"
            }
            _ => continue,
        };
        find(found, rule, what);
    }
    due(record, &printed, found);
    suffered(record, found);
    for (number, process) in record.processes.iter().enumerate().filter(|(_, process)| process.follows()) {
        silent(record, process.started, process.ended, number, found);
    }
}

/// Whether clients were missing for the last 40 s, of those at the start of an upgrade that this process followed from its
/// begin on.
fn left_for_good(record: &Record, number: usize, at: f64) -> bool {
    let process = &record.processes[number];
    let begun = record.begun_by_other.unwrap_or(process.started);
    let whole = process.started <= begun && number == 0 && !is_hidden(record, process.started, at);
    let start = record.truth.at(begun).map_or(0, Moment::live) as f64;
    whole && record.truth.within(at - 40.0, at).all(|moment| (moment.live() as f64) < start * 0.97)
}

/// Whether the message is about the pods alone, which did not change, and no core ran that could be asked.
fn pods_alone(record: &Record, at: f64, message: &str) -> bool {
    let no_core = |moment: &Moment| !moment.nodes.iter().any(|node| node.core && node.alive);
    message.contains("no progress of the pods")
        && record.truth.within(at - 50.0, at).all(no_core)
        && !pods_changed(&record.truth, at - 50.0, at)
}

/// Whether a fault changed the counts of nodes in this span.
fn struck(record: &Record, from: f64, to: f64) -> bool {
    record.faults.iter().any(|(when, fault)| {
        matches!(
            fault,
            Fault::NodeDown { .. }
                | Fault::PodKilled(_)
                | Fault::PodNotReady(_)
                | Fault::NotInCluster(_)
                | Fault::ReplicantRemoved
                | Fault::ClientsLeave(_)
        ) && *when + fault.outage().unwrap_or(0.0) + back(fault) >= from
            && *when <= to
    })
}

/// Seconds after which a node that a fault stopped runs and serves again.
fn back(fault: &Fault) -> f64 {
    match fault {
        Fault::NodeDown { back: Some(seconds), .. } => seconds + SERVES_AGAIN,
        _ => 0.0,
    }
}

/// The end is reported in time.
fn due(record: &Record, printed: &[Printed], found: &mut Vec<Finding>) {
    let last = record.processes.iter().rposition(crate::run::Process::follows);
    let Some(number) = last else { return };
    let process = &record.processes[number];
    let target = tag(goal(record, number));
    // The moment from which on the upgrade is done.
    let undone = record.truth.moments.iter().rposition(|moment| !all_are(record, moment, target));
    let done = record.truth.moments.get(undone.map_or(0, |place| place + 1));
    let Some(done) = done else { return };
    let known = knowable(record, done.at.max(process.started));
    let dead = record.faults.iter().any(|(_, fault)| matches!(fault, Fault::OperatorDead(_)));
    let start = record.truth.moments.first().map_or(0, Moment::live) as f64;
    let low =
        record.truth.within(done.at, known + MISSING_IN_TIME).any(|it| (it.live() as f64) < start * 0.98);
    let limit = known + if low { MISSING_IN_TIME } else { IN_TIME };
    match printed.iter().find(|verdict| verdict.process == number) {
        Some(verdict) if verdict.at > limit && !dead => {
            let what =
                format!("done at {:.1}s, known from {known:.1}s, printed at {:.1}s", done.at, verdict.at);
            find(found, format!("the end of an upgrade is reported too late ({})", verdict.verdict), what);
        }
        None if process.ended.is_none() && limit < LIMIT && !dead => {
            find(found, "the end of an upgrade is never reported", format!("done at {:.1}s", done.at));
        }
        _ => {}
    }
}

/// A guarded upgrade disconnects each client once and loses no session, unless something else does.
fn suffered(record: &Record, found: &mut Vec<Finding>) {
    let guarded = record.case.operation == Operation::Upgrade && record.case.api == Api::V1beta4;
    let harmed = record.case.new_pods != NewPods::Healthy
        || record.case.balancer == "sticky"
        || record.faults.iter().any(|(_, fault)| {
            matches!(
                fault,
                Fault::NodeDown { .. }
                    | Fault::PodKilled(_)
                    | Fault::PodNotReady(_)
                    | Fault::NotInCluster(_)
                    | Fault::ImageChanged(_)
                    | Fault::ManifestReapplied
                    | Fault::TemplateChanged
                    | Fault::RebalanceCreated
            )
        });
    let (Some(first), Some(last)) = (record.truth.moments.first(), record.truth.moments.last()) else {
        return;
    };
    if !guarded || harmed {
        return;
    }
    let clients = first.live();
    if last.cuts > clients + clients / 50 {
        let what = format!("{} disconnections for {clients} clients", last.cuts);
        find(found, "a guarded upgrade disconnects clients more than once", what);
    }
    if last.lost_sessions > 0 {
        find(found, "a guarded upgrade loses sessions", format!("{} sessions", last.lost_sessions));
    }
}
