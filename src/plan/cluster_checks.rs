//! The checks of the cluster itself, before any operation: whether it is the right one, whether all of it is
//! present, where clients can reconnect, and whether EMQX can do what is requested.

use emqx_rebalance::rules::donors;

use crate::model::cluster::is_open_source;
use crate::model::human::{and_more, first_phrases, plural};
use crate::model::image::EmqxVersion;
use crate::model::{Instance, Link, NodeName, Source, World};
use crate::plan::answers::{current_load, lists_nodes};
use crate::plan::discrepancies::{left_over, membership};
use crate::plan::finding::Finding;
use crate::plan::membership::Membership;
use crate::plan::snapshot::{NodeRow, Snapshot, SourceState};

/// The EMQX that answered belongs to another cluster: its counts and its answers must not be used.
pub(crate) fn wrong_emqx(snapshot: &Snapshot) -> Option<Finding> {
    let why = snapshot.wrong_emqx.as_ref()?;
    Some(
        Finding::blocked("wrong-emqx", why.clone())
            .hint("check --emqx-url, or leave it away: then EMQX is asked through the pods of the instance"),
    )
}

/// Discrepancies between the requested nodes, the pods and EMQX's list; a node that a scale-down left in the
/// list is a warning.
pub(crate) fn membership_findings(world: &World, instance: &Instance, snapshot: &Snapshot) -> Vec<Finding> {
    let summary = membership(world, Some(instance), snapshot, snapshot.now);
    let mut found = Vec::new();
    if snapshot.wrong_emqx.is_none() && !summary.discrepancies.is_empty() {
        let text = first_phrases(&summary.discrepancies);
        // Without the pods it cannot be determined whether a stopped node comes back.
        let alone = |row: &&NodeRow| row.membership == Some(Membership::Stopped) && row.pod.is_none();
        let stopped = snapshot.nodes.iter().find(alone).and_then(|row| row.node.as_ref());
        let nodes = format!("kubectl emqx nodes {}", instance.id.name);
        found.push(Finding::blocked("membership", text).hint(match stopped {
            Some(node) => format!(
                "start it again; if it was removed for good: emqx ctl cluster force-leave {node}, on any running node"
            ),
            None => nodes,
        }));
    }
    if let Some((what, way)) = left_over(&summary) {
        found.push(Finding::warning("membership", what).hint(way));
    }
    found
}

/// Whether new clients reach this node: by the Service's endpoints, else by its pod.
fn serves(row: &NodeRow) -> Option<bool> {
    row.serving.or(row.ready)
}

/// The nodes that would receive clients in a rebalance, by EMQX's own split.
fn recipients(snapshot: &Snapshot) -> Vec<&NodeRow> {
    let rows: Vec<(&NodeRow, u64)> =
        snapshot.participants().into_iter().filter_map(|row| Some((row, row.connections?))).collect();
    let counts: Vec<u64> = rows.iter().map(|(_, count)| *count).collect();
    rows.into_iter().zip(donors(&counts)).filter(|(_, gives)| !gives).map(|((row, _), _)| row).collect()
}

/// Recipients that no new client reaches: disconnected clients could not reconnect to them.
pub(crate) fn recipients_not_serving(instance: &Instance, snapshot: &Snapshot) -> Option<Finding> {
    let recipients = recipients(snapshot);
    let closed: Vec<&NodeRow> = recipients.iter().copied().filter(|row| serves(row) == Some(false)).collect();
    let name = &instance.id.name;
    if let Some(first) = closed.first() {
        let many = closed.len() > 1;
        let more = and_more(closed.len() - 1);
        let (does, is) = if many { ("do", "are") } else { ("does", "is") };
        let how = if first.serving.is_some() { "is not in the Service" } else { "is not ready" };
        return Some(
            Finding::blocked(
                "recipients-not-serving",
                format!(
                    "{}{more} {is} to receive clients and {does} not serve any ({} {how}): evicted clients could not \
                     reconnect there",
                    first.label(),
                    first.label(),
                ),
            )
            .hint(format!("kubectl emqx nodes {name}; kubectl describe pod {}", first.label())),
        );
    }
    unknown_serving(snapshot, &recipients)
}

/// The finding that it is unknown whether these nodes serve, where no source shows it. It refuses nothing.
fn unknown_serving(snapshot: &Snapshot, rows: &[&NodeRow]) -> Option<Finding> {
    let blind = [Source::Endpoints, Source::Pods]
        .iter()
        .all(|source| !matches!(snapshot.source(*source), SourceState::Ok | SourceState::Absent));
    let unknown = rows.iter().any(|row| serves(row).is_none());
    (blind && unknown).then(|| {
        Finding::info(
            "recipients-not-serving",
            "whether the recipients serve clients is not known: neither endpoints nor pods can be listed",
        )
        .hint("needs list on endpointslices.discovery.k8s.io, or on pods")
    })
}

/// Fewer than a third of all participants receive and serve.
pub(crate) fn few_recipients(snapshot: &Snapshot, found: &[Finding]) -> Option<Finding> {
    let recipients = recipients(snapshot);
    let serving = recipients.iter().filter(|row| serves(row) != Some(false)).count();
    let all = snapshot.participants().len();
    let already = found.iter().any(|finding| finding.id == "few-recipients");
    (!recipients.is_empty() && !already && serving * 3 < all).then(|| {
        Finding::warning(
            "few-recipients",
            format!(
                "only {serving} of {} receive and serve new clients meanwhile",
                plural(all as u64, "node")
            ),
        )
        .hint("a lower --conn-evict-rate spreads the reconnects over more time")
    })
}

/// No other node serves: the clients of these nodes could not reconnect anywhere. For upgrades (with no node
/// named, all that serve now) and evacuations.
pub(crate) fn nowhere_to_go(
    instance: &Instance,
    snapshot: &Snapshot,
    leaving: &[NodeName],
) -> Option<Finding> {
    let stays = |row: &&NodeRow| row.running && row.node.as_ref().is_some_and(|node| !leaving.contains(node));
    let others: Vec<&NodeRow> = snapshot.nodes.iter().filter(stays).collect();
    let closed = !others.is_empty() && others.iter().all(|row| serves(row) == Some(false));
    if !closed {
        return unknown_serving(snapshot, &others);
    }
    let which = if leaving.is_empty() { "no node" } else { "no other node" };
    let message =
        format!("{which} of {} serves clients: evicted clients could not reconnect anywhere", instance.id);
    Some(Finding::blocked("recipients-not-serving", message).hint(format!(
        "kubectl get endpointslices -n {}; kubectl emqx nodes {}",
        instance.id.namespace, instance.id.name
    )))
}

/// Why this EMQX cannot rebalance, as far as its version and its answer show it.
pub(crate) fn lacks_api(world: &World, snapshot: &Snapshot) -> Option<String> {
    let open = is_open_source(snapshot.edition.as_deref());
    let versions = snapshot.versions.iter().filter_map(|text| Some((text, EmqxVersion::find(text)?)));
    for (text, version) in versions {
        if open && version < EmqxVersion(5, 9, 0) {
            return Some(format!("EMQX open source {text} cannot rebalance: it can from 5.9 on"));
        }
        if version < EmqxVersion(4, 4, 12) || (EmqxVersion(5, 0, 0)..EmqxVersion(5, 0, 4)).contains(&version)
        {
            return Some(format!("EMQX {text} cannot rebalance: it can from 4.4.12 and 5.0.4 on"));
        }
    }
    let answer = world.broker(&snapshot.instance).sources.get("load_rebalance")?;
    match &answer.link {
        Link::Absent(why) if !why.is_empty() && snapshot.wrong_emqx.is_none() => Some(why.clone()),
        _ => None,
    }
}

/// EMQX has no rebalance API.
pub(crate) fn no_rebalance_api(world: &World, snapshot: &Snapshot) -> Option<Finding> {
    let why = lacks_api(world, snapshot)?;
    Some(Finding::blocked("no-rebalance-api", why).hint("upgrade EMQX first: kubectl emqx upgrade plan"))
}

/// What EMQX runs could not be asked.
pub(crate) fn not_asked(world: &World, snapshot: &Snapshot) -> Option<Finding> {
    let load = current_load(world, snapshot, snapshot.now);
    if (load.is_some() && lists_nodes(world.broker(&snapshot.instance), snapshot.now))
        || snapshot.wrong_emqx.is_some()
        || lacks_api(world, snapshot).is_some()
    {
        return None;
    }
    let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Some(
        Finding::blocked(
            "emqx-not-asked",
            match load {
                Some(_) => format!("EMQX does not list its nodes{why}"),
                None => format!("what EMQX runs is not known{why}"),
            },
        )
        .hint("let EMQX be asked (--emqx-url and --api-key-file, or get secrets and get,create pods/portforward), or --skip-check emqx-not-asked"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, Object, Update};
    use crate::plan::fixtures;
    use crate::plan::snapshot::snapshot;

    #[test]
    fn few_recipients_counts_only_recipients_that_serve() {
        let api = ApiVersion::V2beta1;
        let world = World::of([
            fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(fixtures::instance(api))))),
            fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(&[1000, 1000, 1000, 0, 0, 0]))),
        ]);
        let mut snapshot = snapshot(&world, &fixtures::id(api), fixtures::at(1));
        assert_eq!(few_recipients(&snapshot, &[]), None, "three of six receive clients");
        for row in snapshot.nodes.iter_mut().rev().take(2) {
            (row.serving, row.ready) = (None, Some(false));
        }
        let finding = few_recipients(&snapshot, &[]).expect("a finding");
        assert!(finding.message.starts_with("only 1 of 6 nodes"), "{}", finding.message);
        for row in &mut snapshot.nodes {
            (row.serving, row.ready) = (Some(true), Some(false));
        }
        assert_eq!(few_recipients(&snapshot, &[]), None, "the Service decides, not the readiness of the pod");
    }
}
