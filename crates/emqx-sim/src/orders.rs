//! The requests for a rebalance and an evacuation.

use std::time::Duration;

use emqx_rebalance::rules::Threshold;

/// How long a coordinator waits for its donors when the start does not name another time.
const RPC_TIMEOUT: Duration = Duration::from_secs(15);

/// The request for a rebalance; the defaults are EMQX's.
#[derive(Clone, Debug)]
pub struct RebalanceOrder {
    /// Participants; all running nodes when absent.
    pub nodes: Option<Vec<String>>,
    /// Connections that a donor loses per second.
    pub conn_rate: u64,
    /// Sessions that a donor loses per second.
    pub sess_rate: u64,
    /// Before the first eviction.
    pub wait_health_check: Duration,
    /// Between connections and sessions.
    pub wait_takeover: Duration,
    /// When connections are balanced.
    pub conn: Threshold,
    /// When sessions are balanced.
    pub sess: Threshold,
    /// How long the coordinator waits for a round that evicts connections; EMQX 5.9 and later.
    pub conn_timeout: Duration,
    /// How long the coordinator waits for a round that moves sessions; EMQX 5.9 and later.
    pub sess_timeout: Duration,
}

impl Default for RebalanceOrder {
    fn default() -> Self {
        let threshold = Threshold { abs: 1000.0, rel: 1.1 };
        Self {
            nodes: None,
            conn_rate: 500,
            sess_rate: 500,
            wait_health_check: Duration::from_mins(1),
            wait_takeover: Duration::from_mins(1),
            conn: threshold,
            sess: threshold,
            conn_timeout: RPC_TIMEOUT,
            sess_timeout: RPC_TIMEOUT,
        }
    }
}

/// The request for an evacuation; the defaults are EMQX's.
#[derive(Clone, Debug)]
pub struct EvacuationOrder {
    /// Connections lost per second.
    pub conn_rate: u64,
    /// Sessions moved per second.
    pub sess_rate: u64,
    /// Before the first eviction; v5 only.
    pub wait_health_check: Duration,
    /// Between connections and sessions.
    pub wait_takeover: Duration,
    /// The nodes that receive sessions; all other running nodes when absent.
    pub migrate_to: Option<Vec<String>>,
}

impl Default for EvacuationOrder {
    fn default() -> Self {
        let RebalanceOrder { conn_rate, sess_rate, wait_health_check, wait_takeover, .. } =
            RebalanceOrder::default();
        Self { conn_rate, sess_rate, wait_health_check, wait_takeover, migrate_to: None }
    }
}
