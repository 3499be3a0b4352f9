//! `rebalance prune`: deletes Rebalance objects that are over, and never one that may still be running.

use tokio::time::Instant;

use super::decide::confirm;
use super::gather;
use super::gone::{self, GONE_WITHIN};
use super::list;
use super::{Hands, Outcome};
use crate::cli::intent::{DryRun, Filter, Output, Prune};
use crate::error::Exit;
use crate::model::human::{duration, plural, seconds_between};
use crate::model::{Instance, Phase, Rebalance};
use crate::plan::results::RebalanceItem;
use crate::seam::{self, Want};

/// `rebalance prune`.
pub async fn run(hands: &Hands, intent: &Prune) -> Outcome {
    let want = Want { endpoints: false, ..Want::REBALANCE };
    let gathered = gather::several(hands, &Filter::default(), want).await?;
    let now = hands.clock.now();
    let mut doomed: Vec<(Rebalance, Option<&Instance>)> = Vec::new();
    for one in &gathered {
        for item in list::of(one, now) {
            let key = (one.id.namespace.clone(), item.name.clone());
            let Some(object) = one.world.rebalances.get(&key).map(|seen| &seen.value) else { continue };
            if let Some(why) = keeps(object, &item, one.world.load.is_some()) {
                hands.printer.talk(&format!("{} stays: {why}", object.name));
                continue;
            }
            let ended = object.completed.or(object.failed).or(object.created);
            let age = ended.map(|ended| seconds_between(ended, now));
            if age.is_some_and(|age| age >= intent.older_than.as_secs()) {
                doomed.push((object.clone(), one.instance().ok()));
            }
        }
    }
    if doomed.is_empty() {
        hands.printer.talk(&match intent.older_than.as_secs() {
            0 => "nothing to prune: no Rebalance is over".to_owned(),
            seconds => format!("nothing to prune: no Rebalance ended more than {} ago", duration(seconds)),
        });
        return Ok(if intent.write.error_unchanged { Exit::Unchanged } else { Exit::Reached });
    }
    let dry = intent.write.dry_run;
    let way = "kubectl emqx rebalance list shows those that are over";
    let names = doomed.iter().map(|(object, _)| &object.name);
    gone::allowed(hands, &hands.namespace, names, "will not prune", way).await?;
    if dry == DryRun::None {
        for (object, _) in &doomed {
            hands.printer.talk(&format!("  {}", object.name));
        }
        confirm(
            hands,
            &intent.write,
            &format!("Delete {}?", plural(doomed.len() as u64, "finished Rebalance")),
        )
        .await?;
    }
    if let Some(reason) = &intent.write.reason {
        hands.printer.talk(&format!("reason: {reason}"));
    }
    if dry != DryRun::Client {
        let how = if dry == DryRun::Server { seam::DryRun::Server } else { seam::DryRun::No };
        for (object, _) in &doomed {
            hands.kubernetes.delete_rebalance(object, how).await?;
        }
    }
    // All were asked to go before the first is waited for: together they get the time of one.
    let until = Instant::now() + GONE_WITHIN;
    for (object, instance) in &doomed {
        let here = if dry == DryRun::None { gone::lingers(hands, object, until).await? } else { None };
        if let Some(here) = &here {
            let why = gone::why(here, *instance);
            hands.printer.talk(&format!("{} is terminating: {why}", object.name));
        }
        let name = format!("rebalance.apps.emqx.io/{}", object.name);
        let note = match dry {
            DryRun::None if here.is_some() => "terminating",
            DryRun::None => "deleted",
            DryRun::Client => "deleted (dry run)",
            DryRun::Server => "deleted (server dry run)",
        };
        hands.printer.line(&match intent.output {
            Output::Name => name,
            _ => format!("{name} {note}"),
        });
    }
    Ok(Exit::Reached)
}

/// Why an object stays, if it must: it runs, or may.
fn keeps(object: &Rebalance, item: &RebalanceItem, heard: bool) -> Option<&'static str> {
    if object.deleting.is_some() {
        return Some("it is being deleted already");
    }
    if !item.verdict.final_word() {
        return Some("it is running");
    }
    match object.phase {
        // Failed by readiness says nothing of EMQX: only EMQX can tell that it is over.
        Phase::Failed if object.processed && !heard => Some("EMQX cannot be asked whether it still runs"),
        Phase::Completed | Phase::Failed => None,
        // EMQX is done before the operator looks again.
        _ => Some("the operator has not written that it is over"),
    }
}
