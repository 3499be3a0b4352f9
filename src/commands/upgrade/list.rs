//! `upgrade list`: running and past upgrades, with recorded verdicts.

use crate::cli::intent::upgrade::UpgradeList;
use crate::commands::{CommandContext, Outcome, cluster_view, history};
use crate::error::Exit;
use crate::model::Operation;
use crate::model::human::seconds_between;
use crate::plan::history::{HistoryItem, UpgradeItem};
use crate::plan::tracker::OperationTracker;
use crate::plan::tracker::Tracker as _;
use crate::ports::RefreshScope;

/// `upgrade list`.
pub(super) async fn run(context: &CommandContext, intent: &UpgradeList) -> Outcome {
    let clusters = cluster_view::load_many(context, &intent.filter, RefreshScope::ALL).await?;
    let now = context.clock.now();
    let seen = |id: &crate::model::InstanceId| clusters.iter().any(|cluster| cluster.id == *id);
    let past = history::past(context, &clusters, seen);
    let past = past.iter().filter(|past| past.entry.operation == Operation::Upgrade);
    let mut items: Vec<UpgradeItem> = past.map(|past| UpgradeItem::from(HistoryItem::from(past))).collect();
    for cluster in &clusters {
        let mut operations = OperationTracker::of(&cluster.id);
        let events = operations.observe(&cluster.world, now);
        let Some(run) = operations.upgrades.running() else { continue };
        let last = events.into_iter().rev().find(|event| event.name == run.name);
        items.push(UpgradeItem {
            name: run.name.clone(),
            instance: cluster.id.clone(),
            phase: Some(run.step.phase().to_owned()),
            verdict: run.standing(),
            message: match (run.alarm(), last.map(|event| event.message).unwrap_or_default()) {
                (Some(alarm), last) => format!("{}; {last}", alarm.sentence()),
                (None, last) => last,
            },
            started_time: Some(run.began),
            duration_seconds: Some(seconds_between(run.began, now)),
        });
    }
    context.printer.upgrades(&items, intent.output, now);
    Ok(Exit::Reached)
}
