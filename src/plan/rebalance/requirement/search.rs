//! The search for the rate and the thresholds that reach what is required.
//!
//! The lowest rate is chosen that ends in time, and with it the widest threshold that ends even enough: no client is
//! disconnected that need not be. Where not all can be reached, the deadline is exceeded first, then the spread, never the
//! number of reconnects.

use std::cell::Cell;

use emqx_rebalance::eviction::{Landing, Loop, Outcome, round_robin, run, run_within};
use emqx_rebalance::rules::{Threshold, donors, mean};

use crate::model::{GivenSettings, Requirement, Strategy};
use crate::plan::rebalance::plan::{Participant, Return};

/// EMQX refuses a factor that is not above 1. A small one leaves the end to the absolute threshold.
const LEAST_FACTOR: f64 = 1.01;

/// The same for spreads below 2 %.
const LEAST_FACTOR_OF_SMALL_SPREADS: f64 = 1.001;

/// Objects have rates and thresholds as 32-bit integers.
pub(super) const MAX_STORED: u64 = i32::MAX as u64;

/// Rates around the one that halving finds that are tried one by one: a higher rate can need one more round, or end farther
/// from the mean, so halving alone can miss a lower one.
const TRIED_ONE_BY_ONE: u64 = 24;

/// The session rate at which a round lasts about 5 s, times the milliseconds for one session.
const QUICK_SESSION_ROUND_MS: u64 = 4000;

/// The tolerance above a limit in percent, for the rounding of floating point numbers.
pub(super) const ROUNDING: f64 = 1e-9;

/// The strategy for these nodes. Settings that were given are kept. Where there is nothing to move, its thresholds hold.
pub(crate) fn strategy_for(
    nodes: &[Participant],
    required: Requirement,
    given: GivenSettings,
    back: Return,
) -> Strategy {
    let usual = Strategy::default();
    let mut strategy = Strategy {
        sess_evict_rate: given.sess_evict_rate.unwrap_or(usual.sess_evict_rate),
        wait_health_check_seconds: given.wait_health_check_seconds.unwrap_or(usual.wait_health_check_seconds),
        wait_takeover_seconds: given.wait_takeover_seconds.unwrap_or(usual.wait_takeover_seconds),
        rel_conn_threshold: given.rel_conn_threshold.unwrap_or(if required.spread_percent < 2.0 {
            LEAST_FACTOR_OF_SMALL_SPREADS
        } else {
            LEAST_FACTOR
        }),
        rel_sess_threshold: given.rel_sess_threshold.unwrap_or(1.0 + required.spread_percent / 100.0),
        ..usual
    };
    let Some(mut search) = Search::new(nodes, required, given, back, &strategy) else {
        strategy.abs_conn_threshold = given.abs_conn_threshold.unwrap_or(1);
        strategy.abs_sess_threshold = given.abs_sess_threshold.unwrap_or(1);
        return strategy;
    };
    strategy.abs_sess_threshold = given.abs_sess_threshold.unwrap_or_else(|| search.session_threshold(nodes));
    search.sessions(nodes, &mut strategy, given.sess_evict_rate.is_none());
    let (rate, threshold) = search.settings();
    strategy.conn_evict_rate = rate;
    strategy.abs_conn_threshold = threshold;
    strategy
}

/// How far the nodes are from the mean after a number of rounds.
struct End {
    /// The largest deviation among donors above the mean and recipients below it: it falls with every round.
    before: f64,
    /// The largest deviation among donors below the mean and recipients above it: it rises with every round.
    beyond: f64,
    /// Evicting rounds.
    rounds: u64,
}

/// The search for a rate and a threshold.
pub(super) struct Search {
    gives: Vec<bool>,
    donors: Vec<u64>,
    recipients: Vec<u64>,
    mean: f64,
    /// Donors' mean less that of the recipients.
    gap: f64,
    /// The largest deviation that is required, in clients.
    tolerance: f64,
    required: Requirement,
    given: GivenSettings,
    factor: f64,
    back: Return,
    /// Evicting rounds until the deadline.
    in_time: u64,
    donors_open_after_ms: u128,
    /// Simulated rebalances so far: what the search costs.
    pub(super) runs: Cell<u32>,
}

impl Search {
    /// `None` where no node has fewer clients than the mean.
    pub(super) fn new(
        nodes: &[Participant],
        required: Requirement,
        given: GivenSettings,
        back: Return,
        strategy: &Strategy,
    ) -> Option<Self> {
        let counts: Vec<u64> = nodes.iter().map(|node| node.connections).collect();
        let gives = donors(&counts);
        let side = |wanted: bool| -> Vec<u64> {
            counts
                .iter()
                .zip(&gives)
                .filter(|(_, gives)| **gives == wanted)
                .map(|(count, _)| *count)
                .collect()
        };
        let (donors, recipients) = (side(true), side(false));
        if recipients.is_empty() {
            return None;
        }
        let all = mean(counts.iter().copied());
        Some(Self {
            gap: mean(donors.iter().copied()) - mean(recipients.iter().copied()),
            mean: all,
            tolerance: all * required.spread_percent / 100.0 * (1.0 + ROUNDING),
            gives,
            donors,
            recipients,
            required,
            given,
            factor: strategy.rel_conn_threshold,
            back,
            in_time: u64::MAX,
            donors_open_after_ms: 0,
            runs: Cell::new(0),
        })
    }

    /// The difference of means of offline sessions at which no node is farther from their mean than required. Where neither
    /// clients nor offline sessions have to move it is at least the difference of all sessions: EMQX would start because
    /// of that difference and move nothing.
    fn session_threshold(&self, nodes: &[Participant]) -> u64 {
        let side = |wanted: bool, of: fn(&Participant) -> u64| {
            mean(
                nodes
                    .iter()
                    .zip(&self.gives)
                    .filter(|(_, gives)| **gives == wanted)
                    .map(|(node, _)| of(node)),
            )
        };
        let (giving, taking) = (self.donors.len(), self.recipients.len());
        let offline = mean(nodes.iter().map(Participant::offline));
        let share = (giving + taking) as f64 / giving.max(taking) as f64;
        let wide = ((offline * self.required.spread_percent / 100.0 * share) as u64).clamp(1, MAX_STORED);
        let gap = side(true, Participant::offline) - side(false, Participant::offline);
        if self.even() && gap <= wide as f64 {
            let all = side(true, |node| node.sessions) - side(false, |node| node.sessions);
            return wide.max(all.ceil() as u64).min(MAX_STORED);
        }
        wide
    }

    /// Raises the session rate if only that leaves time for the clients, and notes how many rounds are left for them.
    pub(super) fn sessions(&mut self, nodes: &[Participant], strategy: &mut Strategy, free: bool) {
        let side = |wanted: bool| -> Vec<u64> {
            let nodes = nodes.iter().zip(&self.gives).filter(|(_, gives)| **gives == wanted);
            nodes.map(|(node, _)| node.offline()).collect()
        };
        let (donors, recipients) = (side(true), side(false));
        let threshold =
            Threshold { abs: strategy.abs_sess_threshold as f64, rel: strategy.rel_sess_threshold };
        let lasts = |rate: u64| {
            let shifting = run(&Loop {
                donors: &donors,
                recipients: &recipients,
                rate,
                threshold,
                delay: 0,
                landing: Landing::Even,
                donors_open_after_ms: 0,
            });
            shifting.session_ms(self.back.session_move_ms)
        };
        let waits =
            u128::from(strategy.wait_health_check_seconds) + u128::from(strategy.wait_takeover_seconds);
        let left = |ms: u128| {
            // The forecast rounds up to seconds.
            let taken = waits + ms.div_ceil(1000);
            let left = u128::from(self.required.deadline_seconds).saturating_sub(taken) * 1000;
            u64::try_from(left / u128::from(self.back.round_ms.max(1))).unwrap_or(u64::MAX)
        };
        let mut session_ms = lasts(strategy.sess_evict_rate);
        let quick = QUICK_SESSION_ROUND_MS / self.back.session_move_ms.max(1);
        if free && session_ms > 0 && quick > strategy.sess_evict_rate {
            let rate = self.quickest();
            let enough = |rounds: u64| self.at(rate, 1, rounds).before <= self.tolerance;
            if !enough(left(session_ms)) {
                strategy.sess_evict_rate = quick;
                session_ms = lasts(quick);
            }
        }
        self.in_time = left(session_ms);
        self.donors_open_after_ms = u128::from(strategy.wait_takeover_seconds) * 1000 + session_ms;
    }

    /// Whether the nodes already meet the requirement.
    fn even(&self) -> bool {
        self.start().before <= self.tolerance
    }

    fn start(&self) -> End {
        self.end(&self.donors, &self.recipients, 0, 0)
    }

    fn run(&self, rate: u64, threshold: u64, rounds: u64) -> Outcome {
        let what = Loop {
            donors: &self.donors,
            recipients: &self.recipients,
            rate,
            threshold: Threshold { abs: threshold as f64, rel: self.factor },
            delay: self.back.delay,
            landing: self.back.landing,
            donors_open_after_ms: self.donors_open_after_ms,
        };
        self.runs.set(self.runs.get() + 1);
        run_within(&what, rounds)
    }

    fn at(&self, rate: u64, threshold: u64, rounds: u64) -> End {
        let outcome = self.run(rate, threshold, rounds);
        self.end(&outcome.donors, &outcome.recipients, outcome.late, outcome.rounds)
    }

    fn end(&self, donors: &[u64], recipients: &[u64], late: u128, rounds: u64) -> End {
        let (mut donors, mut recipients) = (donors.iter(), recipients.iter());
        let mut end = End { before: 0.0, beyond: 0.0, rounds };
        for (gives, late) in self.gives.iter().zip(round_robin(late, self.gives.len())) {
            let own = if *gives { donors.next() } else { recipients.next() };
            let above = own.copied().unwrap_or(0) as f64 + late as f64 - self.mean;
            let (before, beyond) = if *gives { (above, -above) } else { (-above, above) };
            end.before = end.before.max(before);
            end.beyond = end.beyond.max(beyond);
        }
        end
    }

    /// The largest rate with which no recipient gets more clients in a second than required; at least 1.
    fn quickest(&self) -> u64 {
        let fullest = self.donors.iter().copied().max().unwrap_or(0);
        // Later rounds evict no more than the first one.
        let fits = |rate: u64| {
            let what = Loop {
                donors: &self.donors,
                recipients: &self.recipients,
                rate,
                threshold: Threshold { abs: 0.0, rel: 1.0 },
                delay: 0,
                landing: self.back.landing,
                donors_open_after_ms: u128::MAX,
            };
            run_within(&what, 1).peak <= self.required.reconnects_per_second
        };
        last(1, fullest.clamp(1, MAX_STORED), fits).unwrap_or(1)
    }

    /// The thresholds that can be chosen from, from the narrowest to the widest with which EMQX starts.
    fn thresholds(&self) -> (u64, u64) {
        match self.given.abs_conn_threshold {
            Some(threshold) => (threshold, threshold),
            None => (1, ((self.gap.ceil() as u64).saturating_sub(1)).clamp(1, MAX_STORED)),
        }
    }

    /// The widest threshold with which this rate ends as required.
    fn widest(&self, rate: u64, tolerance: f64) -> Option<u64> {
        let (least, most) = self.thresholds();
        last(least, most, |threshold| self.at(rate, threshold, u64::MAX).before <= tolerance)
    }

    /// The same, if it does not overshoot the requirement either.
    fn good(&self, rate: u64, tolerance: f64) -> Option<u64> {
        self.widest(rate, tolerance)
            .filter(|threshold| self.at(rate, *threshold, u64::MAX).beyond <= tolerance)
    }

    /// The lowest rate up to `most` that ends as required within this number of rounds, and its threshold.
    fn lowest(&self, most: u64, tolerance: f64, rounds: u64) -> Option<(u64, u64)> {
        let (narrowest, _) = self.thresholds();
        let reached = |rate: u64| self.at(rate, narrowest, rounds).before <= tolerance;
        // The limit on rounds ends this rebalance, not its threshold.
        let late = |rate: u64| {
            let end = self.at(rate, narrowest, rounds);
            end.before > tolerance && end.rounds >= rounds
        };
        let first = last(1, most, late).map_or(1, |late| late + 1);
        let fullest = self.donors.iter().copied().max().unwrap_or(0) as f64;
        // No donor loses more than the rate in a round.
        let least = ((fullest - self.mean - tolerance) / rounds.max(1) as f64).ceil().max(1.0) as u64;
        let from = least.max(first.saturating_sub(TRIED_ONE_BY_ONE));
        (from..=most.min(first.saturating_add(TRIED_ONE_BY_ONE)))
            .filter(|rate| reached(*rate))
            .find_map(|rate| Some((rate, self.good(rate, tolerance)?)))
    }

    /// A rate up to `most` that ends as required, however late; no lower one that was tried ends as early.
    fn late(&self, most: u64, tolerance: f64) -> Option<(u64, u64)> {
        let near = (most.saturating_sub(TRIED_ONE_BY_ONE / 4).max(1)..=most).rev();
        let far = std::iter::successors(Some(most / 2), |rate| Some(rate / 2)).take_while(|rate| *rate > 0);
        let (rate, threshold) = near.chain(far).find_map(|rate| Some((rate, self.good(rate, tolerance)?)))?;
        let rounds = self.at(rate, threshold, u64::MAX).rounds;
        Some(self.lowest(rate, tolerance, rounds).unwrap_or((rate, threshold)))
    }

    /// The rate and the threshold.
    pub(super) fn settings(&self) -> (u64, u64) {
        let most = self.quickest();
        if self.given.abs_conn_threshold.is_none() && (self.even() || self.gap <= 1.0) {
            // Nothing has to move: with a threshold that holds, EMQX gives the same answer.
            return (most, (self.gap.ceil() as u64).clamp(1, MAX_STORED));
        }
        if let Some(threshold) = self.given.abs_conn_threshold {
            let ends = |rate: u64| self.at(rate, threshold, u64::MAX).rounds <= self.in_time;
            let rate = last(1, most, |rate| !ends(rate)).map_or(1, |late| (late + 1).min(most));
            return (rate, threshold);
        }
        // One round of a high rate may move more than remains: then the deadline is exceeded.
        let found = |tolerance: f64| {
            self.lowest(most, tolerance, self.in_time).or_else(|| self.late(most, tolerance))
        };
        let (finest, threshold) = self.best(1);
        let now = self.start().before;
        let tolerance = if finest <= self.tolerance {
            self.tolerance
        } else if finest > now * 0.99 {
            return (most, (self.gap.ceil() as u64).clamp(1, MAX_STORED));
        } else {
            // The smallest spread that is possible, and a little more, so that the rate need not be 1.
            (finest * 1.05 + 1.0).min(f64::midpoint(finest, now))
        };
        found(tolerance).unwrap_or((1, threshold))
    }

    /// The smallest deviation that this rate can end with, and its threshold.
    fn best(&self, rate: u64) -> (f64, u64) {
        let (least, most) = self.thresholds();
        let end = |threshold: u64| self.at(rate, threshold, u64::MAX);
        let deviation = |threshold: u64| {
            let end = end(threshold);
            end.before.max(end.beyond)
        };
        // One of the two deviations falls with the rounds, the other rises: the best is where they meet.
        let met = last(least, most, |threshold| {
            let end = end(threshold);
            end.before <= end.beyond
        });
        let met = met.unwrap_or(least);
        let earlier = (met + 1).min(most);
        if deviation(earlier) <= deviation(met) {
            (deviation(earlier), earlier)
        } else {
            (deviation(met), met)
        }
    }
}

/// The largest number of a range that fits, where all below it fit as well; `None` when the smallest does not.
fn last(least: u64, most: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    if !fits(least) {
        return None;
    }
    if most <= least || fits(most) {
        return Some(most.max(least));
    }
    let (mut good, mut bad) = (least, most);
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}
