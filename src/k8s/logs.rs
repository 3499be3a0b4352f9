//! The log of an EMQX container.

use http_body_util::{BodyExt, Limited};
use hyper::Method;

use super::cluster::Cluster;
use super::error::ApiError;
use crate::error::Problem;
use crate::model::PodName;
use crate::model::url::encode;

/// The most bytes that are requested.
const MAX_LOG_BYTES: usize = 1 << 20;

/// The container that runs EMQX in every pod of the operator.
const CONTAINER: &str = "emqx";

/// The last lines of the log.
pub(super) async fn logs(
    cluster: &Cluster,
    namespace: &str,
    pod: &PodName,
    lines: usize,
) -> Result<String, Problem> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/log?container={CONTAINER}&tailLines={lines}&limitBytes={MAX_LOG_BYTES}",
        encode(namespace),
        encode(pod.as_str())
    );
    let problem = |trouble: ApiError| {
        let needs = format!("verb get on pods/log in namespace {namespace}");
        trouble.problem(format!("cannot read the log of pod {pod}"), &needs)
    };
    let answer = cluster.api.send(Method::GET, &path, None).await.map_err(problem)?;
    let bytes = Limited::new(answer.into_body(), MAX_LOG_BYTES * 2)
        .collect()
        .await
        .map_err(|error| problem(ApiError::of_error(&cluster.api.server, error.as_ref())))?
        .to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
