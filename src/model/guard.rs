//! The stored state of an upgrade: the delay that is held, and the plan.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The annotation in which earlier versions stored the user's own delay: its seconds, or `none`.
pub(crate) const DELAY_NOTE: &str = "cli.emqx.io/initial-delay-seconds";

/// The annotation in which earlier versions stored how old pods are emptied: `together`, `one-by-one`, `undo`.
pub(crate) const MANNER_NOTE: &str = "cli.emqx.io/guard";

/// The annotation in which earlier versions stored the plan.
pub(crate) const RECORD_NOTE: &str = "cli.emqx.io/upgrade";

/// The annotation in which earlier versions stored the user's reason.
pub(crate) const REASON_NOTE: &str = "cli.emqx.io/reason";

/// How old pods are emptied while the operator's delay is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldManner {
    /// All together, sharing the rate.
    #[default]
    Together,
    /// One after another.
    OneByOne,
    /// The upgrade is undone: the pods that were old stay.
    Undo,
}

/// The delay that pauses the operator, and the previous one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldState {
    /// The user's own delay; `None` where the object had none.
    pub own_delay_seconds: Option<u64>,
    /// How old pods are emptied.
    #[serde(default)]
    pub manner: HoldManner,
}

/// The plan of an upgrade, so that every follower can judge the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeRecord {
    /// The form of this record; 1.
    pub version: u32,
    /// When it was applied.
    pub time: Timestamp,
    /// The image that ran.
    pub from: Option<String>,
    /// The target image.
    pub to: String,
    /// Whether only the version was given (v1beta4).
    #[serde(default)]
    pub version_only: bool,
    /// Live clients at the start.
    pub connections: Option<u64>,
    /// Sessions at the start.
    pub sessions: Option<u64>,
    /// The edit that the user's own manifest needs, shown at the end.
    #[serde(default)]
    pub edit: Vec<String>,
}

impl UpgradeRecord {
    /// Whether it is the record of an undo of an unfinished upgrade: the target image is the image of the
    /// beginning.
    pub(crate) fn is_undo(&self) -> bool {
        self.from.as_ref() == Some(&self.to)
    }
}

/// The state of an upgrade (`guard.json`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardState {
    /// The form; 1.
    pub version: u32,
    /// The delay that is held; `None` when the operator has the user's own delay.
    #[serde(default)]
    pub hold: Option<HoldState>,
    /// The plan; `None` once the upgrade has ended.
    #[serde(default)]
    pub upgrade: Option<UpgradeRecord>,
    /// The user's reason.
    #[serde(default)]
    pub reason: Option<String>,
}

impl GuardState {
    /// The state of `guard.json`; `None` when it is of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|state: &Self| state.version == 1)
    }

    /// As it is stored.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The state that an earlier version stored in annotations; `None` where there are none.
    pub(crate) fn of_notes(notes: &BTreeMap<String, String>) -> Option<Self> {
        let hold = notes.get(DELAY_NOTE).map(|delay| HoldState {
            own_delay_seconds: delay.parse().ok(),
            manner: match notes.get(MANNER_NOTE).map(String::as_str) {
                Some("undo") => HoldManner::Undo,
                Some("one-by-one") => HoldManner::OneByOne,
                _ => HoldManner::Together,
            },
        });
        let upgrade = notes
            .get(RECORD_NOTE)
            .and_then(|text| serde_json::from_str(text).ok())
            .filter(|record: &UpgradeRecord| record.version == 1);
        let reason = notes.get(REASON_NOTE).cloned();
        let any = hold.is_some() || upgrade.is_some() || reason.is_some();
        any.then_some(Self { version: 1, hold, upgrade, reason })
    }
}
