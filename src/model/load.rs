//! What EMQX itself reports about rebalances and evacuations: `load_rebalance/global_status`.

use serde::Serialize;

use super::name::NodeName;

/// Where a rebalance or an evacuation stands. EMQX writes `wait_…` for a rebalance and `waiting_…` for an
/// evacuation; they are the same step.
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
    /// A state of a version we do not know.
    Unknown(String),
}

impl Stage {
    /// The stage that EMQX names so.
    pub fn parse(text: &str) -> Self {
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
    pub fn phase(&self) -> &str {
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
    pub fn order(&self) -> Option<u8> {
        match self {
            Self::WaitHealthCheck => Some(0),
            Self::EvictingConns => Some(1),
            Self::WaitTakeover => Some(2),
            Self::EvictingSessions => Some(3),
            Self::Prohibiting => Some(4),
            Self::Unknown(_) => None,
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
    /// The node that conducts it.
    pub coordinator: NodeName,
    /// Where it stands.
    pub stage: Stage,
    /// EMQX's own word for the stage.
    pub state: String,
    /// Who gives.
    pub donors: Vec<NodeName>,
    /// Who receives.
    pub recipients: Vec<NodeName>,
    /// Clients a donor loses per second.
    pub conn_evict_rate: Option<u64>,
    /// Sessions a donor gives per second.
    pub sess_evict_rate: Option<u64>,
    /// The donors' mean at the last round, once there was one.
    pub donors_mean: Option<f64>,
    /// The recipients' mean at the last round ("goal" in EMQX's words).
    pub recipients_mean: Option<f64>,
}

/// What a donor held when its rebalance began, as it reports of itself.
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
    /// Where it stands.
    pub stage: Stage,
    /// EMQX's own word for the stage.
    pub state: String,
    /// Where its sessions go.
    pub recipients: Vec<NodeName>,
    /// Clients cut per second.
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

/// Everything that EMQX moves at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pub rebalances: Vec<RunningRebalance>,
    pub evacuations: Vec<Evacuation>,
    /// Nodes that purge their sessions.
    pub purges: Vec<NodeName>,
}
