//! `upgrade plan`: the forecast and its reasons. It writes nothing.

use super::prepare::{UpgradeInput, prepare};
use crate::cli::intent::upgrade::UpgradePlanArguments;
use crate::commands::plan::exit;
use crate::commands::{CommandContext, Outcome, cluster_view};
use crate::model::FIELD_MANAGER;
use crate::ports::RefreshScope;

/// `upgrade plan`.
pub(super) async fn run(context: &CommandContext, intent: &UpgradePlanArguments) -> Outcome {
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
    prepared.unread.iter().for_each(|notice| context.printer.notice(notice));
    context.printer.upgrade_plan(&prepared.plan, intent.output, context.clock.now());
    Ok(exit(prepared.plan.decision))
}
