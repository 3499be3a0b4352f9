//! `watch` without a full screen: a line for every step of the operations in one cluster, until the user interrupts or the
//! time is over.

use std::time::Duration;

use futures::StreamExt;

use super::cluster_view::{self, ClusterView};
use super::follow_output::FollowOutput;
use super::{CommandContext, Interrupt, Outcome};
use crate::cli::intent::{Follow, Selection, Stream};
use crate::error::{Exit, Problem};
use crate::model::{Fact, Phase};
use crate::plan::playback::{OperationTracker, Tracker};
use crate::plan::status::status;
use crate::ports::RefreshScope;

/// How often EMQX is polled while an operation runs, by the server's clock.
const BUSY: Duration = Duration::from_secs(1);

/// The same while nothing does.
const IDLE: Duration = Duration::from_secs(10);

/// Prints what is running.
pub async fn run(context: &CommandContext, selection: &Selection, follow: &Follow) -> Outcome {
    let mut cluster = match selection {
        Selection::Named(name) => cluster_view::one(context, Some(name), RefreshScope::ALL).await?,
        Selection::Only => cluster_view::one(context, None, RefreshScope::ALL).await?,
        Selection::Many(filter) => alone(cluster_view::several(context, filter, RefreshScope::ALL).await?)?,
    };
    let mut operations = OperationTracker::of(&cluster.id);
    let mut output = FollowOutput::lines(follow.stream);
    let now = context.clock.now();
    if follow.stream == Stream::Text {
        let is = status(&cluster.world, &cluster.id, now);
        context.printer.talk(&format!("watching {}: {}, {}", cluster.id, is.verdict.words(), is.message));
    }
    let scope = cluster_view::exact(context, &cluster.id, RefreshScope::ALL);
    let mut objects = context.kubernetes.follow(&scope).fuse();
    let mut every = if busy(&cluster, &operations) { BUSY } else { IDLE };
    let mut emqx = cluster.broker.follow(every).fuse();
    let mut interrupt: Interrupt = (context.interrupt)();
    let limit = follow.timeout;
    let mut out_of_time = std::pin::pin!(async move {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    });
    // Stalls and verdicts come without facts, too.
    let mut beat = tokio::time::interval(BUSY.div_f64(context.clock.speed().clamp(1.0, 10.0)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        for event in operations.observe(&cluster.world, context.clock.now()) {
            output.event(context, &event);
        }
        if context.printer.closed() {
            return Ok(Exit::Reached);
        }
        let wanted = if busy(&cluster, &operations) { BUSY } else { IDLE };
        if wanted != every {
            every = wanted;
            emqx = cluster.broker.follow(every).fuse();
        }
        let first: Option<Fact> = tokio::select! {
            biased;
            () = &mut interrupt => {
                return Err(left(&cluster, &operations, "interrupted").exit(Exit::Interrupted));
            }
            () = &mut out_of_time => {
                return match going(&cluster, &operations) {
                    Some(_) => Err(left(&cluster, &operations, "time ran out").exit(Exit::TimedOut)),
                    None => Ok(Exit::Reached),
                };
            }
            Some(fact) = objects.next() => Some(fact),
            Some(fact) = emqx.next() => Some(fact),
            _ = beat.tick() => None,
        };
        let mut facts: Vec<Fact> = first.into_iter().collect();
        cluster_view::burst(&mut facts, &mut objects);
        cluster_view::take(context, &mut cluster.world, facts);
    }
}

/// The only selected cluster: plain lines show one.
fn alone(mut found: Vec<ClusterView>) -> Result<ClusterView, Problem> {
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Problem::new("there is no EMQX cluster that was selected", "")
            .hint("kubectl emqx status -A lists every one that you may see")),
        (Some(one), others) => Err(Problem::usage(
            format!("{} EMQX clusters were selected", others + 1),
            "without the full screen one is followed",
        )
        .hint(format!("name one of them: kubectl emqx watch -n {} {}", one.id.namespace, one.id.name))),
    }
}

fn busy(cluster: &ClusterView, operations: &OperationTracker) -> bool {
    let world = &cluster.world;
    let moves = world
        .load
        .as_ref()
        .is_some_and(|load| !load.value.rebalances.is_empty() || !load.value.evacuations.is_empty());
    let object = world
        .rebalances_of(&cluster.id)
        .iter()
        .any(|seen| matches!(seen.value.phase, Phase::Pending | Phase::Processing));
    let upgrading = cluster.instance().is_ok_and(crate::model::Instance::upgrading);
    moves || object || upgrading || going(cluster, operations).is_some()
}

/// The name of the running operation.
fn going<'o>(cluster: &ClusterView, operations: &'o OperationTracker) -> Option<&'o str> {
    let rebalance = operations.rebalances.running().map(|run| run.name.as_str());
    rebalance.or_else(|| Some(operations.upgrades.running(&cluster.id)?.name.as_str()))
}

/// What is still running when the command ends.
fn left(cluster: &ClusterView, operations: &OperationTracker, what: &str) -> Problem {
    match going(cluster, operations) {
        Some(name) => super::follow::left(cluster, name, what),
        None => Problem::new(what, "no followed operation is running"),
    }
}
