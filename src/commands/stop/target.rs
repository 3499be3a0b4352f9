//! The target of a stop: one rebalance by its name, or what runs or waits in an instance.

use crate::cli::intent::{OperationName, Stop};
use crate::commands::CommandContext;
use crate::commands::cluster_view::ClusterView;
use crate::commands::rebalance_target::{self, RebalanceTarget};
use crate::error::Problem;
use crate::model::cluster::evacuations_or_copy;
use crate::model::{BackendRequest, Instance, Phase, PodName, Rebalance};
use crate::plan::rebalance::ownership;
use crate::plan::snapshot::snapshot;

/// The result of the search.
pub(super) enum StopTarget {
    /// This rebalance, by its name.
    One(Box<ClusterView>, String),
    /// There is nothing to stop; the reason.
    Nothing(String),
}

/// Finds what is to be stopped. Two candidates are a usage error.
pub(super) async fn resolve(context: &CommandContext, intent: &Stop) -> Result<StopTarget, Problem> {
    let RebalanceTarget { cluster, name } =
        rebalance_target::resolve(context, intent.operation.as_ref()).await?;
    let named = match (&intent.operation, &name) {
        (Some(OperationName::Rebalance(wanted) | OperationName::Name(wanted)), Some(name)) => wanted == name,
        (Some(OperationName::Coordinator(_)), Some(_)) => true,
        _ => false,
    };
    let of_instance = !matches!(intent.operation, Some(OperationName::Coordinator(_)));
    let candidates = match name {
        Some(name) if named => vec![name],
        _ if of_instance => candidates(context, &cluster),
        _ => Vec::new(),
    };
    let candidates: Vec<String> = candidates
        .into_iter()
        .filter(|name| rebalance_target::driven(&cluster, name, intent.backend))
        .collect();
    match candidates.as_slice() {
        [] => Ok(StopTarget::Nothing(nothing(context, &cluster, intent.backend)?)),
        [one] => Ok(StopTarget::One(Box::new(cluster), one.clone())),
        [one, ..] => Err(Problem::usage(
            format!("{} has {} rebalances that can be stopped", cluster.id, candidates.len()),
            candidates.join(", "),
        )
        .hint(format!("name one of them: kubectl emqx rebalance stop {one}"))),
    }
}

/// What can be stopped in an instance: what runs, what an operator would start as soon as it works again,
/// else the remains of an earlier stop.
fn candidates(context: &CommandContext, cluster: &ClusterView) -> Vec<String> {
    let (world, id) = (&cluster.world, &cluster.id);
    let mut found: Vec<String> = if cluster.answers().load.is_some() {
        ownership::running(world, id).into_iter().map(|(name, _)| name).collect()
    } else {
        rebalance_target::runs(context, cluster).into_iter().collect()
    };
    let waiting = ownership::waiting(world, id, context.clock.now());
    found.extend(waiting.into_iter().map(|object| object.name.clone()));
    if found.is_empty() {
        let objects = world.rebalances_of(id).into_iter().map(|seen| &seen.value);
        let left =
            |object: &&Rebalance| ownership::left_by_a_stop(object) || object.phase == Phase::Processing;
        found.extend(objects.filter(left).map(|object| object.name.clone()));
    }
    found
}

/// The message that nothing can be stopped, with the operations that run instead and the commands that stop
/// them.
fn nothing(
    context: &CommandContext,
    cluster: &ClusterView,
    backend: BackendRequest,
) -> Result<String, Problem> {
    let others = others(context, cluster);
    if others.is_empty() {
        return Ok(format!(
            "{}: there is nothing to stop",
            rebalance_target::nothing(context, cluster, backend)?
        ));
    }
    Ok(format!("no rebalance runs in {}, but {}", cluster.id, others.join("; ")))
}

/// Other operations of an instance, each with the command that stops it.
fn others(context: &CommandContext, cluster: &ClusterView) -> Vec<String> {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let instance = cluster.instance().ok();
    let load = cluster.answers().eviction_status();
    let name = &cluster.id.name;
    let mut found = Vec::new();
    if instance.is_some_and(Instance::upgrading) {
        found.push(format!("an upgrade does; kubectl emqx upgrade undo {name} rolls it back"));
    } else {
        found.extend(evacuations_or_copy(load, instance).iter().map(|evacuation| {
            format!(
                "{} is being evacuated ({}); kubectl emqx evacuate stop {} stops that",
                evacuation.node.short(),
                evacuation.state,
                evacuation.node
            )
        }));
    }
    for node in load.into_iter().flat_map(|load| &load.purges) {
        let pod = snapshot.node(node).and_then(|row| row.pod.as_ref()).map_or("POD", PodName::as_str);
        found.push(format!(
            "a purge of {} does; kubectl exec -n {} {pod} -c emqx -- emqx ctl rebalance stop stops it",
            node.short(),
            cluster.id.namespace
        ));
    }
    found
}
