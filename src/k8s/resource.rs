//! The listed and watched resources: their paths, and the selectors that keep their cost constant.

use std::fmt::Write;

use super::api::Api;
use super::error::ApiError;
use super::wire::{GROUP, INSTANCE_LABEL, MANAGED_LABEL};
use crate::model::lease::{OPERATOR_LEASE, OPERATOR_NAMESPACE};
use crate::model::operation_state::{STATE_LABEL, state_name};
use crate::model::url::encode;
use crate::model::{InstanceId, InstanceKind, ObjectKind, Served, Source};
use crate::ports::Scope;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One resource, in one namespace or all, narrowed by selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: ObjectKind,
    pub(super) source: Source,
    /// The plural.
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) version: String,
    /// The kind as objects name it.
    pub(super) object: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
}

/// A list that is read page by page: the objects of a page are reduced before the next page is read.
pub(super) struct Pages<'a> {
    resource: &'a Resource,
    api: &'a Api,
    /// Objects of one page; `None` for one answer with all objects.
    size: Option<u32>,
    /// The token of the next page; `None` after the last one.
    token: Option<String>,
    /// Whether the list began again: the objects of earlier pages do not count.
    pub(super) restarted: bool,
    /// The version from which to watch; known with the last page.
    pub(super) version: String,
}

/// Objects of one page: with this size a cluster of 1,000 EMQX nodes needs as many requests, each one round
/// trip, as one of 3 nodes.
const OBJECTS_PER_PAGE: u32 = 1500;

/// A list as served. Its objects stay text until each of them is read: a pod as parsed JSON takes about 20
/// kB, and allocators do not return the memory of a thousand of them.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

impl Resource {
    pub(super) fn new(kind: ObjectKind, name: &'static str, group: &'static str, version: &str) -> Self {
        let (source, object) = match kind {
            ObjectKind::Pod => (Source::Pods, "Pod"),
            ObjectKind::StatefulSet => (Source::Pods, "StatefulSet"),
            ObjectKind::ReplicaSet => (Source::Pods, "ReplicaSet"),
            ObjectKind::Slice => (Source::Endpoints, "EndpointSlice"),
            ObjectKind::Event => (Source::Kubernetes, "Event"),
            ObjectKind::Rebalance => (Source::Kubernetes, "Rebalance"),
            ObjectKind::Instance => (Source::Kubernetes, "EMQX"),
            ObjectKind::State => (Source::Kubernetes, "ConfigMap"),
            ObjectKind::Lease => (Source::Kubernetes, "Lease"),
        };
        Self {
            kind,
            source,
            name,
            group,
            version: version.to_owned(),
            object,
            namespace: None,
            labels: None,
            fields: None,
        }
    }

    /// Whether the resource is optional: it is read where that is permitted, and does not affect the health
    /// of its source. It is listed repeatedly and not watched, because each renewal would be an event.
    pub(super) fn is_optional(&self) -> bool {
        self.kind == ObjectKind::Lease
    }

    /// The path of the collection.
    pub(super) fn path(&self) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match &self.namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{}", encode(namespace), self.name),
            None => format!("{root}/{}", self.name),
        }
    }

    /// The selectors as a query, beginning with `&`.
    pub(super) fn selectors(&self) -> String {
        let mut query = String::new();
        for (key, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if let Some(value) = value {
                let _ = write!(query, "&{key}={}", encode(value));
            }
        }
        query
    }

    /// The resource with its group, as RBAC and kubectl write it.
    pub(super) fn full_name(&self) -> String {
        if self.group.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.name, self.group) }
    }

    /// The notice when this resource may not be listed or watched.
    pub(super) fn forbidden(&self, verb: &str, trouble: &ApiError) -> String {
        let place =
            self.namespace.as_ref().map_or("in all namespaces".to_owned(), |it| format!("in namespace {it}"));
        format!(
            "cannot {verb} {} {place}: {} (needs verb {verb} on {})",
            self.name,
            trouble.why(),
            self.full_name()
        )
    }

    /// The notice when this resource is not served.
    pub(super) fn absent(&self) -> String {
        format!("{} is not served here", self.full_name())
    }

    /// Lists everything.
    pub(super) fn pages<'a>(&'a self, api: &'a Api) -> Pages<'a> {
        let (token, version) = (Some(String::new()), String::new());
        Pages { resource: self, api, size: Some(OBJECTS_PER_PAGE), token, restarted: false, version }
    }

    /// The object as it is passed on: with its kind, which lists of built-in kinds omit, and without
    /// `managedFields`, which are often half of it.
    pub(super) fn cleaned(&self, mut object: Value) -> Value {
        if let Some(fields) = object.as_object_mut() {
            // The `managedFields` of a Lease have the time of its renewal by the API server's clock, those of
            // a Rebalance its creator.
            let keeps = matches!(self.kind, ObjectKind::Lease | ObjectKind::Rebalance);
            let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut);
            if let Some(metadata) = metadata.filter(|_| !keeps) {
                metadata.remove("managedFields");
            }
            if !fields.get("kind").is_some_and(Value::is_string) {
                fields.insert("kind".to_owned(), json!(self.object));
            }
            if !fields.get("apiVersion").is_some_and(Value::is_string) {
                let api = if self.group.is_empty() {
                    self.version.clone()
                } else {
                    format!("{}/{}", self.group, self.version)
                };
                fields.insert("apiVersion".to_owned(), json!(api));
            }
        }
        object
    }

    /// Opens a watch from a version on.
    pub(super) async fn watch(
        &self,
        api: &Api,
        from: &str,
        seconds: u64,
    ) -> Result<hyper::Response<kube::client::Body>, ApiError> {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}{}",
            self.path(),
            encode(from),
            self.selectors()
        );
        api.send(Method::GET, &path, None).await
    }
}

impl<'a> Pages<'a> {
    /// The objects of the next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<impl Iterator<Item = Value> + use<'a>>, ApiError> {
        let Some(token) = self.token.take() else { return Ok(None) };
        // These are often forbidden: over a slow link the fallback does not wait for the refusal.
        let early = matches!(self.resource.kind, ObjectKind::Lease | ObjectKind::State) && self.api.is_slow();
        let (answer, object) =
            if early { futures::join!(self.ask(&token), self.got()) } else { (self.ask(&token).await, None) };
        let list = match answer {
            // The token of a page is valid for some minutes; a list that took longer is requested again, in
            // one piece.
            Err(trouble) if trouble.is_expired() && self.size.is_some() => {
                self.size = None;
                self.restarted = true;
                self.ask("").await?
            }
            Err(trouble) if trouble.is_forbidden() && early => object.ok_or(trouble)?,
            Err(trouble) if trouble.is_forbidden() => self.got().await.ok_or(trouble)?,
            other => other?,
        };
        self.version = list.metadata.resource_version.unwrap_or_default();
        self.token = list.metadata.r#continue.filter(|next| !next.is_empty() && self.size.is_some());
        let resource = self.resource;
        let objects =
            list.items.into_iter().flatten().filter_map(|text| serde_json::from_str(text.get()).ok());
        Ok(Some(objects.map(|object| resource.cleaned(object))))
    }

    /// The one object of this name: without permission to list, `get` may be permitted, as for `kubectl get
    /// KIND NAME`. `None` where that is not permitted either, or where there is no such name.
    async fn got(&self) -> Option<List> {
        let resource = self.resource;
        let name = resource.fields.as_ref().and_then(|fields| fields.strip_prefix("metadata.name="));
        let mut path = resource.path();
        let mut placed = resource.namespace.is_some();
        if resource.is_optional() && !placed {
            // All namespaces may not be searched: the operator is searched in the namespace of its manual.
            let own = Resource { namespace: Some(OPERATOR_NAMESPACE.to_owned()), ..resource.clone() };
            (path, placed) = (own.path(), true);
        }
        let name = name.filter(|name| placed && !name.contains(','))?;
        let items = match self.api.get_as::<Box<RawValue>>(&format!("{path}/{}", encode(name))).await {
            Ok(object) => Some(vec![object]),
            Err(trouble) if trouble.is_absent() => None,
            Err(_) => return None,
        };
        Some(List { metadata: ListMetadata::default(), items })
    }

    async fn ask(&self, token: &str) -> Result<List, ApiError> {
        let mut path = format!("{}?", self.resource.path());
        if let Some(size) = self.size {
            let _ = write!(path, "limit={size}");
        }
        path.push_str(&self.resource.selectors());
        if !token.is_empty() {
            let _ = write!(path, "&continue={}", encode(token));
        }
        self.api.get_as(&path.replace("?&", "?")).await
    }
}

/// All resources that a scope requests, given the served APIs. Where the group is unknown, its usual versions
/// are tried, and those that do not exist become [`crate::model::Link::Absent`].
pub(super) fn wanted(scope: &Scope, served: &Served, blind: bool) -> Vec<Resource> {
    let mut found = Vec::new();
    let version = |plural: &str, fallbacks: &[&'static str]| -> Vec<String> {
        match served.version_of(plural) {
            Some(version) => vec![version.to_owned()],
            None if blind => fallbacks.iter().map(|&version| version.to_owned()).collect(),
            None => Vec::new(),
        }
    };
    let (kind, name) = match &scope.instance {
        Some((kind, name)) => (*kind, Some(name.as_str())),
        None => (None, None),
    };
    let kinds = InstanceKind::ALL.into_iter().filter(|each| kind.is_none_or(|kind| kind == *each));
    let (mut event_kinds, mut served_kinds) = (Vec::new(), Vec::new());
    for kind in kinds {
        let fallbacks: &[&str] =
            if kind == InstanceKind::Emqx { &["v3beta1", "v2", "v2beta1"] } else { &["v1beta4"] };
        let versions = version(kind.plural(), fallbacks);
        if !versions.is_empty() {
            event_kinds.push((kind.as_str(), name));
            served_kinds.push(kind);
        }
        for version in versions.iter().filter(|_| scope.want.instances) {
            let mut fields: Vec<String> = name.iter().map(|name| format!("metadata.name={name}")).collect();
            fields.extend(scope.fields.clone());
            found.push(Resource {
                object: kind.as_str(),
                labels: scope.labels.clone(),
                fields: (!fields.is_empty()).then(|| fields.join(",")),
                ..Resource::new(ObjectKind::Instance, kind.plural(), GROUP, version)
            });
        }
    }
    let rebalances = version("rebalances", &["v2beta1"]);
    if scope.want.rebalances {
        found.extend(
            rebalances.iter().map(|it| Resource::new(ObjectKind::Rebalance, "rebalances", GROUP, it)),
        );
    }
    // Everything that the operator creates has these labels; EndpointSlices inherit them from their Service.
    let mine = match name {
        Some(name) => format!("{MANAGED_LABEL},{INSTANCE_LABEL}={name}"),
        None => MANAGED_LABEL.to_owned(),
    };
    let made = |kind, name, group, version: &str| Resource {
        labels: Some(mine.clone()),
        ..Resource::new(kind, name, group, version)
    };
    if scope.want.pods {
        found.push(made(ObjectKind::Pod, "pods", "", "v1"));
    }
    if scope.want.sets {
        found.push(made(ObjectKind::StatefulSet, "statefulsets", "apps", "v1"));
        found.push(made(ObjectKind::ReplicaSet, "replicasets", "apps", "v1"));
    }
    if scope.want.endpoints {
        found.push(made(ObjectKind::Slice, "endpointslices", "discovery.k8s.io", "v1"));
    }
    if scope.want.states {
        let states = || Resource::new(ObjectKind::State, "configmaps", "", "v1");
        if let Some(name) = name {
            // By name, so that a role can be restricted to these ConfigMaps.
            found.extend(served_kinds.iter().map(|kind| {
                let id = InstanceId { kind: *kind, namespace: String::new(), name: name.to_owned() };
                Resource { fields: Some(format!("metadata.name={}", state_name(&id))), ..states() }
            }));
        } else {
            let (label, ours) = STATE_LABEL;
            found.push(Resource { labels: Some(format!("{label}={ours}")), ..states() });
        }
    }
    if scope.want.events {
        // Selectors have no "or": one list per kind that has events, instead of every event of the namespace.
        if !rebalances.is_empty() {
            event_kinds.push(("Rebalance", None));
        }
        for (kind, name) in event_kinds {
            let about = name.map_or_else(String::new, |name| format!(",involvedObject.name={name}"));
            found.push(Resource {
                fields: Some(format!("involvedObject.kind={kind}{about}")),
                ..Resource::new(ObjectKind::Event, "events", "", "v1")
            });
        }
    }
    for resource in &mut found {
        resource.namespace.clone_from(&scope.namespace);
    }
    if scope.want.lease && !served_kinds.is_empty() {
        // The operator runs in a namespace of its own.
        found.push(Resource {
            fields: Some(format!("metadata.name={OPERATOR_LEASE}")),
            ..Resource::new(ObjectKind::Lease, "leases", "coordination.k8s.io", "v1")
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OperatorLine;
    use crate::ports::RefreshScope;

    fn served() -> Served {
        let kinds = [("emqxes", "v2"), ("emqxes", "v2beta1"), ("rebalances", "v2beta1")];
        let kinds = kinds.map(|(plural, version)| (plural.to_owned(), version.to_owned())).to_vec();
        Served { operator: OperatorLine::Two3, kinds, ..Served::default() }
    }

    #[test]
    fn one_instance_is_asked_for_by_name_and_label() {
        let scope = Scope {
            namespace: Some("mq".to_owned()),
            instance: Some((None, "emqx".to_owned())),
            want: RefreshScope::ALL,
            ..Scope::default()
        };
        let paths: Vec<_> = wanted(&scope, &served(), false)
            .iter()
            .map(|it| format!("{}?{}", it.path(), it.selectors()))
            .collect();
        let mine =
            "&labelSelector=apps.emqx.io%2Fmanaged-by%3Demqx-operator%2Capps.emqx.io%2Finstance%3Demqx";
        assert_eq!(
            paths,
            [
                "/apis/apps.emqx.io/v2/namespaces/mq/emqxes?&fieldSelector=metadata.name%3Demqx".to_owned(),
                "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances?".to_owned(),
                format!("/api/v1/namespaces/mq/pods?{mine}"),
                format!("/apis/apps/v1/namespaces/mq/statefulsets?{mine}"),
                format!("/apis/apps/v1/namespaces/mq/replicasets?{mine}"),
                format!("/apis/discovery.k8s.io/v1/namespaces/mq/endpointslices?{mine}"),
                "/api/v1/namespaces/mq/configmaps?&fieldSelector=metadata.name%3Dkubectl-emqx-emqx-emqx".to_owned(),
                "/api/v1/namespaces/mq/events?&fieldSelector=involvedObject.kind%3DEMQX%2CinvolvedObject.name%3Demqx"
                    .to_owned(),
                "/api/v1/namespaces/mq/events?&fieldSelector=involvedObject.kind%3DRebalance".to_owned(),
                "/apis/coordination.k8s.io/v1/leases?&fieldSelector=metadata.name%3D19fd6fcc.emqx.io".to_owned(),
            ]
        );
    }

    #[test]
    fn blind_means_trying_and_unserved_means_not_asking() {
        let scope = Scope {
            want: RefreshScope { instances: true, rebalances: true, ..RefreshScope::default() },
            ..Scope::default()
        };
        assert_eq!(wanted(&scope, &Served::default(), false), []);
        assert_eq!(wanted(&scope, &Served::default(), true).len(), 6);
    }

    #[test]
    fn built_in_kinds_get_their_kind_and_lose_managed_fields() {
        let resource = Resource::new(ObjectKind::Pod, "pods", "", "v1");
        let object = resource.cleaned(json!({"metadata": {"name": "p", "managedFields": [1]}}));
        assert_eq!(object, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}));
    }
}
