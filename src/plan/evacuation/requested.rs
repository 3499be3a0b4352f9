//! Evacuations that EMQX was asked for and has not listed so far.

use jiff::Timestamp;

use super::run::node;
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Evacuation, Event, EventType, Judgement, Link, NodeName, Operation, OperationRef, World,
};
use crate::plan::durations::DrainTiming;
use crate::plan::happened::Happened;
use crate::plan::tracked::{Quiet, Tracked, silent, unreachable};
use crate::timing::{SILENT_SECONDS, UPTIME_SLACK_MILLIS};

/// An evacuation that EMQX was asked for and has not listed so far.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) timing: DrainTiming,
    pub(super) since: Timestamp,
    pub(super) quiet: Quiet,
    /// The clients that were connected to its node when EMQX was asked.
    pub(super) connections: Option<u64>,
}

impl Requested {
    pub(super) fn of(node: NodeName, timing: DrainTiming, now: Timestamp) -> Self {
        let name = OperationRef::Evacuation(node.clone()).to_string();
        Self { name, node, timing, since: now, quiet: Quiet::new(now), connections: None }
    }

    /// Whether its node started after EMQX was asked.
    pub(super) fn restarted(&self, broker: &BrokerState) -> bool {
        let uptime = node(broker, &self.node).filter(|node| node.running).and_then(|node| node.uptime_millis);
        uptime.zip(broker.nodes.as_ref()).is_some_and(|(uptime, nodes)| {
            // EMQX rounds, and its answer takes time.
            uptime.saturating_add(UPTIME_SLACK_MILLIS) < seconds_between(self.since, nodes.at) * 1000
        })
    }

    /// Processes the clients of its node, until that restarts.
    pub(super) fn count(&mut self, broker: &BrokerState) {
        if self.connections.is_none() && !self.restarted(broker) {
            self.connections = node(broker, &self.node).and_then(|node| node.connections);
        }
    }

    /// What EMQX would list of it, of which nothing is known.
    pub(super) fn entry(&self) -> Evacuation {
        Evacuation::in_state(self.node.clone(), NOT_LISTED)
    }
}

/// The state of one that EMQX never listed.
const NOT_LISTED: &str = "not listed";

impl Tracked for Requested {
    fn name(&self) -> &str {
        &self.name
    }

    fn verdict(&self) -> Option<&Judgement> {
        None
    }

    /// It ends as a run of its own, which EMQX lists or never listed.
    fn end(&mut self, _judgement: Judgement, _now: Timestamp) {}

    fn happened(&self, event: &Event) -> Happened {
        Happened::At(event.time)
    }

    fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    fn quiet_mut(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    fn answered(&self, _broker: &BrokerState) -> Option<Timestamp> {
        None
    }

    fn answers_again(&mut self, _at: Timestamp) {}

    fn without_news(&self, _world: &World, broker: &BrokerState, now: Timestamp) -> String {
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
