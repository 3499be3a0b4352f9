//! A scale-down and a drain by the built program on a real API server: real sets choose by deletion cost, the real eviction API
//! obeys PodDisruptionBudgets, and evictions carry the pod's UID.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use emqx_sim::scenario::Api as Version;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::{RealCluster, list_pods};
use crate::least_privilege::program_of;
use crate::program::{Program, refused, verdict};
use test_support::control_plane::{ControlPlane, NODE, until};

const EMQX: &str = "
name: real
api: v2beta1
version: 5.8.6
persistentVolumes: true
nodes:
- { role: core, count: 2 }
- { role: replicant, connections: 40, count: 3 }
";

/// EMQX's waits need not run in real time.
const SPEED: f64 = 4.0;

const LIMIT: Duration = Duration::from_mins(4);

const QUICK: [&str; 4] = ["--conn-evict-rate=200", "--wait-health-check=1s", "--wait-takeover=1s", "--yes"];

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

pub async fn start(plane: &ControlPlane) -> RealCluster<'_> {
    RealCluster::start_at_speed(plane, EMQX, SPEED).await
}

/// Makes the second Kubernetes node schedulable, and binds the claims of the cores to volumes that both nodes
/// can use: the control plane has no volume controller.
pub async fn volumes(cluster: &RealCluster<'_>) {
    // Admission taints a new node as not ready, and no controller here removes the taint.
    let ready = Patch::Merge(json!({"spec": {"taints": null}}));
    let nodes = Api::<Node>::all(cluster.client.clone());
    nodes.patch("node-1", &PatchParams::default(), &ready).await.expect("the node is changed");
    let claims = Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), cluster.namespace());
    let volumes = Api::<PersistentVolume>::all(cluster.client.clone());
    let made = claims.list(&ListParams::default()).await.expect("claims").items;
    assert_eq!(made.len(), 2, "a claim for each core");
    for claim in made {
        let name = format!("volume-of-{}", claim.name_any());
        let volume = json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}});
        let volume = serde_json::from_value(volume).expect("a volume");
        volumes.create(&PostParams::default(), &volume).await.expect("it is made");
        let bound = Patch::Merge(json!({"spec": {"volumeName": name}}));
        claims.patch(&claim.name_any(), &PatchParams::default(), &bound).await.expect("it is bound");
    }
}

async fn pods(cluster: &RealCluster<'_>) -> BTreeMap<String, Pod> {
    let pods = list_pods(&cluster.client, &cluster.scenario).await.expect("pods");
    pods.into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| (pod.name_any(), pod))
        .collect()
}

fn clients(cluster: &RealCluster<'_>) -> u64 {
    cluster.emqx.with(|broker| broker.members().map(|(_, node)| node.connections).sum())
}

/// The planned replicant is removed, although another one is younger; this program owns the field by
/// server-side apply.
pub async fn scaled_down(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    let program = program_of(plane, "scale");
    let before = pods(cluster).await;
    let run = async {
        let plan = program.json(&["scale", "--replicants=2", "--dry-run=client"]).await;
        let going = plan["steps"][0]["pod"].as_str().expect("a pod").to_owned();
        let args: Vec<&str> = ["scale", "--replicants=2", "-o", "jsonl"].into_iter().chain(QUICK).collect();
        (going, program.start(&args).end_within(LIMIT).await)
    };
    let (going, out) = cluster.alive(run).await;
    verdict(&out, "done", 0);
    let after = pods(cluster).await;
    let mut expected: BTreeSet<&String> = before.keys().collect();
    expected.remove(&going);
    assert_eq!(after.keys().collect::<BTreeSet<_>>(), expected, "exactly {going} is removed");
    assert!(after.values().all(|pod| !pod.annotations().contains_key(COST)), "no deletion cost is left");
    assert_eq!(clients(cluster), 120, "every client is back");
    let object = cluster.instances().get(&cluster.scenario.instance).await.expect("the instance");
    assert_eq!(object.data["spec"]["replicantTemplate"]["spec"]["replicas"], 2);
    let managers: Vec<Value> = object
        .managed_fields()
        .iter()
        .filter(|entry| entry.operation.as_deref() == Some("Apply"))
        .map(|entry| json!(entry))
        .collect();
    let ours = json!({"f:spec": {"f:replicantTemplate": {"f:spec": {"f:replicas": {}}}}});
    assert_eq!(managers.len(), 1, "{managers:#?}");
    assert_eq!((&managers[0]["manager"], &managers[0]["fieldsV1"]), (&json!("kubectl-emqx"), &ours));
}

/// The deletion cost of a pod of another UID is not written.
pub async fn uids(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    use kubectl_emqx::k8s::Cluster;
    use kubectl_emqx::model::PodName;
    use kubectl_emqx::model::drain::Eviction;
    use kubectl_emqx::ports::Kubernetes as _;
    let ours = Cluster::of_client(plane.admin_client().await, "the control plane", cluster.namespace());
    let (name, pod) = pods(cluster).await.pop_first().expect("a pod");
    let (namespace, pod_name) = (cluster.namespace(), PodName::from(name.as_str()));
    let other = "00000000-0000-4000-8000-000000000000";
    assert_eq!(ours.set_deletion_cost(namespace, &pod_name, other, Some(-5)).await, Ok(false));
    assert_eq!(ours.evict(namespace, &pod_name, other).await, Ok(Eviction::Gone));
    let uid = pod.uid().expect("a uid");
    assert_eq!(ours.set_deletion_cost(namespace, &pod_name, &uid, Some(-5)).await, Ok(true));
    assert_eq!(pods(cluster).await[&name].annotations()[COST], "-5");
    assert_eq!(ours.set_deletion_cost(namespace, &pod_name, &uid, None).await, Ok(true));
    let now = &pods(cluster).await[&name];
    assert_eq!((now.uid(), now.annotations().contains_key(COST)), (Some(uid), false));
}

/// Every pod of the node is evacuated, evicted and replaced once, within the PodDisruptionBudget; the cordon
/// has this program's mark.
pub async fn drained(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    // The stored state of the scale is deleted, so that the drain creates its own.
    let stored = ["configmap/kubectl-emqx-emqx-emqx", "lease/kubectl-emqx-emqx-emqx"];
    let delete = ["delete", "-n", plane.namespace(), stored[0], stored[1]];
    plane.kubectl(&delete).await.ok();
    let program = program_of(plane, "drain");
    let nodes = Api::<Node>::all(cluster.client.clone());
    let budgets = Api::<PodDisruptionBudget>::namespaced(cluster.client.clone(), cluster.namespace());
    let budget = json!({"metadata": {"name": "emqx"}, "spec": {"minAvailable": 4,
        "selector": {"matchLabels": {"apps.emqx.io/instance": cluster.scenario.instance}}}});
    let budget = serde_json::from_value(budget).expect("a budget");
    budgets.create(&PostParams::default(), &budget).await.expect("it is made");
    until("it is counted", LIMIT, async || {
        let found = budgets.get("emqx").await.map_err(|error| error.to_string())?;
        let healthy = found.status.as_ref().map(|status| status.current_healthy);
        if healthy == Some(4) { Ok(()) } else { Err(format!("{healthy:?}")) }
    })
    .await;
    let before: BTreeSet<Option<String>> = pods(cluster).await.values().map(ResourceExt::uid).collect();
    let args: Vec<&str> = ["drain", NODE, "-o", "jsonl"].into_iter().chain(QUICK).collect();
    let run = async {
        let refused = program.run(&args).await;
        assert_eq!(refused.code, Some(6), "{}", refused.stderr);
        assert!(refused.stderr.contains("PodDisruptionBudget emqx"), "{}", refused.stderr);
        let fewer = Patch::Merge(json!({"spec": {"minAvailable": 3}}));
        budgets.patch("emqx", &PatchParams::default(), &fewer).await.expect("it is changed");
        until("it is counted again", LIMIT, async || {
            let found = budgets.get("emqx").await.map_err(|error| error.to_string())?;
            let desired = found.status.as_ref().map(|status| status.desired_healthy);
            if desired == Some(3) { Ok(()) } else { Err(format!("{desired:?}")) }
        })
        .await;
        program.start(&args).end_within(LIMIT).await
    };
    let out = cluster.alive(run).await;
    verdict(&out, "done", 0);
    let after: BTreeSet<Option<String>> = pods(cluster).await.values().map(ResourceExt::uid).collect();
    assert_eq!((after.len(), after.intersection(&before).count()), (4, 0), "each pod was replaced");
    assert_eq!(clients(cluster), 120, "every client is back");
    let node = nodes.get(NODE).await.expect("the node");
    assert_eq!(node.spec.as_ref().and_then(|spec| spec.unschedulable), Some(true));
    assert!(node.annotations().contains_key("cli.emqx.io/cordoned"));
    program.run(&["drain", NODE, "--undo", "--yes"]).await.ok();
    let node = nodes.get(NODE).await.expect("the node");
    assert_eq!(node.spec.as_ref().and_then(|spec| spec.unschedulable), None, "uncordoned");
}

/// Each pod of the only Kubernetes node is evacuated, evicted and replaced once; the pods' template names the
/// node, so that they start there again.
pub async fn moved(plane: &ControlPlane, cluster: &RealCluster<'_>) {
    let program = Program::admin(plane, cluster.namespace());
    let before = pods(cluster).await;
    let connected = clients(cluster);
    let of_operator_3 = cluster.scenario.api == Version::V3beta1;
    // No controller removes the taint of a new node.
    let mut args = vec!["drain", NODE, "--no-cordon", "--skip-check=no-room", "-o", "jsonl"];
    args.extend(QUICK);
    if of_operator_3 {
        let out = program.run(&args).await;
        refused(&out, 6, &["operator 3.x ends an evacuation", "apps.emqx.io/paused=true"]);
        cluster.operator.store(false, Ordering::Relaxed);
        args.push("--skip-check=operator-ends-evacuation");
    }
    let out = cluster.alive(program.start(&args).end_within(LIMIT)).await;
    verdict(&out, "done", 0);
    let after = pods(cluster).await;
    let uids = |pods: &BTreeMap<String, Pod>| pods.values().map(ResourceExt::uid).collect::<BTreeSet<_>>();
    assert_eq!(
        (after.len(), uids(&after).intersection(&uids(&before)).count()),
        (before.len(), 0),
        "{after:?}"
    );
    assert_eq!(clients(cluster), connected, "every client is back");
    cluster.operator.store(true, Ordering::Relaxed);
}
