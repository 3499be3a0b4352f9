//! Operator 2.3: an EMQX of v2 with replicants, which EMQX names by their pods' addresses.

use std::time::Duration;

use serde_json::json;

use crate::cluster::RealCluster;
use crate::program::{Program, verdict};
use test_support::control_plane::{ControlPlane, until};

const EMQX: &str = "
name: real
api: v2
nodes:
- { count: 2 }
- { role: replicant, connections: 100, offlineSessions: 10, count: 2 }
- { role: replicant, connections: 1 }
";

const STRATEGY: [&str; 6] = [
    "--conn-evict-rate=5",
    "--sess-evict-rate=10",
    "--wait-health-check=1",
    "--wait-takeover=1",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1000",
];

pub async fn start(plane: &ControlPlane) -> RealCluster<'_> {
    RealCluster::start(plane, EMQX).await
}

/// `rebalance apply` with these additional flags; they replace those of the strategy.
fn apply<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let kept = STRATEGY.iter().filter(|it| !more.iter().any(|flag| name(flag) == name(it)));
    ["rebalance", "apply", "--yes"].iter().chain(kept).chain(more).copied().collect()
}

pub async fn reads(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let status = program.json(&["status"]).await;
    assert_eq!((&status["api"], &status["operator"]["line"]), (&json!("v2"), &json!("2.3")), "{status}");
    assert_eq!(
        status["totals"],
        // The endpoints of the listeners are the replicants alone.
        json!({ "connections": 201, "sessions": 221, "nodes": 5, "serving": 3 }),
        "{status}"
    );
    let rows = status["nodes"].as_array().expect("nodes");
    for (index, row) in rows.iter().enumerate() {
        // By its own name or by its address, the node is in this pod.
        let place = emqx.pods.iter().position(|pod| row["pod"] == *pod).expect("a known pod");
        assert_eq!(row["connections"], emqx.connections()[place], "{row}");
        assert_eq!(row["role"], if place < 2 { "core" } else { "replicant" }, "{row}");
        let set = emqx.pods[place].rsplit_once('-').map(|(set, _)| set);
        assert_eq!((row["set"].as_str(), index < 5), (set, true), "{row}");
    }
    assert!(
        rows.iter().any(|row| row["node"].as_str().is_some_and(|it| it.starts_with("emqx@10."))),
        "{status}"
    );

    let own = program.run(&["rebalance", "generate", "--conn-evict-rate=500"]).await.ok();
    let offline = ["rebalance", "generate", "emqx", "--for-operator", "2.3", "--rel-conn-threshold=2"];
    let offline = program.run(&offline).await.ok();
    let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    for manifest in [&own, &offline] {
        assert!(!manifest.contains("instanceKind"), "{manifest}");
        plane.kubectl_as(&plane.admin_kubeconfig(), &args, Some(manifest)).await.ok();
    }
    // Where a wait is absent, as when the operator omits a 0, the API server sets 60: so 1 is written.
    let zero =
        ["rebalance", "generate", "--conn-evict-rate=500", "--wait-health-check=0", "--wait-takeover=0"];
    let zero = program.run(&zero).await.ok();
    assert!(zero.contains("waitHealthCheck: 1\n") && zero.contains("waitTakeover: 1\n"), "{zero}");
    let absent: String = zero.lines().filter(|it| !it.contains("wait")).flat_map(|it| [it, "\n"]).collect();
    let stored =
        ["apply", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.rebalanceStrategy.waitTakeover}"];
    let stored = plane.kubectl_as(&plane.admin_kubeconfig(), &stored, Some(&absent)).await.ok();
    assert_eq!(stored, "60");
    // The manifest of the other line is refused here, which is why there are two.
    let other = program.run(&["rebalance", "generate", "emqx", "--for-operator", "2.2"]).await.ok();
    let out = plane.kubectl_as(&plane.admin_kubeconfig(), &args, Some(&other)).await;
    assert!(out.code == Some(1) && out.stderr.contains("instanceKind"), "{}", out.stderr);
    let out = program.run(&apply(&["--dry-run=server"])).await;
    assert!(out.ok().ends_with(" (server dry run)\n"));
}

/// EMQX is stopped, that is verified, and the object is deleted.
pub async fn stop(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let out = program.run(&["rebalance", "stop", "--yes"]).await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(out.stderr.contains("nothing runs"), "{}", out.stderr);

    let name = program.run(&apply(&["--wait-health-check=30"])).await.ok();
    let name = name.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a name").to_owned();
    let mut watched = program.start(&["rebalance", "watch", &name, "-o", "jsonl"]);
    let out = program.run(&["rebalance", "stop", &name]).await;
    assert_eq!(out.code, Some(6), "no one confirmed: {}", out.stderr);
    // A deletion shows a stop only if the operator reports Processing.
    until("the start", Duration::from_secs(20), async || {
        let phase = emqx.phase(&name).await.unwrap_or_default();
        if !emqx.idle() && phase.starts_with("Processing") { Ok(()) } else { Err(phase) }
    })
    .await;
    watched.reports("\"waitHealthCheck\"").await;
    let stopped = program.json(&["rebalance", "stop", &name, "--yes"]).await;
    assert_eq!(stopped["verdict"], "stopped", "{stopped}");
    let proof = stopped["proof"].to_string();
    for word in ["lists no rebalance", "accept clients", "the object is deleted"] {
        assert!(proof.contains(word), "{word:?} is missing in {proof}");
    }
    assert!(!proof.contains("not verified"), "{proof}");
    assert!(emqx.idle());
    assert_eq!(emqx.phase(&name).await, None);
    // For a client that only watched, another client stopped it. Where the operator reported Completed before
    // the deletion, a stop is only one of two possible ends.
    let out = watched.end().await;
    if out.code == Some(4) {
        let reason = verdict(&out, "coordinatorLost", 4);
        assert!(reason.contains("it was stopped by someone else"), "{reason}");
    } else {
        verdict(&out, "stopped", 7);
    }
    let list = program.json(&["rebalance", "list"]).await;
    assert_eq!(list["items"], json!([]));
}

pub async fn to_the_end(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    emqx.reset().await;
    let program = Program::admin(plane, emqx.namespace());
    let recording = plane.dir().join("run.jsonl");
    let file = recording.to_string_lossy().into_owned();
    let out = program.start(&apply(&["--watch", "-o", "jsonl", "--record", &file])).end().await;
    let reason = verdict(&out, "balanced", 0);
    assert!(reason.contains("none missing"), "{reason}");
    let cores: u64 = emqx.connections()[..2].iter().sum();
    assert_eq!((cores, emqx.connections().iter().sum::<u64>()), (0, 201));
    // A recording of a real API server gives the same result again, and contains no secret.
    let recorded = std::fs::read_to_string(&recording).expect("a recording");
    assert!(!recorded.contains(&emqx.emqx.key().secret), "the key is recorded");
    let replayed = program.run(&["replay", &file, "-o", "jsonl"]).await;
    verdict(&replayed, "balanced", 0);
}
