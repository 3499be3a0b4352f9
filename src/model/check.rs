//! The operations that `check` looks at.

/// An operation that is checked for.
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

    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Upgrade => "upgrade",
            Self::Evacuate => "evacuate",
            Self::Drain => "drain",
        }
    }
}
