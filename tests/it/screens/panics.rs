//! A panic while the view is shown: the terminal is restored before the process ends.

use std::io::Read as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kubectl_emqx::tui::context::FactSource;
use kubectl_emqx::tui::{self, OpenRecording, Playback, ViewContext, ViewSetup};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::screens::make::{at, setup};

const CHILD: &str = "screens::panics::the_view_of_a_recording_whose_reader_panics";

#[test]
#[ignore = "the process that a_panic_gives_the_terminal_back looks at"]
#[expect(clippy::panic, reason = "the panic is what is tested")]
fn the_view_of_a_recording_whose_reader_panics() {
    // As in a release, in which a panic aborts: nothing is unwound, and no destructor runs.
    std::panic::set_hook(Box::new(|panic| {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "PANIC: {panic}");
        std::process::abort();
    }));
    let open: OpenRecording = Rc::new(|| {
        let began = Instant::now();
        Ok(Box::new(std::iter::from_fn(move || {
            // By then the first frame is on the screen.
            while began.elapsed() < Duration::from_millis(1) {
                std::hint::spin_loop();
            }
            panic!("the reader panics")
        })))
    });
    let playback = Playback { begin: at(0), paused: false, speed: 1.0, over: false };
    let opening = ViewContext {
        setup: ViewSetup { playback: Some(playback), ..setup() },
        from: FactSource::Recording(open),
        timeout: Some(Duration::from_secs(10)),
        interrupt: Box::pin(std::future::pending()),
        judged: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = runtime.block_on(tui::open(opening));
}

#[cfg(unix)]
#[test]
fn a_panic_gives_the_terminal_back() {
    let mut command = CommandBuilder::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("TERM", "xterm-256color");
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut child = pair.slave.spawn_command(command).expect("it starts");
    drop(pair.slave);
    let mut from = pair.master.try_clone_reader().expect("a reader");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..length]);
        }
        bytes
    });
    let status = child.wait().expect("it ends");
    drop(pair.master);
    let bytes = reader.join().expect("a reader");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!status.success() && text.contains("PANIC: "), "{text}");
    assert!(text.contains("\u{1b}[?1049h"), "the view was on the screen: {text:?}");
    let mut parser = vt100::Parser::new(24, 80, 100);
    parser.process(&bytes);
    let screen = parser.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{text:?}");
    // The report is on the user's screen, after the view was removed.
    let off = text.find("\u{1b}[?1049l").expect("the view is taken off");
    assert!(text.find("PANIC: ").is_some_and(|panic| panic > off), "{text:?}");
    assert!(screen.contents().contains("the reader panics"), "{}", screen.contents());
}
