//! The real clients with the simulated cluster: every use by `app`, over loopback.

use std::rc::Rc;
use std::time::Duration;

use emqx_rebalance::rules::Threshold;
use emqx_sim::orders::RebalanceOrder;
use emqx_sim::{Options, Running, Scenario, serve};
use futures::StreamExt;
use kubectl_emqx::emqx::EmqxBrokers;
use kubectl_emqx::k8s::{Cluster, Connect};
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::{
    ApiPort, EvictionStatus, Fact, InstanceKind, Link, OperatorLine, PodName, Rebalance,
    STOPPED_BY_ANNOTATION, Source, StopMark, Strategy, TOUCHED_ANNOTATION, Target, Update, World,
};
use kubectl_emqx::plan::operator::OperatorProcess;
use kubectl_emqx::plan::status::status;
use kubectl_emqx::ports::{
    Broker, Brokers, Clock, Deletion, EvacuationOrder, Kubernetes, RefreshScope, Right, Scope, ServerDryRun,
};
use serde_json::json;

async fn demo(name: &str, speed: f64) -> (Running, Cluster) {
    demo_of(Scenario::built_in(name).expect("the scenario is known"), speed).await
}

async fn demo_of(scenario: Scenario, speed: f64) -> (Running, Cluster) {
    let running = serve(Options { scenario, speed, kubeconfig_out: None }).await.expect("it is served");
    let connect = Connect::from(KubernetesFlags {
        kubeconfig: Some(running.kubeconfig().to_owned()),
        ..KubernetesFlags::default()
    });
    let cluster = Cluster::connect(&connect).await.expect("it connects");
    (running, cluster)
}

fn scope(cluster: &Cluster, name: &str) -> Scope {
    Scope {
        namespace: Some(cluster.namespace().to_owned()),
        instance: Some((None, name.to_owned())),
        want: RefreshScope::ALL,
        ..Scope::default()
    }
}

fn target(world: &World, name: &str) -> Target {
    let id = world.ids().into_iter().find(|id| id.name == name).expect("the instance is known");
    let instance = world.instance(&id).expect("it is known");
    let mut pods: Vec<PodName> =
        world.pods_of(&id).filter(|pod| pod.containers_ready).map(|it| it.name.clone()).collect();
    pods.sort();
    let v4 = instance.api == kubectl_emqx::model::ApiVersion::V1beta4;
    let port = instance.api_port.unwrap_or(ApiPort { port: 18083, tls: false });
    let addressed =
        world.pods_of(&id).flat_map(|pod| pod.ips.iter().map(|ip| (*ip, pod.name.clone()))).collect();
    Target { instance: id.clone(), pods, addressed, hidden: None, port, v4 }
}

fn broker(cluster: &Cluster, target: Target) -> Rc<dyn Broker> {
    let shared = Rc::new(cluster.clone());
    EmqxBrokers::through(shared.clone(), shared, Rc::new(cluster.clock()), None, false).broker(target)
}

#[tokio::test]
async fn the_documented_cluster_is_read_from_both_sides() {
    for (scenario, name, line, v4) in [
        ("documented-v2beta1", "emqx", OperatorLine::Two2, false),
        ("documented-v1beta4", "emqx-ee", OperatorLine::Two2, true),
        ("documented-v2", "emqx", OperatorLine::Two3, false),
        ("documented-v3beta1", "emqx", OperatorLine::Three, false),
    ] {
        let (running, cluster) = demo(scenario, 1.0).await;
        assert_eq!(cluster.namespace(), "mq");
        let served = cluster.served().await.expect("it is served");
        assert_eq!(served.operator, line, "{scenario}: {:?}", served.kinds);
        let facts = cluster.read(&scope(&cluster, name)).await.expect("it is read");
        let mut world = World::of(facts);
        for source in world.kubernetes.sources.values() {
            assert_eq!(source.link, Link::Up, "{scenario}");
        }
        let target = target(&world, name);
        assert_eq!(target.v4, v4);
        assert!(world.pods_of(&target.instance).count() >= 4, "{scenario}");
        assert!(!world.kubernetes.slices.is_empty(), "{scenario}");
        for fact in broker(&cluster, target).read().await.expect("never fails") {
            world.apply(fact);
        }
        let emqx = world.broker(&world.ids()[0]);
        assert!(emqx.load.is_some(), "{scenario}: {:?}", emqx.sources);
        let nodes = emqx.listed();
        let mut live: Vec<u64> = nodes.iter().filter_map(|node| node.connections).collect();
        live.sort_unstable();
        assert_eq!(
            live.iter().rev().take(4).copied().collect::<Vec<_>>(),
            [3334, 3333, 3333, 0],
            "{scenario}"
        );
        running.shutdown().await;
    }
}

#[tokio::test]
async fn an_idle_operator_and_a_dead_one_differ_where_the_lease_may_be_read() {
    // Time stands still until it is advanced.
    let (running, cluster) = demo("documented-v2beta1", 0.0).await;
    let connect = Connect::from(KubernetesFlags {
        kubeconfig: Some(running.kubeconfig().to_owned()),
        context: Some("no-leases".to_owned()),
        ..KubernetesFlags::default()
    });
    let poorer = Cluster::connect(&connect).await.expect("it connects");
    let shown = async |cluster: &Cluster| {
        let facts = cluster.read(&scope(cluster, "emqx")).await.expect("it is read");
        let notices = facts.iter().filter(|fact| !matches!(fact.update, Update::Link(_, _, Link::Up)));
        assert!(!notices.clone().any(|fact| matches!(fact.update, Update::Link(..))), "nothing is missed");
        let world = World::of(facts);
        let id = world.ids().remove(0);
        let operator = status(&world, &id, cluster.clock().now()).operator;
        assert!(operator.silent_seconds.is_some_and(|silent| silent > 600), "{operator:?}");
        operator.process
    };
    assert_eq!(shown(&cluster).await, Some(OperatorProcess::Running));
    assert_eq!(shown(&poorer).await, None, "as without a Lease");
    running.faults().set_operator_alive(false);
    assert_eq!(shown(&cluster).await, Some(OperatorProcess::Running), "its Lease has not run out");
    running.clock().advance(Duration::from_mins(10)).await;
    assert_eq!(shown(&cluster).await, Some(OperatorProcess::Gone));
    assert_eq!(shown(&poorer).await, None);
    running.faults().set_operator_alive(true);
    assert_eq!(shown(&cluster).await, Some(OperatorProcess::Running));
    running.shutdown().await;
}

#[tokio::test]
async fn the_start_of_a_rebalance_that_is_joined_is_asked_of_a_donor() {
    let (running, cluster) = demo("documented-v2beta1", 0.0).await;
    let order = RebalanceOrder {
        conn_rate: 10,
        wait_health_check: Duration::from_secs(10),
        wait_takeover: Duration::from_mins(10),
        conn: Threshold { abs: 100.0, rel: 1.1 },
        ..RebalanceOrder::default()
    };
    let coordinator = running.emqx().with(|broker| {
        let first = broker.members().next().map(|(_, node)| node.name.clone()).expect("a node");
        broker.start_rebalance(&first, order).expect("it starts");
        first
    });
    running.clock().advance(Duration::from_secs(49)).await;
    let mut world = World::of(cluster.read(&scope(&cluster, "emqx")).await.expect("it is read"));
    let broker = broker(&cluster, target(&world, "emqx"));
    for fact in broker.read().await.expect("never fails") {
        world.apply(fact);
    }
    let starts: Vec<_> = world
        .broker(&world.ids()[0])
        .begun
        .values()
        .map(|start| (start.coordinator.as_str(), start.connections))
        .collect();
    assert_eq!(starts, [(coordinator.as_str(), 3333)]);
    let id = world.ids().remove(0);
    let status = status(&world, &id, cluster.clock().now());
    assert!(status.percent.is_some_and(|percent| (40..60).contains(&percent)), "{:?}", status.percent);
    assert!(status.eta_seconds.is_some(), "{}", status.message);
    assert!(status.message.contains("goal at most"), "{}", status.message);
    running.shutdown().await;
}

#[tokio::test]
async fn the_start_is_asked_of_a_replicant_where_replicants_are_the_donors() {
    let (running, cluster) = demo("documented-v2", 0.0).await;
    let order = RebalanceOrder {
        conn_rate: 10,
        wait_health_check: Duration::from_secs(10),
        wait_takeover: Duration::from_mins(10),
        conn: Threshold { abs: 100.0, rel: 1.1 },
        ..RebalanceOrder::default()
    };
    running.emqx().with(|broker| {
        let first = broker.members().next().map(|(_, node)| node.name.clone()).expect("a node");
        broker.start_rebalance(&first, order).expect("it starts");
    });
    running.clock().advance(Duration::from_secs(49)).await;
    let mut world = World::of(cluster.read(&scope(&cluster, "emqx")).await.expect("it is read"));
    for fact in broker(&cluster, target(&world, "emqx")).read().await.expect("never fails") {
        world.apply(fact);
    }
    let load = world.broker(&world.ids()[0]).load.as_ref().expect("EMQX answered");
    let donors = &load.value.rebalances.first().expect("it runs").donors;
    let cores: Vec<_> = target(&world, "emqx").pods;
    assert!(donors.iter().all(|node| cores.iter().all(|pod| pod.as_str() != node.first_label())));
    let starts: Vec<u64> =
        world.broker(&world.ids()[0]).begun.values().map(|start| start.connections).collect();
    assert!(matches!(starts.as_slice(), [3333 | 3334]), "{starts:?}");
    assert!(world.broker(&world.ids()[0]).begun.keys().all(|node| donors.contains(node)));
    running.shutdown().await;
}

fn manifest(name: &str) -> serde_json::Value {
    json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": {"name": name, "namespace": "mq"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10,
            "sessEvictRate": 10, "waitHealthCheck": 10, "waitTakeover": 10, "absConnThreshold": 100,
            "relConnThreshold": "1.1", "absSessThreshold": 100, "relSessThreshold": "1.1"}}})
}

#[tokio::test]
async fn a_rebalance_is_created_found_and_deleted() {
    let (running, cluster) = demo("documented-v2beta1", 1.0).await;
    let dry = cluster.create_rebalance(&manifest("r1"), ServerDryRun::Server).await.expect("it is valid");
    assert_eq!(dry.rebalance.name, "r1");
    assert_eq!(cluster.rebalance("mq", "r1").await, Ok(None));
    let created = cluster.create_rebalance(&manifest("r1"), ServerDryRun::No).await.expect("it is created");
    assert_eq!(created.rebalance.instance_kind, InstanceKind::Emqx);
    let found = cluster.rebalance("mq", "r1").await.expect("it can be asked").expect("it is there");
    assert_eq!(found.uid, created.rebalance.uid);
    let taken =
        cluster.create_rebalance(&manifest("r1"), ServerDryRun::No).await.expect_err("the name is taken");
    assert_eq!(taken.exit, kubectl_emqx::error::Exit::Refused);
    let mut wrong = manifest("r2");
    wrong["spec"]["rebalanceStrategy"]["connEvictRate"] = json!(0);
    assert!(cluster.create_rebalance(&wrong, ServerDryRun::No).await.is_err());
    let mut other = found.clone();
    other.uid = "another".to_owned();
    assert_eq!(cluster.delete_rebalance(&other, ServerDryRun::No).await, Ok(false));
    assert_eq!(cluster.delete_rebalance(&found, ServerDryRun::No).await, Ok(true));
    let rights = [Right {
        verb: "create",
        group: "apps.emqx.io",
        resource: "rebalances",
        namespace: "mq".to_owned(),
        name: None,
    }];
    assert_eq!(cluster.may(&rights).await, Ok(vec![Some(true)]));
    running.shutdown().await;
}

#[tokio::test]
async fn a_rebalance_is_marked_and_deleted_as_it_was_read() {
    let scenario =
        "name: quiet\napi: v2beta1\noperatorAlive: false\nnodes: [{connections: 10}, {connections: 0}]\n";
    let (running, cluster) = demo_of(Scenario::from_yaml(scenario).expect("a scenario"), 1.0).await;
    let mark =
        StopMark { by: "kubectl-emqx".to_owned(), time: "2026-11-23T10:00:00Z".parse().expect("a time") };
    let read = async || cluster.rebalance("mq", "marked").await.expect("it can be asked");
    let made = cluster
        .create_rebalance(&manifest("marked"), ServerDryRun::No)
        .await
        .expect("it is created")
        .rebalance;
    let key = STOPPED_BY_ANNOTATION;
    assert_eq!(cluster.annotate_rebalance(&made, key, Some(&mark.text())).await, Ok(true));
    let marked = read().await.expect("it is there");
    assert_eq!((&marked.stopped_by, &marked.plan), (&Some(mark), &made.plan));
    // Another object of this name is neither marked nor deleted.
    let other = Rebalance { uid: "00000000-0000-0000-0000-000000000000".to_owned(), ..marked.clone() };
    assert_eq!(cluster.annotate_rebalance(&other, TOUCHED_ANNOTATION, Some("now")).await, Ok(false));
    assert_eq!(cluster.delete_unchanged(&other).await, Ok(Deletion::Changed));
    assert_eq!(read().await.as_ref(), Some(&marked));
    // The object was changed since it was created: a delete of the version that was read first is refused.
    assert_eq!(cluster.delete_unchanged(&made).await, Ok(Deletion::Changed));
    assert_eq!(cluster.annotate_rebalance(&made, key, None).await, Ok(true));
    let bare = read().await.expect("it is there");
    assert_eq!(bare.stopped_by, None);
    assert_eq!(cluster.delete_unchanged(&marked).await, Ok(Deletion::Changed));
    assert_eq!(cluster.delete_unchanged(&bare).await, Ok(Deletion::Accepted));
    assert_eq!(cluster.delete_unchanged(&bare).await, Ok(Deletion::Gone));
    assert_eq!(cluster.annotate_rebalance(&bare, key, Some("now")).await, Ok(false));
    assert_eq!(read().await, None);
    running.shutdown().await;
}

#[tokio::test]
async fn emqx_is_called_directly_and_its_refusals_are_plain() {
    let (running, cluster) = demo("documented-v2beta1", 20.0).await;
    let world = World::of(cluster.read(&scope(&cluster, "emqx")).await.expect("it is read"));
    let target = target(&world, "emqx");
    let nodes: Vec<_> =
        world.instance(&target.instance).expect("known").nodes.iter().map(|node| node.name.clone()).collect();
    let pod = target.pods[0].clone();
    let broker = broker(&cluster, target);
    assert_eq!(broker.stop(&nodes[0]).await, Ok(false));
    assert_eq!(broker.accepts_clients(&nodes[0], Some(&pod)).await, Ok(true));
    let strategy = Strategy { conn_evict_rate: 10, abs_conn_threshold: 100, ..Strategy::default() };
    broker.start(&nodes[0], &nodes, &strategy).await.expect("it starts");
    let again = broker.start(&nodes[0], &nodes, &strategy).await.expect_err("one runs");
    assert_eq!(again.exit, kubectl_emqx::error::Exit::Refused);
    assert_eq!(broker.accepts_clients(&nodes[0], Some(&pod)).await, Ok(false));
    assert_eq!(load(broker.read().await.expect("never fails")).rebalances.len(), 1);
    assert_eq!(broker.stop(&nodes[0]).await, Ok(true));
    let unknown = broker.start(&"emqx@nowhere".into(), &nodes, &strategy).await.expect_err("no such node");
    assert!(unknown.why.contains("does not run"), "{unknown}");
    running.shutdown().await;
}

#[tokio::test]
async fn an_instance_is_changed_and_a_node_is_emptied_on_request() {
    for (scenario, name) in [("documented-v1beta4", "emqx-ee"), ("documented-v2beta1", "emqx")] {
        let (running, cluster) = demo(scenario, 20.0).await;
        let world = World::of(cluster.read(&scope(&cluster, name)).await.expect("it is read"));
        let target = target(&world, name);
        let id = target.instance.clone();
        let there = cluster.object(&id).await.expect("it can be read").expect("it is there");
        let change = json!({"apiVersion": there["apiVersion"], "kind": there["kind"],
            "metadata": {"name": name, "namespace": "mq", "annotations": {"cli.emqx.io/upgrade": "x"}}});
        let dry = cluster.apply_instance(&change, false, ServerDryRun::Server).await.expect("it is valid");
        assert_eq!(dry.object["metadata"]["annotations"]["cli.emqx.io/upgrade"], "x");
        let still = cluster.object(&id).await.expect("it can be read").expect("it is there");
        assert_eq!(still, there, "a dry run stores nothing");
        let done = cluster.apply_instance(&change, false, ServerDryRun::No).await.expect("it is stored");
        let fields = ["/metadata/annotations/cli.emqx.io~1upgrade".to_owned()];
        let problem = cluster.remove_fields(&there, &fields).await.expect_err("it is another by now");
        assert!(problem.why.contains("in the meantime"), "{problem}");
        let after = cluster.remove_fields(&done.object, &fields).await.expect("it is as it was seen");
        assert!(after.object["metadata"]["annotations"].get("cli.emqx.io/upgrade").is_none());

        let pod = target.pods[0].clone();
        assert_eq!(cluster.set_gate("mq", &pod, false).await, Ok(true), "{scenario}");
        assert_eq!(cluster.set_gate("mq", &"nobody".into(), false).await, Ok(false));

        let nodes: Vec<_> =
            world.instance(&id).expect("known").nodes.iter().map(|node| node.name.clone()).collect();
        let broker = broker(&cluster, target);
        let order = EvacuationOrder {
            conn_evict_rate: 10,
            sess_evict_rate: 10,
            wait_takeover: Some(5),
            wait_health_check: Some(5),
            migrate_to: vec![nodes[1].clone()],
            redirect_to: None,
        };
        assert_eq!(broker.stop_evacuation(&nodes[0]).await, Ok(false));
        assert_eq!(broker.evacuate(&nodes[0], &order).await, Ok(true));
        assert_eq!(broker.evacuate(&nodes[0], &order).await, Ok(false), "it runs");
        let load = load(broker.read().await.expect("never fails"));
        assert_eq!((load.evacuations.len(), &load.evacuations[0].node), (1, &nodes[0]));
        assert_eq!(load.evacuations[0].conn_evict_rate, Some(10));
        let zero = EvacuationOrder { conn_evict_rate: 0, ..order.clone() };
        let problem = broker.evacuate(&nodes[1], &zero).await.expect_err("0 is no rate");
        assert!(problem.hint.is_some_and(|hint| hint.contains("above 0")), "{scenario}: {}", problem.why);
        let nowhere = EvacuationOrder { migrate_to: vec![nodes[0].clone()], ..order };
        let problem = broker.evacuate(&nodes[1], &nowhere).await.expect_err("that one is being emptied");
        assert!(problem.why.contains("unavailable"), "{scenario}: {problem}");
        assert_eq!(broker.stop_evacuation(&nodes[0]).await, Ok(true));
        running.shutdown().await;
    }
}

/// Applies facts until something holds, for at most 20 real seconds.
#[tokio::test]
async fn a_state_is_written_only_over_the_version_that_was_read() {
    let (running, cluster) = demo("documented", 1.0).await;
    let read = async || World::of(cluster.read(&scope(&cluster, "emqx")).await.expect("it is read"));
    let world = read().await;
    let id = world.ids().remove(0);
    let instance = world.instance(&id).expect("it is there").clone();
    let store = async |text: &str, version: Option<&str>| {
        let stored = cluster.store_state_over(&instance, "history.json", text, version).await;
        stored.expect("the API server answers")
    };
    assert!(store("[]", None).await);
    // Another client that has not seen it creates nothing a second time.
    assert!(!store("[1]", None).await);
    let version = read().await.kubernetes.states[&id].value.version.clone();
    assert!(store("[2]", Some(&version)).await);
    assert!(!store("[3]", Some(&version)).await, "it was changed meanwhile");
    running.shutdown().await;
}

/// The operations in an answer of EMQX.
fn load(facts: Vec<Fact>) -> EvictionStatus {
    let world = World::of(facts);
    let (_, broker) = world.brokers.into_iter().next().expect("EMQX answered");
    broker.load.expect("it lists its operations").value
}

async fn until(
    stream: &mut kubectl_emqx::ports::FactStream,
    world: &mut World,
    what: &str,
    mut holds: impl FnMut(&World) -> bool,
) {
    let limit = tokio::time::sleep(Duration::from_secs(20));
    tokio::pin!(limit);
    loop {
        if holds(world) {
            return;
        }
        tokio::select! {
            fact = stream.next() => { world.apply(fact.expect("it continues")); }
            () = &mut limit => panic!("never: {what}; {:?}", world.kubernetes.sources),
        }
    }
}

#[tokio::test]
async fn a_follow_sees_changes_and_survives_what_happens_to_the_server() {
    let (running, cluster) = demo("documented-v2beta1", 20.0).await;
    let scope = scope(&cluster, "emqx");
    let mut stream = cluster.follow(&scope);
    let mut world = World::new();
    until(&mut stream, &mut world, "the first lists", |world| {
        world.kubernetes.pods.len() >= 4
            && world.kubernetes.instances.len() == 1
            && world.kubernetes.sources.len() >= 7
    })
    .await;
    cluster.create_rebalance(&manifest("r1"), ServerDryRun::No).await.expect("it is created");
    until(&mut stream, &mut world, "the object", |world| !world.kubernetes.rebalances.is_empty()).await;

    running.faults().close_connections();
    cluster.create_rebalance(&manifest("r2"), ServerDryRun::No).await.expect("it is created");
    until(&mut stream, &mut world, "the watch continues", |world| world.kubernetes.rebalances.len() == 2)
        .await;

    running.faults().restart_api_server();
    assert!(running.faults().delete_object("rebalances/r2") || running.faults().delete_object("r2"));
    until(&mut stream, &mut world, "the deletion", |world| world.kubernetes.rebalances.len() == 1).await;
    assert!(world.kubernetes.departed.iter().any(|seen| seen.value.name == "r2"));
    let source = world.kubernetes.sources.get(&(Source::Kubernetes, "rebalances")).expect("it is listed");
    assert_eq!(source.link, Link::Up);
    drop(stream);
    running.shutdown().await;

    let mut stream = cluster.follow(&scope);
    let mut world = World::new();
    until(&mut stream, &mut world, "the end of the server", |world| {
        world
            .kubernetes
            .sources
            .values()
            .any(|source| matches!(&source.link, Link::Unreachable(why) if why.contains("refused")))
    })
    .await;
}

#[tokio::test]
async fn the_speed_of_the_servers_clock_is_noticed() {
    let (running, cluster) = demo("documented-v2beta1", 20.0).await;
    let scope = Scope { namespace: Some("mq".to_owned()), ..Scope::default() };
    let mut stream = cluster.follow(&scope);
    let clock = cluster.clock();
    let mut world = World::new();
    // On a busy machine the first estimate may be wrong; it converges with further dates.
    until(&mut stream, &mut world, "the speed", |_| (clock.speed() - 20.0).abs() < 2.0).await;
    drop(stream);
    running.shutdown().await;
}

#[tokio::test]
async fn polling_emqx_continues_through_another_pod() {
    let (running, cluster) = demo("documented-v2beta1", 20.0).await;
    let world = World::of(cluster.read(&scope(&cluster, "emqx")).await.expect("it is read"));
    let mut target = target(&world, "emqx");
    target.pods.insert(0, PodName::from("emqx-core-gone-0"));
    let broker = broker(&cluster, target);
    let mut stream = broker.follow(Duration::from_secs(1));
    let mut world = World::new();
    until(&mut stream, &mut world, "nodes", |world| world.brokers.values().any(|it| it.load.is_some())).await;
    let received = |world: &World| world.brokers.values().find_map(|it| Some(it.nodes.as_ref()?.at));
    let before = received(&world);
    running.faults().drop_port_forwards();
    until(&mut stream, &mut world, "nodes again", |world| received(world) > before).await;
    running.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_reported_with_a_hint() {
    let connect = Connect::from(KubernetesFlags {
        kubeconfig: Some("/nowhere/kubeconfig".into()),
        ..KubernetesFlags::default()
    });
    let problem = Cluster::connect(&connect).await.err().expect("there is no such file");
    assert!(
        problem.why.contains("/nowhere/kubeconfig does not exist") && problem.hint.is_some(),
        "{problem}"
    );

    let (running, _) = demo("documented-v2beta1", 1.0).await;
    let kubeconfig = Some(running.kubeconfig().to_owned());
    let wrong = Connect::from(KubernetesFlags {
        kubeconfig: kubeconfig.clone(),
        context: Some("moon".to_owned()),
        ..KubernetesFlags::default()
    });
    let problem = Cluster::connect(&wrong).await.err().expect("there is no such context");
    assert!(problem.why.contains("no context \"moon\"") && problem.why.contains("it has "), "{problem}");

    let elsewhere = Connect::from(KubernetesFlags {
        kubeconfig,
        server: Some("http://127.0.0.1:9".to_owned()),
        ..KubernetesFlags::default()
    });
    let cluster = Cluster::connect(&elsewhere).await.expect("nothing is contacted so far");
    let problem = cluster.read(&scope(&cluster, "emqx")).await.expect_err("no server listens");
    assert!(problem.why.contains("http://127.0.0.1:9 does not answer: connection refused"), "{problem}");
    running.shutdown().await;
}

#[tokio::test]
async fn an_absent_instance_is_no_problem_of_reading() {
    let (running, cluster) = demo("documented-v2beta1", 1.0).await;
    let facts = cluster.read(&scope(&cluster, "nobody")).await.expect("it is read");
    assert!(!facts.iter().any(|fact| matches!(fact.update, Update::Unreadable(_))));
    let world = World::of(facts);
    assert!(world.kubernetes.instances.is_empty() && world.kubernetes.pods.is_empty());
    running.shutdown().await;
}
