//! The content of the user's own state folder.

use crate::error::Problem;
use crate::model::HistoryEntry;

/// The user's own history, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct OwnHistory {
    /// The entries, in the order in which they were written.
    pub entries: Vec<HistoryEntry>,
    /// Lines that are not entries.
    pub unreadable: usize,
}

/// The user's own state folder: past operations, and recordings of those that were started.
pub trait StateFolder {
    /// The address of the cluster that this process uses.
    fn cluster(&self) -> Option<String>;
    /// Reads the history.
    fn history(&self) -> Result<OwnHistory, Problem>;
    /// Adds an entry. Several processes may do so at the same time.
    fn append(&self, entry: &HistoryEntry) -> Result<(), Problem>;
    /// Called when an operation is followed from now on: what was recorded so far and later is kept under
    /// this name. Returns the file's own name; `None` where nothing is recorded.
    fn keep_recording(&self, name: &str) -> Result<Option<String>, Problem>;
    /// The name of the kept recording.
    fn recording(&self) -> Option<String>;
}
