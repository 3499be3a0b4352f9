//! What a rebalance waits for, while nothing moves.

use jiff::Timestamp;

use crate::model::human::{plural, seconds_between, utc};
use crate::model::{BrokerState, Event, EventType, Judgement, Link, Verdict, World};
use crate::plan::happened::Happened;
use crate::plan::rebalance::messages::{self};
use crate::plan::rebalance::progress::lost_clients;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::rebalance::waiting;
use crate::plan::tracked::{Quiet, Tracked, silent, unreachable};
use crate::timing::SILENT_SECONDS;

impl Tracked for RebalanceRun {
    fn name(&self) -> &str {
        &self.name
    }

    fn verdict(&self) -> Option<&Judgement> {
        self.verdict.as_ref()
    }

    fn end(&mut self, judgement: Judgement, now: Timestamp) {
        let verdict = judgement.verdict;
        if verdict.is_final()
            && !matches!(verdict, Verdict::Stalled | Verdict::Unknown)
            && self.entry.is_some()
        {
            self.percent = 100;
        }
        if self.entry.is_none() && self.ended.is_none() && verdict.ends_a_rebalance() {
            self.end_unseen(now);
        }
        self.verdict = Some(judgement);
    }

    fn standing(&self) -> Verdict {
        RebalanceRun::standing(self)
    }

    fn happened(&self, event: &Event) -> Happened {
        RebalanceRun::happened(self, event)
    }

    fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    fn quiet_mut(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    fn answered(&self, broker: &BrokerState) -> Option<Timestamp> {
        self.entry.as_ref()?;
        broker.load.as_ref().map(|load| load.at)
    }

    fn answers_again(&mut self, at: Timestamp) {
        self.moved = self.moved.max(at);
    }

    fn without_news(&self, world: &World, broker: &BrokerState, now: Timestamp) -> String {
        if let Some(ended) = self.ended {
            let since = seconds_between(ended, now);
            return match lost_clients(self.start.as_ref(), &self.counts).filter(|lost| *lost > 0) {
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
            Some(load) => silent(load.at, unreachable(broker)),
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
