//! The page of clusters: one line for each listed EMQX.
//!
//! ```text
//!  3 EMQX clusters @ prod-eu                                              10:14:52
//!    NAMESPACE  NAME     EMQX    NODES  SERVING  CONNECTIONS  STATE
//!  ▸ mq         emqx     5.8.6       4        4       10,000  IDLE  even
//! ```

use unicode_width::UnicodeWidthStr;

use super::headline::doing;
use super::painter::{Painter, SENTENCE};
use super::place::Place;
use super::{foot, head};
use crate::model::InstanceId;
use crate::model::human::{clock, count, count_or_unknown, plural};
use crate::output::theme::Tone;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// The columns of the state, below which other columns are omitted.
const STATE: usize = 40;

/// Draws the page.
pub(super) fn draw(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let ids = state.listed();
    let title = match (state.ready, state.clusters.is_empty()) {
        (false, _) => "asking the cluster".to_owned(),
        (true, true) => "no EMQX in sight".to_owned(),
        (true, false) => plural(state.clusters.len() as u64, "EMQX cluster"),
    };
    let mut titled = pen.put(1, 0, width, &title, if state.ready { Tone::Strong } else { Tone::Busy });
    pen.right(0, 0, width - 1, &clock(state.shown_at(), &state.setup.zone), Tone::Plain);
    let cursor = state.cluster.min(ids.len().saturating_sub(1));
    // The ages are those of the cluster under the cursor.
    let chosen = ids.get(cursor).copied();
    let chosen = chosen.and_then(|id| Some((id, state.clusters.get(id)?.board.as_ref()?)));
    let foot = foot::of_list(state, chosen, pen, narrow);
    let widest = |of: fn(&InstanceId) -> &str, least: usize| {
        ids.iter().map(|id| of(id).width()).max().unwrap_or(0).clamp(least, 30)
    };
    let space = widest(|id| &id.namespace, 9);
    let name = widest(|id| &id.name, 4);
    let mut columns = vec![("NAMESPACE", 3, space, false), ("NAME", 3 + space + 2, name, false)];
    let mut x = 3 + space + 2 + name + 2;
    if !narrow {
        let all = [("EMQX", 8), ("NODES", 5), ("SERVING", 7), ("CONNECTIONS", 11)];
        let whole: usize = all.iter().map(|(_, size)| size + 2).sum();
        // The state is more important than the version and the pods in the Service.
        let few = x + whole + STATE > width;
        for (title, size) in all.into_iter().filter(|(title, _)| !few || !["EMQX", "SERVING"].contains(title))
        {
            columns.push((title, x, size, title != "EMQX"));
            x += size + 2;
        }
    }
    columns.push(("STATE", x, width.saturating_sub(x + 1), false));
    for (title, x, size, right) in &columns {
        if *right {
            pen.right(*x, 2, *size, title, Tone::Faint);
        } else {
            pen.put(*x, 2, *size, title, Tone::Faint);
        }
    }
    let room = height.saturating_sub(4 + foot);
    state.lines.set(room);
    let first = (state.cluster + 1).saturating_sub(room);
    if let Some(position) = super::position::position(first, room.min(ids.len()), ids.len()) {
        titled = pen.put(titled + 3, 0, width.saturating_sub(titled + 14), &position, Tone::Faint);
    }
    // Which cluster of Kubernetes this is.
    let place = Place::of(state);
    let free = width.saturating_sub(titled + 11);
    if !place.context.is_empty() && free > 8 {
        pen.put(titled, 0, free, &place.text(free, pen.symbols().ellipsis), Tone::Plain);
    }
    for (place, id) in ids.iter().enumerate().skip(first).take(room) {
        let y = 3 + place - first;
        let here = place == cursor;
        if here {
            let now = pen.symbols().now;
            pen.put(1, y, 2, now, Tone::Strong);
        }
        let board = state.clusters.get(*id).and_then(|cluster| cluster.board.as_ref());
        let status = board.map(|board| &board.status);
        for (title, x, size, right) in &columns {
            let (text, tone) = match *title {
                "NAMESPACE" => (id.namespace.clone(), Tone::Plain),
                "NAME" => (id.name.clone(), if here { Tone::Strong } else { Tone::Plain }),
                "EMQX" => (status.map(|it| it.versions.join(",")).unwrap_or_default(), Tone::Plain),
                "NODES" => (status.map(|it| count(it.totals.nodes as u64)).unwrap_or_default(), Tone::Plain),
                "SERVING" => {
                    let serving = status.and_then(|it| it.totals.serving);
                    (count_or_unknown(serving.map(|serving| serving as u64)), Tone::Plain)
                }
                "CONNECTIONS" => {
                    let connections = status.and_then(|it| it.totals.connections);
                    // Numbers that are not current are marked with a sign, not by colour alone.
                    let old = board.is_some_and(|board| board.unsure.is_some()) && connections.is_some();
                    let text = count_or_unknown(connections);
                    if old { (format!("~{text}"), Tone::Faint) } else { (text, Tone::Plain) }
                }
                _ => {
                    if let Some(board) = board {
                        standing(state, board, &mut pen.part(*x, y, *size, 1));
                    }
                    continue;
                }
            };
            if *right {
                pen.right(*x, y, *size, &text, tone);
            } else {
                pen.put(*x, y, *size, &text, tone);
            }
        }
    }
}

/// The same words as on the page of the cluster, with the progress and the end of its operation.
fn standing(state: &State, board: &ViewModel, pen: &mut Painter<'_>) {
    let width = pen.width();
    let (word, tone, headline, headline_tone) = doing(board, pen.symbols().arrow);
    let mut x = pen.put(0, 0, width, &word, tone) + 1;
    for text in head::percent_words(board).into_iter().chain(head::ends(state, board)) {
        if x + text.width() <= width {
            x = pen.put(x, 0, width, &text, Tone::Strong) + 2;
        }
    }
    let room = width.saturating_sub(x + 1);
    if headline.width() <= room || room >= SENTENCE {
        pen.put(x + 1, 0, room, &headline, headline_tone);
    }
}
