//! Which object belongs to an entry of EMQX, and which object has no entry although it reports Processing.
//!
//! EMQX's entry does not name its object. An old object must not be taken for the one that runs now: it would
//! be stopped, judged and deleted because of another rebalance.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::record::PlanRecord;
use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, EvictionStatus, InstanceId, NodeName, Part, Phase, Rebalance, RunningRebalance, Seen, Stage,
    World,
};
use crate::timing::{
    COMPLETED_AFTER_STOP_SECONDS, IDLE_SECONDS, OBJECT_START_SECONDS, OVERDUE_SECONDS, POLL_SLACK_SECONDS,
    WAIT_SLACK_SECONDS,
};

/// Whether this entry can be the rebalance that the object started: the operator asked EMQX to start it, its copy of
/// EMQX's states has the same coordinator, nodes and rates, and the entry is not in an earlier
/// stage than the object has reached.
pub(crate) fn owns(object: &Rebalance, entry: &RunningRebalance, now: Timestamp) -> bool {
    if !object.processed || object.phase == Phase::Completed || waits_too_long(object, entry, now) {
        return false;
    }
    if object.states.is_empty() {
        let strategy = &object.strategy;
        return same_rates((Some(strategy.conn_evict_rate), Some(strategy.sess_evict_rate)), entry);
    }
    // The operator copies every entry of EMQX, also those of other rebalances.
    object.states.iter().any(|state| continued(state, entry))
}

/// A rebalance that lasts longer than its plan times this factor, and [`OVERDUE_SECONDS`] more, is another one.
const OVERDUE_FACTOR: u64 = 3;

/// Whether what the object started is over, although the object does not report it: EMQX reported after its
/// start that nothing runs, or its plan ended long ago. A direct rebalance with the same nodes and rates is
/// not that of the object.
pub(crate) fn outlived(broker: &BrokerState, object: &Rebalance, now: Timestamp) -> bool {
    let Some(began) = object.started.or(object.created) else { return false };
    let idle = broker.idle.is_some_and(|(since, until)| {
        began < since && until <= now && seconds_between(since, until) >= IDLE_SECONDS
    });
    let record = object.plan.as_deref().and_then(PlanRecord::read);
    let overdue = record.is_some_and(|record| {
        let planned = seconds_between(record.time, record.expected_end);
        seconds_between(began, now) > planned.saturating_mul(OVERDUE_FACTOR).saturating_add(OVERDUE_SECONDS)
    });
    idle || overdue
}

/// Whether an entry is a later state of one that the operator copied.
fn continued(state: &RunningRebalance, entry: &RunningRebalance) -> bool {
    let forwards = match (state.stage.order(), entry.stage.order()) {
        (Some(before), Some(after)) => after >= before,
        _ => true,
    };
    let same = |one: &[NodeName], other: &[NodeName]| {
        let set = |nodes: &[NodeName]| nodes.iter().cloned().collect::<BTreeSet<_>>();
        one.is_empty() || other.is_empty() || set(one) == set(other)
    };
    state.coordinator == entry.coordinator
        && forwards
        && same_rates((state.conn_evict_rate, state.sess_evict_rate), entry)
        && same(&state.donors, &entry.donors)
        && same(&state.recipients, &entry.recipients)
}

/// Whether an entry matches the plan that is recorded in the object, for an operator that writes no status.
pub(crate) fn planned(object: &Rebalance, entry: &RunningRebalance) -> bool {
    let rates = (Some(object.strategy.conn_evict_rate), Some(object.strategy.sess_evict_rate));
    let pending = object.phase == Phase::Pending && object.deleting.is_none();
    let donors = object.plan.as_deref().and_then(PlanRecord::read).map(|record| {
        let parts = record.parts();
        let mut donors: Vec<NodeName> = parts
            .into_iter()
            .filter(|(_, part)| *part == Part::Donor)
            .map(|(node, _)| node.clone())
            .collect();
        donors.sort();
        donors
    });
    let mut gives = entry.donors.clone();
    gives.sort();
    pending && same_rates(rates, entry) && donors.is_some_and(|donors| donors == gives)
}

/// Whether the operator reports that this object runs, with a copy of an entry at the rates of its spec.
pub(super) fn copied(object: &Rebalance) -> bool {
    let rates = (Some(object.strategy.conn_evict_rate), Some(object.strategy.sess_evict_rate));
    object.phase == Phase::Processing
        && object.deleting.is_none()
        && object.states.iter().any(|state| same_rates(rates, state))
}

/// Rates that are unknown on either side match. The copied states decide before the spec, which may be edited in mid-run
/// without effect.
fn same_rates(rates: (Option<u64>, Option<u64>), entry: &RunningRebalance) -> bool {
    let same = |one: Option<u64>, other: Option<u64>| one.is_none() || other.is_none() || one == other;
    same(rates.0, entry.conn_evict_rate) && same(rates.1, entry.sess_evict_rate)
}

/// An entry in its first wait cannot be one that began long before that wait's length.
fn waits_too_long(object: &Rebalance, entry: &RunningRebalance, now: Timestamp) -> bool {
    let limit = object.strategy.wait_health_check_seconds + WAIT_SLACK_SECONDS;
    let began = object.started.or(object.created);
    entry.stage == Stage::WaitHealthCheck && began.is_some_and(|began| seconds_between(began, now) > limit)
}

/// What runs in EMQX, by name: of each entry the object that owns it (the one that began last), or `coordinator/NODE`.
pub(crate) fn running(world: &World, id: &InstanceId) -> Vec<(String, RunningRebalance)> {
    let broker = world.broker(id);
    let Some(load) = &broker.load else { return Vec::new() };
    let mut free: Vec<&Rebalance> = world.rebalances_of(id).into_iter().map(|seen| &seen.value).collect();
    free.sort_by_key(|object| object.started.or(object.created));
    let mut found = Vec::new();
    for entry in &load.value.rebalances {
        let owns = |object: &&Rebalance| owns(object, entry, load.at) && !outlived(broker, object, load.at);
        let owner = free.iter().rposition(owns).map(|place| free.remove(place));
        let name = owner.map_or_else(|| entry.operation().to_string(), |object| object.name.clone());
        found.push((name, entry.clone()));
    }
    found
}

/// The object of an entry that was stopped within a span in which Rebalances could not be listed. The operator may have seen since
/// that EMQX runs nothing, and have completed the object.
pub(crate) fn stopped<'w>(
    world: &'w World,
    id: &'w InstanceId,
    entry: &RunningRebalance,
    (from, to): (Timestamp, Timestamp),
) -> Option<&'w Rebalance> {
    let objects = world.rebalances_of(id).into_iter().map(|seen| &seen.value);
    let before = |object: &&Rebalance| {
        object.started.or(object.created).is_some_and(|began| began <= from)
            && !outlived(world.broker(id), object, from)
    };
    let is = |object: &&Rebalance| {
        let running = Rebalance { phase: Phase::Processing, ..(*object).clone() };
        let ran = object.phase != Phase::Completed || completed_after(object, (from, to));
        ran && owns(&running, entry, from)
    };
    objects.filter(before).filter(is).max_by_key(|object| object.started.or(object.created))
}

/// Whether the rebalance that this coordinator ran, and that was stopped within this span, can be that of the object: the operator
/// copied the coordinator, or has completed the object since, for which it drops its copy.
pub(crate) fn may_be_stopped_as(
    object: &Rebalance,
    coordinator: &NodeName,
    (from, to): (Timestamp, Timestamp),
) -> bool {
    let began = object.started.or(object.created).is_some_and(|began| began <= from);
    let ran = match object.phase {
        Phase::Completed => completed_after(object, (from, to)),
        _ => object.states.iter().any(|state| state.coordinator == *coordinator),
    };
    object.processed && began && ran
}

fn completed_after(object: &Rebalance, (from, to): (Timestamp, Timestamp)) -> bool {
    object.completed.is_some_and(|completed| {
        seconds_between(completed, from) <= POLL_SLACK_SECONDS
            && seconds_between(to, completed) <= COMPLETED_AFTER_STOP_SECONDS
    })
}

/// The objects of an instance that no operator has picked up, oldest first.
pub(crate) fn waiting<'a>(world: &'a World, id: &'a InstanceId, now: Timestamp) -> Vec<&'a Rebalance> {
    let objects = world.rebalances_of(id).into_iter().map(|seen| &seen.value);
    objects.filter(|object| super::waiting::seconds(object, now).is_some()).collect()
}

/// Whether a stop of this object began and did not end: our stop has marked the object, or the object is
/// being deleted.
pub(crate) fn left_by_a_stop(object: &Rebalance) -> bool {
    object.stopped_by.is_some() || object.deleting.is_some()
}

/// The rebalance that a source other than EMQX suggests, while EMQX lists none that can be it: an object
/// reports Processing, or an object reports Failed and its donors are out of the Service.
pub(crate) fn suggested<'w>(world: &'w World, id: &'w InstanceId, now: Timestamp) -> Option<&'w Rebalance> {
    let load = &world.broker(id).load.as_ref()?.value;
    let objects = || world.rebalances_of(id).into_iter().map(|seen| &seen.value);
    if let Some(object) = objects().find(|object| not_run(object, load, now)) {
        return Some(object);
    }
    let failed = objects().rfind(|object| object.phase == Phase::Failed && object.processed)?;
    if load.rebalances.iter().any(|entry| owns(failed, entry, now)) {
        return None;
    }
    let snapshot = crate::plan::snapshot::snapshot(world, id, now);
    let outside =
        |node: &NodeName| snapshot.node(node).is_some_and(|row| row.serving == Some(false) && row.running);
    failed.states.iter().flat_map(|state| &state.donors).any(outside).then_some(failed)
}

/// Whether the object reports Processing while EMQX lists nothing that it can have started.
pub(crate) fn not_run(object: &Rebalance, load: &EvictionStatus, now: Timestamp) -> bool {
    object.phase == Phase::Processing && !load.rebalances.iter().any(|entry| owns(object, entry, now))
}

/// Whether the object reports Processing and EMQX's last answer is from before its start: EMQX was not asked about it.
pub(crate) fn starting(seen: &Seen<Rebalance>, answered: Timestamp) -> bool {
    let object = &seen.value;
    // The operator's clock may be ahead of ours: the object was not observed later than now.
    let began = object.started.or(object.created).map_or(seen.at, |began| began.min(seen.at));
    object.phase == Phase::Processing && answered.as_second() < began.as_second() + OBJECT_START_SECONDS
}

/// The object of an instance that reports Processing while EMQX was not polled since its start.
pub(crate) fn started_since<'w>(world: &'w World, id: &'w InstanceId) -> Option<&'w Rebalance> {
    let answered = world.broker(id).load.as_ref()?.at;
    let found = world.rebalances_of(id).into_iter().find(|seen| starting(seen, answered));
    found.map(|seen| &seen.value)
}

/// What [`not_run`] means, and what happens to the object.
pub(crate) fn not_run_message() -> &'static str {
    "the object reports Processing, but EMQX does not run it: the operator writes Completed (or Failed, where EMQX is not \
     Ready) when it reconciles the object next, and starts nothing"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, Object, Update};
    use crate::plan::fixtures;
    use crate::plan::rebalance::plan::Return;

    fn object(phase: Phase, change: impl FnOnce(&mut Rebalance)) -> Rebalance {
        match fixtures::rebalance("golden", phase, change).update {
            Update::Upserted(Object::Rebalance(object)) => *object,
            other => panic!("not a Rebalance: {other:?}"),
        }
    }

    fn entry(state: &str) -> RunningRebalance {
        fixtures::load(state).rebalances.remove(0)
    }

    fn failed_with(state: RunningRebalance) -> Rebalance {
        object(Phase::Failed, |it| {
            it.processed = true;
            it.states = vec![state];
        })
    }

    #[test]
    fn an_object_owns_what_its_states_became_whatever_the_order_of_the_nodes() {
        let mut later = entry("evicting_conns");
        later.donors.reverse();
        assert!(owns(&failed_with(entry("wait_health_check")), &later, fixtures::at(40)));
        assert!(owns(&object(Phase::Processing, |_| ()), &later, fixtures::at(40)), "no states so far");
    }

    #[test]
    fn an_object_owns_its_run_although_the_operator_copied_another_one_first() {
        let mut other = entry("evicting_conns");
        other.coordinator = fixtures::core(9);
        other.donors = vec![fixtures::core(9)];
        let both = object(Phase::Processing, |it| it.states = vec![other, entry("evicting_conns")]);
        assert!(owns(&both, &entry("evicting_conns"), fixtures::at(40)));
    }

    #[test]
    fn an_object_owns_its_run_although_its_spec_was_edited_in_mid_run() {
        let edited = object(Phase::Processing, |it| {
            it.states = vec![entry("evicting_conns")];
            it.strategy.conn_evict_rate = 77;
        });
        assert!(owns(&edited, &entry("evicting_conns"), fixtures::at(40)));
    }

    #[test]
    fn a_rebalance_that_was_started_directly_is_not_that_of_an_old_object() {
        let old = failed_with(entry("evicting_conns"));
        assert!(!owns(&old, &entry("wait_health_check"), fixtures::at(300)), "an earlier stage");
        let mut others = entry("evicting_conns");
        others.donors = vec![fixtures::core(0)];
        assert!(!owns(&old, &others, fixtures::at(300)), "other donors");
        let mut faster = entry("evicting_conns");
        faster.conn_evict_rate = Some(50);
        assert!(!owns(&old, &faster, fixtures::at(300)), "another rate");
        let mut elsewhere = entry("evicting_conns");
        elsewhere.coordinator = fixtures::core(1);
        assert!(!owns(&old, &elsewhere, fixtures::at(300)), "another coordinator");
        let waiting = object(Phase::Failed, |it| it.processed = true);
        assert!(
            !owns(&waiting, &entry("wait_health_check"), fixtures::at(300)),
            "a wait of 10 s after 300 s"
        );
        assert!(!owns(
            &object(Phase::Completed, |it| it.processed = true),
            &entry("wait_takeover"),
            fixtures::at(1)
        ));
    }

    #[test]
    fn a_direct_rebalance_after_emqx_ran_nothing_is_not_that_of_the_failed_object() {
        let failed = |plan: Option<String>| {
            fixtures::rebalance("golden", Phase::Failed, |it| {
                it.processed = true;
                it.states = vec![entry("evicting_conns")];
                it.plan = plan;
            })
        };
        let id = fixtures::id(ApiVersion::V2beta1);
        let name = |facts: Vec<crate::model::Fact>| running(&World::of(facts), &id).remove(0).0;
        let load =
            |second: i64, load: EvictionStatus| fixtures::answer(second, BrokerUpdate::Evictions(load));
        let runs = |second| load(second, fixtures::load("evicting_conns"));
        let idle = |second| load(second, EvictionStatus::default());
        assert_eq!(name(vec![failed(None), runs(40)]), "golden");
        assert_eq!(name(vec![failed(None), runs(40), idle(41), runs(42)]), "golden", "one odd answer");
        let direct = format!("coordinator/{}", fixtures::core(0));
        assert_eq!(name(vec![failed(None), runs(40), idle(60), idle(65), idle(71), runs(80)]), direct);
        // A single refresh judges by the plan.
        let plan = crate::plan::rebalance::forecast::forecast(
            None,
            &crate::plan::rebalance::forecast::numbered(&[3333, 3333, 3334, 0], None),
            &fixtures::strategy(),
            Return::default(),
        );
        let record = PlanRecord::of(&plan, fixtures::at(0)).text();
        assert_eq!(name(vec![failed(Some(record.clone())), runs(800)]), "golden");
        assert_eq!(name(vec![failed(Some(record)), runs(1000)]), direct);
    }

    #[test]
    fn two_rebalances_on_disjoint_nodes_have_a_name_each() {
        let mut load = fixtures::load("evicting_conns");
        let mut other = entry("evicting_conns");
        other.coordinator = fixtures::core(7);
        other.donors = vec![fixtures::core(7)];
        other.recipients = vec![fixtures::core(8)];
        load.rebalances.push(other);
        let mut world = World::of([fixtures::answer(0, BrokerUpdate::Evictions(load))]);
        world.apply(fixtures::rebalance("golden", Phase::Failed, |it| {
            it.processed = true;
            it.states = vec![entry("evicting_conns")];
        }));
        let names: Vec<String> =
            running(&world, &fixtures::id(ApiVersion::V2beta1)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["golden".to_owned(), format!("coordinator/{}", fixtures::core(7))]);
    }

    #[test]
    fn an_answer_of_emqx_from_before_the_start_of_an_object_is_no_answer_about_it() {
        let seen = |at: i64| Seen {
            at: fixtures::at(at),
            value: object(Phase::Processing, |it| it.started = Some(fixtures::at(10))),
        };
        assert!(starting(&seen(10), fixtures::at(9)) && starting(&seen(10), fixtures::at(11)));
        assert!(!starting(&seen(10), fixtures::at(12)));
        // The operator's clock is ahead: the object was observed before the time that it claims.
        assert!(!starting(&seen(2), fixtures::at(4)));
    }

    #[test]
    fn a_processing_object_without_an_entry_is_not_running() {
        let object = object(Phase::Processing, |_| ());
        assert!(not_run(&object, &EvictionStatus::default(), fixtures::at(40)));
        assert!(!not_run(&object, &fixtures::load("evicting_conns"), fixtures::at(40)));
    }

    #[test]
    fn a_stopped_entry_is_that_of_an_object_which_the_operator_completed_because_of_the_stop() {
        let id = fixtures::id(ApiVersion::V2beta1);
        let started = |change: fn(&mut Rebalance), phase: Phase| {
            World::of([fixtures::rebalance("golden", phase, |it| {
                it.processed = true;
                it.started = Some(fixtures::at(0));
                change(it);
            })])
        };
        let evicts = entry("evicting_conns");
        let found =
            |world: &World| stopped(world, &id, &evicts, (fixtures::at(40), fixtures::at(41))).is_some();
        assert!(found(&started(|it| it.states = vec![entry("wait_health_check")], Phase::Processing)));
        assert!(found(&started(|it| it.completed = Some(fixtures::at(45)), Phase::Completed)));
        let before = started(|it| it.completed = Some(fixtures::at(30)), Phase::Completed);
        assert!(!found(&before), "it had ended before the stop");
        assert!(
            !found(&started(|it| it.started = Some(fixtures::at(60)), Phase::Processing)),
            "it is younger"
        );
        assert!(!found(&started(|it| it.strategy.conn_evict_rate += 1, Phase::Processing)), "other rates");
    }
}
