//! `rebalance list`, and bare `rebalance`: running and past rebalances, each with a verdict.

use jiff::Timestamp;

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome};
use crate::cli::intent::{List, Output};
use crate::error::Exit;
use crate::model::{
    Backend, BackendRequest, HistoryEntry, InstanceId, InstanceKind, Judgement, Link, Operation,
    OperationRef, Phase, Rebalance, Verdict, World,
};
use crate::plan::assessment::assess;
use crate::plan::rebalance::{verdict, waiting};
use crate::plan::results::{RebalanceItem, items};
use crate::plan::tracker::{OperationTracker, Tracker as _};
use crate::ports::RefreshScope;

/// The resources that are read.
const LIST_SCOPE: RefreshScope = RefreshScope { endpoints: false, states: true, ..RefreshScope::REBALANCE };

/// `rebalance list`.
pub async fn run(context: &CommandContext, intent: &List) -> Outcome {
    let (listed, mut cluster) = cluster_view::load_all(context, &intent.filter, LIST_SCOPE, None).await?;
    cluster_view::query_twice(context, &mut cluster).await?;
    let now = context.clock.now();
    let mut items: Vec<RebalanceItem> = cluster.iter().flat_map(|it| of(it, now)).collect();
    // With a selector an instance may exist and not be listed.
    if intent.filter.labels.is_none() && intent.filter.fields.is_none() {
        items.extend(without_instance(&listed, now).into_iter().map(|(_, item)| item));
    }
    recorded(context, &cluster, &mut items);
    items.retain(|item| match intent.backend {
        BackendRequest::Auto => true,
        BackendRequest::Rebalance => item.backend == Backend::Rebalance,
        BackendRequest::Emqx => item.backend == Backend::Emqx,
    });
    items.sort_by(|one, other| one.started_time.cmp(&other.started_time).then(one.name.cmp(&other.name)));
    let people = matches!(intent.output, Output::Text | Output::Wide);
    // A list that is forbidden does not mean "none": a notice has named the missing permission.
    if !(items.is_empty() && people && cluster_view::unlisted(&listed, "rebalances").is_some()) {
        context.printer.rebalances(&items, intent.output, now);
    }
    if intent.bare && intent.output == Output::Text {
        hint(context, &items);
    }
    Ok(Exit::Reached)
}

/// Adds what the ConfigMaps and the user's own history contain: verdicts of objects without a recorded one, and rebalances
/// without an object.
fn recorded(context: &CommandContext, clusters: &[ClusterView], items: &mut Vec<RebalanceItem>) {
    let seen = |id: &InstanceId| clusters.iter().any(|cluster| cluster.id == *id);
    let uid = |entry: &HistoryEntry| {
        let key = (entry.instance.namespace.clone(), entry.name.clone());
        clusters
            .iter()
            .find_map(|cluster| Some(cluster.world.kubernetes.rebalances.get(&key)?.value.uid.clone()))
    };
    for past in super::history::past(context, clusters, seen) {
        let entry = &past.entry;
        if entry.operation != Operation::Rebalance {
            continue;
        }
        let is = |item: &&mut RebalanceItem| item.name == entry.name && item.instance == entry.instance;
        match items.iter_mut().find(is) {
            // A name can be used again: the entry must be about this very object. A stop that was recorded explains why EMQX dropped
            // a rebalance.
            Some(item)
                if (item.verdict == Verdict::Unknown
                    || item.verdict == Verdict::CoordinatorLost && entry.verdict == Verdict::Stopped)
                    && entry.verdict != Verdict::Unknown
                    && entry.uid.is_some()
                    && uid(entry) == entry.uid =>
            {
                item.verdict = entry.verdict;
                item.message.clone_from(&entry.message);
                item.duration_seconds = entry.seconds();
            }
            None if matches!(OperationRef::of(&entry.name), OperationRef::Coordinator(_)) => {
                items.push(RebalanceItem {
                    name: entry.name.clone(),
                    instance: entry.instance.clone(),
                    phase: None,
                    verdict: entry.verdict,
                    message: entry.message.clone(),
                    started_time: entry.started,
                    duration_seconds: entry.seconds(),
                    backend: Backend::Emqx,
                    terminating: false,
                    alarm: false,
                });
            }
            _ => {}
        }
    }
}

fn hint(context: &CommandContext, items: &[RebalanceItem]) {
    let running =
        items.iter().find(|item| item.alarm).or_else(|| items.iter().find(|item| !item.verdict.is_final()));
    context.printer.next(&match running {
        Some(item) if item.alarm => format!("kubectl emqx rebalance stop {}", item.name),
        Some(item) => format!("kubectl emqx rebalance watch {}", item.name),
        None => "kubectl emqx rebalance plan".to_owned(),
    });
}

/// The rebalances of one instance.
pub(crate) fn of(cluster: &ClusterView, now: Timestamp) -> Vec<RebalanceItem> {
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, now);
    items(&assess(&cluster.world, &cluster.id, &operations, now))
}

/// Objects whose instance does not exist: it was deleted, the kind is unknown, or the name is wrong.
pub(super) fn without_instance(world: &World, now: Timestamp) -> Vec<(&Rebalance, RebalanceItem)> {
    let objects = world.kubernetes.rebalances.values().map(|seen| &seen.value);
    objects
        .filter(|object| world.instance_of(object).is_none())
        .map(|object| {
            let id = object.instance_id();
            let Judgement { verdict, message: reason } = stray(world, object, &id, now);
            (object, RebalanceItem::of_object(&id, object, verdict, reason, None))
        })
        .collect()
}

fn stray(world: &World, object: &Rebalance, id: &InstanceId, now: Timestamp) -> Judgement {
    let unlisted = cluster_view::unlisted(world, id.kind.plural()).and_then(Link::why);
    let other = InstanceKind::ALL
        .into_iter()
        .find(|kind| *kind != id.kind && world.instance(&InstanceId { kind: *kind, ..id.clone() }).is_some());
    let missing = match (unlisted, other) {
        (Some(why), _) => format!("whether {id} exists is not known: {why}"),
        (None, Some(kind)) => {
            format!("there is no {id}, but {kind} {}: the object names another kind", id.name)
        }
        (None, None) => format!("there is no {id}"),
    };
    if let Some(seconds) = waiting::seconds(object, now) {
        let waits = waiting::explained(object, seconds, world, now);
        return Judgement::new(waiting::verdict(seconds), format!("{missing}; {waits}"));
    }
    match object.phase {
        Phase::Failed if !object.processed => {
            verdict::never_started(object.failure.as_deref(), &object.strategy, None, false)
        }
        Phase::Processing if unlisted.is_none() => {
            Judgement::new(Verdict::Failed, format!("the instance was deleted: {missing}"))
        }
        _ => Judgement::new(Verdict::Unknown, format!("not followed; {missing}")),
    }
}
