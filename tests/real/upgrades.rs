//! Whole upgrades by the built program on a real API server, with only the shipped permissions: real sets
//! create and remove the pods.

use kubectl_emqx::plan::upgrade::target::HOLD_SECONDS;
use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::cluster::{RealCluster, list_pods};
use crate::partial_permissions::user;
use crate::program::{events, verdict};
use test_support::control_plane::{ControlPlane, until};

/// One old pod: EMQX's hidden minute passes for each, and the order of several pods is tested on a virtual
/// clock.
const EMQX: &str = "
name: real
api: v2beta1
version: 5.8.6
nodes:
- { connections: 80, offlineSessions: 12 }
";

const ENTERPRISE: &str = "
name: real
api: v1beta4
namespace: ee
version: 4.4.19
nodes:
- { connections: 40, offlineSessions: 6, count: 2 }
";

/// EMQX's minute need not be a real one: the program depends on what EMQX and the operator report.
const SPEED: f64 = 4.0;

/// The operator of v1beta4 reconciles every 20 s, EMQX waits a hidden minute per pod on v2beta1.
const LIMIT: Duration = Duration::from_mins(8);

pub async fn start(plane: &ControlPlane) -> (RealCluster<'_>, RealCluster<'_>) {
    let start = |scenario| RealCluster::start_at_speed(plane, scenario, SPEED);
    futures::join!(start(EMQX), start(ENTERPRISE))
}

async fn object(cluster: &RealCluster<'_>) -> Value {
    let found = cluster.instances().get(&cluster.scenario.instance).await.expect("it is there");
    serde_json::to_value(&found).expect("an object")
}

/// The state at the end: none of these pods, and all clients and sessions.
async fn arrived(cluster: &RealCluster<'_>, old: &BTreeSet<String>, cut: u64) {
    let pods = list_pods(&cluster.client, &cluster.scenario).await.expect("pods");
    let names: BTreeSet<String> = pods.iter().map(ResourceExt::name_any).collect();
    assert_eq!((names.len(), names.intersection(old).count()), (old.len(), 0), "{names:?}");
    let (live, offline, tally) = cluster.emqx.with(|broker| {
        let sum = |of: fn(&emqx_sim::broker::Node) -> u64| broker.nodes.iter().map(of).sum::<u64>();
        (sum(|node| node.connections), sum(|node| node.offline), broker.tally)
    });
    assert_eq!((live, offline), (80, 12), "all clients are back, and every session is kept");
    assert_eq!((tally.cuts, tally.lost_sessions), (cut, 0));
}

fn notes(object: &Value) -> Vec<String> {
    let notes = object["metadata"]["annotations"].as_object();
    notes.into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// EMQX of v2beta1: the operator carries the upgrade out; the program configures, follows, and judges it.
pub async fn by_the_operator(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    let program = user(plane, "upgrader", cluster.namespace(), &[]).await;
    let image = "emqx/emqx-enterprise:5.8.7";
    let old = cluster.pods.iter().cloned().collect();
    let run = async {
        let plan = program.json(&["upgrade", "plan", "emqx", "--image", image, "--wait-takeover=2"]).await;
        assert_eq!(
            (&plan["decision"], &plan["strategy"], plan["steps"].as_array().map(Vec::len)),
            (&json!("go"), &json!("blueGreen"), Some(1)),
            "{plan}"
        );
        let rate = ["--conn-evict-rate=20", "--sess-evict-rate=20", "--wait-takeover=2"];
        let args = ["upgrade", "emqx", "--image", image, "--blue-green", "--yes", "-o", "jsonl"];
        let args: Vec<&str> = args.into_iter().chain(rate).collect();
        let out = program.start(&args).end_within(LIMIT).await;
        until("the operator calls it ready", LIMIT, async || {
            let status = object(cluster).await["status"].take();
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            let ready = conditions.any(|it| it["type"] == "Ready" && it["status"] == "True");
            if ready { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        let again = ["upgrade", "emqx", "--image", image, "--yes", "--error-unchanged"];
        let again = program.run(&again).await;
        assert_eq!(again.code, Some(3), "the same once more changes nothing: {}", again.stderr);
        out
    };
    let out = cluster.alive(run).await;
    verdict(&out, "upgraded", 0);
    let mut percent: Vec<f64> = events(&out).iter().filter_map(|event| event["percent"].as_f64()).collect();
    assert_eq!(percent.last(), Some(&100.0));
    percent.dedup();
    assert!(percent.windows(2).all(|two| two[0] < two[1]), "it never falls: {percent:?}");
    assert!(
        out.stderr.contains(&format!("spec.image: {image}")),
        "the edit of the user's own file: {}",
        out.stderr
    );
    // All old pods left the Service before the first was emptied: no client is disconnected twice.
    arrived(cluster, &old, 80).await;
    let now = object(cluster).await;
    assert_eq!(now["spec"]["image"], image);
    assert_eq!(notes(&now), [""; 0], "nothing of ours is on the object");
    assert_eq!(
        now["spec"]["updateStrategy"]["evacuationStrategy"],
        json!({"connEvictRate": 20, "sessEvictRate": 20, "waitTakeover": 2})
    );
}

/// EmqxEnterprise of v1beta4: guarded by one process, which is killed in the middle, and continued by
/// another.
pub async fn guarded(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    let program = user(plane, "guard", cluster.namespace(), &[]).await;
    let (before, old) = (object(cluster).await, cluster.pods.iter().cloned().collect());
    let name = cluster.scenario.instance.as_str();
    let run = async {
        let rate = ["--conn-evict-rate=8", "--sess-evict-rate=8", "--wait-takeover=2"];
        let args = ["upgrade", name, "--version=4.4.24", "--blue-green", "--yes", "-o", "jsonl"];
        let args: Vec<&str> = args.into_iter().chain(rate).collect();
        let first = program.start(&args);
        until("old nodes are being emptied", LIMIT, async || {
            let busy = cluster.emqx.with(|broker| broker.evacuations().len());
            if busy == 2 { Ok(()) } else { Err(format!("{busy} evacuations; {}", first.stderr())) }
        })
        .await;
        drop(first);
        // No guard runs: the operator is paused, and every pod stays.
        let held = object(cluster).await;
        assert_eq!(held["spec"]["blueGreenUpdate"]["initialDelaySeconds"], json!(HOLD_SECONDS));
        let pods = list_pods(&cluster.client, &cluster.scenario).await.expect("pods");
        assert_eq!(pods.len(), 4, "two old, two new");

        program.start(&["upgrade", "watch", name, "-o", "jsonl"]).end_within(LIMIT).await
    };
    let out = cluster.alive(run).await;
    verdict(&out, "upgraded", 0);
    arrived(cluster, &old, 80).await;
    let now = object(cluster).await;
    let mut wanted = before["spec"].clone();
    wanted["template"]["spec"]["emqxContainer"]["image"]["version"] = json!("4.4.24");
    wanted["blueGreenUpdate"] =
        json!({"evacuationStrategy": {"connEvictRate": 8, "sessEvictRate": 8, "waitTakeover": 2}});
    assert_eq!(now["spec"], wanted, "no delay, as there was none before");
    assert_eq!(notes(&now), notes(&before));
}
