//! The objects of the simulated API server, their one counter of versions, and the log of changes that watches read.
//!
//! ```text
//! put / remove ─► object map (what `list` and `get` see)
//!             └─► log of changes ─► every watch reads on from its own resourceVersion, at its own pace
//!             └─► raised: the kubelet, when a pod or a set changed
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::clock::{Clock, Raiser, rfc3339};
use super::resources::Registry;

/// The most changes that a watch may be behind before it gets 410.
const LOG_LENGTH: usize = 20_000;

/// Where an object is: the resource's index, the namespace (empty for none), the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: usize,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change, as watches need it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    /// The state before; absent for a new object.
    pub(super) old: Option<Arc<Value>>,
    /// The state after; for a removed object its last state, with the version of the removal.
    pub(super) new: Arc<Value>,
    pub(super) removed: bool,
}

/// The store; clones share it.
#[derive(Clone)]
pub(super) struct Store {
    inner: Arc<Mutex<Inner>>,
    /// The newest version, for waiting watches.
    changed: watch::Sender<u64>,
    pub(super) clock: Clock,
    pub(super) registry: Arc<Registry>,
}

pub(super) struct Inner {
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Change>,
    /// The newest version that was dropped from the log: older watches get 410.
    floor: u64,
    version: u64,
    ids: u64,
    newest: BTreeMap<usize, u64>,
    /// The resources that the kubelet manages, and their changed objects.
    kept: Vec<usize>,
    dirty: BTreeSet<Key>,
    kubelet: Option<Raiser>,
}

impl Store {
    pub(super) fn new(clock: Clock, registry: Registry) -> Self {
        let kept = ["pods", "statefulsets", "replicasets", "poddisruptionbudgets"]
            .iter()
            .filter_map(|it| registry.index(it))
            .collect();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                objects: BTreeMap::new(),
                log: VecDeque::new(),
                floor: 1000,
                version: 1000,
                ids: 0,
                newest: BTreeMap::new(),
                kept,
                dirty: BTreeSet::new(),
                kubelet: None,
            })),
            changed: watch::Sender::new(1000),
            clock,
            registry: Arc::new(registry),
        }
    }

    /// Locks the store. Never held across an await.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { guard: self.inner.lock().unwrap_or_else(PoisonError::into_inner), store: self }
    }

    /// Notifies about newer versions.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Wakes this worker whenever a pod or a set changes.
    pub(super) fn set_kubelet(&self, raiser: Raiser) {
        self.lock().guard.kubelet = Some(raiser);
    }

    /// Drops the log, as a restarted API server does: every older watch must list again.
    pub(super) fn forget(&self) {
        let mut locked = self.lock();
        locked.guard.version += 1;
        locked.guard.floor = locked.guard.version;
        locked.guard.log.clear();
    }
}

/// The locked store.
pub(super) struct Locked<'a> {
    guard: MutexGuard<'a, Inner>,
    store: &'a Store,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let version = self.guard.version;
        self.store.changed.send_if_modified(|known| std::mem::replace(known, version) != version);
        if !self.guard.dirty.is_empty()
            && let Some(kubelet) = &self.guard.kubelet
        {
            kubelet.raise();
        }
    }
}

impl Locked<'_> {
    pub(super) fn version(&self) -> u64 {
        self.guard.version
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.guard.objects.get(key).cloned()
    }

    /// All objects of a resource, of one namespace or of all, in order of namespace and name.
    pub(super) fn list(&self, resource: usize, namespace: Option<&str>) -> Vec<(Key, Arc<Value>)> {
        let from = Key { resource, namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        self.guard
            .objects
            .range(from..)
            .take_while(|(key, _)| {
                key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    /// A uid that no other object of this cluster has; the same in each run.
    pub(super) fn new_uid(&mut self) -> String {
        self.guard.ids += 1;
        let (high, low) = (mix(self.guard.ids), mix(self.guard.ids ^ 0x5bd1_e995_9e37_79b9));
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }

    /// Writes an object, new or not, with a new version.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let version = self.next_version(key.resource);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let new = Arc::new(object);
        let old = self.guard.objects.insert(key.clone(), Arc::clone(&new));
        self.mark(&key);
        self.record(Change { version, key, old, new: Arc::clone(&new), removed: false });
        new
    }

    /// Removes an object; its last state has the version of the removal.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let old = self.guard.objects.remove(key)?;
        let version = self.next_version(key.resource);
        let mut last = (*old).clone();
        last["metadata"]["resourceVersion"] = json!(version.to_string());
        let new = Arc::new(last);
        self.mark(key);
        self.record(Change {
            version,
            key: key.clone(),
            old: Some(old),
            new: Arc::clone(&new),
            removed: true,
        });
        Some(new)
    }

    fn mark(&mut self, key: &Key) {
        if self.guard.kept.contains(&key.resource) {
            self.guard.dirty.insert(key.clone());
        }
    }

    /// Pods and sets that changed since the last call.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.guard.dirty)
    }

    /// The version of the last change of a resource.
    pub(super) fn newest(&self, resource: usize) -> u64 {
        self.guard.newest.get(&resource).copied().unwrap_or(0)
    }

    /// The changes of a resource after `version`, or `None` when the log no longer has them.
    pub(super) fn since(&self, resource: usize, version: u64) -> Option<Vec<Change>> {
        if version < self.guard.floor {
            return None;
        }
        let first = self.guard.log.partition_point(|change| change.version <= version);
        Some(
            self.guard.log.range(first..).filter(|change| change.key.resource == resource).cloned().collect(),
        )
    }

    /// All changes after `version` that are not forgotten.
    pub(super) fn all_since(&self, version: u64) -> impl Iterator<Item = &Change> {
        self.guard.log.iter().filter(move |change| change.version > version)
    }

    fn next_version(&mut self, resource: usize) -> u64 {
        self.guard.version += 1;
        let version = self.guard.version;
        self.guard.newest.insert(resource, version);
        version
    }

    fn record(&mut self, change: Change) {
        if self.guard.log.len() >= LOG_LENGTH
            && let Some(forgotten) = self.guard.log.pop_front()
        {
            self.guard.floor = forgotten.version;
        }
        self.guard.log.push_back(change);
    }

    /// What the API server serves.
    pub(super) fn registry(&self) -> &Registry {
        &self.store.registry
    }

    /// The present virtual time, in Kubernetes' format.
    pub(super) fn now(&self) -> String {
        rfc3339(self.store.clock.now())
    }

    /// This number of seconds later, in Kubernetes' format.
    pub(super) fn later(&self, seconds: u64) -> String {
        let clock = &self.store.clock;
        rfc3339(clock.at(clock.elapsed() + Duration::from_secs(seconds)))
    }

    /// Stores an object that existed before everything else: it gets no version, and no watch is notified.
    pub(super) fn found(&mut self, mut object: Value) {
        let Some((resource, _)) = self.store.registry.of_object(&object) else { return };
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let key = Key { resource, namespace: text("namespace"), name: text("name") };
        object["metadata"]["resourceVersion"] = json!(self.guard.version.to_string());
        self.guard.objects.insert(key, Arc::new(object));
    }

    /// Creates an object that the cluster itself makes: no checks, all metadata filled in. `None` for an unknown kind.
    pub(super) fn seed(&mut self, mut object: Value) -> Option<(Key, Arc<Value>)> {
        let (resource, described) = self.store.registry.of_object(&object)?;
        let namespaced = described.namespaced;
        let name = object["metadata"]["name"].as_str()?.to_owned();
        let namespace =
            object["metadata"]["namespace"].as_str().filter(|_| namespaced).unwrap_or_default().to_owned();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(self.new_uid());
        }
        if object["metadata"]["creationTimestamp"].is_null() {
            object["metadata"]["creationTimestamp"] = json!(self.now());
        }
        if !object["spec"].is_null() && object["metadata"]["generation"].is_null() {
            object["metadata"]["generation"] = json!(1);
        }
        let key = Key { resource, namespace, name };
        let stored = self.put(key.clone(), object);
        Some((key, stored))
    }
}

/// SplitMix64: the same numbers in each run.
fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
