//! Doors that stay closed: certificates, credentials, and a cluster without the operator.

use std::fs;

use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::program::{Program, refused};

pub async fn closed(plane: &ControlPlane) {
    let empty = plane.dir().join("empty.kubeconfig");
    fs::write(&empty, json!({ "apiVersion": "v1", "kind": "Config" }).to_string()).expect("a file");
    let nobody = Program::of(plane, &empty, plane.namespace());
    let admin = Program::admin(plane, plane.namespace());
    let (url, own, foreign) = (plane.url(), plane.authority(), plane.foreign_authority());
    let (own, foreign) = (own.to_string_lossy(), foreign.to_string_lossy());

    let out = admin.run(&["status", "--certificate-authority", &foreign]).await;
    refused(&out, 1, &[&url, "its certificate is signed by an authority that is not known", "hint: check"]);
    let out = admin.run(&["status", "--tls-server-name", "elsewhere.example"]).await;
    refused(&out, 1, &["its certificate is for another name", "--tls-server-name"]);
    let out = nobody
        .run(&["status", "--server", &url, "--token", "unknown", "--certificate-authority", &own])
        .await;
    refused(
        &out,
        1,
        &["the API server does not accept these credentials (401)", "hint: kubectl auth whoami"],
    );
    assert!(!out.stderr.contains("unknown"), "a token is never printed: {}", out.stderr);
    let late = Program::of(plane, &plane.kubeconfig_expired("late"), plane.namespace());
    let out = late.run(&["rebalance", "list"]).await;
    refused(&out, 1, &["the API server does not accept these credentials (401)"]);
    // Known to be anonymous is known, too: refused by rights, not by identity.
    let out = nobody.run(&["status", "--server", &url, "--insecure-skip-tls-verify"]).await;
    refused(&out, 1, &["cannot"]);
    // Nobody listens on port 1.
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
