//! Pods, the sets that own them, the endpoints with their addresses, and events.

use std::net::IpAddr;

use jiff::Timestamp;

use super::cluster::{ApiPort, Condition, Role};
use super::name::PodName;

/// Who owns an object, by its controller reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub kind: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadinessProbe {
    /// The path that it requests; `None` where it is not an HTTP probe.
    pub path: Option<String>,
    /// Seconds between two probes.
    pub period_seconds: u64,
    /// Failures after which the pod is not ready.
    pub failures: u64,
}

/// One pod of an EMQX cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub namespace: String,
    pub name: PodName,
    pub uid: String,
    /// The instance it belongs to, by label.
    pub instance: Option<String>,
    /// Core or replicant, by label.
    pub role: Option<Role>,
    /// The hash of its template, by label.
    pub revision: Option<String>,
    /// Its set.
    pub owner: Option<Owner>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Whether Kubernetes reports it as ready (containers and gates).
    pub ready: bool,
    /// Whether its containers are ready.
    pub containers_ready: bool,
    /// The operator's gate `apps.emqx.io/on-serving`: `None` without such a gate or while it is unknown.
    pub on_serving: Option<bool>,
    /// Whether it has that gate.
    pub gated: bool,
    /// The readiness probe of its `emqx` container.
    pub readiness: Option<ReadinessProbe>,
    /// `Running`, `Pending`, … as written.
    pub phase: String,
    /// Why a container waits (`ImagePullBackOff`, `CrashLoopBackOff`), if one does.
    pub waiting: Option<String>,
    /// When its deletion was requested.
    pub deleting: Option<Timestamp>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The image of its `emqx` container.
    pub image: Option<String>,
    /// The container port named `dashboard` or `dashboard-https`.
    pub api_port: Option<ApiPort>,
    pub conditions: Vec<Condition>,
    /// The cost of its removal for a ReplicaSet, by annotation; `None` without one.
    pub deletion_cost: Option<i64>,
}

impl Pod {
    /// Whether it runs and its deletion was not requested.
    pub(crate) fn runs(&self) -> bool {
        self.deleting.is_none() && self.phase == "Running"
    }

    /// Its condition of this type.
    pub(crate) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Since when the condition of this type has been true; `None` while it is not.
    pub(crate) fn true_since(&self, kind: &str) -> Option<Timestamp> {
        self.condition(kind).filter(|condition| condition.holds())?.since
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// Cores; all nodes on v1beta4.
    #[default]
    StatefulSet,
    /// Replicants.
    ReplicaSet,
}

/// A StatefulSet or ReplicaSet of an EMQX cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// StatefulSet or ReplicaSet.
    pub kind: SetKind,
    /// The instance it belongs to, by label or owner.
    pub instance: Option<String>,
    /// Requested pods.
    pub replicas: u64,
    /// Present pods.
    pub present: u64,
    /// Ready pods.
    pub ready: u64,
    /// The hash of its template, by label.
    pub revision: Option<String>,
    /// The revision of its template as Kubernetes names it: what the label `controller-revision-hash` of an updated pod
    /// reports ([OP-76]). StatefulSets only.
    pub update_revision: Option<String>,
    /// The image of its `emqx` container.
    pub image: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// One address of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// The pod behind it.
    pub pod: Option<PodName>,
    /// The addresses.
    pub ips: Vec<IpAddr>,
    /// Whether it receives traffic: `serving` where it is reported, else `ready`.
    pub serving: bool,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The Service it belongs to, by label.
    pub service: String,
    /// The instance it belongs to, by label.
    pub instance: Option<String>,
    /// Its addresses.
    pub endpoints: Vec<Endpoint>,
}

/// Whether this is the operator's Service for the dashboard: no client of MQTT uses it.
pub(crate) fn is_of_dashboard(service: &str) -> bool {
    service.ends_with("-dashboard")
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodEvent {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The kind of the object that it is about.
    pub about_kind: String,
    /// The name of the object that it is about.
    pub about: String,
    /// Whether its type is Warning.
    pub warning: bool,
    /// The CamelCase reason.
    pub reason: String,
    /// The message, as a sentence.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
    /// When it was last seen.
    pub last: Option<Timestamp>,
}
