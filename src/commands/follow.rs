//! Following an operation to its verdict: facts in, steps out, one loop for every verb that watches.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;

use super::face::Face;
use super::gather::{self, Gathered};
use super::{Hands, Interrupt};
use crate::cli::intent::InstanceName;
use crate::error::{Exit, Problem};
use crate::model::{Fact, Verdict};
use crate::plan::follow::{Follower, Run};
use crate::seam::Want;

/// How often EMQX is asked, by the server's clock.
const POLL: Duration = Duration::from_secs(1);

/// Facts that are taken in before the next look; a burst of a thousand pods is one look, and a flood cannot starve the
/// keyboard.
const BURST: usize = 4096;

/// How a follow ended.
#[derive(Debug)]
pub enum Ended {
    /// With a verdict.
    Verdict(Verdict),
    /// Time ran out.
    TimedOut,
    /// The user interrupted.
    Interrupted,
}

/// An operation that is followed.
pub struct Following {
    /// The cluster.
    pub gathered: Gathered,
    /// Who looks.
    pub follower: Follower,
    /// What is followed.
    pub name: String,
    /// How it is shown.
    pub face: Face,
    /// For how long, by the clock on the wall.
    pub timeout: Option<Duration>,
}

impl Following {
    /// Follows to the verdict, the time limit, or an interrupt.
    pub async fn run(mut self, hands: &Hands) -> Result<Exit, Problem> {
        let ended = self.look(hands).await;
        let verdict = self.follower.run(&self.name).and_then(|run| run.verdict.clone());
        self.face.finish();
        let name = &self.name;
        match ended {
            Ended::Verdict(verdict) => Ok(verdict.exit()),
            Ended::TimedOut => {
                let standing = self.follower.run(name).map_or(Verdict::Running, Run::standing);
                let word = verdict.map_or(standing, |it| it.0).as_str();
                Err(Problem::new(format!("time ran out while {name} is {word}"), "it goes on in the cluster")
                    .hint(way(name))
                    .exit(Exit::TimedOut))
            }
            Ended::Interrupted => Err(Problem::new(
                "interrupted",
                format!("{name} goes on in the cluster; nothing was held by us"),
            )
            .hint(way(name))
            .exit(Exit::Interrupted)),
        }
    }

    async fn look(&mut self, hands: &Hands) -> Ended {
        let name = InstanceName { kind: Some(self.gathered.id.kind), name: self.gathered.id.name.clone() };
        let mut scope = gather::scope(hands, Some(&name), Want::ALL);
        scope.namespace = Some(self.gathered.id.namespace.clone());
        let mut objects = hands.kubernetes.follow(&scope).fuse();
        let mut emqx = self.gathered.broker.follow(POLL).fuse();
        let mut interrupt: Interrupt = (hands.interrupt)();
        let limit = self.timeout;
        let mut out_of_time = std::pin::pin!(async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        });
        // The clock on the screen, and stalls, move on without facts.
        let beat = Duration::from_secs_f64((1.0 / hands.clock.speed().max(0.1)).clamp(0.1, 1.0));
        let mut beat = tokio::time::interval(beat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        if let Some(verdict) = self.observe(hands) {
            return Ended::Verdict(verdict);
        }
        loop {
            // The user first; then the wall clock; then what is new.
            let first: Option<Fact> = tokio::select! {
                biased;
                () = &mut interrupt => return Ended::Interrupted,
                () = &mut out_of_time => return Ended::TimedOut,
                Some(fact) = objects.next() => Some(fact),
                Some(fact) = emqx.next() => Some(fact),
                _ = beat.tick() => None,
            };
            let mut facts: Vec<Fact> = first.into_iter().collect();
            while facts.len() < BURST {
                let Some(Some(fact)) = objects.next().now_or_never() else { break };
                facts.push(fact);
            }
            while facts.len() < BURST {
                let Some(Some(fact)) = emqx.next().now_or_never() else { break };
                facts.push(fact);
            }
            self.take(hands, facts);
            if let Some(verdict) = self.observe(hands) {
                return Ended::Verdict(verdict);
            }
        }
    }

    fn take(&mut self, hands: &Hands, facts: Vec<Fact>) {
        for fact in facts {
            if let Some(notice) = self.gathered.world.apply(fact).notice {
                self.face.notice(hands, &notice);
            }
        }
    }

    fn observe(&mut self, hands: &Hands) -> Option<Verdict> {
        let now: Timestamp = hands.clock.now();
        let events = self.follower.observe(&self.gathered.world, now);
        for event in events.iter().filter(|event| event.name == self.name) {
            self.face.event(hands, event);
        }
        let run = self.follower.run(&self.name)?;
        self.face.draw(hands, &self.gathered, run, now);
        run.verdict.as_ref().map(|verdict| verdict.0)
    }
}

/// How to go on by hand.
pub fn way(name: &str) -> String {
    format!("kubectl emqx rebalance watch {name} follows it, kubectl emqx rebalance stop {name} stops it")
}
