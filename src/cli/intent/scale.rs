//! `scale`.

use std::time::Duration;

use super::{InstanceName, Output, Stream, Write};
use crate::model::evacuation::Settings;
use crate::model::limits::{CommandLine, Limits};
use crate::model::scale::ScaledField;

/// `scale` with all it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Which instance.
    pub instance: Option<InstanceName>,
    /// What is changed, and to which number; `None` for an undo.
    pub change: Option<(ScaledField, u64)>,
    /// Whether a scale-up is evened out.
    pub rebalance: bool,
    /// What is requested of EMQX.
    pub settings: Settings,
    /// How it is changed.
    pub write: Write,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// Whether progress within a step is printed.
    pub watch: bool,
    /// At which limits it is stopped.
    pub limits: Limits,
    /// The command that is run with events.
    pub notify: Option<CommandLine>,
    /// For how long at most.
    pub timeout: Option<Duration>,
    /// The form of the events.
    pub stream: Stream,
    /// The form of the result.
    pub output: Output,
}
