//! Rates and thresholds from what the user requires of a rebalance: how even it ends, how long it takes, and how many clients
//! reconnect to one node in a second.

use emqx_rebalance::rules::{donors, mean};

use super::forecast::{Participant, RebalancePlan, Return, forecast};
use super::spread::Spread;
use crate::model::Strategy;
use crate::model::human::{count, duration};
use crate::plan::finding::Decision;

/// What is required.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    /// The largest deviation of a node from the mean at the end, in percent of the mean.
    pub spread_percent: f64,
    /// The longest duration, in seconds.
    pub deadline_seconds: u64,
    /// The most clients that reconnect to one recipient in a second.
    pub reconnects_per_second: u64,
}

impl Default for Requirement {
    fn default() -> Self {
        Self { spread_percent: 5.0, deadline_seconds: 1800, reconnects_per_second: 50 }
    }
}

/// EMQX refuses a factor that is not above 1.
const LEAST_FACTOR: f64 = 1.01;

/// Thresholds and rates that are tried at the most: each is smaller than the one before.
const TRIES: u32 = 12;

/// The strategy for these nodes, with EMQX's default waits. Where there is nothing to move, that of the thresholds alone.
///
/// # Errors
/// Why no strategy meets the requirement, and what would.
pub fn strategy_for(nodes: &[Participant], required: Requirement, back: Return) -> Result<Strategy, String> {
    let counts: Vec<u64> = nodes.iter().map(|node| node.connections).collect();
    let gives = donors(&counts);
    let giving = gives.iter().filter(|gives| **gives).count();
    let taking = gives.len() - giving;
    let all = mean(counts.iter().copied());
    let mut strategy = Strategy {
        abs_conn_threshold: threshold(all, required.spread_percent, giving, taking),
        rel_conn_threshold: LEAST_FACTOR,
        ..Strategy::default()
    };
    let offline = mean(nodes.iter().map(Participant::offline));
    strategy.abs_sess_threshold = threshold(offline, required.spread_percent, giving, taking);
    strategy.rel_sess_threshold = 1.0 + required.spread_percent / 100.0;
    if taking == 0 {
        return Ok(strategy);
    }
    strategy.conn_evict_rate = (required.reconnects_per_second * taking as u64 / giving.max(1) as u64).max(1);
    let mut plan = forecast(None, nodes, &strategy, back);
    for _ in 0..TRIES {
        if plan.decision != Decision::Go || meets(&plan, &required) {
            break;
        }
        if plan.moves.peak_reconnects_per_second > required.reconnects_per_second {
            if strategy.conn_evict_rate == 1 {
                let least = plan.moves.peak_reconnects_per_second;
                return Err(format!(
                    "{} donors send at least {}/s to {} recipients: allow {} reconnects a second",
                    count(giving as u64),
                    count(giving as u64),
                    count(taking as u64),
                    count(least)
                ));
            }
            strategy.conn_evict_rate = (strategy.conn_evict_rate * 9 / 10).max(1);
        } else if strategy.abs_conn_threshold > 1 {
            strategy.abs_conn_threshold = (strategy.abs_conn_threshold * 3 / 4).max(1);
        } else if strategy.conn_evict_rate > 1 {
            strategy.conn_evict_rate /= 2;
        } else {
            break;
        }
        plan = forecast(None, nodes, &strategy, back);
    }
    if plan.decision != Decision::Go {
        return Ok(strategy);
    }
    if spread_percent(&plan).is_some_and(|spread| spread > required.spread_percent + 1e-9) {
        let best = spread_percent(&plan).unwrap_or_default();
        return Err(format!(
            "it would end within {best:.1} %, not {:.1} %: EMQX moves clients between the means of donors and recipients",
            required.spread_percent
        ));
    }
    if plan.total_seconds > required.deadline_seconds {
        return Err(too_slow(&plan, &required));
    }
    Ok(strategy)
}

/// The difference of the means at which no node is farther from the mean of all than required.
fn threshold(all: f64, percent: f64, giving: usize, taking: usize) -> u64 {
    let larger = giving.max(taking).max(1) as f64;
    let nodes = (giving + taking) as f64;
    ((all * percent / 100.0 * nodes / larger) as u64).max(1)
}

/// The largest deviation of a node from the mean at the end of a plan, in percent of the mean.
pub fn spread_percent(plan: &RebalancePlan) -> Option<f64> {
    let after: Vec<u64> = plan.nodes.iter().map(|node| node.connections_after).collect();
    let spread = Spread::of(&after)?;
    (spread.mean > 0.0).then(|| spread.deviation / spread.mean * 100.0)
}

fn meets(plan: &RebalancePlan, required: &Requirement) -> bool {
    let even = spread_percent(plan).is_none_or(|spread| spread <= required.spread_percent + 1e-9);
    even && plan.moves.peak_reconnects_per_second <= required.reconnects_per_second
}

/// The reconnects that would be needed to end in time.
fn too_slow(plan: &RebalancePlan, required: &Requirement) -> String {
    let evicting = plan.moves.rounds;
    let rest = plan.total_seconds.saturating_sub(evicting);
    let text = format!(
        "it takes {}, longer than {}",
        duration(plan.total_seconds),
        duration(required.deadline_seconds)
    );
    match required.deadline_seconds.checked_sub(rest).filter(|room| *room > 0) {
        Some(room) => {
            let needed = (required.reconnects_per_second * evicting).div_ceil(room);
            format!("{text}: allow about {} reconnects a second, or more time", count(needed))
        }
        None => format!("{text}: the waits alone take {}", duration(rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::forecast::numbered;
    use super::*;

    #[test]
    fn the_documented_counts_end_within_five_percent_at_fifty_reconnects_a_second() {
        let nodes = numbered(&[3333, 3333, 3334, 0], None);
        let strategy = strategy_for(&nodes, Requirement::default(), Return::default()).expect("a strategy");
        assert_eq!(strategy.conn_evict_rate, 16, "three donors share fifty clients a second");
        let plan = forecast(None, &nodes, &strategy, Return::default());
        assert!(spread_percent(&plan).is_some_and(|spread| spread <= 5.0), "{:?}", plan.nodes);
        assert!(plan.moves.peak_reconnects_per_second <= 50);
    }

    #[test]
    fn a_deadline_that_is_too_short_is_refused_with_what_would_do() {
        let nodes = numbered(&[3333, 3333, 3334, 0], None);
        let required = Requirement { deadline_seconds: 150, ..Requirement::default() };
        let why = strategy_for(&nodes, required, Return::default()).expect_err("too slow");
        assert!(why.contains("longer than 2m30s") && why.contains("reconnects a second"), "{why}");
        let required = Requirement { deadline_seconds: 100, ..Requirement::default() };
        let why = strategy_for(&nodes, required, Return::default()).expect_err("too slow");
        assert!(why.contains("the waits alone take 2m"), "{why}");
    }

    #[test]
    fn too_many_donors_for_the_reconnects_of_one_recipient_are_refused() {
        let mut counts = vec![1000; 20];
        counts.push(0);
        let required = Requirement { reconnects_per_second: 5, ..Requirement::default() };
        let why = strategy_for(&numbered(&counts, None), required, Return::default()).expect_err("refused");
        assert!(why.contains("allow 20 reconnects a second"), "{why}");
    }

    proptest! {
        #[test]
        fn what_is_promised_holds_in_the_forecast(
            counts in prop::collection::vec(0_u64..20_000, 2..8),
            spread in 2_u32..30,
            reconnects in 1_u64..500,
        ) {
            let nodes = numbered(&counts, None);
            let required = Requirement {
                spread_percent: f64::from(spread),
                deadline_seconds: 3600,
                reconnects_per_second: reconnects,
            };
            if let Ok(strategy) = strategy_for(&nodes, required, Return::default()) {
                let plan = forecast(None, &nodes, &strategy, Return::default());
                prop_assert!(strategy.conn_evict_rate >= 1 && strategy.abs_conn_threshold >= 1);
                if plan.decision == Decision::Go {
                    prop_assert!(meets(&plan, &required), "{plan:?}");
                    prop_assert!(plan.total_seconds <= required.deadline_seconds);
                }
            }
        }
    }
}
