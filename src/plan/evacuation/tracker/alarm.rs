//! Whether evacuations should be stopped, because the clients that they disconnect do not come back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::EvacuationTracker;
use crate::model::human::{count, seconds_between};
use crate::model::{BrokerState, Event, EventType, Judgement, NodeName, Verdict};
use crate::plan::alarm::{Alarm, MISSING_SHARE};
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::eviction_alarm::{EvictionWatch, advice};
use crate::timing::{ALARM_SECONDS, EMPTIED_WATCH_SECONDS};

impl EvacuationTracker {
    /// Why the evacuations that run should be stopped; `None` while nothing supports that.
    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        self.watched.as_ref().and_then(EvictionWatch::raised).or(self.proved.as_ref())
    }

    /// The command that stops them.
    pub(crate) fn stop_command(&self) -> Option<String> {
        let nodes: Vec<&str> =
            self.runs.iter().filter(|run| run.listed).map(|run| run.entry.node.as_str()).collect();
        (!nodes.is_empty()).then(|| format!("kubectl emqx evacuate stop {}", nodes.join(" ")))
    }

    /// Compares the clients of the cluster with those before; the first alarm is announced once.
    pub(super) fn watch(&mut self, broker: &BrokerState, now: Timestamp, events: &mut Vec<Event>) {
        if !self.runs.iter().any(|run| concerns(run, now)) {
            (self.watched, self.proved) = (None, None);
            return;
        }
        self.proved = left_behind(&self.runs, broker, now);
        let emptied: BTreeSet<NodeName> = self
            .runs
            .iter()
            .filter(|run| run.listed && !run.restored)
            .map(|run| run.entry.node.clone())
            .collect();
        let watched = self.watched.get_or_insert_default();
        watched.observe(broker, &emptied, None);
        if watched.raised().is_none() && self.proved.is_none() {
            return;
        }
        let Some(command) = self.stop_command() else { return };
        let announced = self.watched.as_mut().and_then(|watched| watched.announce(&command));
        let proved = self.proved.as_ref().filter(|_| !self.announced && announced.is_none());
        let Some(message) = announced.or_else(|| proved.map(|alarm| advice(alarm, &command))) else { return };
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        if let Some(run) = self.runs.iter().rfind(|run| concerns(run, now)) {
            events.push(run.event(now, EventType::Notice, message));
        }
    }
}

/// What EMQX's answer proves about evacuations without a recorded start: sessions without a client that were not there at the
/// start are of clients that were disconnected and connected to no other node, which would have taken their sessions over.
/// Clients without a persistent session leave nothing behind, so that this is the least number.
fn left_behind(runs: &[EvacuationRun], broker: &BrokerState, now: Timestamp) -> Option<Alarm> {
    let rows = &broker.nodes.as_ref()?.value;
    let (mut missing, mut evicted, mut at_once) = (0, 0, 0);
    for run in runs.iter().filter(|run| run.listed && !run.restored && concerns(run, now)) {
        let entry = &run.entry;
        let row = rows.iter().find(|row| row.name == entry.node && row.running);
        let known = row.and_then(|row| Some((row.connections?, row.sessions?)));
        let start = entry.initial_connections.zip(entry.initial_sessions);
        let (Some((clients, sessions)), Some((before, all)), Some(rate)) =
            (known, start, entry.conn_evict_rate)
        else {
            continue;
        };
        let gone = before.saturating_sub(clients);
        let offline = sessions.saturating_sub(clients).saturating_sub(all.saturating_sub(before));
        // Those that were disconnected in the last 30 s can be on their way.
        missing += offline.min(gone).saturating_sub(rate.saturating_mul(ALARM_SECONDS));
        evicted += gone;
        at_once += rate;
    }
    let counts = rows.iter().map(|row| if row.running { row.connections } else { Some(0) });
    let connected: u64 = counts.sum::<Option<u64>>()?;
    let many = missing as f64 > (connected + missing) as f64 * MISSING_SHARE && missing > at_once;
    many.then(|| Alarm {
        reason: format!(
            "at least {} of {} evicted clients have not come back for {ALARM_SECONDS}s",
            count(missing),
            count(evicted)
        ),
        detail: Some("their sessions are still on the evacuated node".to_owned()),
    })
}

/// Whether clients that are missing now can be those of this evacuation.
fn concerns(run: &EvacuationRun, now: Timestamp) -> bool {
    let lately = run.ended.is_some_and(|ended| seconds_between(ended, now) <= EMPTIED_WATCH_SECONDS);
    match &run.verdict {
        None => true,
        Some(Judgement { verdict: Verdict::Evacuated | Verdict::Stalled, .. }) => run.listed && lately,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, Evacuation, EvictionStatus, Stage, World};
    use crate::plan::fixtures;

    /// The recommendation of one refresh of a cluster of three nodes whose first node is evacuated at 10 clients a second: 1,000 clients
    /// and 1,200 sessions were there at the start.
    fn seen_once(clients: u64, sessions: u64, started: (Option<u64>, Option<u64>)) -> Option<String> {
        let mut nodes = fixtures::nodes(&[clients, 1000, 1000]);
        nodes[0].sessions = Some(sessions);
        let entry = Evacuation {
            node: fixtures::core(0),
            state: "evicting_conns".into(),
            stage: Stage::EvictingConns,
            recipients: Vec::new(),
            conn_evict_rate: Some(10),
            sess_evict_rate: Some(10),
            initial_connections: started.0,
            connections: Some(clients),
            initial_sessions: started.1,
            sessions: Some(sessions),
        };
        let world = World::of([
            fixtures::answer(0, BrokerUpdate::Nodes(nodes)),
            fixtures::answer(
                0,
                BrokerUpdate::Evictions(EvictionStatus {
                    evacuations: vec![entry],
                    ..EvictionStatus::default()
                }),
            ),
        ]);
        let mut tracker = EvacuationTracker::default();
        tracker.observe(&world, &fixtures::id(ApiVersion::V2), &BTreeSet::new(), fixtures::at(0));
        tracker.alarm().map(Alarm::sentence)
    }

    #[test]
    fn sessions_without_their_clients_show_that_evicted_clients_do_not_come_back() {
        let start = (Some(1000), Some(1200));
        // 600 are evicted, and their sessions are still there: 300 of them may be on their way.
        let text = seen_once(400, 1200, start).expect("an alarm");
        assert!(text.contains("at least 300 of 600 evicted clients have not come back for 30s"), "{text}");
        assert_eq!(seen_once(400, 600, start), None, "their sessions were taken over");
        assert_eq!(seen_once(700, 1200, start), None, "all of them may be on their way");
        assert_eq!(seen_once(650, 1200, start), None, "50 are fewer than 2 % of all clients");
        assert_eq!(seen_once(400, 1200, (None, None)), None, "the start is not known");
        assert_eq!(seen_once(400, 1200, (Some(0), Some(0))), None, "the node restarted: nothing was evicted");
    }
}
