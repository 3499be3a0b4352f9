//! `history`, and the record of an operation that was followed to its end.

use jiff::Timestamp;

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome, deletion};
use crate::cli::intent::{Filter, HistoryQuery};
use crate::error::{Exit, Problem};
use crate::model::history::to_store;
use crate::model::{
    HISTORY_KEY, HistoryEntry, InstanceId, Operation, Rebalance, RecordedVerdict, VERDICT_ANNOTATION,
    Verdict, World,
};
use crate::output::Printer;
use crate::plan::assessment::assess;
use crate::plan::history::{
    FollowedOperation, HistoryItem, PastEntry, Recorded, find_objects, merged, of_cluster, with_entry,
};
use crate::plan::tracker::{OperationTracker, Tracker as _};
use crate::ports::history::StateFolder;
use crate::ports::{RefreshScope, Right, ServerDryRun};
use crate::timing::RECORD_TIMEOUT;

/// The resources that are read.
pub(super) const HISTORY_SCOPE: RefreshScope = RefreshScope {
    instances: true,
    rebalances: true,
    pods: true,
    sets: false,
    endpoints: false,
    events: false,
    states: true,
    lease: false,
};

/// How often the ConfigMap is read again when another client changed it in between.
const STORE_TRIES: usize = 8;

/// Called when an operation is followed from now on: its recording, if any, is kept.
pub(crate) fn begins(context: &CommandContext, id: &InstanceId, operation: Operation) {
    let Some(folder) = &context.folder else { return };
    let time = context.clock.now().strftime("%Y%m%d-%H%M%S");
    let name = format!("{}-{}-{time}", id.name, operation.as_str());
    if let Err(problem) = folder.keep_recording(&name) {
        context.notice(&format!("the operation is not recorded: {problem}"));
    }
}

/// Records how an operation ended: in the user's own history, and, without an object of its own, in the ConfigMap of the
/// instance. A failure to record it is a notice and changes nothing else.
pub(crate) async fn record(context: &CommandContext, entry: HistoryEntry, has_object: bool) {
    let entry = HistoryEntry { by: client(context), ..entry };
    if let Some(folder) = &context.folder {
        let entry =
            HistoryEntry { cluster: folder.cluster(), recording: folder.recording(), ..entry.clone() };
        if let Err(problem) = folder.append(&entry) {
            context.notice(&format!("{} is not in your history: {problem}", entry.name));
        }
    }
    // `unknown` and `stalled` are not final: other users should not read them as an end.
    let decided = !matches!(entry.verdict, Verdict::Unknown | Verdict::Stalled);
    if has_object || !decided {
        return;
    }
    let stored = tokio::time::timeout(RECORD_TIMEOUT, store(context, &entry)).await;
    let stored = stored.unwrap_or_else(|_| {
        Err(format!("no answer of the API server within {} s", RECORD_TIMEOUT.as_secs()))
    });
    if let Err(why) = stored {
        context.notice(&format!("the verdict of {} is not recorded in the cluster: {why}", entry.name));
    }
}

/// Records a verdict on its object. A failure is a notice.
pub(super) async fn annotate(context: &CommandContext, object: &Rebalance, record: &RecordedVerdict) {
    let text = record.text();
    let write = async {
        if !deletion::may_touch(context, object).await {
            return Err(format!("you may not patch it (needs {})", deletion::PATCH));
        }
        let written = context.kubernetes.annotate_rebalance(object, VERDICT_ANNOTATION, Some(&text)).await;
        written.map_err(|problem| problem.to_string())
    };
    let written = tokio::time::timeout(RECORD_TIMEOUT, write).await;
    let written = written.unwrap_or_else(|_| {
        Err(format!("no answer of the API server within {} s", RECORD_TIMEOUT.as_secs()))
    });
    // `Ok(false)`: the object was deleted, so that there is nothing to record the verdict on.
    if let Err(why) = written {
        let name = &object.name;
        context.notice(&format!(
            "the verdict is not recorded on {name}, so that a later list may call it unknown: {why}"
        ));
    }
}

/// Records operations that the full-screen view followed to their end.
pub(crate) async fn followed(context: &CommandContext, all: Vec<FollowedOperation>) {
    for FollowedOperation { entry, object, verdict } in all {
        if let (Some(object), Some(verdict)) = (&object, &verdict) {
            annotate(context, object, verdict).await;
        }
        record(context, entry, object.is_some()).await;
    }
}

/// Adds the entry to the ConfigMap of the instance.
async fn store(context: &CommandContext, entry: &HistoryEntry) -> Result<(), String> {
    let id = &entry.instance;
    let rights = Right::of_history(id);
    let answers = context.kubernetes.may(&rights).await.unwrap_or_default();
    if let Some((right, _)) = rights.iter().zip(answers).find(|(_, answer)| *answer == Some(false)) {
        return Err(format!("you may not {}", right.sentence()));
    }
    let want = RefreshScope { states: true, instances: true, ..RefreshScope::default() };
    let scope = cluster_view::exact(context, id, want);
    // Each client that follows the operation adds its entry to the ones that it read: after a change by
    // another client they are read again.
    for left in (0..STORE_TRIES).rev() {
        let facts = context.kubernetes.read(&scope).await.map_err(|problem| problem.to_string())?;
        let world = World::of(facts);
        if let Some(why) = cluster_view::unlisted(&world, "configmaps").and_then(|link| link.why()) {
            return Err(why.to_owned());
        }
        // An instance that was deleted in the meantime has no ConfigMap.
        let Some(instance) = world.instance(id).filter(|instance| !instance.standalone) else {
            return Ok(());
        };
        let Some(all) = with_entry(world.recorded(id), entry) else { return Ok(()) };
        let text = to_store(&all);
        let version = world.kubernetes.states.get(id).map(|seen| seen.value.version.as_str());
        let written = match version {
            // A ConfigMap of this name exists that is not this program's yet.
            None if left == 0 => {
                let stored = context.kubernetes.store_state(instance, HISTORY_KEY, &text, ServerDryRun::No);
                stored.await.map(|()| true)
            }
            _ => context.kubernetes.store_state_over(instance, HISTORY_KEY, &text, version).await,
        };
        if written.map_err(|problem| problem.to_string())? {
            return Ok(());
        }
    }
    Err(format!("other clients changed the ConfigMap {STORE_TRIES} times in a row"))
}

/// The name of this process in entries.
fn client(context: &CommandContext) -> String {
    let client = context.kubernetes.client();
    if client.is_empty() { crate::model::FIELD_MANAGER.to_owned() } else { client }
}

/// The entries of the user's own history about the cluster of this process. Entries that cannot be read are a
/// notice.
pub(crate) fn own(printer: &Printer, folder: Option<&dyn StateFolder>) -> Vec<PastEntry> {
    let Some(folder) = folder else { return Vec::new() };
    let history = match folder.history() {
        Ok(history) => history,
        Err(problem) => {
            printer.notice(&problem.to_string());
            return Vec::new();
        }
    };
    if history.unreadable > 0 {
        let lines = crate::model::human::plural(history.unreadable as u64, "line");
        printer.notice(&format!("{lines} of your history cannot be read and are left out"));
    }
    let cluster = folder.cluster();
    let here = |entry: &HistoryEntry| cluster.is_none() || entry.cluster == cluster;
    let entries = history.entries.into_iter().filter(here);
    entries.map(|entry| PastEntry::recorded(entry, Recorded::Folder)).collect()
}

/// The past operations of these clusters, oldest first: of one of them, or of all in a namespace or everywhere.
pub(crate) fn past(
    context: &CommandContext,
    clusters: &[ClusterView],
    fits: impl Fn(&InstanceId) -> bool,
) -> Vec<PastEntry> {
    let now = context.clock.now();
    let mut all = own(&context.printer, context.folder.as_deref());
    for cluster in clusters {
        let mut operations = OperationTracker::of(&cluster.id);
        operations.observe(&cluster.world, now);
        let assessed = assess(&cluster.world, &cluster.id, &operations, now);
        all.extend(of_cluster(&cluster.world, &cluster.id, &assessed.rebalances, now));
        find_objects(&mut all, &cluster.world, &cluster.id);
    }
    all.retain(|past| fits(&past.entry.instance));
    merged(all)
}

/// Whether an instance matches the query.
fn fits(intent: &HistoryQuery, namespace: &str, id: &InstanceId) -> bool {
    let name = intent.instance.as_ref();
    (intent.all_namespaces || namespace.is_empty() || id.namespace == namespace)
        && name.is_none_or(|name| id.name == name.name && name.kind.is_none_or(|kind| kind == id.kind))
}

/// `history`.
pub(crate) async fn run(context: &CommandContext, intent: &HistoryQuery) -> Outcome {
    let filter = Filter { all_namespaces: intent.all_namespaces, ..Filter::default() };
    let mut clusters = match cluster_view::load_many(context, &filter, HISTORY_SCOPE).await {
        Ok(clusters) => clusters,
        Err(problem) => {
            let namespace = context.namespace.as_str();
            let now = context.clock.now();
            return alone(&context.printer, context.folder.as_deref(), intent, namespace, (problem, now));
        }
    };
    let of = |id: &InstanceId| fits(intent, &context.namespace, id);
    clusters.retain(|cluster| of(&cluster.id));
    cluster_view::query_twice(context, &mut clusters).await?;
    let items: Vec<HistoryItem> = past(context, &clusters, of).iter().map(HistoryItem::from).collect();
    if items.is_empty() && clusters.is_empty() && intent.instance.is_some() {
        let name = intent.instance.as_ref().map(|name| name.name.clone()).unwrap_or_default();
        let what = format!(
            "there is no EMQX cluster {name} in namespace {}, and no history of it",
            context.namespace
        );
        return Err(Problem::new(what, "").hint("kubectl emqx history -A lists every past operation"));
    }
    context.printer.history(&items, intent.output, context.clock.now());
    Ok(Exit::Reached)
}

/// `history` without a cluster: the user's own history, and why there are no other entries.
pub(crate) fn alone(
    printer: &Printer,
    folder: Option<&dyn StateFolder>,
    intent: &HistoryQuery,
    namespace: &str,
    (problem, now): (Problem, Timestamp),
) -> Outcome {
    let mut all = own(printer, folder);
    all.retain(|past| fits(intent, namespace, &past.entry.instance));
    if all.is_empty() {
        return Err(problem);
    }
    printer.notice(&format!("only your own history is shown: {problem}"));
    let items: Vec<HistoryItem> = merged(all).iter().map(HistoryItem::from).collect();
    printer.history(&items, intent.output, now);
    Ok(Exit::Reached)
}
