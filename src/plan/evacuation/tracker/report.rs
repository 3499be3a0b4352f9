//! What an evacuation waits for, while nothing moves.

use jiff::Timestamp;

use super::EvacuationRun;
use crate::model::human::seconds_between;
use crate::model::{BrokerState, Evacuation, Event, EventType, Link, NodeName, Operation, Stage, World};
use crate::plan::heartbeat::{Followed, Quiet, unreachable};
use crate::plan::rebalance::messages::{silent, utc};
use crate::plan::upgrade::durations::DrainTiming;
use crate::timing::SILENT_SECONDS;

impl Followed for EvacuationRun {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_open(&self) -> bool {
        self.verdict.is_none()
    }

    fn quiet(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    fn answered(&self, broker: &BrokerState) -> Option<Timestamp> {
        broker.load.as_ref().map(|load| load.at)
    }

    fn answers_again(&mut self, at: Timestamp) {
        self.moved = self.moved.max(at);
    }

    fn standing(&self, _world: &World, _broker: &BrokerState, _now: Timestamp) -> String {
        match self.missing {
            Some(since) => {
                format!("EMQX has not listed the evacuation since {}; its end is being verified", utc(since))
            }
            None => format!("{} %: {}: {}", self.percent, self.label, self.message()),
        }
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        EvacuationRun::event(self, now, kind, message)
    }
}

/// An evacuation that EMQX was asked for and has not listed so far.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) timing: DrainTiming,
    pub(super) since: Timestamp,
    pub(super) quiet: Quiet,
}

impl Requested {
    /// What EMQX would list of it, of which nothing is known.
    pub(super) fn entry(&self) -> Evacuation {
        Evacuation {
            node: self.node.clone(),
            stage: Stage::Unknown(NOT_LISTED.to_owned()),
            state: NOT_LISTED.to_owned(),
            recipients: Vec::new(),
            conn_evict_rate: None,
            sess_evict_rate: None,
            initial_connections: None,
            connections: None,
            initial_sessions: None,
            sessions: None,
        }
    }
}

/// The state of one that EMQX never listed.
const NOT_LISTED: &str = "not listed";

impl Followed for Requested {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_open(&self) -> bool {
        true
    }

    fn quiet(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    fn answered(&self, _broker: &BrokerState) -> Option<Timestamp> {
        None
    }

    fn answers_again(&mut self, _at: Timestamp) {}

    fn standing(&self, _world: &World, broker: &BrokerState, now: Timestamp) -> String {
        let link = unreachable(broker);
        match (link.and_then(Link::why), &broker.load) {
            (_, Some(load)) if seconds_between(load.at, now) >= SILENT_SECONDS => silent(load.at, link),
            (Some(why), _) => format!("waiting for EMQX to list the evacuation ({why})"),
            (None, _) => "waiting for EMQX to list the evacuation".to_owned(),
        }
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        Event::of(now, kind, Operation::Evacuation, self.name.clone(), message)
    }
}
