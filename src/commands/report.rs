//! `report`: the plan and the result of an operation, from a recording or from the history.

use super::cluster_view::{self, ClusterView};
use super::history::{HISTORY_SCOPE, own, past};
use super::replay::{ReadableMoments, ReplayOutput};
use super::{CommandContext, surroundings};
use crate::cli::intent::{Filter, InstanceName, ReportForm};
use crate::error::Problem;
use crate::model::{HistoryEntry, Operation};
use crate::output::Printer;
use crate::plan::check::{Checks, Purpose, Subject, check};
use crate::plan::history::{PastEntry, merged};
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::report::{Report, ReportBuilder, ReportNames};
use crate::plan::snapshot::snapshot;
use crate::ports::history::StateFolder;
use crate::ports::{Moment, RefreshScope};

/// The operation that a report is about.
#[derive(Clone, Debug)]
pub struct ReportTarget {
    /// Its entry in the history.
    pub entry: HistoryEntry,
    /// The plan on its object, where there is one.
    pub plan: Option<PlanRecord>,
    /// Whether its instance is in the cluster.
    pub live: bool,
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
pub(crate) async fn target(context: &CommandContext, name: Option<&str>) -> Result<ReportTarget, Problem> {
    let clusters = match cluster_view::load_many(context, &Filter::default(), HISTORY_SCOPE).await {
        Ok(clusters) => clusters,
        Err(problem) => return alone(&context.printer, context.folder.as_deref(), name, problem),
    };
    let here = |namespace: &str| context.namespace.is_empty() || namespace == context.namespace;
    let all = past(context, &clusters, |id| here(&id.namespace));
    let entry = newest(all, name).ok_or_else(|| none(name))?;
    let object = clusters.iter().find_map(|cluster| {
        let key = (entry.instance.namespace.clone(), entry.name.clone());
        let object = &cluster.world.kubernetes.rebalances.get(&key)?.value;
        (Some(&object.uid) == entry.uid.as_ref()).then_some(object)
    });
    let plan = object.and_then(|object| PlanRecord::read(object.plan.as_deref()?));
    let live = clusters.iter().any(|cluster| cluster.id == entry.instance);
    Ok(ReportTarget { entry, plan, live })
}

/// Adds what the cluster shows now to a report without a recording: the checks of the operation that warn or refuse.
pub(crate) async fn add_checks(
    context: &CommandContext,
    entry: &HistoryEntry,
    (report, names): (&mut Report, &mut ReportNames),
) {
    let id = &entry.instance;
    let purpose = match entry.operation {
        Operation::Rebalance => Purpose::Rebalance,
        Operation::Upgrade => Purpose::Upgrade,
        Operation::Evacuation | Operation::Scale => Purpose::Evacuate,
        Operation::Drain => Purpose::Drain,
        Operation::Purge | Operation::None => return,
    };
    let name = InstanceName { kind: Some(id.kind), name: id.name.clone() };
    let checked = match cluster_view::load_one(context, Some(&name), RefreshScope::ALL).await {
        Ok(cluster) => checked(context, &cluster, purpose).await.map(|checks| (cluster, checks)),
        Err(problem) => Err(problem),
    };
    match checked {
        Ok((cluster, checks)) => {
            names.observe(&cluster.world);
            report.checked(&checks, context.clock.now());
        }
        Err(problem) => context.notice(&format!("the cluster is not checked: {problem}")),
    }
}

async fn checked(
    context: &CommandContext,
    cluster: &ClusterView,
    purpose: Purpose,
) -> Result<Checks, Problem> {
    let beside = surroundings::everything(context, cluster).await;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let instance = cluster.instance()?;
    let subject = Subject { world: &cluster.world, instance, snapshot: &snapshot, beside: &beside };
    Ok(check(subject, Some(purpose)))
}

/// Finds the operation in the user's own history; the problem is the reason why there is no cluster.
pub(crate) fn alone(
    printer: &Printer,
    folder: Option<&dyn StateFolder>,
    name: Option<&str>,
    problem: Problem,
) -> Result<ReportTarget, Problem> {
    match newest(merged(own(printer, folder)), name) {
        Some(entry) => Ok(ReportTarget { entry, plan: None, live: false }),
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
pub(crate) fn print(
    printer: &Printer,
    mut report: Report,
    names: &ReportNames,
    redact: bool,
    form: ReportForm,
) {
    if redact {
        report.redact(names);
    }
    printer.report(&report, form);
}
