//! The recording of an operation that was started: in memory until an operation is followed, then in a file of bounded size.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use user_files as files;

/// The folder of recordings in the state folder.
pub(super) const FOLDER: &str = "recordings";

/// The most bytes of one recording.
const MOST_BYTES: usize = 16 << 20;

/// The most recordings that are kept, the newest.
const MAX_RECORDINGS: usize = 20;

/// How often another name is tried.
const MAX_NAME_TRIES: u32 = 100;

#[derive(Default)]
struct State {
    /// The bytes that were written before the file existed.
    buffer: Vec<u8>,
    file: Option<File>,
    bytes: usize,
}

/// The target of a recording; a copy writes to the same target.
#[derive(Clone, Default)]
pub struct OwnRecording(Rc<RefCell<State>>);

impl OwnRecording {
    /// Whether it has a file.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.borrow().file.is_some()
    }

    /// Creates its file in the state folder and writes the bytes so far; returns the file's name. The oldest
    /// recordings beyond [`MAX_RECORDINGS`] are removed.
    pub(super) fn keep(&self, folder: &Path, name: &str) -> io::Result<String> {
        let folder = folder.join(FOLDER);
        private_folder(&folder)?;
        remove_oldest(&folder, MAX_RECORDINGS - 1)?;
        let good = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' };
        let name: String = name.chars().map(good).take(100).collect();
        let name = name.trim_start_matches('-').to_owned();
        let mut last = io::Error::other("no free name");
        for number in 1..MAX_NAME_TRIES {
            let name = if number == 1 { format!("{name}.jsonl") } else { format!("{name}-{number}.jsonl") };
            match files::create_private(&folder.join(&name)) {
                Ok(mut file) => {
                    let mut state = self.0.borrow_mut();
                    file.write_all(&std::mem::take(&mut state.buffer))?;
                    state.file = Some(file);
                    return Ok(name);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

impl Write for OwnRecording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        if state.bytes + bytes.len() > MOST_BYTES {
            return Err(io::Error::other(format!("it has reached {} MB", MOST_BYTES >> 20)));
        }
        state.bytes += bytes.len();
        match &mut state.file {
            Some(file) => file.write_all(bytes)?,
            None => state.buffer.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().file.as_mut().map_or(Ok(()), File::flush)
    }
}

/// Removes recordings beyond the newest `most`.
fn remove_oldest(folder: &Path, most: usize) -> io::Result<()> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let about = file.metadata()?;
        if about.is_file() && file.path().extension().is_some_and(|it| it == "jsonl") {
            all.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), file.path()));
        }
    }
    all.sort();
    let beyond = all.len().saturating_sub(most);
    for (_, path) in all.into_iter().take(beyond) {
        match std::fs::remove_file(path) {
            // Another process may remove it too.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A folder that only its owner can enter, and those above it that are missing.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}
