//! How a change is made.

/// Whether a change is only tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    /// It is made.
    #[default]
    None,
    /// It is only shown.
    Client,
    /// The server checks it and stores nothing.
    Server,
}

/// How a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether the change is only tried.
    pub dry_run: DryRun,
    /// The field manager of the change.
    pub field_manager: String,
    /// Whether the change is made without a confirmation.
    pub yes: bool,
    /// The user's reason.
    pub reason: Option<String>,
    /// Whether "nothing changed" has its own exit code.
    pub error_unchanged: bool,
}
