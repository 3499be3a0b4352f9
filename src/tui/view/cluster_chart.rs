//! The cluster's chart: the total, and one curve a node, from zero, with the goals of what runs and marks where its phases
//! began. The total has a scale of its own: on that of the nodes it would press their curves together.
//!
//! ```text
//! connections per node   all 9,970                   c sessions  [ ] 5m  C larger
//! 10,000┤⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉ all
//!     0 ┤
//! 4,000 ┤
//!       │⠉⠉⠉⠉⠒⠒⠤⠤⣀⣀                                              0,1,2
//! 2,000 ┤╌╌╌╌╌╌╌╌╌╌╌╌⠉⠉⠒⠒⠤⠤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ goal
//!     0 ┤⣀⣀⣀⡠⠤⠔⠒⠉                                               3
//!       └──┬────────────┬──────────────────────────────────────────
//!          08:42:12 created  08:42:22 evict                   08:47:12
//! ```

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use super::plot::{PlotScale, dashes, labels, lines, signed, ticks};
use crate::model::human::{clock, count, duration};
use crate::output::theme::Tone;
use crate::tui::curves::{Curve, MAX_CURVES, Quantity, curves, round_up};
use crate::tui::marks::Mark;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// The fewest lines in which a chart is readable.
pub(super) const LINES: usize = 8;

/// The fewest columns in which a chart is readable.
pub(super) const MIN_CHART_WIDTH: usize = 60;

/// The most lines of a chart; more do not make it more readable.
const MOST_LINES: usize = 26;

/// With more curves a step is a cell, with fewer half a cell.
const FINE_CURVES: usize = 64;

/// Columns for the names of the curves at the right edge.
const CURVE_NAME_WIDTH: usize = 15;

/// The same for `recipients mean,min`.
const PART_NAME_WIDTH: usize = 20;

/// The lines of the chart, of those that the table leaves, with an empty line below it.
pub(super) fn height(state: &State, left: usize, width: usize) -> usize {
    if state.here().is_none() || left <= LINES || width < MIN_CHART_WIDTH {
        0
    } else {
        left.min(MOST_LINES + 1)
    }
}

/// Draws the chart on all of the pen's lines.
pub(super) fn draw(state: &State, board: &ViewModel, pen: &mut Painter<'_>) {
    let Some(cluster) = state.here() else { return };
    let (width, height) = (pen.width(), pen.height());
    if height < 6 || width < 30 {
        return;
    }
    let settings = state.chart;
    let seconds = settings.seconds(board, &cluster.history);
    let parts = !board.upgrading && board.rows.len() > MAX_CURVES && width >= 100;
    let names = match width {
        ..MIN_CHART_WIDTH => 0,
        _ if parts => PART_NAME_WIDTH,
        _ => CURVE_NAME_WIDTH,
    };
    let many = board.rows.len() > FINE_CURVES;
    // The labels of the scale are as wide as its largest number, which the curves decide.
    let cells = width.saturating_sub(names + 10);
    let drawn =
        curves(board, &cluster.history, settings.quantity, seconds, if many { cells } else { cells * 2 });
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.fold((0.0, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        let low = if settings.quantity == Quantity::Change { -round_up(-low) } else { 0.0 };
        (low, round_up(high))
    };
    let values = || drawn.curves.iter().flat_map(|curve| &curve.values).flatten().copied();
    let goals = goals(board, settings.quantity);
    let (low, high) = bounds(&mut values().chain(goals.iter().map(|goal| *goal as f64)));
    // During an upgrade the sum is one of the curves, and the curve of a single node is the total.
    let unknown = drawn.total.iter().all(Option::is_none);
    let alone = board.upgrading || drawn.curves.len() < 2 || unknown;
    let above = if alone { 0 } else { total_lines(height - 3, settings.quantity) };
    let (total_low, total_high) = bounds(&mut drawn.total.iter().flatten().copied());
    let total = PlotScale { low: total_low, high: total_high, rows: above };
    let scale = PlotScale { low, high, rows: height - 3 - above };

    let now = drawn.total.iter().rev().find_map(|value| *value);
    title(state, board, pen, now.filter(|_| settings.quantity != Quantity::Change));
    let minus = pen.symbols().minus;
    let total_bounds = if above > 0 { [total_low, total_high] } else { [low, high] };
    let label = [low, high].into_iter().chain(total_bounds).map(|value| signed(value, minus).width());
    let label = label.max().unwrap_or(1);
    let left = label + 2;
    let plot = left..(left + cells).min(width - names);
    let top = 1 + above;
    if above > 0 {
        let all = [Curve { label: "all".to_owned(), tone: Tone::Plain, values: drawn.total }];
        let middle = if total_low < 0.0 { 0.0 } else { total_low };
        let values = if above > 1 { vec![total_high, middle, total_low] } else { vec![total_high] };
        ticks(&mut pen.part(0, 1, left, above), total, &values, label);
        lines(&mut pen.part(left, 1, plot.len(), above), &all, total);
        if names > 0 {
            labels(&mut pen.part(plot.end + 1, 1, names - 1, above), &all, total);
        }
    }
    let middle = if low < 0.0 { 0.0 } else { high / 2.0 };
    ticks(&mut pen.part(0, top, left, scale.rows), scale, &[high, middle, low], label);
    if values().next().is_none() {
        pen.put(left + 1, top + scale.rows / 2, plot.len(), "no count in this window", Tone::Faint);
    }
    lines(&mut pen.part(left, top, plot.len(), scale.rows), &drawn.curves, scale);
    for goal in &goals {
        let row = scale.row(*goal as f64);
        dashes(pen, plot.clone(), top + row);
        if names > 0 {
            let alone = goals.iter().filter(|it| scale.row(**it as f64) == row).count() == 1;
            let text = if alone { format!("goal {}", count(*goal)) } else { "goals".to_owned() };
            pen.put(plot.end + 1, top + row, names - 1, &text, Tone::Faint);
        }
    }
    if names > 0 {
        labels(&mut pen.part(plot.end + 1, top, names - 1, scale.rows), &drawn.curves, scale);
    }
    axis(state, board, pen, plot, seconds);
}

/// The lines of the total, of those of the whole plot. A change goes up and down from its zero line.
fn total_lines(rows: usize, quantity: Quantity) -> usize {
    let lines = match rows {
        ..5 => 0,
        5..8 => 1,
        8..14 => 2,
        _ => 3,
    };
    if quantity == Quantity::Change && lines < 3 { 0 } else { lines }
}

/// The goals of the nodes, as far as they are known.
fn goals(board: &ViewModel, quantity: Quantity) -> Vec<u64> {
    match &board.goals {
        Some(goals) if quantity == Quantity::Connections => {
            vec![goals.donors.round() as u64, goals.recipients.round() as u64]
        }
        _ => Vec::new(),
    }
}

fn title(state: &State, board: &ViewModel, pen: &mut Painter<'_>, total: Option<f64>) {
    let width = pen.width();
    let quantity = state.chart.quantity;
    let per = if board.upgrading { " per revision" } else { " per node" };
    let x = pen.put(0, 0, width, &format!("{}{per}", quantity.words()), Tone::Strong) + 3;
    let window = duration(state.chart.window(board).unsigned_abs());
    let next = quantity.next().words();
    let whole = if state.chart.whole { "C table" } else { "C larger" };
    // On a narrow page the total is more important than the name of the next quantity: nothing else there names its curve.
    let named = width >= MIN_CHART_WIDTH || total.is_none();
    let keys =
        if named { format!("c {next}  [ ] {window}  {whole}") } else { format!("c  [ ] {window}  {whole}") };
    if x + keys.width() < width {
        pen.right(0, 0, width, &keys, Tone::Faint);
    }
    let Some(now) = total else { return };
    let about = if board.unsure.is_some() { "~" } else { "" };
    let text = format!("all {about}{}", count(now as u64));
    if x + text.width() + keys.width() + 3 <= width {
        pen.put(x, 0, width, &text, Tone::Plain);
    }
}

/// The time axis: the begin and the end of the window, and the marks in it.
fn axis(state: &State, board: &ViewModel, pen: &mut Painter<'_>, plot: std::ops::Range<usize>, seconds: i64) {
    let ascii = pen.theme.ascii;
    let (corner, rule, tick) = if ascii { ("+", "-", "+") } else { ("└", "─", "┬") };
    let y = pen.height() - 2;
    pen.put(plot.start - 1, y, 1, corner, Tone::Faint);
    for x in plot.clone() {
        pen.put(x, y, 1, rule, Tone::Faint);
    }
    let zone = &state.setup.zone;
    let end = board.now;
    let Ok(begin) = end.checked_sub(jiff::SignedDuration::from_secs(seconds)) else { return };
    let place = |at: Timestamp| {
        let part = at.duration_since(begin).as_millis() as f64 / (seconds as f64 * 1000.0);
        plot.start + (part * (plot.len() - 1) as f64).round() as usize
    };
    let last = clock(end, zone);
    let most = plot.end.saturating_sub(last.width() + 2);
    let marks: Vec<(usize, &Mark)> = state
        .here()
        .into_iter()
        .flat_map(|cluster| cluster.marks.iter())
        .filter(|mark| mark.at >= begin && mark.at <= end)
        .map(|mark| (place(mark.at), mark))
        .collect();
    let mut free = plot.start;
    let first = clock(begin, zone);
    if marks.iter().all(|(x, _)| *x > plot.start + first.width() + 1) {
        free = pen.put(plot.start, y + 1, first.width(), &first, Tone::Faint) + 2;
    }
    for (number, (x, mark)) in marks.iter().enumerate() {
        let (time, text) = (clock(mark.at, zone), mark.text.as_str());
        // The text ends before the next mark: the latest mark is more important than an earlier one close to
        // it.
        let room = marks.get(number + 1).map_or(most, |next| next.0.min(most)).saturating_sub(*x);
        if !mark.timed {
            // What began before its first observation has no place on the axis: its text ends where the observation begins.
            let both = format!("before {time} {text}");
            let place = |label: &str| {
                let left = x.min(&most).checked_sub(label.width()).filter(|begin| *begin >= free);
                left.or((label.width() < room && *x >= free).then_some(*x))
            };
            let label = [both.as_str(), text].into_iter().find_map(|label| Some((place(label)?, label)));
            if let Some((begin, label)) = label {
                free = pen.put(begin, y + 1, label.width(), label, Tone::Faint) + 1;
            }
            continue;
        }
        pen.put(*x, y, 1, tick, Tone::Faint);
        let both = format!("{time} {text}");
        let label = [both.as_str(), text].into_iter().find(|label| label.width() < room && *x >= free);
        if let Some(label) = label {
            free = pen.put(*x, y + 1, label.width(), label, Tone::Faint) + 1;
        } else if number + 1 == marks.len()
            && let Some(begin) = (x + 1).min(most).checked_sub(text.width()).filter(|begin| *begin >= free)
        {
            // The latest mark, near the right edge, has its text on its left.
            free = pen.put(begin, y + 1, text.width(), text, Tone::Faint) + 1;
        }
    }
    pen.right(plot.start, y + 1, plot.len(), &last, Tone::Faint);
}
