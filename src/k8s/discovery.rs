//! The served APIs: Kubernetes' version, and the versions and kinds of the operator's group ([OP-69]). All of
//! it comes with one aggregated document, at the same time as the version. For a server older than Kubernetes
//! 1.26, a user who may not read the document, and a document without the group, the group's own documents
//! are read: one request, then one per served version at the same time.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use super::error::ApiError;
use super::wire::GROUP;
use crate::error::Problem;
use crate::model::{ApiVersion, OperatorLine, Served};

/// Newest first: a kind that is served in several versions is read in the first of them.
const NEWEST_FIRST: [ApiVersion; 4] =
    [ApiVersion::V3beta1, ApiVersion::V2, ApiVersion::V2beta1, ApiVersion::V1beta4];

/// The aggregated document, as kubectl accepts it: v2 since Kubernetes 1.30, v2beta1 since 1.26, else the list of groups.
const AGGREGATED: &str = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io,\
    application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io,application/json";

/// The answer to `/apis`: `items` in the aggregated form; other forms are not used.
#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<GroupDiscovery>,
}

#[derive(Deserialize)]
struct GroupDiscovery {
    metadata: GroupMetadata,
    #[serde(default)]
    versions: Vec<VersionDiscovery>,
}

#[derive(Deserialize)]
struct GroupMetadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct VersionDiscovery {
    version: String,
    #[serde(default)]
    resources: Vec<ResourceDiscovery>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
struct ResourceDiscovery {
    resource: String,
}

/// Reads what is served. Fails only when the API server cannot be asked at all.
pub(super) async fn served(api: &Api) -> Result<Served, Problem> {
    let what = "cannot ask the cluster what it serves";
    let (version, groups) = futures::join!(api.get("/version"), api.get_in::<Groups>("/apis", AGGREGATED));
    let mut served = Served::default();
    match version {
        Ok(version) => served.kubernetes = version["gitVersion"].as_str().map(str::to_owned),
        Err(trouble) if trouble.is_fatal() => return Err(trouble.problem(what, "")),
        Err(_) => {}
    }
    let complete = match groups.map(|groups| aggregated(&groups)) {
        Ok(Some(kinds)) => {
            served.kinds = kinds;
            true
        }
        Err(trouble) if trouble.is_fatal() || trouble.is_away() => return Err(trouble.problem(what, "")),
        Ok(None) | Err(_) => match of_group(api, &mut served).await? {
            Some(complete) => complete,
            None => return Ok(served),
        },
    };
    served.operator = line(&served, complete);
    Ok(served)
}

/// The kinds of the group with their versions, the newest first; `None` where the document does not have all
/// of them: then the group's own documents decide.
fn aggregated(groups: &Groups) -> Option<Vec<(String, String)>> {
    let found = groups.items.iter().find(|group| group.metadata.name == GROUP);
    let group = found.filter(|_| groups.kind == "APIGroupDiscoveryList")?;
    if group.versions.is_empty() || group.versions.iter().any(|version| version.freshness == "Stale") {
        return None;
    }
    let known = NEWEST_FIRST
        .iter()
        .filter_map(|known| group.versions.iter().find(|version| version.version == known.as_str()));
    let kinds = known.flat_map(|version| {
        version.resources.iter().map(|resource| (resource.resource.clone(), version.version.clone()))
    });
    Some(kinds.collect())
}

/// Reads the group's own documents. Returns whether all of them could be read; `None` when nothing more can
/// be determined.
async fn of_group(api: &Api, served: &mut Served) -> Result<Option<bool>, Problem> {
    let what = "cannot ask the cluster what it serves";
    let group = match api.get(&format!("/apis/{GROUP}")).await {
        Ok(group) => group,
        Err(trouble) if trouble.is_absent() => {
            served.operator = OperatorLine::None;
            return Ok(None);
        }
        Err(trouble) if trouble.is_fatal() || trouble.is_away() => return Err(trouble.problem(what, "")),
        Err(_) => return Ok(None),
    };
    let names: Vec<String> = group["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|version| version["version"].as_str().map(str::to_owned))
        .collect();
    let known: Vec<ApiVersion> = NEWEST_FIRST
        .into_iter()
        .filter(|version| names.iter().any(|name| name == version.as_str()))
        .collect();
    let answers = join_all(known.iter().map(|version| {
        let path = format!("/apis/{GROUP}/{version}");
        async move { api.get(&path).await }
    }))
    .await;
    let mut complete = true;
    for (version, answer) in known.iter().zip(answers) {
        match answer {
            Ok(list) => served.kinds.extend(kinds(&list).map(|kind| (kind, version.to_string()))),
            // Without this version a cluster would seem not to exist.
            Err(trouble) if trouble.is_away() => {
                return Err(trouble.problem(format!("cannot ask the cluster for {GROUP}/{version}"), ""));
            }
            Err(_) => complete = false,
        }
    }
    Ok(Some(complete))
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

impl ApiError {
    /// The same as the API server being away, for callers that do not distinguish the two.
    pub(super) fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Untrusted(_) | Self::Busy { .. } | Self::Refused { code: 500.., .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line_of(kinds: &[(&str, &str)]) -> OperatorLine {
        let kinds = kinds.iter().map(|(kind, version)| ((*kind).to_owned(), (*version).to_owned())).collect();
        line(&Served { kinds, ..Served::default() }, true)
    }

    #[test]
    fn the_aggregated_document_has_the_kinds_of_the_group_newest_version_first() {
        let version = |name: &str, resources: &[&str], freshness: &str| {
            let resources: Vec<Value> = resources
                .iter()
                .map(|name| json!({"resource": name, "scope": "Namespaced", "verbs": ["list"], "subresources": [{}]}))
                .collect();
            json!({"version": name, "resources": resources, "freshness": freshness})
        };
        let read = |kind: &str, versions: Value| {
            let other = json!({"metadata": {"name": "apps"}, "versions": [version("v1", &["deployments"], "Current")]});
            let own = json!({"metadata": {"name": GROUP, "creationTimestamp": null}, "versions": versions});
            let document =
                json!({"kind": kind, "apiVersion": "apidiscovery.k8s.io/v2", "items": [other, own]});
            aggregated(&serde_json::from_value(document).expect("a document"))
        };
        let list = "APIGroupDiscoveryList";
        let old = version("v2beta1", &["emqxes", "rebalances"], "Current");
        let new = version("v2", &["emqxes"], "Current");
        let of = |kind: &str, version: &str| (kind.to_owned(), version.to_owned());
        assert_eq!(
            read(list, json!([old, new])),
            Some(vec![of("emqxes", "v2"), of("emqxes", "v2beta1"), of("rebalances", "v2beta1")])
        );
        assert_eq!(read("APIGroupList", json!([old])), None);
        assert_eq!(read(list, json!([old, version("v2", &["emqxes"], "Stale")])), None);
        assert_eq!(read(list, json!([])), None);
        let plain: Groups =
            serde_json::from_value(json!({"kind": "APIGroupList", "groups": []})).expect("one");
        assert_eq!(aggregated(&plain), None);
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
