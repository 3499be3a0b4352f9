//! The keys, from the same table that handles them, and the meaning of marks, colours and states.
//!
//! ```text
//!  KEYS                                             any key closes
//!  Enter        show the node               ╎  the goal of the node
//!  p            what a rebalance would do   ░  clients that are gone since the start
//! ```

use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use crate::output::theme::{Theme, Tone};
use crate::tui::keys;
use crate::tui::state::State;

/// A line of the help: the explained item, drawn as in the view, and its meaning.
type Entry = (String, Tone, &'static str);

/// From this width on, keys and legend are side by side.
const TWO_COLUMNS: usize = 100;

/// The meaning of marks, colours and states.
fn legend(theme: Theme) -> Vec<Entry> {
    let symbols = theme.symbols();
    let entry = |what: &str, tone: Tone, means: &'static str| (what.to_owned(), tone, means);
    vec![
        entry(symbols.goal, Tone::Plain, "the goal of a node, else the mean"),
        entry(symbols.goes, Tone::Warning, "clients that are gone since the start"),
        entry(symbols.comes, Tone::Busy, "clients that arrived since the start"),
        entry("~", Tone::Faint, "not current: EMQX does not answer"),
        entry("?", Tone::Faint, "unknown, which is not 0"),
        entry("orange", Tone::Warning, "loses clients, or needs attention"),
        entry("blue", Tone::Busy, "receives clients, or is in progress"),
        entry("red, bold", Tone::Bad, "went wrong: act"),
        entry("green", Tone::Good, "reached its goal"),
        entry("donor", Tone::Warning, "loses clients to recipients"),
        entry("recipient", Tone::Busy, "receives the clients of donors"),
        entry("leaves Service", Tone::Warning, "load balancers get time to notice"),
        entry("out of Service", Tone::Warning, "its clients are disconnected next"),
        entry("disconnecting", Tone::Warning, "EMQX disconnects its clients"),
        entry("session takeover", Tone::Warning, "clients continue their sessions"),
        entry("moving sessions", Tone::Warning, "sessions without a client move"),
        entry(&format!("{} empty", symbols.done), Tone::Good, "holds nothing and refuses clients"),
        entry("next", Tone::Plain, "is emptied after the present one"),
        entry("waiting", Tone::Faint, "is emptied later"),
        entry("serving", Tone::Good, "the Service routes clients to it"),
        entry("-", Tone::Faint, "a core beside replicants, which serve"),
    ]
}

/// Draws them over the page.
pub(super) fn draw(state: &State, top: usize, pen: &mut Painter<'_>) {
    let keys: Vec<Entry> = keys::at(state.page, |needs| state.can(needs))
        .map(|binding| (binding.keys.join(" "), Tone::Strong, binding.what))
        .collect();
    let mut legend = legend(pen.theme);
    let two = pen.width() >= TWO_COLUMNS;
    let mut left = keys;
    if !two {
        left.push((String::new(), Tone::Plain, ""));
        left.append(&mut legend);
    }
    let lines = left.len().max(legend.len());
    let height = pen.height().min(lines + 3);
    let y = (pen.height() - height) / 2;
    let mut place = window(pen, y, height);
    let width = place.width();
    let room = height.saturating_sub(3);
    state.last_top.set(lines.saturating_sub(room));
    let top = top.min(state.last_top.get());
    let more = if lines > room { "j k more, any other key closes" } else { "any key closes" };
    place.put(2, 1, width, "KEYS", Tone::Strong);
    place.right(0, 1, width - 2, more, Tone::Faint);
    let half = if two { width / 2 } else { width };
    // The names of the legend are wider than those of the keys.
    column(&mut place.part(2, 2, half - 3, room), &left, top, if two { 13 } else { 17 });
    if two {
        place.put(half, 1, width - half, "LEGEND", Tone::Strong);
        column(&mut place.part(half, 2, width - half - 1, room), &legend, top, 17);
    }
}

fn column(pen: &mut Painter<'_>, entries: &[Entry], top: usize, name: usize) {
    let (width, height) = (pen.width(), pen.height());
    for (line, (what, tone, means)) in entries.iter().skip(top).take(height).enumerate() {
        pen.put(0, line, width, what, *tone);
        let x = (name + 2).max(what.width() + 1);
        pen.put(x, line, width.saturating_sub(x), means, Tone::Plain);
    }
}

/// Empty lines of the screen between two rules, as wide as the screen: parts of the page beside a prompt
/// would distract.
pub(super) fn window<'a>(pen: &'a mut Painter<'_>, y: usize, height: usize) -> Painter<'a> {
    let width = pen.width();
    let mut place = pen.part(0, y, width, height);
    Clear.render(place.area, place.buffer);
    let rule = place.theme.symbols().rule.repeat(width);
    place.put(0, 0, width, &rule, Tone::Faint);
    place.put(0, height.saturating_sub(1), width, &rule, Tone::Faint);
    place
}
