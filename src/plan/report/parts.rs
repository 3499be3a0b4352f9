//! The parts of a report, as JSON names them.

use jiff::Timestamp;
use serde::Serialize;

use super::curves::ReportCurves;
use crate::model::verdict::two_decimals_or_null;
use crate::model::{EvacuationTimes, EventType, HistoryEntry, InstanceId, Operation, Verdict};
use crate::plan::check::{CheckStatus, Checks};
use crate::plan::finding::{Finding, Severity};
use crate::plan::rebalance::forecast::forecast;
use crate::plan::rebalance::plan::Return;
use crate::plan::rebalance::record::PlanRecord;

/// A report: `report`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The cluster, where one is known.
    pub instance: Option<ReportedInstance>,
    /// What it was made from: the name of a recording, or `history`.
    pub source: String,
    /// When the recording began.
    pub started_time: Option<Timestamp>,
    /// When it ended.
    pub ended_time: Option<Timestamp>,
    /// EMQX versions that ran.
    pub versions: Vec<String>,
    /// The operations, in the order in which they began.
    pub operations: Vec<ReportedOperation>,
    /// Connections and sessions of each node.
    pub curves: ReportCurves,
    /// Events of Kubernetes about the cluster, in the order in which they were last seen.
    pub kubernetes_events: Vec<ReportedClusterEvent>,
    /// What the checks of the operation warn of in the cluster as it was at `checkedTime`. A report of a recording has none.
    pub findings: Vec<ReportedFinding>,
    /// When the cluster was checked.
    pub checked_time: Option<Timestamp>,
    /// What could not be read, and which sources were missing.
    pub notices: Vec<String>,
    /// Whether names are replaced.
    pub redacted: bool,
}

/// The cluster of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedInstance {
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl From<&InstanceId> for ReportedInstance {
    fn from(id: &InstanceId) -> Self {
        Self {
            kind: id.kind.as_str().to_owned(),
            namespace: Some(id.namespace.clone()).filter(|it| !it.is_empty()),
            name: id.name.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedOperation {
    /// The kind of operation.
    pub operation: Operation,
    pub name: String,
    /// The verdict at its end, or at the end of the recording.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// When it began.
    pub started_time: Option<Timestamp>,
    /// When it ended, at the latest; `None` where the recording does not hold its end.
    pub ended_time: Option<Timestamp>,
    /// When it was last seen to run, where nothing is known of it between then and `ended_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_after_time: Option<Timestamp>,
    /// How long it took, where its end was seen.
    pub duration_seconds: Option<u64>,
    /// How long it should have taken, by the first forecast.
    pub planned_seconds: Option<u64>,
    /// How much longer it took than planned; negative is shorter. Of a drain and a scale: its evacuations, because only they are
    /// forecast.
    pub forecast_error_seconds: Option<i64>,
    /// The same as a share of the planned time, in percent.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub forecast_error_percent: Option<f64>,
    /// Clients that were moved.
    pub moved_connections: Option<u64>,
    /// The same by the forecast.
    pub planned_moved_connections: Option<u64>,
    /// Live clients at the start.
    pub connections_before: Option<u64>,
    /// Live clients after the end.
    pub connections_after: Option<u64>,
    /// Clients that were connected at the start and not after the end.
    pub lost_clients: Option<u64>,
    /// Sessions fewer than at the start.
    pub lost_sessions: Option<u64>,
    /// Most clients that connected to one node in one second.
    pub peak_reconnects_per_second: Option<u64>,
    /// The same by the forecast.
    pub planned_peak_reconnects_per_second: Option<u64>,
    pub phases: Vec<ReportedPhase>,
    pub nodes: Vec<ReportedNode>,
    /// The findings of the forecast.
    pub findings: Vec<ReportedFinding>,
    /// What happened, in order.
    pub events: Vec<ReportedEvent>,
}

/// A phase of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedPhase {
    pub name: String,
    /// When it was entered.
    pub started_time: Option<Timestamp>,
    /// How long it took.
    pub seconds: Option<u64>,
    /// How long it should have taken.
    pub planned_seconds: Option<u64>,
}

/// A node of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedNode {
    /// EMQX's name of it.
    pub node: String,
    pub pod: Option<String>,
    pub part: Option<String>,
    /// Live clients at the start.
    pub connections_before: Option<u64>,
    /// Live clients after the end.
    pub connections_after: Option<u64>,
    /// Live clients after the end by the forecast.
    pub planned_connections_after: Option<u64>,
    /// Sessions at the start.
    pub sessions_before: Option<u64>,
    /// Sessions after the end.
    pub sessions_after: Option<u64>,
    /// Most clients that connected to it in one second.
    pub peak_reconnects_per_second: Option<u64>,
}

/// A finding of a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedFinding {
    /// The id of the check.
    pub id: String,
    pub severity: Severity,
    /// What was found.
    pub message: String,
}

impl From<&Finding> for ReportedFinding {
    fn from(finding: &Finding) -> Self {
        let Finding { id, severity, message, .. } = finding;
        Self { id: (*id).to_owned(), severity: *severity, message: message.clone() }
    }
}

/// An event of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedEvent {
    pub time: Timestamp,
    /// What kind of event.
    #[serde(rename = "type")]
    pub kind: EventType,
    pub phase: Option<String>,
    /// As a sentence.
    pub message: String,
}

/// An event of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedClusterEvent {
    /// When it was last seen.
    pub time: Timestamp,
    /// The kind of the object that it is about.
    pub kind: String,
    /// The name of the object that it is about.
    pub name: String,
    /// Whether it warns.
    pub warning: bool,
    /// The reason, as Kubernetes names it.
    pub reason: String,
    /// The message, as a sentence.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
}

impl ReportedOperation {
    /// An operation of which only the verdict is known.
    pub(crate) fn new(operation: Operation, name: String, verdict: Verdict) -> Self {
        Self {
            operation,
            name,
            verdict,
            message: String::new(),
            started_time: None,
            ended_time: None,
            ended_after_time: None,
            duration_seconds: None,
            planned_seconds: None,
            forecast_error_seconds: None,
            forecast_error_percent: None,
            moved_connections: None,
            planned_moved_connections: None,
            connections_before: None,
            connections_after: None,
            lost_clients: None,
            lost_sessions: None,
            peak_reconnects_per_second: None,
            planned_peak_reconnects_per_second: None,
            phases: Vec::new(),
            nodes: Vec::new(),
            findings: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Computes the error of the forecast.
    pub(super) fn compare(&mut self) {
        if let Some((planned, took)) = self.planned_seconds.zip(self.duration_seconds) {
            self.missed(planned, took);
        }
    }

    fn missed(&mut self, planned: u64, took: u64) {
        let error = i64::try_from(took).unwrap_or(i64::MAX) - i64::try_from(planned).unwrap_or(i64::MAX);
        self.forecast_error_seconds = Some(error);
        self.forecast_error_percent = (planned > 0).then(|| error as f64 * 100.0 / planned as f64);
    }

    /// The data that the history has about an operation.
    fn of_entry(entry: &HistoryEntry) -> Self {
        let over = entry.verdict != Verdict::Unknown;
        let mut operation = Self {
            message: entry.message.clone(),
            started_time: entry.started,
            ended_time: Some(entry.ended).filter(|_| over),
            ended_after_time: entry.ended_after.filter(|_| over),
            duration_seconds: entry.seconds().filter(|_| over),
            planned_seconds: entry.planned_seconds,
            moved_connections: entry.moved_connections,
            connections_before: entry.connections.0,
            connections_after: entry.connections.1,
            lost_clients: entry.lost_clients(),
            lost_sessions: entry.sessions.0.zip(entry.sessions.1).map(|(one, two)| one.saturating_sub(two)),
            ..Self::new(entry.operation, entry.name.clone(), entry.verdict)
        };
        if let Some(EvacuationTimes { planned_seconds, seconds }) = entry.evacuations {
            operation.phases.push(ReportedPhase {
                name: "evacuations".to_owned(),
                started_time: None,
                seconds: Some(seconds),
                planned_seconds: Some(planned_seconds),
            });
            operation.missed(planned_seconds, seconds);
        }
        operation
    }
}

impl Report {
    /// A report of an operation without a recording: what its entry in the history holds, and the plan on its object.
    pub(crate) fn of_entry(entry: &HistoryEntry, plan: Option<&PlanRecord>) -> Self {
        let mut operation = ReportedOperation::of_entry(entry);
        if let Some(record) = plan {
            let planned = forecast(None, &record.participants(), &record.strategy, Return::default());
            operation.planned_seconds = Some(planned.total_seconds);
            operation.planned_moved_connections = Some(planned.moves.connections);
            operation.planned_peak_reconnects_per_second = Some(planned.moves.peak_reconnects_per_second);
            operation.findings = planned.findings.iter().map(ReportedFinding::from).collect();
            operation.phases = planned
                .phases
                .iter()
                .map(|phase| ReportedPhase {
                    name: phase.name.to_owned(),
                    started_time: None,
                    seconds: None,
                    planned_seconds: Some(phase.seconds),
                })
                .collect();
            operation.nodes = planned
                .nodes
                .iter()
                .map(|node| ReportedNode {
                    node: node.node.to_string(),
                    part: node.part.map(|part| part.as_str().to_owned()),
                    connections_before: Some(node.connections),
                    planned_connections_after: Some(node.connections_after),
                    sessions_before: Some(node.sessions),
                    ..ReportedNode::default()
                })
                .collect();
        }
        operation.compare();
        Self {
            instance: Some(ReportedInstance::from(&entry.instance)),
            source: "history".to_owned(),
            started_time: entry.started,
            ended_time: Some(entry.ended),
            operations: vec![operation],
            ..Self::default()
        }
    }

    /// Processes what the checks find in the cluster now: those that warn or refuse.
    pub(crate) fn checked(&mut self, checks: &Checks, now: Timestamp) {
        let shown = checks.checks.iter().filter_map(|check| {
            let severity = match check.status {
                CheckStatus::Warning => Severity::Warning,
                CheckStatus::Blocked => Severity::Blocked,
                CheckStatus::Ok | CheckStatus::Unknown => return None,
            };
            Some(ReportedFinding { id: check.id.to_owned(), severity, message: check.evidence.clone() })
        });
        self.findings = shown.collect();
        self.checked_time = Some(now);
    }

    /// Processes the recorded verdict of the operation that the recording was made of: a drain and a scale are more than the
    /// evacuations that a recording shows.
    pub(crate) fn with_entry(&mut self, entry: &HistoryEntry) {
        let known = self
            .operations
            .iter()
            .any(|operation| operation.operation == entry.operation && operation.name == entry.name);
        if !known {
            self.operations.insert(0, ReportedOperation::of_entry(entry));
        }
    }
}
