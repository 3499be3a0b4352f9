//! How evenly clients are spread: one rule for the status, the plan and the past.

use crate::model::Strategy;
use emqx_rebalance::rules::{Threshold, donors, mean};

/// A deviation over this part of the mean is uneven, if it is also more than [`LEAST_CLIENTS`].
const UNEVEN_PART: f64 = 0.25;

/// A deviation of up to this many clients is never uneven by itself.
const LEAST_CLIENTS: f64 = 100.0;

/// The spread of the nodes that should serve clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean of their live connections.
    pub mean: f64,
    /// The index of the node that is farthest from the mean; of two such nodes the emptier one.
    pub farthest: usize,
    /// The largest deviation, in clients.
    pub deviation: f64,
}

impl Spread {
    /// Of these live connections; `None` for no node.
    pub(crate) fn of(connections: &[u64]) -> Option<Self> {
        let mean = mean(connections.iter().copied());
        let off = |place: &usize| (connections[*place] as f64 - mean).abs();
        let farthest = (0..connections.len()).max_by(|one, other| {
            off(one).total_cmp(&off(other)).then(connections[*other].cmp(&connections[*one]))
        })?;
        Some(Self { mean, farthest, deviation: off(&farthest) })
    }

    /// Whether the deviation is large enough to be visibly uneven.
    pub(crate) fn uneven(self) -> bool {
        self.deviation > LEAST_CLIENTS && self.deviation > self.mean * UNEVEN_PART
    }
}

/// Whether the nodes are uneven: visibly, or so that EMQX would start a rebalance by its default thresholds.
/// `sessions` are all sessions, in the same order.
pub(crate) fn uneven(connections: &[u64], sessions: &[u64]) -> bool {
    Spread::of(connections).is_some_and(Spread::uneven)
        || would_start(connections, sessions, &Strategy::default())
}

/// Whether EMQX would start a rebalance with this strategy.
pub(crate) fn would_start(connections: &[u64], sessions: &[u64], strategy: &Strategy) -> bool {
    let gives = donors(connections);
    if gives.iter().all(|gives| *gives) {
        return false;
    }
    let means = |counts: &[u64]| {
        let side = |wanted: bool| {
            mean(counts.iter().zip(&gives).filter(|(_, gives)| **gives == wanted).map(|(count, _)| *count))
        };
        (side(true), side(false))
    };
    let conn = Threshold { abs: strategy.abs_conn_threshold as f64, rel: strategy.rel_conn_threshold };
    let sess = Threshold { abs: strategy.abs_sess_threshold as f64, rel: strategy.rel_sess_threshold };
    let ((donors, recipients), (gave, got)) = (means(connections), means(sessions));
    !conn.holds(donors, recipients) || !sess.holds(gave, got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(connections: &[u64]) -> bool {
        uneven(connections, connections)
    }

    #[test]
    fn uneven_is_a_quarter_of_the_mean_and_more_than_a_hundred_clients() {
        assert!(judged(&[3123, 3123, 3124, 630]), "the emptiest node counts, not only the fullest");
        let mut many = [10_000; 10];
        many[9] = 50;
        assert!(judged(&many), "one empty node among nine full ones");
        assert!(!judged(&[100, 105, 95]) && !judged(&[90, 0]) && !judged(&[]), "too few clients to tell");
        assert!(judged(&[401, 200, 201]) && !judged(&[1250, 1000, 750]));
    }

    #[test]
    fn what_emqx_would_start_for_is_uneven_however_small_the_part_is() {
        // 10 % and more than 1,000 clients of difference, yet no node is a quarter from the mean.
        assert!(judged(&[60_000, 60_000, 50_000]));
        // Connections are even, sessions are not.
        assert!(uneven(&[1000, 999], &[5000, 999]));
    }
}
