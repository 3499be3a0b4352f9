//! What an evacuation waits for, while nothing moves.

use jiff::Timestamp;

use super::EvacuationRun;
use crate::model::{BrokerState, Event, EventType, World};
use crate::plan::heartbeat::{Followed, Quiet};
use crate::plan::rebalance::messages::utc;

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
