//! The user's requirement for a rebalance, and the EMQX settings that the user gave.

use super::strategy::Strategy;

/// The requirement.
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

/// A set of requirements with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// 5 % in 2 h, at most 20 reconnects a second per recipient.
    Careful,
    /// 5 % in 30 m, at most 50 reconnects a second per recipient.
    #[default]
    Normal,
    /// 10 % in 10 m, at most 200 reconnects a second per recipient.
    Fast,
}

impl Preset {
    pub(crate) fn requirement(self) -> Requirement {
        match self {
            Self::Careful => {
                Requirement { spread_percent: 5.0, deadline_seconds: 7200, reconnects_per_second: 20 }
            }
            Self::Normal => Requirement::default(),
            Self::Fast => {
                Requirement { spread_percent: 10.0, deadline_seconds: 600, reconnects_per_second: 200 }
            }
        }
    }
}

/// The settings that the user gave; `None`: computed, or EMQX's default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GivenSettings {
    /// Sessions that a donor gives per second.
    pub sess_evict_rate: Option<u64>,
    /// The wait for load balancers, in seconds.
    pub wait_health_check_seconds: Option<u64>,
    /// The wait for takeovers, in seconds.
    pub wait_takeover_seconds: Option<u64>,
    /// The number of connections that donors may have more than recipients.
    pub abs_conn_threshold: Option<u64>,
    /// The factor by which donors may exceed recipients.
    pub rel_conn_threshold: Option<f64>,
    /// The number of sessions that donors may have more than recipients.
    pub abs_sess_threshold: Option<u64>,
    /// The factor by which the sessions of donors may exceed those of recipients.
    pub rel_sess_threshold: Option<f64>,
}

/// How the strategy of a rebalance is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum StrategyRequest {
    Given(Strategy),
    /// Computed from the counts.
    Required(Requirement, GivenSettings),
}
