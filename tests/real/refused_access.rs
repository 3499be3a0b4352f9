//! Refused access: certificates, credentials, and a cluster without the operator.

use std::fs;

use emqx_sim::clock::Clock;
use emqx_sim::emqx::Emqx;
use emqx_sim::{Scenario, rest};
use serde_json::{Value, json};
use user_files::write_private;

use crate::program::{Program, refused};
use test_support::control_plane::ControlPlane;

pub async fn closed(plane: &ControlPlane) {
    let empty = plane.dir().join("empty.kubeconfig");
    fs::write(&empty, json!({ "apiVersion": "v1", "kind": "Config" }).to_string()).expect("a file");
    let without_user = Program::of(plane, &empty, plane.namespace());
    let admin = Program::admin(plane, plane.namespace());
    let (url, own, foreign) = (plane.url(), plane.authority(), plane.foreign_authority());
    let (own, foreign) = (own.to_string_lossy(), foreign.to_string_lossy());

    let out = admin.run(&["status", "--certificate-authority", &foreign]).await;
    refused(&out, 1, &[&url, "its certificate is signed by an authority that is not known", "hint: check"]);
    let out = admin.run(&["status", "--tls-server-name", "elsewhere.example"]).await;
    refused(&out, 1, &["its certificate is for another name", "--tls-server-name"]);
    let out = without_user
        .run(&["status", "--server", &url, "--token", "unknown", "--certificate-authority", &own])
        .await;
    refused(
        &out,
        1,
        &["the API server does not accept these credentials (401)", "hint: kubectl --server", " auth whoami"],
    );
    assert!(!out.stderr.contains("unknown"), "a token is never printed: {}", out.stderr);
    let late = Program::of(plane, &plane.kubeconfig_expired("late"), plane.namespace());
    let out = late.run(&["rebalance", "list"]).await;
    refused(&out, 1, &["the API server does not accept these credentials (401)"]);
    // An anonymous user is known, too: refused by permissions, not by identity.
    let out = without_user.run(&["status", "--server", &url, "--insecure-skip-tls-verify"]).await;
    refused(&out, 1, &["cannot"]);
    // No process listens on port 1.
    let out = admin.run(&["status", "--server", "https://127.0.0.1:1"]).await;
    refused(&out, 1, &["https://127.0.0.1:1 does not answer: connection refused", "hint:"]);
}

pub async fn without_crds(plane: &ControlPlane) {
    let admin = Program::admin(plane, plane.namespace());
    for args in [&["status"][..], &["rebalance", "plan"], &["rebalance", "apply", "--yes"]] {
        let out = admin.run(args).await;
        refused(
            &out,
            1,
            &["apps.emqx.io is not served: no EMQX Operator is installed", "hint: kubectl get crd"],
        );
    }
    let out = admin.run(&["rebalance", "list"]).await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let version = admin.json(&["version"]).await;
    assert_eq!(version["kubernetes"], "v1.36.3", "{version}");
}

/// EMQX of a Helm chart: Kubernetes has no kind of the operator, and EMQX's own API is reached by its
/// address.
pub async fn emqx_without_an_operator(plane: &ControlPlane) {
    let scenario = Scenario::from_yaml(
        "name: chart\napi: v2beta1\nnodes:\n- { connections: 100, count: 3 }\n- { connections: 0 }\n",
    );
    let emqx = Emqx::new(&scenario.expect("a scenario"), Clock::new(1.0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(rest::serve(listener, emqx.clone(), 0));
    let file = plane.dir().join("chart.key");
    let key = emqx.key();
    write_private(&file, format!("{}:{}\n", key.key, key.secret).as_bytes(), true).expect("a file");
    let file = file.to_string_lossy().into_owned();
    let admin = Program::admin(plane, plane.namespace());
    let run = async |args: &str| {
        let mut args: Vec<&str> = args.split(' ').collect();
        args.extend(["--emqx-url", &url, "--api-key-file", &file]);
        admin.run(&args).await
    };
    let exits = async |args: &str, code: i32| {
        let out = run(args).await;
        assert_eq!(out.code, Some(code), "{args}: {}\n{}", out.stdout, out.stderr);
        out
    };

    let out = exits("status -o json", 0).await;
    let status: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(status["totals"]["connections"], 300, "{status}");
    assert_eq!(status["sources"]["kubernetes"]["state"], "absent", "{status}");
    exits("nodes", 0).await;
    exits("rebalance plan --abs-conn-threshold 1 --conn-evict-rate 5", 0).await;
    let slow = "--abs-conn-threshold 1 --conn-evict-rate 5 --wait-health-check 120";
    let out = exits(&format!("rebalance apply --yes {slow}"), 0).await;
    let name = out.stdout.trim().to_owned();
    assert!(name.starts_with("coordinator/emqx@"), "{name}");
    let out = exits("rebalance list -o name", 0).await;
    assert!(out.stdout.contains(&name), "{}", out.stdout);
    exits(&format!("rebalance watch {name} -o jsonl --timeout 3s"), 5).await;
    exits(&format!("rebalance stop {name} --yes"), 0).await;
    let node = emqx.with(|broker| broker.nodes[0].name.clone());
    exits(&format!("evacuate start {node} --yes --wait-health-check 120"), 0).await;
    let out = exits("evacuate status -o json", 0).await;
    assert!(out.stdout.contains(&node), "{}", out.stdout);
    exits("rebalance apply --yes", 6).await;
    exits(&format!("evacuate watch {node} -o jsonl --timeout 3s"), 5).await;
    exits(&format!("evacuate stop {node} --yes"), 0).await;
    assert!(emqx.with(|broker| (0..broker.nodes.len()).all(|node| !broker.agent_on(node))));
    server.abort();
}
