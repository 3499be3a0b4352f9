//! `upgrade apply`: checks, plan, prompt, a fresh refresh, one server-side apply; then it returns, or follows
//! the upgrade to its verdict. An undo uses the same steps.

use super::change::{StartedUpgrade, UpgradeChange, carry_out};
use super::prepare::UpgradeInput;
use super::watch::{ended, following, guard};
use crate::cli::intent::upgrade::UpgradeApply;
use crate::cli::intent::{Follow, Then, WriteOptions};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::follow_output::FollowOutput;
use crate::commands::{ChangeResult, CommandContext};
use crate::error::{Exit, Problem};
use crate::model::Verdict;
use crate::plan::tracker::OperationTracker;
use crate::plan::upgrade::change::ManifestEdit;
use crate::ports::RefreshScope;

/// `upgrade apply`.
pub(crate) async fn run(context: &CommandContext, intent: &UpgradeApply) -> Result<ChangeResult, Problem> {
    let request = UpgradeInput {
        ask: &intent.ask,
        force: intent.force,
        skip: &intent.skip,
        manager: &intent.write.field_manager,
        reason: intent.write.reason.as_deref(),
        back: None,
    };
    let cluster = cluster_view::load_one(context, intent.instance.as_ref(), RefreshScope::ALL).await?;
    let change = carry_out(context, cluster, request, &intent.limits, &intent.write, &intent.then);
    let change = Box::pin(change).await?;
    followed(context, change, &intent.then, &intent.write, false).await
}

/// Follows what was started to its verdict, where the command line asks for that.
pub(super) async fn followed(
    context: &CommandContext,
    change: UpgradeChange,
    then: &Then,
    write: &WriteOptions,
    is_undo: bool,
) -> Result<ChangeResult, Problem> {
    let UpgradeChange { mut result, started } = change;
    let (Some(started), Then::Follow(follow)) = (started, then) else { return Ok(result) };
    let StartedUpgrade { cluster, operations, edit, guarded } = started;
    let guarded = guarded.then_some(write.field_manager.as_str());
    let verdict = Box::pin(stay(context, cluster, operations, follow, guarded, &edit)).await?;
    result.exit = match verdict {
        // The requested undo succeeded.
        Verdict::Reverted if is_undo => Exit::Reached,
        other => other.exit(),
    };
    Ok(result)
}

/// Follows it to its verdict; `guarded` is the field manager of the guard.
async fn stay(
    context: &CommandContext,
    cluster: ClusterView,
    operations: OperationTracker,
    follow: &Follow,
    guarded: Option<&str>,
    edit: &ManifestEdit,
) -> Result<Verdict, Problem> {
    let guard = match guarded.filter(|_| !follow.read_only) {
        Some(manager) => Some(guard(context, &cluster, manager).await),
        None => None,
    };
    let output = FollowOutput::of(context, follow, false);
    let following = following(context, cluster, operations, output, follow, guard);
    Ok(ended(context, following, Some(edit)).await?.unwrap_or(Verdict::Upgraded))
}
