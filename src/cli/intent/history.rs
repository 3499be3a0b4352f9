//! The request of `history`, and what a command writes into the user's own state folder.

use std::path::PathBuf;

use super::evacuate::Evacuate;
use super::upgrade::Upgrade;
use super::{DryRun, Follow, InstanceName, Output, Then, Verb};
pub use crate::model::form::ReportForm;

/// `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of which instance; `None` for all.
    pub instance: Option<InstanceName>,
    /// In every namespace.
    pub all_namespaces: bool,
    /// The form.
    pub output: Output,
}

/// `report`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// Of a past operation or an instance of this name; `None` for the last operation.
    pub name: Option<String>,
    /// Of this recording.
    pub from: Option<PathBuf>,
    /// The form.
    pub form: ReportForm,
    /// Whether names are replaced.
    pub redact: bool,
}

/// What a command writes into the user's own state folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// How the operations ended that it follows.
    pub history: bool,
    /// A recording of the operation that it starts.
    pub recording: bool,
}

impl Keeps {
    fn of(follow: &Follow, starts: bool) -> Self {
        Self {
            history: !follow.no_history,
            recording: starts && !follow.no_record && follow.record.is_none(),
        }
    }

    fn after(then: &Then) -> Self {
        match then {
            Then::Follow(follow) => Self::of(follow, true),
            Then::Leave(_) => Self { history: true, recording: false },
        }
    }
}

impl Verb {
    /// What it writes into the user's own state folder. Commands that follow nothing read from it.
    pub fn keeps(&self) -> Keeps {
        match self {
            Self::Apply(apply) => Keeps::after(&apply.then),
            Self::Watch(watch) => Keeps::of(&watch.follow, false),
            Self::View(view) => Keeps::of(&view.follow, false),
            Self::Upgrade(Upgrade::Apply(apply)) => Keeps::after(&apply.then),
            Self::Upgrade(Upgrade::Undo(undo)) => Keeps::after(&undo.then),
            Self::Upgrade(Upgrade::Watch(watch)) => Keeps::of(&watch.follow, false),
            Self::Evacuate(Evacuate::Start(start)) => Keeps::after(&start.then),
            Self::Evacuate(Evacuate::Watch(watch)) => Keeps::of(&watch.follow, false),
            Self::Drain(super::drain::Drain { removal, .. })
            | Self::Scale(super::scale::Scale { removal, .. }) => Keeps {
                history: !removal.no_history,
                recording: !removal.no_record && removal.write.dry_run == DryRun::None,
            },
            // The simulated cluster of a demo has no past.
            Self::Demo(_) | Self::DemoServe(_) => Keeps::default(),
            _ => Keeps { history: true, recording: false },
        }
    }
}
