//! Lists and then watches the requested resources until the receiver is dropped. A watch that ends resumes at its last
//! version, a version that is too old (410) lists again, an unreachable server is retried with exponential back-off.
//!
//! ```text
//!   feed (one per resource): list ─► watch ─► watch … ──┐
//!                              ▲        │ 410           ├─► one bounded channel ─► Fact
//!                              └────────┘               │
//!   heartbeat: GET /version, every 5 s ────────────────┘   verifies the connection, refreshes the clock
//! ```
//!
//! An own loop instead of kube's `watcher` (docs/decisions/0002): the recorder needs ADDED and MODIFIED, the clock needs
//! the `Date` of every response, and an unreachable server is a fact.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::cluster::Cluster;
use super::connection::READ_BUFFER;
use super::error::ApiError;
use super::resource::{Resource, wanted};
use super::{read, wire};
use crate::model::{Fact, Link, OperatorLine, Served, Source, Update};
use crate::ports::{Clock, FactStream, Scope, back_off, driven, jitter};
use crate::timing::{
    DENIED_LIST_PAUSE, LEASE_PAUSE, SHORTEST_HEARTBEAT, WATCH_HEARTBEAT, WATCH_SECONDS, WATCH_SILENCE,
};

/// Capacity of the channel of facts: one page of a list. When it is full the feeds wait, and TCP
/// back-pressure stops the server.
const WATCH_CHANNEL_CAPACITY: usize = 512;

/// Milliseconds between the first beats: short, to measure how fast the server's clock runs.
const FIRST_BEATS: [u64; 4] = [150, 300, 500, 1000];

/// More than any object can be (etcd's limit is 1.5 MB).
const LONGEST_LINE: usize = 16 << 20;

pub(super) fn follow(cluster: Cluster, scope: Scope) -> FactStream {
    driven(WATCH_CHANNEL_CAPACITY, move |facts| async move {
        let teller = FactSender { cluster, facts };
        let served = teller.discover().await;
        let blind = served.operator == OperatorLine::Unknown;
        let resources = wanted(&scope, &served, blind);
        teller.send(Update::Served(served)).await;
        let follow =
            Follow { feeds: resources.into_iter().map(Feed::new).collect(), lost: Notify::new(), teller };
        let feeds = join_all((0..follow.feeds.len()).map(|index| follow.feed(index)));
        futures::join!(feeds, follow.heartbeat());
    })
}

/// Sends facts with their time.
struct FactSender {
    cluster: Cluster,
    facts: Sender<Fact>,
}

impl FactSender {
    async fn send(&self, update: Update) {
        // Fails only when the stream is dropped, and then this future is dropped with it.
        let _ = self.facts.send(Fact { at: self.cluster.now(), update }).await;
    }

    async fn link(&self, resource: &Resource, link: Link) {
        self.send(Update::Link(resource.source, resource.name, link)).await;
    }

    /// The served resources; retried until the server responds.
    async fn discover(&self) -> Served {
        let mut failures = 0;
        loop {
            match self.cluster.known().await {
                Ok(served) => return served,
                Err(problem) => {
                    failures += 1;
                    self.send(Update::Link(Source::Kubernetes, "api", Link::Unreachable(problem.why))).await;
                    tokio::time::sleep(back_off(failures)).await;
                }
            }
        }
    }
}

/// One resource, and the objects that exist.
struct Feed {
    resource: RefCell<Resource>,
    /// Whether the feed is healthy: listed, and its watch not known to be broken.
    is_up: Cell<bool>,
    /// The existing objects, by uid, each as a [`stub`]; `None` before the first list and while the list
    /// cannot be read.
    known: RefCell<Option<BTreeMap<String, Box<str>>>>,
    /// Whether its absence from `known` is final: forbidden or not served.
    unavailable: Cell<bool>,
}

impl Feed {
    fn new(resource: Resource) -> Self {
        Self {
            resource: RefCell::new(resource),
            is_up: Cell::new(false),
            known: RefCell::new(None),
            unavailable: Cell::new(false),
        }
    }
}

/// The part of an object that identifies its deletion; as text, which takes a tenth of the memory of a JSON tree.
fn stub(object: &Value) -> Box<str> {
    let metadata = &object["metadata"];
    let stub = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": metadata["name"],
        "namespace": metadata["namespace"], "uid": metadata["uid"], "labels": metadata["labels"]}});
    // Without the unused capacity of a text that grew: there is one for each pod.
    stub.to_string().into_boxed_str()
}

/// How a watch ended.
enum End {
    /// The watch or its connection ended: resume from the last version.
    Over,
    /// The heartbeat reported that the API server does not answer; the link is lost already.
    Away,
    /// The version is too old to resume (410).
    Expired,
    Failed(ApiError),
}

struct Follow {
    teller: FactSender,
    feeds: Vec<Feed>,
    /// Notified when the heartbeat fails: watches on a dead connection abandon it.
    lost: Notify,
}

impl Follow {
    async fn feed(&self, index: usize) {
        let mut failures = 0;
        loop {
            let resource = self.feeds[index].resource.borrow().clone();
            match self.list(index, &resource).await {
                Ok(version) => {
                    failures = 0;
                    if resource.is_optional() {
                        tokio::time::sleep(self.pause(LEASE_PAUSE)).await;
                    } else {
                        self.watch(index, &resource, version).await;
                    }
                }
                Err(trouble) => {
                    failures += 1;
                    self.failed(index, &resource, &trouble, failures).await;
                }
            }
        }
    }

    /// Reports a failed list, and waits.
    async fn failed(&self, index: usize, resource: &Resource, trouble: &ApiError, failures: u32) {
        let feed = &self.feeds[index];
        feed.is_up.set(false);
        let unavailable = trouble.is_forbidden() || trouble.is_absent();
        feed.unavailable.set(unavailable);
        if resource.is_optional() {
            return tokio::time::sleep(if unavailable {
                jitter(DENIED_LIST_PAUSE)
            } else {
                back_off(failures)
            })
            .await;
        }
        // Without discovery every version of the group is tried, and another version of this resource may be healthy.
        let other = self.feeds.iter().any(|it| it.is_up.get() && it.resource.borrow().name == resource.name);
        if !other {
            self.teller.link(resource, read::link(resource, trouble)).await;
        }
        tokio::time::sleep(if unavailable { jitter(DENIED_LIST_PAUSE) } else { back_off(failures) }).await;
        if trouble.is_absent() {
            self.rediscover(index).await;
        }
    }

    /// A kind that was served may be served in another version after an upgrade of the operator.
    async fn rediscover(&self, index: usize) {
        let Ok(served) = self.teller.cluster.discover().await else { return };
        let changed = {
            let mut resource = self.feeds[index].resource.borrow_mut();
            match served.version_of(resource.name) {
                Some(version) if resource.version != version => {
                    version.clone_into(&mut resource.version);
                    true
                }
                _ => false,
            }
        };
        if changed {
            self.teller.send(Update::Served(served)).await;
        }
    }

    /// Lists: sends existing objects, deletions, and the health of the source. Returns the version to watch from.
    async fn list(&self, index: usize, resource: &Resource) -> Result<String, ApiError> {
        let feed = &self.feeds[index];
        let mut known = BTreeMap::new();
        let mut pages = resource.pages(&self.teller.cluster.api);
        while let Some(page) = pages.next().await? {
            if std::mem::take(&mut pages.restarted) {
                known.clear();
            }
            for object in page {
                self.teller.cluster.tap("LISTED", &object);
                if let Some(uid) = wire::uid(&object) {
                    known.insert(uid, stub(&object));
                }
                for fact in wire::facts(self.teller.cluster.now(), "LISTED", &object) {
                    let _ = self.teller.facts.send(fact).await;
                }
            }
        }
        let before = feed.known.borrow_mut().take().into_iter().flatten();
        for (_, stub) in before.filter(|(uid, _)| !known.contains_key(uid)) {
            self.teller.cluster.tap("DELETED", &serde_json::from_str(&stub).unwrap_or_default());
        }
        *feed.known.borrow_mut() = Some(known);
        if !resource.is_optional() {
            feed.is_up.set(true);
            self.teller.link(resource, Link::Up).await;
        }
        if let Some(uids) = self.all_known(resource) {
            self.teller.send(Update::Listed(resource.kind, uids)).await;
        }
        Ok(std::mem::take(&mut pages.version))
    }

    /// The uids of a kind over all its feeds (EMQX and EmqxEnterprise count as one kind), once each feed has
    /// listed.
    fn all_known(&self, resource: &Resource) -> Option<Vec<String>> {
        let mut uids = Vec::new();
        for feed in self.feeds.iter().filter(|feed| feed.resource.borrow().kind == resource.kind) {
            match feed.known.borrow().as_ref() {
                Some(known) => uids.extend(known.keys().cloned()),
                None if feed.unavailable.get() => {}
                None => return None,
            }
        }
        Some(uids)
    }

    /// Watches from a version on, until a new list is needed.
    async fn watch(&self, index: usize, resource: &Resource, mut version: String) {
        let mut failures = 0;
        loop {
            let begun = tokio::time::Instant::now();
            let end = tokio::select! {
                biased;
                () = self.lost.notified() => End::Away,
                end = self.watch_once(index, resource, &mut version) => end,
            };
            failures = if begun.elapsed() > Duration::from_secs(10) { 1 } else { failures + 1 };
            match end {
                // A server that ends watches at once must not be asked in a tight loop.
                End::Over => tokio::time::sleep(back_off(failures)).await,
                End::Expired => return tokio::time::sleep(back_off(failures)).await,
                End::Away => {
                    self.feeds[index].is_up.set(false);
                    tokio::time::sleep(back_off(failures)).await;
                }
                End::Failed(trouble) if trouble.is_forbidden() => {
                    // `list` is permitted and `watch` is not: the list is polled.
                    let why = resource.forbidden("watch", &trouble);
                    let reported =
                        format!("{why}; it is listed every {} s instead", DENIED_LIST_PAUSE.as_secs());
                    self.teller.send(Update::Unreadable(reported)).await;
                    return tokio::time::sleep(jitter(DENIED_LIST_PAUSE)).await;
                }
                End::Failed(trouble) => {
                    if self.feeds[index].is_up.replace(false) {
                        self.teller.link(resource, read::link(resource, &trouble)).await;
                    }
                    tokio::time::sleep(back_off(failures)).await;
                    if !trouble.is_away() {
                        return;
                    }
                }
            }
        }
    }

    async fn watch_once(&self, index: usize, resource: &Resource, version: &mut String) -> End {
        let api = &self.teller.cluster.api;
        let opening =
            tokio::time::timeout(WATCH_HEARTBEAT * 3, resource.watch(api, version, WATCH_SECONDS)).await;
        let mut body = match opening {
            Ok(Ok(response)) => response.into_body(),
            Ok(Err(trouble)) if trouble.is_expired() => return End::Expired,
            Ok(Err(trouble)) => return End::Failed(trouble),
            Err(_) => {
                api.abandon_connection();
                return End::Failed(ApiError::Lost(format!(
                    "the API server at {} does not answer",
                    api.server
                )));
            }
        };
        if !self.feeds[index].is_up.replace(true) {
            self.teller.link(resource, Link::Up).await;
        }
        let mut pending = Vec::new();
        loop {
            // The watch broke or ended: it resumes from the last version; an unreachable server is detected
            // then.
            let Ok(Some(Ok(frame))) = tokio::time::timeout(WATCH_SILENCE, body.frame()).await else {
                return End::Over;
            };
            let Ok(data) = frame.into_data() else { continue };
            pending.extend_from_slice(&data);
            let mut begin = 0;
            while let Some(length) = pending[begin..].iter().position(|byte| *byte == b'\n') {
                let line = &pending[begin..=begin + length];
                if let Some(end) = self.line(index, resource, line, version).await {
                    return end;
                }
                begin += length + 1;
            }
            pending.drain(..begin);
            // The instance of a large cluster is a line of some 100 kB.
            pending.shrink_to(READ_BUFFER);
            if pending.len() > LONGEST_LINE {
                return End::Failed(ApiError::Nonsense(format!(
                    "the watch of {} sent no line",
                    resource.name
                )));
            }
        }
    }

    /// Processes one line of a watch.
    async fn line(
        &self,
        index: usize,
        resource: &Resource,
        line: &[u8],
        version: &mut String,
    ) -> Option<End> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            return Some(End::Failed(ApiError::Nonsense(format!(
                "the watch of {} is not JSON",
                resource.name
            ))));
        };
        let object = event["object"].take();
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ERROR" {
            let trouble = ApiError::Refused {
                code: object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500),
                reason: object["reason"].as_str().unwrap_or_default().to_owned(),
                message: object["message"].as_str().unwrap_or_default().to_owned(),
            };
            return Some(if trouble.is_expired() { End::Expired } else { End::Failed(trouble) });
        }
        if let Some(seen) = object["metadata"]["resourceVersion"].as_str() {
            seen.clone_into(version);
        }
        if !matches!(kind, "ADDED" | "MODIFIED" | "DELETED") {
            return None;
        }
        let object = resource.cleaned(object);
        self.teller.cluster.tap(kind, &object);
        if let (Some(uid), Some(known)) = (wire::uid(&object), self.feeds[index].known.borrow_mut().as_mut())
        {
            if kind == "DELETED" {
                known.remove(&uid);
            } else {
                known.entry(uid).or_insert_with(|| stub(&object));
            }
        }
        for fact in wire::facts(self.teller.cluster.now(), kind, &object) {
            let _ = self.teller.facts.send(fact).await;
        }
        None
    }

    /// A pause of the server's clock: a cluster with a faster clock is asked more often, up to a limit.
    fn pause(&self, of: Duration) -> Duration {
        of.div_f64(self.teller.cluster.clock().speed().max(1.0)).max(SHORTEST_HEARTBEAT)
    }

    /// Verifies the connection and refreshes the clock. A successful heartbeat verifies that cached objects
    /// are current: the watch would have delivered any change.
    async fn heartbeat(&self) {
        let cluster = &self.teller.cluster;
        let mut up = true;
        let mut first = FIRST_BEATS.into_iter().map(Duration::from_millis);
        loop {
            tokio::time::sleep(first.next().unwrap_or(self.pause(WATCH_HEARTBEAT))).await;
            let why = match tokio::time::timeout(WATCH_HEARTBEAT, cluster.api.get("/version")).await {
                Ok(Err(trouble)) if trouble.is_fatal() || trouble.is_away() => Some(trouble.why()),
                // Any answer, even a refusal, shows that the API server is reachable.
                Ok(_) => None,
                Err(_) => {
                    cluster.api.abandon_connection();
                    Some(format!(
                        "the API server at {} does not answer: no answer within {} s",
                        cluster.api.server,
                        WATCH_HEARTBEAT.as_secs()
                    ))
                }
            };
            let mut reported = Vec::new();
            for feed in self.feeds.iter().filter(|feed| feed.is_up.get()) {
                let resource = feed.resource.borrow().clone();
                if reported.contains(&resource.name) {
                    continue;
                }
                reported.push(resource.name);
                let link = why.clone().map_or(Link::Up, Link::Unreachable);
                self.teller.link(&resource, link).await;
            }
            let link = why.clone().map_or(Link::Up, Link::Unreachable);
            // Reported for the API itself only on a change, or when no feed reported it.
            if why.is_none() != up || reported.is_empty() {
                self.teller.send(Update::Link(Source::Kubernetes, "api", link)).await;
            }
            up = why.is_none();
            if !up {
                for feed in &self.feeds {
                    feed.is_up.set(false);
                }
                self.lost.notify_waiters();
            }
        }
    }
}
