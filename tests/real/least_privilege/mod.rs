//! Least privilege: the permissions of each command, its output without each of them, and that it requests no
//! others.

mod audit;
mod cases;
mod identities;
mod narrow;
mod permissions;
mod shipped;
mod table;
mod users;
mod words;

pub use audit::options;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::cluster::RealCluster;
use crate::part;
use crate::program::Program;
use table::{Verb, When, table};
use test_support::control_plane::{ControlPlane, Line, NODE, until};

/// The operator reconciles every second, and reports an instance as not ready when its donors are not.
const EMQX: &str = "
name: real
api: v2beta1
operatorLooksAfter: 1
nodes:
- { connections: 100, count: 3 }
- { connections: 0 }
";

const ENTERPRISE: &str = "
name: real
api: v1beta4
namespace: ee
version: 4.4.19
nodes:
- { connections: 100, count: 2 }
- { connections: 0 }
";

pub async fn start(plane: &ControlPlane) -> (RealCluster<'_>, RealCluster<'_>) {
    plane.install(Line::V22).await;
    plane.apply_crds(&["tests/control_plane/emqxbrokers-crd.yaml"]).await;
    plane.create_namespace(table::ENTERPRISE).await;
    let verbs = table();
    let rights: BTreeSet<&str> = verbs.iter().flat_map(|it| &it.needs).map(|it| it.right).collect();
    let groups = futures::future::join(
        users::make_groups(plane, plane.namespace(), &rights),
        users::make_groups(plane, table::ENTERPRISE, &rights),
    );
    shipped::install(plane).await;
    let clusters =
        futures::future::join(RealCluster::start(plane, EMQX), RealCluster::start(plane, ENTERPRISE));
    futures::join!(clusters, groups, crowd(plane)).0
}

/// Groups for the permissions of a drain and a scale.
pub async fn prepare_removals(plane: &ControlPlane) {
    plane.apply_crds(&["tests/control_plane/emqxbrokers-crd.yaml"]).await;
    let verbs = table();
    let of_removals = verbs.iter().filter(|verb| verb.when == When::Removal);
    let rights: BTreeSet<&str> = of_removals.flat_map(|it| &it.needs).map(|it| it.right).collect();
    users::make_groups(plane, plane.namespace(), &rights).await;
}

/// Dry runs of a drain and a scale, by users with exactly their permissions and with one less.
pub async fn removals(plane: &ControlPlane) {
    let wrong = cases::tried(plane, &table(), When::Removal, "").await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The program of a user with exactly the permissions of this command, which carries it out.
pub fn program_of<'a>(plane: &'a ControlPlane, verb: &str) -> Program<'a> {
    cases::program(plane, &table(), &[verb])
}

/// A drain checks free CPU and memory only with the permission to list the pods of all namespaces, and reports it otherwise.
pub async fn everywhere(plane: &ControlPlane) {
    let program = program_of(plane, "drain");
    let args = ["drain", NODE, "--dry-run=client", "-o", "json"];
    // The node that was removed before must leave EMQX's cluster first.
    until("a drain is planned again", Duration::from_mins(1), async || {
        let out = program.run(&args).await;
        let found = out.code == Some(0) && out.stdout.contains("verb list on pods, a ClusterRoleBinding");
        if found { Ok(()) } else { Err(format!("{}{}", out.stdout, out.stderr)) }
    })
    .await;
    let user = cases::doer(&["drain"]);
    let rule = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }]);
    plane.grant(&user, None, rule).await;
    until("all pods are listed", Duration::from_mins(1), async || {
        let out = program.run(&args).await;
        if out.code == Some(0) && !out.stdout.contains("unknown-placement") {
            Ok(())
        } else {
            Err(out.stdout)
        }
    })
    .await;
}

/// `check` names the missing permissions, by the API server's own answers, and its unknown checks.
pub async fn checked(plane: &ControlPlane) {
    let table = table();
    let of = |out: &str, id: &str| {
        let checks: serde_json::Value =
            serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"));
        let found =
            checks["checks"].as_array().into_iter().flatten().find(|check| check["id"] == id).cloned();
        found.unwrap_or_else(|| panic!("no {id} in {out}"))
    };
    let args = ["check", "--for", "drain", "-o", "json"];
    let may = cases::program(plane, &table, &["drain", "scale"]).run(&args).await;
    assert_eq!(of(&may.stdout, "no-permission")["status"], "ok", "{}", may.stdout);
    assert_eq!(of(&may.stdout, "load-balancer")["status"], "unknown", "{}", may.stdout);
    let all = cases::program(plane, &table, &["check"]).run(&args).await;
    assert_ne!(of(&all.stdout, "load-balancer")["status"], "unknown", "{}", all.stdout);
    assert_eq!(of(&all.stdout, "conversion-webhook")["status"], "ok", "{}", all.stdout);
    let reads = table.iter().filter(|verb| verb.name == "scale").flat_map(|verb| &verb.needs);
    let reads: Vec<&str> = reads
        .filter(|need| matches!(need.layer, table::Layer::View | table::Layer::Ask))
        .map(|need| need.right)
        .collect();
    let out = users::user(plane, "checks", plane.namespace(), &reads).run(&args).await;
    let missing = of(&out.stdout, "no-permission");
    assert_eq!((out.code, &missing["status"]), (Some(6), &json!("blocked")), "{}", out.stdout);
    let evidence = missing["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("create pods/eviction") && evidence.contains("patch nodes"), "{evidence}");
    let placement = of(&out.stdout, "volume-bound");
    assert_eq!(placement["status"], "unknown", "{placement}");
    // With every permission, and a quota that its controller counted.
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "team" },
        "spec": { "hard": { "pods": "6" } } });
    let admin = plane.admin_kubeconfig();
    let create = ["create", "-n", plane.namespace(), "-f", "-"];
    plane.kubectl_as(&admin, &create, Some(&quota.to_string())).await.ok();
    let status = json!({ "status": { "hard": { "pods": "6" }, "used": { "pods": "5" } } }).to_string();
    let patch = [
        "patch",
        "-n",
        plane.namespace(),
        "quota",
        "team",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    plane.kubectl(&patch).await.ok();
    let out = Program::admin(plane, plane.namespace()).run(&["check", "-o", "json"]).await;
    assert_eq!(of(&out.stdout, "quota")["status"], "blocked", "{}", out.stdout);
    assert_eq!(of(&out.stdout, "conversion-webhook")["status"], "ok", "{}", out.stdout);
    assert_eq!(of(&out.stdout, "cordoned-nodes")["status"], "ok", "{}", out.stdout);
    plane.kubectl(&["delete", "-n", plane.namespace(), "quota", "team"]).await.ok();
}

/// By the audit log, a drain and a scale request nothing else.
pub async fn removals_audited(plane: &ControlPlane) {
    let wrong =
        cases::audited(plane, &table(), &[&["drain"], &["scale"]], |when| when == When::Removal).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Creates a thousand pods of another application in the namespace.
async fn crowd(plane: &ControlPlane) {
    let pod = |index: u32| {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("other-{index}"), "namespace": plane.namespace(),
            "labels": { "app": "other" } }, "spec": { "containers": [{ "name": "other", "image": "other" }] } })
    };
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": (0..1000).map(pod).collect::<Vec<_>>() });
    let create = ["create", "--validate=false", "-o", "name", "-f", "-"];
    let made = plane.kubectl_as(&plane.admin_kubeconfig(), &create, Some(&list.to_string())).await.ok();
    assert_eq!(made.lines().count(), 1000);
}

/// Tries every command while nothing runs; then starts a rebalance with the permission for it, reads and
/// stops it; starts one in EMQX alone; follows one to its end and prunes it; runs an evacuation, and an
/// upgrade.
pub async fn each(plane: &ControlPlane, emqx: &RealCluster<'_>, enterprise: &RealCluster<'_>) {
    let verbs = table();
    let beside = async {
        let wrong =
            part("the same of an EmqxEnterprise", cases::tried(plane, &verbs, When::Enterprise, "")).await;
        part("one of each, by name", narrow::by_name(plane, enterprise)).await;
        wrong
    };
    let (mut wrong, more) = futures::join!(one_after_another(plane, emqx, &verbs), beside);
    wrong.extend(more);
    wrong.extend(
        part("by the audit log", cases::audited(plane, &verbs, &CARRIED_OUT, |when| when != When::Removal))
            .await,
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The commands that are carried out, each as a user with exactly the permissions of these commands.
const CARRIED_OUT: [&[&str]; 9] = [
    &["rebalance apply"],
    &["rebalance stop"],
    &["rebalance apply --backend emqx"],
    &["rebalance stop --backend emqx"],
    &["rebalance apply", "rebalance watch"],
    &["rebalance prune"],
    &["evacuate start"],
    &["evacuate stop"],
    &["upgrade apply"],
];

async fn one_after_another(plane: &ControlPlane, emqx: &RealCluster<'_>, verbs: &[Verb]) -> Vec<String> {
    let [apply, stop, start, end, follow, prune, evacuate, end_evacuation, upgrade] = CARRIED_OUT;
    let done = async |names: &[&str], args: &[&str]| cases::done(plane, verbs, names, args).await;
    let tried = async |when, name: &str| cases::tried(plane, verbs, when, name).await;
    let slow = |more: &'static str| [&SLOW[..], &[more]].concat();
    let idle = async {
        futures::join!(
            part("while nothing runs", tried(When::Idle, &emqx.pods[0])),
            part("with the shipped roles", shipped::enough(plane, &emqx.pods[0])),
            part("a login command", identities::login_command(plane)),
            part("another name", identities::another_name(plane)),
            part("in a pod", identities::in_a_pod(plane)),
            part("in one namespace alone", narrow::one_namespace(plane)),
        )
    };
    let (mut wrong, shipped, ..) = idle.await;
    wrong.extend(shipped);

    let name = done(apply, &slow("--backend=rebalance")).await;
    judged(emqx, &name).await;
    wrong.extend(part("while one runs", tried(When::Running, &name)).await);
    assert!(!emqx.idle(), "who lacks a right stops nothing");
    done(stop, &["rebalance", "stop", &name, "--yes"]).await;
    assert!(emqx.idle() && emqx.phase(&name).await.is_none());
    part("ready again", emqx.ready()).await;

    let name = done(start, &slow("--backend=emqx")).await;
    wrong.extend(part("in EMQX alone", tried(When::Conducted, &name)).await);
    assert!(!emqx.idle(), "who lacks a right stops nothing");
    done(end, &["rebalance", "stop", &name, "--yes"]).await;
    assert!(emqx.idle());
    part("ready again", emqx.ready()).await;

    let name = part("to the end", done(follow, &QUICK)).await;
    judged(emqx, &name).await;
    wrong.extend(part("when one is over", tried(When::Over, "")).await);
    assert!(emqx.phase(&name).await.is_some(), "a dry run deletes nothing");
    assert_eq!(done(prune, &["rebalance", "prune", "--yes"]).await, name);
    assert!(emqx.phase(&name).await.is_none());
    part("ready again", emqx.ready()).await;

    let pod = emqx.pods[0].as_str();
    done(evacuate, &["evacuate", "start", pod, "--yes", "--conn-evict-rate=1", "--wait-health-check=120"])
        .await;
    wrong.extend(part("a node is evacuated", tried(When::Evacuating, pod)).await);
    assert!(!emqx.idle(), "who lacks a right stops nothing");
    done(end_evacuation, &["evacuate", "stop", pod, "--yes"]).await;
    assert!(emqx.idle());
    part("ready again", emqx.ready()).await;

    done(upgrade, &["upgrade", "apply", table::IMAGE, "--yes"]).await;
    begun(emqx).await;
    wrong.extend(part("an upgrade", tried(When::Upgrading, "")).await);
    wrong
}

/// Waits until the operator has reported the upgrade.
async fn begun(emqx: &RealCluster<'_>) {
    until("a new revision", Duration::from_mins(1), async || {
        let found = emqx.instances().get(&emqx.scenario.instance).await.map_err(|e| e.to_string())?;
        let nodes = &found.data["status"]["coreNodesStatus"];
        if nodes["currentRevision"] == nodes["updateRevision"] { Err(nodes.to_string()) } else { Ok(()) }
    })
    .await;
}

/// Waits until the operator has written its final phase.
async fn judged(emqx: &RealCluster<'_>, name: &str) {
    until("Failed", Duration::from_mins(1), async || {
        let phase = emqx.phase(name).await.unwrap_or_default();
        if phase.starts_with("Failed") || phase.starts_with("Completed") { Ok(()) } else { Err(phase) }
    })
    .await;
}

/// A rebalance that does not end while it is read.
const SLOW: [&str; 7] = [
    "rebalance",
    "apply",
    "--yes",
    "--conn-evict-rate=5",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
    "--wait-health-check=120",
];

/// A rebalance that ends soon, followed; not before the operator has reported Failed, even on a busy machine.
const QUICK: [&str; 9] = [
    "rebalance",
    "apply",
    "--yes",
    "--watch",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
    "--conn-evict-rate=5",
    "--wait-health-check=1",
    "--wait-takeover=4",
];
