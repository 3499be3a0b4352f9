//! The cluster and the nodes that a command line of `evacuate` names.

use crate::cli::intent::Filter;
use crate::commands::CommandContext;
use crate::commands::cluster_view::{self, ClusterView};
use crate::error::Problem;
use crate::model::{Link, NodeName, OperationRef};
use crate::plan::snapshot::snapshot;
use crate::ports::RefreshScope;

/// The name of an evacuation in outputs.
pub(crate) fn name(node: &NodeName) -> String {
    OperationRef::Evacuation(node.clone()).to_string()
}

/// The cluster that has all of these nodes, and their names in EMQX.
pub(super) async fn find(
    context: &CommandContext,
    targets: &[String],
    want: RefreshScope,
) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let all = cluster_view::load_many(context, &Filter::default(), want).await?;
    let mut unanswered: Option<String> = None;
    let mut known: Vec<String> = Vec::new();
    let mut best: Option<(usize, String)> = None;
    for cluster in all {
        let link = cluster.answers().link("nodes");
        unanswered = unanswered.or_else(|| link.and_then(Link::why).map(str::to_owned));
        let mut nodes: Vec<NodeName> = Vec::new();
        let mut missing = None;
        for target in targets {
            match cluster_view::node(&cluster, context, target) {
                Some(node) if nodes.contains(&node) => {}
                Some(node) => nodes.push(node),
                None => missing = missing.or(Some(target.clone())),
            }
        }
        match missing {
            None => return Ok((cluster, nodes)),
            Some(missing) if best.as_ref().is_none_or(|(most, _)| nodes.len() > *most) => {
                best = Some((nodes.len(), missing));
            }
            Some(_) => {}
        }
        let rows = snapshot(&cluster.world, &cluster.id, context.clock.now()).nodes;
        known.extend(rows.iter().map(|row| {
            row.pod.as_ref().map_or_else(
                || row.node.as_ref().map(ToString::to_string).unwrap_or_default(),
                |pod| pod.as_str().to_owned(),
            )
        }));
    }
    let missing = best.map_or_else(|| targets.join(", "), |(_, missing)| missing);
    let place = if context.namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {}", context.namespace)
    };
    if let Some(why) = unanswered {
        return Err(Problem::new(format!("cannot find the EMQX node {missing}{place}"), why)
            .hint("kubectl emqx status shows what is missing"));
    }
    let why = match known.len() {
        0 => String::new(),
        1..=8 => format!("its nodes are {}", known.join(", ")),
        many => format!("its {many} nodes are {}, …", known[..8].join(", ")),
    };
    Err(Problem::new(format!("there is no EMQX node or EMQX pod {missing}{place}"), why)
        .hint("kubectl emqx nodes lists the nodes and their pods"))
}

/// The cluster, and those of these nodes that are being evacuated; the others are reported.
pub(crate) async fn resolve(
    context: &CommandContext,
    targets: &[String],
) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let (cluster, nodes) = if targets.is_empty() {
        running(context).await?
    } else {
        find(context, targets, RefreshScope::REBALANCE).await?
    };
    require_answer(&cluster, context)?;
    let evacuated = |node: &NodeName| cluster.answers().evacuations().iter().any(|it| it.node == *node);
    let (here, idle): (Vec<NodeName>, Vec<NodeName>) = nodes.into_iter().partition(evacuated);
    if here.is_empty()
        && let Some(down) = idle.iter().find(|node| !runs(&cluster, node))
    {
        return Err(unknown_while_down(down, "watch"));
    }
    for node in &idle {
        context.printer.talk(&format!("{node} is not being evacuated"));
    }
    if here.is_empty() && idle.is_empty() {
        context.printer.talk("no EMQX node is being evacuated");
    }
    Ok((cluster, here))
}

/// The cluster in which evacuations run, and the nodes. If there are several clusters, the user has to name
/// the nodes.
pub(super) async fn running(context: &CommandContext) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let all = cluster_view::load_many(context, &Filter::default(), RefreshScope::REBALANCE).await?;
    let nodes = |it: &ClusterView| -> Vec<NodeName> {
        let entries = it.answers().evacuations().iter();
        entries.map(|entry| entry.node.clone()).collect()
    };
    let busy = all.iter().filter(|it| !nodes(it).is_empty()).count();
    if busy > 1 {
        return Err(Problem::usage(
            format!("evacuations run in {busy} EMQX clusters"),
            "one cluster is followed at a time",
        )
        .hint("name the nodes: kubectl emqx evacuate list shows them"));
    }
    let place = all.iter().position(|it| !nodes(it).is_empty());
    let unanswered = all.iter().position(|it| it.answers().load.is_none());
    let chosen = place.or(unanswered).unwrap_or(0);
    match all.into_iter().nth(chosen) {
        Some(cluster) => {
            let nodes = nodes(&cluster);
            Ok((cluster, nodes))
        }
        None => Err(Problem::new(format!("there is no EMQX cluster in namespace {}", context.namespace), "")
            .hint("kubectl emqx status -A lists every one that you may see")),
    }
}

/// Whether EMQX's list of nodes has this node as running; `true` where there is no list.
pub(super) fn runs(cluster: &ClusterView, node: &NodeName) -> bool {
    let nodes = cluster.answers().nodes.as_ref();
    nodes.is_none_or(|seen| seen.value.iter().any(|it| it.name == *node && it.running))
}

/// Only EMQX's own answer shows that no evacuation runs.
pub(super) fn require_answer(cluster: &ClusterView, context: &CommandContext) -> Result<(), Problem> {
    if cluster.answers().load.is_some() {
        return Ok(());
    }
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let why = snapshot.sources.get(&crate::model::Source::Emqx).and_then(|age| age.why.clone());
    Err(Problem::new(
        format!("cannot determine which nodes of {} are evacuated", cluster.id),
        why.unwrap_or_else(|| "EMQX does not answer".to_owned()),
    )
    .hint(crate::commands::rebalance_target::REACH_EMQX))
}

/// EMQX lists no evacuation of a node that is down, and restores it when the node starts again.
pub(super) fn unknown_while_down(node: &NodeName, command: &str) -> Problem {
    Problem::new(
        format!("cannot determine whether {node} is being evacuated"),
        "it does not run, and EMQX restores its evacuation from disk when it starts again",
    )
    .hint(format!("try again when it runs: kubectl emqx evacuate {command} {node}"))
}
