//! Services, ResourceQuotas and CustomResourceDefinitions.

use serde_json::Value;

use super::field::{at, flag, list, number, text};
use super::placement::map;
use crate::model::drain::{millis, whole};
use crate::model::surroundings::{QuotaLimit, ServiceView};

/// Groups of annotations by which clouds configure their load balancers.
const CLOUDS: [&str; 7] = [
    "service.beta.kubernetes.io/",
    "service.kubernetes.io/",
    "cloud.google.com/",
    "networking.gke.io/",
    "metallb.",
    "loadbalancer.openstack.org/",
    "service.cloud.tencent.com/",
];

/// The default seconds of a session affinity.
const AFFINITY_SECONDS: u64 = 10_800;

pub(crate) fn service(object: &Value) -> Option<ServiceView> {
    let sticky = text(object, &["spec", "sessionAffinity"]).as_deref() == Some("ClientIP");
    let seconds = number(object, &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"]);
    let mut cloud = map(object, &["metadata", "annotations"]);
    cloud.retain(|key, _| CLOUDS.iter().any(|group| key.starts_with(group)));
    Some(ServiceView {
        name: text(object, &["metadata", "name"])?,
        kind: text(object, &["spec", "type"]).unwrap_or_else(|| "ClusterIP".to_owned()),
        headless: text(object, &["spec", "clusterIP"]).as_deref() == Some("None"),
        selector: map(object, &["spec", "selector"]),
        publishes_not_ready: flag(object, &["spec", "publishNotReadyAddresses"]).unwrap_or(false),
        affinity_seconds: sticky.then(|| seconds.unwrap_or(AFFINITY_SECONDS)),
        local: text(object, &["spec", "externalTrafficPolicy"]).as_deref() == Some("Local"),
        cloud,
    })
}

/// The limits of a ResourceQuota, by the counts of its controller.
pub(crate) fn quota(object: &Value) -> Vec<QuotaLimit> {
    let Some(name) = text(object, &["metadata", "name"]) else { return Vec::new() };
    let hard = at(object, &["status", "hard"]).and_then(Value::as_object);
    let read = |resource: &str, value: &Value| {
        let of = if resource == "requests.cpu" { millis } else { whole };
        value.as_str().and_then(of).or_else(|| of(&value.as_number()?.to_string()))
    };
    hard.into_iter()
        .flatten()
        .filter_map(|(key, hard)| {
            let resource = match key.as_str() {
                "pods" | "count/pods" => "pods",
                "cpu" | "requests.cpu" => "requests.cpu",
                "memory" | "requests.memory" => "requests.memory",
                _ => return None,
            };
            let used = &object["status"]["used"][key.as_str()];
            Some(QuotaLimit {
                name: name.clone(),
                resource: resource.to_owned(),
                hard: read(resource, hard)?,
                used: read(resource, used)?,
            })
        })
        .collect()
}

/// The Service of a CRD's conversion webhook, as namespace and name.
pub(crate) fn conversion(object: &Value) -> Option<(String, String)> {
    let of = |key| text(object, &["spec", "conversion", "webhook", "clientConfig", "service", key]);
    let webhook = text(object, &["spec", "conversion", "strategy"]).as_deref() == Some("Webhook");
    webhook.then(|| Some((of("namespace")?, of("name")?))).flatten()
}

/// The versions of a CRD that are served.
pub(crate) fn crd_versions(object: &Value) -> Vec<String> {
    list(object, &["spec", "versions"])
        .filter(|version| flag(version, &["served"]) == Some(true))
        .filter_map(|version| text(version, &["name"]))
        .collect()
}

/// The version in which the objects of a CRD are stored.
pub(crate) fn crd_stored(object: &Value) -> Option<String> {
    let mut versions = list(object, &["spec", "versions"]);
    versions.find(|version| flag(version, &["storage"]) == Some(true)).and_then(|it| text(it, &["name"]))
}

/// The ready addresses of EndpointSlices.
pub(crate) fn ready_addresses(slices: &[Value]) -> u64 {
    let endpoints = slices.iter().flat_map(|slice| list(slice, &["endpoints"]));
    // A missing condition means ready.
    let ready = endpoints.filter(|it| flag(it, &["conditions", "ready"]).unwrap_or(true));
    ready.map(|it| it["addresses"].as_array().map_or(0, Vec::len) as u64).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_read_with_what_leads_clients_back_to_donors() {
        let read = service(&json!({
            "metadata": {"name": "emqx-listeners", "annotations": {
                "service.beta.kubernetes.io/aws-load-balancer-type": "nlb", "team": "iot"}},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "selector": {"app": "emqx"},
                "publishNotReadyAddresses": true, "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local"}
        }))
        .expect("a Service");
        assert_eq!((read.affinity_seconds, read.local, read.publishes_not_ready), (Some(10_800), true, true));
        assert_eq!(read.cloud.len(), 1, "{:?}", read.cloud);
        let plain = service(&json!({"metadata": {"name": "a"}, "spec": {"clusterIP": "None"}})).expect("one");
        assert_eq!((plain.kind.as_str(), plain.headless, plain.affinity_seconds), ("ClusterIP", true, None));
    }

    #[test]
    fn a_quota_that_was_not_counted_yet_limits_nothing() {
        let quota_of = |status: &Value| quota(&json!({"metadata": {"name": "q"}, "status": status}));
        assert!(quota_of(&json!({})).is_empty());
        let counted = quota_of(&json!({"hard": {"pods": "10", "limits.cpu": "4", "requests.cpu": "1500m"},
            "used": {"pods": "7", "limits.cpu": "1", "requests.cpu": "1"}}));
        let found: Vec<(&str, u64, u64)> =
            counted.iter().map(|it| (it.resource.as_str(), it.hard, it.used)).collect();
        assert_eq!(found, [("pods", 10, 7), ("requests.cpu", 1500, 1000)]);
    }

    #[test]
    fn the_webhook_of_a_crd_and_its_ready_addresses_are_read() {
        let crd = json!({"spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"service":
            {"namespace": "emqx-operator-system", "name": "webhook"}}}},
            "versions": [{"name": "v2beta1", "served": true, "storage": true}, {"name": "v1beta3", "served": false}]}});
        assert_eq!(conversion(&crd), Some(("emqx-operator-system".into(), "webhook".into())));
        assert_eq!(crd_versions(&crd), ["v2beta1"]);
        assert_eq!(crd_stored(&crd).as_deref(), Some("v2beta1"));
        assert_eq!(conversion(&json!({"spec": {"conversion": {"strategy": "None"}}})), None);
        let slices = [json!({"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.2"], "conditions": {}}]})];
        assert_eq!(ready_addresses(&slices), 1);
    }
}
