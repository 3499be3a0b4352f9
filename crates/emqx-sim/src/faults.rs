//! Deliberate faults: by the scenario's timetable, or at once by a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::clock::Worker;
use super::emqx::Emqx;
use super::lease;
use super::scenario::{Answer, Fault, Scenario, ScenarioError};
use super::store::{Key, Store};

/// A handle that triggers faults; clones share the state.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    disconnect_all: watch::Sender<u64>,
    close_forwards: watch::Sender<u64>,
    emqx: Emqx,
    store: Store,
    namespace: String,
    operator_alive: Arc<AtomicBool>,
}

impl Faults {
    pub(super) fn new(scenario: &Scenario, emqx: Emqx, store: Store) -> Self {
        Self(Arc::new(Inner {
            disconnect_all: watch::Sender::new(0),
            close_forwards: watch::Sender::new(0),
            emqx,
            store,
            namespace: scenario.namespace.clone(),
            operator_alive: Arc::new(AtomicBool::new(scenario.operator_alive)),
        }))
    }

    /// Changes when every connection to the API server is to be closed.
    pub(super) fn all_disconnected(&self) -> watch::Receiver<u64> {
        self.0.disconnect_all.subscribe()
    }

    /// Changes when every port-forward is to be closed.
    pub(super) fn forwards_closed(&self) -> watch::Receiver<u64> {
        self.0.close_forwards.subscribe()
    }

    /// Whether the operator does anything.
    pub(super) fn operator_alive(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.operator_alive)
    }

    /// Closes every open port-forward without a closing message.
    pub fn drop_port_forwards(&self) {
        self.0.close_forwards.send_modify(|number| *number += 1);
    }

    /// Closes every connection to the API server: requests, watches, port-forwards.
    pub fn close_connections(&self) {
        self.0.disconnect_all.send_modify(|number| *number += 1);
        self.drop_port_forwards();
    }

    /// The API server restarts: connections are closed, and watches from before get 410.
    pub fn restart_api_server(&self) {
        self.0.store.forget();
        self.close_connections();
    }

    /// Replaces EMQX's answers from now on; `None` restores the normal ones.
    pub fn emqx_answers(&self, answer: Option<Answer>) {
        self.0.emqx.set_answer(answer);
    }

    /// Ends the process of every coordinator.
    pub fn crash_coordinators(&self) {
        self.0.emqx.with(super::broker::Broker::crash_coordinators);
    }

    /// Every coordinator's process hangs.
    pub fn hang_coordinators(&self) {
        self.0.emqx.with(super::broker::Broker::hang_coordinators);
    }

    /// Stops or starts a node, named by its pod or by itself. `false` when there is none.
    pub fn set_node_running(&self, name: &str, running: bool) -> bool {
        let pod = self.0.emqx.with(|broker| {
            let index = broker.in_pod(name).or_else(|| broker.find(name))?;
            if running {
                broker.restart(index);
            } else {
                broker.set_running(index, false);
            }
            Some(broker.nodes[index].pod.clone())
        });
        if let Some(pod) = &pod {
            self.mark_containers(pod, running);
        }
        pod.is_some()
    }

    /// Applies a function to a node, named by its pod or by itself. `false` when there is none.
    fn with_node(&self, name: &str, act: impl FnOnce(&mut super::broker::Broker, usize)) -> bool {
        self.0.emqx.with(|broker| {
            let index = broker.in_pod(name).or_else(|| broker.find(name));
            index.map(|index| act(broker, index)).is_some()
        })
    }

    /// Suspends a node's process, or lets it continue. `false` when there is no such node.
    pub fn set_node_frozen(&self, name: &str, frozen: bool) -> bool {
        self.with_node(name, |broker, node| broker.set_frozen(node, frozen))
    }

    /// Lets a node lose its view of all others, or find it again. `false` when there is no such node.
    pub fn set_node_blind(&self, name: &str, blind: bool) -> bool {
        self.with_node(name, |broker, node| broker.set_blind(node, blind))
    }

    /// Begins a purge of all sessions, led by this node. `false` when there is no such node.
    pub fn start_purge(&self, name: &str, rate: u64) -> bool {
        self.with_node(name, |broker, node| {
            if let Err(refusal) = broker.start_purge(node, rate) {
                tracing::warn!(refusal = refusal.message(), "the purge of the scenario does not start");
            }
        })
    }

    /// Ends every purge.
    pub fn stop_purges(&self) {
        self.0.emqx.with(super::broker::Broker::stop_purges);
    }

    /// A stopped node's container is no longer ready; the kubelet updates everything else.
    fn mark_containers(&self, pod: &str, ready: bool) {
        let Some(pods) = self.0.store.registry.index("pods") else { return };
        let key = Key { resource: pods, namespace: self.0.namespace.clone(), name: pod.to_owned() };
        let mut locked = self.0.store.lock();
        let Some(pod) = locked.get(&key) else { return };
        let mut pod = (*pod).clone();
        for container in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            container["ready"] = json!(ready);
        }
        locked.put(key, pod);
    }

    /// Starts or stops the operator.
    pub fn set_operator_alive(&self, alive: bool) {
        // A process that ends now has renewed its Lease until now.
        if self.0.operator_alive.swap(alive, Ordering::SeqCst) {
            lease::renew(&self.0.store, &mut self.0.store.lock());
        }
    }

    /// Removes an object, finalizers or not: `plural/name` in the scenario's namespace. `false` when there is none.
    pub fn delete_object(&self, object: &str) -> bool {
        object
            .split_once('/')
            .and_then(|(plural, name)| self.key(plural, name))
            .is_some_and(|key| self.0.store.lock().remove(&key).is_some())
    }

    /// Reads an object as it is stored: `plural`, `name` in the scenario's namespace.
    pub fn object(&self, plural: &str, name: &str) -> Option<Value> {
        let key = self.key(plural, name)?;
        self.0.store.lock().get(&key).map(|object| (*object).clone())
    }

    /// The names of the objects of one kind in the scenario's namespace, sorted.
    pub fn names(&self, plural: &str) -> Vec<String> {
        let Some(resource) = self.0.store.registry.index(plural) else { return Vec::new() };
        let objects = self.0.store.lock().list(resource, Some(&self.0.namespace));
        objects.into_iter().map(|(key, _)| key.name).collect()
    }

    /// What has changed since a version, as watches of everything would report it, and the version to continue from.
    pub fn changes(&self, since: u64) -> (u64, Vec<(&'static str, Value)>) {
        let locked = self.0.store.lock();
        let changes = locked.all_since(since).map(|change| {
            let event = match (&change.old, change.removed) {
                (_, true) => "DELETED",
                (None, false) => "ADDED",
                (Some(_), false) => "MODIFIED",
            };
            (event, (*change.new).clone())
        });
        (locked.version(), changes.collect())
    }

    /// Writes an object without checks, as a faulty controller would.
    pub fn put_object(&self, object: Value) -> bool {
        self.0.store.lock().seed(object).is_some()
    }

    fn key(&self, plural: &str, name: &str) -> Option<Key> {
        let resource = self.0.store.registry.index(plural)?;
        Some(Key { resource, namespace: self.0.namespace.clone(), name: name.to_owned() })
    }

    /// Triggers a fault of a scenario.
    pub fn apply(&self, fault: &Fault) {
        match fault {
            Fault::CrashCoordinator => self.crash_coordinators(),
            Fault::DropPortForwards => self.drop_port_forwards(),
            Fault::CloseConnections => self.close_connections(),
            Fault::RestartApiServer => self.restart_api_server(),
            Fault::EmqxAnswers(answer) => self.emqx_answers(Some(answer.clone())),
            Fault::EmqxRecovers => self.emqx_answers(None),
            Fault::StopNode(name) => drop(self.set_node_running(name, false)),
            Fault::StartNode(name) => drop(self.set_node_running(name, true)),
            Fault::FreezeNode(name) => drop(self.set_node_frozen(name, true)),
            Fault::ThawNode(name) => drop(self.set_node_frozen(name, false)),
            Fault::BlindNode(name) => drop(self.set_node_blind(name, true)),
            Fault::StartPurge { node, rate } => drop(self.start_purge(node, *rate)),
            Fault::StopPurge => self.stop_purges(),
            Fault::StopOperator => self.set_operator_alive(false),
            Fault::StartOperator => self.set_operator_alive(true),
            Fault::DeleteObject(object) => drop(self.delete_object(object)),
        }
    }
}

/// The faults of a scenario that come at a time, in order.
pub(super) fn timetable(scenario: &Scenario) -> Result<Vec<(Duration, Fault)>, ScenarioError> {
    let mut table = Vec::new();
    for timed in &scenario.faults {
        if let Some(at) = timed.at {
            table.push((Duration::from_secs_f64(at), timed.fault.parse()?));
        }
    }
    table.sort_by_key(|(at, _)| *at);
    Ok(table)
}

/// Triggers each fault at its time.
pub(super) async fn run(mut worker: Worker, faults: Faults, table: Vec<(Duration, Fault)>) {
    for (at, fault) in table {
        worker.sleep_until(at).await;
        tracing::debug!(?fault, "a fault of the scenario");
        faults.apply(&fault);
    }
}
