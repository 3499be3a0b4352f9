//! Situations from the field: EMQX's own answers compared with the pods, the Service and the custom resource.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::Cluster;

/// Four pods with 3,333, 3,333, 3,334 and 0 clients, and no operator that could change anything.
const QUIET: &str = include_str!("../data/field/serving/quiet.yaml");

/// Serves answers of EMQX: `"GET /api/v5/nodes": [status, body]`. Ends with the test process.
fn emqx(answers: &str) -> String {
    let answers: Value = serde_json::from_str(answers).expect("answers");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&request);
            let line: Vec<&str> = text.split_whitespace().take(2).collect();
            let unknown = json!([404, {"code": "NOT_FOUND", "message": "Not Found"}]);
            let answer = answers.get(line.join(" ")).unwrap_or(&unknown);
            let body = answer[1].to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 {} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                answer[0],
                body.len()
            );
        }
    });
    url
}

/// The quiet cluster, and the flags that select an EMQX with these answers.
fn with(answers: &str) -> (Cluster, String) {
    let scenario = emqx_sim::Scenario::from_yaml(QUIET).expect("a scenario");
    let cluster = Cluster::inside(scenario, 1.0);
    let key = cluster.file("key", "key:secret\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    }
    let flags = format!("--emqx-url {} --api-key-file {key}", emqx(answers));
    (cluster, flags)
}

#[test]
fn pods_that_emqx_does_not_list_are_named_and_refuse_every_plan() {
    for (answers, missing) in [
        (include_str!("../data/field/membership/splitbrain.json"), 3),
        (include_str!("../data/field/membership/onlythree.json"), 1),
    ] {
        let (cluster, flags) = with(answers);
        let ran = cluster.run(&format!("status emqx -o json {flags}")).exits(0);
        let status = ran.json();
        assert_eq!(status["verdict"], "unknown", "{ran}");
        let message = status["message"].as_str().expect("a message");
        assert!(message.starts_with("emqx-core-") && message.contains("does not list it"), "{ran}");
        let nodes = status["nodes"].as_array().expect("nodes");
        let out: Vec<_> = nodes.iter().filter(|node| node["membership"] == "notInCluster").collect();
        assert_eq!((nodes.len(), out.len()), (4, missing), "{ran}");
        assert!(out.iter().all(|node| node["node"].is_null() && node["connections"].is_null()), "{ran}");
        assert_eq!(status["membership"]["expected"], 4, "{ran}");
        cluster.run(&format!("rebalance plan emqx {flags}")).exits(6).shows("(membership)");
        let text = cluster.run(&format!("status emqx {flags}")).exits(0).shows("not in cluster");
        text.never_reports("next: kubectl emqx rebalance plan");
    }
}

#[test]
fn stopped_nodes_without_a_pod_are_named_and_change_neither_versions_nor_verdict() {
    let (cluster, flags) = with(include_str!("../data/field/membership/stopped.json"));
    let ran = cluster.run(&format!("status emqx -o json {flags}")).exits(0).reports("force-leave");
    let status = ran.json();
    assert_eq!((&status["verdict"], &status["versions"]), (&json!("idle"), &json!(["5.8.6"])), "{ran}");
    cluster.run(&format!("rebalance plan emqx {flags}")).exits(0).never_reports("two versions");
}

#[test]
fn an_emqx_without_the_rebalance_api_refuses_the_plan() {
    let (cluster, flags) = with(include_str!("../data/field/membership/opensource.json"));
    cluster.run(&format!("rebalance plan emqx {flags}")).exits(6).shows("(no-rebalance-api)");
}

#[test]
fn a_key_that_emqx_refuses_leaves_the_verdict_unknown() {
    let (cluster, flags) = with(include_str!("../data/field/membership/forbidden.json"));
    let ran = cluster.run(&format!("status emqx -o json {flags}")).exits(0);
    assert_eq!(ran.json()["verdict"], "unknown", "{ran}");
    cluster.run(&format!("rebalance plan emqx {flags}")).exits(6).shows("(emqx-not-asked)");
}

#[test]
fn the_answer_of_another_emqx_is_an_error_and_nothing_is_written() {
    let answers =
        include_str!("../data/field/membership/onlythree.json").replace("emqx-core-66c88f5c8", "other");
    let (cluster, flags) = with(&answers);
    let ran = cluster.run(&format!("status emqx -o json {flags}")).exits(0);
    assert!(ran.json()["message"].as_str().is_some_and(|it| it.contains("is not that of")), "{ran}");
    cluster.run(&format!("rebalance apply emqx --yes {flags}")).exits(6);
    assert_eq!(cluster.rebalances(), Vec::new());
}
