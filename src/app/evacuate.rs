//! `evacuate` and its subcommands: as lines, or on the full screen.

use std::rc::Rc;

use super::recordings::{Recordings, recorder};
use super::screen::{self, ViewedClusters};
use super::setup::context;
use crate::cli::intent::evacuate::Evacuate;
use crate::cli::intent::{Follow, Global, Output, Then};
use crate::commands::{self, Outcome};
use crate::error::Exit;
use crate::model::Strategy;
use crate::output::Printer;

pub(super) async fn run(global: &Global, printer: Rc<Printer>, mut evacuate: Evacuate) -> Outcome {
    let follow = follow(&evacuate).cloned();
    let Some(follow) = follow.filter(|follow| follow.full && screen::fits(&printer)) else {
        let record = match self::follow(&evacuate) {
            Some(follow) => recorder(follow)?,
            None => None,
        };
        return commands::evacuate::run(&context(global, printer, record).await?, &evacuate).await;
    };
    let recordings = Recordings::of(&follow)?;
    let context = context(global, printer, Some(recordings.clone())).await?;
    let targets = match &mut evacuate {
        Evacuate::Stop(_) | Evacuate::Show(_) => Vec::new(),
        Evacuate::Watch(watch) => watch.targets.clone(),
        Evacuate::Start(start) => {
            start.then = Then::Leave(Output::Text);
            start.targets.clone()
        }
    };
    if matches!(evacuate, Evacuate::Start(_)) {
        let exit = commands::evacuate::run(&context, &evacuate).await?;
        if exit != Exit::Reached {
            return Ok(exit);
        }
    }
    let (cluster, nodes) = commands::evacuate::target::resolve(&context, &targets).await?;
    if nodes.is_empty() {
        return Ok(Exit::Reached);
    }
    let viewed = ViewedClusters {
        scope: screen::one(&cluster.id),
        wanted: nodes.iter().map(commands::evacuate::target::name).collect(),
        judged: true,
        ours: None,
        id: Some(cluster.id),
    };
    screen::live(&context, viewed, &follow, Strategy::default(), recordings).await
}

/// The settings of a follow, for subcommands that have one.
fn follow(evacuate: &Evacuate) -> Option<&Follow> {
    match evacuate {
        Evacuate::Watch(watch) => Some(&watch.follow),
        Evacuate::Start(start) => match &start.then {
            Then::Follow(follow) => Some(follow),
            Then::Leave(_) => None,
        },
        Evacuate::Stop(_) | Evacuate::Show(_) => None,
    }
}
