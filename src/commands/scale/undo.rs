//! `scale --undo`: returns an unfinished scale to the previous number. Stops the evacuations that the scale
//! started, and removes the deletion costs that it wrote.

use tokio::time::Instant;

use super::super::cluster_view::{self, ClusterView};
use super::super::removal::{REMOVAL_SCOPE, lease, release, run};
use super::super::{CommandContext, Outcome, confirmation};
use super::outcome::{decided, dry_run, fits, report};
use super::task::Scaling;
use crate::cli::intent::DryRun;
use crate::cli::intent::scale::Scale as Intent;
use crate::error::{Exit, Problem};
use crate::model::Verdict;
use crate::plan::evacuation::Settings;
use crate::plan::finding::Decision;
use crate::plan::removal::RemovalPlan;
use crate::plan::scale::{Outside, ScalePlan, ScaleRequest, plan, wanted};
use crate::plan::snapshot::snapshot;
use crate::plan::stored_removal::{amount, scale_to_finish};

/// `scale --undo`.
pub(super) async fn run(context: &CommandContext, intent: &Intent, mut cluster: ClusterView) -> Outcome {
    let Some(scale) = undone(context, &cluster)? else {
        context.printer.talk(&format!("nothing to undo: no scale of {} is unfinished", cluster.id));
        return Ok(if intent.removal.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    };
    let text = format!(
        "{} goes back from {} to {}",
        scale.removal.instance,
        scale.from,
        amount(scale.field, scale.to)
    );
    context.printer.talk(&text);
    if let Some(exit) = decided(context, intent, &scale)? {
        return Ok(exit);
    }
    if intent.removal.write.dry_run != DryRun::None {
        dry_run(context, intent, &scale);
        return Ok(Exit::Reached);
    }
    confirmation::confirm(context, &intent.removal.write, &format!("Undo the scale of {}?", cluster.id))
        .await?;
    lease(context, &cluster, "put back").await?;
    let outcome = undo(context, intent, &mut cluster).await;
    release(context, std::slice::from_ref(&cluster)).await;
    outcome
}

/// The undo as a scale of its own, without pods that are removed.
fn undone(context: &CommandContext, cluster: &ClusterView) -> Result<Option<ScalePlan>, Problem> {
    let Some(state) = scale_to_finish(&cluster.world, &cluster.id) else { return Ok(None) };
    let instance = cluster.instance()?;
    fits(instance, state.field)?;
    let now = wanted(&cluster.world, instance, state.field);
    // A number that another client wrote in the meantime stays.
    let to = if now == state.to { state.from } else { now };
    let request = ScaleRequest { field: state.field, to, settings: Settings::default(), skip: Vec::new() };
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let planned = plan(&cluster.world, &snapshot, &request, &Outside::default())?;
    if to < now {
        // Pods that were added may have clients by now: they are evacuated as in every scale-down.
        let mut scale = planned;
        scale.removal.decision = Decision::Go;
        scale.removal.findings.retain(|finding| finding.id != "scale-unfinished");
        scale.removal.decide();
        return Ok(Some(scale));
    }
    let removal = RemovalPlan {
        steps: Vec::new(),
        pods: Vec::new(),
        findings: Vec::new(),
        decision: Decision::Go,
        message: String::new(),
        resumed: true,
        ..planned.removal
    };
    Ok(Some(ScalePlan { removal, from: state.to, to, ..planned }))
}

async fn undo(context: &CommandContext, intent: &Intent, cluster: &mut ClusterView) -> Outcome {
    let limit = intent.removal.timeout.map(|limit| Instant::now() + limit);
    cluster_view::relist(context, cluster, REMOVAL_SCOPE).await?;
    cluster_view::refresh(context, cluster).await?;
    let Some(mut scale) = undone(context, cluster)? else {
        context.printer.talk(&format!("nothing to undo: no scale of {} is unfinished", cluster.id));
        return Ok(Exit::Reached);
    };
    if let Some(exit) = decided(context, intent, &scale)? {
        return Ok(exit);
    }
    let pods = scale.removal.pods.clone();
    let mut task = Scaling::of(context, intent, cluster, &mut scale);
    let ended = run::follow(context, &mut task, pods, cluster, &[], limit).await;
    let reached = ended.as_ref().is_ok_and(|verdict| *verdict == Verdict::Reverted);
    report(context, intent, &scale, reached);
    let verdict = ended?;
    Ok(if reached { Exit::Reached } else { verdict.exit() })
}
