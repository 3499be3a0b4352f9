//! The columns of the table: which of them fit, and their positions.

use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use crate::model::human::count;
use crate::tui::rows::Row;
use crate::tui::sort::SortBy;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// The content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    Order,
    Role,
    Set,
    Ready,
    Serving,
    State,
    Connections,
    Bar,
    Rate,
    Sessions,
    Share,
    Note,
    Memory,
    Version,
    Spark,
}

/// The order from left to right.
const PLACES: [Kind; 16] = [
    Kind::Node,
    Kind::Order,
    Kind::Role,
    Kind::Set,
    Kind::Ready,
    Kind::Serving,
    Kind::State,
    Kind::Connections,
    Kind::Bar,
    Kind::Rate,
    Kind::Sessions,
    Kind::Share,
    Kind::Note,
    Kind::Memory,
    Kind::Version,
    Kind::Spark,
];

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) kind: Kind,
    pub(super) x: usize,
    pub(super) width: usize,
}

/// Blanks between two columns.
const CELL_GAP: usize = 2;

/// The columns that fit, and their positions.
pub(super) fn columns(state: &State, board: &ViewModel, pen: &Painter<'_>, narrow: bool) -> Vec<Column> {
    let widths = &board.widths;
    let number = |of: fn(&Row) -> Option<u64>| {
        let unsure = usize::from(board.unsure.is_some());
        board.rows.iter().filter_map(of).max().map_or(1, |most| count(most).width() + unsure)
    };
    let connections = number(|row| row.connections).max(if narrow { 11 } else { 5 });
    let sessions = number(|row| row.sessions).max(8);
    let all = state.wide || pen.width() >= 120;
    let name = widths.name.clamp(4, if all { 64 } else { 28 });
    let wanted: &[(Kind, usize, bool)] = &[
        (Kind::Node, name, true),
        (Kind::Connections, connections, true),
        (Kind::State, widths.state.clamp(5, 26), widths.state > 0),
        (Kind::Rate, 6, true),
        (Kind::Sessions, sessions, true),
        (Kind::Bar, if board.upgrading { 8 } else { 10 }, !narrow),
        (Kind::Note, widths.note.min(24), widths.note > 0 && !narrow),
        (Kind::Order, 4, board.upgrading),
        (Kind::Spark, 7, !narrow),
        (Kind::Serving, widths.service.max(6), !narrow),
        (Kind::Ready, 5, !narrow && widths.unhealthy),
        (Kind::Share, 5, !narrow),
        (Kind::Version, widths.version.max(7), widths.versions),
        (Kind::Role, 9, widths.roles || all),
        (Kind::Memory, 7, all),
        (Kind::Version, widths.version.max(7), all && !widths.versions),
        (Kind::Set, widths.set.clamp(3, 40), all),
    ];
    // The column by which the rows are sorted stays visible.
    let mut wanted = wanted.to_vec();
    wanted[1..].sort_by_key(|(kind, ..)| !sort_of(*kind).is_some_and(|it| sorted(state, it)));
    let room = pen.width().saturating_sub(4);
    let mut used = 0;
    let mut chosen: Vec<(Kind, usize)> = Vec::new();
    for (kind, width, request) in &wanted {
        // The mark of the sort order always has its space.
        let width = if sort_of(*kind).is_some_and(|it| sorted(state, it)) {
            (*width).max(title_of(*kind, pen.theme.ascii).width() + 1)
        } else {
            *width
        };
        let need = width
            + if chosen.is_empty() {
                0
            } else if *kind == Kind::Bar {
                1
            } else {
                CELL_GAP
            };
        if *request && used + need <= room {
            used += need;
            chosen.push((*kind, width));
        }
    }
    // The remaining width makes bars and sparklines easier to read.
    let mut left = room - used;
    for (kind, most) in [(Kind::Bar, 32), (Kind::Spark, 24), (Kind::Bar, 48), (Kind::Spark, 40)] {
        if let Some((_, width)) = chosen.iter_mut().find(|(it, _)| *it == kind) {
            let more = left.min(most.max(*width) - *width);
            *width += more;
            left -= more;
        }
    }
    let mut x = 3;
    let mut columns = Vec::new();
    for kind in PLACES {
        if let Some((_, width)) = chosen.iter().find(|(it, _)| *it == kind) {
            if !columns.is_empty() {
                x += if kind == Kind::Bar { 1 } else { CELL_GAP };
            }
            columns.push(Column { kind, x, width: *width });
            x += width;
        }
    }
    columns
}

pub(super) fn sort_of(kind: Kind) -> Option<SortBy> {
    Some(match kind {
        Kind::Node => SortBy::Name,
        Kind::Role => SortBy::Role,
        Kind::Set => SortBy::Set,
        Kind::Ready => SortBy::Ready,
        Kind::Serving => SortBy::Serving,
        Kind::State => SortBy::State,
        Kind::Connections => SortBy::Connections,
        Kind::Rate => SortBy::Rate,
        Kind::Sessions => SortBy::Sessions,
        Kind::Memory => SortBy::Memory,
        Kind::Version => SortBy::Version,
        Kind::Order | Kind::Bar | Kind::Share | Kind::Note | Kind::Spark => return None,
    })
}

/// Whether the rows are in the order of this column, other than by default.
pub(super) fn sorted(state: &State, column: SortBy) -> bool {
    column == state.order.by && (state.order.by != SortBy::Name || state.order.reverse)
}

/// The title of a column; empty where there is none.
pub(super) fn title_of(kind: Kind, ascii: bool) -> &'static str {
    match kind {
        Kind::Node => "NODE",
        Kind::Order => "GOES",
        Kind::Role => "ROLE",
        Kind::Set => "SET",
        Kind::Ready => "READY",
        Kind::Serving => "IN SVC",
        Kind::State => "STATE",
        Kind::Connections => "CONNECTIONS",
        Kind::Bar | Kind::Note => "",
        Kind::Rate if ascii => "+-/s",
        Kind::Rate => "± /s",
        Kind::Sessions => "SESSIONS",
        Kind::Share => "SHARE",
        Kind::Memory => "MEMORY",
        Kind::Version => "VERSION",
        Kind::Spark => "3 MIN",
    }
}
