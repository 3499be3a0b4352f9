//! `scale --undo`: an unfinished scale goes back to the number before. The evacuations that it started are stopped, and the
//! deletion costs that it wrote are removed.

use tokio::time::Instant;

use super::super::cluster_view::{self, ClusterView};
use super::super::removal::{WANT, lease, release, run};
use super::super::{CommandContext, Outcome, confirmation};
use super::task::Scaling;
use super::{decided, fits, report};
use crate::cli::intent::DryRun;
use crate::cli::intent::scale::Scale as Intent;
use crate::error::{Exit, Problem};
use crate::model::Verdict;
use crate::plan::evacuation::Settings;
use crate::plan::finding::Decision;
use crate::plan::removal::RemovalPlan;
use crate::plan::scale::{Outside, ScalePlan, ScaleRequest, amount, plan, unfinished, wanted};
use crate::plan::snapshot::picture;

/// `scale --undo`.
pub(super) async fn run(hands: &CommandContext, intent: &Intent, mut gathered: ClusterView) -> Outcome {
    let Some(scale) = undone(hands, &gathered)? else {
        hands.printer.talk(&format!("nothing to undo: no scale of {} is unfinished", gathered.id));
        return Ok(if intent.removal.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    };
    let text = format!(
        "{} goes back from {} to {}",
        scale.removal.instance,
        scale.from,
        amount(scale.field, scale.to)
    );
    hands.printer.talk(&text);
    if let Some(exit) = decided(hands, intent, &scale)? {
        return Ok(exit);
    }
    if intent.removal.write.dry_run != DryRun::None {
        super::dry_run(hands, intent, &scale);
        return Ok(Exit::Reached);
    }
    confirmation::confirm(hands, &intent.removal.write, &format!("Undo the scale of {}?", gathered.id))
        .await?;
    lease(hands, &gathered, "put back").await?;
    let outcome = undo(hands, intent, &mut gathered).await;
    release(hands, std::slice::from_ref(&gathered)).await;
    outcome
}

/// The way back as a scale of its own, without pods that are removed.
fn undone(hands: &CommandContext, gathered: &ClusterView) -> Result<Option<ScalePlan>, Problem> {
    let Some(state) = unfinished(&gathered.world, &gathered.id) else { return Ok(None) };
    let instance = gathered.instance()?;
    fits(instance, state.field)?;
    let now = wanted(&gathered.world, instance, state.field);
    // A number that another client wrote meanwhile stays.
    let to = if now == state.to { state.from } else { now };
    let request = ScaleRequest { field: state.field, to, settings: Settings::default(), skip: Vec::new() };
    let picture = picture(&gathered.world, &gathered.id, hands.clock.now());
    let planned = plan(&gathered.world, &picture, &request, &Outside::default())?;
    if to < now {
        // Pods that were added may hold clients by now: they are evacuated as in every scale-down.
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

async fn undo(hands: &CommandContext, intent: &Intent, gathered: &mut ClusterView) -> Outcome {
    let limit = intent.removal.timeout.map(|limit| Instant::now() + limit);
    cluster_view::relist(hands, gathered, WANT).await?;
    cluster_view::refresh(hands, gathered).await?;
    let Some(mut scale) = undone(hands, gathered)? else {
        hands.printer.talk(&format!("nothing to undo: no scale of {} is unfinished", gathered.id));
        return Ok(Exit::Reached);
    };
    if let Some(exit) = decided(hands, intent, &scale)? {
        return Ok(exit);
    }
    let pods = scale.removal.pods.clone();
    let mut task = Scaling::of(hands, intent, gathered, &mut scale);
    let ended = run::follow(hands, &mut task, pods, gathered, &[], limit).await;
    let reached = ended.as_ref().is_ok_and(|verdict| *verdict == Verdict::Reverted);
    report(hands, intent, &scale, reached);
    let verdict = ended?;
    Ok(if reached { Exit::Reached } else { verdict.exit() })
}
