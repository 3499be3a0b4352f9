//! `evacuate start`: checks, plan, prompt, fresh counts, start; then it returns, or follows the evacuations.

use crate::cli::intent::evacuate::EvacuateStart;
use crate::cli::intent::{DryRun, Output, Stream, Then};
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::{ChangeResult, CommandContext, confirmation, limits, surroundings};
use crate::error::{Exit, Problem};
use crate::model::human::{count, duration};
use crate::model::{ApiVersion, Backend, NodeName};
use crate::plan::check::{Planned, Purpose};
use crate::plan::durations::DrainTiming;
use crate::plan::evacuation::checks::{self, EvacuatedBy};
use crate::plan::evacuation::{EvacuationPlan, Settings};
use crate::plan::finding::Decision;
use crate::plan::limits::LimitForecast;
use crate::plan::results::Applied;
use crate::plan::snapshot::snapshot;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::ports::{EvacuationOrder, RefreshScope};

use super::follow;
use super::target::{find, name};

/// What a start depends on; the states show a drain or a scale that is not finished.
const START_SCOPE: RefreshScope = RefreshScope { states: true, ..RefreshScope::REBALANCE };

/// `evacuate start`.
pub(crate) async fn run(context: &CommandContext, intent: &EvacuateStart) -> Result<ChangeResult, Problem> {
    let (mut cluster, nodes) = find(context, &intent.targets, START_SCOPE).await?;
    let settings = settings(context, &cluster, &intent.settings)?;
    let mut planned = plan(context, &cluster, &nodes, &settings, &intent.skip)?;
    planned.judge(limits::before(context, &intent.limits, expected(&planned)));
    around(context, &cluster, &mut planned, &intent.skip).await;
    context.printer.talk_evacuation(&planned);
    let what = format!("will not evacuate {}", labels(&planned, &nodes));
    confirmation::decided(
        context,
        &intent.write,
        planned.decision,
        &planned.message,
        &planned.findings,
        what.clone(),
    )?;
    if intent.write.dry_run != DryRun::None {
        let created = made(context, intent, &nodes, planned, " (dry run)");
        return Ok(ChangeResult::created(Exit::Reached, created));
    }
    confirmation::confirm(context, &intent.write, &question(&planned, &nodes)).await?;

    // Time passed while the user read: counts and other operations are read again.
    cluster_view::relist(context, &mut cluster, START_SCOPE).await?;
    cluster_view::refresh(context, &mut cluster).await?;
    let mut fresh = plan(context, &cluster, &nodes, &settings, &intent.skip)?;
    fresh.judge(limits::before(context, &intent.limits, expected(&fresh)));
    around(context, &cluster, &mut fresh, &intent.skip).await;
    let counts = |plan: &EvacuationPlan| -> Vec<(NodeName, u64)> {
        plan.nodes.iter().map(|node| (node.node.clone(), node.connections)).collect()
    };
    fresh.judge(limits::drift(&intent.limits, counts(&planned), counts(&fresh)).into_iter().collect());
    if fresh.decision != Decision::Go {
        confirmation::decided(context, &intent.write, fresh.decision, &fresh.message, &fresh.findings, what)?;
    }
    let order = EvacuationOrder::of(&settings, waits(&fresh));
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, context.clock.now());
    for (place, node) in nodes.iter().enumerate() {
        let started = cluster.broker.evacuate(node, &order).await.and_then(|started| {
            if started {
                return Ok(());
            }
            Err(Problem::refused(
                format!("cannot evacuate {node}"),
                "another client started its evacuation meanwhile",
            )
            .hint(format!("kubectl emqx evacuate watch {node}")))
        });
        if let Err(problem) = started {
            for done in &nodes[..place] {
                context.notice(&format!(
                    "the evacuation of {done} was started: kubectl emqx evacuate stop {done}"
                ));
            }
            return Err(problem);
        }
        operations.upgrades.evacuations.asked(
            node.clone(),
            timing(&settings, waits(&fresh)),
            context.clock.now(),
        );
    }
    if let Some(reason) = &intent.write.reason {
        context.printer.talk(&format!("reason: {reason}"));
    }
    let created = made(context, intent, &nodes, fresh, "");
    let exit = match &intent.then {
        Then::Leave(_) => {
            context.printer.next(&format!("kubectl emqx evacuate watch {}", named(&nodes)));
            Exit::Reached
        }
        Then::Follow(follow) => follow::follow(context, cluster, operations, &nodes, follow, false).await?,
    };
    Ok(ChangeResult::created(exit, created))
}

/// Adds what the checks of the surroundings find.
async fn around(context: &CommandContext, cluster: &ClusterView, plan: &mut EvacuationPlan, skip: &[String]) {
    if plan.decision != Decision::Go {
        return;
    }
    let planned = Planned {
        reconnects: plan.recipients.iter().map(|node| node.reconnects_per_second).max(),
        wait_health_check: Some(plan.settings.wait_health_check_seconds),
        ..Planned::default()
    };
    plan.judge(Box::pin(surroundings::findings(context, cluster, Purpose::Evacuate, planned, skip)).await);
}

/// The forecast that the limits are compared with.
fn expected(plan: &EvacuationPlan) -> LimitForecast {
    let reconnects = plan.recipients.iter().map(|node| node.reconnects_per_second).max();
    LimitForecast { seconds: Some(plan.total_seconds), reconnects }
}

/// Whether this EMQX waits for load balancers.
fn waits(plan: &EvacuationPlan) -> bool {
    plan.settings.wait_health_check_seconds == 0 || plan.phases.first().is_some_and(|phase| phase.seconds > 0)
}

/// Resolves pods in `--migrate-to`: EMQX accepts only nodes.
fn settings(context: &CommandContext, cluster: &ClusterView, asked: &Settings) -> Result<Settings, Problem> {
    let mut settings = asked.clone();
    for target in &mut settings.migrate_to {
        let Some(node) = cluster_view::node(cluster, context, target.as_str()) else {
            return Err(Problem::new(
                format!("--migrate-to: there is no EMQX node or EMQX pod {target}"),
                "",
            )
            .hint("kubectl emqx nodes lists the nodes and their pods"));
        };
        *target = node;
    }
    Ok(settings)
}

fn plan(
    context: &CommandContext,
    cluster: &ClusterView,
    nodes: &[NodeName],
    settings: &Settings,
    skip: &[String],
) -> Result<EvacuationPlan, Problem> {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    checks::plan(&cluster.world, &snapshot, nodes, settings, skip, EvacuatedBy::Evacuate)
}

fn labels(plan: &EvacuationPlan, nodes: &[NodeName]) -> String {
    let label = |node: &NodeName| {
        let planned = plan.nodes.iter().find(|it| it.node == *node);
        planned.and_then(|it| it.pod.as_ref()).map_or_else(|| node.to_string(), |pod| pod.as_str().to_owned())
    };
    nodes.iter().map(label).collect::<Vec<_>>().join(", ")
}

fn named(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}

fn question(plan: &EvacuationPlan, nodes: &[NodeName]) -> String {
    let clients: u64 = plan.nodes.iter().map(|node| node.connections).sum();
    format!(
        "Evacuate {} of {}: disconnect {} clients over {}?",
        labels(plan, nodes),
        plan.instance,
        count(clients),
        duration(plan.total_seconds)
    )
}

pub(in crate::commands) fn timing(settings: &Settings, health_check: bool) -> DrainTiming {
    DrainTiming {
        api: ApiVersion::V2,
        delay: 0,
        wait_health_check: if health_check { settings.wait_health_check_seconds } else { 0 },
        conn_evict_rate: Some(settings.conn_evict_rate),
        wait_takeover: settings.wait_takeover_seconds,
        sess_evict_rate: Some(settings.sess_evict_rate),
        startup: 0,
    }
}

/// Prints the names of what was started, and returns them.
fn made(
    context: &CommandContext,
    intent: &EvacuateStart,
    nodes: &[NodeName],
    plan: EvacuationPlan,
    note: &str,
) -> Vec<String> {
    let names: Vec<String> = nodes.iter().map(name).collect();
    if let Then::Leave(output) = &intent.then
        && !matches!(output, Output::Text | Output::Name | Output::Wide)
    {
        let instance = plan.instance.clone();
        let applied = Applied { name: names.join(" "), instance, backend: Some(Backend::Emqx), plan };
        context.printer.applied(&applied, *output, note);
        return names;
    }
    if !matches!(&intent.then, Then::Follow(follow) if follow.stream == Stream::Jsonl) {
        for name in &names {
            context.printer.started(name, note);
        }
    }
    names
}
