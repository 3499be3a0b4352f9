//! Plain data, and what follows from it alone: names, clusters, pods, rebalances, facts, and the world that
//! is made of facts. No async, no clock, no printing; it imports no other module than [`crate::error`].

pub mod access;
pub mod carried;
pub mod check;
pub mod cluster;
pub mod drain;
pub mod evacuation;
pub mod fact;
pub mod form;
pub mod guard;
pub mod history;
pub mod human;
pub mod image;
pub mod jsonpath;
pub mod lease;
pub mod limits;
pub mod load;
pub mod name;
pub mod operation_ref;
pub mod operation_state;
pub mod pod;
pub mod rebalance;
pub mod refusal;
pub mod report;
pub mod requirement;
pub mod scale;
pub mod strategy;
pub mod surroundings;
pub mod upgrade;
pub mod url;
pub mod verdict;
pub mod world;

pub use cluster::{
    ApiPort, BlueGreen, Condition, ImageParts, Instance, Node, Requests, Revisions, Role, Target, UpdateSpec,
};
pub use fact::{BrokerUpdate, Fact, Link, Object, ObjectKind, Seen, Served, Source, Update};
pub use guard::{GuardState, HoldManner, HoldState, UpgradeRecord};
pub use history::{EvacuationTimes, HISTORY_KEY, HistoryEntry};
pub use load::{DonorStart, Evacuation, EvictionStatus, RunningRebalance, Stage};
pub use name::{ApiVersion, InstanceId, InstanceKind, NodeName, OperatorLine, PodName};
pub use operation_ref::OperationRef;
pub use operation_state::OperationState;
pub use pod::{Endpoint, Owner, Pod, PodEvent as ClusterEvent, ReadinessProbe, Set, SetKind, Slice};
pub use rebalance::{
    Backend, BackendRequest, FIELD_MANAGER, PLAN_ANNOTATION, Phase, Rebalance, RecordedVerdict,
    STOPPED_BY_ANNOTATION, StopMark, TOUCHED_ANNOTATION, VERDICT_ANNOTATION,
};
pub use refusal::Refusal;
pub use requirement::{GivenSettings, Preset, Requirement, StrategyRequest};
pub use strategy::Strategy;
pub use url::EmqxUrl;
pub use verdict::{Event, EventNode, EventType, Judgement, Operation, Part, Verdict};
pub use world::{BrokerState, Changes, KubernetesState, SourceHealth, World};
