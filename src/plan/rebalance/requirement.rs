//! What the user requires of a rebalance: how even it ends, how long it takes, and how many clients reconnect to one node in
//! a second. The module `search` finds rates and thresholds for it; what they do not reach is a finding.

use emqx_rebalance::eviction::Landing;

use self::search::{MAX_STORED, ROUNDING};
use super::forecast::forecast;
use super::spread::Spread;
use crate::model::human::{count, duration, plural};
use crate::model::{GivenSettings, Part, Strategy};
use crate::plan::finding::{self, Decision, Finding};
use crate::plan::rebalance::plan::{LandingForecast, Participant, PlannedRequirement, RebalancePlan, Return};

mod search;

pub(crate) use self::search::strategy_for;
pub use crate::model::Requirement;

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
