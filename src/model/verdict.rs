//! Verdicts of operations, and the events of a followed operation.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::NodeName;
use crate::error::Exit;

/// The state of an operation, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing runs.
    Idle,
    /// The means are within the thresholds.
    Balanced,
    /// Only the new set remains, and it serves.
    Upgraded,
    /// EMQX found nothing to move.
    NothingToDo,
    /// It was stopped before its end.
    Stopped,
    /// It was rolled back to the previous image.
    Reverted,
    /// It is still running.
    Running,
    /// EMQX continues although the operator's object reports Failed or is being deleted.
    StillRunning,
    /// It never started, or cannot continue.
    Failed,
    /// EMQX lost it before its work was done.
    CoordinatorLost,
    /// It has made no progress for a long time.
    Stalled,
    /// It came to its end, but the nodes are not balanced.
    Uneven,
    /// It ended, and more than 2 % of the clients did not come back.
    ClientsMissing,
    /// The means are outside the thresholds in the other direction: recipients hold more than donors.
    Overshot,
    /// A participant stopped running between start and end.
    NodesLost,
    /// An object that no operator has picked up.
    Waiting,
    /// The image was changed again by someone else before the upgrade ended.
    Superseded,
    /// The node is empty and refuses clients.
    Evacuated,
    /// Every pod was moved.
    Done,
    /// The sources do not show how it ended.
    Unknown,
}

impl Verdict {
    /// As it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Balanced => "balanced",
            Self::Upgraded => "upgraded",
            Self::NothingToDo => "nothingToDo",
            Self::Stopped => "stopped",
            Self::Reverted => "reverted",
            Self::Running => "running",
            Self::StillRunning => "stillRunning",
            Self::Failed => "failed",
            Self::CoordinatorLost => "coordinatorLost",
            Self::Stalled => "stalled",
            Self::Uneven => "uneven",
            Self::ClientsMissing => "clientsMissing",
            Self::Overshot => "overshot",
            Self::NodesLost => "nodesLost",
            Self::Waiting => "waiting",
            Self::Superseded => "superseded",
            Self::Evacuated => "evacuated",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }

    /// The text for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::NothingToDo => "nothing to do",
            Self::StillRunning => "still running",
            Self::CoordinatorLost => "coordinator lost",
            Self::ClientsMissing => "clients missing",
            Self::NodesLost => "nodes lost",
            other => other.as_str(),
        }
    }

    /// Whether an operation with this verdict is over.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::StillRunning | Self::Waiting)
    }

    /// Whether a rebalance can end with this verdict, and no later observation changes it.
    pub(crate) fn ends_a_rebalance(self) -> bool {
        matches!(
            self,
            Self::Balanced
                | Self::NothingToDo
                | Self::Stopped
                | Self::Failed
                | Self::CoordinatorLost
                | Self::Uneven
                | Self::ClientsMissing
                | Self::Overshot
                | Self::NodesLost
        )
    }

    /// Whether the goal is reached: the exit code is 0.
    pub(crate) fn is_reached(self) -> bool {
        matches!(self.exit(), Exit::Reached)
    }

    /// The exit of a command that followed an operation to this verdict. `stopped` and `reverted` are
    /// successes only for the command that requested them.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Idle
            | Self::Balanced
            | Self::Upgraded
            | Self::NothingToDo
            | Self::Evacuated
            | Self::Done => Exit::Reached,
            Self::Unknown => Exit::Error,
            Self::Failed | Self::CoordinatorLost | Self::Stalled => Exit::Failed,
            Self::Running | Self::StillRunning | Self::Waiting => Exit::TimedOut,
            Self::Uneven
            | Self::Overshot
            | Self::Stopped
            | Self::ClientsMissing
            | Self::NodesLost
            | Self::Superseded
            | Self::Reverted => Exit::NotAsAsked,
        }
    }
}

/// A verdict with the message that gives its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub message: String,
}

impl Judgement {
    /// A verdict with its reason.
    pub(crate) fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self { verdict, message: message.into() }
    }

    /// The verdict and its reason, for people. A reason that begins with the verdict does not repeat it.
    pub(crate) fn sentence(&self) -> String {
        let word = self.verdict.words();
        if self.message.starts_with(word) {
            self.message.clone()
        } else {
            format!("{word}: {}", self.message)
        }
    }
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Nothing runs.
    #[default]
    None,
    /// Clients move from donors to recipients.
    Rebalance,
    /// A new set replaces an old one.
    Upgrade,
    /// One node is emptied.
    Evacuation,
    /// All nodes refuse clients and disconnect their clients.
    Purge,
    /// The pods of Kubernetes nodes are evacuated and moved.
    Drain,
    /// The number of nodes changes.
    Scale,
}

impl Operation {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rebalance => "rebalance",
            Self::Upgrade => "upgrade",
            Self::Evacuation => "evacuation",
            Self::Purge => "purge",
            Self::Drain => "drain",
            Self::Scale => "scale",
        }
    }
}

/// The part of a node in the running operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Gives clients.
    Donor,
    /// Receives clients.
    Recipient,
    /// Is being emptied.
    Evacuating,
}

impl Part {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Donor => "donor",
            Self::Recipient => "recipient",
            Self::Evacuating => "evacuating",
        }
    }
}

/// The type of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// The operation began.
    Created,
    /// It entered another phase.
    Phase,
    /// The counts changed.
    Progress,
    /// A notice for the user.
    Notice,
    /// It ended.
    Verdict,
}

/// A node in an [`Event`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventNode {
    pub node: NodeName,
    /// Live clients.
    pub connections: Option<u64>,
    pub sessions: Option<u64>,
    pub part: Option<Part>,
    /// EMQX's own state name.
    pub state: Option<String>,
}

/// One event of an operation that is followed: a line of a log, or of `-o jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub time: Timestamp,
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The operation's name: the object's, or `coordinator/NODE`.
    pub name: String,
    /// The kind of the operation.
    pub operation: Operation,
    pub phase: Option<String>,
    /// The nodes that take part.
    pub nodes: Vec<EventNode>,
    /// Clients that arrived on recipients so far.
    pub moved_connections: Option<u64>,
    /// Work done of the forecast total, in percent; it never falls, and is 100 only with a verdict.
    pub percent: Option<u8>,
    /// Seconds to the end.
    pub eta_seconds: Option<u64>,
    /// Clients fewer than at the start.
    pub lost_clients: Option<u64>,
    /// Sessions fewer than at the start.
    pub lost_sessions: Option<u64>,
    /// The share of the clients that donors lost that arrived on recipients.
    #[serde(serialize_with = "two_decimals_or_null")]
    pub landing_ratio: Option<f64>,
    /// The event as a sentence.
    pub message: String,
    /// How it ended; on the last event only.
    pub verdict: Option<Verdict>,
    /// The reason for the verdict; `message` has both.
    #[serde(skip)]
    pub reason: Option<String>,
}

impl Event {
    /// An event with only a message.
    pub(crate) fn of(
        time: Timestamp,
        kind: EventType,
        operation: Operation,
        name: String,
        message: String,
    ) -> Self {
        Self {
            time,
            kind,
            name,
            operation,
            phase: None,
            nodes: Vec::new(),
            moved_connections: None,
            percent: None,
            eta_seconds: None,
            lost_clients: None,
            lost_sessions: None,
            landing_ratio: None,
            message,
            verdict: None,
            reason: None,
        }
    }

    /// This event as the last one of its operation. One that is unknown has no percent and no end.
    #[must_use]
    pub(crate) fn judged(mut self, Judgement { verdict, message }: Judgement) -> Self {
        if verdict == Verdict::Unknown {
            (self.percent, self.eta_seconds) = (None, None);
        }
        (self.verdict, self.reason) = (Some(verdict), Some(message));
        self
    }
}

/// Writes averages and ratios with two decimals.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn two_decimals<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 100.0).round() / 100.0)
}

/// As `two_decimals`, with `null` for unknown.
#[expect(clippy::ref_option, reason = "serde passes a reference")]
pub(crate) fn two_decimals_or_null<S: serde::Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => two_decimals(value, serializer),
        None => serializer.serialize_none(),
    }
}
