//! The eviction loop of a rebalance, for connections and for sessions: the number of rounds, the counts of
//! every node afterwards, and the load on a recipient.
//!
//! Rounds that follow from arithmetic are skipped: while the same donors lose the same number and the same
//! number returns, `k` rounds are one multiplication. [`run`] gives the same result as single steps (a law
//! under test), at a cost that grows with the donors and not with the rounds.

use std::collections::VecDeque;

use super::rules::{Threshold, evicted};

/// The length of a round, in milliseconds.
const ROUND_MS: u128 = 1000;

/// Where evicted clients reconnect: the load balancer decides it, not EMQX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landing {
    /// Round robin over the recipients, in their listed order; the next recipient is remembered between
    /// rounds.
    #[default]
    Even,
    /// Each client to the recipient with the fewest, the first of equal ones.
    Least,
    /// All to the first.
    One,
}

impl Landing {
    /// As flags and plans name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Least => "least",
            Self::One => "one",
        }
    }
}

/// The inputs of the loop.
#[derive(Clone, Debug)]
pub struct Loop<'a> {
    /// The count of each donor.
    pub donors: &'a [u64],
    /// The count of each recipient.
    pub recipients: &'a [u64],
    /// The most that a donor loses per round; at least 1.
    pub rate: u64,
    /// The threshold that ends the loop.
    pub threshold: Threshold,
    /// Rounds in which an evicted client counts on no node, after the one in which it was evicted.
    pub delay: u64,
    /// Where clients reconnect.
    pub landing: Landing,
    /// Milliseconds from the last check of this loop until the donors accept clients again.
    pub donors_open_after_ms: u128,
}

/// The result of the loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Rounds that evict; a round is a second.
    pub rounds: u64,
    /// The number evicted in all rounds together.
    pub moved: u64,
    /// The most that one recipient receives in one round.
    pub peak: u64,
    /// The most that is evicted in one round.
    pub most_evicted: u64,
    /// The most that one donor loses in one round.
    pub most_by_one: u64,
    /// The most that one donor loses in a round, summed over all rounds.
    pub most_by_one_sum: u128,
    /// The count of each donor at the end.
    pub donors: Vec<u64>,
    /// The count of each recipient when all have returned that do so before the donors accept clients again.
    pub recipients: Vec<u64>,
    /// Clients that return after that: they reconnect to all nodes, including donors.
    pub late: u128,
    /// The most that return so late in one second.
    pub late_peak: u64,
    /// The donors' mean at the last check.
    pub donors_mean: f64,
    /// The recipients' mean at the last check.
    pub recipients_mean: f64,
}

impl Outcome {
    /// The time of these rounds if they move sessions, in milliseconds: a round waits a second, and each
    /// donor moves its sessions one after another (EMQX 5.4, 5.8 and 5.10 took about 1 ms for each on
    /// loopback).
    pub fn session_ms(&self, move_ms: u64) -> u128 {
        u128::from(self.rounds)
            .saturating_mul(ROUND_MS)
            .saturating_add(self.most_by_one_sum.saturating_mul(u128::from(move_ms)))
    }

    /// The longest of these rounds if they move sessions, in milliseconds.
    pub fn longest_session_round_ms(&self, move_ms: u64) -> u128 {
        if self.rounds == 0 {
            return 0;
        }
        ROUND_MS + u128::from(self.most_by_one) * u128::from(move_ms)
    }

    fn lose(&mut self, by_one: u64, rounds: u64) {
        self.most_by_one = self.most_by_one.max(by_one);
        self.most_by_one_sum += u128::from(by_one) * u128::from(rounds);
    }
}

/// The share of each of `number` nodes in a round robin of `clients` that starts at the first node.
pub fn round_robin(clients: u128, number: usize) -> impl Iterator<Item = u128> {
    let nodes = number.max(1) as u128;
    let (each, rest) = (clients / nodes, clients % nodes);
    (0..number as u128).map(move |place| each + u128::from(place < rest))
}

fn mean_of(sum: u128, number: usize) -> f64 {
    if number == 0 { 0.0 } else { sum as f64 / number as f64 }
}

/// The donors, from the fullest to the emptiest: those that still lose clients are a prefix, and all of them have lost
/// the same.
struct Donors {
    /// Indices into the caller's order, fullest first.
    order: Vec<usize>,
    /// The count of each at the start, in that order.
    start: Vec<u64>,
    /// The length of the prefix that still loses clients.
    active: usize,
    /// The loss of each donor in the prefix.
    lost: u64,
    /// The final count of each donor after the prefix, in that order.
    rest: Vec<u64>,
    /// The sum over all.
    sum: u128,
}

impl Donors {
    fn new(counts: &[u64]) -> Self {
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(counts[index]));
        let start = order.iter().map(|&index| counts[index]).collect();
        let sum = counts.iter().map(|&count| u128::from(count)).sum();
        Self { order, start, active: counts.len(), lost: 0, rest: vec![0; counts.len()], sum }
    }

    /// The count of the fullest donor, if it still loses clients.
    fn fullest(&self) -> u64 {
        if self.active == 0 { 0 } else { self.start[0] - self.lost }
    }

    /// The count of the emptiest donor that still loses clients.
    fn least(&self) -> Option<u64> {
        self.active.checked_sub(1).map(|last| self.start[last] - self.lost)
    }

    fn retire(&mut self, holds: u64) {
        self.active -= 1;
        self.rest[self.active] = holds;
    }

    fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.order.len()];
        for (place, &index) in self.order.iter().enumerate() {
            counts[index] =
                if place < self.active { self.start[place] - self.lost } else { self.rest[place] };
        }
        counts
    }
}

/// Returning clients by time, as runs of equal rounds, oldest first.
struct Flight(VecDeque<(u64, u64)>);

impl Flight {
    fn push(&mut self, pool: u64, rounds: u64) {
        match self.0.back_mut() {
            Some((last, number)) if *last == pool => *number += rounds,
            _ => self.0.push_back((pool, rounds)),
        }
    }

    fn front(&self) -> (u64, u64) {
        self.0.front().copied().unwrap_or((0, 1))
    }

    fn pop(&mut self, rounds: u64) {
        if let Some((_, number)) = self.0.front_mut() {
            *number -= rounds;
            if *number == 0 {
                self.0.pop_front();
            }
        }
    }
}

/// The recipients: their mean needs only the sum; the count of each follows from the pools at the end.
struct Recipients<'a> {
    start: &'a [u64],
    landing: Landing,
    sum: u128,
    landed: u128,
    peak: u64,
}

impl<'a> Recipients<'a> {
    fn new(start: &'a [u64], landing: Landing) -> Self {
        let sum = start.iter().map(|&count| u128::from(count)).sum();
        Self { start, landing, sum, landed: 0, peak: 0 }
    }

    fn mean_after(&self, more: u128) -> f64 {
        mean_of(self.sum + more, self.start.len())
    }

    fn land(&mut self, pool: u64, rounds: u64) {
        if pool == 0 || rounds == 0 || self.start.is_empty() {
            return;
        }
        let number = self.start.len() as u64;
        let all = u128::from(pool) * u128::from(rounds);
        match self.landing {
            Landing::Even => self.peak = self.peak.max(pool.div_ceil(number)),
            Landing::One => self.peak = self.peak.max(pool),
            // Pools never grow and recipients only fill up, so the first pool is the largest load.
            Landing::Least if self.landed == 0 => {
                let after = fill(self.start, u128::from(pool));
                self.peak =
                    self.start.iter().zip(after).map(|(before, after)| after - before).max().unwrap_or(0);
            }
            Landing::Least => {}
        }
        self.landed += all;
        self.sum += all;
    }

    fn counts(&self) -> Vec<u64> {
        match self.landing {
            Landing::Even => {
                let shares = round_robin(self.landed, self.start.len());
                self.start.iter().zip(shares).map(|(&count, share)| add(count, share)).collect()
            }
            Landing::Least => fill(self.start, self.landed),
            Landing::One => {
                let mut counts = self.start.to_vec();
                if let Some(first) = counts.first_mut() {
                    *first = add(*first, self.landed);
                }
                counts
            }
        }
    }
}

fn add(count: u64, more: u128) -> u64 {
    u64::try_from(u128::from(count) + more).unwrap_or(u64::MAX)
}

/// Each client to the recipient with the fewest, the first of equal ones.
fn fill(start: &[u64], clients: u128) -> Vec<u64> {
    let mut order: Vec<usize> = (0..start.len()).collect();
    order.sort_by_key(|&index| (start[index], index));
    // The number of the emptiest nodes that are filled to one level: while the next level is reached.
    let (mut filled, mut below) = (0_usize, 0_u128);
    while filled < order.len() {
        let next = u128::from(start[order[filled]]);
        if next * filled as u128 - below > clients {
            break;
        }
        below += next;
        filled += 1;
    }
    let mut counts = start.to_vec();
    if filled == 0 {
        return counts;
    }
    let total = below + clients;
    let (level, rest) = (total / filled as u128, (total % filled as u128) as usize);
    let mut members: Vec<usize> = order[..filled].to_vec();
    members.sort_unstable();
    for (place, index) in members.into_iter().enumerate() {
        counts[index] = add(0, level + u128::from(place < rest));
    }
    counts
}

/// Runs the loop to its end.
pub fn run(what: &Loop<'_>) -> Outcome {
    run_within(what, u64::MAX)
}

/// Runs the loop to its end, or for this number of evicting rounds if the end is later.
pub fn run_within(what: &Loop<'_>, most_rounds: u64) -> Outcome {
    let rate = what.rate.max(1);
    let mut donors = Donors::new(what.donors);
    let mut recipients = Recipients::new(what.recipients, what.landing);
    let mut flight = Flight(VecDeque::new());
    flight.push(0, what.delay.saturating_add(1));
    let mut outcome = Outcome::default();
    let number = what.donors.len();
    loop {
        let (pool, same) = flight.front();
        let recipients_mean = recipients.mean_after(u128::from(pool));
        let donors_mean = mean_of(donors.sum, number);
        outcome.donors_mean = donors_mean;
        outcome.recipients_mean = recipients_mean;
        let left = most_rounds - outcome.rounds;
        let nothing = number == 0 || what.recipients.is_empty();
        if nothing || left == 0 || what.threshold.holds(donors_mean, recipients_mean) {
            recipients.land(pool, 1);
            flight.pop(1);
            break;
        }
        // Donors at the recipients' mean lose nothing from here on, because that mean only grows.
        while let Some(least) = donors.least()
            && evicted(least, recipients_mean, rate) == 0
        {
            donors.retire(least);
        }
        let Some(least) = donors.least() else { break };

        let fullest = donors.fullest();
        let (rounds, loss);
        let mut steady = false; // Returning clients equal evicted ones: every round equals the previous one.
        if least < rate {
            // The last clients of some donors: these lose their rest, the others the full rate.
            let mut emptied = 0_u128;
            while let Some(least) = donors.least()
                && least < rate
            {
                emptied += u128::from(least);
                donors.retire(0);
            }
            loss = add(0, emptied + u128::from(rate) * donors.active as u128);
            outcome.lose(fullest.min(rate), 1);
            donors.lost = donors.lost.saturating_add(rate);
            rounds = 1;
        } else {
            loss = add(0, u128::from(rate) * donors.active as u128);
            steady = flight.0.len() == 1 && pool == loss;
            // Whether the same holds in round `i` (from 0) of this run.
            let same_in = |i: u64| {
                let gone = u128::from(rate) * u128::from(i);
                let recipients_mean = recipients.mean_after(u128::from(pool) * (u128::from(i) + 1));
                let donors_mean = mean_of(donors.sum - gone * donors.active as u128, number);
                u128::from(least) >= gone + u128::from(rate)
                    && !what.threshold.holds(donors_mean, recipients_mean)
                    && evicted(least - gone as u64, recipients_mean, rate) == rate
            };
            // All conditions are monotone, so the last such round is found by bisection.
            let most = left.min(least / rate);
            let (mut good, mut bad) = (0, if steady { most } else { same.min(most) });
            while good + 1 < bad {
                let middle = good + (bad - good) / 2;
                if same_in(middle) { good = middle } else { bad = middle }
            }
            rounds = good + 1;
            outcome.lose(rate, rounds);
            donors.lost += rate * rounds;
        }
        donors.sum -= u128::from(loss) * u128::from(rounds);
        recipients.land(pool, rounds);
        if !steady {
            flight.pop(rounds);
            flight.push(loss, rounds);
        }
        outcome.rounds += rounds;
        outcome.moved = add(outcome.moved, u128::from(loss) * u128::from(rounds));
        outcome.most_evicted = outcome.most_evicted.max(loss);
    }
    // One pool per second from here on: the first one returns in the second of the last check.
    let mut before_open =
        u64::try_from(what.donors_open_after_ms / ROUND_MS).unwrap_or(u64::MAX).saturating_add(1);
    for (pool, rounds) in flight.0 {
        let early = rounds.min(before_open);
        before_open -= early;
        recipients.land(pool, early);
        if early < rounds {
            outcome.late += u128::from(pool) * u128::from(rounds - early);
            outcome.late_peak = outcome.late_peak.max(pool);
        }
    }
    outcome.peak = recipients.peak;
    outcome.donors = donors.counts();
    outcome.recipients = recipients.counts();
    outcome
}

/// The same, one round after another and one client after another: slow, and simple enough to be verified by
/// reading. The laws compare [`run`] with it.
#[cfg(test)]
pub(crate) fn stepped(what: &Loop<'_>) -> Outcome {
    use super::rules::mean;
    let mut donors = what.donors.to_vec();
    let mut recipients = what.recipients.to_vec();
    let mut flight: VecDeque<u64> = (0..=what.delay).map(|_| 0).collect();
    let mut outcome = Outcome::default();
    let mut turn = 0;
    let mut land = |recipients: &mut Vec<u64>, pool: u64, peak: &mut u64| {
        let before = recipients.clone();
        match what.landing {
            Landing::Even => {
                for _ in 0..pool {
                    recipients[turn] += 1;
                    turn = (turn + 1) % recipients.len();
                }
            }
            Landing::Least => {
                for _ in 0..pool {
                    let fewest = recipients.iter().copied().min().expect("recipients");
                    *recipients.iter_mut().find(|count| **count == fewest).expect("one") += 1;
                }
            }
            Landing::One => recipients[0] += pool,
        }
        let most = recipients.iter().zip(before).map(|(after, before)| after - before).max();
        *peak = (*peak).max(most.unwrap_or(0));
    };
    if donors.is_empty() || recipients.is_empty() {
        outcome.donors_mean = mean(donors.iter().copied());
        outcome.recipients_mean = mean(recipients.iter().copied());
        (outcome.donors, outcome.recipients) = (donors, recipients);
        return outcome;
    }
    loop {
        let pool = flight.pop_front().expect("never empty");
        land(&mut recipients, pool, &mut outcome.peak);
        outcome.donors_mean = mean(donors.iter().copied());
        outcome.recipients_mean = mean(recipients.iter().copied());
        if what.threshold.holds(outcome.donors_mean, outcome.recipients_mean) {
            break;
        }
        let (mut loss, mut most) = (0, 0);
        for own in &mut donors {
            let cut = evicted(*own, outcome.recipients_mean, what.rate);
            *own -= cut;
            loss += cut;
            most = most.max(cut);
        }
        outcome.most_by_one = outcome.most_by_one.max(most);
        outcome.most_by_one_sum += u128::from(most);
        flight.push_back(loss);
        outcome.rounds += 1;
        outcome.moved += loss;
        outcome.most_evicted = outcome.most_evicted.max(loss);
    }
    for (second, pool) in flight.into_iter().enumerate() {
        if second as u128 * ROUND_MS > what.donors_open_after_ms {
            outcome.late += u128::from(pool);
            outcome.late_peak = outcome.late_peak.max(pool);
        } else {
            land(&mut recipients, pool, &mut outcome.peak);
        }
    }
    (outcome.donors, outcome.recipients) = (donors, recipients);
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn documented() -> Loop<'static> {
        Loop {
            donors: &[3333, 3333, 3334],
            recipients: &[0],
            rate: 10,
            threshold: Threshold { abs: 100.0, rel: 1.1 },
            delay: 0,
            landing: Landing::Even,
            donors_open_after_ms: 0,
        }
    }

    #[test]
    fn the_documented_run_takes_78_rounds() {
        let outcome = run(&documented());
        assert_eq!(outcome.rounds, 78);
        assert_eq!(outcome.donors, [2553, 2553, 2554]);
        assert_eq!(outcome.recipients, [2340]);
        assert_eq!((outcome.moved, outcome.peak), (2340, 30));
    }

    #[test]
    fn a_thousand_nodes_and_a_billion_clients_are_jumped_over() {
        let donors: Vec<u64> = (0..900).map(|node| 1_000_000 + node * 37).collect();
        let recipients = vec![5; 100];
        let outcome = run(&Loop {
            donors: &donors,
            recipients: &recipients,
            rate: 1,
            threshold: Threshold { abs: 1000.0, rel: 1.1 },
            delay: 3,
            landing: Landing::Least,
            donors_open_after_ms: 10_000,
        });
        assert!(outcome.rounds > 50_000, "{}", outcome.rounds);
        let before: u64 = donors.iter().sum::<u64>() + 500;
        assert_eq!(outcome.donors.iter().sum::<u64>() + outcome.recipients.iter().sum::<u64>(), before);
    }

    fn landings() -> impl Strategy<Value = Landing> {
        prop_oneof![Just(Landing::Even), Just(Landing::Least), Just(Landing::One)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn jumping_equals_stepping(
            counts in prop::collection::vec(0_u64..400, 2..9),
            rate in 1_u64..60,
            abs in 1_u64..80,
            rel in 1.001_f64..2.0,
            delay in 0_u64..6,
            landing in landings(),
            donors_open_after_ms in 0_u128..6000,
        ) {
            let gives = crate::rules::donors(&counts);
            let side = |wanted: bool| -> Vec<u64> {
                counts.iter().zip(&gives).filter(|(_, gives)| **gives == wanted).map(|(count, _)| *count).collect()
            };
            let (donors, recipients) = (side(true), side(false));
            let what = Loop {
                donors: &donors, recipients: &recipients, rate,
                threshold: Threshold { abs: abs as f64, rel }, delay, landing, donors_open_after_ms,
            };
            prop_assert_eq!(run(&what), stepped(&what));
        }

        #[test]
        fn a_limit_of_rounds_ends_the_loop_where_stepping_would_be(
            counts in prop::collection::vec(0_u64..400, 2..9),
            rate in 1_u64..60,
            rounds in 0_u64..40,
        ) {
            let gives = crate::rules::donors(&counts);
            let side = |wanted: bool| -> Vec<u64> {
                counts.iter().zip(&gives).filter(|(_, gives)| **gives == wanted).map(|(count, _)| *count).collect()
            };
            let (donors, recipients) = (side(true), side(false));
            let what = Loop {
                donors: &donors, recipients: &recipients, rate, threshold: Threshold { abs: 1.0, rel: 1.01 },
                delay: 0, landing: Landing::Even, donors_open_after_ms: 0,
            };
            let (limited, whole) = (run_within(&what, rounds), run(&what));
            prop_assert_eq!(limited.rounds, whole.rounds.min(rounds));
            if rounds >= whole.rounds {
                prop_assert_eq!(limited, whole);
            } else {
                let one_more = run_within(&what, rounds + 1);
                prop_assert!(one_more.moved > limited.moved);
                prop_assert_eq!(
                    limited.donors.iter().chain(&limited.recipients).sum::<u64>(),
                    donors.iter().chain(&recipients).sum::<u64>()
                );
            }
        }

        #[test]
        fn clients_are_conserved_and_nothing_panics(
            donors in prop::collection::vec(any::<u32>(), 0..6),
            recipients in prop::collection::vec(any::<u32>(), 0..6),
            rate in any::<u64>(),
            abs in 0.0_f64..1e12,
            rel in 0.0_f64..1e3,
            delay in 0_u64..100_000,
            landing in landings(),
            donors_open_after_ms in 0_u128..100_000_000,
        ) {
            let wide = |counts: &[u32]| -> Vec<u64> { counts.iter().map(|&count| u64::from(count)).collect() };
            let (donors, recipients) = (wide(&donors), wide(&recipients));
            let outcome = run(&Loop {
                donors: &donors, recipients: &recipients, rate,
                threshold: Threshold { abs, rel }, delay, landing, donors_open_after_ms,
            });
            let sum = |counts: &[u64]| counts.iter().sum::<u64>();
            prop_assert_eq!(
                u128::from(sum(&outcome.donors) + sum(&outcome.recipients)) + outcome.late,
                u128::from(sum(&donors) + sum(&recipients))
            );
            prop_assert_eq!(sum(&donors) - sum(&outcome.donors), outcome.moved);
        }

        // Not "never more": a donor that reaches the recipients' mean one round earlier leaves the rest to
        // the others, which can cost the saved round.
        #[test]
        fn a_higher_rate_needs_one_more_round_at_the_most(
            counts in prop::collection::vec(0_u64..100_000, 2..8),
            rate in 1_u64..500,
            more in 1_u64..500,
        ) {
            let gives = crate::rules::donors(&counts);
            let side = |wanted: bool| -> Vec<u64> {
                counts.iter().zip(&gives).filter(|(_, gives)| **gives == wanted).map(|(count, _)| *count).collect()
            };
            let (donors, recipients) = (side(true), side(false));
            let rounds = |rate| run(&Loop {
                donors: &donors, recipients: &recipients, rate,
                threshold: Threshold { abs: 10.0, rel: 1.05 }, delay: 0, landing: Landing::Even,
                donors_open_after_ms: 0,
            }).rounds;
            prop_assert!(rounds(rate + more) <= rounds(rate) + 1);
            prop_assert!(rounds(rate * 2) <= rounds(rate));
        }
    }
}
