//! How many clients connect to a node per second, by counts that are read about once a second.

use std::collections::VecDeque;

use jiff::Timestamp;

/// Between two answers, which are a little more than a second apart, EMQX may evict twice: a rate needs this many milliseconds.
const LEAST_WINDOW: i64 = 3_000;

/// Milliseconds of the latest rate.
const RATE_WINDOW_MILLIS: i64 = 5_000;

/// The counts of a node while they rise.
#[derive(Default)]
pub(super) struct RisingCounts(VecDeque<(Timestamp, u64)>);

impl RisingCounts {
    /// Processes a count that differs from `before`, which was still true at `since`. Returns the rate, if one is known now.
    pub(super) fn add(
        &mut self,
        (since, before): (Timestamp, u64),
        now: Timestamp,
        count: u64,
    ) -> Option<u64> {
        let ended = if count <= before { self.end() } else { self.pause(now) };
        if count <= before {
            return ended;
        }
        if self.0.is_empty() {
            self.0.push_back((since, before));
        }
        self.0.push_back((now, count));
        while self.0.len() > 2
            && self.0.front().is_some_and(|(at, _)| milliseconds(*at, now) > RATE_WINDOW_MILLIS)
        {
            self.0.pop_front();
        }
        let long = self.0.front().is_some_and(|(at, _)| milliseconds(*at, now) >= LEAST_WINDOW);
        ended.max(if long { self.rate() } else { None })
    }

    /// The rate of counts that have not risen for a while.
    pub(super) fn pause(&mut self, now: Timestamp) -> Option<u64> {
        let (at, _) = self.0.back()?;
        if milliseconds(*at, now) > LEAST_WINDOW { self.end() } else { None }
    }

    /// The rate of counts that no longer rise.
    pub(super) fn end(&mut self) -> Option<u64> {
        let rate = self.rate();
        self.0.clear();
        rate
    }

    /// The rate of the counts so far.
    pub(super) fn rate(&self) -> Option<u64> {
        let ((from, before), (until, after)) = (self.0.front()?, self.0.back()?);
        let span = u64::try_from(milliseconds(*from, *until)).ok().filter(|span| *span > 0)?;
        Some((after.saturating_sub(*before) * 1_000).div_ceil(span.max(1_000)))
    }
}

fn milliseconds(from: Timestamp, until: Timestamp) -> i64 {
    until.as_millisecond() - from.as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &[(i64, u64)]) -> Option<u64> {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("a time");
        let mut rising = RisingCounts::default();
        let mut most = None;
        for pair in counts.windows(2) {
            let ((since, before), (now, count)) = (pair[0], pair[1]);
            let rate = if before == count {
                rising.pause(at(now))
            } else {
                rising.add((at(since), before), at(now), count)
            };
            most = most.max(rate);
        }
        most.max(rising.end())
    }

    #[test]
    fn two_rounds_between_two_answers_do_not_double_the_rate() {
        // At 150/s, read every 1.1 s, one interval between two answers contains two rounds.
        let counts: Vec<(i64, u64)> =
            (0..40).map(|n| (n * 1_100, u64::try_from(n * 1_100 / 1_000).unwrap_or(0) * 150)).collect();
        assert!(rates(&counts).is_some_and(|rate| (140..=180).contains(&rate)), "{:?}", rates(&counts));
    }

    #[test]
    fn a_single_burst_is_its_rate() {
        assert_eq!(
            rates(&[(0, 0), (1_000, 0), (2_000, 500), (3_000, 1_000), (4_000, 1_000), (9_000, 1_000)]),
            Some(500)
        );
        assert_eq!(rates(&[(0, 100), (1_000, 140)]), Some(40));
        assert_eq!(rates(&[(0, 100), (1_000, 60)]), None);
    }

    #[test]
    fn a_burst_after_a_pause_begins_again() {
        let counts = [(0, 0), (1_000, 100), (2_000, 100), (60_000, 100), (61_000, 300), (70_000, 300)];
        assert_eq!(rates(&counts), Some(200));
    }
}
