//! Evacuations that EMQX was asked for and has not listed so far.

use jiff::Timestamp;

use super::{EvacuationRun, EvacuationTracker, clients, node};
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Evacuation, Event, EventType, InstanceId, Judgement, Link, NodeName, Operation,
    OperationRef, Verdict, World,
};
use crate::plan::heartbeat::{Followed, Quiet, unreachable};
use crate::plan::rebalance::messages::silent;
use crate::plan::upgrade::durations::DrainTiming;
use crate::timing::{
    EVACUATION_MISSING_SECONDS, EVACUATION_UNLISTED_SECONDS, SILENT_SECONDS, UPTIME_SLACK_MILLIS,
};

/// An evacuation that EMQX was asked for and has not listed so far.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) timing: DrainTiming,
    pub(super) since: Timestamp,
    quiet: Quiet,
    /// The clients that were connected to its node when EMQX was asked.
    connections: Option<u64>,
}

impl Requested {
    pub(super) fn of(node: NodeName, timing: DrainTiming, now: Timestamp) -> Self {
        let name = OperationRef::Evacuation(node.clone()).to_string();
        Self { name, node, timing, since: now, quiet: Quiet::new(now), connections: None }
    }

    /// Whether its node started after EMQX was asked.
    fn restarted(&self, broker: &BrokerState) -> bool {
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

impl EvacuationTracker {
    /// A node that restarted between the request and EMQX's first list of the evacuation: its clients were disconnected at
    /// once, and EMQX restored the evacuation from disk.
    pub(super) fn restarted_unlisted(
        &mut self,
        request: &Requested,
        (world, id): (&World, &InstanceId),
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        if request.connections == Some(0) || !request.restarted(world.broker(id)) {
            return;
        }
        let clients = clients(request.connections);
        self.end_unlisted(request, (world, id), now, events, |label| {
            let why = format!(
                "{label} restarted before EMQX listed its evacuation, with {clients} connected, which were disconnected at once"
            );
            Judgement::new(Verdict::NodesLost, why)
        });
    }

    /// Adds the run of an evacuation that EMQX never listed, with its end; `end` gets the name of the node.
    fn end_unlisted(
        &mut self,
        request: &Requested,
        cluster: (&World, &InstanceId),
        now: Timestamp,
        events: &mut Vec<Event>,
        end: impl FnOnce(&str) -> Judgement,
    ) {
        let mut run = EvacuationRun::begin(&request.entry(), Some(request.timing), false, cluster, now);
        run.listed = false;
        run.record_verdict(end(&run.label), now, events);
        self.runs.push(run);
    }

    /// Those that EMQX accepted and does not list, although it answers: their node went down before, or nothing is known.
    pub(super) fn never_listed(
        &mut self,
        (world, id): (&World, &InstanceId),
        at: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let broker = world.broker(id);
        let late = |request: &Requested| {
            let down = node(broker, &request.node).is_none_or(|node| !node.running) && broker.nodes.is_some();
            let limit = if down { EVACUATION_MISSING_SECONDS } else { EVACUATION_UNLISTED_SECONDS };
            (broker.load.is_some() && seconds_between(request.since, at) >= limit).then_some(down)
        };
        let mut index = 0;
        while index < self.requested.len() {
            let Some(down) = late(&self.requested[index]) else {
                index += 1;
                continue;
            };
            let request = self.requested.remove(index);
            self.end_unlisted(&request, (world, id), now, events, |label| {
                if down {
                    let why = format!("{label} stopped running before EMQX listed its evacuation");
                    return Judgement::new(Verdict::NodesLost, why);
                }
                let why = format!(
                    "EMQX accepted the evacuation of {label}, and has not listed it for {EVACUATION_UNLISTED_SECONDS} s"
                );
                Judgement::new(Verdict::Unknown, why)
            });
        }
    }
}
