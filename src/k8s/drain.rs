//! Kubernetes nodes, the limits for moving the pods on them, cordons and evictions.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::api::BodyFormat;
use super::cluster::Cluster;
use super::error::ApiError;
use super::wire;
use crate::error::Problem;
use crate::model::PodName;
use crate::model::drain::{CORDONED_ANNOTATION, Cordon, Eviction, Placed, Placement, Volume};
use crate::model::url::encode;

/// Objects of one page of a list.
const PODS_PER_PAGE: usize = 500;

/// The most attempts to change a node that another client changes at the same time: kubelets write their
/// nodes often.
const EVICTION_TRIES: usize = 5;

/// All objects of a list.
pub(super) async fn list(cluster: &Cluster, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut all = Vec::new();
    let mut from = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let query = if from.is_empty() { String::new() } else { format!("&continue={}", encode(&from)) };
        let mut page = cluster.api.get(&format!("{path}{separator}limit={PODS_PER_PAGE}{query}")).await?;
        if let Some(items) = page["items"].as_array_mut() {
            all.append(items);
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut from),
            _ => return Ok(all),
        }
    }
}

pub(super) async fn placement(
    cluster: &Cluster,
    namespaces: &[String],
    pods: &BTreeSet<String>,
) -> Result<Placement, Problem> {
    let machines = list(cluster, "/api/v1/nodes").await.map_err(|trouble| {
        trouble.problem("cannot list the Kubernetes nodes", "verb list on nodes (a ClusterRoleBinding)")
    })?;
    let mut found =
        Placement { machines: machines.iter().filter_map(wire::machine).collect(), ..Placement::default() };
    match list(cluster, "/api/v1/pods").await {
        Ok(listed) => {
            found.pods = listed.iter().filter_map(wire::placed).collect();
            found.all_pods = true;
        }
        Err(trouble) if trouble.is_forbidden() => {
            found.unread.push("pods of all namespaces (verb list on pods, a ClusterRoleBinding)".to_owned());
            for namespace in namespaces {
                let path = format!("/api/v1/namespaces/{}/pods", encode(namespace));
                let listed = list(cluster, &path).await.map_err(|trouble| {
                    trouble.problem(format!("cannot list pods in namespace {namespace}"), "verb list on pods")
                })?;
                found.pods.extend(listed.iter().filter_map(wire::placed));
            }
        }
        Err(trouble) => return Err(trouble.problem("cannot list pods", "verb list on pods")),
    }
    let mut budgets = Some(Vec::new());
    for namespace in namespaces {
        let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", encode(namespace));
        match list(cluster, &path).await {
            Ok(listed) => {
                if let Some(budgets) = &mut budgets {
                    budgets.extend(listed.iter().filter_map(wire::budget));
                }
            }
            Err(trouble) if trouble.is_forbidden() => {
                budgets = None;
                found.unread.push(format!(
                    "PodDisruptionBudgets of namespace {namespace} (verb list on poddisruptionbudgets.policy)"
                ));
            }
            Err(trouble) if trouble.is_absent() => {}
            Err(trouble) => {
                let what = format!("cannot list PodDisruptionBudgets in namespace {namespace}");
                return Err(trouble.problem(what, "verb list on poddisruptionbudgets.policy"));
            }
        }
    }
    found.budgets = budgets;
    let claims: BTreeSet<(String, String)> = found
        .pods
        .iter()
        .filter(|pod| pods.contains(&pod.uid) && !pod.ended)
        .flat_map(|pod: &Placed| pod.claims.iter().map(|claim| (pod.namespace.clone(), claim.clone())))
        .collect();
    for (namespace, claim) in claims {
        match volume(cluster, &namespace, &claim).await {
            Ok(Some(volume)) => found.volumes.push(volume),
            Ok(None) => {}
            Err(trouble) if trouble.is_forbidden() => {
                found.unread.push(
                    "the volumes of EMQX pods (verb get on persistentvolumeclaims and persistentvolumes)"
                        .to_owned(),
                );
                break;
            }
            Err(trouble) => {
                return Err(
                    trouble.problem(format!("cannot read PersistentVolumeClaim {namespace}/{claim}"), "")
                );
            }
        }
    }
    Ok(found)
}

async fn volume(cluster: &Cluster, namespace: &str, claim: &str) -> Result<Option<Volume>, ApiError> {
    let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims/{}", encode(namespace), encode(claim));
    let read = match cluster.api.get(&path).await {
        Err(trouble) if trouble.is_absent() => return Ok(None),
        other => other?,
    };
    let Some(name) = wire::bound_volume(&read) else { return Ok(None) };
    let read = match cluster.api.get(&format!("/api/v1/persistentvolumes/{}", encode(&name))).await {
        Err(trouble) if trouble.is_absent() => return Ok(None),
        other => other?,
    };
    let affinity = wire::volume_affinity(&read);
    Ok(Some(Volume { namespace: namespace.to_owned(), claim: claim.to_owned(), affinity }))
}

fn path(machine: &str) -> String {
    format!("/api/v1/nodes/{}", encode(machine))
}

pub(super) async fn cordon(cluster: &Cluster, machine: &str) -> Result<Cordon, Problem> {
    let now = cluster.now().to_string();
    set(cluster, machine, &json!(now), true).await
}

pub(super) async fn uncordon(cluster: &Cluster, machine: &str) -> Result<Cordon, Problem> {
    set(cluster, machine, &Value::Null, false).await
}

/// Writes the cordon of a node together with this program's mark, if the node has not changed since it was
/// read: a cordon that another client adds before the write remains that client's.
async fn set(cluster: &Cluster, machine: &str, mark: &Value, cordoned: bool) -> Result<Cordon, Problem> {
    let what = format!("cannot {} Kubernetes node {machine}", if cordoned { "cordon" } else { "uncordon" });
    for _ in 0..EVICTION_TRIES {
        let object = match cluster.api.get(&path(machine)).await {
            Ok(object) => object,
            Err(trouble) if trouble.is_absent() => return Ok(Cordon::Gone),
            Err(trouble) => return Err(trouble.problem(what, "verb get on nodes (a ClusterRoleBinding)")),
        };
        let Some(read) = wire::machine(&object) else { return Ok(Cordon::Gone) };
        // A mark on a node that is not cordoned is old: another client uncordoned the node.
        let ours = read.cordoned && read.cordoned_by_us;
        if cordoned && read.cordoned || !cordoned && !read.cordoned_by_us {
            return Ok(Cordon::Unchanged);
        }
        let schedulable = if cordoned { json!(true) } else { Value::Null };
        let change = json!({
            "metadata": { "resourceVersion": read.resource_version, "annotations": { CORDONED_ANNOTATION: mark } },
            "spec": { "unschedulable": schedulable },
        });
        let query = format!("{}?fieldManager={}", path(machine), encode(&cluster.field_manager));
        match cluster.api.patch(&query, BodyFormat::Merge, &change).await {
            Ok(_) => return Ok(if cordoned || ours { Cordon::Changed } else { Cordon::Unchanged }),
            Err(ApiError::Refused { code: 409, .. }) => {}
            Err(trouble) if trouble.is_absent() => return Ok(Cordon::Gone),
            Err(trouble) => return Err(trouble.problem(what, "verb patch on nodes (a ClusterRoleBinding)")),
        }
    }
    Err(Problem::new(what, "another client changes it all the time")
        .hint(format!("kubectl get node {machine} -o yaml")))
}

pub(super) async fn evict(
    cluster: &Cluster,
    namespace: &str,
    pod: &PodName,
    uid: &str,
) -> Result<Eviction, Problem> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", encode(namespace), encode(pod.as_str()));
    // The replacement of a StatefulSet's pod has the same name: only the uid prevents a repeated request from
    // evicting it.
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod.as_str(), "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": uid } },
    });
    match cluster.api.call(Method::POST, &path, Some(&body)).await {
        Ok(_) => Ok(Eviction::Accepted),
        Err(trouble) if trouble.is_absent() => Ok(Eviction::Gone),
        Err(ApiError::Refused { code: 409, message, .. })
            if message.contains("UID") || message.contains("uid") =>
        {
            Ok(Eviction::Gone)
        }
        Err(ApiError::Busy { message, .. } | ApiError::Refused { code: 409, message, .. }) => {
            Ok(Eviction::Refused(message))
        }
        Err(trouble) => {
            Err(trouble
                .problem(format!("cannot evict pod {namespace}/{pod}"), "verb create on pods/eviction"))
        }
    }
}
