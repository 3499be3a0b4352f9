//! The program on a terminal of its own, and a simulated cluster for it: for tests and measurements. The user
//! of this module names the program in `super::program`.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// Every wait has a limit; the machine may be busy.
const LIMIT: Duration = Duration::from_mins(1);

/// A simulated cluster for one session.
pub(crate) struct Cluster {
    pub(crate) child: Child,
    pub(crate) kubeconfig: String,
}

impl Cluster {
    pub(crate) fn serve(scenario: &str, speed: &str) -> Self {
        let mut child = Command::new(super::program())
            .args(["demo", "serve", scenario, "--speed", speed])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").expect("a kubeconfig").to_owned();
        Self { child, kubeconfig }
    }
}

impl Drop for Cluster {
    /// Removes the folder that a demo which is killed leaves behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let file = Path::new(&self.kubeconfig);
        let _ = std::fs::remove_file(file);
        let _ = file.parent().map(std::fs::remove_dir);
    }
}

/// The program on a terminal.
pub(crate) struct Session {
    screen: vt100::Parser,
    bytes: Receiver<Vec<u8>>,
    /// Bytes that the program has written so far.
    received: usize,
    keys: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    pty: Box<dyn portable_pty::MasterPty + Send>,
}

impl Session {
    /// On a screen of 80 x 24.
    pub(crate) fn open(kubeconfig: &str, arguments: &[&str]) -> Self {
        Self::sized(kubeconfig, arguments, 80, 24)
    }

    pub(crate) fn sized(kubeconfig: &str, arguments: &[&str], cols: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(super::program());
        command.args(arguments);
        Self::of(command, kubeconfig, cols, rows)
    }

    /// A shell with job control, in which the program is started by typing its path.
    pub(crate) fn shell(kubeconfig: &str) -> Self {
        let mut command = CommandBuilder::new("/bin/sh");
        command.arg("-i");
        command.env("PS1", "$ ");
        command.env_remove("ENV");
        Self::of(command, kubeconfig, 80, 24)
    }

    fn of(mut command: CommandBuilder, kubeconfig: &str, cols: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a pty");
        command.env("KUBECONFIG", kubeconfig);
        command.env("TERM", "xterm-256color");
        // Nothing is written to the home folder of the user who runs the tests.
        command.env("KUBECTL_EMQX_NO_HISTORY", "true");
        command.env_remove("NO_COLOR");
        let child = pty.slave.spawn_command(command).expect("the program starts");
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().expect("a reader");
        let keys = pty.master.take_writer().expect("a writer");
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 || send.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { screen: vt100::Parser::new(rows, cols, 0), bytes, received: 0, keys, child, pty: pty.master }
    }

    pub(crate) fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Bytes that were read in [`Self::listen`].
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Reads output until this time; returns when output arrived first.
    pub(crate) fn listen(&mut self, until: Instant) -> Option<Instant> {
        let mut first = None;
        while let Ok(bytes) = self.bytes.recv_timeout(until.saturating_duration_since(Instant::now())) {
            first.get_or_insert_with(Instant::now);
            self.received += bytes.len();
            self.screen.process(&bytes);
        }
        first
    }

    /// Reads output until the screen is as described, but no longer than until this time. Returns when the output arrived that
    /// made it so.
    pub(crate) fn shows(&mut self, until: Instant, is: impl Fn(&str) -> bool) -> Option<Instant> {
        while let Ok(bytes) = self.bytes.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let arrived = Instant::now();
            self.received += bytes.len();
            self.screen.process(&bytes);
            if is(&self.text()) {
                return Some(arrived);
            }
        }
        None
    }

    /// Waits until the screen shows this text.
    pub(crate) fn sees(&mut self, what: &str) {
        self.until(what, |text| text.contains(what));
    }

    pub(crate) fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !is(&self.text()) {
            assert!(begin.elapsed() < LIMIT, "waited for {what}:\n{}", self.text());
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
                self.screen.process(&bytes);
            }
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the keys are sent");
    }

    /// Changes the size of the terminal's window.
    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.screen.screen_mut().set_size(rows, cols);
        self.pty.resize(size).expect("a size");
    }

    /// A button of the mouse (0 is the left one, 64 and 65 are the wheel) over the first place of this text.
    pub(crate) fn mouse(&mut self, button: u8, over: &str) {
        let text = self.text();
        let place = text.lines().zip(1..).find_map(|(line, y)| Some((line.split_once(over)?.0, y)));
        let (before, y) = place.expect("the text is on the screen");
        let x = before.chars().count() + 1;
        self.types(&format!("\u{1b}[<{button};{x};{y}M"));
    }

    /// Whether the program gets the events of the mouse.
    pub(crate) fn has_mouse(&self) -> bool {
        self.screen.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Whether the program shows the full screen.
    pub(crate) fn taken(&self) -> bool {
        self.screen.screen().alternate_screen()
    }

    pub(crate) fn signal(&self, name: &str) {
        let number = self.pid().to_string();
        let sent = Command::new("kill").args([name, &number]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end; checks that the terminal is restored.
    pub(crate) fn ends(mut self, exit: u32) -> String {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(begin.elapsed() < LIMIT, "it does not end:\n{}", self.text());
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(50)) {
                self.screen.process(&bytes);
            }
        };
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(500)) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the first screen is back");
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert_eq!(status.exit_code(), exit, "{}", screen.contents());
        screen.contents()
    }
}
