//! Refused changes, and their messages.

use kubectl_emqx::error::{Cause, Exit};
use kubectl_emqx::model::{InstanceId, InstanceKind};
use kubectl_emqx::ports::{Kubernetes, Right, ServerDryRun};
use serde_json::json;

use crate::upgrade_changes::{connect, emqx, instance, kubectl_apply};
use test_support::control_plane::{ControlPlane, NODE, ON_SERVING};

/// The gate is written beside the other conditions, and the pod leaves the Service because of it and returns.
pub async fn gates(plane: &ControlPlane) {
    let labels = json!({"gate": "yes"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gated", "labels": labels},
        "spec": {"nodeName": NODE, "readinessGates": [{"conditionType": ON_SERVING}],
            "containers": [{"name": "emqx", "image": "emqx"}]}});
    kubectl_apply(plane, &pod, &[]).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gated"},
        "spec": {"selector": labels, "ports": [{"port": 1883}]}});
    kubectl_apply(plane, &service, &[]).await;
    let cluster = connect(plane, None).await;
    for (serving, there) in [(true, &["gated"][..]), (false, &[]), (true, &["gated"])] {
        assert_eq!(cluster.set_gate(plane.namespace(), &"gated".into(), serving).await, Ok(true));
        plane.serving_becomes("gated", there).await;
        let path = format!("-ojsonpath={{.status.conditions[?(@.type==\"{ON_SERVING}\")].status}}");
        let status = plane.kubectl(&["get", "pod", "gated", &path]).await.ok();
        assert_eq!(status, if serving { "True" } else { "False" }, "one condition of that type");
    }
    assert_eq!(cluster.set_gate(plane.namespace(), &"gone".into(), false).await, Ok(false));
}

/// The permissions that the preflight reviews are those that the server requires, and a refusal names them.
pub async fn rights(plane: &ControlPlane) {
    kubectl_apply(plane, &emqx("v2beta1", "guarded"), &[]).await;
    let admin = connect(plane, None).await;
    let (known, _) = instance(plane, &admin, "guarded").await;
    let rights = Right::of_upgrade(&known.id);
    let all = |allowed| Ok(vec![Some(allowed); rights.len()]);
    assert_eq!(admin.may(&rights).await, all(true));

    let rules = json!([{"apiGroups": ["apps.emqx.io"], "resources": ["emqxes"], "verbs": ["get", "list"]}]);
    let looker = connect(plane, Some("looker")).await;
    plane.grant("looker", Some(plane.namespace()), rules).await;
    assert_eq!(looker.may(&rights).await, all(false));
    let (_, object) = instance(plane, &looker, "guarded").await;
    let change = json!({"apiVersion": object["apiVersion"], "kind": "EMQX", "metadata": {"name": "guarded",
        "namespace": plane.namespace()}, "spec": {"image": "emqx/emqx-enterprise:5.8.7"}});
    let problem = looker.apply_instance(&change, true, ServerDryRun::No).await.expect_err("it may only look");
    assert_eq!((problem.cause, problem.exit), (Cause::Forbidden, Exit::Error));
    assert!(problem.why.contains(r#"User "looker" cannot patch resource "emqxes""#), "{problem}");
    assert!(problem.hint.is_some_and(|hint| hint.contains("verb patch on emqxes.apps.emqx.io")));
    let problem = looker.set_gate(plane.namespace(), &"gated".into(), false).await.expect_err("nor that");
    assert!(problem.hint.is_some_and(|hint| hint.contains("verb patch on pods/status")), "{}", problem.why);

    // A role for these objects by name is sufficient; only a new object has no name yet.
    let rules = json!([
        {"apiGroups": ["apps.emqx.io"], "resources": ["emqxes"], "verbs": ["get", "patch"], "resourceNames": ["guarded"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"], "resourceNames": ["kubectl-emqx-emqx-guarded"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets/scale"], "verbs": ["patch"]},
    ]);
    plane.grant("looker", Some(plane.namespace()), rules).await;
    assert_eq!(looker.may(&rights).await, all(true));
    looker.apply_instance(&change, true, ServerDryRun::No).await.expect("that is all it takes");
    assert_eq!(looker.set_gate(plane.namespace(), &"gated".into(), true).await, Ok(true));
}

/// An object that is deleted, is being deleted, or is not served, and fields that do not exist.
pub async fn what_is_wrong_with_the_object(plane: &ControlPlane) {
    let cluster = connect(plane, None).await;
    let change = |name: &str| {
        json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "metadata": {"name": name,
            "namespace": plane.namespace()}, "spec": {"image": "emqx/emqx-enterprise:5.8.7"}})
    };
    let id = |kind, name: &str| InstanceId {
        kind,
        namespace: plane.namespace().to_owned(),
        name: name.to_owned(),
    };
    // An apply never creates the object.
    let problem =
        cluster.apply_instance(&change("nobody"), true, ServerDryRun::No).await.expect_err("nobody");
    assert!(problem.why.contains("does not exist") && problem.hint.is_some(), "{problem}");
    assert_eq!(cluster.object(&id(InstanceKind::Emqx, "nobody")).await, Ok(None));
    let problem = cluster.object(&id(InstanceKind::EmqxBroker, "nobody")).await.expect_err("no such kind");
    assert!(problem.why.contains("EmqxBroker is not served") && problem.hint.is_some(), "{problem}");

    let mut going = emqx("v2beta1", "going");
    going["metadata"]["finalizers"] = json!(["apps.emqx.io/finalizer"]);
    kubectl_apply(plane, &going, &[]).await;
    plane.kubectl(&["delete", "emqx", "going", "--wait=false"]).await.ok();
    let problem =
        cluster.apply_instance(&change("going"), true, ServerDryRun::No).await.expect_err("it is going");
    assert_eq!(problem.exit, Exit::Refused);
    assert!(problem.why.starts_with("it is being deleted since 2"), "{problem}");

    kubectl_apply(plane, &emqx("v2beta1", "wrong"), &[]).await;
    let mut unknown = change("wrong");
    unknown["spec"]["updateStrategie"] = json!({"type": "Recreate"});
    let problem =
        cluster.apply_instance(&unknown, true, ServerDryRun::Server).await.expect_err("no such field");
    assert_eq!(problem.why, "spec.updateStrategie: field not declared in schema");
    assert!(problem.hint.is_some_and(|hint| hint.contains("kubectl explain emqx.spec")));
    let mut invalid = change("wrong");
    invalid["spec"]["updateStrategy"] =
        json!({"type": "Sometimes", "evacuationStrategy": {"connEvictRate": 0}});
    let problem =
        cluster.apply_instance(&invalid, true, ServerDryRun::Server).await.expect_err("no such value");
    let mut reported: Vec<&str> = problem.why.split("; ").collect();
    reported.sort_unstable();
    let rate = "spec.updateStrategy.evacuationStrategy.connEvictRate: Invalid value: 0: it should be greater than or equal to 1";
    let kind = "spec.updateStrategy.type: Unsupported value: \"Sometimes\": supported values: \"Recreate\"";
    assert_eq!(reported, [rate, kind], "each once, and nothing of the server's own");
    let mut text = change("wrong");
    text["spec"]["image"] = json!(5);
    let problem = cluster.apply_instance(&text, true, ServerDryRun::Server).await.expect_err("no text");
    assert!(problem.why.starts_with("spec.image: expected string") && problem.hint.is_some(), "{problem}");
}
