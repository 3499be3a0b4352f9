//! Kubernetes nodes, the placement of pods, PodDisruptionBudgets and volumes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{Head, at, flag, list, number, text, texts};
use crate::model::PodName;
use crate::model::drain::{
    Alternatives, Amount, Budget, CORDONED_ANNOTATION, Machine, NodeRequirement, Placed, Taint, Toleration,
    millis, whole,
};
use crate::model::scale::Autoscaler;

/// The label by which hosts are distinguished.
const HOST: &str = "kubernetes.io/hostname";

pub(super) fn map(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let object = at(value, path).and_then(Value::as_object);
    let pairs = object.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn quantity(value: &Value, read: fn(&str) -> Option<u64>) -> Option<u64> {
    value.as_str().and_then(read).or_else(|| read(&value.as_number()?.to_string()))
}

fn amount(value: &Value) -> Amount {
    Amount {
        cpu_millis: quantity(&value["cpu"], millis).unwrap_or(0),
        memory: quantity(&value["memory"], whole).unwrap_or(0),
        pods: quantity(&value["pods"], whole).unwrap_or(0),
    }
}

/// A HorizontalPodAutoscaler, or a ScaledObject of KEDA, whose target is a Deployment where it names no kind.
pub(crate) fn autoscaler(object: &Value, kind: &str) -> Option<Autoscaler> {
    let target = |key: &str| text(object, &["spec", "scaleTargetRef", key]);
    let owner = list(object, &["metadata", "ownerReferences"])
        .find(|owner| text(owner, &["kind"]).as_deref() == Some("ScaledObject"));
    Some(Autoscaler {
        kind: kind.to_owned(),
        name: text(object, &["metadata", "name"])?,
        target_kind: target("kind").unwrap_or_else(|| "Deployment".to_owned()),
        target: target("name")?,
        owner: owner.and_then(|owner| text(owner, &["name"])),
    })
}

/// A Kubernetes node.
pub(crate) fn machine(object: &Value) -> Option<Machine> {
    let ready = list(object, &["status", "conditions"]).any(|it| {
        text(it, &["type"]).as_deref() == Some("Ready") && text(it, &["status"]).as_deref() == Some("True")
    });
    let taint = |taint: &Value| {
        Some(Taint {
            key: text(taint, &["key"])?,
            value: text(taint, &["value"]).unwrap_or_default(),
            effect: text(taint, &["effect"])?,
        })
    };
    Some(Machine {
        name: text(object, &["metadata", "name"])?,
        labels: map(object, &["metadata", "labels"]),
        cordoned: flag(object, &["spec", "unschedulable"]).unwrap_or(false),
        cordoned_by_us: at(object, &["metadata", "annotations", CORDONED_ANNOTATION]).is_some(),
        ready,
        taints: list(object, &["spec", "taints"]).filter_map(taint).collect(),
        allocatable: amount(&object["status"]["allocatable"]),
        resource_version: text(object, &["metadata", "resourceVersion"]).unwrap_or_default(),
    })
}

fn requirement(value: &Value) -> Option<NodeRequirement> {
    Some(NodeRequirement {
        key: text(value, &["key"])?,
        operator: text(value, &["operator"])?,
        values: texts(value, &["values"]),
    })
}

fn equals(pairs: BTreeMap<String, String>) -> impl Iterator<Item = NodeRequirement> {
    pairs.into_iter().map(|(key, value)| NodeRequirement {
        key,
        operator: "In".to_owned(),
        values: vec![value],
    })
}

/// A label selector; `None` where there is none.
fn selector(value: Option<&Value>) -> Option<Vec<NodeRequirement>> {
    let value = value?;
    let mut all: Vec<NodeRequirement> = equals(map(value, &["matchLabels"])).collect();
    all.extend(list(value, &["matchExpressions"]).filter_map(requirement));
    Some(all)
}

/// The terms of a node selector. `metadata.name` is the only field that Kubernetes compares; it is read as
/// the label of the host name, which kubelets set to the same value.
fn terms(value: Option<&Value>) -> Alternatives {
    let term = |term: &Value| -> Vec<NodeRequirement> {
        let fields = list(term, &["matchFields"]).filter_map(requirement).map(|mut field| {
            HOST.clone_into(&mut field.key);
            field
        });
        list(term, &["matchExpressions"]).filter_map(requirement).chain(fields).collect()
    };
    value.map(|value| list(value, &["nodeSelectorTerms"]).map(term).collect()).unwrap_or_default()
}

/// What a pod requests: the sum of its containers, or its largest init container where that is more.
fn requests(object: &Value) -> Amount {
    let of = |container: &Value| amount(&container["resources"]["requests"]);
    let sum = list(object, &["spec", "containers"]).map(of).fold(Amount::default(), Amount::plus);
    let most = list(object, &["spec", "initContainers"]).map(of).fold(sum, |most, one| Amount {
        cpu_millis: most.cpu_millis.max(one.cpu_millis),
        memory: most.memory.max(one.memory),
        pods: 0,
    });
    Amount { pods: 1, ..most.plus(amount(&object["spec"]["overhead"])) }
}

/// A pod and where it runs.
pub(crate) fn placed(object: &Value) -> Option<Placed> {
    let head = Head::read(object)?;
    let toleration = |value: &Value| Toleration {
        key: text(value, &["key"]),
        exists: text(value, &["operator"]).as_deref() == Some("Exists"),
        value: text(value, &["value"]).unwrap_or_default(),
        effect: text(value, &["effect"]),
    };
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let apart = list(object, &["spec", "affinity", "podAntiAffinity", required])
        .filter(|term| text(term, &["topologyKey"]).as_deref() == Some(HOST))
        .filter_map(|term| selector(at(term, &["labelSelector"])));
    let ended = matches!(text(object, &["status", "phase"]).as_deref(), Some("Succeeded" | "Failed"));
    Some(Placed {
        machine: text(object, &["spec", "nodeName"]),
        labels: map(object, &["metadata", "labels"]),
        ended,
        requests: requests(object),
        node_selector: map(object, &["spec", "nodeSelector"]),
        affinity: terms(at(object, &["spec", "affinity", "nodeAffinity", required])),
        tolerations: list(object, &["spec", "tolerations"]).map(toleration).collect(),
        apart_from: apart.collect(),
        claims: list(object, &["spec", "volumes"])
            .filter_map(|volume| text(volume, &["persistentVolumeClaim", "claimName"]))
            .collect(),
        namespace: head.namespace,
        name: PodName::from(head.name),
        uid: head.uid,
    })
}

/// A PodDisruptionBudget.
pub(crate) fn budget(object: &Value) -> Option<Budget> {
    let head = Head::read(object)?;
    // A status of an earlier generation was computed by another rule.
    let counted = number(object, &["status", "observedGeneration"])
        .is_none_or(|seen| number(object, &["metadata", "generation"]).is_none_or(|now| seen >= now));
    let status = |key: &str| number(object, &["status", key]).filter(|_| counted);
    Some(Budget {
        namespace: head.namespace,
        name: head.name,
        selector: selector(at(object, &["spec", "selector"])),
        current_healthy: status("currentHealthy"),
        desired_healthy: status("desiredHealthy"),
        evicts_unready: text(object, &["spec", "unhealthyPodEvictionPolicy"]).as_deref()
            == Some("AlwaysAllow"),
    })
}

/// The volume to which a claim is bound.
pub(crate) fn bound_volume(claim: &Value) -> Option<String> {
    text(claim, &["spec", "volumeName"])
}

/// The nodes to which a PersistentVolume is bound.
pub(crate) fn volume_affinity(volume: &Value) -> Alternatives {
    terms(at(volume, &["spec", "nodeAffinity", "required"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::drain::admits;

    #[test]
    fn a_pod_is_read_with_all_that_limits_where_it_can_run() {
        let pod = placed(&json!({"metadata": {"name": "p", "namespace": "mq", "uid": "u", "labels": {"app": "emqx"}},
            "spec": {"nodeName": "a", "nodeSelector": {"disk": "ssd"},
                "initContainers": [{"resources": {"requests": {"cpu": "1", "memory": "10Mi"}}}],
                "containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
                    {"resources": {"requests": {"cpu": "250m"}}}],
                "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z1"]}]}]}},
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "emqx"}}},
                        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "emqx"}}}]}},
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "d-p"}}, {"name": "e", "emptyDir": {}}]},
            "status": {"phase": "Running"}}))
        .expect("a pod");
        assert_eq!(pod.requests, Amount { cpu_millis: 1000, memory: 1 << 30, pods: 1 });
        assert_eq!((pod.claims.as_slice(), pod.apart_from.len()), (["d-p".to_owned()].as_slice(), 1));
        assert!(admits(&pod.affinity, &BTreeMap::from([("zone".to_owned(), "z1".to_owned())])));
        assert!(!admits(&pod.affinity, &BTreeMap::new()));
    }

    #[test]
    fn a_budget_counts_only_what_its_controller_saw_of_this_generation() {
        let mut object = json!({"metadata": {"name": "b", "namespace": "mq", "uid": "u", "generation": 2},
            "spec": {"selector": {"matchLabels": {"app": "emqx"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
            "status": {"observedGeneration": 2, "currentHealthy": 3, "desiredHealthy": 2}});
        let read = budget(&object).expect("a budget");
        assert_eq!(
            (read.current_healthy, read.desired_healthy, read.evicts_unready),
            (Some(3), Some(2), true)
        );
        object["status"]["observedGeneration"] = json!(1);
        assert_eq!(budget(&object).expect("a budget").current_healthy, None);
    }
}
