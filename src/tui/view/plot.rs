//! Curves on a scale: dots of an eighth of a cell, or letters where only ASCII may be drawn. Both charts use
//! it.

use std::collections::BTreeMap;

use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line, Points};
use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use crate::model::human::count;
use crate::output::theme::Tone;
use crate::tui::curves::Curve;

/// The scale of the chart.
#[derive(Clone, Copy)]
pub(super) struct PlotScale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) rows: usize,
}

impl PlotScale {
    /// The line of a value, from the top.
    pub(super) fn row(self, value: f64) -> usize {
        let part = ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0);
        (part * (self.rows - 1) as f64).round() as usize
    }
}

/// `4,000`, `−30`.
pub(super) fn signed(value: f64, minus: &str) -> String {
    let text = count(value.abs() as u64);
    if value < 0.0 { format!("{minus}{text}") } else { text }
}

/// The axis with these values, written in `label` columns.
pub(super) fn ticks(pen: &mut Painter<'_>, scale: PlotScale, values: &[f64], label: usize) {
    let (tick, rule) = if pen.theme.ascii { ("+", "|") } else { ("┤", "│") };
    let axis = pen.width() - 1;
    for y in 0..scale.rows {
        pen.put(axis, y, 1, rule, Tone::Faint);
    }
    for value in values {
        let y = scale.row(*value);
        pen.right(0, y, label, &signed(*value, pen.symbols().minus), Tone::Faint);
        pen.put(axis, y, 1, tick, Tone::Faint);
    }
}

/// The curves: dots of an eighth of a cell, or one letter per cell.
pub(super) fn lines(pen: &mut Painter<'_>, curves: &[Curve], scale: PlotScale) {
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
pub(super) fn dashes(pen: &mut Painter<'_>, plot: std::ops::Range<usize>, y: usize) {
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

/// `0,1,2`; of names of several words the first is not repeated: `donors mean,min`.
fn joined(curves: &[&Curve]) -> String {
    let mut text = String::new();
    let mut before = None;
    for curve in curves {
        let part = curve.label.split_once(' ');
        let name = match part {
            Some((first, rest)) if before == Some(first) => rest,
            _ => &curve.label,
        };
        before = part.map(|(first, _)| first);
        text.extend([if text.is_empty() { "" } else { "," }, name]);
    }
    text
}

/// The names of the curves at their ends; curves that end on one line share it. Where the names are wider than the
/// line, the last ones are on a free line beside it.
pub(super) fn labels(pen: &mut Painter<'_>, curves: &[Curve], scale: PlotScale) {
    let mut rows: BTreeMap<usize, Vec<&Curve>> = BTreeMap::new();
    // While EMQX does not answer the curves end before the window.
    let last = curves.iter().filter_map(|curve| curve.values.iter().rposition(Option::is_some)).max();
    for curve in curves {
        let Some(value) = last.and_then(|last| curve.values[last]) else { continue };
        rows.entry(scale.row(value)).or_default().push(curve);
    }
    let width = pen.width();
    for row in rows.keys().copied().collect::<Vec<_>>() {
        let beside = [Some(row + 1), row.checked_sub(1)].into_iter().flatten();
        let free = beside.filter(|other| *other < scale.rows).find(|other| !rows.contains_key(other));
        let Some((here, free)) = rows.get_mut(&row).zip(free) else { continue };
        let mut moved = Vec::new();
        while here.len() > 1 && joined(here).width() > width {
            moved.extend(here.pop());
        }
        if !moved.is_empty() {
            moved.reverse();
            rows.insert(free, moved);
        }
    }
    for (row, curves) in rows {
        let tones = || curves.iter().map(|curve| curve.tone);
        let tone = tones().next().filter(|tone| tones().all(|other| other == *tone)).unwrap_or(Tone::Plain);
        let blank = " ".repeat(width);
        pen.put(0, row, width, &blank, Tone::Plain);
        pen.put(0, row, width, &joined(&curves), tone);
    }
}
