//! The change itself: strictly valid, its owners, and what remains of it.

use kubectl_emqx::error::Exit;
use kubectl_emqx::k8s::Cluster;
use kubectl_emqx::model::operation_state::GUARD_KEY;
use kubectl_emqx::model::{ApiVersion, FIELD_MANAGER};
use kubectl_emqx::plan::upgrade::change::{OperatorHold, UpgradeRecord, body, full, kustomize, state};
use kubectl_emqx::plan::upgrade::check::FieldOwner;
use kubectl_emqx::plan::upgrade::field_owners::{left_behind, owners};
use kubectl_emqx::plan::upgrade::target::{HOLD_SECONDS, UpgradeTarget, Way};
use kubectl_emqx::ports::{Kubernetes, ServerDryRun};
use serde_json::{Value, json};

use crate::upgrade_changes::{connect, emqx, enterprise, instance, kubectl_apply, resolved};
use test_support::control_plane::ControlPlane;

fn record(resolved: &UpgradeTarget) -> UpgradeRecord {
    UpgradeRecord {
        version: 1,
        time: jiff::Timestamp::UNIX_EPOCH,
        from: resolved.from.clone(),
        to: resolved.to.clone(),
        version_only: false,
        connections: Some(3),
        sessions: None,
        edit: Vec::new(),
    }
}

/// Every form of the change passes the server's strict validation without a warning, is stored as intended,
/// and kubectl accepts the whole object (`-o full`).
pub async fn taken_strictly(plane: &ControlPlane, manifest: &Value, image: &str) {
    kubectl_apply(plane, manifest, &[]).await;
    let cluster = connect(plane, None).await;
    let name = manifest["metadata"]["name"].as_str().expect("a name");
    let (instance, object) = instance(plane, &cluster, name).await;
    let ways: &[Option<Way>] = match instance.api {
        ApiVersion::V1beta4 => &[Some(Way::BlueGreen), Some(Way::Rolling)],
        _ => &[None],
    };
    for way in ways {
        let resolved = resolved(&instance, image, *way);
        for hold in [OperatorHold::Held, OperatorHold::Released, OperatorHold::Own] {
            let change = body(&instance, &resolved, hold);
            let applied = cluster.apply_instance(&change, true, ServerDryRun::Server).await;
            let applied = applied.unwrap_or_else(|problem| panic!("{way:?} {hold:?}: {problem}"));
            assert_eq!(applied.warnings, Vec::<String>::new(), "{way:?} {hold:?}");
            contains(&applied.object, &change, "");

            let whole = full(&object, &change).to_string();
            let args = [
                "apply",
                "--server-side",
                "--force-conflicts",
                "--validate=strict",
                "--dry-run=server",
                "-f",
                "-",
            ];
            plane.kubectl_as(&plane.admin_kubeconfig(), &args, Some(&whole)).await.ok();
            contains(&kustomized(plane, manifest, &change).await, &change, "");
        }
    }
}

/// The user's own file with the component (`-o kustomize`), as kubectl builds it.
async fn kustomized(plane: &ControlPlane, manifest: &Value, change: &Value) -> Value {
    let folder = plane.dir().join("kustomize");
    std::fs::create_dir_all(folder.join("upgrade")).expect("a folder");
    let write = |file: &str, content: &Value| {
        let text = serde_yaml::to_string(content).expect("YAML");
        std::fs::write(folder.join(file), text).expect("it is written");
    };
    let mut manifest = manifest.clone();
    manifest["metadata"]["namespace"] = json!(plane.namespace());
    write("emqx.yaml", &manifest);
    write("upgrade/kustomization.yaml", &kustomize(change));
    write("kustomization.yaml", &json!({"resources": ["emqx.yaml"], "components": ["upgrade"]}));
    let built = plane.kubectl(&["kustomize", &folder.to_string_lossy()]).await.ok();
    serde_yaml::from_str(&built).expect("YAML")
}

#[track_caller]
fn contains(object: &Value, change: &Value, path: &str) {
    match change.as_object() {
        Some(map) => {
            for (key, value) in map {
                contains(&object[key], value, &format!("{path}.{key}"));
            }
        }
        None => assert_eq!(object, change, "{path}"),
    }
}

/// One step of a guarded upgrade, by a new read of the object as in the program.
async fn step(plane: &ControlPlane, cluster: &Cluster, name: &str, hold: OperatorHold) -> Value {
    let (instance, _) = instance(plane, cluster, name).await;
    let resolved = UpgradeTarget::resumed(&instance)
        .unwrap_or_else(|| resolved(&instance, "emqx/emqx-ee:4.4.24", Some(Way::BlueGreen)));
    let stored = state(&instance, &resolved, hold, Some(record(&resolved)), None);
    cluster.store_state(&instance, GUARD_KEY, &stored.text(), ServerDryRun::No).await.expect("it is stored");
    let change = body(&instance, &resolved, hold);
    let stored = cluster.apply_instance(&change, true, ServerDryRun::No).await.expect("it is stored").object;
    let left = left_behind(&stored, &change);
    if left.is_empty() {
        return stored;
    }
    cluster.remove_fields(&stored, &left).await.expect("no other client wrote").object
}

/// The user's fields are restored exactly, and the user's next apply has no conflict.
pub async fn guarded_and_given_back(plane: &ControlPlane) {
    let rates = json!({"connEvictRate": 50, "sessEvictRate": 60, "waitTakeover": 5});
    let blocks = [
        ("without", json!({"evacuationStrategy": rates})),
        ("sixty", json!({"initialDelaySeconds": 60, "evacuationStrategy": rates})),
        ("zero", json!({"initialDelaySeconds": 0, "evacuationStrategy": rates})),
    ];
    let cluster = connect(plane, None).await;
    for (delay, block) in blocks {
        for (how, options) in [("client", &[][..]), ("server", &["--server-side"][..])] {
            let name = &format!("{delay}-{how}");
            let mut manifest = enterprise(name, Some(block.clone()));
            manifest["metadata"]["annotations"] = json!({"team": "mqtt"});
            kubectl_apply(plane, &manifest, options).await;
            let (_, before) = instance(plane, &cluster, name).await;

            let held = step(plane, &cluster, name, OperatorHold::Held).await;
            assert_eq!(held["spec"]["blueGreenUpdate"]["initialDelaySeconds"], json!(HOLD_SECONDS), "{name}");
            let released = step(plane, &cluster, name, OperatorHold::Released).await;
            assert_eq!(released["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 0, "{name}");
            let after = step(plane, &cluster, name, OperatorHold::Own).await;

            let mut wanted = before["spec"].clone();
            wanted["template"]["spec"]["emqxContainer"]["image"]["version"] = json!("4.4.24");
            assert_eq!(after["spec"], wanted, "{name}");
            assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"], "{name}");

            // The user's own file with the edit changes nothing any more; and fields that it omits are
            // removed.
            manifest["spec"]["template"]["spec"]["emqxContainer"]["image"]["version"] = json!("4.4.24");
            kubectl_apply(plane, &manifest, options).await;
            let (_, again) = instance(plane, &cluster, name).await;
            assert_eq!(again["spec"], wanted, "{name}");
        }
    }
}

/// A dump of the held object that was applied again makes its manager an owner of this program's fields: an
/// apply that omits them then removes nothing.
pub async fn restored_although_another_client_wrote_it_too(plane: &ControlPlane) {
    let rates = json!({"connEvictRate": 50, "sessEvictRate": 60, "waitTakeover": 5});
    let cluster = connect(plane, None).await;
    kubectl_apply(plane, &enterprise("dumped", Some(json!({"evacuationStrategy": rates}))), &[]).await;
    let (_, before) = instance(plane, &cluster, "dumped").await;
    let held = step(plane, &cluster, "dumped", OperatorHold::Held).await;
    let dump = full(&held, &json!({}));
    kubectl_apply(plane, &dump, &["--server-side", "--force-conflicts"]).await;

    let (now, _) = instance(plane, &cluster, "dumped").await;
    let change = body(&now, &UpgradeTarget::resumed(&now).expect("ours"), OperatorHold::Own);
    let applied =
        cluster.apply_instance(&change, true, ServerDryRun::Server).await.expect("it is valid").object;
    assert_eq!(
        applied["spec"]["blueGreenUpdate"]["initialDelaySeconds"],
        json!(HOLD_SECONDS),
        "an apply is not enough"
    );

    let after = step(plane, &cluster, "dumped", OperatorHold::Own).await;
    assert_eq!(after["spec"]["blueGreenUpdate"], before["spec"]["blueGreenUpdate"]);
    let notes = |object: &Value| {
        let notes = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        notes.into_iter().map(|(key, _)| key).filter(|key| key.starts_with("cli.")).collect::<Vec<_>>()
    };
    assert_eq!((notes(&held).len(), notes(&after).len()), (0, 0));
}

/// The owners that the preflight reports are those of the server, field by field.
pub async fn owners_are_those_of_the_server(plane: &ControlPlane) {
    let cluster = connect(plane, None).await;
    let image = "emqx/emqx-enterprise:5.8.7";

    kubectl_apply(plane, &emqx("v2beta1", "mine"), &[]).await;
    let (mine, object) = instance(plane, &cluster, "mine").await;
    let change = body(&mine, &resolved(&mine, image, None), OperatorHold::Own);
    let found = owners(&object, &change, FIELD_MANAGER);
    assert!(found.iter().all(FieldOwner::is_person), "{found:?}");
    refused_for(&cluster, &change, &found).await;
    let stored =
        cluster.apply_instance(&change, true, ServerDryRun::No).await.expect("it is taken over").object;
    assert_eq!(owners(&stored, &change, FIELD_MANAGER), []);
    cluster
        .apply_instance(&change, false, ServerDryRun::No)
        .await
        .expect("no other client conflicts any more");

    // A tool that uses server-side apply, and a user who edited one more field: each is named with its own
    // fields.
    let tool = &["--server-side", "--field-manager=argocd-controller"];
    let mut manifest = emqx("v2beta1", "kept");
    manifest["spec"]["updateStrategy"] = json!({"type": "Recreate", "initialDelaySeconds": 10,
        "evacuationStrategy": {"connEvictRate": 1000, "sessEvictRate": 1000, "waitTakeover": 10}});
    kubectl_apply(plane, &manifest, tool).await;
    let patch = r#"{"spec":{"updateStrategy":{"initialDelaySeconds":33}}}"#;
    plane.kubectl(&["patch", "emqx", "kept", "--type=merge", "-p", patch]).await.ok();
    let (kept, object) = instance(plane, &cluster, "kept").await;
    let mut change = body(&kept, &resolved(&kept, image, None), OperatorHold::Own);
    change["spec"]["updateStrategy"]["initialDelaySeconds"] = json!(34);
    let found = owners(&object, &change, FIELD_MANAGER);
    let fields = |manager: &str| {
        let owner = found.iter().find(|owner| owner.manager == manager);
        owner.unwrap_or_else(|| panic!("{manager}: {found:?}")).fields.join(" ")
    };
    assert_eq!(fields("argocd-controller"), "spec.image");
    assert_eq!(fields("kubectl-patch"), "spec.updateStrategy.initialDelaySeconds");
    refused_for(&cluster, &change, &found).await;
    let forced = cluster.apply_instance(&change, true, ServerDryRun::No).await.expect("by force").object;
    assert_eq!((&forced["spec"]["image"], owners(&forced, &change, FIELD_MANAGER).len()), (&json!(image), 0));
}

async fn refused_for(cluster: &Cluster, change: &Value, found: &[FieldOwner]) {
    let problem =
        cluster.apply_instance(change, false, ServerDryRun::Server).await.expect_err("it belongs to others");
    assert_eq!(problem.exit, Exit::Refused, "{problem}");
    assert!(problem.hint.is_some_and(|hint| hint.contains("--force-conflicts")));
    let mut reported: Vec<String> = problem.why.split("; ").map(str::to_owned).collect();
    let mut wanted: Vec<String> = found
        .iter()
        .map(|owner| {
            let mut fields = owner.fields.clone();
            fields.sort();
            let belong = if fields.len() == 1 { "belongs" } else { "belong" };
            format!("{} {belong} to {}", fields.join(", "), owner.manager)
        })
        .collect();
    reported.sort();
    wanted.sort();
    assert_eq!(reported, wanted);
}
