//! What is served: Kubernetes' version, the operator's group, its versions and kinds ([OP-69]).
//! A constant number of requests: two at once, then one per served version at once.

use futures::future::join_all;
use serde_json::Value;

use super::api::Api;
use super::error::ApiError;
use super::wire::GROUP;
use crate::error::Problem;
use crate::model::{ApiVersion, OperatorLine, Served};

/// Newest first: of a kind that is served in several versions the first one is read.
const VERSIONS: [ApiVersion; 4] =
    [ApiVersion::V3beta1, ApiVersion::V2, ApiVersion::V2beta1, ApiVersion::V1beta4];

/// Asks. Fails only when the API server cannot be asked at all.
pub(super) async fn served(api: &Api) -> Result<Served, Problem> {
    let what = "cannot ask the cluster what it serves";
    let group_path = format!("/apis/{GROUP}");
    let (version, group) = futures::join!(api.get("/version"), api.get(&group_path));
    let mut served = Served::default();
    match version {
        Ok(version) => served.kubernetes = version["gitVersion"].as_str().map(str::to_owned),
        Err(trouble) if trouble.is_fatal() => return Err(trouble.problem(what, "")),
        Err(_) => {}
    }
    let group = match group {
        Ok(group) => group,
        Err(trouble) if trouble.is_absent() => {
            served.operator = OperatorLine::None;
            return Ok(served);
        }
        Err(trouble) if trouble.is_fatal() || trouble.is_away() => return Err(trouble.problem(what, "")),
        Err(_) => return Ok(served),
    };
    let names: Vec<String> = group["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|version| version["version"].as_str().map(str::to_owned))
        .collect();
    let known: Vec<ApiVersion> =
        VERSIONS.into_iter().filter(|version| names.iter().any(|name| name == version.as_str())).collect();
    let answers = join_all(known.iter().map(|version| {
        let path = format!("/apis/{GROUP}/{version}");
        async move { api.get(&path).await }
    }))
    .await;
    let mut complete = true;
    for (version, answer) in known.iter().zip(answers) {
        match answer {
            Ok(list) => served.kinds.extend(kinds(&list).map(|kind| (kind, version.to_string()))),
            // Without this version a cluster would seem not to be there.
            Err(trouble) if trouble.is_away() => {
                return Err(trouble.problem(format!("cannot ask the cluster for {GROUP}/{version}"), ""));
            }
            Err(_) => complete = false,
        }
    }
    served.operator = line(&served, complete);
    Ok(served)
}

/// The plurals of a list of resources, without subresources.
fn kinds(list: &Value) -> impl Iterator<Item = String> {
    list["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["name"].as_str())
        .filter(|name| !name.contains('/'))
        .map(str::to_owned)
}

fn line(served: &Served, complete: bool) -> OperatorLine {
    let has = |plural: &str, version: ApiVersion| {
        served.kinds.iter().any(|(kind, it)| kind == plural && it == version.as_str())
    };
    if has("emqxes", ApiVersion::V3beta1) {
        OperatorLine::Three
    } else if has("emqxes", ApiVersion::V2) {
        OperatorLine::Two3
    } else if has("emqxes", ApiVersion::V2beta1) || has("emqxenterprises", ApiVersion::V1beta4) {
        OperatorLine::Two2
    } else if complete && served.kinds.is_empty() {
        OperatorLine::None
    } else {
        OperatorLine::Unknown
    }
}

/// Whether Rebalance v2beta1 has `instanceKind`: by its CRD, else by the published schema; `None` when neither may
/// be seen.
pub(super) async fn instance_kind(api: &Api) -> Option<bool> {
    let crd =
        api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rebalances.apps.emqx.io").await;
    match crd {
        Ok(crd) => {
            let versions = crd["spec"]["versions"].as_array()?;
            let version = versions.iter().find(|version| version["name"] == "v2beta1")?;
            let spec = version.pointer("/schema/openAPIV3Schema/properties/spec/properties")?;
            Some(spec.get("instanceKind").is_some())
        }
        Err(trouble) if trouble.is_fatal() => None,
        Err(_) => {
            let schema = api.get("/openapi/v3/apis/apps.emqx.io/v2beta1").await.ok()?;
            let schemas = schema.pointer("/components/schemas")?.as_object()?;
            let rebalance = schemas.iter().find(|(name, _)| name.ends_with(".Rebalance"))?.1;
            Some(rebalance.pointer("/properties/spec/properties")?.get("instanceKind").is_some())
        }
    }
}

impl ApiError {
    /// The same as the API server being away, for callers that do not distinguish the two.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Busy { .. } | Self::Refused { code: 500.., .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(kinds: &[(&str, &str)]) -> OperatorLine {
        let kinds = kinds.iter().map(|(kind, version)| ((*kind).to_owned(), (*version).to_owned())).collect();
        line(&Served { kinds, ..Served::default() }, true)
    }

    #[test]
    fn the_line_follows_from_what_is_served() {
        assert_eq!(line_of(&[("emqxes", "v3beta1")]), OperatorLine::Three);
        assert_eq!(line_of(&[("emqxes", "v2"), ("emqxes", "v2beta1")]), OperatorLine::Two3);
        assert_eq!(line_of(&[("emqxes", "v2beta1"), ("emqxenterprises", "v1beta4")]), OperatorLine::Two2);
        assert_eq!(line_of(&[("emqxenterprises", "v1beta4")]), OperatorLine::Two2);
        assert_eq!(line_of(&[("rebalances", "v2beta1")]), OperatorLine::Unknown);
        assert_eq!(line_of(&[]), OperatorLine::None);
    }
}
