//! `rebalance stop`: marks the object, stops EMQX, verifies that, then deletes the object. Every wait has a
//! limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cluster_view::{self, ClusterView};
use super::confirmation::confirm;
use super::deletion;
use super::history;
use super::rebalance_target::{REACH_EMQX, over};
use super::{ChangeResult, CommandContext, Interrupt, Outcome};
use crate::cli::intent::{BackendChoice, DryRun, Stop};
use crate::error::{Cause, Exit, Problem};
use crate::model::{
    FIELD_MANAGER, HistoryEntry, Judgement, Link, NodeName, OperationRef, Phase, PodName, Rebalance,
    RunningRebalance, STOPPED_BY_ANNOTATION, Source, StopMark, Verdict,
};
use crate::plan::history as past;
use crate::plan::rebalance::messages::short;
use crate::plan::rebalance::ownership;
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::tracker::RebalanceTracker;
use crate::plan::rebalance::verdict;
use crate::plan::rebalance::waiting;
use crate::plan::results::{Backend, Stopped};
use crate::plan::snapshot::{SourceState, snapshot};
use crate::ports::{self, Deletion, RefreshScope};
use crate::timing::{
    DELETE_CHECK_AFTER, DELETION_TIMEOUT, ERROR_RETRY, LATE_START, LEFT_BEHIND_SECONDS, SERVES_WITHIN,
    STOP_UNLISTED_SECONDS, VERIFY_PAUSE,
};

mod target;

use target::StopTarget;

/// The most donors that are asked one by one.
const MAX_QUERIES: usize = 8;

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

    fn hears_emqx(&self) -> bool {
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

    /// Whether EMQX does not answer because a permission or a key is missing: the operator may reach EMQX all
    /// the same.
    fn may_not_ask(&self) -> bool {
        let mut sources = self.cluster.answers().sources.values();
        sources.any(|source| matches!(source.link, Link::Forbidden(_)))
    }

    async fn look(&mut self) -> Result<(), Problem> {
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        cluster_view::refresh(self.context, &mut self.cluster).await
    }

    async fn stop(&mut self) -> Outcome {
        let object_only = self.intent.backend == BackendChoice::Rebalance;
        let waits = matches!(self.standing(), Standing::Waits(..));
        let asked = self.hears_emqx() && !object_only;
        if !asked && !waits && !object_only && !self.may_not_ask() {
            self.await_emqx().await?;
        }
        let asked = self.hears_emqx() && !object_only;
        if self.object().is_some() && (!asked || self.entry().is_none()) {
            // The next step is the operator's.
            self.absent_operator = deletion::absent_operator(self.context, &self.cluster.id).await;
        }
        let blind = if asked || waits { None } else { Some(self.blind()?) };
        // If EMQX is stopped and the object stays, the stop is incomplete.
        let deletes = self.object().is_some_and(|it| it.deleting.is_none());
        if deletes && self.intent.backend != BackendChoice::Emqx {
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
                format!("delete the object, which is {}{}", waiting::message(seconds), self.gone())
            }
            _ => "delete the object".to_owned(),
        }
    }

    /// The clause that the operator's process is gone.
    fn gone(&self) -> String {
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
        let mut requested = false;
        while !self.hears_emqx() && !self.may_not_ask() {
            let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
            if Instant::now() >= self.until || self.intent.write.dry_run != DryRun::None {
                return Err(self.not_stopped(&why));
            }
            if !std::mem::replace(&mut requested, true) {
                self.context
                    .printer
                    .talk(&format!("{} is not stopped so far: {why}; trying again", self.name));
            }
            sleep(ERROR_RETRY).await;
            cluster_view::refresh(self.context, &mut self.cluster).await?;
        }
        Ok(())
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

    async fn with_emqx(&mut self) -> Outcome {
        let unlisted = Duration::from_secs_f64(STOP_UNLISTED_SECONDS / self.context.clock.speed().max(0.1));
        let mut since: Option<Instant> = None;
        loop {
            match self.standing() {
                Standing::Runs(entry) => return self.through_emqx(entry).await,
                Standing::Waits(object, seconds) => {
                    if let Some(exit) = self.before_it_starts(object, seconds).await? {
                        return Ok(exit);
                    }
                }
                Standing::Over => return self.clean_up().await,
                Standing::Unlisted(object) => {
                    let since = *since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= unlisted
                        && let Some(exit) = self.unlisted(object).await?
                    {
                        return Ok(exit);
                    }
                }
            }
            if Instant::now() >= self.until {
                let gone = self.gone();
                return Err(self.not_stopped(&format!(
                    "the operator has begun, and EMQX does not list it so far{gone}"
                )));
            }
            sleep(VERIFY_PAUSE).await;
            self.look().await?;
        }
    }

    /// No operator has picked it up: deletes the object in the version that was read, and asks EMQX whether
    /// the object started anything. `None` when an operator was faster.
    async fn before_it_starts(&mut self, object: Rebalance, seconds: u64) -> Result<Option<Exit>, Problem> {
        let label = self.label();
        let before = self.coordinators();
        match self.context.kubernetes.delete_unchanged(&object).await? {
            Deletion::Changed => return Ok(None),
            Deletion::Gone => self.proof.push("the object was gone already".to_owned()),
            Deletion::Accepted => {}
        }
        self.leave(&object).await?;
        sleep(LATE_START).await;
        cluster_view::refresh(self.context, &mut self.cluster).await?;
        if self.hears_emqx() {
            let load = self.cluster.answers().load.as_ref();
            let entries = load.map(|load| load.value.rebalances.clone()).unwrap_or_default();
            // The operator read the object just before it was deleted, and started it.
            if let Some(entry) = entries.into_iter().find(|entry| !before.contains(&entry.coordinator)) {
                return self.through_emqx(entry).await.map(Some);
            }
            self.proof.push("EMQX started nothing".to_owned());
        } else {
            let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
            self.proof.push(format!("not verified: that EMQX started nothing, because {why}"));
        }
        let message = format!(
            "deleted before an operator started it: it was {}{}",
            waiting::message(seconds),
            self.gone()
        );
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Some(Exit::Reached))
    }

    /// The coordinators of the rebalance.
    fn coordinators(&self) -> Vec<NodeName> {
        let load = self.cluster.answers().load.as_ref();
        let entries = load.map(|load| load.value.rebalances.as_slice()).unwrap_or_default();
        entries.iter().map(|entry| entry.coordinator.clone()).collect()
    }

    /// The object reports Processing, and EMQX has listed no entry for a while. `None` while the operator has
    /// not written a status.
    async fn unlisted(&mut self, object: Rebalance) -> Result<Option<Exit>, Problem> {
        if object.phase != Phase::Processing {
            return Ok(None);
        }
        let conducts = self.coordinators();
        if let Some(state) = object.states.iter().find(|state| conducts.contains(&state.coordinator)) {
            let node = &state.coordinator;
            return Err(Problem::refused(
                format!("will not delete {}", self.name),
                format!(
                    "EMQX does not run it, but {node} conducts another rebalance, which the operator would stop when the \
                     object is deleted"
                ),
            )
            .hint(format!("kubectl emqx rebalance stop coordinator/{node} stops that one")));
        }
        let label = self.label();
        self.proof.push("EMQX does not run it".to_owned());
        self.mark().await;
        self.delete().await?;
        let message = format!("EMQX does not run it; the object reported Processing{}", self.gone());
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Some(Exit::Reached))
    }

    fn nothing_runs(&mut self) -> Exit {
        let why = format!("EMQX does not run {}: there is nothing to stop", self.name);
        self.context.printer.talk(&why);
        self.unchanged = Some(why);
        unchanged(self.intent)
    }

    /// The rebalance is over in EMQX: only an object may remain that an earlier stop did not delete.
    async fn clean_up(&mut self) -> Outcome {
        let left = self.object().filter(|object| ownership::left_by_a_stop(object)).cloned();
        let Some(object) = left else {
            return Ok(self.nothing_runs());
        };
        if self.intent.backend == BackendChoice::Emqx {
            return Ok(self.nothing_runs());
        }
        let label = self.label();
        self.proof.push("EMQX does not run it".to_owned());
        self.delete().await?;
        let message = match &object.stopped_by {
            Some(mark) => format!("stopped by {} before; its object was still there", mark.by),
            None => "EMQX does not run it; its deletion had not come to its end".to_owned(),
        };
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Exit::Reached)
    }

    async fn through_emqx(&mut self, entry: RunningRebalance) -> Outcome {
        let label = self.label();
        let mut follower = RebalanceTracker::new(self.cluster.id.clone());
        follower.observe(&self.cluster.world, self.context.clock.now());
        self.mark().await;
        let requested = self.request_stop(&entry.coordinator).await;
        // It was not stopped, or not by this process.
        if !matches!(requested, Ok(true)) {
            self.unmark().await;
        }
        let ours = requested?;
        self.verify_no_entry(&entry.coordinator).await?;
        self.verify_donors(&entry.donors).await?;
        let backend = if self.object().is_some() { Backend::Rebalance } else { Backend::Emqx };
        self.delete().await?;
        if ours {
            follower.we_stopped(&self.name);
        }
        cluster_view::refresh(self.context, &mut self.cluster).await?;
        follower.observe(&self.cluster.world, self.context.clock.now());
        let judgement = self.judged(&follower, &entry, ours);
        self.report_verdict(&label, backend, judgement);
        // `--backend emqx` leaves the object: a client that follows it records the end on it.
        if self.object().is_none_or(|object| object.deleting.is_some()) {
            self.remember(&follower);
        }
        Ok(Exit::Reached)
    }

    /// Records what was stopped, with the counts at its start where the tracker has them.
    fn remember(&mut self, follower: &RebalanceTracker) {
        let Some(stopped) = &self.stopped else { return };
        let judgement = Judgement::new(stopped.verdict, &stopped.message);
        let now = self.context.clock.now();
        let run = follower.run(&self.name);
        self.entry = run.map(|run| past::of_rebalance(run, &self.cluster.id, judgement, now));
    }

    /// Reports once, before anything is changed, that the object cannot be marked.
    async fn ask_about_marks(&mut self) {
        let Some(object) = self.object().cloned() else { return };
        self.may_patch = deletion::may_touch(self.context, &object).await;
        if !self.may_patch {
            self.context.notice(&format!(
                "{} cannot be marked as stopped, nor freed if its delete hangs: you may not patch it (needs {}); who follows \
                 it may report coordinatorLost",
                self.name,
                deletion::PATCH
            ));
        }
    }

    /// Writes on the object who stops it, so that other clients that follow it report `stopped`. Without the
    /// permission the rebalance is stopped all the same.
    async fn mark(&self) {
        let Some(object) = self.object().filter(|_| self.may_patch) else { return };
        let mark = StopMark { by: FIELD_MANAGER.to_owned(), time: self.context.clock.now() };
        let kubernetes = &self.context.kubernetes;
        let marked = kubernetes.annotate_rebalance(object, STOPPED_BY_ANNOTATION, Some(&mark.text())).await;
        if let Err(problem) = marked {
            self.context.notice(&format!(
                "{} is not marked as stopped: {problem}; who follows it may report coordinatorLost",
                self.name
            ));
        }
    }

    /// Removes the mark: the rebalance was not stopped.
    async fn unmark(&self) {
        let Some(object) = self.object().filter(|_| self.may_patch) else { return };
        let removed = self.context.kubernetes.annotate_rebalance(object, STOPPED_BY_ANNOTATION, None).await;
        if let Err(problem) = removed {
            self.context.notice(&format!(
                "{} keeps its mark {STOPPED_BY_ANNOTATION} although it was not stopped: {problem}",
                self.name
            ));
        }
    }

    /// Asks EMQX's coordinator to stop, and repeats the request while it answers with errors, up to the
    /// limit. `false` when the coordinator no longer ran a rebalance.
    async fn request_stop(&mut self, coordinator: &NodeName) -> Result<bool, Problem> {
        let mut requested = false;
        loop {
            let problem = match self.cluster.broker.stop(coordinator).await {
                Ok(true) => {
                    self.context.printer.talk(&format!("sent the stop to {coordinator}"));
                    return Ok(true);
                }
                Ok(false) => {
                    let text = format!("{coordinator} reports that it conducts none any more");
                    self.context.printer.talk(&text);
                    return Ok(false);
                }
                Err(problem) => problem,
            };
            if problem.cause == Cause::Forbidden {
                return Err(problem);
            }
            let why = if problem.why.is_empty() { problem.what } else { problem.why };
            if Instant::now() >= self.until {
                return Err(self.not_stopped(&why));
            }
            if !std::mem::replace(&mut requested, true) {
                self.context
                    .printer
                    .talk(&format!("{} is not stopped so far: {why}; trying again", self.name));
            }
            sleep(ERROR_RETRY).await;
        }
    }

    async fn verify_no_entry(&mut self, coordinator: &NodeName) -> Result<(), Problem> {
        loop {
            cluster_view::refresh(self.context, &mut self.cluster).await?;
            let conducts = self.coordinators();
            let hears = self.hears_emqx();
            if hears && !conducts.contains(coordinator) {
                self.proof.push(match conducts.as_slice() {
                    [] => "EMQX's global_status lists no rebalance".to_owned(),
                    others => format!(
                        "EMQX's global_status no longer lists the rebalance of {coordinator}; {} still runs",
                        others
                            .iter()
                            .map(|node| OperationRef::Coordinator(node.clone()).to_string())
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                });
                return Ok(());
            }
            if Instant::now() >= self.until {
                let limit = self.intent.timeout.as_secs();
                let (what, why) = if hears {
                    ("still runs it", format!("{coordinator} has not ended it within {limit} s"))
                } else {
                    let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
                    ("has not confirmed it", why)
                };
                return Err(Problem::new(
                    format!("the stop of {} was sent, but EMQX {what}", self.name),
                    why,
                )
                .hint(format!("kubectl emqx rebalance stop {} --timeout 5m", self.name))
                .exit(Exit::TimedOut));
            }
            sleep(VERIFY_PAUSE).await;
        }
    }

    /// Verifies that donors accept clients again: by a request to each of them, or by the endpoints.
    async fn verify_donors(&mut self, donors: &[NodeName]) -> Result<(), Problem> {
        let now = self.context.clock.now();
        let snapshot = snapshot(&self.cluster.world, &self.cluster.id, now);
        let pods: Vec<(NodeName, Option<PodName>)> = donors
            .iter()
            .map(|node| (node.clone(), snapshot.node(node).and_then(|row| row.pod.clone())))
            .collect();
        let mut accepting = 0;
        let mut open: Vec<(NodeName, String)> = Vec::new();
        for (place, (node, pod)) in pods.into_iter().enumerate() {
            let label = pod.as_ref().map_or_else(|| short(&node), PodName::as_str).to_owned();
            if place >= MAX_QUERIES {
                open.push((node, format!("{label} was not asked")));
                continue;
            }
            loop {
                match self.cluster.broker.accepts_clients(&node, pod.as_ref()).await {
                    Ok(true) => {
                        accepting += 1;
                        break;
                    }
                    Ok(false) if Instant::now() < self.until => sleep(VERIFY_PAUSE).await,
                    Ok(false) => {
                        open.push((node, format!("{label} still refuses clients")));
                        break;
                    }
                    Err(problem) => {
                        open.push((node, format!("{label} could not be asked ({problem})")));
                        break;
                    }
                }
            }
        }
        if accepting > 0 {
            self.proof.push(format!("{accepting} of {} donors asked: they accept clients", donors.len()));
        }
        let until = self.until.min(Instant::now() + SERVES_WITHIN);
        let serve = self.serving(&mut open, until).await?;
        if serve > 0 {
            self.proof.push(format!("{serve} of {} donors serve clients, by the endpoints", donors.len()));
        }
        self.proof.extend(open.into_iter().map(|(_, text)| format!("not verified: {text}")));
        Ok(())
    }

    /// Removes the nodes from `open` that serve clients by the endpoints, now or until the limit; returns
    /// their number.
    async fn serving(
        &mut self,
        open: &mut Vec<(NodeName, String)>,
        until: Instant,
    ) -> Result<usize, Problem> {
        let all = open.len();
        while !open.is_empty() {
            let want =
                RefreshScope { pods: true, endpoints: true, instances: true, ..RefreshScope::default() };
            cluster_view::relist(self.context, &mut self.cluster, want).await?;
            let snapshot = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now());
            let serves = |node: &NodeName| snapshot.node(node).and_then(|row| row.serving);
            let known = open.iter().any(|(node, _)| serves(node).is_some());
            open.retain(|(node, _)| serves(node) != Some(true));
            if !known || Instant::now() >= until {
                break;
            }
            if !open.is_empty() {
                sleep(ERROR_RETRY).await;
            }
        }
        Ok(all - open.len())
    }

    /// Deletes the object; reports why if the object stays.
    async fn delete(&mut self) -> Result<(), Problem> {
        let Some(object) = self.object().cloned() else { return Ok(()) };
        if self.intent.backend == BackendChoice::Emqx {
            self.proof.push("the object stays, as requested with --backend emqx".to_owned());
            return Ok(());
        }
        if object.deleting.is_none() {
            // An object that is deleted while EMQX is not Ready stays until it is changed, for which the
            // permission is missing.
            if !object.finalizers.is_empty()
                && !self.may_patch
                && !deletion::ready(self.context, &object, self.until).await?
            {
                self.proof.push(format!(
                    "the object stays: EMQX is not Ready, so that a delete would hang, and you may not patch it (needs \
                     {}); kubectl emqx rebalance stop {} deletes it later",
                    deletion::PATCH,
                    self.name
                ));
                return Ok(());
            }
            let deleted = self.context.kubernetes.delete_rebalance(&object, ports::ServerDryRun::No).await;
            let deleted = deleted.map_err(|problem| {
                let what = format!("EMQX does not run {} any more, but its object is not deleted", self.name);
                let hint = format!("kubectl emqx rebalance stop {} again deletes it", self.name);
                Problem { why: problem.to_string(), what, ..problem }.hint(hint)
            })?;
            if !deleted {
                self.proof.push("the object was gone already".to_owned());
                return Ok(());
            }
        }
        self.leave(&object).await
    }

    /// Waits until a deleted object no longer exists; changes one that is stuck once EMQX is Ready.
    async fn leave(&mut self, object: &Rebalance) -> Result<(), Problem> {
        let soon = Instant::now() + if object.deleting.is_none() { DELETION_TIMEOUT } else { Duration::ZERO };
        let stays = match deletion::wait_until_deleted(self.context, object, soon).await? {
            None => None,
            Some(here) => {
                if let Some(gone) = deletion::absent_operator(self.context, &self.cluster.id).await {
                    let limit = self.intent.timeout.as_secs();
                    let text = format!(
                        "the object is terminating: {gone}; waiting for the operator, up to {limit} s"
                    );
                    self.context.printer.talk(&text);
                }
                deletion::freed(self.context, &here, self.until).await?
            }
        };
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        self.proof.push(match stays {
            None => "the object is deleted".to_owned(),
            Some(why) => format!("the object is terminating: {why}; EMQX does not run it"),
        });
        Ok(())
    }

    fn judged(&self, follower: &RebalanceTracker, entry: &RunningRebalance, ours: bool) -> Judgement {
        if let Some(judgement) = follower.run(&self.name).and_then(|run| run.verdict.clone()) {
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

    /// What can be stopped without EMQX's answer, and why that is missing: only an object that is
    /// `Processing` with states, of an instance that is ready now, stops EMQX when it is deleted.
    fn blind(&self) -> Result<(Rebalance, String), Problem> {
        let why = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now())
            .sources
            .get(&Source::Emqx)
            .and_then(|age| age.why.clone())
            .unwrap_or_else(|| match self.intent.backend {
                BackendChoice::Rebalance => {
                    "no stop was sent to EMQX, because of --backend rebalance".to_owned()
                }
                _ => "EMQX cannot be asked".to_owned(),
            });
        let Some(object) = self.object().cloned() else {
            return Err(Problem::new(format!("cannot stop {}", self.name), why).hint(REACH_EMQX));
        };
        let ready = self.cluster.instance().is_ok_and(crate::model::Instance::ready);
        let refused = match (&object.phase, object.states.is_empty(), ready) {
            (Phase::Processing, ..) if self.absent_operator.is_some() => {
                Some("only a running operator stops EMQX when the object is deleted")
            }
            (Phase::Processing, false, true) => None,
            (Phase::Processing, false, false)
                if self.intent.skip.iter().any(|id| id == "instance-not-ready") =>
            {
                None
            }
            (Phase::Processing, true, _) => {
                Some("the operator has not stored EMQX's states: a delete now would not stop EMQX")
            }
            (Phase::Processing, false, false) => {
                Some("the instance is not ready: a delete now would hang and not stop EMQX")
            }
            _ => Some("the operator stops EMQX only for an object that is Processing"),
        };
        if let Some(refused) = refused {
            return Err(Problem::refused(
                format!("will not stop {} without EMQX", self.name),
                format!("{refused}{}; {why}", self.gone()),
            )
            .hint(REACH_EMQX));
        }
        Ok((object, why))
    }

    async fn without_emqx(&mut self, object: Rebalance, why: String) -> Outcome {
        let label = self.label();
        let mut follower = RebalanceTracker::new(self.cluster.id.clone());
        follower.observe(&self.cluster.world, self.context.clock.now());
        self.mark().await;
        self.delete().await?;
        sleep(DELETE_CHECK_AFTER.min(self.intent.timeout)).await;
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        let gone = self.object().is_none_or(|here| here.uid != object.uid);
        self.proof.push(format!("not verified: whether EMQX stopped ({why})"));
        // The operator ignores a failed stop call. Donors that receive clients again are no longer evicted.
        let mut open: Vec<(NodeName, String)> = object
            .states
            .iter()
            .flat_map(|state| &state.donors)
            .map(|node| (node.clone(), String::new()))
            .collect();
        let donors = open.len();
        let until = self.until.min(Instant::now() + SERVES_WITHIN);
        let serve = self.serving(&mut open, until).await?;
        if serve > 0 {
            self.proof.push(format!("{serve} of {donors} donors serve clients, by the endpoints"));
        }
        let snapshot = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now());
        let outside = |node: &NodeName| snapshot.node(node).is_some_and(|row| row.serving == Some(false));
        let out = open.iter().filter(|(node, _)| outside(node)).count();
        let (verdict, reason, exit) = if gone && out == 0 {
            let reason = "the operator released the object, which it does after the stop in EMQX; EMQX was not queried";
            (Verdict::Stopped, reason, Exit::Reached)
        } else if gone {
            let reason =
                "the object is deleted, but donors are still out of the Service: EMQX may still run it";
            (Verdict::Unknown, reason, Exit::Error)
        } else {
            let reason = "the object is still there, and EMQX cannot be asked whether it stopped";
            (Verdict::Unknown, reason, Exit::Error)
        };
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(verdict, reason));
        if verdict == Verdict::Stopped {
            self.remember(&follower);
        }
        Ok(exit)
    }
}
