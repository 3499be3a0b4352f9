//! `upgrade apply`: preflight, plan, prompt, a fresh look, one server-side apply; then leave, or stay to the verdict. The way
//! back goes the same way.

use super::prepare::{Prepared, UpgradeInput, again, prepare};
use super::watch::{ended, following, guard};
use crate::cli::intent::upgrade::UpgradeApply;
use crate::cli::intent::{DryRun, Follow, Then, WriteOptions};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::follow_output::FollowOutput;
use crate::commands::{CommandContext, Outcome, confirmation, limits};
use crate::error::{Exit, Problem};
use crate::model::human::{duration, plural};
use crate::model::limits::Limits;
use crate::model::operation_state::GUARD_KEY;
use crate::model::upgrade::Way;
use crate::model::{ApiVersion, GuardState, NodeName, Verdict};
use crate::plan::finding::Decision;
use crate::plan::limits::LimitForecast;
use crate::plan::playback::{OperationTracker, Tracker};
use crate::plan::results::Applied;
use crate::plan::upgrade::change::edit;
use crate::plan::upgrade::field_owners::leftover_notes;
use crate::plan::upgrade::forecast::UpgradePlan;
use crate::ports::{self, AppliedObject, RefreshScope};

/// `upgrade apply`.
pub(super) async fn run(hands: &CommandContext, intent: &UpgradeApply) -> Outcome {
    let wish = UpgradeInput {
        ask: &intent.ask,
        force: intent.force,
        skip: &intent.skip,
        manager: &intent.write.field_manager,
        reason: intent.write.reason.as_deref(),
        back: None,
    };
    let gathered = cluster_view::one(hands, intent.instance.as_ref(), RefreshScope::ALL).await?;
    carry_out(hands, gathered, wish, &intent.limits, &intent.write, &intent.then).await
}

/// Checks, plans, asks, looks again, changes, and stays if that was asked.
pub(super) async fn carry_out(
    hands: &CommandContext,
    mut gathered: ClusterView,
    wish: UpgradeInput<'_>,
    limits: &Limits,
    write: &WriteOptions,
    then: &Then,
) -> Outcome {
    let verb = if wish.back.is_some() { "roll back" } else { "upgrade" };
    let refused = format!("will not {verb} {}", gathered.id);
    let mut prepared = prepare(hands, &gathered, wish).await?;
    prepared.plan.judge(limits::before(hands, limits, expected(&gathered, &prepared)));
    let planned = counts(&prepared);
    prepared.unread.iter().for_each(|notice| hands.printer.notice(notice));
    if let Some(exit) = prepared.decided(hands, write, refused.clone())? {
        return Ok(exit);
    }
    if write.dry_run == DryRun::Client {
        done(hands, then, &gathered, prepared.plan, " (dry run)");
        return Ok(Exit::Reached);
    }
    if write.dry_run == DryRun::None {
        confirmation::confirm(hands, write, &question(&gathered, &prepared, verb)).await?;
        again(hands, &mut gathered).await?;
        prepared = prepare(hands, &gathered, wish).await?;
        prepared.plan.judge(limits::before(hands, limits, expected(&gathered, &prepared)));
        prepared.plan.judge(limits::drift(limits, planned, counts(&prepared)).into_iter().collect());
        if prepared.plan.decision != Decision::Go
            && let Some(exit) = prepared.decided(hands, write, refused)?
        {
            return Ok(exit);
        }
    }
    // Whoever sees the beginning knows what there was.
    let mut operations = OperationTracker::of(&gathered.id);
    operations.observe(&gathered.world, hands.clock.now());
    let edit = edit(gathered.instance()?, &prepared.settled);
    let dry = write.dry_run == DryRun::Server;
    let how = if dry { ports::ServerDryRun::Server } else { ports::ServerDryRun::No };
    let applied = change(hands, &gathered, &prepared, how).await?;
    for warning in &applied.warnings {
        hands.printer.notice(warning);
    }
    done(hands, then, &gathered, prepared.plan, if dry { " (server dry run)" } else { "" });
    if dry {
        return Ok(Exit::Reached);
    }
    cluster_view::relist(
        hands,
        &mut gathered,
        RefreshScope { instances: true, states: true, ..RefreshScope::default() },
    )
    .await?;
    let guarded = prepared.settled.guarded;
    match then {
        Then::Leave(_) => {
            if guarded {
                hands.printer.talk(
                    "the operator is held: nothing is removed until the old pods are empty, which this does:",
                );
            }
            hands.printer.next(&format!("kubectl emqx upgrade watch {}", gathered.id.name));
            Ok(Exit::Reached)
        }
        Then::Follow(follow) => {
            let guarded = guarded.then_some(write.field_manager.as_str());
            let verdict = stay(hands, gathered, operations, follow, guarded, &edit).await?;
            Ok(match verdict {
                // Our own way back led where it should.
                Verdict::Reverted if wish.back.is_some() => Exit::Reached,
                other => other.exit(),
            })
        }
    }
}

/// The clients of the pods that are to be replaced, as far as they are known.
fn counts(prepared: &Prepared) -> Vec<(NodeName, u64)> {
    let steps = prepared.plan.steps.iter();
    steps.filter_map(|step| Some((step.node.clone()?, step.connections?))).collect()
}

/// What the limits are compared with.
fn expected(gathered: &ClusterView, prepared: &Prepared) -> LimitForecast {
    let steps = &prepared.plan.steps;
    let seconds = Some(prepared.plan.total_seconds).filter(|_| !steps.is_empty());
    let emptied = prepared.settled.guarded
        || (prepared.settled.way == Way::BlueGreen
            && gathered.instance().is_ok_and(|instance| instance.api != ApiVersion::V1beta4));
    let nodes = steps.len() as u64;
    let reconnects = if emptied {
        let pace = gathered.instance().ok().map(|instance| prepared.settled.pace(instance));
        pace.and_then(|pace| pace.conn_evict_rate).map(|rate| rate.div_ceil(nodes.max(1)))
    } else {
        // A pod that is restarted disconnects all of its clients at once.
        let most = steps.iter().map(|step| step.connections).max().flatten();
        most.map(|most| most.div_ceil(nodes.saturating_sub(1).max(1)))
    };
    LimitForecast { seconds, reconnects: reconnects.filter(|_| !steps.is_empty()) }
}

/// Stores what is planned, then changes the object. Where the change fails, what was stored before comes back.
async fn change(
    hands: &CommandContext,
    gathered: &ClusterView,
    prepared: &Prepared,
    how: ports::ServerDryRun,
) -> Result<AppliedObject, Problem> {
    let instance = gathered.instance()?;
    let stored = hands.kubernetes.store_state(instance, GUARD_KEY, &prepared.state.text(), how).await;
    match stored {
        // Whoever watches later does not know the start; nothing else depends on it.
        Err(problem) if !prepared.settled.guarded => {
            hands.printer.notice(&format!("{problem}; a later watch does not know how it began"));
        }
        other => other?,
    }
    if let Some(claim) = prepared.claim.as_ref().filter(|_| how == ports::ServerDryRun::No) {
        hands.kubernetes.apply_instance(claim, true, how).await?;
    }
    let applied = match hands.kubernetes.apply_instance(&prepared.change, prepared.force, how).await {
        Ok(applied) => applied,
        Err(problem) => {
            if how == ports::ServerDryRun::No {
                let before =
                    instance.guard.clone().unwrap_or(GuardState { version: 1, ..GuardState::default() });
                // The change's own failure is what counts.
                let _ = hands.kubernetes.store_state(instance, GUARD_KEY, &before.text(), how).await;
            }
            return Err(problem);
        }
    };
    let left = leftover_notes(&applied.object);
    if how == ports::ServerDryRun::No && !left.is_empty() {
        if instance.api == ApiVersion::V1beta4 {
            hands.printer.notice(&format!(
                "{} on {} were left by an earlier version and belong to another manager too: they are part of the pod \
                 template, so take them out of your manifest together with the next upgrade",
                left.join(", "),
                gathered.id
            ));
        } else {
            hands.kubernetes.remove_fields(&applied.object, &left).await?;
        }
    }
    Ok(applied)
}

/// Follows it to its verdict; `guarded` is as whom a guard writes.
async fn stay(
    hands: &CommandContext,
    gathered: ClusterView,
    operations: OperationTracker,
    follow: &Follow,
    guarded: Option<&str>,
    edit: &[String],
) -> Result<Verdict, Problem> {
    let guard = match guarded.filter(|_| !follow.read_only) {
        Some(manager) => Some(guard(hands, &gathered, manager).await),
        None => None,
    };
    let face = FollowOutput::of(hands, follow, false);
    let following = following(hands, gathered, operations, face, follow, guard);
    Ok(ended(hands, following, edit).await?.unwrap_or(Verdict::Upgraded))
}

fn question(gathered: &ClusterView, prepared: &Prepared, verb: &str) -> String {
    let plan = &prepared.plan;
    let cost = match plan.steps.len() as u64 {
        0 => String::new(),
        steps => format!(" ({}, about {})", plural(steps, "old pod"), duration(plan.total_seconds)),
    };
    let mut verb = verb.to_owned();
    verb[..1].make_ascii_uppercase();
    format!("{verb} {} to {}{cost}{}?", gathered.id, plan.to, prepared.takes_over())
}

/// Says on stdout what was changed.
fn done(hands: &CommandContext, then: &Then, gathered: &ClusterView, plan: UpgradePlan, note: &str) {
    let name = crate::output::text::resource(&gathered.id);
    let applied = Applied { name, instance: gathered.id.clone(), backend: None, plan };
    confirmation::done(hands, then, &applied, note);
}
