use std::collections::{BTreeMap, BTreeSet};

use super::super::evacuation::tracker::EvacuationTracker;
use super::super::finding::Decision;
use super::super::fixtures;
use super::super::snapshot::snapshot;
use super::next::{PodProgress, RemovalAction, RemovalRun, next, standings};
use super::*;
use crate::model::drain::{
    Alternatives, Amount, Budget, DrainState, Machine, NodeRequirement, Placed, Taint, Volume,
};
use crate::model::evacuation::EvacuationWaits;
use crate::model::{
    ApiVersion, BrokerUpdate, Evacuation, EvictionStatus, Node, Object, OperationState, Owner, PodName, Set,
    SetKind, Stage, Update,
};
use crate::plan::evacuation::Settings;
use crate::plan::removal::sizes;

const SET: &str = "emqx-core";

fn pod(number: usize) -> Pod {
    fixtures::pod(&format!("{SET}-{number}"), |pod| {
        pod.owner = Some(Owner { kind: "StatefulSet".into(), name: SET.into(), uid: "set".into() });
    })
}

fn set(replicas: u64) -> Fact {
    let set = Set {
        namespace: "mq".into(),
        name: SET.into(),
        uid: "set".into(),
        kind: SetKind::StatefulSet,
        instance: Some("emqx".into()),
        replicas,
        present: replicas,
        ready: replicas,
        ..Set::default()
    };
    fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set))))
}

use crate::model::Fact;

/// A core for each of these numbers of clients, each core on its own Kubernetes node.
fn world(counts: &[u64], load: EvictionStatus) -> World {
    let mut world = World::of([
        fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ),
        set(counts.len() as u64),
    ]);
    for number in 0..counts.len() {
        world.apply(fixtures::is_pod(pod(number)));
    }
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(counts))));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(load)));
    world
}

fn placement(number: usize) -> Placement {
    let machine = |number: usize| Machine {
        name: format!("worker-{number}"),
        labels: BTreeMap::from([("kubernetes.io/hostname".to_owned(), format!("worker-{number}"))]),
        ready: true,
        allocatable: Amount { cpu_millis: 4000, memory: 1 << 32, pods: 10 },
        ..Machine::default()
    };
    let placed = |number: usize| Placed {
        namespace: "mq".into(),
        name: PodName::from(format!("{SET}-{number}")),
        uid: format!("uid-{SET}-{number}"),
        machine: Some(format!("worker-{number}")),
        labels: BTreeMap::from([("app".to_owned(), "emqx".to_owned())]),
        requests: Amount { cpu_millis: 1000, memory: 1 << 30, pods: 1 },
        ..Placed::default()
    };
    Placement {
        machines: (0..number).map(machine).collect(),
        pods: (0..number).map(placed).collect(),
        all_pods: true,
        budgets: Some(Vec::new()),
        ..Placement::default()
    }
}

fn request(machines: &[usize]) -> DrainRequest {
    DrainRequest {
        machines: machines.iter().map(|number| format!("worker-{number}")).collect(),
        parallel: 1,
        cordon: true,
        settings: Settings { conn_evict_rate: 100, ..Settings::default() },
        skip: Vec::new(),
    }
}

fn planned(world: &World, placement: &Placement, request: &DrainRequest) -> DrainPlan {
    let snapshot = snapshot(world, &fixtures::id(ApiVersion::V2beta1), fixtures::at(1));
    plan(world, &snapshot, placement, request).expect("a plan").expect("pods are there")
}

fn blocked(drain: &DrainPlan) -> Option<&'static str> {
    let first = drain.removal.findings.iter().find(|it| it.severity == Severity::Blocked);
    (drain.removal.decision == Decision::Refused).then(|| first.map_or("", |it| it.id))
}

fn budget(current: u64, desired: u64) -> Budget {
    Budget {
        namespace: "mq".into(),
        name: "emqx".into(),
        selector: Some(vec![NodeRequirement {
            key: "app".into(),
            operator: "In".into(),
            values: vec!["emqx".into()],
        }]),
        current_healthy: Some(current),
        desired_healthy: Some(desired),
        evicts_unready: false,
    }
}

fn entry(number: usize, stage: Stage) -> Evacuation {
    Evacuation {
        node: fixtures::core(number),
        state: if stage == Stage::Prohibiting { "prohibiting".into() } else { "evicting_conns".into() },
        stage,
        recipients: Vec::new(),
        conn_evict_rate: Some(10),
        sess_evict_rate: Some(10),
        initial_connections: Some(10),
        connections: Some(0),
        initial_sessions: Some(10),
        sessions: Some(0),
    }
}

#[test]
fn a_node_without_pods_of_an_instance_has_no_plan() {
    let world = world(&[1, 1, 1], EvictionStatus::default());
    let mut placement = placement(3);
    placement.machines.push(Machine { name: "worker-9".into(), ready: true, ..Machine::default() });
    let snapshot = snapshot(&world, &fixtures::id(ApiVersion::V2beta1), fixtures::at(1));
    assert_eq!(plan(&world, &snapshot, &placement, &request(&[9])), Ok(None));
}

#[test]
fn cores_are_moved_from_the_highest_number_down_and_the_plan_names_clients_and_seconds() {
    let world = world(&[500, 200, 300, 0], EvictionStatus::default());
    let drain = planned(&world, &placement(4), &request(&[0, 2]));
    let pods: Vec<&str> = drain.removal.steps.iter().map(|step| step.pod.as_str()).collect();
    assert_eq!(pods, ["emqx-core-2", "emqx-core-0"]);
    assert_eq!((drain.removal.steps[0].connections, drain.removal.steps[0].sessions), (Some(300), Some(300)));
    assert_eq!(blocked(&drain), None, "{:?}", drain.removal.findings);
    // The two evacuations share the rate of 100/s.
    assert_eq!(drain.removal.settings.conn_evict_rate, 50);
    assert_eq!(drain.removal.steps[1].seconds, Some(60 + 10 + 60));
}

#[test]
fn pods_of_several_nodes_are_evacuated_together_so_that_each_client_is_disconnected_once() {
    let world = world(&[500, 500, 500, 500], EvictionStatus::default());
    let drain = planned(&world, &placement(4), &request(&[0, 1]));
    assert!(drain.together, "{drain:?}");
    assert_eq!(drain.removal.disconnections, 1000);
    assert!((drain.disconnections_per_client - 1.0).abs() < 0.001);
}

#[test]
fn where_too_few_nodes_remain_pods_are_evacuated_in_turn_and_the_plan_warns_of_repeated_disconnections() {
    let world = world(&[400, 400, 400], EvictionStatus::default());
    let mut placement = placement(3);
    placement.machines.push(Machine { name: "spare".into(), ..placement.machines[0].clone() });
    let drain = planned(&world, &placement, &request(&[0, 1]));
    assert!(!drain.together);
    // 400 clients leave the first node; half of them reconnect to the second, which then holds 600.
    assert_eq!(drain.removal.disconnections, 1000);
    assert!((drain.disconnections_per_client - 1.25).abs() < 0.001, "{}", drain.disconnections_per_client);
    assert_eq!(blocked(&drain), None, "{:?}", drain.removal.findings);
    assert!(
        drain.removal.findings.iter().any(|it| it.id == "sequential-disconnects"),
        "{:?}",
        drain.removal.findings
    );
}

#[test]
fn a_budget_is_compared_with_one_ready_pod_fewer_because_an_evacuated_pod_is_not_ready() {
    let world = world(&[100, 100, 100, 100], EvictionStatus::default());
    let mut placement = placement(4);
    for (current, desired, unready, refused) in [
        (4, 3, false, None),
        (4, 4, false, Some("disruption-budget")),
        (4, 4, true, None),
        (1, 0, false, Some("disruption-budget")),
    ] {
        placement.budgets = Some(vec![Budget { evicts_unready: unready, ..budget(current, desired) }]);
        let drain = planned(&world, &placement, &request(&[0]));
        assert_eq!(blocked(&drain), refused, "{current} of {desired}: {:?}", drain.removal.findings);
    }
    // The budget allows one disruption: the two pods are evacuated one after the other.
    placement.budgets = Some(vec![budget(4, 3)]);
    let drain = planned(&world, &placement, &request(&[0, 1]));
    assert_eq!((blocked(&drain), drain.together), (None, false));
    placement.budgets = Some(vec![budget(4, 3), budget(4, 3)]);
    let drain = planned(&world, &placement, &request(&[0]));
    assert_eq!(blocked(&drain), Some("disruption-budget"));
    assert!(drain.removal.message.contains("2 PodDisruptionBudgets"), "{}", drain.removal.message);
}

#[test]
fn a_pod_that_could_not_start_elsewhere_is_refused_before_anything_is_done() {
    let world = world(&[100, 100, 100, 100], EvictionStatus::default());
    let of = |change: &dyn Fn(&mut Placement)| {
        let mut placement = placement(4);
        change(&mut placement);
        let drain = planned(&world, &placement, &request(&[0]));
        (blocked(&drain), drain.removal.message)
    };
    assert_eq!(of(&|_| {}).0, None);
    let (id, message) = of(&|it| {
        for machine in &mut it.machines[1..] {
            machine.cordoned = true;
        }
    });
    assert_eq!(id, Some("no-room"));
    assert!(message.contains("3 cordoned"), "{message}");
    let (id, message) = of(&|it| {
        for machine in &mut it.machines[1..] {
            machine.allocatable.memory = 1 << 30;
        }
    });
    assert_eq!(id, Some("no-room"));
    assert!(message.contains("free CPU, memory or pods"), "{message}");
    let tainted = Taint { key: "dedicated".into(), value: "db".into(), effect: "NoSchedule".into() };
    assert_eq!(
        of(&|it| it.machines[1..].iter_mut().for_each(|machine| machine.taints.push(tainted.clone()))).0,
        Some("no-room")
    );
    let app = NodeRequirement { key: "app".into(), operator: "In".into(), values: vec!["emqx".into()] };
    assert_eq!(of(&|it| it.pods[0].apart_from.push(vec![app.clone()])).0, Some("no-room"));
    let here = NodeRequirement {
        key: "kubernetes.io/hostname".into(),
        operator: "In".into(),
        values: vec!["worker-0".into()],
    };
    let bound: Alternatives = vec![vec![here]];
    let (id, message) = of(&|it| {
        it.pods[0].claims.push("data-0".into());
        it.volumes.push(Volume { namespace: "mq".into(), claim: "data-0".into(), affinity: bound.clone() });
    });
    assert_eq!(id, Some("volume-bound"));
    assert!(message.contains("data-0") && message.contains("worker-0"), "{message}");
}

#[test]
fn all_nodes_at_once_and_a_single_replica_are_refused() {
    let three = world(&[1, 1, 1], EvictionStatus::default());
    let drain = planned(&three, &placement(3), &request(&[0, 1, 2]));
    assert_eq!(drain.removal.decision, Decision::Refused);
    assert!(
        drain
            .removal
            .findings
            .iter()
            .any(|it| it.id == "no-room" && it.message.contains("no other Kubernetes node"))
    );
    let one = world(&[1], EvictionStatus::default());
    let mut placement = placement(1);
    placement.machines.push(Machine { name: "spare".into(), ..placement.machines[0].clone() });
    let drain = planned(&one, &placement, &request(&[0]));
    assert_eq!(drain.removal.decision, Decision::Refused);
    assert!(
        drain.removal.findings.iter().any(|it| it.id == "single-replica"),
        "{:?}",
        drain.removal.findings
    );
}

#[test]
fn a_pod_that_stays_and_is_not_ready_refuses_the_drain() {
    let mut world = world(&[1, 1, 1], EvictionStatus::default());
    world.apply(fixtures::is_pod(Pod { ready: false, ..pod(2) }));
    let drain = planned(&world, &placement(3), &request(&[0]));
    assert_eq!(blocked(&drain), Some("pods-not-ready"));
}

fn stored_pods(numbers: &[usize], started: bool) -> Vec<DrainedPod> {
    let one = |number: &usize| DrainedPod {
        pod: PodName::from(format!("{SET}-{number}")),
        uid: format!("uid-{SET}-{number}"),
        node: Some(fixtures::core(*number)),
        machine: format!("worker-{number}"),
        set: SET.into(),
        started,
        closed: false,
        waits: None,
    };
    numbers.iter().map(one).collect()
}

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

fn stored_of(state: &DrainState) -> OperationState {
    OperationState {
        drain: Some(state.clone()),
        ..fixtures::operation_state(&fixtures::id(ApiVersion::V2beta1), "instance")
    }
}

#[test]
fn a_drain_of_other_nodes_that_is_not_finished_refuses_this_one_and_one_of_the_same_is_continued() {
    let mut world = world(&[9, 9, 9, 9], EvictionStatus::default());
    let state = DrainState {
        version: 1,
        time: fixtures::at(0),
        machines: vec!["worker-1".into()],
        pods: stored_pods(&[1], true),
        connections: Some(36),
        by: None,
        reason: None,
    };
    let stored = stored_of(&state);
    world.apply(fixtures::fact(0, Update::Upserted(Object::State(Box::new(stored)))));
    let other = planned(&world, &placement(4), &request(&[0]));
    assert_eq!(blocked(&other), Some("drain-unfinished"));
    let same = planned(&world, &placement(4), &request(&[1]));
    assert!(same.removal.resumed && same.removal.pods[0].started, "{same:?}");
    assert_eq!(DrainState::parse(&state.text()), Some(state.clone()));
    // A part of its nodes would leave the others cordoned and their evacuations unknown.
    let more = DrainState { machines: vec!["worker-1".into(), "worker-2".into()], ..state.clone() };
    let of = OperationState { drain: Some(more), ..stored_of(&state) };
    world.apply(fixtures::fact(1, Update::Upserted(Object::State(Box::new(of)))));
    assert_eq!(blocked(&planned(&world, &placement(4), &request(&[1]))), Some("drain-unfinished"));
    assert!(planned(&world, &placement(4), &request(&[2, 1])).removal.resumed);
}

#[test]
fn the_own_evacuation_of_a_drain_that_is_continued_does_not_refuse_it() {
    let emptied =
        |stage: Stage| EvictionStatus { evacuations: vec![entry(2, stage)], ..EvictionStatus::default() };
    let state = DrainState {
        version: 1,
        time: fixtures::at(0),
        machines: vec!["worker-1".into(), "worker-2".into()],
        pods: [stored_pods(&[2], true), stored_pods(&[1], false)].concat(),
        connections: Some(27),
        by: None,
        reason: None,
    };
    for stage in [Stage::EvictingConns, Stage::Prohibiting] {
        let mut world = world(&[9, 9, 9], emptied(stage.clone()));
        let stored = Update::Upserted(Object::State(Box::new(stored_of(&state))));
        world.apply(fixtures::fact(0, stored));
        let drain = planned(&world, &placement(3), &request(&[1, 2]));
        let found: Vec<&str> = drain.removal.findings.iter().map(|it| it.id).collect();
        assert!(drain.removal.resumed && blocked(&drain).is_none(), "{stage:?}: {found:?}");
        assert!(!found.contains(&"evacuation-running"), "{found:?}");
    }
    // An evacuation of a pod that the drain does not move leaves one of three nodes to take clients.
    let mut foreign = emptied(Stage::Prohibiting);
    foreign.evacuations.push(entry(0, Stage::Prohibiting));
    let drain = planned(&world(&[9, 9, 9], foreign), &placement(3), &request(&[1, 2]));
    assert!(blocked(&drain).is_some(), "{:?}", drain.removal.findings);
}

#[test]
fn the_end_of_an_evacuation_that_an_earlier_process_started_follows_from_its_stored_waits() {
    let waiting = Evacuation {
        stage: Stage::WaitHealthCheck,
        state: "wait_health_check".into(),
        connections: Some(10),
        sessions: Some(10),
        ..entry(1, Stage::EvictingConns)
    };
    let message = |waits: Option<EvacuationWaits>, started: bool| {
        let load = EvictionStatus { evacuations: vec![waiting.clone()], ..EvictionStatus::default() };
        let mut world = world(&[9, 10, 9, 9], load);
        let pods = stored_pods(&[1], started).into_iter();
        let state = DrainState {
            version: 1,
            time: fixtures::at(0),
            machines: vec!["worker-1".into()],
            pods: pods.map(|pod| DrainedPod { waits, ..pod }).collect(),
            connections: Some(37),
            by: None,
            reason: None,
        };
        assert_eq!(DrainState::parse(&state.text()), Some(state.clone()));
        world.apply(fixtures::fact(0, Update::Upserted(Object::State(Box::new(stored_of(&state))))));
        let mut tracker = EvacuationTracker::default();
        let id = fixtures::id(ApiVersion::V2beta1);
        tracker.observe(&world, &id, &BTreeSet::new(), fixtures::at(1));
        assert_eq!(tracker.runs[0].planned, None, "it was not seen from its beginning");
        tracker.runs[0].message()
    };
    let stored = EvacuationWaits { health_check_seconds: 5, takeover_seconds: 7 };
    let ends = |message: &str, with: &str| message.ends_with(with);
    let known = message(Some(stored), true);
    assert!(ends(&known, ", at most 13s to go"), "{known}");
    for unknown in [message(None, true), message(Some(stored), false)] {
        assert!(ends(&unknown, ", at most 2m1s to go with EMQX's default waits"), "{unknown}");
    }
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

#[test]
fn without_an_answer_of_emqx_a_drain_is_refused_because_the_clients_are_unknown() {
    let mut silent = World::of([
        fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ),
        set(3),
    ]);
    (0..3).for_each(|number| {
        silent.apply(fixtures::is_pod(pod(number)));
    });
    let drain = planned(&silent, &placement(4), &request(&[0]));
    assert_eq!(blocked(&drain), Some("emqx-not-asked"));
}
