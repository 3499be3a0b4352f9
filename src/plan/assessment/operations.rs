//! What runs in an instance: rebalances, an upgrade, evacuations, purges. The verdict is about the first one.

use serde::Serialize;

use super::super::membership::{Membership, lasting};
use super::super::operator::OperatorProcess;
use super::super::snapshot::NodeRow;
use super::super::tracker::OperationTracker;
use super::super::upgrade::messages as upgrade_words;
use super::super::upgrade::run::UpgradeRun as Upgrade;
use super::current::Current;
use super::rebalances::RebalanceStatus;
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::and_more;
use crate::model::{Evacuation, Judgement, NodeName, Operation, OperationRef, Stage, Verdict};
use crate::plan::evacuation::doing;

/// One operation that runs, or waits for the operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// The kind of the operation.
    pub operation: Operation,
    /// Its name: the object's, `coordinator/NODE`, `upgrade/NAME`, `evacuation/NODE`, `purge/NODE`.
    pub name: String,
    pub phase: Option<String>,
    /// Work done, of all work.
    pub percent: Option<u8>,
    /// Seconds to its end.
    pub eta_seconds: Option<u64>,
    /// The present verdict.
    pub verdict: Verdict,
    /// The same as a sentence.
    pub message: String,
}

impl OperationStatus {
    fn new(
        operation: Operation,
        name: impl Into<String>,
        verdict: Verdict,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation,
            name: name.into(),
            phase: None,
            percent: None,
            eta_seconds: None,
            verdict,
            message: message.into(),
        }
    }
}

impl From<&RebalanceStatus> for OperationStatus {
    fn from(of: &RebalanceStatus) -> Self {
        Self {
            phase: of.phase.clone(),
            percent: of.percent,
            eta_seconds: of.eta_seconds,
            ..Self::new(Operation::Rebalance, &of.name, of.verdict, format!("{}: {}", of.name, of.message))
        }
    }
}

/// The operations that run; the verdict is about the first one.
pub(super) fn running(
    current: &Current<'_>,
    operations: &OperationTracker,
    rebalances: &[RebalanceStatus],
) -> Vec<OperationStatus> {
    let Current { instance, snapshot, load, .. } = *current;
    let open = || rebalances.iter().filter(|it| it.open);
    let mut found: Vec<OperationStatus> = open().filter(|it| it.listed).map(OperationStatus::from).collect();
    let upgrade = operations.upgrades.running();
    found.extend(upgrade.map(|run| upgrading(run, current)));
    if upgrade.is_none() {
        // The operator's evacuations during an upgrade belong to the upgrade.
        // EMQX may still list an old node whose pod was removed: that node is no longer evacuated.
        let removed = |entry: &&Evacuation| {
            let row = snapshot.node(&entry.node);
            row.is_some_and(|row| row.membership == Some(Membership::Foreign) || row.left_over)
        };
        let entries = evacuations_or_copy(load, instance).iter().filter(|entry| !removed(entry));
        found.extend(entries.map(|entry| evacuating(entry, current, operations)));
    }
    let purges = load.map(|load| load.purges.as_slice()).unwrap_or_default();
    found.extend(purges.iter().map(|node| purging(node, current)));
    found.extend(open().filter(|it| !it.listed).map(OperationStatus::from));
    found
}

fn upgrading(run: &Upgrade, current: &Current<'_>) -> OperationStatus {
    let mut is = OperationStatus::new(
        Operation::Upgrade,
        run.name.clone(),
        run.standing(),
        upgrade_words::standing(run),
    );
    is.phase = Some(run.step.phase().to_owned());
    is.percent = Some(run.percent);
    is.eta_seconds = run.seconds;
    // Pods that cannot start explain why the upgrade makes no progress.
    let stuck: Vec<&NodeRow> = current
        .snapshot
        .nodes
        .iter()
        .filter(|row| matches!(row.membership, Some(Membership::Starting | Membership::Unschedulable)))
        .filter(|row| row.pod_reason.as_deref().is_some_and(hinders))
        .collect();
    if let Some(first) = stuck.first() {
        let reason = first.pod_reason.as_deref().unwrap_or_default();
        if !is.message.contains(reason) {
            let more = and_more(stuck.len() - 1);
            is.message = format!(
                "{}; {}{more}: {reason}{}",
                is.message,
                first.label(),
                lasting(first.since, current.now)
            );
        }
        is.eta_seconds = None;
    }
    // An operator that is gone removes no pod: how long it takes is not known.
    if let Some(gone) = current.snapshot.operator_process.filter(|it| it.process == OperatorProcess::Gone) {
        is.eta_seconds = None;
        if run.verdict.is_none() {
            is.message = format!("{}; {}", is.message, gone.cause());
        }
    }
    if let Some(alarm) = run.alarm() {
        is.message = format!("{}; {}", alarm.sentence(), is.message);
    }
    is
}

/// Whether this reason keeps a pod from starting. Reasons that every starting pod passes through are
/// excluded.
fn hinders(reason: &str) -> bool {
    !matches!(
        reason,
        "ContainerCreating" | "PodInitializing" | "ContainersNotReady" | "ContainersNotInitialized"
    )
}

/// A node as the rows of the status name it.
fn label<'a>(node: &'a NodeName, current: &Current<'a>) -> &'a str {
    current.snapshot.node(node).map_or_else(|| node.short(), NodeRow::label)
}

fn evacuating(entry: &Evacuation, current: &Current<'_>, operations: &OperationTracker) -> OperationStatus {
    let name = OperationRef::Evacuation(entry.node.clone()).to_string();
    let run = operations.upgrades.evacuations.run(&name);
    let mut is = OperationStatus::new(
        Operation::Evacuation,
        name,
        match run.and_then(|run| run.verdict.as_ref()) {
            Some(Judgement { verdict, .. }) => *verdict,
            None if entry.stage == Stage::Prohibiting => Verdict::Evacuated,
            None => Verdict::Running,
        },
        format!("{}: {}", label(&entry.node, current), doing(&entry.stage)),
    );
    is.phase = Some(entry.stage.phase().to_owned());
    let Some(run) = run else { return is };
    if run.restored {
        is.message.push_str("; EMQX restored it from disk after the node restarted");
    }
    match &run.verdict {
        None => {
            is.percent = run.start.is_some().then_some(run.percent);
            is.eta_seconds = run.seconds;
            is.message.push_str(&run.to_go());
        }
        Some(end) => is.message.clone_from(&end.message),
    }
    if let Some(alarm) = operations.upgrades.evacuations.alarm() {
        is.message = format!("{}; {}", alarm.sentence(), is.message);
    }
    is
}

fn purging(node: &NodeName, current: &Current<'_>) -> OperationStatus {
    OperationStatus::new(
        Operation::Purge,
        OperationRef::Purge(node.clone()).to_string(),
        Verdict::Running,
        format!(
            "{} purges its sessions: all nodes refuse clients until the purge ends",
            label(node, current)
        ),
    )
}
