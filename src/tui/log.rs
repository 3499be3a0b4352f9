//! The notices of a cluster, in the order in which they happened.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::human::seconds_between;
use crate::output::theme::Tone;

/// A line of the notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time.
    pub at: Timestamp,
    /// The meaning of its colour.
    pub tone: Tone,
    /// The message.
    pub text: String,
}

/// For this many seconds the same text is not repeated.
const REPEAT_SECONDS: u64 = 10;

/// The most notices that are kept; older ones are dropped.
const MAX_NOTICES_KEPT: usize = 500;

/// The notices of a cluster, oldest first. Bounded.
#[derive(Clone, Debug, Default)]
pub struct NoticeLog {
    entries: VecDeque<Entry>,
}

impl NoticeLog {
    /// Adds a notice.
    pub fn push(&mut self, at: Timestamp, tone: Tone, text: impl Into<String>) {
        let entry = Entry { at, tone, text: text.into() };
        // An unreachable server fails for each resource, and at each retry: it is reported once.
        let soon = |other: &Entry| seconds_between(other.at, entry.at) < REPEAT_SECONDS;
        if self.entries.iter().rev().take_while(|it| soon(it)).any(|it| it.text == entry.text) {
            return;
        }
        if self.entries.len() == MAX_NOTICES_KEPT {
            self.entries.pop_front();
        }
        // A notice that arrives late is inserted at its time.
        let place = self.entries.partition_point(|it| it.at <= entry.at);
        self.entries.insert(place, entry);
    }

    /// The notices up to a moment, newest first.
    pub fn newest(&self, until: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().filter(move |entry| entry.at <= until)
    }

    /// The number of notices.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no notices.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
