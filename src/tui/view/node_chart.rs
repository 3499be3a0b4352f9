//! The counts of one node over time.
//!
//! ```text
//! connections                                    3,333
//! 3,333┤⠉⠉⠉⠉⠒⠒⠤⠤⣀⣀
//! 2,553┤            ⠉⠉⠒⠒⠤⠤
//!      └─────────────────
//!       3m20s ago       now
//! ```

use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use super::plot::{self, PlotScale};
use crate::model::human::{count, duration};
use crate::output::theme::Tone;
use crate::tui::curves::Curve;

/// Draws points (seconds before now, count) under a title.
pub(super) fn draw(pen: &mut Painter<'_>, title: &str, points: &[(f64, f64)], tone: Tone) {
    let (width, height) = (pen.width(), pen.height());
    if height < 4 || width < 16 {
        return;
    }
    pen.put(0, 0, width, title, Tone::Strong);
    let Some((_, last)) = points.last().copied() else {
        pen.put(0, 1, width, "not known", Tone::Faint);
        return;
    };
    pen.right(0, 0, width, &count(last as u64), Tone::Strong);
    let oldest = points.first().map_or(-60.0, |point| point.0).min(-60.0);
    let scale = scale(points, height - 3);
    let label =
        [scale.low, scale.high].map(|value| count(value as u64).width()).into_iter().max().unwrap_or(1);
    plot::ticks(&mut pen.part(0, 1, label + 1, scale.rows), scale, &[scale.high, scale.low], label);
    let cells = width.saturating_sub(label + 1);
    let steps = if pen.theme.ascii { cells } else { cells * 2 };
    let mark = if pen.theme.ascii { "*" } else { "" };
    let curve = Curve { label: mark.to_owned(), tone, values: values(points, oldest, steps) };
    plot::lines(&mut pen.part(label + 1, 1, cells, scale.rows), &[curve], scale);
    let (corner, rule) = if pen.theme.ascii { ("+", "-") } else { ("└", "─") };
    pen.put(label, height - 2, width, &format!("{corner}{}", rule.repeat(cells)), Tone::Faint);
    let ago = format!("{} ago", duration(oldest.abs() as u64));
    pen.put(label + 1, height - 1, cells, &ago, Tone::Faint);
    pen.right(label + 1, height - 1, cells, "now", Tone::Faint);
}

/// The scale: a small change gets a scale of its own, a change by half begins at zero.
fn scale(points: &[(f64, f64)], rows: usize) -> PlotScale {
    let high = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let low = points.iter().map(|point| point.1).fold(f64::MAX, f64::min).max(0.0);
    let low = if low > high * 0.5 { (low - (high - low) * 0.2).max(0.0).floor() } else { 0.0 };
    let low = if high - low < 4.0 { (high - 4.0).max(0.0) } else { low };
    PlotScale { low, high: if high - low < 4.0 { low + 4.0 } else { high }, rows }
}

/// The count at each step from `oldest` to now: the last one before the step.
fn values(points: &[(f64, f64)], oldest: f64, steps: usize) -> Vec<Option<f64>> {
    (0..steps)
        .map(|step| {
            let end = oldest - (step + 1) as f64 / steps as f64 * oldest;
            let behind = points.partition_point(|point| point.0 <= end + 1e-9);
            behind.checked_sub(1).map(|place| points[place].1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_the_last_count_by_then() {
        let points = [(-60.0, 5.0), (-30.0, 7.0), (0.0, 9.0)];
        assert_eq!(values(&points, -60.0, 4), [Some(5.0), Some(7.0), Some(7.0), Some(9.0)]);
        assert_eq!(values(&[(-10.0, 3.0)], -60.0, 3), [None, None, Some(3.0)]);
    }

    #[test]
    fn a_scale_is_never_empty() {
        for points in [vec![(0.0, 0.0)], vec![(0.0, 5.0), (1.0, 5.0)], vec![(0.0, 3000.0), (1.0, 2990.0)]] {
            let scale = scale(&points, 5);
            assert!(scale.high > scale.low, "{points:?}");
        }
    }
}
