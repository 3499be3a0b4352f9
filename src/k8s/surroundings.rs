//! What surrounds a cluster: Services, quotas, and the conversion webhook of its CRD.

use super::cluster::Cluster;
use super::drain::list;
use super::error::ApiError;
use super::wire;
use crate::error::Problem;
use crate::model::InstanceId;
use crate::model::surroundings::{Conversion, Surroundings};
use crate::model::url::encode;
use crate::ports::SurroundingScope;

/// Why a resource could not be read that only the checks need.
fn why(trouble: &ApiError, right: &str) -> String {
    if trouble.is_forbidden() {
        return format!("needs verb {right}");
    }
    trouble.problem("", "").why
}

/// Reads what is requested; what may not be read is named.
pub(super) async fn surroundings(
    cluster: &Cluster,
    id: &InstanceId,
    want: SurroundingScope,
) -> Result<Surroundings, Problem> {
    let mut found = Surroundings::default();
    let namespace = encode(&id.namespace);
    if want.services {
        match list(cluster, &format!("/api/v1/namespaces/{namespace}/services")).await {
            Ok(listed) => found.services = Some(listed.iter().filter_map(wire::service).collect()),
            Err(trouble) => found.unread.push(format!("Services ({})", why(&trouble, "list on services"))),
        }
    }
    if want.quotas {
        match list(cluster, &format!("/api/v1/namespaces/{namespace}/resourcequotas")).await {
            Ok(listed) => found.quotas = Some(listed.iter().flat_map(wire::quota).collect()),
            Err(trouble) => {
                found.unread.push(format!("ResourceQuotas ({})", why(&trouble, "list on resourcequotas")));
            }
        }
    }
    if want.webhook {
        crd(cluster, id, &mut found).await;
    }
    Ok(found)
}

/// The versions of the CRD, and its conversion webhook.
async fn crd(cluster: &Cluster, id: &InstanceId, found: &mut Surroundings) {
    let crd =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.apps.emqx.io", id.kind.plural());
    match cluster.api.get(&crd).await {
        Ok(object) => {
            found.versions = wire::crd_versions(&object);
            found.conversion = Some(match wire::conversion(&object) {
                Some((namespace, service)) => {
                    let stored = wire::crd_stored(&object);
                    Some(webhook(cluster, (&namespace, &service), stored, found).await)
                }
                None => None,
            });
        }
        Err(trouble) => {
            let right = "get on customresourcedefinitions.apiextensions.k8s.io";
            found.unread.push(format!("the CRD of {} ({})", id.kind, why(&trouble, right)));
        }
    }
}

async fn webhook(
    cluster: &Cluster,
    (namespace, service): (&str, &str),
    stored: Option<String>,
    found: &mut Surroundings,
) -> Conversion {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector={}",
        encode(namespace),
        encode(&format!("kubernetes.io/service-name={service}"))
    );
    let ready = match list(cluster, &path).await {
        Ok(slices) => Some(wire::ready_addresses(&slices)),
        Err(trouble) => {
            let right = format!("list on endpointslices.discovery.k8s.io in namespace {namespace}");
            found.unread.push(format!("the operator's webhook ({})", why(&trouble, &right)));
            None
        }
    };
    Conversion { service: format!("{namespace}/{service}"), ready, stored }
}
