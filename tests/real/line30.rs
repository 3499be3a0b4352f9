//! Operator 3.0: it has no Rebalance kind, so EMQX itself is called.

use serde_json::json;

use crate::cluster::RealCluster;
use crate::program::{Program, events, refused, verdict};
use test_support::control_plane::ControlPlane;

const EMQX: &str = "
name: real
api: v3beta1
namespace: three
nodes:
- { connections: 100, count: 2 }
- { connections: 0 }
";

const STRATEGY: [&str; 6] = [
    "--conn-evict-rate=5",
    "--sess-evict-rate=20",
    "--wait-health-check=1",
    "--wait-takeover=1",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
];

pub async fn start(plane: &ControlPlane) -> RealCluster<'_> {
    RealCluster::start(plane, EMQX).await
}

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    args.iter().chain(&STRATEGY).copied().collect()
}

pub async fn through_emqx(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let status = program.json(&["status"]).await;
    assert_eq!((&status["api"], &status["operator"]["line"]), (&json!("v3beta1"), &json!("3.x")), "{status}");
    assert_eq!(status["totals"]["connections"], 200, "{status}");
    let text = program.run(&with(&["rebalance", "plan"])).await.ok();
    assert!(text.contains("operator 3.x has no Rebalance kind"), "{text}");
    let out = program.run(&with(&["rebalance", "apply", "--yes", "--backend", "rebalance"])).await;
    refused(&out, 1, &["operator 3.x has no Rebalance kind", "--backend emqx"]);

    let mut applied = program.start(&with(&["rebalance", "apply", "--yes", "--watch", "-o", "jsonl"]));
    applied.reports("\"created\"").await;
    let name = format!("coordinator/{}", emqx.emqx.with(|broker| broker.nodes[0].name.clone()));
    let out = program.run(&with(&["rebalance", "apply", "--yes"])).await;
    refused(&out, 6, &["already running", &name]);
    let out = applied.end().await;
    let reason = verdict(&out, "balanced", 0);
    assert!(reason.contains("none missing"), "{reason}");
    assert_eq!(events(&out)[0]["name"], json!(name));
    assert!(out.stderr.contains("operator 3.x has no Rebalance kind"), "{}", out.stderr);

    // The rebalance is stopped by the coordinator's name.
    emqx.reset().await;
    let mut slow = with(&["rebalance", "apply", "--yes"]);
    slow.retain(|flag| !flag.starts_with("--wait-health-check"));
    slow.push("--wait-health-check=30");
    let label = program.run(&slow).await.ok();
    assert_eq!(label.trim(), name);
    let stopped = program.json(&["rebalance", "stop", "--yes"]).await;
    assert_eq!((&stopped["verdict"], &stopped["backend"]), (&json!("stopped"), &json!("emqx")), "{stopped}");
    assert!(emqx.idle());
}
