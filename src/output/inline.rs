//! The small progress: a few lines on stderr that are redrawn in place.
//!
//! It moves relatively to where it stands, so it never has to ask the terminal for the cursor (an answer would come in
//! through stdin, and some terminals give none), needs no raw mode (Ctrl-C stays a signal, and a crash leaves nothing
//! to restore), and never hides the cursor.

use std::io::{self, Write};

use super::inline_view::{InlineView, lines};
use super::printer::Printer;
use super::theme::Theme;

/// The size of a terminal, columns and lines.
pub type Size = Box<dyn Fn() -> (u16, u16)>;

/// The small progress.
pub struct Inline {
    sink: Box<dyn Write>,
    size: Size,
    theme: Theme,
    /// The widths of the lines that stand on the terminal now.
    standing: Vec<usize>,
    /// What was drawn last, to draw nothing twice.
    last: String,
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inline").field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl Inline {
    /// On stderr, looking as the printer's talk does.
    pub fn new(printer: &Printer) -> Self {
        let size = || crossterm::terminal::size().unwrap_or((80, 24));
        Self::to(Box::new(io::stderr()), Box::new(size), printer.talk_theme())
    }

    /// On any stream of a terminal.
    pub fn to(sink: Box<dyn Write>, size: Size, theme: Theme) -> Self {
        Self { sink, size, theme, standing: Vec::new(), last: String::new() }
    }

    /// Draws what is now, over what was.
    pub fn draw(&mut self, view: &InlineView) {
        let (columns, rows) = (self.size)();
        // The last column stays free: a letter there may wrap. The last line stays free: the cursor rests on it.
        let (width, height) = (usize::from(columns.max(2)) - 1, usize::from(rows.max(2)) - 1);
        let lines = lines(view, width, height, self.theme);
        let mut snapshot = String::new();
        for line in &lines {
            snapshot.push_str(&line.ansi(self.theme));
            // Erase what an older, longer line left.
            snapshot.push_str("\u{1b}[K\r\n");
        }
        let widths: Vec<usize> = lines.iter().map(super::inline_view::InlineLine::width).collect();
        if snapshot == self.last && self.rows(columns) == self.standing.len() {
            return;
        }
        let up = self.up(columns);
        self.write(&format!("{up}{snapshot}\u{1b}[J"));
        self.standing = widths;
        self.last = snapshot;
    }

    /// Says a line that stays, above the progress.
    pub fn say(&mut self, line: &str) {
        self.clear();
        let line = line.trim_end_matches('\n');
        self.write(&format!("{line}\r\n"));
    }

    /// Takes the progress off the terminal; the next [`Inline::draw`] puts it back.
    pub fn clear(&mut self) {
        if !self.standing.is_empty() {
            let (columns, _) = (self.size)();
            let up = self.up(columns);
            self.write(&format!("{up}\u{1b}[J"));
            self.standing.clear();
        }
        self.last.clear();
    }

    /// The end: what was drawn last stays, and what is written next comes below it.
    pub fn finish(&mut self) {
        self.standing.clear();
        self.last.clear();
    }

    /// The lines that what stands now takes on a terminal of this width: it may have become narrower meanwhile, and
    /// then lines were broken.
    fn rows(&self, columns: u16) -> usize {
        let columns = usize::from(columns.max(1));
        self.standing.iter().map(|width| width.div_ceil(columns).max(1)).sum()
    }

    fn up(&self, columns: u16) -> String {
        match self.rows(columns) {
            0 => String::new(),
            rows => format!("\r\u{1b}[{rows}A"),
        }
    }

    fn write(&mut self, text: &str) {
        // Progress that cannot be shown is no reason to stop following.
        let _ = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush());
    }
}
