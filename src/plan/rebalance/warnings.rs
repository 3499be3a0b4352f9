//! The warnings of a plan: findings that follow from the counts and the strategy alone.

use emqx_rebalance::eviction::Outcome;
use emqx_rebalance::rules::{Threshold, mean};

use crate::model::human::{average, count, plural};
use crate::model::{Part, Strategy};
use crate::plan::finding::{Finding, Severity};
use crate::plan::rebalance::plan::{RebalancePlan, SessionRounds, thresholds};
use crate::plan::rebalance::spread::Spread;

/// Visibly uneven, yet within default thresholds: the default of 1000 hides small clusters.
pub(super) fn blind(counts: &[u64], strategy: &Strategy, hint: Option<String>) -> Option<Finding> {
    let default = Strategy::default();
    let untouched = strategy.abs_conn_threshold == default.abs_conn_threshold
        && (strategy.rel_conn_threshold - default.rel_conn_threshold).abs() < f64::EPSILON;
    let spread = Spread::of(counts).filter(|spread| untouched && spread.uneven())?;
    Some(Finding {
        id: "threshold-blind",
        severity: Severity::Warning,
        message: format!(
            "uneven by eye (a node holds {} of {} on average), but within the default thresholds: a difference under \
             1,000 connections does not count",
            count(counts[spread.farthest]),
            average(spread.mean)
        ),
        hint,
    })
}

/// From this length on, in milliseconds, a session round is warned of: EMQX aborts at [`SESSION_RPC_TIMEOUT_MS`].
const LONG_SESSION_ROUND_MS: u128 = 10_000;
/// How long EMQX 5.9 and later wait for a round, in milliseconds, unless the start asks for another time.
const SESSION_RPC_TIMEOUT_MS: u64 = 15_000;

/// Findings against a start, from the counts and the strategy alone.
pub(super) fn warnings(
    plan: &RebalancePlan,
    means: (f64, f64),
    moving: &Outcome,
    shifting: &Outcome,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let (donors, recipients) = plan.participant_counts();
    if recipients * 3 < donors + recipients {
        let one = recipients == 1;
        let finding = Finding::warning(
            "few-recipients",
            format!(
                "only {} of {} serve{} new clients meanwhile: up to {} a second{}",
                count(recipients as u64),
                plural((donors + recipients) as u64, "node"),
                if one { "s" } else { "" },
                count(moving.peak),
                if one { "" } else { " each" }
            ),
        );
        // No rate is lower than 1.
        found.push(if plan.strategy.conn_evict_rate > 1 {
            finding.hint(format!(
                "a lower --conn-evict-rate spreads it: {} clients arrive per second now",
                count(moving.most_evicted)
            ))
        } else {
            finding
        });
    }
    let (conn, sess) = thresholds(&plan.strategy);
    let rise = donors as f64 / recipients as f64;
    let slower = |gap: f64, flag: &str| {
        format!("try --{flag} {}", ((gap / 20.0 / (1.0 + rise)).floor() as u64).max(1))
    };
    let gap = means.0 - means.1;
    let overshoot = if moving.rounds > 0 {
        let ends = (plan.averages.donors_after, plan.averages.recipients_after.unwrap_or_default());
        let before: Vec<u64> = plan.nodes.iter().map(|node| node.connections).collect();
        let after: Vec<u64> = plan.nodes.iter().map(|node| node.connections_after).collect();
        past_the_goal("", ends, conn, (&before, &after))
            .map(|finding| finding.hint(slower(gap, "conn-evict-rate")))
    } else {
        None
    };
    let overshoot = overshoot.or_else(|| {
        if shifting.rounds == 0 {
            return None;
        }
        let ends = (mean(shifting.donors.iter().copied()), mean(shifting.recipients.iter().copied()));
        let before: Vec<u64> =
            plan.nodes.iter().map(|node| node.sessions.saturating_sub(node.connections)).collect();
        let after: Vec<u64> =
            plan.nodes.iter().map(|node| node.sessions_after - node.connections_after).collect();
        let of = |part| {
            let nodes = plan.nodes.iter().zip(&before).filter(move |(node, _)| node.part == Some(part));
            mean(nodes.map(|(_, offline)| *offline))
        };
        let gap = of(Part::Donor) - of(Part::Recipient);
        past_the_goal(" offline sessions", ends, sess, (&before, &after))
            .map(|finding| finding.hint(slower(gap, "sess-evict-rate")))
    });
    found.extend(overshoot);
    // One round evicts `rate` clients from every donor, and all of them reconnect to the recipients.
    let step = plan.strategy.conn_evict_rate as f64 * (1.0 + rise);
    if moving.rounds > 0 && step > gap / 2.0 {
        found.push(
            Finding::warning(
                "coarse-rate",
                format!(
                    "one round closes {} of a gap of {}: the last one may go past the goal",
                    average(step),
                    average(gap)
                ),
            )
            .hint(slower(gap, "conn-evict-rate")),
        );
    }
    found
}

/// The finding of a plan that ends outside the thresholds in the other direction; it refuses the plan if a
/// node then deviates further from the mean than any node does now. `ends` are the means of donors and
/// recipients at the end, `counts` what each node holds before and after.
fn past_the_goal(
    what: &str,
    ends: (f64, f64),
    threshold: Threshold,
    counts: (&[u64], &[u64]),
) -> Option<Finding> {
    let (donors, recipients) = ends;
    if threshold.holds(recipients, donors) {
        return None;
    }
    let worse = deviation(counts.1) > deviation(counts.0);
    let severity = if worse { Severity::Blocked } else { Severity::Warning };
    let more = if worse { ", more uneven than now" } else { "" };
    Some(Finding::new(
        "overshoot",
        severity,
        format!(
            "it goes past the goal: recipients end with {}{what} on average, donors with {}{more}",
            average(recipients),
            average(donors)
        ),
    ))
}

/// The largest deviation of one count from the mean of all.
fn deviation(counts: &[u64]) -> f64 {
    let usual = mean(counts.iter().copied());
    counts.iter().map(|&count| (count as f64 - usual).abs()).fold(0.0, f64::max)
}

/// The finding of a session round after which EMQX may abort the rebalance, because of its length. `version` is EMQX's, as far as
/// major and minor go: before 5.9 a round has no time limit.
pub(crate) fn session_round_too_long(plan: &RebalancePlan, version: (u64, u64)) -> Option<Finding> {
    let SessionRounds { longest_ms, move_ms } = plan.session_rounds;
    if version < (5, 9) || longest_ms <= LONG_SESSION_ROUND_MS {
        return None;
    }
    // A round of 5 s allows for a network that doubles the time of each session.
    let rate = (4_000 / move_ms.max(1)).max(1);
    Some(
        Finding::warning(
            "session-round-too-long",
            format!(
                "the longest session round takes about {} s; EMQX {}.{} aborts the rebalance when one takes {} s, and does \
                 not answer questions about it meanwhile",
                count(u64::try_from(longest_ms.div_ceil(1000)).unwrap_or(u64::MAX)),
                version.0,
                version.1,
                SESSION_RPC_TIMEOUT_MS / 1000
            ),
        )
        .hint(format!("try --sess-evict-rate {rate}: each donor then moves {} sessions in a round of about 5 s", count(rate))),
    )
}
