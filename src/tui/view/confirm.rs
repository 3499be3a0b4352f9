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

const ESCAPE: &str = "Esc leaves it";

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
    let command = command.into_iter().map(|line| (line, Tone::Faint));
    let lines: Vec<(String, Tone)> = sentences.into_iter().chain(command).collect();
    // On a low screen there are no empty lines, and the keys scroll.
    let low = lines.len() + 5 > pen.height();
    let frame = if low { 3 } else { 5 };
    let height = (lines.len() + frame).min(pen.height());
    let y = (pen.height() - height) / 2;
    let dot = pen.symbols().dot;
    let mut place = window(pen, y, height);
    let title = format!(" {} ", confirm.title);
    place.put(2, 0, full - 4, &title, Tone::Strong);
    let target = target(state, dot);
    if title.width() + target.width() + 8 <= full {
        place.right(0, 0, full - 2, &format!(" {target} "), Tone::Strong);
    }
    let room = height.saturating_sub(frame);
    let most = lines.len().saturating_sub(room);
    state.last_top.set(most);
    let top = confirm.top.min(most);
    for (line, (text, tone)) in lines.iter().skip(top).take(room).enumerate() {
        place.put(2, 1 + line, width - 4, text, *tone);
    }
    if most > 0 {
        let text = format!(" {} above, {} below   Up Down scroll ", top, most - top);
        place.right(0, height - 1, full - 2, &text, Tone::Strong);
    }
    let y = height.saturating_sub(if low { 2 } else { 3 });
    let end = if confirm.word.is_empty() {
        place.put(2, y, width - 2, "Press Enter to go ahead.", Tone::Strong)
    } else {
        let x = place.words(
            2,
            y,
            &[("Type ", Tone::Plain), (&confirm.word, Tone::Strong), (" and press Enter: ", Tone::Plain)],
        );
        place.put(x, y, width - x, &format!("{}_", confirm.typed), Tone::Strong)
    };
    if !low {
        place.right(0, y + 1, width - 2, ESCAPE, Tone::Faint);
    } else if end + ESCAPE.width() + 4 <= width {
        place.right(0, y, width - 2, ESCAPE, Tone::Faint);
    }
}

/// `prod-eu · mq/emqx`.
fn target(state: &State, dot: &str) -> String {
    let id = state.open.as_ref().map(|id| format!("{}/{}", id.namespace, id.name)).unwrap_or_default();
    match state.setup.place.as_str() {
        "" => id,
        place => format!("{place} {dot} {id}"),
    }
}
