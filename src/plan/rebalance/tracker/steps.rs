//! What observations change in a run: its object, EMQX's entry, the forecast, and its verdict.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Event, EventType, InstanceId, Node, NodeName, Part, Phase, PodName, Rebalance, Role,
    RunningRebalance, Seen, Stage, Verdict, World,
};
use crate::plan::percent;
use crate::plan::rebalance::losses::Losses;
use crate::plan::rebalance::messages;
use crate::plan::rebalance::plan::Participant;
use crate::plan::rebalance::progress::{Counts, NodeCounts, remaining};
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::rebalance::run::{Alarms, Baseline, RebalanceRun};
use crate::plan::tracked::{Quiet, answers_again_message};
use crate::timing::{CURRENT_COUNTS_SECONDS, END_GAP_SECONDS, LISTED_SECONDS};

/// Whether an entry is the same rebalance a moment later. Two rebalances on one coordinator can follow each
/// other without an empty status in between: then the stage goes backwards, or the donors differ.
pub(super) fn continues(old: &RunningRebalance, new: &RunningRebalance) -> bool {
    let forwards = match (old.stage.order(), new.stage.order()) {
        (Some(old), Some(new)) => new >= old,
        _ => true,
    };
    forwards && same_nodes(old, new)
}

/// An entry with the donors and recipients of the last answer where it lacks them.
pub(super) fn complete(mut new: RunningRebalance, old: &RunningRebalance) -> RunningRebalance {
    for (list, known) in [(&mut new.donors, &old.donors), (&mut new.recipients, &old.recipients)] {
        if list.is_empty() {
            list.clone_from(known);
        }
    }
    new
}

/// Whether both have the same coordinator, donors and recipients. A list that is missing in an answer is not
/// another list.
pub(super) fn same_nodes(old: &RunningRebalance, new: &RunningRebalance) -> bool {
    let same = |one: &[NodeName], other: &[NodeName]| {
        fn set(nodes: &[NodeName]) -> BTreeSet<&NodeName> {
            nodes.iter().collect()
        }
        one.is_empty() || other.is_empty() || one == other || set(one) == set(other)
    };
    // The order of a list means nothing.
    old.coordinator == new.coordinator
        && same(&old.donors, &new.donors)
        && same(&old.recipients, &new.recipients)
}

/// EMQX's nodes, unless its last answer is too old.
pub(super) fn counted(broker: &BrokerState, now: Timestamp) -> Option<&Seen<Vec<Node>>> {
    broker.nodes.as_ref().filter(|seen| seen.is_within(CURRENT_COUNTS_SECONDS, now))
}

fn participants(nodes: Option<&Seen<Vec<Node>>>) -> Vec<Participant> {
    let Some(nodes) = nodes else { return Vec::new() };
    let running = || nodes.value.iter().filter(|node| node.running);
    let role = Role::participating(running().filter_map(|node| node.role));
    running()
        .filter(|node| node.role.unwrap_or_default() == role)
        .map(|node| Participant {
            node: node.name.clone(),
            pod: None,
            connections: node.connections.unwrap_or(0),
            sessions: node.sessions.unwrap_or(0),
        })
        .collect()
}

fn addressed(world: &World, broker: &BrokerState) -> BTreeMap<NodeName, PodName> {
    let nodes = broker.listed().iter();
    let pods = |ip| {
        let mut all = world.kubernetes.pods.values().map(|seen| &seen.value);
        all.find(|pod| pod.deleting.is_none() && pod.ips.contains(&ip))
    };
    nodes.filter_map(|node| Some((node.name.clone(), pods(node.name.ip()?)?.name.clone()))).collect()
}

/// A run that is seen for the first time. `fresh`: it appeared while this process observed, so that what is seen now is its start.
pub(super) fn begin(
    object: Option<&Rebalance>,
    entry: Option<&RunningRebalance>,
    (world, id): (&World, &InstanceId),
    now: Timestamp,
    fresh: bool,
) -> RebalanceRun {
    let broker = world.broker(id);
    let nodes = counted(broker, now);
    let counts = nodes.map(|seen| Counts::of(&seen.value)).unwrap_or_default();
    let record = object.and_then(|object| object.plan.as_deref()).and_then(PlanRecord::read);
    // A record whose donors are not those of EMQX is of another rebalance.
    let record = record.filter(|record| object.is_none_or(|object| record.started_late(object).is_none()));
    let record = record.filter(|record| {
        let gives = |node: &NodeName| {
            entry.is_none_or(|entry| entry.donors.is_empty() || entry.donors.contains(node))
        };
        record.parts().into_iter().all(|(node, part)| part != Part::Donor || gives(node))
    });
    let at_start = fresh || entry.is_some_and(|entry| entry.stage == Stage::WaitHealthCheck);
    // The recorded counts. A node that took no part stands with its present counts, unless it may have been
    // added since: then its clients came from the other nodes.
    let recorded = record.as_ref().map(|record| {
        let mut start = counts.clone();
        let all = nodes.map(|seen| seen.value.as_slice()).unwrap_or_default();
        for node in all.iter().filter(|node| !older_than(node, record.time, now)) {
            start.0.insert(node.name.clone(), NodeCounts::known(0, 0));
        }
        start.0.extend(record.counts().0);
        start
    });
    let before = match (participants(nodes), &record) {
        (seen, Some(record)) if seen.is_empty() => record.participants(),
        (seen, _) => seen,
    };
    let start = if at_start && nodes.is_some() { Some(counts.clone()) } else { recorded.clone() };
    let joined = !at_start && start.is_none() && nodes.is_some() && entry.is_some();
    let start = if joined { Some(counts.clone()) } else { start };
    let reported = object.and_then(|object| object.started.or(object.created));
    let name = match (object, entry) {
        (Some(object), _) => object.name.clone(),
        (None, Some(entry)) => entry.operation().to_string(),
        (None, None) => String::new(),
    };
    RebalanceRun {
        name,
        recounts: false,
        formerly: Vec::new(),
        object: object.cloned(),
        entry: None,
        strategy: object
            .map(|object| object.strategy.clone())
            .or_else(|| record.map(|record| record.strategy))
            .or_else(|| entry.and_then(|entry| entry.requested.clone())),
        began: reported.filter(|reported| *reported <= now && !fresh).unwrap_or(now),
        // A clock of the API server that was set back gives no age.
        begin_known: fresh || reported.is_some_and(|reported| reported <= now),
        start,
        counts,
        counted: nodes.map(|seen| seen.at),
        stage_since: now,
        stage_after: now,
        stage_seen: false,
        stage_timed: false,
        left: None,
        left_at: now,
        percent: 0,
        total: None,
        total_is_bound: false,
        ended: None,
        backwards: None,
        confirmed: false,
        outage: None,
        missed: now,
        at_end: Counts::default(),
        end_counted: None,
        overtaken: false,
        losses: Losses::default(),
        counted_since: joined.then_some(now),
        unlisted: false,
        expects: None,
        direct: false,
        quiet: Quiet::new(now),
        verdict: None,
        stopped_by_us: false,
        deleted: None,
        object_gone: false,
        moved: now,
        seen: now,
        observed: now,
        first_seen: now,
        pods: addressed(world, broker),
        failed_reported: false,
        alarms: Alarms::default(),
        deletion_reported: false,
        before,
        recorded,
        begun: BTreeMap::new(),
        baseline: if fresh { Baseline::Open(None) } else { Baseline::Closed },
    }
}

/// Whether a node has run since before this time, as far as EMQX reports its uptime.
fn older_than(node: &Node, time: Timestamp, now: Timestamp) -> bool {
    node.uptime_millis.is_some_and(|uptime| uptime / 1000 >= seconds_between(time, now))
}

/// Gives a run its object, which came after its entry. It keeps the name under which it was reported.
pub(super) fn attach_object(run: &mut RebalanceRun, object: &Rebalance) {
    run.strategy = Some(object.strategy.clone());
    if let Some(began) = object.started.or(object.created).filter(|began| *began < run.began) {
        run.began = began;
        run.begin_known = true;
    }
}

pub(super) fn absorb_object(
    run: &mut RebalanceRun,
    object: &Rebalance,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    if run.object.as_ref() != Some(object) {
        run.moved = now;
    }
    if run.deleted.is_none() && object.deleting.is_some() && object.phase == Phase::Processing {
        run.deleted = Some(now);
    }
    run.unlisted = false;
    let processed = object.processed;
    run.object = Some(object.clone());
    if !processed || run.verdict.is_some() {
        return;
    }
    let is_running = run.entry.is_some() && run.ended.is_none();
    if object.phase == Phase::Failed && is_running && !run.failed_reported {
        run.failed_reported = true;
        let message = messages::operator_failed(run, now);
        events.push(run.event(now, EventType::Notice, message));
    }
}

/// Processes EMQX's entry, in the same stage or in another.
pub(super) fn enter(
    run: &mut RebalanceRun,
    entry: RunningRebalance,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let before = run.entry.replace(entry);
    let Some(entry) = &run.entry else { return };
    let seen_before = run.seen;
    run.seen = now;
    let entered = before.as_ref().is_none_or(|before| before.stage != entry.stage);
    if before.is_none() && run.donors().iter().all(|node| !run.counts.0.contains_key(node)) {
        run.counts.0.clear();
    }
    if !entered {
        return;
    }
    let wait = matches!(run.entry.as_ref().map(|entry| &entry.stage), Some(Stage::WaitHealthCheck));
    let fresh = matches!(run.baseline, Baseline::Open(_) | Baseline::Until(_));
    // The object reports when the first wait began. An object that was seen before EMQX listed the rebalance
    // may report a start that had no effect: then only a recent start is that of this rebalance.
    let recent = |at: &Timestamp| run.first_seen == now || seconds_between(*at, now) <= LISTED_SECONDS;
    let started = run.object.as_ref().and_then(|object| object.started).filter(recent);
    run.stage_since = started.filter(|at| before.is_none() && wait && *at <= now).unwrap_or(now);
    run.stage_after = if before.is_none() { run.stage_since } else { seen_before };
    run.stage_seen = before.is_some() || fresh;
    run.stage_timed = match before {
        Some(_) => seconds_between(seen_before, now) <= END_GAP_SECONDS,
        None => run.stage_since < now,
    };
    run.moved = now;
    forecast(run, now);
    let message = messages::entered(run);
    events.push(run.event(now, EventType::Phase, message));
    // The object already reported Failed when its entry was first seen.
    let failed = run.object.as_ref().is_some_and(|object| object.phase == Phase::Failed);
    if before.is_none() && failed && !run.failed_reported {
        run.failed_reported = true;
        let message = messages::operator_failed(run, now);
        events.push(run.event(now, EventType::Notice, message));
    }
}

pub(super) fn forecast(run: &mut RebalanceRun, now: Timestamp) {
    let (Some(entry), Some(strategy)) = (&run.entry, &run.assumed()) else { return };
    let (donors, recipients) = (&entry.donors, &entry.recipients);
    let in_stage = seconds_between(run.stage_since, now);
    // Only a history shows since when EMQX waits for takeovers. Where thresholds and waits are unknown, the
    // end is the latest one in any case.
    let shown = entry.stage != Stage::WaitTakeover || run.stage_seen || run.strategy.is_none();
    run.left = remaining(&entry.stage, in_stage, strategy, &run.counts, donors, recipients).filter(|_| shown);
    run.left_at = run.counted.map_or(now, |counted| counted.min(now));
    let Some(left) = run.left else { return };
    let whole = |begin: &Counts| {
        remaining(&Stage::WaitHealthCheck, 0, strategy, begin, donors, recipients).map(|whole| whole.seconds)
    };
    let open = run.total.is_none() || run.total_is_bound || !matches!(run.baseline, Baseline::Closed);
    let begun = || match run.counted_since {
        None => run.start.as_ref().map(whole),
        Some(_) => run.start_of_joined(strategy, true).as_ref().map(whole),
    };
    if let Some(total) = open.then(begun).flatten() {
        (run.total, run.total_is_bound) = (total, false);
    }
    // The number of clients evicted before the first observation is unknown: elapsed time is not work, and
    // would rise while nothing moves.
    let known = run.stage_seen || matches!(entry.stage, Stage::WaitHealthCheck | Stage::WaitTakeover);
    if run.total.is_none() && run.begin_known && known {
        run.total = Some(seconds_between(run.began, now).saturating_add(left.seconds));
    }
    if run.total.is_none() && run.counted_since.is_some() {
        run.total = run.start_of_joined(strategy, false).as_ref().and_then(whole);
        run.total_is_bound = run.total.is_some();
    }
    // A wait of unknown length counts as work when it is over: the part that has passed is unknown, even
    // where its begin was seen.
    let rest = match run.strategy {
        Some(_) => left.seconds,
        None => remaining(&entry.stage, 0, strategy, &run.counts, donors, recipients)
            .map_or(left.seconds, |whole| whole.seconds),
    };
    if let Some(total) = run.total {
        run.percent = percent::done(total, rest, run.percent);
    }
}

/// An operation that was judged as stalled moves again.
pub(super) fn resume(run: &mut RebalanceRun, now: Timestamp, events: &mut Vec<Event>) {
    if run.verdict.take_if(|judgement| judgement.verdict == Verdict::Stalled).is_some() {
        run.moved = now;
        events.push(run.event(now, EventType::Notice, messages::RESUMED.to_owned()));
    }
}

/// EMQX answers again about a rebalance that was given up because of a long outage.
pub(super) fn reopen(run: &mut RebalanceRun, now: Timestamp, events: &mut Vec<Event>) {
    if run.ended.is_none() && run.verdict.take_if(|judgement| judgement.verdict == Verdict::Unknown).is_some()
    {
        run.moved = now;
        events.push(run.event(now, EventType::Notice, answers_again_message(run.seen, now)));
    }
}
