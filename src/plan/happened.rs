//! When what an event reports happened: an event has the time of its observation.

use jiff::Timestamp;

use super::tracker::OperationTracker;
use crate::model::{Event, Operation};

/// When a phase, a start or an end happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// At this time.
    At(Timestamp),
    /// At an unknown time before this one: nothing was observed earlier, as where a process starts in the middle of an
    /// operation, or after an outage of a source.
    Before(Timestamp),
}

impl Happened {
    /// That of an event that was just returned by this tracker.
    pub fn of(operations: &OperationTracker, event: &Event) -> Self {
        let known = match event.operation {
            Operation::Upgrade => operations.upgrade(&event.name).map(|run| run.happened(event)),
            Operation::Evacuation => operations.evacuation(&event.name).map(|run| run.happened(event)),
            Operation::Purge => Some(operations.purges.happened(event)),
            _ => operations.rebalances.run(&event.name).map(|run| run.happened(event)),
        };
        known.unwrap_or(Self::At(event.time))
    }
}
