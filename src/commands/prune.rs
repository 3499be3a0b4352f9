//! `rebalance prune`: deletes Rebalance objects that are over, and never one that may still be running.

use tokio::time::Instant;

use super::cluster_view;
use super::confirmation::confirm;
use super::deletion::{self};
use super::list;
use super::{CommandContext, Outcome};
use crate::cli::intent::{DryRun, Filter, Output, Prune};
use crate::error::{Exit, Problem};
use crate::model::human::{duration, plural, seconds_between};
use crate::model::{Phase, Rebalance, World};
use crate::plan::results::RebalanceItem;
use crate::ports::{self, RefreshScope};
use crate::timing::DELETION_TIMEOUT;

/// `rebalance prune`.
pub(crate) async fn run(context: &CommandContext, intent: &Prune) -> Outcome {
    let want = RefreshScope { endpoints: false, ..RefreshScope::REBALANCE };
    let (listed, mut cluster) =
        cluster_view::load_all(context, &Filter::default(), want, Some("rebalances")).await?;
    if let Some(link) = cluster_view::unlisted(&listed, "rebalances") {
        // A list that is forbidden does not mean "none".
        let what = format!("cannot prune in namespace {}", context.namespace);
        let problem = Problem::new(what, link.why().unwrap_or_default());
        return Err(problem.hint("kubectl auth can-i list rebalances.apps.emqx.io"));
    }
    cluster_view::query_twice(context, &mut cluster).await?;
    let now = context.clock.now();
    let mut deletable: Vec<Rebalance> = Vec::new();
    let mut hanging: Vec<Rebalance> = Vec::new();
    let mut judged: Vec<(&Rebalance, Option<&'static str>)> = Vec::new();
    for one in &cluster {
        for item in list::of(one, now) {
            let key = (one.id.namespace.clone(), item.name.clone());
            let Some(object) = one.world.kubernetes.rebalances.get(&key).map(|seen| &seen.value) else {
                continue;
            };
            judged.push((object, keeps(object, &item, one.answers().load.is_some())));
        }
    }
    for (object, item) in list::without_instance(&listed, now) {
        judged.push((object, keeps_stray(&listed, object, &item)));
    }
    for (object, keeps) in judged {
        if object.deleting.is_some() {
            hanging.push(object.clone());
            continue;
        }
        if let Some(why) = keeps {
            context.printer.talk(&format!("{} stays: {why}", object.name));
            continue;
        }
        let ended = object.completed.or(object.failed).or(object.created);
        let age = ended.map(|ended| seconds_between(ended, now));
        if age.is_some_and(|age| age >= intent.older_than.as_secs()) {
            deletable.push(object.clone());
        }
    }
    if deletable.is_empty() && hanging.is_empty() {
        context.printer.talk(&match intent.older_than.as_secs() {
            0 => "nothing to prune: no Rebalance is over".to_owned(),
            seconds => format!("nothing to prune: no Rebalance ended more than {} ago", duration(seconds)),
        });
        return Ok(if intent.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    }
    let dry = intent.write.dry_run;
    let way = "kubectl emqx rebalance list shows those that are over";
    let names = deletable.iter().map(|object| &object.name);
    if !deletable.is_empty() {
        deletion::allowed(context, &context.namespace, names, "will not prune", way).await?;
    }
    if dry == DryRun::None {
        for object in &deletable {
            context.printer.talk(&format!("  {}", object.name));
        }
        for object in &hanging {
            context.printer.talk(&format!("  {} (it is being deleted already)", object.name));
        }
        let all = deletable.len() + hanging.len();
        confirm(context, &intent.write, &format!("Delete {}?", plural(all as u64, "finished Rebalance")))
            .await?;
    }
    if let Some(reason) = &intent.write.reason {
        context.printer.talk(&format!("reason: {reason}"));
    }
    if dry == DryRun::None {
        deletable = ready(context, deletable).await?;
    }
    if dry != DryRun::Client {
        let how = if dry == DryRun::Server { ports::ServerDryRun::Server } else { ports::ServerDryRun::No };
        for object in &deletable {
            context.kubernetes.delete_rebalance(object, how).await?;
        }
    }
    // All deletes are requested before the first wait: together they have one time limit.
    let until = Instant::now() + DELETION_TIMEOUT;
    let (count, free_until) = (deletable.len(), until + DELETION_TIMEOUT);
    for (place, object) in deletable.iter().chain(&hanging).enumerate() {
        let before = place >= count;
        if before && dry != DryRun::None {
            context.printer.talk(&format!("{} stays: it is being deleted already", object.name));
            continue;
        }
        // An object that was deleted before is stuck already: it is changed at once.
        let until = if before { Instant::now() } else { until };
        let here = if dry == DryRun::None {
            deletion::wait_until_deleted(context, object, until).await?
        } else {
            None
        };
        let stays = match &here {
            Some(here) => {
                deletion::freed(context, here, free_until.min(Instant::now() + DELETION_TIMEOUT)).await?
            }
            None => None,
        };
        if let Some(why) = &stays {
            context.printer.talk(&format!("{} is terminating: {why}", object.name));
        }
        let name = format!("rebalance.apps.emqx.io/{}", object.name);
        let note = match dry {
            DryRun::None if stays.is_some() => "terminating",
            DryRun::None => "deleted",
            DryRun::Client => "deleted (dry run)",
            DryRun::Server => "deleted (server dry run)",
        };
        context.printer.line(&match intent.output {
            Output::Name => name,
            _ => format!("{name} {note}"),
        });
    }
    Ok(Exit::Reached)
}

/// The objects whose finalizer the operator removes: it does so only while EMQX is Ready, so this waits a
/// little.
async fn ready(context: &CommandContext, deletable: Vec<Rebalance>) -> Result<Vec<Rebalance>, Problem> {
    let until = Instant::now() + DELETION_TIMEOUT;
    let mut ready = Vec::with_capacity(deletable.len());
    for object in deletable {
        if object.finalizers.is_empty() || deletion::ready(context, &object, until).await? {
            ready.push(object);
        } else {
            context.printer.talk(&format!(
                "{} stays: EMQX is not Ready, so that the operator would not take its finalizer off and a delete would hang",
                object.name
            ));
        }
    }
    Ok(ready)
}

/// Why an object whose instance is not listed stays; `None` if it can be deleted.
fn keeps_stray(world: &World, object: &Rebalance, item: &RebalanceItem) -> Option<&'static str> {
    let id = object.instance_id();
    if cluster_view::unlisted(world, id.kind.plural()).is_some() {
        return Some("whether its EMQX exists is not known: it may still run");
    }
    match object.phase {
        Phase::Completed => None,
        Phase::Failed if !object.processed => None,
        // Its EMQX is deleted, and the rebalance with it, unless pods remain.
        Phase::Failed | Phase::Processing if cluster_view::unlisted(world, "pods").is_some() => {
            Some("its EMQX is deleted, but whether pods of it still run is not known")
        }
        Phase::Failed | Phase::Processing => {
            let mut pods = world.pods_of(&id);
            pods.next().map(|_| "its EMQX is deleted, but pods of it still run: EMQX may still rebalance")
        }
        _ if item.verdict.is_final() => Some("the operator has not written that it is over"),
        _ => Some("no operator has picked it up so far: kubectl emqx rebalance stop deletes it"),
    }
}

/// Why an object stays; `None` if it can be deleted. It stays if its rebalance runs or may run.
fn keeps(object: &Rebalance, item: &RebalanceItem, answered: bool) -> Option<&'static str> {
    if object.phase == Phase::Pending {
        return Some("no operator has picked it up so far: kubectl emqx rebalance stop deletes it");
    }
    if !item.verdict.is_final() {
        return Some("it is running");
    }
    match object.phase {
        // A failure because EMQX was not ready shows nothing about EMQX: only EMQX shows that the rebalance
        // is over.
        Phase::Failed if object.processed && !answered => Some("EMQX cannot be asked whether it still runs"),
        Phase::Completed | Phase::Failed => None,
        // EMQX ends before the operator's next reconcile.
        _ => Some("the operator has not written that it is over"),
    }
}
