//! Reasons to stop a rebalance while it runs: clients stay offline, evicted clients do not reach recipients, a recipient is
//! not ready.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::model::human::{count, seconds_between};
use crate::model::{Event, EventType, Pod, Stage, World};
use crate::plan::alarm::{ARRIVED_SHARE, Alarm, MISSING_SHARE, hold, in_flight, remember};
use crate::plan::rebalance::messages;
use crate::plan::rebalance::progress::{Counts, arrived, gone};
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::{ALARM_SECONDS, ASSUMED_DELAY_SECONDS};

/// Looks for reasons to stop a run; each run announces the first one once, with the command that stops it.
pub(super) fn observe(run: &mut RebalanceRun, world: &World, now: Timestamp, events: &mut Vec<Event>) {
    run.alarms.raised = raised(run, world);
    if let Some(alarm) = &run.alarms.raised
        && !run.alarms.announced
    {
        let message = messages::stop_it(run, alarm);
        run.alarms.announced = true;
        events.push(run.event(now, EventType::Notice, message));
    }
}

fn raised(run: &mut RebalanceRun, world: &World) -> Option<Alarm> {
    let counted = run.counted?;
    let begun = eviction_began(run, counted);
    let gone = gone(run.start.as_ref(), &run.counts, run.donors());
    let arrived = arrived(run.start.as_ref(), &run.counts, run.recipients());
    let first = run.alarms.moved.is_empty();
    if let (Some(gone), Some(arrived)) = (gone, arrived) {
        remember(&mut run.alarms.moved, counted, gone, arrived);
    }
    // A node that does not report its clients may hold those that seem to be missing.
    let all = run.start.as_ref().and_then(Counts::known_connections).unwrap_or(0);
    let lost = run.counts.known_connections().map_or(0, |connected| all.saturating_sub(connected));
    let offline = lost as f64 > all as f64 * MISSING_SHARE && lost > run.reconnecting();
    let not_arriving = gone.zip(arrived).filter(|(gone, arrived)| {
        *gone > 0 && (*arrived as f64) < *gone as f64 * ARRIVED_SHARE && !moves_sessions(run)
    });
    // A process that observes one moment only assumes that the present condition has held since the recorded
    // begin of the eviction.
    let since = begun.filter(|_| first).unwrap_or(counted);
    let certain = !first || lost > run.reconnecting().saturating_mul(ASSUMED_DELAY_SECONDS);
    let alarms = &mut run.alarms;
    hold(&mut alarms.offline_since, offline, if certain { since } else { counted });
    hold(&mut alarms.not_arriving_since, not_arriving.is_some(), if certain { since } else { counted });
    let held =
        |since: Option<Timestamp>| since.is_some_and(|it| seconds_between(it, counted) >= ALARM_SECONDS);
    let reached = gone.zip(arrived).filter(|(gone, _)| *gone > 0).map(|(gone, arrived)| {
        format!("{} of {} evicted clients reached {}", count(arrived), count(gone), recipients(run))
    });
    if held(run.alarms.offline_since) && !in_flight(&run.alarms.moved, lost) {
        let reason = format!("{} of {} clients are offline and do not come back", count(lost), count(all));
        return Some(Alarm { reason, detail: reached });
    }
    if held(run.alarms.not_arriving_since) {
        let detail = "the load balancer routes them elsewhere, or they stay away".to_owned();
        return Some(Alarm { reason: format!("only {}", reached?), detail: Some(detail) });
    }
    let pod = unready(run, world)?;
    let reason = format!("{}, which receives the evicted clients, is not ready", pod.name);
    Some(Alarm { reason, detail: reached })
}

/// When the eviction began, where the object or the history shows it and EMQX evicts clients or did so
/// before.
fn eviction_began(run: &RebalanceRun, counted: Timestamp) -> Option<Timestamp> {
    let wait = run.strategy.as_ref()?.wait_health_check_seconds;
    let began = run.began_at()?.checked_add(SignedDuration::from_secs(i64::try_from(wait).ok()?)).ok()?;
    let waits = run.entry.as_ref().is_none_or(|entry| entry.stage == Stage::WaitHealthCheck);
    (!waits && began < counted).then_some(began)
}

/// The phase that moves sessions moves no connections.
fn moves_sessions(run: &RebalanceRun) -> bool {
    run.entry.as_ref().is_some_and(|entry| entry.stage == Stage::EvictingSessions)
}

/// `core-3`, or `the 3 recipients`.
fn recipients(run: &RebalanceRun) -> String {
    match run.recipients() {
        [only] => run.label(only).to_owned(),
        all => format!("the {} recipients", count(all.len() as u64)),
    }
}

/// The pod of a recipient that stopped being ready while the rebalance ran. Pods that are not ready are collected first: all
/// donors can be among them, because the operator takes donors out of the Service by the readiness of their pods.
fn unready<'w>(run: &RebalanceRun, world: &'w World) -> Option<&'w Pod> {
    let fell = |pod: &&Pod| {
        let ready = pod.condition("Ready");
        let since = ready.filter(|ready| !ready.holds() && !pod.ready).and_then(|ready| ready.since);
        pod.deleting.is_none() && since.is_some_and(|since| since > run.began)
    };
    let unready: Vec<&Pod> = world.kubernetes.pods.values().map(|seen| &seen.value).filter(fell).collect();
    if unready.is_empty() {
        return None;
    }
    // Of several pods with one name or address, the first one.
    let named: BTreeMap<&str, &Pod> = unready.iter().rev().map(|pod| (pod.name.as_str(), *pod)).collect();
    let addressed: BTreeMap<IpAddr, &Pod> =
        unready.iter().rev().flat_map(|pod| pod.ips.iter().map(|ip| (*ip, *pod))).collect();
    run.recipients().iter().find_map(|node| {
        let by_name = named.get(node.first_label());
        by_name.or_else(|| addressed.get(&node.ip()?)).copied()
    })
}

#[cfg(test)]
mod tests {
    use crate::model::{ApiVersion, BrokerUpdate, Event, Object, Update, World};
    use crate::plan::alarm::Alarm;
    use crate::plan::fixtures;
    use crate::plan::rebalance::tracker::RebalanceTracker;

    /// A rebalance of three donors and one recipient, whose counts are reported at these seconds.
    fn followed(counts: &[(i64, [u64; 4])]) -> (Option<Alarm>, Vec<Event>) {
        let (mut world, mut follower, mut events) =
            (World::new(), RebalanceTracker::new(fixtures::id(ApiVersion::V2)), Vec::new());
        let instance = fixtures::instance(ApiVersion::V2beta1);
        world.apply(fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance)))));
        for (number, (at, counts)) in counts.iter().enumerate() {
            let stage = if number == 0 { "wait_health_check" } else { "evicting_conns" };
            world.apply(fixtures::answer(*at, BrokerUpdate::Nodes(fixtures::nodes(counts))));
            world.apply(fixtures::answer(*at, BrokerUpdate::Evictions(fixtures::load(stage))));
            events.extend(follower.observe(&world, fixtures::at(*at)));
        }
        (follower.running().and_then(|run| run.alarm()).cloned(), events)
    }

    const START: (i64, [u64; 4]) = (0, [3333, 3333, 3334, 0]);

    #[test]
    fn clients_that_stay_offline_for_30_s_are_an_alarm_with_both_numbers() {
        let lost = |at: i64| {
            let each = u64::try_from(at).unwrap_or(0) * 10;
            (at, [3333 - each, 3333 - each, 3334 - each, 0])
        };
        let all: Vec<_> = std::iter::once(START).chain((1..80).map(lost)).collect();
        assert_eq!(followed(&all[..30]).0, None, "30 s have not passed");
        let (alarm, events) = followed(&all);
        let alarm = alarm.expect("an alarm");
        assert_eq!(alarm.headline(), "STOP IT: 2,370 of 10,000 clients are offline and do not come back");
        assert_eq!(alarm.detail.as_deref(), Some("0 of 2,370 evicted clients reached emqx-core-3"));
        let alarms: Vec<_> = events.iter().filter(|event| event.message.starts_with("STOP IT")).collect();
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        assert!(alarms[0].message.contains("kubectl emqx rebalance stop "), "{}", alarms[0].message);
    }

    #[test]
    fn a_node_that_does_not_report_its_clients_is_no_loss_of_them() {
        let (mut world, mut follower) = (World::new(), RebalanceTracker::new(fixtures::id(ApiVersion::V2)));
        let instance = fixtures::instance(ApiVersion::V2beta1);
        world.apply(fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance)))));
        for at in 0..100 {
            let mut nodes = fixtures::nodes(&[3333, 3333, 3334, 0]);
            if at > 0 {
                nodes[0].connections = None;
            }
            world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
            world.apply(fixtures::answer(at, BrokerUpdate::Evictions(fixtures::load("wait_health_check"))));
            follower.observe(&world, fixtures::at(at));
            assert_eq!(follower.running().and_then(|run| run.alarm().cloned()), None, "at {at}");
        }
    }

    #[test]
    fn clients_that_come_back_after_10_s_are_in_flight_and_no_alarm() {
        let delayed = |at: i64| {
            let seconds = u64::try_from(at).unwrap_or(0);
            (
                at,
                [
                    3333 - seconds * 10,
                    3333 - seconds * 10,
                    3334 - seconds * 10,
                    30 * seconds.saturating_sub(10),
                ],
            )
        };
        let all: Vec<_> = std::iter::once(START).chain((1..70).map(delayed)).collect();
        for end in 2..all.len() {
            assert_eq!(followed(&all[..end]).0, None, "second {end}");
        }
    }

    #[test]
    fn an_alarm_ends_when_the_clients_are_back() {
        let mut all: Vec<_> = vec![START];
        all.extend((1..60).map(|at| (at, [3000, 3000, 3000, 0])));
        assert!(followed(&all).0.is_some());
        all.push((60, [3000, 3000, 3000, 1000]));
        assert_eq!(followed(&all).0, None);
    }
}
