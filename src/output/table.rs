//! Columns as kubectl prints them: no borders, three blanks between, numbers to the right.

use unicode_width::UnicodeWidthStr;

use super::theme::{Theme, Tone};

/// The blanks between two columns, as kubectl has them.
const GAP: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a meaning.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

#[derive(Clone, Debug)]
struct Column {
    title: &'static str,
    right: bool,
    /// Whether it may be truncated when the line is too long.
    elastic: bool,
}

/// A table under construction.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn column(mut self, title: &'static str, right: bool, elastic: bool) -> Self {
        self.columns.push(Column { title, right, elastic });
        self
    }

    /// A column of words.
    #[must_use]
    pub(crate) fn words(self, title: &'static str) -> Self {
        self.column(title, false, false)
    }

    /// A column of numbers.
    #[must_use]
    pub(crate) fn numbers(self, title: &'static str) -> Self {
        self.column(title, true, false)
    }

    /// A last column of sentences, truncated at the end of the line.
    #[must_use]
    pub(crate) fn sentence(self, title: &'static str) -> Self {
        self.column(title, false, true)
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// The table as text, every line ended. `width` is that of the terminal, where there is one.
    pub(crate) fn render(&self, theme: Theme, width: Option<usize>) -> String {
        let clean: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| theme.clean(&cell.text)).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.title.width()).collect();
        for row in &clean {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.width());
            }
        }
        self.squeeze(&mut widths, width);
        let mut text = String::new();
        let titles = self.columns.iter().map(|column| (column.title.to_owned(), Tone::Faint));
        self.line(&mut text, titles, &widths, theme);
        for (row, clean) in self.rows.iter().zip(clean) {
            let cells = clean.into_iter().zip(row).map(|(text, cell)| (text, cell.tone));
            self.line(&mut text, cells, &widths, theme);
        }
        text
    }

    /// Truncates the elastic column to the rest of the line, unless that is too short to be read.
    fn squeeze(&self, widths: &mut [usize], width: Option<usize>) {
        let Some(width) = width else { return };
        let Some(elastic) = self.columns.iter().position(|column| column.elastic) else { return };
        let others: usize =
            widths.iter().enumerate().filter(|(at, _)| *at != elastic).map(|(_, width)| width).sum();
        let left = width.saturating_sub(others + GAP * (widths.len() - 1));
        if left >= 20 {
            widths[elastic] = widths[elastic].min(left);
        }
    }

    fn line(
        &self,
        out: &mut String,
        cells: impl Iterator<Item = (String, Tone)>,
        widths: &[usize],
        theme: Theme,
    ) {
        let last = self.columns.len().saturating_sub(1);
        for (at, (text, tone)) in cells.enumerate() {
            let text = cut(&text, widths[at], theme);
            let blank = " ".repeat(widths[at].saturating_sub(text.width()));
            let painted = theme.paint(tone, &text);
            if self.columns[at].right {
                out.push_str(&blank);
                out.push_str(&painted);
            } else {
                out.push_str(&painted);
                if at != last {
                    out.push_str(&blank);
                }
            }
            if at != last {
                out.push_str(&" ".repeat(GAP));
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// A text shortened to this many columns of the terminal; wide letters are never halved.
pub(crate) fn cut(text: &str, width: usize, theme: Theme) -> String {
    use unicode_width::UnicodeWidthChar;
    if text.width() <= width {
        return text.to_owned();
    }
    let ellipsis = theme.symbols().ellipsis;
    let room = width.saturating_sub(ellipsis.width());
    let mut short = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        short.push(letter);
    }
    short.push_str(if width >= ellipsis.width() { ellipsis } else { "" });
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new().words("NAME").numbers("COUNT").sentence("WHY");
        table.row(["节点-1".into(), "10".into(), "because it is so".into()]);
        table.row(["e\u{301}clair\u{1b}[31m".into(), "1,000".into(), "".into()]);
        table
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_letters() {
        insta::assert_snapshot!(table().render(Theme::default(), None).replace('\u{301}', "~"), @r"
            NAME          COUNT   WHY
            节点-1           10   because it is so
            e~clair�[31m   1,000
        ");
    }

    #[test]
    fn ascii_has_no_other_letters() {
        let text = table().render(Theme { color: false, ascii: true }, Some(46));
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(text, @r"
            NAME           COUNT   WHY
            ??-1              10   because it is so
            e?clair?[31m   1,000
        ");
    }

    #[test]
    fn shortening_never_halves_a_letter() {
        assert_eq!(cut("节点节点", 5, Theme::default()), "节点…");
        assert_eq!(cut("节点节点", 4, Theme::default()), "节…");
        assert_eq!(cut("abc", 3, Theme::default()), "abc");
        assert_eq!(cut("abc", 0, Theme::default()), "");
    }
}
