//! When an operation that evicts clients should be stopped: clients stay missing for 30 s, or fewer than half of the evicted
//! arrive. A rebalance knows its recipients and has rules of its own; evacuations, upgrades, drains and scales use these.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::limits::flight;
use crate::model::human::{count, seconds_between};
use crate::model::{BrokerState, NodeName};
use crate::plan::alarm::{ARRIVED_SHARE, Alarm, MISSING_SHARE, hold, in_flight, remember};
use crate::timing::{ALARM_SECONDS, ASSUMED_DELAY_SECONDS};

/// The share of the clients at the start that must have been evicted before arrivals are compared: below it, clients that
/// leave by themselves decide.
const EVICTED_SHARE: f64 = 0.01;

/// Clients, by one answer of EMQX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionCounts {
    /// When EMQX reported them.
    pub at: Timestamp,
    /// Clients at the start of the operation.
    pub start: u64,
    /// Clients that are connected now.
    pub connected: u64,
    /// Clients that the operation has disconnected so far.
    pub evicted: u64,
    /// Clients that EMQX disconnects in one second: as many may be between two nodes.
    pub per_second: u64,
    /// When the operation began, where its start was recorded by another process.
    pub began: Option<Timestamp>,
}

/// Since when each condition has held, and the alarm that follows.
#[derive(Clone, Debug, Default)]
pub struct EvictionAlarm {
    offline_since: Option<Timestamp>,
    not_arriving_since: Option<Timestamp>,
    /// Clients that were evicted and clients that arrived, over the last seconds.
    moved: VecDeque<(Timestamp, u64, u64)>,
    raised: Option<Alarm>,
    announced: bool,
}

impl EvictionAlarm {
    /// Why the operation should be stopped now; `None` while nothing supports that.
    pub(crate) fn raised(&self) -> Option<&Alarm> {
        self.raised.as_ref()
    }

    /// Processes an answer. An answer that is incomplete supports neither a loss nor a recovery.
    pub(crate) fn observe(&mut self, counts: Option<EvictionCounts>) {
        let Some(counts) = counts else {
            (self.offline_since, self.not_arriving_since, self.raised) = (None, None, None);
            self.moved.clear();
            return;
        };
        if self.moved.back().is_some_and(|last| last.0 >= counts.at) {
            return;
        }
        let first = self.moved.is_empty();
        let EvictionCounts { at, start, connected, evicted, per_second, began } = counts;
        let lost = start.saturating_sub(connected);
        let arrived = evicted.saturating_sub(lost);
        remember(&mut self.moved, at, evicted, arrived);
        let offline = lost as f64 > start as f64 * MISSING_SHARE && lost > per_second;
        let not_arriving = evicted as f64 > start as f64 * EVICTED_SHARE
            && (arrived as f64) < evicted as f64 * ARRIVED_SHARE
            && lost > per_second;
        // A process that observes one moment only assumes that the present condition has held since the
        // recorded start.
        let certain = lost > per_second.saturating_mul(ASSUMED_DELAY_SECONDS);
        let since = began.filter(|began| first && certain && *began < at).unwrap_or(at);
        hold(&mut self.offline_since, offline, since);
        hold(&mut self.not_arriving_since, not_arriving, since);
        let held =
            |since: Option<Timestamp>| since.is_some_and(|it| seconds_between(it, at) >= ALARM_SECONDS);
        let reached = (evicted > 0).then(|| {
            format!("{} of {} evicted clients reached another node", count(arrived), count(evicted))
        });
        self.raised = if held(self.offline_since) && !in_flight(&self.moved, lost) {
            let reason =
                format!("{} of {} clients are offline and do not come back", count(lost), count(start));
            Some(Alarm { reason, detail: reached })
        } else if held(self.not_arriving_since) {
            let detail = "the load balancer routes them elsewhere, or they stay away".to_owned();
            reached.map(|reached| Alarm { reason: format!("only {reached}"), detail: Some(detail) })
        } else {
            None
        };
    }

    /// The message of the first alarm, with the command that stops the operation; each operation announces it once.
    pub(crate) fn announce(&mut self, command: &str) -> Option<String> {
        let alarm = self.raised.as_ref().filter(|_| !self.announced)?;
        self.announced = true;
        Some(advice(alarm, command))
    }
}

/// An alarm with the command that stops the operation.
pub(super) fn advice(alarm: &Alarm, command: &str) -> String {
    format!("{}; {command} stops it", alarm.sentence())
}

/// The recommendation to stop an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopAdvice {
    /// The reason.
    pub alarm: Alarm,
    /// The command that stops it.
    pub command: String,
}

/// The clients of each node that EMQX lists; `None` where a node that runs does not report them.
fn clients(broker: &BrokerState) -> Option<(Timestamp, BTreeMap<NodeName, u64>)> {
    let nodes = broker.nodes.as_ref()?;
    let counts = nodes.value.iter().map(|node| {
        let clients = if node.running { node.connections? } else { 0 };
        Some((node.name.clone(), clients))
    });
    Some((nodes.at, counts.collect::<Option<_>>()?))
}

/// Compares the clients of a cluster with those before the first of some nodes was emptied.
#[derive(Clone, Debug, Default)]
pub struct EvictionWatch {
    alarm: EvictionAlarm,
    /// The clients of each node in the first answer.
    first: BTreeMap<NodeName, u64>,
    /// The most clients that each emptied node has lost.
    lost_by: BTreeMap<NodeName, u64>,
}

impl EvictionWatch {
    /// Processes EMQX's answer. `emptied` are the nodes that are emptied now or were before; `start` is the number of all
    /// clients at the start and its time, where another process recorded it.
    pub(crate) fn observe(
        &mut self,
        broker: &BrokerState,
        emptied: &BTreeSet<NodeName>,
        start: Option<(u64, Timestamp)>,
    ) {
        let (Some((at, now)), Some(per_second)) = (clients(broker), flight(broker)) else {
            self.alarm.observe(None);
            return;
        };
        if self.first.is_empty() {
            self.first.clone_from(&now);
        }
        for node in emptied {
            let here = now.get(node).copied().unwrap_or(0);
            let before = self.first.get(node).copied().unwrap_or(0);
            let most = self.lost_by.entry(node.clone()).or_default();
            *most = (*most).max(before.saturating_sub(here));
        }
        self.alarm.observe(Some(EvictionCounts {
            at,
            start: start.map_or_else(|| self.first.values().sum(), |(start, _)| start),
            connected: now.values().sum(),
            evicted: self.lost_by.values().sum(),
            per_second,
            began: start.map(|(_, began)| began),
        }));
    }

    /// Why the operation should be stopped now.
    pub(crate) fn raised(&self) -> Option<&Alarm> {
        self.alarm.raised()
    }

    /// The message of the first alarm.
    pub(crate) fn announce(&mut self, command: &str) -> Option<String> {
        self.alarm.announce(command)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        crate::plan::fixtures::at(0) + SignedDuration::from_secs(seconds)
    }

    fn counts(seconds: i64, connected: u64, evicted: u64) -> EvictionCounts {
        EvictionCounts { at: at(seconds), start: 10_000, connected, evicted, per_second: 10, began: None }
    }

    #[test]
    fn clients_that_stay_missing_for_30_s_are_an_alarm_that_is_announced_once() {
        let mut alarm = EvictionAlarm::default();
        for second in 0..60 {
            let evicted = u64::try_from(second).unwrap_or(0) * 10;
            alarm.observe(Some(counts(second, 10_000 - evicted, evicted)));
            assert_eq!(alarm.raised().is_some(), second >= 41, "second {second}: {:?}", alarm.raised());
        }
        let text = alarm.announce("kubectl emqx evacuate stop emqx@a").expect("an announcement");
        assert!(text.starts_with("STOP IT: 590 of 10,000 clients are offline"), "{text}");
        assert!(text.ends_with("kubectl emqx evacuate stop emqx@a stops it"), "{text}");
        assert_eq!(alarm.announce("again"), None);
        alarm.observe(Some(counts(60, 10_000, 600)));
        assert_eq!(alarm.raised(), None, "they are back");
    }

    #[test]
    fn clients_that_come_back_10_s_later_are_in_flight() {
        let mut alarm = EvictionAlarm::default();
        for second in 0..120_u64 {
            let (evicted, back) = (second * 30, second.saturating_sub(10) * 30);
            let of = Some(counts(i64::try_from(second).unwrap_or(0), 10_000 - evicted + back, evicted));
            alarm.observe(of.map(|of| EvictionCounts { per_second: 30, ..of }));
            assert_eq!(alarm.raised(), None, "second {second}");
        }
    }

    #[test]
    fn fewer_than_half_of_the_evicted_that_arrive_are_an_alarm() {
        let mut alarm = EvictionAlarm::default();
        for second in 0..40 {
            alarm.observe(Some(counts(second, 9_880, 200)));
        }
        assert!(alarm.raised().is_some_and(|it| it.reason.contains("80 of 200 evicted")), "{alarm:?}");
        // Clients that leave by themselves beside a few evicted ones raise no alarm.
        let mut alarm = EvictionAlarm::default();
        for second in 0..40 {
            alarm.observe(Some(counts(second, 9_880, 60)));
        }
        assert_eq!(alarm.raised(), None);
    }

    #[test]
    fn an_answer_without_the_clients_of_a_node_starts_the_30_s_again() {
        let mut alarm = EvictionAlarm::default();
        for second in 0..60 {
            let known = if second == 25 { None } else { Some(counts(second, 9_000, 1_000)) };
            alarm.observe(known);
            assert_eq!(alarm.raised().is_some(), second >= 56, "second {second}");
        }
    }

    #[test]
    fn one_moment_is_sufficient_where_the_start_was_recorded() {
        let seen = |connected: u64, began: i64| {
            let mut alarm = EvictionAlarm::default();
            let of = Some(EvictionCounts { began: Some(at(began)), ..counts(100, connected, 0) });
            alarm.observe(of);
            alarm.raised().is_some()
        };
        assert!(seen(9_000, 0));
        assert!(!seen(9_000, 90), "it began 10 s ago");
        assert!(!seen(9_900, 0), "1 % are missing");
    }
}
