//! A prompt before a change: what will happen, the equivalent command line, and the cluster. Where clients
//! lose their connection the user types the name of the cluster: a single key cannot disconnect clients.
//!
//! ```text
//! ── START A REBALANCE ───────────── prod-eu · mq/emqx ──
//!   Disconnects 2,340 clients of EMQX mq/emqx over 1m38s, through a Rebalance object.
//!   = kubectl emqx rebalance apply emqx --conn-evict-rate 10 -n mq
//!   Type emqx and press Enter: em_                         Esc leaves it
//! ───────────────────────────────────────────────────────
//! ```

use unicode_width::UnicodeWidthStr;

use super::help::window;
use super::painter::{Painter, wrap};
use crate::output::theme::Tone;
use crate::tui::setup::Confirm;
use crate::tui::state::State;

/// Draws it over the page.
pub(super) fn draw(state: &State, confirm: &Confirm, pen: &mut Painter<'_>) {
    let (full, width) = (pen.width(), pen.width().min(100));
    let effects = confirm.effects.iter().map(|text| (text.clone(), Tone::Plain));
    let warnings = confirm.warnings.iter().map(|text| (format!("! {text}"), Tone::Warning));
    let sentences: Vec<(String, Tone)> = effects
        .chain(warnings)
        .flat_map(|(text, tone)| wrap(&text, width - 4).into_iter().map(move |line| (line, tone)))
        .collect();
    let command = wrap(&format!("= {}", confirm.command), width - 4);
    let height = (sentences.len() + command.len() + 5).min(pen.height());
    let y = (pen.height() - height) / 2;
    let dot = pen.symbols().dot;
    let mut place = window(pen, y, height);
    let title = format!(" {} ", confirm.title);
    place.put(2, 0, full - 4, &title, Tone::Strong);
    let target = target(state, dot);
    if title.width() + target.width() + 8 <= full {
        place.right(0, 0, full - 2, &format!(" {target} "), Tone::Strong);
    }
    let room = height.saturating_sub(5);
    // What will happen precedes the command line, which the copy key of the page also provides.
    let lines = sentences.into_iter().chain(command.into_iter().map(|line| (line, Tone::Faint)));
    for (line, (text, tone)) in lines.take(room).enumerate() {
        place.put(2, 1 + line, width - 4, &text, tone);
    }
    let y = height.saturating_sub(3);
    if confirm.word.is_empty() {
        place.put(2, y, width - 2, "Press Enter to go ahead.", Tone::Strong);
    } else {
        let x = place.words(
            2,
            y,
            &[("Type ", Tone::Plain), (&confirm.word, Tone::Strong), (" and press Enter: ", Tone::Plain)],
        );
        place.put(x, y, width - x, &format!("{}_", confirm.typed), Tone::Strong);
    }
    place.right(0, height.saturating_sub(2), width - 2, "Esc leaves it", Tone::Faint);
}

/// `prod-eu · mq/emqx`.
fn target(state: &State, dot: &str) -> String {
    let id = state.open.as_ref().map(|id| format!("{}/{}", id.namespace, id.name)).unwrap_or_default();
    match state.setup.place.as_str() {
        "" => id,
        place => format!("{place} {dot} {id}"),
    }
}
