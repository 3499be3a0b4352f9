//! The mouse: the wheel moves the cursor, a click selects a row or sorts by a column.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::input;
use super::setup::Overlay;
use super::state::{Page, State};
use super::view_model::Line;

/// Rows per step of the wheel.
const WHEEL: usize = 3;

/// Handles an event of the mouse; `true` where the view changed.
pub(super) fn mouse(state: &mut State, event: MouseEvent) -> bool {
    match event.kind {
        MouseEventKind::ScrollUp => wheel(state, false),
        MouseEventKind::ScrollDown => wheel(state, true),
        MouseEventKind::Down(MouseButton::Left) => click(state, event.column, event.row),
        _ => false,
    }
}

fn wheel(state: &mut State, down: bool) -> bool {
    let moved = |at: usize, by: usize| if down { at + by } else { at.saturating_sub(by) };
    let last = state.last_top.get();
    match &mut state.overlay {
        Some(Overlay::Help(top)) => *top = moved(*top, WHEEL).min(last),
        Some(Overlay::Text(page)) => {
            // A text that is shown from its end counts the lines below the shown part.
            let by = if down == page.from_end { -3 } else { 3 };
            page.top = page.top.saturating_add_signed(by).min(last);
        }
        // Longer rows: the wheel moves by one.
        None if matches!(state.page, Page::History | Page::Clusters) => {
            input::scroll(state, if down { 1 } else { -1 });
        }
        // A step would choose another value, or another node.
        None if state.page == Page::Plan && !state.form.nodes && !state.notices => return false,
        None if state.page == Page::Detail && !state.notices => return false,
        None => input::scroll(state, if down { 3 } else { -3 }),
        Some(Overlay::Confirm(confirm)) => confirm.top = moved(confirm.top, 1).min(last),
    }
    true
}

fn click(state: &mut State, column: u16, line: u16) -> bool {
    if state.overlay.is_some() || state.chart.whole || state.page != Page::Table {
        return false;
    }
    let hits = state.hits.borrow().clone();
    if column >= hits.right {
        return false;
    }
    if hits.header == Some(line) {
        let Some((_, by)) = hits.columns.iter().find(|(columns, _)| columns.contains(&column)) else {
            return false;
        };
        state.order.reverse = state.order.by == *by && !state.order.reverse;
        state.order.by = *by;
        state.arrange();
        return true;
    }
    let Some(below) = line.checked_sub(hits.rows).map(usize::from).filter(|below| *below < hits.lines) else {
        return false;
    };
    let Some(board) = state.board() else { return false };
    let at = state.top.get() + below;
    if !matches!(board.lines.get(at), Some(Line::Row(_))) {
        return false;
    }
    let before = board.lines[..at].iter().filter(|line| matches!(line, Line::Row(_))).count();
    state.select(before);
    true
}
