//! What every tracker does with its runs, whatever the operation is: a run is found by its name, reports that EMQX does not
//! answer and every 30 s its state while nothing moves, gets one verdict at a time, and is forgotten when newer ones have ended.
//! How the end of a rebalance, an upgrade or an evacuation is verified stands in the tracker of that operation.

use std::ops::{Deref, DerefMut};

use jiff::Timestamp;

use super::happened::Happened;
use crate::model::human::{seconds_between, utc};
use crate::model::{BrokerState, Event, EventType, Judgement, Link, Verdict, World};
use crate::timing::{LONGEST_QUIET_SECONDS, SILENT_SECONDS};

/// Operations of one kind that are over and still remembered, the newest: following for months needs no more memory than
/// following for an hour.
const REMEMBERED: usize = 20;

/// When something was last reported of an operation, and since when EMQX does not answer about it.
#[derive(Clone, Debug)]
pub(crate) struct Quiet {
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
pub(crate) trait Tracked {
    /// Its name in events.
    fn name(&self) -> &str;

    /// How it ended, and why; `None` while it runs.
    fn verdict(&self) -> Option<&Judgement>;

    /// Takes over a verdict, with what follows from it for the counts and the percentage.
    fn end(&mut self, judgement: Judgement, now: Timestamp);

    /// Its present verdict.
    fn standing(&self) -> Verdict {
        self.verdict().map_or(Verdict::Running, |judgement| judgement.verdict)
    }

    /// Whether it has ended and may be forgotten.
    fn is_over(&self) -> bool {
        self.verdict().is_some()
    }

    /// When what an event of it reports happened.
    fn happened(&self, event: &Event) -> Happened;

    /// When something was last reported of it.
    fn quiet(&self) -> &Quiet;

    fn quiet_mut(&mut self) -> &mut Quiet;

    /// EMQX's last answer before an outage that is reported, where it is then unknown whether the operation runs.
    fn silent_since(&self) -> Option<Timestamp> {
        self.quiet().silent_since
    }

    /// EMQX's last answer about it; `None` where the operation does not depend on EMQX's answers.
    fn answered(&self, broker: &BrokerState) -> Option<Timestamp>;

    /// EMQX answers again, first at this moment: nothing was observed during the outage.
    fn answers_again(&mut self, at: Timestamp);

    /// Its state in one sentence, for a report without news.
    fn without_news(&self, world: &World, broker: &BrokerState, now: Timestamp) -> String;

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event;

    /// Records a verdict and reports it.
    fn record_verdict(&mut self, judgement: Judgement, now: Timestamp, events: &mut Vec<Event>) {
        self.end(judgement.clone(), now);
        events.push(self.event(now, EventType::Verdict, judgement.sentence()).judged(judgement));
    }
}

/// The runs of one kind of operation: those that are running and the last that are over, in the order in which they began.
#[derive(Clone, Debug)]
pub struct Runs<R>(Vec<R>);

impl<R> Default for Runs<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> Deref for Runs<R> {
    type Target = Vec<R>;

    fn deref(&self) -> &Vec<R> {
        &self.0
    }
}

impl<R> DerefMut for Runs<R> {
    fn deref_mut(&mut self) -> &mut Vec<R> {
        &mut self.0
    }
}

#[expect(private_bounds, reason = "other modules use the list, and call only what the trackers offer")]
impl<R: Tracked> Runs<R> {
    /// The run of this name: the one without a verdict, else the last.
    pub(super) fn named(&self, name: &str) -> Option<&R> {
        let named = || self.iter().filter(|run| run.name() == name);
        named().find(|run| run.verdict().is_none()).or_else(|| named().next_back())
    }

    /// The runs without a verdict.
    pub(super) fn open(&mut self) -> impl Iterator<Item = &mut R> {
        self.iter_mut().filter(|run| run.verdict().is_none())
    }

    /// Reports that EMQX stopped answering, or answers again. Called before the answer is judged.
    pub(super) fn report_outages(&mut self, broker: &BrokerState, now: Timestamp, events: &mut Vec<Event>) {
        let link = unreachable(broker);
        for run in self.open() {
            let Some(answered) = run.answered(broker) else { continue };
            let is_silent = seconds_between(answered, now) >= SILENT_SECONDS;
            let message = match run.quiet().silent_since {
                None if is_silent => {
                    run.quiet_mut().silent_since = Some(answered);
                    silent(answered, link)
                }
                Some(since) if !is_silent && answered > since => {
                    run.quiet_mut().silent_since = None;
                    run.answers_again(answered);
                    answers_again_message(since, answered)
                }
                _ => continue,
            };
            events.push(run.event(now, EventType::Notice, message));
        }
    }

    /// Reports the state of each run without an event for 30 s.
    pub(super) fn report_without_news(
        &mut self,
        world: &World,
        broker: &BrokerState,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        for run in self.open() {
            let last = events.iter().rfind(|event| event.name == run.name()).map(|event| event.time);
            if let Some(last) = last {
                run.quiet_mut().reported = last;
            } else if seconds_between(run.quiet().reported, now) >= LONGEST_QUIET_SECONDS {
                run.quiet_mut().reported = now;
                let message = match run.quiet().silent_since {
                    Some(since) => silent(since, unreachable(broker)),
                    None => run.without_news(world, broker, now),
                };
                events.push(run.event(now, EventType::Progress, message));
            }
        }
    }

    /// Removes the oldest runs that are over, beyond the newest 20; returns what was removed.
    pub(super) fn forget(&mut self) -> Vec<R> {
        forget(&mut self.0, R::is_over)
    }
}

fn forget<T>(runs: &mut Vec<T>, over: impl Fn(&T) -> bool) -> Vec<T> {
    let mut beyond = runs.iter().filter(|run| over(run)).count().saturating_sub(REMEMBERED);
    let old = |run: &mut T| {
        let goes = beyond > 0 && over(run);
        beyond -= usize::from(goes);
        goes
    };
    runs.extract_if(.., old).collect()
}

/// EMQX does not answer while an operation runs.
pub(super) fn silent(since: Timestamp, link: Option<&Link>) -> String {
    if let Some(Link::Hung(why)) = link {
        return format!("{why}; nothing is concluded until EMQX answers again");
    }
    let why = link.and_then(Link::why).map(|why| format!(" ({why})")).unwrap_or_default();
    format!("EMQX has not answered since {}{why}; waiting until it answers again", utc(since))
}

/// EMQX answers again.
pub(crate) fn answers_again_message(since: Timestamp, until: Timestamp) -> String {
    format!("EMQX answers again; from {} to {} its state was not known", utc(since), utc(until))
}

/// The link by which EMQX cannot be asked, if it cannot.
pub(super) fn unreachable(broker: &BrokerState) -> Option<&Link> {
    let links = [broker.link("nodes"), broker.link("load_rebalance")];
    links.into_iter().flatten().find(|link| link.why().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_all_running_operations_are_retained() {
        let mut runs: Vec<(u32, bool)> =
            (0..25).map(|number| (number, number != 1 && number != 24)).collect();
        assert_eq!(forget(&mut runs, |run| run.1), [(0, true), (2, true), (3, true)]);
        assert_eq!(runs.len(), 22);
        assert!(runs.contains(&(1, false)) && runs.contains(&(24, false)));
        assert_eq!(forget(&mut runs, |run| run.1), []);
    }
}
