//! A scale of one instance, as a removal runs it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::CommandContext;
use super::super::cluster_view::{self, ClusterView};
use super::super::removal::REMOVAL_SCOPE;
use super::super::removal::task::{Progress, RemovalSettings, StepInput, Task};
use crate::cli::intent::scale::Scale as Intent;
use crate::error::Problem;
use crate::model::drain::DrainedPod;
use crate::model::scale::{FIRST_COST, SCALE_KEY, ScaleState};
use crate::model::{Fact, Judgement, NodeName, Operation, OperationRef, Update, Verdict, World};
use crate::plan::removal::{RemovalStep, StepState};
use crate::plan::scale::ScalePlan;
use crate::plan::scale::next::{Change, PodProgress, RemovalAction, RemovalRun, next, requested, standings};
use crate::plan::stored_removal::{amount, stored_scale};
use crate::plan::upgrade::field_owners::owners;
use crate::ports::ServerDryRun;

/// A running scale, or its undo.
pub(super) struct Scaling<'a> {
    intent: &'a Intent,
    scale: &'a mut ScalePlan,
    began: Timestamp,
    by: String,
    connections: Option<u64>,
    costs: BTreeMap<String, Option<i64>>,
    /// Nodes whose evacuation an earlier run started.
    ours: Vec<NodeName>,
    /// The stored state, for an undo: it stays unchanged until the undo has ended.
    undone: Option<ScaleState>,
}

impl<'a> Scaling<'a> {
    pub(super) fn of(
        context: &CommandContext,
        intent: &'a Intent,
        cluster: &ClusterView,
        scale: &'a mut ScalePlan,
    ) -> Self {
        let before = stored_scale(&cluster.world, &cluster.id);
        let ours = before.iter().flat_map(|state| &state.pods).filter(|pod| pod.started);
        let ours = ours.filter_map(|pod| pod.node.clone()).collect();
        let resumed = before.filter(|_| scale.removal.resumed);
        Self {
            intent,
            by: context.kubernetes.holder(),
            began: resumed.map_or_else(|| context.clock.now(), |state| state.time),
            connections: resumed.and_then(|state| state.connections),
            costs: before.map(|state| state.costs.clone()).unwrap_or_default(),
            ours,
            undone: before.filter(|_| intent.change.is_none() && scale.removal.pods.is_empty()).cloned(),
            scale,
        }
    }

    fn change(&self) -> Change<'_> {
        Change {
            field: self.scale.field,
            from: self.scale.from,
            to: self.scale.to,
            by_operator: self.scale.by_operator,
            ours: &self.ours,
        }
    }

    fn run<'r>(
        &'r self,
        pods: &'r [DrainedPod],
        sizes: &'r BTreeMap<String, u64>,
        input: StepInput,
    ) -> RemovalRun<'r> {
        RemovalRun {
            task: Self::WHAT,
            id: &self.scale.removal.instance,
            pods,
            sizes,
            together: true,
            parallel: pods.len() as u64,
            fresh_seconds: input.fresh_seconds,
            gates: input.gates,
        }
    }

    /// Changes the number, if all preconditions still hold; `Some` is the reason to wait.
    async fn apply(
        &self,
        context: &CommandContext,
        cluster: &ClusterView,
        pods: &[DrainedPod],
    ) -> Result<Option<String>, Problem> {
        let scope = cluster_view::exact(context, &cluster.id, REMOVAL_SCOPE);
        let served =
            Fact { at: context.clock.now(), update: Update::Served(cluster.world.kubernetes.served.clone()) };
        let mut facts = vec![served];
        facts.extend(context.kubernetes.read(&scope).await?);
        facts.extend(cluster.broker.read().await?);
        let world = World::of(facts);
        let (acts, _) = Task::next(
            self,
            &world,
            pods,
            StepInput { fresh_seconds: u64::MAX, gates: false, now: context.clock.now() },
        );
        if acts != [RemovalAction::Change] {
            let why = acts.into_iter().find_map(|act| match act {
                RemovalAction::Wait(why)
                | RemovalAction::Starting(why)
                | RemovalAction::Missing(why)
                | RemovalAction::Needs(why) => Some(why),
                _ => None,
            });
            return Ok(Some(why.unwrap_or_else(|| "the pods changed meanwhile".to_owned())));
        }
        let instance = world
            .instance(&cluster.id)
            .ok_or_else(|| Problem::new(format!("{} is deleted", cluster.id), "it was deleted meanwhile"))?;
        let body = self.scale.field.body(instance, self.scale.to);
        let object = context.kubernetes.object(&cluster.id).await.ok().flatten().unwrap_or_default();
        let owners = owners(&object, &body, &self.intent.removal.write.field_manager);
        if let Some(tool) = owners.iter().find(|owner| !owner.is_person()) {
            return Err(Problem::refused(
                format!("will not scale {}", cluster.id),
                format!("{} belongs to {}", self.scale.field.path(), tool.manager),
            ));
        }
        // Fields that a user wrote with kubectl are taken over.
        let applied = context.kubernetes.apply_instance(&body, !owners.is_empty(), ServerDryRun::No).await?;
        applied.warnings.iter().for_each(|warning| context.notice(warning));
        Ok(None)
    }
}

impl Task for Scaling<'_> {
    const WHAT: &'static str = "scale";
    const OPERATION: Operation = Operation::Scale;
    const DONE: &'static str = "removed";

    fn name(&self) -> String {
        OperationRef::Scale(self.scale.removal.instance.name.clone()).to_string()
    }

    fn begins(&self) -> String {
        let what = if self.intent.change.is_none() {
            "is undone"
        } else if self.scale.removal.resumed {
            "continues"
        } else {
            "begins"
        };
        format!(
            "the scale of {} from {} to {} {what}",
            self.scale.removal.instance,
            self.scale.from,
            amount(self.scale.field, self.scale.to)
        )
    }

    fn manner(&self) -> RemovalSettings {
        RemovalSettings {
            watch: self.intent.removal.watch,
            stream: self.intent.removal.stream,
            limits: self.intent.removal.limits.clone(),
            notify: self.intent.removal.notify.clone(),
            settings: self.scale.removal.settings.clone(),
            waits_for_load_balancers: self.scale.removal.waits_for_load_balancers,
            gates: self.scale.removal.gates,
            planned_seconds: self.scale.removal.planned_seconds(),
            connections: self.connections,
            began: self.began,
        }
    }

    fn state(&self, progress: &Progress) -> (&'static str, String) {
        let state = self.undone.clone().unwrap_or_else(|| ScaleState {
            version: 1,
            time: self.began,
            field: self.scale.field,
            from: self.scale.from,
            to: self.scale.to,
            pods: progress.pods.clone(),
            costs: self.costs.clone(),
            connections: progress.connections,
            by: Some(self.by.clone()),
            reason: self.intent.removal.write.reason.clone(),
            ended: false,
        });
        (SCALE_KEY, state.text())
    }

    fn state_at_end(&self, progress: &Progress) -> String {
        // EMQX restores an evacuation from the volume of a core: a later scale-up must know that this program
        // started it.
        let kept: Vec<DrainedPod> =
            progress.pods.iter().filter(|pod| pod.started && pod.node.is_some()).cloned().collect();
        if kept.is_empty() || self.scale.field == crate::model::scale::ScaledField::Replicants {
            return String::new();
        }
        let (_, text) = self.state(&Progress { pods: kept, connections: progress.connections });
        ScaleState::parse(&text).map(|state| ScaleState { ended: true, ..state }.text()).unwrap_or_default()
    }

    fn next(
        &self,
        world: &World,
        pods: &[DrainedPod],
        input: StepInput,
    ) -> (Vec<RemovalAction>, Vec<PodProgress>) {
        let sizes = BTreeMap::new();
        let run = self.run(pods, &sizes, input);
        (next(world, run, self.change(), input.now), standings(world, run, input.now))
    }

    fn undo(&self) -> String {
        format!("kubectl emqx scale {} --undo", self.scale.removal.instance.name)
    }

    fn superseded(&self, world: &World) -> Option<Judgement> {
        let sizes = BTreeMap::new();
        let input = StepInput { fresh_seconds: 0, gates: false, now: self.began };
        let number = requested(world, &self.run(&[], &sizes, input), &self.change())?;
        (number != self.scale.from && number != self.scale.to).then(|| {
            let message = format!(
                "another client changed the number to {} meanwhile",
                amount(self.scale.field, number)
            );
            Judgement::new(Verdict::Superseded, message)
        })
    }

    fn prepare(&mut self, world: &World, acts: &[RemovalAction]) -> bool {
        let mut new = false;
        for act in acts {
            if let RemovalAction::SetCost { uid, .. } = act
                && !self.costs.contains_key(uid)
            {
                let pod = world.pods_of(&self.scale.removal.instance).find(|pod| pod.uid == *uid);
                self.costs.insert(uid.clone(), pod.and_then(|pod| pod.deletion_cost));
                new = true;
            }
        }
        new
    }

    async fn change(
        &mut self,
        context: &CommandContext,
        cluster: &ClusterView,
        pods: &[DrainedPod],
        act: &RemovalAction,
    ) -> Result<Option<String>, Problem> {
        let namespace = &cluster.id.namespace;
        match act {
            RemovalAction::SetCost { pod, uid } => {
                context.kubernetes.set_deletion_cost(namespace, pod, uid, Some(FIRST_COST)).await?;
                Ok(None)
            }
            RemovalAction::ClearCost { pod, uid } => {
                let before = self.costs.get(uid).copied().flatten();
                context.kubernetes.set_deletion_cost(namespace, pod, uid, before).await?;
                Ok(None)
            }
            _ => self.apply(context, cluster, pods).await,
        }
    }

    fn standing(&self, pod: &DrainedPod, stands: PodProgress) -> Option<String> {
        let pod = &pod.pod;
        match stands {
            PodProgress::Planned | PodProgress::Evacuating => None,
            PodProgress::Empty => Some(format!("{pod} is empty")),
            PodProgress::Replacing => Some(format!("{pod} is being deleted")),
            PodProgress::Done => Some(format!("{pod} is removed")),
        }
    }

    fn step_state(&self, stands: PodProgress) -> StepState {
        match stands {
            PodProgress::Replacing => StepState::Removing,
            other => other.into(),
        }
    }

    fn reached(&self, world: &World, pods: &[DrainedPod]) -> Judgement {
        let has = format!("{} has {}", self.scale.removal.instance, amount(self.scale.field, self.scale.to));
        let stays: Vec<&str> = world
            .pods_of(&self.scale.removal.instance)
            .filter(|pod| pods.iter().any(|it| it.uid == pod.uid))
            .map(|pod| pod.name.as_str())
            .collect();
        if stays.is_empty() {
            let verdict = if self.intent.change.is_none() { Verdict::Reverted } else { Verdict::Done };
            return Judgement::new(verdict, has);
        }
        let message = format!(
            "{has}, but Kubernetes removed other pods than {}, whose clients were disconnected",
            stays.join(", ")
        );
        Judgement::new(Verdict::NodesLost, message)
    }

    fn unfinished(&self, what: &str, why: &str) -> Problem {
        if self.undone.is_some() {
            let again = format!("kubectl emqx scale {} --undo continues", self.scale.removal.instance.name);
            return Problem::new(what, why).hint(again);
        }
        unfinished(self.scale, what, why)
    }

    fn report(&mut self, judgement: &Judgement) {
        self.scale.removal.verdict = Some(judgement.verdict);
        self.scale.removal.message.clone_from(&judgement.message);
    }

    fn steps(&mut self) -> &mut [RemovalStep] {
        &mut self.scale.removal.steps
    }
}

/// The arguments that continue the scale.
pub(super) fn again(scale: &ScalePlan) -> String {
    format!("{} --{} {}", scale.removal.instance.name, scale.field.as_str(), scale.to)
}

/// The message when the scale is left unfinished.
pub(super) fn unfinished(scale: &ScalePlan, what: &str, why: &str) -> Problem {
    Problem::new(what, why).hint(format!(
        "kubectl emqx scale {} continues; kubectl emqx scale {} --undo goes back to {}",
        again(scale),
        scale.removal.instance.name,
        amount(scale.field, scale.from)
    ))
}
