//! The faults of a scenario.

use serde::Deserialize;
use serde_json::Value;

use super::error::ScenarioError;

/// An answer that replaces the normal ones of EMQX's REST API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// 500 with EMQX's JSON.
    Error,
    /// 401 `BAD_API_KEY_OR_SECRET`.
    Unauthorized,
    /// 200 with an HTML page, as a proxy in between would send.
    Html,
    /// 200 with bytes that are no JSON.
    Garbage,
    /// 200 with JSON of another shape.
    WrongShape,
    /// 200 and 50 MB.
    Huge,
    /// Never.
    Silence,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The coordinator's process ends; EMQX loses the rebalance.
    CrashCoordinator,
    /// Every open port-forward is closed.
    DropPortForwards,
    /// Every connection to the API server is closed, including watches.
    CloseConnections,
    /// The API server restarts: connections are closed and old resource versions are expired (410).
    RestartApiServer,
    /// EMQX's answers are replaced from now on.
    EmqxAnswers(Answer),
    /// EMQX answers normally again.
    EmqxRecovers,
    /// A node (by its EMQX name or its pod's name) stops.
    StopNode(String),
    /// A stopped node starts again.
    StartNode(String),
    /// A node's process is suspended: it does not answer, and EMQX's calls to all nodes hang.
    FreezeNode(String),
    /// A frozen node continues.
    ThawNode(String),
    /// A node sees no other node any more, although the others see it.
    BlindNode(String),
    /// A purge of all sessions begins, as by EMQX's command line: led by this node, with this many sessions a second.
    StartPurge {
        /// The node, by its EMQX name or its pod's name.
        node: String,
        /// Sessions a second.
        rate: u64,
    },
    /// The purge is stopped.
    StopPurge,
    /// The operator stops working.
    StopOperator,
    /// A stopped operator works again.
    StartOperator,
    /// An object is deleted: `plural/name` in the scenario's namespace.
    DeleteObject(String),
}

/// A fault with its time: seconds after the start of the cluster, or after the start of each rebalance
/// (coordinators only).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimedFault {
    /// Virtual seconds after the cluster's start.
    #[serde(default)]
    pub at: Option<f64>,
    /// Virtual seconds after the start of a rebalance; for `crashCoordinator`.
    #[serde(default)]
    pub after_start: Option<f64>,
    /// What happens.
    pub fault: FaultText,
}

/// A fault in YAML: a plain word, or `{word: argument}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum FaultText {
    /// Without an argument.
    Word(String),
    /// With one.
    Argument(std::collections::BTreeMap<String, Value>),
}

impl FaultText {
    /// The fault of this name.
    pub fn parse(&self) -> Result<Fault, ScenarioError> {
        let value = match self {
            Self::Word(word) => Value::String(word.clone()),
            Self::Argument(map) => {
                serde_json::to_value(map).map_err(|error| ScenarioError::Fault(error.to_string()))?
            }
        };
        serde_json::from_value(value).map_err(|error| ScenarioError::Fault(error.to_string()))
    }
}
