//! `upgrade plan`: what would happen, and why. Writes nothing.

use super::prepare::{UpgradeInput, prepare};
use crate::cli::intent::upgrade::UpgradePlanArguments;
use crate::commands::plan::exit;
use crate::commands::{CommandContext, Outcome, cluster_view};
use crate::model::FIELD_MANAGER;
use crate::ports::RefreshScope;

/// `upgrade plan`.
pub(super) async fn run(hands: &CommandContext, intent: &UpgradePlanArguments) -> Outcome {
    let gathered = cluster_view::one(hands, intent.instance.as_ref(), RefreshScope::ALL).await?;
    let wish = UpgradeInput {
        ask: &intent.ask,
        force: intent.force,
        skip: &intent.skip,
        manager: FIELD_MANAGER,
        reason: None,
        back: None,
    };
    let prepared = prepare(hands, &gathered, wish).await?;
    prepared.unread.iter().for_each(|notice| hands.printer.notice(notice));
    hands.printer.upgrade_plan(&prepared.plan, intent.output, hands.clock.now());
    Ok(exit(prepared.plan.decision))
}
