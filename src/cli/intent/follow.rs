//! How an operation is followed.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::form::{Output, Stream};
use crate::model::limits::{CommandLine, Limits};

/// How an operation is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub struct Follow {
    /// The time limit, in wall-clock time; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The output format on stdout.
    pub stream: Stream,
    /// Whether the inline progress is shown even where the full screen is the default.
    pub inline: bool,
    /// Whether the full screen is shown even where the inline progress is the default.
    pub full: bool,
    /// Whether nothing can be changed from the full screen.
    pub read_only: bool,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// The file in which all input is recorded.
    pub record: Option<PathBuf>,
    /// Whether the result is kept out of the user's own history.
    pub no_history: bool,
    /// Whether a started operation is not recorded in the user's own state folder.
    pub no_record: bool,
    /// The limits at which the operation is stopped.
    pub limits: Limits,
    /// The command that is run on events.
    pub notify: Option<CommandLine>,
}

/// What a command does after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It prints the result in this form and exits.
    Leave(Output),
    /// It follows the operation to the verdict.
    Follow(Follow),
}
