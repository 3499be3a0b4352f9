//! Reads an instance as a whole and changes it; also changes the readiness gate of a pod.

use hyper::Method;
use serde_json::{Value, json};

use super::api::{Answer, BodyFormat};
use super::cluster::Cluster;
use super::error::ApiError;
use super::wire::GROUP;
use super::wire::pod::ON_SERVING;
use crate::error::Problem;
use crate::model::carried::carried;
use crate::model::operation_state::{STATE_LABEL, state_name};
use crate::model::url::encode;
use crate::model::{Instance, InstanceId, InstanceKind, PodName};
use crate::ports::{AppliedObject, ServerDryRun};

/// The place of an instance in the API.
struct Place<'a> {
    kind: InstanceKind,
    version: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn of(object: &'a Value) -> Result<Self, Problem> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = InstanceKind::parse(text("/kind")).ok_or_else(|| {
            Problem::new("cannot change an instance", format!("{:?} is no kind of EMQX's", text("/kind")))
        })?;
        let version = text("/apiVersion").rsplit('/').next().unwrap_or_default();
        Ok(Self { kind, version, namespace: text("/metadata/namespace"), name: text("/metadata/name") })
    }

    fn path(&self) -> String {
        format!(
            "/apis/{GROUP}/{}/namespaces/{}/{}/{}",
            self.version,
            encode(self.namespace),
            self.kind.plural(),
            encode(self.name)
        )
    }

    fn what(&self, verb: &str) -> String {
        format!("cannot {verb} {} {}/{}", self.kind, self.namespace, self.name)
    }

    fn needs(&self, verb: &str) -> String {
        format!("verb {verb} on {}.{GROUP}", self.kind.plural())
    }

    /// The command that shows the result of a change that was sent and not answered.
    fn look(&self) -> String {
        format!(
            "whether it was stored is not known: kubectl get {} -n {} {} -o yaml",
            self.kind.singular(),
            self.namespace,
            self.name
        )
    }

    fn refused(&self, trouble: &ApiError, dry_run: ServerDryRun) -> Problem {
        let what = self.what("change");
        match trouble {
            ApiError::Refused { code: 404, .. } => self.gone(),
            // Not a refusal: the operator writes the status all the time, and a second attempt may have no
            // conflict.
            ApiError::Refused { code: 409, .. } => {
                Problem::new(what, "it was changed or created again in the meantime")
                    .hint(format!("check it and try again: kubectl emqx status {}", self.name))
            }
            ApiError::Lost(_) | ApiError::Untrusted(_) if dry_run == ServerDryRun::No => {
                trouble.problem(what, "").hint(self.look())
            }
            _ if trouble.is_invalid() => Problem::new(what, trouble.why()).hint(format!(
                "what this cluster's operator takes: kubectl explain {}.spec --api-version={GROUP}/{}",
                self.kind.singular(),
                self.version
            )),
            _ => trouble.problem(what, &self.needs("patch")),
        }
    }

    fn gone(&self) -> Problem {
        Problem::new(self.what("change"), "it does not exist any more").hint(format!(
            "kubectl get {} -n {}",
            self.kind.singular(),
            self.namespace
        ))
    }
}

pub(super) async fn object(cluster: &Cluster, id: &InstanceId) -> Result<Option<Value>, Problem> {
    let served = cluster.known().await?;
    let Some(version) = served.version_of(id.kind.plural()) else {
        return Err(Problem::new(format!("cannot read {id}"), format!("{} is not served", id.kind))
            .hint("kubectl api-resources --api-group=apps.emqx.io"));
    };
    let place = Place { kind: id.kind, version, namespace: &id.namespace, name: &id.name };
    read(cluster, &place).await
}

async fn read(cluster: &Cluster, place: &Place<'_>) -> Result<Option<Value>, Problem> {
    match cluster.api.get(&place.path()).await {
        Ok(object) => Ok(Some(object)),
        Err(trouble) if trouble.is_absent() => Ok(None),
        Err(trouble) => Err(trouble.problem(place.what("read"), &place.needs("get"))),
    }
}

pub(super) async fn apply(
    cluster: &Cluster,
    change: &Value,
    force: bool,
    dry_run: ServerDryRun,
) -> Result<AppliedObject, Problem> {
    let place = Place::of(change)?;
    let there = read(cluster, &place).await?.ok_or_else(|| place.gone())?;
    if let Some(since) = there.pointer("/metadata/deletionTimestamp").and_then(Value::as_str) {
        return Err(Problem::refused(place.what("change"), format!("it is being deleted since {since}"))
            .hint(format!(
                "kubectl get {} -n {} {} -o yaml shows its finalizers",
                place.kind.singular(),
                place.namespace,
                place.name
            )));
    }
    let mut change = carried(change, &there, &cluster.field_manager);
    // An apply creates an object that does not exist: with the uid it changes this very object or fails.
    change["metadata"]["uid"] = there["metadata"]["uid"].clone();
    let dry = if dry_run == ServerDryRun::Server { "&dryRun=All" } else { "" };
    let path = format!(
        "{}?fieldManager={}&fieldValidation=Strict&force={force}{dry}",
        place.path(),
        encode(&cluster.field_manager)
    );
    let answer = cluster.api.patch(&path, BodyFormat::Apply, &change).await;
    answer.map(applied).map_err(|trouble| place.refused(&trouble, dry_run))
}

pub(super) async fn remove(
    cluster: &Cluster,
    object: &Value,
    fields: &[String],
) -> Result<AppliedObject, Problem> {
    let place = Place::of(object)?;
    let mut change = json!({});
    for field in fields {
        let mut at = &mut change;
        for key in field.split('/').skip(1) {
            at = &mut at[key.replace("~1", "/").replace("~0", "~")];
        }
    }
    // A change by another client may be intended: with another version the patch is a conflict.
    change["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
    let path = format!("{}?fieldManager={}", place.path(), encode(&cluster.field_manager));
    let answer = cluster.api.patch(&path, BodyFormat::Merge, &change).await;
    answer.map(applied).map_err(|trouble| place.refused(&trouble, ServerDryRun::No))
}

fn applied(answer: Answer) -> AppliedObject {
    AppliedObject { object: answer.body, warnings: answer.warnings }
}

pub(super) async fn set_gate(
    cluster: &Cluster,
    namespace: &str,
    pod: &PodName,
    serving: bool,
) -> Result<bool, Problem> {
    let status = if serving { "True" } else { "False" };
    let condition = json!({"type": ON_SERVING, "status": status, "lastTransitionTime": cluster.now()});
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/status?fieldManager={}",
        encode(namespace),
        encode(pod.as_str()),
        encode(&cluster.field_manager)
    );
    let body = json!({"status": {"conditions": [condition]}});
    match cluster.api.patch(&path, BodyFormat::Strategic, &body).await {
        Ok(_) => Ok(true),
        Err(trouble) if trouble.is_absent() => Ok(false),
        Err(trouble) => {
            let place = if serving { "into" } else { "out of" };
            let what = format!("cannot take pod {namespace}/{pod} {place} the Service");
            Err(trouble.problem(what, "verb patch on pods/status"))
        }
    }
}

pub(super) async fn store_state(
    cluster: &Cluster,
    instance: &Instance,
    key: &str,
    text: &str,
    dry_run: ServerDryRun,
) -> Result<(), Problem> {
    let place = StatePlace::of(cluster, instance, dry_run);
    let what = || place.what(key);
    let body = place.body(instance, key, text);
    match cluster.api.patch(&place.one(), BodyFormat::Merge, &body).await {
        Ok(_) => return Ok(()),
        Err(trouble) if trouble.is_absent() => {}
        Err(trouble) => return Err(trouble.problem(what(), "verb patch on configmaps")),
    }
    let made = cluster.api.call(Method::POST, &place.all(), Some(&place.whole(body))).await;
    made.map(drop).map_err(|trouble| trouble.problem(what(), "verb create on configmaps"))
}

pub(super) async fn store_state_over(
    cluster: &Cluster,
    instance: &Instance,
    key: &str,
    text: &str,
    version: Option<&str>,
) -> Result<bool, Problem> {
    let place = StatePlace::of(cluster, instance, ServerDryRun::No);
    let mut body = place.body(instance, key, text);
    let (answer, needs) = if let Some(version) = version {
        body["metadata"]["resourceVersion"] = json!(version);
        let answer = cluster.api.patch(&place.one(), BodyFormat::Merge, &body).await;
        (answer, "verb patch on configmaps")
    } else {
        let whole = place.whole(body);
        (cluster.api.call(Method::POST, &place.all(), Some(&whole)).await, "verb create on configmaps")
    };
    match answer {
        Ok(_) => Ok(true),
        // The ConfigMap has another version, or was created or deleted in the meantime.
        Err(ApiError::Refused { code: 409, .. }) => Ok(false),
        Err(trouble) if trouble.is_absent() && version.is_some() => Ok(false),
        Err(trouble) => Err(trouble.problem(place.what(key), needs)),
    }
}

/// The place of this program's ConfigMap of an instance.
struct StatePlace {
    namespace: String,
    name: String,
    query: String,
}

impl StatePlace {
    fn of(cluster: &Cluster, instance: &Instance, dry_run: ServerDryRun) -> Self {
        let dry = if dry_run == ServerDryRun::Server { "&dryRun=All" } else { "" };
        Self {
            namespace: instance.id.namespace.clone(),
            name: state_name(&instance.id),
            query: format!("fieldManager={}{dry}", encode(&cluster.field_manager)),
        }
    }

    fn what(&self, key: &str) -> String {
        format!("cannot store {key} in ConfigMap {}/{}", self.namespace, self.name)
    }

    /// The path of all ConfigMaps of the namespace.
    fn all(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps?{}", encode(&self.namespace), self.query)
    }

    /// The path of this ConfigMap.
    fn one(&self) -> String {
        let (namespace, name) = (encode(&self.namespace), encode(&self.name));
        format!("/api/v1/namespaces/{namespace}/configmaps/{name}?{}", self.query)
    }

    /// The ConfigMap with labels and owner: an instance that was created again with the same name takes it
    /// over.
    fn body(&self, instance: &Instance, key: &str, text: &str) -> Value {
        let (label, ours) = STATE_LABEL;
        let owner = json!({"apiVersion": format!("{GROUP}/{}", instance.api), "kind": instance.id.kind.as_str(),
            "name": instance.id.name, "uid": instance.uid, "controller": false, "blockOwnerDeletion": false});
        json!({"metadata": {"name": self.name, "labels": {label: ours}, "ownerReferences": [owner]}, "data": {key: text}})
    }

    fn whole(&self, mut body: Value) -> Value {
        body["apiVersion"] = json!("v1");
        body["kind"] = json!("ConfigMap");
        body["metadata"]["namespace"] = json!(self.namespace);
        body
    }
}

pub(super) async fn scale_set(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    replicas: u64,
) -> Result<bool, Problem> {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/statefulsets/{}/scale?fieldManager={}",
        encode(namespace),
        encode(name),
        encode(&cluster.field_manager)
    );
    let body = json!({"spec": {"replicas": replicas}});
    match cluster.api.patch(&path, BodyFormat::Merge, &body).await {
        Ok(_) => Ok(true),
        Err(trouble) if trouble.is_absent() => Ok(false),
        Err(trouble) => {
            let what = format!("cannot scale StatefulSet {namespace}/{name} to {replicas}");
            Err(trouble.problem(what, "verb patch on statefulsets.apps/scale"))
        }
    }
}
