//! When what an event reports happened: an event has the time of its observation.

use jiff::Timestamp;

/// When a phase, a start or an end happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// At this time.
    At(Timestamp),
    /// At an unknown time before this one: nothing was observed earlier, as where a process starts in the middle of an
    /// operation, or after an outage of a source.
    Before(Timestamp),
}
