//! A broker: one kept connection at a time, another pod when the present one fails, and facts made of the
//! answers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;

use super::endpoint::{EmqxEndpoint, Transport};
use super::error::{Failure, failure};
use super::http::{EmqxConnection, HttpResponse, Lost, no_answer};
use super::request;
use super::wire::{self, NODES_PATH, STATUS_PATH};
use crate::error::Problem;
use crate::model::report::EmqxReport;
use crate::model::{BrokerUpdate, EmqxUrl, Fact, Link, NodeName, PodName, Refusal, Strategy, Target, Update};
use crate::ports::{
    ApiKey, BoxedFuture, Broker, Clock, Credentials, EvacuationOrder, FactStream, RecordingSink, back_off,
    driven, jitter,
};
use crate::timing::{GLOBAL_STATUS_TIMEOUTS, KEY_SOON, LONGEST_STEP, NODE_NAME_TIMEOUT, SHORTEST_PAUSE};

/// What a broker and its streams share.
pub(super) struct Shared {
    pub(super) way: EmqxEndpoint,
    credentials: Rc<dyn Credentials>,
    pub(super) clock: Rc<dyn Clock>,
    pub(super) tap: Option<Rc<dyn RecordingSink>>,
    pub(super) target: Rc<Target>,
    pub(super) time_limit: Duration,
    /// The one connection. The lock makes requests wait for one another, as HTTP/1.1 wants it.
    connection: Mutex<Option<EmqxConnection>>,
    /// The index of the present pod or address.
    pod: Cell<usize>,
    key: RefCell<Option<ApiKey>>,
    /// Whether the list of nodes came in this round, so that EMQX answers.
    nodes_answered: Cell<bool>,
    /// Whether the pod of this round responded with an error.
    erred: Cell<bool>,
    /// `/api/v4` or `/api/v5`; at a URL not known before the first answer.
    v4: Cell<Option<bool>>,
    /// Since when cluster-wide calls have had no response, although the queried node itself responds.
    hangs: Cell<Option<Timestamp>>,
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

/// A round without an answer.
struct LostRound {
    /// The state of the source.
    fact: Fact,
    /// Whether the time limit passed.
    late: bool,
}

impl Shared {
    pub(super) fn new(
        way: EmqxEndpoint,
        credentials: Rc<dyn Credentials>,
        clock: Rc<dyn Clock>,
        tap: Option<Rc<dyn RecordingSink>>,
        target: Rc<Target>,
        time_limit: Duration,
    ) -> Self {
        let v4 = matches!(way, EmqxEndpoint::Pods { .. }).then_some(target.v4);
        Self {
            way,
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
    fn beside(&self, later: usize) -> Self {
        let shared = Self::new(
            self.way.clone(),
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

    fn current_door(&self) -> Transport {
        self.way.transport(&self.target, self.pod.get())
    }

    /// The present target of the connection, for messages.
    fn name(&self) -> String {
        EmqxEndpoint::name(&self.target, &self.current_door())
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
        self.way.passable(&self.target).map_err(Failed::Lost)?;
        let key = self.key_while_opening().await?;
        let mut slot = self.connection.lock().await;
        loop {
            let mut connection = match slot.take().filter(|connection| !connection.is_stale()) {
                Some(connection) => connection,
                None => self
                    .way
                    .open(&self.target, &self.current_door(), self.time_limit)
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
    /// would save nothing, and without permission to read the Secret no port is forwarded in vain.
    async fn key_while_opening(&self) -> Result<ApiKey, Failed> {
        let mut key = std::pin::pin!(self.key());
        if let Ok(key) = tokio::time::timeout(KEY_SOON, key.as_mut()).await {
            return key.map_err(Failed::Keyless);
        }
        let mut slot = self.connection.lock().await;
        if slot.is_some() {
            drop(slot);
            return key.await.map_err(Failed::Keyless);
        }
        let door = self.current_door();
        let opening = std::pin::pin!(self.way.open(&self.target, &door, self.time_limit));
        let (key, opened) = match select(key, opening).await {
            Either::Left((key, opening)) => (key.map_err(Failed::Keyless)?, opening.await),
            Either::Right((opened, key)) => (key.await.map_err(Failed::Keyless)?, opened),
        };
        *slot = Some(opened.map_err(|lost| self.next_pod(lost))?);
        Ok(key)
    }

    fn next_pod(&self, lost: Lost) -> Failed {
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
    async fn detect(&self) -> Result<bool, Failed> {
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
    async fn get(&self, path: &str) -> Result<HttpResponse, Failed> {
        let path = self.rooted(path).await?;
        let answer = self.ask(&Method::GET, &path, None).await?;
        if let Some(tap) = self.tap.as_ref().filter(|tap| tap.records()) {
            tap.emqx(self.clock.now(), &self.target.instance, &path, answer.status, answer.body());
        }
        Ok(answer)
    }

    /// One round: the nodes, then the running operations.
    async fn round(&self) -> Result<Vec<Fact>, Failed> {
        let mut facts = Vec::new();
        self.nodes_answered.set(false);
        self.erred.set(false);
        for path in [NODES_PATH, STATUS_PATH] {
            match self.get(path).await {
                Ok(answer) => {
                    let read = self.facts(path, &answer);
                    let is_list =
                        |fact: &Fact| matches!(fact.update, Update::Broker(_, BrokerUpdate::Nodes(_)));
                    let nodes = read.iter().any(is_list);
                    // A build without the rebalance API answers 404 on every pod.
                    let erred = if path == NODES_PATH { !nodes } else { answer.status >= 500 };
                    self.erred.set(self.erred.get() || erred);
                    facts.extend(read);
                }
                Err(Failed::Lost(Lost::Unanswered(why) | Lost::NotHttp(why) | Lost::Late(why)))
                    if path == STATUS_PATH && self.nodes_answered.get() =>
                {
                    facts.push(self.status_silent(&why));
                }
                Err(failed) => return Err(failed),
            }
            self.nodes_answered.set(true);
        }
        Ok(facts)
    }

    fn facts(&self, path: &str, answer: &HttpResponse) -> Vec<Fact> {
        let (now, id) = (self.clock.now(), &self.target.instance);
        let nodes = (path == NODES_PATH && answer.status == 200).then(|| wire::nodes_in_text(answer.text()));
        match nodes.flatten() {
            Some(Ok(nodes)) => {
                vec![self.fact(BrokerUpdate::Nodes(nodes))]
            }
            Some(Err(_)) | None => wire::facts(now, id, path, answer.status, answer.body()),
        }
    }

    /// The fact that EMQX lists its nodes but not its running operations: in a session round the coordinator does not respond
    /// for up to 15 s ([EMQX-8]).
    fn status_silent(&self, why: &str) -> Fact {
        let link = Link::Unreachable(format!(
            "EMQX lists its nodes but does not report what it moves ({why}): a long session round may be running"
        ));
        self.fact(BrokerUpdate::Link("load_rebalance", link))
    }

    /// One round from the first pod that responds. The next pod is queried when one fails or responds with an error, and
    /// concurrently with one that does not respond; all of them share the time limit of one. If all respond with errors, the
    /// first error is reported.
    async fn first_round(&self) -> Result<Vec<Fact>, LostRound> {
        let first = self.pod.get();
        self.nodes_answered.set(false);
        let others: Vec<Self> = (1..self.tries()).map(|later| self.beside(later)).collect();
        let name = self.name();
        let ask = |shared| async move {
            let name = Self::name(shared);
            let round = shared.round().await.map_err(|failed| (shared.lost(&failed, &name), failed));
            (shared.pod.get(), shared.erred.get(), round)
        };
        let mut error: Option<Vec<Fact>> = None;
        let mut asked = FuturesUnordered::from_iter([ask(self)]);
        // A round that already has its list of nodes ends by itself.
        let waits_for_status = |shared: &Self| shared.nodes_answered.get();
        let beside = &others;
        let mut others = others.iter();
        let mut silent_left = SILENT - 1;
        let give_up = tokio::time::sleep(self.time_limit);
        let mut silent = std::pin::pin!(tokio::time::sleep(self.time_limit / SILENT));
        let mut give_up = std::pin::pin!(give_up);
        loop {
            tokio::select! {
                biased;
                Some((pod, erred, answer)) = asked.next() => match answer {
                    Ok(facts) if erred => {
                        error.get_or_insert(facts);
                        match others.next() {
                            Some(other) => asked.push(ask(other)),
                            None if asked.is_empty() => return Ok(error.unwrap_or_default()),
                            None => {}
                        }
                    }
                    Ok(facts) => {
                        // Later requests use the pod that responded, not the connection to another pod.
                        if self.pod.replace(pod) != pod
                            && let Ok(mut kept) = self.connection.try_lock()
                        {
                            *kept = None;
                        }
                        return Ok(facts);
                    }
                    Err((fact, Failed::Keyless(_) | Failed::Lost(Lost::Forbidden(_)))) => {
                        return Err(LostRound { fact, late: false });
                    }
                    Err((fact, Failed::Lost(lost))) => {
                        // A pod that did not answer has used up the time; the next pod is asked in the next
                        // round.
                        let late = matches!(lost, Lost::Unanswered(_) | Lost::NotHttp(_) | Lost::Late(_))
                            && silent_left == 0;
                        match others.next().filter(|_| !late) {
                            Some(other) => asked.push(ask(other)),
                            None if asked.is_empty() => {
                                return error.ok_or(LostRound { fact, late: matches!(lost, Lost::Late(_)) });
                            }
                            None => {}
                        }
                    }
                },
                () = &mut give_up => {
                    if waits_for_status(self) || beside.iter().any(waits_for_status) {
                        let later = tokio::time::Instant::now() + self.time_limit * GLOBAL_STATUS_TIMEOUTS;
                        give_up.as_mut().reset(later);
                        continue;
                    }
                    self.pod.set(first.wrapping_add(1));
                    if let Some(error) = error {
                        return Ok(error);
                    }
                    let failed = Failed::Lost(Lost::Late(no_answer(self.time_limit)));
                    return Err(LostRound { fact: self.lost(&failed, &name), late: true });
                }
                () = &mut silent, if others.len() > 0 && silent_left > 0 => {
                    silent_left -= 1;
                    asked.extend(others.next().map(ask));
                    silent.as_mut().reset(tokio::time::Instant::now() + self.time_limit / SILENT);
                }
            }
        }
    }

    /// One round; where no pod answers in time, the reason: a frozen or unreachable node delays every
    /// cluster-wide call on every node for up to 150 s, while each node answers calls about itself
    /// ([EMQX-21]).
    async fn round_or_reason(&self) -> Result<Vec<Fact>, Fact> {
        let asked = self.clock.now();
        let (lost, late) = match self.first_round().await {
            Ok(facts) => {
                self.hangs.set(None);
                return Ok(facts);
            }
            Err(LostRound { fact, late }) => (fact, late),
        };
        let alive = if late { self.answers_for_itself().await } else { None };
        let Some((pod, name)) = alive else {
            self.hangs.set(None);
            return Err(lost);
        };
        self.pod.set(pod);
        // The obstacle may be gone: if the node responds again, the cluster may respond, too.
        let again = tokio::time::timeout(self.time_limit.min(NODE_NAME_TIMEOUT), self.first_round());
        if let Ok(Ok(facts)) = again.await {
            self.hangs.set(None);
            return Ok(facts);
        }
        let since = self.hangs.get().unwrap_or(asked);
        self.hangs.set(Some(since));
        let why = format!(
            "cluster calls hang since {}: {name} answers for itself, but not for the cluster; one of its nodes is frozen or \
             disconnected",
            since.strftime("%H:%M UTC")
        );
        let link = BrokerUpdate::Link("nodes", Link::Hung(why));
        Err(Fact::answer(lost.at, &self.target.instance, link))
    }

    /// The number and the name of a transport through which EMQX answers a call that concerns one node alone
    /// and needs no key.
    async fn answers_for_itself(&self) -> Option<(usize, String)> {
        let places = (0..self.tries().min(ALONE)).map(|later| self.pod.get().wrapping_add(later));
        let asked = places.map(|place| async move {
            let transport = self.way.transport(&self.target, place);
            let time_limit = self.time_limit.min(NODE_NAME_TIMEOUT);
            let mut connection = self.way.open(&self.target, &transport, time_limit).await.ok()?;
            let answer = connection.ask(&Method::GET, "/status", None, None).await;
            let alive = matches!(&answer, Ok(answer) if answer.status == 200)
                || matches!(&answer, Err(Lost::Useless(_)));
            alive.then(|| (place, EmqxEndpoint::name(&self.target, &transport)))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some(found) = asked.next().await {
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Whether the node at this address accepts clients, over a separate connection: the retained one is to another node.
    async fn available(&self, transport: &Transport, what: &str) -> Result<bool, Problem> {
        let failed = |lost: Lost| Problem::new(what, lost.why());
        let key = self.key().await?;
        let v4 = self.is_v4().await.map_err(|failed| Self::problem(what.to_owned(), failed))?;
        let mut connection = self.way.open(&self.target, transport, self.time_limit).await.map_err(failed)?;
        let path = format!("/api/{}/load_rebalance/availability_check", if v4 { "v4" } else { "v5" });
        // An address of the user gets the key, which EMQX before 5.4 requires; a computed address does not.
        let given = match transport {
            Transport::Address(address) => self.way.gives(address),
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
    pub(super) async fn door_of(&self, node: &NodeName) -> Option<EmqxUrl> {
        for address in self.way.addresses_for(node) {
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
        let mut connection = self.way.open(&self.target, &transport, time_limit).await.ok()?;
        let answer = connection.ask(&Method::GET, "/status?format=json", None, None).await.ok()?;
        Some(answer.body().get("node_name")?.as_str()?.into())
    }

    /// The number of pods or addresses on which a single request is tried.
    fn tries(&self) -> usize {
        self.way.transports(&self.target).clamp(1, POD_TRIES)
    }

    /// The fact that EMQX is lost.
    fn lost(&self, failed: &Failed, name: &str) -> Fact {
        let link = match failed {
            Failed::Lost(Lost::Forbidden(why)) => Link::Forbidden(why.clone()),
            Failed::Lost(Lost::Away(why)) => Link::Unreachable(why.clone()),
            Failed::Lost(lost) => {
                // Something did answer: it was not EMQX, or the answer was too large.
                let useless = matches!(lost, Lost::Useless(_) | Lost::NotHttp(_));
                let how = if useless { "cannot be asked" } else { "does not answer" };
                Link::Unreachable(format!("{name} {how}: {}", lost.why()))
            }
            Failed::Keyless(problem) => Link::Forbidden(problem.to_string()),
        };
        self.fact(BrokerUpdate::Link("nodes", link))
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
    async fn post(&self, what: &str, path: &str, body: &Value) -> Result<Result<(), Failure>, Problem> {
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
    async fn pass(&self, mut left: Duration) {
        while !left.is_zero() {
            let speed = self.clock.speed().max(1.0);
            let step = left.div_f64(speed).clamp(SHORTEST_PAUSE, LONGEST_STEP);
            tokio::time::sleep(step).await;
            left = left.saturating_sub(step.mul_f64(speed));
        }
    }

    /// One round, with the counts that donors report of the start of the rebalances.
    async fn round_with_starts(&self) -> Vec<Fact> {
        match self.round_or_reason().await {
            Ok(mut round) => {
                self.add_starts(&mut round).await;
                round
            }
            Err(lost) => vec![lost],
        }
    }

    /// The next request uses a fresh connection, to another core where there is one: an answer that no longer
    /// lists a rebalance, or lists it in an earlier stage, is verified there.
    async fn ask_another(&self) {
        *self.connection.lock().await = None;
        self.pod.set(self.pod.get().wrapping_add(1));
    }

    async fn poll(self: Rc<Self>, every: Duration, facts: Sender<Fact>) {
        let mut failures = 0_u32;
        let mut listed: Vec<(NodeName, Option<u8>)> = Vec::new();
        loop {
            let pause = match self.round_or_reason().await {
                Ok(mut round) => {
                    self.add_starts(&mut round).await;
                    if let Some(now) = rebalances(&round) {
                        let doubtful = |(node, stage): &(NodeName, Option<u8>)| {
                            let same = now.iter().find(|(other, _)| other == node);
                            same.is_none_or(|(_, now)| now < stage)
                        };
                        if listed.iter().any(doubtful) {
                            self.ask_another().await;
                        }
                        listed = now;
                    }
                    // A refused key is read again on each attempt, so the attempts are limited.
                    let refused = round.iter().any(|fact| {
                        matches!(fact.update, Update::Broker(_, BrokerUpdate::Link(_, Link::Forbidden(_))))
                    });
                    failures = if refused { failures + 1 } else { 0 };
                    for fact in round {
                        if facts.send(fact).await.is_err() {
                            return;
                        }
                    }
                    self.pass(jitter(every)).await;
                    if refused { back_off(failures) } else { continue }
                }
                Err(lost) => {
                    failures += 1;
                    if facts.send(lost).await.is_err() {
                        return;
                    }
                    back_off(failures)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// The coordinators of the rebalances that EMQX lists, each with the place of its stage; `None` when it did not list them.
fn rebalances(round: &[Fact]) -> Option<Vec<(NodeName, Option<u8>)>> {
    round.iter().find_map(|fact| match &fact.update {
        Update::Broker(_, BrokerUpdate::Evictions(load)) => {
            let entries = load.rebalances.iter();
            Some(entries.map(|entry| (entry.coordinator.clone(), entry.stage.order())).collect())
        }
        _ => None,
    })
}

/// The most pods on which a single request is tried, where each of them fails at once.
const POD_TRIES: usize = 8;

/// Pods that are asked at the same time for what each of them answers about itself.
const ALONE: usize = 3;

/// After 1/3 of the time limit a pod counts as silent, and another pod is queried concurrently.
const SILENT: u32 = 3;

/// Capacity of the channel: the facts of one round. The next round starts after they are applied.
const ROUND_CHANNEL_CAPACITY: usize = 8;

/// A broker of one cluster.
pub(super) struct Client {
    shared: Rc<Shared>,
}

impl Client {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Rc::new(shared) }
    }
}

impl Broker for Client {
    fn read(&self) -> BoxedFuture<'_, Vec<Fact>> {
        Box::pin(async move { Ok(self.shared.round_with_starts().await) })
    }

    fn read_again(&self) -> BoxedFuture<'_, Vec<Fact>> {
        Box::pin(async move {
            self.shared.ask_another().await;
            Ok(self.shared.round_with_starts().await)
        })
    }

    fn follow(&self, every: Duration) -> FactStream {
        let shared = self.shared.clone();
        driven(ROUND_CHANNEL_CAPACITY, move |facts| shared.poll(every, facts))
    }

    fn start<'a>(
        &'a self,
        coordinator: &'a NodeName,
        nodes: &'a [NodeName],
        strategy: &'a Strategy,
    ) -> BoxedFuture<'a, ()> {
        Box::pin(async move {
            let what = format!("cannot start the rebalance on {coordinator}");
            let path = request::path(coordinator, "start");
            let body = request::rebalance(nodes, strategy);
            self.shared.post(&what, &path, &body).await?.map_err(|failure| failure.problem(what))?;
            if let Some(tap) = &self.shared.tap {
                tap.started(self.shared.clock.now(), &self.shared.target.instance, coordinator, &body);
            }
            Ok(())
        })
    }

    fn stop<'a>(&'a self, coordinator: &'a NodeName) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot stop the rebalance of {coordinator}");
            let path = request::path(coordinator, "stop");
            match self.shared.post(&what, &path, &json!({})).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::NotStarted) => Ok(false),
                Err(failure) => Err(failure.problem(what)),
            }
        })
    }

    fn evacuate<'a>(&'a self, node: &'a NodeName, order: &'a EvacuationOrder) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot evacuate {node}");
            let v4 = self.shared.is_v4().await.map_err(|failed| Shared::problem(what.clone(), failed))?;
            let path = request::path(node, "evacuation/start");
            match self.shared.post(&what, &path, &request::evacuation(order, v4)).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::AlreadyStarted) => Ok(false),
                Err(failure) => Err(failure.of_evacuation(what)),
            }
        })
    }

    fn stop_evacuation<'a>(&'a self, node: &'a NodeName) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot stop the evacuation of {node}");
            let path = request::path(node, "evacuation/stop");
            match self.shared.post(&what, &path, &json!({})).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::NotStarted) => Ok(false),
                Err(failure) => Err(failure.of_evacuation(what)),
            }
        })
    }

    fn available<'a>(&'a self, pod: &'a PodName) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot ask pod {pod} whether it accepts clients");
            if matches!(self.shared.way, EmqxEndpoint::Url { .. }) {
                return Err(Problem::new(what, "--emqx-url is one address, not the address of each pod"));
            }
            self.shared.available(&Transport::Pod(pod.clone()), &what).await
        })
    }

    fn accepts_clients<'a>(&'a self, node: &'a NodeName, pod: Option<&'a PodName>) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot ask {node} whether it accepts clients");
            let transport = match (&self.shared.way, pod) {
                (EmqxEndpoint::Pods { .. }, Some(pod)) => Transport::Pod(pod.clone()),
                (EmqxEndpoint::Pods { .. }, None) => {
                    return Err(Problem::new(what, "its pod is not known"));
                }
                (EmqxEndpoint::Url { .. }, _) => match self.shared.door_of(node).await {
                    Some(address) => Transport::Address(address),
                    None => {
                        return Err(Problem::new(what, "no --emqx-url is the address of that node")
                            .hint("give the node's own address with one more --emqx-url"));
                    }
                },
            };
            self.shared.available(&transport, &what).await
        })
    }

    fn cluster_name(&self) -> BoxedFuture<'_, Option<String>> {
        Box::pin(async move {
            let what = "cannot ask EMQX for the name of its cluster";
            let failed = |failed| Shared::problem(what.to_owned(), failed);
            if self.shared.is_v4().await.map_err(failed)? {
                return Ok(None);
            }
            let answer = self.shared.ask(&Method::GET, "/api/v5/cluster", None).await.map_err(failed)?;
            Ok(answer.body().get("name").and_then(Value::as_str).map(str::to_owned))
        })
    }

    fn replicants(&self) -> BoxedFuture<'_, Option<BTreeMap<NodeName, NodeName>>> {
        Box::pin(super::topology::replicants(&self.shared))
    }

    fn report<'a>(&'a self, cores: &'a [(NodeName, Option<PodName>)]) -> BoxedFuture<'a, EmqxReport> {
        Box::pin(async move { Ok(super::report::report(&self.shared, cores).await) })
    }

    fn storage_sites(&self) -> BoxedFuture<'_, Vec<NodeName>> {
        Box::pin(super::storage::sites(&self.shared))
    }
}
