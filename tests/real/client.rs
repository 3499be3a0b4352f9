//! The Kubernetes client against a real API server with the operators' real CRDs.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "a failure here is a failed test; the harness offers more"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use kubectl_emqx::emqx::EmqxBrokers;
use kubectl_emqx::k8s::{Cluster, Connect};
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::drain::{Cordon, Eviction};
use kubectl_emqx::model::{
    ApiPort, InstanceId, InstanceKind, Link, OperatorLine, PodName, Rebalance, STOPPED_BY_ANNOTATION, Source,
    StopMark, TOUCHED_ANNOTATION, Target, World,
};
use kubectl_emqx::ports::{
    Broker, Brokers, Clock, Deletion, FactStream, Kubernetes, RefreshScope, Right, Scope, ServerDryRun,
};
use serde_json::{Value, json};
use test_support::control_plane::{ControlPlane, Line, NODE, ON_SERVING, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn connect(kubeconfig: &Path) -> Cluster {
    let connect = Connect::from(KubernetesFlags {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..KubernetesFlags::default()
    });
    Cluster::connect(&connect).await.expect("it connects")
}

fn scope(plane: &ControlPlane) -> Scope {
    Scope {
        namespace: Some(plane.namespace().to_owned()),
        instance: Some((None, "emqx".to_owned())),
        want: RefreshScope::ALL,
        ..Scope::default()
    }
}

fn rebalance(plane: &ControlPlane, name: &str, kind: bool) -> Value {
    let mut manifest = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": name, "namespace": plane.namespace(), "annotations": {"cli.emqx.io/plan": "{}"}},
        "spec": {"instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10, "sessEvictRate": 20,
            "waitHealthCheck": 10, "waitTakeover": 10, "absConnThreshold": 100, "relConnThreshold": "1.2",
            "absSessThreshold": 100, "relSessThreshold": "1.1"}}});
    if kind {
        manifest["spec"]["instanceKind"] = json!("EMQX");
    }
    manifest
}

/// Applies facts until something holds, for at most 30 seconds.
async fn until(
    stream: &mut FactStream,
    world: &mut World,
    what: &str,
    mut holds: impl FnMut(&World) -> bool,
) {
    let limit = tokio::time::sleep(Duration::from_secs(30));
    tokio::pin!(limit);
    while !holds(world) {
        tokio::select! {
            fact = stream.next() => { world.apply(fact.expect("it continues")); }
            () = &mut limit => panic!("never: {what}; {:?}", world.kubernetes.sources),
        }
    }
}

/// All steps use one control plane, because its start takes most of the time.
#[tokio::test]
async fn the_client_and_a_real_api_server() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    let admin = connect(&plane.admin_kubeconfig()).await;
    assert_eq!(admin.namespace(), plane.namespace());
    assert_eq!(admin.served().await.expect("it is served").operator, OperatorLine::None);

    plane.install(Line::V22).await;
    discovery(&plane, OperatorLine::Two2, "v2beta1").await;
    populate(&plane).await;
    both_sides_are_read(&plane).await;
    objects_are_written(&plane).await;
    Box::pin(objects_are_marked_and_deleted_as_they_were_read(&plane)).await;
    nodes_are_cordoned_and_pods_are_evicted(&plane).await;
    users_see_what_they_may(&plane).await;
    a_follow_survives_a_restart(&plane).await;

    plane.install(Line::V23).await;
    discovery(&plane, OperatorLine::Two3, "v2").await;
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let refused = cluster.create_rebalance(&rebalance(&plane, "r", true), ServerDryRun::Server).await;
    assert!(refused.expect_err("2.3 has no such field").why.contains("instanceKind"));
    assert!(cluster.create_rebalance(&rebalance(&plane, "r", false), ServerDryRun::Server).await.is_ok());

    plane.install(Line::V30).await;
    discovery(&plane, OperatorLine::Three, "v3beta1").await;
}

async fn discovery(plane: &ControlPlane, line: OperatorLine, version: &str) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let served = cluster.served().await.expect("it is served");
    assert_eq!((served.operator, served.version_of("emqxes")), (line, Some(version)));
    // A user who may not read CRDs.
    let without_rights = connect(&plane.kubeconfig_for("nobody")).await;
    assert_eq!(without_rights.served().await.expect("anybody may ask").operator, line);
    // By the server's own clock, which is that of this machine.
    let off = without_rights.clock().now().duration_since(jiff::Timestamp::now()).as_secs_f64();
    assert!(off.abs() < 2.0, "{off}");
}

async fn create(plane: &ControlPlane, object: &Value) {
    let admin = plane.admin_kubeconfig();
    plane.kubectl_as(&admin, &["create", "-f", "-"], Some(&object.to_string())).await.ok();
}

async fn populate(plane: &ControlPlane) {
    create(
        plane,
        &json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "metadata": {"name": "emqx"},
        "spec": {"image": "emqx/emqx-enterprise:5.8.6", "coreTemplate": {"spec": {"replicas": 2}}}}),
    )
    .await;
    let labels = json!({"apps.emqx.io/managed-by": "emqx-operator", "apps.emqx.io/instance": "emqx",
        "apps.emqx.io/db-role": "core", "apps.emqx.io/pod-template-hash": "h1"});
    create(plane, &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "emqx-listeners", "labels": labels},
        "spec": {"selector": {"apps.emqx.io/instance": "emqx"}, "ports": [{"name": "mqtt", "port": 1883}]}}))
    .await;
    create(plane, &json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "emqx-core-h1", "labels": labels},
        "spec": {"replicas": 2, "serviceName": "emqx-headless", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"nodeName": NODE,
                "readinessGates": [{"conditionType": ON_SERVING}],
                "containers": [{"name": "emqx", "image": "emqx/emqx-enterprise:5.8.6",
                    "ports": [{"name": "dashboard", "containerPort": 18083}]}]}}}}))
    .await;
    create(
        plane,
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "c"}]}}),
    )
    .await;
    create(
        plane,
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "emqx-bootstrap-api-key"},
        "stringData": {"bootstrap_api_key": "mine:x:viewer\nemqx-operator-controller:s3cret"}}),
    )
    .await;
    for pod in ["emqx-core-h1-0", "emqx-core-h1-1"] {
        test_support::control_plane::until("the pod", Duration::from_secs(20), async || {
            let out = plane.kubectl(&["get", "pod", pod]).await;
            if out.code == Some(0) { Ok(()) } else { Err(out.stderr) }
        })
        .await;
        plane.set_condition(pod, ON_SERVING, "True").await;
    }
    plane.ready_pods("apps.emqx.io/instance=emqx", 2).await;
    plane.serving_becomes("emqx-listeners", &["emqx-core-h1-0", "emqx-core-h1-1"]).await;
    plane.forward([("emqx-core-h1-0", emqx().await), ("emqx-core-h1-1", emqx().await)]).await;
}

/// The part of EMQX 5 that is polled; 401 without the operator's key.
async fn emqx() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    seen.push(byte[0]);
                    if !seen.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let head = String::from_utf8_lossy(&seen).into_owned();
                    // `emqx-operator-controller:s3cret`
                    let known = head.contains("Basic ZW1xeC1vcGVyYXRvci1jb250cm9sbGVyOnMzY3JldA==");
                    let body = if head.contains("global_status") {
                        r#"{"evacuations":[],"rebalances":[]}"#
                    } else {
                        r#"[{"node":"emqx@emqx-core-h1-0","node_status":"running","connections":9,"live_connections":7}]"#
                    };
                    let status = if known { "200 OK" } else { "401 Unauthorized" };
                    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                    seen.clear();
                }
            });
        }
    });
    address
}

fn broker(plane: &ControlPlane, cluster: &Cluster, pods: &[&str]) -> Rc<dyn Broker> {
    let shared = Rc::new(cluster.clone());
    let brokers = EmqxBrokers::through(shared.clone(), shared, Rc::new(cluster.clock()), None, false);
    brokers.broker(Target {
        instance: InstanceId {
            kind: InstanceKind::Emqx,
            namespace: plane.namespace().to_owned(),
            name: "emqx".to_owned(),
        },
        pods: pods.iter().map(|pod| PodName::from(*pod)).collect(),
        addressed: std::collections::BTreeMap::new(),
        hidden: None,
        port: ApiPort { port: 18083, tls: false },
        v4: false,
    })
}

async fn both_sides_are_read(plane: &ControlPlane) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let mut world = World::of(cluster.read(&scope(plane)).await.expect("it is read"));
    for (resource, source) in &world.kubernetes.sources {
        assert_eq!(source.link, Link::Up, "{resource:?}");
    }
    assert_eq!(world.kubernetes.sources.len(), 9);
    assert_eq!(
        (world.kubernetes.instances.len(), world.kubernetes.pods.len(), world.kubernetes.sets.len()),
        (1, 2, 1)
    );
    assert!(
        world.kubernetes.pods.values().all(|seen| seen.value.ready && seen.value.on_serving == Some(true))
    );
    let slice = &world.kubernetes.slices.values().next().expect("the Service has one").value;
    assert_eq!((slice.service.as_str(), slice.endpoints.len()), ("emqx-listeners", 2));

    let broker = broker(plane, &cluster, &["emqx-core-gone", "emqx-core-h1-1"]);
    for fact in broker.read().await.expect("never fails") {
        world.apply(fact);
    }
    let emqx = world.broker(&world.ids()[0]);
    let nodes = emqx.nodes.as_ref().unwrap_or_else(|| panic!("{:?}", emqx.sources));
    assert_eq!(nodes.value[0].connections, Some(7));
}

async fn objects_are_written(plane: &ControlPlane) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let mut wrong = rebalance(plane, "wrong", true);
    wrong["spec"]["rebalanceStrategy"]["connEvictRat"] = json!(1);
    let problem = cluster.create_rebalance(&wrong, ServerDryRun::No).await.expect_err("strict");
    assert!(problem.why.contains("connEvictRat"), "{problem}");

    let dry = cluster
        .create_rebalance(&rebalance(plane, "first", true), ServerDryRun::Server)
        .await
        .expect("it is valid");
    assert!(dry.warnings.is_empty(), "{:?}", dry.warnings);
    assert_eq!(cluster.rebalance(plane.namespace(), "first").await, Ok(None));
    let made = cluster
        .create_rebalance(&rebalance(plane, "first", true), ServerDryRun::No)
        .await
        .expect("it is created");
    assert_eq!(made.rebalance.plan.as_deref(), Some("{}"));
    assert!((made.rebalance.strategy.rel_conn_threshold - 1.2).abs() < f64::EPSILON);
    assert_eq!(made.object["metadata"]["managedFields"][0]["manager"], "kubectl-emqx");
    let found = cluster.rebalance(plane.namespace(), "first").await.expect("asked").expect("it is there");
    assert_eq!(found, made.rebalance);

    let mut other = found.clone();
    "00000000-0000-0000-0000-000000000000".clone_into(&mut other.uid);
    assert_eq!(cluster.delete_rebalance(&other, ServerDryRun::No).await, Ok(false));
    assert_eq!(cluster.delete_rebalance(&found, ServerDryRun::Server).await, Ok(true));
    assert_eq!(cluster.delete_rebalance(&found, ServerDryRun::No).await, Ok(true));
    assert_eq!(cluster.delete_rebalance(&found, ServerDryRun::No).await, Ok(false));
}

async fn objects_are_marked_and_deleted_as_they_were_read(plane: &ControlPlane) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let mark =
        StopMark { by: "kubectl-emqx".to_owned(), time: "2026-11-23T10:00:00Z".parse().expect("a time") };
    let read = async || cluster.rebalance(plane.namespace(), "marked").await.expect("it can be asked");
    let made = cluster
        .create_rebalance(&rebalance(plane, "marked", true), ServerDryRun::No)
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
    // An object that is being deleted can still be changed, which makes an operator reconcile it.
    let mut held = rebalance(plane, "marked", true);
    held["metadata"]["finalizers"] = json!(["apps.emqx.io/finalizer"]);
    let held = cluster.create_rebalance(&held, ServerDryRun::No).await.expect("it is created").rebalance;
    assert_eq!(cluster.delete_rebalance(&held, ServerDryRun::No).await, Ok(true));
    let terminating = read().await.expect("its finalizer holds it");
    assert!(terminating.deleting.is_some());
    assert_eq!(cluster.annotate_rebalance(&terminating, TOUCHED_ANNOTATION, Some("now")).await, Ok(true));
    let touched = read().await.expect("it is still there");
    assert_ne!(touched.resource_version, terminating.resource_version);
    let free = r#"{"metadata":{"finalizers":null}}"#;
    let namespace = plane.namespace();
    let patch = ["patch", "rebalance", "marked", "-n", namespace, "--type=merge", "-p", free];
    plane.kubectl(&patch).await.ok();
    assert_eq!(read().await, None);
}

/// The writes of a drain: cordons with this program's mark, evictions for one uid, and a Lease.
async fn nodes_are_cordoned_and_pods_are_evicted(plane: &ControlPlane) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    let namespaces = [plane.namespace().to_owned()];
    let placed = async || cluster.placement(&namespaces, &BTreeSet::new()).await.expect("it can be read");
    let before = placed().await;
    let machine = before.machine(NODE).expect("the node");
    assert!(machine.ready && !machine.cordoned && machine.allocatable.pods > 0, "{machine:?}");
    let stranger = before.pods.iter().find(|pod| pod.name.as_str() == "stranger").expect("a pod").clone();
    assert_eq!(stranger.machine.as_deref(), Some(NODE));

    assert_eq!(cluster.cordon(NODE).await, Ok(Cordon::Changed));
    let after = placed().await;
    let machine = after.machine(NODE).expect("the node");
    assert!(machine.cordoned && machine.cordoned_by_us, "{machine:?}");
    assert_eq!(cluster.cordon(NODE).await, Ok(Cordon::Unchanged));
    assert_eq!(cluster.uncordon(NODE).await, Ok(Cordon::Changed));
    assert!(!placed().await.machine(NODE).expect("the node").cordoned);
    // Another client's cordon stays.
    plane.kubectl(&["cordon", NODE]).await.ok();
    assert_eq!(cluster.cordon(NODE).await, Ok(Cordon::Unchanged));
    assert_eq!(cluster.uncordon(NODE).await, Ok(Cordon::Unchanged));
    assert!(placed().await.machine(NODE).expect("the node").cordoned);
    plane.kubectl(&["uncordon", NODE]).await.ok();
    assert_eq!(cluster.cordon("no-such-node").await, Ok(Cordon::Gone));

    // Another uid belongs to another pod.
    let namespace = plane.namespace();
    let other = "00000000-0000-0000-0000-000000000000";
    assert_eq!(cluster.evict(namespace, &stranger.name, other).await, Ok(Eviction::Gone));
    assert!(placed().await.pod(&stranger.uid).is_some());
    let labels = json!({"app": "guarded"});
    create(
        plane,
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guarded", "labels": labels},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "c"}]}}),
    )
    .await;
    create(
        plane,
        &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "guarded"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}),
    )
    .await;
    plane.ready_pods("app=guarded", 1).await;
    let listed = placed().await;
    let guarded = listed.pods.iter().find(|pod| pod.name.as_str() == "guarded").expect("a pod").clone();
    let budgets = listed.budgets.expect("they may be listed");
    assert!(
        budgets.iter().any(|budget| budget.name == "guarded" && budget.protects(&guarded)),
        "{budgets:?}"
    );
    let refused = cluster.evict(namespace, &guarded.name, &guarded.uid).await.expect("it is answered");
    assert!(matches!(&refused, Eviction::Refused(why) if why.contains("disruption budget")), "{refused:?}");
    plane.kubectl(&["delete", "pdb", "guarded", "-n", namespace]).await.ok();
    assert_eq!(cluster.evict(namespace, &guarded.name, &guarded.uid).await, Ok(Eviction::Accepted));

    let facts = cluster.read(&scope(plane)).await.expect("it is read");
    let world = World::of(facts);
    let id = world.ids().first().cloned().expect("an instance");
    let instance = world.instance(&id).expect("it is there");
    assert_eq!(cluster.take_lease(instance).await, Ok(None));
    assert_eq!(cluster.take_lease(instance).await, Ok(None), "it is renewed");
    assert_eq!(cluster.release_lease(instance).await, Ok(()));
    let taken = json!({"spec": {"holderIdentity": "another", "renewTime": "2999-01-01T00:00:00.000000Z"}})
        .to_string();
    let lease = "kubectl-emqx-emqx-emqx";
    plane.kubectl(&["patch", "lease", lease, "-n", namespace, "--type=merge", "-p", &taken]).await.ok();
    assert_eq!(cluster.take_lease(instance).await, Ok(Some("another".to_owned())));
    let old = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}).to_string();
    plane.kubectl(&["patch", "lease", lease, "-n", namespace, "--type=merge", "-p", &old]).await.ok();
    assert_eq!(cluster.take_lease(instance).await, Ok(None), "it ran out");
}

async fn users_see_what_they_may(plane: &ControlPlane) {
    let kubeconfig = plane.kubeconfig_for("reader");
    let cluster = connect(&kubeconfig).await;
    let problem = cluster.read(&scope(plane)).await.expect_err("nothing may be read");
    assert!(problem.why.contains(r#"User "reader" cannot list"#), "{problem}");
    assert!(problem.hint.expect("a hint").contains("verb list on emqxes.apps.emqx.io"));

    let namespace = Some(plane.namespace());
    let rules = json!([{"apiGroups": ["apps.emqx.io"], "resources": ["emqxes"], "verbs": ["list", "watch"]}]);
    plane.grant("reader", namespace, rules).await;
    let world = World::of(cluster.read(&scope(plane)).await.expect("the instance may be read"));
    assert_eq!((world.kubernetes.instances.len(), world.kubernetes.pods.len()), (1, 0));
    for resource in ["pods", "statefulsets", "replicasets"] {
        let source = &world.kubernetes.sources[&(Source::Pods, resource)];
        assert!(
            matches!(&source.link, Link::Forbidden(why) if why.contains(&format!("cannot list {resource} in namespace")))
        );
    }
    let keyless = broker(plane, &cluster, &["emqx-core-h1-0"]).read().await.expect("never fails");
    assert!(format!("{keyless:?}").contains("secrets"), "{keyless:?}");

    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    plane.grant("forward", namespace, rules).await;
    let cluster = connect(&plane.kubeconfig_for("forward")).await;
    let facts = broker(plane, &cluster, &["emqx-core-h1-0"]).read().await.expect("never fails");
    assert!(format!("{facts:?}").contains("portforward"), "{facts:?}");

    let right = |verb, resource| Right {
        verb,
        group: "",
        resource,
        namespace: plane.namespace().to_owned(),
        name: None,
    };
    let rights = [right("get", "secrets"), right("create", "pods/portforward"), right("list", "pods")];
    assert_eq!(cluster.may(&rights).await, Ok(vec![Some(true), Some(false), Some(false)]));
}

async fn a_follow_survives_a_restart(plane: &ControlPlane) {
    let cluster = connect(&plane.admin_kubeconfig()).await;
    cluster.create_rebalance(&rebalance(plane, "one", true), ServerDryRun::No).await.expect("it is created");
    let mut stream = cluster.follow(&scope(plane));
    let mut world = World::new();
    until(&mut stream, &mut world, "everything", |world| {
        world.kubernetes.pods.len() == 2
            && world.kubernetes.rebalances.len() == 1
            && world.kubernetes.sources.len() >= 8
    })
    .await;
    let link =
        |world: &World, resource| world.kubernetes.sources[&(Source::Kubernetes, resource)].link.clone();

    plane.stop_api_server();
    until(&mut stream, &mut world, "the server is away", |world| {
        matches!(link(world, "rebalances"), Link::Unreachable(_))
    })
    .await;
    plane.start_api_server_again().await;
    until(&mut stream, &mut world, "the server is back", |world| link(world, "rebalances") == Link::Up).await;

    let second = connect(&plane.admin_kubeconfig()).await;
    second.create_rebalance(&rebalance(plane, "two", true), ServerDryRun::No).await.expect("it is created");
    until(&mut stream, &mut world, "a new object", |world| world.kubernetes.rebalances.len() == 2).await;
    let one = second.rebalance(plane.namespace(), "one").await.expect("asked").expect("it is there");
    assert_eq!(second.delete_rebalance(&one, ServerDryRun::No).await, Ok(true));
    until(&mut stream, &mut world, "a deletion", |world| world.kubernetes.rebalances.len() == 1).await;
    assert_eq!(world.kubernetes.departed.len(), 1);
    plane.set_condition("emqx-core-h1-0", ON_SERVING, "False").await;
    until(&mut stream, &mut world, "the gate", |world| {
        world
            .kubernetes
            .slices
            .values()
            .flat_map(|seen| &seen.value.endpoints)
            .filter(|it| it.serving)
            .count()
            == 1
    })
    .await;
}
