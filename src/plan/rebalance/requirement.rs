//! Rates and thresholds from what the user requires of a rebalance: how even it ends, how long it takes, and how many clients
//! reconnect to one node in a second.
//!
//! The lowest rate is chosen that ends in time, and with it the widest threshold that ends even enough: no client is
//! disconnected that need not be. Where not all can be reached, the deadline is exceeded first, then the spread, never the
//! number of reconnects.

use std::cell::Cell;

use emqx_rebalance::eviction::{Landing, Loop, Outcome, round_robin, run, run_within};
use emqx_rebalance::rules::{Threshold, donors, mean};

use super::forecast::forecast;
use super::spread::Spread;
use crate::model::human::{count, duration, plural};
use crate::model::{GivenSettings, Part, Strategy};
use crate::plan::finding::{self, Decision, Finding};
use crate::plan::rebalance::plan::{LandingForecast, Participant, PlannedRequirement, RebalancePlan, Return};

pub use crate::model::Requirement;

/// EMQX refuses a factor that is not above 1. A small one leaves the end to the absolute threshold.
const LEAST_FACTOR: f64 = 1.01;

/// The same for spreads below 2 %.
const LEAST_FACTOR_OF_SMALL_SPREADS: f64 = 1.001;

/// Objects have rates and thresholds as 32-bit integers.
const MAX_STORED: u64 = i32::MAX as u64;

/// Rates around the one that halving finds that are tried one by one: a higher rate can need one more round, or end farther
/// from the mean, so halving alone can miss a lower one.
const TRIED_ONE_BY_ONE: u64 = 24;

/// The session rate at which a round lasts about 5 s, times the milliseconds for one session.
const QUICK_SESSION_ROUND_MS: u64 = 4000;

/// The tolerance above a limit in percent, for the rounding of floating point numbers.
const ROUNDING: f64 = 1e-9;

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
struct Search {
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
    runs: Cell<u32>,
}

impl Search {
    /// `None` where no node has fewer clients than the mean.
    fn new(
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
    fn sessions(&mut self, nodes: &[Participant], strategy: &mut Strategy, free: bool) {
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
    fn settings(&self) -> (u64, u64) {
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

/// The largest deviation of a node from the mean at the end of a plan, in percent of the mean.
pub(crate) fn spread_percent(plan: &RebalancePlan) -> Option<f64> {
    let after: Vec<u64> = plan.nodes.iter().map(|node| node.connections_after).collect();
    let spread = Spread::of(&after)?;
    (spread.mean > 0.0).then(|| spread.deviation / spread.mean * 100.0)
}

/// Adds to a plan what was required of it, and the findings where it is not reached.
pub(crate) fn judge(
    plan: &mut RebalancePlan,
    required: Requirement,
    given: GivenSettings,
    back: Return,
    skip: &[String],
) {
    let spread = spread_percent(plan);
    plan.requirement = Some(PlannedRequirement {
        target_spread_percent: required.spread_percent,
        deadline_seconds: required.deadline_seconds,
        max_reconnect_rate: required.reconnects_per_second,
        spread_percent: spread,
        message: chosen(plan, required),
    });
    if plan.decision == Decision::NothingToDo || plan.phases.is_empty() {
        let mut found = Vec::from_iter(too_uneven(spread, plan, required, given));
        finding::skip(&mut found, skip);
        plan.judge(found);
        return;
    }
    let found = [
        too_many_reconnects(plan, required),
        too_slow(plan, required, given, back),
        too_uneven(spread, plan, required, given),
    ];
    let mut found: Vec<Finding> = found.into_iter().flatten().collect();
    finding::skip(&mut found, skip);
    plan.judge(found);
}

/// A percentage as it is typed: `5%`, `2.5%`.
pub(crate) fn percent(value: f64) -> String {
    format!("{}%", (value * 100.0).round() / 100.0)
}

fn chosen(plan: &RebalancePlan, required: Requirement) -> String {
    let goal = format!(
        "for a spread of {} in {}, at most {} on one recipient",
        percent(required.spread_percent),
        duration(required.deadline_seconds),
        per_second(required.reconnects_per_second)
    );
    if plan.decision == Decision::NothingToDo || plan.phases.is_empty() {
        return format!("worked out {goal}");
    }
    let strategy = &plan.strategy;
    if plan.moves.rounds == 0 {
        return format!("worked out {goal}: only sessions move");
    }
    let why = if plan.total_seconds > required.deadline_seconds {
        "the highest rate that this allows"
    } else {
        "the lowest rate that ends in time"
    };
    format!(
        "worked out {goal}: each donor loses {} a second ({why}) until within {}",
        plural(strategy.conn_evict_rate, "client"),
        count(strategy.abs_conn_threshold)
    )
}

fn per_second(rate: u64) -> String {
    format!("{} a second", plural(rate, "reconnect"))
}

fn too_many_reconnects(plan: &RebalancePlan, required: Requirement) -> Option<Finding> {
    let peak = plan.moves.peak_reconnects_per_second;
    (peak > required.reconnects_per_second).then(|| {
        let (donors, recipients) = plan.participant_counts();
        Finding::blocked(
            "reconnect-rate",
            format!(
                "{} lose at least one client a second each: up to {} on one of {}, more than --max-reconnect-rate {}",
                plural(donors as u64, "donor"),
                per_second(peak),
                plural(recipients as u64, "recipient"),
                count(required.reconnects_per_second)
            ),
        )
        .hint(format!(
            "--max-reconnect-rate {peak} allows it; --backend emqx --nodes NODE,… lets fewer donors take part"
        ))
    })
}

fn too_slow(
    plan: &RebalancePlan,
    required: Requirement,
    given: GivenSettings,
    back: Return,
) -> Option<Finding> {
    let late = plan.total_seconds.checked_sub(required.deadline_seconds).filter(|late| *late > 0)?;
    let nodes = participants(plan);
    let faster = Requirement { reconnects_per_second: MAX_STORED, ..required };
    let quick = forecast(None, &nodes, &strategy_for(&nodes, faster, given, back), back);
    let later = format!("--deadline {}s", plan.total_seconds);
    let hint = if quick.total_seconds <= required.deadline_seconds {
        format!(
            "--max-reconnect-rate {} ends in time; {later} allows it",
            quick.moves.peak_reconnects_per_second
        )
    } else {
        format!("{later} allows it; no rate ends earlier than in {}", duration(quick.total_seconds))
    };
    Some(
        Finding::warning(
            "deadline-missed",
            format!(
                "it takes {}, {} longer than --deadline {}",
                duration(plan.total_seconds),
                duration(late),
                duration(required.deadline_seconds)
            ),
        )
        .hint(hint),
    )
}

fn too_uneven(
    spread: Option<f64>,
    plan: &RebalancePlan,
    required: Requirement,
    given: GivenSettings,
) -> Option<Finding> {
    let spread = spread.filter(|spread| *spread > required.spread_percent * (1.0 + ROUNDING))?;
    let typed = given.abs_conn_threshold.is_some() || given.rel_conn_threshold.is_some();
    let idle = plan.phases.is_empty();
    let (why, hint) = if idle && !typed {
        (
            "EMQX moves clients only from donors to recipients, and that would make it no more even",
            "kubectl emqx evacuate moves the clients of one node".to_owned(),
        )
    } else if typed {
        (
            "the thresholds that were given end it there",
            "leave the thresholds out: they are then worked out".to_owned(),
        )
    } else {
        (
            "EMQX moves clients only between donors and recipients as they are at the start",
            match &plan.instance {
                Some(id) => {
                    format!(
                        "kubectl emqx rebalance plan {} after it shows whether another one evens them out",
                        id.name
                    )
                }
                None => format!("--target-spread {} allows it", percent((spread * 10.0).ceil() / 10.0)),
            },
        )
    };
    Some(
        Finding::warning(
            "spread-missed",
            format!(
                "{} {}, {} more than --target-spread {}: {why}",
                if idle { "the spread is" } else { "it ends with a spread of" },
                percent(spread),
                percent(spread - required.spread_percent),
                percent(required.spread_percent)
            ),
        )
        .hint(hint),
    )
}

/// The command that runs the same rebalance with every setting written out.
pub(crate) fn command(verb: &str, instance: &str, strategy: &Strategy) -> String {
    let usual = Strategy::default();
    let mut text = format!("kubectl emqx rebalance {verb} {instance}");
    text.truncate(text.trim_end().len());
    // Without an explicit rate, rates and thresholds would be computed again.
    text.extend([" --conn-evict-rate ", &strategy.conn_evict_rate.to_string()]);
    let numbers = [
        ("sess-evict-rate", strategy.sess_evict_rate, usual.sess_evict_rate),
        ("wait-health-check", strategy.wait_health_check_seconds, usual.wait_health_check_seconds),
        ("wait-takeover", strategy.wait_takeover_seconds, usual.wait_takeover_seconds),
        ("abs-conn-threshold", strategy.abs_conn_threshold, usual.abs_conn_threshold),
        ("abs-sess-threshold", strategy.abs_sess_threshold, usual.abs_sess_threshold),
    ];
    for (flag, value, _) in numbers.into_iter().filter(|(_, value, usual)| value != usual) {
        text.extend([" --", flag, " ", &value.to_string()]);
    }
    let factors = [
        ("rel-conn-threshold", strategy.rel_conn_threshold, usual.rel_conn_threshold),
        ("rel-sess-threshold", strategy.rel_sess_threshold, usual.rel_sess_threshold),
    ];
    for (flag, value, _) in factors.into_iter().filter(|(_, value, usual)| (value - usual).abs() > 1e-9) {
        text.extend([" --", flag, " ", &value.to_string()]);
    }
    text
}

fn participants(plan: &RebalancePlan) -> Vec<Participant> {
    let nodes = plan.nodes.iter().map(|node| Participant {
        node: node.node.clone(),
        pod: None,
        connections: node.connections,
        sessions: node.sessions,
    });
    nodes.collect()
}

/// The same strategy with each load balancer; `None` where all send clients to the same node.
pub(crate) fn landings(plan: &RebalancePlan, back: Return) -> Option<Vec<LandingForecast>> {
    let recipients = plan.nodes.iter().filter(|node| node.part == Some(Part::Recipient)).count();
    if plan.moves.rounds == 0 || recipients < 2 {
        return None;
    }
    let nodes = participants(plan);
    let each = [Landing::Even, Landing::Least, Landing::One].into_iter().map(|landing| {
        let plan = forecast(None, &nodes, &plan.strategy, Return { landing, ..back });
        let after = || plan.nodes.iter().map(|node| node.connections_after);
        LandingForecast {
            lb: landing.as_str(),
            fullest: after().max().unwrap_or(0),
            emptiest: after().min().unwrap_or(0),
            spread_percent: spread_percent(&plan),
            disconnections: plan.moves.connections,
            peak_reconnects_per_second: plan.moves.peak_reconnects_per_second,
            total_seconds: plan.total_seconds,
        }
    });
    Some(each.collect())
}

#[cfg(test)]
mod tests;
