//! The ports: the traits through which a cluster is read and changed. Commands and the view use only these, so that a live
//! cluster, the simulated cluster and a recording are interchangeable.
//!
//! ```text
//!            facts ─────────────►  World ──► plan ──► output / tui
//!   k8s ──┐                                              │
//!   emqx ─┤  Kubernetes, Broker  ◄───────── acts ────────┘
//!  replay ┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::Problem;
use crate::model::drain::{Cordon, Eviction, Placement};
use crate::model::evacuation::Settings;
use crate::model::report::EmqxReport;
use crate::model::scale::Autoscalers;
use crate::model::surroundings::Surroundings;
use crate::model::{Fact, Instance, InstanceId, NodeName, PodName, Rebalance, Served, Strategy, Target};

pub(crate) mod fact_streams;
pub mod history;
pub mod host;
mod rights;
mod scope;

pub use rights::Right;
pub use scope::{RefreshScope, Scope, SurroundingScope};

/// A future with a value or a [`Problem`].
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + 'a>>;

/// A stream of facts. It ends only when its source ends (a recording); a live source reconnects by itself.
pub type FactStream = Pin<Box<dyn Stream<Item = Fact>>>;

/// A stream of facts made by a future that sends them. Nothing runs unless the stream is polled, so that a source
/// pauses without a receiver; the future waits when the channel is full, so that no fact is dropped.
pub(crate) fn driven<F>(capacity: usize, make: impl FnOnce(Sender<Fact>) -> F) -> FactStream
where
    F: Future<Output = ()> + 'static,
{
    let (sender, facts) = channel(capacity);
    Box::pin(Driven { facts, driver: Some(Box::pin(make(sender))) })
}

struct Driven {
    facts: Receiver<Fact>,
    driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Stream for Driven {
    type Item = Fact;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Fact>> {
        if let Poll::Ready(Some(fact)) = self.facts.poll_recv(context) {
            return Poll::Ready(Some(fact));
        }
        if let Some(driver) = self.driver.as_mut()
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
        // The fact that the driver has just sent; the stream ends when the driver, the only sender, has
        // ended.
        self.facts.poll_recv(context)
    }
}

/// The pause after `failures` consecutive failures: 100 ms, doubling up to 5 s.
pub(crate) fn back_off(failures: u32) -> Duration {
    jitter(Duration::from_millis(100 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(5)))
}

/// A pause that is up to a tenth shorter or longer, so that many processes do not send requests at the same
/// time.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let random = host::random() % 1000;
    pause.mul_f64(0.9 + random as f64 / 5000.0)
}

/// The clock that dates all facts: the server's time at the first answer, and from then on elapsed local
/// time.
pub trait Clock {
    /// The present time. The difference of two values is elapsed local time, even when the server's clock
    /// jumps.
    fn now(&self) -> Timestamp;
    /// Seconds of this clock per second of this machine: 1, except for a demo that runs faster.
    fn speed(&self) -> f64;
}

/// Whether a write is a server-side dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerDryRun {
    /// The write is carried out.
    #[default]
    No,
    /// The server checks the write and stores nothing.
    Server,
}

/// The Kubernetes API.
pub trait Kubernetes {
    /// The served versions and kinds. Fails only when the API server does not respond.
    fn served(&self) -> BoxedFuture<'_, Served>;
    /// Lists the scope once. A forbidden or absent resource becomes a fact; an error means that there is nothing to show.
    fn read<'a>(&'a self, scope: &'a Scope) -> BoxedFuture<'a, Vec<Fact>>;
    /// The names of the namespaces.
    fn namespaces(&self) -> BoxedFuture<'_, Vec<String>>;
    /// Lists and then watches the scope.
    fn follow(&self, scope: &Scope) -> FactStream;
    /// One Rebalance, or `None` when there is none of that name.
    fn rebalance<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxedFuture<'a, Option<Rebalance>>;
    /// Creates a Rebalance from its manifest; returns it as the server stored it, with the server's warnings.
    fn create_rebalance<'a>(&'a self, manifest: &'a Value, dry_run: ServerDryRun)
    -> BoxedFuture<'a, Created>;
    /// Deletes a Rebalance, if it still has this uid. `false` when it no longer exists.
    fn delete_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, bool>;
    /// Deletes a Rebalance only in the version that was read, by uid and resourceVersion, so that a later
    /// change by an operator is detected.
    fn delete_unchanged<'a>(&'a self, rebalance: &'a Rebalance) -> BoxedFuture<'a, Deletion>;
    /// Writes an annotation on a Rebalance, if it still has this uid; without a value it is removed. `false`
    /// when that object no longer exists.
    fn annotate_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        key: &'a str,
        value: Option<&'a str>,
    ) -> BoxedFuture<'a, bool>;
    /// An instance as the server has it, `managedFields` included; `None` when it does not exist.
    fn object<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<Value>>;
    /// Server-side apply of an instance's fields with the field manager of this program; with `force` fields
    /// of other managers are taken over, without it they are a refusal that names them. It never creates an
    /// instance.
    fn apply_instance<'a>(
        &'a self,
        change: &'a Value,
        force: bool,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, AppliedObject>;
    /// Removes fields (JSON pointers) from an instance, of any owner, if the instance still has the version
    /// of `object`: an apply removes only fields without another owner.
    fn remove_fields<'a>(&'a self, object: &'a Value, fields: &'a [String])
    -> BoxedFuture<'a, AppliedObject>;
    /// Stores a text under a key of this program's ConfigMap of an instance, which is created if it does not
    /// exist; other keys stay.
    fn store_state<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, ()>;
    /// The same for one version of the ConfigMap, `None` for none so far: `false` when another client changed
    /// or created it in the meantime, and nothing was written.
    fn store_state_over<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        version: Option<&'a str>,
    ) -> BoxedFuture<'a, bool>;
    /// Scales a StatefulSet; `false` when there is none of that name.
    fn scale_set<'a>(&'a self, namespace: &'a str, name: &'a str, replicas: u64) -> BoxedFuture<'a, bool>;
    /// Writes a pod's readiness gate `apps.emqx.io/on-serving`; `false` when the pod no longer exists.
    fn set_gate<'a>(&'a self, namespace: &'a str, pod: &'a PodName, serving: bool) -> BoxedFuture<'a, bool>;
    /// Kubernetes nodes, the pods on them, PodDisruptionBudgets of these namespaces, and the volumes of pods with these uids. Fails only
    /// where the nodes or the EMQX pods may not be read.
    fn placement<'a>(
        &'a self,
        namespaces: &'a [String],
        pods: &'a BTreeSet<String>,
    ) -> BoxedFuture<'a, Placement>;
    /// Services and quotas of the namespace of an instance, and the conversion webhook of its CRD. Fails only when the API server
    /// does not respond.
    fn surroundings<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Surroundings>;
    /// The same, each if requested.
    fn part_of_surroundings<'a>(
        &'a self,
        id: &'a InstanceId,
        want: SurroundingScope,
    ) -> BoxedFuture<'a, Surroundings>;
    /// Cordons a Kubernetes node and adds this program's mark; a node that is cordoned already stays
    /// unchanged.
    fn cordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon>;
    /// Uncordons a Kubernetes node that this program cordoned; any other node stays unchanged.
    fn uncordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon>;
    /// Requests the eviction of the pod with this uid, which PodDisruptionBudgets may refuse.
    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a PodName, uid: &'a str) -> BoxedFuture<'a, Eviction>;
    /// The autoscalers of a namespace; what may not be read is named.
    fn autoscalers<'a>(&'a self, namespace: &'a str) -> BoxedFuture<'a, Autoscalers>;
    /// Writes the deletion cost of the pod with this uid, or removes it; `false` when that pod no longer
    /// exists.
    fn set_deletion_cost<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a PodName,
        uid: &'a str,
        cost: Option<i64>,
    ) -> BoxedFuture<'a, bool>;
    /// The name of this process for others: user, host and process id.
    fn holder(&self) -> String;
    /// The user and host of this process, `user@host`; empty without Kubernetes.
    fn client(&self) -> String;
    /// Takes or renews the Lease of an instance for this process: `None`, or the process that holds it.
    fn take_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, Option<String>>;
    /// Releases the Lease of an instance, if this process holds it.
    fn release_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, ()>;
    /// The last lines of the log of a pod's EMQX container.
    fn logs<'a>(&'a self, namespace: &'a str, pod: &'a PodName, lines: usize) -> BoxedFuture<'a, String>;
    /// Whether these are permitted; `None` where the review itself is forbidden.
    fn may<'a>(&'a self, rights: &'a [Right]) -> BoxedFuture<'a, Vec<Option<bool>>>;
}

/// The result of a delete of one version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object is deleted, or will be deleted when its finalizers are removed.
    Accepted,
    /// The object was changed since it was read: nothing was deleted.
    Changed,
    /// The object no longer exists.
    Gone,
}

/// The server's answer to a manifest.
#[derive(Clone, Debug)]
pub struct Created {
    /// The object as stored.
    pub rebalance: Rebalance,
    /// The object as the server wrote it.
    pub object: Value,
    /// The server's warnings.
    pub warnings: Vec<String>,
}

/// The server's answer to a change of an instance.
#[derive(Clone, Debug)]
pub struct AppliedObject {
    /// The object after the change, or as it would be.
    pub object: Value,
    /// The server's warnings.
    pub warnings: Vec<String>,
}

/// The settings of an evacuation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvacuationOrder {
    /// Clients disconnected per second.
    pub conn_evict_rate: u64,
    /// Sessions moved per second.
    pub sess_evict_rate: u64,
    /// Seconds for clients to take their sessions over; `None` is EMQX's own default.
    pub wait_takeover: Option<u64>,
    /// Seconds for load balancers to remove the node; `None` is EMQX's own default. Not sent to EMQX 4, which has no such wait;
    /// EMQX before 5.1 refuses it.
    pub wait_health_check: Option<u64>,
    /// The nodes that receive the sessions; empty for all other nodes.
    pub migrate_to: Vec<NodeName>,
    /// The server to which MQTT 5 clients are redirected: `HOST:PORT`.
    pub redirect_to: Option<String>,
}

impl EvacuationOrder {
    /// The order that follows from requested settings.
    pub(crate) fn of(settings: &Settings, waits_for_load_balancers: bool) -> Self {
        Self {
            conn_evict_rate: settings.conn_evict_rate,
            sess_evict_rate: settings.sess_evict_rate,
            wait_takeover: Some(settings.wait_takeover_seconds),
            wait_health_check: waits_for_load_balancers.then_some(settings.wait_health_check_seconds),
            migrate_to: settings.migrate_to.clone(),
            redirect_to: settings.redirect_to.clone(),
        }
    }
}

/// EMQX's own API, of one cluster.
pub trait Broker {
    /// Reads nodes and running operations once. Never fails: an unreachable EMQX is a fact.
    fn read(&self) -> BoxedFuture<'_, Vec<Fact>>;
    /// As [`Self::read`], over a fresh connection, and from another core where there is one.
    fn read_again(&self) -> BoxedFuture<'_, Vec<Fact>>;
    /// As [`Self::read`], repeated at this interval of the server's clock.
    fn follow(&self, every: Duration) -> FactStream;
    /// Starts a rebalance with `coordinator` as its coordinator and `nodes` as its participants.
    fn start<'a>(
        &'a self,
        coordinator: &'a NodeName,
        nodes: &'a [NodeName],
        strategy: &'a Strategy,
    ) -> BoxedFuture<'a, ()>;
    /// Stops the rebalance of `coordinator`. `false` when it ran none.
    fn stop<'a>(&'a self, coordinator: &'a NodeName) -> BoxedFuture<'a, bool>;
    /// Starts an evacuation. `false` if one was running already, possibly from a request whose response was lost.
    fn evacuate<'a>(&'a self, node: &'a NodeName, order: &'a EvacuationOrder) -> BoxedFuture<'a, bool>;
    /// Lets a node serve again. `false` when it was not being evacuated.
    fn stop_evacuation<'a>(&'a self, node: &'a NodeName) -> BoxedFuture<'a, bool>;
    /// Whether a node accepts clients, by a request to its pod, or to the address of that node.
    fn accepts_clients<'a>(&'a self, node: &'a NodeName, pod: Option<&'a PodName>) -> BoxedFuture<'a, bool>;
    /// The nodes that hold replicas of durable storage; empty where there is none, or EMQX does not serve the list.
    fn storage_sites(&self) -> BoxedFuture<'_, Vec<NodeName>>;
    /// The name of EMQX's own cluster; `None` where its version does not report one.
    fn cluster_name(&self) -> BoxedFuture<'_, Option<String>>;
    /// The core that each replicant is connected to; `None` where EMQX does not report it.
    fn replicants(&self) -> BoxedFuture<'_, Option<BTreeMap<NodeName, NodeName>>>;
    /// The licence, the rates of the listeners, and the nodes that each of these cores sees, by a request to the core
    /// itself. Never fails: what cannot be read is part of the report.
    fn report<'a>(&'a self, cores: &'a [(NodeName, Option<PodName>)]) -> BoxedFuture<'a, EmqxReport>;
}

/// Creates a [`Broker`] for a target; `app` passes it to the commands.
pub trait Brokers {
    /// A broker for this cluster; nothing is contacted before its first request.
    fn broker(&self, target: Target) -> Rc<dyn Broker>;
}

/// Bytes to and from a pod's port.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A stream to a pod's port; `k8s` implements it as port-forward, `emqx` uses it.
pub trait Tunnel {
    /// Opens a stream of bytes.
    fn open<'a>(&'a self, namespace: &'a str, pod: &'a PodName, port: u16)
    -> BoxedFuture<'a, Box<dyn Bytes>>;
}

/// A key for EMQX's API. Has no `Debug`: it must not reach a log.
#[derive(Clone)]
pub struct ApiKey {
    pub key: String,
    pub secret: String,
}

/// The source of the key for EMQX: the operator's Secret, or a file.
pub trait Credentials {
    /// The key for this instance.
    fn key<'a>(&'a self, instance: &'a InstanceId, v4: bool) -> BoxedFuture<'a, ApiKey>;
}

/// Receives everything that comes from outside in its original form, to record it.
pub trait RecordingSink {
    /// Whether anything is recorded at the moment.
    fn records(&self) -> bool {
        true
    }
    /// An object was received: `event` is LISTED, ADDED, MODIFIED or DELETED.
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value);
    /// An answer of the EMQX of this instance was received.
    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value);
    /// EMQX accepted this request to start a rebalance; its answers do not report the thresholds and waits.
    fn started(&self, at: Timestamp, instance: &InstanceId, coordinator: &NodeName, request: &Value);
    /// The follow ended at this time: conclusions from missing answers can be repeated from the recording.
    fn ends(&self, at: Timestamp);
}

/// Converts a recording into facts; implemented by `app` out of the wire readers of `k8s` and `emqx`.
pub trait Translate {
    /// An object of Kubernetes, with the event that delivered it.
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact>;
    /// An answer of the EMQX of this instance.
    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact>;
    /// The strategy of a request to start a rebalance.
    fn strategy(&self, _request: &Value) -> Option<Strategy> {
        None
    }
}

/// One line of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The line, from 1.
    pub line: usize,
    /// Seconds since the recording began.
    pub t: f64,
    /// The time by the recorded clock.
    pub at: Timestamp,
    /// Whether it is a change: not a list, and not EMQX's first response.
    pub change: bool,
    /// The facts of the line.
    pub facts: Vec<Fact>,
}
