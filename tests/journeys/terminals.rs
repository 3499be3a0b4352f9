//! On a terminal: the prompt, the inline progress that is redrawn in place, Ctrl-C, colour.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use emqx_sim::scenario::Answer;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::harness::{Cluster, DOCUMENTED, PROGRAM, SLOW, until};

/// The program on a terminal of 100 columns and 30 rows.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Option<Box<dyn Write + Send>>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All bytes that were received, unchanged.
    raw: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    master: Option<Box<dyn MasterPty + Send>>,
}

impl Terminal {
    pub(crate) fn start(demo: &Cluster, arguments: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(arguments.split_whitespace());
        command.env_clear();
        command.cwd(&demo.home);
        for (name, value) in [("TERM", "xterm-256color"), ("TZ", "UTC")].iter().chain(variables) {
            command.env(name, value);
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &demo.home);
        command.env("KUBECONFIG", &demo.kubeconfig);
        Self::of(command)
    }

    /// Any program.
    pub(crate) fn of(command: CommandBuilder) -> Self {
        let size = PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut from = pair.master.try_clone_reader().expect("a reader");
        let keys = pair.master.take_writer().expect("a writer");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(30, 100, 500)));
        let raw: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (shown, kept) = (Arc::clone(&screen), Arc::clone(&raw));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                shown.lock().expect("a lock").process(&buffer[..length]);
                kept.lock().expect("a lock").extend_from_slice(&buffer[..length]);
            }
        });
        let master = Some(pair.master);
        Self { child, keys: Some(keys), screen, raw, reader: Some(reader), master }
    }

    pub(crate) fn shows(&self) -> String {
        self.screen.lock().expect("a lock").screen().contents()
    }

    /// All text that was ever printed.
    fn printed(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().expect("a lock")).into_owned()
    }

    #[track_caller]
    pub(crate) fn until(&self, text: &str) {
        let began = std::time::Instant::now();
        while !self.shows().contains(text) {
            assert!(began.elapsed().as_secs() < 60, "never shown: {text}\n{}", self.shows());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Types a text; queries by the terminal are not answered.
    pub(crate) fn types(&mut self, text: &str) {
        let keys = self.keys.as_mut().expect("it runs");
        keys.write_all(text.as_bytes()).and_then(|()| keys.flush()).expect("it is read");
    }

    /// Waits for the end; returns the exit code and the last screen.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (u32, String) {
        let mut code = None;
        until("its end", || {
            code = self.child.try_wait().expect("a child of ours");
            code.is_some()
        });
        drop(self.keys.take());
        drop(self.master.take());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        let screen = self.screen.lock().expect("a lock");
        let screen = screen.screen();
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert!(!screen.alternate_screen(), "the screen is the user's again");
        assert!(!screen.bracketed_paste() && !screen.application_cursor());
        (code.expect("it ended").exit_code(), screen.contents())
    }
}

/// Starts the program on a terminal that is closed once this text is shown; returns the exit code.
#[track_caller]
pub(crate) fn closed_under(demo: &Cluster, arguments: &str, text: &str) -> u32 {
    let mut command = CommandBuilder::new(PROGRAM);
    command.args(arguments.split_whitespace());
    command.env_clear();
    command.cwd(&demo.home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TERM", "xterm-256color");
    command.env("HOME", &demo.home);
    command.env("KUBECONFIG", &demo.kubeconfig);
    let size = PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let mut from = pair.master.try_clone_reader().expect("a reader");
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains(text) {
        match from.read(&mut buffer) {
            Ok(length @ 1..) => seen.extend_from_slice(&buffer[..length]),
            _ => panic!("never shown: {text}\n{}", String::from_utf8_lossy(&seen)),
        }
    }
    drop(from);
    drop(pair.master);
    let mut code = None;
    until("its end", || {
        code = child.try_wait().expect("a child of ours");
        code.is_some()
    });
    code.expect("it ended").exit_code()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn apply_asks_and_no_is_no() {
    let demo = Cluster::demo("documented", 40);
    for answer in ["n\r", "\r", "\u{4}"] {
        let mut terminal = Terminal::start(&demo, &format!("rebalance apply {DOCUMENTED}"), &[]);
        terminal.until("[y/N]");
        assert!(terminal.shows().contains("2,340 clients"), "{}", terminal.shows());
        terminal.types(answer);
        let (code, screen) = terminal.end();
        assert_eq!(code, 6, "{screen}");
        assert!(screen.contains("nothing was changed"), "{screen}");
    }
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn yes_follows_to_the_verdict_and_restores_the_terminal() {
    let demo = Cluster::demo("documented", 40);
    let mut terminal = Terminal::start(&demo, &format!("rebalance apply --watch {DOCUMENTED}"), &[]);
    terminal.until("[y/N]");
    terminal.types("y\r");
    // The goal and the nodes are redrawn in place.
    terminal.until("goal 2,553 on donors");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("balanced"), "{screen}");
    assert_eq!(screen.matches("goal 2,553").count(), 1, "redrawn in place, not below one another\n{screen}");
    assert_eq!(screen.matches("balanced: ").count(), 1, "{screen}");
    let parser = terminal.screen.lock().expect("a lock");
    assert_eq!(parser.screen().cursor_position().1, 0, "the prompt comes on a line of its own\n{screen}");
    drop(parser);
    assert_eq!(demo.rebalances().len(), 1);
}

#[test]
fn a_read_prints_what_kubernetes_reported_before_emqx_answers() {
    let demo = Cluster::faulty("documented", 40.0);
    for verb in ["status", "nodes"] {
        demo.faults().emqx_answers(Some(Answer::Silence));
        let mut terminal = Terminal::start(&demo, verb, &[]);
        terminal.until("EMQX mq/emqx: 4 of 4 pods ready; waiting for EMQX");
        assert!(!terminal.shows().contains("3,333"), "{verb}: EMQX has not answered\n{}", terminal.shows());
        demo.faults().emqx_answers(None);
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("3,333"), "{verb}: {screen}");
    }
}

#[test]
fn plain_redraws_nothing() {
    let demo = Cluster::demo("documented", 40);
    let arguments = format!("rebalance apply --yes --watch --plain --color never {DOCUMENTED}");
    let mut terminal = Terminal::start(&demo, &arguments, &[]);
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!terminal.printed().contains('\u{1b}'), "{:?}", terminal.printed());
}

#[test]
fn ctrl_c_leaves_it_running_and_reports_it() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    for flags in ["", "--plain"] {
        let mut terminal = Terminal::start(&demo, &format!("rebalance watch {flags}"), &[]);
        terminal.until("evict");
        terminal.types("\u{3}");
        let (code, screen) = terminal.end();
        assert_eq!(code, 130, "{screen}");
        let words: String = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("is still running in the cluster"), "{screen}");
        assert!(words.replace(' ', "").contains(&format!("kubectlemqxrebalancestop{name}")), "{screen}");
    }
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance");
}

#[test]
fn ctrl_c_at_the_question_changes_nothing() {
    let demo = Cluster::demo("documented", 40);
    let interrupted = |arguments: &str| {
        let mut terminal = Terminal::start(&demo, arguments, &[]);
        terminal.until("[y/N]");
        terminal.types("\u{3}");
        let (code, screen) = terminal.end();
        assert_eq!(code, 130, "{arguments}\n{screen}");
        assert!(screen.contains("\nerror: interrupted: nothing was changed"), "{arguments}\n{screen}");
    };
    interrupted(&format!("rebalance apply {DOCUMENTED}"));
    assert_eq!(demo.rebalances(), []);
    interrupted("upgrade apply emqx --image emqx/emqx-enterprise:5.8.7");
    demo.running(SLOW);
    interrupted("rebalance stop");
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance");
}

#[test]
fn colour_is_for_terminals_that_can() {
    let demo = Cluster::demo("documented", 40);
    let printed = |arguments: &str, variables: &[(&str, &str)]| {
        let mut terminal = Terminal::start(&demo, arguments, variables);
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("10,000"), "{screen}");
        terminal.printed()
    };
    assert!(printed("status", &[]).contains("\u{1b}["));
    assert!(!printed("status", &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!printed("status", &[("TERM", "dumb")]).contains('\u{1b}'));
    assert!(!printed("status --color never", &[]).contains('\u{1b}'));
}
