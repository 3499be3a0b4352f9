//! `watch` without a full screen: a line for every step of the operations in one cluster, until the user
//! interrupts or the time limit is reached.

use jiff::Timestamp;
use tokio::time::Instant;

use super::cluster_view::{self, ClusterView};
use super::fact_loop::{FactLoop, WaitEnd};
use super::follow_output::FollowOutput;
use super::{CommandContext, Outcome, history};
use crate::cli::intent::{Follow, Selection, Stream};
use crate::error::{Exit, Problem};
use crate::model::Operation;
use crate::plan::history::followed;
use crate::plan::status::status;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::ports::RefreshScope;
use crate::timing::{IDLE_POLL, POLL};

/// Prints the running operations.
pub async fn run(context: &CommandContext, selection: &Selection, follow: &Follow) -> Outcome {
    let mut cluster = match selection {
        Selection::Named(name) => cluster_view::load_one(context, Some(name), RefreshScope::ALL).await?,
        Selection::Only => cluster_view::load_one(context, None, RefreshScope::ALL).await?,
        Selection::Many(filter) => alone(cluster_view::load_many(context, filter, RefreshScope::ALL).await?)?,
    };
    let mut operations = OperationTracker::of(&cluster.id);
    let mut output = FollowOutput::lines(follow.stream);
    let now = context.clock.now();
    if follow.stream == Stream::Text {
        let is = status(&cluster.world, &cluster.id, now);
        context.printer.talk(&format!("watching {}: {}, {}", cluster.id, is.verdict.words(), is.message));
    }
    let limit = follow.timeout.map(|limit| Instant::now() + limit);
    let every = |cluster: &ClusterView, operations: &OperationTracker| {
        if operations.is_busy(&cluster.world, &cluster.id) { POLL } else { IDLE_POLL }
    };
    let first = every(&cluster, &operations);
    let mut facts = FactLoop::new(context, &cluster, RefreshScope::ALL, first, limit);
    let since = context.clock.now();
    let mut recorded = Vec::new();
    loop {
        for event in operations.observe(&cluster.world, context.clock.now()) {
            output.event(context, &event);
        }
        record(context, &cluster, &operations, since, &mut recorded).await;
        if context.printer.closed() {
            return Ok(Exit::Reached);
        }
        facts.ask_every(&cluster, every(&cluster, &operations));
        match facts.next(context, &mut cluster).await {
            Ok(notices) => notices.iter().for_each(|notice| context.notice(notice)),
            Err(WaitEnd::Interrupted) => {
                return Err(left(&cluster, &operations, "interrupted").interrupted());
            }
            Err(WaitEnd::TimedOut) => {
                return match going(&operations) {
                    Some(_) => Err(left(&cluster, &operations, "time ran out").exit(Exit::TimedOut)),
                    None => Ok(Exit::Reached),
                };
            }
        }
    }
}

/// Records operations that ended while they were watched, each once, as soon as they end: the process may be killed later.
async fn record(
    context: &CommandContext,
    cluster: &ClusterView,
    operations: &OperationTracker,
    since: Timestamp,
    recorded: &mut Vec<(Operation, String, Timestamp)>,
) {
    for ended in followed(operations, &cluster.id, since, context.clock.now()) {
        let key = (ended.entry.operation, ended.entry.name.clone(), ended.entry.ended);
        if !recorded.contains(&key) {
            recorded.push(key);
            Box::pin(history::followed(context, vec![ended])).await;
        }
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

/// The name of the running operation.
fn going(operations: &OperationTracker) -> Option<&str> {
    let rebalance = operations.rebalances.running().map(|run| run.name.as_str());
    rebalance.or_else(|| Some(operations.upgrades.running()?.name.as_str()))
}

/// What is still running when the command ends.
fn left(cluster: &ClusterView, operations: &OperationTracker, what: &str) -> Problem {
    match going(operations) {
        Some(name) => super::follow::left(cluster, name, what),
        None => Problem::new(what, "no followed operation is running"),
    }
}
