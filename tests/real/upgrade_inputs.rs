//! Upgrades that change nothing: generated changes, and refusals.

use serde_json::{Value, json};

use crate::cluster::RealCluster;
use crate::partial_permissions::user;
use crate::program::{Program, notices, refused};
use test_support::control_plane::ControlPlane;

const IMAGE: &str = "emqx/emqx-enterprise:5.8.7";

/// kubectl can apply the generated change under the strict validation of the server, for either kind.
pub async fn generated(plane: &ControlPlane, emqx: &RealCluster<'_>, enterprise: &RealCluster<'_>) {
    for (cluster, image) in [(emqx, IMAGE), (enterprise, "emqx/emqx-ee:4.4.24")] {
        let program = Program::admin(plane, cluster.namespace());
        for form in ["patch", "full"] {
            let args = [
                "upgrade",
                "generate",
                &cluster.scenario.instance,
                "--blue-green",
                "--image",
                image,
                "-o",
                form,
            ];
            let text = program.run(&args).await.ok();
            let apply = [
                "apply",
                "--server-side",
                "--force-conflicts",
                "--validate=strict",
                "--dry-run=server",
                "-o",
                "json",
            ];
            let apply: Vec<&str> = apply.into_iter().chain(["-n", cluster.namespace(), "-f", "-"]).collect();
            let applied = plane.kubectl_as(&plane.admin_kubeconfig(), &apply, Some(&text)).await.ok();
            let applied: Value = serde_json::from_str(&applied).expect("JSON");
            let version = image.rsplit(':').next().unwrap_or_default();
            assert!(applied["spec"].to_string().contains(version), "{form}: {applied}");
        }
    }
}

/// A field that a tool manages: named, refused, and taken over only by force.
pub async fn kept_by_a_tool(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let admin = plane.admin_kubeconfig();
    let own = |spec: Value| {
        json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "metadata": {"name": "emqx",
            "namespace": emqx.namespace()}, "spec": spec})
        .to_string()
    };
    let apply =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"];
    let keep = own(json!({"image": "emqx/emqx-enterprise:5.8.6"}));
    plane.kubectl_as(&admin, &apply, Some(&keep)).await.ok();

    let program = Program::admin(plane, emqx.namespace());
    let upgrade = ["upgrade", "apply", "emqx", "--image", IMAGE, "--yes"];
    let out = program.run(&upgrade).await;
    refused(&out, 6, &["spec.image belongs to argocd-controller", "--force-conflicts", "upgrade generate"]);
    let forced: Vec<&str> = upgrade.into_iter().chain(["--force-conflicts", "--dry-run=server"]).collect();
    let out = program.run(&forced).await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);

    // The tool gives the fields up: those that it shared with others stay.
    plane.kubectl_as(&admin, &apply, Some(&own(json!({})))).await.ok();
    let out = program.run(&["upgrade", "apply", "emqx", "--image", IMAGE, "--yes", "--dry-run=server"]).await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
}

/// A user who may not patch gets a message before anything is done, and still gets a plan.
pub async fn without_the_right(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = user(plane, "reader", emqx.namespace(), &["patch emqxes", "patch emqxenterprises"]).await;
    let out = program.run(&["upgrade", "apply", "emqx", "--image", IMAGE, "--yes"]).await;
    refused(&out, 6, &["you may not patch emqxes in namespace mq", "patch emqxes.apps.emqx.io"]);
    let out = program.run(&["upgrade", "plan", "emqx", "--image", IMAGE, "-o", "json"]).await;
    let plan: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(
        (out.code, &plan["decision"], plan["steps"].as_array().map(Vec::len)),
        (Some(6), &json!("refused"), Some(1)),
        "{plan}"
    );
}

/// The operator's Lease: its process is alive, or is not, for users who may read it; others miss nothing.
pub async fn the_operators_process(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    const PLACE: &str = "emqx-operator-system";
    plane.create_namespace(PLACE).await;
    let admin = plane.admin_kubeconfig();
    let write = async |holder: &str| {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "19fd6fcc.emqx.io", "namespace": PLACE},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": now}});
        let apply = ["apply", "--server-side", "-f", "-"];
        plane.kubectl_as(&admin, &apply, Some(&lease.to_string())).await.ok();
    };
    let shown = async |program: &Program<'_>| {
        let out = program.run(&["status", "emqx", "-o", "json"]).await;
        assert_eq!((out.code, notices(&out)), (Some(0), Vec::new()), "{}", out.stderr);
        let status: Value = serde_json::from_str(&out.stdout).expect("JSON");
        status["operator"].clone()
    };
    let everywhere = Program::admin(plane, emqx.namespace());
    // The shipped roles in one namespace; then with the permission to read the Lease in the operator's
    // namespace.
    let here = user(plane, "here", emqx.namespace(), &[]).await;
    let there = user(plane, "there", emqx.namespace(), &[]).await;
    let get = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"],
        "resourceNames": ["19fd6fcc.emqx.io"]}]);
    plane.grant("there", Some(PLACE), get).await;
    assert_eq!(shown(&everywhere).await["process"], Value::Null, "no operator has a Lease");
    for (holder, process) in [("pod_1", "running"), ("", "gone")] {
        write(holder).await;
        for program in [&everywhere, &there] {
            let operator = shown(program).await;
            assert_eq!(operator["process"], process, "{operator}");
            assert!(operator["leaseSeconds"].as_u64().is_some_and(|age| age < 60), "{operator}");
        }
        assert_eq!(shown(&here).await["process"], Value::Null);
    }
    // Listed by name over all namespaces, as the shipped rule permits with a ClusterRoleBinding.
    let list = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"],
        "resourceNames": ["19fd6fcc.emqx.io"]}]);
    plane.grant("here", None, list).await;
    assert_eq!(shown(&here).await["process"], "gone");
    let delete = ["delete", "lease", "19fd6fcc.emqx.io", "-n", PLACE];
    plane.kubectl(&delete).await.ok();
}
