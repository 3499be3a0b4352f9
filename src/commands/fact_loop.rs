//! The loop of every command that follows: facts of Kubernetes and of EMQX, and the other events that end a
//! wait.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Interrupt};
use crate::model::Fact;
use crate::ports::RefreshScope;
use crate::ports::fact_streams::FactStreams;

/// The interval between two refreshes, in real time.
pub(super) fn refresh_interval(context: &CommandContext) -> Duration {
    Duration::from_secs_f64((1.0 / context.clock.speed().max(0.1)).clamp(0.1, 1.0))
}

/// The event that ended a wait, other than facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// By the user.
    Interrupted,
    /// By `--timeout`.
    TimedOut,
}

/// The facts of one cluster, as they come.
pub(super) struct FactLoop {
    streams: FactStreams,
    /// The time between two requests to EMQX, by the server's clock.
    every: Duration,
    interrupt: Interrupt,
    limit: Pin<Box<dyn Future<Output = ()>>>,
    beat: Interval,
    /// Facts that arrived while the loop waited for something else.
    held: Vec<Fact>,
}

impl FactLoop {
    /// Follows the resources in `want` of this cluster, and asks its EMQX in this interval, until the limit.
    pub(super) fn new(
        context: &CommandContext,
        cluster: &ClusterView,
        want: RefreshScope,
        every: Duration,
        limit: Option<Instant>,
    ) -> Self {
        let scope = cluster_view::exact(context, &cluster.id, want);
        // Displayed times, stalls and verdicts change without facts.
        let mut beat = interval(refresh_interval(context));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut streams = FactStreams::default();
        streams.watch(context.kubernetes.as_ref(), &scope);
        streams.ask(&cluster.id, cluster.target.clone(), cluster.broker.clone(), every);
        Self {
            streams,
            every,
            interrupt: (context.interrupt)(),
            limit: Box::pin(async move {
                match limit {
                    Some(limit) => sleep_until(limit).await,
                    None => std::future::pending().await,
                }
            }),
            beat,
            held: Vec::new(),
        }
    }

    /// Asks EMQX in this interval from now on.
    pub(super) fn ask_every(&mut self, cluster: &ClusterView, every: Duration) {
        self.every = every;
        self.streams.ask_every(&cluster.id, every);
    }

    /// Runs this work and reads both streams in the meantime, because the stream of EMQX's facts may use the
    /// only connection to EMQX.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, WaitEnd> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                () = &mut self.interrupt => return Err(WaitEnd::Interrupted),
                () = &mut self.limit => return Err(WaitEnd::TimedOut),
                done = &mut work => return Ok(done),
                fact = self.streams.next() => self.held.push(fact),
            }
        }
    }

    /// The same for a stop, which has a time limit of its own.
    pub(super) async fn during_stop<T>(&mut self, stop: impl Future<Output = T>) -> Result<T, WaitEnd> {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut self.interrupt => return Err(WaitEnd::Interrupted),
                done = &mut stop => return Ok(done),
                fact = self.streams.next() => self.held.push(fact),
            }
        }
    }

    /// Waits for facts or for the next beat, and applies all available facts to the cluster's world; returns
    /// their notices. An interrupt of the user has precedence, then the time limit, then facts.
    pub(super) async fn next(
        &mut self,
        context: &CommandContext,
        cluster: &mut ClusterView,
    ) -> Result<Vec<String>, WaitEnd> {
        let first = tokio::select! {
            biased;
            () = &mut self.interrupt => return Err(WaitEnd::Interrupted),
            () = &mut self.limit => return Err(WaitEnd::TimedOut),
            () = std::future::ready(()), if !self.held.is_empty() => None,
            fact = self.streams.next() => Some(fact),
            _ = self.beat.tick() => None,
        };
        let mut facts = std::mem::take(&mut self.held);
        facts.extend(first);
        self.streams.burst(&mut facts);
        let world = Rc::make_mut(&mut cluster.world);
        let notices = facts.into_iter().filter_map(|fact| world.apply(fact).notice).collect();
        if cluster.move_along(context) {
            self.streams.ask(&cluster.id, cluster.target.clone(), cluster.broker.clone(), self.every);
        }
        Ok(notices)
    }
}
