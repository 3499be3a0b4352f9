//! Watches: a stream of changes from a version on, one JSON document per line.
//!
//! Each watch reads the store's log at its own speed; an object that a selector no longer matches is
//! `DELETED` for its watcher, one that it begins to match is `ADDED`. A version older than the log gets 410
//! inside the stream, as on the real server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::status::Failure;
use super::store::Change;
use super::table;
use super::verbs::{Call, Verbs, present};

/// Bookmarks come this often, in real time.
const BOOKMARK: Duration = Duration::from_secs(30);
/// A watch without a time limit of its own ends after this.
const LONGEST: Duration = Duration::from_mins(30);

/// The request of a watcher.
pub(super) struct Request {
    pub(super) call: Call,
    /// The version to start from; empty or `0` starts with all existing objects.
    pub(super) version: String,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) table: bool,
}

struct Watch {
    verbs: Verbs,
    request: Request,
    news: watch::Receiver<u64>,
    cursor: u64,
    waiting: VecDeque<Value>,
    ends: Instant,
    bookmark: Instant,
    columns_sent: bool,
    over: bool,
}

/// The lines of a watch.
pub(super) fn lines(verbs: Verbs, request: Request) -> impl Stream<Item = Bytes> + Send + 'static {
    let news = verbs.store.subscribe();
    let now = Instant::now();
    let timeout = request.timeout.unwrap_or(LONGEST).min(LONGEST);
    let mut watch = Watch {
        cursor: 0,
        waiting: VecDeque::new(),
        ends: now + timeout,
        bookmark: now + BOOKMARK,
        columns_sent: false,
        over: false,
        verbs,
        request,
        news,
    };
    watch.begin();
    stream::unfold(watch, |mut watch| async move { watch.next().await.map(|line| (line, watch)) })
}

impl Watch {
    fn begin(&mut self) {
        let asked = self.request.version.as_str();
        if !asked.is_empty() && asked != "0" && !self.request.initial_events {
            match asked.parse() {
                Ok(version) => self.cursor = version,
                Err(_) => self.fail(&Failure::bad_request(format!("invalid resource version {asked:?}"))),
            }
            return;
        }
        let call = &self.request.call;
        let locked = self.verbs.store.lock();
        self.cursor = locked.version();
        let found = locked.list(call.resource, call.namespace.as_deref());
        drop(locked);
        for (_, object) in found {
            if self.request.call.selector.matches(&object) {
                self.push("ADDED", &object);
            }
        }
        if self.request.initial_events {
            let mut mark = self.mark();
            mark["object"]["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
            self.waiting.push_back(mark);
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                let mut line = event.to_string();
                line.push('\n');
                return Some(Bytes::from(line));
            }
            if self.over || Instant::now() >= self.ends {
                return None;
            }
            self.news.mark_unchanged();
            self.read_on();
            if !self.waiting.is_empty() || self.over {
                continue;
            }
            let until = if self.request.bookmarks { self.ends.min(self.bookmark) } else { self.ends };
            tokio::select! {
                biased;
                changed = self.news.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(until) => {
                    if self.request.bookmarks && Instant::now() >= self.bookmark {
                        self.bookmark = Instant::now() + BOOKMARK;
                        let mark = self.mark();
                        self.waiting.push_back(mark);
                    }
                }
            }
        }
    }

    fn read_on(&mut self) {
        let locked = self.verbs.store.lock();
        let newest = locked.version();
        let changes = locked.since(self.request.call.resource, self.cursor);
        drop(locked);
        let Some(changes) = changes else {
            self.fail(&Failure::gone(self.cursor, newest));
            return;
        };
        for change in &changes {
            self.take(change);
        }
        self.cursor = self.cursor.max(newest);
    }

    fn take(&mut self, change: &Change) {
        let call = &self.request.call;
        if call.namespace.as_ref().is_some_and(|namespace| *namespace != change.key.namespace) {
            return;
        }
        let before = change.old.as_ref().is_some_and(|old| call.selector.matches(old));
        let after = !change.removed && call.selector.matches(&change.new);
        match (before, after) {
            (false, true) => self.push("ADDED", &change.new),
            (true, true) => self.push("MODIFIED", &change.new),
            (true, false) => self.push("DELETED", &change.new),
            (false, false) => {}
        }
    }

    fn push(&mut self, kind: &str, object: &Arc<Value>) {
        let call = &self.request.call;
        let resource = self.verbs.store.registry.get(call.resource);
        let shown = present(resource, &call.version, object);
        let object = if self.request.table {
            let columns = !std::mem::replace(&mut self.columns_sent, true);
            table::one(resource, &shown, self.verbs.store.clock.now(), columns)
        } else {
            shown
        };
        self.waiting.push_back(json!({ "type": kind, "object": object }));
    }

    fn mark(&self) -> Value {
        let resource = self.verbs.store.registry.get(self.request.call.resource);
        let version = &self.request.call.version;
        let api_version =
            if resource.group.is_empty() { version.clone() } else { format!("{}/{version}", resource.group) };
        json!({ "type": "BOOKMARK", "object": {
            "apiVersion": api_version, "kind": resource.kind,
            "metadata": { "resourceVersion": self.cursor.to_string() },
        } })
    }

    fn fail(&mut self, failure: &Failure) {
        self.waiting.push_back(json!({ "type": "ERROR", "object": failure.body() }));
        self.over = true;
    }
}
