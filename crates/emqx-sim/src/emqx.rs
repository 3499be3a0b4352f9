//! The handle through which every part of this crate accesses the simulated EMQX: the REST server, the
//! operator, the kubelet. It advances the broker to the clock's time before each access.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::broker::Broker;
use super::clock::Clock;
use super::scenario::{Answer, Api, Scenario};

/// A key of EMQX's REST API (v4: an application) and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedKey {
    /// The key, v4: the application's id.
    pub key: String,
    pub secret: String,
    /// Whether it may only read.
    pub viewer: bool,
    /// What it is limited to; EMQX 5.10 and later.
    pub scope: Option<Scope>,
}

/// The restriction of a key of EMQX 5.10 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Statistics.
    Monitoring,
    /// Nodes, cluster and rebalance.
    ClusterOperations,
}

impl Scope {
    /// Whether a path that begins with this part is within it (seen on EMQX 5.10.4).
    pub fn covers(self, first: &str) -> bool {
        match self {
            Self::Monitoring => matches!(first, "stats" | "monitor_current"),
            Self::ClusterOperations => matches!(first, "nodes" | "cluster" | "load_rebalance"),
        }
    }
}

/// A request for EMQX's REST API, before it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The index of the node that was asked.
    pub node: usize,
    pub method: &'a str,
    /// The path, decoded.
    pub path: &'a str,
}

/// A replacement for the normal answer to one request.
#[derive(Clone)]
pub enum Odd {
    Never,
    /// The normal answer, after a pause of virtual time.
    Late(Duration),
    /// This status and this body.
    Instead(u16, String),
    /// The normal answer, with this change of the body.
    Changed(Arc<dyn Fn(&mut Value) + Send + Sync>),
}

type Intercept = Arc<dyn Fn(&Question<'_>) -> Option<Odd> + Send + Sync>;

/// The simulated EMQX cluster; clones are the same cluster.
#[derive(Clone)]
pub struct Emqx(Arc<Inner>);

struct Inner {
    clock: Clock,
    api: Api,
    broker: Mutex<Broker>,
    answer: Mutex<Option<Answer>>,
    intercept: Mutex<Option<Intercept>>,
    keys: Vec<SimulatedKey>,
}

impl Emqx {
    /// The cluster of a scenario on a clock.
    pub fn new(scenario: &Scenario, clock: Clock) -> Self {
        let (name, secret) = match scenario.api {
            Api::V1beta4 => ("emqx_operator_controller", SECRET_V4),
            _ => ("emqx-operator-controller", SECRET),
        };
        let key = |key: &str, secret: &str, viewer| SimulatedKey {
            key: key.to_owned(),
            secret: secret.to_owned(),
            viewer,
            scope: None,
        };
        let scoped =
            |name: &str, scope| SimulatedKey { scope: Some(scope), ..key(name, SECRET_SCOPED, false) };
        Self(Arc::new(Inner {
            clock,
            api: scenario.api,
            broker: Mutex::new(Broker::new(scenario)),
            answer: Mutex::new(None),
            intercept: Mutex::new(None),
            keys: vec![
                key(name, secret, false),
                key("viewer", "viewer-may-only-look-4Kd9", true),
                scoped("monitoring", Scope::Monitoring),
                scoped("cluster-operations", Scope::ClusterOperations),
            ],
        }))
    }

    /// Reads or changes the broker in its present state.
    pub fn with<R>(&self, look: impl FnOnce(&mut Broker) -> R) -> R {
        let now = self.0.clock.elapsed();
        let mut broker = self.0.broker.lock().unwrap_or_else(PoisonError::into_inner);
        broker.advance_to(now);
        look(&mut broker)
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The API that it serves.
    pub fn api(&self) -> Api {
        self.0.api
    }

    /// The operator's key, which the Secret holds.
    pub fn key(&self) -> &SimulatedKey {
        &self.0.keys[0]
    }

    /// A key that may only read; not in the Secret.
    pub fn viewer_key(&self) -> &SimulatedKey {
        &self.0.keys[1]
    }

    /// A key that is limited to this scope; not in the Secret.
    pub fn scoped_key(&self, scope: Scope) -> &SimulatedKey {
        &self.0.keys[if scope == Scope::Monitoring { 2 } else { 3 }]
    }

    /// The key with this name and secret.
    pub(super) fn known(&self, key: &str, secret: &str) -> Option<&SimulatedKey> {
        self.0.keys.iter().find(|known| known.key == key && known.secret == secret)
    }

    /// The answer that replaces every normal one.
    pub fn answer(&self) -> Option<Answer> {
        self.0.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a function that decides about every request before it is answered.
    pub fn intercept(&self, decide: impl Fn(&Question<'_>) -> Option<Odd> + Send + Sync + 'static) {
        *self.0.intercept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(decide));
    }

    /// The decision about a request.
    pub(super) fn odd(&self, asked: &Question<'_>) -> Option<Odd> {
        let decide = self.0.intercept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        decide.and_then(|decide| decide(asked))
    }

    /// Replaces every answer from now on; `None` restores the normal ones.
    pub fn set_answer(&self, answer: Option<Answer>) {
        *self.0.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

/// Random-looking, and the same each time: these open nothing but the simulated cluster.
const SECRET: &str = "Zq7wT1nX4cVbR9sLk2PdJf6HgYmE8aUo";
const SECRET_SCOPED: &str = "mR7bX2kVq9TzL4nPcW6sYd1HfJ8gEa3U";
const SECRET_V4: &str = "uX3kQ9vTzB1nM7cLpR5sWd8FhJ2gYe6AiKoN4bVtCxZqEwHrUyGmSaDfPjLk0T3v";
