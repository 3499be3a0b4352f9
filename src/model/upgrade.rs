//! What is asked of an upgrade, as it was typed: nothing of it depends on a cluster.

use serde::Serialize;

use super::image::Image;

/// The checks that can be skipped by name. What cannot work is not a matter of opinion.
pub(crate) const SKIPPABLE: [&str; 8] = [
    "downgrade",
    "evacuation-running",
    "field-conflict",
    "instance-not-ready",
    "no-evacuation",
    "rebalance-running",
    "recipients-not-serving",
    "too-many-pods",
];

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An image (`--image`).
    Image(Image),
    /// A version of the image that runs (`--version`).
    Version(String),
}

/// How pods change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// A second set beside the first, which is emptied and removed.
    BlueGreen,
    /// Pod by pod, in place.
    Rolling,
}

impl Way {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlueGreen => "blueGreen",
            Self::Rolling => "rolling",
        }
    }
}

/// Who empties old pods of v1beta4, whose operator deletes them loaded ([OP-15], [OP-16]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainMethod {
    /// We do, all together, sharing the rate.
    #[default]
    Together,
    /// We do, one after another, each at the whole rate.
    OneByOne,
    /// The operator does what it does.
    Unguarded,
}

/// The requested values; `None` is the object's value, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// What is to run.
    pub wanted: Wanted,
    /// `--blue-green` or `--rolling`.
    pub way: Option<Way>,
    /// `--one-by-one`, `--unguarded`.
    pub manner: DrainMethod,
    /// Clients cut per second.
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
    /// With every value of the object.
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
