//! The notices, newest first; Tab makes the pane larger, and the keys scroll it.
//!
//! ```text
//!  10:14:19  operator reports Failed ("EMQX emqx is not ready"); EMQX continues
//!  10:13:58  created rebalance.apps.emqx.io/emqx-20261123-101358
//! ```

use super::painter::Painter;
use crate::model::human::clock;
use crate::output::theme::Tone;
use crate::plan::happened::Happened;
use crate::tui::state::State;

/// The lines that stay free for later notices, so that the first ones do not move the page.
pub(super) const FREE_LINES: usize = 4;

/// The lines of the pane on a screen of this height.
pub(super) fn height(state: &State, height: usize, narrow: bool) -> usize {
    let has = state.here().map_or(0, |cluster| cluster.log.len());
    if state.notices {
        return (height / 2).max(3);
    }
    let most = match height {
        0..14 => 0,
        14..18 => 1,
        18..22 => 2,
        22..30 => 4,
        30..45 => 7,
        _ => 12,
    };
    // Lines that no notice needs are used for nodes.
    if narrow { most.min(2) } else { most.min(has.max(FREE_LINES)) }
}

/// Draws the pane.
pub(super) fn draw(state: &State, pen: &mut Painter<'_>) {
    let Some(cluster) = state.here() else { return };
    let height = pen.height();
    let mut y = 0;
    if state.notices {
        let more = if state.back > 0 { format!(", {} newer ones above", state.back) } else { String::new() };
        let text = format!("NOTICES ({}{more})  Tab back", cluster.log.len());
        let width = pen.width();
        pen.put(1, 0, width, &text, Tone::Strong);
        y = 1;
    }
    for entry in cluster.log.newest(state.shown_at()).skip(state.back) {
        if y >= height {
            break;
        }
        let x = pen.put(1, y, 10, &clock(entry.at, &state.setup.zone), Tone::Faint) + 2;
        let text = match entry.since {
            None => entry.text.clone(),
            Some(Happened::At(since)) => format!("since {}: {}", clock(since, &state.setup.zone), entry.text),
            Some(Happened::Before(_)) if entry.ended => format!("ended earlier: {}", entry.text),
            Some(Happened::Before(_)) => format!("began earlier: {}", entry.text),
        };
        if state.notices {
            let width = pen.width();
            let mut place = pen.part(x, y, width.saturating_sub(x + 1), height - y);
            y += place.wrapped(0, 0, 3, &text, entry.tone).max(1);
        } else {
            let width = pen.width();
            pen.put(x, y, width.saturating_sub(x + 1), &text, entry.tone);
            y += 1;
        }
    }
}
