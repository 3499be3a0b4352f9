//! A text over the page: a log, events, a description, or why a rebalance should be stopped.
//!
//! ```text
//! ── LOG of pod emqx-core-0 (7 lines) ───────────────────────
//!   = kubectl logs emqx-core-0 -c emqx --tail 500 -n mq
//!   EMQX Enterprise 5.8.6 is running now!
//! ── j k scroll, any other key closes ───────────────────────
//! ```

use ratatui::widgets::{Clear, Widget};

use super::painter::{Painter, wrap};
use crate::output::theme::Tone;
use crate::tui::setup::TextPage;
use crate::tui::state::State;

/// Draws it over the whole page.
pub(super) fn draw(state: &State, page: &TextPage, pen: &mut Painter<'_>) {
    let (width, height) = (pen.width(), pen.height());
    Clear.render(pen.area, pen.buffer);
    let rule = pen.symbols().rule.repeat(width);
    pen.put(0, 0, width, &rule, Tone::Faint);
    pen.put(2, 0, width.saturating_sub(4), &format!(" {} ", page.title), Tone::Strong);
    let mut y = pen.wrapped(1, 1, 2, &format!("= {}", page.command), Tone::Faint);
    y += usize::from(height > 18);
    let room = height.saturating_sub(y + 1);
    state.lines.set(room);
    let lines: Vec<(Tone, String)> = page
        .lines
        .iter()
        .flat_map(|(tone, text)| {
            let tone = *tone;
            broken(text, width.saturating_sub(2)).into_iter().map(move |line| (tone, line))
        })
        .collect();
    let all = lines.len();
    let most = all.saturating_sub(room);
    state.last_top.set(most);
    let first = if page.from_end { most.saturating_sub(page.top) } else { page.top.min(most) };
    for (place, (tone, line)) in lines.iter().skip(first).take(room).enumerate() {
        pen.put(1, y + place, width - 1, line, *tone);
    }
    let below = all.saturating_sub(first + room);
    let more = match (first, below) {
        (0, 0) => String::new(),
        (above, below) => format!("{above} above, {below} below   j k scroll, "),
    };
    pen.put(0, height - 1, width, &rule, Tone::Faint);
    pen.right(0, height - 1, width - 2, &format!(" {more}any other key closes "), Tone::Faint);
}

/// A text, wrapped to lines of this width; a line that fits keeps its blanks.
fn broken(text: &str, width: usize) -> Vec<String> {
    use unicode_width::UnicodeWidthStr;
    if text.width() <= width { vec![text.to_owned()] } else { wrap(text, width) }
}
