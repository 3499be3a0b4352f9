//! Roles for single objects, or for one namespace: `resourceNames`, and `-A` without a ClusterRoleBinding.

use std::time::Duration;

use serde_json::json;

use super::table::{Layer, group};
use super::users::user;
use crate::cluster::RealCluster;
use crate::program::{Program, notices, refused};
use test_support::control_plane::{ControlPlane, Output, until};

/// With permissions for one namespace nothing is reported about all namespaces; the message names the
/// command, the resource and a hint.
pub async fn one_namespace(plane: &ControlPlane) {
    let program = user(plane, "local", plane.namespace(), &[Layer::View.role()]);
    let reads: [&[&str]; 5] = [
        &["status", "-A"],
        &["nodes", "-A"],
        &["rebalance", "list", "-A"],
        &["version", "-A"],
        &["watch", "-A"],
    ];
    for args in reads {
        let out = program.run(args).await;
        let words =
            ["in all namespaces", "\"local\" cannot list resource \"emqxes\"", "at the cluster scope"];
        refused(&out, 1, &words);
        refused(
            &out,
            1,
            &["verb list on emqxes.apps.emqx.io in all namespaces (a ClusterRoleBinding)", "-n"],
        );
    }
}

/// A cluster and a Rebalance that may be read by their names only; the cluster may be patched, the Rebalance
/// patched and deleted.
pub async fn by_name(plane: &ControlPlane, enterprise: &RealCluster<'_>) {
    let all = ["get", "list"];
    let (namespace, instance) = (enterprise.namespace(), enterprise.scenario.instance.as_str());
    let one = |resource: &str, name: &str, verbs: &[&str]| json!({ "apiGroups": [group(resource)], "resources": [resource], "resourceNames": [name], "verbs": verbs });
    let every = |resource: &str, verbs: &[&str]| json!({ "apiGroups": [group(resource)], "resources": [resource], "verbs": verbs });
    let kubeconfig = plane.kubeconfig_for("narrow");
    let rules = [
        one("emqxenterprises", instance, &["get", "patch"]),
        one("rebalances", "mine", &["get", "delete", "patch"]),
        one("configmaps", &format!("kubectl-emqx-emqxenterprise-{instance}"), &["list", "patch"]),
        // An object that is being created has no name for the API server yet.
        every("configmaps", &["create"]),
        one("secrets", "emqx-ee-bootstrap-user", &["get"]),
        every("pods", &all),
        every("pods/portforward", &["get", "create"]),
        every("endpointslices", &all),
        every("events", &all),
        every("statefulsets", &all),
        every("replicasets", &all),
    ];
    plane.grant("narrow", Some(namespace), json!(rules)).await;
    let (program, admin) = (Program::of(plane, &kubeconfig, namespace), Program::admin(plane, namespace));
    let named = format!("emqxenterprise/{instance}");

    // Without the list it is unknown what else runs, which is reported; nothing else is missing.
    let names_the_permission = |out: &Output| {
        let reported = notices(out);
        assert!(
            reported.len() == 1 && reported[0].contains("(needs verb list on rebalances.apps.emqx.io)"),
            "{reported:?}"
        );
    };
    let plan = ["rebalance", "plan", &named, "--abs-conn-threshold=1", "--conn-evict-rate=5", "-o", "name"];
    let upgrade =
        ["upgrade", "apply", &named, "--version=4.4.20", "--blue-green", "--dry-run=server", "-o", "name"];
    for args in [&["status", &named, "-o", "json"][..], &["nodes", &named], &upgrade] {
        let out = program.run(args).await;
        assert_eq!(out.code, Some(0), "{args:?}: {}", out.stderr);
        names_the_permission(&out);
    }
    // A plan reports that the permission to create is missing.
    let out = program.run(&plan).await;
    assert_eq!((out.code, notices(&out).len()), (Some(6), 1), "{}", out.stderr);
    refused(
        &program.run(&["status"]).await,
        1,
        &["cannot list resource \"emqxes\"", "verb list on emqxes.apps.emqx.io"],
    );
    refused(
        &program.run(&["status", "emqxenterprise/other"]).await,
        1,
        &["emqxenterprises.apps.emqx.io \"other\" is forbidden"],
    );

    let manifest = [
        "rebalance",
        "generate",
        "--name=mine",
        "--abs-conn-threshold=1",
        "--conn-evict-rate=5",
        "--wait-health-check=120",
    ];
    let manifest = admin.run(&manifest).await.ok();
    admin.run_with(&["rebalance", "apply", "-f", "-", "--yes"], Some(&manifest)).await.ok();
    let runs = async || if enterprise.idle() { Err(String::from("idle")) } else { Ok(()) };
    until("EMQX runs it", Duration::from_mins(1), runs).await;
    let refusal = program.run(&["rebalance", "stop", "other", "--yes"]).await;
    refused(&refusal, 1, &["verb list on rebalances.apps.emqx.io"]);
    // Both steps: EMQX is stopped, and the object is deleted.
    let out = program.run(&["rebalance", "stop", "mine", "--yes"]).await;
    assert_eq!((out.code, notices(&out).len()), (Some(0), 1), "{}", out.stderr);
    assert!(out.stdout.starts_with("rebalance.apps.emqx.io/mine"), "{}", out.stdout);
    assert!(enterprise.idle() && enterprise.phase("mine").await.is_none(), "{}", out.stderr);
}
