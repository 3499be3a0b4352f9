//! Why a running operation should be stopped, and the parts of that decision that all operations share.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::human::seconds_between;
use crate::timing::ALARM_SECONDS;

/// The share of the clients at the start that may be missing.
pub(in crate::plan) const MISSING_SHARE: f64 = 0.02;

/// The share of the evicted clients that must arrive on recipients.
pub(in crate::plan) const ARRIVED_SHARE: f64 = 0.5;

/// Seconds over which arrivals are compared with evictions, and the share that must arrive for the missing clients to be in
/// flight.
const IN_FLIGHT: (u64, f64) = (10, 0.9);

/// Why a running operation should be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The reason, as a sentence without a command: `2,370 of 10,000 clients are offline and do not come back`.
    pub reason: String,
    /// What supports it: `0 of 2,370 evicted clients reached core-3`.
    pub detail: Option<String>,
}

impl Alarm {
    /// The headline of every output: `STOP IT: 2,370 of 10,000 clients are offline and do not come back`.
    pub(crate) fn headline(&self) -> String {
        format!("STOP IT: {}", self.reason)
    }

    /// The headline with what supports it.
    pub(crate) fn sentence(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}; {detail}", self.headline()),
            None => self.headline(),
        }
    }
}

/// Keeps the time since when a condition has held, which begins at `from`.
pub(in crate::plan) fn hold(since: &mut Option<Timestamp>, holds: bool, from: Timestamp) {
    *since = if holds { Some(since.unwrap_or(from)) } else { None };
}

/// Adds what was evicted and what arrived so far, and drops what is older than the window of an alarm.
pub(in crate::plan) fn remember(
    moved: &mut VecDeque<(Timestamp, u64, u64)>,
    at: Timestamp,
    gone: u64,
    arrived: u64,
) {
    if moved.back().is_some_and(|last| last.0 >= at) {
        return;
    }
    moved.push_back((at, gone, arrived));
    // One sample from before the window stays, so that the whole window is covered.
    while moved.get(1).is_some_and(|second| seconds_between(second.0, at) >= ALARM_SECONDS) {
        moved.pop_front();
    }
}

/// Whether the missing clients can be those that were evicted in the last seconds: as many arrive now as are evicted.
pub(in crate::plan) fn in_flight(moved: &VecDeque<(Timestamp, u64, u64)>, lost: u64) -> bool {
    let (Some(first), Some(last)) = (moved.front(), moved.back()) else { return false };
    let recent = moved.iter().rev().find(|it| seconds_between(it.0, last.0) >= IN_FLIGHT.0).unwrap_or(first);
    let (evicted, arrived) = (last.1.saturating_sub(recent.1), last.2.saturating_sub(recent.2));
    evicted > 0 && lost <= last.1.saturating_sub(first.1) && arrived as f64 >= evicted as f64 * IN_FLIGHT.1
}
