//! The limits that a user sets for an operation, and the command that is run with its events.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, civil};

/// The checks of limits before an operation starts. Users change the limit instead of skipping the check.
pub(crate) const CHECKS: [&str; 3] = ["drift", "not-after", "reconnect-rate"];

/// Hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

impl Percent {
    /// This percentage of a number, rounded down.
    pub(crate) fn of(self, number: u64) -> u64 {
        (u128::from(number) * u128::from(self.0) / 10_000) as u64
    }

    pub(crate) fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// As typed: `5%`, `2.5%`.
    pub(crate) fn text(self) -> String {
        format!("{}%", f64::from(self.0) / 100.0)
    }
}

/// Missing clients at which an operation is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostLimit {
    /// A number of clients.
    Clients(u64),
    /// A share of the clients that were connected at the start.
    Share(Percent),
}

impl LostLimit {
    /// The number of clients that may be missing of `start`.
    pub(crate) fn clients(self, start: u64) -> u64 {
        match self {
            Self::Clients(clients) => clients,
            Self::Share(share) => share.of(start),
        }
    }

    /// As typed.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Clients(clients) => clients.to_string(),
            Self::Share(share) => share.text(),
        }
    }
}

/// A point in time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAfter {
    /// With an offset from UTC.
    At(Timestamp),
    /// Date and time in the local time zone.
    Local(civil::DateTime),
    /// A time of day in the local time zone: its next occurrence.
    Clock(civil::Time),
}

impl NotAfter {
    /// The moment; `None` where the calendar has none.
    pub(crate) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = |at: civil::DateTime| zone.to_ambiguous_timestamp(at).compatible().ok();
        match self {
            Self::At(at) => Some(at),
            Self::Local(at) => local(at),
            Self::Clock(time) => {
                let today = zone.to_datetime(now).date();
                let at = local(today.to_datetime(time))?;
                if at > now {
                    Some(at)
                } else {
                    local(today.checked_add(Span::new().days(1)).ok()?.to_datetime(time))
                }
            }
        }
    }
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program: a path, or a name that is searched for on the `PATH`.
    pub program: String,
    pub arguments: Vec<String>,
}

/// The limits of an operation. Without any of them nothing is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Clients that may be missing.
    pub abort_if_lost: Option<LostLimit>,
    /// When the operation must have ended.
    pub not_after: Option<NotAfter>,
    /// The allowed difference between the number of connected clients and that of the plan, or of the start.
    pub max_drift: Option<Percent>,
    /// Clients per second that may connect to one node.
    pub max_reconnect_rate: Option<u64>,
}

impl Limits {
    /// Whether there is a limit.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_time_of_day_is_its_next_occurrence_in_the_local_time_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let clock = NotAfter::Clock(civil::time(6, 0, 0, 0));
        assert_eq!(clock.resolve(at("2026-11-27T20:00:00Z"), &zone), Some(at("2026-11-27T22:00:00Z")));
        assert_eq!(clock.resolve(at("2026-11-27T22:00:00Z"), &zone), Some(at("2026-11-28T22:00:00Z")));
        let local = NotAfter::Local(civil::date(2026, 11, 28).at(6, 0, 0, 0));
        assert_eq!(local.resolve(at("2026-11-27T00:00:00Z"), &zone), Some(at("2026-11-27T22:00:00Z")));
    }

    #[test]
    fn a_share_of_a_large_number_does_not_overflow() {
        assert_eq!(Percent(250).of(u64::MAX), (u128::from(u64::MAX) * 250 / 10_000) as u64);
        assert_eq!((Percent(250).text(), Percent(500).text()), ("2.5%".to_owned(), "5%".to_owned()));
    }
}
