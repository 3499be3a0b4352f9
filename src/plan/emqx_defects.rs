//! Defects of EMQX 5 that matter to what this program starts, by the version that fixes them (safety rule S18).

use std::fmt;

use crate::model::image::EmqxVersion;

/// An operation that a defect affects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affected {
    /// Every rebalance.
    Rebalance,
    /// A rebalance that moves sessions.
    MovedSessions,
    /// The evacuation of a node in an upgrade.
    Evacuation,
}

use Affected::{Evacuation, MovedSessions, Rebalance};

/// A defect of every EMQX 5 before the version that fixes it.
pub(super) struct EmqxDefect {
    fixed: EmqxVersion,
    affects: &'static [Affected],
    what: &'static str,
}

/// The oldest first.
static DEFECTS: [EmqxDefect; 6] = [
    EmqxDefect {
        fixed: EmqxVersion(5, 1, 1),
        affects: &[Rebalance, Evacuation],
        what: "a replicant reports an incomplete status (emqx#11198)",
    },
    EmqxDefect {
        fixed: EmqxVersion(5, 2, 1),
        affects: &[Evacuation],
        what: "the status of an evacuation can be wrong (emqx#11612)",
    },
    EmqxDefect {
        fixed: EmqxVersion(5, 4, 0),
        affects: &[Rebalance, Evacuation],
        what: "a node refuses clients from the start, and availability_check asks for a key (emqx#11971)",
    },
    EmqxDefect {
        fixed: EmqxVersion(5, 7, 0),
        affects: &[Evacuation],
        what: "a node that restarts while it is evacuated may not boot (emqx#12871)",
    },
    EmqxDefect {
        fixed: EmqxVersion(5, 8, 4),
        affects: &[MovedSessions, Evacuation],
        what: "moving sessions can loop forever (emqx#14353)",
    },
    EmqxDefect {
        fixed: EmqxVersion(5, 9, 0),
        affects: &[MovedSessions, Evacuation],
        what: "moving sessions can loop forever (emqx#14907, emqx#14040)",
    },
];

impl fmt::Display for EmqxDefect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; fixed in {}", self.what, self.fixed)
    }
}

fn of(version: EmqxVersion) -> impl Iterator<Item = &'static EmqxDefect> {
    DEFECTS.iter().filter(move |defect| version.0 == 5 && version < defect.fixed)
}

/// The defects that affect a rebalance.
pub(super) fn of_rebalance(
    version: EmqxVersion,
    moves_sessions: bool,
) -> impl Iterator<Item = &'static EmqxDefect> {
    of(version).filter(move |defect| {
        defect.affects.contains(&Rebalance) || moves_sessions && defect.affects.contains(&MovedSessions)
    })
}

/// The defects that affect the nodes that an upgrade empties.
pub(super) fn of_evacuation(version: EmqxVersion) -> impl Iterator<Item = &'static EmqxDefect> {
    of(version).filter(|defect| defect.affects.contains(&Evacuation))
}
