//! The operations of one cluster, newest first: those that run, and past ones with their recorded verdicts.

use jiff::Timestamp;

use crate::model::human::seconds_between;
use crate::model::{FIELD_MANAGER, HistoryEntry, InstanceId, Judgement, Operation, Rebalance, Verdict};
use crate::plan::assessment::RebalanceStatus;
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::tracker::OperationTracker;
use crate::plan::upgrade::run::UpgradeRun as Upgrade;
use crate::timing::SAME_END_SECONDS;

#[derive(Clone, Debug, PartialEq)]
pub struct PastOperation {
    /// The kind of operation.
    pub operation: Operation,
    /// The name of the object, `coordinator/NODE`, `upgrade/NAME` or `evacuation/NODE`.
    pub name: String,
    /// The verdict at its end, or the present one.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended, at the latest; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// When it was last seen to run, where it is not known when after that it ended.
    pub ended_after: Option<Timestamp>,
    /// Clients of all nodes at the start and after the end, where they were known.
    pub connections: (Option<u64>, Option<u64>),
    /// Clients that left the nodes that lose clients, where the view saw it.
    pub moved: Option<u64>,
    /// The client that started it, where Kubernetes reports it.
    pub started_by: Option<String>,
    /// The client that recorded the verdict.
    pub recorded_by: Option<String>,
    /// Whether it runs, or waits for an operator.
    pub open: bool,
}

impl PastOperation {
    /// Seconds that it took, or has taken so far.
    pub(crate) fn seconds(&self, now: Timestamp) -> Option<u64> {
        if self.ended_after.is_some() {
            return None;
        }
        let end = self.ended.or(self.open.then_some(now))?;
        Some(seconds_between(self.started?, end))
    }

    /// Clients that were connected at the start and not after the end.
    pub(crate) fn lost(&self) -> Option<u64> {
        Some(self.connections.0?.saturating_sub(self.connections.1?))
    }
}

/// All operations of a cluster. The verdict of a past one is the recorded one; it is not computed again. `recorded` are the
/// entries of the user's own history and of the ConfigMap of the instance.
pub(crate) fn operations<'a>(
    rebalances: &[RebalanceStatus],
    operations: &OperationTracker,
    id: &InstanceId,
    recorded: impl Iterator<Item = &'a HistoryEntry>,
) -> Vec<PastOperation> {
    let runs = &operations.rebalances.runs;
    let mut all: Vec<PastOperation> = rebalances
        .iter()
        .map(|rebalance| of_rebalance(rebalance, runs.iter().rfind(|run| run.name == rebalance.name)))
        .collect();
    let listed = |run: &&RebalanceRun| all.iter().any(|it| it.name == run.name);
    let more: Vec<PastOperation> = runs.iter().filter(|run| !listed(run)).filter_map(of_run).collect();
    all.extend(more);
    let upgrades = operations.upgrades.runs.iter().filter(|run| run.id == *id);
    all.extend(upgrades.map(of_upgrade));
    all.extend(operations.upgrades.evacuations.runs.iter().map(of_evacuation));
    for entry in recorded {
        match all.iter_mut().find(|known| is_about(known, entry)) {
            Some(known) => complete(known, entry),
            None => all.push(of_entry(entry)),
        }
    }
    all.sort_by_key(|it| (std::cmp::Reverse(it.open), std::cmp::Reverse(it.ended.or(it.started))));
    all
}

/// Whether a recorded entry is about this operation: names of upgrades and evacuations are used again.
fn is_about(known: &PastOperation, entry: &HistoryEntry) -> bool {
    if known.open || known.operation != entry.operation || known.name != entry.name {
        return false;
    }
    let near = |one: Timestamp, other: Timestamp| {
        seconds_between(one, other).max(seconds_between(other, one)) <= SAME_END_SECONDS
    };
    match (known.started.zip(entry.started), known.ended) {
        (Some((one, other)), _) if near(one, other) => true,
        (_, Some(ended)) => near(ended, entry.ended),
        // An evacuation that had ended before it was seen: EMQX still has its clients at the start.
        (_, None) if known.operation == Operation::Evacuation && known.started.is_none() => {
            known.message == entry.message
        }
        (_, None) => known.started.is_none_or(|started| started <= entry.ended),
    }
}

/// Adds what was recorded: a verdict where none is known, and counts.
fn complete(known: &mut PastOperation, entry: &HistoryEntry) {
    if known.verdict == Verdict::Unknown && known.recorded_by.is_none() {
        known.verdict = entry.verdict;
        known.message.clone_from(&entry.message);
        (known.ended, known.ended_after) = (Some(entry.ended), entry.ended_after);
    }
    if known.ended.is_none() {
        (known.ended, known.ended_after) = (Some(entry.ended), entry.ended_after);
    }
    known.started = known.started.or(entry.started);
    known.moved = known.moved.or(entry.moved_connections);
    if known.connections.0.is_none() || known.connections.1.is_none() {
        known.connections = entry.connections;
    }
    known.recorded_by = known.recorded_by.take().or_else(|| client(entry));
}

fn client(entry: &HistoryEntry) -> Option<String> {
    Some(entry.by.clone()).filter(|by| !by.is_empty())
}

/// An operation of which only the record remains.
fn of_entry(entry: &HistoryEntry) -> PastOperation {
    PastOperation {
        operation: entry.operation,
        name: entry.name.clone(),
        verdict: entry.verdict,
        message: entry.message.clone(),
        started: entry.started,
        ended: Some(entry.ended),
        ended_after: entry.ended_after,
        connections: entry.connections,
        moved: entry.moved_connections,
        started_by: None,
        recorded_by: client(entry),
        open: false,
    }
}

fn of_rebalance(rebalance: &RebalanceStatus, run: Option<&RebalanceRun>) -> PastOperation {
    let object = rebalance.object.as_ref();
    let recorded = object.and_then(|object| object.recorded.as_ref());
    // Of a rebalance that EMQX began, `Failed` is the operator's view: EMQX continues after it.
    let over = |object: &Rebalance| object.completed.or(object.failed.filter(|_| !object.processed));
    let (ended, ended_after) = match (recorded, run.and_then(RebalanceRun::end_span)) {
        (Some(recorded), _) => (Some(recorded.ended), recorded.ended_after),
        (None, Some((_, latest))) => (Some(latest), run.and_then(RebalanceRun::ended_after)),
        (None, None) => (object.and_then(over), None),
    };
    let began = run.map(|run| run.began);
    let started = recorded.and_then(|it| it.started).or(object.and_then(|it| it.started)).or(began);
    let own = run.map(counts).unwrap_or_default();
    PastOperation {
        operation: Operation::Rebalance,
        name: rebalance.name.clone(),
        verdict: rebalance.verdict,
        message: rebalance.message.clone(),
        started: started.or(object.and_then(|object| object.created)),
        ended: ended.filter(|_| !rebalance.open),
        ended_after,
        connections: recorded.map_or(own, |it| it.connections),
        moved: run.and_then(|run| moved(run.start.as_ref()?, &run.counts)),
        started_by: object.and_then(started_by),
        recorded_by: recorded.map(|it| it.by.clone()),
        open: rebalance.open,
    }
}

/// The client that created an object: only `apply` writes the plan annotation.
fn started_by(object: &Rebalance) -> Option<String> {
    object.created_by.clone().or_else(|| object.plan.as_ref().map(|_| FIELD_MANAGER.to_owned()))
}

/// An operation whose object was deleted, or that had none.
fn of_run(run: &RebalanceRun) -> Option<PastOperation> {
    let Judgement { verdict, message } = run.verdict.clone()?;
    Some(PastOperation {
        operation: Operation::Rebalance,
        name: run.name.clone(),
        verdict,
        message,
        started: Some(run.began),
        ended: run.end_span().map(|(_, latest)| latest),
        ended_after: run.ended_after(),
        connections: counts(run),
        moved: run.start.as_ref().and_then(|start| moved(start, &run.counts)),
        started_by: run.object.as_ref().and_then(started_by),
        recorded_by: None,
        open: false,
    })
}

fn of_upgrade(run: &Upgrade) -> PastOperation {
    let message = match &run.verdict {
        Some(judgement) => judgement.message.clone(),
        None => crate::plan::upgrade::messages::between(run.from.as_deref(), run.to.as_deref()),
    };
    PastOperation {
        operation: Operation::Upgrade,
        name: run.name.clone(),
        verdict: run.standing(),
        message,
        started: Some(run.began),
        ended: run.ended.filter(|_| run.verdict.is_some()),
        ended_after: run.ended_after(),
        connections: (run.start.connections, run.counts.all_connections()),
        moved: run.start.connections.zip(run.counts.all_connections()).map(|(before, now)| {
            // Clients that are not on a target node are still on a previous one.
            before.saturating_sub(now.saturating_sub(run.arrived))
        }),
        started_by: None,
        recorded_by: None,
        open: run.verdict.is_none(),
    }
}

fn of_evacuation(run: &EvacuationRun) -> PastOperation {
    let Judgement { verdict, message } = match &run.verdict {
        Some(verdict) => verdict.clone(),
        None => Judgement::new(Verdict::Running, run.present("")),
    };
    let held = run.start.map(|holds| holds.connections).or(run.entry.initial_connections);
    let now = run.holds.map(|holds| holds.connections).or(run.entry.connections);
    PastOperation {
        operation: Operation::Evacuation,
        name: run.name.clone(),
        verdict,
        message,
        started: run.began_at(),
        ended: run.ended.filter(|_| !run.ended_unseen()),
        ended_after: run.ended_after(),
        connections: (None, None),
        moved: held.zip(now).map(|(held, now)| held.saturating_sub(now)),
        started_by: None,
        recorded_by: None,
        open: run.verdict.is_none(),
    }
}

fn counts(run: &RebalanceRun) -> (Option<u64>, Option<u64>) {
    (run.start.as_ref().and_then(Counts::all_connections), run.counts.all_connections())
}

/// Clients that left the nodes whose count is lower than at the start.
fn moved(start: &Counts, now: &Counts) -> Option<u64> {
    let left = start.0.iter().map(|(node, before)| {
        let now = now.connections(node)?;
        Some(before.connections?.saturating_sub(now))
    });
    left.sum()
}
