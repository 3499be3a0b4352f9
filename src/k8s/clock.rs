//! The clock that dates all facts. It begins at the API server's `Date`, so that the ages of the server's
//! objects are right although this machine's clock may be wrong; from then on it adds elapsed local time. So
//! a `Date` that jumps, two servers that disagree, and a machine that slept change no duration.
//!
//! The demo runs faster than real time and reports its virtual clock in a header of its own, [`DEMO_CLOCK`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{DATE, HeaderMap};
use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

use crate::ports::{Clock, host};

/// The demo's header: `time=<RFC 3339>; speed=<virtual seconds per second>`. With a speed of 0 the clock
/// stands still.
const DEMO_CLOCK: &str = "x-emqx-demo-clock";

/// The clock; clones share it. Before any answer it is this machine's time of day.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    state: Arc<Mutex<Option<State>>>,
}

#[derive(Clone, Debug)]
struct State {
    /// The assumed time, and the elapsed local time at which it holds.
    here: (Timestamp, Duration),
    /// Virtual seconds per second. Only the demo's header changes it.
    speed: f64,
    /// Whether the demo's header sets the time, so that `Date` is not needed.
    demo: bool,
    /// Seconds by which `Date` may still move the clock, and when that was computed.
    budget: (f64, Duration),
    /// The latest time ever returned: the clock never runs backwards.
    latest: Timestamp,
}

/// `Date` holds whole seconds: D means a moment from D up to one second later.
const RESOLUTION: f64 = 1.0;

/// Seconds that an answer may take to arrive before its `Date` counts as behind.
const TRAVEL: f64 = 0.25;

/// The difference in seconds from which on `Date` is distrusted: two clocks drift much less between two
/// answers.
const DISTRUST: f64 = 2.0;

/// Seconds by which two clocks may drift in one second; `Date` moves the clock by no more than that, and by no more
/// than one second at once.
const DRIFT: f64 = 0.001;

impl ServerClock {
    /// A clock without a time so far.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Processes the time of an answer; a header that is not a date is ignored.
    pub(super) fn observe(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let local = host::elapsed();
        if let Some((time, speed)) = text(DEMO_CLOCK).and_then(parse_demo_clock) {
            self.observe_demo(time, speed, local);
        } else if let Some(date) = text(DATE.as_str()).and_then(parse_http_date) {
            self.observe_date(date, local);
        }
    }

    fn observe_demo(&self, time: Timestamp, speed: f64, local: Duration) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = guard.as_ref().filter(|state| state.demo).map_or(time, |state| state.latest);
        *guard = Some(State { here: (time, local), speed, demo: true, budget: (0.0, local), latest });
    }

    fn observe_date(&self, date: Timestamp, local: Duration) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = guard.as_mut() else {
            let budget = (RESOLUTION, local);
            *guard = Some(State { here: (date, local), speed: 1.0, demo: false, budget, latest: date });
            return;
        };
        if !state.demo {
            state.correct(date, local);
        }
    }

    fn now_at(&self, local: Duration) -> Option<Timestamp> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = guard.as_mut()?;
        state.latest = state.latest.max(state.reckon(local));
        Some(state.latest)
    }
}

impl State {
    fn reckon(&self, local: Duration) -> Timestamp {
        add(self.here.0, local.saturating_sub(self.here.1).as_secs_f64() * self.speed)
    }

    /// Follows `Date` by no more than the drift of two clocks.
    fn correct(&mut self, date: Timestamp, local: Duration) {
        let reckoned = self.reckon(local);
        let ahead = reckoned.duration_since(date).as_secs_f64();
        let error = if ahead < 0.0 { -ahead } else { (RESOLUTION + TRAVEL - ahead).min(0.0) };
        if error.abs() > DISTRUST {
            return;
        }
        let passed = local.saturating_sub(self.budget.1).as_secs_f64();
        let budget = (self.budget.0 + passed * DRIFT).min(RESOLUTION);
        let step = error.clamp(-budget, budget);
        self.budget = (budget - step.abs(), local);
        self.here = (add(reckoned, step), local);
    }
}

fn add(time: Timestamp, seconds: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(seconds).ok().and_then(|it| time.checked_add(it).ok()).unwrap_or(time)
}

/// The fixed form of RFC 9110, 5.6.7 (`Sun, 06 Nov 1994 08:49:37 GMT`).
fn parse_http_date(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text.trim()).ok()?;
    let zoned: Zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

fn parse_demo_clock(text: &str) -> Option<(Timestamp, f64)> {
    let (mut time, mut speed) = (None, None);
    for part in text.split(';') {
        match part.trim().split_once('=')? {
            ("time", value) => time = value.parse().ok(),
            ("speed", value) => {
                speed = value.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
            }
            _ => {}
        }
    }
    Some((time?, speed?))
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.now_at(host::elapsed()).unwrap_or_else(Timestamp::now)
    }

    fn speed(&self) -> f64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(1.0, |state| state.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn origin() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    /// The times of a clock for answers at these local milliseconds; `date` converts local seconds into those
    /// of the server.
    fn run(at: &[u64], date: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let clock = ServerClock::new();
        let begin = Duration::from_secs(1000);
        at.iter()
            .enumerate()
            .map(|(index, millis)| {
                let local = Duration::from_millis(*millis);
                let whole = date(index, local.as_secs_f64()).floor();
                clock.observe_date(add(origin(), whole), begin + local);
                let now = clock.now_at(begin + local).expect("it knows");
                now.duration_since(origin()).as_secs_f64()
            })
            .collect()
    }

    #[test]
    fn whole_seconds_of_date_move_the_clock_by_less_than_a_second_and_a_quarter() {
        for step in [100, 333, 700, 950, 1100, 2050] {
            let at: Vec<u64> = (0..40).map(|index| index * step).collect();
            let given = run(&at, |_, local| 0.3 + local);
            assert!(given.is_sorted(), "{given:?}");
            for (millis, given) in at.iter().zip(&given) {
                assert!((given - *millis as f64 / 1000.0).abs() < 1.3, "step {step}: {given}");
            }
        }
    }

    #[test]
    fn a_date_that_jumps_by_an_hour_either_way_changes_no_duration() {
        let at: Vec<u64> = (0..120).map(|index| index * 1000).collect();
        for jump in [HOUR, -HOUR] {
            let given = run(&at, |index, local| 0.5 + local + if index > 30 { jump as f64 } else { 0.0 });
            let passed = given[119] - given[10];
            assert!((passed - 109.0).abs() < 0.2, "jump {jump}: {passed}");
        }
    }

    #[test]
    fn servers_whose_clocks_differ_by_two_minutes_change_no_duration() {
        let at: Vec<u64> = (0..120).map(|index| index * 1000).collect();
        for first in [0.0, 120.0] {
            let given = run(&at, |index, local| {
                let other = if index % 2 == 0 { first } else { 120.0 - first };
                0.5 + local + other
            });
            let passed = given[119] - given[10];
            assert!((passed - 109.0).abs() < 0.2, "{passed}");
        }
    }

    #[test]
    fn an_hour_of_sleep_is_an_hour() {
        let given = run(&[0, 10_000, 3_610_000], |_, local| 0.5 + local);
        assert!((given[2] - given[1] - 3600.0).abs() < 1.3, "{given:?}");
    }

    #[test]
    fn drift_between_two_clocks_is_followed() {
        let at: Vec<u64> = (0..50_000).map(|index| index * 5000).collect();
        let given = run(&at, |_, local| local * 1.0002);
        let last = given.last().copied().unwrap_or_default();
        assert!((last - 49_999.0 * 5.0 * 1.0002).abs() < 1.3, "{last}");
    }

    #[test]
    fn the_demo_states_time_and_speed_and_its_date_is_ignored() {
        let clock = ServerClock::new();
        let mut headers = HeaderMap::new();
        let mut observe = |demo: Option<&str>, date: &str| {
            headers.clear();
            if let Some(demo) = demo {
                headers.insert(DEMO_CLOCK, demo.parse().expect("a header"));
            }
            headers.insert(DATE, date.parse().expect("a header"));
            clock.observe(&headers);
        };
        observe(Some("time=2026-01-01T00:00:00.5Z; speed=20"), "Thu, 01 Jan 2026 01:00:00 GMT");
        assert!((clock.speed() - 20.0).abs() < f64::EPSILON);
        observe(None, "Thu, 01 Jan 2026 01:00:00 GMT");
        let local = host::elapsed();
        let now = clock.now_at(local).expect("it knows");
        assert!(now.duration_since(origin()).as_secs_f64() < 60.0, "{now}");
        let later = clock.now_at(local + Duration::from_secs(3)).expect("it knows");
        assert!((later.duration_since(now).as_secs_f64() - 60.0).abs() < 0.001);
        assert_eq!(parse_demo_clock("time=2026-01-01T00:00:00Z; speed=-1"), None);
        assert_eq!(parse_demo_clock("speed"), None);
    }

    #[test]
    fn now_never_runs_backwards_and_nonsense_is_ignored() {
        let clock = ServerClock::new();
        let observe = |date: &str| {
            let headers = HeaderMap::from_iter([(DATE, date.parse().expect("a header"))]);
            clock.observe(&headers);
        };
        observe("yesterday");
        assert_eq!(clock.now_at(host::elapsed()), None);
        observe("Sun, 06 Nov 1994 08:49:37 GMT");
        let first = clock.now();
        assert!(first.to_string().starts_with("1994-11-06T08:49:37"), "{first}");
        observe("Sun, 06 Nov 1994 08:49:17 GMT");
        assert!(clock.now() >= first);
    }
}
