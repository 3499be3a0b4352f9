//! `upgrade plan`: the forecast and its reasons. It writes nothing.

use super::prepare::{UpgradeInput, prepare};
use crate::cli::intent::upgrade::UpgradePlanArguments;
use crate::commands::plan::exit;
use crate::commands::{CommandContext, Outcome, cluster_view};
use crate::error::Problem;
use crate::model::FIELD_MANAGER;
use crate::plan::upgrade::forecast::UpgradePlan;
use crate::ports::RefreshScope;

/// `upgrade plan`.
pub(super) async fn run(context: &CommandContext, intent: &UpgradePlanArguments) -> Outcome {
    let plan = planned(context, intent).await?;
    context.printer.upgrade_plan(&plan, intent.output, context.clock.now());
    Ok(exit(plan.decision))
}

/// The plan of an upgrade.
pub(crate) async fn planned(
    context: &CommandContext,
    intent: &UpgradePlanArguments,
) -> Result<UpgradePlan, Problem> {
    let cluster = cluster_view::load_one(context, intent.instance.as_ref(), RefreshScope::ALL).await?;
    let request = UpgradeInput {
        ask: &intent.ask,
        force: intent.force,
        skip: &intent.skip,
        manager: FIELD_MANAGER,
        reason: None,
        back: None,
    };
    let prepared = prepare(context, &cluster, request).await?;
    prepared.unread.iter().for_each(|notice| context.notice(notice));
    Ok(prepared.plan)
}
