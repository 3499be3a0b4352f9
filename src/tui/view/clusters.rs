//! The page of clusters: one line for each listed EMQX.
//!
//! ```text
//!  3 EMQX clusters                                                        10:14:52
//!    NAMESPACE  NAME     EMQX    NODES  SERVING  CONNECTIONS  VERDICT
//!  ▸ mq         emqx     5.8.6       4        4       10,000  idle, even
//! ```

use unicode_width::UnicodeWidthStr;

use super::foot;
use super::painter::Painter;
use crate::model::human::{clock, count, count_or_unknown, plural};
use crate::model::{InstanceId, Operation};
use crate::output::theme::Tone;
use crate::plan::results::Status;
use crate::tui::state::State;

/// Draws the page.
pub(super) fn draw(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let ids = state.listed();
    let title = match (state.ready, state.clusters.is_empty()) {
        (false, _) => "asking the cluster".to_owned(),
        (true, true) => "no EMQX in sight".to_owned(),
        (true, false) => plural(state.clusters.len() as u64, "EMQX cluster"),
    };
    let titled = pen.put(1, 0, width, &title, if state.ready { Tone::Strong } else { Tone::Busy });
    pen.right(0, 0, width - 1, &clock(state.shown_at(), &state.setup.zone), Tone::Plain);
    let foot = foot::draw(state, None, pen, narrow);
    let widest = |of: fn(&InstanceId) -> &str, least: usize| {
        ids.iter().map(|id| of(id).width()).max().unwrap_or(0).clamp(least, 30)
    };
    let space = widest(|id| &id.namespace, 9);
    let name = widest(|id| &id.name, 4);
    let mut columns = vec![("NAMESPACE", 3, space, false), ("NAME", 3 + space + 2, name, false)];
    let mut x = 3 + space + 2 + name + 2;
    if !narrow {
        for (title, size) in [("EMQX", 8), ("NODES", 5), ("SERVING", 7), ("CONNECTIONS", 11)] {
            columns.push((title, x, size, title != "EMQX"));
            x += size + 2;
        }
    }
    columns.push(("VERDICT", x, width.saturating_sub(x + 1), false));
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
    if let Some(position) = super::position(first, room.min(ids.len()), ids.len()) {
        pen.put(titled + 3, 0, width.saturating_sub(titled + 14), &position, Tone::Faint);
    }
    for (place, id) in ids.iter().enumerate().skip(first).take(room) {
        let y = 3 + place - first;
        let here = place == state.cluster.min(ids.len().saturating_sub(1));
        if here {
            let now = pen.symbols().now;
            pen.put(1, y, 2, now, Tone::Strong);
        }
        let board = state.clusters.get(*id).and_then(|cluster| cluster.board.as_ref());
        let status = board.map(|board| &board.status);
        let known = status.map_or(Tone::Faint, |status| Tone::of(status.verdict));
        let cells: Vec<(String, Tone)> = columns
            .iter()
            .map(|(title, ..)| match *title {
                "NAMESPACE" => (id.namespace.clone(), Tone::Plain),
                "NAME" => (id.name.clone(), if here { Tone::Strong } else { Tone::Plain }),
                "EMQX" => (status.map(|it| it.versions.join(",")).unwrap_or_default(), Tone::Plain),
                "NODES" => (status.map(|it| count(it.totals.nodes as u64)).unwrap_or_default(), Tone::Plain),
                "SERVING" => {
                    let serving = status.and_then(|it| it.totals.serving);
                    (count_or_unknown(serving.map(|serving| serving as u64)), Tone::Plain)
                }
                "CONNECTIONS" => (count_or_unknown(status.and_then(|it| it.totals.connections)), Tone::Plain),
                _ => (status.map(verdict).unwrap_or_default(), known),
            })
            .collect();
        for ((_, x, size, right), (text, tone)) in columns.iter().zip(cells) {
            if *right {
                pen.right(*x, y, *size, &text, tone);
            } else {
                pen.put(*x, y, *size, &text, tone);
            }
        }
    }
}

/// `idle, even`, `rebalance running 41 %: golden: evicting_conns`.
fn verdict(status: &Status) -> String {
    let word = status.verdict.words().to_owned();
    let percent = status.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
    match status.operation {
        Operation::None => format!("{word}, {}", status.message),
        operation => format!("{} {word}{percent}: {}", operation.as_str(), status.message),
    }
}
