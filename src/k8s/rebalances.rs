//! Changes of Rebalances: creates or deletes one, or writes an annotation; and permission reviews.

use futures::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use super::api::BodyFormat;
use super::cluster::Cluster;
use super::error::ApiError;
use super::resource::Resource;
use super::wire::{self, GROUP};
use crate::error::{Exit, Problem};
use crate::model::url::encode;
use crate::model::{Object, ObjectKind, Rebalance};
use crate::ports::{Created, Deletion, Right, ServerDryRun};

/// The version in which Rebalances are read and deleted; v1beta4 only where nothing else is served, because
/// it cannot name an instance of kind EMQX.
async fn version(cluster: &Cluster) -> Result<String, Problem> {
    let served = cluster.known().await?;
    Ok(served.version_of("rebalances").unwrap_or("v2beta1").to_owned())
}

fn path(version: &str, namespace: &str, name: Option<&str>) -> String {
    let collection = format!("/apis/{GROUP}/{version}/namespaces/{}/rebalances", encode(namespace));
    name.map_or(collection.clone(), |name| format!("{collection}/{}", encode(name)))
}

fn needs(verb: &str) -> String {
    format!("verb {verb} on rebalances.{GROUP}")
}

fn read(object: &Value) -> Result<Rebalance, Problem> {
    match wire::object(object) {
        Ok(Some(Object::Rebalance(rebalance))) => Ok(*rebalance),
        Ok(_) => {
            Err(Problem::new("cannot read the Rebalance", "the API server answered with something else"))
        }
        Err(why) => Err(Problem::new("cannot read the Rebalance", why)),
    }
}

/// Reads a Rebalance by a list that is restricted to the name: with permission to list, `get` is not needed,
/// and a permission for this name only (`resourceNames`) suffices.
pub(super) async fn rebalance(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Rebalance>, Problem> {
    let one = Resource {
        namespace: Some(namespace.to_owned()),
        fields: Some(format!("metadata.name={name}")),
        ..Resource::new(ObjectKind::Rebalance, "rebalances", GROUP, &version(cluster).await?)
    };
    let mut pages = one.pages(&cluster.api);
    loop {
        match pages.next().await {
            Ok(None) => return Ok(None),
            Ok(Some(mut page)) => {
                if let Some(object) = page.next() {
                    return read(&object).map(Some);
                }
            }
            Err(trouble) if trouble.is_absent() => return Ok(None),
            Err(trouble) => {
                let what = format!("cannot read Rebalance {namespace}/{name}");
                return Err(trouble.problem(what, &needs("list")));
            }
        }
    }
}

pub(super) async fn create_rebalance(
    cluster: &Cluster,
    manifest: &Value,
    dry_run: ServerDryRun,
) -> Result<Created, Problem> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace =
        Some(text("/metadata/namespace")).filter(|it| !it.is_empty()).unwrap_or(cluster.namespace());
    let name = text("/metadata/name");
    let version = text("/apiVersion").rsplit('/').next().filter(|it| !it.is_empty()).unwrap_or("v2beta1");
    let dry = if dry_run == ServerDryRun::Server { "&dryRun=All" } else { "" };
    let path = format!(
        "{}?fieldManager={}&fieldValidation=Strict{dry}",
        path(version, namespace, None),
        encode(&cluster.field_manager)
    );
    let what = format!("cannot create Rebalance {namespace}/{name}");
    let answer =
        cluster.api.call(Method::POST, &path, Some(manifest)).await.map_err(|trouble| match &trouble {
            ApiError::Refused { code: 409, .. } => {
                Problem::refused(&what, "there already is one of that name")
                    .hint("a name is used once: choose another with --name")
            }
            ApiError::Refused { code: 404, .. } => {
                let why =
                    format!("namespace {namespace} does not exist, or Rebalance {version} is not served");
                Problem::new(&what, why)
                    .hint("kubectl get namespaces; kubectl api-resources --api-group=apps.emqx.io")
            }
            ApiError::Refused { code: 400 | 422, .. } if !trouble.is_policy() => {
                Problem::new(&what, trouble.why()).hint("kubectl emqx rebalance generate writes a valid one")
            }
            ApiError::Lost(_) | ApiError::Untrusted(_) if dry_run == ServerDryRun::No => trouble
                .problem(&what, "")
                .hint(format!("it may or may not be there: kubectl get rebalance -n {namespace} {name}")),
            _ => trouble.problem(&what, &needs("create")),
        })?;
    if dry_run == ServerDryRun::No {
        let mut seen = answer.body.clone();
        if let Some(metadata) = seen.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        cluster.tap("ADDED", &seen);
    }
    Ok(Created { rebalance: read(&answer.body)?, object: answer.body, warnings: answer.warnings })
}

/// Sends a delete with these preconditions; the error is the problem for the user.
async fn delete(
    cluster: &Cluster,
    rebalance: &Rebalance,
    preconditions: Value,
    dry_run: ServerDryRun,
) -> Result<Deletion, Problem> {
    let path = path(&version(cluster).await?, &rebalance.namespace, Some(&rebalance.name));
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": preconditions});
    if dry_run == ServerDryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    match cluster.api.call(Method::DELETE, &path, Some(&options)).await {
        Ok(_) => Ok(Deletion::Accepted),
        Err(ApiError::Refused { code: 404, .. }) => Ok(Deletion::Gone),
        Err(ApiError::Refused { code: 409, .. }) => Ok(Deletion::Changed),
        Err(trouble) => {
            let what = format!("cannot delete Rebalance {}/{}", rebalance.namespace, rebalance.name);
            Err(trouble.problem(what, &needs("delete")))
        }
    }
}

pub(super) async fn delete_rebalance(
    cluster: &Cluster,
    rebalance: &Rebalance,
    dry_run: ServerDryRun,
) -> Result<bool, Problem> {
    let deleted = delete(cluster, rebalance, json!({"uid": rebalance.uid}), dry_run).await?;
    // The uid differs: the requested object is deleted.
    Ok(deleted == Deletion::Accepted)
}

pub(super) async fn delete_unchanged(cluster: &Cluster, rebalance: &Rebalance) -> Result<Deletion, Problem> {
    let exact = json!({"uid": rebalance.uid, "resourceVersion": rebalance.resource_version});
    delete(cluster, rebalance, exact, ServerDryRun::No).await
}

pub(super) async fn annotate_rebalance(
    cluster: &Cluster,
    rebalance: &Rebalance,
    key: &str,
    value: Option<&str>,
) -> Result<bool, Problem> {
    let path = format!(
        "{}?fieldManager={}",
        path(&version(cluster).await?, &rebalance.namespace, Some(&rebalance.name)),
        encode(&cluster.field_manager)
    );
    // The API server compares the uid of a patch with the object's: another object of this name stays
    // unchanged.
    let change = json!({"metadata": {"uid": rebalance.uid, "annotations": {key: value}}});
    match cluster.api.patch(&path, BodyFormat::Merge, &change).await {
        Ok(_) => Ok(true),
        Err(ApiError::Refused { code: 404 | 409, .. }) => Ok(false),
        // A real API server reports another uid as invalid, because the field is immutable.
        Err(ApiError::Refused { code: 422, message, .. }) if message.contains("metadata.uid") => Ok(false),
        Err(trouble) => {
            let what = format!("cannot annotate Rebalance {}/{}", rebalance.namespace, rebalance.name);
            Err(trouble.problem(what, &needs("patch")))
        }
    }
}

pub(super) async fn may(cluster: &Cluster, rights: &[Right]) -> Result<Vec<Option<bool>>, Problem> {
    let answers = join_all(rights.iter().map(|right| async move {
        let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": right.namespace, "verb": right.verb, "group": right.group,
                "resource": resource, "subresource": subresource, "name": right.name.as_deref().unwrap_or_default()}}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        cluster.api.call(Method::POST, path, Some(&review)).await
    }))
    .await;
    let mut found = Vec::with_capacity(rights.len());
    for answer in answers {
        match answer {
            Ok(answer) => found.push(answer.body["status"]["allowed"].as_bool()),
            Err(trouble) if trouble.is_fatal() => {
                return Err(trouble.problem("cannot query the permissions", "").exit(Exit::Error));
            }
            Err(_) => found.push(None),
        }
    }
    Ok(found)
}
