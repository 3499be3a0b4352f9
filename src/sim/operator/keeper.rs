//! The loop over the instance: its status from EMQX's nodes, and the gates by which its pods leave and join the Service.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::{Shared, to_object, to_value};
use crate::sim::clock::{Woken, Worker, rfc3339};
use crate::sim::instance::{self, NodeView, SetView, View};
use crate::sim::population::GATE;
use crate::sim::scenario::{Api, Role};

/// The real loops: while ready, while not, and v1beta4's only one.
const READY: Duration = Duration::from_secs(30);
const UNREADY: Duration = Duration::from_millis(1280);
const V1BETA4: Duration = Duration::from_millis(20_170);
/// 2.2 watches the sets it owns: a pod that leaves brings the next pass at once.
const OWNED_SET: Duration = Duration::from_millis(120);

pub(super) async fn run(shared: &Shared, mut worker: Worker) {
    let mut next = shared.clock.elapsed();
    loop {
        if worker.wait(Some(next)).await == Woken::Raised {
            next = shared.take_phase().unwrap_or(next);
            continue;
        }
        let pause = if shared.alive() {
            pass(shared).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "a pass of the pretend operator");
                UNREADY
            })
        } else {
            UNREADY
        };
        next = shared.clock.elapsed() + pause;
    }
}

/// One pass; how long to wait until the next.
async fn pass(shared: &Shared) -> Result<Duration, kube::Error> {
    let instances = shared.custom(shared.api.name(), shared.api.kind(), shared.api.plural());
    let Some(found) = instances.get_opt(&shared.instance).await? else { return Ok(READY) };
    if shared.emqx.answer().is_some() {
        // EMQX does not answer: nothing is written, every status stays as old as it is.
        return Ok(if shared.api == Api::V1beta4 { V1BETA4 } else { UNREADY });
    }
    let mut object = to_value(&found);
    let selector = ListParams::default().labels(&format!("apps.emqx.io/instance={}", shared.instance));
    let pods: Vec<Value> =
        shared.plain("", "Pod", "pods").list(&selector).await?.items.iter().map(to_value).collect();
    let sets = sets(shared, &selector).await?;
    let before = object["status"].take();
    let view = look(shared, &object, &pods, &sets);
    let after = instance::status(&view, &before);
    if differs(shared.api, &before, &after) {
        object["status"] = after.clone();
        instances.replace_status(&shared.instance, &PostParams::default(), &to_object(object)?).await?;
    }
    let moved = gates(shared, &pods).await?;
    Ok(match shared.api {
        Api::V1beta4 => V1BETA4,
        Api::V2beta1 if moved => OWNED_SET,
        _ if instance::is_ready(shared.api, &after) => READY,
        _ => UNREADY,
    })
}

async fn sets(shared: &Shared, selector: &ListParams) -> Result<BTreeMap<Role, Value>, kube::Error> {
    let mut sets = BTreeMap::new();
    for (role, kind, plural) in
        [(Role::Core, "StatefulSet", "statefulsets"), (Role::Replicant, "ReplicaSet", "replicasets")]
    {
        let found = shared.plain("apps", kind, plural).list(selector).await?;
        if let Some(set) = found.items.iter().map(to_value).find(|set| set["spec"]["replicas"] != 0) {
            sets.insert(role, set);
        }
    }
    Ok(sets)
}

/// Nodes from EMQX, pods and sets from Kubernetes, in one view.
fn look(shared: &Shared, object: &Value, pods: &[Value], sets: &BTreeMap<Role, Value>) -> View {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut by_host: BTreeMap<String, &Value> = BTreeMap::new();
    for pod in pods {
        by_host.insert(text(&pod["metadata"]["name"]), pod);
        by_host.insert(text(&pod["status"]["podIP"]), pod);
    }
    let set_view = |role: Role| {
        let set = sets.get(&role)?;
        let revision = if shared.api == Api::V1beta4 {
            &set["status"]["currentRevision"]
        } else {
            &set["metadata"]["labels"]["apps.emqx.io/pod-template-hash"]
        };
        let replicas = set["spec"]["replicas"].as_u64().unwrap_or(0);
        let ready = set["status"]["readyReplicas"].as_u64().unwrap_or(0);
        Some(SetView { revision: text(revision), replicas, ready })
    };
    shared.emqx.with(|broker| View {
        api: shared.api,
        version: broker.version.clone(),
        generation: object["metadata"]["generation"].as_u64().unwrap_or(1),
        nodes: broker
            .nodes
            .iter()
            .map(|node| {
                let host = node.name.split_once('@').map_or(node.name.as_str(), |(_, host)| host);
                let label = host.split('.').next().unwrap_or(host);
                let pod = by_host.get(host).or_else(|| by_host.get(label)).copied().unwrap_or(&Value::Null);
                NodeView {
                    name: node.name.clone(),
                    role: node.role,
                    running: node.running,
                    connections: node.connections,
                    sessions: node.sessions(),
                    pod: text(&pod["metadata"]["name"]),
                    pod_uid: text(&pod["metadata"]["uid"]),
                    controller_uid: text(&pod["metadata"]["ownerReferences"][0]["uid"]),
                }
            })
            .collect(),
        cores: set_view(Role::Core).unwrap_or_default(),
        replicants: set_view(Role::Replicant),
        evacuations: instance::evacuations(broker),
        now: shared.clock.now(),
    })
}

/// Nothing is written when nothing changed; v1beta4's `lastUpdateTime` alone is no change.
fn differs(api: Api, before: &Value, after: &Value) -> bool {
    if api != Api::V1beta4 {
        return before != after;
    }
    let mut after = after.clone();
    let time = &before["conditions"][0]["lastUpdateTime"];
    if !time.is_null() {
        after["conditions"][0]["lastUpdateTime"] = time.clone();
    }
    *before != after
}

/// Sets `on-serving` of every pod whose containers are ready by EMQX's `availability_check`; whether any moved.
async fn gates(shared: &Shared, pods: &[Value]) -> Result<bool, kube::Error> {
    if shared.api == Api::V3beta1 {
        return Ok(false);
    }
    let api = shared.plain("", "Pod", "pods");
    let now = rfc3339(shared.clock.now());
    // By the node's address and by the first label of its host, which is the pod's name.
    let answers: BTreeMap<String, bool> = shared.emqx.with(|broker| {
        (0..broker.nodes.len())
            .flat_map(|node| {
                let name = &broker.nodes[node].name;
                let host = name.split_once('@').map_or(name.as_str(), |(_, host)| host);
                let label = host.split('.').next().unwrap_or(host);
                let answer = broker.available(node);
                [(host.to_owned(), answer), (label.to_owned(), answer)]
            })
            .collect()
    });
    let mut moved = false;
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let address = pod["status"]["podIP"].as_str().unwrap_or_default();
        let answer = answers.get(address).or_else(|| answers.get(name)).copied();
        let conditions = pod["status"]["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "ContainersReady" && condition["status"] == "True");
        let Some(open) = answer.filter(|_| ready) else { continue };
        let status = if open { "True" } else { "False" };
        let mut next = pod.clone();
        let Some(list) = next["status"]["conditions"].as_array_mut() else { continue };
        if !list.iter().any(|condition| condition["type"] == GATE) {
            list.insert(
                0,
                json!({ "type": GATE, "status": "", "lastProbeTime": null, "lastTransitionTime": null }),
            );
        }
        let Some(known) = list.iter_mut().find(|condition| condition["type"] == GATE) else { continue };
        let changed = known["status"] != status;
        moved |= changed;
        if shared.api == Api::V1beta4 {
            // It writes the time of the probe each pass, and never moves `lastTransitionTime`.
            known["lastProbeTime"] = json!(now);
        } else if !changed {
            continue;
        } else {
            known["lastTransitionTime"] = json!(now);
        }
        known["status"] = json!(status);
        api.replace_status(name, &PostParams::default(), &to_object(next)?).await?;
    }
    Ok(moved)
}
