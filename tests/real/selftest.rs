//! Tests of the test harness: the real control plane starts, behaves as the other tests require, and leaves
//! nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use test_support::control_plane::{
    ControlPlane, EMQX_PORTS, Line, NODE, ON_SERVING, Options, condition_is, until,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const REBALANCE: &str = "
apiVersion: apps.emqx.io/v2beta1
kind: Rebalance
metadata:
  name: first
spec:
  instanceName: emqx
  rebalanceStrategy:
    connEvictRate: 10
    sessEvictRate: 10
";

/// All steps use one control plane, because its start takes most of the time.
#[tokio::test]
async fn the_whole_harness() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    let client = plane.admin_client().await;

    version_is_that_of_the_module(&plane).await;
    operator_lines_replace_each_other(&plane).await;
    a_statefulset_becomes_ready_and_follows_its_gates(&plane, &client).await;
    port_forwards_lead_to_their_own_targets(&plane, &client).await;
    the_api_server_and_the_kubelet_can_be_restarted(&plane, &client).await;
    a_restricted_user_may_only_what_was_granted(&plane).await;
}

async fn version_is_that_of_the_module(plane: &ControlPlane) {
    let version = plane.kubectl(&["version", "-o", "json"]).await.ok();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], "v1.36.3");
    assert_eq!(version["clientVersion"]["gitVersion"], "v1.36.3");
}

async fn operator_lines_replace_each_other(plane: &ControlPlane) {
    let admin = plane.admin_kubeconfig();
    plane.install(Line::V22).await;
    plane.kubectl_as(&admin, &["create", "-f", "-"], Some(REBALANCE)).await.ok();
    let table = plane.kubectl(&["get", "rebalances"]).await.ok();
    assert!(table.contains("STATUS") && table.contains("first"), "{table}");
    // An operator's finalizer must not prevent the installation of the next line.
    let patch = r#"{"metadata":{"finalizers":["apps.emqx.io/finalizer"]}}"#;
    plane.kubectl(&["patch", "rebalance", "first", "--type=merge", "-p", patch]).await.ok();
    let served = plane.kubectl(&["api-versions"]).await.ok();
    assert!(served.contains("apps.emqx.io/v1beta4") && served.contains("apps.emqx.io/v2beta1"), "{served}");

    plane.install(Line::V23).await;
    let served = plane.kubectl(&["api-versions"]).await.ok();
    assert!(!served.contains("apps.emqx.io/v1beta4") && served.contains("apps.emqx.io/v2\n"), "{served}");
    assert_eq!(plane.kubectl(&["get", "rebalances", "-o", "name"]).await.ok(), "");
    // Strict validation by the server, which a simulated API server would not have.
    let wrong = REBALANCE.replace("connEvictRate", "connEvictRat");
    let out = plane.kubectl_as(&admin, &["apply", "--dry-run=server", "-f", "-"], Some(&wrong)).await;
    assert_eq!(out.code, Some(1));
    assert!(out.stderr.contains("connEvictRat"), "{}", out.stderr);

    plane.install(Line::V30).await;
    let kinds = plane.kubectl(&["api-resources", "--api-group=apps.emqx.io", "-o", "name"]).await.ok();
    assert_eq!(kinds.trim(), "emqxes.apps.emqx.io");
    let out = plane.kubectl_as(&admin, &["create", "-f", "-"], Some(REBALANCE)).await;
    assert!(out.stderr.contains("no matches for kind"), "{}", out.stderr);
}

async fn a_statefulset_becomes_ready_and_follows_its_gates(plane: &ControlPlane, client: &Client) {
    let labels = json!({ "app": "emqx" });
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "emqx" },
        "spec": { "selector": labels, "ports": [{ "name": "mqtt", "port": 1883 }] },
    }))
    .unwrap();
    let services = Api::<Service>::namespaced(client.clone(), plane.namespace());
    services.create(&PostParams::default(), &service).await.unwrap();
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": { "name": "emqx-core" },
        "spec": {
            "replicas": 2, "serviceName": "emqx", "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeName": NODE,
                    "readinessGates": [{ "conditionType": ON_SERVING }],
                    "containers": [{ "name": "emqx", "image": "emqx/emqx-enterprise:5.8" }],
                },
            },
        },
    }))
    .unwrap();
    let sets = Api::<StatefulSet>::namespaced(client.clone(), plane.namespace());
    sets.create(&PostParams::default(), &set).await.unwrap();

    // Running, but not ready: no client has set the gate.
    let pods = Api::<Pod>::namespaced(client.clone(), plane.namespace());
    let names = ["emqx-core-0", "emqx-core-1"];
    for name in names {
        until("containers ready", Duration::from_secs(20), async || {
            let pod = pods.get(name).await.map_err(|e| e.to_string())?;
            assert!(condition_is(&pod, "Ready", "False") || !condition_is(&pod, "ContainersReady", "True"));
            condition_is(&pod, "ContainersReady", "True")
                .then_some(())
                .ok_or_else(|| format!("{:?}", pod.status))
        })
        .await;
    }
    plane.serving_becomes("emqx", &[]).await;
    for name in names {
        plane.set_condition(name, ON_SERVING, "True").await;
    }
    let ready = plane.ready_pods("app=emqx", 2).await;
    // The simulated kubelet sometimes gives two pods the same address: no request here uses it.
    assert!(ready.iter().all(|pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some())));
    plane.serving_becomes("emqx", &names).await;
    until("the set's own count", Duration::from_secs(20), async || {
        let set = sets.get("emqx-core").await.map_err(|e| e.to_string())?;
        let ready = set.status.and_then(|s| s.ready_replicas);
        if ready == Some(2) { Ok(()) } else { Err(format!("{ready:?}")) }
    })
    .await;

    // The readiness trap: the operator closes the gate of a donor, and opens it when the rebalance is over.
    plane.set_condition("emqx-core-0", ON_SERVING, "False").await;
    plane.serving_becomes("emqx", &["emqx-core-1"]).await;
    plane.set_condition("emqx-core-0", ON_SERVING, "True").await;
    plane.serving_becomes("emqx", &names).await;

    // Without a pause in between: the last write wins.
    for turn in 0..20 {
        plane.set_condition("emqx-core-0", ON_SERVING, if turn % 2 == 0 { "False" } else { "True" }).await;
    }
    plane.serving_becomes("emqx", &names).await;
    // A failing readiness probe, as with operator 3.0.
    plane.set_condition("emqx-core-1", "ContainersReady", "False").await;
    plane.serving_becomes("emqx", &["emqx-core-0"]).await;
    plane.set_condition("emqx-core-1", "ContainersReady", "True").await;
    plane.serving_becomes("emqx", &names).await;

    // A deleted pod is replaced, and the new one starts with its gate unset.
    let old = pods.get("emqx-core-1").await.unwrap().uid();
    pods.delete("emqx-core-1", &DeleteParams::default()).await.unwrap();
    until("a new pod", Duration::from_secs(20), async || {
        let pod = pods.get("emqx-core-1").await.map_err(|e| e.to_string())?;
        let running = condition_is(&pod, "ContainersReady", "True") && condition_is(&pod, "Ready", "False");
        if pod.uid() != old && running { Ok(()) } else { Err(String::from("the old one")) }
    })
    .await;
    plane.set_condition("emqx-core-1", ON_SERVING, "True").await;
    plane.serving_becomes("emqx", &names).await;
}

async fn port_forwards_lead_to_their_own_targets(plane: &ControlPlane, client: &Client) {
    let (zero, one, other) = (http_server("zero"), http_server("one"), http_server("other"));
    plane.forward([("emqx-core-0", zero), ("emqx-core-1", one)]).await;
    for port in EMQX_PORTS {
        assert_eq!(
            ask(client, plane.namespace(), "emqx-core-0", *port, 3).await,
            ["zero 1", "zero 2", "zero 3"]
        );
        assert_eq!(ask(client, plane.namespace(), "emqx-core-1", *port, 1).await, ["one 1"]);
    }
    // In force from the moment of the return, each time.
    for _ in 0..5 {
        plane.forward([("emqx-core-0", other)]).await;
        assert_eq!(ask(client, plane.namespace(), "emqx-core-0", 18083, 1).await, ["other 1"]);
        plane.forward([("emqx-core-0", zero)]).await;
        assert_eq!(ask(client, plane.namespace(), "emqx-core-0", 18083, 1).await, ["zero 1"]);
    }
    assert_eq!(ask(client, plane.namespace(), "emqx-core-1", 8081, 1).await, ["one 1"]);
}

async fn the_api_server_and_the_kubelet_can_be_restarted(plane: &ControlPlane, client: &Client) {
    plane.stop_api_server();
    assert!(client.apiserver_version().await.is_err());
    plane.start_api_server_again().await;
    plane.serving_becomes("emqx", &["emqx-core-0", "emqx-core-1"]).await;

    plane.stop_kubelet();
    plane.start_kubelet_again().await;
    let pod = json!({
        "metadata": { "name": "late", "labels": { "app": "late" } },
        "spec": { "nodeName": NODE, "containers": [{ "name": "c", "image": "c" }] },
    });
    let pods = Api::<Pod>::namespaced(client.clone(), plane.namespace());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let late = plane.ready_pods("app=late", 1).await;
    let ip = |pod: &Pod| pod.status.as_ref().and_then(|s| s.pod_ip.clone()).unwrap();
    for old in plane.ready_pods("app=emqx", 2).await {
        assert_ne!(ip(&old), ip(&late[0]), "an address was given twice");
    }
    // The targets of the ports were kept.
    until("the forward", Duration::from_secs(20), async || {
        let reported = tokio::time::timeout(
            Duration::from_secs(1),
            try_ask(client, plane.namespace(), "emqx-core-1", 18083, 1),
        );
        match reported.await {
            Ok(Ok(reported)) if reported == ["one 1"] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn a_restricted_user_may_only_what_was_granted(plane: &ControlPlane) {
    let kubeconfig = plane.kubeconfig_for("reader");
    let reader = plane.client(&kubeconfig).await;
    let pods = Api::<Pod>::namespaced(reader.clone(), plane.namespace());
    let refused = pods.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");

    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"] }]);
    plane.grant("reader", Some(plane.namespace()), rules).await;
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 3);
    let refused = pods.delete("late", &DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
    let out = plane.kubectl_as(&kubeconfig, &["get", "services"], None).await;
    assert_eq!(out.code, Some(1));
    assert!(out.stderr.contains(r#"User "reader" cannot list resource "services""#), "{}", out.stderr);
}

// The harness leaves nothing behind.

#[test]
fn a_panic_ends_every_process() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let plane = ControlPlane::start_or_skip(small()).await;
            sender.send(plane.as_ref().map(ControlPlane::addresses)).unwrap();
            assert!(plane.is_none(), "as a failing test does");
        });
    });
    let addresses = receiver.recv().unwrap();
    let ended = test.join();
    let Some(addresses) = addresses else { return };
    assert!(ended.is_err());
    assert_closed(&addresses);
}

/// A part of the next test, in a process of its own.
#[tokio::test]
#[ignore = "waits to be killed"]
async fn waits_to_be_killed() {
    let Some(plane) = ControlPlane::start_or_skip(small()).await else { return };
    let [api_server, etcd, kubelet] = plane.addresses();
    writeln!(std::io::stdout(), "\nstarted {api_server} {etcd} {kubelet}").unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[test]
fn a_kill_ends_every_process() {
    if ControlPlane::available().is_err() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "selftest::waits_to_be_killed", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.map_while(Result::ok).find_map(|l| l.strip_prefix("started ").map(String::from));
    child.kill().unwrap();
    child.wait().unwrap();
    let started = started.expect("the child prints its addresses");
    let addresses: Vec<SocketAddr> = started.split(' ').map(|a| a.parse().unwrap()).collect();
    assert_eq!(addresses.len(), 3);
    assert_closed(&addresses);
}

fn small() -> Options {
    Options { controllers: vec!["namespace-controller".into()], ..Options::default() }
}

fn assert_closed(addresses: &[SocketAddr]) {
    let began = Instant::now();
    for address in addresses {
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(5), "{address} still answers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

// A simulated EMQX.

/// Answers `NAME N` to the N-th request of each connection, and keeps the connection.
fn http_server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream, name));
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    let mut count = 0;
    while stream.read_exact(&mut byte).is_ok() {
        request.push(byte[0]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            count += 1;
            let body = format!("{name} {count}");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Sends several requests over one forwarded connection.
async fn ask(client: &Client, namespace: &str, pod: &str, port: u16, times: usize) -> Vec<String> {
    let asking = try_ask(client, namespace, pod, port, times);
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("an answer in time").unwrap()
}

async fn try_ask(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    times: usize,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut forward = pods.portforward(pod, &[port]).await?;
    let mut stream = forward.take_stream(port).ok_or("no stream")?;
    let mut answers = Vec::new();
    for _ in 0..times {
        stream.write_all(b"GET /api/v5/nodes HTTP/1.1\r\nHost: emqx\r\n\r\n").await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head)?;
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.ok_or("no length")?.parse()?];
        stream.read_exact(&mut body).await?;
        answers.push(String::from_utf8(body)?);
    }
    Ok(answers)
}
