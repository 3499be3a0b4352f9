//! The names that complete what is typed, as the cluster knows them.

use std::collections::BTreeSet;

use super::CommandContext;
use super::cluster_view;
use crate::cli::complete::Candidate;
use crate::cli::intent::Names;
use crate::error::Problem;
use crate::model::World;
use crate::ports::{RefreshScope, Scope};

/// How the name of what runs without an object begins.
const COORDINATOR: &str = "coordinator/";

/// Looks names up and tells each as soon as it is known, because what takes too long is not waited for.
pub async fn find(
    hands: &CommandContext,
    names: Names,
    word: &str,
    tell: &dyn Fn(Candidate),
) -> Result<(), Problem> {
    match names {
        Names::Namespaces => {
            for name in hands.kubernetes.namespaces().await? {
                tell(Candidate::new(name, ""));
            }
        }
        Names::Instances => instances(&look(hands, RefreshScope::default()).await?, word, tell),
        Names::Operations => operations(hands, word, tell).await?,
        Names::Nodes => {
            let world = look(hands, RefreshScope { pods: true, ..RefreshScope::default() }).await?;
            for id in world.ids() {
                world.pods_of(&id).for_each(|pod| tell(Candidate::new(pod.name.as_str(), "EMQX node")));
            }
        }
        Names::Images => {
            let world =
                look(hands, RefreshScope { pods: true, sets: true, ..RefreshScope::default() }).await?;
            images(&world).for_each(tell);
        }
        // These are known without a cluster.
        Names::Contexts | Names::Clusters | Names::Users | Names::Scenarios => {}
    }
    Ok(())
}

async fn look(hands: &CommandContext, want: RefreshScope) -> Result<World, Problem> {
    let scope = Scope {
        namespace: Some(hands.namespace.clone()),
        want: RefreshScope { instances: true, ..want },
        ..Scope::default()
    };
    cluster_view::world(hands, &scope).await
}

/// By their names, or by kind and name where a kind was begun.
fn instances(world: &World, word: &str, tell: &dyn Fn(Candidate)) {
    for id in world.ids() {
        let name = if word.contains('/') { format!("{}/{}", id.kind.singular(), id.name) } else { id.name };
        tell(Candidate::new(name, id.kind.as_str()));
    }
}

/// Rebalances. Who runs one without an object only EMQX knows, and nobody asks EMQX while somebody types: where such a
/// name was begun, every node is offered; where there is no other, the instances, for which it may run.
async fn operations(hands: &CommandContext, word: &str, tell: &dyn Fn(Candidate)) -> Result<(), Problem> {
    let served = hands.kubernetes.served().await?.version_of("rebalances").is_some();
    let begun = word.starts_with(COORDINATOR) || !word.is_empty() && COORDINATOR.starts_with(word);
    let scope = Scope {
        namespace: Some(hands.namespace.clone()),
        want: RefreshScope { instances: begun || !served, rebalances: true, ..RefreshScope::default() },
        ..Scope::default()
    };
    let world = cluster_view::world(hands, &scope).await?;
    for seen in world.rebalances.values() {
        let phase = seen.value.phase.text().unwrap_or("Pending");
        tell(Candidate::new(&seen.value.name, format!("{}, {phase}", seen.value.instance_name)));
    }
    if !served {
        instances(&world, word, tell);
    }
    for instance in world.instances.values().map(|seen| &seen.value).filter(|_| begun) {
        for node in &instance.nodes {
            tell(Candidate::new(format!("{COORDINATOR}{}", node.name), &instance.id.name));
        }
    }
    Ok(())
}

/// What instances are to run, and what their pods and sets run or ran. Each may come twice: who takes it in offers it once,
/// as it came first.
fn images(world: &World) -> impl Iterator<Item = Candidate> {
    let wanted = world.instances.values().filter_map(|seen| {
        Some(Candidate::new(seen.value.image.clone()?, format!("of {}", seen.value.id.name)))
    });
    let run = world.pods.values().map(|seen| &seen.value.image);
    let ran = world.sets.values().map(|seen| &seen.value.image);
    let others: BTreeSet<&String> = run.chain(ran).flatten().collect();
    wanted.chain(others.into_iter().map(|image| Candidate::new(image, "")))
}
