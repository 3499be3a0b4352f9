//! `drain --undo`: stops evacuations that a drain started, and uncordons nodes that it cordoned. Moved pods
//! stay where they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::super::cluster_view::{self, ClusterView};
use super::super::fact_loop::refresh_interval;
use super::super::removal::{REMOVAL_SCOPE, lease, open_gates, release};
use super::super::{CommandContext, Outcome, confirmation, history};
use super::task::again;
use crate::cli::intent::drain::Drain as Intent;
use crate::cli::intent::{DryRun, Output, Stream};
use crate::error::{Exit, Problem};
use crate::model::drain::{Cordon, DRAIN_KEY, DrainState, DrainedPod, Placement};
use crate::model::human::seconds_between;
use crate::model::{Event, EventType, Judgement, NodeName, Operation, OperationRef, Verdict};
use crate::plan::drain::{DrainPlan, continued};
use crate::plan::history as past;
use crate::plan::snapshot::snapshot;
use crate::plan::stored_removal::stored_drain;
use crate::ports;
use crate::timing::{RESTORED_WITHIN_SECONDS, UNDO_TIMEOUT};

/// `drain --undo`.
pub(super) async fn run(
    context: &CommandContext,
    intent: &Intent,
    mut all: Vec<ClusterView>,
    placement: &Placement,
) -> Outcome {
    for cluster in &all {
        partly(cluster, intent)?;
    }
    all.retain(|cluster| state(cluster, intent).is_some());
    let cordoned: Vec<&String> = intent
        .machines
        .iter()
        .filter(|name| {
            placement.machine(name).is_some_and(|machine| machine.cordoned_by_us && machine.cordoned)
        })
        .collect();
    for name in &intent.machines {
        if placement.machine(name).is_some_and(|machine| machine.cordoned && !machine.cordoned_by_us) {
            context.printer.talk(&format!("node/{name} was cordoned by another client and stays cordoned"));
        }
    }
    if all.is_empty() && cordoned.is_empty() {
        context
            .printer
            .talk(&format!("nothing to undo: no drain of {} is unfinished", intent.machines.join(", ")));
        return Ok(if intent.removal.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    }
    let nodes: Vec<NodeName> = all.iter().flat_map(|it| running(it, intent)).collect();
    for node in &nodes {
        context.printer.talk(&format!("the evacuation of {node} is to be stopped"));
    }
    for name in &cordoned {
        context.printer.talk(&format!("node/{name} is to be uncordoned"));
    }
    if intent.removal.write.dry_run != DryRun::None {
        for machine in &intent.machines {
            context.printer.line(&format!("node/{machine} (dry run)"));
        }
        return Ok(Exit::Reached);
    }
    let question = format!("Undo the drain of {}?", intent.machines.join(", "));
    confirmation::confirm(context, &intent.removal.write, &question).await?;
    for (place, cluster) in all.iter().enumerate() {
        if let Err(problem) = lease(context, cluster, "put back").await {
            release(context, &all[..place]).await;
            return Err(problem);
        }
    }
    let outcome = undo(context, intent, &mut all, &cordoned).await;
    release(context, &all).await;
    outcome
}

fn state<'g>(cluster: &'g ClusterView, intent: &Intent) -> Option<&'g DrainState> {
    continued(&cluster.world, &cluster.id, &intent.machines)
}

/// A drain is undone as a whole: its evacuations share one state.
fn partly(cluster: &ClusterView, intent: &Intent) -> Result<(), Problem> {
    let other = stored_drain(&cluster.world, &cluster.id).filter(|_| state(cluster, intent).is_none());
    let overlaps = |state: &&DrainState| state.machines.iter().any(|it| intent.machines.contains(it));
    let Some(state) = other.filter(overlaps) else { return Ok(()) };
    Err(Problem::refused(
        format!("will not undo a part of the drain of {}", cluster.id),
        format!("it is a drain of {}", state.machines.join(", ")),
    )
    .hint(format!("kubectl emqx drain {} --undo", state.machines.join(" "))))
}

/// The evacuations that the drain started and that EMQX still lists.
fn running(cluster: &ClusterView, intent: &Intent) -> Vec<NodeName> {
    let load = cluster.answers().evacuations();
    let ours = state(cluster, intent).map(|state| state.pods.as_slice()).unwrap_or_default();
    load.iter()
        .map(|entry| &entry.node)
        .filter(|node| ours.iter().any(|it| it.started && it.node.as_ref() == Some(*node)))
        .cloned()
        .collect()
}

async fn undo(
    context: &CommandContext,
    intent: &Intent,
    all: &mut [ClusterView],
    cordoned: &[&String],
) -> Outcome {
    let limit = Instant::now() + intent.removal.timeout.unwrap_or(UNDO_TIMEOUT);
    let (mut results, mut stopped) = (Vec::new(), Vec::new());
    let began = context.clock.now();
    for cluster in all.iter_mut() {
        cluster_view::relist(context, cluster, REMOVAL_SCOPE).await?;
        cluster_view::refresh(context, cluster).await?;
        if cluster.answers().load.is_none() {
            return Err(Problem::new(
                format!("cannot put the nodes of {} back", cluster.id),
                "EMQX does not answer, so that it is not known which evacuations run",
            )
            .hint(super::super::rebalance_target::REACH_EMQX));
        }
        let nodes = running(cluster, intent);
        for node in &nodes {
            cluster.broker.stop_evacuation(node).await?;
        }
        while !running(cluster, intent).is_empty() {
            if Instant::now() >= limit {
                return Err(Problem::new(
                    "timed out",
                    "EMQX still lists evacuations that it was asked to stop",
                )
                .hint("kubectl emqx evacuate list; then the same command again")
                .exit(Exit::TimedOut));
            }
            sleep(refresh_interval(context)).await;
            cluster_view::refresh(context, cluster).await?;
        }
        let pods = state(cluster, intent).map(|state| state.pods.clone()).unwrap_or_default();
        open_gates(context, cluster, &pods).await;
        stopped.push(nodes);
    }
    let mut lines = Vec::new();
    for machine in cordoned {
        if context.kubernetes.uncordon(machine).await? == Cordon::Changed {
            lines.push(format!("node/{machine} uncordoned"));
        }
    }
    for (cluster, mut nodes) in all.iter_mut().zip(stopped) {
        // After the uncordon an evicted pod can start again; EMQX then restores its evacuation from the
        // volume.
        nodes.extend(returned(context, intent, cluster, limit).await?);
        if let Some(state) = state(cluster, intent) {
            results.push(result(context, cluster, state, &nodes));
        }
        let instance = cluster.instance()?;
        context.kubernetes.store_state(instance, DRAIN_KEY, "", ports::ServerDryRun::No).await?;
        let undone = results.iter().find(|drain| drain.removal.instance == cluster.id);
        if let Some(message) = undone.map(|drain| drain.removal.message.clone()) {
            let (name, now) = (OperationRef::Drain(cluster.id.name.clone()).to_string(), context.clock.now());
            let verdict = Judgement::new(Verdict::Reverted, message);
            let (counts, times) = ((None, None), (began, now));
            let entry = past::of_removal(Operation::Drain, &cluster.id, &name, verdict, counts, None, times);
            Box::pin(history::record(context, entry, false)).await;
        }
    }
    if intent.removal.stream == Stream::Jsonl {
        for drain in &results {
            let now = context.clock.now();
            let name = OperationRef::Drain(drain.removal.instance.name.clone()).to_string();
            let judgement = Judgement::new(Verdict::Reverted, &drain.removal.message);
            let event = Event::of(now, EventType::Verdict, Operation::Drain, name, judgement.sentence());
            context.printer.jsonl(&event.judged(judgement));
        }
    } else if intent.removal.output == Output::Text {
        for drain in &results {
            context.printer.talk(&drain.removal.message);
        }
        for line in lines {
            context.printer.line(&line);
        }
    } else {
        context.printer.drains(&results, intent.removal.output);
    }
    Ok(Exit::Reached)
}

/// Waits until the pods of StatefulSets that were evicted run again, and stops the evacuations that EMQX restored from their
/// volumes: those nodes would refuse clients forever. The stored state stays until then, so that the undo can be run again.
async fn returned(
    context: &CommandContext,
    intent: &Intent,
    cluster: &mut ClusterView,
    limit: Instant,
) -> Result<Vec<NodeName>, Problem> {
    let mut stopped: Vec<NodeName> = Vec::new();
    let mut announced = false;
    let mut alone: BTreeMap<NodeName, Timestamp> = BTreeMap::new();
    loop {
        let now = context.clock.now();
        for node in running(cluster, intent) {
            alone.remove(&node);
            if cluster.broker.stop_evacuation(&node).await? && !stopped.contains(&node) {
                stopped.push(node);
            }
        }
        let snapshot = snapshot(&cluster.world, &cluster.id, now);
        let evacuated = running(cluster, intent);
        let away = absent(cluster, intent).find(|pod| {
            let Some(row) = snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.pod)) else {
                return true;
            };
            let Some(node) = row.node.as_ref().filter(|node| row.running && !evacuated.contains(*node))
            else {
                return true;
            };
            // EMQX lists a restored evacuation when its node starts.
            let since = *alone.entry(node.clone()).or_insert(now);
            row.ready != Some(true) && seconds_between(since, now) < RESTORED_WITHIN_SECONDS
        });
        let Some(away) = away else { return Ok(stopped) };
        let pod = away.pod.clone();
        if !announced {
            announced = true;
            context.printer.talk(&format!(
                "waiting for {pod} to start again: EMQX restores an evacuation from its volume, which is stopped then"
            ));
        }
        if Instant::now() >= limit {
            return Err(Problem::new(
                "timed out",
                format!("{pod} does not run yet, and EMQX may restore its evacuation when it does"),
            )
            .hint(format!("kubectl emqx drain {} --undo", again(intent)))
            .exit(Exit::TimedOut));
        }
        sleep(refresh_interval(context)).await;
        lease(context, cluster, "put back").await?;
        cluster_view::relist(context, cluster, REMOVAL_SCOPE).await?;
        cluster_view::refresh(context, cluster).await?;
    }
}

/// The evacuated pods of StatefulSets that no longer exist with the same uid: their replacements have the
/// same name and volume.
fn absent<'g>(cluster: &'g ClusterView, intent: &Intent) -> impl Iterator<Item = &'g DrainedPod> {
    let pods = state(cluster, intent).map(|state| state.pods.as_slice()).unwrap_or_default();
    pods.iter().filter(|it| {
        let number = it.pod.as_str().strip_prefix(&it.set).and_then(|rest| rest.strip_prefix('-'));
        let named = number.is_some_and(|number| number.parse::<u64>().is_ok());
        let same = cluster.world.pods_of(&cluster.id).any(|pod| pod.uid == it.uid && pod.deleting.is_none());
        it.started && named && !same
    })
}

fn result(
    context: &CommandContext,
    cluster: &ClusterView,
    state: &DrainState,
    stopped: &[NodeName],
) -> DrainPlan {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let names: Vec<&str> = stopped.iter().map(NodeName::as_str).collect();
    let message = if names.is_empty() {
        format!("no evacuation of {} had to be stopped", cluster.id)
    } else {
        format!(
            "{} no longer evacuated: {}",
            if names.len() == 1 { "1 node is" } else { "nodes are" },
            names.join(", ")
        )
    };
    DrainPlan::reverted(&cluster.world, &snapshot, state, message)
}
