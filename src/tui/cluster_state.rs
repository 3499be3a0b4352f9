//! One listed cluster: its trackers and its history.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::History;
use super::log::NoticeLog;
use super::marks::Marks;
use super::view_model::ViewModel;
use crate::model::{InstanceId, NodeName};
use crate::plan::rebalance::tracker::RunKey;
use crate::plan::tracker::OperationTracker;

/// One listed cluster.
#[derive(Debug)]
pub struct ClusterState {
    /// The trackers of its operations.
    pub operations: OperationTracker,
    /// The counts of its nodes over time.
    pub history: History,
    /// Announced messages.
    pub log: NoticeLog,
    /// The rows of the view; `None` before the first refresh.
    pub board: Option<ViewModel>,
    /// The marks of the chart: when each step began.
    pub marks: Marks,
    /// The uid of its object, to detect a new object with an equal name.
    pub uid: Option<String>,
    /// When EMQX's list of nodes was last added to the history.
    pub sampled: Option<Timestamp>,
    /// The newest Kubernetes event that was announced.
    pub events_until: Option<Timestamp>,
    /// The rebalance for which the bell was rung.
    pub alarmed: Option<RunKey>,
    /// The core of each replicant, or why it is unknown.
    pub replicants: Option<Result<BTreeMap<NodeName, NodeName>, String>>,
}

impl ClusterState {
    pub(super) fn new(id: &InstanceId) -> Self {
        Self {
            operations: OperationTracker::of(id),
            history: History::default(),
            log: NoticeLog::default(),
            board: None,
            marks: Marks::default(),
            uid: None,
            sampled: None,
            events_until: None,
            alarmed: None,
            replicants: None,
        }
    }
}
