//! PodDisruptionBudgets on the simulated cluster: their controller counts, and the eviction API obeys them as the real one
//! does, also for pods that are not ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::conditions::is_true;
use super::resources::Registry;
use super::status::Failure;
use super::store::{Key, Locked};

type Objects = Vec<(Key, Arc<Value>)>;

fn list(locked: &Locked<'_>, registry: &Registry, plural: &str, namespace: &str) -> Objects {
    registry.index(plural).map(|index| locked.list(index, Some(namespace))).unwrap_or_default()
}

fn protects(budget: &Value, pod: &Value) -> bool {
    let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value))
}

/// A number, or a percentage rounded up.
fn part(value: &Value, of: u64) -> Option<u64> {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u64>().ok());
    value.as_u64().or_else(|| percent.map(|percent| (of * percent).div_ceil(100)))
}

/// Counts for every budget, as its controller does.
pub(super) fn count(locked: &mut Locked<'_>, registry: &Registry) {
    let Some(index) = registry.index("poddisruptionbudgets") else { return };
    for (key, budget) in locked.list(index, None) {
        let own: Vec<Arc<Value>> = list(locked, registry, "pods", &key.namespace)
            .into_iter()
            .map(|(_, pod)| pod)
            .filter(|pod| protects(&budget, pod))
            .collect();
        let sets: BTreeSet<String> = own
            .iter()
            .filter_map(|pod| pod["metadata"]["ownerReferences"][0]["name"].as_str().map(str::to_owned))
            .collect();
        let expected: u64 = ["statefulsets", "replicasets"]
            .iter()
            .flat_map(|plural| list(locked, registry, plural, &key.namespace))
            .filter(|(set, _)| sets.contains(&set.name))
            .map(|(_, set)| set["spec"]["replicas"].as_u64().unwrap_or(1))
            .sum();
        let living = |pod: &&Arc<Value>| pod["metadata"]["deletionTimestamp"].is_null();
        let healthy = own.iter().filter(living).filter(|pod| is_true(pod, "Ready")).count() as u64;
        let spec = &budget["spec"];
        let desired = part(&spec["minAvailable"], expected)
            .or_else(|| part(&spec["maxUnavailable"], expected).map(|most| expected.saturating_sub(most)))
            .unwrap_or(expected);
        let mut next = (*budget).clone();
        next["status"] = json!({
            "observedGeneration": budget["metadata"]["generation"], "expectedPods": expected, "currentHealthy": healthy,
            "desiredHealthy": desired, "disruptionsAllowed": healthy.saturating_sub(desired),
        });
        if next != *budget {
            locked.put(key, next);
        }
    }
}

/// Whether this pod may be evicted now.
pub(super) fn allows(
    locked: &Locked<'_>,
    registry: &Registry,
    key: &Key,
    pod: &Value,
) -> Result<(), Failure> {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if !pod["metadata"]["deletionTimestamp"].is_null() || ["Pending", "Succeeded", "Failed"].contains(&phase)
    {
        return Ok(());
    }
    let all = list(locked, registry, "poddisruptionbudgets", &key.namespace);
    let own: Vec<&(Key, Arc<Value>)> = all.iter().filter(|(_, budget)| protects(budget, pod)).collect();
    let (name, budget) = match own.as_slice() {
        [] => return Ok(()),
        [(key, budget)] => (&key.name, budget),
        _ => {
            return Err(Failure::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let number = |key: &str| budget["status"][key].as_u64().unwrap_or(0);
    let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
    if !is_true(pod, "Ready") {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if always || (healthy >= desired && desired > 0) {
            return Ok(());
        }
    }
    if number("disruptionsAllowed") > 0 { Ok(()) } else { Err(Failure::disrupted(name, desired, healthy)) }
}
