//! Programs that are started and ended, and their output.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::go_modules::tail;

/// A server under its supervisor. Dropping it ends both.
pub(super) struct Process {
    pub(super) name: &'static str,
    supervisor: Child,
    /// The supervisor kills its server when this pipe ends.
    pub(super) life: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    pub(super) fn start(
        name: &'static str,
        helper: &Path,
        log: PathBuf,
        program: &Path,
        args: &[String],
    ) -> Result<Self, String> {
        let mut command = Command::new(helper);
        command.arg("supervise").arg(&log).arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            // Ctrl-C in a terminal is for the test; the programs that it started end with the pipe.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        let mut supervisor = command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?;
        let life = supervisor.stdin.take();
        Ok(Self { name, supervisor, life, log })
    }

    pub(super) fn running(&mut self) -> Result<(), String> {
        match self.supervisor.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended ({status}):\n{}", self.name, tail(&self.log, 15))),
            Err(e) => Err(format!("{}: {e}", self.name)),
        }
    }

    pub(super) fn end(&mut self) {
        drop(self.life.take());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // On Linux the kernel then kills the server as well.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program's output and exit.
#[derive(Debug, Clone)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output of a run that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Reads a pipe to its end on a thread, so that a full pipe never blocks the program at its other end.
pub(super) fn drain(pipe: Option<impl io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program to its end, with a limit. Blocks; see `ControlPlane::run` for async tests.
pub fn run_blocking(mut command: Command, input: Option<&[u8]>, limit: Duration) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
    let writer = child.stdin.take().map(|mut pipe| {
        let bytes = input.unwrap_or_default().to_vec();
        // A program that does not read its input closes the pipe; the caller judges its answer.
        thread::spawn(move || drop(pipe.write_all(&bytes)))
    });
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break Some(status);
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(3));
    };
    let stderr = stderr.join().expect("reading does not panic");
    let stdout = stdout.join().expect("reading does not panic");
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    let Some(status) = status else {
        panic!("{name} took longer than {limit:?}\nstdout: {stdout}\nstderr: {stderr}")
    };
    Output { code: status.code(), stdout, stderr }
}
