//! `rebalance stop`: marks the object, stops EMQX, verifies that, then deletes the object. Every wait has a
//! limit.

use tokio::time::{Instant, sleep};

use super::cluster_view::{self, ClusterView};
use super::confirmation::confirm;
use super::rebalance_target::over;
use super::{ChangeResult, CommandContext, Interrupt, Outcome, deletion, history};
use crate::cli::intent::{DryRun, Stop};
use crate::error::{Exit, Problem};
use crate::model::{
    Backend, BackendRequest, HistoryEntry, Judgement, Link, Phase, Rebalance, RunningRebalance, Source,
    Verdict,
};
use crate::plan::history as past;
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::rebalance::{ownership, verdict, waiting};
use crate::plan::results::Stopped;
use crate::plan::snapshot::{SourceState, snapshot};
use crate::timing::{ERROR_RETRY, LEFT_BEHIND_SECONDS};

mod object;
mod target;
mod with_emqx;
mod without_emqx;

use target::StopTarget;

/// The state of a stop.
struct Stopping<'a> {
    context: &'a CommandContext,
    intent: &'a Stop,
    cluster: ClusterView,
    name: String,
    proof: Vec<String>,
    until: Instant,
    /// Whether the object may be marked, and changed if its deletion is stuck.
    may_patch: bool,
    /// The text that the operator's process is gone, where its Lease shows that.
    absent_operator: Option<String>,
    /// The rebalance that was stopped.
    stopped: Option<Stopped>,
    /// Why there was nothing to stop.
    unchanged: Option<String>,
    /// Its record for the history, where EMQX ran it.
    entry: Option<HistoryEntry>,
    /// Why it is not known whether the rebalance has an object.
    object_unknown: Option<String>,
}

/// The state of the rebalance that is to be stopped.
enum Standing {
    /// EMQX runs it.
    Runs(RunningRebalance),
    /// No operator has picked it up for this many seconds.
    Waits(Rebalance, u64),
    /// The operator has begun, and EMQX does not list it yet, or no longer lists it.
    Unlisted(Rebalance),
    /// It is over in EMQX.
    Over,
}

/// `rebalance stop`.
pub async fn run(context: &CommandContext, intent: &Stop) -> Result<ChangeResult, Problem> {
    let (result, entry) = verified(context, intent).await?;
    for stopped in &result.stopped {
        context.printer.stopped(stopped, intent.output);
    }
    if let Some(entry) = entry {
        // Its object is deleted, or it had none.
        Box::pin(history::record(context, entry, false)).await;
    }
    Ok(result)
}

/// Stops a rebalance and verifies that it stopped, without printing the result. The entry is for the history; the caller
/// records it.
pub(super) async fn verified(
    context: &CommandContext,
    intent: &Stop,
) -> Result<(ChangeResult, Option<HistoryEntry>), Problem> {
    let (cluster, name) = match target::resolve(context, intent).await? {
        StopTarget::One(cluster, name) => (*cluster, name),
        StopTarget::Nothing(why) => {
            context.printer.talk(&why);
            return Ok((ChangeResult::unchanged(unchanged(intent), why), None));
        }
    };
    let until = Instant::now() + intent.timeout;
    let mut stopping = Stopping {
        context,
        intent,
        cluster,
        name,
        proof: Vec::new(),
        until,
        may_patch: true,
        absent_operator: None,
        stopped: None,
        unchanged: None,
        entry: None,
        object_unknown: None,
    };
    // Only EMQX, or a phase that verifies it, shows that the rebalance is over.
    let answered = stopping.cluster.answers().load.is_some();
    if let Some(Judgement { verdict, message: reason }) = over(context, &stopping.cluster, &stopping.name)
        && (answered || verdict != Verdict::Unknown)
        && !stopping.object().is_some_and(ownership::left_by_a_stop)
    {
        let name = &stopping.name;
        let why = format!("{name} is over ({}: {reason}): there is nothing to stop", verdict.words());
        context.printer.talk(&why);
        return Ok((ChangeResult::unchanged(unchanged(intent), why), None));
    }
    let mut interrupt: Interrupt = (context.interrupt)();
    let outcome = tokio::select! {
        biased;
        outcome = stopping.stop() => outcome,
        () = &mut interrupt => Err(Problem::new(
            "interrupted",
            "requests that were already sent to EMQX and Kubernetes stay in effect",
        )
        .hint("kubectl emqx rebalance list shows what still runs")
        .interrupted()),
    };
    let stopped = stopping.stopped.into_iter().collect();
    let result =
        |exit| ChangeResult { unchanged: stopping.unchanged, ..ChangeResult::stopped(exit, stopped) };
    outcome.map(|exit| (result(exit), stopping.entry))
}

fn unchanged(intent: &Stop) -> Exit {
    if intent.write.error_unchanged { Exit::Unchanged } else { Exit::Reached }
}

impl Stopping<'_> {
    fn object(&self) -> Option<&Rebalance> {
        let key = (self.cluster.id.namespace.clone(), self.name.clone());
        self.cluster.world.kubernetes.rebalances.get(&key).map(|seen| &seen.value)
    }

    fn entry(&self) -> Option<RunningRebalance> {
        let running = ownership::running(&self.cluster.world, &self.cluster.id);
        let found = running
            .into_iter()
            .find(|(name, entry)| *name == self.name || entry.operation().to_string() == self.name);
        found.map(|(_, entry)| entry)
    }

    fn standing(&self) -> Standing {
        if let Some(entry) = self.entry() {
            return Standing::Runs(entry);
        }
        let Some(object) = self.object() else { return Standing::Over };
        let Some(seconds) = waiting::seconds(object, self.context.clock.now()) else {
            let begun = object.phase == Phase::Processing && object.deleting.is_none();
            return if begun { Standing::Unlisted(object.clone()) } else { Standing::Over };
        };
        // A finalizer without a status: the operator is between its two writes, or ended there.
        if object.finalizers.is_empty() || seconds >= LEFT_BEHIND_SECONDS {
            Standing::Waits(object.clone(), seconds)
        } else {
            Standing::Unlisted(object.clone())
        }
    }

    fn emqx_responds(&self) -> bool {
        self.cluster.answers().load.is_some()
            && SourceState::Ok
                == snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now())
                    .source(Source::Emqx)
    }

    /// Why EMQX cannot be asked.
    fn refuses_changes(&self) -> Option<String> {
        let now = self.context.clock.now();
        let snapshot = snapshot(&self.cluster.world, &self.cluster.id, now);
        snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone())
    }

    /// Whether EMQX does not answer because a permission or a key is missing: the operator may reach EMQX
    /// nevertheless.
    fn may_not_ask(&self) -> bool {
        let mut sources = self.cluster.answers().sources.values();
        sources.any(|source| matches!(source.link, Link::Forbidden(_)))
    }

    async fn refresh(&mut self) -> Result<(), Problem> {
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        cluster_view::refresh(self.context, &mut self.cluster).await
    }

    async fn stop(&mut self) -> Outcome {
        let object_only = self.intent.backend == BackendRequest::Rebalance;
        let waits = matches!(self.standing(), Standing::Waits(..));
        let asked = self.emqx_responds() && !object_only;
        if !asked && !waits && !object_only && !self.may_not_ask() {
            self.await_emqx().await?;
        }
        let asked = self.emqx_responds() && !object_only;
        if self.object().is_some() && (!asked || self.entry().is_none()) {
            // The next step is the operator's.
            self.absent_operator = deletion::absent_operator(self.context, &self.cluster.id).await;
        }
        let blind = if asked || waits { None } else { Some(self.blind()?) };
        // If EMQX is stopped and the object stays, the stop is incomplete.
        let deletes = self.object().is_some_and(|it| it.deleting.is_none());
        if deletes && self.intent.backend != BackendRequest::Emqx {
            let what = format!("will not stop {}", self.name);
            let way = format!(
                "kubectl emqx rebalance stop {} --backend emqx stops EMQX and leaves the object",
                self.name
            );
            deletion::allowed(self.context, &self.cluster.id.namespace, [&self.name], what, way).await?;
        }
        if !waits {
            self.ask_about_marks().await;
        }
        if self.intent.write.dry_run != DryRun::None {
            let steps = self.steps(blind.is_some());
            self.context.printer.talk(&format!("would stop {}: {steps}", self.name));
            self.context.printer.line(&format!("{} (dry run)", self.label()));
            return Ok(Exit::Reached);
        }
        confirm(self.context, &self.intent.write, &format!("Stop {} of {}?", self.name, self.cluster.id))
            .await?;
        self.until = Instant::now() + self.intent.timeout;
        match blind {
            None => self.with_emqx().await,
            Some((object, why)) => self.without_emqx(object, why).await,
        }
    }

    fn steps(&self, blind: bool) -> String {
        match (self.standing(), self.object()) {
            (Standing::Runs(entry), Some(_)) if !blind => {
                format!("send the stop to {}, verify that it stopped, delete the object", entry.coordinator)
            }
            (Standing::Runs(entry), None) if !blind => {
                format!("send the stop to {}, verify that it stopped", entry.coordinator)
            }
            (Standing::Waits(_, seconds), _) => {
                format!("delete the object, which is {}{}", waiting::message(seconds), self.absence())
            }
            _ => "delete the object".to_owned(),
        }
    }

    /// The clause that the operator's process is gone.
    fn absence(&self) -> String {
        self.absent_operator.as_ref().map(|gone| format!("; {gone}")).unwrap_or_default()
    }

    fn label(&self) -> String {
        if self.object().is_some() {
            format!("rebalance.apps.emqx.io/{}", self.name)
        } else {
            self.name.clone()
        }
    }

    /// EMQX answers with errors, or does not answer: the operator's requests fail as well, so that a delete
    /// of the object would leave the rebalance running.
    async fn await_emqx(&mut self) -> Result<(), Problem> {
        let mut announced = false;
        while !self.emqx_responds() && !self.may_not_ask() {
            let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
            if Instant::now() >= self.until || self.intent.write.dry_run != DryRun::None {
                return Err(self.not_stopped(&why));
            }
            self.await_retry(&mut announced, &why).await;
            cluster_view::refresh(self.context, &mut self.cluster).await?;
        }
        Ok(())
    }

    /// Waits before the next try; the reason is printed once.
    async fn await_retry(&self, announced: &mut bool, why: &str) {
        if !std::mem::replace(announced, true) {
            self.context.printer.talk(&format!("{} is not stopped so far: {why}; trying again", self.name));
        }
        sleep(ERROR_RETRY).await;
    }

    /// The problem of a failed stop: what remains unchanged, and how to try again.
    fn not_stopped(&self, why: &str) -> Problem {
        let kept = if self.object().is_some() { "; the object and its plan are kept" } else { "" };
        let mut hint = format!("try again when EMQX answers: kubectl emqx rebalance stop {}", self.name);
        if self.object().is_some_and(|object| object.phase == Phase::Processing) {
            hint.push_str(
                "; if the operator reaches EMQX and only this program does not: --backend rebalance",
            );
        }
        Problem::new(format!("{} is not stopped", self.name), format!("{why}{kept}"))
            .hint(hint)
            .exit(Exit::TimedOut)
    }

    fn nothing_runs(&mut self) -> Exit {
        let why = format!("EMQX does not run {}: there is nothing to stop", self.name);
        self.context.printer.talk(&why);
        self.unchanged = Some(why);
        unchanged(self.intent)
    }

    /// Records what was stopped, with the counts at its start where the tracker has them.
    fn remember(&mut self, run: Option<&RebalanceRun>) {
        let Some(stopped) = &self.stopped else { return };
        let judgement = Judgement::new(stopped.verdict, &stopped.message);
        let now = self.context.clock.now();
        self.entry = run.map(|run| HistoryEntry {
            name: self.name.clone(),
            object_unknown: self.object_unknown.is_some(),
            ..past::of_rebalance(run, &self.cluster.id, judgement, now)
        });
    }

    fn judged(&self, run: Option<&RebalanceRun>, entry: &RunningRebalance, ours: bool) -> Judgement {
        if let Some(judgement) = run.and_then(|run| run.verdict.clone()) {
            return judgement;
        }
        let now =
            self.cluster.answers().nodes.as_ref().map(|nodes| Counts::of(&nodes.value)).unwrap_or_default();
        let strategy = self.object().map(|object| &object.strategy);
        verdict::stopped(entry, strategy, &now, ours.then_some("you"))
    }

    fn report_verdict(&mut self, label: &str, backend: Backend, Judgement { verdict, message }: Judgement) {
        let reason = match &self.intent.write.reason {
            Some(why) => format!("{message} (reason: {why})"),
            None => message,
        };
        let stopped = Stopped {
            name: label.to_owned(),
            instance: self.cluster.id.clone(),
            backend,
            // This process stopped it: the missing clients were disconnected before that and are
            // reconnecting.
            verdict: if verdict == Verdict::ClientsMissing { Verdict::Stopped } else { verdict },
            message: reason,
            proof: self.proof.clone(),
        };
        self.stopped = Some(stopped);
    }
}
