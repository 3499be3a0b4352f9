//! The lifecycle of pods on the simulated node: scheduled, started with an address, ready when EMQX has
//! joined; and ended, with EMQX leaving the cluster. The pauses are those of the recordings; the scenario or
//! the image determines the faults.
//!
//! ```text
//! made ─0.25 s─► scheduled ─0.55 s─► started, has an address ─1.2 s─► EMQX has joined, container ready
//! marked for deletion ─0.04 to 0.31 s─► EMQX is gone, and so is the pod
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::emqx::Emqx;
use super::names::address;
use super::scenario::{Api, NewPods, Role, Scenario};
use super::store::{Key, Locked};

const SCHEDULED: Duration = Duration::from_millis(250);
const STARTED: Duration = Duration::from_millis(550);
const JOINED: Duration = Duration::from_millis(1200);
/// A pod without a place is tried again.
const RETRIED: Duration = Duration::from_secs(5);
/// From the first failed pull to the first pause of the kubelet's back-off.
const BACK_OFF: Duration = Duration::from_secs(10);
/// The time from the deletion request to the end of a pod in the recordings, one after another.
const ENDS: [u64; 4] = [280, 40, 180, 310];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Made,
    Scheduled,
    Started,
    PullFailed,
    Ending,
    /// Nothing more happens by itself.
    Rest,
}

/// Every pod that is starting or ending.
pub(super) struct PodLifecycles {
    emqx: Emqx,
    scenario: Scenario,
    pods: BTreeMap<Key, (Stage, Option<Duration>)>,
    addresses: usize,
    ended: usize,
}

impl PodLifecycles {
    pub(super) fn new(emqx: Emqx, scenario: Scenario) -> Self {
        let addresses = scenario.members().len();
        Self { emqx, scenario, pods: BTreeMap::new(), addresses, ended: 0 }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.scenario.namespace
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.pods.values().filter_map(|(_, due)| *due).min()
    }

    /// Processes a changed pod: a new one begins to start, a marked one to end, a deleted one is dropped.
    pub(super) fn meet(&mut self, locked: &Locked<'_>, key: &Key) {
        let Some(pod) = locked.get(key) else {
            self.pods.remove(key);
            // The pod was removed at once, without a termination period.
            self.leave(&key.name);
            return;
        };
        let now = self.emqx.clock().elapsed();
        let stage = self.pods.get(key).map(|(stage, _)| *stage);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if stage != Some(Stage::Ending) {
                let end = Duration::from_millis(ENDS[self.ended % ENDS.len()]);
                self.ended += 1;
                self.pods.insert(key.clone(), (Stage::Ending, Some(now + end)));
            }
        } else if stage.is_none() && pod["status"]["podIP"].is_null() {
            self.pods.insert(key.clone(), (Stage::Made, Some(now + SCHEDULED)));
        }
    }

    /// Carries out everything that is due.
    pub(super) fn step(&mut self, locked: &mut Locked<'_>) {
        let now = self.emqx.clock().elapsed();
        let due: Vec<(Key, Stage)> = self
            .pods
            .iter()
            .filter(|(_, (_, due))| due.is_some_and(|due| due <= now))
            .map(|(key, (stage, _))| (key.clone(), *stage))
            .collect();
        for (key, stage) in due {
            let Some(pod) = locked.get(&key) else { continue };
            let mut pod = (*pod).clone();
            let (next, pause) = match stage {
                Stage::Made => {
                    let machine = Self::place(locked);
                    self.schedule(&mut pod, machine, &locked.now())
                }
                Stage::Scheduled => self.start(&mut pod, &locked.now()),
                Stage::Started => self.join(&mut pod),
                Stage::PullFailed => pull_backs_off(&mut pod),
                Stage::Ending => {
                    self.leave(&key.name);
                    self.pods.remove(&key);
                    locked.remove(&key);
                    continue;
                }
                Stage::Rest => (Stage::Rest, None),
            };
            self.pods.insert(key.clone(), (next, pause.map(|pause| now + pause)));
            locked.put(key, pod);
        }
    }

    fn leave(&self, pod: &str) {
        self.emqx.with(|broker| {
            if let Some(node) = broker.in_pod(pod) {
                broker.leave(node);
            }
        });
    }

    /// The Kubernetes node with the fewest pods that has space for one more.
    fn place(locked: &Locked<'_>) -> Option<String> {
        let index = |plural: &str| locked.registry().index(plural);
        let mut pods: BTreeMap<String, u64> = BTreeMap::new();
        for (_, pod) in index("pods").map(|pods| locked.list(pods, None)).unwrap_or_default() {
            if let Some(machine) = pod["spec"]["nodeName"].as_str() {
                *pods.entry(machine.to_owned()).or_default() += 1;
            }
        }
        let machines = index("nodes").map(|nodes| locked.list(nodes, None)).unwrap_or_default();
        let free = machines.iter().filter(|(_, machine)| machine["spec"]["unschedulable"] != true);
        let counted = free.map(|(key, machine)| {
            let most = machine["status"]["allocatable"]["pods"].as_str().and_then(|it| it.parse().ok());
            (pods.get(&key.name).copied().unwrap_or(0), most.unwrap_or(0_u64), key.name.clone())
        });
        counted.filter(|(own, most, _)| own < most).min().map(|(_, _, name)| name)
    }

    fn schedule(&self, pod: &mut Value, machine: Option<String>, now: &str) -> (Stage, Option<Duration>) {
        let Some(machine) = machine.filter(|_| self.scenario.new_pods != NewPods::Pending) else {
            let number = self.scenario.kubernetes_nodes;
            let message = format!(
                "0/{number} nodes are available: {number} Insufficient memory. preemption: 0/{number} nodes are available: {number} No preemption victims found for incoming pod."
            );
            add_condition(pod, "PodScheduled", "False", now);
            let list = pod["status"]["conditions"].as_array_mut();
            if let Some(condition) = list.and_then(|list| list.last_mut()) {
                condition["reason"] = json!("Unschedulable");
                condition["message"] = json!(message);
            }
            let tried_again = self.scenario.new_pods != NewPods::Pending;
            return if tried_again { (Stage::Made, Some(RETRIED)) } else { (Stage::Rest, None) };
        };
        pod["spec"]["nodeName"] = json!(machine);
        add_condition(pod, "PodScheduled", "True", now);
        (Stage::Scheduled, Some(STARTED))
    }

    fn start(&mut self, pod: &mut Value, now: &str) -> (Stage, Option<Duration>) {
        let ip = address(self.addresses);
        self.addresses += 1;
        for kind in ["Initialized", "ContainersReady", "Ready"] {
            add_condition(pod, kind, if kind == "Initialized" { "True" } else { "False" }, now);
        }
        let image = image_of(pod).to_owned();
        let (phase, state, next) = match self.scenario.new_pods {
            _ if !can_be_pulled(&image) => {
                let message = format!(
                    "failed to pull and unpack image \"docker.io/{image}\": failed to resolve reference \"docker.io/{image}\": docker.io/{image}: not found"
                );
                let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": message } });
                ("Pending", waiting, (Stage::PullFailed, Some(BACK_OFF)))
            }
            NewPods::CrashLoop => {
                let message = "back-off 40s restarting failed container=emqx";
                let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } });
                ("Running", waiting, (Stage::Rest, None))
            }
            NewPods::Healthy | NewPods::Pending => {
                ("Running", json!({ "running": { "startedAt": now } }), (Stage::Started, Some(JOINED)))
            }
        };
        let status = &mut pod["status"];
        status["phase"] = json!(phase);
        status["hostIP"] = json!("10.0.0.1");
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{ "ip": ip }]);
        status["startTime"] = json!(now);
        let restarts = if self.scenario.new_pods == NewPods::CrashLoop { 3 } else { 0 };
        status["containerStatuses"] = json!([{
            "name": "emqx", "state": state, "lastState": {}, "ready": false, "started": false,
            "restartCount": restarts, "image": image, "imageID": "",
        }]);
        next
    }

    /// The container is ready; in a pod of the instance EMQX joins the cluster.
    fn join(&self, pod: &mut Value) -> (Stage, Option<Duration>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = &pod["metadata"]["labels"];
        let (name, ip) = (text(&pod["metadata"]["name"]), text(&pod["status"]["podIP"]));
        let mut ready = true;
        if labels["apps.emqx.io/instance"] == self.scenario.instance.as_str() {
            let replicant = labels["apps.emqx.io/db-role"] == "replicant";
            let role = if replicant { Role::Replicant } else { Role::Core };
            let node = self.scenario.node_name(role, &name, &ip);
            let version = image_of(pod).rsplit(':').next().unwrap_or_default().to_owned();
            ready = self.emqx.with(|broker| {
                broker.join(&node, &name, role, &version);
                // An evacuation that survived the restart keeps the probe failing.
                broker.api != Api::V3beta1 || broker.in_pod(&name).is_some_and(|node| broker.available(node))
            });
        }
        let container = &mut pod["status"]["containerStatuses"][0];
        container["ready"] = json!(ready);
        container["started"] = json!(true);
        container["imageID"] = json!("sim");
        (Stage::Rest, None)
    }
}

fn pull_backs_off(pod: &mut Value) -> (Stage, Option<Duration>) {
    let message = format!("Back-off pulling image \"{}\"", image_of(pod));
    pod["status"]["containerStatuses"][0]["state"] =
        json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } });
    (Stage::Rest, None)
}

fn image_of(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

/// The images in the registry: EMQX's repositories, with tags of releases from 4 to 6.
fn can_be_pulled(image: &str) -> bool {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let Some((repository, tag)) = image.rsplit_once(':') else { return false };
    let numbers: Vec<Option<u32>> =
        tag.split('-').next().unwrap_or_default().split('.').map(|part| part.parse().ok()).collect();
    ["emqx/emqx", "emqx/emqx-ee", "emqx/emqx-enterprise"].contains(&repository)
        && matches!(numbers[..], [Some(4..=6), Some(_), Some(_)])
}

fn add_condition(pod: &mut Value, kind: &str, status: &str, now: &str) {
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let Some(list) = pod["status"]["conditions"].as_array_mut() else { return };
    list.retain(|known| known["type"] != kind);
    list.push(json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_has_releases_of_emqx_and_nothing_else() {
        assert!(can_be_pulled("emqx/emqx-enterprise:5.8.7"));
        assert!(can_be_pulled("docker.io/emqx/emqx-ee:4.4.24"));
        assert!(can_be_pulled("emqx/emqx:5.8.7-elixir"));
        assert!(!can_be_pulled("emqx/emqx-enterprise:5.8"));
        assert!(!can_be_pulled("emqx/emqx-enterprise:latest"));
        assert!(!can_be_pulled("emqx/emqx-enterprise"));
        assert!(!can_be_pulled("registry.example.com/emqx/emqx:5.8.7"));
    }
}
