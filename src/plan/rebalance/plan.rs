//! The plan of a rebalance: what it would do to each node, how long it takes, and what was found.

use emqx_rebalance::eviction::Landing;
use emqx_rebalance::rules::{SESSION_MOVE_MS, Threshold};
use serde::Serialize;

use crate::model::verdict::{two_decimals, two_decimals_or_null};
use crate::model::{Backend, InstanceId, NodeName, Part, PodName, Strategy};
use crate::plan::durations::PlannedPhase;
use crate::plan::finding::{Decision, Finding, Severity};
use crate::plan::rebalance::difference::Difference;

/// A node that takes part, with what it holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    pub node: NodeName,
    /// Its pod, where known.
    pub pod: Option<PodName>,
    /// Live clients.
    pub connections: u64,
    /// Sessions, live or not.
    pub sessions: u64,
}

impl Participant {
    /// Sessions without a client.
    pub(super) fn offline(&self) -> u64 {
        self.sessions.saturating_sub(self.connections)
    }
}

/// What neither EMQX nor its counts show: when and where evicted clients reconnect, and how long EMQX takes
/// to move a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// Rounds between the one in which clients are disconnected and the one in which EMQX counts them again.
    pub delay: u64,
    /// The nodes on which they reconnect.
    pub landing: Landing,
    /// Milliseconds that EMQX takes to move one session.
    pub session_move_ms: u64,
    /// Milliseconds that a round of evicted connections lasts.
    pub round_ms: u64,
}

/// EMQX evicts once a second.
pub(crate) const ROUND_MS: u64 = 1000;

impl Default for Return {
    fn default() -> Self {
        Self { delay: 0, landing: Landing::default(), session_move_ms: SESSION_MOVE_MS, round_ms: ROUND_MS }
    }
}

/// A node in a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedNode {
    pub node: NodeName,
    pub pod: Option<PodName>,
    /// Donor or recipient.
    pub part: Option<Part>,
    /// Live clients now.
    pub connections: u64,
    /// Sessions now.
    pub sessions: u64,
    /// Live clients at the end.
    pub connections_after: u64,
    /// Sessions at the end.
    pub sessions_after: u64,
}

/// The means before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Averages {
    /// Of the donors, now.
    #[serde(serialize_with = "two_decimals")]
    pub donors_before: f64,
    /// Of the recipients, now; `None` when there are none.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub recipients_before: Option<f64>,
    /// Of the donors, at the end.
    #[serde(serialize_with = "two_decimals")]
    pub donors_after: f64,
    /// Of the recipients, at the end; `None` when there are none.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub recipients_after: Option<f64>,
}

/// What is moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moves {
    /// Rounds that evict connections; each is a second.
    pub rounds: u64,
    /// Clients that are disconnected.
    pub connections: u64,
    /// Rounds that move sessions.
    pub session_rounds: u64,
    /// Sessions without a client that are moved.
    pub sessions: u64,
    /// The most clients that one recipient gets in one second.
    pub peak_reconnects_per_second: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalancePlan {
    /// The cluster; `None` for plain numbers.
    pub instance: Option<InstanceId>,
    /// The requested strategy.
    pub strategy: Strategy,
    pub decision: Decision,
    /// What would drive it.
    pub backend: Backend,
    /// The reason for the decision, as a sentence; its numbers have no thousands separators, as all of JSON.
    pub message: String,
    /// The same with thousands separators, where it has numbers.
    #[serde(skip)]
    pub(super) sentence: Option<String>,
    /// Every node that takes part.
    pub nodes: Vec<PlannedNode>,
    /// The means.
    pub averages: Averages,
    /// What is moved.
    pub moves: Moves,
    /// The phases in order; empty when there is nothing to do.
    pub phases: Vec<PlannedPhase>,
    /// All phases together.
    pub total_seconds: u64,
    /// What the checks found.
    pub findings: Vec<Finding>,
    /// The requirement from which rates and thresholds were computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirement: Option<PlannedRequirement>,
    /// The end with each load balancer, where it is unknown which one is in use and where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancers: Option<Vec<LandingForecast>>,
    /// The command with every setting written out, where it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What would be written beside what is there, where it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Difference>,
    /// The session rounds, for the checks that need to know the version of EMQX.
    #[serde(skip)]
    pub session_rounds: SessionRounds,
}

/// How long the rounds of the session phase last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionRounds {
    /// The longest of them, in milliseconds; 0 when there is none.
    pub longest_ms: u128,
    /// Milliseconds for each session that one donor moves.
    pub move_ms: u64,
}

impl RebalancePlan {
    /// The reason for the decision, as text outputs and the view show it.
    pub(crate) fn sentence(&self) -> &str {
        self.sentence.as_deref().unwrap_or(&self.message)
    }

    /// How many donors and recipients there are.
    pub(crate) fn participant_counts(&self) -> (usize, usize) {
        let count = |part| self.nodes.iter().filter(|node| node.part == Some(part)).count();
        (count(Part::Donor), count(Part::Recipient))
    }

    /// Adds what the checks found; a blocked finding refuses a plan that would start. A plan with nothing to
    /// do is refused only for findings that make its counts doubtful: whether the instance is ready, or the
    /// name free, does not matter then.
    pub fn judge(&mut self, findings: Vec<Finding>) {
        const DOUBTFUL: [&str; 8] = [
            "already-running",
            "emqx-not-asked",
            "evacuation-running",
            "membership",
            "node-not-running",
            "purge-running",
            "too-few-nodes",
            "wrong-emqx",
        ];
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let idle = self.decision == Decision::NothingToDo;
        let counts = |finding: &&Finding| {
            finding.severity == Severity::Blocked && (!idle || DOUBTFUL.contains(&finding.id))
        };
        if let Some(finding) = self.findings.iter().find(counts)
            && self.decision != Decision::Refused
        {
            self.decision = Decision::Refused;
            self.message.clone_from(&finding.message);
            self.sentence = None;
        }
    }
}

/// The thresholds of a strategy: for connections and for sessions.
pub(crate) fn thresholds(strategy: &Strategy) -> (Threshold, Threshold) {
    (
        Threshold { abs: strategy.abs_conn_threshold as f64, rel: strategy.rel_conn_threshold },
        Threshold { abs: strategy.abs_sess_threshold as f64, rel: strategy.rel_sess_threshold },
    )
}

/// The requirement of a plan, and what the plan reaches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRequirement {
    /// The spread that was required, in percent.
    #[serde(serialize_with = "two_decimals")]
    pub target_spread_percent: f64,
    pub deadline_seconds: u64,
    /// Reconnects per second and recipient.
    pub max_reconnect_rate: u64,
    /// The spread at the end; `None` without clients.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub spread_percent: Option<f64>,
    /// What was chosen and why.
    pub message: String,
}

/// The end of a plan with one load balancer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LandingForecast {
    /// `even`, `least` or `one`.
    pub lb: &'static str,
    /// What the fullest node holds at the end.
    pub fullest: u64,
    /// What the emptiest node holds at the end.
    pub emptiest: u64,
    /// The spread at the end; `None` without clients.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub spread_percent: Option<f64>,
    /// Clients that are disconnected.
    pub disconnections: u64,
    /// The most clients that one recipient gets in a second.
    pub peak_reconnects_per_second: u64,
    /// How long it takes.
    pub total_seconds: u64,
}
