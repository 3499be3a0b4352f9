//! Which resources the simulated API server serves, and their discovery documents.

use serde_json::{Value, json};

use super::scenario::Line;

#[derive(Clone, Copy, Debug)]
pub(super) struct Resource {
    pub(super) group: &'static str,
    /// Served versions, the stored one first.
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) kind: &'static str,
    pub(super) short: &'static [&'static str],
    pub(super) namespaced: bool,
    /// Whether writes to the object do not change its status, and writes to `/status` not its spec.
    pub(super) status: bool,
}

const fn built_in(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
) -> Resource {
    Resource { group, versions: &["v1"], plural, singular, kind, short, namespaced: true, status: false }
}

const fn with_status(resource: Resource) -> Resource {
    Resource { status: true, ..resource }
}

const fn cluster_wide(resource: Resource) -> Resource {
    Resource { namespaced: false, ..resource }
}

const BUILT_IN: &[Resource] = &[
    cluster_wide(built_in("", "namespaces", "namespace", "Namespace", &["ns"])),
    with_status(built_in("", "pods", "pod", "Pod", &["po"])),
    built_in("", "services", "service", "Service", &["svc"]),
    built_in("", "secrets", "secret", "Secret", &[]),
    built_in("", "configmaps", "configmap", "ConfigMap", &["cm"]),
    cluster_wide(with_status(built_in("", "nodes", "node", "Node", &["no"]))),
    built_in("", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", &["pvc"]),
    cluster_wide(built_in("", "persistentvolumes", "persistentvolume", "PersistentVolume", &["pv"])),
    built_in("", "events", "event", "Event", &["ev"]),
    with_status(built_in("", "resourcequotas", "resourcequota", "ResourceQuota", &["quota"])),
    with_status(built_in("apps", "statefulsets", "statefulset", "StatefulSet", &["sts"])),
    with_status(built_in("apps", "replicasets", "replicaset", "ReplicaSet", &["rs"])),
    with_status(built_in("apps", "deployments", "deployment", "Deployment", &["deploy"])),
    with_status(built_in(
        "policy",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        "PodDisruptionBudget",
        &["pdb"],
    )),
    built_in("coordination.k8s.io", "leases", "lease", "Lease", &[]),
    Resource {
        versions: &["v2"],
        ..built_in(
            "autoscaling",
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            "HorizontalPodAutoscaler",
            &["hpa"],
        )
    },
    built_in("discovery.k8s.io", "endpointslices", "endpointslice", "EndpointSlice", &[]),
    cluster_wide(built_in(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "customresourcedefinition",
        "CustomResourceDefinition",
        &["crd", "crds"],
    )),
];

/// The group of every kind of EMQX's.
pub(super) const GROUP: &str = "apps.emqx.io";

const fn custom(
    versions: &'static [&'static str],
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
) -> Resource {
    Resource { group: GROUP, versions, plural, singular, kind, short: &[], namespaced: true, status: true }
}

const fn emqx(versions: &'static [&'static str]) -> Resource {
    Resource { short: &["emqx"], ..custom(versions, "emqxes", "emqx", "EMQX") }
}

const LINE_2_2: &[Resource] = &[
    emqx(&["v2beta1"]),
    custom(&["v1beta4"], "emqxenterprises", "emqxenterprise", "EmqxEnterprise"),
    custom(&["v2beta1", "v1beta4"], "rebalances", "rebalance", "Rebalance"),
];
const LINE_2_3: &[Resource] =
    &[emqx(&["v2", "v2beta1"]), custom(&["v2beta1"], "rebalances", "rebalance", "Rebalance")];
const LINE_3: &[Resource] = &[emqx(&["v3beta1"])];

/// All resources of a simulated cluster.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    resources: Vec<Resource>,
}

impl Registry {
    pub(super) fn new(line: Line) -> Self {
        let own = match line {
            Line::V2_2 => LINE_2_2,
            Line::V2_3 => LINE_2_3,
            Line::V3 => LINE_3,
        };
        Self { resources: BUILT_IN.iter().chain(own).copied().collect() }
    }

    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<(usize, &Resource)> {
        self.resources.iter().enumerate().find(|(_, resource)| {
            resource.group == group && resource.plural == plural && resource.versions.contains(&version)
        })
    }

    pub(super) fn index(&self, plural: &str) -> Option<usize> {
        self.resources.iter().position(|resource| resource.plural == plural)
    }

    /// The resource of an object, by its `apiVersion` and `kind`.
    pub(super) fn of_object(&self, object: &Value) -> Option<(usize, &Resource)> {
        let api_version = object["apiVersion"].as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.resources.iter().enumerate().find(|(_, resource)| {
            resource.group == group && object["kind"] == resource.kind && resource.versions.contains(&version)
        })
    }

    pub(super) fn get(&self, index: usize) -> &Resource {
        &self.resources[index]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter()
    }

    pub(super) fn own(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|resource| resource.group == GROUP)
    }

    /// The groups with their versions, the preferred first, in the order the real server would list them.
    fn groups(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut groups: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
        for resource in self.resources.iter().filter(|resource| !resource.group.is_empty()) {
            let place = groups.iter().position(|(group, _)| *group == resource.group).unwrap_or_else(|| {
                groups.push((resource.group, Vec::new()));
                groups.len() - 1
            });
            for version in resource.versions {
                if !groups[place].1.contains(version) {
                    groups[place].1.push(version);
                }
            }
        }
        for (_, versions) in &mut groups {
            versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        }
        groups.push(("authorization.k8s.io", vec!["v1"]));
        groups
    }

    fn group_document(group: &str, versions: &[&str]) -> Value {
        let entries: Vec<Value> = versions
            .iter()
            .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
            .collect();
        json!({ "name": group, "versions": entries, "preferredVersion": entries.first() })
    }

    /// `/apis`
    pub(super) fn group_list(&self) -> Value {
        let groups: Vec<Value> =
            self.groups().iter().map(|(group, versions)| Self::group_document(group, versions)).collect();
        json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
    }

    /// `/apis/<group>`
    pub(super) fn group(&self, group: &str) -> Option<Value> {
        let (name, versions) = self.groups().into_iter().find(|(name, _)| *name == group)?;
        let mut document = Self::group_document(name, &versions);
        document["kind"] = json!("APIGroup");
        document["apiVersion"] = json!("v1");
        Some(document)
    }

    /// `/api/v1` and `/apis/<group>/<version>`
    pub(super) fn resource_list(&self, group: &str, version: &str) -> Option<Value> {
        let (_, versions) =
            self.groups().into_iter().find(|(name, _)| *name == group).unwrap_or(("", vec!["v1"]));
        if !versions.contains(&version) {
            return None;
        }
        let mut list = Vec::new();
        for resource in &self.resources {
            if resource.group == group && resource.versions.contains(&version) {
                list.push(json!({
                    "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
                    "kind": resource.kind, "shortNames": resource.short, "categories": categories(resource),
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                }));
                if resource.status {
                    list.push(json!({
                        "name": format!("{}/status", resource.plural), "singularName": "",
                        "namespaced": resource.namespaced, "kind": resource.kind,
                        "verbs": ["get", "patch", "update"],
                    }));
                }
            }
        }
        if group.is_empty() {
            list.push(json!({
                "name": "pods/log", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"],
            }));
            list.push(json!({
                "name": "pods/portforward", "singularName": "", "namespaced": true,
                "kind": "PodPortForwardOptions", "verbs": ["create", "get"],
            }));
            list.push(json!({
                "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
                "kind": "Eviction", "verbs": ["create"],
            }));
        }
        if group == "authorization.k8s.io" {
            for (plural, kind) in REVIEWS {
                list.push(json!({
                    "name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"],
                }));
            }
        }
        let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
        }))
    }

    /// `/apis` in the aggregated form, which kubectl accepts since 1.26: every group with its versions and their resources.
    pub(super) fn aggregated_groups(&self) -> Value {
        let groups = self.groups();
        Self::aggregated(groups.iter().map(|(group, versions)| self.aggregated_group(group, versions)))
    }

    /// `/api` in the aggregated form.
    pub(super) fn aggregated_core(&self) -> Value {
        Self::aggregated(std::iter::once(self.aggregated_group("", &["v1"])))
    }

    fn aggregated(groups: impl Iterator<Item = Value>) -> Value {
        json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
            "items": groups.collect::<Vec<_>>(),
        })
    }

    fn aggregated_group(&self, group: &str, versions: &[&str]) -> Value {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| {
                let list = self.resource_list(group, version).unwrap_or_default();
                let resources = list["resources"].as_array().cloned().unwrap_or_default();
                let kind = |it: &Value| {
                    let text = |key: &str, default: &str| it[key].as_str().unwrap_or(default).to_owned();
                    json!({ "group": text("group", group), "version": text("version", version), "kind": it["kind"] })
                };
                let top = resources.iter().filter(|it| !it["name"].as_str().is_some_and(|name| name.contains('/')));
                let top: Vec<Value> = top
                    .map(|it| {
                        let name = it["name"].as_str().unwrap_or_default();
                        let below = resources.iter().filter_map(|sub| {
                            let sub_name = sub["name"].as_str()?.strip_prefix(name)?.strip_prefix('/')?;
                            Some(json!({
                                "subresource": sub_name, "responseKind": kind(sub), "verbs": sub["verbs"],
                            }))
                        });
                        json!({
                            "resource": name, "responseKind": kind(it),
                            "scope": if it["namespaced"] == true { "Namespaced" } else { "Cluster" },
                            "singularResource": it["singularName"], "verbs": it["verbs"],
                            "shortNames": it["shortNames"], "categories": it["categories"],
                            "subresources": below.collect::<Vec<_>>(),
                        })
                    })
                    .collect();
                json!({ "version": version, "resources": top, "freshness": "Current" })
            })
            .collect();
        json!({ "metadata": { "name": group, "creationTimestamp": null }, "versions": versions })
    }

    /// `/openapi/v3`: where the documents of the groups are.
    pub(super) fn openapi_index(&self) -> Value {
        let mut paths = serde_json::Map::new();
        let mut add = |path: String| {
            let address = json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash=sim") });
            paths.insert(path, address);
        };
        add("api/v1".to_owned());
        for (group, versions) in self.groups() {
            for version in versions {
                add(format!("apis/{group}/{version}"));
            }
        }
        json!({ "paths": paths })
    }

    /// `/openapi/v3/…`: no schemas, only that `fieldValidation` is supported: kubectl needs no more before it
    /// leaves the validation to the server.
    pub(super) fn openapi(&self, group: &str, version: &str) -> Value {
        let mut paths = serde_json::Map::new();
        let root =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        for resource in self.resources.iter().filter(|resource| resource.group == group) {
            let kind = json!({ "group": group, "version": version, "kind": resource.kind });
            let operation = json!({
                "x-kubernetes-group-version-kind": kind,
                "parameters": [{ "name": "fieldValidation", "in": "query", "schema": { "type": "string" } }],
                "responses": {},
            });
            let path = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
            let plural = resource.plural;
            paths.insert(
                format!("{root}{path}/{plural}/{{name}}"),
                json!({ "patch": operation, "put": operation }),
            );
            paths.insert(format!("{root}{path}/{plural}"), json!({ "post": operation }));
        }
        json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "sim" }, "paths": paths })
    }
}

/// The resources of `kubectl get all`.
fn categories(resource: &Resource) -> &'static [&'static str] {
    let all = ["pods", "services", "statefulsets", "replicasets", "deployments"].contains(&resource.plural);
    if all { &["all"] } else { &[] }
}

/// The reviews that a client may request, with their kinds.
pub(super) const REVIEWS: [(&str, &str); 2] = [
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

/// Kubernetes' order of versions: stable before beta before alpha, higher first.
fn rank(version: &str) -> (u8, u32, u32) {
    let rest = version.trim_start_matches('v');
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().unwrap_or(0);
    let tail = &rest[digits..];
    let minor = |word: &str| tail.strip_prefix(word).and_then(|number| number.parse().ok());
    match (minor("beta"), minor("alpha")) {
        (Some(minor), _) => (1, major, minor),
        (_, Some(minor)) => (0, major, minor),
        _ => (2, major, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_decides_what_is_served() {
        let served = |line, version, plural| Registry::new(line).find(GROUP, version, plural).is_some();
        assert!(served(Line::V2_2, "v1beta4", "emqxenterprises"));
        assert!(served(Line::V2_2, "v1beta4", "rebalances"));
        assert!(!served(Line::V2_3, "v1beta4", "rebalances"));
        assert!(served(Line::V2_3, "v2", "emqxes"));
        assert!(served(Line::V3, "v3beta1", "emqxes"));
        assert!(!served(Line::V3, "v2beta1", "rebalances"));
    }

    #[test]
    fn the_preferred_version_is_kubernetes_choice() {
        let group = Registry::new(Line::V2_3).group(GROUP).unwrap_or_default();
        assert_eq!(group["preferredVersion"]["version"], "v2");
        let group = Registry::new(Line::V2_2).group(GROUP).unwrap_or_default();
        assert_eq!(group["preferredVersion"]["version"], "v2beta1");
        assert_eq!(group["versions"][1]["version"], "v1beta4");
    }
}
