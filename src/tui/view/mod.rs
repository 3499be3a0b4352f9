//! The view: the state in, cells out. It decides nothing and stores nothing.
//!
//! ```text
//!  ┌ head ────────────── what it does, is that good, when is it over ┐
//!  │ table | detail | plan | clusters                                │
//!  │ notices                                                         │
//!  └ foot ─────────────── how old every source is; the keys ─────────┘
//!      help, confirm: over it
//! ```

mod cluster_chart;
mod clusters;
mod columns;
mod confirm;
mod detail;
mod foot;
mod head;
pub(super) mod headline;
mod help;
mod history;
mod node_chart;
mod notices;
mod painter;
mod place;
mod plan;
mod plot;
mod position;
mod table;
mod text;
mod timeline;
mod topology;
mod upgrade;
mod waiting;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::setup::Overlay;
use super::state::{Page, State};
use painter::Painter;
use waiting::board_or_waiting;

/// On a narrower or lower screen everything is in one column.
pub(crate) const NARROW: (u16, u16) = (72, 18);

/// From this width on, the details of the node under the cursor are beside the table.
const ROOMY: usize = 150;

/// Draws everything.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let mut pen = Painter::new(buffer, area, state.theme());
    if pen.width() < 20 || pen.height() < 4 {
        pen.put(0, 0, 20, "too small", crate::output::theme::Tone::Plain);
        return;
    }
    let narrow = area.width < NARROW.0 || area.height < NARROW.1;
    match state.page {
        Page::Clusters => clusters::draw(state, &mut pen, narrow),
        Page::Table => table_page(state, &mut pen, narrow),
        Page::Detail => detail::page(state, &mut pen, narrow),
        Page::Plan => plan::page(state, &mut pen, narrow),
        Page::Topology => topology::page(state, &mut pen, narrow),
        Page::History => history::page(state, &mut pen, narrow),
        Page::Upgrade => upgrade::page(state, &mut pen, narrow),
    }
    match &state.overlay {
        Some(Overlay::Help(top)) => help::draw(state, *top, &mut pen),
        Some(Overlay::Confirm(confirm)) => confirm::draw(state, confirm, &mut pen),
        Some(Overlay::Text(page)) => text::draw(state, page, &mut pen),
        None => {}
    }
}

fn table_page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = board_or_waiting(state, pen, narrow) else { return };
    let top = head::draw(state, board, pen, narrow) + usize::from(!narrow || height > 12);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let mut notices = notices::height(state, height, narrow);
    let mut rows = height.saturating_sub(foot + notices + top);
    let side = if width >= ROOMY && !narrow { 64.min(width * 2 / 5) } else { 0 };
    if state.chart.whole {
        cluster_chart::draw(state, board, &mut pen.part(1, top, width - side - 2, rows));
    } else {
        let left = |rows: usize| rows.saturating_sub(table::height(board, pen.theme) + 1);
        let fitting =
            |rows: usize| if narrow { 0 } else { cluster_chart::height(state, left(rows), width - side) };
        let mut chart = 0;
        // Notices beyond a few do not remove the chart.
        let spare = if state.notices { 0 } else { notices.saturating_sub(notices::FREE_LINES) };
        if let Some(more) = (0..=spare).find(|more| fitting(rows + more) > 0) {
            (notices, rows) = (notices - more, rows + more);
            chart = fitting(rows);
        }
        table::draw(state, board, &mut pen.part(0, top, width - side, rows - chart), narrow);
        if chart > 0 {
            cluster_chart::draw(
                state,
                board,
                &mut pen.part(1, top + rows - chart, width - side - 2, chart - 1),
            );
        }
    }
    if side > 0 {
        let mut beside = pen.part(width - side + 2, top, side - 3, rows);
        detail::beside(state, board, &mut beside);
    }
    let mut low = pen.part(0, height.saturating_sub(foot + notices), width, notices);
    notices::draw(state, &mut low);
}
