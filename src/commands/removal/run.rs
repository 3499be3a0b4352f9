//! The run of a drain or a scale of one instance: carries out the decisions of its task until the task has
//! ended.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::super::cluster_view::ClusterView;
use super::super::evacuate::start::timing;
use super::super::fact_loop::{FactLoop, WaitEnd};
use super::super::{CommandContext, history, limit_stop};
use super::gates::{closing, open_gates};
use super::runner::Runner;
use super::task::{StepInput, Task};
use super::{REMOVAL_SCOPE, taken};
use crate::error::{Exit, Problem};
use crate::model::drain::{DrainedPod, Eviction};
use crate::model::human::{duration, seconds_between};
use crate::model::{EventType, Judgement, NodeName, Verdict};
use crate::plan::history as past;
use crate::plan::rebalance::progress::Counts;
use crate::plan::removal::RemovalAction;
use crate::ports::{EvacuationOrder, ServerDryRun};
use crate::timing::{
    EVICTION_BACK_OFF_SECONDS, LEASE_SECONDS, POLL, PROOF_SECONDS, REMOVAL_STEP_PAUSE,
    REPLACEMENT_PROBLEM_SECONDS, REPLACEMENT_START_SECONDS,
};

/// Follows the task of one instance to its verdict. The Leases of the instances in `waiting` are held in the
/// meantime.
pub(in crate::commands) async fn follow<T: Task>(
    context: &CommandContext,
    task: &mut T,
    pods: Vec<DrainedPod>,
    cluster: &mut ClusterView,
    waiting: &[&ClusterView],
    limit: Option<Instant>,
) -> Result<Verdict, Problem> {
    let mut runner = Runner::new(context, task, pods, cluster);
    history::begins(context, &cluster.id, T::OPERATION);
    let ended = runner.run(cluster, waiting, limit).await;
    if let Some(verdict) = runner.judged.take() {
        let counts = cluster.answers().nodes.as_ref();
        let left = counts.and_then(|nodes| Counts::of(&nodes.value).known_connections());
        let times = (runner.manner.began, context.clock.now());
        let counts = (runner.state.connections, left);
        let evacuations = runner.evacuations();
        let entry =
            past::of_removal(T::OPERATION, &cluster.id, &runner.name, verdict, counts, evacuations, times);
        Box::pin(history::record(context, entry, false)).await;
    }
    if let Some(notifier) = &mut runner.notifier {
        notifier.collect(context, true).await;
    }
    runner.report();
    ended
}

impl<T: Task> Runner<'_, T> {
    async fn run(
        &mut self,
        cluster: &mut ClusterView,
        waiting: &[&ClusterView],
        limit: Option<Instant>,
    ) -> Result<Verdict, Problem> {
        self.store(cluster).await?;
        let message = self.task.begins();
        self.announce(cluster, EventType::Created, message);
        let mut facts = FactLoop::new(self.context, cluster, REMOVAL_SCOPE, POLL, limit);
        loop {
            match facts.during(self.turn(cluster, waiting)).await {
                Err(cut) => return Err(self.cut(cut)),
                Ok(Err(problem)) => return Err(problem),
                Ok(Ok(Some(judgement))) => match facts.during(self.store_end(cluster, &judgement)).await {
                    Err(cut) => return Err(self.cut(cut)),
                    Ok(Err(problem)) => {
                        self.failed(problem)?;
                        self.unstored_end = Some(judgement);
                    }
                    Ok(Ok(())) => {
                        let verdict = judgement.verdict;
                        self.percent = 100;
                        self.end(cluster, judgement);
                        return Ok(verdict);
                    }
                },
                Ok(Ok(None)) => {}
            }
            if let Some(notifier) = &mut self.notifier {
                notifier.collect(self.context, false).await;
            }
            if let Some(why) = self.limit(cluster) {
                let nodes = self.evacuated(cluster);
                let stop = limit_stop::evacuations(self.context, cluster, &nodes, &[], &why);
                let stopped = facts.during_stop(stop).await;
                open_gates(self.context, cluster, &self.state.pods).await;
                return Err(match stopped {
                    Err(cut) => self.cut(cut),
                    Ok(stopped) => self.stopped(cluster, &why, stopped),
                });
            }
            match facts.next(self.context, cluster).await {
                Ok(notices) => notices.iter().for_each(|notice| self.context.notice(notice)),
                Err(cut) => return Err(self.cut(cut)),
            }
        }
    }

    /// The problem of a run that was interrupted or timed out.
    fn cut(&mut self, cut: WaitEnd) -> Problem {
        match cut {
            WaitEnd::Interrupted => self.left("interrupted").interrupted(),
            WaitEnd::TimedOut => self.left("timed out").exit(Exit::TimedOut),
        }
    }

    /// One round: prints what is new and carries out the next actions; returns the verdict at the end.
    async fn turn(
        &mut self,
        cluster: &ClusterView,
        waiting: &[&ClusterView],
    ) -> Result<Option<Judgement>, Problem> {
        let now = self.context.clock.now();
        self.renew(cluster, waiting, now).await?;
        if let Some(end) = self.unstored_end.take() {
            return Ok(Some(end));
        }
        if let Some(end) = self.observe(cluster, now) {
            return Ok(Some(end));
        }
        if let Some(end) = self.task.superseded(&cluster.world) {
            return Ok(Some(end));
        }
        let fresh_seconds = (PROOF_SECONDS as f64 * self.context.clock.speed().max(1.0)) as u64;
        let input = StepInput { fresh_seconds, gates: self.gates(cluster, now), now };
        let (acts, standings) = self.task.next(&cluster.world, &self.state.pods, input);
        self.stand(cluster, &standings, now);
        if acts.contains(&RemovalAction::Done) {
            return Ok(self.complete(cluster, now));
        }
        self.complete = None;
        // Starts are stored before they are sent: after a kill the stored state shows which evacuations this
        // program started.
        let started: Vec<&str> = acts
            .iter()
            .filter_map(|act| {
                if let RemovalAction::StartEvacuation { uid, .. } = act { Some(uid.as_str()) } else { None }
            })
            .collect();
        self.unstored |= self.task.prepare(&cluster.world, &acts);
        let timing = timing(&self.manner.settings, self.manner.waits_for_load_balancers);
        let waits = Some(timing.waits());
        for pod in self.state.pods.iter_mut().filter(|pod| started.contains(&pod.uid.as_str())) {
            let node = acts.iter().find_map(|act| match act {
                RemovalAction::StartEvacuation { node, uid } if *uid == pod.uid => Some(node.clone()),
                _ => None,
            });
            self.unstored |= !pod.started || pod.node != node || pod.waits != waits;
            (pod.started, pod.node, pod.waits) = (true, node, waits);
        }
        let closing = closing(&acts);
        for pod in self.state.pods.iter_mut().filter(|pod| closing.iter().any(|(_, uid)| *uid == pod.uid)) {
            self.unstored |= !pod.closed;
            pod.closed = true;
        }
        if self.unstored {
            if let Err(problem) = self.store(cluster).await {
                self.failed(problem)?;
                return Ok(None);
            }
            (self.unstored, self.failing) = (false, None);
        }
        self.close(cluster, &closing, now).await?;
        let (starts, acts): (Vec<RemovalAction>, Vec<RemovalAction>) =
            acts.into_iter().partition(|act| matches!(act, RemovalAction::StartEvacuation { .. }));
        self.start(cluster, &starts).await?;
        for act in acts {
            match act {
                RemovalAction::Done => {}
                RemovalAction::Wait(why) => {
                    if let Some(end) = self.wait(&why, None, now) {
                        return Ok(Some(end));
                    }
                }
                RemovalAction::Starting(why) => {
                    if let Some(end) = self.wait(&why, Some(REPLACEMENT_START_SECONDS), now) {
                        return Ok(Some(end));
                    }
                }
                RemovalAction::Missing(why) => {
                    if let Some(end) = self.wait(&why, Some(REPLACEMENT_PROBLEM_SECONDS), now) {
                        return Ok(Some(end));
                    }
                }
                RemovalAction::Needs(what) => self.notice(cluster, what),
                act => self.act(cluster, act, now).await?,
            }
        }
        Ok(None)
    }

    /// Starts evacuations, all at the same time: EMQX 4.4 evicts at once, and a client must not reconnect to the next node
    /// before that one refuses clients.
    async fn start(&mut self, cluster: &ClusterView, starts: &[RemovalAction]) -> Result<(), Problem> {
        let mut nodes = Vec::new();
        for act in starts {
            let RemovalAction::StartEvacuation { node, .. } = act else { continue };
            let key = format!("{act:?}");
            if self.done.get(&key).is_none_or(|at| at.elapsed() >= REMOVAL_STEP_PAUSE) {
                self.done.insert(key, Instant::now());
                nodes.push(node);
            }
        }
        let this = &*self;
        let outcomes = join_all(nodes.iter().map(|node| this.evacuate(cluster, node))).await;
        for (node, outcome) in nodes.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    self.failing = None;
                    let timing = timing(&self.manner.settings, self.manner.waits_for_load_balancers);
                    let now = self.context.clock.now();
                    self.operations.upgrades.evacuations.asked(node.clone(), timing, now);
                }
                Err(problem) => self.failed(problem)?,
            }
        }
        Ok(())
    }

    async fn act(
        &mut self,
        cluster: &ClusterView,
        act: RemovalAction,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let key = format!("{act:?}");
        if self.done.get(&key).is_some_and(|at| at.elapsed() < REMOVAL_STEP_PAUSE) {
            return Ok(());
        }
        if let RemovalAction::Evict { uid, .. } = &act
            && self.refused.get(uid).is_some_and(|(until, _)| now < *until)
        {
            return Ok(());
        }
        self.done.insert(key, Instant::now());
        let outcome = match &act {
            RemovalAction::StopEvacuation { node } => {
                self.operations.upgrades.evacuations.we_stopped(node.clone());
                let stopped = cluster.broker.stop_evacuation(node).await;
                if stopped.is_ok() {
                    let message = format!(
                        "EMQX restored the evacuation of {} in its replaced pod; it is stopped, and the node serves again",
                        node.short()
                    );
                    self.announce(cluster, EventType::Phase, message);
                }
                stopped.map(drop)
            }
            RemovalAction::Evict { pod, uid } => {
                match self.context.kubernetes.evict(&cluster.id.namespace, pod, uid).await {
                    Ok(Eviction::Accepted) => {
                        self.refused.remove(uid);
                        self.announce(cluster, EventType::Phase, format!("{pod} is evicted"));
                        Ok(())
                    }
                    Ok(Eviction::Gone) => Ok(()),
                    Ok(Eviction::Refused(why)) => {
                        let [first, last] = EVICTION_BACK_OFF_SECONDS;
                        let before = self.refused.get(uid).map(|(_, pause)| *pause);
                        let pause = before.map_or(first, |pause| (pause * 2).min(last));
                        let until = now + SignedDuration::from_secs(pause.cast_signed());
                        self.refused.insert(uid.clone(), (until, pause));
                        let message = format!("{pod} is not evicted yet: {why} Retrying in {pause}s.");
                        self.announce(cluster, EventType::Notice, message);
                        Ok(())
                    }
                    Err(problem) => Err(problem),
                }
            }
            RemovalAction::SetCost { .. } | RemovalAction::ClearCost { .. } | RemovalAction::Change => {
                match self.task.change(self.context, cluster, &self.state.pods, &act).await {
                    Ok(None) => {
                        if act == RemovalAction::Change {
                            let message = format!("{}: the number is changed", cluster.id);
                            self.announce(cluster, EventType::Phase, message);
                        }
                        Ok(())
                    }
                    Ok(Some(why)) => {
                        self.notice(cluster, why);
                        Ok(())
                    }
                    Err(problem) => Err(problem),
                }
            }
            RemovalAction::StartEvacuation { .. }
            | RemovalAction::CloseGate { .. }
            | RemovalAction::Wait(_)
            | RemovalAction::Starting(_)
            | RemovalAction::Missing(_)
            | RemovalAction::Needs(_)
            | RemovalAction::Done => Ok(()),
        };
        match outcome {
            Ok(()) => {
                self.failing = None;
                Ok(())
            }
            Err(problem) => self.failed(problem),
        }
    }

    async fn evacuate(&self, cluster: &ClusterView, node: &NodeName) -> Result<(), Problem> {
        let settings = &self.manner.settings;
        let migrate_to = settings.migrate_to.iter().filter(|to| *to != node).cloned().collect();
        let waits = self.manner.waits_for_load_balancers;
        let order = EvacuationOrder { migrate_to, ..EvacuationOrder::of(settings, waits) };
        cluster.broker.evacuate(node, &order).await.map(drop)
    }

    fn wait(&mut self, why: &str, most: Option<u64>, now: Timestamp) -> Option<Judgement> {
        match &self.waits {
            Some((reason, since)) if reason == why => {
                let waited = seconds_between(*since, now);
                (most.is_some_and(|most| waited >= most)).then(|| {
                    Judgement::new(
                        Verdict::Stalled,
                        format!("nothing changed for {}: {why}", duration(waited)),
                    )
                })
            }
            _ => {
                self.waits = Some((why.to_owned(), now));
                None
            }
        }
    }

    /// Renews the leases; a process that lost one must not continue.
    async fn renew(
        &mut self,
        cluster: &ClusterView,
        waiting: &[&ClusterView],
        now: Timestamp,
    ) -> Result<(), Problem> {
        if seconds_between(self.leased, now) < LEASE_SECONDS / 3 {
            return Ok(());
        }
        self.leased = now;
        for it in std::iter::once(&cluster).chain(waiting) {
            match self.context.kubernetes.take_lease(it.instance()?).await {
                Ok(None) => {}
                Ok(Some(other)) => return Err(taken(it, &format!("continue to {}", T::WHAT), &other)),
                Err(problem) => self.failed(problem)?,
            }
        }
        Ok(())
    }

    /// Stores what stays stored after this end.
    async fn store_end(&self, cluster: &ClusterView, judgement: &Judgement) -> Result<(), Problem> {
        if !matches!(
            judgement.verdict,
            Verdict::Done | Verdict::Reverted | Verdict::NodesLost | Verdict::ClientsMissing
        ) {
            return Ok(());
        }
        let (key, _) = self.task.state(&self.state);
        let text = self.task.state_at_end(&self.state);
        self.context.kubernetes.store_state(cluster.instance()?, key, &text, ServerDryRun::No).await
    }

    async fn store(&self, cluster: &ClusterView) -> Result<(), Problem> {
        let (key, text) = self.task.state(&self.state);
        self.context.kubernetes.store_state(cluster.instance()?, key, &text, ServerDryRun::No).await
    }
}
