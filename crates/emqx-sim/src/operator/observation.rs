//! The operator's observation in one pass: the instance, its sets and pods from Kubernetes, its nodes from
//! EMQX; and properties of a set.

use std::collections::BTreeMap;

use kube::api::ListParams;
use serde_json::{Value, json};

use super::shared::{Shared, to_value};
use crate::instance::{self, NodeView, SetView};
use crate::names::hash;
use crate::scenario::{Api, Role};

/// The label that distinguishes sets of one role.
pub(super) const HASH: &str = "apps.emqx.io/pod-template-hash";

/// One observation.
pub(super) struct Observation {
    pub(super) object: Value,
    pub(super) pods: Vec<Value>,
    /// Oldest first.
    pub(super) sets: Vec<Value>,
    pub(super) nodes: Vec<NodeView>,
    /// By pod: the index of its node, and whether EMQX reports it as available.
    by_pod: BTreeMap<String, (usize, bool)>,
    pub(super) evacuations: Vec<Value>,
}

impl Observation {
    /// `None` when there is no instance.
    pub(super) async fn take(shared: &Shared) -> Result<Option<Self>, kube::Error> {
        let Some(object) = shared.instances().get_opt(&shared.instance).await? else { return Ok(None) };
        let selector = ListParams::default().labels(&format!("apps.emqx.io/instance={}", shared.instance));
        let mut lists = Vec::with_capacity(3);
        for (group, kind, plural) in [
            ("", "Pod", "pods"),
            ("apps", "StatefulSet", "statefulsets"),
            ("apps", "ReplicaSet", "replicasets"),
        ] {
            let found = shared.plain(group, kind, plural).list(&selector).await?;
            lists.push(
                found
                    .items
                    .iter()
                    .map(to_value)
                    .map(|mut object| {
                        // The items of a list have no kind.
                        object["kind"] = json!(kind);
                        object["apiVersion"] = json!(if group.is_empty() { "v1" } else { "apps/v1" });
                        object
                    })
                    .collect::<Vec<_>>(),
            );
        }
        let mut sets: Vec<Value> = lists.drain(1..).flatten().collect();
        let pods = lists.pop().unwrap_or_default();
        sets.sort_by_key(|set| (text(&set["metadata"]["creationTimestamp"]), name(set).to_owned()));
        let (nodes, open, evacuations) = shared.emqx.with(|broker| {
            let open: Vec<bool> = broker.members().map(|(node, _)| broker.available(node)).collect();
            (nodes(broker, &pods), open, instance::evacuations(broker))
        });
        let places = nodes.iter().zip(open).enumerate();
        let by_pod = places.map(|(place, (node, open))| (node.pod.clone(), (place, open))).collect();
        Ok(Some(Self { object: to_value(&object), pods, sets, nodes, by_pod, evacuations }))
    }

    pub(super) fn sets_of(&self, role: Role) -> impl DoubleEndedIterator<Item = &Value> {
        let kind = if role == Role::Core { "StatefulSet" } else { "ReplicaSet" };
        self.sets.iter().filter(move |set| set["kind"] == kind)
    }

    /// The pods of a set, by name.
    pub(super) fn pods_of(&self, set: &Value) -> Vec<&Value> {
        let own = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["name"] == set["metadata"]["name"];
        let mut pods: Vec<&Value> = self.pods.iter().filter(own).collect();
        pods.sort_by_key(|pod| name(pod));
        pods
    }

    /// The node in a pod.
    pub(super) fn node_in(&self, pod: &str) -> Option<&NodeView> {
        let (place, _) = self.by_pod.get(pod)?;
        self.nodes.get(*place).filter(|node| node.running)
    }

    /// The answer of EMQX's `availability_check` in a pod; `None` where EMQX has no node of it.
    pub(super) fn available_in(&self, pod: &str) -> Option<bool> {
        self.by_pod.get(pod).map(|(_, open)| *open)
    }

    /// The names of the nodes in the pods of a set.
    pub(super) fn nodes_of(&self, set: &Value) -> Vec<&str> {
        self.pods_of(set)
            .iter()
            .filter_map(|pod| self.node_in(name(pod)))
            .map(|node| node.name.as_str())
            .collect()
    }

    /// The evacuation of a node.
    pub(super) fn evacuation(&self, node: &str) -> Option<&Value> {
        self.evacuations.iter().find(|entry| entry["node"] == node)
    }
}

fn nodes(broker: &crate::broker::Broker, pods: &[Value]) -> Vec<NodeView> {
    let mut by_host: BTreeMap<&str, &Value> = BTreeMap::new();
    for pod in pods {
        by_host.insert(name(pod), pod);
        by_host.insert(pod["status"]["podIP"].as_str().unwrap_or_default(), pod);
    }
    broker
        .members()
        .map(|(_, node)| {
            let host = node.name.split_once('@').map_or(node.name.as_str(), |(_, host)| host);
            let label = host.split('.').next().unwrap_or(host);
            let pod = by_host.get(host).or_else(|| by_host.get(label)).copied().unwrap_or(&Value::Null);
            let metadata = &pod["metadata"];
            let uids = (text(&metadata["uid"]), text(&metadata["ownerReferences"][0]["uid"]));
            NodeView::of(node, name(pod).to_owned(), uids)
        })
        .collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether its deletion was requested.
pub(super) fn terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// How many pods a set wants.
pub(super) fn wanted(set: &Value) -> u64 {
    set["spec"]["replicas"].as_u64().unwrap_or(0)
}

/// How many pods a set has.
pub(super) fn present(set: &Value) -> u64 {
    set["status"]["replicas"].as_u64().unwrap_or(0)
}

/// How many of them are ready.
pub(super) fn ready(set: &Value) -> u64 {
    set["status"]["readyReplicas"].as_u64().unwrap_or(0)
}

/// The image of EMQX in a set's template.
pub(super) fn image(set: &Value) -> &str {
    let containers = set["spec"]["template"]["spec"]["containers"].as_array();
    let emqx = containers.into_iter().flatten().find(|container| container["name"] == "emqx");
    emqx.and_then(|container| container["image"].as_str()).unwrap_or_default()
}

/// The hash of a set's template, which is its revision.
pub(super) fn revision(set: &Value) -> &str {
    set["metadata"]["labels"][HASH].as_str().unwrap_or_default()
}

/// A set as the statuses of v2beta1 and v2 count it.
pub(super) fn view(set: &Value) -> SetView {
    SetView { revision: revision(set).to_owned(), replicas: present(set), ready: ready(set) }
}

/// The image that the instance wants.
fn wanted_image(api: Api, spec: &Value) -> String {
    if api != Api::V1beta4 {
        return text(&spec["image"]);
    }
    let image = &spec["template"]["spec"]["emqxContainer"]["image"];
    let part = |key: &str| image[key].as_str().unwrap_or_default();
    let registry = part("registry");
    let slash = if registry.is_empty() { "" } else { "/" };
    let repository = Some(part("repository")).filter(|it| !it.is_empty()).unwrap_or("emqx/emqx-ee");
    format!("{registry}{slash}{repository}:{}{}{}", part("prefix"), part("version"), part("suffix"))
}

/// The annotations of a pod template; without any, an empty object.
fn template_annotations(template: &Value) -> Value {
    let annotations = template["metadata"]["annotations"].as_object();
    json!(annotations.cloned().unwrap_or_default())
}

/// The requested template of the pods of a role. Any field of a pod template counts; here only its image and
/// its annotations can differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) image: String,
    pub(super) annotations: Value,
}

impl Template {
    /// The template that `spec` requests for a role.
    pub(super) fn wanted(api: Api, spec: &Value, role: Role) -> Self {
        let template = match (api, role) {
            (Api::V1beta4, _) => &spec["template"],
            (_, Role::Core) => &spec["coreTemplate"],
            (_, Role::Replicant) => &spec["replicantTemplate"],
        };
        Self { image: wanted_image(api, spec), annotations: template_annotations(template) }
    }

    /// Whether a set has this template.
    pub(super) fn fits(&self, set: &Value) -> bool {
        image(set) == self.image && template_annotations(&set["spec"]["template"]) == self.annotations
    }

    /// Its hash; `number` distinguishes templates that were made before.
    pub(super) fn hash(&self, number: Option<u64>) -> String {
        let annotations = self.annotations.as_object().filter(|map| !map.is_empty());
        let annotations = annotations.map_or_else(String::new, |_| format!(" {}", self.annotations));
        let number = number.map_or_else(String::new, |number| format!("#{number}"));
        hash(&format!("{}{annotations}{number}", self.image))
    }

    /// Puts it into a set's template.
    pub(super) fn put(&self, template: &mut Value) {
        set_image(template, &self.image);
        if template_annotations(template) != self.annotations {
            template["metadata"]["annotations"] = self.annotations.clone();
        }
    }
}

/// Another set like this one, with its own name and another template.
pub(super) fn another(set: &Value, name: &str, hash: &str, template: &Template, replicas: u64) -> Value {
    let mut metadata = json!({
        "name": name, "namespace": set["metadata"]["namespace"], "labels": set["metadata"]["labels"],
        "ownerReferences": set["metadata"]["ownerReferences"],
    });
    let mut spec = set["spec"].clone();
    spec["replicas"] = json!(replicas);
    let relabel = |labels: &mut Value| {
        if labels.get(HASH).is_some() {
            labels[HASH] = json!(hash);
        }
    };
    relabel(&mut metadata["labels"]);
    relabel(&mut spec["template"]["metadata"]["labels"]);
    relabel(&mut spec["selector"]["matchLabels"]);
    template.put(&mut spec["template"]);
    json!({ "apiVersion": "apps/v1", "kind": set["kind"], "metadata": metadata, "spec": spec })
}

/// Puts another image into a template.
fn set_image(template: &mut Value, image: &str) {
    for container in template["spec"]["containers"].as_array_mut().into_iter().flatten() {
        if container["name"] == "emqx" {
            container["image"] = json!(image);
        }
    }
}
