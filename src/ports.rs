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
use crate::model::report::EmqxReport;
use crate::model::scale::Autoscalers;
use crate::model::surroundings::Surroundings;
use crate::model::{
    Fact, Instance, InstanceId, InstanceKind, NodeName, PodName, Rebalance, Served, Strategy, Target,
};

pub mod history;
pub mod host;

/// Something that is known later, or a [`Problem`].
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + 'a>>;

/// Facts as they come. Ends only when the source is over (a recording); a live one heals itself.
pub type FactStream = Pin<Box<dyn Stream<Item = Fact>>>;

/// A stream of facts made by a future that sends them. Nothing runs unless the stream is polled, so that a source
/// pauses without a receiver; the future waits when the channel is full, so that no fact is dropped.
pub fn driven<F>(capacity: usize, make: impl FnOnce(Sender<Fact>) -> F) -> FactStream
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
        // What the driver has just sent; the end once it is gone and with it the only sender.
        self.facts.poll_recv(context)
    }
}

/// The pause after `failures` consecutive failures: 100 ms, doubling up to 5 s.
pub(crate) fn back_off(failures: u32) -> Duration {
    jitter(Duration::from_millis(100 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(5)))
}

/// Up to a tenth less or more, so that many of us do not ask in step.
pub fn jitter(pause: Duration) -> Duration {
    let random = host::random() % 1000;
    pause.mul_f64(0.9 + random as f64 / 5000.0)
}

/// The time by which everything is dated: the server's time at the first answer, and from there on elapsed local time.
pub trait Clock {
    /// Now. Differences of two values are elapsed local time, also when the server's clock jumps.
    fn now(&self) -> Timestamp;
    /// Seconds of this clock in one second of this machine: 1, but for a demo that runs faster.
    fn speed(&self) -> f64;
}

/// The requested resources and instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One namespace; `None` for all.
    pub namespace: Option<String>,
    /// One instance by name, and by kind where it is known.
    pub instance: Option<(Option<InstanceKind>, String)>,
    /// A label selector for the instances, as kubectl takes it.
    pub labels: Option<String>,
    /// A field selector for the instances.
    pub fields: Option<String>,
    /// The requested kinds of resources.
    pub want: RefreshScope,
}

/// How much is read: every command requests only what it shows.
#[expect(clippy::struct_excessive_bools, reason = "each is one list that is made or not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshScope {
    pub instances: bool,
    pub rebalances: bool,
    pub pods: bool,
    /// StatefulSets and ReplicaSets, which distinguish the revisions of an upgrade.
    pub sets: bool,
    /// EndpointSlices.
    pub endpoints: bool,
    pub events: bool,
    /// What we store about instances.
    pub states: bool,
    /// The operator's Lease, where it may be read.
    pub lease: bool,
}

impl RefreshScope {
    /// Everything.
    pub const ALL: Self = Self {
        instances: true,
        rebalances: true,
        pods: true,
        sets: true,
        endpoints: true,
        events: true,
        states: true,
        lease: true,
    };
    /// What a rebalance is judged by.
    pub const REBALANCE: Self = Self { sets: false, events: false, states: false, lease: false, ..Self::ALL };
}

/// Whether the server only pretends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerDryRun {
    /// It is done.
    #[default]
    No,
    /// The server checks it and stores nothing.
    Server,
}

/// A permission that can be queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `create`, `delete`, `get`, …
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, `pods` or `pods/portforward`.
    pub resource: &'static str,
    pub namespace: String,
    /// Of one object: a role may name those that it is for.
    pub name: Option<String>,
}

impl Right {
    /// Verb and resource, with its group and namespace: `patch pods/status in namespace mq`.
    pub fn sentence(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let place = if self.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace {}", self.namespace)
        };
        format!("{} {}{group}{place}", self.verb, self.resource)
    }

    /// What a rebalance by an object writes.
    pub fn of_rebalance(verb: &'static str, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { verb, group: "apps.emqx.io", resource: "rebalances", namespace, name: None }
    }

    /// What an upgrade writes in Kubernetes: the instance; where a guard empties pods their readiness gates; and our
    /// ConfigMap, which is created once and patched afterwards.
    pub fn of_upgrade(id: &InstanceId) -> [Self; 5] {
        let patch = |group, resource, name| {
            let namespace = id.namespace.clone();
            Self { verb: "patch", group, resource, namespace, name }
        };
        let state = Some(crate::model::operation_state::state_name(id));
        let create = Self { verb: "create", ..patch("", "configmaps", None) };
        [
            patch("apps.emqx.io", id.kind.plural(), Some(id.name.clone())),
            patch("", "pods/status", None),
            create,
            patch("", "configmaps", state),
            patch("apps", "statefulsets/scale", None),
        ]
    }

    /// What a drain writes: Kubernetes nodes where it cordons them, evictions, our ConfigMap and our Lease.
    pub(crate) fn of_drain(id: &InstanceId, cordon: bool) -> Vec<Self> {
        let right = |verb, group, resource, namespace: &str, name: Option<String>| Self {
            verb,
            group,
            resource,
            namespace: namespace.to_owned(),
            name,
        };
        let mut rights = vec![right("create", "", "pods/eviction", &id.namespace, None)];
        rights.extend(Self::of_state(id));
        if cordon {
            rights.push(right("get", "", "nodes", "", None));
            rights.push(right("patch", "", "nodes", "", None));
        }
        rights
    }

    /// What the verdict of an operation without an object of its own is recorded with: our ConfigMap.
    pub(crate) fn of_history(id: &InstanceId) -> Vec<Self> {
        Self::of_state(id).into_iter().filter(|right| right.resource == "configmaps").collect()
    }

    /// What a scale writes: the instance, our ConfigMap and our Lease, and the deletion costs of pods of a ReplicaSet.
    pub(crate) fn of_scale(id: &InstanceId, costs: bool) -> Vec<Self> {
        let patch = |group, resource, name| {
            let namespace = id.namespace.clone();
            Self { verb: "patch", group, resource, namespace, name }
        };
        let mut rights = vec![patch("apps.emqx.io", id.kind.plural(), Some(id.name.clone()))];
        rights.extend(Self::of_state(id));
        if costs {
            rights.push(patch("", "pods", None));
        }
        rights
    }

    /// What is written to store a drain or a scale: our ConfigMap and our Lease.
    fn of_state(id: &InstanceId) -> [Self; 5] {
        let right = |verb, group, resource, named: bool| Self {
            verb,
            group,
            resource,
            namespace: id.namespace.clone(),
            name: named.then(|| crate::model::operation_state::state_name(id)),
        };
        [
            right("create", "", "configmaps", false),
            right("patch", "", "configmaps", true),
            right("create", "coordination.k8s.io", "leases", false),
            right("get", "coordination.k8s.io", "leases", true),
            right("update", "coordination.k8s.io", "leases", true),
        ]
    }
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
    /// Creates a Rebalance from its manifest; gives it back as the server stored it, with the server's warnings.
    fn create_rebalance<'a>(&'a self, manifest: &'a Value, dry_run: ServerDryRun)
    -> BoxedFuture<'a, Created>;
    /// Deletes a Rebalance, if it still is the one with this uid. `false` when it is gone already.
    fn delete_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, bool>;
    /// Deletes a Rebalance only in the version that was read, by uid and resourceVersion, so that an operator's change since
    /// then is detected.
    fn delete_unchanged<'a>(&'a self, rebalance: &'a Rebalance) -> BoxedFuture<'a, Deletion>;
    /// Writes an annotation on a Rebalance, if it still is the one with this uid; without a value it is removed. `false`
    /// when that one is gone.
    fn annotate_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        key: &'a str,
        value: Option<&'a str>,
    ) -> BoxedFuture<'a, bool>;
    /// An instance as the server has it, `managedFields` included; `None` when it is gone.
    fn object<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<Value>>;
    /// Server-side apply of an instance's fields as our field manager; with `force` fields of other managers are taken
    /// over, without it they are a refusal that names them. Never makes an instance that is not there.
    fn apply_instance<'a>(
        &'a self,
        change: &'a Value,
        force: bool,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, AppliedObject>;
    /// Removes fields (JSON pointers) from an instance, of any owner, if it still is in the version of `object`: an apply
    /// removes only fields without another owner.
    fn remove_fields<'a>(&'a self, object: &'a Value, fields: &'a [String])
    -> BoxedFuture<'a, AppliedObject>;
    /// Stores a text under a key of our ConfigMap of an instance, which is created when it is not there; other keys stay.
    fn store_state<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, ()>;
    /// The same over one version of the ConfigMap, `None` for none so far: `false` when another client changed or created it
    /// meanwhile, and nothing was written.
    fn store_state_over<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        version: Option<&'a str>,
    ) -> BoxedFuture<'a, bool>;
    /// Scales a StatefulSet; `false` when there is none of that name.
    fn scale_set<'a>(&'a self, namespace: &'a str, name: &'a str, replicas: u64) -> BoxedFuture<'a, bool>;
    /// Writes a pod's readiness gate `apps.emqx.io/on-serving`; `false` when the pod is gone.
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
    /// The Services and the quotas of the namespace of an instance, each where it is asked for.
    fn services<'a>(
        &'a self,
        id: &'a InstanceId,
        services: bool,
        quotas: bool,
    ) -> BoxedFuture<'a, Surroundings>;
    /// Cordons a Kubernetes node and marks it as ours; a node that is cordoned already is left alone.
    fn cordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon>;
    /// Uncordons a Kubernetes node if we cordoned it; every other one is left alone.
    fn uncordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon>;
    /// Requests the eviction of the pod with this uid, which PodDisruptionBudgets may refuse.
    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a PodName, uid: &'a str) -> BoxedFuture<'a, Eviction>;
    /// The autoscalers of a namespace; what may not be read is named.
    fn autoscalers<'a>(&'a self, namespace: &'a str) -> BoxedFuture<'a, Autoscalers>;
    /// Writes the deletion cost of the pod with this uid, or removes it; `false` when that pod is gone.
    fn set_deletion_cost<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a PodName,
        uid: &'a str,
        cost: Option<i64>,
    ) -> BoxedFuture<'a, bool>;
    /// How this process is named to others: user, host and process id.
    fn holder(&self) -> String;
    /// Takes or renews the lease of an instance for this process: `None`, or who has it.
    fn take_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, Option<String>>;
    /// Gives the lease of an instance back, if this process has it.
    fn release_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, ()>;
    /// The last lines of the log of a pod's EMQX container.
    fn logs<'a>(&'a self, namespace: &'a str, pod: &'a PodName, lines: usize) -> BoxedFuture<'a, String>;
    /// Whether these are allowed; `None` where the query itself is forbidden.
    fn may<'a>(&'a self, rights: &'a [Right]) -> BoxedFuture<'a, Vec<Option<bool>>>;
}

/// What became of a delete that is for one version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object is deleted, or will be when its finalizers are gone.
    Accepted,
    /// The object was changed since it was read: nothing was done.
    Changed,
    /// There is no such object any more.
    Gone,
}

/// What the server made of a manifest.
#[derive(Clone, Debug)]
pub struct Created {
    /// The object as stored.
    pub rebalance: Rebalance,
    /// The object as the server wrote it.
    pub object: Value,
    /// The server's warnings.
    pub warnings: Vec<String>,
}

/// What the server made of a change to an instance.
#[derive(Clone, Debug)]
pub struct AppliedObject {
    /// The object as the server has it now, or would have it.
    pub object: Value,
    /// The server's warnings.
    pub warnings: Vec<String>,
}

/// How a node is to be emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvacuationOrder {
    /// Clients cut a second.
    pub conn_evict_rate: u64,
    /// Sessions moved a second.
    pub sess_evict_rate: u64,
    /// Seconds for clients to take their sessions over; `None` is EMQX's own default.
    pub wait_takeover: Option<u64>,
    /// Seconds for load balancers to remove the node; `None` is EMQX's own default. Not sent to EMQX 4, which has no such wait;
    /// EMQX before 5.1 refuses it.
    pub wait_health_check: Option<u64>,
    /// Where sessions go; empty is to all other nodes.
    pub migrate_to: Vec<NodeName>,
    /// Where MQTT 5 clients are sent: `HOST:PORT`.
    pub redirect_to: Option<String>,
}

/// EMQX's own API, of one cluster.
pub trait Broker {
    /// Reads nodes and running operations once. Never fails: an unreachable EMQX is a fact.
    fn read(&self) -> BoxedFuture<'_, Vec<Fact>>;
    /// As [`Self::read`], over a fresh connection, and from another core where there is one.
    fn read_again(&self) -> BoxedFuture<'_, Vec<Fact>>;
    /// As [`Self::read`], repeated at this interval of the server's clock.
    fn follow(&self, every: Duration) -> FactStream;
    /// Starts a rebalance with `coordinator` as its conductor and `nodes` as its participants.
    fn start<'a>(
        &'a self,
        coordinator: &'a NodeName,
        nodes: &'a [NodeName],
        strategy: &'a Strategy,
    ) -> BoxedFuture<'a, ()>;
    /// Stops the rebalance that `coordinator` conducts. `false` when none was running there.
    fn stop<'a>(&'a self, coordinator: &'a NodeName) -> BoxedFuture<'a, bool>;
    /// Starts an evacuation. `false` if one was running already, possibly from a request whose response was lost.
    fn evacuate<'a>(&'a self, node: &'a NodeName, order: &'a EvacuationOrder) -> BoxedFuture<'a, bool>;
    /// Lets a node serve again. `false` when it was not being evacuated.
    fn stop_evacuation<'a>(&'a self, node: &'a NodeName) -> BoxedFuture<'a, bool>;
    /// Whether a node accepts clients, by a request to its pod over a separate connection.
    fn available<'a>(&'a self, pod: &'a PodName) -> BoxedFuture<'a, bool>;
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

/// Makes a [`Broker`] for a target; `app` passes it to the commands.
pub trait Brokers {
    /// A broker for this cluster; nothing is contacted before it is used.
    fn broker(&self, target: Target) -> Rc<dyn Broker>;
}

/// Bytes to and from a pod's port.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A way to a pod's port; implemented by `k8s` as port-forward, handed to `emqx`.
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

/// Where the key for EMQX comes from: the operator's Secret, or a file.
pub trait Credentials {
    /// The key for this instance.
    fn key<'a>(&'a self, instance: &'a InstanceId, v4: bool) -> BoxedFuture<'a, ApiKey>;
}

/// Listens to everything that comes from outside in its own form, to record it.
pub trait RecordingSink {
    /// An object came: `event` is LISTED, ADDED, MODIFIED or DELETED.
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value);
    /// An answer of EMQX came.
    fn emqx(&self, at: Timestamp, path: &str, status: u16, body: &Value);
    /// The follow ended at this time: what was concluded from silence is concluded again from the recording.
    fn ends(&self, at: Timestamp);
}

/// Converts a recording into facts; implemented by `app` out of the wire readers of `k8s` and `emqx`.
pub trait Translate {
    /// An object of Kubernetes, with the event that brought it.
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact>;
    /// An answer of EMQX.
    fn emqx(&self, at: Timestamp, path: &str, status: u16, body: &Value) -> Vec<Fact>;
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
