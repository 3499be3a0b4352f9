//! What runs without an owner, and what a scale-up needs.

use super::super::CheckStatus::{Ok, Warning};
use super::super::tests::{Case, drain_state, evacuation, scale_state};
use super::super::{AddedPods, Planned, Purpose, before};
use crate::model::ApiVersion::{V2beta1, V3beta1};
use crate::model::Role;
use crate::model::drain::DrainedPod;
use crate::model::surroundings::{Conversion, QuotaLimit};
use crate::plan::finding::Severity;
use crate::plan::fixtures;

fn status(id: &str, change: impl FnOnce(&mut Case)) -> super::super::CheckStatus {
    let mut case = Case::healthy(V2beta1);
    change(&mut case);
    case.status(id)
}

/// A pod of a removal.
fn removed(number: usize) -> DrainedPod {
    DrainedPod {
        pod: format!("emqx-core-{number}").as_str().into(),
        uid: format!("uid-emqx-core-{number}"),
        node: Some(fixtures::core(number)),
        machine: format!("worker-{number}"),
        set: "emqx-core".into(),
        started: true,
        closed: false,
        waits: None,
    }
}

#[test]
fn an_evacuation_is_an_orphan_unless_an_upgrade_or_a_removal_of_its_pod_waits_for_it() {
    assert_eq!(status("orphans", |it| it.load.evacuations.push(evacuation(1))), Warning);
    let drain = |number: usize| {
        let mut state = drain_state();
        state.pods.push(removed(number));
        state
    };
    let scale = |number: usize| {
        let mut state = scale_state();
        state.pods.push(removed(number));
        state
    };
    for (number, expected) in [(1, Ok), (2, Warning)] {
        let drained = status("orphans", |it| {
            it.load.evacuations.push(evacuation(1));
            it.store(Some(drain(number)), None);
        });
        assert_eq!(drained, expected, "a drain of pod {number}");
        let scaled = status("orphans", |it| {
            it.load.evacuations.push(evacuation(1));
            it.store(None, Some(scale(number)));
        });
        assert_eq!(scaled, expected, "a scale that removes pod {number}");
    }
    let both = status("orphans", |it| {
        it.load.evacuations.extend([evacuation(1), evacuation(2)]);
        it.store(Some(drain(1)), None);
    });
    assert_eq!(both, Warning, "no operation waits for the second one");
    let upgraded = status("orphans", |it| {
        it.load.evacuations.push(evacuation(1));
        it.instance.conditions[0].kind = "CoreNodesProgressing".into();
        it.instance.core_revisions.current = Some("a".into());
        it.instance.core_revisions.update = Some("b".into());
    });
    assert_eq!(upgraded, Ok, "the operator empties its old pods");
}

#[test]
fn a_rebalance_of_emqx_is_an_orphan_only_where_objects_describe_rebalances() {
    let mut case = Case::healthy(V3beta1);
    case.load = fixtures::load("evicting_conns");
    assert_eq!(case.status("orphans"), Ok, "operator 3.x has no Rebalance");
    let described = status("orphans", |it| {
        it.load = fixtures::load("evicting_conns");
        it.more.push(fixtures::rebalance("own", crate::model::Phase::Processing, |object| {
            object.states.clone_from(&fixtures::load("evicting_conns").rebalances);
        }));
    });
    assert_eq!(described, Ok);
}

#[test]
fn an_object_is_stuck_after_a_minute_of_deletion() {
    let terminating =
        |seconds: i64| status("object-stuck", |it| it.instance.deleting = Some(fixtures::at(-seconds)));
    assert_eq!((terminating(120), terminating(20)), (Warning, Ok));
    let rebalance = |seconds: i64| {
        status("object-stuck", |it| {
            it.more.push(fixtures::rebalance("dying", crate::model::Phase::Completed, |object| {
                object.deleting = Some(fixtures::at(-seconds));
            }));
        })
    };
    assert_eq!((rebalance(120), rebalance(20)), (Warning, Ok));
}

/// What the checks of the surroundings find before a scale-up by this number of cores.
fn scaled_up(case: &Case, number: u64) -> Vec<(&'static str, Severity)> {
    let added = Some(AddedPods { role: Role::Core, number });
    let planned = Planned { added, writes: true, ..Planned::default() };
    let found = case.judged(|subject| before(subject, Purpose::Evacuate, planned));
    found.into_iter().map(|finding| (finding.id, finding.severity)).collect()
}

#[test]
fn a_scale_up_needs_room_a_quota_and_a_webhook_that_answers() {
    let healthy = Case::healthy(V2beta1);
    assert_eq!(scaled_up(&healthy, 2), []);
    let mut full = Case::healthy(V2beta1);
    full.placement().machines.iter_mut().for_each(|machine| machine.allocatable.cpu_millis = 1500);
    assert_eq!(scaled_up(&full, 1), [("capacity", Severity::Warning)]);
    let mut limited = Case::healthy(V2beta1);
    let limit = QuotaLimit { name: "team".into(), resource: "pods".into(), hard: 6, used: 4 };
    limited.beside.surroundings.quotas = Some(vec![limit]);
    assert_eq!(scaled_up(&limited, 2), [], "two more are allowed");
    assert_eq!(scaled_up(&limited, 3), [("quota", Severity::Blocked)]);
    let mut dead = Case::healthy(V2beta1);
    let webhook = |stored: &str| Conversion {
        service: "emqx-operator-system/webhook".into(),
        ready: Some(0),
        stored: Some(stored.into()),
    };
    dead.beside.surroundings.conversion = Some(Some(webhook("v2beta1")));
    assert_eq!(scaled_up(&dead, 1), [("conversion-webhook", Severity::Warning)], "no conversion is needed");
    dead.beside.surroundings.conversion = Some(Some(webhook("v2")));
    assert_eq!(scaled_up(&dead, 1), [("conversion-webhook", Severity::Blocked)]);
    let evacuated = dead.judged(|subject| before(subject, Purpose::Evacuate, Planned::default()));
    let severities: Vec<Severity> = evacuated.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Warning], "an evacuation writes no object");
}
