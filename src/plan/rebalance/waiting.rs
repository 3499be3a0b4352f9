//! A Rebalance object that no operator has picked up: nothing runs yet, and it starts as soon as an operator
//! reconciles it.

use jiff::Timestamp;

use crate::model::human::{duration, seconds_between};
use crate::model::{Phase, Rebalance, Verdict, World};
use crate::plan::operator::{OperatorProcess, evidence};
use crate::timing::{SECONDS_ALONE, WAITING_REPORTED_SECONDS};

/// For how many seconds the object has waited for an operator; `None` when an operator has written its status, or when it
/// is being deleted. An object without a creation time has waited 0 seconds.
pub fn seconds(object: &Rebalance, now: Timestamp) -> Option<u64> {
    let waits = object.phase == Phase::Pending && !object.processed && object.deleting.is_none();
    waits.then(|| object.created.map_or(0, |created| seconds_between(created, now)))
}

/// `waiting` once the object has waited long enough for a report, `running` before: an operator may be about
/// to start it.
pub fn verdict(seconds: u64) -> Verdict {
    if seconds >= WAITING_REPORTED_SECONDS { Verdict::Waiting } else { Verdict::Running }
}

/// `waiting for the operator (150s)`.
pub fn message(seconds: u64) -> String {
    let age = if seconds < SECONDS_ALONE { format!("{seconds}s") } else { duration(seconds) };
    format!("waiting for the operator ({age})")
}

/// The same, with the note that the operator's process is gone where its Lease shows that.
pub fn explained(seconds: u64, world: &World, now: Timestamp) -> String {
    let gone = evidence(world, None, now).filter(|it| it.process == OperatorProcess::Gone);
    match gone.filter(|_| seconds >= WAITING_REPORTED_SECONDS) {
        Some(gone) => format!("{}; {}", message(seconds), gone.cause()),
        None => message(seconds),
    }
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
    fn only_an_object_without_a_status_waits_and_its_age_is_written_in_seconds() {
        let of = |phase, change: fn(&mut Rebalance)| seconds(&object(phase, change), fixtures::at(150));
        assert_eq!(of(Phase::Pending, |_| ()), Some(150));
        assert_eq!(of(Phase::Pending, |it| it.created = None), Some(0));
        assert_eq!(of(Phase::Pending, |it| it.deleting = Some(fixtures::at(1))), None);
        assert_eq!(of(Phase::Processing, |_| ()), None);
        assert_eq!(of(Phase::Failed, |_| ()), None);
        assert_eq!((verdict(29), verdict(30)), (Verdict::Running, Verdict::Waiting));
        assert_eq!(message(150), "waiting for the operator (150s)");
        assert_eq!(message(5400), "waiting for the operator (90m)");
    }

    #[test]
    fn a_dead_process_of_the_operator_is_named_by_its_lease() {
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
        let text = explained(150, &with(30), fixtures::at(150));
        assert!(
            text.starts_with("waiting for the operator (150s); the operator's process is gone"),
            "{text}"
        );
        assert!(text.contains("last renewed 2m ago"), "{text}");
        // A running operator process, an object that may be picked up in a moment, and a missing Lease add
        // nothing.
        assert_eq!(explained(150, &with(149), fixtures::at(150)), message(150));
        assert_eq!(explained(29, &with(30), fixtures::at(150)), message(29));
        assert_eq!(explained(150, &World::new(), fixtures::at(150)), message(150));
    }
}
