//! What EMQX reports about itself beside its nodes: its licence, the rates of its listeners, and the nodes that each core
//! sees.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::name::NodeName;

/// Something that was read, that does not exist, or that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// It was read.
    Is(T),
    /// This EMQX does not have it.
    Absent,
    /// It could not be read; the reason.
    Unread(String),
}

impl<T> Reading<T> {
    /// The value that was read.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Unread(_) => None,
        }
    }
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::Unread("EMQX was not asked".to_owned())
    }
}

/// The customer type of an evaluation licence.
const EVALUATION: u64 = 10;

/// EMQX's licence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// `official`, `trial` or `community`.
    pub kind: Option<String>,
    /// The number of its customer type.
    pub customer_type: Option<u64>,
    /// Sessions of all nodes together; EMQX before 5.9 calls them connections.
    pub max_sessions: Option<u64>,
    /// Whether EMQX defines the limit in sessions: 5.9 and later.
    pub counts_sessions: bool,
    /// The day on which it ends.
    pub expires: Option<Date>,
    /// Whether EMQX reports it as expired.
    pub expired: bool,
}

impl Licence {
    /// Whether an expired licence refuses every client: EMQX never restricts an official one at once.
    pub(crate) fn restricts_when_expired(&self) -> bool {
        self.kind.as_deref() != Some("official")
    }

    /// Whether nodes refuse clients 30 days after their start.
    pub(crate) fn is_evaluation(&self) -> bool {
        self.counts_sessions && self.customer_type == Some(EVALUATION)
    }

    /// Whether nodes may not form a cluster.
    pub(crate) fn is_single_node(&self) -> bool {
        self.kind.as_deref() == Some("community")
    }
}

/// A listener of every node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listener {
    /// `tcp:default`.
    pub id: String,
    /// Clients that one node accepts in a second; `None` is unlimited.
    pub rate: Option<f64>,
    /// Clients that are connected through it, on all nodes.
    pub connections: Option<u64>,
}

/// The nodes in the view of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreView {
    pub core: NodeName,
    /// The nodes that it lists as running, or why it could not be asked.
    pub running: Result<BTreeSet<NodeName>, String>,
}

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmqxReport {
    pub licence: Reading<Licence>,
    /// The listeners that are enabled.
    pub listeners: Reading<Vec<Listener>>,
    /// The view of each core; empty where no core was asked.
    pub views: Vec<CoreView>,
}
