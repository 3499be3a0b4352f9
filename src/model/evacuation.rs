//! What is requested of an evacuation, as it was typed: nothing of it depends on a cluster.

use serde::Serialize;

use super::name::NodeName;

/// Seconds that EMQX waits where nothing else is requested, before it evicts and for takeovers.
pub(crate) const WAIT_SECONDS: u64 = 60;

/// Clients or sessions a second that EMQX evicts where nothing else is requested.
pub(crate) const RATE: u64 = 500;

/// The checks that `--skip-check` may name: a refusal becomes a warning, a warning is left out.
pub(crate) const SKIPPABLE: [&str; 6] = [
    "durable-sessions",
    "evacuation-running",
    "few-recipients",
    "instance-not-ready",
    "operator-ends-evacuation",
    "recipients-not-serving",
];

/// Checks that exist and cannot be skipped: EMQX would refuse as well, or every client would be locked out.
pub(crate) const FIRM: [&str; 5] =
    ["already-running", "migrate-to", "node-not-running", "purge-running", "too-few-nodes"];

/// What is requested of EMQX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Clients disconnected a second.
    pub conn_evict_rate: u64,
    /// Sessions moved a second.
    pub sess_evict_rate: u64,
    /// Seconds for load balancers to notice.
    pub wait_health_check_seconds: u64,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover_seconds: u64,
    /// Where sessions go; empty is to all other nodes.
    pub migrate_to: Vec<NodeName>,
    /// Where MQTT 5 clients are sent: the server reference of their DISCONNECT.
    pub redirect_to: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            conn_evict_rate: RATE,
            sess_evict_rate: RATE,
            wait_health_check_seconds: WAIT_SECONDS,
            wait_takeover_seconds: WAIT_SECONDS,
            migrate_to: Vec::new(),
            redirect_to: None,
        }
    }
}
