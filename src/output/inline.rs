//! The inline progress: a few lines on stderr that are redrawn in place.
//!
//! It moves relative to its own position. So it never has to ask the terminal for the cursor (an answer would
//! arrive on stdin, and some terminals give none), needs no raw mode (Ctrl-C stays a signal, and a crash
//! leaves nothing to restore), and never hides the cursor.

use std::io::{self, Write};

use super::inline_view::{InlineView, lines};
use super::printer::Printer;
use super::theme::Theme;

/// The size of a terminal, columns and lines.
pub type Size = Box<dyn Fn() -> (u16, u16)>;

/// The inline progress.
pub struct Inline {
    sink: Box<dyn Write>,
    size: Size,
    theme: Theme,
    /// The widths of the lines that are on the terminal now.
    standing: Vec<usize>,
    /// The last drawing, so that nothing is drawn twice.
    last: String,
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inline").field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl Inline {
    /// On stderr, with the theme of the printer's messages.
    pub(crate) fn new(printer: &Printer) -> Self {
        let size = || crossterm::terminal::size().unwrap_or((80, 24));
        Self::to(Box::new(io::stderr()), Box::new(size), printer.talk_theme())
    }

    /// On any stream to a terminal.
    pub fn to(sink: Box<dyn Write>, size: Size, theme: Theme) -> Self {
        Self { sink, size, theme, standing: Vec::new(), last: String::new() }
    }

    /// Draws the present state over the previous one.
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

    /// Prints a line that stays, above the progress.
    pub fn print_line(&mut self, line: &str) {
        self.clear();
        let line = line.trim_end_matches('\n');
        self.write(&format!("{line}\r\n"));
    }

    /// Removes the progress from the terminal; the next [`Inline::draw`] draws it again.
    pub fn clear(&mut self) {
        if !self.standing.is_empty() {
            let (columns, _) = (self.size)();
            let up = self.up(columns);
            self.write(&format!("{up}\u{1b}[J"));
            self.standing.clear();
        }
        self.last.clear();
    }

    /// Ends the progress: the last drawing stays, and later output comes below it.
    pub fn finish(&mut self) {
        self.standing.clear();
        self.last.clear();
    }

    /// The number of lines of the present drawing on a terminal of this width: the terminal may have become
    /// narrower in the meantime, which breaks lines.
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
        // Following continues even if progress cannot be shown.
        let _ = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush());
    }
}
