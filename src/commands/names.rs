//! The names from the cluster that complete an argument.

use std::collections::BTreeSet;

use super::CommandContext;
use super::cluster_view;
use crate::cli::intent::Candidate;
use crate::cli::intent::Names;
use crate::error::Problem;
use crate::model::{InstanceId, OperationRef, World};
use crate::plan::assessment::{Assessment, RebalanceStatus, assess};
use crate::plan::membership::Membership;
use crate::plan::tracker::OperationTracker;
use crate::plan::tracker::Tracker as _;
use crate::ports::{RefreshScope, Scope};

/// The beginning of the name of a rebalance without an object.
const COORDINATOR: &str = "coordinator/";

/// Reads names and returns each as soon as it is known, because completion has a time limit.
pub(crate) async fn find(
    context: &CommandContext,
    names: Names,
    word: &str,
    offer: &dyn Fn(Candidate),
) -> Result<(), Problem> {
    match names {
        Names::Namespaces => {
            for name in context.kubernetes.namespaces().await? {
                offer(Candidate::new(name, ""));
            }
        }
        Names::Instances => instances(context, &look(context, RefreshScope::default()).await?, word, offer),
        Names::Operations => operations(context, word, offer).await?,
        Names::Nodes => {
            nodes(
                context,
                &look(context, RefreshScope { pods: true, ..RefreshScope::default() }).await?,
                offer,
            );
        }
        Names::Images => {
            let world =
                look(context, RefreshScope { pods: true, sets: true, ..RefreshScope::default() }).await?;
            images(&world).for_each(offer);
        }
        // These names are known without a cluster.
        Names::Contexts | Names::Clusters | Names::Users | Names::Scenarios => {}
    }
    Ok(())
}

async fn look(context: &CommandContext, want: RefreshScope) -> Result<World, Problem> {
    let scope = Scope {
        namespace: Some(context.namespace.clone()),
        want: RefreshScope { instances: true, ..want },
        ..Scope::default()
    };
    cluster_view::world(context, &scope).await
}

/// One instance, judged as in every other output.
fn judged(context: &CommandContext, world: &World, id: &InstanceId) -> Assessment {
    let now = context.clock.now();
    let mut operations = OperationTracker::of(id);
    operations.observe(world, now);
    assess(world, id, &operations, now)
}

/// Instances by name, or by kind and name where the user began with a kind; each with its problem.
fn instances(context: &CommandContext, world: &World, word: &str, offer: &dyn Fn(Candidate)) {
    for id in world.ids() {
        let kind = id.kind.as_str();
        let about = match judged(context, world, &id).health.problem {
            Some(problem) => format!("{kind}, {problem}"),
            None => kind.to_owned(),
        };
        let name = if word.contains('/') { format!("{}/{}", id.kind.singular(), id.name) } else { id.name };
        offer(Candidate::new(name, about));
    }
}

/// The rows of each instance: a pod that is not in the EMQX cluster, or does not run, is described as such.
fn nodes(context: &CommandContext, world: &World, offer: &dyn Fn(Candidate)) {
    for id in world.ids() {
        for row in judged(context, world, &id).snapshot.nodes {
            let about = match (row.membership, row.pod_reason.as_deref()) {
                (None | Some(Membership::Member), _) => "EMQX node".to_owned(),
                (Some(membership), None) => format!("EMQX node, {}", membership.words()),
                (Some(membership), Some(reason)) => format!("EMQX node, {}: {reason}", membership.words()),
            };
            offer(Candidate::new(row.label(), about));
        }
    }
}

/// Rebalances, those first that may run. Only EMQX knows the name of a rebalance without an object, and EMQX
/// is not queried while the user types. Where such a name was begun, every node is offered; where there is no
/// object, the instances are, because a rebalance may run for them.
async fn operations(context: &CommandContext, word: &str, offer: &dyn Fn(Candidate)) -> Result<(), Problem> {
    let served = context.kubernetes.served().await?.version_of("rebalances").is_some();
    let begun = word.starts_with(COORDINATOR) || !word.is_empty() && COORDINATOR.starts_with(word);
    let scope = Scope {
        namespace: Some(context.namespace.clone()),
        want: RefreshScope { instances: begun || !served, rebalances: true, ..RefreshScope::default() },
        ..Scope::default()
    };
    let world = cluster_view::world(context, &scope).await?;
    // An object may be listed although its instance may not.
    let of = world.kubernetes.rebalances.values().map(|seen| seen.value.instance_id());
    let ids: BTreeSet<InstanceId> = of.collect();
    let mut found: Vec<RebalanceStatus> =
        ids.iter().flat_map(|id| judged(context, &world, id).rebalances).collect();
    found.sort_by_key(|it| !it.open);
    for it in found {
        let instance = it.object.as_ref().map(|object| object.instance_name.as_str()).unwrap_or_default();
        offer(Candidate::new(&it.name, format!("{instance}, {}", it.verdict.words())));
    }
    if !served {
        instances(context, &world, word, offer);
    }
    for id in world.ids().iter().filter(|_| begun) {
        let nodes = judged(context, &world, id).snapshot.nodes;
        for node in nodes.into_iter().filter_map(|row| row.node) {
            offer(Candidate::new(OperationRef::Coordinator(node).to_string(), &id.name));
        }
    }
    Ok(())
}

/// The requested images of instances, and the images that their pods and sets run or ran. An image may occur
/// twice: the caller offers it once, at its first place.
fn images(world: &World) -> impl Iterator<Item = Candidate> {
    let wanted = world.kubernetes.instances.values().filter_map(|seen| {
        Some(Candidate::new(seen.value.image.clone()?, format!("of {}", seen.value.id.name)))
    });
    let run = world.kubernetes.pods.values().map(|seen| &seen.value.image);
    let ran = world.kubernetes.sets.values().map(|seen| &seen.value.image);
    let others: BTreeSet<&String> = run.chain(ran).flatten().collect();
    wanted.chain(others.into_iter().map(|image| Candidate::new(image, "")))
}
