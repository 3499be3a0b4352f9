//! The request for an upgrade, as the user typed it: it does not depend on a cluster.

use serde::Serialize;

use super::image::Image;

/// The checks that can be skipped by name. A check that finds what cannot work is not among them.
pub(crate) const UPGRADE_CHECKS: [&str; 10] = [
    "downgrade",
    "drain-unfinished",
    "evacuation-running",
    "field-conflict",
    "instance-not-ready",
    "no-evacuation",
    "rebalance-running",
    "recipients-not-serving",
    "scale-unfinished",
    "too-many-pods",
];

/// The requested image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An image (`--image`).
    Image(Image),
    /// A version of the image that runs (`--version`).
    Version(String),
}

/// How pods are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// A second set beside the first, which is emptied and removed.
    BlueGreen,
    /// Pod by pod, in place.
    Rolling,
}

/// How the old pods of v1beta4 are emptied; its operator deletes them with their clients ([OP-15], [OP-16]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainMethod {
    /// This program empties them all together, sharing the rate.
    #[default]
    Together,
    /// This program empties them one after another, each at the whole rate.
    OneByOne,
    /// The operator removes them without a guard.
    Unguarded,
}

/// The requested values; `None` is the object's value, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The requested image or version.
    pub wanted: Wanted,
    /// `--blue-green` or `--rolling`.
    pub way: Option<Way>,
    /// `--one-by-one`, `--unguarded`.
    pub manner: DrainMethod,
    /// Clients disconnected per second.
    pub conn_evict_rate: Option<u64>,
    /// Sessions moved per second.
    pub sess_evict_rate: Option<u64>,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover: Option<u64>,
    /// Seconds for load balancers to notice (v2, v3beta1).
    pub wait_health_check: Option<u64>,
    /// Whether pods' readiness gates may be written (`patch pods/status`); `None` when that could not be asked.
    pub gates: Option<bool>,
}

impl UpgradeRequest {
    /// A request with every value of the object.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            way: None,
            manner: DrainMethod::default(),
            conn_evict_rate: None,
            sess_evict_rate: None,
            wait_takeover: None,
            wait_health_check: None,
            gates: None,
        }
    }
}
