//! The change of an image: the checks, the plan, the prompt, and the change of the object.

use super::prepare::{Prepared, UpgradeInput, again, prepare};
use crate::cli::intent::{DryRun, Then, WriteOptions};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::{ChangeResult, CommandContext, confirmation, limits};
use crate::error::{Exit, Problem};
use crate::model::human::{duration, plural};
use crate::model::limits::Limits;
use crate::model::operation_state::GUARD_KEY;
use crate::model::upgrade::Way;
use crate::model::{ApiVersion, GuardState, NodeName};
use crate::plan::finding::Decision;
use crate::plan::limits::LimitForecast;
use crate::plan::results::Applied;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::plan::upgrade::change::{ManifestEdit, edit};
use crate::plan::upgrade::field_owners::leftover_notes;
use crate::plan::upgrade::forecast::UpgradePlan;
use crate::ports::{self, AppliedObject, RefreshScope};

/// The result of a requested upgrade or rollback.
pub(crate) struct UpgradeChange {
    pub(crate) result: ChangeResult,
    /// The upgrade that runs now.
    pub(super) started: Option<StartedUpgrade>,
}

/// An upgrade that was begun by this process.
pub(super) struct StartedUpgrade {
    pub(super) cluster: ClusterView,
    /// The trackers have observed the cluster before the change, and so have the counts at the start.
    pub(super) operations: OperationTracker,
    pub(super) edit: ManifestEdit,
    pub(super) guarded: bool,
}

impl UpgradeChange {
    fn ended(result: ChangeResult) -> Self {
        Self { result, started: None }
    }
}

/// Checks, plans, asks for confirmation, refreshes and changes.
pub(super) async fn carry_out(
    context: &CommandContext,
    mut cluster: ClusterView,
    request: UpgradeInput<'_>,
    limits: &Limits,
    write: &WriteOptions,
    then: &Then,
) -> Result<UpgradeChange, Problem> {
    let verb = if request.back.is_some() { "roll back" } else { "upgrade" };
    let refused = format!("will not {verb} {}", cluster.id);
    let mut prepared = prepare(context, &cluster, request).await?;
    prepared.plan.judge(limits::before(context, limits, expected(&cluster, &prepared)));
    let planned = counts(&prepared);
    prepared.unread.iter().for_each(|notice| context.notice(notice));
    if let Some(exit) = prepared.decided(context, write, refused.clone())? {
        return Ok(UpgradeChange::ended(ChangeResult::unchanged(exit, prepared.plan.message)));
    }
    let name = vec![crate::output::text::resource(&cluster.id)];
    if write.dry_run == DryRun::Client {
        done(context, then, &cluster, prepared.plan, " (dry run)");
        return Ok(UpgradeChange::ended(ChangeResult::created(Exit::Reached, name)));
    }
    if write.dry_run == DryRun::None {
        confirmation::confirm(context, write, &question(&cluster, &prepared, verb)).await?;
        again(context, &mut cluster).await?;
        prepared = prepare(context, &cluster, request).await?;
        prepared.plan.judge(limits::before(context, limits, expected(&cluster, &prepared)));
        prepared.plan.judge(limits::drift(limits, planned, counts(&prepared)).into_iter().collect());
        if prepared.plan.decision != Decision::Go
            && let Some(exit) = prepared.decided(context, write, refused)?
        {
            return Ok(UpgradeChange::ended(ChangeResult::unchanged(exit, prepared.plan.message)));
        }
    }
    // A tracker that observes from the beginning has the counts at the start.
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, context.clock.now());
    let lines = edit(cluster.instance()?, &prepared.target);
    let edit = ManifestEdit { to: prepared.target.to.clone(), lines };
    let dry = write.dry_run == DryRun::Server;
    let how = if dry { ports::ServerDryRun::Server } else { ports::ServerDryRun::No };
    let applied = change(context, &cluster, &prepared, how).await?;
    for warning in &applied.warnings {
        context.notice(warning);
    }
    done(context, then, &cluster, prepared.plan, if dry { " (server dry run)" } else { "" });
    if dry {
        return Ok(UpgradeChange::ended(ChangeResult::created(Exit::Reached, name)));
    }
    cluster_view::relist(
        context,
        &mut cluster,
        RefreshScope { instances: true, states: true, ..RefreshScope::default() },
    )
    .await?;
    let guarded = prepared.target.guarded;
    if let Then::Leave(_) = then {
        if guarded {
            context.printer.talk(
                "the operator is held: nothing is removed until the old pods are empty, which this does:",
            );
        }
        context.printer.next(&format!("kubectl emqx upgrade watch {}", cluster.id.name));
    }
    let started = StartedUpgrade { cluster, operations, edit, guarded };
    Ok(UpgradeChange { result: ChangeResult::created(Exit::Reached, name), started: Some(started) })
}

/// The clients of the pods that are to be replaced, as far as they are known.
fn counts(prepared: &Prepared) -> Vec<(NodeName, u64)> {
    let steps = prepared.plan.steps.iter();
    steps.filter_map(|step| Some((step.node.clone()?, step.connections?))).collect()
}

/// The forecast that the limits are compared with.
fn expected(cluster: &ClusterView, prepared: &Prepared) -> LimitForecast {
    let steps = &prepared.plan.steps;
    let seconds = Some(prepared.plan.total_seconds).filter(|_| !steps.is_empty());
    let emptied = prepared.target.guarded
        || (prepared.target.way == Way::BlueGreen
            && cluster.instance().is_ok_and(|instance| instance.api != ApiVersion::V1beta4));
    let nodes = steps.len() as u64;
    let reconnects = if emptied {
        let timing = cluster.instance().ok().map(|instance| prepared.target.timing(instance));
        timing.and_then(|timing| timing.conn_evict_rate).map(|rate| rate.div_ceil(nodes.max(1)))
    } else {
        // A pod that is restarted disconnects all of its clients at once.
        let most = steps.iter().map(|step| step.connections).max().flatten();
        most.map(|most| most.div_ceil(nodes.saturating_sub(1).max(1)))
    };
    LimitForecast { seconds, reconnects: reconnects.filter(|_| !steps.is_empty()) }
}

/// Stores the plan, then changes the object. Where the change fails, the previous state is stored again.
async fn change(
    context: &CommandContext,
    cluster: &ClusterView,
    prepared: &Prepared,
    how: ports::ServerDryRun,
) -> Result<AppliedObject, Problem> {
    let instance = cluster.instance()?;
    let stored = context.kubernetes.store_state(instance, GUARD_KEY, &prepared.state.text(), how).await;
    match stored {
        // Without the record a later follower does not know the counts at the start; nothing else depends on
        // it.
        Err(problem) if !prepared.target.guarded => {
            context.notice(&format!("{problem}; a later watch does not know how it began"));
        }
        other => other?,
    }
    if let Some(claim) = prepared.claim.as_ref().filter(|_| how == ports::ServerDryRun::No) {
        context.kubernetes.apply_instance(claim, true, how).await?;
    }
    let applied = match context.kubernetes.apply_instance(&prepared.change, prepared.force, how).await {
        Ok(applied) => applied,
        Err(problem) => {
            if how == ports::ServerDryRun::No {
                let before =
                    instance.guard.clone().unwrap_or(GuardState { version: 1, ..GuardState::default() });
                // The error of the change is reported, not this one.
                let _ = context.kubernetes.store_state(instance, GUARD_KEY, &before.text(), how).await;
            }
            return Err(problem);
        }
    };
    let left = leftover_notes(&applied.object);
    if how == ports::ServerDryRun::No && !left.is_empty() {
        if instance.api == ApiVersion::V1beta4 {
            context.notice(&format!(
                "{} on {} were left by an earlier version and belong to another manager too: they are part of the pod \
                 template, so take them out of your manifest together with the next upgrade",
                left.join(", "),
                cluster.id
            ));
        } else {
            context.kubernetes.remove_fields(&applied.object, &left).await?;
        }
    }
    Ok(applied)
}

fn question(cluster: &ClusterView, prepared: &Prepared, verb: &str) -> String {
    let plan = &prepared.plan;
    let cost = match plan.steps.len() as u64 {
        0 => String::new(),
        steps => format!(" ({}, about {})", plural(steps, "old pod"), duration(plan.total_seconds)),
    };
    let mut verb = verb.to_owned();
    verb[..1].make_ascii_uppercase();
    format!("{verb} {} to {}{cost}{}?", cluster.id, plan.to, prepared.takes_over())
}

/// Prints what was changed to stdout.
fn done(context: &CommandContext, then: &Then, cluster: &ClusterView, plan: UpgradePlan, note: &str) {
    let name = crate::output::text::resource(&cluster.id);
    let applied = Applied { name, instance: cluster.id.clone(), backend: None, plan };
    confirmation::done(context, then, &applied, note);
}
