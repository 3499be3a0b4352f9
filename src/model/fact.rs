//! A fact: one observation from outside, as a type of `model`, with its time and its source.

use jiff::Timestamp;
use serde::Serialize;

use super::cluster::{Instance, Node};
use super::human::seconds_between;
use super::lease::OperatorLease;
use super::load::{DonorStart, EvictionStatus};
use super::name::{InstanceId, OperatorLine};
use super::operation_state::OperationState;
use super::pod::{Pod, PodEvent, Set, Slice};
use super::rebalance::Rebalance;

/// The source of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The custom resources: the operator's view.
    Kubernetes,
    /// Pods and their sets.
    Pods,
    /// The Service's endpoints: the load balancer's view.
    Endpoints,
    /// EMQX's own API: the clients' view.
    Emqx,
}

impl Source {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Self; 4] = [Self::Kubernetes, Self::Pods, Self::Endpoints, Self::Emqx];

    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Pods => "pods",
            Self::Endpoints => "endpoints",
            Self::Emqx => "emqx",
        }
    }
}

/// The state of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It answers.
    Up,
    /// The source refuses; the text names the verb, the resource and what allows it.
    Forbidden(String),
    /// The source does not answer; the text gives the reason.
    Unreachable(String),
    /// The source answers about itself alone: its calls to the other nodes of the cluster do not return. The text gives the
    /// reason and the time.
    Hung(String),
    /// The source does not exist here (a kind that is not served, EMQX not requested); the text names it.
    Absent(String),
}

impl Link {
    /// Why the source does not answer, if it should.
    pub(crate) fn why(&self) -> Option<&str> {
        match self {
            Self::Forbidden(why) | Self::Unreachable(why) | Self::Hung(why) => Some(why),
            Self::Up | Self::Absent(_) => None,
        }
    }

    /// Whether the source should answer and does not.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Hung(_))
    }
}

/// A value with the time of its observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    pub value: T,
    /// The time, by the server's clock.
    pub at: Timestamp,
}

impl<T> Seen<T> {
    /// Whether it was observed at most this many seconds ago.
    pub(crate) fn is_within(&self, seconds: u64, now: Timestamp) -> bool {
        seconds_between(self.at, now) <= seconds
    }
}

/// The kinds of objects that are listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// EMQX, EmqxEnterprise, EmqxBroker.
    Instance,
    Rebalance,
    Pod,
    /// StatefulSet.
    StatefulSet,
    /// ReplicaSet.
    ReplicaSet,
    /// EndpointSlice.
    Slice,
    Event,
    /// The ConfigMap with the stored state of an instance.
    State,
    /// The operator's Lease.
    Lease,
}

/// An object, as a type of `model`.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// An EMQX cluster.
    Instance(Box<Instance>),
    Rebalance(Box<Rebalance>),
    Pod(Box<Pod>),
    /// A StatefulSet or ReplicaSet.
    Set(Box<Set>),
    /// An EndpointSlice.
    Slice(Box<Slice>),
    Event(Box<PodEvent>),
    /// The stored state of an instance.
    State(Box<OperationState>),
    /// The operator's Lease.
    Lease(Box<OperatorLease>),
}

/// What the API group serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The operator line that follows from it.
    pub operator: OperatorLine,
    /// Kubernetes' own version, `v1.33.1`.
    pub kubernetes: Option<String>,
    /// The kinds that can be read: `(plural, version)`.
    pub kinds: Vec<(String, String)>,
}

impl Served {
    /// The version in which a plural is served, newest first.
    pub fn version_of(&self, plural: &str) -> Option<&str> {
        self.kinds.iter().find(|(kind, _)| kind == plural).map(|(_, version)| version.as_str())
    }
}

/// The content of one observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// What the API serves.
    Served(Served),
    /// An object exists, in this version.
    Upserted(Object),
    /// An object was deleted; its last version.
    Deleted(Object),
    /// A list was completed: of this kind only the objects with these uids exist.
    Listed(ObjectKind, Vec<String>),
    /// The EMQX of an instance answered, or did not.
    Broker(InstanceId, BrokerUpdate),
    /// A source in Kubernetes answers, or not; the text names the resource (`pods`, `endpointslices`).
    Link(Source, &'static str, Link),
    /// Something could not be read and is omitted, or is not updated as soon as it changes; the text names
    /// it.
    Unreadable(String),
}

/// The content of one answer of an EMQX.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerUpdate {
    /// EMQX's list of nodes.
    Nodes(Vec<Node>),
    /// The operations that EMQX runs.
    Evictions(EvictionStatus),
    /// The counts of a donor when its rebalance began.
    Began(DonorStart),
    /// EMQX answers a request for this list (`nodes`, `load_rebalance`), or not.
    Link(&'static str, Link),
}

/// One observation from outside, with its time by the server's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The time, by the server's clock.
    pub at: Timestamp,
    /// The content.
    pub update: Update,
}

impl Fact {
    /// An answer of the EMQX of this instance.
    pub fn answer(at: Timestamp, instance: &InstanceId, update: BrokerUpdate) -> Self {
        Self { at, update: Update::Broker(instance.clone(), update) }
    }
}
