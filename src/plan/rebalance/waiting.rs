//! A Rebalance object that no operator has picked up: nothing runs yet, and it starts as soon as an operator
//! reconciles it.

use jiff::Timestamp;

use crate::model::human::{duration, seconds_between};
use crate::model::{Judgement, Phase, Rebalance, Verdict, World};
use crate::plan::operator::{OperatorProcess, evidence};
use crate::timing::WAITING_REPORTED_SECONDS;

/// For how many seconds the object has waited for an operator; `None` when an operator has written its status, or when it
/// is being deleted. An object without a creation time has waited 0 seconds.
pub(crate) fn seconds(object: &Rebalance, now: Timestamp) -> Option<u64> {
    let waits = object.phase == Phase::Pending && !object.processed && object.deleting.is_none();
    waits.then(|| object.created.map_or(0, |created| seconds_between(created, now)))
}

/// `waiting` once the object has waited long enough for a report, `running` before: an operator may be about
/// to start it.
pub(crate) fn verdict(seconds: u64) -> Verdict {
    if seconds >= WAITING_REPORTED_SECONDS { Verdict::Waiting } else { Verdict::Running }
}

/// `waiting for the operator (2m30s)`.
pub(crate) fn message(seconds: u64) -> String {
    format!("waiting for the operator ({})", duration(seconds))
}

/// The command that shows whether an operator runs.
pub(crate) const SEE_OPERATOR: &str = "kubectl get pods -A | grep emqx-operator";

/// What to type while no operator picks the object up: how to see the operator, and that `stop` deletes the object.
fn advice(name: &str) -> String {
    format!("{SEE_OPERATOR} shows whether it runs, kubectl emqx rebalance stop {name} deletes the object")
}

/// The message without what to type.
pub(crate) fn reason(message: &str) -> &str {
    message.find(SEE_OPERATOR).map_or(message, |place| message[..place].trim_end_matches("; "))
}

/// The same, with the note that the operator's process is gone where its Lease shows that, and what to type next.
pub(crate) fn explained(object: &Rebalance, seconds: u64, world: &World, now: Timestamp) -> String {
    if seconds < WAITING_REPORTED_SECONDS {
        return message(seconds);
    }
    let gone = evidence(world, None, now).filter(|it| it.process == OperatorProcess::Gone);
    let cause = gone.map(|gone| format!("; {}", gone.cause())).unwrap_or_default();
    format!("{}{cause}; {}", message(seconds), advice(&object.name))
}

/// The judgement of an object that still waits when it is no longer followed.
pub(crate) fn judgement(name: &str, seconds: u64) -> Judgement {
    let verdict = verdict(seconds);
    let advice = if verdict == Verdict::Waiting { format!("; {}", advice(name)) } else { String::new() };
    Judgement::new(verdict, message(seconds) + &advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lease::{OPERATOR_LEASE, OperatorLease};
    use crate::model::{Object, Update};
    use crate::plan::fixtures;

    fn object(phase: Phase, change: impl FnOnce(&mut Rebalance)) -> Rebalance {
        match fixtures::rebalance("golden", phase, change).update {
            Update::Upserted(Object::Rebalance(object)) => *object,
            other => panic!("not a Rebalance: {other:?}"),
        }
    }

    #[test]
    fn only_an_object_without_a_status_waits() {
        let of = |phase, change: fn(&mut Rebalance)| seconds(&object(phase, change), fixtures::at(150));
        assert_eq!(of(Phase::Pending, |_| ()), Some(150));
        assert_eq!(of(Phase::Pending, |it| it.created = None), Some(0));
        assert_eq!(of(Phase::Pending, |it| it.deleting = Some(fixtures::at(1))), None);
        assert_eq!(of(Phase::Processing, |_| ()), None);
        assert_eq!(of(Phase::Failed, |_| ()), None);
        assert_eq!((verdict(29), verdict(30)), (Verdict::Running, Verdict::Waiting));
        assert_eq!(message(150), "waiting for the operator (2m30s)");
        assert_eq!(message(5400), "waiting for the operator (90m)");
    }

    #[test]
    fn a_waiting_object_names_what_to_type_and_a_dead_process_of_the_operator() {
        let lease = |renewed| OperatorLease {
            namespace: "emqx-operator-system".to_owned(),
            name: OPERATOR_LEASE.to_owned(),
            uid: "u".to_owned(),
            holder: Some("pod".to_owned()),
            renewed: Some(fixtures::at(renewed)),
            seconds: 15,
        };
        let with = |renewed| {
            World::of([fixtures::fact(150, Update::Upserted(Object::Lease(Box::new(lease(renewed)))))])
        };
        let golden = object(Phase::Pending, |_| ());
        let explained = |seconds, world: &World| explained(&golden, seconds, world, fixtures::at(150));
        let advice = "kubectl get pods -A | grep emqx-operator shows whether it runs, kubectl emqx rebalance stop golden \
                      deletes the object";
        let text = explained(150, &with(30));
        assert_eq!(
            text,
            format!(
                "waiting for the operator (2m30s); the operator's process is gone: its Lease was last renewed 2m ago; {advice}"
            )
        );
        assert!(reason(&text).ends_with("last renewed 2m ago"), "{}", reason(&text));
        // A running operator process and a missing Lease add no cause.
        let waits = format!("{}; {advice}", message(150));
        assert_eq!(explained(150, &with(149)), waits);
        assert_eq!(explained(150, &World::new()), waits);
        assert_eq!(reason(&waits), message(150));
        assert_eq!(judgement("golden", 150), Judgement::new(Verdict::Waiting, waits));
        // An object that may be picked up in a moment needs nothing.
        assert_eq!(explained(29, &with(30)), message(29));
        assert_eq!(judgement("golden", 29), Judgement::new(Verdict::Running, message(29)));
    }
}
