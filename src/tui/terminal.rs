//! The terminal: taken over, and restored in every case. After a panic ratatui's hook restores it, which also
//! runs where a panic aborts.

use std::io::{self, Write};

use base64::Engine as _;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture, EventStream};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::DefaultTerminal;
use ratatui::layout::{Position, Rect};

use super::state::State;
use super::view;
use crate::error::Problem;

/// The most bytes that are copied to the clipboard; terminals drop longer texts.
const MAX_CLIPBOARD_BYTES: usize = 70_000;

/// The terminal while the view is open.
pub(super) struct Screen {
    terminal: Option<DefaultTerminal>,
    keys: Option<EventStream>,
    /// Whether the view has set the window's title.
    titled: bool,
    /// Whether the view receives the events of the mouse.
    mouse: bool,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take(mouse: bool) -> Result<Self, Problem> {
        let mut screen = Self { terminal: None, keys: None, titled: false, mouse };
        screen.on()?;
        Ok(screen)
    }

    fn on(&mut self) -> Result<(), Problem> {
        show_the_cursor_on_a_panic();
        let terminal = ratatui::try_init().map_err(|error| lost(&error))?;
        self.terminal = Some(terminal);
        if self.mouse {
            execute!(io::stdout(), EnableMouseCapture).map_err(|error| lost(&error))?;
        }
        self.keys = Some(EventStream::new());
        Ok(())
    }

    fn off(&mut self) {
        self.keys = None;
        if std::mem::take(&mut self.titled) {
            // The previous title is restored (XTWINOPS 23).
            let mut out = io::stdout();
            let _ = write!(out, "\u{1b}[23;2t").and_then(|()| out.flush());
        }
        if self.mouse {
            let _ = execute!(io::stdout(), DisableMouseCapture);
        }
        if self.terminal.take().is_some() {
            // An unreachable terminal cannot be restored.
            let _ = ratatui::try_restore();
        }
    }

    pub(super) fn keys(&mut self) -> Option<&mut EventStream> {
        self.keys.as_mut()
    }

    /// Draws a frame: only cells that changed are written.
    pub(super) fn draw(&mut self, state: &State) -> Result<(), Problem> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        let drawn = terminal.draw(|frame| view::draw(state, frame.area(), frame.buffer_mut()));
        drawn.map(|_| ()).map_err(|error| lost(&error))
    }

    /// Draws the next frame as a whole. ratatui's own `clear` would ask the terminal for its cursor, and the
    /// stream of keys would consume the answer.
    pub(super) fn redraw_all(&mut self) -> Result<(), Problem> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        let whole = terminal.size().and_then(|size| terminal.resize(Rect::from((Position::ORIGIN, size))));
        whole.map_err(|error| lost(&error))
    }

    /// Restores the terminal, stops as the shell expects it, and takes the terminal over when the shell
    /// continues the program (`fg`).
    pub(super) fn suspend(&mut self) -> Result<(), Problem> {
        let _ = execute!(io::stdout(), DisableMouseCapture, Show);
        ratatui::try_restore().map_err(|error| lost(&error))?;
        #[cfg(unix)]
        {
            use rustix::process::{Signal, kill_current_process_group};
            // Stops the whole process group, as Ctrl-Z does. This call returns after SIGCONT.
            let _ = kill_current_process_group(Signal::TSTP);
        }
        self.again()
    }

    /// Takes the terminal over after a stop by this or another process: the shell changed the terminal's
    /// settings in the meantime.
    pub(super) fn again(&mut self) -> Result<(), Problem> {
        // The state that crossterm remembers is wrong: raw mode is switched off first.
        let _ = disable_raw_mode();
        enable_raw_mode().map_err(|error| lost(&error))?;
        execute!(io::stdout(), EnterAlternateScreen, Hide).map_err(|error| lost(&error))?;
        if self.mouse {
            execute!(io::stdout(), EnableMouseCapture).map_err(|error| lost(&error))?;
        }
        self.redraw_all()
    }

    /// Rings the bell and sets the window's title (OSC 2); the previous title is saved (XTWINOPS 22). `title`
    /// has no control characters.
    pub(super) fn alarm(&mut self, title: &str) -> Result<(), Problem> {
        let save = if std::mem::replace(&mut self.titled, true) { "" } else { "\u{1b}[22;2t" };
        let mut out = io::stdout();
        write!(out, "{save}\u{1b}]2;{title}\u{7}\u{7}")
            .and_then(|()| out.flush())
            .map_err(|error| lost(&error))
    }

    /// Copies a text to the clipboard of the terminal (OSC 52), also over ssh.
    pub(super) fn copy(text: &str) -> Result<(), Problem> {
        let mut end = text.len().min(MAX_CLIPBOARD_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text[..end]);
        let mut out = io::stdout();
        write!(out, "\u{1b}]52;c;{encoded}\u{7}").and_then(|()| out.flush()).map_err(|error| lost(&error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.off();
    }
}

/// Restores the cursor after a panic. ratatui's hook leaves the alternate screen and the raw mode; the cursor
/// is restored when the terminal is dropped, which does not happen when a panic aborts.
fn show_the_cursor_on_a_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = execute!(io::stdout(), DisableMouseCapture, Show);
            usual(panic);
        }));
    });
}

/// The problem of a terminal that no longer works.
pub(super) fn lost(error: &io::Error) -> Problem {
    Problem::new("the terminal is lost", error.to_string())
        .hint("--plain writes lines, and needs no terminal")
}
