//! The options that every command shares.

use std::path::PathBuf;

use crate::model::access::{EmqxAccess, KubernetesFlags};
use crate::model::form::Look;

/// The options that every command shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// The API server, the user and the namespace.
    pub connect: KubernetesFlags,
    /// How EMQX is reached.
    pub emqx: EmqxAccess,
    /// The use of colour and the output style.
    pub look: Look,
    /// The level and destination of the log.
    pub log: Log,
    /// The user's own state folder; `None` if it is neither written nor read.
    pub folder: Option<PathBuf>,
    /// Whether started operations are recorded in the folder.
    pub records: bool,
}

/// The level and destination of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is logged; `None` logs nothing.
    pub level: Option<Level>,
    /// The log file; `None` for stderr.
    pub file: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also the actions of the program.
    Info,
    /// Also requests and their results.
    Debug,
    /// Also every step within a request.
    Trace,
}
