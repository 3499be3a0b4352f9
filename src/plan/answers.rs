//! Whether EMQX's last answers are current enough to be used.

use jiff::Timestamp;

use crate::model::human::seconds_between;
use crate::model::{BrokerState, EvictionStatus, Link, World};
use crate::plan::snapshot::Snapshot;
use crate::timing::{FAILED_REQUEST_SECONDS, OLD_ANSWER_SECONDS};

/// Whether EMQX's last answer about what it moves is current: its links are up, or were lost a moment ago.
pub(crate) fn current_load<'w>(
    world: &'w World,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Option<&'w EvictionStatus> {
    let broker = world.broker(&snapshot.instance);
    let load = broker.load.as_ref().filter(|_| snapshot.wrong_emqx.is_none())?;
    let age = seconds_between(load.at, now);
    let fresh = age <= FAILED_REQUEST_SECONDS;
    let answered = |resource: &'static str| {
        broker.link(resource).is_none_or(|link| match link {
            Link::Up => age <= OLD_ANSWER_SECONDS,
            Link::Unreachable(_) | Link::Hung(_) => fresh,
            Link::Forbidden(_) | Link::Absent(_) => false,
        })
    };
    (answered("nodes") && answered("load_rebalance")).then_some(&load.value)
}

/// Whether EMQX lists its nodes, or did a moment ago.
pub(crate) fn lists_nodes(broker: &BrokerState, now: Timestamp) -> bool {
    let nodes = broker.nodes.as_ref();
    nodes.is_some_and(|nodes| broker.answers_nodes() || nodes.is_within(FAILED_REQUEST_SECONDS, now))
}
