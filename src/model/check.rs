//! The operations that are checked, and the checks of their surroundings.

/// The checks of the surroundings of a cluster, which every operation runs before it starts; each can be skipped.
pub const SURROUNDINGS: [&str; 16] = [
    "autoscaled",
    "capacity",
    "connection-rate",
    "conversion-webhook",
    "cordoned-nodes",
    "cores-disagree",
    "image",
    "licence",
    "object-stuck",
    "operator-lines",
    "operator-silent",
    "probe-period",
    "publish-not-ready",
    "quota",
    "session-affinity",
    "traffic-policy",
];

/// An operation that checks refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// `rebalance apply`
    Rebalance,
    /// `upgrade apply`
    Upgrade,
    /// `evacuate start`
    Evacuate,
    /// `drain`
    Drain,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rebalance, Self::Upgrade, Self::Evacuate, Self::Drain];

    /// As the user types it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Upgrade => "upgrade",
            Self::Evacuate => "evacuate",
            Self::Drain => "drain",
        }
    }
}
