//! The log, and what becomes of it while the full screen is open.

use std::sync::Mutex;

use super::given_files::{WRITABLE, foreign};
use crate::cli::intent::{Level, Log};
use crate::error::Problem;
use user_files as files;

/// Logs to stderr, or into a file; nothing without `-v`.
pub(super) fn logging(log: &Log, force: bool) -> Result<(), Problem> {
    use tracing_subscriber::filter::LevelFilter;
    let level = match log.level {
        None if log.file.is_none() => return Ok(()),
        None | Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Error) => LevelFilter::ERROR,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Trace) => LevelFilter::TRACE,
    };
    // Ignore write errors of the log (closed pipe); the default would panic.
    let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).log_internal_errors(false);
    match &log.file {
        None => builder.with_writer(Held::default).init(),
        Some(path) => {
            let file = open_log(path, force)?;
            builder.with_writer(std::sync::Mutex::new(file)).init();
        }
    }
    Ok(())
}

/// The first line of a log of this program: only such a file is overwritten.
const LOG_BEGINS: &[u8] = b"# log of kubectl emqx\n";

fn open_log(path: &std::path::Path, force: bool) -> Result<std::fs::File, Problem> {
    let what = || format!("cannot write the log file {}", path.display());
    if !force {
        foreign(path, LOG_BEGINS, "a log of kubectl emqx").map_err(|why| {
            Problem::new(what(), why).hint("choose another name for --log-file, or remove the file")
        })?;
    }
    let opened = files::open_private(path, true).and_then(|mut file| {
        std::io::Write::write_all(&mut file, LOG_BEGINS)?;
        Ok(file)
    });
    opened.map_err(|error| Problem::new(what(), error.to_string()).hint(WRITABLE))
}

/// Log output while the full screen is open; `None` otherwise.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// The most bytes of log output that are kept; later output is dropped (`--log-file` has all of it).
const MAX_LOG_OUTPUT: usize = 1 << 16;

/// The target of logs that go to stderr: it never writes onto the screen.
#[derive(Debug, Default)]
pub(super) struct Held;

impl std::io::Write for Held {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut held) = HELD.lock()
            && let Some(held) = held.as_mut()
        {
            if held.len() < MAX_LOG_OUTPUT {
                held.extend_from_slice(bytes);
            }
            return Ok(bytes.len());
        }
        std::io::stderr().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Keeps log output while it exists, and writes it afterwards.
pub(super) struct LogHold;

impl LogHold {
    pub(super) fn begin() -> Self {
        if let Ok(mut held) = HELD.lock() {
            *held = Some(Vec::new());
        }
        Self
    }
}

impl Drop for LogHold {
    fn drop(&mut self) {
        use std::io::Write;
        let held = HELD.lock().ok().and_then(|mut held| held.take()).unwrap_or_default();
        // Ignore write errors of stderr: they cannot be reported.
        let _ = std::io::stderr().write_all(&held);
    }
}
