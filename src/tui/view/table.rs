//! The table: a row per EMQX node, and per pod that is not a node yet. Only visible rows are laid out.
//!
//! ```text
//!    NODE               STATE       CONNECTIONS              ± /s  SESSIONS   3 MIN
//!  ▸ core-…f5c8-0       donor       3,013 ████████╎█▎        −10     3,013   ▇▇▇▆▆▅▅
//!    core-…f5c8-3       recipient     960 ███▎    ╎          +30       960   ▁▁▁▂▂▃▃
//!
//!  goal ╎ 2,553 on donors · 2,340 on recipients            in the Service: 1 of 4
//! ```

use unicode_width::UnicodeWidthStr;

use super::columns::{Column, Kind, columns, sort_of, sorted, title_of};
use super::painter::{Painter, bar, narrow as narrow_cell, spark};
use crate::model::Part;
use crate::model::human::{average, count, count_or_unknown, share};
use crate::output::theme::{Theme, Tone};
use crate::plan::rebalance::goal::Goals;
use crate::plan::upgrade::run::{UpgradeRun as Upgrade, UpgradeStep};
use crate::tui::click_targets::ClickTargets;
use crate::tui::rows::{Group, Row};
use crate::tui::sort::SortBy;
use crate::tui::state::State;
use crate::tui::view_model::{Line, ViewModel};

/// Seconds that a sparkline covers.
const SPARK: i64 = 180;

/// The lines of the whole table, with the legend.
pub(super) fn height(board: &ViewModel, theme: Theme) -> usize {
    1 + board.lines.len().max(1) + if legend(board, theme).is_some() { 2 } else { 0 }
}

/// Draws the table, with the legend below it.
pub(super) fn draw(state: &State, board: &ViewModel, pen: &mut Painter<'_>, narrow: bool) {
    let height = pen.height();
    let mut legend = if narrow {
        // A narrow page has no bars: it names the goals, where a line is free for them or has the position.
        let all = board.lines.len() + 1;
        let line = all < height || (all > height && height >= 5);
        goals(board).filter(|_| line).map(|goals| (goals, String::new(), String::new()))
    } else {
        legend(board, pen.theme).filter(|_| height >= 5)
    };
    // A narrow page has no empty line above the legend.
    let below = if narrow { 1 } else { 2 };
    let more = board.lines.len() + 1 + if legend.is_some() { below } else { 0 } > height;
    if more && height >= 5 {
        legend.get_or_insert_default();
    }
    let header = usize::from(height > 2);
    let room = height.saturating_sub(header + if legend.is_some() { below } else { 0 });
    state.lines.set(room);
    let columns = columns(state, board, pen, narrow);
    let by: Vec<SortBy> = columns.iter().filter_map(|column| sort_of(column.kind)).collect();
    state.sortable.replace(by);
    if header > 0 {
        titles(state, pen, &columns);
    }
    if board.lines.is_empty() {
        let text =
            if state.order.filter.is_empty() { "no EMQX node is known" } else { "nothing fits the filter" };
        let width = pen.width();
        pen.put(3, header, width, text, Tone::Faint);
    }
    let at = place_of(board, state.cursor);
    let top = scrolled(state.top.get(), at, room, board.lines.len());
    state.top.set(top);
    let left = pen.area.x;
    let places = columns.iter().filter_map(|it| {
        let end = it.x + it.width + if it.kind == Kind::Connections { 4 } else { 1 };
        Some((left + narrow_cell(it.x)..left + narrow_cell(end), sort_of(it.kind)?))
    });
    state.hits.replace(ClickTargets {
        header: (header > 0).then_some(pen.area.y),
        columns: places.collect(),
        rows: pen.area.y + narrow_cell(header),
        lines: room,
        right: left + pen.area.width,
    });
    let titles = board.lines.iter().take(top).filter(|line| matches!(line, Line::Title(_))).count();
    let mut row_number = top - titles;
    for (line, place) in board.lines.iter().skip(top).take(room).zip(header..) {
        match line {
            Line::Title(group) => title(board, *group, pen, place),
            Line::Row(row) => {
                let Some(row) = board.rows.get(*row) else { continue };
                let here = row_number == state.cursor;
                row_number += 1;
                draw_row(state, board, row, pen, place, &columns, here);
            }
        }
    }
    if let Some((left, moved, mut right)) = legend {
        if more {
            // The visible rows, of all rows.
            let shown = board.lines.iter().skip(top).take(room);
            let rows = shown.filter(|line| matches!(line, Line::Row(_))).count();
            let first = top - titles;
            let all = board.lines.iter().filter(|line| matches!(line, Line::Row(_))).count();
            let dot = if right.is_empty() { String::new() } else { format!(" {} ", pen.symbols().dot) };
            let place = super::position::position(first, rows, all).unwrap_or_default();
            let both = format!("{place}{dot}{right}");
            // The position is more important than the number of nodes in the Service, which the rows have.
            let fits = left.width() + both.width() + 4 <= pen.width();
            right = if fits { both } else { place };
        }
        let line = (header + board.lines.len().min(room) + below - 1).min(height - 1);
        let width = pen.width();
        let mut end = pen.put(1, line, width, &left, Tone::Faint);
        let gap = if left.is_empty() { 0 } else { 3 };
        if end + gap + moved.width() + right.width() + 3 <= width {
            end = pen.put(end + gap, line, width, &moved, Tone::Faint);
        }
        if end + right.width() + 3 <= width {
            pen.right(0, line, width - 1, &right, Tone::Faint);
        }
    }
}

/// `in the Service: 1 of 4`.
pub(super) fn in_the_service(serving: usize, nodes: usize) -> String {
    format!("in the Service: {} of {}", count(serving as u64), count(nodes as u64))
}

/// The line of the row with this number.
fn place_of(board: &ViewModel, cursor: usize) -> usize {
    let rows = board.lines.iter().enumerate().filter(|(_, line)| matches!(line, Line::Row(_)));
    rows.map(|(place, _)| place).nth(cursor).unwrap_or(0)
}

/// The first visible line: line `at` must be visible, and no line stays empty without need.
fn scrolled(top: usize, at: usize, room: usize, all: usize) -> usize {
    let room = room.max(1);
    // The title of a group stays visible above its first row.
    let top = top.min(at.saturating_sub(usize::from(at <= 1)));
    let top = if at >= top + room { at + 1 - room } else { top };
    top.min(all.saturating_sub(room))
}

/// Where thresholds are unknown, the goals are those of the latest end.
fn goal_word(goals: &Goals) -> &'static str {
    if goals.latest { "latest goal" } else { "goal" }
}

/// The goals of the running rebalance, without a mark.
fn goals(board: &ViewModel) -> Option<String> {
    let goals = board.goals.as_ref()?;
    let (donors, recipients) = (average(goals.donors.round()), average(goals.recipients.round()));
    Some(format!("{}: donors {donors}, recipients {recipients}", goal_word(goals)))
}

/// The legend: the meaning of marks and shades, and the number of nodes that serve.
fn legend(board: &ViewModel, theme: Theme) -> Option<(String, String, String)> {
    let symbols = theme.symbols();
    let (goal, dot) = (symbols.goal, symbols.dot);
    let (gone, came) = if theme.ascii { (".", "+") } else { ("░", "▒") };
    let moves = board.rows.iter().any(|row| row.start.is_some());
    let moved = if moves { format!("{gone} gone {came} arrived") } else { String::new() };
    let left = match (&board.goals, board.mean) {
        (Some(goals), _) => format!(
            "{} {goal} {} on donors {dot} {} on recipients",
            goal_word(goals),
            average(goals.donors.round()),
            average(goals.recipients.round())
        ),
        (None, Some(mean)) if board.rows.iter().any(|row| row.goal.is_some()) => {
            format!("mean {goal} {}", count(mean))
        }
        (None, _) => String::new(),
    };
    // While no rebalance runs the head shows this number.
    let serving = board.in_service().filter(|_| board.goals.is_some());
    let right = serving.map(|(serving, all)| in_the_service(serving, all)).unwrap_or_default();
    [&left, &moved, &right].iter().any(|text| !text.is_empty()).then_some((left, moved, right))
}

fn titles(state: &State, pen: &mut Painter<'_>, columns: &[Column]) {
    let ascii = pen.theme.ascii;
    for column in columns {
        let text = title_of(column.kind, ascii);
        if text.is_empty() {
            continue;
        }
        let sorted = sort_of(column.kind).is_some_and(|it| sorted(state, it));
        let mark = match (sorted, state.order.reverse, ascii) {
            (false, _, _) => "",
            (true, false, false) => "▾",
            (true, true, false) => "▴",
            (true, false, true) => "v",
            (true, true, true) => "^",
        };
        let text = format!("{text}{mark}");
        let tone = if sorted { Tone::Strong } else { Tone::Faint };
        let right = matches!(column.kind, Kind::Rate | Kind::Sessions | Kind::Share | Kind::Memory);
        let bar = columns.iter().find(|it| it.kind == Kind::Bar).map_or(0, |bar| bar.width + 1);
        match column.kind {
            // One title is above number and bar together.
            Kind::Connections if bar > 0 => {
                pen.put(column.x, 0, column.width + bar, &text, tone);
            }
            // One more column for the mark of the sort order.
            Kind::Connections => {
                pen.right(column.x.saturating_sub(1), 0, column.width + 1, &text, tone);
            }
            _ if right => pen.right(column.x, 0, column.width, &text, tone),
            _ => {
                pen.put(column.x, 0, column.width, &text, tone);
            }
        }
    }
}

/// `PREVIOUS 5.8.6 · draining · 1 of 4 empty · 0 in Service`.
fn title(board: &ViewModel, group: Group, pen: &mut Painter<'_>, y: usize) {
    let rows = || board.rows.iter().filter(move |row| row.group == group);
    let version = |row: &'_ Row| row.tag.clone().or_else(|| row.version.clone());
    let mut versions: Vec<String> = rows().filter_map(version).collect();
    versions.sort_unstable();
    versions.dedup();
    let known = rows().all(|row| row.serving.is_some());
    let serving = rows().filter(|row| row.serving == Some(true)).count() as u64;
    let serving = count_or_unknown(Some(serving).filter(|_| known));
    let begun = board.upgrade.as_ref().is_none_or(|run| run.step > UpgradeStep::Moved);
    let (word, mut facts) = match group {
        Group::Old => {
            let (gone, old) = board.upgrade.as_ref().map_or((0, rows().count()), Upgrade::places);
            let empty = rows().filter(|row| row.connections == Some(0) && row.sessions == Some(0)).count();
            let old = old.max(gone + rows().count());
            let state = if begun { "draining" } else { "still in use" };
            ("PREVIOUS", vec![state.to_owned(), format!("{} of {} empty", gone + empty, old)])
        }
        Group::New => {
            let state = board.upgrade.as_ref().is_some_and(|run| run.step == UpgradeStep::NewPods);
            ("TARGET", vec![if state { "starting" } else { "taking over" }.to_owned()])
        }
        Group::All => return,
    };
    facts.push(match group {
        Group::Old => format!("{serving} in Service"),
        _ => format!("{serving} of {} in Service", rows().count()),
    });
    let dot = format!(" {} ", pen.symbols().dot);
    let width = pen.width();
    let x = pen.put(3, y, 10, word, Tone::Strong) + 1;
    let versions = versions.join(", ");
    let text =
        std::iter::once(versions).filter(|it| !it.is_empty()).chain(facts).collect::<Vec<_>>().join(&dot);
    pen.put(x, y, width - x, &text, Tone::Plain);
}

fn draw_row(
    state: &State,
    board: &ViewModel,
    row: &Row,
    pen: &mut Painter<'_>,
    y: usize,
    columns: &[Column],
    here: bool,
) {
    let symbols = pen.symbols();
    if here {
        pen.put(1, y, 2, symbols.now, Tone::Strong);
    }
    let theme = pen.theme;
    let unknown = ("?".to_owned(), Tone::Faint);
    let yes_no = |value: Option<bool>| match value {
        Some(true) => ("yes".to_owned(), Tone::Plain),
        Some(false) => ("no".to_owned(), Tone::Warning),
        None => unknown.clone(),
    };
    // Numbers that are not current are marked with a sign, not by colour alone.
    let unsure = board.unsure.is_some();
    let number = |value: Option<u64>| match value {
        Some(value) if unsure => (format!("~{}", count(value)), Tone::Faint),
        Some(value) => (count(value), Tone::Plain),
        None => (count_or_unknown(None), Tone::Faint),
    };
    for Column { kind, x, width } in columns.iter().copied() {
        let (text, tone) = match kind {
            Kind::Node => (row.name.clone(), if here { Tone::Strong } else { Tone::Plain }),
            Kind::Order => (row.order.map(ordinal).unwrap_or_default(), Tone::Faint),
            Kind::Role => (row.role.as_str().to_owned(), Tone::Plain),
            Kind::Set => (row.set.clone().unwrap_or_else(|| "?".to_owned()), Tone::Faint),
            Kind::Ready => yes_no(row.healthy),
            Kind::Serving => match &row.leaving {
                Some(leaving) => (leaving.clone(), Tone::Warning),
                None => match board.service_word(row) {
                    "no" => ("no".to_owned(), Tone::Warning),
                    word @ "yes" => (word.to_owned(), Tone::Plain),
                    word => (word.to_owned(), Tone::Faint),
                },
            },
            Kind::State => (row.state.clone(), row.tone),
            Kind::Connections => number(row.connections),
            Kind::Bar => {
                let tone = match row.part {
                    Some(Part::Donor | Part::Evacuating) => Tone::Warning,
                    Some(Part::Recipient) => Tone::Busy,
                    None => Tone::Plain,
                };
                let scale = row.scale.unwrap_or(board.scale);
                (bar(width, row.connections.unwrap_or(0), scale, row.start, row.goal, theme), tone)
            }
            Kind::Rate if unsure => unknown.clone(),
            Kind::Rate => rate(row.rate, theme),
            Kind::Sessions => number(row.sessions),
            Kind::Share => row.share.map_or(unknown.clone(), |part| (share(part), Tone::Plain)),
            Kind::Note => (row.note.clone(), Tone::Faint),
            Kind::Memory => row.memory.clone().map_or(unknown.clone(), |text| (text, Tone::Plain)),
            Kind::Version => row.version.clone().map_or(unknown.clone(), |text| (text, Tone::Plain)),
            Kind::Spark => {
                let history = state.here().map(|cluster| &cluster.history);
                let values = match (history, &row.node) {
                    (Some(history), Some(node)) => history.spark(node, width, SPARK, board.now),
                    _ => Vec::new(),
                };
                (spark(&values, board.scale, theme), Tone::Plain)
            }
        };
        let tone = if unsure && !(here && kind == Kind::Node) { Tone::Faint } else { tone };
        let right =
            matches!(kind, Kind::Connections | Kind::Rate | Kind::Sessions | Kind::Share | Kind::Memory);
        if right {
            pen.right(x, y, width, &text, tone);
        } else {
            pen.put(x, y, width, &text, tone);
        }
    }
}

/// `−10`, `+30`, `0`.
pub(super) fn rate(rate: Option<f64>, theme: Theme) -> (String, Tone) {
    let Some(rate) = rate else { return ("?".to_owned(), Tone::Faint) };
    let whole = rate.abs().round() as u64;
    if whole == 0 {
        let some = rate.abs() >= 0.05;
        return if some {
            let sign = if rate < 0.0 { theme.symbols().minus } else { "+" };
            (format!("{sign}{:.1}", rate.abs()), Tone::Faint)
        } else {
            ("0".to_owned(), Tone::Faint)
        };
    }
    let sign = if rate < 0.0 { theme.symbols().minus } else { "+" };
    (format!("{sign}{}", count(whole)), Tone::Plain)
}

/// `1st`, `2nd`, `11th`.
fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_always_in_sight() {
        assert_eq!(scrolled(0, 3, 10, 1000), 0);
        assert_eq!(scrolled(0, 10, 10, 1000), 1);
        assert_eq!(scrolled(500, 3, 10, 1000), 3);
        assert_eq!(scrolled(5, 1, 10, 1000), 0, "with the title above it");
        assert_eq!(scrolled(995, 999, 10, 1000), 990, "no line stays empty");
        assert_eq!(scrolled(3, 3, 10, 5), 0);
    }

    #[test]
    fn changes_are_signed_and_whole() {
        let theme = Theme::default();
        assert_eq!(rate(Some(-10.0), theme).0, "−10");
        assert_eq!(rate(Some(0.01), theme).0, "0");
        assert_eq!(rate(Some(0.3), theme).0, "+0.3");
        assert_eq!(rate(None, theme).0, "?");
        assert_eq!((ordinal(1), ordinal(12), ordinal(22)), ("1st".into(), "12th".into(), "22nd".into()));
    }
}
