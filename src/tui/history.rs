//! The counts of every node over the last minutes and hours, bounded: a fine tier for sparklines and changes
//! per second, a coarse one for charts of hours. The memory for each node is fixed, however long the view is
//! open.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use jiff::Timestamp;

use crate::model::NodeName;
use crate::timing::STALE_SOURCE_SECONDS;

/// Samples of the fine tier: five minutes with one sample per second.
const FINE: usize = 300;

/// With more nodes than this the fine tier has a sample every two seconds, and half of the samples.
const MANY: usize = 200;

/// Milliseconds between two samples of the fine tier with many nodes; less than two seconds, because EMQX is asked every second
/// and answers a little earlier or later.
const MANY_EVERY: i64 = 1_500;

/// Samples of the coarse tier, one per minute: four hours.
const COARSE: usize = 240;

/// Milliseconds between two samples of the coarse tier.
const COARSE_EVERY: i64 = 60_000;

/// Milliseconds over which a change per second is computed: clients are disconnected once a second and
/// reconnect a moment later.
const WINDOW: i64 = 8_000;

/// An unknown count.
const NONE: u32 = u32::MAX;

/// Connections and sessions; [`NONE`] is unknown.
type Pair = (u32, u32);

/// Which of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Live clients.
    Connections,
    Sessions,
}

fn pick(pair: Pair, which: Which) -> Option<u64> {
    let value = match which {
        Which::Connections => pair.0,
        Which::Sessions => pair.1,
    };
    (value != NONE).then_some(u64::from(value))
}

/// An unknown count among differences.
const UNKNOWN: i16 = i16::MIN;

/// The counts of all nodes at one moment, by their places. Most counts change little over an hour: a sample has the differences
/// from counts that many samples share, which take half of the memory.
#[derive(Clone, Debug)]
struct Sample {
    base: Rc<[Pair]>,
    differences: Box<[(i16, i16)]>,
}

impl Sample {
    /// Counts as differences from those of an earlier sample where they are small, otherwise from themselves.
    fn new(values: &[Pair], earlier: Option<&Self>) -> Self {
        let shared = earlier.and_then(|earlier| {
            let base = earlier.base.clone();
            let all = values.iter().enumerate().map(|(place, value)| {
                let base = base.get(place)?;
                Some((difference(base.0, value.0)?, difference(base.1, value.1)?))
            });
            let differences = all.collect::<Option<Box<[_]>>>()?;
            Some(Self { base, differences })
        });
        shared.unwrap_or_else(|| {
            let own = |count: u32| if count == NONE { UNKNOWN } else { 0 };
            let differences = values.iter().map(|value| (own(value.0), own(value.1))).collect();
            Self { base: values.into(), differences }
        })
    }

    /// The counts of the node in a place; a node that was seen later has none.
    fn pair(&self, place: usize) -> Pair {
        let count = |base: u32, difference: i16| match difference {
            UNKNOWN => NONE,
            difference => base.wrapping_add_signed(difference.into()),
        };
        match self.base.get(place).zip(self.differences.get(place)) {
            Some((base, differences)) => (count(base.0, differences.0), count(base.1, differences.1)),
            None => (NONE, NONE),
        }
    }
}

/// The difference from `base`; `None` where it is too large.
fn difference(base: u32, count: u32) -> Option<i16> {
    if count == NONE {
        return Some(UNKNOWN);
    }
    let known = Some(base).filter(|base| *base != NONE)?;
    i16::try_from(i64::from(count) - i64::from(known)).ok().filter(|difference| *difference != UNKNOWN)
}

#[derive(Clone, Debug)]
struct Tier {
    every: i64,
    keep: usize,
    times: VecDeque<i64>,
    /// One for each time: a queue for each node would double its memory whenever it grows.
    samples: VecDeque<Sample>,
}

impl Tier {
    fn new(every: i64, keep: usize) -> Self {
        Self { every, keep, times: VecDeque::new(), samples: VecDeque::new() }
    }

    fn due(&self, at: i64) -> bool {
        self.times.back().is_none_or(|last| at >= last + self.every.max(1))
    }

    fn push(&mut self, at: i64, values: &[Pair]) {
        while self.times.len() >= self.keep {
            self.times.pop_front();
            self.samples.pop_front();
        }
        self.times.push_back(at);
        self.samples.push_back(Sample::new(values, self.samples.back()));
    }

    /// The counts of a node in a sample; a node that was seen later has none.
    fn pair(&self, sample: usize, place: usize) -> Pair {
        self.samples[sample].pair(place)
    }

    /// Whether no sample has a count of this node.
    fn is_silent(&self, place: usize) -> bool {
        (0..self.times.len()).all(|sample| self.pair(sample, place) == (NONE, NONE))
    }

    /// The index of the last sample that is not later.
    fn place(&self, at: i64) -> Option<usize> {
        self.times.partition_point(|time| *time <= at).checked_sub(1)
    }
}

/// A sample of the history, as `History::steps` found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryStep {
    /// When it was taken, in milliseconds since 1970.
    pub at: i64,
    fine: bool,
    place: usize,
}

/// Milliseconds after which a sample no longer counts: EMQX is polled at least every 10 s.
const SAMPLE_MAX_AGE_MILLIS: i64 = 60_000;

/// The same for the last sample, as for the numbers of the head: a curve ends where EMQX stopped answering.
const LAST_MAX_AGE_MILLIS: i64 = STALE_SOURCE_SECONDS.cast_signed() * 1000;

/// The history of a cluster's nodes.
#[derive(Clone, Debug)]
pub struct History {
    index: BTreeMap<NodeName, usize>,
    fine: Tier,
    coarse: Tier,
}

impl Default for History {
    fn default() -> Self {
        Self { index: BTreeMap::new(), fine: Tier::new(0, FINE), coarse: Tier::new(COARSE_EVERY, COARSE) }
    }
}

impl History {
    /// Adds the counts of the nodes at a moment. A moment that is not later than the last one is ignored.
    pub(crate) fn push<'a>(
        &mut self,
        at: Timestamp,
        nodes: impl IntoIterator<Item = (&'a NodeName, Option<u64>, Option<u64>)>,
    ) {
        let at = at.as_millisecond();
        if !self.fine.due(at) {
            return;
        }
        let mut values = vec![(NONE, NONE); self.index.len()];
        let narrow = |count: Option<u64>| {
            count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count != NONE).unwrap_or(NONE)
        };
        for (node, connections, sessions) in nodes {
            let pair = (narrow(connections), narrow(sessions));
            if let Some(place) = self.index.get(node) {
                values[*place] = pair;
            } else {
                self.index.insert(node.clone(), values.len());
                values.push(pair);
            }
        }
        if values.len() > MANY {
            (self.fine.every, self.fine.keep) = (MANY_EVERY, FINE / 2);
        }
        self.fine.push(at, &values);
        if self.coarse.due(at) {
            self.coarse.push(at, &values);
            self.forget();
        }
    }

    /// Drops nodes without samples in both tiers.
    fn forget(&mut self) {
        let gone: Vec<bool> = (0..self.index.len())
            .map(|place| self.coarse.is_silent(place) && self.fine.is_silent(place))
            .collect();
        if !gone.contains(&true) {
            return;
        }
        let mut place = 0;
        let places: Vec<usize> = gone
            .iter()
            .map(|gone| {
                place += usize::from(!gone);
                place.wrapping_sub(1)
            })
            .collect();
        self.index.retain(|_, place| !gone[*place]);
        self.index.values_mut().for_each(|place| *place = places[*place]);
        for tier in [&mut self.fine, &mut self.coarse] {
            let mut before: Option<Sample> = None;
            for sample in &mut tier.samples {
                let kept: Vec<Pair> = gone
                    .iter()
                    .enumerate()
                    .filter(|(_, gone)| !**gone)
                    .map(|(place, _)| sample.pair(place))
                    .collect();
                *sample = Sample::new(&kept, before.as_ref());
                before = Some(sample.clone());
            }
        }
    }

    /// The change of clients per second.
    pub(crate) fn rate(&self, node: &NodeName, until: Timestamp) -> Option<f64> {
        self.slope(self.place(node)?, &self.window(until)?)
    }

    /// Clients that connect to any node, per second.
    pub(crate) fn arrivals(&self, until: Timestamp) -> Option<f64> {
        let window = self.window(until)?;
        let slopes = (0..self.places()).filter_map(|place| self.slope(place, &window));
        Some(slopes.filter(|slope| *slope > 0.0).sum())
    }

    /// The samples over which a change is computed: those of the last seconds, at least two.
    fn window(&self, until: Timestamp) -> Option<std::ops::RangeInclusive<usize>> {
        let last = self.fine.place(until.as_millisecond())?;
        let from = self.fine.times[last] - WINDOW;
        let first = self.fine.times.partition_point(|time| *time < from).min(last.checked_sub(1)?);
        Some(first..=last)
    }

    /// The slope of the line that fits the samples best. Clients are disconnected once a second, and EMQX is
    /// asked about once a second: the difference of two samples would jump by a whole round.
    fn slope(&self, node: usize, window: &std::ops::RangeInclusive<usize>) -> Option<f64> {
        let zero = self.fine.times[*window.end()];
        let (mut count, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let base = pick(self.fine.pair(*window.end(), node), Which::Connections)? as f64;
        for place in window.clone() {
            let Some(value) = pick(self.fine.pair(place, node), Which::Connections) else { continue };
            let (at, value) = ((self.fine.times[place] - zero) as f64 / 1000.0, value as f64 - base);
            count += 1.0;
            x += at;
            y += value;
            xx += at * at;
            xy += at * value;
        }
        let spread = count * xx - x * x;
        (count >= 2.0 && spread > 0.0).then(|| (count * xy - x * y) / spread)
    }

    /// The counts of a node, in `cells` steps over the last `seconds`; `None` where unknown.
    pub(crate) fn spark(
        &self,
        node: &NodeName,
        cells: usize,
        seconds: i64,
        until: Timestamp,
    ) -> Vec<Option<u64>> {
        let Some(place) = self.place(node) else { return vec![None; cells] };
        let until = until.as_millisecond();
        let step = (seconds * 1000 / cells.max(1).cast_signed() as i64).max(1);
        let begin = self.fine.times.front().copied().unwrap_or(i64::MAX);
        (0..cells)
            .map(|cell| {
                let end = until - step * (cells - 1 - cell).cast_signed() as i64;
                if end < begin {
                    return None;
                }
                let sample = self.fine.place(end)?;
                // An old count is not one of now.
                let old = end - self.fine.times[sample] > SAMPLE_MAX_AGE_MILLIS.max(step);
                pick(self.fine.pair(sample, place), Which::Connections).filter(|_| !old)
            })
            .collect()
    }

    /// The largest count of a node among the samples since this moment.
    pub(crate) fn most(&self, node: &NodeName, since: Option<Timestamp>) -> Option<u64> {
        let place = *self.index.get(node)?;
        let since = since.map_or(i64::MIN, Timestamp::as_millisecond);
        [&self.fine, &self.coarse]
            .into_iter()
            .flat_map(|tier| tier.times.iter().enumerate().map(move |(sample, time)| (tier, sample, *time)))
            .filter(|(_, _, time)| *time >= since)
            .filter_map(|(tier, sample, _)| pick(tier.pair(sample, place), Which::Connections))
            .max()
    }

    /// Seconds since the first sample.
    pub(crate) fn age(&self, until: Timestamp) -> Option<i64> {
        let first = [&self.fine, &self.coarse].into_iter().filter_map(|tier| tier.times.front()).min()?;
        Some((until.as_millisecond() - first) / 1000)
    }

    /// For each of `count` steps up to `until`, the last sample before it; `None` where that is too old.
    pub(crate) fn steps(&self, count: usize, seconds: i64, until: Timestamp) -> Vec<Option<HistoryStep>> {
        let until = until.as_millisecond();
        let step = (seconds * 1000 / count.max(1).cast_signed() as i64).max(1);
        let found = |tier: &Tier, fine: bool, end: i64| {
            let place = tier.place(end)?;
            let at = tier.times[place];
            let most = match fine {
                true if place + 1 == tier.times.len() => LAST_MAX_AGE_MILLIS,
                true => SAMPLE_MAX_AGE_MILLIS,
                false => COARSE_EVERY * 3 / 2,
            };
            (end - at <= most.max(step)).then_some(HistoryStep { at, fine, place })
        };
        (0..count)
            .map(|number| {
                let end = until - step * (count - 1 - number).cast_signed() as i64;
                // A coarse sample is never later than the last fine one.
                let fine = self.fine.place(end).is_some();
                found(if fine { &self.fine } else { &self.coarse }, fine, end)
            })
            .collect()
    }

    /// The counts of a node at each of these steps.
    #[cfg(test)]
    fn held(&self, node: &NodeName, steps: &[Option<HistoryStep>], which: Which) -> Vec<Option<u64>> {
        self.place(node).map_or_else(|| vec![None; steps.len()], |place| self.held_at(place, steps, which))
    }

    /// The place of a node among those of which something is kept.
    pub(crate) fn place(&self, node: &NodeName) -> Option<usize> {
        self.index.get(node).copied()
    }

    /// The number of nodes of which something is kept, with those that EMQX lists no more.
    pub(crate) fn places(&self) -> usize {
        self.index.len()
    }

    /// The same of the node in this place.
    pub(crate) fn held_at(
        &self,
        place: usize,
        steps: &[Option<HistoryStep>],
        which: Which,
    ) -> Vec<Option<u64>> {
        let value = |step: &HistoryStep| {
            let tier = if step.fine { &self.fine } else { &self.coarse };
            pick(tier.pair(step.place, place), which)
        };
        steps.iter().map(|step| step.as_ref().and_then(value)).collect()
    }

    /// The counts of a node as points: seconds before `until` (negative), and the count. At most `most`
    /// points.
    pub(crate) fn points(
        &self,
        node: &NodeName,
        which: Which,
        until: Timestamp,
        most: usize,
    ) -> Vec<(f64, f64)> {
        let Some(place) = self.index.get(node) else { return Vec::new() };
        let until = until.as_millisecond();
        let fine_from = self.fine.times.front().copied().unwrap_or(i64::MAX);
        let mut points = Vec::new();
        for (tier, to) in [(&self.coarse, fine_from.min(until + 1)), (&self.fine, until + 1)] {
            for (sample, time) in tier.times.iter().enumerate() {
                if *time < to
                    && let Some(value) = pick(tier.pair(sample, *place), which)
                {
                    points.push(((*time - until) as f64 / 1000.0, value as f64));
                }
            }
        }
        let skip = points.len().div_ceil(most.max(2)).max(1);
        if skip > 1 {
            let last = points.last().copied();
            points = points.into_iter().step_by(skip).collect();
            points.extend(last.filter(|last| points.last() != Some(last)));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn a_change_is_taken_over_a_few_seconds() {
        let (mut history, node) = (History::default(), NodeName::from("a"));
        for second in 0..10 {
            history.push(at(second), [(&node, Some(3000 - 10 * second.unsigned_abs()), None)]);
        }
        assert!(history.rate(&node, at(9)).is_some_and(|rate| (rate + 10.0).abs() < 1e-9));
        assert_eq!(history.rate(&NodeName::from("b"), at(9)), None);
        assert_eq!(history.rate(&node, at(0)), None, "one sample is no change");
    }

    #[test]
    fn memory_is_bounded_and_deleted_nodes_are_dropped() {
        let (mut history, old, new) = (History::default(), NodeName::from("old"), NodeName::from("new"));
        history.push(at(0), [(&old, Some(1), Some(1))]);
        for minute in 1..1000 {
            history.push(at(minute * 60), [(&new, Some(minute.unsigned_abs()), Some(2))]);
        }
        assert_eq!(history.index.len(), 1);
        assert_eq!((history.fine.times.len(), history.coarse.times.len()), (FINE, COARSE));
        assert!(history.rate(&new, at(999 * 60)).is_some_and(|rate| (rate - 1.0 / 60.0).abs() < 1e-9));
        let points = history.points(&new, Which::Connections, at(999 * 60), 10_000);
        assert_eq!(points.last(), Some(&(0.0, 999.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order of time");
    }

    #[test]
    fn with_many_nodes_five_minutes_take_half_of_the_samples() {
        let mut history = History::default();
        let nodes: Vec<NodeName> = (0..=MANY).map(|node| NodeName::from(format!("n{node}"))).collect();
        for second in 0..1000_i64 {
            let count = Some(3000 - second.unsigned_abs());
            history.push(at(second), nodes.iter().map(|node| (node, count, None)));
        }
        assert_eq!(history.fine.times.len(), FINE / 2);
        let covered = history.fine.times[FINE / 2 - 1] - history.fine.times[0];
        assert!(covered >= 298_000, "{covered} ms");
        assert!(history.rate(&nodes[7], at(999)).is_some_and(|rate| (rate + 1.0).abs() < 1e-9));
    }

    #[test]
    fn a_step_is_the_last_sample_by_then_and_an_old_one_is_not_known() {
        let (mut history, node) = (History::default(), NodeName::from("a"));
        history.push(at(0), [(&node, Some(5), Some(6))]);
        history.push(at(10), [(&node, Some(9), None)]);
        history.push(at(300), [(&node, Some(7), Some(8))]);
        let steps = history.steps(6, 300, at(300));
        let held = history.held(&node, &steps, Which::Connections);
        assert_eq!(held, [Some(9), None, None, None, None, Some(7)], "50 s, 100 s … 300 s");
        assert_eq!(history.held(&node, &steps, Which::Sessions)[0], None);
        assert_eq!(history.held(&NodeName::from("b"), &steps, Which::Sessions), [None; 6]);
    }

    #[test]
    fn the_counts_end_where_emqx_stopped_answering() {
        let (mut history, node) = (History::default(), NodeName::from("a"));
        for second in 0..=70 {
            history.push(at(second), [(&node, Some(5), Some(6))]);
        }
        let held = history.held(&node, &history.steps(120, 120, at(120)), Which::Connections);
        let known = held.iter().filter(|count| count.is_some()).count();
        assert_eq!(known, 90, "until 20 s after the last answer, 70 s");
        assert_eq!(held[89..91], [Some(5), None]);
        history.push(at(121), [(&node, Some(5), Some(6))]);
        let held = history.held(&node, &history.steps(120, 120, at(121)), Which::Connections);
        assert_eq!(held, [Some(5); 120], "a short gap is bridged");
    }

    #[test]
    fn counts_of_any_size_and_unknown_ones_are_kept_exactly() {
        let nodes = ["a", "b", "c"].map(NodeName::from);
        let (mut history, far) = (History::default(), u64::from(u32::MAX) - 1);
        let samples = [
            [Some(0), Some(40_000), None],
            [Some(32_767), Some(7_234), Some(5)],
            [Some(65_536), Some(40_000), None],
            [None, Some(far), Some(6)],
            [Some(1), Some(far - 32_768), Some(40_000)],
        ];
        for (second, counts) in (0..).zip(&samples) {
            let of =
                nodes.iter().zip(counts).map(|(node, count)| (node, *count, count.map(|count| count / 2)));
            history.push(at(second), of);
        }
        let last = 4;
        let steps = history.steps(samples.len(), last + 1, at(last));
        for (place, node) in nodes.iter().enumerate() {
            let counts: Vec<Option<u64>> = samples.iter().map(|counts| counts[place]).collect();
            assert_eq!(history.held(node, &steps, Which::Connections), counts, "{node}");
            let halves: Vec<Option<u64>> = counts.iter().map(|count| count.map(|count| count / 2)).collect();
            assert_eq!(history.held(node, &steps, Which::Sessions), halves, "{node}");
        }
    }

    #[test]
    fn samples_of_counts_that_change_little_share_what_they_differ_from() {
        let (mut history, node) = (History::default(), NodeName::from("a"));
        for second in 0..100 {
            history.push(at(second), [(&node, Some(50_000 - second.unsigned_abs() * 50), Some(50_000))]);
        }
        let first = &history.fine.samples[0].base;
        assert!(history.fine.samples.iter().all(|sample| Rc::ptr_eq(&sample.base, first)));
    }

    #[test]
    fn a_sparkline_begins_where_the_history_does() {
        let (mut history, node) = (History::default(), NodeName::from("a"));
        history.push(at(90), [(&node, Some(5), None)]);
        history.push(at(180), [(&node, Some(9), None)]);
        assert_eq!(history.spark(&node, 4, 180, at(180)), [None, Some(5), Some(5), Some(9)]);
        assert_eq!(history.spark(&NodeName::from("b"), 2, 180, at(180)), [None, None]);
    }
}
