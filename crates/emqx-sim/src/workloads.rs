//! The controllers of StatefulSets and ReplicaSets on the simulated cluster: they create the requested number
//! of pods from the template, choose the pods to remove, and update the set's status and events.
//!
//! StatefulSets remove the highest number first, and replace pods of an older template one at a time (`RollingUpdate`)
//! or when another client deletes them (`OnDelete`). ReplicaSets remove pods without a Kubernetes node first, then those that are
//! pending or not ready, then the cheapest (`pod-deletion-cost`), then the youngest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::conditions::is_true;
use super::names::{hash, suffix};
use super::store::{Key, Locked, Store};

/// The annotation by which a ReplicaSet chooses the pods that it removes first.
pub(super) const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The memory of the controllers: the templates of each set with their revisions.
#[derive(Default)]
pub(super) struct Workloads {
    revisions: BTreeMap<Key, Vec<(Value, String)>>,
    /// The numbers of StatefulSets, ReplicaSets and pods in the store.
    resources: [usize; 3],
}

impl Workloads {
    /// Records the revisions of the existing sets.
    pub(super) fn learn(&mut self, store: &Store) {
        let index = |plural| store.registry.index(plural).unwrap_or(usize::MAX);
        self.resources = [index("statefulsets"), index("replicasets"), index("pods")];
        let locked = store.lock();
        for (key, set) in locked.list(self.resources[0], None) {
            let revision = set["status"]["updateRevision"].as_str().unwrap_or_default().to_owned();
            self.revisions.insert(key, vec![(set["spec"]["template"].clone(), revision)]);
        }
    }

    /// The set of a pod; for a deleted pod, the one in its name.
    pub(super) fn set_of(&self, locked: &Locked<'_>, pod: &Key) -> Option<Key> {
        let [stateful, replica, _] = self.resources;
        let key =
            |resource, name: &str| Key { resource, namespace: pod.namespace.clone(), name: name.to_owned() };
        if let Some(found) = locked.get(pod) {
            let owner = &found["metadata"]["ownerReferences"][0];
            let resource = if owner["kind"] == "StatefulSet" { stateful } else { replica };
            return Some(key(resource, owner["name"].as_str()?));
        }
        let (name, _) = pod.name.rsplit_once('-')?;
        [stateful, replica]
            .map(|resource| key(resource, name))
            .into_iter()
            .find(|it| locked.get(it).is_some())
    }

    /// Brings the pods of a set to the requested number, and updates its status.
    pub(super) fn sync(&mut self, locked: &mut Locked<'_>, key: &Key) {
        let [stateful, _, pods] = self.resources;
        let mut own: Vec<(Key, Arc<Value>)> = locked
            .list(pods, Some(&key.namespace))
            .into_iter()
            .filter(|(_, pod)| pod["metadata"]["ownerReferences"][0]["name"] == key.name.as_str())
            .collect();
        let Some(set) = locked.get(key) else {
            // The garbage collector.
            for (pod, object) in &own {
                mark(locked, pod, object);
            }
            return;
        };
        let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
        let next = if key.resource == stateful {
            let revision = self.revision(key, &set["spec"]["template"]);
            own.sort_by_key(|(pod, _)| ordinal(&pod.name));
            stateful_set(locked, &set, &own, wanted, &revision)
        } else {
            replica_set(locked, &set, own, wanted)
        };
        if next != *set {
            locked.put(key.clone(), next);
        }
    }

    fn revision(&mut self, key: &Key, template: &Value) -> String {
        let known = self.revisions.entry(key.clone()).or_default();
        if let Some((_, revision)) = known.iter().find(|(known, _)| known == template) {
            return revision.clone();
        }
        let revision = format!("{}-{}", key.name, hash(&template.to_string()));
        known.push((template.clone(), revision.clone()));
        revision
    }
}

fn ordinal(pod: &str) -> usize {
    pod.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(usize::MAX)
}

fn terminating(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// Marks a pod for deletion, as the API server does.
pub(super) fn mark(locked: &mut Locked<'_>, key: &Key, pod: &Value) {
    if terminating(pod) {
        return;
    }
    let mut next = pod.clone();
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    next["metadata"]["deletionTimestamp"] = json!(locked.later(grace));
    next["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    locked.put(key.clone(), next);
}

fn make(locked: &mut Locked<'_>, set: &Value, name: &str, revision: Option<&str>) {
    let template = &set["spec"]["template"];
    let kind = set["kind"].as_str().unwrap_or_default();
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!(name);
    metadata["namespace"] = set["metadata"]["namespace"].clone();
    metadata["generateName"] = json!(format!("{}-", set["metadata"]["name"].as_str().unwrap_or_default()));
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": kind, "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let mut spec = template["spec"].clone();
    if let Some(revision) = revision {
        metadata["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal(name).to_string());
        metadata["labels"]["controller-revision-hash"] = json!(revision);
        metadata["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
        spec["hostname"] = json!(name);
        spec["subdomain"] = set["spec"]["serviceName"].clone();
    }
    locked.seed(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
        "status": { "phase": "Pending", "qosClass": "BestEffort" },
    }));
}

fn write_event(locked: &mut Locked<'_>, set: &Value, reason: &str, message: &str) {
    let (metadata, now) = (&set["metadata"], locked.now());
    let name = metadata["name"].as_str().unwrap_or_default();
    let component =
        if set["kind"] == "StatefulSet" { "statefulset-controller" } else { "replicaset-controller" };
    locked.seed(json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": format!("{name}.{:x}", locked.version()), "namespace": metadata["namespace"] },
        "involvedObject": {
            "kind": set["kind"], "namespace": metadata["namespace"], "name": name, "uid": metadata["uid"],
            "apiVersion": "apps/v1", "resourceVersion": metadata["resourceVersion"],
        },
        "reason": reason, "message": message, "type": "Normal", "count": 1, "source": { "component": component },
        "firstTimestamp": now, "lastTimestamp": now, "eventTime": null, "reportingComponent": component,
        "reportingInstance": "",
    }));
}

fn stateful_set(
    locked: &mut Locked<'_>,
    set: &Value,
    own: &[(Key, Arc<Value>)],
    wanted: usize,
    revision: &str,
) -> Value {
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let mut living: Vec<(&str, bool)> = Vec::new();
    let of = |pod: &Value| pod["metadata"]["labels"]["controller-revision-hash"] == revision;
    let mut gone = false;
    for (key, pod) in own.iter().rev() {
        if ordinal(&key.name) >= wanted && !terminating(pod) {
            mark(locked, key, pod);
            let text = format!("Delete Pod {} in StatefulSet {name} successful", key.name);
            write_event(locked, set, "SuccessfulDelete", &text);
            gone = true;
        } else if !terminating(pod) {
            living.push((&key.name, of(pod)));
        }
    }
    let mut made = 0;
    for number in 0..wanted {
        let pod = format!("{name}-{number}");
        if !own.iter().any(|(key, _)| key.name == pod) {
            make(locked, set, &pod, Some(revision));
            let text = format!("Create Pod {pod} in StatefulSet {name} successful");
            write_event(locked, set, "SuccessfulCreate", &text);
            made += 1;
        }
    }
    let ready = own.iter().filter(|(_, pod)| is_true(pod, "Ready")).count();
    let ending = own.iter().any(|(_, pod)| terminating(pod));
    let complete = !gone && !ending && made == 0 && own.len() == wanted && ready == wanted;
    let rolls = set["spec"]["updateStrategy"]["type"] != "OnDelete";
    let old = own.iter().rev().find(|(_, pod)| !of(pod) && !terminating(pod));
    if let Some((key, pod)) = old.filter(|_| complete && rolls) {
        mark(locked, key, pod);
        let text = format!("Delete Pod {} in StatefulSet {name} successful", key.name);
        write_event(locked, set, "SuccessfulDelete", &text);
        living.retain(|(pod, _)| *pod != key.name);
    }
    let updated = living.iter().filter(|(_, new)| *new).count() + made;
    let mut current = set["status"]["currentRevision"].as_str().unwrap_or(revision).to_owned();
    if updated == wanted && living.len() + made == wanted {
        revision.clone_into(&mut current);
    }
    let at_current =
        if current == revision { updated } else { living.iter().filter(|(_, new)| !new).count() };
    let mut next = set.clone();
    next["status"] = counted(json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": own.len() + made,
        "readyReplicas": ready, "currentReplicas": at_current, "updatedReplicas": updated,
        "currentRevision": current, "updateRevision": revision,
        "collisionCount": 0, "availableReplicas": ready,
    }));
    next
}

/// Counts of zero are omitted, except those that every set's status has.
fn counted(mut status: Value) -> Value {
    if let Some(status) = status.as_object_mut() {
        let dropped = ["readyReplicas", "currentReplicas", "updatedReplicas", "fullyLabeledReplicas"];
        status.retain(|key, value| *value != 0 || !dropped.contains(&key.as_str()));
    }
    status
}

fn replica_set(locked: &mut Locked<'_>, set: &Value, own: Vec<(Key, Arc<Value>)>, wanted: usize) -> Value {
    let name = set["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let (mut living, ending): (Vec<_>, Vec<_>) = own.into_iter().partition(|(_, pod)| !terminating(pod));
    let mut ended = ending.len();
    // The order of Kubernetes' `ActivePodsWithRanks`, without the number of pods on a node and restarts.
    living.sort_by_cached_key(|(key, pod)| {
        let cost: i64 =
            pod["metadata"]["annotations"][COST].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        let born = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        let placed = !pod["spec"]["nodeName"].is_null();
        let running = pod["status"]["phase"] == "Running";
        (placed, running, is_true(pod, "Ready"), cost, std::cmp::Reverse(born), key.name.clone())
    });
    for (key, pod) in living.drain(..living.len().saturating_sub(wanted)).collect::<Vec<_>>() {
        mark(locked, &key, &pod);
        write_event(locked, set, "SuccessfulDelete", &format!("Deleted pod: {}", key.name));
        ended += 1;
    }
    let made = wanted.saturating_sub(living.len());
    for _ in 0..made {
        let pod = format!("{name}-{}", suffix(locked.version()));
        make(locked, set, &pod, None);
        write_event(locked, set, "SuccessfulCreate", &format!("Created pod: {pod}"));
    }
    let ready = living.iter().filter(|(_, pod)| is_true(pod, "Ready")).count();
    let mut next = set.clone();
    let mut status = counted(json!({
        "replicas": living.len() + made, "fullyLabeledReplicas": living.len() + made, "readyReplicas": ready,
        "availableReplicas": ready, "terminatingReplicas": ended,
        "observedGeneration": set["metadata"]["generation"],
    }));
    if ready == 0
        && let Some(status) = status.as_object_mut()
    {
        status.remove("availableReplicas");
    }
    next["status"] = status;
    next
}
