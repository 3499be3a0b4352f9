//! The kubelet and Kubernetes' own controllers of the simulated cluster: sets create their pods, pods start
//! and end, a pod's readiness follows its containers and its gates, endpoints follow the pods, sets count
//! them. On v3beta1 the kubelet also probes `availability_check`.
//!
//! ```text
//! a set changed ─► 60 ms later: its pods are made or marked to go (workloads) ─► they come up, they end (lives)
//! a pod changed ─► 60 ms later: its conditions ─► its endpoints (headless ones stay ready, only `serving` is the truth)
//!                                              └► its set's counts, and the load balancer of the simulated EMQX
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::budgets;
use super::clock::{Woken, Worker};
use super::conditions::{is_true, with_conditions};
use super::emqx::Emqx;
use super::endpoints;
use super::pod_lifecycle::PodLifecycles;
use super::scenario::{Api, Scenario};
use super::store::{Key, Locked, Store};
use super::workloads::Workloads;

/// Time from a change of a pod to its consequences; 0.06–0.3 s on the real cluster.
const LAG: Duration = Duration::from_millis(60);
/// The period of v3beta1's readiness probe.
const PROBE: Duration = Duration::from_secs(5);
/// A set's change changes pods, whose change changes the set: more rounds than this are never needed.
const ROUNDS: usize = 8;

/// The loop and what it keeps.
pub(super) struct Kubelet {
    store: Store,
    emqx: Emqx,
    lifecycles: PodLifecycles,
    workloads: Workloads,
}

impl Kubelet {
    pub(super) fn new(store: Store, emqx: Emqx, scenario: Scenario) -> Self {
        let lifecycles = PodLifecycles::new(emqx.clone(), scenario);
        Self { store, emqx, lifecycles, workloads: Workloads::default() }
    }

    /// Runs until its task is aborted.
    pub(super) async fn run(mut self, mut worker: Worker) {
        let clock = self.store.clock.clone();
        self.workloads.learn(&self.store);
        let mut probe = (self.emqx.api() == Api::V3beta1).then(|| clock.elapsed() + PROBE);
        loop {
            let next = self.lifecycles.next().into_iter().chain(probe).min();
            if worker.wait(next).await == Woken::Raised {
                worker.sleep_until(clock.elapsed() + LAG).await;
            }
            if let Some(at) = probe.filter(|&at| at <= clock.elapsed()) {
                self.probe();
                probe = Some(at + PROBE);
            }
            self.sync();
        }
    }

    /// v3beta1 has no gate: a donor's container fails its probe within five seconds.
    fn probe(&self) {
        let Some(resource) = self.store.registry.index("pods") else { return };
        let answers: Vec<(String, bool)> = self.emqx.with(|broker| {
            broker.members().map(|(node, it)| (it.pod.clone(), broker.available(node))).collect()
        });
        let mut locked = self.store.lock();
        for (name, ready) in answers {
            let key = Key { resource, namespace: self.lifecycles.namespace().to_owned(), name };
            let Some(pod) = locked.get(&key) else { continue };
            let container = &pod["status"]["containerStatuses"][0];
            if container["started"] == true && container["ready"] != ready {
                let mut pod = (*pod).clone();
                pod["status"]["containerStatuses"][0]["ready"] = json!(ready);
                locked.put(key, pod);
            }
        }
    }

    fn sync(&mut self) {
        let Some(pods) = self.store.registry.index("pods") else { return };
        let mut locked = self.store.lock();
        self.lifecycles.step(&mut locked);
        for _ in 0..ROUNDS {
            let dirty = locked.take_dirty();
            if dirty.is_empty() {
                return;
            }
            let (changed, others): (BTreeSet<Key>, BTreeSet<Key>) =
                dirty.into_iter().partition(|key| key.resource == pods);
            let budgets = self.store.registry.index("poddisruptionbudgets");
            let mut sets: BTreeSet<Key> =
                others.into_iter().filter(|key| Some(key.resource) != budgets).collect();
            let now = locked.now();
            for key in &changed {
                self.lifecycles.meet(&locked, key);
                sets.extend(self.workloads.set_of(&locked, key));
                if let Some(pod) = locked.get(key) {
                    let next = with_conditions(&pod, &now);
                    if next != *pod {
                        locked.put(key.clone(), next);
                    }
                }
            }
            endpoints::follow(&mut locked, &self.store.registry, &changed);
            self.balance(&locked, &changed);
            for key in sets {
                self.workloads.sync(&mut locked, &key);
            }
            budgets::count(&mut locked, &self.store.registry);
        }
    }

    /// The load balancer of the simulated EMQX reads the endpoints.
    fn balance(&self, locked: &Locked<'_>, changed: &BTreeSet<Key>) {
        self.emqx.with(|broker| {
            let nodes: BTreeMap<String, usize> =
                broker.members().map(|(node, it)| (it.pod.clone(), node)).collect();
            for key in changed {
                let pod = locked.get(key);
                let serves = pod.is_some_and(|pod| {
                    is_true(&pod, "Ready") && pod["metadata"]["deletionTimestamp"].is_null()
                });
                if let Some(&node) = nodes.get(&key.name) {
                    broker.nodes[node].in_service = serves;
                }
            }
        });
    }
}
