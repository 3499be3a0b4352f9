//! A question that wants a word typed: nothing that disconnects clients is one key away.
//!
//! ```text
//! ────────────────────────────────────────────────
//!   Disconnects 2,340 clients of EMQX mq/emqx over 98s, through a Rebalance object.
//!   Type emqx and press Enter: em_                         Esc leaves it
//! ────────────────────────────────────────────────
//! ```

use super::help::window;
use super::pen::{Painter, wrap};
use crate::output::theme::Tone;
use crate::tui::state::Confirm;

/// Draws it over the page.
pub(super) fn draw(confirm: &Confirm, pen: &mut Painter<'_>) {
    let width = pen.width().min(100);
    let says: Vec<(String, Tone)> = confirm
        .says
        .iter()
        .flat_map(|text| {
            let tone = if text.starts_with('!') { Tone::Warning } else { Tone::Plain };
            wrap(text, width - 4).into_iter().map(move |line| (line, tone))
        })
        .collect();
    let height = (says.len() + 5).min(pen.height());
    let y = (pen.height() - height) / 2;
    let mut place = window(pen, y, height);
    let room = height.saturating_sub(5);
    for (line, (text, tone)) in says.into_iter().take(room).enumerate() {
        place.put(2, 1 + line, width - 4, &text, tone);
    }
    let y = height.saturating_sub(3);
    let x = place.words(
        2,
        y,
        &[("Type ", Tone::Plain), (&confirm.word, Tone::Strong), (" and press Enter: ", Tone::Plain)],
    );
    place.put(x, y, width - x, &format!("{}_", confirm.typed), Tone::Strong);
    place.right(0, height.saturating_sub(2), width - 2, "Esc leaves it", Tone::Faint);
}
