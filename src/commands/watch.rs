//! `rebalance watch`: follows a rebalance to its verdict.

use super::follow::FollowRequest;
use super::follow_output::FollowOutput;
use super::rebalance_target::{RebalanceTarget, driven, nothing, over, resolve};
use super::{CommandContext, Outcome};
use crate::cli::intent::Watch;
use crate::error::Exit;
use crate::plan::tracker::OperationTracker;

/// `rebalance watch`.
pub async fn run(context: &CommandContext, intent: &Watch) -> Outcome {
    let RebalanceTarget { cluster, name } = resolve(context, intent.operation.as_ref()).await?;
    let Some(name) = name.filter(|name| driven(&cluster, name, intent.backend)) else {
        context.printer.talk(&nothing(context, &cluster, intent.backend)?);
        return Ok(Exit::Reached);
    };
    let mut output = FollowOutput::of(context, &intent.follow, true);
    if let Some(judgement) = over(context, &cluster, &name) {
        let exit = judgement.verdict.exit();
        output.finish_past(context, &name, judgement);
        return Ok(exit);
    }
    let mut operations = OperationTracker::of(&cluster.id);
    operations.rebalances = operations.rebalances.wanting(&name);
    let following = FollowRequest::new(cluster, operations, name, output);
    let want = FollowRequest::wants(&intent.follow);
    FollowRequest { want, ..following.limited(context, &intent.follow) }.run(context).await
}
