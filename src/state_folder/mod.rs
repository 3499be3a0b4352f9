//! The user's own state folder, `$XDG_STATE_HOME/kubectl-emqx`: the history of operations that were followed to their end, and
//! recordings of those that were started. Both are bounded, and only the user can read them.
//!
//! ```text
//! kubectl-emqx/                      0700
//!   history.jsonl  history.1.jsonl   0600, a line per operation; the second is the older part
//!   recordings/NAME.jsonl            0600, the newest 20, each of at most 16 MB
//! ```

mod recording;

use recording::private_folder;
use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::model::HistoryEntry;
use crate::model::history::LONGEST_ENTRY;
use crate::ports::history::{OwnHistory, StateFolder};
use crate::timing::LOCK_TRIES;

pub use recording::OwnRecording;

/// The file with the newest entries.
const NEWEST: &str = "history.jsonl";

/// The file with the older entries.
const OLDER: &str = "history.1.jsonl";

/// The file that a process holds while it adds an entry.
const LOCK: &str = "history.lock";

/// The size of [`NEWEST`] in bytes from which it becomes [`OLDER`]: about a thousand entries.
const ROTATED_BYTES: u64 = 1 << 20;

/// The most bytes of one of the files that are read.
const READ_BYTES: u64 = 4 << 20;

/// The state folder of a user by the environment; `None` where no home folder is known.
pub(crate) fn path(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME");
    let home = || folder("HOME").or_else(|| folder("USERPROFILE")).map(|home| home.join(".local/state"));
    state.or_else(home).map(|state| state.join("kubectl-emqx"))
}

/// A state folder on disk. Nothing is created before the first entry or recording.
pub struct Folder {
    path: PathBuf,
    cluster: Option<String>,
    recording: Option<OwnRecording>,
    kept: RefCell<Option<String>>,
}

impl Folder {
    /// The folder at this path, for operations of this cluster.
    pub(crate) fn new(path: PathBuf, cluster: Option<String>, recording: Option<OwnRecording>) -> Self {
        Self { path, cluster, recording, kept: RefCell::new(None) }
    }

    fn problem(&self, what: &str, error: &io::Error) -> Problem {
        Problem::new(format!("cannot {what} {}", self.path.display()), error.to_string())
    }

    fn add(&self, line: &str) -> io::Result<()> {
        private_folder(&self.path)?;
        let lock = private_file().open(self.path.join(LOCK))?;
        let locked = locked(&lock)?;
        let newest = self.path.join(NEWEST);
        let length = std::fs::metadata(&newest).map_or(0, |it| it.len());
        // Without the lock another process may write at the same time: then the file only grows a little
        // longer.
        if locked && length + line.len() as u64 > ROTATED_BYTES {
            std::fs::rename(&newest, self.path.join(OLDER))?;
        }
        let mut file = private_file().read(true).append(true).open(&newest)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        // One write, so that two processes do not mix their lines. A line that a full disk truncated is ended
        // first.
        let mut bytes = Vec::new();
        if !ends_a_line(&mut file)? {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        file.write_all(&bytes)
    }
}

impl StateFolder for Folder {
    fn cluster(&self) -> Option<String> {
        self.cluster.clone()
    }

    fn history(&self) -> Result<OwnHistory, Problem> {
        let mut history = OwnHistory::default();
        for name in [OLDER, NEWEST] {
            let bytes = match read(&self.path.join(name)) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.problem("read the history in", &error)),
            };
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                let text = Some(line).filter(|line| line.len() <= LONGEST_ENTRY);
                let entry = text.and_then(|line| HistoryEntry::parse(std::str::from_utf8(line).ok()?));
                match entry {
                    Some(entry) => history.entries.push(entry),
                    None => history.unreadable += 1,
                }
            }
        }
        Ok(history)
    }

    fn append(&self, entry: &HistoryEntry) -> Result<(), Problem> {
        self.add(&entry.line()).map_err(|error| self.problem("add to the history in", &error))
    }

    fn keep_recording(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(recording) = &self.recording else { return Ok(None) };
        if self.kept.borrow().is_none() {
            let kept = recording
                .keep(&self.path, name)
                .map_err(|error| self.problem("write a recording in", &error))?;
            *self.kept.borrow_mut() = Some(kept);
        }
        Ok(self.recording())
    }

    fn recording(&self) -> Option<String> {
        self.kept.borrow().clone()
    }
}

/// The path of a kept recording, if its name is one.
pub(crate) fn recording_path(folder: &Path, name: &str) -> Option<PathBuf> {
    crate::model::history::is_file_name(name).then(|| folder.join(recording::FOLDER).join(name))
}

/// At most [`READ_BYTES`] of a regular file, from its beginning.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other(format!("{} is not a file", path.display())));
    }
    let mut bytes = Vec::new();
    OpenOptions::new().read(true).open(path)?.take(READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// Takes the lock; `false` when another process holds it for too long, or the file system has none.
fn locked(file: &File) -> io::Result<bool> {
    let (tries, pause) = LOCK_TRIES;
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// A file that only its owner can read, created where it is missing.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests;
