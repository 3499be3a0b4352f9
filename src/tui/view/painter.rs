//! The painter: every text is drawn through it, sanitised and truncated to its width, so that no name from
//! the cluster can break a column or reach the terminal as an escape sequence.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::output::table::cut;
use crate::output::theme::{Symbols, Theme, Tone};

/// Draws on a part of the screen; positions are relative to its corner.
pub(super) struct Painter<'a> {
    /// The screen.
    pub(super) buffer: &'a mut Buffer,
    /// The part.
    pub(super) area: Rect,
    /// The colours and symbols.
    pub(super) theme: Theme,
}

impl<'a> Painter<'a> {
    /// A painter for a part of the screen.
    pub(super) fn new(buffer: &'a mut Buffer, area: Rect, theme: Theme) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, theme }
    }

    /// The columns.
    pub(super) fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    /// The lines.
    pub(super) fn height(&self) -> usize {
        usize::from(self.area.height)
    }

    pub(super) fn symbols(&self) -> Symbols {
        self.theme.symbols()
    }

    /// The style of a tone; nothing where there is no colour.
    pub(super) fn style(&self, tone: Tone) -> Style {
        if self.theme.color { tone.ratatui() } else { Style::new() }
    }

    pub(super) fn part(&mut self, x: usize, y: usize, width: usize, height: usize) -> Painter<'_> {
        let place = Rect::new(
            self.area.x.saturating_add(narrow(x)),
            self.area.y.saturating_add(narrow(y)),
            narrow(width),
            narrow(height),
        );
        let area = place.intersection(self.area);
        Painter { buffer: &mut *self.buffer, area, theme: self.theme }
    }

    /// Draws a text at a position, at most `width` columns; returns the column after it.
    pub(super) fn put(&mut self, x: usize, y: usize, width: usize, text: &str, tone: Tone) -> usize {
        let room = width.min(self.width().saturating_sub(x));
        if y >= self.height() || room == 0 || text.is_empty() {
            return x;
        }
        let clean = self.clean(text);
        let text = if clean.width() > room { shortened(&clean, room, self.theme) } else { clean };
        let style = self.style(tone);
        let (column, line) = (self.area.x + narrow(x), self.area.y + narrow(y));
        let (end, _) = self.buffer.set_stringn(column, line, &text, room, style);
        usize::from(end - self.area.x)
    }

    /// Sanitises a text; most texts need no change, and are not checked letter by letter twice.
    fn clean(&self, text: &str) -> String {
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return text.to_owned();
        }
        self.theme.clean(text)
    }

    /// Draws words one after another.
    pub(super) fn words(&mut self, mut x: usize, y: usize, words: &[(&str, Tone)]) -> usize {
        for (text, tone) in words {
            let room = self.width().saturating_sub(x);
            x = self.put(x, y, room, text, *tone);
        }
        x
    }

    /// Draws a text that ends before column `x + width`.
    pub(super) fn right(&mut self, x: usize, y: usize, width: usize, text: &str, tone: Tone) {
        let clean = self.clean(text);
        let own = clean.width().min(width);
        self.put(x + width - own, y, own, &clean, tone);
    }

    /// Draws a text on as many lines as it needs, at most `most`; returns the line after it.
    pub(super) fn wrapped(&mut self, x: usize, y: usize, most: usize, text: &str, tone: Tone) -> usize {
        let width = self.width().saturating_sub(x);
        // A text that the area cannot hold ends with an ellipsis in its last line.
        let most = most.min(self.height().saturating_sub(y));
        let mut parts = wrap(&self.clean(text), width);
        if parts.len() > most && most > 0 {
            // The last line has the rest, and `put` shortens it.
            let rest = parts.split_off(most - 1).join(" ");
            parts.push(rest);
        }
        let mut line = y;
        for part in parts.into_iter().take(most) {
            self.put(x, line, width, &part, tone);
            line += 1;
        }
        line
    }
}

/// The narrowest width in which a text is shortened after a whole word.
pub(super) const SENTENCE: usize = 16;

/// The longest part of a word that is omitted with it.
const WORD: usize = 14;

/// Shortens a text that is too long for its width: a sentence after a whole word, a name anywhere.
fn shortened(text: &str, room: usize, theme: Theme) -> String {
    let short = cut(text, room, theme);
    let ellipsis = theme.symbols().ellipsis;
    let body = short.strip_suffix(ellipsis).unwrap_or(&short);
    match body.rfind(' ') {
        Some(blank) if room >= SENTENCE && body[blank..].width() <= WORD => {
            format!("{}{ellipsis}", &body[..=blank])
        }
        _ => short,
    }
}

/// Breaks a text at blanks, and words that are longer than a line at its end.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace().flat_map(|word| pieces(word, width)) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A word in pieces of at most `width` columns.
fn pieces(word: &str, width: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), word);
    while rest.width() > width.max(8) {
        let mut used = 0;
        let fits = |(_, letter): &(usize, char)| {
            used += unicode_width::UnicodeWidthChar::width(*letter).unwrap_or(0);
            used <= width.max(8)
        };
        let end =
            rest.char_indices().take_while(fits).last().map_or(0, |(at, letter)| at + letter.len_utf8());
        if end == 0 {
            break;
        }
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

/// A column or a line of the terminal; there are never more.
pub(super) fn narrow(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// A bar of `width` cells: `value` of `scale`, with a mark at `goal`. For a node that held `start` before,
/// the lost part is light and the gained part is grey.
pub(super) fn bar(
    width: usize,
    value: u64,
    scale: u64,
    start: Option<u64>,
    goal: Option<u64>,
    theme: Theme,
) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if width == 0 {
        return String::new();
    }
    let scale = scale.max(1) as f64;
    let eighths = ((value as f64 / scale).min(1.0) * width as f64 * 8.0).round() as usize;
    let (full, rest) = (eighths / 8, eighths % 8);
    let symbols = theme.symbols();
    let mut cells: Vec<char> = Vec::with_capacity(width);
    let block = symbols.full.chars().next().unwrap_or('#');
    for cell in 0..width {
        cells.push(match cell.cmp(&full) {
            std::cmp::Ordering::Less => block,
            std::cmp::Ordering::Equal if theme.ascii => {
                if rest >= 4 || (value > 0 && full == 0) {
                    block
                } else {
                    ' '
                }
            }
            std::cmp::Ordering::Equal if value > 0 && full == 0 => EIGHTHS[rest.max(1)],
            std::cmp::Ordering::Equal => EIGHTHS[rest],
            std::cmp::Ordering::Greater => ' ',
        });
    }
    if let Some(start) = start {
        let (gone, came) = if theme.ascii { ('.', '+') } else { ('░', '▒') };
        let began = ((start as f64 / scale).min(1.0) * width as f64).round() as usize;
        for (place, cell) in cells.iter_mut().enumerate() {
            if place < began && *cell == ' ' {
                *cell = gone;
            } else if place >= began && *cell == block {
                *cell = came;
            }
        }
    }
    if let Some(goal) = goal {
        let place = ((goal as f64 / scale).min(1.0) * width as f64).floor() as usize;
        cells[place.min(width - 1)] = symbols.goal.chars().next().unwrap_or('|');
    }
    cells.into_iter().collect()
}

/// A sparkline: one cell a value, as a part of `scale`.
pub(super) fn spark(values: &[Option<u64>], scale: u64, theme: Theme) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const LETTERS: [char; 8] = ['_', '.', ',', '-', '=', '+', '*', '#'];
    let levels = if theme.ascii { LETTERS } else { BLOCKS };
    values
        .iter()
        .map(|value| match value {
            None => ' ',
            Some(value) => {
                let part = (*value as f64 / scale.max(1) as f64).min(1.0);
                levels[(part * 7.0).round() as usize]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Theme = Theme { color: false, ascii: false };
    const ASCII: Theme = Theme { color: false, ascii: true };

    #[test]
    fn a_bar_is_as_wide_as_its_place_and_carries_the_mark() {
        assert_eq!(bar(8, 4, 8, None, None, PLAIN), "████    ");
        assert_eq!(bar(8, 8, 8, None, Some(4), PLAIN), "████╎███");
        assert_eq!(bar(8, 1, 1000, None, None, PLAIN), "▏       ", "one client is not none");
        assert_eq!(bar(8, 0, 8, None, Some(8), ASCII), "       |");
        assert_eq!(bar(4, 3, 4, None, None, ASCII), "### ");
    }

    #[test]
    fn a_bar_shows_what_left_and_what_arrived_since_the_start() {
        assert_eq!(bar(8, 4, 8, Some(7), None, PLAIN), "████░░░ ");
        assert_eq!(bar(8, 6, 8, Some(2), None, PLAIN), "██▒▒▒▒  ");
        assert_eq!(bar(8, 0, 8, Some(8), None, ASCII), "........", "an empty node is all gone");
        assert_eq!(bar(8, 4, 8, Some(4), None, ASCII), "####    ");
    }

    #[test]
    fn a_sentence_that_is_too_long_ends_after_a_whole_word_and_a_name_anywhere() {
        let text = "donors hold 3,333 connections on average, the recipient 0";
        assert_eq!(shortened(text, 40, PLAIN), "donors hold 3,333 connections on …");
        assert_eq!(shortened(text, 30, ASCII), "donors hold 3,333 ..");
        assert_eq!(shortened("emqx-core-66c88f5c8-0 of mq", 12, PLAIN), "emqx-core-6…");
    }

    #[test]
    fn a_word_longer_than_a_line_is_wrapped_and_not_shortened() {
        let text = "stop coordinator/emqx@emqx-core-0.emqx-headless.mq";
        let lines = wrap(text, 20);
        assert!(lines.iter().all(|line| line.width() <= 20), "{lines:?}");
        assert_eq!(lines.concat(), text.replace(' ', ""));
        assert_eq!(wrap("节点节点节点", 8), ["节点节点", "节点"]);
    }

    #[test]
    fn a_hostile_name_stays_in_its_column() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        let mut pen = Painter::new(&mut buffer, Rect::new(0, 0, 20, 1), PLAIN);
        pen.put(0, 0, 6, "节点节点节点\u{1b}[31m", Tone::Plain);
        pen.put(7, 0, 5, "e\u{301}\u{202e}abcdef", Tone::Plain);
        pen.put(13, 0, 10, "end", Tone::Plain);
        let cell = |x: u16| buffer[(x, 0)].symbol().to_owned();
        assert_eq!((cell(0), cell(2), cell(4)), ("节".into(), "点".into(), "…".into()));
        assert_eq!((cell(7), cell(13)), ("e\u{301}".into(), "e".into()));
    }
}
