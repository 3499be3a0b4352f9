//! A rebalance as the operator's object tells it: what was asked, and what the operator believes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::load::RunningRebalance;
use super::name::InstanceKind;

/// What is asked of EMQX. Rates are clients (sessions) per second and donor, waits are seconds.
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
    /// Connections that donors may have more than recipients.
    pub abs_conn_threshold: u64,
    /// The factor that donors may be above recipients.
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
            conn_evict_rate: 500,
            sess_evict_rate: 500,
            wait_health_check_seconds: 60,
            wait_takeover_seconds: 60,
            abs_conn_threshold: 1000,
            rel_conn_threshold: 1.1,
            abs_sess_threshold: 1000,
            rel_sess_threshold: 1.1,
        }
    }
}

/// What the operator believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing written so far.
    #[default]
    Pending,
    /// It told EMQX to start.
    Processing,
    /// It saw no rebalance anywhere.
    Completed,
    /// It stopped looking, or the start was refused.
    Failed,
    /// A phase of a version we do not know.
    Unknown(String),
}

impl Phase {
    /// The phase that the API names so; absent is [`Phase::Pending`].
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Pending,
            Some("Processing") => Self::Processing,
            Some("Completed") => Self::Completed,
            Some("Failed") => Self::Failed,
            Some(other) => Self::Unknown(other.to_owned()),
        }
    }

    /// As the API writes it; `None` while nothing is written.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Pending => None,
            Self::Processing => Some("Processing"),
            Self::Completed => Some("Completed"),
            Self::Failed => Some("Failed"),
            Self::Unknown(text) => Some(text),
        }
    }
}

/// The annotation in which `apply` leaves what was planned, to judge the end by.
pub const PLAN_ANNOTATION: &str = "cli.emqx.io/plan";

/// The annotation that our `stop` writes on an object before EMQX is called, so that other clients that follow the
/// rebalance report `stopped`.
pub const STOPPED_BY_ANNOTATION: &str = "cli.emqx.io/stopped-by";

/// The annotation whose change makes the operator reconcile a Rebalance again: operators 2.2 and 2.3 return without
/// requeueing while EMQX is not Ready, and any change of the object starts the next pass.
pub const TOUCHED_ANNOTATION: &str = "cli.emqx.io/touched";

/// Who stopped a rebalance, and when: the value of [`STOPPED_BY_ANNOTATION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopMark {
    /// The field manager of the client that stopped it.
    pub by: String,
    /// When, by the API server's clock.
    pub time: Timestamp,
}

impl StopMark {
    /// Parses the annotation; `None` for text of another form.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The annotation's text.
    pub fn text(&self) -> String {
        serde_json::json!({"by": self.by, "time": self.time.to_string()}).to_string()
    }
}

/// The field manager and the user agent of everything we write.
pub const FIELD_MANAGER: &str = "kubectl-emqx";

/// One Rebalance object.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebalance {
    pub namespace: String,
    pub name: String,
    /// The uid: a name that is used again is another rebalance.
    pub uid: String,
    /// The version of the object.
    pub resource_version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleting: Option<Timestamp>,
    /// The finalizers that hold it.
    pub finalizers: Vec<String>,
    /// The kind it is for: what the operator makes of `instanceKind`.
    pub instance_kind: InstanceKind,
    /// The instance it is for.
    pub instance_name: String,
    /// What was asked, with defaults filled in.
    pub strategy: Strategy,
    /// What the operator believes.
    pub phase: Phase,
    /// The message of the condition `Failed`.
    pub failure: Option<String>,
    /// Whether it ever was in `Processing`.
    pub processed: bool,
    /// EMQX's entries as the operator last copied them; stale once the phase is `Failed`.
    pub states: Vec<RunningRebalance>,
    /// When EMQX was told to start.
    pub started: Option<Timestamp>,
    /// When the operator saw that nothing runs.
    pub completed: Option<Timestamp>,
    /// When the condition `Failed` was written.
    pub failed: Option<Timestamp>,
    /// What `apply` left in [`PLAN_ANNOTATION`], unread.
    pub plan: Option<String>,
    /// Who stopped it with our `stop`.
    pub stopped_by: Option<StopMark>,
}
/// How a rebalance is, or would be, driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Through an object for the operator.
    Rebalance,
    /// Through EMQX's own API.
    Emqx,
}

impl Backend {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Emqx => "emqx",
        }
    }
}
