//! Purges: a node of EMQX disconnects its clients and drops their sessions, and all nodes refuse clients meanwhile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::snapshot::label;
use crate::model::human::seconds_between;
use crate::model::{Event, EventType, InstanceId, NodeName, Operation, OperationRef, World};
use crate::plan::happened::Happened;
use crate::timing::{NEW_ENTRY_SECONDS, PURGE_MISSING_SECONDS};

/// Reports the begin and the end of purges.
#[derive(Clone, Debug)]
pub struct PurgeTracker {
    id: InstanceId,
    /// Each node that purges, with the time since which EMQX's answers have not listed it.
    runs: BTreeMap<NodeName, Option<Timestamp>>,
    seen: Option<Timestamp>,
    /// The time of an answer that was the first one, or the first one after an outage.
    unobserved: Option<Timestamp>,
}

impl PurgeTracker {
    /// Follows the purges of one cluster.
    pub(crate) fn new(id: InstanceId) -> Self {
        Self { id, runs: BTreeMap::new(), seen: None, unobserved: None }
    }

    /// When what an event of a purge reports happened.
    pub(crate) fn happened(&self, event: &Event) -> Happened {
        match event.kind {
            EventType::Created if self.unobserved == Some(event.time) => Happened::Before(event.time),
            _ => Happened::At(event.time),
        }
    }

    /// Processes EMQX's last answer; returns what has changed.
    pub(crate) fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let Some(load) =
            world.broker(&self.id).load.as_ref().filter(|load| self.seen.is_none_or(|seen| load.at > seen))
        else {
            return Vec::new();
        };
        let before = self.seen.replace(load.at);
        if before.is_none_or(|before| seconds_between(before, load.at) > NEW_ENTRY_SECONDS) {
            self.unobserved = Some(now);
        }
        let mut events = Vec::new();
        for node in &load.value.purges {
            if self.runs.insert(node.clone(), None).is_none() {
                let message = format!(
                    "{}: all nodes refuse clients until the purge ends",
                    sentence(world, &self.id, node)
                );
                events.push(event(node, now, EventType::Created, Some("purging"), message));
            }
        }
        self.runs.retain(|node, missing| {
            if load.value.purges.contains(node) {
                return true;
            }
            let since = *missing.get_or_insert(load.at);
            let over = seconds_between(since, load.at) >= PURGE_MISSING_SECONDS;
            if over {
                let message = format!("the purge of {} is over", label(world, &self.id, node));
                events.push(event(node, now, EventType::Notice, None, message));
            }
            !over
        });
        events
    }
}

fn sentence(world: &World, id: &InstanceId, node: &NodeName) -> String {
    format!("{} purges its sessions", label(world, id, node))
}

fn event(node: &NodeName, now: Timestamp, kind: EventType, phase: Option<&str>, message: String) -> Event {
    let phase = phase.map(str::to_owned);
    Event {
        phase,
        ..Event::of(now, kind, Operation::Purge, OperationRef::Purge(node.clone()).to_string(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus};
    use crate::plan::fixtures;

    #[test]
    fn a_purge_is_reported_once_and_over_only_when_it_is_missing_for_ten_seconds() {
        let mut world = World::new();
        let mut purges = PurgeTracker::new(fixtures::id(ApiVersion::V2));
        let mut look = |at: i64, nodes: Vec<NodeName>| -> Vec<String> {
            world.apply(fixtures::answer(
                at,
                BrokerUpdate::Evictions(EvictionStatus { purges: nodes, ..EvictionStatus::default() }),
            ));
            purges.observe(&world, fixtures::at(at)).into_iter().map(|event| event.message).collect()
        };
        let first = look(1, vec![fixtures::core(2)]);
        assert_eq!(first, ["emqx-core-2 purges its sessions: all nodes refuse clients until the purge ends"]);
        assert!(look(2, vec![fixtures::core(2)]).is_empty());
        assert!(look(3, Vec::new()).is_empty() && look(4, vec![fixtures::core(2)]).is_empty());
        assert!(look(5, Vec::new()).is_empty() && look(14, Vec::new()).is_empty());
        assert_eq!(look(15, Vec::new()), ["the purge of emqx-core-2 is over"]);
    }
}
