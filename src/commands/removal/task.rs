//! What differs between a drain and a scale, for the run to the verdict.

use jiff::Timestamp;

use super::super::CommandContext;
use super::super::cluster_view::ClusterView;
use crate::cli::intent::Stream;
use crate::error::Problem;
use crate::model::drain::DrainedPod;
use crate::model::limits::{CommandLine, Limits};
use crate::model::{Judgement, Operation, World};
use crate::plan::evacuation::Settings;
use crate::plan::removal::{PodProgress, RemovalAction, RemovalStep, StepState};

/// How the operation is followed, and the settings for EMQX.
#[derive(Clone, Debug)]
pub(in crate::commands) struct RemovalSettings {
    /// Whether progress within a step is printed.
    pub(in crate::commands) watch: bool,
    /// The form of the events.
    pub(in crate::commands) stream: Stream,
    /// The limits at which it is stopped.
    pub(in crate::commands) limits: Limits,
    /// The command that is run with events.
    pub(in crate::commands) notify: Option<CommandLine>,
    /// Rates for each evacuated node, and waits.
    pub(in crate::commands) settings: Settings,
    /// Whether this EMQX waits for load balancers.
    pub(in crate::commands) waits_for_load_balancers: bool,
    /// Whether pods leave the Service through their gates before the first evacuation begins.
    pub(in crate::commands) gates: bool,
    /// Seconds of all evacuations by the plan; `None` where an earlier run did a part of them.
    pub(in crate::commands) planned_seconds: Option<u64>,
    /// Live clients at the start, where an earlier run stored them.
    pub(in crate::commands) connections: Option<u64>,
    /// When it began: the start of the first run, where an earlier run stored it.
    pub(in crate::commands) began: Timestamp,
}

/// The state of a run that is stored.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Progress {
    /// The pods that are removed.
    pub(in crate::commands) pods: Vec<DrainedPod>,
    /// Live clients at the start.
    pub(in crate::commands) connections: Option<u64>,
}

/// When and how the next step is decided.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct StepInput {
    /// The age in seconds up to which an answer of EMQX is evidence.
    pub(in crate::commands) fresh_seconds: u64,
    /// Whether pods leave the Service through their gates before the first evacuation begins.
    pub(in crate::commands) gates: bool,
    /// The time.
    pub(in crate::commands) now: Timestamp,
}

/// What differs between the commands that remove pods.
pub(in crate::commands) trait Task {
    /// `drain` or `scale`.
    const WHAT: &'static str;
    /// The operation of its events.
    const OPERATION: Operation;
    /// The verb for a finished pod: `moved` or `removed`.
    const DONE: &'static str;

    /// The name in its events.
    fn name(&self) -> String;
    /// The first message.
    fn begins(&self) -> String;
    /// How it is followed.
    fn manner(&self) -> RemovalSettings;
    /// The key and the text that are stored.
    fn state(&self, progress: &Progress) -> (&'static str, String);
    /// The text that stays stored after the end.
    fn state_at_end(&self, progress: &Progress) -> String;
    /// The next actions, and the state of each pod.
    fn next(
        &self,
        world: &World,
        pods: &[DrainedPod],
        input: StepInput,
    ) -> (Vec<RemovalAction>, Vec<PodProgress>);
    /// The command that restores what was not removed.
    fn undo(&self) -> String;
    /// The verdict if another client ended the operation.
    fn superseded(&self, world: &World) -> Option<Judgement>;
    /// Prepares for these actions; `true` when that changes the stored state.
    fn prepare(&mut self, world: &World, acts: &[RemovalAction]) -> bool;
    /// Writes the deletion cost of a pod, or the number of pods; `Some` is the reason to wait.
    async fn change(
        &mut self,
        context: &CommandContext,
        cluster: &ClusterView,
        pods: &[DrainedPod],
        act: &RemovalAction,
    ) -> Result<Option<String>, Problem>;
    /// The message when a pod enters this state.
    fn standing(&self, pod: &DrainedPod, stands: PodProgress) -> Option<String>;
    /// The state in the result.
    fn step_state(&self, stands: PodProgress) -> StepState;
    /// The end of the verdict's message when the goal is reached.
    fn reached(&self, world: &World, pods: &[DrainedPod]) -> Judgement;
    /// The problem of a run that is left unfinished.
    fn unfinished(&self, what: &str, why: &str) -> Problem;
    /// Writes the verdict into the result.
    fn report(&mut self, judgement: &Judgement);
    /// The steps of the result.
    fn steps(&mut self) -> &mut [RemovalStep];
}
