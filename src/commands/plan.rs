//! `rebalance plan`: what would happen, and why. Writes nothing.

use super::gather::{self, Gathered};
use super::{Hands, Outcome};
use crate::cli::intent::{BackendChoice, LoadBalancer, Plan, PlanSource};
use crate::error::{Exit, Problem};
use crate::model::Strategy;
use crate::plan::eviction::Landing;
use crate::plan::manifest;
use crate::plan::picture::picture;
use crate::plan::preflight::{self, Wish};
use crate::plan::reach::{self, Asked};
use crate::plan::rebalance::{Decision, RebalancePlan, Return, forecast, numbered};
use crate::plan::results::Backend;
use crate::seam::{Right, Want};

/// What a plan needs: events tell how silent the operator is, where its counts are used.
pub const WANT: Want = Want { events: true, ..Want::REBALANCE };

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
pub fn asked(choice: BackendChoice) -> Asked {
    match choice {
        BackendChoice::Auto => Asked::Auto,
        BackendChoice::Rebalance => Asked::Rebalance,
        BackendChoice::Emqx => Asked::Emqx,
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
pub struct Live {
    /// The plan.
    pub plan: RebalancePlan,
    /// Who would drive it.
    pub backend: Backend,
    /// Why that one.
    pub why: String,
}

/// Plans for what was gathered. `name` is the name that an object would have.
pub async fn live(
    hands: &Hands,
    gathered: &Gathered,
    strategy: &Strategy,
    back: Return,
    choice: BackendChoice,
    name: Option<&str>,
    skip: &[String],
) -> Result<Live, Problem> {
    let instance = gathered.instance()?;
    let (backend, why) = reach::backend(asked(choice), &gathered.world.served, instance)?;
    let picture = picture(&gathered.world, &gathered.id, hands.clock.now());
    let allowed = match backend {
        Backend::Rebalance => {
            let right = Right::of_rebalance("create", &gathered.id.namespace);
            // A server that cannot even be asked this is not one to refuse by: creating will tell.
            hands.kubernetes.may(&[right]).await.ok().and_then(|answers| answers.first().copied().flatten())
        }
        Backend::Emqx => None,
    };
    let (strategy, dropped) = match backend {
        Backend::Rebalance => manifest::kept(strategy, gathered.world.served.operator),
        Backend::Emqx => (strategy.clone(), None),
    };
    let wish = Wish { strategy: &strategy, back, backend, name, allowed, skip };
    let mut plan = preflight::plan(&gathered.world, &picture, wish)?;
    plan.judge(dropped.into_iter().collect());
    Ok(Live { plan, backend, why })
}

/// `rebalance plan` of a cluster.
pub async fn run(hands: &Hands, plan: &Plan) -> Outcome {
    let PlanSource::Cluster(name) = &plan.source else {
        return Err(Problem::usage("this plan needs no cluster", ""));
    };
    let gathered = gather::one(hands, name.as_ref(), WANT).await?;
    let live = live(hands, &gathered, &plan.strategy, back(plan), plan.backend, None, &[]).await?;
    hands.printer.plan(&live.plan, Some((live.backend, &live.why)), plan.output, Some(hands.clock.now()));
    Ok(exit(live.plan.decision))
}
