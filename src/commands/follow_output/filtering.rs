//! Which progress is printed as a line.

use crate::model::{Event, EventType};
use crate::timing::{LONGEST_QUIET_SECONDS, OLD_LINE_SECONDS};
use jiff::Timestamp;

/// Progress is printed as a line at multiples of this percentage.
const MARKS: u8 = 25;

/// Decides which progress is printed as a line.
#[derive(Clone, Debug, Default)]
pub struct Filtering {
    last: Option<(u8, Timestamp)>,
    /// The newest progress that was not printed.
    held: Option<Box<Event>>,
}

/// Full seconds that have passed; 29.9 s are 29.
fn whole_seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

impl Filtering {
    /// Whether this event is printed as a line for people: all events except most progress, of which one line
    /// per quarter and per minute is printed.
    pub(crate) fn shows(&mut self, event: &Event) -> bool {
        let mark = event.percent.unwrap_or(0) / MARKS;
        if event.kind != EventType::Progress {
            self.last = Some((mark.max(self.last.map_or(0, |last| last.0)), event.time));
            self.held = None;
            return true;
        }
        let shows = match self.last {
            None => true,
            Some((after, at)) => mark > after || whole_seconds(at, event.time) >= LONGEST_QUIET_SECONDS,
        };
        if shows {
            self.last = Some((mark, event.time));
        }
        self.held = (!shows).then(|| Box::new(event.clone()));
        shows
    }

    /// The newest progress that was not printed, once no line was printed for 30 s; with its time where it is
    /// old.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Event> {
        let (_, at) = self.last?;
        if self.held.is_none() || whole_seconds(at, now) < LONGEST_QUIET_SECONDS {
            return None;
        }
        let event = self.held.take()?;
        let stale = whole_seconds(event.time, now) >= OLD_LINE_SECONDS;
        let message = if stale {
            format!("as of {} UTC: {}", event.time.strftime("%H:%M:%S"), event.message)
        } else {
            event.message.clone()
        };
        Some(Event { time: now, message, ..*event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;
    use crate::plan::fixtures;

    #[test]
    fn progress_that_was_left_out_is_printed_when_no_line_came_for_30_s() {
        let progress = |at: i64| {
            let name = "upgrade/emqx".to_owned();
            Event::of(fixtures::at(at), EventType::Progress, Operation::Upgrade, name, format!("at {at}"))
        };
        let mut filtering = Filtering::default();
        assert!(filtering.shows(&progress(0)));
        assert_eq!(filtering.due(fixtures::at(40)), None, "nothing was left out");
        assert!(filtering.shows(&progress(41)) && !filtering.shows(&progress(70)));
        assert_eq!(filtering.due(fixtures::at(70)), None);
        let due = filtering.due(fixtures::at(71)).expect("30 s without a line");
        assert_eq!((due.message.as_str(), due.time), ("at 70", fixtures::at(71)));
        assert!(filtering.shows(&due));
        assert_eq!(filtering.due(fixtures::at(200)), None, "it is printed once");
        // Counts from 28 s ago are not printed as the present counts.
        assert!(filtering.shows(&progress(101)) && !filtering.shows(&progress(103)));
        let due = filtering.due(fixtures::at(131)).expect("30 s without a line");
        assert_eq!(due.message, "as of 10:01:43 UTC: at 103");
    }
}
