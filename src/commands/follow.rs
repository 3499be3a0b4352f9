//! Following an operation to its verdict: facts in, steps out, one loop for every command that watches.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::cluster_view::ClusterView;
use super::fact_loop::{FactLoop, WaitEnd};
use super::follow_output::FollowOutput;
use super::upgrade::guard::Guard;
use super::{CommandContext, history, limit_stop, limits};
use crate::cli::intent::Follow;
use crate::error::{Exit, Problem};
use crate::model::human::utc;
use crate::model::{Event, EventType, HistoryEntry, InstanceId, Judgement, Operation, OperationRef, Verdict};
use crate::plan::limits::{LimitTracker, OperationFacts, Stopping};
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::run::{RebalanceRun, RunKey};
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::plan::upgrade::guard;
use crate::plan::upgrade::target::UpgradeTarget;
use crate::plan::{history as past, next_step};
use crate::ports::RefreshScope;
use crate::timing::{GUARD_END_TIMEOUT, POLL, VERDICT_WAIT_ANNOUNCED};

/// How a follow ended.
#[derive(Debug)]
pub enum FollowEnd {
    Verdict(Verdict),
    /// With a verdict, but a guard could not restore the operator's own delay: why.
    Held(Verdict, Option<Problem>),
    /// A guard finished the clean-up after an upgrade that has ended.
    Tidied,
    /// The time limit was reached.
    TimedOut,
    /// The user interrupted.
    Interrupted,
}

impl From<WaitEnd> for FollowEnd {
    fn from(cut: WaitEnd) -> Self {
        match cut {
            WaitEnd::Interrupted => Self::Interrupted,
            WaitEnd::TimedOut => Self::TimedOut,
        }
    }
}

/// An operation that is followed.
pub struct FollowRequest {
    pub cluster: ClusterView,
    pub operations: OperationTracker,
    /// The name of the followed operation.
    pub name: String,
    /// How it is shown.
    pub output: FollowOutput,
    /// For how long, in real time.
    pub timeout: Option<Duration>,
    /// The guard of a guarded upgrade.
    pub guard: Option<Guard>,
    /// The watched resources.
    pub want: RefreshScope,
    /// Which of the rebalances of this name is followed.
    pub followed: Option<RunKey>,
    /// The limits at which it is stopped.
    pub limits: Option<LimitTracker>,
    /// The verdict of an operation that was stopped at a limit.
    pub stopped: Option<Judgement>,
    /// The limit that was reached by an upgrade that is being rolled back, and what is undone so far.
    pub rollback: Option<(String, Stopping)>,
}

impl FollowRequest {
    /// A follow without a guard.
    pub fn new(
        cluster: ClusterView,
        operations: OperationTracker,
        name: String,
        output: FollowOutput,
    ) -> Self {
        Self {
            cluster,
            operations,
            name,
            output,
            timeout: None,
            guard: None,
            want: RefreshScope::ALL,
            followed: None,
            limits: None,
            stopped: None,
            rollback: None,
        }
    }

    /// The same with the time limit and the limits of how it is followed.
    #[must_use]
    pub(crate) fn limited(self, context: &CommandContext, follow: &Follow) -> Self {
        let limits = limits::tracker(context, &follow.limits);
        Self { limits, timeout: follow.timeout, ..self }
    }

    /// The resources by which a rebalance is judged; all resources with `--record`, for later questions.
    pub(crate) fn wants(follow: &Follow) -> RefreshScope {
        if follow.record.is_some() { RefreshScope::ALL } else { RefreshScope::REBALANCE }
    }

    /// Follows to the verdict, the time limit, or an interrupt.
    pub(crate) async fn run(mut self, context: &CommandContext) -> Result<Exit, Problem> {
        Ok(match self.ended(context).await? {
            Some(verdict) => verdict.exit(),
            None => Exit::Reached,
        })
    }

    /// The verdict; `None` when there was only a clean-up.
    pub(crate) async fn ended(&mut self, context: &CommandContext) -> Result<Option<Verdict>, Problem> {
        history::begins(context, &self.cluster.id, OperationRef::of(&self.name).operation());
        let mut ended = self.look(context).await;
        if matches!(ended, Ok(FollowEnd::TimedOut))
            && let Some((why, mut stopping)) = self.rollback.take()
        {
            let name = &self.cluster.id.name;
            stopping.kept.push(format!(
                "time ran out before the rollback ended: kubectl emqx upgrade watch {name} follows it"
            ));
            ended = Err(self.stopped(context, &why, &stopping));
        }
        self.output.finish();
        if let Some(tap) = &context.tap {
            tap.ends(context.clock.now());
        }
        self.output.notified(context, true).await;
        let verdict = match &ended {
            Ok(FollowEnd::Verdict(_) | FollowEnd::Held(..)) => self.judged(),
            Err(_) => self.stopped.take(),
            Ok(_) => None,
        };
        if let Some(verdict) = verdict {
            let object = Box::pin(self.record(context)).await;
            if let Some(entry) = self.entry(context, verdict) {
                Box::pin(history::record(context, entry, object)).await;
            }
        }
        match ended? {
            FollowEnd::Verdict(verdict) => Ok(Some(verdict)),
            FollowEnd::Held(verdict, problem) => Err(held(&self.cluster.id, verdict, problem)),
            FollowEnd::Tidied => Ok(None),
            FollowEnd::TimedOut => {
                let name = &self.name;
                let what = match self.operations.silent_since(name) {
                    Some(since) => format!(
                        "time ran out, and EMQX has not answered since {}: whether {name} is still running is not known",
                        utc(since)
                    ),
                    None => {
                        format!("time ran out while {name} is {}", self.operations.standing(name).words())
                    }
                };
                Err(left(&self.cluster, name, &what).exit(Exit::TimedOut))
            }
            FollowEnd::Interrupted => Err(left(&self.cluster, &self.name, "interrupted").interrupted()),
        }
    }

    /// How the followed operation ended.
    fn judged(&self) -> Option<Judgement> {
        match OperationRef::of(&self.name).operation() {
            Operation::Upgrade => self.operations.upgrade(&self.name)?.verdict.clone(),
            _ => self.operations.rebalances.keyed(self.followed.as_ref()?)?.verdict.clone(),
        }
    }

    /// The entry for the history.
    fn entry(&self, context: &CommandContext, verdict: Judgement) -> Option<HistoryEntry> {
        let (id, now) = (&self.cluster.id, context.clock.now());
        if OperationRef::of(&self.name).operation() == Operation::Upgrade {
            return Some(past::of_upgrade(self.operations.upgrade(&self.name)?, verdict, now));
        }
        let run = self.operations.rebalances.keyed(self.followed.as_ref()?)?;
        Some(past::of_rebalance(run, id, verdict, now))
    }

    /// Records the verdict of a rebalance on its object, for later commands of any user; whether there is an object. A failure
    /// to record it does not change the verdict.
    async fn record(&mut self, context: &CommandContext) -> bool {
        let run = self.followed.as_ref().and_then(|key| self.operations.rebalances.keyed(key));
        let Some(run) = run else { return false };
        let Some((object, record)) = run.to_record(context.clock.now()) else {
            return run.object.as_ref().is_some_and(|object| object.recorded.is_some() && !run.is_deleted());
        };
        history::annotate(context, object, &record).await;
        true
    }

    async fn look(&mut self, context: &CommandContext) -> Result<FollowEnd, Problem> {
        let limit = self.timeout.map(|limit| Instant::now() + limit);
        let mut facts = FactLoop::new(context, &self.cluster, self.want, POLL, limit);
        let mut finish_past: Option<(Event, Instant)> = None;
        let mut announced = false;
        loop {
            // What begins after the verdict is another operation.
            if let Some(word) = self.observe(context, finish_past.is_some()) {
                finish_past.get_or_insert((word, Instant::now()));
            }
            self.output.notified(context, false).await;
            let limit = if finish_past.is_none() { self.limit(context) } else { None };
            if let Some(why) = limit {
                let (cluster, name, guarded) = (&self.cluster, &self.name, self.guard.is_some());
                let stopped = facts.during_stop(stop(context, cluster, name, guarded, &why)).await;
                let stopped = stopped.unwrap_or_else(|_| Err(limits::interrupted()));
                match stopped {
                    Ok(limit_stop::LimitStop::Over) => self.limits = None,
                    Ok(limit_stop::LimitStop::RollsBack(stopping)) => {
                        self.limits = None;
                        let message =
                            format!("{}: the rollback is followed to its end", stopping.undone.join(", "));
                        let event = self.event(context, EventType::Notice, message);
                        self.output.event(context, &event);
                        self.rollback = Some((why, stopping));
                    }
                    Ok(limit_stop::LimitStop::Done(stopping)) => {
                        return Err(self.stopped(context, &why, &stopping));
                    }
                    Err(problem) => {
                        let problem = limits::not_stopped(&self.name, &why, problem);
                        let event = self.event(context, EventType::Notice, problem.to_string());
                        self.output.event(context, &event);
                        return Err(problem);
                    }
                }
            }
            let over = match &mut self.guard {
                None => false,
                Some(guard) => {
                    let turn = guard.turn(context, &self.cluster, &mut self.output);
                    let over = match facts.during(turn).await {
                        Ok(over) => over,
                        Err(cut) => return Ok(cut.into()),
                    };
                    let over = match (over, &finish_past) {
                        (Ok(over), _) => over,
                        (Err(problem), None) => return Err(problem),
                        // The operation has ended and the remaining step failed: report both.
                        (Err(problem), Some((word, _))) => {
                            self.output.event(context, word);
                            return Ok(FollowEnd::Held(
                                word.verdict.unwrap_or(Verdict::Unknown),
                                Some(problem),
                            ));
                        }
                    };
                    if over && finish_past.is_none() && self.operations.upgrade(&self.name).is_none() {
                        return Ok(FollowEnd::Tidied);
                    }
                    over
                }
            };
            if let Some((word, _)) = &finish_past
                && let Some((why, stopping)) = self.rollback.take()
            {
                return Err(self.rolled_back(context, &why, stopping, word));
            }
            if let Some((word, since)) = &finish_past {
                let verdict = word.verdict.unwrap_or(Verdict::Unknown);
                // After a success, or after another client ended the operation, pods that the guard took out
                // of the Service remain to be reopened. After a failure everything stays as it is, with the
                // operator paused.
                let tidies = self.guard.is_some() && !over && since.elapsed() < GUARD_END_TIMEOUT;
                let well = matches!(
                    verdict,
                    Verdict::Upgraded | Verdict::Reverted | Verdict::ClientsMissing | Verdict::Superseded
                );
                if tidies && well && !announced && since.elapsed() >= VERDICT_WAIT_ANNOUNCED {
                    announced = true;
                    let message = word.reason.as_deref().unwrap_or(&word.message);
                    self.output
                        .notice(context, &format!("{message}; the last steps of the guard take up to 60 s"));
                }
                if !(tidies && well) {
                    self.output.event(context, word);
                    // Messages are printed above the inline view, which keeps its last state.
                    let now = context.clock.now();
                    self.output.draw(context, &self.cluster, &self.operations, &self.name, now);
                    let kept = guard::unfinished(&self.cluster.world, &self.cluster.id);
                    return Ok(match kept.filter(|_| self.guard.is_some()) {
                        // An exit code of 0 would mean that nothing remains to be done.
                        Some(_) if verdict.is_reached() && !over => FollowEnd::Held(verdict, None),
                        Some(kept) => {
                            self.output.notice(context, &kept);
                            FollowEnd::Verdict(verdict)
                        }
                        None => FollowEnd::Verdict(verdict),
                    });
                }
            }
            match facts.next(context, &mut self.cluster).await {
                Ok(notices) => notices.iter().for_each(|notice| self.output.notice(context, notice)),
                Err(cut) => return Ok(cut.into()),
            }
        }
    }

    /// Compares the operation with its limits; returns why it has to be stopped, if it has to.
    fn limit(&mut self, context: &CommandContext) -> Option<String> {
        let now = context.clock.now();
        let rebalance = self.operations.rebalances.run(&self.name);
        let upgrade = self.operations.upgrade(&self.name);
        let left = rebalance.and_then(|run| run.left).map(|left| left.seconds);
        let known = OperationFacts {
            start: rebalance.and_then(|run| run.start.as_ref()).and_then(Counts::known_connections),
            eta_seconds: left.or(upgrade.and_then(|run| run.seconds)),
        };
        let outcomes = self.limits.as_mut()?.observe(self.cluster.answers(), known, now);
        if !outcomes.is_empty() {
            self.output.pause();
        }
        let mut stop = None;
        for outcome in outcomes {
            let (message, why) = outcome.into_notice();
            stop = stop.or(why);
            let event = self.event(context, EventType::Notice, message);
            self.output.event(context, &event);
        }
        stop
    }

    /// An event of the followed operation.
    fn event(&self, context: &CommandContext, kind: EventType, message: String) -> Event {
        let now = context.clock.now();
        match self.operations.rebalances.run(&self.name) {
            Some(run) => run.report(now, kind, message),
            None => {
                Event::of(now, kind, OperationRef::of(&self.name).operation(), self.name.clone(), message)
            }
        }
    }

    /// The last event of an operation that reached a limit, and the problem with which the follow ends.
    fn stopped(&mut self, context: &CommandContext, why: &str, stopping: &Stopping) -> Problem {
        let reason = format!("{why}; {}", stopping.sentence());
        let judgement = Judgement::new(Verdict::Stopped, reason);
        let event = self.event(context, EventType::Verdict, judgement.sentence());
        self.output.event(context, &event.judged(judgement.clone()));
        self.stopped = Some(judgement);
        let hint = format!("kubectl emqx status {}", self.cluster.id.name);
        limits::reached(&self.name, why, hint)
    }

    /// The end of the rollback of an upgrade that reached a limit.
    fn rolled_back(
        &mut self,
        context: &CommandContext,
        why: &str,
        mut stopping: Stopping,
        word: &Event,
    ) -> Problem {
        let end = Judgement::new(
            word.verdict.unwrap_or(Verdict::Unknown),
            word.reason.as_deref().unwrap_or(&word.message),
        );
        if end.verdict == Verdict::Reverted {
            stopping.undone.push(end.message);
        } else {
            stopping.kept.push(format!("the rollback ended {}", end.sentence()));
        }
        stopping.kept.push("disconnections of clients".to_owned());
        self.stopped(context, why, &stopping)
    }

    /// Observes the world and prints the events; returns the event of the verdict, which is printed when
    /// everything is done.
    fn observe(&mut self, context: &CommandContext, judged: bool) -> Option<Event> {
        let now: Timestamp = context.clock.now();
        let mut last = None;
        let events = self.operations.observe(&self.cluster.world, now);
        // An object with this name may be created again: that is another operation, and the first one is
        // followed.
        // EMQX's entry has the name of its object as soon as that is known.
        if let Some(run) = self.followed.as_ref().and_then(|key| self.operations.rebalances.keyed(key)) {
            (self.followed, self.name) = (Some(run.key()), run.name.clone());
        }
        if self.followed.is_none() {
            self.followed = self.operations.rebalances.run(&self.name).map(RebalanceRun::key);
        }
        for event in events {
            // A purge disconnects the clients of the whole cluster, and so concerns every followed operation.
            if event.operation == Operation::Purge {
                self.output.event(context, &event);
                continue;
            }
            if event.name != self.name || judged {
                continue;
            }
            let run = self.followed.as_ref().and_then(|key| self.operations.rebalances.keyed(key));
            let is_open = run.is_some_and(|run| run.verdict.is_none());
            if event.kind == EventType::Verdict && !is_open {
                last.get_or_insert(event);
            } else {
                self.output.event(context, &event);
            }
        }
        self.output.draw(context, &self.cluster, &self.operations, &self.name, now);
        last
    }
}

/// Stops the operation of this name.
async fn stop(
    context: &CommandContext,
    cluster: &ClusterView,
    name: &str,
    guarded: bool,
    why: &str,
) -> Result<limit_stop::LimitStop, Problem> {
    match OperationRef::of(name).operation() {
        Operation::Upgrade => {
            let held = cluster.instance().is_ok_and(|instance| UpgradeTarget::resumed(instance).is_some());
            limit_stop::upgrade(context, cluster, guarded || held, why).await
        }
        _ => limit_stop::rebalance(context, cluster, name, why).await,
    }
}

/// The message for an operation that is still running when the follow ends.
pub(crate) fn left(cluster: &ClusterView, name: &str, what: &str) -> Problem {
    let (why, hint) = next_step::still_running(&cluster.world, &cluster.id, name);
    Problem::new(what, why).hint(hint)
}

/// An upgrade is over, and the operator's own delay could not be restored: the next change of the pod
/// template would wait for a year.
fn held(id: &InstanceId, verdict: Verdict, problem: Option<Problem>) -> Problem {
    let name = &id.name;
    let what = format!("{}, but the operator's delay is still held by kubectl emqx", verdict.words());
    let why = problem.map_or_else(
        || "the operator's own delay could not be restored in time".to_owned(),
        |problem| problem.to_string(),
    );
    Problem::new(what, why)
        .hint(format!("kubectl emqx upgrade watch {name} finishes it"))
        .exit(Exit::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ApiVersion;
    use crate::plan::fixtures;

    #[test]
    fn an_upgrade_whose_delay_is_still_held_exits_5_and_names_the_command_that_finishes_it() {
        let id = fixtures::id(ApiVersion::V1beta4);
        for (why, problem) in [
            ("could not be restored in time", None),
            ("patch emqxenterprises", Some(Problem::new("user u may not patch emqxenterprises", ""))),
        ] {
            let held = held(&id, Verdict::Upgraded, problem);
            assert_eq!(held.exit, Exit::TimedOut);
            assert!(held.what.contains("the operator's delay is still held"), "{held:?}");
            assert!(held.why.contains(why), "{held:?}");
            assert_eq!(held.hint.as_deref(), Some("kubectl emqx upgrade watch emqx finishes it"));
        }
    }
}
