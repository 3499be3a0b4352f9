//! What `scale` and its undo refuse, and the results that both print.

use super::super::{CommandContext, confirmation};
use crate::cli::intent::scale::Scale as Intent;
use crate::cli::intent::{Output, Stream};
use crate::error::{Exit, Problem};
use crate::model::scale::ScaledField;
use crate::model::{ApiVersion, Instance};
use crate::output::text::resource;
use crate::plan::scale::ScalePlan;
use crate::plan::stored_removal::amount;

/// Whether this API version has the number.
pub(super) fn fits(instance: &Instance, field: ScaledField) -> Result<(), Problem> {
    if field.fits(instance.api) {
        return Ok(());
    }
    let name = &instance.id.name;
    let (has, hint) = if instance.api == ApiVersion::V1beta4 {
        ("one number of nodes, spec.replicas", format!("kubectl emqx scale {name} --replicas N"))
    } else {
        (
            "cores and replicants",
            format!("kubectl emqx scale {name} --replicants N, or kubectl emqx scale {name} --cores N"),
        )
    };
    Err(Problem::usage(
        format!("--{} does not fit {}", field.as_str(), instance.id),
        format!("{} {} has {has}", instance.id.kind, instance.api),
    )
    .hint(hint))
}

pub(super) fn decided(
    context: &CommandContext,
    intent: &Intent,
    scale: &ScalePlan,
) -> Result<Option<Exit>, Problem> {
    let what = format!("will not scale {} to {}", scale.removal.instance, amount(scale.field, scale.to));
    confirmation::decided(
        context,
        &intent.removal.write,
        scale.removal.decision,
        &scale.removal.message,
        &scale.removal.findings,
        what,
    )
}

pub(super) fn dry_run(context: &CommandContext, intent: &Intent, scale: &ScalePlan) {
    if intent.removal.output == Output::Text {
        context.printer.line(&format!("{} (dry run)", resource(&scale.removal.instance)));
    } else {
        context.printer.scaled(scale, intent.removal.output);
    }
}

/// Prints the result to stdout; with `-o jsonl` the events are the result. As text only the reached state is
/// data: the rest is in the messages.
pub(super) fn report(context: &CommandContext, intent: &Intent, scale: &ScalePlan, reached: bool) {
    let text = intent.removal.output == Output::Text;
    if intent.removal.stream != Stream::Jsonl && (reached || !text) {
        context.printer.scaled(scale, intent.removal.output);
    }
}
