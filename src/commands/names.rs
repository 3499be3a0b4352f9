//! The names that complete what is typed, as the cluster knows them.

use std::collections::BTreeSet;

use super::gather::{self, Gathered};
use super::{Hands, list};
use crate::cli::complete::Candidate;
use crate::cli::intent::Names;
use crate::error::Problem;
use crate::model::{InstanceId, World};
use crate::plan::reach;
use crate::seam::{Scope, Want};

/// How the name of what runs without an object begins.
const COORDINATOR: &str = "coordinator/";

/// Looks names up and tells each as soon as it is known, because what takes too long is not waited for.
pub async fn find(hands: &Hands, names: Names, word: &str, tell: &dyn Fn(Candidate)) -> Result<(), Problem> {
    match names {
        Names::Namespaces => {
            for name in hands.kubernetes.namespaces().await? {
                tell(Candidate::new(name, ""));
            }
        }
        Names::Instances => instances(&look(hands, Want::default()).await?, word, tell),
        Names::Operations => operations(hands, word, tell).await?,
        Names::Images => {
            images(&look(hands, Want { pods: true, sets: true, ..Want::default() }).await?)
                .into_iter()
                .for_each(tell);
        }
        // These are known without a cluster.
        Names::Contexts | Names::Clusters | Names::Users | Names::Scenarios => {}
    }
    Ok(())
}

async fn look(hands: &Hands, want: Want) -> Result<World, Problem> {
    let scope = Scope {
        namespace: Some(hands.namespace.clone()),
        want: Want { instances: true, ..want },
        ..Scope::default()
    };
    gather::world(hands, &scope).await
}

/// By their names, or by kind and name where a kind was begun.
fn instances(world: &World, word: &str, tell: &dyn Fn(Candidate)) {
    for id in world.ids() {
        let name = if word.contains('/') { format!("{}/{}", id.kind.singular(), id.name) } else { id.name };
        tell(Candidate::new(name, id.kind.as_str()));
    }
}

/// Rebalances first, then what EMQX runs without one, which is asked only where such a name could be meant.
async fn operations(hands: &Hands, word: &str, tell: &dyn Fn(Candidate)) -> Result<(), Problem> {
    let world = look(hands, Want { rebalances: true, pods: true, ..Want::default() }).await?;
    for seen in world.rebalances.values() {
        let phase = seen.value.phase.text().unwrap_or("Pending");
        tell(Candidate::new(&seen.value.name, format!("{}, {phase}", seen.value.instance_name)));
    }
    if word.starts_with(COORDINATOR) || COORDINATOR.starts_with(word) {
        for id in world.ids() {
            conducted(hands, &world, id, tell).await?;
        }
    }
    Ok(())
}

/// What EMQX nodes of an instance conduct without an object.
async fn conducted(
    hands: &Hands,
    world: &World,
    id: InstanceId,
    tell: &dyn Fn(Candidate),
) -> Result<(), Problem> {
    let Some(instance) = world.instance(&id) else { return Ok(()) };
    let broker = hands.brokers.broker(reach::target(world, instance));
    let facts = broker.read().await?;
    let mut gathered = Gathered { id, world: world.clone(), broker };
    gather::take(hands, &mut gathered.world, facts);
    for item in list::of(&gathered, hands.clock.now()) {
        if item.name.starts_with(COORDINATOR) {
            tell(Candidate::new(item.name, format!("{}, {}", item.instance.name, item.reason)));
        }
    }
    Ok(())
}

/// What instances are to run, and what their pods and sets run or ran.
fn images(world: &World) -> BTreeSet<Candidate> {
    let wanted = world.instances.values().filter_map(|seen| {
        Some(Candidate::new(seen.value.image.clone()?, format!("of {}", seen.value.id.name)))
    });
    let run = world.pods.values().map(|seen| &seen.value.image);
    let ran = world.sets.values().map(|seen| &seen.value.image);
    let others = run.chain(ran).flatten().map(|image| Candidate::new(image, ""));
    wanted.chain(others).collect()
}
