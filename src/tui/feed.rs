//! The facts of a live cluster: the lists once, then the watch, and EMQX of each listed cluster. The state
//! decides how often and through which pod EMQX is asked; keys and the number of nodes do not.

use std::rc::Rc;

use futures::future::join_all;
use jiff::Timestamp;

use super::context::Live;
use super::state::State;
use crate::error::Problem;
use crate::model::{Fact, Update};
use crate::ports::Broker;
use crate::ports::fact_streams::FactStreams;

/// The streams of facts.
pub(super) struct Feed {
    live: Live,
    streams: FactStreams,
    /// Whether the watch has begun.
    watching: bool,
    /// [`State::learned`] when the targets were worked out.
    learned: u64,
}

impl Feed {
    pub(super) fn new(live: Live) -> Self {
        Self { live, streams: FactStreams::default(), watching: false, learned: 0 }
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    pub(super) fn now(&self) -> Timestamp {
        self.live.clock.now()
    }

    /// Reads the lists, once.
    pub(super) fn lists(&self) -> impl Future<Output = Result<Vec<Fact>, Problem>> + 'static {
        let (kubernetes, clock) = (self.live.kubernetes.clone(), self.live.clock.clone());
        let scope = self.live.scope.clone();
        async move {
            let served = kubernetes.served().await?;
            let facts = kubernetes.read(&scope).await?;
            let first = Fact { at: clock.now(), update: Update::Served(served) };
            Ok(std::iter::once(first).chain(facts).collect())
        }
    }

    /// Asks EMQX of every listed cluster, once.
    pub(super) fn answers(&self, state: &State) -> impl Future<Output = Vec<Fact>> + 'static {
        let wanted = state.wanted().into_iter();
        let brokers: Vec<Rc<dyn Broker>> =
            wanted.map(|(_, target, _)| self.live.brokers.broker(target)).collect();
        async move {
            let asked = brokers.iter().map(|broker| async { broker.read().await.unwrap_or_default() });
            join_all(asked).await.into_iter().flatten().collect()
        }
    }

    /// Starts the watch.
    pub(super) fn watch(&mut self) {
        self.watching = true;
        self.streams.watch(self.live.kubernetes.as_ref(), &self.live.scope);
    }

    /// Lists and polls everything again, so that a recording that begins now is complete.
    pub(super) fn restart(&mut self) {
        if self.watching {
            self.watch();
        }
        self.streams.ask_only(|_| false);
    }

    /// Asks EMQX now.
    pub(super) fn ask(&mut self) {
        self.streams.ask_now();
    }

    /// Asks the EMQX clusters that the state requests, in its interval, through existing pods.
    pub(super) fn adjust(&mut self, state: &State) {
        if !state.ready {
            return;
        }
        let asked = state.asked();
        self.streams.ask_only(|id| asked.iter().any(|(it, _)| *it == id));
        // The target follows from facts, and takes long to work out where pods are many.
        let learned = std::mem::replace(&mut self.learned, state.learned) != state.learned;
        for (id, every) in asked {
            if learned || self.streams.target(id).is_none() {
                let Some(target) = state.target(id) else { continue };
                let fits = self.streams.target(id).is_some_and(|asked| {
                    // A working connection is kept, even if other pods come and go.
                    *asked == target
                        || (state.receives_from(id) && asked.pods.iter().any(|pod| target.pods.contains(pod)))
                });
                if !fits {
                    let broker = self.live.brokers.broker(target.clone());
                    self.streams.ask(id, target, broker, every);
                    continue;
                }
            }
            self.streams.ask_every(id, every);
        }
    }

    /// The next fact, and all others that are available.
    pub(super) async fn next(&mut self) -> Vec<Fact> {
        let mut facts = vec![self.streams.next().await];
        self.streams.burst(&mut facts);
        facts
    }
}
