//! Executes the steps of [`crate::plan::upgrade::guard::next`], one per refresh, until none remains. It has no state that
//! a restart would lose: another process can continue at the same step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::commands::CommandContext;
use crate::commands::cluster_view::ClusterView;
use crate::commands::follow_output::FollowOutput;
use crate::error::{Cause, Problem};
use crate::model::GuardState;
use crate::model::human::{duration, seconds_between};
use crate::model::operation_state::GUARD_KEY;
use crate::plan::upgrade::change::{OperatorHold, body, state};
use crate::plan::upgrade::check::FieldOwner;
use crate::plan::upgrade::field_owners::{left_behind, owners};
use crate::plan::upgrade::guard::{GuardAction, GuardPermissions, deserted, next};
use crate::plan::upgrade::target::UpgradeTarget;
use crate::ports::{EvacuationOrder, ServerDryRun};
use crate::timing::{ANNOUNCE_SECONDS, GUARD_STEP_PAUSE, PROOF_SECONDS, STEP_TIMEOUT};

/// The guard of one upgrade.
#[derive(Debug)]
pub struct Guard {
    means: GuardPermissions,
    manager: String,
    done: BTreeMap<String, Instant>,
    failing: Option<Instant>,
    /// The reason for the wait, since when, and when it was last printed.
    waiting: Option<(String, Timestamp, Timestamp)>,
    needs: Option<String>,
}

impl Guard {
    /// A guard that writes as `manager`; `gates`: whether it may write readiness gates.
    pub(crate) fn new(manager: &str, gates: bool) -> Self {
        Self {
            means: GuardPermissions { gates, fresh_seconds: PROOF_SECONDS },
            manager: manager.to_owned(),
            done: BTreeMap::new(),
            failing: None,
            waiting: None,
            needs: None,
        }
    }

    /// Executes the next step; `true` when none remains.
    pub(crate) async fn turn(
        &mut self,
        context: &CommandContext,
        cluster: &ClusterView,
        output: &mut FollowOutput,
    ) -> Result<bool, Problem> {
        let now = context.clock.now();
        self.means.fresh_seconds = (PROOF_SECONDS as f64 * context.clock.speed().max(1.0)) as u64;
        let acts = next(&cluster.world, &cluster.id, self.means, now);
        for act in acts {
            match act {
                GuardAction::Done => return Ok(true),
                GuardAction::Wait(why) => self.wait(context, output, why, now),
                GuardAction::Needs(what) => {
                    // Another client took over: the rest is the user's decision.
                    let left = cluster.instance().is_ok_and(deserted);
                    if self.needs.as_ref() != Some(&what) {
                        output.notice(context, &what);
                        self.needs = Some(what);
                    }
                    if left {
                        return Ok(true);
                    }
                }
                act => {
                    let key = format!("{act:?}");
                    if self.done.get(&key).is_some_and(|at| at.elapsed() < GUARD_STEP_PAUSE) {
                        continue;
                    }
                    self.done.insert(key, Instant::now());
                    match self.act(context, cluster, &act).await {
                        // The tracker observes the effect.
                        Ok(()) => (self.failing, self.waiting) = (None, None),
                        Err(problem) => self.failed(context, output, &act, problem)?,
                    }
                }
            }
        }
        Ok(false)
    }

    fn wait(&mut self, context: &CommandContext, output: &mut FollowOutput, why: String, now: Timestamp) {
        match &mut self.waiting {
            Some((reason, since, announced)) if *reason == why => {
                if seconds_between(*announced, now) >= ANNOUNCE_SECONDS {
                    *announced = now;
                    output.notice(
                        context,
                        &format!("waiting for {}: {why}", duration(seconds_between(*since, now))),
                    );
                }
            }
            _ => self.waiting = Some((why, now, now)),
        }
    }

    /// A failed action is repeated for a while, unless a permission is missing.
    fn failed(
        &mut self,
        context: &CommandContext,
        output: &mut FollowOutput,
        act: &GuardAction,
        problem: Problem,
    ) -> Result<(), Problem> {
        if let (GuardAction::RemoveSet(set), Cause::Forbidden) = (act, problem.cause) {
            let text = format!(
                "{problem}; the set that was given up is empty: kubectl scale statefulset {set} --replicas=0 removes it"
            );
            if self.needs.as_ref() != Some(&text) {
                output.notice(context, &text);
                self.needs = Some(text);
            }
            return Ok(());
        }
        if let (GuardAction::SetGate { .. }, Cause::Forbidden) = (act, problem.cause) {
            self.means.gates = false;
            output.notice(
                context,
                &format!("{problem}; old pods stay in the Service while they are emptied, and refuse some reconnects"),
            );
            return Ok(());
        }
        let since = *self.failing.get_or_insert_with(Instant::now);
        if matches!(problem.cause, Cause::Forbidden | Cause::Refused) || since.elapsed() > STEP_TIMEOUT {
            return Err(problem);
        }
        output.notice(context, &format!("{problem}; it is tried again"));
        Ok(())
    }

    async fn act(
        &self,
        context: &CommandContext,
        cluster: &ClusterView,
        act: &GuardAction,
    ) -> Result<(), Problem> {
        match act {
            GuardAction::SetGate { pod, serving } => {
                context.kubernetes.set_gate(&cluster.id.namespace, pod, *serving).await.map(|_| ())
            }
            GuardAction::StartEvacuation {
                node,
                conn_evict_rate,
                sess_evict_rate,
                wait_takeover,
                migrate_to,
            } => {
                let order = EvacuationOrder {
                    conn_evict_rate: *conn_evict_rate,
                    sess_evict_rate: *sess_evict_rate,
                    // EMQX 4 refuses 0; without the field it waits for its default of one minute.
                    wait_takeover: Some(*wait_takeover).filter(|seconds| *seconds > 0),
                    wait_health_check: None,
                    migrate_to: migrate_to.clone(),
                    redirect_to: None,
                };
                cluster.broker.evacuate(node, &order).await.map(|_| ())
            }
            GuardAction::StopEvacuation { node } => cluster.broker.stop_evacuation(node).await.map(|_| ()),
            GuardAction::RemoveSet(set) => {
                context.kubernetes.scale_set(&cluster.id.namespace, set, 0).await.map(|_| ())
            }
            GuardAction::Forget => {
                // The reason of the upgrade stays recorded, as after an upgrade that ends by itself.
                let reason = cluster.instance()?.guard.as_ref().and_then(|guard| guard.reason.clone());
                self.store(context, cluster, &GuardState { version: 1, reason, ..GuardState::default() })
                    .await
            }
            GuardAction::ReleaseDelay(_) => self.apply(context, cluster, OperatorHold::Released).await,
            GuardAction::RestoreDelay(_) => self.apply(context, cluster, OperatorHold::Own).await,
            GuardAction::Wait(_) | GuardAction::Needs(_) | GuardAction::Done => Ok(()),
        }
    }

    async fn store(
        &self,
        context: &CommandContext,
        cluster: &ClusterView,
        state: &GuardState,
    ) -> Result<(), Problem> {
        let instance = cluster.instance()?;
        context.kubernetes.store_state(instance, GUARD_KEY, &state.text(), ServerDryRun::No).await
    }

    /// Changes the delay: an apply by the same manager, with all fields that it owns.
    async fn apply(
        &self,
        context: &CommandContext,
        cluster: &ClusterView,
        hold: OperatorHold,
    ) -> Result<(), Problem> {
        let instance = cluster.instance()?;
        let Some(target) = UpgradeTarget::resumed(instance) else { return Ok(()) };
        let change = body(instance, &target, hold);
        let object = context.kubernetes.object(&cluster.id).await?.unwrap_or_default();
        // Fields that a user wrote with kubectl (a generated patch) may be changed; those of a tool may not.
        let owners = owners(&object, &change, &self.manager);
        let force = !owners.is_empty() && owners.iter().all(FieldOwner::is_person);
        let applied = context.kubernetes.apply_instance(&change, force, ServerDryRun::No).await?;
        if hold == OperatorHold::Own {
            let reason = instance.guard.as_ref().and_then(|guard| guard.reason.clone());
            self.store(context, cluster, &state(instance, &target, hold, None, reason)).await?;
        }
        let left = left_behind(&applied.object, &change);
        if hold == OperatorHold::Own && !left.is_empty() {
            context.kubernetes.remove_fields(&applied.object, &left).await?;
        }
        Ok(())
    }
}
