//! `upgrade generate`: the change on stdout, for a repository.

use crate::cli::intent::Manifest;
use crate::cli::intent::upgrade::{ChangeForm, UpgradeGenerate};
use crate::commands::{CommandContext, Outcome, cluster_view};
use crate::error::{Exit, Problem};
use crate::plan::upgrade::change::{OperatorHold, body, full, kustomize};
use crate::plan::upgrade::target::{UpgradeTarget, raised_waits};
use crate::ports::RefreshScope;

/// `upgrade generate`.
pub(super) async fn run(context: &CommandContext, intent: &UpgradeGenerate) -> Outcome {
    let want = RefreshScope { instances: true, states: true, ..RefreshScope::default() };
    let (world, id) = cluster_view::load_selected(context, intent.instance.as_ref(), want).await?;
    let Some(instance) = world.instance(&id) else {
        return Err(Problem::new(format!("{id} is gone"), ""));
    };
    let target = UpgradeTarget::of(instance, &intent.ask)?;
    if let Some(message) = raised_waits(instance, &intent.ask) {
        context.notice(&message);
    }
    let change = body(instance, &target, OperatorHold::Held);
    let manifest = match intent.form {
        ChangeForm::Patch => change,
        ChangeForm::Kustomize => kustomize(&change),
        ChangeForm::Full => {
            let Some(object) = context.kubernetes.object(&id).await? else {
                return Err(Problem::new(format!("{id} is gone"), ""));
            };
            full(&object, &change)
        }
    };
    context.printer.manifest(&manifest, Manifest::Yaml);
    if target.guarded {
        context.printer.talk(
            "with this change the operator removes nothing: after it is applied, evacuate the old pods and continue with the command \
             below; the edit that it prints at its end belongs in the repository",
        );
        if let Some(own) = target.update.initial_delay {
            context.printer.talk(&format!(
                "the object's own spec.blueGreenUpdate.initialDelaySeconds ({own}) is not in this change: write it back afterwards"
            ));
        }
        context.printer.next(&format!("kubectl emqx upgrade watch {}", id.name));
    }
    Ok(Exit::Reached)
}
