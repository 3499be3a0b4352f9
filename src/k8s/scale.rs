//! Reads and writes of a scale beside the instance: autoscalers, and the deletion costs of pods.

use serde_json::{Value, json};

use super::api::BodyFormat;
use super::cluster::Cluster;
use super::drain::list;
use super::error::ApiError;
use super::wire;
use crate::error::Problem;
use crate::model::PodName;
use crate::model::drain::DELETION_COST;
use crate::model::scale::Autoscalers;
use crate::model::url::encode;

/// HorizontalPodAutoscalers and KEDA's ScaledObjects.
const SOURCES: [(&str, &str, &str); 2] = [
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "scaledobjects", "ScaledObject"),
];

pub(super) async fn autoscalers(cluster: &Cluster, namespace: &str) -> Result<Autoscalers, Problem> {
    let mut all = Autoscalers::default();
    for (version, plural, kind) in SOURCES {
        let path = format!("/apis/{version}/namespaces/{}/{plural}", encode(namespace));
        let group = version.split('/').next().unwrap_or_default();
        match list(cluster, &path).await {
            Ok(listed) => all.found.extend(listed.iter().filter_map(|object| wire::autoscaler(object, kind))),
            // KEDA is not installed.
            Err(trouble) if trouble.is_absent() => {}
            Err(trouble) if trouble.is_forbidden() => {
                all.unread.push(format!("autoscalers (verb list on {plural}.{group})"));
            }
            Err(trouble) => {
                let what = format!("cannot list {plural} in namespace {namespace}");
                return Err(trouble.problem(what, &format!("verb list on {plural}.{group}")));
            }
        }
    }
    Ok(all)
}

pub(super) async fn set_deletion_cost(
    cluster: &Cluster,
    namespace: &str,
    pod: &PodName,
    uid: &str,
    cost: Option<i64>,
) -> Result<bool, Problem> {
    let value = cost.map_or(Value::Null, |cost| json!(cost.to_string()));
    // The API server compares the uid of a patch with the pod's: another pod of this name stays unchanged.
    let change = json!({ "metadata": { "uid": uid, "annotations": { DELETION_COST: value } } });
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}?fieldManager={}",
        encode(namespace),
        encode(pod.as_str()),
        encode(&cluster.field_manager)
    );
    match cluster.api.patch(&path, BodyFormat::Merge, &change).await {
        Ok(_) => Ok(true),
        Err(ApiError::Refused { code: 404 | 409, .. }) => Ok(false),
        // A real API server reports another uid as invalid, because the field is immutable.
        Err(ApiError::Refused { code: 422, message, .. }) if message.contains("metadata.uid") => Ok(false),
        Err(trouble) => {
            let what = format!("cannot set the deletion cost of pod {namespace}/{pod}");
            Err(trouble.problem(what, "verb patch on pods"))
        }
    }
}
