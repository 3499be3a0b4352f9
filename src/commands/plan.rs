//! `rebalance plan`: what would happen, and why. Writes nothing.

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome};
use crate::cli::intent::{BackendChoice, LoadBalancer, Plan, PlanSource};
use crate::error::{Exit, Problem};
use crate::model::{NodeName, Strategy};
use crate::plan::endpoint::{self, BackendRequest};
use crate::plan::finding::Decision;
use crate::plan::rebalance::forecast::{RebalancePlan, Return, forecast, numbered};
use crate::plan::rebalance::manifest;
use crate::plan::rebalance::preflight::{self, RebalanceRequest};
use crate::plan::results::Backend;
use crate::plan::snapshot::snapshot;
use crate::ports::{RefreshScope, Right};
use emqx_rebalance::eviction::Landing;

/// What a plan needs: events show the operator's last activity where its counts are used, its Lease whether it is alive.
pub const WANT: RefreshScope = RefreshScope { events: true, lease: true, ..RefreshScope::REBALANCE };

/// Plain numbers: nothing is contacted.
pub fn numbers(plan: &Plan) -> Option<RebalancePlan> {
    let PlanSource::Numbers { connections, sessions } = &plan.source else { return None };
    let mut forecast = forecast(None, &numbered(connections, Some(sessions)), &plan.strategy, back(plan));
    forecast.judge(Vec::new());
    Some(forecast)
}

fn back(plan: &Plan) -> Return {
    let landing = match plan.lb {
        LoadBalancer::Even => Landing::Even,
        LoadBalancer::Least => Landing::Least,
        LoadBalancer::One => Landing::One,
    };
    Return { delay: plan.reconnect_delay, landing, session_move_ms: plan.session_move_ms }
}

/// The choice on the command line, in the words of `plan`.
pub fn asked(choice: BackendChoice) -> BackendRequest {
    match choice {
        BackendChoice::Auto => BackendRequest::Auto,
        BackendChoice::Rebalance => BackendRequest::Rebalance,
        BackendChoice::Emqx => BackendRequest::Emqx,
    }
}

/// The exit of a plan.
pub fn exit(decision: Decision) -> Exit {
    match decision {
        Decision::Go | Decision::NothingToDo => Exit::Reached,
        Decision::Refused => Exit::Refused,
    }
}

/// The plan of a live cluster, checked.
pub struct CheckedPlan {
    /// The plan.
    pub plan: RebalancePlan,
    /// Who would drive it.
    pub backend: Backend,
    /// Why that one.
    pub why: String,
}

/// What is planned for a cluster.
pub struct Planning<'a> {
    /// What is asked of EMQX.
    pub strategy: &'a Strategy,
    /// When and where evicted clients come back.
    pub back: Return,
    /// By which way.
    pub choice: BackendChoice,
    /// The nodes or pods that take part; none: all.
    pub nodes: &'a [String],
    /// The name that an object would have.
    pub name: Option<&'a str>,
    /// Checks that are skipped.
    pub skip: &'a [String],
}

/// Plans for what was gathered.
pub async fn live(
    context: &CommandContext,
    cluster: &ClusterView,
    planning: Planning<'_>,
) -> Result<CheckedPlan, Problem> {
    let Planning { strategy, back, choice, nodes, name, skip } = planning;
    let instance = cluster.instance()?;
    let process = snapshot(&cluster.world, &cluster.id, context.clock.now()).operator_process;
    let (backend, why) = if nodes.is_empty() || choice == BackendChoice::Emqx {
        endpoint::backend(asked(choice), &cluster.world.served, instance, process)?
    } else {
        let (backend, _) = endpoint::backend(BackendRequest::Emqx, &cluster.world.served, instance, process)?;
        (backend, "only EMQX's own API takes the nodes of --nodes".to_owned())
    };
    let nodes = participants(context, cluster, nodes)?;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now()).among(&nodes);
    let allowed = match backend {
        Backend::Rebalance => {
            let right = Right::of_rebalance("create", &cluster.id.namespace);
            // A server that cannot even be asked this is not one to refuse by: creating will tell.
            context.kubernetes.may(&[right]).await.ok().and_then(|answers| answers.first().copied().flatten())
        }
        Backend::Emqx => None,
    };
    let (strategy, dropped) = match backend {
        Backend::Rebalance => manifest::kept(strategy, cluster.world.served.operator),
        Backend::Emqx => (strategy.clone(), None),
    };
    let wish = RebalanceRequest { strategy: &strategy, back, backend, name, allowed, skip };
    let mut plan = preflight::plan(&cluster.world, &snapshot, wish)?;
    plan.judge(dropped.into_iter().collect());
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
            let why = if cluster.world.nodes.is_none() { "EMQX was not asked for its nodes" } else { "" };
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
pub async fn run(context: &CommandContext, plan: &Plan) -> Outcome {
    let PlanSource::Cluster(name) = &plan.source else {
        return Err(Problem::usage("this plan needs no cluster", ""));
    };
    let mut cluster = cluster_view::one(context, name.as_ref(), WANT).await?;
    cluster_view::ask_twice(context, std::slice::from_mut(&mut cluster)).await?;
    let planning = Planning {
        strategy: &plan.strategy,
        back: back(plan),
        choice: plan.backend,
        nodes: &plan.nodes,
        name: None,
        skip: &[],
    };
    let live = live(context, &cluster, planning).await?;
    context.printer.plan(&live.plan, Some((live.backend, &live.why)), plan.output, Some(context.clock.now()));
    Ok(exit(live.plan.decision))
}
