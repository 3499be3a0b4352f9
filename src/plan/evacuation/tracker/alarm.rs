//! Whether evacuations should be stopped, because the clients that they disconnect do not come back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{EvacuationRun, EvacuationTracker};
use crate::model::human::seconds_between;
use crate::model::{Event, EventType, NodeName, Verdict, World};
use crate::plan::rebalance::tracker::Alarm;
use crate::timing::EMPTIED_WATCH_SECONDS;

impl EvacuationTracker {
    /// Why the evacuations that run should be stopped; `None` while nothing supports that.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.watched.as_ref()?.raised()
    }

    /// The command that stops them.
    pub fn stop_command(&self) -> Option<String> {
        let nodes: Vec<&str> =
            self.runs.iter().filter(|run| run.listed).map(|run| run.entry.node.as_str()).collect();
        (!nodes.is_empty()).then(|| format!("kubectl emqx evacuate stop {}", nodes.join(" ")))
    }

    /// Compares the clients of the cluster with those before; the first alarm is announced once.
    pub(super) fn watch(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        if !self.runs.iter().any(|run| concerns(run, now)) {
            self.watched = None;
            return;
        }
        let emptied: BTreeSet<NodeName> = self
            .runs
            .iter()
            .filter(|run| run.listed && !run.restored)
            .map(|run| run.entry.node.clone())
            .collect();
        let watched = self.watched.get_or_insert_default();
        watched.observe(world, &emptied, None);
        if watched.raised().is_none() {
            return;
        }
        let Some(command) = self.stop_command() else { return };
        let Some(message) = self.watched.as_mut().and_then(|watched| watched.announce(&command)) else {
            return;
        };
        if let Some(run) = self.runs.iter().rfind(|run| concerns(run, now)) {
            events.push(run.event(now, EventType::Notice, message));
        }
    }
}

/// Whether clients that are missing now can be those of this evacuation.
fn concerns(run: &EvacuationRun, now: Timestamp) -> bool {
    let lately = run.ended.is_some_and(|ended| seconds_between(ended, now) <= EMPTIED_WATCH_SECONDS);
    match &run.verdict {
        None => true,
        Some((Verdict::Evacuated | Verdict::Stalled, _)) => run.listed && lately,
        Some(_) => false,
    }
}
