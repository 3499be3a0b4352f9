//! A drain of one instance, as a removal runs it.

use jiff::Timestamp;

use super::super::CommandContext;
use super::super::cluster_view::ClusterView;
use super::super::removal::task::{Progress, RemovalSettings, StepInput, Task};
use crate::cli::intent::drain::Drain as Intent;
use crate::error::Problem;
use crate::model::drain::{DRAIN_KEY, DrainState, DrainedPod};
use crate::model::human::plural;
use crate::model::{Judgement, Operation, OperationRef, Verdict, World};
use crate::plan::drain::next::{PodProgress, RemovalAction, RemovalRun, next, standings};
use crate::plan::drain::{DrainPlan, RemovalStep};
use crate::plan::removal::StepState;
use crate::plan::stored_removal::stored_drain;

/// A drain that is running.
pub(super) struct Draining<'a> {
    intent: &'a Intent,
    drain: &'a mut DrainPlan,
    began: Timestamp,
    by: String,
    connections: Option<u64>,
}

impl<'a> Draining<'a> {
    pub(super) fn of(
        context: &CommandContext,
        intent: &'a Intent,
        cluster: &ClusterView,
        drain: &'a mut DrainPlan,
    ) -> Self {
        let before = stored_drain(&cluster.world, &cluster.id).filter(|_| drain.removal.resumed);
        let began = before.map_or_else(|| context.clock.now(), |before| before.time);
        Self {
            intent,
            by: context.kubernetes.holder(),
            connections: before.and_then(|before| before.connections),
            began,
            drain,
        }
    }
}

impl Task for Draining<'_> {
    const WHAT: &'static str = "drain";
    const OPERATION: Operation = Operation::Drain;
    const DONE: &'static str = "moved";

    fn name(&self) -> String {
        OperationRef::Drain(self.drain.removal.instance.name.clone()).to_string()
    }

    fn begins(&self) -> String {
        format!(
            "the drain of {} {}: {} of {}",
            self.intent.machines.join(", "),
            if self.drain.removal.resumed { "continues" } else { "begins" },
            plural(self.drain.removal.pods.len() as u64, "pod"),
            self.drain.removal.instance
        )
    }

    fn manner(&self) -> RemovalSettings {
        RemovalSettings {
            watch: self.intent.removal.watch,
            stream: self.intent.removal.stream,
            limits: self.intent.removal.limits.clone(),
            notify: self.intent.removal.notify.clone(),
            settings: self.drain.removal.settings.clone(),
            waits_for_load_balancers: self.drain.removal.waits_for_load_balancers,
            gates: self.drain.removal.gates,
            planned_seconds: self.drain.removal.planned_seconds(),
            connections: self.connections,
            began: self.began,
        }
    }

    fn state(&self, progress: &Progress) -> (&'static str, String) {
        let state = DrainState {
            version: 1,
            time: self.began,
            machines: self.intent.machines.clone(),
            pods: progress.pods.clone(),
            connections: progress.connections,
            by: Some(self.by.clone()),
            reason: self.intent.removal.write.reason.clone(),
        };
        (DRAIN_KEY, state.text())
    }

    fn state_at_end(&self, _progress: &Progress) -> String {
        String::new()
    }

    fn next(
        &self,
        world: &World,
        pods: &[DrainedPod],
        input: StepInput,
    ) -> (Vec<RemovalAction>, Vec<PodProgress>) {
        let run = RemovalRun {
            task: Self::WHAT,
            id: &self.drain.removal.instance,
            pods,
            sizes: &self.drain.sizes,
            together: self.drain.together,
            parallel: self.intent.parallel,
            fresh_seconds: input.fresh_seconds,
            gates: input.gates,
        };
        (next(world, run, input.now), standings(world, run, input.now))
    }

    fn undo(&self) -> String {
        format!("kubectl emqx drain {} --undo", again(self.intent))
    }

    fn superseded(&self, _world: &World) -> Option<Judgement> {
        None
    }

    fn prepare(&mut self, _world: &World, _acts: &[RemovalAction]) -> bool {
        false
    }

    async fn change(
        &mut self,
        _context: &CommandContext,
        _gathered: &ClusterView,
        _pods: &[DrainedPod],
        _act: &RemovalAction,
    ) -> Result<Option<String>, Problem> {
        Ok(None)
    }

    fn standing(&self, pod: &DrainedPod, stands: PodProgress) -> Option<String> {
        let pod = &pod.pod;
        match stands {
            PodProgress::Planned | PodProgress::Evacuating => None,
            PodProgress::Empty => Some(format!("{pod} is empty")),
            PodProgress::Replacing => Some(format!("{pod} is deleted; its replacement starts")),
            PodProgress::Done => Some(format!("{pod} is moved: its set is complete and serves")),
        }
    }

    fn step_state(&self, stands: PodProgress) -> StepState {
        stands.into()
    }

    fn reached(&self, _world: &World, pods: &[DrainedPod]) -> Judgement {
        let pods = plural(pods.len() as u64, "pod");
        Judgement::new(Verdict::Done, format!("{pods} moved off {}", self.intent.machines.join(", ")))
    }

    fn unfinished(&self, what: &str, why: &str) -> Problem {
        unfinished(self.intent, what, why)
    }

    fn report(&mut self, judgement: &Judgement) {
        self.drain.removal.verdict = Some(judgement.verdict);
        self.drain.removal.message.clone_from(&judgement.message);
    }

    fn steps(&mut self) -> &mut [RemovalStep] {
        &mut self.drain.removal.steps
    }
}

/// The arguments that repeat the command: the nodes, and the scope of the instances.
pub(super) fn again(intent: &Intent) -> String {
    let all = if intent.filter.all_namespaces { " -A" } else { "" };
    format!("{}{all}", intent.machines.join(" "))
}

/// The message when the drain is left unfinished.
pub(super) fn unfinished(intent: &Intent, what: &str, why: &str) -> Problem {
    let again = again(intent);
    Problem::new(what, why).hint(format!(
        "kubectl emqx drain {again} continues; kubectl emqx drain {again} --undo puts back what was not moved"
    ))
}
