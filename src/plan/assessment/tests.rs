use super::super::fixtures;
use super::*;
use crate::model::{
    ApiVersion, BrokerUpdate, Condition, EvictionStatus, Fact, InstanceKind, Link, Node, NodeName, Object,
    OperatorLine, Part, Phase, Pod, Served, Update,
};
use crate::plan::discrepancies::left_over;
use crate::plan::tracker::Tracker;

const API: ApiVersion = ApiVersion::V2beta1;

fn pods(count: usize) -> Vec<Fact> {
    (0..count).map(|number| fixtures::is_pod(fixtures::pod(&format!("emqx-core-{number}"), |_| ()))).collect()
}

fn is(instance: Instance) -> Fact {
    fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance))))
}

/// Four pods; EMQX lists nodes with these connections, and moves nothing.
fn world(connections: &[u64]) -> World {
    let mut world = World::of(pods(4));
    let kinds = vec![("rebalances".to_owned(), "v2beta1".to_owned())];
    world.apply(fixtures::fact(
        0,
        Update::Served(Served { operator: OperatorLine::Two2, kinds, ..Served::default() }),
    ));
    world.apply(is(fixtures::instance(API)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(connections))));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(EvictionStatus::default())));
    world
}

fn change(world: &mut World, pod: &str, change: impl FnOnce(&mut Pod)) {
    world.apply(fixtures::is_pod(fixtures::pod(pod, change)));
}

fn of(world: &World) -> Assessment {
    let id = fixtures::id(API);
    let mut operations = OperationTracker::of(&id);
    operations.observe(world, fixtures::at(5));
    assess(world, &id, &operations, fixtures::at(5))
}

#[test]
fn three_pods_that_emqx_does_not_list_are_named_and_nothing_is_called_idle_or_even() {
    let is = of(&world(&[3333]));
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.starts_with("emqx-core-1 runs, and EMQX does not list it"), "{}", is.message);
    assert!(
        is.message.contains("emqx-core-3") && is.message.ends_with("nothing runs in EMQX"),
        "{}",
        is.message
    );
    assert_eq!((is.membership.expected, is.membership.member), (Some(4), Some(1)));
    assert_eq!(is.membership.discrepancies.len(), 3);
    assert_eq!(is.next, None);
}

#[test]
fn a_stopped_node_with_a_pod_holds_nothing_and_its_version_does_not_count() {
    let mut world = world(&[1000, 1000, 1000]);
    let mut nodes = fixtures::nodes(&[1000, 1000, 1000, 0]);
    nodes[3] =
        Node { name: fixtures::core(3), stopped: true, version: Some("5.8.5".into()), ..Node::default() };
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    let is = of(&world);
    assert_eq!((is.verdict, is.snapshot.totals.connections), (Verdict::Unknown, Some(3000)));
    assert!(is.message.starts_with("emqx-core-3 is stopped in EMQX"), "{}", is.message);
    assert_eq!(is.snapshot.versions, ["5.8.6"]);
}

#[test]
fn a_stopped_node_without_a_pod_is_a_warning_and_changes_no_verdict() {
    let mut world = world(&[3333, 3333, 3334, 0]);
    let mut nodes = fixtures::nodes(&[3333, 3333, 3334, 0]);
    let left = NodeName::from("emqx@emqx-core-old-1.emqx-headless.mq.svc.cluster.local");
    nodes.push(Node { name: left, stopped: true, version: Some("5.8.5".into()), ..Node::default() });
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    let is = of(&world);
    assert_eq!((is.verdict, is.uneven, is.snapshot.totals.nodes), (Verdict::Idle, true, 4));
    assert_eq!(is.membership.discrepancies, Vec::<String>::new());
    let (what, way) = left_over(&is.membership).expect("a warning");
    assert!(what.contains("emqx-core-old-1") && way.contains("force-leave"), "{what}; {way}");
    assert_eq!(is.next.as_deref(), Some("kubectl emqx rebalance plan emqx"));
    assert_eq!(is.snapshot.versions, ["5.8.6"]);
}

#[test]
fn without_the_pods_a_stopped_node_is_not_taken_for_one_that_was_removed() {
    let mut world = World::new();
    world.apply(is(Instance::without_kubernetes(fixtures::id(API))));
    world.apply(fixtures::fact(0, Update::Link(Source::Pods, "pods", Link::Absent("no Kubernetes".into()))));
    let mut nodes = fixtures::nodes(&[1000, 1000, 1000, 0]);
    nodes[3] = Node { name: fixtures::core(3), stopped: true, ..Node::default() };
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(EvictionStatus::default())));
    let is = of(&world);
    assert_eq!((is.verdict, is.membership.left_over.len()), (Verdict::Unknown, 0));
    assert!(is.message.contains("core-3 is stopped in EMQX"), "{}", is.message);
}

#[test]
fn pods_that_cannot_start_are_named_with_their_reason() {
    let mut world = world(&[1000, 1000, 1000]);
    change(&mut world, "emqx-core-3", |pod| {
        (pod.phase, pod.ready, pod.containers_ready) = ("Pending".into(), false, false);
        pod.conditions = vec![Condition {
            kind: "PodScheduled".into(),
            status: "False".into(),
            reason: "Unschedulable".into(),
            since: Some(fixtures::at(-55)),
            ..Condition::default()
        }];
    });
    let is = of(&world);
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.starts_with("emqx-core-3: Unschedulable for 60s"), "{}", is.message);
}

#[test]
fn fewer_pods_than_wanted_are_no_even_cluster() {
    let mut world = World::of(pods(3));
    world.apply(is(fixtures::instance(API)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(&[10, 10, 10]))));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(EvictionStatus::default())));
    let is = of(&world);
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.starts_with("1 of 4 wanted nodes has no pod"), "{}", is.message);
}

#[test]
fn the_answer_of_another_emqx_is_not_used() {
    let mut world = world(&[1]);
    let nodes =
        vec![Node { name: "emqx@10.9.9.9".into(), running: true, connections: Some(77), ..Node::default() }];
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(fixtures::load("evicting_conns"))));
    let is = of(&world);
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.starts_with("the EMQX that answered is not that of"), "{}", is.message);
    assert_eq!(is.snapshot.totals.connections, None);
}

#[test]
fn nodes_of_another_namespace_are_those_of_another_emqx_although_their_pods_have_the_same_names() {
    let there = |node: &Node| Node {
        name: NodeName::from(node.name.as_str().replace(".mq.svc", ".staging.svc")),
        ..node.clone()
    };
    let ours = fixtures::nodes(&[3333, 3333, 3334, 0]);
    let mut world = world(&[3333, 3333, 3334, 0]);
    let theirs: Vec<Node> = ours.iter().map(there).collect();
    assert_ne!(theirs[0].name, ours[0].name);
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(theirs.clone())));
    let found = of(&world);
    assert_eq!((found.verdict, found.next), (Verdict::Unknown, None));
    assert!(found.message.starts_with("the EMQX that answered is not that of"), "{}", found.message);
    let one = [&ours[..3], &theirs[3..]].concat();
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(one)));
    let found = of(&world);
    assert_eq!(found.verdict, Verdict::Unknown);
    assert!(found.message.contains("staging.svc"), "{}", found.message);
}

#[test]
fn more_pods_than_wanted_are_no_even_cluster_and_refuse_a_plan() {
    let mut world = world(&[3333, 3333, 3334, 0]);
    let mut instance = fixtures::instance(API);
    instance.cores = Some(3);
    world.apply(is(instance));
    let found = of(&world);
    assert_eq!((found.verdict, found.next), (Verdict::Unknown, None));
    assert!(found.message.starts_with("4 cores run, and 3 are wanted"), "{}", found.message);
}

#[test]
fn an_emqx_that_does_not_list_its_nodes_refuses_a_plan() {
    let mut world = world(&[3333, 3333, 3334, 0]);
    let snapshot = |world: &World, at: i64| snapshot(world, &fixtures::id(API), fixtures::at(at));
    assert_eq!(cluster_checks::not_asked(&world, &snapshot(&world, 5)), None);
    let link = Link::Unreachable("cannot ask EMQX: EMQX reports: x".into());
    world.apply(fixtures::answer(100, BrokerUpdate::Link("nodes", link)));
    world.apply(fixtures::answer(100, BrokerUpdate::Evictions(EvictionStatus::default())));
    let found = cluster_checks::not_asked(&world, &snapshot(&world, 101)).expect("a finding");
    assert!(found.message.starts_with("EMQX does not list its nodes"), "{}", found.message);
}

#[test]
fn an_instance_that_is_not_ready_is_reported_first_and_no_plan_is_suggested_that_would_be_refused() {
    let mut world = world(&[3333, 3333, 3334, 0]);
    let mut instance = fixtures::instance(API);
    instance.conditions = vec![Condition {
        kind: "CoreNodesProgressing".into(),
        status: "True".into(),
        since: Some(fixtures::at(5 - 720)),
        ..Condition::default()
    }];
    world.apply(is(instance.clone()));
    let found = of(&world);
    assert_eq!(found.verdict, Verdict::Idle);
    assert!(
        found.message.starts_with("not ready: CoreNodesProgressing for 12m; uneven"),
        "{}",
        found.message
    );
    assert_eq!((found.next, found.health.condition.as_deref()), (None, Some("CoreNodesProgressing")));
    instance.conditions.clear();
    world.apply(is(instance));
    let found = of(&world);
    assert!(
        found.message.starts_with("not ready: the operator has written no condition"),
        "{}",
        found.message
    );
}

#[test]
fn a_recipient_that_does_not_serve_makes_the_plan_not_worth_naming() {
    let mut world = world(&[3333, 3333, 3334, 0]);
    change(&mut world, "emqx-core-3", |pod| pod.ready = false);
    assert_eq!(of(&world).next, None);
}

#[test]
fn idle_is_reported_only_when_emqx_answered() {
    let mut world = World::of(pods(4));
    world.apply(is(fixtures::instance(API)));
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(&[10, 10, 10, 10]))));
    let refused = "this key lacks the scope: EMQX refuses (403)";
    world.apply(fixtures::answer(0, BrokerUpdate::Link("load_rebalance", Link::Forbidden(refused.into()))));
    let is = of(&world);
    assert_eq!((is.verdict, is.message.as_str()), (Verdict::Unknown, refused));
}

#[test]
fn an_emqx_that_does_not_list_its_nodes_is_neither_idle_nor_even_although_nothing_runs() {
    let mut world = World::of(pods(4));
    world.apply(is(fixtures::instance(API)));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(EvictionStatus::default())));
    let why = "cannot ask EMQX: EMQX reports: error";
    world.apply(fixtures::answer(0, BrokerUpdate::Link("nodes", Link::Unreachable(why.into()))));
    let is = of(&world);
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.contains("nothing runs in EMQX") && is.message.contains(why), "{}", is.message);
}

#[test]
fn what_emqx_answered_before_an_outage_is_not_its_answer_now() {
    let mut world = world(&[10, 10, 10, 10]);
    let why = "no answer within 10s";
    world.apply(fixtures::answer(2, BrokerUpdate::Link("nodes", Link::Unreachable(why.into()))));
    assert_eq!(of(&world).verdict, Verdict::Idle, "one failed request is no outage");
    let id = fixtures::id(API);
    let mut operations = OperationTracker::of(&id);
    operations.observe(&world, fixtures::at(5));
    let is = assess(&world, &id, &operations, fixtures::at(65));
    assert_eq!(is.verdict, Verdict::Unknown);
    assert!(is.message.contains("EMQX has not answered for 65s"), "{}", is.message);
}

#[test]
fn a_purge_is_an_operation() {
    let mut world = world(&[10, 10, 10, 10]);
    world.apply(fixtures::answer(
        1,
        BrokerUpdate::Evictions(EvictionStatus {
            purges: vec![fixtures::core(2)],
            ..EvictionStatus::default()
        }),
    ));
    let is = of(&world);
    assert_eq!((is.verdict, is.operations[0].operation), (Verdict::Running, Operation::Purge));
    assert!(is.message.contains("all nodes refuse clients"), "{}", is.message);
}

#[test]
fn evacuations_are_named_as_the_status_names_the_node() {
    // The node of a replicant is named by an address; its pod has another name.
    let mut world = World::of(pods(3));
    world.apply(is(fixtures::instance(API)));
    world.apply(fixtures::is_pod(fixtures::pod("emqx-replicant-x7k2p", |pod| {
        pod.ips = vec!["10.244.1.7".parse().expect("an address")];
        pod.role = Some(crate::model::Role::Replicant);
    })));
    let mut nodes = fixtures::nodes(&[10, 10, 10]);
    let name = NodeName::from("emqx@10.244.1.7");
    nodes.push(Node { name: name.clone(), running: true, connections: Some(10), ..Node::default() });
    world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    let mut load = EvictionStatus::default();
    load.evacuations.push(crate::model::Evacuation {
        node: name.clone(),
        stage: crate::model::Stage::EvictingConns,
        state: "evicting_conns".to_owned(),
        recipients: Vec::new(),
        conn_evict_rate: Some(5),
        sess_evict_rate: Some(5),
        initial_connections: Some(10),
        connections: Some(10),
        initial_sessions: Some(10),
        sessions: Some(10),
    });
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(load)));
    let found = of(&world);
    let row = found.snapshot.node(&name).expect("it is listed");
    assert_eq!(row.label(), "emqx-replicant-x7k2p");
    assert_eq!(found.operations[0].name, format!("evacuation/{name}"));
    let message = "emqx-replicant-x7k2p: disconnecting clients";
    assert!(found.message.starts_with(message), "{}", found.message);
}

#[test]
fn two_rebalances_on_disjoint_nodes_are_both_listed() {
    let mut world = world(&[10, 10, 10, 10]);
    let mut load = fixtures::load("evicting_conns");
    let mut other = load.rebalances[0].clone();
    load.rebalances[0].donors = vec![fixtures::core(0)];
    load.rebalances[0].recipients = vec![fixtures::core(1)];
    other.coordinator = fixtures::core(2);
    other.donors = vec![fixtures::core(2)];
    load.rebalances.push(other);
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(load)));
    let is = of(&world);
    let names: Vec<&str> = is.operations.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(is.next.is_some_and(|next| next.contains("coordinator/")));
}

#[test]
fn an_object_that_no_operator_has_picked_up_is_waiting_after_30_seconds() {
    let mut world = world(&[10, 10, 10, 10]);
    world.apply(fixtures::rebalance("golden", Phase::Pending, |it| {
        it.started = None;
        it.created = Some(fixtures::at(-145));
    }));
    let is = of(&world);
    assert_eq!(is.verdict, Verdict::Waiting);
    assert_eq!(
        is.message,
        "golden: waiting for the operator (2m30s); kubectl get pods -A | grep emqx-operator shows whether it runs, kubectl emqx rebalance stop golden deletes the object"
    );
}

#[test]
fn a_rebalance_of_an_instance_of_another_kind_with_the_same_name_gives_no_node_a_part() {
    let part = |kind: InstanceKind| {
        let mut world = World::of(pods(4));
        world.apply(is(fixtures::instance(API)));
        world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(&[3333, 3333, 3334, 0]))));
        world.apply(fixtures::rebalance("r", Phase::Processing, |it| {
            it.instance_kind = kind;
            it.states = fixtures::load("evicting_conns").rebalances;
        }));
        let rows = crate::plan::snapshot::snapshot(&world, &fixtures::id(API), fixtures::at(5)).nodes;
        rows.iter().find(|row| row.node == Some(fixtures::core(0))).and_then(|row| row.part)
    };
    assert_eq!(part(InstanceKind::Emqx), Some(Part::Donor));
    assert_eq!(part(InstanceKind::EmqxEnterprise), None);
}
