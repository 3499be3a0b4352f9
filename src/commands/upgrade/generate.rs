//! `upgrade generate`: the change on stdout, for a repository.

use crate::cli::intent::Manifest;
use crate::cli::intent::upgrade::{ChangeForm, Generate};
use crate::commands::{Hands, Outcome, cluster_view};
use crate::error::{Exit, Problem};
use crate::plan::upgrade::target::{Settled, raised_waits};
use crate::plan::upgrade::change::{Hold, body, full, kustomize};
use crate::ports::Want;

/// `upgrade generate`.
pub(super) async fn run(hands: &Hands, intent: &Generate) -> Outcome {
    let want = Want { instances: true, states: true, ..Want::default() };
    let (world, id) = cluster_view::chosen(hands, intent.instance.as_ref(), want).await?;
    let Some(instance) = world.instance(&id) else {
        return Err(Problem::new(format!("{id} is gone"), ""));
    };
    let settled = Settled::of(instance, &intent.ask)?;
    if let Some(message) = raised_waits(instance, &intent.ask) {
        hands.printer.notice(&message);
    }
    let change = body(instance, &settled, Hold::Held);
    let manifest = match intent.form {
        ChangeForm::Patch => change,
        ChangeForm::Kustomize => kustomize(&change),
        ChangeForm::Full => {
            let Some(object) = hands.kubernetes.object(&id).await? else {
                return Err(Problem::new(format!("{id} is gone"), ""));
            };
            full(&object, &change)
        }
    };
    hands.printer.manifest(&manifest, Manifest::Yaml);
    if settled.guarded {
        hands.printer.talk(
            "with this change the operator removes nothing: after it is applied, evacuate the old pods and continue with the command \
             below; the edit that it prints at its end belongs in the repository",
        );
        if let Some(own) = settled.update.initial_delay {
            hands.printer.talk(&format!(
                "the object's own spec.blueGreenUpdate.initialDelaySeconds ({own}) is not in this change: write it back afterwards"
            ));
        }
        hands.printer.next(&format!("kubectl emqx upgrade watch {}", id.name));
    }
    Ok(Exit::Reached)
}
