//! A fact: one thing learned from outside, in our own nouns, with when and from where.

use jiff::Timestamp;
use serde::Serialize;

use super::cluster::{Instance, Node};
use super::lease::OperatorLease;
use super::load::{DonorStart, Load};
use super::name::OperatorLine;
use super::operation_state::OperationState;
use super::pod::{Pod, PodEvent, Set, Slice};
use super::rebalance::Rebalance;

/// Where knowledge comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The custom resources: what the operator believes.
    Kubernetes,
    /// Pods and their sets.
    Pods,
    /// The Service's endpoints: what the load balancer sees.
    Endpoints,
    /// EMQX's own API: what happens to clients.
    Emqx,
}

impl Source {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Kubernetes, Self::Pods, Self::Endpoints, Self::Emqx];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Pods => "pods",
            Self::Endpoints => "endpoints",
            Self::Emqx => "emqx",
        }
    }
}

/// Whether a source answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It answers.
    Up,
    /// The source refuses; the text names the verb, the resource and what allows it.
    Forbidden(String),
    /// The source does not answer; the text gives the reason.
    Unreachable(String),
    /// The source does not exist here (a kind that is not served, EMQX not requested); the text names it.
    Absent(String),
}

impl Link {
    /// Why the source does not answer, if it should.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Forbidden(why) | Self::Unreachable(why) => Some(why),
            Self::Up | Self::Absent(_) => None,
        }
    }
}

/// A value with when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    /// What.
    pub value: T,
    /// When, by the server's clock.
    pub at: Timestamp,
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
    /// The ConfigMap with what we store about an instance.
    State,
    /// The operator's Lease.
    Lease,
}

/// An object, in our nouns.
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
    /// What we store about an instance.
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
    /// Whether Rebalance has the field `instanceKind` (2.2); `None` when the schema could not be seen.
    pub instance_kind: Option<bool>,
}

impl Served {
    /// The version in which a plural is served, newest first.
    pub fn version_of(&self, plural: &str) -> Option<&str> {
        self.kinds.iter().find(|(kind, _)| kind == plural).map(|(_, version)| version.as_str())
    }
}

/// One thing learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// What the API serves.
    Served(Served),
    /// An object is there, in this version.
    Is(Object),
    /// An object is gone; its last version.
    Gone(Object),
    /// A list ended: of this kind there are no others than those with these uids.
    Only(ObjectKind, Vec<String>),
    /// EMQX's list of nodes.
    Nodes(Vec<Node>),
    /// What EMQX moves.
    Load(Load),
    /// What a donor held when its rebalance began.
    Began(DonorStart),
    /// A source answers, or not; the text names the resource (`pods`, `endpointslices`).
    Link(Source, &'static str, Link),
    /// Something could not be read and was left out, or is not updated as soon as it changes; the text names it.
    Unreadable(String),
}

/// One thing learned from outside, and when by the server's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// When.
    pub at: Timestamp,
    /// What.
    pub update: Update,
}
