//! `upgrade` and its subcommands: as lines, or on the full screen while the guard works.

use std::rc::Rc;

use futures::FutureExt;

use super::recordings::{Recordings, recorder};
use super::screen::{self, ViewedClusters};
use super::setup::context_in_kubernetes;
use crate::cli::intent::upgrade::Upgrade;
use crate::cli::intent::{Follow, Global, Output, Then};
use crate::commands::upgrade::watch::{self, UpgradeWatchTarget};
use crate::commands::{self, CommandContext, Outcome};
use crate::error::{Exit, Problem};
use crate::model::{FIELD_MANAGER, OperationRef, Strategy};
use crate::output::Printer;

pub(super) async fn run(global: &Global, printer: Rc<Printer>, mut upgrade: Upgrade) -> Outcome {
    let manager = match &upgrade {
        Upgrade::Plan(_) | Upgrade::Generate(_) | Upgrade::List(_) => FIELD_MANAGER,
        Upgrade::Apply(apply) => &apply.write.field_manager,
        Upgrade::Watch(watch) => &watch.field_manager,
        Upgrade::Undo(undo) => &undo.write.field_manager,
    };
    let manager = manager.to_owned();
    let follow = follow(&upgrade).cloned();
    let Some(follow) = follow.filter(|follow| follow.full && screen::fits(&printer)) else {
        let record = match self::follow(&upgrade) {
            Some(follow) => recorder(follow)?,
            None => None,
        };
        let context = context_in_kubernetes(global, printer, record, &manager).await?;
        return Box::pin(commands::upgrade::run(&context, upgrade)).await;
    };
    let recordings = Recordings::of(&follow)?;
    let context = context_in_kubernetes(global, printer, Some(recordings.clone()), &manager).await?;
    let name = match &mut upgrade {
        Upgrade::Plan(_) | Upgrade::Generate(_) | Upgrade::List(_) => None,
        Upgrade::Watch(watch) => watch.instance.clone(),
        Upgrade::Apply(apply) => {
            apply.then = Then::Leave(Output::Text);
            apply.instance.clone()
        }
        Upgrade::Undo(undo) => {
            undo.then = Then::Leave(Output::Text);
            undo.instance.clone()
        }
    };
    let changes = !matches!(upgrade, Upgrade::Watch(_));
    if changes {
        let exit = Box::pin(commands::upgrade::run(&context, upgrade)).await?;
        if exit != Exit::Reached {
            return Ok(exit);
        }
    }
    match watch::resolve(&context, name.as_ref()).await? {
        Some(resolve) => Box::pin(show(&context, resolve, &follow, &manager, recordings)).await,
        None => Ok(Exit::Reached),
    }
}

/// The settings of a follow, for subcommands that have one.
fn follow(upgrade: &Upgrade) -> Option<&Follow> {
    match upgrade {
        Upgrade::Plan(_) | Upgrade::Generate(_) | Upgrade::List(_) => None,
        Upgrade::Watch(watch) => Some(&watch.follow),
        Upgrade::Apply(apply) => followed(&apply.then),
        Upgrade::Undo(undo) => followed(&undo.then),
    }
}

fn followed(then: &Then) -> Option<&Follow> {
    match then {
        Then::Follow(follow) => Some(follow),
        Then::Leave(_) => None,
    }
}

/// Opens the view; a held upgrade is continued in the background.
async fn show(
    context: &CommandContext,
    resolve: UpgradeWatchTarget,
    follow: &Follow,
    manager: &str,
    recordings: Rc<Recordings>,
) -> Outcome {
    let UpgradeWatchTarget { cluster, held, edit } = resolve;
    let id = cluster.id.clone();
    let viewed = ViewedClusters {
        scope: screen::one(&id),
        wanted: vec![OperationRef::Upgrade(id.name.clone()).to_string()],
        judged: true,
        ours: None,
        id: Some(id.clone()),
    };
    let quiet = screen::quiet(context, &id);
    let mut failed: Option<Problem> = None;
    let outcome = {
        let mut view = std::pin::pin!(screen::live(context, viewed, follow, Strategy::default(), recordings));
        let keep = async {
            if held && !follow.read_only {
                watch::keep(&quiet, cluster, manager).await
            } else {
                std::future::pending().await
            }
        };
        let mut keep = std::pin::pin!(keep.fuse());
        loop {
            tokio::select! {
                biased;
                outcome = &mut view => break outcome,
                kept = &mut keep => failed = kept.err(),
            }
        }
    };
    if let Some(problem) = failed {
        // The problem was not printed while the screen was open.
        context.printer.problem(&problem);
    }
    if outcome.as_ref().is_ok_and(|exit| *exit == Exit::Reached) {
        watch::print_edit(context, &edit.map(|edit| edit.lines).unwrap_or_default());
    }
    outcome
}
