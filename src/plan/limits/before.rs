//! The limits before an operation starts: a forecast that exceeds one is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::NodeName;
use crate::model::human::{count, duration, share, utc_from};
use crate::model::limits::{Limits, Percent};
use crate::plan::finding::Finding;

/// What a plan forecasts.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitForecast {
    /// Seconds to its end; `None` where it cannot be known.
    pub seconds: Option<u64>,
    /// The most clients that connect to one node in one second.
    pub reconnects: Option<u64>,
}

/// The limits that a forecast exceeds; each refuses the operation.
pub fn findings(
    limits: &Limits,
    not_after: Option<Timestamp>,
    forecast: LimitForecast,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(end) = not_after {
        let left = end.duration_since(now).as_secs();
        let late = forecast.seconds.is_some_and(|seconds| seconds.cast_signed() > left);
        if left <= 0 {
            found.push(
                Finding::blocked("not-after", format!("--not-after {} has passed", utc_from(end, now)))
                    .hint("name a later time, or leave --not-after out"),
            );
        } else if late {
            found.push(
                Finding::blocked(
                    "not-after",
                    format!(
                        "it would take {}, and --not-after {} is in {}",
                        duration(forecast.seconds.unwrap_or(0)),
                        utc_from(end, now),
                        duration(left.cast_unsigned())
                    ),
                )
                .hint("name a later time, or move more clients per second"),
            );
        }
    }
    if let (Some(most), Some(rate)) = (limits.max_reconnect_rate, forecast.reconnects)
        && rate > most
    {
        found.push(
            Finding::blocked(
                "reconnect-rate",
                format!(
                    "{} clients per second would connect to one node, more than --max-reconnect-rate {}",
                    count(rate),
                    count(most)
                ),
            )
            .hint("evict fewer clients per second (--conn-evict-rate)"),
        );
    }
    found
}

/// The difference of the clients of the nodes, as a fraction of those before: clients connected, left, or are
/// on another node.
pub fn drift(before: &BTreeMap<NodeName, u64>, now: &BTreeMap<NodeName, u64>) -> f64 {
    let all: u64 = before.values().sum();
    let nodes = before.keys().chain(now.keys().filter(|node| !before.contains_key(*node)));
    let held = |counts: &BTreeMap<NodeName, u64>, node: &NodeName| counts.get(node).copied().unwrap_or(0);
    let changed: u64 = nodes.map(|node| held(before, node).abs_diff(held(now, node))).sum();
    if changed == 0 { 0.0 } else { changed as f64 / all.max(1) as f64 }
}

/// The finding where counts have drifted from those of a plan by more than the limit.
pub fn drifted(
    limit: Percent,
    before: &BTreeMap<NodeName, u64>,
    now: &BTreeMap<NodeName, u64>,
) -> Option<Finding> {
    let drift = drift(before, now);
    (drift > limit.fraction()).then(|| {
        Finding::blocked(
            "drift",
            format!(
                "the clients of the nodes differ by {} from those of the plan, more than --max-drift {}",
                share(drift),
                limit.text()
            ),
        )
        .hint("kubectl emqx rebalance plan makes a new plan")
    })
}
