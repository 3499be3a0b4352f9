//! The parts of an object that may be recorded: those that facts are made of, and nothing that could be a
//! secret. Unknown kinds are not recorded at all; specs are rebuilt from a list of harmless fields.

use serde_json::{Map, Value, json};

/// The object as it may be recorded; `None` for a kind that may not.
pub(super) fn scrubbed(object: &Value) -> Option<Value> {
    let mut out = object.clone();
    metadata(out.get_mut("metadata")?);
    match object["kind"].as_str()? {
        "Pod" => {
            out["spec"] = pod_spec(&object["spec"], true);
            // The last state of a container may quote its log.
            let statuses = out.pointer_mut("/status/containerStatuses").and_then(Value::as_array_mut);
            for status in statuses.into_iter().flatten() {
                *status = keep(status, &["name", "image", "ready", "restartCount", "started", "state"]);
                if let Some(state) = status.get_mut("state").and_then(Value::as_object_mut) {
                    state.remove("terminated");
                }
            }
        }
        "StatefulSet" | "ReplicaSet" => {
            let spec = &object["spec"];
            let mut kept = keep(
                spec,
                &[
                    "replicas",
                    "selector",
                    "serviceName",
                    "podManagementPolicy",
                    "updateStrategy",
                    "minReadySeconds",
                ],
            );
            kept["template"] = json!({
                "metadata": {"labels": spec["template"]["metadata"]["labels"]},
                "spec": pod_spec(&spec["template"]["spec"], false),
            });
            out["spec"] = kept;
        }
        "EMQX" | "EmqxEnterprise" | "EmqxBroker" => out["spec"] = instance_spec(&object["spec"]),
        "Rebalance" | "Event" | "EndpointSlice" => {}
        "Lease" => {
            let times = keep(&object["metadata"], &["managedFields"]);
            let times = times["managedFields"].as_array().into_iter().flatten();
            out["metadata"]["managedFields"] = times.map(|it| keep(it, &["time"])).collect();
            out["spec"] = keep(&object["spec"], &["leaseDurationSeconds", "renewTime"]);
            // It matters whether a process holds the Lease, and not which one.
            let held = object["spec"]["holderIdentity"].as_str().is_some_and(|holder| !holder.is_empty());
            out["spec"]["holderIdentity"] = json!(if held { "operator" } else { "" });
        }
        _ => return None,
    }
    Some(out)
}

/// Annotations that are recorded: those of this program, and those that identify a revision. Any other may
/// contain a manifest, a token or a password.
const KEPT_ANNOTATIONS: [&str; 4] = [
    "cli.emqx.io/",
    "deployment.kubernetes.io/revision",
    "apps.emqx.io/initial-delay-seconds",
    "apps.emqx.io/instance-name",
];

fn metadata(metadata: &mut Value) {
    let Some(metadata) = metadata.as_object_mut() else { return };
    metadata.remove("managedFields");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| KEPT_ANNOTATIONS.iter().any(|kept| key.starts_with(kept)));
    }
}

fn keep(value: &Value, keys: &[&str]) -> Value {
    let fields = keys.iter().filter_map(|key| Some(((*key).to_owned(), value.get(key)?.clone())));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// The spec without environment, volumes, commands and mounts.
fn pod_spec(spec: &Value, whole: bool) -> Value {
    let keys: &[&str] = if whole {
        &["nodeName", "subdomain", "hostname", "readinessGates", "terminationGracePeriodSeconds"]
    } else {
        &[]
    };
    let mut kept = keep(spec, keys);
    let of_container: &[&str] =
        if whole { &["name", "image", "ports", "readinessProbe"] } else { &["name", "image"] };
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    kept["containers"] = containers.iter().map(|container| keep(container, of_container)).collect();
    kept
}

/// The size, the image and the settings of updates. Configuration and keys are omitted, because both contain
/// passwords. That also omits the port of the API, which a replay does not need.
fn instance_spec(spec: &Value) -> Value {
    let mut kept = keep(
        spec,
        &["image", "clusterDomain", "replicas", "revisionHistoryLimit", "updateStrategy", "blueGreenUpdate"],
    );
    for template in ["coreTemplate", "replicantTemplate"] {
        if let Some(template_spec) = spec.pointer(&format!("/{template}/spec")) {
            kept[template] = json!({"spec": keep(template_spec, &["replicas"])});
        } else if spec.get(template).is_some_and(Value::is_object) {
            kept[template] = json!({});
        }
    }
    if let Some(image) = spec.pointer("/template/spec/emqxContainer/image") {
        kept["template"] = json!({"spec": {"emqxContainer": {"image": image}}});
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_configuration_stay_out() {
        let object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX",
            "metadata": {"name": "emqx", "managedFields": [1], "annotations": {
                "apps.emqx.io/last-emqx-configuration": "hunter2", "team.example/note": "hunter2",
                "cli.emqx.io/plan": "{}"}},
            "spec": {"image": "emqx/emqx:5.8", "bootstrapAPIKeys": [{"key": "k", "secret": "hunter2"}],
                "config": {"mode": "Merge", "data": "authn.password = hunter2"},
                "coreTemplate": {"spec": {"replicas": 2, "env": [{"name": "P", "value": "hunter2"}]}}},
            "status": {"coreNodes": []}});
        let written = scrubbed(&object).expect("it may be written");
        let text = written.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("\"replicas\":2"), "{text}");
        assert_eq!(written["metadata"]["annotations"], json!({"cli.emqx.io/plan": "{}"}));
    }

    #[test]
    fn pods_lose_their_environment_and_other_kinds_everything() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n", "volumes": [{"secret": "s"}],
            "containers": [{"name": "emqx", "image": "i", "env": [{"value": "hunter2"}], "command": ["hunter2"]}]}});
        let written = scrubbed(&pod).expect("it may be written");
        assert_eq!(written["spec"], json!({"nodeName": "n", "containers": [{"name": "emqx", "image": "i"}]}));
        assert_eq!(scrubbed(&json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "b"}})), None);
        assert_eq!(scrubbed(&json!({"kind": "ConfigMap", "metadata": {"name": "s"}})), None);
    }

    #[test]
    fn a_lease_keeps_when_it_was_renewed() {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "19fd6fcc.emqx.io",
            "managedFields": [{"manager": "manager", "time": "2026-11-27T10:00:00Z"}], "annotations": {"x": "hunter2"}},
            "spec": {"holderIdentity": "pod_1", "renewTime": "2026-11-27T10:00:00.000000Z", "other": "hunter2"}});
        let written = scrubbed(&lease).expect("it may be written");
        assert!(!written.to_string().contains("hunter2"), "{written}");
        assert_eq!(written["metadata"]["managedFields"], json!([{"time": "2026-11-27T10:00:00Z"}]));
        assert_eq!(written["spec"]["holderIdentity"], "operator", "held, without the name of the pod");
    }

    #[test]
    fn a_set_keeps_its_images_only() {
        let set = json!({"kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {"replicas": 1,
            "volumeClaimTemplates": [{}], "template": {"metadata": {"labels": {"a": "b"}, "annotations": {"x": "hunter2"}},
            "spec": {"containers": [{"name": "emqx", "image": "i", "env": [{"value": "hunter2"}]}]}}}});
        let text = scrubbed(&set).expect("it may be written").to_string();
        assert!(
            !text.contains("hunter2") && !text.contains("volumeClaim") && text.contains("\"image\":\"i\""),
            "{text}"
        );
    }
}
