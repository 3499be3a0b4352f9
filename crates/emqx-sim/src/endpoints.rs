//! EndpointSlices as Kubernetes' own controller maintains them: a pod that a Service selects is in one of its
//! slices while it has an address.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::conditions::is_true;
use super::resources::Registry;
use super::store::{Key, Locked};

/// The most endpoints in a slice.
pub(super) const FULL: usize = 100;

/// Brings the slices up to date after these pods changed.
pub(super) fn follow(locked: &mut Locked<'_>, registry: &Registry, changed: &BTreeSet<Key>) {
    let (Some(slices), Some(services)) = (registry.index("endpointslices"), registry.index("services"))
    else {
        return;
    };
    let namespaces: BTreeSet<&str> = changed.iter().map(|key| key.namespace.as_str()).collect();
    for namespace in namespaces {
        let own = || changed.iter().filter(|key| key.namespace == namespace);
        for (service, object) in locked.list(services, Some(namespace)) {
            let selected = own()
                .filter_map(|key| Some((key, locked.get(key)?)))
                .filter(|(_, pod)| selects(&object, pod) && !pod["status"]["podIP"].is_null())
                .map(|(key, pod)| (key.name.as_str(), pod))
                .collect::<Vec<_>>();
            let headless = object["spec"]["clusterIP"] == "None";
            let mut missing: Vec<Value> = selected.iter().map(|(_, pod)| endpoint(pod, headless)).collect();
            let slices: Vec<_> = locked
                .list(slices, Some(namespace))
                .into_iter()
                .filter(|(_, slice)| {
                    slice["metadata"]["labels"]["kubernetes.io/service-name"] == service.name.as_str()
                })
                .collect();
            for (_, slice) in &slices {
                let listed = |wanted: &Value| {
                    let known = slice["endpoints"].as_array();
                    known
                        .into_iter()
                        .flatten()
                        .any(|it| it["targetRef"]["name"] == wanted["targetRef"]["name"])
                };
                missing.retain(|it| !listed(it));
            }
            let spare = slices.last().map(|(key, slice)| (key.clone(), Arc::clone(slice)));
            for (key, slice) in slices {
                let mut next = (*slice).clone();
                let Some(list) = next["endpoints"].as_array_mut() else { continue };
                list.retain_mut(|it| {
                    let name = it["targetRef"]["name"].as_str().unwrap_or_default().to_owned();
                    if !own().any(|key| key.name == name) {
                        return true;
                    }
                    let found = selected.iter().find(|(pod, _)| *pod == name);
                    if let Some((_, pod)) = found {
                        *it = endpoint(pod, headless);
                    }
                    found.is_some()
                });
                let room = FULL.saturating_sub(list.len()).min(missing.len());
                list.extend(missing.drain(..room));
                if next != *slice {
                    let generation = slice["metadata"]["generation"].as_u64().unwrap_or(1);
                    next["metadata"]["generation"] = json!(generation + 1);
                    next["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] =
                        json!(locked.now());
                    locked.put(key, next);
                }
            }
            let Some((key, slice)) = spare else { continue };
            for chunk in missing.chunks(FULL) {
                let mut next = (*slice).clone();
                let name = format!("{}-{}", service.name, super::names::suffix(locked.version()));
                next["endpoints"] = json!(chunk);
                next["metadata"]["generation"] = json!(1);
                next["metadata"]["uid"] = json!(locked.new_uid());
                next["metadata"]["creationTimestamp"] = json!(locked.now());
                next["metadata"]["name"] = json!(name);
                locked.put(Key { name, ..key.clone() }, next);
            }
        }
    }
}

fn selects(service: &Value, pod: &Value) -> bool {
    let selector = service["spec"]["selector"].as_object();
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
    })
}

/// The endpoint of a pod. Headless Services of EMQX publish addresses that are not ready, so that only `serving` shows it.
pub(super) fn endpoint(pod: &Value, headless: bool) -> Value {
    let (serving, metadata) = (is_true(pod, "Ready"), &pod["metadata"]);
    let terminating = !metadata["deletionTimestamp"].is_null();
    let mut endpoint = json!({
        "addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"],
        "conditions": {
            "ready": headless || (serving && !terminating), "serving": serving, "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
        },
    });
    if headless && !pod["spec"]["hostname"].is_null() {
        endpoint["hostname"] = pod["spec"]["hostname"].clone();
    }
    endpoint
}
