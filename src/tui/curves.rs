//! The curves of the cluster's chart: the counts of each node over time; for many nodes the largest, mean and
//! smallest count of each part; during an upgrade the counts of the revisions.

use jiff::Timestamp;

use super::history::{History, HistoryStep, Which};
use super::rows::{Group, Row};
use super::view_model::ViewModel;
use crate::model::Part;
use crate::output::theme::Tone;

/// The quantity of the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantity {
    /// Live clients.
    #[default]
    Connections,
    Sessions,
    /// The change of clients per second.
    Change,
}

impl Quantity {
    /// The quantity that the key shows next.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Connections => Self::Sessions,
            Self::Sessions => Self::Change,
            Self::Change => Self::Connections,
        }
    }

    pub(crate) fn words(self) -> &'static str {
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

/// The shortest window in seconds.
const SHORTEST: i64 = 60;

/// The user's settings of the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChartSettings {
    pub quantity: Quantity,
    /// The index of the window; `None`: the smallest window that contains the operation.
    window: Option<usize>,
    /// Whether the chart replaces the table.
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
    pub(crate) fn window(self, board: &ViewModel) -> i64 {
        WINDOWS[self.place(board)]
    }

    /// Seconds that are shown: the window, or less where the history begins later.
    pub(crate) fn seconds(self, board: &ViewModel, history: &History) -> i64 {
        let age = history.age(board.now).unwrap_or_default();
        self.window(board).min(age.max(SHORTEST))
    }

    /// A longer window, or a shorter one.
    pub(crate) fn widen(&mut self, board: &ViewModel, longer: bool) {
        let place = self.place(board);
        let next = if longer { place + 1 } else { place.saturating_sub(1) };
        self.window = Some(next.min(WINDOWS.len() - 1));
    }
}

/// When the shown operation began.
fn began(board: &ViewModel) -> Option<Timestamp> {
    let upgrade = board.upgrade.as_ref().map(|run| run.began);
    let emptied = board.emptied.iter().filter(|run| run.verdict.is_none()).map(|run| run.began).min();
    board.run.as_ref().map(|run| run.began).into_iter().chain(upgrade).chain(emptied).min()
}

/// One curve: a value for each step, `None` where none is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub label: String,
    /// Its meaning.
    pub tone: Tone,
    /// The values, oldest first.
    pub values: Vec<Option<f64>>,
}

/// The curves of a chart, and the sum over all nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    pub curves: Vec<Curve>,
    /// The sum over all nodes, oldest first.
    pub total: Vec<Option<f64>>,
}

/// With more nodes than this, parts are shown instead of nodes.
pub(crate) const MAX_CURVES: usize = 8;

/// Seconds over which a change is computed.
const CHANGE: f64 = 8.0;

/// The curves of a window: its seconds, and the number of steps.
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
    // Nodes that were removed held clients until then: during an upgrade they are of the previous revision.
    let mut removed = vec![true; history.places()];
    let held_at = |place: usize| -> Vec<Option<f64>> {
        let values = history.held_at(place, &moments, quantity.which());
        let values: Vec<Option<f64>> = values.into_iter().map(|value| value.map(|it| it as f64)).collect();
        if quantity == Quantity::Change { changes(&values, &moments, apart) } else { values }
    };
    let mut held = |row: &Row| -> Vec<Option<f64>> {
        let Some(place) = row.node.as_ref().and_then(|node| history.place(node)) else {
            return vec![None; moments.len()];
        };
        removed[place] = false;
        held_at(place)
    };
    let mut total = Sums::new(moments.len());
    let curve = |label: &str, tone: Tone, values| Curve { label: label.to_owned(), tone, values };
    let curves = if !board.upgrading && rows.len() <= MAX_CURVES {
        let labels = labels(&rows);
        let each = rows.iter().zip(labels).map(|(row, label)| {
            let values = held(row);
            total.add(&values);
            Curve { label, tone: tone(row.part), values }
        });
        let each = each.collect();
        removed_ones(&removed).map(held_at).for_each(|values| total.add(&values));
        each
    } else {
        // For a thousand nodes, only the values of one node at a time are in memory.
        let parts = [None, Some(Part::Donor), Some(Part::Evacuating), Some(Part::Recipient)];
        let mut sums: [Sums; 4] = std::array::from_fn(|_| Sums::new(moments.len()));
        for row in &rows {
            let values = held(row);
            total.add(&values);
            let place = if board.upgrading {
                usize::from(row.group == Group::New)
            } else {
                parts.iter().position(|part| *part == row.part).unwrap_or(0)
            };
            sums[place].add(&values);
        }
        for values in removed_ones(&removed).map(held_at) {
            total.add(&values);
            if board.upgrading {
                sums[0].add(&values);
            }
        }
        let [others, donors, evacuating, recipients] = &sums;
        if board.upgrading {
            vec![
                curve("all", Tone::Plain, total.sum()),
                curve("previous", Tone::Warning, others.sum()),
                curve("target", Tone::Busy, donors.sum()),
            ]
        } else if rows.iter().any(|row| row.part.is_some()) {
            let named = [("donors", donors), ("evacuating", evacuating), ("recipients", recipients)];
            let named = named.into_iter().zip(&parts[1..]);
            named.flat_map(|((name, sums), part)| sums.spread(name, *part)).collect()
        } else {
            others.spread("", None)
        }
    };
    Curves { curves, total: total.sum() }
}

/// The places that are marked.
fn removed_ones(removed: &[bool]) -> impl Iterator<Item = usize> {
    removed.iter().enumerate().filter(|(_, removed)| **removed).map(|(place, _)| place)
}

fn tone(part: Option<Part>) -> Tone {
    match part {
        Some(Part::Donor | Part::Evacuating) => Tone::Warning,
        Some(Part::Recipient) => Tone::Busy,
        None => Tone::Plain,
    }
}

/// The text after the last hyphen, where that distinguishes the nodes.
fn labels(rows: &[&Row]) -> Vec<String> {
    let last = |row: &&Row| row.name.rsplit('-').next().unwrap_or(&row.name).to_owned();
    let short: Vec<String> = rows.iter().map(last).collect();
    let mut different = short.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() == rows.len() { short } else { rows.iter().map(|row| row.name.clone()).collect() }
}

/// The sums of several nodes at each step, over the nodes whose count is known.
struct Sums {
    steps: Vec<Option<StepSum>>,
}

#[derive(Clone, Copy)]
struct StepSum {
    count: f64,
    sum: f64,
    most: f64,
    least: f64,
}

impl Sums {
    fn new(steps: usize) -> Self {
        Self { steps: vec![None; steps] }
    }

    fn add(&mut self, values: &[Option<f64>]) {
        for (step, value) in self.steps.iter_mut().zip(values) {
            let Some(value) = *value else { continue };
            let before = step.unwrap_or(StepSum { count: 0.0, sum: 0.0, most: value, least: value });
            *step = Some(StepSum {
                count: before.count + 1.0,
                sum: before.sum + value,
                most: before.most.max(value),
                least: before.least.min(value),
            });
        }
    }

    fn each(&self, of: impl Fn(StepSum) -> f64) -> Vec<Option<f64>> {
        self.steps.iter().map(|step| step.map(&of)).collect()
    }

    fn sum(&self) -> Vec<Option<f64>> {
        self.each(|step| step.sum)
    }

    /// The largest, the mean and the smallest of a part; nothing for a part without nodes.
    fn spread(&self, name: &str, part: Option<Part>) -> Vec<Curve> {
        if self.steps.iter().all(Option::is_none) {
            return Vec::new();
        }
        let curve = |word: &str, values: Vec<Option<f64>>| Curve {
            label: if name.is_empty() { word.to_owned() } else { format!("{name} {word}") },
            tone: tone(part),
            values,
        };
        vec![
            curve("max", self.each(|step| step.most)),
            curve("mean", self.each(|step| step.sum / step.count)),
            curve("min", self.each(|step| step.least)),
        ]
    }
}

/// Changes per second, each over the preceding seconds.
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

/// The next round number that is not smaller: the top of a scale.
pub(crate) fn round_up(value: f64) -> f64 {
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
        let mut sums = Sums::new(3);
        sums.add(&[Some(1.0), None, None]);
        sums.add(&[Some(2.0), Some(5.0), None]);
        assert_eq!(sums.sum(), [Some(3.0), Some(5.0), None]);
        let spread = sums.spread("donors", None);
        let values: Vec<_> = spread.iter().map(|curve| (curve.label.as_str(), curve.values[0])).collect();
        assert_eq!(
            values,
            [("donors max", Some(2.0)), ("donors mean", Some(1.5)), ("donors min", Some(1.0))]
        );
    }

    #[test]
    fn the_quantities_come_round() {
        let first = Quantity::default();
        assert_eq!(first.next().next().next(), first);
    }
}
