//! Which object is behind an entry of EMQX's, and which object is behind none although it says Processing.
//!
//! EMQX's entry does not name its object. An old object must not be taken for the one that runs now: it would be stopped,
//! judged and deleted for a rebalance that is not its own.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::human::seconds_between;
use crate::model::{InstanceId, Load, NodeName, Phase, Rebalance, RunningRebalance, Stage, World};

/// Seconds by which a wait may last longer than requested, for the operator's and our own delays between two requests.
const WAIT_SLACK_SECONDS: u64 = 60;

/// Whether this entry can be the rebalance that the object started: the operator has told EMQX to start it, its copy of
/// EMQX's states has the same coordinator, nodes and rates, and the entry is not in an earlier
/// stage than the object has reached.
pub fn owns(object: &Rebalance, entry: &RunningRebalance, now: Timestamp) -> bool {
    if !object.processed || object.phase == Phase::Completed || waits_too_long(object, entry, now) {
        return false;
    }
    if object.states.is_empty() {
        let strategy = &object.strategy;
        return same_rates((Some(strategy.conn_evict_rate), Some(strategy.sess_evict_rate)), entry);
    }
    // The operator copies every entry of EMQX's, those of other rebalances too.
    object.states.iter().any(|state| continued(state, entry))
}

/// Whether an entry is what became of a state that the operator copied.
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
pub fn running(world: &World, id: &InstanceId) -> Vec<(String, RunningRebalance)> {
    let Some(load) = &world.load else { return Vec::new() };
    let mut free: Vec<&Rebalance> = world.rebalances_of(id).into_iter().map(|seen| &seen.value).collect();
    free.sort_by_key(|object| object.started.or(object.created));
    let mut found = Vec::new();
    for entry in &load.value.rebalances {
        let owner =
            free.iter().rposition(|object| owns(object, entry, load.at)).map(|place| free.remove(place));
        let name =
            owner.map_or_else(|| format!("coordinator/{}", entry.coordinator), |object| object.name.clone());
        found.push((name, entry.clone()));
    }
    found
}

/// The objects of an instance that no operator has picked up, oldest first.
pub fn waiting<'a>(world: &'a World, id: &'a InstanceId, now: Timestamp) -> Vec<&'a Rebalance> {
    let objects = world.rebalances_of(id).into_iter().map(|seen| &seen.value);
    objects.filter(|object| super::waiting::seconds(object, now).is_some()).collect()
}

/// Whether a stop of this object began and did not come to its end: our stop has marked it, or it is being deleted.
pub fn left_by_a_stop(object: &Rebalance) -> bool {
    object.stopped_by.is_some() || object.deleting.is_some()
}

/// Whether the object says Processing while EMQX lists nothing that it can have started.
pub fn not_run(object: &Rebalance, load: &Load, now: Timestamp) -> bool {
    object.phase == Phase::Processing && !load.rebalances.iter().any(|entry| owns(object, entry, now))
}

/// What [`not_run`] means, and what becomes of the object.
pub fn not_run_message() -> &'static str {
    "the object says Processing, but EMQX does not run it: the operator writes Completed (or Failed, where EMQX is not \
     Ready) when it reconciles the object next, and starts nothing"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, News, Object};
    use crate::plan::mk;

    fn object(phase: Phase, change: impl FnOnce(&mut Rebalance)) -> Rebalance {
        match mk::rebalance("golden", phase, change).news {
            News::Is(Object::Rebalance(object)) => *object,
            other => panic!("not a Rebalance: {other:?}"),
        }
    }

    fn entry(state: &str) -> RunningRebalance {
        mk::load(state).rebalances.remove(0)
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
        assert!(owns(&failed_with(entry("wait_health_check")), &later, mk::at(40)));
        assert!(owns(&object(Phase::Processing, |_| ()), &later, mk::at(40)), "no states so far");
    }

    #[test]
    fn an_object_owns_its_run_although_the_operator_copied_another_one_first() {
        let mut other = entry("evicting_conns");
        other.coordinator = mk::core(9);
        other.donors = vec![mk::core(9)];
        let both = object(Phase::Processing, |it| it.states = vec![other, entry("evicting_conns")]);
        assert!(owns(&both, &entry("evicting_conns"), mk::at(40)));
    }

    #[test]
    fn an_object_owns_its_run_although_its_spec_was_edited_in_mid_run() {
        let edited = object(Phase::Processing, |it| {
            it.states = vec![entry("evicting_conns")];
            it.strategy.conn_evict_rate = 77;
        });
        assert!(owns(&edited, &entry("evicting_conns"), mk::at(40)));
    }

    #[test]
    fn a_rebalance_that_was_started_directly_is_not_that_of_an_old_object() {
        let old = failed_with(entry("evicting_conns"));
        assert!(!owns(&old, &entry("wait_health_check"), mk::at(300)), "an earlier stage");
        let mut others = entry("evicting_conns");
        others.donors = vec![mk::core(0)];
        assert!(!owns(&old, &others, mk::at(300)), "other donors");
        let mut faster = entry("evicting_conns");
        faster.conn_evict_rate = Some(50);
        assert!(!owns(&old, &faster, mk::at(300)), "another rate");
        let mut elsewhere = entry("evicting_conns");
        elsewhere.coordinator = mk::core(1);
        assert!(!owns(&old, &elsewhere, mk::at(300)), "another coordinator");
        let waiting = object(Phase::Failed, |it| it.processed = true);
        assert!(!owns(&waiting, &entry("wait_health_check"), mk::at(300)), "a wait of 10 s after 300 s");
        assert!(!owns(
            &object(Phase::Completed, |it| it.processed = true),
            &entry("wait_takeover"),
            mk::at(1)
        ));
    }

    #[test]
    fn two_rebalances_on_disjoint_nodes_have_a_name_each() {
        let mut load = mk::load("evicting_conns");
        let mut other = entry("evicting_conns");
        other.coordinator = mk::core(7);
        other.donors = vec![mk::core(7)];
        other.recipients = vec![mk::core(8)];
        load.rebalances.push(other);
        let mut world = World::of([mk::fact(0, News::Load(load))]);
        world.apply(mk::rebalance("golden", Phase::Failed, |it| {
            it.processed = true;
            it.states = vec![entry("evicting_conns")];
        }));
        let names: Vec<String> =
            running(&world, &mk::id(ApiVersion::V2beta1)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["golden".to_owned(), format!("coordinator/{}", mk::core(7))]);
    }

    #[test]
    fn an_object_that_says_processing_and_is_in_no_entry_is_not_run() {
        let object = object(Phase::Processing, |_| ());
        assert!(not_run(&object, &Load::default(), mk::at(40)));
        assert!(!not_run(&object, &mk::load("evicting_conns"), mk::at(40)));
    }
}
