//! How rebalances of the past went: how long a round lasted and after how many rounds evicted clients were counted again,
//! measured from recorded counts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::human::{count, plural};
use crate::model::{BrokerState, Fact, InstanceId, NodeName, RunningRebalance, Stage, World};
use crate::plan::rebalance::plan::Return;

/// Rounds of a rebalance below which nothing is measured: the counts of one second are too coarse.
const LEAST_ROUNDS: f64 = 5.0;

/// One observation of a rebalance that evicts clients.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    donors: u64,
    recipients: u64,
}

/// A rebalance that evicts clients.
#[derive(Clone, Debug, Default)]
struct Eviction {
    rate: u64,
    donors: usize,
    samples: Vec<Sample>,
}

/// What past rebalances measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Rebalances that were long enough.
    pub rebalances: usize,
    /// Rounds after which evicted clients were counted again, beyond the one in which they were disconnected.
    pub delay: u64,
    /// Milliseconds that a round lasted.
    pub round_ms: u64,
}

impl Calibration {
    /// The measured values as text.
    pub(crate) fn text(self) -> String {
        format!(
            "calibrated by {}: evicted clients are counted again after {}, a round lasts {} ms",
            plural(self.rebalances as u64, "recorded rebalance"),
            plural(self.delay + 1, "round"),
            count(self.round_ms)
        )
    }

    /// Fills in the measured values; a delay that the user gave is kept.
    #[must_use]
    pub(crate) fn of(self, back: Return, given_delay: Option<u64>) -> Return {
        Return { delay: given_delay.unwrap_or(self.delay), round_ms: self.round_ms, ..back }
    }
}

/// Measures the rebalances of recordings.
#[derive(Debug, Default)]
pub struct Measurement {
    world: World,
    /// By the instance and the coordinator.
    running: BTreeMap<(InstanceId, NodeName), Eviction>,
    done: Vec<(f64, f64)>,
}

impl Measurement {
    /// Takes the facts of one line of a recording.
    pub(crate) fn take(&mut self, at: Timestamp, facts: Vec<Fact>) {
        for fact in facts {
            self.world.apply(fact);
        }
        for (id, broker) in &self.world.brokers {
            let Some(load) = &broker.load else { continue };
            let evicting: Vec<&RunningRebalance> =
                load.value.rebalances.iter().filter(|it| it.stage == Stage::EvictingConns).collect();
            let over = self.running.extract_if(.., |(of, coordinator), _| {
                of == id && !evicting.iter().any(|it| it.coordinator == *coordinator)
            });
            self.done.extend(over.filter_map(|(_, eviction)| measured(&eviction)));
            for rebalance in evicting {
                let Some(rate) = rebalance.conn_evict_rate.filter(|rate| *rate > 0) else { continue };
                let (donors, recipients) = (&rebalance.donors, &rebalance.recipients);
                let (Some(donors), Some(recipients)) = (held(broker, donors), held(broker, recipients))
                else {
                    continue;
                };
                let key = (id.clone(), rebalance.coordinator.clone());
                let eviction = self.running.entry(key).or_default();
                eviction.rate = rate;
                eviction.donors = rebalance.donors.len();
                let sample = Sample { at, donors, recipients };
                let same = |last: &Sample| (last.donors, last.recipients) == (donors, recipients);
                if !eviction.samples.last().is_some_and(same) {
                    eviction.samples.push(sample);
                }
            }
        }
    }

    /// The end of a recording.
    pub(crate) fn finish(&mut self) {
        let running = std::mem::take(&mut self.running);
        self.done.extend(running.values().filter_map(measured));
        self.world = World::new();
    }

    /// The means over all rebalances; `None` without one that was long enough.
    pub(crate) fn calibration(&self) -> Option<Calibration> {
        let number = self.done.len();
        if number == 0 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| self.done.iter().map(of).sum::<f64>() / number as f64;
        Some(Calibration {
            rebalances: number,
            delay: mean(|(_, delay)| *delay).round().max(0.0) as u64,
            round_ms: (mean(|(round, _)| *round) * 1000.0).round().max(1.0) as u64,
        })
    }
}

/// The live clients of these nodes; `None` where one is not known.
fn held(broker: &BrokerState, nodes: &[NodeName]) -> Option<u64> {
    let all = broker.listed();
    nodes.iter().map(|name| all.iter().find(|node| node.name == *name)?.connections).sum()
}

/// The seconds of a round and the rounds of the delay.
fn measured(eviction: &Eviction) -> Option<(f64, f64)> {
    let (first, last) = (eviction.samples.first()?, eviction.samples.last()?);
    let in_a_round = eviction.rate as f64 * eviction.donors as f64;
    let lost = |sample: &Sample| first.donors.saturating_sub(sample.donors) as f64;
    let rounds = lost(last) / in_a_round;
    if rounds < LEAST_ROUNDS {
        return None;
    }
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    // The number of disconnected clients is steady only after the first of them are back.
    let steady = &eviction.samples[eviction.samples.len() / 2..];
    let away = steady.iter().map(|sample| {
        let gained = sample.recipients.saturating_sub(first.recipients) as f64;
        (lost(sample) - gained).max(0.0)
    });
    let delay = away.sum::<f64>() / steady.len() as f64 / in_a_round;
    Some((seconds / rounds, delay))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus, Node};
    use crate::plan::fixtures;

    /// A rebalance of two donors by 10/s, in which a round lasts `round` and clients are away for `delay` rounds.
    fn recorded(round: SignedDuration, delay: i64) -> Option<Calibration> {
        let start: Timestamp = "2026-11-27T10:00:00Z".parse().expect("a time");
        let name = |node: &str| NodeName::from(node);
        let mut measurement = Measurement::default();
        for turn in 0..40_i64 {
            let at = start + round * i32::try_from(turn).expect("small");
            let held = [1000 - turn * 10, 1000 - turn * 10, (turn - delay).max(0) * 20];
            let nodes = ["a", "b", "c"].iter().zip(held).map(|(node, held)| Node {
                name: name(node),
                running: true,
                connections: Some(held.cast_unsigned()),
                ..Node::default()
            });
            let rebalance = RunningRebalance {
                coordinator: name("a"),
                stage: Stage::EvictingConns,
                state: "evicting_conns".to_owned(),
                donors: vec![name("a"), name("b")],
                recipients: vec![name("c")],
                conn_evict_rate: Some(10),
                sess_evict_rate: Some(10),
                donors_mean: None,
                recipients_mean: None,
                requested: None,
            };
            let load = EvictionStatus { rebalances: vec![rebalance], ..EvictionStatus::default() };
            let answers = [BrokerUpdate::Nodes(nodes.collect()), BrokerUpdate::Evictions(load)];
            let id = fixtures::id(ApiVersion::V2);
            measurement.take(at, answers.map(|answer| Fact::answer(at, &id, answer)).to_vec());
        }
        measurement.finish();
        measurement.calibration()
    }

    #[test]
    fn the_length_of_a_round_and_the_delay_are_measured_from_counts() {
        let measured = recorded(SignedDuration::from_secs(1), 0).expect("long enough");
        assert_eq!((measured.rebalances, measured.delay, measured.round_ms), (1, 0, 1000));
        let measured = recorded(SignedDuration::from_millis(1250), 3).expect("long enough");
        assert_eq!((measured.delay, measured.round_ms), (3, 1250));
        assert_eq!(
            measured.text(),
            "calibrated by 1 recorded rebalance: evicted clients are counted again after 4 rounds, a round lasts 1,250 ms"
        );
    }

    #[test]
    fn a_recording_without_a_rebalance_measures_nothing() {
        let mut measurement = Measurement::default();
        measurement.finish();
        assert_eq!(measurement.calibration(), None);
    }
}
