//! `rebalance apply`: checks, plan, prompt, fresh counts, create; then it returns, or follows the rebalance
//! to its verdict.

use super::cluster_view::{self, ClusterView};
use super::follow::FollowRequest;
use super::follow_output::FollowOutput;
use super::manifest::AppliedFile;
use super::plan::{CheckedPlan, PLAN_SCOPE, Planning, flags, live};
use super::{ChangeResult, CommandContext, Outcome, confirmation, limits};
use crate::cli::intent::{Apply, ApplySource, DryRun, InstanceName, Manifest, Output, Then};
use crate::error::{Cause, Exit, Problem};
use crate::model::limits::Percent;
use crate::model::{
    Backend, BackendRequest, InstanceId, InstanceKind, NodeName, OperationRef, PLAN_ANNOTATION, Source,
    StrategyRequest,
};
use crate::plan::finding::Decision;
use crate::plan::limits::{LimitForecast, drifted};
use crate::plan::rebalance::manifest::{self, ManifestRequest};
use crate::plan::rebalance::plan::{RebalancePlan, Return};
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::rebalance::requirement;
use crate::plan::results::Applied;
use crate::plan::snapshot;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::ports;

/// The Rebalance to create, without its name.
struct Wanted {
    strategy: StrategyRequest,
    written: Option<ManifestRequest>,
    /// Live clients per node when a saved plan was made.
    counts: Option<Vec<(NodeName, u64)>>,
}

/// By how much the clients of the nodes may differ from those of a saved plan, unless `--max-drift` is given.
const MAX_DRIFT: Percent = Percent(500);

/// `rebalance apply`. `file` is the text of the manifest, with where it came from.
pub async fn run(
    context: &CommandContext,
    intent: &Apply,
    file: Option<(String, String)>,
) -> Result<ChangeResult, Problem> {
    let mut as_saved = intent.clone();
    let mut namespace = None;
    let (wanted, name) = match (&intent.source, file) {
        (ApplySource::Instance(name, strategy), _) => {
            (Wanted { strategy: strategy.clone(), written: None, counts: None }, name.clone())
        }
        (ApplySource::File(_), Some((from, text))) => match super::manifest::read(&from, &text)? {
            AppliedFile::Manifest(written) => {
                let strategy = StrategyRequest::Given(written.strategy.clone());
                let name = InstanceName { kind: None, name: written.instance_name.clone() };
                (Wanted { strategy, written: Some(*written), counts: None }, Some(name))
            }
            AppliedFile::Plan(saved) => {
                namespace = Some(saved.instance.namespace.clone());
                if intent.backend == BackendRequest::Auto {
                    as_saved.backend = match saved.backend {
                        Backend::Rebalance => BackendRequest::Rebalance,
                        Backend::Emqx => BackendRequest::Emqx,
                    };
                }
                if as_saved.backend == BackendRequest::Emqx {
                    as_saved.nodes = saved.counts.iter().map(|(node, _)| node.to_string()).collect();
                }
                let name = InstanceName { kind: Some(saved.instance.kind), name: saved.instance.name };
                let strategy = StrategyRequest::Given(saved.strategy);
                (Wanted { strategy, written: None, counts: Some(saved.counts) }, Some(name))
            }
        },
        (ApplySource::File(_), None) => return Err(Problem::usage("no manifest was given", "")),
    };
    let intent = &as_saved;
    let mut context = context.clone();
    let namespace = namespace.or_else(|| wanted.written.as_ref()?.namespace.clone());
    if let Some(namespace) = namespace {
        context.namespace = namespace;
    }
    let context = &context;
    let mut cluster = resolve_instance(context, name.as_ref(), wanted.written.as_ref()).await?;
    Box::pin(cluster_view::query_twice(context, std::slice::from_mut(&mut cluster))).await?;
    let (planned, name) = planned(context, intent, &cluster, &wanted).await?;
    let print_plan = |live: &CheckedPlan| {
        context.printer.talk_plan(&live.plan, Some((live.backend, &live.why)), context.clock.now());
    };
    if let Some(exit) = ends_without_start(context, intent, &cluster, &planned, print_plan)? {
        return Ok(ChangeResult::unchanged(exit, planned.plan.sentence()));
    }
    require_answer(context, &cluster, planned.backend)?;
    if intent.write.dry_run == DryRun::Client {
        let plan = planned.plan.clone();
        let label = label(&planned, &name);
        done(context, intent, &cluster, planned.backend, &label, plan, " (dry run)");
        return Ok(ChangeResult::created(Exit::Reached, vec![label]));
    }
    if intent.write.dry_run == DryRun::None {
        confirmation::confirm(context, &intent.write, &question(&planned, &cluster.id)).await?;
    }

    // Time passed while the user read the plan: counts and other operations are read again.
    cluster_view::refresh_objects(context, &mut cluster).await?;
    cluster_view::refresh(context, &mut cluster).await?;
    // Computed rates stay those of the plan that the user confirmed.
    let wanted = Wanted { strategy: StrategyRequest::Given(planned.plan.strategy.clone()), ..wanted };
    let (mut fresh, name) = again(context, intent, &cluster, &wanted, &name).await?;
    fresh.plan.requirement.clone_from(&planned.plan.requirement);
    let counts = |live: &CheckedPlan| -> Vec<(NodeName, u64)> {
        live.plan.nodes.iter().map(|node| (node.node.clone(), node.connections)).collect()
    };
    // A saved plan was compared with the counts already.
    if wanted.counts.is_none() {
        let drift = limits::drift(&intent.limits, counts(&planned), counts(&fresh));
        fresh.plan.judge(drift.into_iter().collect());
    }
    if fresh.plan.decision != Decision::Go
        && let Some(exit) = ends_without_start(context, intent, &cluster, &fresh, print_plan)?
    {
        return Ok(ChangeResult::unchanged(exit, fresh.plan.sentence()));
    }
    require_answer(context, &cluster, fresh.backend)?;
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, context.clock.now());
    match fresh.backend {
        Backend::Rebalance => {
            Box::pin(create(context, intent, &wanted, cluster, fresh, &name, operations)).await
        }
        Backend::Emqx => start(context, intent, cluster, fresh, operations).await,
    }
}

/// Resolves the instance. A manifest without a kind resolves to any kind with this name, and to EMQX if both exist.
async fn resolve_instance(
    context: &CommandContext,
    name: Option<&InstanceName>,
    written: Option<&ManifestRequest>,
) -> Result<ClusterView, Problem> {
    let Some(written) = written else { return cluster_view::load_one(context, name, PLAN_SCOPE).await };
    match cluster_view::load_one(context, name, PLAN_SCOPE).await {
        Err(problem) if problem.cause == Cause::Ambiguous => {
            let kind = written.instance_kind.as_deref().and_then(InstanceKind::parse);
            let kind = Some(kind.unwrap_or(InstanceKind::Emqx));
            let name = InstanceName { kind, name: written.instance_name.clone() };
            cluster_view::load_one(context, Some(&name), PLAN_SCOPE).await
        }
        other => other,
    }
}

async fn planned(
    context: &CommandContext,
    intent: &Apply,
    cluster: &ClusterView,
    wanted: &Wanted,
) -> Result<(CheckedPlan, String), Problem> {
    let written = wanted.written.as_ref();
    let name = match written.and_then(|it| it.name.clone().or_else(|| it.generate_name.clone())) {
        Some(name) => name,
        None => manifest::name(&cluster.id.name, context.clock.now()),
    };
    again(context, intent, cluster, wanted, &name).await
}

async fn again(
    context: &CommandContext,
    intent: &Apply,
    cluster: &ClusterView,
    wanted: &Wanted,
    name: &str,
) -> Result<(CheckedPlan, String), Problem> {
    let back = Return { session_move_ms: intent.session_move_ms, ..Return::default() };
    // The API server completes a `generateName`: there is no name yet that could exist already.
    let generated = wanted.written.as_ref().is_some_and(|written| written.generate_name.is_some());
    let planning = Planning {
        strategy: &wanted.strategy,
        lb_unknown: true,
        back,
        choice: intent.backend,
        nodes: &intent.nodes,
        name: Some(name).filter(|_| !generated),
        skip: &intent.skip,
    };
    let mut live = live(context, cluster, planning).await?;
    if let Some(written) = &wanted.written
        && live.backend == Backend::Rebalance
    {
        let (_, found) =
            manifest::mended(written, &cluster.id, name, cluster.world.kubernetes.served.operator)?;
        live.plan.judge(found);
    }
    if let Some(saved) = &wanted.counts {
        let limit = intent.limits.max_drift.unwrap_or(MAX_DRIFT);
        let now = live.plan.nodes.iter().map(|node| (node.node.clone(), node.connections)).collect();
        live.plan.judge(drifted(limit, &saved.iter().cloned().collect(), &now).into_iter().collect());
    }
    let forecast = LimitForecast {
        seconds: Some(live.plan.total_seconds),
        // A computed rate was compared with this limit already.
        reconnects: Some(live.plan.moves.peak_reconnects_per_second)
            .filter(|_| live.plan.requirement.is_none()),
    };
    live.plan.judge(limits::before(context, &intent.limits, forecast));
    if intent.show_command {
        let command = requirement::command("apply", &cluster.id.name, &live.plan.strategy);
        live.plan.command = Some(command + &flags(intent.backend, &intent.nodes));
    }
    Ok((live, name.to_owned()))
}

/// Prints the plan and returns an exit when there is nothing to do, or when it is refused.
fn ends_without_start(
    context: &CommandContext,
    intent: &Apply,
    cluster: &ClusterView,
    live: &CheckedPlan,
    print_plan: impl Fn(&CheckedPlan),
) -> Result<Option<Exit>, Problem> {
    print_plan(live);
    let plan = &live.plan;
    confirmation::decided(
        context,
        &intent.write,
        plan.decision,
        plan.sentence(),
        &plan.findings,
        format!("will not rebalance {}", cluster.id),
    )
}

fn question(live: &CheckedPlan, id: &InstanceId) -> String {
    format!(
        "Disconnect {} clients of {} over {}?",
        crate::model::human::count(live.plan.moves.connections),
        id,
        crate::model::human::duration(live.plan.total_seconds)
    )
}

/// The name of what the plan would start. EMQX's first participant coordinates, as the operator does it.
fn label(live: &CheckedPlan, name: &str) -> String {
    match live.backend {
        Backend::Rebalance => format!("rebalance.apps.emqx.io/{name}"),
        Backend::Emqx => {
            let node = live.plan.nodes.first().map(|node| node.node.clone());
            node.map(|node| OperationRef::Coordinator(node).to_string()).unwrap_or_default()
        }
    }
}

/// Refuses to start while EMQX does not respond: its running operations are unknown.
fn require_answer(context: &CommandContext, cluster: &ClusterView, backend: Backend) -> Result<(), Problem> {
    let emqx = snapshot::snapshot(&cluster.world, &cluster.id, context.clock.now());
    let unanswered =
        cluster.answers().load.is_none() || emqx.source(Source::Emqx) != snapshot::SourceState::Ok;
    if backend == Backend::Rebalance || !unanswered {
        return Ok(());
    }
    let why = emqx.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    Err(Problem::new(
        format!("cannot start a rebalance in the EMQX of {}", cluster.id),
        why.unwrap_or_else(|| "EMQX cannot be asked".to_owned()),
    )
    .hint(super::rebalance_target::REACH_EMQX))
}

/// Prints the created object to stdout.
fn done(
    context: &CommandContext,
    intent: &Apply,
    cluster: &ClusterView,
    backend: Backend,
    name: &str,
    plan: RebalancePlan,
    note: &str,
) {
    let applied =
        Applied { name: name.to_owned(), instance: cluster.id.clone(), backend: Some(backend), plan };
    confirmation::done(context, &intent.then, &applied, note);
}

async fn create(
    context: &CommandContext,
    intent: &Apply,
    wanted: &Wanted,
    cluster: ClusterView,
    live: CheckedPlan,
    name: &str,
    mut operations: OperationTracker,
) -> Result<ChangeResult, Problem> {
    let operator = cluster.world.kubernetes.served.operator;
    let object = match &wanted.written {
        Some(written) => manifest::mended(written, &cluster.id, name, operator)?.0,
        None => manifest::manifest(&cluster.id, name, &live.plan.strategy, operator)?,
    };
    let mut object = manifest::served_as(object, &cluster.world.kubernetes.served);
    let record = PlanRecord::of(&live.plan, context.clock.now());
    manifest::annotate(&mut object, PLAN_ANNOTATION, &record.text());
    if let Some(reason) = &intent.write.reason {
        manifest::annotate(&mut object, "cli.emqx.io/reason", reason);
    }
    let dry = intent.write.dry_run == DryRun::Server;
    let how = if dry { ports::ServerDryRun::Server } else { ports::ServerDryRun::No };
    let created = context.kubernetes.create_rebalance(&object, how).await?;
    for warning in &created.warnings {
        context.notice(warning);
    }
    let label = format!("rebalance.apps.emqx.io/{}", created.rebalance.name);
    let note = if dry { " (server dry run)" } else { "" };
    let plan = live.plan.clone();
    if let (true, Then::Leave(Output::Yaml)) = (dry, &intent.then) {
        context.printer.manifest(&created.object, Manifest::Yaml);
        return Ok(ChangeResult::created(Exit::Reached, vec![label]));
    }
    done(context, intent, &cluster, live.backend, &label, live.plan, note);
    if dry {
        return Ok(ChangeResult::created(Exit::Reached, vec![label]));
    }
    let name = created.rebalance.name.clone();
    operations.rebalances.created(created.rebalance);
    let exit = stay(context, intent, cluster, operations, name, plan).await?;
    Ok(ChangeResult::created(exit, vec![label]))
}

async fn start(
    context: &CommandContext,
    intent: &Apply,
    cluster: ClusterView,
    live: CheckedPlan,
    mut operations: OperationTracker,
) -> Result<ChangeResult, Problem> {
    let nodes: Vec<NodeName> = live.plan.nodes.iter().map(|node| node.node.clone()).collect();
    let Some(conductor) = nodes.first().cloned() else {
        return Err(Problem::refused("no node takes part", ""));
    };
    let name = OperationRef::Coordinator(conductor.clone()).to_string();
    if intent.write.dry_run == DryRun::Server {
        return Err(Problem::usage(
            "--dry-run=server does not work with --backend emqx",
            "EMQX's own API has no dry run on the server",
        )
        .hint("--dry-run=client shows the plan and changes nothing"));
    }
    let strategy = live.plan.strategy.clone();
    cluster.broker.start(&conductor, &nodes, &strategy).await?;
    operations.rebalances.asked(name.clone(), strategy);
    let plan = live.plan.clone();
    done(context, intent, &cluster, live.backend, &name, live.plan, "");
    let exit = stay(context, intent, cluster, operations, name.clone(), plan).await?;
    Ok(ChangeResult::created(exit, vec![name]))
}

async fn stay(
    context: &CommandContext,
    intent: &Apply,
    cluster: ClusterView,
    operations: OperationTracker,
    name: String,
    plan: RebalancePlan,
) -> Outcome {
    let Then::Follow(follow) = &intent.then else {
        context.printer.next(&format!("kubectl emqx rebalance watch {name}"));
        return Ok(Exit::Reached);
    };
    let output = FollowOutput::of(context, follow, false).planned(plan);
    let following = FollowRequest::new(cluster, operations, name, output);
    let want = FollowRequest::wants(follow);
    Box::pin(FollowRequest { want, ..following.limited(context, follow) }.run(context)).await
}
