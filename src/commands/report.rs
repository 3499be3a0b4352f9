//! `report`: the plan and the result of an operation, from a recording or from the history.

use super::cluster_view;
use super::history::{WANT, own, past};
use super::replay::{ReadableMoments, ReplayOutput};
use super::{CommandContext, Outcome};
use crate::cli::intent::{Filter, ReportForm};
use crate::error::{Exit, Problem};
use crate::model::HistoryEntry;
use crate::output::Printer;
use crate::plan::history::{PastEntry, merged};
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::report::{Report, ReportBuilder, ReportNames};
use crate::ports::Moment;
use crate::ports::history::StateFolder;

/// The operation that a report is about.
#[derive(Clone, Debug)]
pub struct ReportTarget {
    /// Its entry in the history.
    pub entry: HistoryEntry,
    /// The plan on its object, where there is one.
    pub plan: Option<PlanRecord>,
}

/// The newest past operation of this name, or of the instance of this name; without a name the newest of all.
fn newest(all: Vec<PastEntry>, name: Option<&str>) -> Option<HistoryEntry> {
    let bare = name.map(|name| name.split_once('/').map_or(name, |(_, bare)| bare));
    let fits = |entry: &HistoryEntry| {
        name.is_none_or(|name| entry.name == name) || bare.is_some_and(|bare| entry.instance.name == bare)
    };
    all.into_iter().map(|past| past.entry).filter(fits).max_by_key(|entry| entry.ended)
}

fn none(name: Option<&str>) -> Problem {
    let what = match name {
        Some(name) => format!("there is no past operation or EMQX cluster {name}"),
        None => "there is no past operation".to_owned(),
    };
    Problem::new(what, "")
        .hint("kubectl emqx history lists past operations; --from RECORDING reports on a file")
}

/// Finds the operation, in the cluster and in the user's own history.
pub async fn target(context: &CommandContext, name: Option<&str>) -> Result<ReportTarget, Problem> {
    let clusters = match cluster_view::several(context, &Filter::default(), WANT).await {
        Ok(clusters) => clusters,
        Err(problem) => return alone(&context.printer, context.folder.as_deref(), name, problem),
    };
    let here = |namespace: &str| context.namespace.is_empty() || namespace == context.namespace;
    let all = past(context, &clusters, |id| here(&id.namespace));
    let entry = newest(all, name).ok_or_else(|| none(name))?;
    let object = clusters.iter().find_map(|cluster| {
        let key = (entry.instance.namespace.clone(), entry.name.clone());
        let object = &cluster.world.rebalances.get(&key)?.value;
        (Some(&object.uid) == entry.uid.as_ref()).then_some(object)
    });
    let plan = object.and_then(|object| PlanRecord::read(object.plan.as_deref()?));
    Ok(ReportTarget { entry, plan })
}

/// Finds the operation in the user's own history; the problem is the reason why there is no cluster.
pub fn alone(
    printer: &Printer,
    folder: Option<&dyn StateFolder>,
    name: Option<&str>,
    problem: Problem,
) -> Result<ReportTarget, Problem> {
    match newest(merged(own(printer, folder)), name) {
        Some(entry) => Ok(ReportTarget { entry, plan: None }),
        None => Err(problem),
    }
}

/// Makes the report of a recording: its lines pass through the same trackers as in `replay`.
pub fn of_recording(
    printer: &Printer,
    recording: impl Iterator<Item = Result<Moment, Problem>>,
    source: &str,
) -> Result<(Report, ReportNames), Problem> {
    let (mut replay, mut builder, mut names) =
        (ReplayOutput::default(), ReportBuilder::default(), ReportNames::default());
    let mut moments = ReadableMoments::new(printer, recording);
    let mut last = None;
    for moment in moments.by_ref() {
        let at = moment.at;
        last = Some(at);
        let (events, notices) = replay.take(moment);
        let (world, operations) = replay.known();
        names.observe(world);
        builder.observe(world, operations, (&events, &notices), at);
    }
    if let Some(last) = last {
        let events = replay.finish();
        let (world, operations) = replay.known();
        builder.observe(world, operations, (&events, &[]), last);
    }
    moments.finish().map(|()| (builder.finish(source.to_owned()), names))
}

/// Prints a report.
pub fn print(
    printer: &Printer,
    mut report: Report,
    names: &ReportNames,
    redact: bool,
    form: ReportForm,
) -> Outcome {
    if redact {
        report.redact(names);
    }
    printer.report(&report, form);
    Ok(Exit::Reached)
}
