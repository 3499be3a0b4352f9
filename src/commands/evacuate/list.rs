//! `evacuate list` and `evacuate status`.

use crate::cli::intent::evacuate::Show;
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::{CommandContext, Outcome, history};
use crate::error::Exit;
use crate::model::{HistoryEntry, InstanceId, NodeName, Operation, OperationRef, Verdict};
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::results::EvacuationItem;
use crate::plan::snapshot::snapshot;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::ports::RefreshScope;

use super::target::{find, require_answer};

/// `evacuate status`, `evacuate list`.
pub(super) async fn run(context: &CommandContext, intent: &Show) -> Outcome {
    let found: Vec<(ClusterView, Vec<NodeName>)> = if intent.targets.is_empty() {
        let all = cluster_view::load_many(context, &intent.filter, RefreshScope::REBALANCE).await?;
        all.into_iter().map(|it| (it, Vec::new())).collect()
    } else {
        vec![find(context, &intent.targets, RefreshScope::REBALANCE).await?]
    };
    let mut items = Vec::new();
    for (cluster, nodes) in &found {
        let mut operations = OperationTracker::of(&cluster.id);
        operations.observe(&cluster.world, context.clock.now());
        require_answer(cluster, context)?;
        let runs = &operations.upgrades.evacuations.runs;
        let listed = |node: &NodeName| item(cluster, context, node, runs);
        if nodes.is_empty() {
            let entries = cluster.answers().evacuations().iter();
            items.extend(entries.map(|entry| listed(&entry.node)));
        } else {
            items.extend(nodes.iter().map(listed));
        }
    }
    let mut past = Vec::new();
    if intent.past {
        let clusters: Vec<ClusterView> = found.into_iter().map(|(cluster, _)| cluster).collect();
        let seen = |id: &InstanceId| clusters.iter().any(|cluster| cluster.id == *id);
        let all = history::past(context, &clusters, seen);
        let entries = all.iter().map(|past| &past.entry);
        let ended = entries.filter(|entry| entry.operation == Operation::Evacuation).filter_map(over);
        // EMQX lists an evacuated node until its evacuation is stopped.
        let listed = |node: &NodeName| items.iter().any(|item: &EvacuationItem| item.node == *node);
        past = ended.filter(|item| !listed(&item.node)).collect();
    }
    context.printer.evacuations(&items, &past, intent.targets.len() == 1, intent.output);
    Ok(Exit::Reached)
}

fn over(entry: &HistoryEntry) -> Option<EvacuationItem> {
    let OperationRef::Evacuation(node) = OperationRef::of(&entry.name) else { return None };
    Some(EvacuationItem {
        instance: entry.instance.clone(),
        node,
        pod: None,
        state: None,
        initial_connections: None,
        connections: None,
        initial_sessions: None,
        sessions: None,
        recipients: Vec::new(),
        percent: None,
        eta_seconds: None,
        verdict: entry.verdict,
        message: format!("{} (ended {})", entry.message, entry.ended.strftime("%Y-%m-%d %H:%M:%S UTC")),
    })
}

fn item(
    cluster: &ClusterView,
    context: &CommandContext,
    node: &NodeName,
    runs: &[EvacuationRun],
) -> EvacuationItem {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let pod = snapshot.node(node).and_then(|row| row.pod.clone());
    let instance = cluster.id.clone();
    let entries = cluster.answers().evacuations().iter();
    let entry = entries.into_iter().find(|entry| entry.node == *node);
    let counts =
        cluster.answers().nodes.as_ref().and_then(|seen| seen.value.iter().find(|it| it.name == *node));
    let run = runs.iter().rfind(|run| run.entry.node == *node);
    match (entry, run) {
        (Some(entry), run) => EvacuationItem {
            instance,
            node: node.clone(),
            pod,
            state: Some(entry.state.clone()),
            initial_connections: entry.initial_connections,
            connections: counts.and_then(|it| it.connections).or(entry.connections),
            initial_sessions: entry.initial_sessions,
            sessions: counts.and_then(|it| it.sessions).or(entry.sessions),
            recipients: entry.recipients.clone(),
            percent: run.map(|run| run.percent),
            eta_seconds: run.filter(|run| run.verdict.is_none()).and_then(|run| run.seconds),
            verdict: run
                .and_then(|run| run.verdict.as_ref())
                .map_or(Verdict::Running, |judgement| judgement.verdict),
            message: run.map_or_else(|| entry.state.clone(), EvacuationRun::message),
        },
        (None, _) => EvacuationItem {
            instance,
            node: node.clone(),
            pod,
            state: None,
            initial_connections: None,
            connections: counts.and_then(|it| it.connections),
            initial_sessions: None,
            sessions: counts.and_then(|it| it.sessions),
            recipients: Vec::new(),
            percent: None,
            eta_seconds: None,
            verdict: Verdict::Idle,
            message: "the node is not being evacuated".to_owned(),
        },
    }
}
