//! Where the mouse can click. The view records the positions when it draws.

use std::ops::Range;

use super::sort::SortBy;

/// The positions in the table, in cells of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickTargets {
    /// The line of the titles.
    pub header: Option<u16>,
    /// The columns that can be sorted by.
    pub columns: Vec<(Range<u16>, SortBy)>,
    /// The first line of rows.
    pub rows: u16,
    /// The number of lines for rows.
    pub lines: usize,
    /// The first column after the table.
    pub right: u16,
}
