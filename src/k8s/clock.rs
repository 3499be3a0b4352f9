//! What time it is by the API server, from the `Date` header of its answers. That cures a laptop clock that is
//! off, and it is how a pretend cluster can run its days in minutes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

use crate::seam::Clock;

/// The server's clock; clones share it. Before any answer it is the local clock.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    state: Arc<Mutex<Option<State>>>,
}

#[derive(Clone, Debug)]
struct State {
    /// The first date and when it came: speed is measured from here, so that it gets better with time.
    first: (Timestamp, Moment),
    /// What time we take it for, and since when.
    here: (Timestamp, Instant),
    speed: f64,
    /// The latest time ever told: now never runs backwards.
    told: Timestamp,
}

/// A moment by both local clocks: the monotonic one sleeps with the laptop, the other one does not.
#[derive(Clone, Copy, Debug)]
struct Moment {
    instant: Instant,
    system: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self { instant: Instant::now(), system: SystemTime::now() }
    }

    /// The longer of the two, so that an hour asleep is not taken for a server in a hurry.
    fn since(self, earlier: Self) -> Duration {
        let slept = self.system.duration_since(earlier.system).unwrap_or_default();
        self.instant.saturating_duration_since(earlier.instant).max(slept)
    }
}

/// Speed is believed only after so long; before, the whole seconds of `Date` say too little.
const BASELINE: Duration = Duration::from_secs(2);

/// No less time is taken for the measure, so that one late answer makes no mad speed.
const SHORTEST: Duration = Duration::from_millis(500);

/// And earlier only after so many of the server's seconds: more than an answer that came late makes of them.
const HURRY: f64 = 8.0;

/// How far `Date` and our reckoning may differ before we follow it: its own resolution is a second, and an answer
/// takes a moment to arrive.
const RESOLUTION: f64 = 1.0;
const TRAVEL: f64 = 0.25;

impl ServerClock {
    /// A clock that knows nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the value of a `Date` header in; anything that is no date is ignored.
    pub fn observe(&self, date: &str) {
        if let Some(date) = parse_http_date(date) {
            self.observe_at(date, Moment::now());
        }
    }

    fn observe_at(&self, date: Timestamp, moment: Moment) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = guard.as_mut() else {
            *guard =
                Some(State { first: (date, moment), here: (date, moment.instant), speed: 1.0, told: date });
            return;
        };
        let reckoned = state.reckon(moment.instant);
        state.measure(date, moment);
        let ahead = seconds(reckoned, date);
        // `Date` D means a moment from D up to a second later: within that, our reckoning is the finer one.
        let here = if ahead < 0.0 {
            date
        } else if ahead > RESOLUTION + TRAVEL * state.speed {
            date + SignedDuration::from_millis(999)
        } else {
            reckoned
        };
        state.here = (here, moment.instant);
    }

    fn now_at(&self, instant: Instant) -> Option<Timestamp> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = guard.as_mut()?;
        state.told = state.told.max(state.reckon(instant));
        Some(state.told)
    }
}

impl State {
    fn reckon(&self, instant: Instant) -> Timestamp {
        let passed = instant.saturating_duration_since(self.here.1).as_secs_f64() * self.speed;
        add(self.here.0, passed)
    }

    fn measure(&mut self, date: Timestamp, moment: Moment) {
        let local = moment.since(self.first.1);
        let moved = seconds(date, self.first.0);
        if local < BASELINE && moved - local.as_secs_f64() < HURRY {
            return;
        }
        let local = local.max(SHORTEST);
        // A second is taken off, because that much is the rounding of the two dates.
        let sure = (moved - RESOLUTION) / local.as_secs_f64();
        self.speed = if sure >= 1.5 { (moved / local.as_secs_f64()).round() } else { 1.0 };
    }
}

fn seconds(later: Timestamp, earlier: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64()
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

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.now_at(Instant::now()).unwrap_or_else(Timestamp::now)
    }

    fn speed(&self) -> f64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(1.0, |state| state.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock whose server started at `2026-01-01T00:00:00.3Z` and runs `speed` times as fast, asked at these
    /// local milliseconds.
    fn run(speed: f64, at: &[u64]) -> (ServerClock, Moment, Vec<f64>) {
        let clock = ServerClock::new();
        let begin = Moment::now();
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let told = at
            .iter()
            .map(|millis| {
                let passed = Duration::from_millis(*millis);
                let moment = Moment { instant: begin.instant + passed, system: begin.system + passed };
                let date = (0.3 + passed.as_secs_f64() * speed).floor();
                clock.observe_at(add(origin, date), moment);
                seconds(clock.now_at(moment.instant).expect("it knows"), origin)
            })
            .collect();
        (clock, begin, told)
    }

    #[test]
    fn a_usual_server_runs_at_speed_one_however_its_seconds_fall() {
        for step in [100, 333, 700, 950, 1100, 2050] {
            let at: Vec<u64> = (0..40).map(|index| index * step).collect();
            let (clock, _, told) = run(1.0, &at);
            assert!((clock.speed() - 1.0).abs() < f64::EPSILON, "step {step}: {}", clock.speed());
            assert!(told.is_sorted(), "{told:?}");
            let last = at.last().copied().unwrap_or_default() as f64 / 1000.0;
            assert!((told.last().copied().unwrap_or_default() - last).abs() < 1.1, "{told:?}");
        }
    }

    #[test]
    fn a_server_in_a_hurry_is_noticed_soon() {
        let at: Vec<u64> = (0..30).map(|index| index * 150).collect();
        let (clock, begin, told) = run(20.0, &at);
        assert!((clock.speed() - 20.0).abs() < f64::EPSILON, "{}", clock.speed());
        assert!(told.is_sorted(), "{told:?}");
        let later = clock.now_at(begin.instant + Duration::from_millis(29 * 150 + 1000)).expect("it knows");
        assert!(
            (seconds(later, "2026-01-01T00:00:00Z".parse().expect("a time")) - 107.0).abs() < 3.0,
            "{later}"
        );
    }

    #[test]
    fn a_laptop_that_slept_is_no_server_in_a_hurry() {
        let clock = ServerClock::new();
        let begin = Moment::now();
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        clock.observe_at(origin, begin);
        let awake = Duration::from_secs(10);
        let woken = Moment { instant: begin.instant + awake, system: begin.system + Duration::from_hours(1) };
        clock.observe_at(add(origin, 3600.0), woken);
        assert!((clock.speed() - 1.0).abs() < f64::EPSILON);
        assert_eq!(clock.now_at(woken.instant), Some(add(origin, 3600.0)));
    }

    #[test]
    fn now_never_runs_backwards_and_nonsense_is_ignored() {
        let clock = ServerClock::new();
        clock.observe("yesterday");
        assert_eq!(clock.now_at(Instant::now()), None);
        clock.observe("Sun, 06 Nov 1994 08:49:37 GMT");
        let first = clock.now();
        assert!(first.to_string().starts_with("1994-11-06T08:49:37"), "{first}");
        clock.observe("Sun, 06 Nov 1994 08:49:17 GMT");
        assert!(clock.now() >= first);
    }
}
