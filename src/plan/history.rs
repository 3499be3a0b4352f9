//! Past operations of every kind, from all places in which verdicts are recorded: the annotations of Rebalances, the ConfigMap
//! of an instance, and the user's own history.

use jiff::Timestamp;
use serde::Serialize;

use super::assessment::RebalanceStatus;
use super::rebalance::ownership;
use super::rebalance::progress::Counts;
use super::tracker::OperationTracker;
use super::upgrade::run::UpgradeRun;
use crate::model::human::seconds_between;
use crate::model::{
    EvacuationTimes, EventType, HistoryEntry, InstanceId, Judgement, Operation, OperationRef, Rebalance,
    RecordedVerdict, Verdict, World,
};
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::{FOLLOWED_AGAIN_SECONDS, SAME_END_SECONDS};

/// Where an entry comes from; of two entries about one operation the one of the later variant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recorded {
    /// In no record: it is judged by the present state, or was not followed.
    Assessed,
    /// In the user's own history.
    Folder,
    /// In the ConfigMap of the instance.
    ConfigMap,
    /// On the Rebalance itself.
    Object,
}

/// One past operation.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEntry {
    /// How it ended.
    pub entry: HistoryEntry,
    /// Where that is recorded.
    pub recorded: Recorded,
    /// Whether its end, and so its duration, is known: the operator's `Failed` is not an end.
    pub end_known: bool,
}

impl PastEntry {
    /// An operation whose end was observed and recorded.
    pub fn recorded(entry: HistoryEntry, recorded: Recorded) -> Self {
        Self { entry, recorded, end_known: true }
    }
}

/// A past operation as it is printed: an item of `history`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// The kind of the operation.
    pub operation: Operation,
    /// The cluster.
    pub instance: InstanceId,
    /// The name of the object, `coordinator/NODE`, `upgrade/NAME`, `evacuation/NODE`, `drain/NAME` or `scale/NAME`.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// When it began.
    pub started_time: Option<Timestamp>,
    /// How long it took.
    pub duration_seconds: Option<u64>,
    /// Clients that were moved.
    pub moved_connections: Option<u64>,
    /// Clients that were connected at the start and not after the end.
    pub lost_clients: Option<u64>,
    /// The client that recorded the verdict; `None` where none did.
    pub by: Option<String>,
}

impl From<&PastEntry> for HistoryItem {
    fn from(past: &PastEntry) -> Self {
        let entry = &past.entry;
        Self {
            operation: entry.operation,
            instance: entry.instance.clone(),
            name: entry.name.clone(),
            verdict: entry.verdict,
            message: entry.message.clone(),
            started_time: entry.started,
            duration_seconds: entry.seconds().filter(|_| past.end_known),
            moved_connections: entry.moved_connections,
            lost_clients: entry.lost_clients(),
            by: Some(entry.by.clone()).filter(|by| !by.is_empty()),
        }
    }
}

/// One upgrade, running or past: an item of `upgrade list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeItem {
    /// `upgrade/NAME`, with the name of the cluster.
    pub name: String,
    /// The cluster.
    pub instance: InstanceId,
    /// Its phase, while it runs.
    pub phase: Option<String>,
    /// The present verdict, or the verdict at its end.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// When it started.
    pub started_time: Option<Timestamp>,
    /// How long it took, or takes so far.
    pub duration_seconds: Option<u64>,
}

impl From<HistoryItem> for UpgradeItem {
    fn from(item: HistoryItem) -> Self {
        Self {
            name: item.name,
            instance: item.instance,
            phase: None,
            verdict: item.verdict,
            message: item.message,
            started_time: item.started_time,
            duration_seconds: item.duration_seconds,
        }
    }
}

/// An operation that was followed to its end, to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowedOperation {
    /// How it ended.
    pub entry: HistoryEntry,
    /// The object of a rebalance, where there still is one.
    pub object: Option<Rebalance>,
    /// What is recorded on the object.
    pub verdict: Option<RecordedVerdict>,
}

/// The operations of an instance that ended since a moment, as its trackers saw it.
pub(crate) fn followed(
    operations: &OperationTracker,
    id: &InstanceId,
    since: Timestamp,
    now: Timestamp,
) -> Vec<FollowedOperation> {
    let later = |ended: Option<Timestamp>| ended.is_some_and(|ended| ended >= since);
    let mut all = Vec::new();
    for run in operations.rebalances.runs.iter().filter(|run| later(run.ended)) {
        let Some(verdict) = run.verdict.clone() else { continue };
        all.push(FollowedOperation {
            entry: of_rebalance(run, id, verdict, now),
            object: run.object.clone().filter(|_| !run.is_deleted()),
            verdict: run.to_record(now).map(|(_, verdict)| verdict),
        });
    }
    for run in operations.upgrades.runs.iter().filter(|run| run.id == *id && later(run.ended)) {
        let Some(verdict) = run.verdict.clone() else { continue };
        all.push(FollowedOperation { entry: of_upgrade(run, verdict, now), object: None, verdict: None });
    }
    // The end of an evacuation that had ended before is unknown.
    let seen = |run: &&EvacuationRun| later(run.ended) && !run.ended_unseen();
    for run in operations.upgrades.evacuations.runs.iter().filter(seen) {
        let Some(verdict) = run.verdict.clone() else { continue };
        let entry = of_evacuation(run, id, verdict, (None, None), now);
        all.push(FollowedOperation { entry, object: None, verdict: None });
    }
    all
}

/// An entry about which only its end is known.
pub(super) fn ended(
    operation: Operation,
    instance: &InstanceId,
    name: &str,
    Judgement { verdict, message }: Judgement,
    at: Timestamp,
) -> HistoryEntry {
    HistoryEntry {
        version: 1,
        operation,
        instance: instance.clone(),
        cluster: None,
        name: name.to_owned(),
        uid: None,
        object_unknown: false,
        verdict,
        message,
        started: None,
        ended: at,
        ended_after: None,
        followed: None,
        planned_seconds: None,
        evacuations: None,
        connections: (None, None),
        sessions: (None, None),
        moved_connections: None,
        by: String::new(),
        recording: None,
    }
}

/// The entry of a rebalance that ended with this verdict.
pub(crate) fn of_rebalance(
    run: &RebalanceRun,
    id: &InstanceId,
    judgement: Judgement,
    now: Timestamp,
) -> HistoryEntry {
    let pair = |of: fn(&Counts) -> Option<u64>| {
        // Where the start was not seen, the first counts are not those of the start.
        let start = run.start.as_ref().filter(|_| run.counted_since.is_none());
        (start.and_then(of), of(&run.counts))
    };
    HistoryEntry {
        uid: run.object.as_ref().map(|object| object.uid.clone()),
        started: run.began_at(),
        followed: Some(run.key().1),
        connections: pair(Counts::known_connections),
        sessions: pair(Counts::all_sessions),
        planned_seconds: run.planned().map(|plan| plan.total_seconds),
        moved_connections: run.report(now, EventType::Notice, String::new()).moved_connections,
        ended_after: run.ended_after(),
        ..ended(
            Operation::Rebalance,
            id,
            &run.name,
            judgement,
            run.end_span().map_or(now, |(_, latest)| latest),
        )
    }
}

/// The entry of an upgrade that ended with this verdict.
pub(crate) fn of_upgrade(run: &UpgradeRun, judgement: Judgement, now: Timestamp) -> HistoryEntry {
    let known = |of: fn(&Counts) -> Option<u64>| of(&run.counts).filter(|_| run.blind.is_none());
    HistoryEntry {
        started: Some(run.began),
        planned_seconds: run.planned,
        connections: (run.start.connections, known(Counts::all_connections)),
        sessions: (run.start.sessions, known(Counts::all_sessions)),
        moved_connections: run.blind.is_none().then_some(run.arrived),
        ended_after: run.ended_after(),
        ..ended(Operation::Upgrade, &run.id, &run.name, judgement, run.ended.unwrap_or(now))
    }
}

/// The entry of an evacuation that ended with this verdict. `connections` are those of all nodes, before and after.
pub(crate) fn of_evacuation(
    run: &EvacuationRun,
    id: &InstanceId,
    judgement: Judgement,
    connections: (Option<u64>, Option<u64>),
    now: Timestamp,
) -> HistoryEntry {
    let before = run.start.map(|holds| holds.connections).or(run.entry.initial_connections);
    let after = run.holds.map(|holds| holds.connections).or(run.entry.connections);
    HistoryEntry {
        started: run.began_at(),
        planned_seconds: run.planned,
        connections,
        moved_connections: before.zip(after).map(|(before, after)| before.saturating_sub(after)),
        ended_after: run.ended_after(),
        ..ended(Operation::Evacuation, id, &run.name, judgement, run.ended.unwrap_or(now))
    }
}

/// The entry of a drain or a scale that ended with this verdict.
pub(crate) fn of_removal(
    operation: Operation,
    id: &InstanceId,
    name: &str,
    judgement: Judgement,
    connections: (Option<u64>, Option<u64>),
    evacuations: Option<EvacuationTimes>,
    times: (Timestamp, Timestamp),
) -> HistoryEntry {
    HistoryEntry {
        started: Some(times.0),
        connections,
        evacuations,
        ..ended(operation, id, name, judgement, times.1)
    }
}

/// The entry of a rebalance that has an object and is over, by the verdict on the object where one is recorded.
fn of_object(id: &InstanceId, status: &RebalanceStatus, object: &Rebalance, now: Timestamp) -> PastEntry {
    let judgement = Judgement::new(status.verdict, &status.message);
    let name = &object.name;
    let uid = Some(object.uid.clone());
    if let Some(recorded) = &object.recorded {
        let entry = HistoryEntry {
            uid,
            started: recorded.started,
            connections: recorded.connections,
            sessions: recorded.sessions,
            by: recorded.by.clone(),
            verdict: recorded.verdict,
            message: recorded.message.clone(),
            ended_after: recorded.ended_after,
            ..ended(Operation::Rebalance, id, name, judgement, recorded.ended)
        };
        return PastEntry::recorded(entry, Recorded::Object);
    }
    let started = object.started.or(object.created);
    let after = |started: Timestamp| {
        let seconds = i64::try_from(status.duration_seconds?).ok()?;
        started.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    };
    let end = started.and_then(after);
    let end_known = end.is_some();
    let end = end.or(object.completed).or(object.failed).or(started).unwrap_or(now);
    let entry = HistoryEntry { uid, started, ..ended(Operation::Rebalance, id, name, judgement, end) };
    PastEntry { entry, recorded: Recorded::Assessed, end_known }
}

/// The past operations of one instance that the cluster knows: its Rebalances that are over, and its ConfigMap.
pub(crate) fn of_cluster(
    world: &World,
    id: &InstanceId,
    rebalances: &[RebalanceStatus],
    now: Timestamp,
) -> Vec<PastEntry> {
    let over = rebalances.iter().filter(|status| !status.open);
    let mut all: Vec<PastEntry> =
        over.filter_map(|status| Some(of_object(id, status, status.object.as_ref()?, now))).collect();
    all.extend(
        world.recorded(id).iter().map(|entry| PastEntry::recorded(entry.clone(), Recorded::ConfigMap)),
    );
    all
}

/// Gives the entries of rebalances that were stopped while Rebalances could not be listed the names of their objects.
pub(crate) fn find_objects(all: &mut [PastEntry], world: &World, id: &InstanceId) {
    for entry in all.iter_mut().map(|past| &mut past.entry) {
        let OperationRef::Coordinator(node) = OperationRef::of(&entry.name) else { continue };
        if !entry.object_unknown || entry.instance != *id {
            continue;
        }
        let objects = world.rebalances_of(id).into_iter().map(|seen| &seen.value);
        let span = (entry.ended_after.unwrap_or(entry.ended), entry.ended);
        let mut stopped = objects.filter(|object| ownership::may_be_stopped_as(object, &node, span));
        if let (Some(object), None) = (stopped.next(), stopped.next()) {
            entry.name.clone_from(&object.name);
            entry.uid = Some(object.uid.clone());
        }
    }
}

/// Each operation once, oldest first: `unknown` never replaces a verdict, and a verdict that others can read
/// has precedence over one that only this user has.
pub(crate) fn merged(entries: impl IntoIterator<Item = PastEntry>) -> Vec<PastEntry> {
    let mut all: Vec<PastEntry> = Vec::new();
    for past in entries {
        match all.iter_mut().find(|known| same(&known.entry, &past.entry)) {
            Some(known) => *known = both(known, &past),
            None => all.push(past),
        }
    }
    all.sort_by(|one, other| {
        let key = |past: &PastEntry| (past.entry.ended, past.entry.started);
        key(one).cmp(&key(other)).then_with(|| one.entry.name.cmp(&other.entry.name))
    });
    all
}

/// Whether two entries are about one operation.
fn same(one: &HistoryEntry, other: &HistoryEntry) -> bool {
    if (one.operation, &one.instance, &one.name) != (other.operation, &other.instance, &other.name) {
        return false;
    }
    if let (Some(one), Some(other)) = (&one.cluster, &other.cluster)
        && one != other
    {
        return false;
    }
    if let (Some(one), Some(other)) = (&one.uid, &other.uid) {
        return one == other;
    }
    if continued(one, other) || continued(other, one) {
        return true;
    }
    if let Some(together) = seen_together(one, other)
        && (one.started.is_none() || other.started.is_none())
    {
        return together;
    }
    let near = seconds_between(one.ended, other.ended).max(seconds_between(other.ended, one.ended));
    match (one.started, other.started) {
        (Some(began), Some(started)) => {
            began.max(started) < one.ended.min(other.ended) || (began == started && one.ended == other.ended)
        }
        (Some(began), None) => (began..=one.ended).contains(&other.ended) || near <= SAME_END_SECONDS,
        (None, Some(began)) => (began..=other.ended).contains(&one.ended) || near <= SAME_END_SECONDS,
        (None, None) => near <= SAME_END_SECONDS,
    }
}

/// Whether two clients saw an operation of this name run at the same time: then it is one, because a coordinator and a node run one
/// at a time. `None` where it is not known when they saw it.
fn seen_together(one: &HistoryEntry, other: &HistoryEntry) -> Option<bool> {
    let from = |entry: &HistoryEntry| match (entry.started, entry.followed) {
        (Some(started), Some(followed)) => Some(started.min(followed)),
        (started, followed) => started.or(followed),
    };
    let (first, second) = (from(one)?, from(other)?);
    let equal = (first, one.ended) == (second, other.ended);
    Some(equal || first.max(second) < one.ended.min(other.ended))
}

/// Whether `later` is the end of the operation of `stalled`: a stalled operation that is followed again ends
/// later. With a start that is known to be later it is another operation; for an evacuation only the moment
/// is known at which following began. A rebalance of unknown start that was first seen long after the stall
/// may be another one of the same coordinator.
fn continued(stalled: &HistoryEntry, later: &HistoryEntry) -> bool {
    let again = |followed| seconds_between(stalled.ended, followed) <= FOLLOWED_AGAIN_SECONDS;
    let start_unknown = match later.operation {
        Operation::Evacuation => true,
        _ => later.started.is_none() && later.followed.is_some_and(again),
    };
    stalled.verdict == Verdict::Stalled && later.ended >= stalled.ended && start_unknown
}

/// How much a verdict decides: one that may still change counts less.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Stalled => 1,
        _ => 2,
    }
}

/// What two entries about one operation report together.
fn both(one: &PastEntry, other: &PastEntry) -> PastEntry {
    let rank =
        |past: &PastEntry| (weight(past.entry.verdict), past.recorded, std::cmp::Reverse(past.entry.ended));
    let (first, second) = if rank(other) > rank(one) { (other, one) } else { (one, other) };
    let pair = |first: (Option<u64>, Option<u64>), second: (Option<u64>, Option<u64>)| {
        if first.0.is_some() && first.1.is_some() {
            first
        } else {
            (first.0.or(second.0), first.1.or(second.1))
        }
    };
    let (kept, more) = (&first.entry, &second.entry);
    let started = match (kept.started, more.started) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    PastEntry {
        entry: HistoryEntry {
            started,
            followed: kept.followed.into_iter().chain(more.followed).min(),
            planned_seconds: kept.planned_seconds.or(more.planned_seconds),
            evacuations: kept.evacuations.or(more.evacuations),
            uid: kept.uid.clone().or_else(|| more.uid.clone()),
            connections: pair(kept.connections, more.connections),
            sessions: pair(kept.sessions, more.sessions),
            moved_connections: kept.moved_connections.or(more.moved_connections),
            recording: kept.recording.clone().or_else(|| more.recording.clone()),
            ..kept.clone()
        },
        recorded: first.recorded,
        end_known: first.end_known,
    }
}

/// The entries to store in the ConfigMap with one more; `None` where that operation is stored with a verdict already.
pub(crate) fn with_entry(stored: &[HistoryEntry], entry: &HistoryEntry) -> Option<Vec<HistoryEntry>> {
    let past = |entry: &HistoryEntry| PastEntry::recorded(entry.clone(), Recorded::ConfigMap);
    let known =
        stored.iter().any(|known| same(known, entry) && weight(known.verdict) >= weight(entry.verdict));
    if known {
        return None;
    }
    let all = merged(stored.iter().chain([entry]).map(past));
    Some(all.into_iter().map(|past| past.entry).collect())
}

#[cfg(test)]
mod tests;
