//! `rebalance apply`: preflight, plan, prompt, fresh counts, create; then leave, or stay to the verdict.

use super::cluster_view::{self, ClusterView};
use super::follow::FollowRequest;
use super::follow_output::FollowOutput;
use super::plan::{CheckedPlan, Planning, WANT, live};
use super::{CommandContext, Outcome, confirmation, limits};
use crate::cli::intent::{Apply, ApplySource, DryRun, InstanceName, Then};
use crate::error::{Exit, Problem};
use crate::model::{InstanceId, InstanceKind, NodeName, PLAN_ANNOTATION, Source, Strategy};
use crate::plan::endpoint;
use crate::plan::finding::Decision;
use crate::plan::limits::LimitForecast;
use crate::plan::playback::{OperationTracker, Tracker};
use crate::plan::rebalance::forecast::{RebalancePlan, Return};
use crate::plan::rebalance::manifest::{self, ManifestRequest};
use crate::plan::rebalance::ownership;
use crate::plan::rebalance::preflight::{RebalanceCheck, running};
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::results::{Applied, Backend};
use crate::plan::snapshot;
use crate::ports;

/// The Rebalance to create, without its name.
struct Wanted {
    strategy: Strategy,
    written: Option<ManifestRequest>,
}

/// `rebalance apply`. `file` is the text of the manifest, with where it came from.
pub async fn run(hands: &CommandContext, intent: &Apply, file: Option<(String, String)>) -> Outcome {
    let (wanted, name) = match (&intent.source, file) {
        (ApplySource::Instance(name, strategy), _) => {
            (Wanted { strategy: strategy.clone(), written: None }, name.clone())
        }
        (ApplySource::File(_), Some((from, text))) => {
            let written = super::manifest::read(&from, &text)?;
            let kind = written.instance_kind.as_deref().and_then(InstanceKind::parse);
            let strategy = written.strategy.clone();
            let name = InstanceName { kind: None, name: written.instance_name.clone() };
            let _ = kind;
            (Wanted { strategy, written: Some(written) }, Some(name))
        }
        (ApplySource::File(_), None) => return Err(Problem::usage("no manifest was given", "")),
    };
    let mut hands = hands.clone();
    if let Some(namespace) = wanted.written.as_ref().and_then(|written| written.namespace.clone()) {
        hands.namespace = namespace;
    }
    let hands = &hands;
    let mut gathered = gather_meant(hands, name.as_ref(), wanted.written.as_ref()).await?;
    Box::pin(cluster_view::ask_twice(hands, std::slice::from_mut(&mut gathered))).await?;
    let (planned, name) = planned(hands, intent, &gathered, &wanted).await?;
    let says = |live: &CheckedPlan| {
        hands.printer.talk_plan(&live.plan, Some((live.backend, &live.why)), hands.clock.now());
    };
    if let Some(exit) = settled(hands, intent, &gathered, &planned, says)? {
        return Ok(exit);
    }
    heard(hands, &gathered, planned.backend)?;
    if intent.write.dry_run == DryRun::Client {
        let plan = planned.plan.clone();
        done(hands, intent, &gathered, planned.backend, &label(&planned, &name), plan, " (dry run)");
        return Ok(Exit::Reached);
    }
    if intent.write.dry_run == DryRun::None {
        confirmation::confirm(hands, &intent.write, &question(&planned, &gathered.id)).await?;
    }

    // Time went by while the user read: counts and competitors are looked at again.
    cluster_view::refresh_objects(hands, &mut gathered).await?;
    cluster_view::refresh(hands, &mut gathered).await?;
    let (mut fresh, name) = again(hands, intent, &gathered, &wanted, &name).await?;
    let counts = |live: &CheckedPlan| -> Vec<(NodeName, u64)> {
        live.plan.nodes.iter().map(|node| (node.node.clone(), node.connections)).collect()
    };
    fresh.plan.judge(limits::drift(&intent.limits, counts(&planned), counts(&fresh)).into_iter().collect());
    if fresh.plan.decision != Decision::Go
        && let Some(exit) = settled(hands, intent, &gathered, &fresh, says)?
    {
        return Ok(exit);
    }
    heard(hands, &gathered, fresh.backend)?;
    let mut operations = OperationTracker::of(&gathered.id);
    operations.observe(&gathered.world, hands.clock.now());
    match fresh.backend {
        Backend::Rebalance => {
            Box::pin(create(hands, intent, &wanted, gathered, fresh, &name, operations)).await
        }
        Backend::Emqx => start(hands, intent, gathered, fresh, operations).await,
    }
}

/// Resolves the instance. A manifest without a kind resolves to any kind with this name, and to EMQX if both exist.
async fn gather_meant(
    hands: &CommandContext,
    name: Option<&InstanceName>,
    written: Option<&ManifestRequest>,
) -> Result<ClusterView, Problem> {
    let Some(written) = written else { return cluster_view::one(hands, name, WANT).await };
    match cluster_view::one(hands, name, WANT).await {
        Err(problem) if problem.exit == Exit::Usage => {
            let kind = written.instance_kind.as_deref().and_then(InstanceKind::parse);
            let kind = Some(kind.unwrap_or(InstanceKind::Emqx));
            let name = InstanceName { kind, name: written.instance_name.clone() };
            cluster_view::one(hands, Some(&name), WANT).await
        }
        other => other,
    }
}

async fn planned(
    hands: &CommandContext,
    intent: &Apply,
    gathered: &ClusterView,
    wanted: &Wanted,
) -> Result<(CheckedPlan, String), Problem> {
    let written = wanted.written.as_ref();
    let name = match written.and_then(|it| it.name.clone().or_else(|| it.generate_name.clone())) {
        Some(name) => name,
        None => manifest::name(&gathered.id.name, hands.clock.now()),
    };
    again(hands, intent, gathered, wanted, &name).await
}

async fn again(
    hands: &CommandContext,
    intent: &Apply,
    gathered: &ClusterView,
    wanted: &Wanted,
    name: &str,
) -> Result<(CheckedPlan, String), Problem> {
    let back = Return { session_move_ms: intent.session_move_ms, ..Return::default() };
    // The API server completes a `generateName`: there is no name yet that could be taken.
    let generated = wanted.written.as_ref().is_some_and(|written| written.generate_name.is_some());
    let planning = Planning {
        strategy: &wanted.strategy,
        back,
        choice: intent.backend,
        nodes: &intent.nodes,
        name: Some(name).filter(|_| !generated),
        skip: &intent.skip,
    };
    let mut live = live(hands, gathered, planning).await?;
    if let Some(written) = &wanted.written
        && live.backend == Backend::Rebalance
    {
        let (_, found) = manifest::mended(written, &gathered.id, name, gathered.world.served.operator)?;
        live.plan.judge(found);
    }
    let forecast = LimitForecast {
        seconds: Some(live.plan.total_seconds),
        reconnects: Some(live.plan.moves.peak_reconnects_per_second),
    };
    live.plan.judge(limits::before(hands, &intent.limits, forecast));
    Ok((live, name.to_owned()))
}

/// Prints the plan and returns an exit when there is nothing to do, or when it is refused.
fn settled(
    hands: &CommandContext,
    intent: &Apply,
    gathered: &ClusterView,
    live: &CheckedPlan,
    says: impl Fn(&CheckedPlan),
) -> Result<Option<Exit>, Problem> {
    says(live);
    let plan = &live.plan;
    confirmation::decided(
        hands,
        &intent.write,
        plan.decision,
        &plan.message,
        &plan.findings,
        format!("will not rebalance {}", gathered.id),
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
            let node = live.plan.nodes.first().map(|node| node.node.as_str()).unwrap_or_default();
            format!("coordinator/{node}")
        }
    }
}

/// Refuses to start while EMQX does not respond: its running operations are unknown.
fn heard(hands: &CommandContext, gathered: &ClusterView, backend: Backend) -> Result<(), Problem> {
    let emqx = snapshot::picture(&gathered.world, &gathered.id, hands.clock.now());
    let deaf = gathered.world.load.is_none() || emqx.source(Source::Emqx) != snapshot::SourceState::Ok;
    if backend == Backend::Rebalance || !deaf {
        return Ok(());
    }
    let why = emqx.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    Err(Problem::new(
        format!("cannot start a rebalance in the EMQX of {}", gathered.id),
        why.unwrap_or_else(|| "EMQX cannot be asked".to_owned()),
    )
    .hint(super::watch::REACH_EMQX))
}

/// Prints the created object to stdout.
fn done(
    hands: &CommandContext,
    intent: &Apply,
    gathered: &ClusterView,
    backend: Backend,
    name: &str,
    plan: RebalancePlan,
    note: &str,
) {
    let applied =
        Applied { name: name.to_owned(), instance: gathered.id.clone(), backend: Some(backend), plan };
    confirmation::done(hands, &intent.then, &applied, note);
}

async fn create(
    hands: &CommandContext,
    intent: &Apply,
    wanted: &Wanted,
    gathered: ClusterView,
    live: CheckedPlan,
    name: &str,
    mut operations: OperationTracker,
) -> Outcome {
    let operator = gathered.world.served.operator;
    let object = match &wanted.written {
        Some(written) => manifest::mended(written, &gathered.id, name, operator)?.0,
        None => manifest::manifest(&gathered.id, name, &wanted.strategy, operator)?,
    };
    let mut object = manifest::served_as(object, &gathered.world.served);
    let record = PlanRecord::of(&live.plan, hands.clock.now());
    manifest::annotate(&mut object, PLAN_ANNOTATION, &record.text());
    if let Some(reason) = &intent.write.reason {
        manifest::annotate(&mut object, "cli.emqx.io/reason", reason);
    }
    let dry = intent.write.dry_run == DryRun::Server;
    let how = if dry { ports::ServerDryRun::Server } else { ports::ServerDryRun::No };
    let created = hands.kubernetes.create_rebalance(&object, how).await?;
    for warning in &created.warnings {
        hands.printer.notice(warning);
    }
    let label = format!("rebalance.apps.emqx.io/{}", created.rebalance.name);
    let note = if dry { " (server dry run)" } else { "" };
    let plan = live.plan.clone();
    done(hands, intent, &gathered, live.backend, &label, live.plan, note);
    if dry {
        return Ok(Exit::Reached);
    }
    let name = created.rebalance.name.clone();
    operations.rebalances.created(created.rebalance);
    stay(hands, intent, gathered, operations, name, plan).await
}

async fn start(
    hands: &CommandContext,
    intent: &Apply,
    gathered: ClusterView,
    live: CheckedPlan,
    mut operations: OperationTracker,
) -> Outcome {
    let nodes: Vec<NodeName> = live.plan.nodes.iter().map(|node| node.node.clone()).collect();
    let Some(conductor) = nodes.first().cloned() else {
        return Err(Problem::refused("no node takes part", ""));
    };
    let name = format!("coordinator/{conductor}");
    if intent.write.dry_run == DryRun::Server {
        return Err(Problem::usage(
            "--dry-run=server cannot be had with --backend emqx",
            "EMQX's API has no dry run",
        )
        .hint("--dry-run=client shows what would be asked"));
    }
    let strategy = live.plan.strategy.clone();
    gathered.broker.start(&conductor, &nodes, &strategy).await?;
    operations.rebalances.asked(name.clone(), strategy);
    let plan = live.plan.clone();
    done(hands, intent, &gathered, live.backend, &name, live.plan, "");
    stay(hands, intent, gathered, operations, name, plan).await
}

async fn stay(
    hands: &CommandContext,
    intent: &Apply,
    gathered: ClusterView,
    operations: OperationTracker,
    name: String,
    plan: RebalancePlan,
) -> Outcome {
    let Then::Follow(follow) = &intent.then else {
        hands.printer.next(&format!("kubectl emqx rebalance watch {name}"));
        return Ok(Exit::Reached);
    };
    let face = FollowOutput::of(hands, follow, false).planned(plan);
    let following = FollowRequest::new(gathered, operations, name, face);
    let want = FollowRequest::wants(follow);
    Box::pin(FollowRequest { want, ..following.limited(hands, follow) }.run(hands)).await
}

/// The running operation, otherwise one that an operator has yet to start; for the other commands.
pub fn what_runs(hands: &CommandContext, gathered: &ClusterView) -> Option<String> {
    let waiting = || {
        let waiting = ownership::waiting(&gathered.world, &gathered.id, hands.clock.now());
        waiting.first().map(|object| object.name.clone())
    };
    runs(hands, gathered).or_else(waiting)
}

/// The running operation.
pub fn runs(hands: &CommandContext, gathered: &ClusterView) -> Option<String> {
    let instance = gathered.instance().ok()?;
    let picture = snapshot::picture(&gathered.world, &gathered.id, hands.clock.now());
    let (backend, _) = endpoint::backend(
        endpoint::BackendRequest::Auto,
        &gathered.world.served,
        instance,
        picture.operator_process,
    )
    .ok()?;
    running(&RebalanceCheck {
        world: &gathered.world,
        instance,
        picture: &picture,
        backend,
        name: None,
        allowed: None,
    })
}
