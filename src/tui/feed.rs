//! The facts of a live cluster: the lists once, then the watch, and EMQX of each listed cluster. The state
//! decides how often and through which pod EMQX is asked; keys and the number of nodes do not.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;

use super::context::Live;
use super::state::State;
use crate::error::Problem;
use crate::model::{Fact, InstanceId, Target, Update};
use crate::ports::{Broker, FactStream};

/// The most facts that are applied before the next frame: a flood cannot delay a key.
const FACTS_PER_FRAME: usize = 4096;

struct Emqx {
    target: Target,
    every: Duration,
    broker: Rc<dyn Broker>,
    facts: FactStream,
}

/// The streams of facts.
pub(super) struct Feed {
    live: Live,
    objects: Option<FactStream>,
    emqx: BTreeMap<InstanceId, Emqx>,
    /// [`State::learned`] when the targets were worked out.
    learned: u64,
}

impl Feed {
    pub(super) fn new(live: Live) -> Self {
        Self { live, objects: None, emqx: BTreeMap::new(), learned: 0 }
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
        self.objects = Some(self.live.kubernetes.follow(&self.live.scope));
    }

    /// Lists and polls everything again, so that a recording that begins now is complete.
    pub(super) fn restart(&mut self) {
        if self.objects.is_some() {
            self.watch();
        }
        self.emqx.clear();
    }

    /// Asks EMQX now.
    pub(super) fn ask(&mut self) {
        for emqx in self.emqx.values_mut() {
            emqx.facts = emqx.broker.follow(emqx.every);
        }
    }

    /// Asks the EMQX clusters that the state requests, in its interval, through existing pods.
    pub(super) fn adjust(&mut self, state: &State) {
        if !state.ready {
            return;
        }
        let asked = state.asked();
        self.emqx.retain(|id, _| asked.iter().any(|(it, _)| *it == id));
        // The target follows from facts, and takes long to work out where pods are many.
        let learned = std::mem::replace(&mut self.learned, state.learned) != state.learned;
        for (id, every) in asked {
            if learned || !self.emqx.contains_key(id) {
                let Some(target) = state.target(id) else { continue };
                let fits = self.emqx.get(id).is_some_and(|emqx| {
                    // A working connection is kept, even if other pods come and go.
                    emqx.target == target
                        || (state.receives_from(id)
                            && emqx.target.pods.iter().any(|pod| target.pods.contains(pod)))
                });
                if !fits {
                    let broker = self.live.brokers.broker(target.clone());
                    let facts = broker.follow(every);
                    self.emqx.insert(id.clone(), Emqx { target, every, broker, facts });
                    continue;
                }
            }
            if let Some(emqx) = self.emqx.get_mut(id).filter(|emqx| emqx.every != every) {
                emqx.every = every;
                emqx.facts = emqx.broker.follow(every);
            }
        }
    }

    /// The next fact, and all others that are available.
    pub(super) async fn next(&mut self) -> Vec<Fact> {
        let mut facts = vec![poll_fn(|context| self.poll(context)).await];
        while facts.len() < FACTS_PER_FRAME {
            let Some(fact) = poll_fn(|context| self.poll(context)).now_or_never() else { break };
            facts.push(fact);
        }
        facts
    }

    fn poll(&mut self, context: &mut std::task::Context<'_>) -> Poll<Fact> {
        if let Some(objects) = &mut self.objects
            && let Poll::Ready(Some(fact)) = objects.poll_next_unpin(context)
        {
            return Poll::Ready(fact);
        }
        for emqx in self.emqx.values_mut() {
            if let Poll::Ready(Some(fact)) = emqx.facts.poll_next_unpin(context) {
                return Poll::Ready(fact);
            }
        }
        Poll::Pending
    }
}
