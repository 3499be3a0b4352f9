//! The operations of the cluster, newest first, with their recorded verdicts.
//!
//! ```text
//!  HISTORY   4 operations
//!    ENDED         VERDICT         OPERATION   TOOK  MOVED  MISSING  STARTED BY    NAME
//!  ▸ running       running         rebalance   1m3s  2,340        0  kubectl-emqx  emqx-20261123-101358
//!    23 Nov 09:52  clientsMissing  rebalance  1m59s      ?      120  ?             evening
//! ```

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use super::{foot, head};
use crate::model::human::{count_or_unknown, duration, plural};
use crate::output::theme::Tone;
use crate::tui::past::PastOperation;
use crate::tui::state::State;

/// A column: its title, its width, and whether it is aligned to the right.
type Column = (&'static str, usize, bool);

/// The columns by their importance: those that do not fit are left out.
const COLUMNS: [Column; 8] = [
    ("ENDED", 12, false),
    ("VERDICT", 15, false),
    ("OPERATION", 10, false),
    ("TOOK", 7, true),
    ("MOVED", 9, true),
    ("MISSING", 9, true),
    ("STARTED BY", 14, false),
    ("NAME", 24, false),
];

/// Draws the page.
pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = super::waiting::board_or_waiting(state, pen, narrow) else { return };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let x = pen.put(1, 1, width, "HISTORY", Tone::Strong) + 2;
    let all = &board.operations;
    let counted = pen.put(x, 1, width, &plural(all.len() as u64, "operation"), Tone::Plain);
    let top = 2 + usize::from(!narrow);
    if all.is_empty() {
        let text =
            "no rebalance, upgrade or evacuation is known: finished Rebalance objects may have been deleted";
        pen.wrapped(1, top, 3, text, Tone::Faint);
        return;
    }
    let mut used = 3;
    let mut columns: Vec<(Column, usize)> = Vec::new();
    for column in COLUMNS {
        if used + column.1 > width && column.0 != "NAME" {
            continue;
        }
        let size = if column.0 == "NAME" { width.saturating_sub(used + 1) } else { column.1 };
        if size >= 8 || column.0 != "NAME" {
            columns.push((column, used));
            used += size + 2;
        }
    }
    for ((title, size, right), x) in &columns {
        if *right {
            pen.right(*x, top, *size, title, Tone::Faint);
        } else {
            pen.put(*x, top, *size, title, Tone::Faint);
        }
    }
    // The reason of the selected operation is below the list.
    let reason = 2;
    let room = height.saturating_sub(top + 1 + foot + reason + 1).max(1);
    state.lines.set(room);
    let cursor = state.past.min(all.len() - 1);
    let first = (cursor + 1).saturating_sub(room);
    let position = super::position::position(first, room.min(all.len()), all.len()).unwrap_or_default();
    pen.right(counted, 1, width.saturating_sub(counted + 1), &position, Tone::Faint);
    for (place, it) in all.iter().enumerate().skip(first).take(room) {
        let y = top + 1 + place - first;
        if place == cursor {
            let now = pen.symbols().now;
            pen.put(1, y, 2, now, Tone::Strong);
        }
        for ((title, size, right), x) in &columns {
            let size = if *title == "NAME" { width.saturating_sub(*x + 1) } else { *size };
            let (text, tone) = cell(title, it, state, place == cursor);
            if *right {
                pen.right(*x, y, size, &text, tone);
            } else {
                pen.put(*x, y, size, &text, tone);
            }
        }
    }
    if let Some(it) = all.get(cursor) {
        let y = (top + 2 + all.len().min(room)).min(height.saturating_sub(foot + reason));
        let mut place = pen.part(1, y, width - 2, reason);
        place.wrapped(
            0,
            0,
            reason,
            &format!("{}: {}: {}", short(&it.name), it.verdict.words(), it.message),
            Tone::Plain,
        );
    }
}

fn cell(title: &str, it: &PastOperation, state: &State, here: bool) -> (String, Tone) {
    let time = |at: Timestamp| {
        let zoned = at.to_zoned(state.setup.zone.clone());
        let today = state.now.to_zoned(state.setup.zone.clone()).date() == zoned.date();
        zoned.strftime(if today { "%H:%M:%S" } else { "%d %b %H:%M" }).to_string()
    };
    match title {
        "ENDED" if it.open => ("running".to_owned(), Tone::Busy),
        "ENDED" => (it.ended.map_or_else(|| "?".to_owned(), time), Tone::Plain),
        "VERDICT" => {
            (it.verdict.as_str().to_owned(), if it.open { Tone::Busy } else { Tone::of(it.verdict) })
        }
        "OPERATION" => (it.operation.as_str().to_owned(), Tone::Plain),
        "TOOK" => (it.seconds(state.now).map_or_else(|| "?".to_owned(), duration), Tone::Plain),
        "MOVED" => (count_or_unknown(it.moved), Tone::Plain),
        // Clients that were just evicted are reconnecting, and not missing.
        "MISSING" if it.open => (String::new(), Tone::Plain),
        "MISSING" => {
            let tone = if it.lost().is_some_and(|lost| lost > 0) { Tone::Warning } else { Tone::Plain };
            (count_or_unknown(it.lost()), tone)
        }
        "STARTED BY" => match &it.started_by {
            Some(manager) => (manager.clone(), Tone::Plain),
            None => ("?".to_owned(), Tone::Faint),
        },
        _ => (short(&it.name), if here { Tone::Strong } else { Tone::Plain }),
    }
}

/// A shortened name: the name of a node is as long as its host name, and the first part is enough.
fn short(name: &str) -> String {
    match name.split_once('@') {
        Some((kind, host)) if name.width() > 40 => {
            let host = host.split('.').next().unwrap_or(host);
            format!("{}{host}", kind.trim_end_matches("emqx"))
        }
        _ => name.to_owned(),
    }
}
