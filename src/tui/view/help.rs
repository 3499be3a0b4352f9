//! The keys, from the same table that drives them.
//!
//! ```text
//!  KEYS                                             any key closes
//!  Enter        look at the node
//!  p            what a rebalance would do
//! ```

use ratatui::widgets::{Clear, Widget};

use super::pen::Pen;
use crate::output::theme::Tone;
use crate::tui::keys;
use crate::tui::state::State;

/// Draws them over the page.
pub(super) fn draw(state: &State, top: usize, pen: &mut Pen<'_>) {
    let bindings: Vec<_> = keys::at(state.page, |needs| state.can(needs)).collect();
    let height = pen.height().min(bindings.len() + 3);
    let y = (pen.height() - height) / 2;
    let mut place = window(pen, y, height);
    let width = place.width();
    let room = height.saturating_sub(3);
    let top = top.min(bindings.len().saturating_sub(room));
    let more = if bindings.len() > room { "j k more, any other key closes" } else { "any key closes" };
    place.put(2, 1, width, "KEYS", Tone::Strong);
    place.right(0, 1, width - 2, more, Tone::Faint);
    for (line, binding) in bindings.iter().skip(top).take(room).enumerate() {
        place.put(2, 2 + line, 14, &binding.keys.join(" "), Tone::Strong);
        place.put(17, 2 + line, width.saturating_sub(18), binding.what, Tone::Plain);
    }
}

/// Lines of the screen with nothing on them, between two rules. As wide as the screen: half a word beside a question only
/// distracts.
pub(super) fn window<'a>(pen: &'a mut Pen<'_>, y: usize, height: usize) -> Pen<'a> {
    let width = pen.width();
    let mut place = pen.part(0, y, width, height);
    Clear.render(place.area, place.buffer);
    let rule = place.theme.symbols().rule.repeat(width);
    place.put(0, 0, width, &rule, Tone::Faint);
    place.put(0, height.saturating_sub(1), width, &rule, Tone::Faint);
    place
}
