//! What an evacuation waits for, while nothing moves.

use jiff::Timestamp;

use crate::model::human::utc;
use crate::model::{BrokerState, Event, EventType, Judgement, World};
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::happened::Happened;
use crate::plan::tracked::{Quiet, Tracked};

impl Tracked for EvacuationRun {
    fn name(&self) -> &str {
        &self.name
    }

    fn verdict(&self) -> Option<&Judgement> {
        self.verdict.as_ref()
    }

    fn end(&mut self, judgement: Judgement, now: Timestamp) {
        if judgement.verdict.is_final() {
            self.percent = 100;
        }
        self.ended = Some(now);
        self.verdict = Some(judgement);
    }

    /// While EMQX lists it, it is no new evacuation.
    fn is_over(&self) -> bool {
        self.verdict.is_some() && !self.listed
    }

    fn happened(&self, event: &Event) -> Happened {
        EvacuationRun::happened(self, event)
    }

    fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    fn quiet_mut(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    fn answered(&self, broker: &BrokerState) -> Option<Timestamp> {
        broker.load.as_ref().map(|load| load.at)
    }

    fn answers_again(&mut self, at: Timestamp) {
        self.moved = self.moved.max(at);
    }

    fn without_news(&self, _world: &World, _broker: &BrokerState, _now: Timestamp) -> String {
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
