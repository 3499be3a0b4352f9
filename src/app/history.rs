//! `history`: also without a cluster.

use std::rc::Rc;

use super::own_folder::folder;
use super::setup::{connect, context};
use super::standalone::now;
use crate::cli::Global;
use crate::cli::intent::HistoryQuery;
use crate::commands::{self, Outcome};
use crate::k8s::Cluster;
use crate::output::Printer;

pub(super) async fn run(global: &Global, printer: Rc<Printer>, intent: &HistoryQuery) -> Outcome {
    match context(global, printer.clone(), None).await {
        Ok(context) => commands::history::run(&context, intent).await,
        Err(problem) => {
            let namespace = Cluster::connect(&connect(&global.connect)).await.ok();
            let namespace = namespace.map(|it| it.namespace().to_owned()).unwrap_or_default();
            let folder = folder(global, None, None);
            commands::history::alone(&printer, folder.as_deref(), intent, &namespace, (problem, now()))
        }
    }
}
