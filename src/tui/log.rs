//! The notices of a cluster, in the order in which they happened.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::Event;
use crate::model::human::seconds_between;
use crate::output::theme::Tone;
use crate::plan::happened::Happened;
use crate::timing::OBSERVED_SECONDS;

/// A line of the notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time.
    pub at: Timestamp,
    /// The meaning of its colour.
    pub tone: Tone,
    /// The message.
    pub text: String,
    /// Since when what it reports was so, where that is not `at`.
    pub since: Option<Happened>,
    /// Whether it reports an end.
    pub ended: bool,
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
        self.insert(Entry { at, tone, text: text.into(), since: None, ended: false });
    }

    /// Adds the notice of an event.
    pub(crate) fn event(&mut self, event: &Event, tone: Tone, happened: Happened) {
        let since = Some(happened).filter(|happened| match happened {
            Happened::At(at) => seconds_between(*at, event.time) > OBSERVED_SECONDS,
            Happened::Before(_) => true,
        });
        self.insert(Entry {
            at: event.time,
            tone,
            text: event.message.clone(),
            since,
            ended: event.verdict.is_some(),
        });
    }

    fn insert(&mut self, entry: Entry) {
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
    pub(crate) fn newest(&self, until: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().filter(move |entry| entry.at <= until)
    }

    /// The number of notices.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
