//! The stop of an operation that reached a limit: the command that stops and verifies is run once, and the result is reported.

use super::cluster_view::{self, ClusterView};
use super::evacuate::stop::all as stop_evacuations;
use super::upgrade::undo::roll_back;
use super::{ChangeResult, CommandContext, confirmation, stop};
use crate::cli::intent::upgrade::UpgradeUndo;
use crate::cli::intent::{InstanceName, OperationName, Output, Stop, Then, WriteOptions};
use crate::error::{Exit, Problem};
use crate::model::{BackendRequest, NodeName};
use crate::output::Printer;
use crate::plan::limits::Stopping;
use crate::ports::RefreshScope;
use crate::timing::STOP_TIMEOUT;
use std::rc::Rc;

/// The result of a stop at a limit.
#[derive(Debug)]
pub(super) enum LimitStop {
    /// The operation is stopped.
    Done(Stopping),
    /// The image is changed back: the operator rolls the upgrade back, and the rollback is followed to its
    /// end.
    RollsBack(Stopping),
    /// There was nothing to stop: the operation had ended, or another client had stopped it.
    Over,
}

/// Stops a rebalance.
pub(super) async fn rebalance(
    context: &CommandContext,
    cluster: &ClusterView,
    name: &str,
    why: &str,
) -> Result<LimitStop, Problem> {
    let mut context = context.clone();
    context.namespace.clone_from(&cluster.id.namespace);
    let operation = OperationName::of_rebalance(name);
    let intent = Stop {
        operation: Some(operation),
        backend: BackendRequest::Auto,
        write: write(why),
        skip: Vec::new(),
        timeout: STOP_TIMEOUT,
        output: Output::Text,
    };
    let (ChangeResult { exit, stopped, .. }, _) = Box::pin(stop::verified(&context, &intent)).await?;
    Ok(match stopped.into_iter().next() {
        None => LimitStop::Over,
        Some(stopped) if exit == Exit::Reached => {
            let kept = "clients that were moved stay where they are, missing clients return by themselves or not at all";
            let kept = kept.to_owned();
            LimitStop::Done(Stopping { undone: stopped.proof, kept: vec![kept] })
        }
        Some(stopped) => {
            let why = std::iter::once(stopped.message).chain(stopped.proof).collect::<Vec<_>>().join("; ");
            return Err(Problem::new(format!("the stop of {name} could not be verified"), why)
                .hint(format!("kubectl emqx rebalance stop {name}"))
                .exit(exit));
        }
    })
}

/// Stops the evacuations of these nodes.
pub(super) async fn evacuations(
    context: &CommandContext,
    cluster: &mut ClusterView,
    nodes: &[NodeName],
    emptied: &[NodeName],
    why: &str,
) -> Result<LimitStop, Problem> {
    let stopped = Box::pin(stop_evacuations(context, &write(why), STOP_TIMEOUT, cluster, nodes)).await?;
    if stopped.is_empty() {
        return Ok(LimitStop::Over);
    }
    let undone = stopped.iter().map(|it| format!("{}: {}", it.name, it.proof.join(", "))).collect();
    let mut kept = vec!["clients that were disconnected are not moved back".to_owned()];
    kept.extend(emptied.iter().map(|node| {
        format!("{node} is empty and refuses clients (kubectl emqx evacuate stop {node} lets it serve again)")
    }));
    Ok(LimitStop::Done(Stopping { undone, kept }))
}

/// Stops an upgrade: a guarded one is paused, because the operator removes nothing without this program; any
/// other is rolled back.
pub(super) async fn upgrade(
    context: &CommandContext,
    cluster: &ClusterView,
    guarded: bool,
    why: &str,
) -> Result<LimitStop, Problem> {
    let name = InstanceName { kind: Some(cluster.id.kind), name: cluster.id.name.clone() };
    let mut context = context.clone();
    context.namespace.clone_from(&cluster.id.namespace);
    if guarded {
        return paused(&context, &name, why).await;
    }
    let undo = UpgradeUndo {
        instance: Some(name),
        to: None,
        force: false,
        write: write(why),
        skip: vec!["downgrade".to_owned()],
        then: Then::Leave(Output::Name),
    };
    // The name that the command prints is not an event of the stream.
    let (printer, ..) = Printer::captured(context.printer.look(), context.printer.terminal());
    let quiet = CommandContext { printer: Rc::new(printer), ..context.clone() };
    let change = Box::pin(roll_back(&quiet, &undo)).await?;
    let ChangeResult { exit, unchanged, .. } = change.result;
    let id = &cluster.id;
    if exit != Exit::Reached {
        let why = unchanged.unwrap_or_default();
        return Err(Problem::new(format!("{id} is not rolled back"), why)
            .hint(format!("kubectl emqx upgrade undo {}", id.name))
            .exit(exit));
    }
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let now = cluster_view::load_one(&context, undo.instance.as_ref(), want).await?;
    let image = now.instance()?.image.clone().unwrap_or_default();
    let undone = vec![format!("the object has its previous image again ({image})")];
    Ok(LimitStop::RollsBack(Stopping { undone, kept: Vec::new() }))
}

/// A guarded upgrade: evacuations of old pods are stopped, and the Service sends clients to these pods again.
async fn paused(context: &CommandContext, name: &InstanceName, why: &str) -> Result<LimitStop, Problem> {
    let mut cluster = cluster_view::load_one(context, Some(name), RefreshScope::ALL).await?;
    let entries = cluster.answers().evacuations().iter();
    let nodes: Vec<NodeName> = entries.map(|entry| entry.node.clone()).collect();
    let mut kept = Vec::new();
    let gated: Vec<_> = cluster
        .world
        .kubernetes
        .pods
        .values()
        .map(|seen| &seen.value)
        .filter(|pod| pod.instance.as_deref() == Some(&cluster.id.name))
        .filter(|pod| {
            pod.gated && pod.on_serving == Some(false) && pod.containers_ready && pod.deleting.is_none()
        })
        .map(|pod| pod.name.clone())
        .collect();
    for pod in &gated {
        if let Err(problem) = context.kubernetes.set_gate(&cluster.id.namespace, pod, true).await {
            kept.push(format!("{pod} stays out of the Service: {problem}"));
        }
    }
    let mut undone = Vec::new();
    if !nodes.is_empty() {
        let stopped =
            Box::pin(stop_evacuations(context, &write(why), STOP_TIMEOUT, &mut cluster, &nodes)).await?;
        undone.extend(stopped.iter().map(|it| format!("{}: {}", it.name, it.proof.join(", "))));
    }
    undone.push("the operator is held: it removes no old pod".to_owned());
    kept.push(format!(
        "both sets of pods stay: kubectl emqx upgrade watch {0} continues, kubectl emqx upgrade undo {0} rolls back",
        name.name
    ));
    Ok(LimitStop::Done(Stopping { undone, kept }))
}

fn write(why: &str) -> WriteOptions {
    WriteOptions { reason: Some(why.to_owned()), ..confirmation::already_confirmed() }
}
