//! `rebalance` and its subcommands: as lines, or on the full screen.

use std::path::PathBuf;
use std::rc::Rc;

use super::given_files::read_manifest;
use super::recordings::{Recordings, Wire, recorder};
use super::screen;
use super::setup::{context, context_as, context_in_kubernetes};
use super::standalone::now;
use crate::cli::Global;
use crate::cli::intent::{Apply, ApplySource, Generate, Output, Plan, Then, Watch};
use crate::commands::replay::ReadableMoments;
use crate::commands::{self, Outcome};
use crate::error::{Exit, Problem};
use crate::model::{FIELD_MANAGER, Strategy};
use crate::output::Printer;
use crate::plan::rebalance::calibration::{Calibration, Measurement};
use crate::ports::RecordingSink;
use crate::replay::Recording;

/// `rebalance plan`: without a cluster where the numbers are given.
pub(super) async fn plan(global: &Global, printer: Rc<Printer>, plan: &Plan) -> Outcome {
    let calibration = calibration(&plan.calibrate, &printer)?;
    if let Some(numbers) = commands::plan::numbers(plan, calibration) {
        printer.plan(&numbers, None, plan.output, None);
        return Ok(commands::plan::exit(numbers.decision));
    }
    commands::plan::run(&context(global, printer, None).await?, plan, calibration).await
}

/// `rebalance generate`: without a cluster where the operator line is given.
pub(super) async fn generate(global: &Global, printer: Rc<Printer>, generate: &Generate) -> Outcome {
    let namespace = global.connect.namespace.as_deref();
    if let Some(manifest) = commands::generate::offline(generate, namespace, now()) {
        let manifest = manifest?;
        commands::generate::report_offline(&printer, generate);
        printer.manifest(&manifest, generate.output);
        return Ok(Exit::Reached);
    }
    let context = context_in_kubernetes(global, printer, None, FIELD_MANAGER).await?;
    commands::generate::run(&context, generate).await
}

/// `rebalance apply`, and the follow after it.
pub(super) async fn apply(global: &Global, printer: Rc<Printer>, mut apply: Apply) -> Outcome {
    let file = match &apply.source {
        ApplySource::File(file) => Some(read_manifest(file)?),
        ApplySource::Instance(..) => None,
    };
    let manager = apply.write.field_manager.clone();
    let follow = match &apply.then {
        Then::Follow(follow) => Some(follow.clone()),
        Then::Leave(_) => None,
    };
    let Some(follow) = follow.clone().filter(|follow| follow.full && screen::fits(&printer)) else {
        let record = match &follow {
            Some(follow) => recorder(follow)?,
            None => None,
        };
        let context = context_as(global, printer, record, &manager).await?;
        return Ok(commands::apply::run(&context, &apply, file).await?.exit);
    };
    apply.then = Then::Leave(Output::Text);
    let recordings = Recordings::of(&follow)?;
    let tap: Rc<dyn RecordingSink> = recordings.clone();
    let context = context_as(global, printer, Some(tap), &manager).await?;
    let exit = commands::apply::run(&context, &apply, file).await?.exit;
    match screen::applied(&context, &apply).await? {
        Some(viewed) => screen::live(&context, viewed, &follow, Strategy::default(), recordings).await,
        None => Ok(exit),
    }
}

/// `rebalance watch`.
pub(super) async fn watch(global: &Global, printer: Rc<Printer>, watch: &Watch) -> Outcome {
    let follow = &watch.follow;
    if follow.inline || !follow.full || !screen::fits(&printer) {
        let record = recorder(follow)?;
        return commands::watch::run(&context(global, printer, record).await?, watch).await;
    }
    let recordings = Recordings::of(follow)?;
    let context = context(global, printer, Some(recordings.clone())).await?;
    match screen::followed(&context, watch.operation.as_ref()).await? {
        Some(viewed) => screen::live(&context, viewed, follow, Strategy::default(), recordings).await,
        // The recording has ended: its verdict is printed.
        None => commands::watch::run(&context, watch).await,
    }
}

/// The measurements of past rebalances in recordings; `None` without a recording.
fn calibration(files: &[PathBuf], printer: &Printer) -> Result<Option<Calibration>, Problem> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut measurement = Measurement::default();
    for file in files {
        let mut moments = ReadableMoments::new(printer, Recording::open(file, Rc::new(Wire))?);
        for moment in moments.by_ref() {
            measurement.take(moment.at, moment.facts);
        }
        moments.finish()?;
        measurement.finish();
    }
    let Some(calibration) = measurement.calibration() else {
        return Err(Problem::new(
            "cannot calibrate the plan",
            "no rebalance in these recordings evicts clients for 5 rounds or more",
        )
        .hint("kubectl emqx rebalance watch --record FILE records a rebalance"));
    };
    printer.talk(&calibration.text());
    Ok(Some(calibration))
}
