//! A recording passed through a tracker: what is recorded at the beginning is one refresh, and in the seconds
//! without a line EMQX's last answers are repeated.

use jiff::{SignedDuration, Timestamp};

use super::tracker::Tracker;
use crate::model::{Event, Fact, World};
use crate::timing::RECORDED_ANSWER_SECONDS;

/// The first answers of EMQX and of the API server are recorded within this many seconds.
const BEGINNING: f64 = 1.0;

/// The longest time in seconds between two lines that is replayed second by second; a longer one is a gap in
/// the recording, about which nothing is known.
pub(crate) const LONGEST_GAP: i64 = 900;

/// The content of one line of a recording.
#[derive(Clone, Debug)]
pub struct RecordedFacts {
    /// Seconds since the recording began.
    pub t: f64,
    /// The time by the recorded clock.
    pub at: Timestamp,
    /// Whether it is a change: neither a list nor one of EMQX's first answers.
    pub change: bool,
    /// What the line reports.
    pub facts: Vec<Fact>,
}

/// The position in a recording.
#[derive(Clone, Debug, Default)]
pub struct PlaybackState {
    first: Option<f64>,
    began: bool,
    last: Option<Timestamp>,
}

impl PlaybackState {
    /// Processes a line; returns the events that follow from it, and the notices.
    pub fn take(
        &mut self,
        world: &mut World,
        follower: &mut impl Tracker,
        recorded: RecordedFacts,
    ) -> (Vec<Event>, Vec<String>) {
        let mut events = Vec::new();
        let first = *self.first.get_or_insert(recorded.t);
        if !self.began && (recorded.change || recorded.t - first > BEGINNING) {
            let at = self.last.unwrap_or(recorded.at);
            events = follower.observe(world, at);
            self.began = true;
        }
        events.extend(self.pass(world, follower, recorded.at));
        let mut notices = Vec::new();
        for fact in recorded.facts {
            notices.extend(world.apply(fact).notice);
        }
        if self.began {
            events.extend(follower.observe(world, recorded.at));
        }
        self.last = Some(recorded.at);
        (events, notices)
    }

    /// Observes each second before `until`. EMQX is asked every second, and an answer is recorded only if it
    /// differs from the one before: a second without a line repeats the last answer, unless the last request
    /// failed.
    pub(crate) fn pass(
        &mut self,
        world: &mut World,
        follower: &mut impl Tracker,
        until: Timestamp,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(last) = self.last.filter(|_| self.began) else { return events };
        let gap = until.as_second() - last.as_second();
        if gap > LONGEST_GAP {
            return events;
        }
        for second in 1..gap {
            let at = last + SignedDuration::from_secs(second);
            world.brokers.values_mut().for_each(|broker| broker.repeat(at));
            events.extend(follower.observe(world, at));
            self.last = Some(at);
        }
        events
    }

    /// The recording ended.
    pub(crate) fn finish(&mut self, world: &World, follower: &mut impl Tracker) -> Vec<Event> {
        let Some(at) = self.last else { return Vec::new() };
        let mut events = if self.began { Vec::new() } else { follower.observe(world, at) };
        self.began = true;
        let until = at + SignedDuration::from_secs(RECORDED_ANSWER_SECONDS + 1);
        events.extend(self.pass(&mut world.clone(), follower, until));
        events.extend(follower.finish(world, self.last.unwrap_or(at)));
        events
    }
}
