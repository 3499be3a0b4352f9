//! One EMQX cluster and its nodes, as reported by the custom resource and by EMQX.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::guard::{GuardState, UpgradeRecord};
use super::load::{Evacuation, EvictionStatus};
use super::name::{ApiVersion, InstanceId, NodeName, PodName};

/// The role of a node in the cluster. The default is that of a node without a role: EMQX 4 has cores only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the data.
    #[default]
    Core,
    /// Serves clients only.
    Replicant,
}

impl Role {
    /// The role with this name in EMQX, in objects and in labels.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "core" => Some(Self::Core),
            "replicant" => Some(Self::Replicant),
            _ => None,
        }
    }

    /// The role of the nodes that would take part in a rebalance, as the operator and this program choose them: replicants where
    /// one runs, else cores.
    pub(crate) fn participating(running: impl IntoIterator<Item = Self>) -> Self {
        if running.into_iter().any(|role| role == Self::Replicant) { Self::Replicant } else { Self::Core }
    }

    /// As EMQX writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Replicant => "replicant",
        }
    }
}

/// One EMQX node, as reported by a custom resource's status or by EMQX's `/nodes`. `None` is "not reported", never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub name: NodeName,
    /// Its pod, where reported (v2, v3beta1; otherwise derived from the name).
    pub pod: Option<PodName>,
    /// Its pod's uid, where reported (v2beta1).
    pub pod_uid: Option<String>,
    /// Core or replicant; v4 has no roles.
    pub role: Option<Role>,
    /// Whether EMQX reports it as running.
    pub running: bool,
    /// Whether EMQX reports it as stopped, so that it has no clients; a node that does not respond may have clients.
    pub stopped: bool,
    /// Live clients.
    pub connections: Option<u64>,
    /// Sessions, live or not.
    pub sessions: Option<u64>,
    /// EMQX's version.
    pub version: Option<String>,
    /// `Enterprise` or `Opensource`, where reported.
    pub edition: Option<String>,
    /// Memory used by the node's machine or container, as EMQX writes it (`1.02G`).
    pub memory_used: Option<String>,
    /// Memory that the node's machine or container may use, in the same form.
    pub memory_total: Option<String>,
    /// Load average of its machine over one minute.
    pub load: Option<f64>,
    /// Time since its start, in milliseconds (v5 only).
    pub uptime_millis: Option<u64>,
}

/// A condition of a custom resource or a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Its type, as written.
    pub kind: String,
    /// `True`, `False`, `Unknown` or empty, as written.
    pub status: String,
    /// The CamelCase reason; may be empty.
    pub reason: String,
    /// The sentence; may be empty.
    pub message: String,
    /// When it last changed.
    pub since: Option<Timestamp>,
}

impl Condition {
    /// Whether its status is `True`.
    pub(crate) fn holds(&self) -> bool {
        self.status == "True"
    }
}

/// The number of pods of one role, and their revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revisions {
    /// Requested nodes.
    pub replicas: u64,
    /// EMQX nodes that run, old and new together: not ready pods.
    pub ready: u64,
    /// The previous revision, by pod-template hash.
    pub current: Option<String>,
    /// The target revision, by pod-template hash.
    pub update: Option<String>,
    /// Nodes in the current set.
    pub current_replicas: u64,
    /// Nodes in the update set.
    pub update_replicas: u64,
}

impl Revisions {
    /// Whether an update is in progress: the two revisions are known and differ.
    pub fn differ(&self) -> bool {
        matches!((&self.current, &self.update), (Some(current), Some(update)) if current != update)
    }
}

/// The blue-green update of an EmqxEnterprise v1beta4.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlueGreen {
    /// The set that is being emptied.
    pub origin: Option<String>,
    /// The new set.
    pub current: Option<String>,
    /// When every pod of the new set was ready.
    pub started: Option<Timestamp>,
}

/// The update settings of `spec`; `None` is "not set" ([OP-71] to [OP-73], [OP-76]; `plan::durations` has the
/// defaults).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateSpec {
    /// Whether the block exists (`blueGreenUpdate`, `updateStrategy`).
    pub present: bool,
    /// Whether it has an evacuation strategy.
    pub evacuation: bool,
    /// Whether evacuation is switched off (v3beta1).
    pub disabled: bool,
    /// Seconds between the new pods being ready and the first evacuation.
    pub initial_delay: Option<u64>,
    /// Clients disconnected per second and node.
    pub conn_evict_rate: Option<u64>,
    /// Sessions moved per second and node.
    pub sess_evict_rate: Option<u64>,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover: Option<u64>,
    /// Seconds for load balancers to notice.
    pub wait_health_check: Option<u64>,
    /// Replicants that may be unavailable during an update, as written (v3beta1).
    pub max_unavailable: Option<String>,
    /// Additional replicants during an update, as written (v3beta1).
    pub max_surge: Option<String>,
}

/// The image of an EmqxEnterprise or EmqxBroker v1beta4, which has a field for each part:
/// `[registry/]repository:prefix+version+suffix`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageParts {
    /// The registry, without the slash after it.
    pub registry: Option<String>,
    pub repository: Option<String>,
    /// The part of the tag before the version.
    pub prefix: Option<String>,
    pub version: Option<String>,
    /// The part of the tag after the version.
    pub suffix: Option<String>,
}

/// The resource requests of one pod, as written; a blue-green upgrade needs them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// CPU of a core (v1beta4: of every node).
    pub core_cpu: Option<String>,
    pub core_memory: Option<String>,
    pub replicant_cpu: Option<String>,
    pub replicant_memory: Option<String>,
    /// Whether cores have volumes of their own.
    pub volumes: bool,
}

/// The port and the protocol of EMQX's REST API within a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiPort {
    pub port: u16,
    /// Whether the API uses TLS.
    pub tls: bool,
}

impl ApiPort {
    /// The management API of EMQX 4, fixed in the operator ([OP-78]).
    pub(crate) const V4: Self = Self { port: 8081, tls: false };
    /// The dashboard listener of EMQX 5, by default.
    pub(crate) const V5: Self = Self { port: 18_083, tls: false };
}

/// Which EMQX is called, and through which pods; follows from the world (`plan::endpoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub instance: InstanceId,
    /// The pods for requests, best first: ready cores, oldest first.
    pub pods: Vec<PodName>,
    /// Running pods by their addresses, for nodes that are named by an address, as replicants are. A
    /// replicant is asked only for what no other node reports.
    pub addressed: BTreeMap<IpAddr, PodName>,
    /// Why the pods are unknown, where they may not be listed.
    pub hidden: Option<String>,
    /// The port of EMQX's API within them.
    pub port: ApiPort,
    /// Whether it is EMQX 4 (`/api/v4`).
    pub v4: bool,
}

/// One EMQX cluster, as its custom resource reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Kind, namespace, name.
    pub id: InstanceId,
    /// The API version from which it was read; meaningless where it is standalone.
    pub api: ApiVersion,
    /// Whether no Kubernetes object describes it: only EMQX's address is known.
    pub standalone: bool,
    pub uid: String,
    /// The version of the object, to detect changes.
    pub resource_version: String,
    /// The generation of its spec.
    pub generation: u64,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The time at which its deletion was requested.
    pub deleting: Option<Timestamp>,
    /// The requested image.
    pub image: Option<String>,
    /// Requested cores (v1beta4: nodes); `None` where the spec leaves the number to a default.
    pub cores: Option<u64>,
    /// Requested replicants.
    pub replicants: Option<u64>,
    /// Its conditions, in the order of the API (the first true one is what `kubectl get` shows).
    pub conditions: Vec<Condition>,
    /// Its nodes. Empty when the status was never filled.
    pub nodes: Vec<Node>,
    /// Core pods by revision (v1beta4: all pods).
    pub core_revisions: Revisions,
    /// Replicant pods by revision.
    pub replicant_revisions: Revisions,
    /// Evacuations as the operator last saw them.
    pub evacuations: Vec<Evacuation>,
    /// v1beta4 only: its blue-green update.
    pub blue_green: Option<BlueGreen>,
    /// The port of EMQX's API, by the operator's own rule.
    pub api_port: Option<ApiPort>,
    /// Labels and annotations of a GitOps tool, as `key=value`.
    pub managed_by: Vec<String>,
    /// The settings of updates.
    pub update: UpdateSpec,
    /// v1beta4 only: the parts of its image.
    pub image_parts: Option<ImageParts>,
    /// The resource requests of its pods.
    pub requests: Requests,
    /// Whether durable sessions are switched on in its configuration.
    pub durable_sessions: bool,
    /// The stored state of its upgrade: from this program's ConfigMap, otherwise from annotations of an earlier version.
    pub guard: Option<GuardState>,
    /// Annotations of an earlier version of this program (`cli.emqx.io/…`), by key.
    pub notes: std::collections::BTreeMap<String, String>,
}

impl Instance {
    /// The record of its upgrade; `None` without one of this program.
    pub(crate) fn upgrade_record(&self) -> Option<UpgradeRecord> {
        self.guard.as_ref()?.upgrade.clone()
    }

    /// An EMQX cluster that no object of Kubernetes describes.
    pub fn without_kubernetes(id: InstanceId) -> Self {
        Self {
            id,
            api: ApiVersion::V2,
            standalone: true,
            uid: String::new(),
            resource_version: String::new(),
            generation: 0,
            created: None,
            deleting: None,
            image: None,
            cores: None,
            replicants: None,
            conditions: Vec::new(),
            nodes: Vec::new(),
            core_revisions: Revisions::default(),
            replicant_revisions: Revisions::default(),
            evacuations: Vec::new(),
            blue_green: None,
            api_port: None,
            managed_by: Vec::new(),
            update: UpdateSpec::default(),
            image_parts: None,
            requests: Requests::default(),
            durable_sessions: false,
            guard: None,
            notes: std::collections::BTreeMap::new(),
        }
    }

    /// The type of the condition by which the operator's Rebalance controller regards an instance as ready.
    pub(crate) fn ready_condition(&self) -> &'static str {
        if self.api == ApiVersion::V1beta4 { "Running" } else { "Ready" }
    }

    /// Whether the operator's Rebalance controller regards it as ready.
    pub fn ready(&self) -> bool {
        let wanted = self.ready_condition();
        self.conditions.iter().any(|condition| condition.kind == wanted && condition.holds())
    }

    /// Whether an annotation pauses its operator, which then changes nothing (operator 3.x).
    pub(crate) fn paused(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "Paused" && condition.holds())
    }

    /// The type of the first true condition.
    pub fn state(&self) -> Option<&str> {
        self.conditions.iter().find(|condition| condition.holds()).map(|condition| condition.kind.as_str())
    }

    /// Whether an update to another revision is in progress.
    pub fn upgrading(&self) -> bool {
        self.blue_green.is_some() || self.core_revisions.differ() || self.replicant_revisions.differ()
    }
}

/// The evacuations that EMQX reports, else those in the operator's copy.
pub(crate) fn evacuations_or_copy<'a>(
    reported: Option<&'a EvictionStatus>,
    instance: Option<&'a Instance>,
) -> &'a [Evacuation] {
    match (reported, instance) {
        (Some(load), _) => &load.evacuations,
        (None, Some(instance)) => &instance.evacuations,
        (None, None) => &[],
    }
}

/// Whether EMQX's name of its edition (`Opensource`, `Enterprise`) is that of the open source edition.
pub(crate) fn is_open_source(edition: Option<&str>) -> bool {
    edition.is_some_and(|edition| edition.eq_ignore_ascii_case("opensource"))
}
