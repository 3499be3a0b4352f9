//! `demo`: a whole rebalance on the simulated cluster, through the commands that a user types.

use super::confirmation::already_confirmed;
use super::{CommandContext, Outcome};
use crate::cli::intent::upgrade::{self, Upgrade};
use crate::cli::intent::{Apply, ApplySource, Follow, Output, Plan, PlanSource, ReadOptions, Then};
use crate::error::{Cause, Problem};
use crate::model::image::Image;
use crate::model::limits::Limits;
use crate::model::upgrade::{UpgradeRequest, Wanted};
use crate::model::{BackendRequest, Strategy, StrategyRequest};
use emqx_rebalance::rules::SESSION_MOVE_MS;

/// The strategy of the operator's manual, with waits in which the operator's own gate can be observed.
pub(crate) fn documented() -> Strategy {
    Strategy {
        conn_evict_rate: 10,
        sess_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..Strategy::default()
    }
}

fn announce(context: &CommandContext, what: &str) {
    context.printer.line("");
    context.printer.line(&format!("$ kubectl emqx {what}"));
}

/// The command line that upgrades the only cluster to this image and follows the upgrade: on the full screen,
/// where there is one.
pub(crate) fn upgrade(image: &Image) -> upgrade::UpgradeApply {
    upgrade::UpgradeApply {
        instance: None,
        ask: UpgradeRequest::new(Wanted::Image(image.clone())),
        force: false,
        write: already_confirmed(),
        skip: Vec::new(),
        limits: Limits::default(),
        then: Then::Follow(Follow { full: true, ..Follow::default() }),
    }
}

/// Shows the cluster, the plan of an upgrade, the upgrade to its verdict, and the cluster again.
pub(crate) async fn upgraded(context: &CommandContext, image: &Image) -> Outcome {
    announce(context, "status");
    super::read::show(context, &ReadOptions::default()).await?;
    let apply = upgrade(image);
    announce(context, &format!("upgrade plan --image {image}"));
    let plan = upgrade::UpgradePlanArguments {
        instance: None,
        ask: apply.ask.clone(),
        force: false,
        skip: Vec::new(),
        output: Output::Text,
    };
    Box::pin(super::upgrade::run(context, Upgrade::Plan(plan))).await?;
    announce(context, &format!("upgrade apply --image {image} --watch --yes"));
    let exit = Box::pin(super::upgrade::run(context, Upgrade::Apply(apply))).await?;
    announce(context, "status");
    super::read::show(context, &ReadOptions::default()).await?;
    Ok(exit)
}

/// An interrupted demo cannot be continued: the cluster ends with the process.
pub(crate) fn interrupted(problem: Problem) -> Problem {
    if problem.cause != Cause::Interrupted {
        return problem;
    }
    Problem::new("interrupted", "the simulated cluster ended with the demo")
        .hint("kubectl emqx demo serve keeps one running for other commands")
        .interrupted()
}

/// Shows the cluster, the plan, a rebalance to its verdict, and the cluster again.
pub(crate) async fn run(context: &CommandContext) -> Outcome {
    let flags = "--conn-evict-rate 10 --wait-health-check 10 --wait-takeover 10 --abs-conn-threshold 100";

    announce(context, "status");
    super::read::show(context, &ReadOptions::default()).await?;
    announce(context, &format!("rebalance plan {flags}"));
    let plan = Plan {
        nodes: Vec::new(),
        source: PlanSource::Cluster(None),
        strategy: StrategyRequest::Given(documented()),
        limits: Limits::default(),
        show_command: false,
        diff: false,
        calibrate: Vec::new(),
        reconnect_delay: None,
        lb: Some(crate::cli::intent::LoadBalancer::Even),
        session_move_ms: SESSION_MOVE_MS,
        backend: BackendRequest::Auto,
        output: Output::Text,
    };
    super::plan::run(context, &plan, None).await?;
    announce(context, &format!("rebalance apply {flags} --watch --yes"));
    let apply = Apply {
        source: ApplySource::Instance(None, StrategyRequest::Given(documented())),
        session_move_ms: SESSION_MOVE_MS,
        backend: BackendRequest::Auto,
        nodes: Vec::new(),
        write: already_confirmed(),
        skip: Vec::new(),
        limits: Limits::default(),
        show_command: false,
        then: Then::Follow(Follow::default()),
    };
    let exit = super::apply::run(context, &apply, None).await?.exit;
    announce(context, "rebalance list");
    super::list::run(context, &crate::cli::intent::List::default()).await?;
    announce(context, "status");
    super::read::show(context, &ReadOptions::default()).await?;
    Ok(exit)
}
