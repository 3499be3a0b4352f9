//! What a rebalance waits for, while nothing moves.

use jiff::Timestamp;

use super::run::RebalanceRun;
use crate::model::human::{plural, seconds_between};
use crate::model::{BrokerState, Event, EventType, Link, World};
use crate::plan::heartbeat::{Followed, Quiet, unreachable};
use crate::plan::rebalance::messages::{self, utc};
use crate::plan::rebalance::verdict;
use crate::plan::rebalance::waiting;
use crate::timing::SILENT_SECONDS;

impl Followed for RebalanceRun {
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
        self.entry.as_ref()?;
        broker.load.as_ref().map(|load| load.at)
    }

    fn answers_again(&mut self, at: Timestamp) {
        self.moved = self.moved.max(at);
    }

    fn standing(&self, world: &World, broker: &BrokerState, now: Timestamp) -> String {
        if let Some(ended) = self.ended {
            let since = seconds_between(ended, now);
            return match verdict::lost(self.start.as_ref(), &self.counts).filter(|lost| *lost > 0) {
                Some(lost) => {
                    format!("it ended {since} s ago; {} have not come back so far", plural(lost, "client"))
                }
                None => format!("EMQX has not listed it for {since} s; its end is being verified"),
            };
        }
        if self.entry.is_some() {
            let progress = messages::progress(self);
            // While EMQX lists it and not its nodes, the counts are older than what is reported of it.
            return match self.counted.filter(|counted| seconds_between(*counted, now) > SILENT_SECONDS / 2) {
                Some(counted) => format!("as of {}: {progress}", utc(counted)),
                None => progress,
            };
        }
        if let Some((object, seconds)) = self.object.as_ref().zip(self.waits()) {
            return waiting::explained(object, seconds, world, now);
        }
        match &broker.load {
            Some(load) if seconds_between(load.at, now) < SILENT_SECONDS => {
                "waiting for EMQX to list the rebalance".to_owned()
            }
            Some(load) => messages::silent(load.at, unreachable(broker)),
            None => match unreachable(broker).and_then(Link::why) {
                Some(why) => format!("EMQX cannot be asked ({why}); waiting for the operator's status"),
                None => format!("EMQX has not been asked so far ({})", utc(now)),
            },
        }
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        RebalanceRun::event(self, now, kind, message)
    }
}
