//! The built program on a terminal of its own, against the pretend cluster: opened, driven by keys, left in every way; and
//! the terminal whole afterwards.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-emqx");

/// Every wait has a limit; the machine may be busy.
const LIMIT: Duration = Duration::from_mins(1);

/// A pretend cluster of its own.
struct Cluster {
    child: Child,
    kubeconfig: String,
}

impl Cluster {
    fn serve(scenario: &str, speed: &str) -> Self {
        let mut child = Command::new(PROGRAM)
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
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program on a terminal.
struct Session {
    screen: vt100::Parser,
    bytes: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _pty: Box<dyn portable_pty::MasterPty + Send>,
}

impl Session {
    fn open(kubeconfig: &str, arguments: &[&str]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(arguments);
        command.env("KUBECONFIG", kubeconfig);
        command.env("TERM", "xterm-256color");
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
        Self { screen: vt100::Parser::new(24, 80, 0), bytes, keys, child, _pty: pty.master }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen says so.
    fn sees(&mut self, what: &str) {
        self.until(what, |text| text.contains(what));
    }

    fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !is(&self.text()) {
            assert!(begin.elapsed() < LIMIT, "waited for {what}:\n{}", self.text());
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
                self.screen.process(&bytes);
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the keys are sent");
    }

    fn signal(&self, name: &str) {
        let number = self.child.process_id().expect("it runs").to_string();
        let sent = Command::new("kill").args([name, &number]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end; the terminal is as it was.
    fn ends(mut self, exit: u32) -> String {
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

#[test]
fn opened_filtered_planned_applied_watched_and_left() {
    let cluster = Cluster::serve("documented", "20");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven: 3 nodes hold everything");
    view.types("/-3\r");
    view.until("one row", |text| text.contains("/-3") && !text.contains("f5c8-0"));
    view.types("\u{1b}");
    view.sees("f5c8-0");
    view.types("p");
    view.sees("PLAN");
    view.types("10\r");
    view.types("j100\rjj10\rj10\r");
    view.sees("78 rounds");
    view.types("a");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("REBALANCING");
    view.sees("BALANCED");
    view.types("q");
    view.ends(0);
}

#[test]
fn a_running_one_is_stopped_after_a_typed_word() {
    let cluster = Cluster::serve("documented", "5");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    view.types("p10\rj100\rjj10\rj10\ra");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("evicting 30 clients a second");
    view.types("x");
    view.sees("Type emqx and press Enter");
    view.types("emqx\r");
    view.sees("STOPPED");
    view.types("q");
    view.ends(0);
}

#[test]
fn ctrl_c_and_signals_leave_a_whole_terminal() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    view.types("\u{3}");
    let said = view.ends(130);
    assert!(said.contains("interrupted"), "{said}");
    for signal in ["-TERM", "-HUP", "-INT"] {
        let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
        view.sees("uneven");
        view.signal(signal);
        view.ends(130);
    }
}

#[test]
fn ctrl_z_and_ctrl_l_draw_the_whole_screen_again() {
    let cluster = Cluster::serve("documented", "1");
    let mut view = Session::open(&cluster.kubeconfig, &["watch"]);
    view.sees("uneven");
    // Without a shell that could say `fg` the kernel lets nobody stop: the terminal is given back and taken again.
    view.types("\u{1a}");
    view.types("?");
    view.sees("KEYS");
    view.types("\u{1b}\u{c}/");
    view.sees("filter:");
    view.sees("uneven");
    // Esc and a letter in one breath are Alt and that letter, for a terminal.
    view.types("\u{1b}");
    view.until("the filter's end", |text| !text.contains("filter:"));
    view.types("q");
    view.ends(0);
}

#[test]
fn a_recording_is_paused_stepped_and_jumped() {
    let file =
        format!("{}/tests/data/recorded/v2beta1-rebalance-operator-2.2.jsonl", env!("CARGO_MANIFEST_DIR"));
    let mut view = Session::open("/nowhere", &["replay", &file, "--speed", "20"]);
    view.sees("REBALANCING");
    view.types(" ");
    view.sees("PAUSED");
    view.types("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    view.until("its beginning", |text| !text.contains("REBALANCING"));
    view.types("llllllllllllllllllll");
    view.sees("BALANCED");
    view.types("q");
    view.ends(0);
}

#[test]
fn the_demo_opens_on_a_running_rebalance() {
    let mut view = Session::open("/nowhere", &["demo"]);
    view.sees("REBALANCING");
    view.types("q");
    view.ends(0);
}
