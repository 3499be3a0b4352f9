//! Which pod is evacuated and evicted next.

use super::*;

fn acts(world: &World, pods: &[DrainedPod], together: bool) -> (Vec<RemovalAction>, Vec<PodProgress>) {
    let id = fixtures::id(ApiVersion::V2beta1);
    let sizes = BTreeMap::from([(SET.to_owned(), 4)]);
    let run = RemovalRun {
        task: "drain",
        id: &id,
        pods,
        sizes: &sizes,
        together,
        parallel: 1,
        fresh_seconds: 10,
        gates: false,
    };
    (next(world, run, fixtures::at(1)), standings(world, run, fixtures::at(1)))
}

fn evict(number: usize) -> RemovalAction {
    RemovalAction::Evict { pod: PodName::from(format!("{SET}-{number}")), uid: format!("uid-{SET}-{number}") }
}

fn start(number: usize) -> RemovalAction {
    RemovalAction::StartEvacuation { node: fixtures::core(number), uid: format!("uid-{SET}-{number}") }
}

#[test]
fn a_pod_is_evicted_only_when_emqx_reports_that_it_is_empty() {
    let pods = stored_pods(&[0], false);
    let of = |counts: &[u64], load: EvictionStatus| acts(&world(counts, load), &pods, false).0;
    assert_eq!(of(&[9, 9, 9, 9], EvictionStatus::default()), [start(0)]);
    let evicting =
        EvictionStatus { evacuations: vec![entry(0, Stage::EvictingConns)], ..EvictionStatus::default() };
    assert!(matches!(&of(&[5, 9, 9, 9], evicting)[..], [RemovalAction::Wait(_)]));
    let empty =
        EvictionStatus { evacuations: vec![entry(0, Stage::Prohibiting)], ..EvictionStatus::default() };
    assert_eq!(of(&[0, 9, 9, 9], empty.clone()), [evict(0)]);
    assert!(matches!(&of(&[1, 9, 9, 9], empty)[..], [RemovalAction::Wait(_)]), "a client is counted on it");
}

#[test]
fn nothing_is_concluded_from_an_old_answer_of_emqx() {
    let load =
        EvictionStatus { evacuations: vec![entry(0, Stage::Prohibiting)], ..EvictionStatus::default() };
    let world = world(&[0, 9, 9, 9], load);
    let id = fixtures::id(ApiVersion::V2beta1);
    let pods = stored_pods(&[0], true);
    let sizes = BTreeMap::from([(SET.to_owned(), 4)]);
    let run = RemovalRun {
        task: "drain",
        id: &id,
        pods: &pods,
        sizes: &sizes,
        together: false,
        parallel: 1,
        fresh_seconds: 10,
        gates: false,
    };
    assert!(matches!(&next(&world, run, fixtures::at(60))[..], [RemovalAction::Wait(_)]));
}

#[test]
fn together_all_are_evacuated_first_and_evicted_one_at_a_time() {
    let pods = stored_pods(&[1, 0], false);
    assert_eq!(acts(&world(&[9, 9, 9, 9], EvictionStatus::default()), &pods, true).0, [start(1), start(0)]);
    assert_eq!(acts(&world(&[9, 9, 9, 9], EvictionStatus::default()), &pods, false).0, [start(1)]);
    let load = EvictionStatus {
        evacuations: vec![entry(1, Stage::Prohibiting), entry(0, Stage::Prohibiting)],
        ..EvictionStatus::default()
    };
    let mut world = world(&[0, 0, 9, 9], load);
    assert_eq!(acts(&world, &pods, true).0, [evict(1)]);
    // The first pod is being deleted: the second one waits until their set is complete.
    world.apply(fixtures::is_pod(Pod { deleting: Some(fixtures::at(1)), ..pod(1) }));
    let (next, stands) = acts(&world, &pods, true);
    assert!(matches!(&next[..], [RemovalAction::Starting(_)]), "{next:?}");
    assert_eq!(stands, [PodProgress::Replacing, PodProgress::Empty]);
    // Its replacement serves, and the second one is being deleted: the first stays moved.
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(EvictionStatus::default())));
    world.apply(fixtures::is_pod(Pod { uid: "replacement".into(), ..pod(1) }));
    world.apply(fixtures::is_pod(Pod { deleting: Some(fixtures::at(1)), ..pod(0) }));
    assert_eq!(acts(&world, &pods, true).1, [PodProgress::Done, PodProgress::Replacing]);
}

#[test]
fn a_replacement_of_the_same_name_is_another_pod_and_its_restored_evacuation_is_stopped() {
    let load =
        EvictionStatus { evacuations: vec![entry(0, Stage::Prohibiting)], ..EvictionStatus::default() };
    let mut world = world(&[0, 9, 9, 9], load.clone());
    world.apply(fixtures::is_pod(Pod { uid: "another".into(), ready: false, ..pod(0) }));
    let ours = acts(&world, &stored_pods(&[0], true), false);
    assert_eq!(ours.0, [RemovalAction::StopEvacuation { node: fixtures::core(0) }]);
    assert_eq!(ours.1, [PodProgress::Replacing]);
    let (foreign, _) = acts(&world, &stored_pods(&[0], false), false);
    assert!(
        matches!(&foreign[0], RemovalAction::Needs(what) if what.contains("did not start it")),
        "{foreign:?}"
    );
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(EvictionStatus::default())));
    world.apply(fixtures::is_pod(Pod { uid: "another".into(), ..pod(0) }));
    assert_eq!(
        acts(&world, &stored_pods(&[0], true), false),
        (vec![RemovalAction::Done], vec![PodProgress::Done])
    );
}

#[test]
fn a_replacement_that_is_not_scheduled_is_named_with_its_reason() {
    let mut world = world(&[9, 9, 9], EvictionStatus::default());
    world.apply(set(4));
    let unschedulable = crate::model::Condition {
        kind: "PodScheduled".into(),
        status: "False".into(),
        reason: "Unschedulable".into(),
        ..crate::model::Condition::default()
    };
    let pending = Pod {
        uid: "another".into(),
        ready: false,
        containers_ready: false,
        phase: "Pending".into(),
        conditions: vec![unschedulable],
        ..pod(3)
    };
    world.apply(fixtures::is_pod(pending));
    let (next, _) = acts(&world, &stored_pods(&[3], true), false);
    assert!(matches!(&next[..], [RemovalAction::Missing(why)] if why.contains("Unschedulable")), "{next:?}");
}

#[test]
fn a_pod_without_emqx_in_it_is_evicted_without_an_evacuation() {
    let mut world = world(&[9, 9, 9, 9], EvictionStatus::default());
    let mut nodes: Vec<Node> = fixtures::nodes(&[9, 9, 9, 9]);
    nodes.remove(0);
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::is_pod(Pod { ready: false, containers_ready: false, ..pod(0) }));
    assert_eq!(acts(&world, &stored_pods(&[0], false), false).0, [evict(0)]);
}

/// Four replicants of one ReplicaSet, with these clients.
fn replicants(counts: &[u64], load: EvictionStatus) -> World {
    let set = Set {
        namespace: "mq".into(),
        name: "emqx-replicant".into(),
        uid: "replicants".into(),
        kind: SetKind::ReplicaSet,
        instance: Some("emqx".into()),
        replicas: counts.len() as u64,
        present: counts.len() as u64,
        ready: counts.len() as u64,
        ..Set::default()
    };
    let mut world = World::of([
        fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ),
        fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set)))),
    ]);
    let mut nodes = fixtures::nodes(counts);
    for (number, node) in nodes.iter_mut().enumerate() {
        node.role = Some(Role::Replicant);
        world.apply(fixtures::is_pod(fixtures::pod(&format!("{SET}-{number}"), |pod| {
            pod.role = Some(Role::Replicant);
            pod.owner = Some(Owner {
                kind: "ReplicaSet".into(),
                name: "emqx-replicant".into(),
                uid: "replicants".into(),
            });
        })));
    }
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(load)));
    world
}

fn in_parallel(world: &World, parallel: u64) -> Vec<RemovalAction> {
    let id = fixtures::id(ApiVersion::V2beta1);
    let sizes = sizes(world, &id);
    let pods: Vec<DrainedPod> = stored_pods(&[0, 1, 2], false)
        .into_iter()
        .map(|pod| DrainedPod { set: "emqx-replicant".into(), ..pod })
        .collect();
    let run = RemovalRun {
        task: "drain",
        id: &id,
        pods: &pods,
        sizes: &sizes,
        together: false,
        parallel,
        fresh_seconds: 10,
        gates: false,
    };
    next(world, run, fixtures::at(1))
}

#[test]
fn as_many_replicants_as_requested_are_moved_at_a_time() {
    let idle = replicants(&[9, 9, 9, 9], EvictionStatus::default());
    assert_eq!(in_parallel(&idle, 1), [start(0)]);
    assert_eq!(in_parallel(&idle, 2), [start(0), start(1)]);
    let empty = EvictionStatus {
        evacuations: vec![entry(0, Stage::Prohibiting), entry(1, Stage::Prohibiting)],
        ..EvictionStatus::default()
    };
    let mut both = replicants(&[0, 0, 18, 18], empty);
    assert_eq!(in_parallel(&both, 2), [evict(0), evict(1)]);
    assert_eq!(in_parallel(&both, 1), [evict(0)]);
    // A pod that is being deleted is missing until its replacement serves, and counts as one that is moved.
    both.apply(fixtures::is_pod(fixtures::pod(&format!("{SET}-0"), |pod| {
        pod.role = Some(Role::Replicant);
        pod.deleting = Some(fixtures::at(0));
        pod.owner = Some(Owner {
            kind: "ReplicaSet".into(),
            name: "emqx-replicant".into(),
            uid: "replicants".into(),
        });
    })));
    assert_eq!(in_parallel(&both, 2), [evict(1)]);
    assert!(
        !in_parallel(&both, 1).iter().any(|act| matches!(act, RemovalAction::Evict { .. })),
        "one is missing already"
    );
}
