//! Lists the requested resources once, over the open connections. A forbidden or absent resource becomes a
//! fact.

use futures::{StreamExt, stream};

use super::cluster::Cluster;
use super::error::ApiError;
use super::resource::Resource;
use super::wire;
use crate::error::Problem;
use crate::model::{Fact, Link, ObjectKind, OperatorLine, Served, Update};
use crate::ports::Scope;

pub(super) async fn read(cluster: &Cluster, scope: &Scope) -> Result<Vec<Fact>, Problem> {
    let served = cluster.known().await?;
    let blind = served.operator == OperatorLine::Unknown;
    let resources = super::resource::wanted(scope, &served, blind);
    let lists: Vec<_> = resources.iter().map(|resource| list(cluster, resource)).collect();
    let answers: Vec<_> = stream::iter(lists).buffered(cluster.api.lists_at_once()).collect().await;
    if let Some(problem) = hopeless(&resources, &answers) {
        return Err(problem);
    }
    Ok(facts(cluster, served, &resources, answers))
}

/// The result of a list: facts, and the uids of the objects.
type Listed = (Vec<Fact>, Vec<String>);

async fn list(cluster: &Cluster, resource: &Resource) -> Result<Listed, ApiError> {
    let (mut facts, mut uids) = (Vec::new(), Vec::new());
    let mut pages = resource.pages(&cluster.api);
    while let Some(page) = pages.next().await? {
        if std::mem::take(&mut pages.restarted) {
            uids.clear();
        }
        for object in page {
            cluster.tap("LISTED", &object);
            uids.extend(wire::uid(&object));
            facts.extend(wire::facts(cluster.now(), "LISTED", &object));
        }
    }
    Ok((facts, uids))
}

/// The names of all namespaces, as fresh as the server's own cache.
pub(super) async fn namespaces(cluster: &Cluster) -> Result<Vec<String>, Problem> {
    let list = cluster.api.get("/api/v1/namespaces?resourceVersion=0").await;
    let list =
        list.map_err(|trouble| trouble.problem("cannot list namespaces", "verb list on namespaces"))?;
    let names = list["items"].as_array().into_iter().flatten();
    Ok(names.filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// The problem that leaves nothing to show: the server is unreachable, rejects the credentials, or lists no
/// instance of any kind.
fn hopeless(resources: &[Resource], answers: &[Result<Listed, ApiError>]) -> Option<Problem> {
    let of = |kind: ObjectKind| resources.iter().zip(answers).filter(move |(it, _)| it.kind == kind);
    let what = |resource: &Resource| match &resource.namespace {
        Some(namespace) => format!("cannot list {} in namespace {namespace}", resource.name),
        None => format!("cannot list {} in all namespaces", resource.name),
    };
    for (resource, answer) in resources.iter().zip(answers) {
        if let Err(trouble) = answer
            && trouble.is_fatal()
        {
            return Some(trouble.problem(what(resource), ""));
        }
    }
    let mut refused = None;
    for (resource, answer) in of(ObjectKind::Instance) {
        match answer {
            Err(trouble) if trouble.is_absent() => {}
            Err(trouble) => {
                // Permissions within namespaces do not add up to one for all namespaces.
                let (place, instead) = match resource.namespace {
                    Some(_) => ("", ""),
                    None => (
                        " in all namespaces (a ClusterRoleBinding)",
                        ", or one namespace with -n instead of -A",
                    ),
                };
                let needs = format!("verb list on {}{place}{instead}", resource.full_name());
                refused.get_or_insert_with(|| trouble.problem(what(resource), &needs));
            }
            Ok(_) => return None,
        }
    }
    refused
}

fn facts(
    cluster: &Cluster,
    served: Served,
    resources: &[Resource],
    answers: Vec<Result<Listed, ApiError>>,
) -> Vec<Fact> {
    let at = cluster.now();
    let mut facts = vec![Fact { at, update: Update::Served(served) }];
    let mut uids: Vec<(ObjectKind, Vec<String>)> = Vec::new();
    let listed: Vec<&str> =
        resources.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(it, _)| it.name).collect();
    for (resource, answer) in resources.iter().zip(answers) {
        let link = match answer {
            Ok((reported, found)) => {
                let index = uids.iter().position(|(kind, _)| *kind == resource.kind).unwrap_or_else(|| {
                    uids.push((resource.kind, Vec::new()));
                    uids.len() - 1
                });
                uids[index].1.extend(found);
                facts.extend(reported);
                Link::Up
            }
            // Another one of the tried versions answered.
            Err(_) if listed.contains(&resource.name) || resource.is_optional() => continue,
            Err(trouble) => link(resource, &trouble),
        };
        if !resource.is_optional() {
            facts.push(Fact { at, update: Update::Link(resource.source, resource.name, link) });
        }
    }
    facts.extend(uids.into_iter().map(|(kind, uids)| Fact { at, update: Update::Listed(kind, uids) }));
    facts
}

/// The state of a source after a failed list.
pub(super) fn link(resource: &Resource, trouble: &ApiError) -> Link {
    if trouble.is_forbidden() {
        Link::Forbidden(resource.forbidden("list", trouble))
    } else if trouble.is_absent() {
        Link::Absent(resource.absent())
    } else if trouble.is_fatal() || trouble.is_away() {
        Link::Unreachable(trouble.why())
    } else {
        Link::Unreachable(format!("cannot list {}: {}", resource.name, trouble.why()))
    }
}
