//! `upgrade watch`: follows an upgrade to its verdict; a guarded upgrade continues at the same step.

use super::guard::Guard;
use crate::cli::intent::upgrade::UpgradeWatch;
use crate::cli::intent::{Follow, InstanceName};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::follow::FollowRequest;
use crate::commands::follow_output::FollowOutput;
use crate::commands::{CommandContext, Outcome};
use crate::error::{Exit, Problem};
use crate::model::{Source, Verdict};
use crate::plan::playback::{OperationTracker, Tracker};
use crate::plan::upgrade::change::UpgradeRecord;
use crate::plan::upgrade::target::UpgradeTarget;
use crate::ports::{RefreshScope, Right};

/// The running upgrade.
pub struct UpgradeWatchTarget {
    /// The cluster.
    pub gathered: ClusterView,
    /// Whether the guard has to continue it.
    pub held: bool,
    /// The edit that the user's own manifest needs, where it was written down.
    pub edit: Vec<String>,
}

/// Resolves the upgrade; `None` when none is running.
pub async fn meant(
    hands: &CommandContext,
    name: Option<&InstanceName>,
) -> Result<Option<UpgradeWatchTarget>, Problem> {
    let gathered = cluster_view::one(hands, name, RefreshScope::ALL).await?;
    let instance = gathered.instance()?;
    let edit = UpgradeRecord::read(instance).map(|record| record.edit).unwrap_or_default();
    let held = UpgradeTarget::resumed(instance).is_some();
    let mut operations = OperationTracker::of(&gathered.id);
    operations.observe(&gathered.world, hands.clock.now());
    if operations.upgrades.running(&gathered.id).is_none() && !held {
        // Without the pods it cannot be determined: "none" would be a guess.
        let pods = gathered.world.hearings.get(&(Source::Pods, "pods"));
        if let Some(why) = pods.and_then(|pods| pods.link.why()) {
            let what = format!("cannot determine whether an upgrade is running in {}", gathered.id);
            return Err(Problem::new(what, why).hint("kubectl auth can-i --list shows your permissions"));
        }
        hands.printer.talk(&format!("no upgrade is under way in {}", gathered.id));
        return Ok(None);
    }
    Ok(Some(UpgradeWatchTarget { gathered, held, edit }))
}

/// `upgrade watch`.
pub(super) async fn run(hands: &CommandContext, intent: &UpgradeWatch) -> Outcome {
    let Some(UpgradeWatchTarget { gathered, held, edit }) = meant(hands, intent.instance.as_ref()).await?
    else {
        return Ok(Exit::Reached);
    };
    let guarded = if held && !intent.follow.read_only {
        Some(guard(hands, &gathered, &intent.field_manager).await)
    } else {
        None
    };
    let operations = OperationTracker::of(&gathered.id);
    let face = FollowOutput::of(hands, &intent.follow, true);
    let id = gathered.id.clone();
    let following = following(hands, gathered, operations, face, &intent.follow, guarded);
    if let Some(verdict) = ended(hands, following, &edit).await? {
        return Ok(verdict.exit());
    }
    hands.printer.talk(&format!("the upgrade of {id} was over; its own delay is back"));
    Ok(Exit::Reached)
}

/// Continues a guarded upgrade without output: the full screen shows the progress.
pub async fn keep(hands: &CommandContext, gathered: ClusterView, manager: &str) -> Result<(), Problem> {
    let guard = guard(hands, &gathered, manager).await;
    let operations = OperationTracker::of(&gathered.id);
    let follow = Follow::default();
    let face = FollowOutput::lines(follow.stream);
    following(hands, gathered, operations, face, &follow, Some(guard)).ended(hands).await.map(|_| ())
}

/// Prints the edit that the user's own manifest needs.
pub fn tell(hands: &CommandContext, edit: &[String]) {
    if edit.is_empty() {
        return;
    }
    hands.printer.talk("");
    hands.printer.talk("the next apply of your own manifest would undo it, unless it contains:");
    for line in edit {
        hands.printer.talk(&format!("  {line}"));
    }
}

/// A guard with the rights that we have.
pub(super) async fn guard(hands: &CommandContext, gathered: &ClusterView, manager: &str) -> Guard {
    let rights = hands.kubernetes.may(&Right::of_upgrade(&gathered.id)).await.unwrap_or_default();
    Guard::new(manager, rights.get(1).copied().flatten() != Some(false))
}

/// A follow of the gathered upgrade.
pub(super) fn following(
    hands: &CommandContext,
    gathered: ClusterView,
    operations: OperationTracker,
    face: FollowOutput,
    follow: &Follow,
    guard: Option<Guard>,
) -> FollowRequest {
    let name = format!("upgrade/{}", gathered.id.name);
    let following = FollowRequest::new(gathered, operations, name, face).limited(hands, follow);
    FollowRequest { guard, ..following }
}

/// Follows it to its end, then prints the edit that the user's own manifest needs.
pub(super) async fn ended(
    hands: &CommandContext,
    mut following: FollowRequest,
    edit: &[String],
) -> Result<Option<Verdict>, Problem> {
    let verdict = following.ended(hands).await?;
    let well = matches!(verdict, None | Some(Verdict::Upgraded | Verdict::ClientsMissing));
    if well {
        tell(hands, edit);
    }
    Ok(verdict)
}
