//! The request of `history`, and what a command writes into the user's own state folder.

use std::path::PathBuf;

use super::evacuate::Evacuate;
use super::upgrade::Upgrade;
use super::{DryRun, Follow, InstanceName, Output, Then, Verb};
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
    /// What the command writes into the user's own state folder. Commands that follow no operation only read
    /// it.
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
