//! `report`: opens the recording, from a file or from the state folder.

use std::rc::Rc;

use super::own_folder::folder;
use super::recordings::Wire;
use super::setup::context;
use crate::cli::Global;
use crate::cli::intent::ReportQuery as Intent;
use crate::commands::Outcome;
use crate::commands::report::{add_checks, alone, of_recording, print, target};
use crate::error::Exit;
use crate::output::Printer;
use crate::plan::report::{Report, ReportNames};
use crate::replay::Recording;
use crate::state_folder::recording_path;

/// `report`.
pub(super) async fn run(global: &Global, printer: Rc<Printer>, intent: &Intent) -> Outcome {
    if let Some(file) = &intent.from {
        let recording = Recording::open(file, Rc::new(Wire))?;
        let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (report, names) = of_recording(&printer, recording, &source)?;
        print(&printer, report, &names, intent.redact, intent.form);
        return Ok(Exit::Reached);
    }
    let name = intent.name.as_deref();
    let (found, context) = match context(global, printer.clone(), None).await {
        Ok(context) => (target(&context, name).await?, Some(context)),
        Err(problem) => {
            let folder = folder(global, None, None);
            (alone(&printer, folder.as_deref(), name, problem)?, None)
        }
    };
    let entry = &found.entry;
    let kept = entry.recording.as_deref().zip(global.folder.as_deref());
    let path = kept.and_then(|(name, folder)| recording_path(folder, name)).filter(|path| path.is_file());
    let (mut report, names) = if let Some(path) = path {
        let recording = Recording::open(&path, Rc::new(Wire))?;
        of_recording(&printer, recording, entry.recording.as_deref().unwrap_or_default())?
    } else {
        printer.notice(&format!(
            "there is no recording of {} on this machine: the report holds what the history knows",
            entry.name
        ));
        let mut report = Report::of_entry(entry, found.plan.as_ref());
        let mut names = ReportNames::default();
        if let Some(context) = context.as_ref().filter(|_| found.live) {
            Box::pin(add_checks(context, entry, (&mut report, &mut names))).await;
        }
        (report, names)
    };
    report.with_entry(entry);
    print(&printer, report, &names, intent.redact, intent.form);
    Ok(Exit::Reached)
}
