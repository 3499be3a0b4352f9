//! A report of plans and results, made while a recording passes through the same trackers that judge a live
//! cluster: the report itself judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::rebalance::progress::Counts;
use super::tracker::{OperationTracker, RecordedOperations};
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Event, EventType, InstanceId, Judgement, Link, NodeName, Operation, Verdict, World,
};
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::RATE_GAP_SECONDS;

mod curves;
mod parts;
mod rates;
mod redact;

use curves::Samples;
pub use curves::{ReportCurve, ReportCurves};
pub use parts::{
    Report, ReportedClusterEvent, ReportedEvent, ReportedFinding, ReportedInstance, ReportedNode,
    ReportedOperation, ReportedPhase,
};
use rates::RisingCounts;
pub use redact::ReportNames;

/// The most events of one operation in a report.
const MOST_EVENTS: usize = 500;

/// The most events of Kubernetes in a report, the newest.
const MOST_CLUSTER_EVENTS: usize = 500;

/// The most notices of a recording in a report.
const MOST_NOTICES: usize = 100;

/// An operation, while the recording is read.
struct Draft {
    report: ReportedOperation,
    /// Which of the runs with its name it is.
    began: Timestamp,
    over: bool,
    before: Counts,
    after: Counts,
    parts: BTreeMap<NodeName, Option<String>>,
    pods: BTreeMap<NodeName, String>,
    peaks: BTreeMap<NodeName, u64>,
    plan: Option<RebalancePlan>,
}

/// What a tracker knows of one run.
struct Seen<'a> {
    operation: Operation,
    name: &'a str,
    began: Timestamp,
    /// When it began, where that was observed or is recorded.
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// When it was last seen to run, where it is not known when after that it ended.
    ended_after: Option<Timestamp>,
    verdict: Option<&'a Judgement>,
    standing: Verdict,
    left: Option<u64>,
}

/// Makes a report while a recording is read.
#[derive(Default)]
pub struct ReportBuilder {
    drafts: Vec<Draft>,
    samples: Samples,
    notices: Vec<String>,
    /// By namespace and name: a repeated event keeps its name.
    cluster_events: BTreeMap<(String, String), ReportedClusterEvent>,
    /// The limit on events removed those that were last seen at this time or before.
    cluster_events_after: Option<Timestamp>,
    versions: BTreeSet<String>,
    instances: BTreeSet<InstanceId>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// The counts of the last answer, when it came, and whether EMQX has answered since.
    counts: Option<(Timestamp, Counts)>,
    answered: bool,
    rising: BTreeMap<NodeName, RisingCounts>,
}

impl ReportBuilder {
    /// Processes one line of a recording, after the trackers did.
    pub(crate) fn observe(
        &mut self,
        world: &World,
        operations: &RecordedOperations,
        (events, notices): (&[Event], &[String]),
        now: Timestamp,
    ) {
        self.first.get_or_insert(now);
        let before = self.last.replace(now).unwrap_or(now);
        for notice in notices {
            if self.notices.len() < MOST_NOTICES && !self.notices.contains(notice) {
                self.notices.push(notice.clone());
            }
        }
        self.instances.extend(world.kubernetes.instances.keys().cloned());
        self.cluster_events(world);
        let rates = self.count(world, before, now);
        for tracker in operations.trackers() {
            for seen in runs(tracker) {
                self.draft(world, tracker, &seen, now);
            }
        }
        for event in events {
            self.event(event);
        }
        for draft in self.drafts.iter_mut().filter(|draft| !draft.over) {
            draft.peaks(&rates);
        }
        let known = self.counts.as_ref().map(|(_, counts)| counts);
        for draft in &mut self.drafts {
            if let Some(counts) = known.filter(|_| !draft.over) {
                draft.after.clone_from(counts);
            }
            if !draft.over && draft.report.ended_time.is_some() && draft.report.verdict.is_final() {
                draft.over = true;
                draft.peaks(&latest(&self.rising));
            }
        }
    }

    /// Processes events of Kubernetes that were seen since the recording began; the cluster deletes them after an hour.
    fn cluster_events(&mut self, world: &World) {
        for (key, seen) in &world.kubernetes.events {
            let event = &seen.value;
            let Some(time) = event.last.filter(|last| self.first.is_none_or(|first| *last >= first)) else {
                continue;
            };
            if self.cluster_events_after.is_some_and(|after| time <= after) {
                continue;
            }
            if self
                .cluster_events
                .get(key)
                .is_some_and(|known| (known.time, known.count) == (time, event.count))
            {
                continue;
            }
            let reported = ReportedClusterEvent {
                time,
                kind: event.about_kind.clone(),
                name: event.about.clone(),
                warning: event.warning,
                reason: event.reason.clone(),
                message: event.message.clone(),
                count: event.count,
            };
            self.cluster_events.insert(key.clone(), reported);
        }
        while self.cluster_events.len() > MOST_CLUSTER_EVENTS {
            let oldest = self.cluster_events.iter().min_by_key(|(_, event)| event.time);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.cluster_events_after = self.cluster_events.remove(&key).map(|event| event.time);
        }
    }

    /// Processes the counts of an answer; returns the clients that connect to each node per second. `line` is the time of the line
    /// before.
    fn count(&mut self, world: &World, line: Timestamp, now: Timestamp) -> BTreeMap<NodeName, u64> {
        let asked: Vec<&BrokerState> = world.brokers.values().filter(|it| it.nodes.is_some()).collect();
        if asked.is_empty() {
            return BTreeMap::new();
        }
        let up = asked.iter().all(|broker| broker.link("nodes") == Some(&Link::Up));
        let nodes = || asked.iter().flat_map(|broker| broker.listed());
        self.versions.extend(nodes().filter_map(|node| node.version.clone()));
        let running = nodes().filter(|node| !node.stopped);
        let counts = Counts::of(running);
        let answered = std::mem::replace(&mut self.answered, up);
        let rising = &mut self.rising;
        let Some((at, before)) = self.counts.as_ref() else {
            self.samples.push(now, &counts);
            self.counts = Some((now, counts));
            return BTreeMap::new();
        };
        if *before == counts {
            let paused =
                |(node, rising): (&NodeName, &mut RisingCounts)| Some((node.clone(), rising.pause(now)?));
            return rising.iter_mut().filter_map(paused).collect();
        }
        // An answer that is equal to the one before leaves a line with its time only.
        let since = if answered { line.max(*at) } else { *at };
        let mut rates = BTreeMap::new();
        if seconds_between(since, now) > RATE_GAP_SECONDS {
            rising.clear();
        } else {
            for node in counts.0.keys() {
                let known = before.connections(node).zip(counts.connections(node));
                let Some((earlier, count)) = known else { continue };
                let rising = rising.entry(node.clone()).or_default();
                rates.extend(rising.add((since, earlier), now, count).map(|rate| (node.clone(), rate)));
            }
        }
        self.samples.push(now, &counts);
        self.counts = Some((now, counts));
        rates
    }

    /// Adds the state of a run.
    fn draft(&mut self, world: &World, operations: &OperationTracker, seen: &Seen<'_>, now: Timestamp) {
        let is = |draft: &Draft| {
            draft.began == seen.began
                && draft.report.name == seen.name
                && draft.report.operation == seen.operation
        };
        let place = self.drafts.iter().position(is).unwrap_or(self.drafts.len());
        if place == self.drafts.len() {
            let before = self.counts.as_ref().map(|(_, counts)| counts.clone()).unwrap_or_default();
            self.drafts.push(Draft::new(seen, before));
        }
        let draft = &mut self.drafts[place];
        let report = &mut draft.report;
        report.started_time = seen.started.or(report.started_time);
        let before = report.ended_time;
        (report.ended_time, report.ended_after_time) = (seen.ended, seen.ended_after);
        report.verdict = seen.standing;
        if let Some(Judgement { verdict, message }) = seen.verdict {
            report.verdict = *verdict;
            report.message.clone_from(message);
            report.ended_time = seen.ended.or(before).or(Some(now));
        }
        if report.planned_seconds.is_none()
            && let Some(left) = seen.left
        {
            report.planned_seconds = Some(seconds_between(seen.began, now).saturating_add(left));
        }
        if seen.operation == Operation::Rebalance
            && let Some(run) = operations.rebalances.runs.iter().find(|run| is_run(run, seen))
        {
            draft.rebalance(run);
        }
        for (node, pod) in pods(world) {
            draft.pods.entry(node).or_insert(pod);
        }
    }

    fn event(&mut self, event: &Event) {
        let is =
            |draft: &&mut Draft| draft.report.name == event.name && draft.report.operation == event.operation;
        let Some(draft) = self.drafts.iter_mut().rev().find(is) else { return };
        for node in &event.nodes {
            let part = draft.parts.entry(node.node.clone()).or_default();
            if let Some(now) = node.part {
                *part = Some(now.as_str().to_owned());
            }
        }
        let report = &mut draft.report;
        if let Some(phase) = &event.phase
            && report.phases.last().is_none_or(|last| last.name != *phase)
        {
            end(&mut report.phases, event.time);
            report.phases.push(ReportedPhase {
                name: phase.clone(),
                started_time: Some(event.time),
                seconds: None,
                planned_seconds: None,
            });
        }
        report.moved_connections = event.moved_connections.or(report.moved_connections);
        if event.kind != EventType::Progress && report.events.len() < MOST_EVENTS {
            report.events.push(ReportedEvent {
                time: event.time,
                kind: event.kind,
                phase: event.phase.clone(),
                message: event.message.clone(),
            });
        }
        if event.kind == EventType::Verdict {
            report.lost_clients = event.lost_clients;
            report.lost_sessions = event.lost_sessions;
        }
    }

    /// The report. `source` is the name of the recording.
    pub(crate) fn finish(mut self, source: String) -> Report {
        let last = self.last;
        let rates = latest(&self.rising);
        self.drafts.iter_mut().filter(|draft| !draft.over).for_each(|draft| draft.peaks(&rates));
        let operations = std::mem::take(&mut self.drafts).into_iter().map(|draft| draft.finish(last));
        let mut operations: Vec<ReportedOperation> = operations.collect();
        operations.sort_by_key(|it| it.started_time.or_else(|| it.events.first().map(|event| event.time)));
        let mut cluster_events: Vec<_> = std::mem::take(&mut self.cluster_events).into_values().collect();
        cluster_events.sort_by_key(|event| event.time);
        let only = (self.instances.len() == 1).then(|| self.instances.first()).flatten();
        Report {
            instance: only.map(ReportedInstance::from),
            source,
            started_time: self.first,
            ended_time: last,
            versions: self.versions.into_iter().collect(),
            operations,
            curves: self.samples.curves(),
            kubernetes_events: cluster_events,
            findings: Vec::new(),
            checked_time: None,
            notices: self.notices,
            redacted: false,
        }
    }
}

fn is_run(run: &RebalanceRun, seen: &Seen<'_>) -> bool {
    run.name == seen.name && run.key().1 == seen.began
}

/// All runs of the trackers.
fn runs(operations: &OperationTracker) -> Vec<Seen<'_>> {
    let rebalances = operations.rebalances.runs.iter().map(|run| Seen {
        operation: Operation::Rebalance,
        name: &run.name,
        began: run.key().1,
        started: run.began_at(),
        ended: run.end_span().map(|(_, latest)| latest),
        ended_after: run.ended_after(),
        verdict: run.verdict.as_ref(),
        standing: run.standing(),
        left: None,
    });
    let upgrades = operations.upgrades.runs.iter().map(|run| Seen {
        operation: Operation::Upgrade,
        name: &run.name,
        began: run.began,
        started: Some(run.began),
        ended: run.ended.filter(|_| run.verdict.is_some()),
        ended_after: run.ended_after(),
        verdict: run.verdict.as_ref(),
        standing: run.standing(),
        left: run.seconds,
    });
    let evacuations = operations.upgrades.evacuations.runs.iter().map(|run| Seen {
        operation: Operation::Evacuation,
        name: &run.name,
        began: run.began,
        started: Some(run.began),
        ended: run.ended,
        ended_after: run.ended_after(),
        verdict: run.verdict.as_ref(),
        standing: run.verdict.as_ref().map_or(Verdict::Running, |judgement| judgement.verdict),
        // For an evacuation of another client only the latest end is known, which is no plan.
        left: run.seconds.filter(|_| run.timing.is_some()),
    });
    rebalances.chain(upgrades).chain(evacuations).collect()
}

/// The pod of each node whose name contains an address, or a host name made of an address.
fn pods(world: &World) -> Vec<(NodeName, String)> {
    let nodes = world.brokers.values().flat_map(BrokerState::listed);
    let pod = |node: &NodeName| {
        let mut pods = world.kubernetes.pods.values().map(|seen| &seen.value);
        let ip = node.ip();
        pods.find(|pod| match ip {
            Some(ip) => pod.ips.contains(&ip),
            None => pod.name.as_str() == node.first_label(),
        })
    };
    nodes.filter_map(|node| Some((node.name.clone(), pod(&node.name)?.name.as_str().to_owned()))).collect()
}

/// Ends the last phase, if it has not ended.
fn end(phases: &mut [ReportedPhase], at: Timestamp) {
    if let Some(last) = phases.last_mut()
        && last.seconds.is_none()
    {
        last.seconds = last.started_time.map(|started| seconds_between(started, at));
    }
}

impl Draft {
    fn new(seen: &Seen<'_>, before: Counts) -> Self {
        Self {
            report: ReportedOperation::new(seen.operation, seen.name.to_owned(), seen.standing),
            began: seen.began,
            over: false,
            after: before.clone(),
            before,
            parts: BTreeMap::new(),
            pods: BTreeMap::new(),
            peaks: BTreeMap::new(),
            plan: None,
        }
    }

    fn peaks(&mut self, rates: &BTreeMap<NodeName, u64>) {
        for (node, rate) in rates {
            let peak = self.peaks.entry(node.clone()).or_default();
            *peak = (*peak).max(*rate);
        }
    }

    /// Processes what only a rebalance has: its counts at the start, and its plan.
    fn rebalance(&mut self, run: &RebalanceRun) {
        // Counts since a follower joined are not those of the start.
        if let Some(start) = run.start.as_ref().filter(|_| run.counted_since.is_none()) {
            self.before.clone_from(start);
        }
        if self.plan.is_some() {
            return;
        }
        self.plan = run.planned();
    }

    fn finish(mut self, last: Option<Timestamp>) -> ReportedOperation {
        let report = &mut self.report;
        let seen_end = report.ended_time.filter(|_| report.ended_after_time.is_none());
        if let Some(end_time) = seen_end.or(last.filter(|_| report.ended_time.is_none())) {
            end(&mut report.phases, end_time);
        }
        if let Some(plan) = &self.plan {
            report.planned_seconds = Some(plan.total_seconds);
            report.planned_moved_connections = Some(plan.moves.connections);
            report.planned_peak_reconnects_per_second = Some(plan.moves.peak_reconnects_per_second);
            report.findings = plan.findings.iter().map(ReportedFinding::from).collect();
            for planned in &plan.phases {
                match report.phases.iter_mut().find(|phase| phase.name == planned.name) {
                    Some(phase) => phase.planned_seconds = Some(planned.seconds),
                    None if planned.seconds > 0 => report.phases.push(ReportedPhase {
                        name: planned.name.to_owned(),
                        started_time: None,
                        seconds: None,
                        planned_seconds: Some(planned.seconds),
                    }),
                    None => {}
                }
            }
        }
        report.duration_seconds = report
            .started_time
            .zip(seen_end.filter(|_| report.verdict.is_final()))
            .map(|(started, ended)| seconds_between(started, ended));
        report.compare();
        report.connections_before = self.before.known_connections();
        report.connections_after = self.after.known_connections();
        let mut names: BTreeSet<&NodeName> = self.parts.keys().collect();
        names.extend(self.plan.iter().flat_map(|plan| &plan.nodes).map(|node| &node.node));
        let node = |node: &NodeName| {
            let planned = self.plan.iter().flat_map(|plan| &plan.nodes).find(|it| it.node == *node);
            let before = self.before.0.get(node).copied().unwrap_or_default();
            let after = self.after.0.get(node).copied().unwrap_or_default();
            ReportedNode {
                node: node.to_string(),
                pod: self.pods.get(node).cloned(),
                part: self.parts.get(node).cloned().flatten(),
                connections_before: before.connections,
                connections_after: after.connections,
                planned_connections_after: planned.map(|planned| planned.connections_after),
                sessions_before: before.sessions,
                sessions_after: after.sessions,
                peak_reconnects_per_second: self.peaks.get(node).copied(),
            }
        };
        let nodes: Vec<ReportedNode> = names.into_iter().map(node).collect();
        let peaks = nodes.iter().filter_map(|node| node.peak_reconnects_per_second);
        self.report.peak_reconnects_per_second = peaks.max();
        self.report.nodes = nodes;
        self.report
    }
}

/// The rates of counts that still rise.
fn latest(rising: &BTreeMap<NodeName, RisingCounts>) -> BTreeMap<NodeName, u64> {
    rising.iter().filter_map(|(node, rising)| Some((node.clone(), rising.rate()?))).collect()
}

#[cfg(test)]
mod tests;
