//! EMQX's own rules of a rebalance, in one place: the forecast, the progress, the verdict and the simulated
//! cluster use only these.
//!
//! Source: emqx/emqx `apps/emqx_node_rebalance/src/emqx_node_rebalance.erl` and
//! `include/emqx_node_rebalance.hrl` (the arithmetic is the same from e5.0.4 on; 4.4 in words: EIP 0020).

/// Milliseconds that EMQX takes to move one session: measured on EMQX 5.4.1, 5.8.11 and 5.10.4 on one machine. A
/// network adds its own time to each.
pub const SESSION_MOVE_MS: u64 = 1;

/// A threshold pair: by how much donors may exceed recipients before EMQX moves anything.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Threshold {
    /// Absolute: the number of connections (or sessions) that a donor may have more than a recipient, on
    /// average.
    pub abs: f64,
    /// Relative: the factor by which a donor's average may exceed a recipient's; more than 1.0.
    pub rel: f64,
}

impl Threshold {
    /// Whether the donors' mean is close enough to the recipients' for EMQX to stop (or not to start).
    ///
    /// `d <= r + abs || d <= r * rel`, in IEEE doubles, as EMQX computes it.
    pub fn holds(self, donors: f64, recipients: f64) -> bool {
        donors <= recipients + self.abs || donors <= recipients * self.rel
    }
}

/// The mean of some counts; 0 for none.
pub fn mean(counts: impl IntoIterator<Item = u64>) -> f64 {
    let (mut sum, mut number) = (0_u128, 0_u64);
    for count in counts {
        sum += u128::from(count);
        number += 1;
    }
    if number == 0 { 0.0 } else { sum as f64 / number as f64 }
}

/// The donors: `true` for each node with at least the mean of all nodes. EMQX splits the nodes once, at the
/// start, and by live connections only.
pub fn donors(connections: &[u64]) -> Vec<bool> {
    let average = mean(connections.iter().copied());
    connections.iter().map(|&count| count as f64 >= average).collect()
}

/// The number of clients that one donor loses in one round (one second): none when its count is at most the
/// recipients' mean, else `min(rate, own)`.
pub fn evicted(own: u64, recipients_mean: f64, rate: u64) -> u64 {
    if own as f64 > recipients_mean { own.min(rate) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_cluster_has_three_donors_and_one_recipient() {
        assert_eq!(donors(&[3333, 3333, 3334, 0]), [true, true, true, false]);
    }

    #[test]
    fn equal_nodes_are_all_donors() {
        assert_eq!(donors(&[5000, 5000, 5000]), [true, true, true]);
    }

    #[test]
    fn within_is_either_the_absolute_or_the_relative_rule() {
        let threshold = Threshold { abs: 100.0, rel: 1.1 };
        assert!(!threshold.holds(2563.33, 2310.0));
        assert!(threshold.holds(2553.33, 2340.0));
        assert!(threshold.holds(100.0, 0.0));
        assert!(!threshold.holds(101.0, 0.0));
    }

    #[test]
    fn a_donor_at_the_recipients_mean_loses_nothing() {
        assert_eq!(evicted(50, 50.0, 10), 0);
        assert_eq!(evicted(51, 50.0, 10), 10);
        assert_eq!(evicted(7, 1.0, 10), 7);
    }
}
