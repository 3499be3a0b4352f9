//! `evacuate stop`: asks EMQX to stop, and then verifies that the node serves again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::cluster_view::{self, ClusterView};
use super::super::{ChangeResult, CommandContext, Interrupt, confirmation};
use super::target::{find, name, require_answer, running, runs, unknown_while_down};
use crate::cli::intent::evacuate::EvacuateStop;
use crate::cli::intent::{DryRun, WriteOptions};
use crate::error::{Exit, Problem};
use crate::model::human::plural;
use crate::model::{Backend, NodeName, PodName, Source, Verdict};
use crate::plan::results::Stopped;
use crate::plan::snapshot::{SourceState, snapshot};
use crate::ports::RefreshScope;
use crate::timing::VERIFY_PAUSE;

/// `evacuate stop`.
pub(crate) async fn run(context: &CommandContext, intent: &EvacuateStop) -> Result<ChangeResult, Problem> {
    let (mut cluster, nodes) = if intent.targets.is_empty() {
        let (cluster, nodes) = running(context).await?;
        if nodes.len() > 1 {
            return Err(Problem::usage(
                format!("{} of {} are evacuated", plural(nodes.len() as u64, "node"), cluster.id),
                nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", "),
            )
            .hint(format!("name one of them: kubectl emqx evacuate stop {}", nodes[0])));
        }
        (cluster, nodes)
    } else {
        find(context, &intent.targets, RefreshScope::REBALANCE).await?
    };
    require_answer(&cluster, context)?;
    let (here, idle): (Vec<NodeName>, Vec<NodeName>) =
        nodes.into_iter().partition(|node| entry(&cluster, node).is_some());
    for node in &idle {
        context.printer.talk(&format!("{node} is not being evacuated"));
    }
    if here.is_empty()
        && let Some(down) = idle.iter().find(|node| !runs(&cluster, node))
    {
        return Err(unknown_while_down(down, "stop"));
    }
    if here.is_empty() {
        let why = "there is nothing to stop";
        context.printer.talk(why);
        let exit = if intent.write.error_unchanged { Exit::Unchanged } else { Exit::Reached };
        return Ok(ChangeResult::unchanged(exit, why));
    }
    let label = here.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    if intent.write.dry_run != DryRun::None {
        for node in &here {
            context.printer.line(&format!("{} (dry run)", name(node)));
        }
        return Ok(ChangeResult::stopped(Exit::Reached, Vec::new()));
    }
    let question = format!("Stop the evacuation of {label} of {}?", cluster.id);
    confirmation::confirm(context, &intent.write, &question).await?;
    let mut interrupt: Interrupt = (context.interrupt)();
    tokio::select! {
        biased;
        stopped = all(context, &intent.write, intent.timeout, &mut cluster, &here) => {
            let stopped = stopped?;
            match stopped.as_slice() {
                [one] => context.printer.stopped(one, intent.output),
                several => context.printer.several_stopped(several, intent.output),
            }
            Ok(ChangeResult::stopped(Exit::Reached, stopped))
        }
        () = &mut interrupt => Err(Problem::new("interrupted", "what EMQX was asked so far stays asked")
            .hint("kubectl emqx evacuate list shows what still runs")
            .interrupted()),
    }
}

/// Whether EMQX lists the node as running.
fn entry(cluster: &ClusterView, node: &NodeName) -> Option<(String, Option<u64>)> {
    let load = &cluster.answers().load.as_ref()?.value;
    let entry = load.evacuations.iter().find(|it| it.node == *node)?;
    let counts =
        cluster.answers().nodes.as_ref().and_then(|seen| seen.value.iter().find(|it| it.name == *node));
    Some((entry.state.clone(), counts.and_then(|it| it.connections)))
}

/// Stops these evacuations and verifies that they stopped.
pub(in crate::commands) async fn all(
    context: &CommandContext,
    write: &WriteOptions,
    timeout: Duration,
    cluster: &mut ClusterView,
    nodes: &[NodeName],
) -> Result<Vec<Stopped>, Problem> {
    let began = Instant::now();
    let mut stopped = Vec::new();
    for node in nodes {
        let (state, clients) = entry(cluster, node).unwrap_or_default();
        let ours = cluster.broker.stop_evacuation(node).await?;
        let mut proof = Vec::new();
        gone(context, cluster, node, began, timeout).await?;
        proof.push("EMQX's global_status does not list the evacuation".to_owned());
        accepts(context, cluster, node, began, timeout, &mut proof).await?;
        serves(context, cluster, node, began, timeout, &mut proof).await?;
        let who = if ours { "you stopped it" } else { "another client stopped it meanwhile" };
        let remained = clients.map(|clients| format!("; {} remained on the node", plural(clients, "client")));
        let reason = write.reason.as_ref().map(|reason| format!(" (reason: {reason})"));
        let message =
            format!("{who} in {state}{}{}", remained.unwrap_or_default(), reason.unwrap_or_default());
        stopped.push(Stopped {
            name: name(node),
            instance: cluster.id.clone(),
            backend: Backend::Emqx,
            verdict: Verdict::Stopped,
            message,
            proof,
        });
    }
    Ok(stopped)
}

/// The first evidence: EMQX no longer lists the evacuation.
async fn gone(
    context: &CommandContext,
    cluster: &mut ClusterView,
    node: &NodeName,
    began: Instant,
    limit: Duration,
) -> Result<(), Problem> {
    loop {
        cluster_view::refresh(context, cluster).await?;
        let up = snapshot(&cluster.world, &cluster.id, context.clock.now()).source(Source::Emqx)
            == SourceState::Ok;
        if up && entry(cluster, node).is_none() {
            return Ok(());
        }
        if began.elapsed() >= limit {
            return Err(still(node, "EMQX still lists it", limit));
        }
        sleep(VERIFY_PAUSE).await;
    }
}

fn still(node: &NodeName, why: &str, limit: Duration) -> Problem {
    Problem::new(
        format!("EMQX was asked to stop the evacuation of {node}, which could not be verified"),
        format!("{why} after {}s", limit.as_secs()),
    )
    .hint(format!("kubectl emqx evacuate stop {node} --timeout 5m"))
    .exit(Exit::TimedOut)
}

fn pod(context: &CommandContext, cluster: &ClusterView, node: &NodeName) -> Option<PodName> {
    snapshot(&cluster.world, &cluster.id, context.clock.now()).node(node).and_then(|row| row.pod.clone())
}

/// The second evidence: the node's own availability check.
async fn accepts(
    context: &CommandContext,
    cluster: &ClusterView,
    node: &NodeName,
    began: Instant,
    limit: Duration,
    proof: &mut Vec<String>,
) -> Result<(), Problem> {
    let pod = pod(context, cluster, node);
    loop {
        match cluster.broker.accepts_clients(node, pod.as_ref()).await {
            Ok(true) => {
                proof.push("the node's availability check passes".to_owned());
                return Ok(());
            }
            Ok(false) if began.elapsed() >= limit => {
                return Err(still(node, "its availability check still fails", limit));
            }
            Ok(false) => sleep(VERIFY_PAUSE).await,
            Err(problem) => {
                proof.push(format!("not verified: {problem}"));
                return Ok(());
            }
        }
    }
}

/// The third evidence: the endpoints of the Service, where there are any.
async fn serves(
    context: &CommandContext,
    cluster: &mut ClusterView,
    node: &NodeName,
    began: Instant,
    limit: Duration,
    proof: &mut Vec<String>,
) -> Result<(), Problem> {
    loop {
        let now = context.clock.now();
        let serving = snapshot(&cluster.world, &cluster.id, now).node(node).and_then(|row| row.serving);
        match serving {
            None => return Ok(()),
            Some(true) => {
                proof.push("the Service routes clients to the node".to_owned());
                return Ok(());
            }
            Some(false) if began.elapsed() >= limit => {
                return Err(still(node, "the Service does not route clients to it", limit));
            }
            Some(false) => {}
        }
        sleep(VERIFY_PAUSE).await;
        cluster_view::relist(context, cluster, RefreshScope::REBALANCE).await?;
    }
}
