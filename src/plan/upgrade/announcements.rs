//! Which steps of an upgrade are reported, each of them once.

use jiff::Timestamp;

use super::messages;
use super::revisions::{Member, UpgradeRevisions};
use super::run::{Milestone, UpgradeRun, UpgradeStep};
use crate::model::{ApiVersion, BrokerState, Event, EventType, Judgement, SetKind, Stage, Verdict, World};
use crate::plan::happened::Happened;
use crate::plan::tracked::{Quiet, Tracked};

/// Reports the step, if it is a new one, and events that happen once.
pub(super) fn announce(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let busy = run.at_work(revisions);
    let key = match run.step {
        UpgradeStep::Emptying => {
            let slowest = busy.iter().map(|(_, stage)| *stage).min();
            let who: Vec<&str> = busy.iter().map(|(member, _)| member.pod.name.as_str()).collect();
            // Nodes that are emptied together reach the same stage one after another: the slowest one counts.
            format!("emptying {} {slowest:?}", if who.len() == 1 { who[0] } else { "several" })
        }
        UpgradeStep::Removing => {
            let going = revisions.old.iter().filter(|member| member.pod.deleting.is_some());
            let names: Vec<&str> = going.map(|member| member.pod.name.as_str()).collect();
            format!("removing {}", names.join(" "))
        }
        UpgradeStep::Waiting | UpgradeStep::Settling => run.key.clone(),
        step => format!("{step:?} {:?} {}", run.to, run.holding),
    };
    // A guard's empty nodes wait while the operator removes one after another: that is reported once.
    let waits = run.api == ApiVersion::V1beta4
        && run.step == UpgradeStep::Emptying
        && busy.iter().all(|(_, stage)| **stage == Stage::Prohibiting);
    let again = waits && !run.seen.insert(Milestone::EmptyPodsReported);
    if key != run.key {
        run.key = key;
        if again {
            // The message was reported already.
        } else if let Some(message) = messages::entered(run, revisions) {
            events.push(run.event(now, EventType::Phase, message));
        }
    }
    for member in &revisions.old {
        if member.pod.ready {
            run.seen.insert(Milestone::OldPodServed);
        }
    }
    let standing: Vec<&Member<'_>> =
        revisions.old.iter().filter(|member| member.pod.deleting.is_none()).collect();
    let out = run.seen.contains(&Milestone::OldPodServed)
        && run.places().0 == 0
        && run.ready.0 > 0
        && !standing.is_empty()
        && standing.len() == revisions.old.len()
        && standing.iter().all(|member| !member.pod.ready);
    if out && run.seen.insert(Milestone::OutOfServiceReported) {
        events.push(run.event(now, EventType::Notice, messages::left_the_service(standing.len())));
    }
    for kind in [SetKind::StatefulSet, SetKind::ReplicaSet] {
        let sets = revisions.groups.iter().filter(|group| group.kind == kind).count();
        if sets > 2 && run.seen.insert(Milestone::ThirdSetReported(kind)) {
            events.push(run.event(now, EventType::Notice, messages::third(sets)));
        }
    }
}

impl Tracked for UpgradeRun {
    fn name(&self) -> &str {
        &self.name
    }

    fn verdict(&self) -> Option<&Judgement> {
        self.verdict.as_ref()
    }

    fn end(&mut self, judgement: Judgement, _now: Timestamp) {
        let verdict = judgement.verdict;
        if verdict.is_final() && !matches!(verdict, Verdict::Stalled | Verdict::Superseded) {
            self.percent = 100;
        }
        self.verdict = Some(judgement);
    }

    fn standing(&self) -> Verdict {
        UpgradeRun::standing(self)
    }

    fn happened(&self, event: &Event) -> Happened {
        UpgradeRun::happened(self, event)
    }

    fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    fn quiet_mut(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    /// Pods show whether it runs.
    fn silent_since(&self) -> Option<Timestamp> {
        None
    }

    fn answered(&self, broker: &BrokerState) -> Option<Timestamp> {
        broker.nodes.as_ref().map(|nodes| nodes.at)
    }

    /// Pods progress without EMQX's answers; the time in which nothing at all was known is counted with the
    /// sources.
    fn answers_again(&mut self, _at: Timestamp) {}

    fn without_news(&self, _world: &World, _broker: &BrokerState, _now: Timestamp) -> String {
        messages::waits(self)
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        UpgradeRun::event(self, now, kind, message)
    }
}
