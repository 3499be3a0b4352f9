//! The settings of a rebalance.

use serde::{Deserialize, Serialize};

/// Seconds of EMQX's default waits in rebalances and evacuations, before it evicts and for takeovers
/// (`emqx_node_rebalance.hrl`).
pub(crate) const EMQX_WAIT_SECONDS: u64 = 60;

/// EMQX's default rate, in clients or sessions per second.
pub(crate) const EMQX_RATE: u64 = 500;

/// The settings of a rebalance. Rates are clients (sessions) per second and donor, waits are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Clients a donor loses per second.
    pub conn_evict_rate: u64,
    /// Sessions a donor gives per second.
    pub sess_evict_rate: u64,
    /// Seconds for load balancers to notice.
    pub wait_health_check_seconds: u64,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover_seconds: u64,
    /// The number of connections that donors may have more than recipients.
    pub abs_conn_threshold: u64,
    /// The factor by which donors may exceed recipients.
    pub rel_conn_threshold: f64,
    /// The same for sessions.
    pub abs_sess_threshold: u64,
    /// The same for sessions.
    pub rel_sess_threshold: f64,
}

impl Default for Strategy {
    /// EMQX's own defaults (`emqx_node_rebalance.hrl`).
    fn default() -> Self {
        Self {
            conn_evict_rate: EMQX_RATE,
            sess_evict_rate: EMQX_RATE,
            wait_health_check_seconds: EMQX_WAIT_SECONDS,
            wait_takeover_seconds: EMQX_WAIT_SECONDS,
            abs_conn_threshold: 1000,
            rel_conn_threshold: 1.1,
            abs_sess_threshold: 1000,
            rel_sess_threshold: 1.1,
        }
    }
}
