//! Pods, StatefulSets, ReplicaSets and EndpointSlices.

use serde_json::Value;

use super::field::{Head, conditions, controller, flag, label, list, number, text, texts};
use super::operator::INSTANCE_LABEL;
use crate::model::drain::DELETION_COST;
use crate::model::{ApiPort, Endpoint, Pod, PodName, ReadinessProbe, Role, Set, SetKind, Slice};

/// The condition and readiness gate by which the 2.x operators take a pod out of the Service.
pub(in crate::k8s) const ON_SERVING: &str = "apps.emqx.io/on-serving";

const ROLE_LABEL: &str = "apps.emqx.io/db-role";
const HASH_LABEL: &str = "apps.emqx.io/pod-template-hash";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

pub(super) fn pod(object: &Value) -> Result<Pod, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    let conditions = conditions(object, &["status", "conditions"]);
    let holds = |kind: &str| conditions.iter().any(|condition| condition.kind == kind && condition.holds());
    let on_serving = conditions.iter().find(|condition| condition.kind == ON_SERVING);
    let mut ips = Vec::new();
    let listed = list(object, &["status", "podIPs"]).filter_map(|entry| text(entry, &["ip"]));
    for ip in listed.chain(text(object, &["status", "podIP"])).filter_map(|ip| ip.parse().ok()) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Ok(Pod {
        name: PodName::from(head.name),
        instance: label(object, INSTANCE_LABEL),
        role: label(object, ROLE_LABEL).and_then(|role| Role::parse(&role)),
        // Cores of operator 3.x carry no template hash ([OP-76]).
        revision: label(object, HASH_LABEL).or_else(|| label(object, "controller-revision-hash")),
        owner: controller(object),
        ready: holds("Ready"),
        containers_ready: holds("ContainersReady"),
        on_serving: on_serving.and_then(|condition| match condition.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }),
        gated: list(object, &["spec", "readinessGates"])
            .any(|gate| text(gate, &["conditionType"]).as_deref() == Some(ON_SERVING)),
        phase: text(object, &["status", "phase"]).unwrap_or_default(),
        waiting: list(object, &["status", "containerStatuses"])
            .chain(list(object, &["status", "initContainerStatuses"]))
            .find_map(|status| text(status, &["state", "waiting", "reason"])),
        image: image(object, &["spec", "containers"]),
        api_port: api_port(object),
        readiness: readiness(object),
        namespace: head.namespace,
        uid: head.uid,
        deleting: head.deleting,
        created: head.created,
        ips,
        conditions,
        deletion_cost: text(object, &["metadata", "annotations", DELETION_COST])
            .and_then(|cost| cost.parse().ok()),
    })
}

/// The image of the container that runs EMQX.
fn image(object: &Value, containers: &[&str]) -> Option<String> {
    list(object, containers)
        .find(|container| text(container, &["name"]).as_deref() == Some("emqx"))
        .or_else(|| list(object, containers).next())
        .and_then(|container| text(container, &["image"]))
}

/// The readiness probe of the container that runs EMQX, with Kubernetes' defaults.
fn readiness(object: &Value) -> Option<ReadinessProbe> {
    let container = list(object, &["spec", "containers"])
        .find(|container| text(container, &["name"]).as_deref() == Some("emqx"))?;
    container.get("readinessProbe")?;
    let number = |key: &str| number(container, &["readinessProbe", key]);
    Some(ReadinessProbe {
        path: text(container, &["readinessProbe", "httpGet", "path"]),
        period_seconds: number("periodSeconds").unwrap_or(10),
        failures: number("failureThreshold").unwrap_or(3),
    })
}

/// The port of EMQX's API by the name of the container's port. EMQX 4 has its API at `management` and only a
/// dashboard at `dashboard`, so the first wins; http is preferred to https, as the operator does.
fn api_port(object: &Value) -> Option<ApiPort> {
    let ports = || {
        list(object, &["spec", "containers"])
            .filter(|container| text(container, &["name"]).as_deref() == Some("emqx"))
            .flat_map(|container| list(container, &["ports"]))
    };
    [("management", false), ("dashboard", false), ("dashboard-https", true)].into_iter().find_map(
        |(name, tls)| {
            ports()
                .find(|port| text(port, &["name"]).as_deref() == Some(name))
                .and_then(|port| number(port, &["containerPort"]))
                .and_then(|port| u16::try_from(port).ok())
                .map(|port| ApiPort { port, tls })
        },
    )
}

pub(super) fn set(object: &Value, kind: &str) -> Result<Set, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    let owner = || {
        controller(object)
            .filter(|owner| matches!(owner.kind.as_str(), "EMQX" | "EmqxEnterprise" | "EmqxBroker"))
            .map(|owner| owner.name)
    };
    Ok(Set {
        kind: if kind == "ReplicaSet" { SetKind::ReplicaSet } else { SetKind::StatefulSet },
        instance: label(object, INSTANCE_LABEL).or_else(owner),
        // Kubernetes sets 1 where a manifest omits it.
        replicas: number(object, &["spec", "replicas"]).unwrap_or(1),
        present: number(object, &["status", "replicas"]).unwrap_or(0),
        ready: number(object, &["status", "readyReplicas"]).unwrap_or(0),
        revision: label(object, HASH_LABEL),
        update_revision: text(object, &["status", "updateRevision"]),
        image: image(object, &["spec", "template", "spec", "containers"]),
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
        created: head.created,
    })
}

pub(super) fn slice(object: &Value) -> Result<Slice, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    let service = label(object, SERVICE_LABEL)
        .or_else(|| controller(object).filter(|owner| owner.kind == "Service").map(|owner| owner.name));
    Ok(Slice {
        service: service.unwrap_or_default(),
        instance: label(object, INSTANCE_LABEL),
        // `endpoints` is null for a Service without any pod.
        endpoints: list(object, &["endpoints"])
            .map(|endpoint| Endpoint {
                pod: text(endpoint, &["targetRef", "kind"])
                    .filter(|kind| kind == "Pod")
                    .and_then(|_| text(endpoint, &["targetRef", "name"]))
                    .map(PodName::from),
                ips: texts(endpoint, &["addresses"]).iter().filter_map(|ip| ip.parse().ok()).collect(),
                // Slices of headless Services report every pod as ready; an absent `ready` means true by the
                // API's own description.
                // The Service does not lead new clients to a pod that is terminating.
                serving: flag(endpoint, &["conditions", "serving"])
                    .or_else(|| flag(endpoint, &["conditions", "ready"]))
                    .unwrap_or(true)
                    && flag(endpoint, &["conditions", "terminating"]) != Some(true),
            })
            .collect(),
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_has_its_gate_port_and_reason() {
        let object = json!({"metadata": {"name": "p-0", "namespace": "mq", "uid": "u",
                "labels": {"apps.emqx.io/instance": "emqx", "apps.emqx.io/db-role": "core", "apps.emqx.io/pod-template-hash": "h"},
                "ownerReferences": [{"kind": "StatefulSet", "name": "p", "uid": "s", "controller": true}]},
            "spec": {"readinessGates": [{"conditionType": "apps.emqx.io/on-serving"}],
                "containers": [{"name": "sidecar", "image": "x"}, {"name": "emqx", "image": "emqx/emqx:5",
                    "ports": [{"name": "dashboard-https", "containerPort": 18084}]}]},
            "status": {"phase": "Pending", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "apps.emqx.io/on-serving", "status": "", "lastTransitionTime": null},
                               {"type": "ContainersReady", "status": "True"}],
                "containerStatuses": [{"name": "emqx", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        let pod = pod(&object).expect("it can be read");
        assert_eq!(pod.image.as_deref(), Some("emqx/emqx:5"));
        assert_eq!(pod.api_port, Some(ApiPort { port: 18084, tls: true }));
        assert_eq!((pod.gated, pod.on_serving, pod.ready, pod.containers_ready), (true, None, false, true));
        assert_eq!(pod.waiting.as_deref(), Some("ImagePullBackOff"));
        assert_eq!(pod.role, Some(Role::Core));
        assert_eq!(pod.ips.len(), 2);
    }

    #[test]
    fn emqx_4_answers_at_its_management_port() {
        let object = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "emqx", "ports": [
            {"name": "dashboard", "containerPort": 18083}, {"name": "management", "containerPort": 8081}]}]}});
        assert_eq!(pod(&object).expect("it can be read").api_port, Some(ApiPort { port: 8081, tls: false }));
    }

    #[test]
    fn a_set_without_ready_replicas_has_none_and_belongs_to_its_owner() {
        let object = json!({"metadata": {"name": "s", "ownerReferences": [{"kind": "EMQX", "name": "emqx", "controller": true}]},
            "spec": {"replicas": 4}, "status": {"replicas": 4}});
        let set = set(&object, "ReplicaSet").expect("it can be read");
        assert_eq!((set.replicas, set.present, set.ready), (4, 4, 0));
        assert_eq!((set.kind, set.instance.as_deref()), (SetKind::ReplicaSet, Some("emqx")));
    }

    #[test]
    fn a_slice_may_hold_null_and_serving_beats_ready() {
        let empty = json!({"metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "emqx-listeners"}},
            "endpoints": null, "ports": null});
        assert_eq!(slice(&empty).expect("it can be read").endpoints, []);
        let full = json!({"metadata": {"name": "s"}, "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": false}, "targetRef": {"kind": "Pod", "name": "a"}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.3"], "conditions": {}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}}]});
        let slice = slice(&full).expect("it can be read");
        let serving: Vec<_> = slice.endpoints.iter().map(|endpoint| endpoint.serving).collect();
        assert_eq!(serving, [false, false, true, false]);
        assert_eq!(slice.endpoints[0].pod, Some(PodName::from("a")));
    }
}
