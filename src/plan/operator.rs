//! Whether the operator's process is alive, by its Lease. That verifies the process and not that it reconciles: an
//! operator that backs off after an error renews its Lease all the time ([OP-19]).

use jiff::Timestamp;
use serde::Serialize;

use crate::model::World;
use crate::model::human::{duration, seconds_between};
use crate::timing::{LEASE_OVERDUE_SECONDS, LEASE_UNREAD_SECONDS};

/// What the Lease shows about the operator's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorProcess {
    /// It renewed its Lease in time.
    Running,
    /// It no longer renews its Lease, or gave it back.
    Gone,
}

/// The operator's process, and the age of its Lease in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whether it is alive.
    pub process: OperatorProcess,
    /// Seconds since the last renewal.
    pub lease_seconds: u64,
}

impl Evidence {
    /// `the operator's process is gone (last sign 10m ago)`, for the cause of what does not move.
    pub(crate) fn cause(self) -> String {
        match self.process {
            OperatorProcess::Running => "the operator's process runs".to_owned(),
            OperatorProcess::Gone => {
                format!(
                    "the operator's process is gone: its Lease was last renewed {} ago",
                    duration(self.lease_seconds)
                )
            }
        }
    }
}

/// Judges the Leases that were read. `silent` is the number of seconds since the operator's last dated status update or
/// event: an operator that wrote after its Lease ran out works without a Lease. `None` where no Lease may be read, there is
/// none, or it shows nothing.
pub(crate) fn evidence(world: &World, silent: Option<u64>, now: Timestamp) -> Option<Evidence> {
    let read = world.kubernetes.leases.values().filter(|seen| seen.is_within(LEASE_UNREAD_SECONDS, now));
    let judged = read.filter_map(|seen| {
        let renewed = seen.value.renewed?;
        let overdue = seconds_between(renewed, seen.at) > seen.value.seconds + LEASE_OVERDUE_SECONDS;
        let gone = overdue || seen.value.holder.is_none();
        let process = if gone { OperatorProcess::Gone } else { OperatorProcess::Running };
        Some(Evidence { process, lease_seconds: seconds_between(renewed, now) })
    });
    // An operator that was removed leaves its Lease behind: of several the youngest counts.
    let youngest = judged.min_by_key(|it| (it.process != OperatorProcess::Running, it.lease_seconds))?;
    let wrote_since = silent.is_some_and(|silent| silent + LEASE_OVERDUE_SECONDS < youngest.lease_seconds);
    (youngest.process == OperatorProcess::Running || !wrote_since).then_some(youngest)
}

/// The text about such counts.
pub(crate) fn status_age(silent: u64) -> String {
    format!(
        "the counts are the operator's, whose last dated status update is {} old: they may be as old",
        duration(silent)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lease::{OPERATOR_LEASE, OperatorLease};
    use crate::model::{Object, Update};
    use crate::plan::fixtures;

    fn read(world: &mut World, namespace: &str, at: i64, renewed: i64, holder: Option<&str>) {
        let lease = OperatorLease {
            namespace: namespace.to_owned(),
            name: OPERATOR_LEASE.to_owned(),
            uid: namespace.to_owned(),
            holder: holder.map(str::to_owned),
            renewed: Some(fixtures::at(renewed)),
            seconds: 15,
        };
        world.apply(fixtures::fact(at, Update::Upserted(Object::Lease(Box::new(lease)))));
    }

    fn found(world: &World, silent: Option<u64>, now: i64) -> Option<(OperatorProcess, u64)> {
        evidence(world, silent, fixtures::at(now)).map(|it| (it.process, it.lease_seconds))
    }

    #[test]
    fn an_idle_operator_renews_its_lease_and_a_dead_one_does_not() {
        let mut world = World::new();
        assert_eq!(found(&world, Some(600), 600), None, "no Lease was read");
        read(&mut world, "emqx-operator-system", 600, 599, Some("pod"));
        assert_eq!(found(&world, Some(600), 600), Some((OperatorProcess::Running, 1)));
        read(&mut world, "emqx-operator-system", 640, 599, Some("pod"));
        assert_eq!(found(&world, Some(640), 640), Some((OperatorProcess::Gone, 41)));
        read(&mut world, "emqx-operator-system", 640, 639, None);
        assert_eq!(found(&world, Some(640), 640), Some((OperatorProcess::Gone, 1)), "it was given back");
    }

    #[test]
    fn a_lease_that_is_not_read_any_more_shows_nothing() {
        let mut world = World::new();
        read(&mut world, "emqx-operator-system", 600, 599, Some("pod"));
        assert_eq!(found(&world, None, 660), Some((OperatorProcess::Running, 61)));
        assert_eq!(found(&world, None, 661), None);
    }

    #[test]
    fn an_old_lease_does_not_make_a_working_operator_look_stopped() {
        let mut world = World::new();
        read(&mut world, "old", 600, 0, Some("pod"));
        assert_eq!(found(&world, Some(30), 600), None, "it wrote a status 30 s ago");
        assert_eq!(found(&world, Some(600), 600), Some((OperatorProcess::Gone, 600)));
        read(&mut world, "new", 600, 598, Some("pod"));
        assert_eq!(found(&world, Some(600), 600), Some((OperatorProcess::Running, 2)));
    }
}
