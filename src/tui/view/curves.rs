//! The cluster's chart: one curve a node, from zero, with the goals of what runs and marks where its phases began.
//!
//! ```text
//! connections per node   all 9,970 ▇▇▇▇▇▇▇▇          c sessions  [ ] 5m  C larger
//! 4,000 ┤
//!       │⠉⠉⠉⠉⠒⠒⠤⠤⣀⣀                                              0,1,2
//! 2,000 ┤╌╌╌╌╌╌╌╌╌╌╌╌⠉⠉⠒⠒⠤⠤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ goal
//!     0 ┤⣀⣀⣀⡠⠤⠔⠒⠉                                               3
//!       └──┬────────────┬──────────────────────────────────────────
//!          08:42:12 created  08:42:22 evict                   08:47:12
//! ```

use jiff::Timestamp;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line, Points};
use unicode_width::UnicodeWidthStr;

use super::pen::{Painter, spark};
use crate::model::human::{clock, count, duration};
use crate::output::theme::Tone;
use crate::tui::curves::{Curve, Quantity, curves, round_up};
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// Fewer lines show no shape.
pub(super) const LINES: usize = 8;

/// Fewer columns show no shape.
pub(super) const COLUMNS: usize = 60;

/// More lines than this tell nothing more.
const MOST_LINES: usize = 26;

/// With more curves a step is a cell, with fewer half a cell.
const FINE_CURVES: usize = 64;

/// Columns for the names of the curves at the right end.
const NAMES: usize = 15;

/// The lines that the chart takes of those that the table leaves, with an empty one below it.
pub(super) fn height(state: &State, left: usize, width: usize) -> usize {
    if state.here().is_none() || left <= LINES || width < COLUMNS { 0 } else { left.min(MOST_LINES + 1) }
}

/// The scale of the chart.
#[derive(Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    rows: usize,
}

impl Scale {
    fn row(self, value: f64) -> usize {
        let part = ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0);
        (part * (self.rows - 1) as f64).round() as usize
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
    let names = if width >= COLUMNS { NAMES } else { 0 };
    let many = board.rows.len() > FINE_CURVES;
    // The labels of the scale are as wide as its largest number, which the curves decide.
    let cells = width.saturating_sub(names + 10);
    let drawn =
        curves(board, &cluster.history, settings.quantity, seconds, if many { cells } else { cells * 2 });
    let values = || drawn.curves.iter().flat_map(|curve| &curve.values).flatten().copied();
    let goals = goals(board, settings.quantity);
    let high = round_up(values().chain(goals.iter().map(|goal| *goal as f64)).fold(0.0, f64::max));
    let low =
        if settings.quantity == Quantity::Change { -round_up(-values().fold(0.0, f64::min)) } else { 0.0 };
    let scale = Scale { low, high, rows: height - 3 };

    let total = (settings.quantity != Quantity::Change).then_some(drawn.total.as_slice());
    title(state, board, pen, total);
    let minus = pen.symbols().minus;
    let label = [low, high].map(|value| signed(value, minus).width()).into_iter().max().unwrap_or(1);
    let left = label + 2;
    let plot = left..(left + cells).min(width - names);
    ticks(pen, scale, label);
    if values().next().is_none() {
        pen.put(left + 1, 1 + scale.rows / 2, plot.len(), "no count in this window", Tone::Faint);
    }
    lines(&mut pen.part(left, 1, plot.len(), scale.rows), &drawn.curves, scale);
    for goal in &goals {
        let row = scale.row(*goal as f64);
        dashes(pen, plot.clone(), 1 + row);
        if names > 0 {
            let alone = goals.iter().filter(|it| scale.row(**it as f64) == row).count() == 1;
            let text = if alone { format!("goal {}", count(*goal)) } else { "goals".to_owned() };
            pen.put(plot.end + 1, 1 + row, names - 1, &text, Tone::Faint);
        }
    }
    if names > 0 {
        labels(&mut pen.part(plot.end + 1, 1, names - 1, scale.rows), &drawn.curves, scale);
    }
    axis(state, board, pen, plot, seconds);
}

/// Where the nodes end, as far as it is known.
fn goals(board: &ViewModel, quantity: Quantity) -> Vec<u64> {
    match &board.goals {
        Some(goals) if quantity == Quantity::Connections => {
            vec![goals.donors.round() as u64, goals.recipients.round() as u64]
        }
        _ => Vec::new(),
    }
}

fn title(state: &State, board: &ViewModel, pen: &mut Painter<'_>, total: Option<&[Option<u64>]>) {
    let width = pen.width();
    let quantity = state.chart.quantity;
    let per = if board.upgrading { " per revision" } else { " per node" };
    let mut x = pen.put(0, 0, width, &format!("{}{per}", quantity.words()), Tone::Strong) + 3;
    let window = duration(state.chart.window(board).unsigned_abs());
    let next = quantity.next().words();
    let whole = if state.chart.whole { "C table" } else { "C larger" };
    let keys = format!("c {next}  [ ] {window}  {whole}");
    if x + keys.width() < width {
        pen.right(0, 0, width, &keys, Tone::Faint);
    }
    let Some(now) = total.and_then(|total| total.iter().rev().find_map(|value| *value)) else { return };
    let text = format!("all {} ", count(now));
    let room = width.saturating_sub(keys.width() + 3);
    if x + text.width() + 8 > room {
        return;
    }
    x = pen.put(x, 0, room, &text, Tone::Plain);
    let total = total.unwrap_or_default();
    let most = total.iter().flatten().copied().max().unwrap_or(1);
    let cells = (room - x).min(24);
    let thinned: Vec<Option<u64>> = (1..=cells)
        .map(|cell| total.get((cell * total.len() / cells).max(1) - 1).copied().flatten())
        .collect();
    pen.put(x, 0, cells, &spark(&thinned, most, pen.theme), Tone::Plain);
}

/// `4,000`, `−30`.
fn signed(value: f64, minus: &str) -> String {
    let text = count(value.abs() as u64);
    if value < 0.0 { format!("{minus}{text}") } else { text }
}

fn ticks(pen: &mut Painter<'_>, scale: Scale, label: usize) {
    let ascii = pen.theme.ascii;
    let (tick, rule) = if ascii { ("+", "|") } else { ("┤", "│") };
    for y in 0..scale.rows {
        pen.put(label + 1, 1 + y, 1, rule, Tone::Faint);
    }
    let middle = if scale.low < 0.0 { 0.0 } else { scale.high / 2.0 };
    for value in [scale.high, middle, scale.low] {
        let y = 1 + scale.row(value);
        pen.right(0, y, label, &signed(value, pen.symbols().minus), Tone::Faint);
        pen.put(label + 1, y, 1, tick, Tone::Faint);
    }
}

/// The curves themselves: dots of an eighth of a cell, or a letter a cell.
fn lines(pen: &mut Painter<'_>, curves: &[Curve], scale: Scale) {
    let (width, height) = (pen.width(), pen.height());
    if width == 0 || height == 0 {
        return;
    }
    if pen.theme.ascii {
        for curve in curves {
            let mark = curve.label.chars().next().filter(char::is_ascii_graphic).unwrap_or('*').to_string();
            for cell in 0..width {
                let place = (cell + 1) * curve.values.len() / width;
                let value = place.checked_sub(1).and_then(|place| curve.values[place]);
                if let Some(value) = value {
                    pen.put(cell, scale.row(value), 1, &mark, curve.tone);
                }
            }
        }
        return;
    }
    let colour = |tone: Tone| pen.style(tone).fg.unwrap_or(Color::Reset);
    let coloured: Vec<(&Curve, Color)> = curves.iter().map(|curve| (curve, colour(curve.tone))).collect();
    let steps = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(1).max(2);
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, (steps - 1) as f64])
        .y_bounds([scale.low, scale.high])
        .paint(|drawing| {
            for (curve, color) in &coloured {
                for (place, two) in curve.values.windows(2).enumerate() {
                    let x = place as f64;
                    match (two[0], two[1]) {
                        (Some(y1), Some(y2)) => {
                            drawing.draw(&Line { x1: x, y1, x2: x + 1.0, y2, color: *color });
                        }
                        (None, Some(y)) => drawing.draw(&Points { coords: &[(x + 1.0, y)], color: *color }),
                        _ => {}
                    }
                }
            }
        });
    canvas.render(pen.area, pen.buffer);
}

/// A dashed line wherever no curve is.
fn dashes(pen: &mut Painter<'_>, plot: std::ops::Range<usize>, y: usize) {
    let dash = if pen.theme.ascii { "-" } else { "╌" };
    for x in plot {
        let place = pen.part(x, y, 1, 1);
        let free = place.area.area() == 1
            && matches!(place.buffer[(place.area.x, place.area.y)].symbol(), " " | "\u{2800}");
        if free {
            pen.put(x, y, 1, dash, Tone::Faint);
        }
    }
}

/// The names of the curves, where they end; those that end on one line share it.
fn labels(pen: &mut Painter<'_>, curves: &[Curve], scale: Scale) {
    let mut rows: Vec<(usize, String, Tone)> = Vec::new();
    for curve in curves {
        let Some(value) = curve.values.last().copied().flatten() else { continue };
        let row = scale.row(value);
        match rows.iter_mut().find(|(other, ..)| *other == row) {
            Some((_, text, tone)) => {
                text.push(',');
                text.push_str(&curve.label);
                if *tone != curve.tone {
                    *tone = Tone::Plain;
                }
            }
            None => rows.push((row, curve.label.clone(), curve.tone)),
        }
    }
    let width = pen.width();
    for (row, text, tone) in rows {
        let blank = " ".repeat(width);
        pen.put(0, row, width, &blank, Tone::Plain);
        pen.put(0, row, width, &text, tone);
    }
}

/// The time: where the window begins and ends, and what began in it.
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
    let marks: Vec<(usize, String, &str)> = state
        .here()
        .into_iter()
        .flat_map(|cluster| cluster.marks.iter())
        .filter(|mark| mark.at >= begin && mark.at <= end)
        .map(|mark| (place(mark.at), clock(mark.at, zone), mark.text.as_str()))
        .collect();
    let mut free = plot.start;
    let first = clock(begin, zone);
    if marks.iter().all(|(x, ..)| *x > plot.start + first.width() + 1) {
        free = pen.put(plot.start, y + 1, first.width(), &first, Tone::Faint) + 2;
    }
    for (number, (x, time, text)) in marks.iter().enumerate() {
        pen.put(*x, y, 1, tick, Tone::Faint);
        // Up to the next mark: what began last is worth more than what began a moment before it.
        let room = marks.get(number + 1).map_or(most, |next| next.0.min(most)).saturating_sub(*x);
        let both = format!("{time} {text}");
        let label = [both.as_str(), text].into_iter().find(|label| label.width() < room && *x >= free);
        if let Some(label) = label {
            free = pen.put(*x, y + 1, label.width(), label, Tone::Faint) + 1;
        }
    }
    pen.right(plot.start, y + 1, plot.len(), &last, Tone::Faint);
}
