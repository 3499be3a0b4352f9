//! `rebalance plan`: the forecast and its reasons. It writes nothing.

use jiff::Timestamp;

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome, surroundings};
use crate::cli::intent::{LoadBalancer, Plan, PlanSource};
use crate::error::{Exit, Problem};
use crate::model::{Backend, BackendRequest, NodeName, Strategy, StrategyRequest};
use crate::plan::check::{Planned, Purpose};
use crate::plan::finding::Decision;
use crate::plan::limits::{LimitForecast, findings};
use crate::plan::rebalance::backend::backend;
use crate::plan::rebalance::calibration::Calibration;
use crate::plan::rebalance::difference::Difference;
use crate::plan::rebalance::forecast::{forecast, numbered};
use crate::plan::rebalance::manifest;
use crate::plan::rebalance::plan::{Participant, RebalancePlan, Return};
use crate::plan::rebalance::preflight::{self, RebalanceRequest};
use crate::plan::rebalance::requirement::{self, strategy_for};
use crate::plan::snapshot::snapshot;
use crate::ports::{RefreshScope, Right};
use emqx_rebalance::eviction::Landing;

/// The resources for a plan: events show the operator's last activity where its counts are used, its Lease
/// whether it is alive.
pub(crate) const PLAN_SCOPE: RefreshScope = RefreshScope {
    events: true,
    // A drain or a scale that is not finished.
    states: true,
    lease: true,
    ..RefreshScope::REBALANCE
};

/// The plan for plain numbers: nothing is contacted.
pub(crate) fn numbers(plan: &Plan, calibration: Option<Calibration>) -> Option<RebalancePlan> {
    let PlanSource::Numbers { connections, sessions } = &plan.source else { return None };
    let (nodes, back) = (numbered(connections, Some(sessions)), back(plan, calibration));
    let mut forecast = forecast(None, &nodes, &strategy(&plan.strategy, &nodes, back), back);
    forecast.judge(Vec::new());
    complete(&mut forecast, &plan.strategy, back, &[], plan.lb.is_none());
    within_limits(plan, &mut forecast);
    shows(plan.show_command, &mut forecast, plan);
    Some(forecast)
}

fn back(plan: &Plan, calibration: Option<Calibration>) -> Return {
    let landing = match plan.lb {
        None | Some(LoadBalancer::Even) => Landing::Even,
        Some(LoadBalancer::Least) => Landing::Least,
        Some(LoadBalancer::One) => Landing::One,
    };
    let delay = plan.reconnect_delay;
    let back = Return {
        delay: delay.unwrap_or(0),
        landing,
        session_move_ms: plan.session_move_ms,
        ..Return::default()
    };
    calibration.map_or(back, |calibration| calibration.of(back, delay))
}

/// The strategy: as given, or computed for these nodes.
pub(crate) fn strategy(request: &StrategyRequest, nodes: &[Participant], back: Return) -> Strategy {
    match request {
        StrategyRequest::Given(strategy) => strategy.clone(),
        StrategyRequest::Required(required, given) => strategy_for(nodes, *required, *given, back),
    }
}

/// Adds the requirement, and the end with each load balancer where it is unknown which one is in use.
fn complete(
    plan: &mut RebalancePlan,
    request: &StrategyRequest,
    back: Return,
    skip: &[String],
    lb_unknown: bool,
) {
    if let StrategyRequest::Required(required, given) = request {
        requirement::judge(plan, *required, *given, back, skip);
    }
    if lb_unknown {
        plan.load_balancers = requirement::landings(plan, back);
    }
}

/// Compares a given rate with `--max-reconnect-rate`; a computed rate respects it already.
fn within_limits(plan: &Plan, forecast: &mut RebalancePlan) {
    if forecast.requirement.is_none() {
        let reconnects = Some(forecast.moves.peak_reconnects_per_second);
        let found =
            findings(&plan.limits, None, LimitForecast { seconds: None, reconnects }, Timestamp::UNIX_EPOCH);
        forecast.judge(found);
    }
}

/// The command with every setting, where it was requested.
fn shows(show: bool, forecast: &mut RebalancePlan, plan: &Plan) {
    if !show {
        return;
    }
    let instance = forecast.instance.as_ref().map(|id| id.name.clone()).unwrap_or_default();
    let mut text = requirement::command("plan", &instance, &forecast.strategy);
    if let PlanSource::Numbers { connections, sessions } = &plan.source {
        let list = |counts: &[u64]| counts.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        text.extend([" --counts ", &list(connections)]);
        if sessions != connections {
            text.extend([" --sessions ", &list(sessions)]);
        }
    }
    forecast.command = Some(text + &flags(plan.backend, &plan.nodes));
}

/// The flags of an explicit command beside its settings.
pub(crate) fn flags(backend: BackendRequest, nodes: &[String]) -> String {
    let mut flags = match backend {
        BackendRequest::Auto => String::new(),
        BackendRequest::Rebalance | BackendRequest::Emqx => format!(" --backend {}", backend.as_str()),
    };
    if !nodes.is_empty() {
        flags.extend([" --nodes ", &nodes.join(",")]);
    }
    flags
}

/// The exit of a plan.
pub(crate) fn exit(decision: Decision) -> Exit {
    match decision {
        Decision::Go | Decision::NothingToDo => Exit::Reached,
        Decision::Refused => Exit::Refused,
    }
}

/// The plan of a live cluster, checked.
pub struct CheckedPlan {
    pub plan: RebalancePlan,
    /// The backend that would drive it.
    pub backend: Backend,
    pub why: String,
}

/// What is planned for a cluster.
pub struct Planning<'a> {
    /// The requested strategy.
    pub strategy: &'a StrategyRequest,
    /// Whether it is unknown where evicted clients reconnect.
    pub lb_unknown: bool,
    /// When and where evicted clients reconnect.
    pub back: Return,
    /// The requested backend.
    pub choice: BackendRequest,
    /// The nodes or pods that take part; empty for all.
    pub nodes: &'a [String],
    /// The name that an object would have.
    pub name: Option<&'a str>,
    /// Checks that are skipped.
    pub skip: &'a [String],
}

/// Plans with the gathered facts.
pub(crate) async fn live(
    context: &CommandContext,
    cluster: &ClusterView,
    planning: Planning<'_>,
) -> Result<CheckedPlan, Problem> {
    let Planning { strategy: request, lb_unknown, back, choice, nodes, name, skip } = planning;
    let instance = cluster.instance()?;
    let process = snapshot(&cluster.world, &cluster.id, context.clock.now()).operator_process;
    let (backend, why) = if nodes.is_empty() || choice == BackendRequest::Emqx {
        backend(choice, &cluster.world.kubernetes.served, instance, process)?
    } else {
        let (backend, _) =
            backend(BackendRequest::Emqx, &cluster.world.kubernetes.served, instance, process)?;
        (backend, "only EMQX's own API takes the nodes of --nodes".to_owned())
    };
    let nodes = participants(context, cluster, nodes)?;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now()).among(&nodes);
    let allowed = match backend {
        Backend::Rebalance => {
            let right = Right::of_rebalance("create", &cluster.id.namespace);
            // A failed permission review refuses nothing: the create request shows the error.
            context.kubernetes.may(&[right]).await.ok().and_then(|answers| answers.first().copied().flatten())
        }
        Backend::Emqx => None,
    };
    let counted = preflight::participants(&snapshot).unwrap_or_default();
    let strategy = strategy(request, &counted, back);
    let (strategy, dropped) = match backend {
        Backend::Rebalance => manifest::kept(&strategy, cluster.world.kubernetes.served.operator),
        Backend::Emqx => (strategy, None),
    };
    let rebalance_request = RebalanceRequest { strategy: &strategy, back, backend, name, allowed, skip };
    let mut plan = preflight::plan(&cluster.world, &snapshot, rebalance_request)?;
    plan.judge(dropped.into_iter().collect());
    complete(&mut plan, request, back, skip, lb_unknown);
    if plan.decision == Decision::Go {
        let planned = Planned {
            reconnects: Some(plan.moves.peak_reconnects_per_second),
            wait_health_check: Some(plan.strategy.wait_health_check_seconds),
            writes: backend == Backend::Rebalance,
            ..Planned::default()
        };
        plan.judge(
            Box::pin(surroundings::findings(context, cluster, Purpose::Rebalance, planned, skip)).await,
        );
    }
    Ok(CheckedPlan { plan, backend, why })
}

/// The EMQX nodes of `--nodes`, each once.
fn participants(
    context: &CommandContext,
    cluster: &ClusterView,
    targets: &[String],
) -> Result<Vec<NodeName>, Problem> {
    let mut nodes: Vec<NodeName> = Vec::new();
    for target in targets {
        let node = cluster_view::node(cluster, context, target).ok_or_else(|| {
            let why = if cluster.answers().nodes.is_none() { "EMQX was not asked for its nodes" } else { "" };
            Problem::new(format!("--nodes: {} has no EMQX node or EMQX pod {target}", cluster.id), why)
                .hint(format!("kubectl emqx nodes {} lists the nodes and their pods", cluster.id.name))
        })?;
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    match nodes.as_slice() {
        [only] => Err(Problem::usage(
            "--nodes names one node",
            format!("{only}, more than once: a rebalance moves clients between nodes"),
        )
        .hint("name two nodes or more, or leave --nodes out")),
        _ => Ok(nodes),
    }
}

/// `rebalance plan` of a cluster.
pub(crate) async fn run(context: &CommandContext, plan: &Plan, calibration: Option<Calibration>) -> Outcome {
    let PlanSource::Cluster(name) = &plan.source else {
        return Err(Problem::usage("this plan needs no cluster", ""));
    };
    let mut cluster = cluster_view::load_one(context, name.as_ref(), PLAN_SCOPE).await?;
    cluster_view::query_twice(context, std::slice::from_mut(&mut cluster)).await?;
    let planning = Planning {
        strategy: &plan.strategy,
        lb_unknown: plan.lb.is_none(),
        back: back(plan, calibration),
        choice: plan.backend,
        nodes: &plan.nodes,
        name: None,
        skip: &[],
    };
    let mut live = live(context, &cluster, planning).await?;
    within_limits(plan, &mut live.plan);
    shows(plan.show_command, &mut live.plan, plan);
    if plan.diff {
        live.plan.diff = Some(diff(&cluster, &live, context.clock.now())?);
    }
    context.printer.plan(&live.plan, Some((live.backend, &live.why)), plan.output, Some(context.clock.now()));
    Ok(exit(live.plan.decision))
}

/// The object that would be written, compared with the latest object of this instance.
fn diff(cluster: &ClusterView, live: &CheckedPlan, now: Timestamp) -> Result<Difference, Problem> {
    let id = &cluster.id;
    let served = &cluster.world.kubernetes.served;
    let written = match live.backend {
        Backend::Rebalance => {
            let made =
                manifest::manifest(id, &manifest::name(&id.name, now), &live.plan.strategy, served.operator)?;
            manifest::served_as(made, served)
        }
        Backend::Emqx => manifest::without_object(&live.plan.strategy, &live.plan.nodes),
    };
    let latest =
        cluster.world.rebalances_of(id).into_iter().map(|seen| &seen.value).max_by_key(|it| it.created);
    let before = latest.filter(|_| live.backend == Backend::Rebalance);
    let before = before
        .map(|it| {
            let made = manifest::manifest(id, &it.name, &it.strategy, served.operator)?;
            Ok::<_, Problem>(manifest::served_as(made, served))
        })
        .transpose()?;
    Ok(Difference { before, written })
}
