//! Objects of the API server: custom resource definitions, nodes, namespaces, instances, pods.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self};
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::wait::{condition_is, try_until, until};
use super::yaml::read_yaml;
use super::{ControlPlane, GROUP, LIMIT, Line, MANAGER};

impl ControlPlane {
    /// Creates a namespace if it does not exist.
    pub async fn create_namespace(&self, name: &str) {
        let namespaces = Api::<Namespace>::all(self.admin_client().await);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let params = PatchParams::apply(MANAGER).force();
        namespaces.patch(name, &params, &Patch::Apply(&namespace)).await.expect("a namespace is accepted");
    }

    /// Creates a simulated node and waits until it is ready, which means that the simulated kubelet works.
    pub async fn create_node(&self, name: &str) {
        self.try_create_node(&self.admin_client().await, name).await.unwrap();
    }

    pub(super) async fn try_create_node(&self, client: &Client, name: &str) -> Result<(), String> {
        let nodes = Api::<Node>::all(client.clone());
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        let params = PatchParams::apply(MANAGER).force();
        nodes.patch(name, &params, &Patch::Apply(&node)).await.map_err(|e| e.to_string())?;
        try_until(&format!("node {name}"), LIMIT, async || {
            self.check_processes()?;
            let node = nodes.get_status(name).await.map_err(|e| e.to_string())?;
            let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
                Ok(())
            } else {
                Err(String::from("not ready"))
            }
        })
        .await
    }

    /// Creates the CRDs in these files (paths in the repository) and waits until each is served and in
    /// discovery. The API server still delays the first creation of an object until a CRD is two seconds old.
    pub async fn apply_crds(&self, files: &[&str]) {
        let crds: Vec<Value> = files.iter().map(|f| read_yaml(Path::new(f)).unwrap()).collect();
        self.try_apply_crds(&self.admin_client().await, &crds).await.unwrap();
    }

    pub(super) async fn try_apply_crds(&self, client: &Client, crds: &[Value]) -> Result<(), String> {
        let api = Api::<DynamicObject>::all_with(
            client.clone(),
            &ApiResource::erase::<CustomResourceDefinition>(&()),
        );
        let params = PatchParams::apply(MANAGER).force();
        for crd in crds {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            api.patch(name, &params, &Patch::Apply(crd)).await.map_err(|e| format!("CRD {name}: {e}"))?;
        }
        let all = Api::<CustomResourceDefinition>::all(client.clone());
        try_until("CRDs", LIMIT, async || {
            let mut want = BTreeSet::new();
            for crd in all.list(&ListParams::default()).await.map_err(|e| e.to_string())? {
                let conditions = crd.status.iter().flat_map(|s| s.conditions.iter().flatten());
                if !conditions.into_iter().any(|c| c.type_ == "Established" && c.status == "True") {
                    return Err(format!("{} is not established", crd.name_any()));
                }
                for version in crd.spec.versions.iter().filter(|v| v.served) {
                    want.insert((
                        crd.spec.group.clone(),
                        version.name.clone(),
                        crd.spec.names.plural.clone(),
                    ));
                }
            }
            // Discovery is updated a moment later, and must no longer have deleted kinds.
            let have = discovered(client, &want).await.map_err(|e| e.to_string())?;
            if have != want {
                return Err(format!("discovery has {have:?}, the CRDs {want:?}"));
            }
            // The handlers are updated a moment after that.
            for (group, version, plural) in &want {
                let path = format!("/apis/{group}/{version}/{plural}");
                let request = kube::core::Request::new(&path)
                    .list(&ListParams::default().limit(1))
                    .map_err(|e| e.to_string())?;
                client.request_text(request).await.map_err(|e| format!("{path}: {e}"))?;
            }
            Ok(())
        })
        .await?;
        // kubectl uses its cached data about an API server for hours.
        let _ = fs::remove_dir_all(self.dir.join("kubectl-cache"));
        Ok(())
    }

    /// Makes the cluster one of an operator line: deletes every EMQX CRD with its objects (even with
    /// finalizers), then creates those of the line. A CRD cannot be replaced: the API server refuses to drop
    /// a version that was ever stored.
    pub async fn install(&self, line: Line) {
        let client = self.admin_client().await;
        let api = Api::<CustomResourceDefinition>::all(client.clone());
        let there = api.list(&ListParams::default()).await.expect("CRDs can be listed");
        for crd in there.into_iter().filter(|crd| crd.spec.group == GROUP) {
            let name = crd.name_any();
            let stored = crd.spec.versions.iter().find(|v| v.storage).expect("one version is stored");
            let kind = GroupVersionKind::gvk(GROUP, &stored.name, &crd.spec.names.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
            // The objects are deleted first: the API server would check for them only every five seconds.
            let objects = Api::<DynamicObject>::all_with(client.clone(), &resource);
            until(&format!("end of the objects of {name}"), LIMIT, async || {
                let left = objects.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
                for object in &left {
                    let namespace = object.namespace().unwrap_or_default();
                    let one = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource);
                    // There is no operator to remove the finalizers. Either call may find the object deleted.
                    let _ = one.delete(&object.name_any(), &DeleteParams::default()).await;
                    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                    let _ = one.patch(&object.name_any(), &PatchParams::default(), &patch).await;
                }
                if left.is_empty() { Ok(()) } else { Err(format!("{} left", left.len())) }
            })
            .await;
            api.delete(&name, &DeleteParams::default()).await.expect("a CRD can be deleted");
            until(&format!("end of {name}"), LIMIT, async || match api.get_opt(&name).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(String::from("still there")),
                Err(e) => Err(e.to_string()),
            })
            .await;
        }
        self.apply_crds(line.crds()).await;
    }

    /// Waits until a label selector matches `count` pods and all of them are ready; returns them sorted by
    /// name.
    pub async fn ready_pods(&self, selector: &str, count: usize) -> Vec<Pod> {
        let pods = Api::<Pod>::namespaced(self.admin_client().await, self.namespace());
        until(&format!("{count} ready pods of {selector}"), LIMIT, async || {
            let list = pods.list(&ListParams::default().labels(selector)).await.map_err(|e| e.to_string())?;
            if list.items.len() == count && list.items.iter().all(|p| condition_is(p, "Ready", "True")) {
                return Ok(list.items);
            }
            let mut text = String::new();
            for pod in &list.items {
                let _ = write!(text, "{} ready={}; ", pod.name_any(), condition_is(pod, "Ready", "True"));
            }
            Err(text)
        })
        .await
    }

    /// Sets a pod's condition (a readiness gate, or ContainersReady for a failing probe) as its owner would.
    /// `Ready` follows by itself, within some ten milliseconds.
    pub async fn set_condition(&self, pod: &str, kind: &str, status: &str) {
        let pods = Api::<Pod>::namespaced(self.admin_client().await, self.namespace());
        let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let patch = json!({ "status": { "conditions": [
            { "type": kind, "status": status, "lastTransitionTime": now }
        ]}});
        pods.patch_status(pod, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .expect("a condition is accepted");
    }

    /// The pods that serve for a Service, by its EndpointSlices.
    pub async fn serving(&self, service: &str) -> BTreeSet<String> {
        let slices = Api::<EndpointSlice>::namespaced(self.admin_client().await, self.namespace());
        let list = slices
            .list(&ListParams::default().labels(&format!("kubernetes.io/service-name={service}")))
            .await
            .expect("EndpointSlices can be listed");
        let ready = list.items.into_iter().flat_map(|s| s.endpoints);
        ready
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .filter_map(|e| e.target_ref.and_then(|r| r.name))
            .collect()
    }

    /// Waits until exactly these pods serve for a Service.
    pub async fn serving_becomes(&self, service: &str, want: &[&str]) {
        let want: BTreeSet<String> = want.iter().map(|&s| s.into()).collect();
        until(&format!("endpoints of {service}"), LIMIT, async || {
            let have = self.serving(service).await;
            if have == want { Ok(()) } else { Err(format!("{have:?}")) }
        })
        .await;
    }
}

/// The entries of discovery (the aggregated form, which kubectl requests) for the groups in `about`, and for
/// those of EMQX.
async fn discovered(
    client: &Client,
    about: &BTreeSet<(String, String, String)>,
) -> Result<BTreeSet<(String, String, String)>, kube::Error> {
    let groups =
        serde_json::to_value(client.list_api_groups_aggregated().await?).map_err(kube::Error::SerdeError)?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    for group in list(&groups, "items") {
        let name = text(&group["metadata"]["name"]);
        if name != GROUP && !about.iter().any(|(g, ..)| *g == name) {
            continue;
        }
        for version in list(&group, "versions") {
            for resource in list(&version, "resources") {
                found.insert((name.clone(), text(&version["version"]), text(&resource["resource"])));
            }
        }
    }
    Ok(found)
}
