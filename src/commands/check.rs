//! `check`: the doctor. Reads, and changes nothing.

use std::collections::BTreeSet;

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome};
use crate::cli::intent::Check as Intent;
use crate::error::Exit;
use crate::model::check::Purpose;
use crate::model::surroundings::Surroundings;
use crate::plan::check::{Beside, CheckStatus, Permission, Subject, check};
use crate::plan::snapshot::snapshot;
use crate::ports::{RefreshScope, Right};

/// Everything, with the events of the operator.
const WANT: RefreshScope = RefreshScope::ALL;

/// `check`.
pub async fn run(context: &CommandContext, intent: &Intent) -> Outcome {
    let cluster = cluster_view::one(context, intent.instance.as_ref(), WANT).await?;
    let beside = beside(context, &cluster).await;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let subject = Subject {
        world: &cluster.world,
        instance: cluster.instance()?,
        snapshot: &snapshot,
        beside: &beside,
    };
    let checks = check(subject, intent.purpose);
    context.printer.checks(&checks, intent.output);
    Ok(if checks.number(CheckStatus::Blocked) > 0 { Exit::Refused } else { Exit::Reached })
}

/// What is read beside the world; what cannot be read makes its checks unknown.
async fn beside(context: &CommandContext, cluster: &ClusterView) -> Beside {
    let id = &cluster.id;
    let namespaces = [id.namespace.clone()];
    let pods: BTreeSet<String> = cluster.world.pods_of(id).map(|pod| pod.uid.clone()).collect();
    let kubernetes = &context.kubernetes;
    let (placement, autoscalers, surroundings, object, permissions) = futures::join!(
        kubernetes.placement(&namespaces, &pods),
        kubernetes.autoscalers(&id.namespace),
        kubernetes.surroundings(id),
        kubernetes.object(id),
        permissions(context, cluster),
    );
    Beside {
        placement: placement.ok(),
        autoscalers: autoscalers.ok(),
        surroundings: surroundings.unwrap_or_else(|problem| Surroundings {
            unread: vec![problem.to_string()],
            ..Surroundings::default()
        }),
        object: object.ok().flatten(),
        permissions,
    }
}

/// What each operation writes, and whether it may.
async fn permissions(context: &CommandContext, cluster: &ClusterView) -> Vec<Permission> {
    let id = &cluster.id;
    let object = cluster.world.served.version_of("rebalances").is_some();
    let mut asked: Vec<(Purpose, Right)> = Vec::new();
    if object {
        let rebalance = |verb| (Purpose::Rebalance, Right::of_rebalance(verb, &id.namespace));
        asked.extend(["create", "delete", "patch"].map(rebalance));
    }
    asked.extend(Right::of_upgrade(id).map(|right| (Purpose::Upgrade, right)));
    asked.extend(Right::of_drain(id, true).into_iter().map(|right| (Purpose::Drain, right)));
    let rights: Vec<Right> = asked.iter().map(|(_, right)| right.clone()).collect();
    let answers = context.kubernetes.may(&rights).await.unwrap_or_else(|_| vec![None; rights.len()]);
    let permission = |((purpose, right), allowed): ((Purpose, Right), Option<bool>)| Permission {
        purpose,
        right: right.sentence(),
        allowed,
    };
    asked.into_iter().zip(answers).map(permission).collect()
}
