//! What the kubelet and Kubernetes' own controllers do on the pretend cluster: a pod's readiness follows its containers
//! and its gates, endpoints follow the pods, sets count them. On v3beta1 the kubelet also probes `availability_check`.
//!
//! ```text
//! a pod changed ─► 60 ms later: its conditions ─► its endpoints (headless ones stay ready, only `serving` is the truth)
//!                                              └► its set's readyReplicas
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Woken, Worker};
use super::emqx::Emqx;
use super::scenario::Api;
use super::store::{Key, Locked, Store};

/// From a change of a pod to everything that follows from it; 0.06–0.3 s on the real cluster.
const LAG: Duration = Duration::from_millis(60);
/// The period of v3beta1's readiness probe.
const PROBE: Duration = Duration::from_secs(5);

/// What the loop needs.
pub(super) struct Kubelet {
    pub(super) store: Store,
    pub(super) emqx: Emqx,
    /// Pod name → index of its EMQX node.
    pub(super) pods: Arc<BTreeMap<String, usize>>,
}

impl Kubelet {
    /// Works until its task is ended.
    pub(super) async fn run(self, mut worker: Worker) {
        let clock = self.store.clock.clone();
        let mut probe = (self.emqx.api() == Api::V3beta1).then(|| clock.elapsed() + PROBE);
        loop {
            match worker.wait(probe).await {
                Woken::Raised => {
                    worker.sleep_until(clock.elapsed() + LAG).await;
                    self.sync();
                }
                Woken::Time => {
                    self.probe();
                    probe = probe.map(|at| at + PROBE);
                }
            }
        }
    }

    /// v3beta1 has no gate: a donor's container fails its probe within five seconds.
    fn probe(&self) {
        let Some(resource) = self.store.registry.index("pods") else { return };
        let answers: Vec<bool> =
            self.emqx.with(|broker| (0..broker.nodes.len()).map(|node| broker.available(node)).collect());
        let mut locked = self.store.lock();
        for (key, pod) in locked.list(resource, None) {
            let Some(&ready) = self.pods.get(&key.name).and_then(|&node| answers.get(node)) else { continue };
            if pod["status"]["containerStatuses"][0]["ready"] != ready {
                let mut pod = (*pod).clone();
                pod["status"]["containerStatuses"][0]["ready"] = json!(ready);
                locked.put(key, pod);
            }
        }
    }

    fn sync(&self) {
        let mut locked = self.store.lock();
        let now = locked.now();
        let mut ready: BTreeMap<String, Option<bool>> = BTreeMap::new();
        let mut owners: BTreeSet<(String, String)> = BTreeSet::new();
        let mut namespaces: BTreeSet<String> = BTreeSet::new();
        for key in locked.take_dirty_pods() {
            namespaces.insert(key.namespace.clone());
            let Some(pod) = locked.get(&key) else {
                ready.insert(key.name, None);
                continue;
            };
            let next = with_conditions(&pod, &now);
            ready.insert(key.name.clone(), Some(is_true(&next, "Ready")));
            for owner in pod["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
                let word = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
                owners.insert((word("kind"), word("name")));
            }
            if next != *pod {
                locked.put(key, next);
            }
        }
        // What was written here needs no second look.
        locked.take_dirty_pods();
        for namespace in namespaces {
            self.endpoints(&mut locked, &namespace, &ready, &now);
            self.sets(&mut locked, &namespace, &owners);
        }
    }

    fn endpoints(
        &self,
        locked: &mut Locked<'_>,
        namespace: &str,
        ready: &BTreeMap<String, Option<bool>>,
        now: &str,
    ) {
        let Some(resource) = self.store.registry.index("endpointslices") else { return };
        for (key, slice) in locked.list(resource, Some(namespace)) {
            let headless = !slice["metadata"]["labels"]["service.kubernetes.io/headless"].is_null();
            let mut next = (*slice).clone();
            let Some(endpoints) = next["endpoints"].as_array_mut() else { continue };
            let known =
                |endpoint: &Value| endpoint["targetRef"]["name"].as_str().and_then(|name| ready.get(name));
            endpoints.retain(|endpoint| known(endpoint) != Some(&None));
            for endpoint in endpoints {
                if let Some(&Some(ready)) = known(endpoint) {
                    endpoint["conditions"]["serving"] = json!(ready);
                    endpoint["conditions"]["ready"] = json!(ready || headless);
                }
            }
            if next != *slice {
                let generation = slice["metadata"]["generation"].as_u64().unwrap_or(1);
                next["metadata"]["generation"] = json!(generation + 1);
                next["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] =
                    json!(now);
                locked.put(key, next);
            }
        }
    }

    fn sets(&self, locked: &mut Locked<'_>, namespace: &str, owners: &BTreeSet<(String, String)>) {
        let registry = &self.store.registry;
        let Some(pods) = registry.index("pods") else { return };
        for (kind, name) in owners {
            let plural = if kind == "StatefulSet" { "statefulsets" } else { "replicasets" };
            let Some(resource) = registry.index(plural) else { continue };
            let key = Key { resource, namespace: namespace.to_owned(), name: name.clone() };
            let Some(set) = locked.get(&key) else { continue };
            let own: Vec<_> = locked
                .list(pods, Some(namespace))
                .into_iter()
                .filter(|(_, pod)| pod["metadata"]["ownerReferences"][0]["name"] == name.as_str())
                .collect();
            let ready = own.iter().filter(|(_, pod)| is_true(pod, "Ready")).count();
            let mut next = (*set).clone();
            next["status"]["replicas"] = json!(own.len());
            next["status"]["readyReplicas"] = json!(ready);
            next["status"]["availableReplicas"] = json!(ready);
            if ready == 0
                && let Some(status) = next["status"].as_object_mut()
            {
                status.remove("readyReplicas");
            }
            if next != *set {
                locked.put(key, next);
            }
        }
    }
}

fn is_true(pod: &Value, kind: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// The pod with `ContainersReady` and `Ready` as they follow from its containers and gates.
fn with_conditions(pod: &Value, now: &str) -> Value {
    let containers = pod["status"]["containerStatuses"].as_array();
    let containers_ready = containers.into_iter().flatten().all(|container| container["ready"] == true);
    let gates = pod["spec"]["readinessGates"].as_array();
    let gates_open = gates
        .into_iter()
        .flatten()
        .all(|gate| gate["conditionType"].as_str().is_some_and(|kind| is_true(pod, kind)));
    let mut next = pod.clone();
    set_condition(&mut next, "ContainersReady", containers_ready, now);
    set_condition(&mut next, "Ready", containers_ready && gates_open, now);
    next
}

fn set_condition(pod: &mut Value, kind: &str, is_true: bool, now: &str) {
    let status = if is_true { "True" } else { "False" };
    let Some(conditions) = pod["status"]["conditions"].as_array_mut() else { return };
    if let Some(known) = conditions.iter_mut().find(|condition| condition["type"] == kind)
        && known["status"] != status
    {
        known["status"] = json!(status);
        known["lastTransitionTime"] = json!(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(container: bool, gate: &str) -> Value {
        json!({
            "spec": { "readinessGates": [{ "conditionType": "g" }] },
            "status": {
                "containerStatuses": [{ "ready": container }],
                "conditions": [
                    { "type": "g", "status": gate }, { "type": "ContainersReady", "status": "True" },
                    { "type": "Ready", "status": "True" },
                ],
            },
        })
    }

    #[test]
    fn a_pod_is_ready_when_its_containers_and_its_gate_say_so() {
        let ready = |container, gate| is_true(&with_conditions(&pod(container, gate), "now"), "Ready");
        assert!(ready(true, "True"));
        assert!(!ready(true, "False"));
        assert!(!ready(true, "Unknown"));
        assert!(!ready(false, "True"));
        assert!(is_true(&with_conditions(&pod(true, "False"), "now"), "ContainersReady"));
    }
}
