//! What every follower reports while nothing moves: that EMQX does not answer, that it answers again, and
//! every 30 s the state of the operation.

use jiff::Timestamp;

use super::rebalance::messages;
use crate::model::human::seconds_between;
use crate::model::{BrokerState, Event, EventType, Link, World};
use crate::timing::{LONGEST_QUIET_SECONDS, SILENT_SECONDS};

/// When something was last reported of an operation, and since when EMQX does not answer about it.
#[derive(Clone, Debug)]
pub(super) struct Quiet {
    reported: Timestamp,
    /// EMQX's last answer before an outage, once the outage is reported.
    pub(super) silent_since: Option<Timestamp>,
}

impl Quiet {
    /// For an operation that is seen for the first time.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { reported: now, silent_since: None }
    }
}

/// An operation that is followed to its end.
pub(super) trait Followed {
    /// Its name in events.
    fn name(&self) -> &str;

    /// Whether it has no verdict yet.
    fn is_open(&self) -> bool;

    /// When something was last reported of it.
    fn quiet(&mut self) -> &mut Quiet;

    /// EMQX's last answer about it; `None` where the operation does not depend on EMQX's answers.
    fn answered(&self, broker: &BrokerState) -> Option<Timestamp>;

    /// EMQX answers again, first at this moment: nothing was observed during the outage.
    fn answers_again(&mut self, at: Timestamp);

    /// Its state in one sentence, for a report without news.
    fn standing(&self, world: &World, broker: &BrokerState, now: Timestamp) -> String;

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event;
}

/// Reports that EMQX stopped answering, or answers again. Called before the answer is judged.
pub(super) fn outages<R: Followed>(
    runs: &mut [R],
    broker: &BrokerState,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let link = unreachable(broker);
    for run in runs.iter_mut().filter(|run| run.is_open()) {
        let Some(answered) = run.answered(broker) else { continue };
        let silent = seconds_between(answered, now) >= SILENT_SECONDS;
        let message = match run.quiet().silent_since {
            None if silent => {
                run.quiet().silent_since = Some(answered);
                messages::silent(answered, link)
            }
            Some(since) if !silent && answered > since => {
                run.quiet().silent_since = None;
                run.answers_again(answered);
                messages::answers_again_message(since, answered)
            }
            _ => continue,
        };
        events.push(run.event(now, EventType::Notice, message));
    }
}

/// Reports the state of each operation without an event for 30 s.
pub(super) fn standing<R: Followed>(
    runs: &mut [R],
    world: &World,
    broker: &BrokerState,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    for run in runs.iter_mut().filter(|run| run.is_open()) {
        let last = events.iter().rfind(|event| event.name == run.name()).map(|event| event.time);
        if let Some(last) = last {
            run.quiet().reported = last;
        } else if seconds_between(run.quiet().reported, now) >= LONGEST_QUIET_SECONDS {
            run.quiet().reported = now;
            let message = match run.quiet().silent_since {
                Some(since) => messages::silent(since, unreachable(broker)),
                None => run.standing(world, broker, now),
            };
            events.push(run.event(now, EventType::Progress, message));
        }
    }
}

/// The link by which EMQX cannot be asked, if it cannot.
pub(super) fn unreachable(broker: &BrokerState) -> Option<&Link> {
    let links = [broker.link("nodes"), broker.link("load_rebalance")];
    links.into_iter().flatten().find(|link| link.why().is_some())
}
