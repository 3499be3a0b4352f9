//! A count over time: ratatui's chart, and one of letters where only ASCII may be drawn.
//!
//! ```text
//! connections                                    3,333
//! 3,333│⠉⠉⠉⠉⠒⠒⠤⠤⣀⣀
//! 2,553│            ⠉⠉⠒⠒⠤⠤
//!      └─────────────────
//!      3m20s ago        now
//! ```

use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::pen::Painter;
use crate::model::human::{count, duration};
use crate::output::theme::Tone;

/// Draws points (seconds before now, count) under a title.
pub(super) fn draw(pen: &mut Painter<'_>, title: &str, points: &[(f64, f64)], tone: Tone) {
    let (width, height) = (pen.width(), pen.height());
    if height < 3 || width < 16 {
        return;
    }
    pen.put(0, 0, width, title, Tone::Strong);
    let Some((_, last)) = points.last().copied() else {
        pen.put(0, 1, width, "not known", Tone::Faint);
        return;
    };
    pen.right(0, 0, width, &count(last as u64), Tone::Strong);
    let oldest = points.first().map_or(-60.0, |point| point.0).min(-60.0);
    let high = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let low = points.iter().map(|point| point.1).fold(f64::MAX, f64::min).max(0.0);
    // A change of a tenth is seen on a scale of its own, more from zero.
    let low = if low > high * 0.5 { (low - (high - low) * 0.2).max(0.0).floor() } else { 0.0 };
    let low = if high - low < 4.0 { (high - 4.0).max(0.0) } else { low };
    let ago = format!("{} ago", duration(oldest.abs() as u64));
    if pen.theme.ascii {
        letters(&mut pen.part(0, 1, width, height - 1), points, oldest, (low, high), tone);
        return;
    }
    let style = pen.style(tone);
    let faint = pen.style(Tone::Faint);
    let data =
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(style).data(points);
    let label = |text: String| Line::from(Span::styled(text, faint));
    let chart = Chart::new(vec![data])
        .x_axis(Axis::default().style(faint).bounds([oldest, 0.0]).labels([label(ago), label("now".into())]))
        .y_axis(
            Axis::default()
                .style(faint)
                .bounds([low, high])
                .labels([label(count(low as u64)), label(count(high as u64))]),
        );
    let place = pen.part(0, 1, width, height - 1);
    chart.render(place.area, place.buffer);
}

fn letters(pen: &mut Painter<'_>, points: &[(f64, f64)], oldest: f64, (low, high): (f64, f64), tone: Tone) {
    let (width, height) = (pen.width(), pen.height());
    let label = count(high as u64).len().max(count(low as u64).len());
    let cells = width.saturating_sub(label + 2);
    let rows = height.saturating_sub(1);
    if cells == 0 || rows == 0 {
        return;
    }
    pen.right(0, 0, label, &count(high as u64), Tone::Faint);
    pen.right(0, rows - 1, label, &count(low as u64), Tone::Faint);
    for y in 0..rows {
        pen.put(label, y, 1, "|", Tone::Faint);
    }
    for cell in 0..cells {
        let end = oldest + (cell + 1) as f64 / cells as f64 * -oldest;
        let Some((_, value)) = points.iter().rev().find(|point| point.0 <= end) else { continue };
        let part = ((value - low) / (high - low).max(1.0)).clamp(0.0, 1.0);
        let row = rows - 1 - (part * (rows - 1) as f64).round() as usize;
        pen.put(label + 1 + cell, row, 1, "*", tone);
    }
    pen.put(label + 1, rows, cells, &format!("{} ago", duration(oldest.abs() as u64)), Tone::Faint);
    pen.right(label + 1, rows, cells, "now", Tone::Faint);
}
