//! `upgrade watch`: follows an upgrade to its verdict; a guarded upgrade continues at the same step.

use super::guard::Guard;
use crate::cli::intent::upgrade::UpgradeWatch;
use crate::cli::intent::{Follow, InstanceName};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::follow::FollowRequest;
use crate::commands::follow_output::FollowOutput;
use crate::commands::{CommandContext, Outcome};
use crate::error::{Exit, Problem};
use crate::model::{OperationRef, Source, Verdict};
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::plan::upgrade::change::ManifestEdit;
use crate::plan::upgrade::target::UpgradeTarget;
use crate::ports::{RefreshScope, Right};

/// The running upgrade.
pub struct UpgradeWatchTarget {
    pub cluster: ClusterView,
    /// Whether the guard has to continue it.
    pub held: bool,
    /// The edit that the user's own manifest needs, where it is stored.
    pub edit: Option<ManifestEdit>,
}

/// Resolves the upgrade; `None` when none is running.
pub(crate) async fn resolve(
    context: &CommandContext,
    name: Option<&InstanceName>,
) -> Result<Option<UpgradeWatchTarget>, Problem> {
    let cluster = cluster_view::load_one(context, name, RefreshScope::ALL).await?;
    let instance = cluster.instance()?;
    let edit = ManifestEdit::stored(instance).filter(|edit| !edit.lines_for(instance).is_empty());
    let held = UpgradeTarget::resumed(instance).is_some();
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, context.clock.now());
    if operations.upgrades.running().is_none() && !held {
        // Without the pods it is unknown whether an upgrade runs: "none" would be a guess.
        let pods = cluster.world.kubernetes.sources.get(&(Source::Pods, "pods"));
        if let Some(why) = pods.and_then(|pods| pods.link.why()) {
            let what = format!("cannot determine whether an upgrade is running in {}", cluster.id);
            return Err(Problem::new(what, why).hint("kubectl auth can-i --list shows your permissions"));
        }
        context.printer.talk(&format!("no upgrade is under way in {}", cluster.id));
        return Ok(None);
    }
    Ok(Some(UpgradeWatchTarget { cluster, held, edit }))
}

/// `upgrade watch`.
pub(super) async fn run(context: &CommandContext, intent: &UpgradeWatch) -> Outcome {
    let Some(UpgradeWatchTarget { cluster, held, edit }) = resolve(context, intent.instance.as_ref()).await?
    else {
        return Ok(Exit::Reached);
    };
    let guarded = if held && !intent.follow.read_only {
        Some(guard(context, &cluster, &intent.field_manager).await)
    } else {
        None
    };
    let operations = OperationTracker::of(&cluster.id);
    let output = FollowOutput::of(context, &intent.follow, true);
    let id = cluster.id.clone();
    let following = following(context, cluster, operations, output, &intent.follow, guarded);
    if let Some(verdict) = ended(context, following, edit.as_ref()).await? {
        return Ok(verdict.exit());
    }
    context.printer.talk(&format!("the upgrade of {id} was over; its own delay is back"));
    Ok(Exit::Reached)
}

/// Continues a guarded upgrade without output: the full screen shows the progress.
pub(crate) async fn keep(
    context: &CommandContext,
    cluster: ClusterView,
    manager: &str,
) -> Result<(), Problem> {
    let guard = guard(context, &cluster, manager).await;
    let operations = OperationTracker::of(&cluster.id);
    let follow = Follow::default();
    let output = FollowOutput::lines(follow.stream);
    following(context, cluster, operations, output, &follow, Some(guard)).ended(context).await.map(|_| ())
}

/// Prints the edit that the user's own manifest needs.
pub(crate) fn print_edit(context: &CommandContext, edit: &[String]) {
    if edit.is_empty() {
        return;
    }
    context.printer.talk("");
    context.printer.talk("the next apply of your own manifest would undo it, unless it contains:");
    for line in edit {
        context.printer.talk(&format!("  {line}"));
    }
}

/// A guard with the permissions of this user.
pub(super) async fn guard(context: &CommandContext, cluster: &ClusterView, manager: &str) -> Guard {
    let rights = context.kubernetes.may(&Right::of_upgrade(&cluster.id)).await.unwrap_or_default();
    Guard::new(manager, rights.get(1).copied().flatten() != Some(false))
}

/// A follow of the gathered upgrade.
pub(super) fn following(
    context: &CommandContext,
    cluster: ClusterView,
    operations: OperationTracker,
    output: FollowOutput,
    follow: &Follow,
    guard: Option<Guard>,
) -> FollowRequest {
    let name = OperationRef::Upgrade(cluster.id.name.clone()).to_string();
    let following = FollowRequest::new(cluster, operations, name, output).limited(context, follow);
    FollowRequest { guard, ..following }
}

/// Follows it to its end, then prints the edit that the user's own manifest needs.
pub(super) async fn ended(
    context: &CommandContext,
    mut following: FollowRequest,
    edit: Option<&ManifestEdit>,
) -> Result<Option<Verdict>, Problem> {
    let verdict = following.ended(context).await?;
    let well = matches!(verdict, None | Some(Verdict::Upgraded | Verdict::ClientsMissing));
    if let (true, Some(edit), Ok(instance)) = (well, edit, following.cluster.instance()) {
        print_edit(context, edit.lines_for(instance));
    }
    Ok(verdict)
}
