//! What a plan warns of: findings that follow from the counts and the strategy alone.

use super::{Finding, Severity};
use crate::model::Strategy;
use crate::model::human::{average, count, plural};
use crate::plan::eviction::Outcome;
use crate::plan::rules::{Threshold, mean};

/// Uneven by eye, yet within thresholds that nobody chose: the default of 1000 hides small clusters.
pub(super) fn blind(counts: &[u64], strategy: &Strategy, hint: Option<String>) -> Option<Finding> {
    let default = Strategy::default();
    let untouched = strategy.abs_conn_threshold == default.abs_conn_threshold
        && (strategy.rel_conn_threshold - default.rel_conn_threshold).abs() < f64::EPSILON;
    let usual = mean(counts.iter().copied());
    let most = counts.iter().copied().max().unwrap_or(0);
    // A quarter above the mean is what a person calls uneven at a glance.
    (untouched && usual >= 1.0 && most as f64 > usual * 1.25).then(|| Finding {
        id: "threshold-blind",
        severity: Severity::Warning,
        message: format!(
            "uneven by eye (the fullest node holds {} of {} on average), but within the default thresholds: a \
             difference under 1,000 connections does not count",
            count(most),
            average(usual)
        ),
        hint,
    })
}

/// What is to be thought of before it is started.
pub(super) fn warnings(
    means: (f64, f64),
    givers: &[u64],
    takers: &[u64],
    strategy: &Strategy,
    threshold: Threshold,
    moving: &Outcome,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let (donors, recipients) = (givers.len() as f64, takers.len() as f64);
    if takers.len() * 3 < givers.len() + takers.len() {
        let one = takers.len() == 1;
        found.push(
            Finding::new(
                "few-recipients",
                Severity::Warning,
                format!(
                    "only {} of {} serve{} new clients meanwhile: up to {} a second{}",
                    count(takers.len() as u64),
                    plural((givers.len() + takers.len()) as u64, "node"),
                    if one { "s" } else { "" },
                    count(moving.peak),
                    if one { "" } else { " each" }
                ),
            )
            .hint(format!(
                "a lower --conn-evict-rate spreads it: {} clients arrive per second now",
                count(moving.most_evicted)
            )),
        );
    }
    // One round takes `rate` from every donor and brings all of it to the recipients.
    let step = strategy.conn_evict_rate as f64 * (1.0 + donors / recipients);
    let gap = means.0 - means.1;
    // The gap shrinks, and the last round is as large as the first: it can turn a small one round.
    let (down, up) = (mean(moving.donors.iter().copied()), mean(moving.recipients.iter().copied()));
    let message = if moving.rounds == 0 {
        None
    } else if !threshold.holds(up, down) {
        Some(format!(
            "it goes past the goal: recipients end with {} on average, donors with {}",
            average(up),
            average(down)
        ))
    } else if step > gap / 2.0 {
        Some(format!(
            "one round closes {} of a gap of {}: it may go past the goal",
            average(step),
            average(gap)
        ))
    } else {
        None
    };
    if let Some(message) = message {
        found.push(Finding::new("overshoot", Severity::Warning, message).hint(format!(
            "try --conn-evict-rate {}",
            ((gap / 20.0 / (1.0 + donors / recipients)).floor() as u64).max(1)
        )));
    }
    found
}
