//! What EMQX itself reports about rebalances and evacuations: `load_rebalance/global_status`.

use std::cmp::Ordering;

use serde::Serialize;

use super::name::NodeName;
use super::operation_ref::OperationRef;
use super::strategy::Strategy;

/// The stage of a rebalance or an evacuation. EMQX writes `wait_…` for a rebalance and `waiting_…` for an
/// evacuation; they are the same stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Load balancers get time to notice that donors are not available.
    WaitHealthCheck,
    /// Clients are being disconnected.
    EvictingConns,
    /// Clients get time to take their sessions over elsewhere.
    WaitTakeover,
    /// Sessions without a client are being moved.
    EvictingSessions,
    /// An emptied node refuses connections until its evacuation is stopped.
    Prohibiting,
    /// A state of an unknown version.
    Unknown(String),
}

impl Stage {
    /// The stage with this name in EMQX.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "wait_health_check" | "waiting_health_check" => Self::WaitHealthCheck,
            "evicting_conns" => Self::EvictingConns,
            "wait_takeover" | "waiting_takeover" => Self::WaitTakeover,
            "evicting_sessions" => Self::EvictingSessions,
            "prohibiting" => Self::Prohibiting,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// The name of the phase in plans and machine output.
    pub(crate) fn phase(&self) -> &str {
        match self {
            Self::WaitHealthCheck => "waitHealthCheck",
            Self::EvictingConns => "evictConnections",
            Self::WaitTakeover => "waitTakeover",
            Self::EvictingSessions => "evictSessions",
            Self::Prohibiting => "prohibiting",
            Self::Unknown(text) => text,
        }
    }

    /// Its place in the order of stages; unknown ones have none.
    pub(crate) fn order(&self) -> Option<u8> {
        match self {
            Self::WaitHealthCheck => Some(0),
            Self::EvictingConns => Some(1),
            Self::WaitTakeover => Some(2),
            Self::EvictingSessions => Some(3),
            Self::Prohibiting => Some(4),
            Self::Unknown(_) => None,
        }
    }

    /// Seconds that remain of the wait of stage `of` with this length, where `spent` seconds of this stage are over. An
    /// unknown stage counts as the first one.
    pub(crate) fn wait_left(&self, of: &Self, length: u64, spent: u64) -> u64 {
        match self.order().unwrap_or(0).cmp(&of.order().unwrap_or(0)) {
            Ordering::Less => length,
            Ordering::Equal => length.saturating_sub(spent),
            Ordering::Greater => 0,
        }
    }
}

impl Serialize for Stage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.phase())
    }
}

/// A rebalance that EMQX runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningRebalance {
    pub coordinator: NodeName,
    pub stage: Stage,
    /// EMQX's own name of the stage.
    pub state: String,
    /// The nodes that give clients.
    pub donors: Vec<NodeName>,
    /// The nodes that receive clients.
    pub recipients: Vec<NodeName>,
    /// Clients a donor loses per second.
    pub conn_evict_rate: Option<u64>,
    /// Sessions a donor gives per second.
    pub sess_evict_rate: Option<u64>,
    /// The donors' mean at the last round, once there was one.
    pub donors_mean: Option<f64>,
    /// The recipients' mean at the last round (EMQX calls it "goal").
    pub recipients_mean: Option<f64>,
    /// What EMQX was asked for at the start, where a recording has the request: EMQX does not report thresholds and waits.
    pub requested: Option<Strategy>,
}

impl RunningRebalance {
    /// Its name where no object is known that it belongs to.
    pub(crate) fn operation(&self) -> OperationRef {
        OperationRef::Coordinator(self.coordinator.clone())
    }
}

/// The counts of a donor when its rebalance began, as the donor reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DonorStart {
    pub donor: NodeName,
    /// The coordinator of its rebalance.
    pub coordinator: NodeName,
    /// Live clients at the start.
    pub connections: u64,
    /// Sessions at the start.
    pub sessions: Option<u64>,
}

/// The evacuation of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Evacuation {
    /// The node that is being emptied.
    pub node: NodeName,
    pub stage: Stage,
    /// EMQX's own name of the stage.
    pub state: String,
    /// The nodes that receive its sessions.
    pub recipients: Vec<NodeName>,
    /// Clients disconnected per second.
    pub conn_evict_rate: Option<u64>,
    /// Sessions moved per second.
    pub sess_evict_rate: Option<u64>,
    /// Live clients at the start.
    pub initial_connections: Option<u64>,
    /// Live clients before the last round; only refreshed while connections are evicted.
    pub connections: Option<u64>,
    /// Sessions at the start.
    pub initial_sessions: Option<u64>,
    /// Sessions before the last round; only refreshed while sessions are evicted.
    pub sessions: Option<u64>,
}

impl Evacuation {
    /// The evacuation of a node in this state, with its rates and counts unknown.
    pub(crate) fn in_state(node: NodeName, state: &str) -> Self {
        Self {
            node,
            stage: Stage::parse(state),
            state: state.to_owned(),
            recipients: Vec::new(),
            conn_evict_rate: None,
            sess_evict_rate: None,
            initial_connections: None,
            connections: None,
            initial_sessions: None,
            sessions: None,
        }
    }
}

/// All operations that EMQX runs at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvictionStatus {
    pub rebalances: Vec<RunningRebalance>,
    pub evacuations: Vec<Evacuation>,
    /// Nodes that purge their sessions.
    pub purges: Vec<NodeName>,
}

impl EvictionStatus {
    /// Whether EMQX runs no operation.
    pub(crate) fn is_idle(&self) -> bool {
        self.rebalances.is_empty() && self.evacuations.is_empty() && self.purges.is_empty()
    }
}
