//! The times at which facts could be known: spans in which a source was unavailable, and moments in which
//! nothing moved.

use std::collections::BTreeSet;

use crate::case::Fault;
use crate::run::{LIMIT, Record};
use crate::truth::{History, Moment, Truth};

/// An end has to be reported within this many seconds after it can be known.
pub(super) const IN_TIME: f64 = 45.0;

/// The same where clients are missing, which is decided 30 s after the end.
pub(super) const MISSING_IN_TIME: f64 = 75.0;

/// Evicted clients are connected again after this many seconds.
const RECONNECTED: f64 = 10.0;

/// The second answer that nothing runs is due this many seconds after the first.
const ASKED_TWICE: f64 = 12.0;

/// The spans in which the product could not know what EMQX does.
fn hidden(record: &Record) -> Vec<(f64, f64)> {
    record
        .faults
        .iter()
        .filter(|(_, fault)| fault.hides_emqx())
        .map(|(at, fault)| (*at, at + fault.outage().unwrap_or(LIMIT) + after(fault) + unused(record, fault)))
        .collect()
}

/// Seconds by which answers of a wrong shape may come later, because other faults keep EMQX from answering until then.
fn unused(record: &Record, fault: &Fault) -> f64 {
    let others = record
        .faults
        .iter()
        .filter(|(_, other)| other.hides_emqx() && !matches!(other, Fault::Misshapen(..)));
    let seconds = others.map(|(_, other)| other.outage().unwrap_or(LIMIT) + after(other)).sum::<f64>();
    if matches!(fault, Fault::Misshapen(..)) { seconds } else { 0.0 }
}

/// Seconds after a fault until the next request is answered: one that got no answer is given up after 10 s.
fn after(fault: &Fault) -> f64 {
    match fault {
        Fault::EmqxSilent(_) | Fault::EmqxAnswersNobody(_) | Fault::NodeSilent(_) => 11.0,
        _ => 3.0,
    }
}

pub(super) fn is_hidden(record: &Record, from: f64, to: f64) -> bool {
    // Only cores answer.
    let no_core = |moment: &Moment| !moment.nodes.iter().any(|node| node.core && node.alive);
    hidden(record).iter().any(|(begin, end)| *begin <= to && *end >= from)
        || record.truth.within(from.max(0.0), to).any(no_core)
}

/// The latest time at which an end at this time could be known.
pub(super) fn knowable(record: &Record, end: f64) -> f64 {
    let mut known = end + ASKED_TWICE;
    let mut spans = hidden(record);
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (begin, over) in spans {
        if begin <= known + IN_TIME && over > known - ASKED_TWICE {
            known = known.max(over + ASKED_TWICE);
        }
    }
    // Only cores answer.
    let core = |moment: &&Moment| moment.nodes.iter().any(|node| node.core && node.alive);
    if record.truth.at(known).as_ref().is_none_or(core) {
        return known;
    }
    let again = record.truth.within(known, LIMIT).find(core);
    again.map_or(LIMIT, |moment| moment.at + ASKED_TWICE)
}

/// Whether a pod was created or removed in this span, even one in which EMQX never ran.
pub(super) fn pods_changed(truth: &Truth, from: f64, to: f64) -> bool {
    let mut moments = truth.within(from.max(0.0), to);
    let Some(first) = moments.next() else { return true };
    moments.any(|moment| moment.pods != first.pods)
}

/// Whether any count or state changed in this span.
pub(super) fn moved(truth: &Truth, from: f64, to: f64) -> bool {
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

/// Whether an upgrade made progress in this span: a node came to a state or to counts that it did not have before, or an
/// evacuation to a stage. No progress are pods that stop and start in turn, nodes that are evacuated again, and clients that
/// a rebalance moves, or that connect again after their node stopped.
pub(super) fn advanced(truth: &Truth, from: f64, to: f64) -> bool {
    let (mut states, mut counts, mut drained) = (Vec::new(), Vec::new(), Vec::new());
    let mut evacuated = BTreeSet::new();
    let mut advanced = from < 0.0;
    let (mut disconnected, mut before) = (f64::NEG_INFINITY, 0);
    for moment in truth.within(0.0, to) {
        let alive = moment.nodes.iter().filter(|node| node.alive).count();
        if !moment.runs.is_empty() || alive < before {
            disconnected = moment.at;
        }
        before = alive;
        let mut news = false;
        for node in &moment.nodes {
            news |= is_new(&mut states, node.without_counts());
            let counted = is_new(&mut counts, (&node.name, node.connections, node.offline));
            news |= counted && moment.at > disconnected + RECONNECTED;
        }
        let listed = |node: &usize| moment.evacuations.iter().any(|(other, _)| other == node);
        evacuated.extend(drained.iter().map(|(node, _)| *node).filter(|node| !listed(node)));
        for stage in moment.evacuations.iter().filter(|(node, _)| !evacuated.contains(node)) {
            news |= is_new(&mut drained, *stage);
        }
        advanced |= moment.at >= from && news;
    }
    advanced
}

/// Whether the list does not have this yet; it has it afterwards.
fn is_new<T: PartialEq>(seen: &mut Vec<T>, item: T) -> bool {
    let new = !seen.contains(&item);
    if new {
        seen.push(item);
    }
    new
}

/// Seconds by which the clock of the API server was set forward in this span.
pub(super) fn jumps(record: &Record, from: f64, to: f64) -> f64 {
    let within = record.faults.iter().filter(|(at, _)| *at >= from && *at <= to);
    let seconds = within.map(|(_, fault)| if let Fault::DateJump(by) = fault { *by as f64 } else { 0.0 });
    seconds.sum()
}

/// The names of participants that did not run at some moment until then.
pub(super) fn died(truth: &Truth, history: &History, until: f64) -> BTreeSet<String> {
    let members = history.run.donors.iter().chain(&history.run.recipients).chain([&history.run.coordinator]);
    let members: BTreeSet<usize> = members.copied().collect();
    truth
        .within(history.start, until)
        .flat_map(|moment| members.iter().map(|&node| &moment.nodes[node]).filter(|node| !node.alive))
        .map(|node| node.name.clone())
        .collect()
}
