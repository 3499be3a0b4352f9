//! Whether the sources of an upgrade answer: EMQX, and the list of pods.

use jiff::Timestamp;

use crate::model::{BrokerState, Link, Node, Seen, Source, World};
use crate::timing::{NEW_POD_ANSWER_SECONDS, OUTAGE_ANSWER_SECONDS};

/// Whether EMQX can be asked.
pub(super) fn answers(broker: &BrokerState) -> bool {
    broker.nodes.is_some() && broker.answers_nodes()
}

/// Whether EMQX's list of evacuations is that of its last answer.
pub(super) fn load_answers(broker: &BrokerState) -> bool {
    broker.nodes.is_some() && broker.is_up()
}

/// Whether EMQX cannot be asked and its last answer is too old to judge by. Where it has never answered, the operator's copy
/// is as old as the operator's own last answer: it may be unable to ask EMQX, too.
pub(super) fn blind(broker: &BrokerState, now: Timestamp) -> bool {
    match &broker.nodes {
        Some(nodes) => !nodes.is_within(OUTAGE_ANSWER_SECONDS, now) && !answers(broker),
        None => broker.link("nodes").is_some_and(|link| link.why().is_some()),
    }
}

/// Whether EMQX, which does not answer at the moment, answered lately and may do so again through another pod.
pub(super) fn may_answer(broker: &BrokerState, now: Timestamp) -> bool {
    let lately = |nodes: &Seen<Vec<Node>>| nodes.is_within(NEW_POD_ANSWER_SECONDS, now);
    broker.link("nodes").is_some_and(Link::is_unreachable) && broker.nodes.as_ref().is_some_and(lately)
}

/// Why EMQX cannot be asked, and since when.
pub(super) fn outage_reason(broker: &BrokerState) -> String {
    let why = broker.link("nodes").and_then(Link::why).unwrap_or("EMQX does not answer");
    match &broker.nodes {
        Some(nodes) => format!("no answer of EMQX since {} UTC ({why})", nodes.at.strftime("%H:%M:%S")),
        None => format!("EMQX could not be asked: {why}"),
    }
}

/// Until when the state is known: EMQX's last answer, where EMQX can be asked, and the last list of pods
/// where pods cannot be listed any more.
pub(super) fn known_until(world: &World, broker: &BrokerState, now: Timestamp) -> Timestamp {
    let answered = broker.nodes.as_ref().filter(|_| answers(broker)).map_or(now, |nodes| nodes.at);
    let pods = world.kubernetes.sources.get(&(Source::Pods, "pods")).filter(|source| source.link != Link::Up);
    pods.and_then(|source| source.last_seen).map_or(answered, |listed| answered.min(listed))
}
