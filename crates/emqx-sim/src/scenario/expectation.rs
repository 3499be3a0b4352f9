//! The rebalance of a scenario and its expected result.

use std::time::Duration;

use serde::Deserialize;

use crate::orders::RebalanceOrder;
use emqx_rebalance::rules::Threshold;

/// The rebalance that the expectation is about, in EMQX's names.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Strategy {
    /// Connections a donor loses a second.
    pub conn_evict_rate: u64,
    /// Sessions a donor loses a second.
    pub sess_evict_rate: u64,
    /// Seconds before the first eviction.
    pub wait_health_check: u64,
    /// Seconds between connections and sessions.
    pub wait_takeover: u64,
    /// Absolute threshold of connections.
    pub abs_conn_threshold: u64,
    /// Relative threshold of connections.
    pub rel_conn_threshold: f64,
    /// Absolute threshold of sessions.
    pub abs_sess_threshold: u64,
    /// Relative threshold of sessions.
    pub rel_sess_threshold: f64,
}

impl Default for Strategy {
    /// The documented example's.
    fn default() -> Self {
        Self {
            conn_evict_rate: 10,
            sess_evict_rate: 10,
            wait_health_check: 10,
            wait_takeover: 10,
            abs_conn_threshold: 100,
            rel_conn_threshold: 1.1,
            abs_sess_threshold: 100,
            rel_sess_threshold: 1.1,
        }
    }
}

impl Strategy {
    /// As an order to the broker.
    pub fn order(&self) -> RebalanceOrder {
        RebalanceOrder {
            nodes: None,
            conn_rate: self.conn_evict_rate,
            sess_rate: self.sess_evict_rate,
            wait_health_check: Duration::from_secs(self.wait_health_check),
            wait_takeover: Duration::from_secs(self.wait_takeover),
            conn: Threshold { abs: self.abs_conn_threshold as f64, rel: self.rel_conn_threshold },
            sess: Threshold { abs: self.abs_sess_threshold as f64, rel: self.rel_sess_threshold },
            ..RebalanceOrder::default()
        }
    }
}

/// The expected result when the scenario's rebalance is run to its end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// The rebalance that is run; the documented one when absent.
    #[serde(default)]
    pub strategy: Strategy,
    /// EMQX's refusal, when it does not start.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Rounds that evict connections.
    #[serde(default)]
    pub rounds: Option<u64>,
    /// Seconds from the start to the end in EMQX.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Connections of each node a minute after the end, in the order of the scenario's nodes.
    #[serde(default)]
    pub connections: Option<Vec<u64>>,
    /// The phase of the Rebalance object at its end; absent where the kind does not exist.
    #[serde(default)]
    pub phase: Option<String>,
    /// The message of the object's condition `Failed`.
    #[serde(default)]
    pub message: Option<String>,
    /// The expected verdict.
    #[serde(default)]
    pub verdict: Option<String>,
}
