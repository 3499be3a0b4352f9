//! The trap of a deletion, on operator 2.2.

use std::time::Duration;

use serde_json::json;

use crate::cluster::RealCluster;
use crate::program::{Program, refused, verdict};
use test_support::control_plane::{ControlPlane, until};

/// The operator reconciles at once, and reports the instance as not ready.
const EMQX: &str = "
name: real
api: v2beta1
namespace: trap
operatorLooksAfter: 1
nodes:
- { connections: 100, count: 2 }
- { connections: 0 }
";

pub async fn start(plane: &ControlPlane) -> RealCluster<'_> {
    RealCluster::start(plane, EMQX).await
}

fn apply(wait: &str) -> [&str; 7] {
    [
        "rebalance",
        "apply",
        "--yes",
        "--conn-evict-rate=5",
        "--abs-conn-threshold=1",
        "--abs-sess-threshold=1",
        wait,
    ]
}

/// An object reports Failed and is deleted: the deletion gets stuck, EMQX continues, and only `stop` stops
/// it.
pub async fn run(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let name = program.run(&apply("--wait-health-check=40")).await.ok();
    let name = name.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a name").to_owned();
    let mut watched = program.start(&["rebalance", "watch", &name, "-o", "jsonl"]);
    until("Failed", Duration::from_secs(20), async || {
        let phase = emqx.phase(&name).await.unwrap_or_default();
        if phase == "Failed: EMQX emqx is not ready" { Ok(()) } else { Err(phase) }
    })
    .await;
    watched.reports("Failed").await;
    let args = ["delete", "rebalance", &name, "-n", emqx.namespace(), "--wait=false"];
    plane.kubectl(&args).await.ok();
    let list = program.json(&["rebalance", "list"]).await;
    let item = &list["items"][0];
    assert_eq!((&item["phase"], &item["verdict"]), (&json!("Failed"), &json!("stillRunning")), "{list}");
    // Under the old name, or under a new one: not both.
    let manifest = program.run(&["rebalance", "generate", "--name", &name, "--conn-evict-rate=5"]).await.ok();
    let out = program.run_with(&["rebalance", "apply", "--yes", "-f", "-"], Some(&manifest)).await;
    refused(&out, 6, &[&name]);
    refused(&program.run(&apply("--wait-health-check=1")).await, 6, &["already running", &name]);
    assert!(!emqx.idle(), "the delete did not stop EMQX");

    let stopped = program.json(&["rebalance", "stop", &name, "--yes"]).await;
    assert_eq!(stopped["verdict"], "stopped", "{stopped}");
    let proof = stopped["proof"].to_string();
    assert!(proof.contains("lists no rebalance") && proof.contains("accept clients"), "{proof}");
    // The operator had reconciled once and returned; the object is changed as soon as EMQX is Ready.
    assert!(proof.contains("the object is deleted"), "{proof}");
    assert!(emqx.idle() && emqx.phase(&name).await.is_none());
    // The stop marked the object first: another watcher reports that it was stopped.
    verdict(&watched.end().await, "stopped", 7);
}
