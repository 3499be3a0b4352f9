use std::collections::BTreeMap;

use super::super::finding::Severity;
use super::super::fixtures;
use super::super::snapshot::snapshot;
use super::next::{Change, RemovalAction, RemovalRun, next};
use super::*;
use crate::model::drain::DrainState;
use crate::model::scale::{Autoscaler, FIRST_COST, ScaleState};
use crate::model::{
    BrokerUpdate, Condition, Evacuation, EvictionStatus, Fact, Instance, Node, Object, OperationState, Owner,
    PodName, Role, Set, SetKind, Stage, Update, Verdict,
};
use crate::plan::evacuation::Settings;
use crate::plan::upgrade::check::FieldOwner;

const CORES: &str = "emqx-core";
const REPLICANTS: &str = "emqx-replicant";

fn pod(set: &str, number: usize, change: impl FnOnce(&mut Pod)) -> Pod {
    fixtures::pod(&format!("{set}-{number}"), |pod| {
        let replicant = set == REPLICANTS;
        let kind = if replicant { "ReplicaSet" } else { "StatefulSet" };
        pod.owner = Some(Owner { kind: kind.into(), name: set.into(), uid: set.into() });
        pod.role = Some(if replicant { Role::Replicant } else { Role::Core });
        change(pod);
    })
}

fn set(name: &str, kind: SetKind, replicas: u64) -> Fact {
    let set = Set {
        namespace: "mq".into(),
        name: name.into(),
        uid: name.into(),
        kind,
        instance: Some("emqx".into()),
        replicas,
        present: replicas,
        ready: replicas,
        ..Set::default()
    };
    fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set))))
}

fn node(name: NodeName, role: Role, connections: u64) -> Node {
    let node = fixtures::nodes(&[connections]).remove(0);
    Node { name, role: Some(role), ..node }
}

fn replicant(number: usize) -> NodeName {
    NodeName::from(format!("emqx@{REPLICANTS}-{number}.mq"))
}

fn instance(api: ApiVersion, change: impl FnOnce(&mut Instance)) -> Fact {
    let mut instance = fixtures::instance(api);
    instance.cores = Some(3);
    instance.replicants = Some(3);
    change(&mut instance);
    fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance))))
}

/// Three cores and three replicants with 500, 100 and 300 clients.
fn world(api: ApiVersion, load: EvictionStatus) -> World {
    let mut world = World::of([
        instance(api, |_| ()),
        set(CORES, SetKind::StatefulSet, 3),
        set(REPLICANTS, SetKind::ReplicaSet, 3),
    ]);
    for number in 0..3 {
        world.apply(fixtures::is_pod(pod(CORES, number, |_| ())));
        world.apply(fixtures::is_pod(pod(REPLICANTS, number, |_| ())));
    }
    let mut nodes = fixtures::nodes(&[0, 0, 0]);
    for (number, connections) in [500, 100, 300].into_iter().enumerate() {
        nodes.push(node(replicant(number), Role::Replicant, connections));
    }
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(load)));
    world
}

fn evacuation(number: usize, stage: Stage, connections: u64) -> Evacuation {
    let state = if stage == Stage::Prohibiting { "prohibiting" } else { "evicting_conns" };
    Evacuation {
        node: replicant(number),
        state: state.into(),
        stage,
        recipients: Vec::new(),
        conn_evict_rate: Some(10),
        sess_evict_rate: Some(10),
        initial_connections: Some(connections),
        connections: Some(connections),
        initial_sessions: Some(connections),
        sessions: Some(connections),
    }
}

fn planned(world: &World, field: ScaledField, to: u64, outside: &Outside) -> ScalePlan {
    let api = world.ids().remove(0);
    let snapshot = snapshot(world, &api, fixtures::at(1));
    let request = ScaleRequest { field, to, settings: Settings::default(), skip: Vec::new() };
    plan(world, &snapshot, &request, outside).expect("a plan")
}

fn names(scale: &ScalePlan) -> Vec<&str> {
    scale.removal.steps.iter().map(|step| step.pod.as_str()).collect()
}

fn refused_by(scale: &ScalePlan) -> &'static str {
    assert_eq!(scale.removal.decision, Decision::Refused, "{scale:#?}");
    scale.removal.findings.iter().find(|it| it.severity == Severity::Blocked).map_or("", |it| it.id)
}

fn down(world: &World, field: ScaledField, to: u64) -> ScalePlan {
    planned(world, field, to, &Outside::default())
}

#[test]
fn replicants_with_the_fewest_clients_go_and_cores_with_the_highest_numbers() {
    let world = world(ApiVersion::V2beta1, EvictionStatus::default());
    let scale = down(&world, ScaledField::Replicants, 2);
    assert_eq!((names(&scale), scale.removal.disconnections), (vec!["emqx-replicant-1"], 100), "{scale:#?}");
    assert_eq!((scale.removal.decision, scale.from, scale.to), (Decision::Go, 3, 2));
    assert_eq!(names(&down(&world, ScaledField::Cores, 1)), ["emqx-core-2", "emqx-core-1"]);
    let same = down(&world, ScaledField::Replicants, 3);
    assert_eq!((same.removal.decision, same.removal.steps.len()), (Decision::NothingToDo, 0));
    let up = down(&world, ScaledField::Replicants, 5);
    assert_eq!(
        (up.removal.decision, up.removal.message.as_str()),
        (Decision::Go, "3 to 5 replicants: 2 pods added")
    );
}

#[test]
fn the_rate_is_shared_by_all_that_are_evacuated_at_the_same_time() {
    let world = world(ApiVersion::V2beta1, EvictionStatus::default());
    let scale = down(&world, ScaledField::Replicants, 1);
    assert_eq!(names(&scale), ["emqx-replicant-1", "emqx-replicant-2"]);
    assert_eq!((scale.removal.settings.conn_evict_rate, scale.removal.disconnections), (250, 400));
}

#[test]
fn a_pod_that_is_not_ready_goes_first_and_one_that_stays_refuses_a_scale_down() {
    let mut world = world(ApiVersion::V2beta1, EvictionStatus::default());
    world.apply(fixtures::is_pod(pod(REPLICANTS, 0, |pod| pod.ready = false)));
    assert_eq!(names(&down(&world, ScaledField::Replicants, 2)), ["emqx-replicant-0"]);
    world.apply(fixtures::is_pod(pod(REPLICANTS, 1, |pod| pod.ready = false)));
    assert_eq!(refused_by(&down(&world, ScaledField::Replicants, 2)), "pods-not-ready");
    assert_eq!(down(&world, ScaledField::Replicants, 4).removal.decision, Decision::Go, "up is not refused");
}

#[test]
fn the_last_node_and_the_lowest_deletion_cost_of_another_pod_are_refused() {
    let mut world = world(ApiVersion::V2beta1, EvictionStatus::default());
    assert_eq!(refused_by(&down(&world, ScaledField::Replicants, 0)), "too-few-nodes");
    assert_eq!(refused_by(&down(&world, ScaledField::Cores, 0)), "too-few-nodes");
    world.apply(fixtures::is_pod(pod(REPLICANTS, 0, |pod| pod.deletion_cost = Some(FIRST_COST))));
    assert_eq!(refused_by(&down(&world, ScaledField::Replicants, 2)), "deletion-cost");
}

#[test]
fn autoscalers_and_owners_of_the_field_refuse_by_name() {
    let world = world(ApiVersion::V2beta1, EvictionStatus::default());
    let mut outside = Outside::default();
    outside.autoscalers.found = vec![Autoscaler {
        kind: "HorizontalPodAutoscaler".into(),
        name: "keda-hpa-emqx".into(),
        target_kind: "EMQX".into(),
        target: "emqx".into(),
        owner: Some("emqx-load".into()),
    }];
    let scale = planned(&world, ScaledField::Replicants, 2, &outside);
    assert_eq!(refused_by(&scale), "autoscaled");
    assert!(scale.removal.message.contains("KEDA ScaledObject emqx-load"), "{}", scale.removal.message);
    outside.autoscalers.found[0].target = "another".into();
    assert_eq!(planned(&world, ScaledField::Replicants, 2, &outside).removal.decision, Decision::Go);
    let owner = |manager: &str| FieldOwner {
        manager: manager.into(),
        fields: vec!["spec.replicantTemplate.spec.replicas".into()],
    };
    outside.owners = vec![owner("argocd-controller")];
    assert_eq!(refused_by(&planned(&world, ScaledField::Replicants, 4, &outside)), "field-conflict");
    outside.owners = vec![owner("kubectl-client-side-apply")];
    let taken = planned(&world, ScaledField::Replicants, 4, &outside);
    assert_eq!((taken.removal.decision, taken.removal.findings[0].id), (Decision::Go, "fields-taken-over"));
}

#[test]
fn cores_that_hold_replicas_of_durable_storage_are_not_removed() {
    let mut world = world(ApiVersion::V2, EvictionStatus::default());
    let outside = Outside { sites: vec![fixtures::core(2)], ..Outside::default() };
    let scale = planned(&world, ScaledField::Cores, 2, &outside);
    assert_eq!(refused_by(&scale), "durable-storage");
    let hint = scale.removal.findings.iter().find_map(|it| it.hint.clone()).unwrap_or_default();
    assert!(hint.contains("emqx ctl ds"), "{hint}");
    let others = Outside { sites: vec![fixtures::core(0)], ..Outside::default() };
    assert_eq!(planned(&world, ScaledField::Cores, 2, &others).removal.decision, Decision::Go);
    world.apply(instance(ApiVersion::V2, |it| it.durable_sessions = true));
    assert_eq!(refused_by(&down(&world, ScaledField::Cores, 2)), "durable-storage", "EMQX lists no sites");
    assert_eq!(planned(&world, ScaledField::Cores, 2, &others).removal.decision, Decision::Go);
    let site = |status: &str| Condition {
        kind: "apps.emqx.io/ds-replication-site".into(),
        status: status.into(),
        ..Condition::default()
    };
    world.apply(fixtures::is_pod(pod(CORES, 2, |pod| pod.conditions = vec![site("False")])));
    assert_eq!(down(&world, ScaledField::Cores, 2).removal.decision, Decision::Go);
    world.apply(fixtures::is_pod(pod(CORES, 2, |pod| pod.conditions = vec![site("True")])));
    assert_eq!(refused_by(&down(&world, ScaledField::Cores, 2)), "durable-storage");
}

fn stored_state(world: &World, scale: Option<ScaleState>, drain: Option<DrainState>) -> Fact {
    let id = world.ids().remove(0);
    let owner = world.instance(&id).expect("an instance").uid.clone();
    let state = OperationState { drain, scale, ..fixtures::operation_state(&id, &owner) };
    fixtures::fact(0, Update::Upserted(Object::State(Box::new(state))))
}

fn unfinished_state(to: u64) -> ScaleState {
    ScaleState {
        version: 1,
        time: fixtures::at(0),
        field: ScaledField::Replicants,
        from: 3,
        to,
        pods: vec![DrainedPod {
            pod: PodName::from("emqx-replicant-0"),
            uid: "uid-emqx-replicant-0".into(),
            node: Some(replicant(0)),
            machine: String::new(),
            set: REPLICANTS.into(),
            started: true,
            closed: false,
            waits: None,
        }],
        costs: BTreeMap::new(),
        connections: Some(900),
        by: Some("me@host (process 7)".into()),
        reason: None,
        ended: false,
    }
}

#[test]
fn the_own_evacuation_of_a_scale_that_is_continued_does_not_refuse_it() {
    let load = |numbers: &[usize]| EvictionStatus {
        evacuations: numbers.iter().map(|it| evacuation(*it, Stage::EvictingConns, 90)).collect(),
        ..EvictionStatus::default()
    };
    let continued = |load: EvictionStatus| {
        let mut world = world(ApiVersion::V2beta1, load);
        let mut state = unfinished_state(1);
        state.pods.push(DrainedPod {
            pod: PodName::from("emqx-replicant-1"),
            uid: "uid-emqx-replicant-1".into(),
            node: Some(replicant(1)),
            started: false,
            ..state.pods[0].clone()
        });
        let fact = stored_state(&world, Some(state), None);
        world.apply(fact);
        down(&world, ScaledField::Replicants, 1)
    };
    let scale = continued(load(&[0]));
    let found: Vec<&str> = scale.removal.findings.iter().map(|it| it.id).collect();
    assert!(scale.removal.resumed && scale.removal.decision == Decision::Go, "{found:?}");
    assert!(!found.contains(&"evacuation-running"), "{found:?}");
    // The node that stays is evacuated, too.
    assert_eq!(continued(load(&[0, 2])).removal.decision, Decision::Refused);
}

#[test]
fn an_unfinished_scale_continues_with_its_own_pods_and_another_one_is_refused() {
    let mut world = world(ApiVersion::V2beta1, EvictionStatus::default());
    let fact = stored_state(&world, Some(unfinished_state(2)), None);
    world.apply(fact);
    let scale = down(&world, ScaledField::Replicants, 2);
    assert_eq!((names(&scale), scale.removal.resumed), (vec!["emqx-replicant-0"], true));
    assert_eq!(refused_by(&down(&world, ScaledField::Replicants, 1)), "scale-unfinished");
    assert_eq!(refused_by(&down(&world, ScaledField::Cores, 2)), "scale-unfinished");
    let ended = ScaleState { ended: true, ..unfinished_state(2) };
    let fact = stored_state(&world, Some(ended), None);
    world.apply(fact);
    assert_eq!(names(&down(&world, ScaledField::Replicants, 2)), ["emqx-replicant-1"]);
}

fn acts(world: &World, pods: &[DrainedPod], change: Change<'_>) -> Vec<RemovalAction> {
    let (id, sizes) = (world.ids().remove(0), BTreeMap::new());
    let run = RemovalRun {
        task: "scale",
        id: &id,
        pods,
        sizes: &sizes,
        together: true,
        parallel: 1,
        fresh_seconds: 10,
        gates: false,
    };
    next(world, run, change, fixtures::at(1))
}

const DOWN: Change<'_> =
    Change { field: ScaledField::Replicants, from: 3, to: 2, by_operator: false, ours: &[] };

#[test]
fn a_scale_down_evacuates_then_marks_the_pods_then_changes_the_number() {
    let pods =
        down(&world(ApiVersion::V2beta1, EvictionStatus::default()), ScaledField::Replicants, 2).removal.pods;
    let (node, uid) = (replicant(1), "uid-emqx-replicant-1".to_owned());
    let idle = world(ApiVersion::V2beta1, EvictionStatus::default());
    assert_eq!(acts(&idle, &pods, DOWN), [RemovalAction::StartEvacuation { node, uid: uid.clone() }]);
    let busy = EvictionStatus {
        evacuations: vec![evacuation(1, Stage::EvictingConns, 50)],
        ..EvictionStatus::default()
    };
    assert!(matches!(&acts(&world(ApiVersion::V2beta1, busy), &pods, DOWN)[..], [RemovalAction::Wait(_)]));
    let empty = EvictionStatus {
        evacuations: vec![evacuation(1, Stage::Prohibiting, 0)],
        ..EvictionStatus::default()
    };
    let mut world = world(ApiVersion::V2beta1, empty);
    let mut nodes = fixtures::nodes(&[0, 0, 0]);
    nodes.extend([500, 0, 400].iter().enumerate().map(|(at, own)| node_of(at, *own)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(nodes)));
    let name = PodName::from("emqx-replicant-1");
    assert_eq!(acts(&world, &pods, DOWN), [RemovalAction::SetCost { pod: name.clone(), uid: uid.clone() }]);
    world.apply(fixtures::is_pod(pod(REPLICANTS, 1, |pod| pod.deletion_cost = Some(FIRST_COST))));
    assert_eq!(acts(&world, &pods, DOWN), [RemovalAction::Change]);
    // Another pod is not ready: Kubernetes would remove it first.
    world.apply(fixtures::is_pod(pod(REPLICANTS, 2, |pod| pod.ready = false)));
    assert!(
        matches!(&acts(&world, &pods, DOWN)[..], [RemovalAction::Starting(why)] if why.contains("emqx-replicant-2"))
    );
}

fn node_of(number: usize, connections: u64) -> Node {
    node(replicant(number), Role::Replicant, connections)
}

#[test]
fn after_the_change_deletion_costs_and_evacuations_of_pods_that_stay_are_taken_back() {
    let empty = EvictionStatus {
        evacuations: vec![evacuation(1, Stage::Prohibiting, 0)],
        ..EvictionStatus::default()
    };
    let mut world = world(ApiVersion::V2beta1, empty);
    let mut own = unfinished_state(2).pods.remove(0);
    own.pod = PodName::from("emqx-replicant-1");
    own.uid = "uid-emqx-replicant-1".into();
    own.node = Some(replicant(1));
    let pods = vec![own];
    world.apply(instance(ApiVersion::V2beta1, |it| it.replicants = Some(2)));
    assert!(
        matches!(&acts(&world, &pods, DOWN)[..], [RemovalAction::Starting(why)] if why.contains("operator"))
    );
    world.apply(set(REPLICANTS, SetKind::ReplicaSet, 2));
    assert!(
        matches!(&acts(&world, &pods, DOWN)[..], [RemovalAction::Starting(why)] if why.contains("removed"))
    );
    // Kubernetes removed another pod.
    let gone = pod(REPLICANTS, 0, |pod| pod.deleting = Some(fixtures::at(0)));
    world.apply(fixtures::is_pod(gone));
    world.apply(fixtures::is_pod(pod(REPLICANTS, 1, |pod| pod.deletion_cost = Some(FIRST_COST))));
    assert_eq!(
        acts(&world, &pods, DOWN),
        [
            RemovalAction::ClearCost {
                pod: PodName::from("emqx-replicant-1"),
                uid: "uid-emqx-replicant-1".into()
            },
            RemovalAction::StopEvacuation { node: replicant(1) },
        ]
    );
}

#[test]
fn a_scale_up_stops_an_evacuation_that_a_volume_kept_and_names_that_of_others() {
    let restored = EvictionStatus {
        evacuations: vec![evacuation(1, Stage::Prohibiting, 0)],
        ..EvictionStatus::default()
    };
    let world = world(ApiVersion::V2beta1, restored);
    let ours = [replicant(1)];
    let up = Change { from: 2, to: 3, ..DOWN };
    assert_eq!(
        acts(&world, &[], Change { ours: &ours, ..up }),
        [RemovalAction::StopEvacuation { node: replicant(1) }]
    );
    let [RemovalAction::Needs(why)] = &acts(&world, &[], up)[..] else { panic!("it is named") };
    assert!(why.contains("this scale did not start it"), "{why}");
}

#[test]
fn operator_3_is_given_the_number_alone() {
    let world = world(ApiVersion::V3beta1, EvictionStatus::default());
    let scale = down(&world, ScaledField::Replicants, 2);
    assert_eq!(
        (scale.removal.decision, scale.by_operator, scale.removal.steps.len()),
        (Decision::Go, true, 0),
        "{scale:#?}"
    );
    assert_eq!(acts(&world, &[], Change { by_operator: true, ..DOWN }), [RemovalAction::Change]);
}

#[test]
fn a_scale_up_is_evened_out_at_fifty_reconnects_a_second_on_each_new_node() {
    let mut world = world(ApiVersion::V2beta1, EvictionStatus::default());
    let mut nodes = fixtures::nodes(&[0, 0, 0]);
    nodes.extend([300, 300, 0].iter().enumerate().map(|(at, own)| node_of(at, *own)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(nodes)));
    let snapshot = snapshot(&world, &world.ids().remove(0), fixtures::at(1));
    let strategy = evening_out(&snapshot);
    assert_eq!((strategy.conn_evict_rate, strategy.abs_conn_threshold), (25, 10));
    assert!(
        flags(&strategy).starts_with("--conn-evict-rate 25 --sess-evict-rate 25 --abs-conn-threshold 10 ")
    );
}

#[test]
fn a_status_names_an_unfinished_scale_whose_it_is_and_what_continues_it() {
    let load = EvictionStatus {
        evacuations: vec![evacuation(0, Stage::EvictingConns, 50)],
        ..EvictionStatus::default()
    };
    let mut world = world(ApiVersion::V2beta1, load);
    let fact = stored_state(&world, Some(unfinished_state(2)), None);
    world.apply(fact);
    let status = super::super::status::status(&world, &world.ids().remove(0), fixtures::at(1));
    let begins = "scale from 3 to 2 replicants by me@host (process 7): 0 of 1 pod removed; emqx-replicant-0 evacuating";
    assert!(status.message.starts_with(begins), "{}", status.message);
    let next = "kubectl emqx scale emqx --replicants 2";
    assert_eq!((status.verdict, status.next.as_deref()), (Verdict::Running, Some(next)));
    let ended = stored_state(&world, Some(ScaleState { ended: true, ..unfinished_state(2) }), None);
    world.apply(ended);
    let status = super::super::status::status(&world, &world.ids().remove(0), fixtures::at(1));
    assert!(!status.message.contains("scale"), "{}", status.message);
}

#[test]
fn without_an_answer_of_emqx_a_scale_is_refused_because_the_clients_are_unknown() {
    let mut silent =
        World::of([instance(ApiVersion::V2beta1, |_| ()), set(REPLICANTS, SetKind::ReplicaSet, 3)]);
    (0..3).for_each(|number| {
        silent.apply(fixtures::is_pod(pod(REPLICANTS, number, |_| ())));
    });
    assert_eq!(refused_by(&down(&silent, ScaledField::Replicants, 2)), "emqx-not-asked");
}

#[test]
fn without_permission_to_list_replicasets_no_earlier_change_is_seen_where_there_is_none() {
    let mut world = World::of([instance(ApiVersion::V2beta1, |_| ()), set(CORES, SetKind::StatefulSet, 3)]);
    for number in 0..3 {
        world.apply(fixtures::is_pod(pod(CORES, number, |_| ())));
        world.apply(fixtures::is_pod(pod(REPLICANTS, number, |_| ())));
    }
    let mut nodes = fixtures::nodes(&[0, 0, 0]);
    nodes.extend((0..3).map(|number| node(replicant(number), Role::Replicant, 100)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(EvictionStatus::default())));
    let scale = down(&world, ScaledField::Replicants, 2);
    assert_eq!(scale.removal.decision, Decision::Go, "{:?}", scale.removal.findings);
}
