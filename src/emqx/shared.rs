//! Requests to one EMQX: one kept connection at a time, and another pod when the present one fails.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use hyper::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use super::endpoint::{EmqxEndpoint, Transport};
use super::error::{Failure, failure};
use super::http::{EmqxConnection, HttpResponse, Lost};
use super::wire::STATUS_PATH;
use crate::error::Problem;
use crate::model::{BrokerUpdate, EmqxUrl, Fact, NodeName, Target};
use crate::ports::{ApiKey, Clock, Credentials, RecordingSink};
use crate::timing::{GLOBAL_STATUS_TIMEOUTS, KEY_SOON, LONGEST_STEP, NODE_NAME_TIMEOUT, SHORTEST_PAUSE};

/// The most pods on which a single request is tried, where each of them fails at once.
const POD_TRIES: usize = 8;

/// What a broker and its streams share.
pub(super) struct Shared {
    pub(super) endpoint: EmqxEndpoint,
    pub(super) credentials: Rc<dyn Credentials>,
    pub(super) clock: Rc<dyn Clock>,
    pub(super) tap: Option<Rc<dyn RecordingSink>>,
    pub(super) target: Rc<Target>,
    pub(super) time_limit: Duration,
    /// The one connection. The lock makes requests wait for one another, as HTTP/1.1 wants it.
    pub(super) connection: Mutex<Option<EmqxConnection>>,
    /// The index of the present pod or address.
    pub(super) pod: Cell<usize>,
    pub(super) key: RefCell<Option<ApiKey>>,
    /// Whether the list of nodes came in this round, so that EMQX answers.
    pub(super) nodes_answered: Cell<bool>,
    /// Whether the pod of this round responded with an error.
    pub(super) erred: Cell<bool>,
    /// `/api/v4` or `/api/v5`; at a URL not known before the first answer.
    pub(super) v4: Cell<Option<bool>>,
    /// Since when cluster-wide calls have had no response, although the queried node itself responds.
    pub(super) hangs: Cell<Option<Timestamp>>,
    /// Coordinators of rebalances whose donors were asked for their start.
    pub(super) begun: RefCell<BTreeSet<NodeName>>,
}

/// How a request failed.
pub(super) enum Failed {
    /// There was no answer.
    Lost(Lost),
    /// There is no key.
    Keyless(Problem),
}

impl Shared {
    pub(super) fn new(
        endpoint: EmqxEndpoint,
        credentials: Rc<dyn Credentials>,
        clock: Rc<dyn Clock>,
        tap: Option<Rc<dyn RecordingSink>>,
        target: Rc<Target>,
        time_limit: Duration,
    ) -> Self {
        let v4 = matches!(endpoint, EmqxEndpoint::Pods { .. }).then_some(target.v4);
        Self {
            endpoint,
            credentials,
            clock,
            tap,
            target,
            time_limit,
            connection: Mutex::new(None),
            pod: Cell::new(0),
            key: RefCell::new(None),
            nodes_answered: Cell::new(false),
            erred: Cell::new(false),
            v4: Cell::new(v4),
            hangs: Cell::new(None),
            begun: RefCell::default(),
        }
    }

    /// A client of this cluster with a separate connection, whose list of pods begins with the pod `later`
    /// places further.
    pub(super) fn beside(&self, later: usize) -> Self {
        let shared = Self::new(
            self.endpoint.clone(),
            self.credentials.clone(),
            self.clock.clone(),
            self.tap.clone(),
            self.target.clone(),
            self.time_limit,
        );
        shared.pod.set(self.pod.get().wrapping_add(later));
        shared.v4.set(self.v4.get());
        shared.key.borrow_mut().clone_from(&self.key.borrow());
        shared
    }

    pub(super) fn current_transport(&self) -> Transport {
        self.endpoint.transport(&self.target, self.pod.get())
    }

    /// The present target of the connection, for messages.
    pub(super) fn name(&self) -> String {
        EmqxEndpoint::name(&self.target, &self.current_transport())
    }

    pub(super) async fn key(&self) -> Result<ApiKey, Problem> {
        let known = self.key.borrow().clone();
        if let Some(key) = known {
            return Ok(key);
        }
        let key = self.credentials.key(&self.target.instance, self.target.v4).await?;
        *self.key.borrow_mut() = Some(key.clone());
        Ok(key)
    }

    /// One request over the kept connection. A connection that broke while it was idle is replaced at once;
    /// after the failure of a fresh one the next pod is used, and the caller decides whether to try again.
    pub(super) async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<HttpResponse, Failed> {
        self.endpoint.passable(&self.target).map_err(Failed::Lost)?;
        let key = self.key_while_opening().await?;
        let mut slot = self.connection.lock().await;
        loop {
            let mut connection = match slot.take().filter(|connection| !connection.is_stale()) {
                Some(connection) => connection,
                None => self
                    .endpoint
                    .open(&self.target, &self.current_transport(), self.time_limit)
                    .await
                    .map_err(|lost| self.next_pod(lost))?,
            };
            let idle = connection.was_used();
            let repeatable = *method == Method::GET;
            let time_limit = if path.ends_with(STATUS_PATH) && self.nodes_answered.get() {
                self.time_limit * GLOBAL_STATUS_TIMEOUTS
            } else {
                self.time_limit
            };
            match connection.ask_within(time_limit, method, path, Some(&key), body).await {
                Ok(answer) => {
                    if answer.status == 401 {
                        // The Secret may have been changed since it was read.
                        *self.key.borrow_mut() = None;
                    }
                    *slot = Some(connection);
                    return Ok(answer);
                }
                Err(Lost::Unsent(_)) if idle => {}
                // A request that timed out is not repeated here: the caller would wait twice.
                Err(Lost::Unanswered(_) | Lost::NotHttp(_)) if idle && repeatable => {}
                Err(lost) => return Err(self.next_pod(lost)),
            }
        }
    }

    /// The key. Over a slow link the first connection is opened while the key is read; over a fast link this
    /// would save nothing, and without permission to read the Secret no port is forwarded without need.
    pub(super) async fn key_while_opening(&self) -> Result<ApiKey, Failed> {
        let mut key = std::pin::pin!(self.key());
        if let Ok(key) = tokio::time::timeout(KEY_SOON, key.as_mut()).await {
            return key.map_err(Failed::Keyless);
        }
        let mut slot = self.connection.lock().await;
        if slot.is_some() {
            drop(slot);
            return key.await.map_err(Failed::Keyless);
        }
        let transport = self.current_transport();
        let opening = std::pin::pin!(self.endpoint.open(&self.target, &transport, self.time_limit));
        let (key, opened) = match select(key, opening).await {
            Either::Left((key, opening)) => (key.map_err(Failed::Keyless)?, opening.await),
            Either::Right((opened, key)) => (key.await.map_err(Failed::Keyless)?, opened),
        };
        *slot = Some(opened.map_err(|lost| self.next_pod(lost))?);
        Ok(key)
    }

    pub(super) fn next_pod(&self, lost: Lost) -> Failed {
        // An obstacle that affects every pod is reported once: another pod does not help.
        if !matches!(lost, Lost::Forbidden(_) | Lost::Away(_)) {
            self.pod.set(self.pod.get().wrapping_add(1));
        }
        Failed::Lost(lost)
    }

    /// The path under the API's root; determines the root where it is unknown.
    pub(super) async fn rooted(&self, path: &str) -> Result<String, Failed> {
        Ok(format!("/api/{}/{path}", if self.is_v4().await? { "v4" } else { "v5" }))
    }

    pub(super) async fn is_v4(&self) -> Result<bool, Failed> {
        match self.v4.get() {
            Some(v4) => Ok(v4),
            None => self.detect().await,
        }
    }

    /// v5, unless only v4 responds like an API. EMQX 4 has no `/api/v5` (it answers 404, or with a web page).
    pub(super) async fn detect(&self) -> Result<bool, Failed> {
        let v5 = self.ask(&Method::GET, "/api/v5/nodes", None).await;
        let v4 = match v5 {
            Ok(answer) if answer.status != 404 => false,
            Ok(_) | Err(Failed::Lost(Lost::Useless(_))) => {
                matches!(self.ask(&Method::GET, "/api/v4/nodes", None).await, Ok(answer) if answer.status != 404)
            }
            Err(other) => return Err(other),
        };
        self.v4.set(Some(v4));
        Ok(v4)
    }

    /// A fact about this EMQX, with the present time.
    pub(super) fn fact(&self, answer: BrokerUpdate) -> Fact {
        Fact::answer(self.clock.now(), &self.target.instance, answer)
    }

    /// One GET, passed to the recorder.
    pub(super) async fn get(&self, path: &str) -> Result<HttpResponse, Failed> {
        let path = self.rooted(path).await?;
        let answer = self.ask(&Method::GET, &path, None).await?;
        if let Some(tap) = self.tap.as_ref().filter(|tap| tap.records()) {
            tap.emqx(self.clock.now(), &self.target.instance, &path, answer.status, answer.body());
        }
        Ok(answer)
    }

    /// Whether the node at this address accepts clients, over a separate connection: the retained one is to another node.
    pub(super) async fn available(&self, transport: &Transport, what: &str) -> Result<bool, Problem> {
        let failed = |lost: Lost| Problem::new(what, lost.why());
        let key = self.key().await?;
        let v4 = self.is_v4().await.map_err(|failed| Self::problem(what.to_owned(), failed))?;
        let mut connection =
            self.endpoint.open(&self.target, transport, self.time_limit).await.map_err(failed)?;
        let path = format!("/api/{}/load_rebalance/availability_check", if v4 { "v4" } else { "v5" });
        // An address of the user gets the key, which EMQX before 5.4 requires; a computed address does not.
        let given = match transport {
            Transport::Address(address) => self.endpoint.gives(address),
            Transport::Pod(_) | Transport::None => true,
        };
        let key = given.then_some(&key);
        let answer = connection.ask(&Method::GET, &path, key, None).await.map_err(failed)?;
        match answer.status {
            200 => Ok(true),
            503 => Ok(false),
            _ => Err(failure(answer.status, answer.body())
                .map_or_else(|| Problem::new(what, "EMQX gave no clear answer"), |it| it.problem(what))),
        }
    }

    /// The address of this node: one from the user, or the node's host with the given port. The node's name
    /// in `/status`, which needs no key, verifies it.
    pub(super) async fn address_of(&self, node: &NodeName) -> Option<EmqxUrl> {
        for address in self.endpoint.addresses_for(node) {
            if self.node_at(&address).await.as_ref() == Some(node) {
                return Some(address);
            }
        }
        None
    }

    /// The name of the node at this address, which it reports without a key.
    pub(super) async fn node_at(&self, address: &EmqxUrl) -> Option<NodeName> {
        let time_limit = self.time_limit.min(NODE_NAME_TIMEOUT);
        let transport = Transport::Address(address.clone());
        let mut connection = self.endpoint.open(&self.target, &transport, time_limit).await.ok()?;
        let answer = connection.ask(&Method::GET, "/status?format=json", None, None).await.ok()?;
        Some(answer.body().get("node_name")?.as_str()?.into())
    }

    /// The number of pods or addresses on which a single request is tried.
    pub(super) fn tries(&self) -> usize {
        self.endpoint.transports(&self.target).clamp(1, POD_TRIES)
    }

    pub(super) fn problem(what: String, failed: Failed) -> Problem {
        match failed {
            Failed::Keyless(problem) => problem,
            Failed::Lost(Lost::Unanswered(why) | Lost::NotHttp(why) | Lost::Late(why)) => {
                Problem::new(what, format!("{why}; whether it was done is not known"))
                    .hint("kubectl emqx status shows what runs")
            }
            Failed::Lost(lost) => Problem::new(what, lost.why())
                .hint("or give EMQX's address: --emqx-url URL --api-key-file FILE"),
        }
    }

    /// A POST, which succeeds or is refused. A request that was not sent is sent again through the next pods.
    pub(super) async fn post(
        &self,
        what: &str,
        path: &str,
        body: &Value,
    ) -> Result<Result<(), Failure>, Problem> {
        let mut left = self.tries();
        loop {
            left -= 1;
            let sent = match self.rooted(path).await {
                Ok(path) => self.ask(&Method::POST, &path, Some(body)).await,
                Err(failed) => Err(failed),
            };
            match sent {
                Ok(answer) => return Ok(failure(answer.status, answer.body()).map_or(Ok(()), Err)),
                Err(Failed::Lost(Lost::Unsent(_) | Lost::Away(_))) if left > 0 => {}
                Err(failed) => return Err(Self::problem(what.to_owned(), failed)),
            }
        }
    }

    /// Waits for a duration of the server's time, whose speed may be measured during the wait.
    pub(super) async fn pass(&self, mut left: Duration) {
        while !left.is_zero() {
            let speed = self.clock.speed().max(1.0);
            let step = left.div_f64(speed).clamp(SHORTEST_PAUSE, LONGEST_STEP);
            tokio::time::sleep(step).await;
            left = left.saturating_sub(step.mul_f64(speed));
        }
    }
}
