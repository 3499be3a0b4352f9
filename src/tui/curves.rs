//! The curves of the cluster's chart: what each node held over time; for many nodes the largest, mean and smallest of each
//! part; during an upgrade the revisions.

use jiff::Timestamp;

use super::history::{History, HistoryStep, Which};
use super::rows::{Group, Row};
use super::view_model::ViewModel;
use crate::model::Part;
use crate::output::theme::Tone;

/// What the chart shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantity {
    /// Live clients.
    #[default]
    Connections,
    /// Sessions.
    Sessions,
    /// Clients more or fewer per second.
    Change,
}

impl Quantity {
    /// The one that the key shows next.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Connections => Self::Sessions,
            Self::Sessions => Self::Change,
            Self::Change => Self::Connections,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sessions => "sessions",
            Self::Change => "change per second",
        }
    }

    fn which(self) -> Which {
        match self {
            Self::Connections | Self::Change => Which::Connections,
            Self::Sessions => Which::Sessions,
        }
    }
}

/// The windows that can be chosen, in seconds.
const WINDOWS: [i64; 4] = [300, 900, 3_600, 14_400];

/// Fewer seconds are never shown.
const SHORTEST: i64 = 60;

/// How the user set the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChartSettings {
    /// What it shows.
    pub quantity: Quantity,
    /// The window, by its place; `None`: the smallest one that holds the operation.
    window: Option<usize>,
    /// Whether it takes the place of the table.
    pub whole: bool,
}

impl ChartSettings {
    fn place(self, board: &ViewModel) -> usize {
        let fitting = || {
            let age = began(board).map_or(0, |began| board.now.duration_since(began).as_secs());
            WINDOWS.iter().position(|window| age + age / 10 < *window).unwrap_or(WINDOWS.len() - 1)
        };
        self.window.unwrap_or_else(fitting)
    }

    /// Seconds of the window.
    pub fn window(self, board: &ViewModel) -> i64 {
        WINDOWS[self.place(board)]
    }

    /// Seconds that are shown: the window, or less where the history begins in it.
    pub fn seconds(self, board: &ViewModel, history: &History) -> i64 {
        let age = history.age(board.now).unwrap_or_default();
        self.window(board).min(age.max(SHORTEST))
    }

    /// A longer window, or a shorter one.
    pub fn widen(&mut self, board: &ViewModel, longer: bool) {
        let place = self.place(board);
        let next = if longer { place + 1 } else { place.saturating_sub(1) };
        self.window = Some(next.min(WINDOWS.len() - 1));
    }
}

/// When what is shown began.
fn began(board: &ViewModel) -> Option<Timestamp> {
    let upgrade = board.upgrade.as_ref().map(|run| run.began);
    let emptied = board.emptied.iter().filter(|run| run.verdict.is_none()).map(|run| run.began).min();
    board.run.as_ref().map(|run| run.began).into_iter().chain(upgrade).chain(emptied).min()
}

/// One curve: a value for each step, `None` where none is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is, in a word.
    pub label: String,
    /// Its meaning.
    pub tone: Tone,
    /// The values, oldest first.
    pub values: Vec<Option<f64>>,
}

/// The curves of a chart, and the sum over all nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// The curves.
    pub curves: Vec<Curve>,
    /// What all nodes held together, oldest first.
    pub total: Vec<Option<u64>>,
}

/// With more nodes than this, parts are shown instead of nodes.
const NODES: usize = 8;

/// Seconds over which a change is taken.
const CHANGE: f64 = 8.0;

/// The curves of a window of so many seconds in so many steps.
pub fn curves(
    board: &ViewModel,
    history: &History,
    quantity: Quantity,
    seconds: i64,
    steps: usize,
) -> Curves {
    let rows: Vec<&Row> = board.rows.iter().filter(|row| row.node.is_some()).collect();
    let moments = history.steps(steps, seconds, board.now);
    let apart = seconds as f64 / steps.max(1) as f64;
    let held = |row: &Row| -> Vec<Option<f64>> {
        let Some(node) = &row.node else { return Vec::new() };
        let values = history.held(node, &moments, quantity.which());
        let values: Vec<Option<f64>> = values.into_iter().map(|value| value.map(|it| it as f64)).collect();
        if quantity == Quantity::Change { changes(&values, &moments, apart) } else { values }
    };
    let all: Vec<(&Row, Vec<Option<f64>>)> = rows.iter().map(|row| (*row, held(row))).collect();
    let of = |fits: &dyn Fn(&Row) -> bool| -> Vec<&Vec<Option<f64>>> {
        all.iter().filter(|(row, _)| fits(row)).map(|(_, values)| values).collect()
    };
    let everything = of(&|_| true);
    let total = sum(&everything, moments.len());
    let curve = |label: &str, tone: Tone, values| Curve { label: label.to_owned(), tone, values };
    let curves = if board.upgrading {
        let revision = |group: Group| sum(&of(&|row| row.group == group), moments.len());
        vec![
            curve("all", Tone::Plain, total.clone()),
            curve("previous", Tone::Warning, revision(Group::Old)),
            curve("target", Tone::Busy, revision(Group::New)),
        ]
    } else if all.len() <= NODES {
        let labels = labels(&rows);
        all.iter()
            .zip(labels)
            .map(|((row, values), label)| Curve { label, tone: tone(row.part), values: values.clone() })
            .collect()
    } else {
        let parts: &[(&str, Option<Part>)] = if rows.iter().any(|row| row.part.is_some()) {
            &[
                ("donors", Some(Part::Donor)),
                ("evacuating", Some(Part::Evacuating)),
                ("recipients", Some(Part::Recipient)),
            ]
        } else {
            &[("", None)]
        };
        parts
            .iter()
            .flat_map(|(name, part)| spread(name, *part, &of(&|row| row.part == *part), moments.len()))
            .collect()
    };
    let total = total.into_iter().map(|value| value.map(|value| value.max(0.0) as u64)).collect();
    Curves { curves, total }
}

fn tone(part: Option<Part>) -> Tone {
    match part {
        Some(Part::Donor | Part::Evacuating) => Tone::Warning,
        Some(Part::Recipient) => Tone::Busy,
        None => Tone::Plain,
    }
}

/// What follows the last hyphen, where that tells the nodes apart.
fn labels(rows: &[&Row]) -> Vec<String> {
    let last = |row: &&Row| row.name.rsplit('-').next().unwrap_or(&row.name).to_owned();
    let short: Vec<String> = rows.iter().map(last).collect();
    let mut different = short.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() == rows.len() { short } else { rows.iter().map(|row| row.name.clone()).collect() }
}

/// The sum at each step: of those of which something is known.
fn sum(curves: &[&Vec<Option<f64>>], steps: usize) -> Vec<Option<f64>> {
    (0..steps)
        .map(|step| curves.iter().filter_map(|curve| curve.get(step).copied().flatten()).reduce(|a, b| a + b))
        .collect()
}

/// The largest, the mean and the smallest of a part.
fn spread(name: &str, part: Option<Part>, curves: &[&Vec<Option<f64>>], steps: usize) -> Vec<Curve> {
    if curves.is_empty() {
        return Vec::new();
    }
    let at = |step: usize| curves.iter().filter_map(move |curve| curve.get(step).copied().flatten());
    let mean = |step: usize| {
        let (count, sum) = at(step).fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
        (count > 0.0).then(|| sum / count)
    };
    let curve = |word: &str, values: Vec<Option<f64>>| Curve {
        label: if name.is_empty() { word.to_owned() } else { format!("{name} {word}") },
        tone: tone(part),
        values,
    };
    vec![
        curve("max", (0..steps).map(|step| at(step).reduce(f64::max)).collect()),
        curve("mean", (0..steps).map(mean).collect()),
        curve("min", (0..steps).map(|step| at(step).reduce(f64::min)).collect()),
    ]
}

/// Changes per second, each over the last seconds.
fn changes(values: &[Option<f64>], moments: &[Option<HistoryStep>], apart: f64) -> Vec<Option<f64>> {
    let back = (CHANGE / apart.max(0.001)).ceil().max(1.0) as usize;
    (0..values.len())
        .map(|step| {
            let before = step.checked_sub(back)?;
            let seconds = (moments[step]?.at - moments[before]?.at) as f64 / 1000.0;
            let change = values[step]? - values[before]?;
            if seconds > 0.0 { Some(change / seconds) } else { None }
        })
        .collect()
}

/// A round number that is not smaller: the top of a scale.
pub fn round_up(value: f64) -> f64 {
    if value <= 4.0 {
        return 4.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * unit)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_scale_is_round_and_never_below_the_value() {
        for (value, top) in
            [(0.0, 4.0), (3334.0, 4000.0), (10_000.0, 10_000.0), (10_001.0, 12_000.0), (7.0, 8.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-6, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_sum_leaves_out_what_is_not_known_and_is_unknown_where_nothing_is() {
        let (one, other) = (vec![Some(1.0), None, None], vec![Some(2.0), Some(5.0), None]);
        assert_eq!(sum(&[&one, &other], 3), [Some(3.0), Some(5.0), None]);
    }

    #[test]
    fn the_quantities_come_round() {
        let first = Quantity::default();
        assert_eq!(first.next().next().next(), first);
    }
}
