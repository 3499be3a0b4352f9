//! All facts of a follow, as they come: the objects of Kubernetes, and the answers of the EMQX of each cluster. The view and
//! every command that follows read these streams; what they do between two facts is their own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::Fuse;
use futures::{FutureExt, StreamExt};

use super::{Broker, FactStream, Kubernetes, Scope};
use crate::model::{Fact, InstanceId, Target};

/// The most facts that are applied at once: a burst of a thousand pods is one refresh, and a flood does not delay a key.
const BURST: usize = 4096;

/// The answers of one EMQX.
struct Answers {
    target: Target,
    /// The time between two requests, by the server's clock.
    every: Duration,
    follow: Box<dyn Fn(Duration) -> FactStream>,
    facts: Fuse<FactStream>,
}

/// The streams of a follow. Facts of Kubernetes come before those of EMQX.
#[derive(Default)]
pub(crate) struct FactStreams {
    objects: Option<Fuse<FactStream>>,
    answers: BTreeMap<InstanceId, Answers>,
}

impl FactStreams {
    /// Lists and watches this scope, instead of the one before.
    pub(crate) fn watch(&mut self, kubernetes: &dyn Kubernetes, scope: &Scope) {
        self.objects = Some(kubernetes.follow(scope).fuse());
    }

    /// Asks the EMQX of a cluster in this interval, at once for the first time.
    pub(crate) fn ask(&mut self, id: &InstanceId, target: Target, broker: Rc<dyn Broker>, every: Duration) {
        self.ask_by(id, target, Box::new(move |every| broker.follow(every)), every);
    }

    fn ask_by(
        &mut self,
        id: &InstanceId,
        target: Target,
        follow: Box<dyn Fn(Duration) -> FactStream>,
        every: Duration,
    ) {
        let facts = follow(every).fuse();
        self.answers.insert(id.clone(), Answers { target, every, follow, facts });
    }

    /// Asks this EMQX in another interval; the same interval changes nothing.
    pub(crate) fn ask_every(&mut self, id: &InstanceId, every: Duration) {
        if let Some(answers) = self.answers.get_mut(id).filter(|answers| answers.every != every) {
            answers.every = every;
            answers.facts = (answers.follow)(every).fuse();
        }
    }

    /// Asks every EMQX now, and then in its interval.
    pub(crate) fn ask_now(&mut self) {
        for answers in self.answers.values_mut() {
            answers.facts = (answers.follow)(answers.every).fuse();
        }
    }

    /// Asks only these clusters from now on.
    pub(crate) fn ask_only(&mut self, of: impl Fn(&InstanceId) -> bool) {
        self.answers.retain(|id, _| of(id));
    }

    /// Where the EMQX of a cluster is asked; `None` where it is not.
    pub(crate) fn target(&self, id: &InstanceId) -> Option<&Target> {
        self.answers.get(id).map(|answers| &answers.target)
    }

    /// The next fact. It waits without an end when every stream has ended.
    pub(crate) async fn next(&mut self) -> Fact {
        poll_fn(|context| self.poll(context)).await
    }

    /// Adds the facts that are available, without waiting for more.
    pub(crate) fn burst(&mut self, facts: &mut Vec<Fact>) {
        while facts.len() < BURST {
            let Some(fact) = self.next().now_or_never() else { break };
            facts.push(fact);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fact> {
        let answers = self.answers.values_mut().map(|answers| &mut answers.facts);
        for stream in self.objects.iter_mut().chain(answers) {
            if let Poll::Ready(Some(fact)) = stream.poll_next_unpin(context) {
                return Poll::Ready(fact);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::stream;
    use jiff::Timestamp;

    use super::*;
    use crate::model::{ApiPort, BrokerUpdate, InstanceKind, Link, Source, Update};

    fn id() -> InstanceId {
        InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() }
    }

    fn target() -> Target {
        Target {
            instance: id(),
            pods: Vec::new(),
            addressed: BTreeMap::new(),
            hidden: None,
            port: ApiPort { port: 18083, tls: false },
            v4: false,
        }
    }

    fn object() -> Fact {
        Fact { at: Timestamp::UNIX_EPOCH, update: Update::Link(Source::Kubernetes, "Pod", Link::Up) }
    }

    fn answer() -> Fact {
        Fact::answer(Timestamp::UNIX_EPOCH, &id(), BrokerUpdate::Nodes(Vec::new()))
    }

    /// Streams of these numbers of facts, and the intervals in which EMQX was asked.
    fn streams(objects: usize, answers: usize) -> (FactStreams, Rc<RefCell<Vec<Duration>>>) {
        let facts = stream::iter((0..objects).map(|_| object()));
        let mut streams =
            FactStreams { objects: Some((Box::pin(facts) as FactStream).fuse()), ..FactStreams::default() };
        let asked: Rc<RefCell<Vec<Duration>>> = Rc::default();
        let intervals = asked.clone();
        let follow = move |every| -> FactStream {
            intervals.borrow_mut().push(every);
            Box::pin(stream::iter((0..answers).map(|_| answer())))
        };
        streams.ask_by(&id(), target(), Box::new(follow), Duration::from_secs(1));
        (streams, asked)
    }

    #[test]
    fn a_burst_has_the_facts_of_kubernetes_first_and_an_end() {
        let (mut streams, _) = streams(2, BURST);
        let mut facts = Vec::new();
        streams.burst(&mut facts);
        assert_eq!(facts.len(), BURST);
        assert_eq!(facts[..3], [object(), object(), answer()]);
        facts.clear();
        streams.burst(&mut facts);
        assert_eq!(facts, [answer(), answer()]);
        assert!(streams.next().now_or_never().is_none(), "a stream that ended is not polled again");
    }

    #[test]
    fn emqx_is_asked_again_at_once_for_another_interval_and_on_request() {
        let (mut streams, asked) = streams(0, 1);
        let (one, five) = (Duration::from_secs(1), Duration::from_secs(5));
        streams.ask_every(&id(), one);
        assert_eq!(*asked.borrow(), [one]);
        streams.ask_every(&id(), five);
        streams.ask_now();
        assert_eq!(*asked.borrow(), [one, five, five]);
        assert_eq!(streams.target(&id()), Some(&target()));
        streams.ask_only(|_| false);
        assert!(streams.target(&id()).is_none() && streams.next().now_or_never().is_none());
    }
}
