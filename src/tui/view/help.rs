//! The keys, from the same table that drives them.
//!
//! ```text
//!  KEYS                                             any key closes
//!  Enter        look at the node
//!  p            what a rebalance would do
//! ```

use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::pen::{Pen, narrow};
use crate::output::theme::Tone;
use crate::tui::keys;
use crate::tui::state::State;

/// Draws them over the page.
pub(super) fn draw(state: &State, top: usize, pen: &mut Pen<'_>) {
    let bindings: Vec<_> = keys::at(state.page, |needs| state.can(needs)).collect();
    let (width, height) = (pen.width().min(64), pen.height().min(bindings.len() + 3));
    let (x, y) = ((pen.width() - width) / 2, (pen.height() - height) / 2);
    let mut place = window(pen, x, y, width, height);
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

/// A part of the screen with nothing on it.
pub(super) fn window<'a>(pen: &'a mut Pen<'_>, x: usize, y: usize, width: usize, height: usize) -> Pen<'a> {
    let place = pen.part(x, y, width, height);
    Clear.render(place.area, place.buffer);
    let area = place.area;
    let rule = place.theme.symbols().rule;
    for column in 0..area.width {
        for line in [area.y, area.y + area.height.saturating_sub(1)] {
            let cell = Rect::new(area.x + column, line, 1, 1);
            if cell.intersection(place.buffer.area).area() == 1 {
                place.buffer[(area.x + column, line)].set_symbol(rule);
            }
        }
    }
    let _ = narrow(0);
    place
}
