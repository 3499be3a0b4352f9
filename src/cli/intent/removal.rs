//! The options that `drain` and `scale` share.

use std::time::Duration;

use super::write::WriteOptions;
use crate::model::evacuation::Settings;
use crate::model::form::{Output, Stream};
use crate::model::limits::{CommandLine, Limits};

/// How pods are evacuated and removed, and how the operation is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovalFlags {
    /// The evacuation settings that EMQX is asked for.
    pub settings: Settings,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the operation.
    pub skip: Vec<String>,
    /// Whether progress within a step is printed.
    pub watch: bool,
    /// The limits at which the operation is stopped.
    pub limits: Limits,
    /// The command that is run on events.
    pub notify: Option<CommandLine>,
    /// Whether the result is kept out of the user's own history.
    pub no_history: bool,
    /// Whether the operation is not recorded in the user's own state folder.
    pub no_record: bool,
    /// The time limit of the operation.
    pub timeout: Option<Duration>,
    /// The output format of the events.
    pub stream: Stream,
    /// The output format of the result.
    pub output: Output,
}
