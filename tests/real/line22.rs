//! Operator 2.2: an EMQX of v2beta1 and an EmqxEnterprise of v1beta4 side by side.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::RealCluster;
use crate::program::{Program, STRATEGY, events, refused, verdict};
use test_support::control_plane::{ControlPlane, Output, until};

const EMQX: &str = "
name: real
api: v2beta1
operatorLooksAfter: 1
nodes:
- { connections: 100, count: 3 }
- { connections: 0 }
";

const ENTERPRISE: &str = "
name: real
api: v1beta4
namespace: ee
nodes:
- { connections: 100, count: 3 }
- { connections: 0 }
";

/// As in EMQX's manual for EmqxEnterprise: in this version the field `instanceKind` is lost.
const MANUAL_V1BETA4: &str = "
apiVersion: apps.emqx.io/v1beta4
kind: Rebalance
metadata:
  name: rebalance-sample
spec:
  instanceName: emqx-ee
  instanceKind: EmqxEnterprise
  rebalanceStrategy:
    connEvictRate: 5
    sessEvictRate: 5
    waitTakeover: 2
    waitHealthCheck: 2
    absConnThreshold: 1
    absSessThreshold: 1
    relConnThreshold: '1.1'
    relSessThreshold: '1.1'
";

/// As in the other page of the manual: without a kind, EMQX is the default.
const MANUAL_KINDLESS: &str = "
apiVersion: apps.emqx.io/v2beta1
kind: Rebalance
metadata:
  name: rebalance-kindless
spec:
  instanceName: emqx-ee
  rebalanceStrategy:
    connEvictRate: 2
    sessEvictRate: 2
    waitTakeover: 2
    waitHealthCheck: 2
    absConnThreshold: 1
    absSessThreshold: 1
    relConnThreshold: '1.1'
    relSessThreshold: '1.1'
";

pub async fn start(plane: &ControlPlane) -> (RealCluster<'_>, RealCluster<'_>) {
    futures::join!(RealCluster::start(plane, EMQX), RealCluster::start(plane, ENTERPRISE))
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    args.iter().chain(more).copied().collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub async fn reads(plane: &ControlPlane, emqx: &RealCluster<'_>, enterprise: &RealCluster<'_>) {
    for (cluster, api, kind, role) in
        [(emqx, "v2beta1", "EMQX", json!("core")), (enterprise, "v1beta4", "EmqxEnterprise", json!("core"))]
    {
        let program = Program::admin(plane, cluster.namespace());
        let status = program.json(&["status"]).await;
        assert_eq!((&status["api"], &status["instance"]["kind"]), (&json!(api), &json!(kind)), "{status}");
        assert_eq!(status["operator"]["line"], "2.2", "{status}");
        assert_eq!(
            status["totals"],
            json!({ "connections": 300, "sessions": 300, "nodes": 4, "serving": 4 }),
            "{status}"
        );
        assert_eq!((&status["operation"], &status["verdict"]), (&json!("none"), &json!("idle")), "{status}");
        let nodes = program.json(&["nodes"]).await;
        for (index, node) in array(&nodes["items"]).iter().enumerate() {
            let pod = &cluster.pods[index];
            let connections = cluster.connections()[index];
            assert_eq!((&node["pod"], &node["connections"]), (&json!(pod), &json!(connections)), "{node}");
            assert_eq!((&node["ready"], &node["serving"]), (&json!(true), &json!(true)), "{node}");
            assert_eq!((&node["role"], &node["source"]), (&role, &json!("emqx")), "{node}");
            assert_eq!(node["set"].as_str(), pod.rsplit_once('-').map(|(set, _)| set), "{node}");
        }
        assert_eq!(array(&nodes["items"]).len(), 4);
        let text = program.run(&["nodes"]).await.ok();
        assert!(cluster.pods.iter().all(|pod| text.contains(pod)), "{text}");
        let text = program.run(&["status"]).await.ok();
        // A node that is 75 clients from the mean is even: an uneven one is more than 100 from the mean.
        assert!(text.contains("4 nodes, 300 connections") && text.contains("idle, even"), "{text}");

        let plan = program.json(&with(&["rebalance", "plan"], &STRATEGY)).await;
        assert_eq!((&plan["decision"], &plan["moves"]["rounds"]), (&json!("go"), &json!(5)), "{plan}");
        assert_eq!((&plan["moves"]["connections"], &plan["totalSeconds"]), (&json!(75), &json!(9)), "{plan}");
        // 300 clients are too few for EMQX's own thresholds.
        let plan = program.json(&["rebalance", "plan", "--conn-evict-rate=500"]).await;
        assert_eq!((&plan["decision"], &plan["totalSeconds"]), (&json!("nothingToDo"), &json!(0)), "{plan}");
        // Without a rate the plan ends within 5 % of the mean, with at most 50 reconnects a second on one node.
        let plan = program.json(&["rebalance", "plan"]).await;
        let peak = plan["moves"]["peakReconnectsPerSecond"].as_u64();
        assert_eq!((&plan["decision"], peak.map(|peak| peak <= 50)), (&json!("go"), Some(true)), "{plan}");

        manifests(plane, &program, kind).await;
        let out = program.run(&with(&["rebalance", "apply", "--dry-run=server"], &STRATEGY)).await;
        assert!(out.ok().ends_with(" (server dry run)\n"));
        let list = plane.kubectl(&["get", "rebalances", "-n", cluster.namespace(), "-o", "name"]).await.ok();
        assert_eq!(list, "", "a dry run leaves nothing");
    }
    let all = Program::admin(plane, emqx.namespace()).json(&["status", "-A"]).await;
    assert_eq!(array(&all["items"]).len(), 2, "{all}");
}

/// The generated manifests pass the real server's strict validation, with all of its defaults written out.
async fn manifests(plane: &ControlPlane, program: &Program<'_>, kind: &str) {
    let own = program.run(&["rebalance", "generate"]).await.ok();
    assert!(own.contains(&format!("instanceKind: {kind}")), "{own}");
    let offline =
        ["rebalance", "generate", "emqx", "--for-operator", "2.2", "--name", "r", "--rel-conn-threshold=2"];
    let offline = program.run(&offline).await.ok();
    for manifest in [&own, &offline] {
        strict(plane, manifest).await.ok();
    }
}

async fn strict(plane: &ControlPlane, manifest: &str) -> Output {
    let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    plane.kubectl_as(&plane.admin_kubeconfig(), &args, Some(manifest)).await
}

/// Two rebalances at the same time, and one without an answer to its prompt.
pub async fn one_at_a_time(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let out = program.run(&with(&["rebalance", "apply"], &STRATEGY)).await;
    refused(&out, 6, &["confirmation required", "--yes"]);
    let out =
        program.run(&["rebalance", "apply", "--yes", "--conn-evict-rate=500", "--error-unchanged"]).await;
    assert_eq!((out.code, out.stdout.as_str()), (Some(3), ""), "{}", out.stderr);
    assert!(out.stderr.contains("nothing to do"), "{}", out.stderr);
    assert!(emqx.idle());
}

pub async fn to_the_end(plane: &ControlPlane, emqx: &RealCluster<'_>, enterprise: &RealCluster<'_>) {
    futures::join!(failed_and_balanced(plane, emqx), deleted_with_kubectl(plane, enterprise));
}

/// The trap of v2beta1: the operator reports Failed, EMQX continues to its end.
async fn failed_and_balanced(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    // Long enough to be running on a slow machine when the operator has given up.
    let mut long = STRATEGY;
    long[3] = "--wait-takeover=20";
    let args = with(&["rebalance", "apply", "--yes", "--watch", "-o", "jsonl"], &long);
    let mut applied = program.start(&args);
    applied.reports("\"waitHealthCheck\"").await;
    let name = name_of(&applied.stdout());

    // A second rebalance is refused, with the name of the first one.
    let out = program.run(&with(&["rebalance", "apply", "--yes"], &STRATEGY)).await;
    refused(&out, 6, &["already running", &name, "rebalance stop"]);
    let watched = program.start(&["rebalance", "watch", "-o", "jsonl"]);
    let status = program.json(&["status"]).await;
    // On a slow machine the operator has given up by now.
    let stands = &status["verdict"];
    assert_eq!(status["operation"], "rebalance", "{status}");
    assert!(*stands == "running" || *stands == "stillRunning", "{status}");
    assert_eq!(array(&status["nodes"]).iter().filter(|it| it["part"] == "donor").count(), 3, "{status}");

    // The real endpoints follow the gates.
    until("the donors out of the Service", Duration::from_secs(20), async || {
        let status = program.json(&["status"]).await;
        let serving = status["totals"]["serving"].clone();
        if serving == 1 { Ok(()) } else { Err(serving.to_string()) }
    })
    .await;
    until("Failed", Duration::from_secs(20), async || {
        let phase = emqx.phase(&name).await.unwrap_or_default();
        if phase == "Failed: EMQX emqx is not ready" { Ok(()) } else { Err(phase) }
    })
    .await;
    let list = program.json(&["rebalance", "list"]).await;
    assert_eq!(
        (&list["items"][0]["phase"], &list["items"][0]["verdict"]),
        (&json!("Failed"), &json!("stillRunning")),
        "{list}"
    );

    let (applied, watched) = futures::join!(applied.end(), watched.end());
    let reason = verdict(&applied, "balanced", 0);
    assert!(reason.contains("75 clients moved, none missing"), "{reason}");
    let reason = verdict(&watched, "balanced", 0);
    assert!(reason.contains("75 clients moved"), "{reason}");
    assert_eq!(emqx.connections(), [75, 75, 75, 75]);
    let events = events(&applied);
    assert_eq!(events[0]["type"], "created", "{}", events[0]);
    let percents: Vec<u64> = events.iter().filter_map(|it| it["percent"].as_u64()).collect();
    assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
    assert!(
        events.iter().any(
            |it| it["type"] == "notice" && it["message"].as_str().is_some_and(|it| it.contains("Failed"))
        ),
        "{events:?}"
    );
}

/// The name of the first event.
fn name_of(jsonl: &str) -> String {
    let first: Value = serde_json::from_str(jsonl.lines().next().expect("a line")).expect("JSON");
    first["name"].as_str().expect("a name").to_owned()
}

/// The manual's manifest that loses its kind is fixed; then another client deletes the object.
async fn deleted_with_kubectl(plane: &ControlPlane, enterprise: &RealCluster<'_>) {
    let program = Program::admin(plane, enterprise.namespace());
    let out = program.run_with(&["rebalance", "apply", "--yes", "-f", "-"], Some(MANUAL_V1BETA4)).await;
    assert!(
        out.stderr.contains("apiVersion apps.emqx.io/v1beta4 became apps.emqx.io/v2beta1"),
        "{}",
        out.stderr
    );
    assert_eq!(out.ok(), "rebalance.apps.emqx.io/rebalance-sample\n");
    // A name can be used only once.
    let out = program.run_with(&["rebalance", "apply", "--yes", "-f", "-"], Some(MANUAL_V1BETA4)).await;
    refused(&out, 6, &["rebalance-sample"]);

    let mut watched = program.start(&["rebalance", "watch", "rebalance-sample", "-o", "jsonl"]);
    watched.reports("\"evictConnections\"").await;
    let args = ["delete", "rebalance", "rebalance-sample", "-n", enterprise.namespace(), "--wait=false"];
    plane.kubectl(&args).await.ok();
    let reason = verdict(&watched.end().await, "stopped", 7);
    assert!(reason.contains("the deletion of its object"), "{reason}");
    assert!(enterprise.idle());
    assert_eq!(enterprise.phase("rebalance-sample").await, None);
}

/// What is known of the rebalance later, without a follower.
pub async fn afterwards(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let list = program.json(&["rebalance", "list"]).await;
    let item = &list["items"][0];
    assert_eq!((&item["phase"], &item["verdict"]), (&json!("Failed"), &json!("balanced")), "{list}");
    let name = item["name"].as_str().expect("a name");
    let out = program.run(&["rebalance", "watch", name, "-o", "jsonl"]).await;
    verdict(&out, "balanced", 0);
    let out = program.run(&["rebalance", "stop", name, "--yes"]).await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(out.stderr.contains("there is nothing to stop"), "{}", out.stderr);
    emqx.ready().await;
}

/// The kubelet ends with every port-forward, then the API server. Both followers report the true end.
pub async fn restarts(plane: &ControlPlane, emqx: &RealCluster<'_>, enterprise: &RealCluster<'_>) {
    futures::join!(emqx.reset(), enterprise.reset());
    let program = Program::admin(plane, emqx.namespace());
    let mut slow = STRATEGY;
    slow[0] = "--conn-evict-rate=2";
    let mut one = program.start(&with(&["rebalance", "apply", "--yes", "--watch", "-o", "jsonl"], &slow));
    let other = Program::admin(plane, enterprise.namespace());
    let file = plane.dir().join("kindless.yaml");
    std::fs::write(&file, MANUAL_KINDLESS).expect("a file");
    let mut two = other.start(&["rebalance", "apply", "--yes", "--watch", "-f", &file.to_string_lossy()]);
    one.reports("\"evictConnections\"").await;
    two.reports("instanceKind EmqxEnterprise was added").await;

    plane.stop_kubelet();
    one.reports("error dialing backend").await;
    plane.start_kubelet_again().await;
    plane.stop_api_server();
    one.reports("does not answer: connection refused").await;
    plane.start_api_server_again().await;

    let (one, two) = futures::join!(one.end(), two.end());
    verdict(&one, "balanced", 0);
    assert_eq!(two.code, Some(0), "stdout: {}\nstderr: {}", two.stdout, two.stderr);
    assert!(two.stderr.contains("balanced"), "{}", two.stderr);
    assert_eq!(two.stdout, "rebalance.apps.emqx.io/rebalance-kindless\n");
    // Each outage is reported once, not at every try; a follower that retried only after the outage does not
    // report it.
    let away = |out: &Output| {
        let reports_it = |line: &&str| {
            line.starts_with("notice: ") && line.contains("does not answer: connection refused")
        };
        out.stderr.lines().filter(reports_it).count()
    };
    assert_eq!(away(&one), 1, "{}", one.stderr);
    assert!(away(&two) <= 1, "{}", two.stderr);
    emqx.ready().await;
}

pub async fn prune(plane: &ControlPlane) {
    let program = Program::admin(plane, "mq");
    let out = program.run(&["rebalance", "prune", "--older-than", "1h", "--yes"]).await;
    assert_eq!((out.code, out.stdout.as_str()), (Some(0), ""), "{}", out.stderr);
    let out = program.run(&["rebalance", "prune", "--older-than", "0s", "--dry-run=server"]).await.ok();
    assert_eq!(out.lines().filter(|line| line.ends_with("deleted (server dry run)")).count(), 2, "{out}");
    let out = program.run(&["rebalance", "prune", "--older-than", "0s", "--yes"]).await.ok();
    assert_eq!(out.lines().count(), 2, "{out}");
    until("no Rebalance", Duration::from_secs(20), async || {
        let list = program.json(&["rebalance", "list"]).await;
        if list["items"] == json!([]) { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
}
