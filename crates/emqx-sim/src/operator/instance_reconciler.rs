//! The loop over the instance: the changes that its spec requests, its status from EMQX's nodes, the gates of
//! its pods, and the evacuation of old pods.
//!
//! ```text
//! its timer, or the instance's spec changed ─► observation ─► sets ─► status ─► gates ─► old pods     (2.2 and 2.3, 3.x)
//!                                                          └► status ─► sets ─► old pods ─► status ─► gates   (v1beta4)
//! ```

use std::time::Duration;

use kube::api::PostParams;
use serde_json::Value;

use super::actions::{self, OperatorAction};
use super::blue_green::{self, Step};
use super::events::Events;
use super::observation::Observation;
use super::sets::{self, SetChange};
use super::shared::{MANAGER, Shared, to_object};
use super::{gates, rolling};
use crate::clock::{Woken, Worker};
use crate::instance::{self, RoleView, View};
use crate::scenario::{Api, Role};

/// The real loops: while ready, while not, and v1beta4's only one.
const READY: Duration = Duration::from_secs(30);
const UNREADY: Duration = Duration::from_millis(1280);
const V1BETA4: Duration = Duration::from_millis(20_170);
/// 2.2 watches the sets it owns: a pod that ends causes the next pass at once.
const OWNED_SET: Duration = Duration::from_millis(120);
/// Time from a change of the instance to the pass that it causes: 0.03 s on v1beta4, else 0.15 s.
const NOTICED: Duration = Duration::from_millis(150);
const NOTICED_V1BETA4: Duration = Duration::from_millis(30);
/// v1beta4 writes its status again after it has scaled: 0.1 to 0.15 s later, when some pods are deleted and
/// others not yet.
const AFTER_SCALE: Duration = Duration::from_millis(150);

pub(super) async fn run(shared: &Shared, worker: Worker) {
    let mut reconciler = InstanceReconciler { shared, worker, events: Events::default(), removed: None };
    let mut next = shared.clock.elapsed();
    loop {
        let raised = reconciler.worker.wait(Some(next)).await == Woken::Raised;
        if raised {
            next = shared.take_phase().unwrap_or(next);
            if !shared.take_news() {
                continue;
            }
            let lag = if shared.api == Api::V1beta4 { NOTICED_V1BETA4 } else { NOTICED };
            reconciler.worker.sleep_until(shared.clock.elapsed() + lag).await;
        }
        let pause = if shared.alive() {
            reconciler.pass().await.unwrap_or_else(|error| {
                tracing::debug!(error, "a pass of the simulated operator");
                UNREADY
            })
        } else {
            UNREADY
        };
        let then = shared.clock.elapsed() + pause;
        // A timer that was set before still fires.
        next = if raised { next.min(then) } else { then };
    }
}

struct InstanceReconciler<'s> {
    shared: &'s Shared,
    worker: Worker,
    events: Events,
    /// When the last old pod was removed.
    removed: Option<Duration>,
}

type Pause = Result<Duration, String>;

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl InstanceReconciler<'_> {
    /// One pass; returns the time until the next one.
    async fn pass(&mut self) -> Pause {
        let shared = self.shared;
        let Some(observation) = Observation::take(shared).await.map_err(text_of)? else { return Ok(READY) };
        if shared.emqx.answer().is_some() {
            // EMQX does not answer: nothing is written, every status keeps its age.
            return Ok(if shared.api == Api::V1beta4 { V1BETA4 } else { UNREADY });
        }
        match shared.api {
            Api::V1beta4 => self.v1beta4(observation).await,
            Api::V2beta1 | Api::V2 => self.sets(observation).await,
            Api::V3beta1 => self.rolling(observation).await,
        }
    }

    fn view(&self, observation: &Observation, cores: RoleView, replicants: Option<RoleView>) -> View {
        View {
            api: self.shared.api,
            generation: observation.object["metadata"]["generation"].as_u64().unwrap_or(1),
            nodes: observation.nodes.clone(),
            cores,
            replicants,
            evacuations: observation.evacuations.clone(),
            in_cluster: 1,
            blue_green: None,
            renewed: None,
            now: self.shared.clock.now(),
        }
    }

    async fn act(&mut self, observation: &Observation, actions: Vec<OperatorAction>) -> Result<(), String> {
        actions::act(self.shared, &mut self.events, &observation.object, actions).await
    }

    /// Writes a status that differs from the present one.
    async fn write(&self, observation: &mut Observation, after: Value) -> Result<(), String> {
        let before = &observation.object["status"];
        if !differs(self.shared.api, before, &after) {
            return Ok(());
        }
        observation.object["status"] = after;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let object = to_object(observation.object.clone()).map_err(text_of)?;
        let written = self.shared.instances().replace_status(&self.shared.instance, &params, &object).await;
        let version = written.map_err(text_of)?.metadata.resource_version;
        observation.object["metadata"]["resourceVersion"] = serde_json::json!(version);
        Ok(())
    }

    async fn sets(&mut self, mut observation: Observation) -> Pause {
        let shared = self.shared;
        for role in [Role::Core, Role::Replicant] {
            if let Some(change) = sets::change(&observation, shared.api, role) {
                return self.change(observation, change).await;
            }
        }
        let Some(cores) = sets::role(&observation, Role::Core) else { return Ok(UNREADY) };
        let replicants = sets::role(&observation, Role::Replicant);
        let before = observation.object["status"].clone();
        let key = "/coreNodesStatus/currentRevision";
        let known = before.pointer(key).and_then(Value::as_str);
        if shared.api == Api::V2beta1 && known.is_some_and(|known| known != cores.current.revision) {
            // The revision is written first, while an old node is still listed.
            let mut after = before.clone();
            after["coreNodesStatus"]["currentRevision"] = serde_json::json!(cores.current.revision);
            self.write(&mut observation, after).await?;
            return Ok(OWNED_SET);
        }
        let view = self.view(&observation, cores.clone(), replicants.clone());
        let after = instance::status(&view, &before);
        self.write(&mut observation, after.clone()).await?;
        let mut roles = vec![(Role::Core, &cores)];
        roles.extend(replicants.as_ref().map(|role| (Role::Replicant, role)));
        let moved = gates::keep(shared, &observation, &after, &roles).await.map_err(text_of)?;
        let now = shared.clock.elapsed();
        let removed = self.removed.map(|at| now.saturating_sub(at));
        let actions = sets::drain(&observation, shared.api, &after, shared.clock.now(), removed);
        let actions = match actions {
            Ok(actions) => actions,
            // Only the operator's log reports it.
            Err(why) => {
                tracing::debug!(why, "the simulated operator cannot continue");
                return Ok(UNREADY);
            }
        };
        if actions.iter().any(|action| matches!(action, OperatorAction::Scale { .. })) {
            self.removed = Some(now);
        }
        if let Err(why) = self.act(&observation, actions).await {
            let message = format!("reconcile failed at step syncSets, reason: {why}");
            self.act(&observation, vec![OperatorAction::Emit { reason: "ReconcilerFailed", message }])
                .await?;
            return Err(why);
        }
        // The last stages follow each other at once.
        let stage = |status: &Value| status["conditions"][0]["type"].as_str().unwrap_or_default().to_owned();
        let hurries = shared.api == Api::V2beta1
            && stage(&before) != stage(&after)
            && ["CoreNodesReady", "ReplicantNodesReady"].contains(&stage(&after).as_str());
        Ok(match shared.api {
            Api::V2beta1 if moved || hurries => OWNED_SET,
            _ if instance::is_ready(shared.api, &after) => READY,
            _ => UNREADY,
        })
    }

    /// A set was created or taken back: the stages begin again, and the next pass comes at once.
    async fn change(&mut self, mut observation: Observation, change: SetChange) -> Pause {
        let SetChange { role, actions, revision, collisions, why } = change;
        self.act(&observation, actions).await?;
        let (Some(mut cores), mut replicants) =
            (sets::role(&observation, Role::Core), sets::role(&observation, Role::Replicant))
        else {
            return Ok(OWNED_SET);
        };
        let changed = if role == Role::Core { Some(&mut cores) } else { replicants.as_mut() };
        if let Some(changed) = changed
            && changed.update.revision != revision
        {
            changed.update.revision = revision;
            changed.update.ready = 0;
            changed.collisions = collisions;
        }
        let mut view = self.view(&observation, cores, replicants);
        view.renewed = Some(why);
        let after = instance::status(&view, &observation.object["status"]);
        self.write(&mut observation, after).await?;
        Ok(OWNED_SET)
    }

    async fn v1beta4(&mut self, mut observation: Observation) -> Pause {
        self.v1beta4_status(&mut observation).await?;
        if let Some(action) = blue_green::change(&observation) {
            // Nothing else happens in this pass: the instance looks idle until the next one.
            self.act(&observation, vec![action]).await?;
            return Ok(V1BETA4);
        }
        match blue_green::step(&observation, &observation.object["status"], self.shared.clock.now()) {
            Step::Nothing => {}
            Step::Sleep(seconds) => {
                let message = format!("Delay {seconds} seconds");
                self.act(&observation, vec![OperatorAction::Emit { reason: "Evacuate", message }]).await?;
                return Ok(Duration::from_secs(seconds));
            }
            Step::Do(actions) => {
                self.act(&observation, actions).await?;
                self.worker.sleep_until(self.shared.clock.elapsed() + AFTER_SCALE).await;
                let Some(again) = Observation::take(self.shared).await.map_err(text_of)? else {
                    return Ok(V1BETA4);
                };
                observation = again;
                self.v1beta4_status(&mut observation).await?;
            }
        }
        gates::keep(self.shared, &observation, &Value::Null, &[]).await.map_err(text_of)?;
        Ok(V1BETA4)
    }

    async fn v1beta4_status(&self, observation: &mut Observation) -> Result<(), String> {
        let mut view = self.view(observation, blue_green::role(observation), None);
        view.in_cluster = blue_green::in_cluster(observation).len();
        view.blue_green = blue_green::status(observation, view.now);
        let after = instance::status(&view, &observation.object["status"]);
        self.write(observation, after).await
    }

    async fn rolling(&mut self, mut observation: Observation) -> Pause {
        let (cores, replicants) = rolling::roles(&observation);
        let view = self.view(&observation, cores, replicants);
        let after = instance::status(&view, &observation.object["status"]);
        self.write(&mut observation, after.clone()).await?;
        let actions = rolling::step(&observation);
        let idle = actions.is_empty() && instance::is_ready(Api::V3beta1, &after);
        self.act(&observation, actions).await?;
        Ok(if idle { READY } else { UNREADY })
    }
}

/// Nothing is written without a change; v1beta4's `lastUpdateTime` alone is not a change.
fn differs(api: Api, before: &Value, after: &Value) -> bool {
    if api != Api::V1beta4 {
        return before != after;
    }
    let mut after = after.clone();
    let time = &before["conditions"][0]["lastUpdateTime"];
    if !time.is_null() {
        after["conditions"][0]["lastUpdateTime"] = time.clone();
    }
    *before != after
}
