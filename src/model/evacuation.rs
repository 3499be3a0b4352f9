//! The requested settings of an evacuation, as the user typed them: they do not depend on a cluster.

use serde::{Deserialize, Serialize};

use super::load::Stage;
use super::name::NodeName;
use super::strategy::{EMQX_RATE, EMQX_WAIT_SECONDS};

/// The checks that `--skip-check` may name: a refusal becomes a warning, a warning is left out.
pub(crate) const EVACUATION_CHECKS: [&str; 8] = [
    "drain-unfinished",
    "durable-sessions",
    "evacuation-running",
    "few-recipients",
    "instance-not-ready",
    "operator-ends-evacuation",
    "recipients-not-serving",
    "scale-unfinished",
];

/// Checks that exist and cannot be skipped: EMQX would refuse as well, or every client would be locked out.
pub(crate) const EVACUATION_FIRM: [&str; 5] =
    ["already-running", "migrate-to", "node-not-running", "purge-running", "too-few-nodes"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvacuationWaits {
    /// Seconds for load balancers to notice; 0 where this EMQX does not wait for them.
    pub health_check_seconds: u64,
    /// Seconds for clients to take their sessions over.
    pub takeover_seconds: u64,
}

/// The waits of an evacuation of which they are not known.
pub(crate) const NO_WAITS: EvacuationWaits = EvacuationWaits { health_check_seconds: 0, takeover_seconds: 0 };

impl EvacuationWaits {
    /// Seconds that remain of the waits, `spent` seconds after the beginning of this stage.
    pub(crate) fn left(self, stage: &Stage, spent: u64) -> u64 {
        stage.wait_left(&Stage::WaitHealthCheck, self.health_check_seconds, spent)
            + stage.wait_left(&Stage::WaitTakeover, self.takeover_seconds, spent)
    }
}

impl Default for EvacuationWaits {
    fn default() -> Self {
        Self { health_check_seconds: EMQX_WAIT_SECONDS, takeover_seconds: EMQX_WAIT_SECONDS }
    }
}

/// The requested settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Clients disconnected per second.
    pub conn_evict_rate: u64,
    /// Sessions moved per second.
    pub sess_evict_rate: u64,
    /// Seconds for load balancers to notice.
    pub wait_health_check_seconds: u64,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover_seconds: u64,
    /// The nodes that receive the sessions; empty for all other nodes.
    pub migrate_to: Vec<NodeName>,
    /// The server to which MQTT 5 clients are redirected: the server reference of their DISCONNECT.
    pub redirect_to: Option<String>,
}

impl Settings {
    /// These settings for each of this number of nodes that are evacuated together: the sum of their rates is not above the
    /// requested ones, except that each node has at least a rate of 1/s.
    #[must_use]
    pub(crate) fn shared(&self, nodes: u64) -> Self {
        Self {
            conn_evict_rate: shared_rate(self.conn_evict_rate, nodes),
            sess_evict_rate: shared_rate(self.sess_evict_rate, nodes),
            ..self.clone()
        }
    }
}

/// The rate of each of this number of nodes that are evacuated together.
pub(crate) fn shared_rate(rate: u64, nodes: u64) -> u64 {
    (rate / nodes.max(1)).max(1)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            conn_evict_rate: EMQX_RATE,
            sess_evict_rate: EMQX_RATE,
            wait_health_check_seconds: EMQX_WAIT_SECONDS,
            wait_takeover_seconds: EMQX_WAIT_SECONDS,
            migrate_to: Vec::new(),
            redirect_to: None,
        }
    }
}
