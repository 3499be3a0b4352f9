//! What `drain` and `scale` share.

use std::time::Duration;

use super::{Output, Stream, WriteOptions};
use crate::model::evacuation::Settings;
use crate::model::limits::{CommandLine, Limits};

/// How pods are evacuated and removed, and how that is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovalFlags {
    /// What is requested of EMQX.
    pub settings: Settings,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// Whether progress within a step is printed.
    pub watch: bool,
    /// At which limits it is stopped.
    pub limits: Limits,
    /// The command that is run with events.
    pub notify: Option<CommandLine>,
    /// Whether its end is not written into the user's own history.
    pub no_history: bool,
    /// Whether it is not recorded in the user's own state folder.
    pub no_record: bool,
    /// For how long at most.
    pub timeout: Option<Duration>,
    /// The form of the events.
    pub stream: Stream,
    /// The form of the result.
    pub output: Output,
}
