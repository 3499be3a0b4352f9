//! One listed cluster: its trackers and its history.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::History;
use super::log::NoticeLog;
use super::marks::Marks;
use super::view_model::ViewModel;
use crate::model::{ClusterEvent, InstanceId, NodeName};
use crate::plan::rebalance::run::RunKey;
use crate::plan::tracker::OperationTracker;

/// The Kubernetes events that were announced. Times alone do not distinguish them: they are whole seconds, and
/// events of one second, or of clocks that differ, can arrive one after another.
#[derive(Debug, Default)]
pub(super) struct AnnouncedEvents {
    /// Events up to this time are not announced.
    from: Option<Timestamp>,
    /// The last occurrence of each announced event, by its name.
    last: BTreeMap<String, Timestamp>,
}

impl AnnouncedEvents {
    /// The events that were not announced yet, oldest first; they count as announced now.
    pub(super) fn fresh<'e>(
        &mut self,
        from: Timestamp,
        events: impl Iterator<Item = &'e ClusterEvent>,
    ) -> Vec<(Timestamp, &'e ClusterEvent)> {
        let from = *self.from.get_or_insert(from);
        let mut before = std::mem::take(&mut self.last);
        let mut fresh = Vec::new();
        for event in events {
            let Some(last) = event.last.filter(|last| *last > from) else { continue };
            let known = before.remove(&event.name);
            if known.is_none_or(|known| known < last) {
                fresh.push((last, event));
            }
            // Deleted events are not inserted again: the number of names stays that of the events.
            self.last.insert(event.name.clone(), known.map_or(last, |known| known.max(last)));
        }
        fresh.sort_by_key(|(last, _)| *last);
        fresh
    }
}

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
    /// Announced Kubernetes events.
    pub(super) events: AnnouncedEvents,
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
            events: AnnouncedEvents::default(),
            alarmed: None,
            replicants: None,
        }
    }
}
