//! `drain`: evacuates and moves every EMQX pod off Kubernetes nodes, one after another.

use std::collections::BTreeSet;

use task::{Draining, again};
use tokio::time::Instant;

use super::cluster_view::{self, ClusterView};
use super::removal::{self, REMOVAL_SCOPE, lease, release, run};
use super::{CommandContext, Outcome, confirmation, limits};
use crate::cli::intent::drain::Drain as Intent;
use crate::cli::intent::{DryRun, Output, Stream};
use crate::error::{Exit, Problem};
use crate::model::Verdict;
use crate::model::drain::{Cordon, Placement};
use crate::model::human::{count, plural};
use crate::plan::check::{Planned, Purpose};
use crate::plan::drain::{DrainPlan, DrainRequest, plan};
use crate::plan::evacuation::Settings;
use crate::plan::limits::LimitForecast;
use crate::plan::snapshot::snapshot;
use crate::plan::stored_removal::stored_drain;
use crate::ports::Right;

mod task;
mod undo;

/// `drain`.
pub async fn run(context: &CommandContext, intent: &Intent) -> Outcome {
    let mut all = cluster_view::load_many(context, &intent.filter, REMOVAL_SCOPE).await?;
    let placement = placement(context, intent, &all).await?;
    if intent.undo {
        return undo::run(context, intent, all, &placement).await;
    }
    let mut planned = plans(context, intent, &all, &placement)?;
    if planned.is_empty() {
        let place = if intent.filter.all_namespaces {
            "any namespace".to_owned()
        } else {
            format!("namespace {}", context.namespace)
        };
        context
            .printer
            .talk(&format!("nothing to do: no EMQX pod of {place} runs on {}", intent.machines.join(", ")));
        context.printer.drains(&[], intent.removal.output);
        others(context, intent);
        return Ok(if intent.removal.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    }
    permitted(context, intent, &mut planned).await;
    for drain in &mut planned {
        if let Some(cluster) = all.iter().find(|cluster| cluster.id == drain.removal.instance) {
            Box::pin(removal::around(
                context,
                cluster,
                (Purpose::Drain, Planned::default()),
                &mut drain.removal,
                &intent.removal.skip,
            ))
            .await;
        }
    }
    for drain in &planned {
        context.printer.talk_drain(drain);
    }
    refused(context, intent, &planned)?;
    if intent.removal.write.dry_run != DryRun::None {
        dry_run(context, intent, &planned);
        others(context, intent);
        return Ok(Exit::Reached);
    }
    confirmation::confirm(context, &intent.removal.write, &question(intent, &planned)).await?;

    let ids: BTreeSet<_> = planned.iter().map(|drain| drain.removal.instance.clone()).collect();
    all.retain(|cluster| ids.contains(&cluster.id));
    for (place, cluster) in all.iter().enumerate() {
        if let Err(problem) = lease(context, cluster, "drain").await {
            release(context, &all[..place]).await;
            return Err(problem);
        }
    }
    let outcome = carry_out(context, intent, &mut all).await;
    release(context, &all).await;
    outcome
}

/// Reads nodes, pods, budgets and volumes; an unknown node is an error.
async fn placement(
    context: &CommandContext,
    intent: &Intent,
    all: &[ClusterView],
) -> Result<Placement, Problem> {
    if let Some(why) =
        all.first().and_then(|it| cluster_view::unlisted(&it.world, "pods")).and_then(|link| link.why())
    {
        return Err(Problem::new("cannot drain without knowing the pods", why)
            .hint("kubectl auth can-i list pods; the permissions that a drain needs are in docs/drain.md"));
    }
    let namespaces: BTreeSet<String> = all.iter().map(|it| it.id.namespace.clone()).collect();
    let namespaces: Vec<String> = namespaces.into_iter().collect();
    let pods: BTreeSet<String> =
        all.iter().flat_map(|it| it.world.pods_of(&it.id).map(|pod| pod.uid.clone())).collect();
    let placement = context.kubernetes.placement(&namespaces, &pods).await?;
    // A node of an unfinished drain that was deleted meanwhile: its drain is still to be continued or undone.
    let recorded = |name: &String| {
        all.iter()
            .any(|it| stored_drain(&it.world, &it.id).is_some_and(|state| state.machines.contains(name)))
    };
    let unknown = |name: &&String| placement.machine(name).is_none() && !recorded(name);
    let Some(unknown) = intent.machines.iter().find(unknown) else {
        return Ok(placement);
    };
    let mut names: Vec<&str> = placement.machines.iter().map(|it| it.name.as_str()).take(8).collect();
    if placement.machines.len() > names.len() {
        names.push("…");
    }
    Err(Problem::new(
        format!("there is no Kubernetes node {unknown}"),
        format!("there are {}", names.join(", ")),
    )
    .hint("kubectl get nodes"))
}

fn request(
    context: &CommandContext,
    intent: &Intent,
    cluster: &ClusterView,
) -> Result<DrainRequest, Problem> {
    let mut settings: Settings = intent.removal.settings.clone();
    for target in &mut settings.migrate_to {
        let Some(node) = cluster_view::node(cluster, context, target.as_str()) else {
            let what = format!("--migrate-to: {} has no EMQX node or EMQX pod {target}", cluster.id);
            return Err(Problem::new(what, "").hint("kubectl emqx nodes lists the nodes and their pods"));
        };
        *target = node;
    }
    Ok(DrainRequest {
        machines: intent.machines.clone(),
        parallel: intent.parallel,
        cordon: intent.cordon,
        settings,
        skip: intent.removal.skip.clone(),
    })
}

fn plans(
    context: &CommandContext,
    intent: &Intent,
    all: &[ClusterView],
    placement: &Placement,
) -> Result<Vec<DrainPlan>, Problem> {
    let mut planned = Vec::new();
    for cluster in all {
        let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
        let request = request(context, intent, cluster)?;
        planned.extend(plan(&cluster.world, &snapshot, placement, &request)?);
    }
    Ok(planned)
}

/// Refuses a drain that would fail in the middle because a permission is missing.
async fn permitted(context: &CommandContext, intent: &Intent, planned: &mut [DrainPlan]) {
    for drain in planned.iter_mut() {
        let forecast = LimitForecast { seconds: Some(drain.removal.total_seconds), reconnects: None };
        for found in limits::before(context, &intent.removal.limits, forecast) {
            drain.removal.refuse(found.id, found.message, &found.hint.unwrap_or_default());
        }
        let rights = Right::of_drain(&drain.removal.instance, intent.cordon);
        if let Some(missing) = removal::forbidden(context, &rights).await {
            let hint = "kubectl auth can-i --list; the permissions that a drain needs are in docs/drain.md";
            drain.removal.refuse("no-permission", missing, hint);
        }
        removal::gates(context, &mut drain.removal, &intent.removal.skip).await;
    }
}

fn refused(context: &CommandContext, intent: &Intent, planned: &[DrainPlan]) -> Result<(), Problem> {
    for drain in planned {
        let what = format!("will not drain {}", intent.machines.join(", "));
        confirmation::decided(
            context,
            &intent.removal.write,
            drain.removal.decision,
            &drain.removal.message,
            &drain.removal.findings,
            what,
        )?;
    }
    Ok(())
}

fn dry_run(context: &CommandContext, intent: &Intent, planned: &[DrainPlan]) {
    if intent.removal.output == Output::Text {
        for machine in &intent.machines {
            context.printer.line(&format!("node/{machine} (dry run)"));
        }
    } else {
        context.printer.drains(planned, intent.removal.output);
    }
}

fn question(intent: &Intent, planned: &[DrainPlan]) -> String {
    let pods: usize = planned.iter().map(|drain| drain.removal.steps.len()).sum();
    let cuts: u64 = planned.iter().map(|drain| drain.removal.disconnections).sum();
    let names: Vec<String> = planned.iter().map(|drain| drain.removal.instance.to_string()).collect();
    format!(
        "Drain {}: move {} of {}, with {} disconnections of clients?",
        intent.machines.join(", "),
        plural(pods as u64, "pod"),
        names.join(", "),
        count(cuts)
    )
}

/// With the Leases taken: reads everything again, cordons, and moves the pods of one instance after another.
async fn carry_out(context: &CommandContext, intent: &Intent, all: &mut [ClusterView]) -> Outcome {
    let limit = intent.removal.timeout.map(|limit| Instant::now() + limit);
    // Time passed while the user read: the next steps follow from the present state.
    for cluster in all.iter_mut() {
        cluster_view::relist(context, cluster, REMOVAL_SCOPE).await?;
        cluster_view::refresh(context, cluster).await?;
    }
    let placement = placement(context, intent, all).await?;
    let mut planned = plans(context, intent, all, &placement)?;
    refused(context, intent, &planned)?;
    if intent.cordon {
        for machine in &intent.machines {
            if placement.machine(machine).is_none() {
                context.printer.talk(&format!("node/{machine} was deleted since the drain began"));
                continue;
            }
            let known = placement.machine(machine).is_some_and(|it| it.cordoned && !it.cordoned_by_us);
            match context.kubernetes.cordon(machine).await? {
                Cordon::Changed => context.printer.talk(&format!("node/{machine} cordoned")),
                Cordon::Unchanged if known => {
                    context.printer.talk(&format!("node/{machine} was cordoned already, by another client"));
                }
                Cordon::Unchanged => context.printer.talk(&format!("node/{machine} is cordoned already")),
                Cordon::Gone => {
                    return Err(Problem::new(
                        format!("cannot cordon {machine}"),
                        "the node does not exist any more",
                    )
                    .hint("kubectl get nodes"));
                }
            }
        }
    }
    let mut worst: Option<Verdict> = None;
    for place in 0..planned.len() {
        let Some(at) = all.iter().position(|it| it.id == planned[place].removal.instance) else { continue };
        let (before, rest) = all.split_at_mut(at);
        let Some((cluster, after)) = rest.split_first_mut() else { continue };
        let waiting: Vec<&ClusterView> = before.iter().chain(after.iter()).collect();
        let pods = planned[place].removal.pods.clone();
        let mut task = Draining::of(context, intent, cluster, &mut planned[place]);
        let ended = run::follow(context, &mut task, pods, cluster, &waiting, limit).await;
        let verdict = ended.inspect_err(|_| report(context, intent, &planned, false))?;
        if worst.is_none_or(|worst| verdict.exit().code() > worst.exit().code()) {
            worst = Some(verdict);
        }
        if !verdict.is_reached() {
            break;
        }
    }
    let reached = worst.is_none_or(Verdict::is_reached);
    report(context, intent, &planned, reached);
    if reached {
        others(context, intent);
    } else {
        context.printer.next(&format!("kubectl emqx drain {}", again(intent)));
    }
    Ok(worst.map_or(Exit::Reached, Verdict::exit))
}

/// Prints the result to stdout; with `-o jsonl` the events are the result. As text only the reached state is
/// data: the rest is in the messages.
fn report(context: &CommandContext, intent: &Intent, planned: &[DrainPlan], reached: bool) {
    let text = intent.removal.output == Output::Text;
    if intent.removal.stream != Stream::Jsonl && (reached || !text) {
        context.printer.drains(planned, intent.removal.output);
    }
}

/// Pods of other applications are left to kubectl: the last line has the command.
fn others(context: &CommandContext, intent: &Intent) {
    context.printer.next(&format!(
        "kubectl drain {} --ignore-daemonsets --delete-emptydir-data",
        intent.machines.join(" ")
    ));
}
