//! The request of `history`, and what a command writes into the user's own state folder.

use std::path::PathBuf;

use super::follow::{Follow, Then};
use super::selection::InstanceName;
use crate::model::form::Output;
pub use crate::model::form::ReportForm;

/// The request of `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The instance whose operations are listed; `None` for all instances.
    pub instance: Option<InstanceName>,
    /// Whether operations of every namespace are listed.
    pub all_namespaces: bool,
    /// The output format.
    pub output: Output,
}

/// The request of `report`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// The name of a past operation or of an instance; `None` for the last operation.
    pub name: Option<String>,
    /// The recording to report on.
    pub from: Option<PathBuf>,
    /// The output format.
    pub form: ReportForm,
    /// Whether names are replaced in the output.
    pub redact: bool,
}

/// What a command writes into the user's own state folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// Whether the results of the followed operations are written into the history.
    pub history: bool,
    /// Whether the operation that the command starts is recorded.
    pub recording: bool,
}

impl Keeps {
    pub(super) fn of(follow: &Follow, starts: bool) -> Self {
        Self {
            history: !follow.no_history,
            recording: starts && !follow.no_record && follow.record.is_none(),
        }
    }

    pub(super) fn after(then: &Then) -> Self {
        match then {
            Then::Follow(follow) => Self::of(follow, true),
            Then::Leave(_) => Self { history: true, recording: false },
        }
    }
}
