//! `check`: all checks of one cluster. It only reads.

use super::{CommandContext, Outcome, cluster_view, surroundings};
use crate::cli::intent::Check as Intent;
use crate::error::Exit;
use crate::plan::check::{CheckStatus, Subject, check};
use crate::plan::snapshot::snapshot;
use crate::ports::RefreshScope;

/// All sources, with the events of the operator.
const CHECK_SCOPE: RefreshScope = RefreshScope::ALL;

/// `check`.
pub(crate) async fn run(context: &CommandContext, intent: &Intent) -> Outcome {
    let cluster = cluster_view::load_one(context, intent.instance.as_ref(), CHECK_SCOPE).await?;
    let beside = surroundings::everything(context, &cluster).await;
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
