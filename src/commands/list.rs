//! `rebalance list`, and bare `rebalance`: running and past ones, each with a verdict.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;

use super::gather::{self, Gathered};
use super::gone::instance_of;
use super::{Hands, Outcome};
use crate::cli::intent::{BackendChoice, List, Output};
use crate::error::{Exit, Problem};
use crate::model::human::seconds_between;
use crate::model::{InstanceId, InstanceKind, Link, Phase, Rebalance, Verdict, World};
use crate::plan::follow::{Follower, Run};
use crate::plan::progress::Counts;
use crate::plan::results::{Backend, RebalanceItem};
use crate::plan::words::contradiction;
use crate::plan::{judge, ownership, waiting};
use crate::seam::Want;

/// What is looked at.
const WANT: Want = Want { endpoints: false, ..Want::REBALANCE };

/// Between two requests to EMQX about an object that says Processing and that EMQX does not list.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// `rebalance list`.
pub async fn run(hands: &Hands, intent: &List) -> Outcome {
    let (listed, mut gathered) = gather::all(hands, &intent.filter, WANT, None).await?;
    ask_twice(hands, &mut gathered).await?;
    let now = hands.clock.now();
    let mut items: Vec<RebalanceItem> = gathered.iter().flat_map(|it| of(it, now)).collect();
    // Behind a selector an instance may be there and not be listed.
    if intent.filter.labels.is_none() && intent.filter.fields.is_none() {
        items.extend(strays(&listed, now).into_iter().map(|(_, item)| item));
    }
    items.retain(|item| match intent.backend {
        BackendChoice::Auto => true,
        BackendChoice::Rebalance => item.backend == Backend::Rebalance,
        BackendChoice::Emqx => item.backend == Backend::Emqx,
    });
    items.sort_by(|one, other| one.started_time.cmp(&other.started_time).then(one.name.cmp(&other.name)));
    let people = matches!(intent.output, Output::Text | Output::Wide);
    // What may not be listed is not "none": a notice has named the permission that is missing.
    if !(items.is_empty() && people && gather::unlisted(&listed, "rebalances").is_some()) {
        hands.printer.rebalances(&items, intent.output, now);
    }
    if intent.bare && intent.output == Output::Text {
        hint(hands, &items);
    }
    Ok(Exit::Reached)
}

fn hint(hands: &Hands, items: &[RebalanceItem]) {
    let running = items.iter().find(|item| !item.verdict.final_word());
    hands.printer.next(&match running {
        Some(item) => format!("kubectl emqx rebalance watch {}", item.name),
        None => "kubectl emqx rebalance plan".to_owned(),
    });
}

/// Asks EMQX again where an object says Processing and EMQX does not list it: one answer is not the end.
pub(super) async fn ask_twice(hands: &Hands, gathered: &mut [Gathered]) -> Result<(), Problem> {
    let now = hands.clock.now();
    let doubtful = |it: &&mut Gathered| {
        let objects = it.world.rebalances_of(&it.id);
        it.world
            .load
            .as_ref()
            .is_some_and(|load| objects.iter().any(|seen| ownership::not_run(&seen.value, &load.value, now)))
    };
    let asked = gathered.iter_mut().filter(doubtful).map(async |it| {
        tokio::time::sleep(ASK_AGAIN).await;
        gather::refresh_objects(hands, it).await?;
        gather::refresh(hands, it).await
    });
    join_all(asked).await.into_iter().collect()
}

/// The rebalances of one instance.
pub fn of(gathered: &Gathered, now: Timestamp) -> Vec<RebalanceItem> {
    let world = &gathered.world;
    let mut follower = Follower::new(Some(gathered.id.clone()));
    follower.observe(world, now);
    let counts = world.nodes.as_ref().map(|nodes| Counts::of(&nodes.value)).filter(|_| world.load.is_some());
    let mut items: Vec<RebalanceItem> = world
        .rebalances_of(&gathered.id)
        .into_iter()
        .map(|seen| {
            let object = &seen.value;
            let run =
                follower.runs.iter().find(|run| run.object.as_ref().is_some_and(|it| it.uid == object.uid));
            if let Some((verdict, reason)) = not_started(world, object, now) {
                let since = object.started.or(object.created);
                let seconds = since.map(|since| seconds_between(since, now));
                return item(&gathered.id, object, verdict, reason, seconds);
            }
            match run {
                Some(run) => running(gathered, object, run, now),
                None => past(gathered, object, counts.as_ref(), now),
            }
        })
        .collect();
    for run in follower.runs.iter().filter(|run| run.object.is_none()) {
        items.push(RebalanceItem {
            name: run.name.clone(),
            instance: gathered.id.clone(),
            phase: None,
            verdict: run.standing(),
            message: run.entry.as_ref().map(|entry| entry.state.clone()).unwrap_or_default(),
            started_time: None,
            duration_seconds: None,
            backend: Backend::Emqx,
            terminating: false,
        });
    }
    items
}

fn running(gathered: &Gathered, object: &Rebalance, run: &Run, now: Timestamp) -> RebalanceItem {
    let (verdict, reason) = run.verdict.clone().unwrap_or_else(|| {
        let verdict = run.standing();
        let state = run.entry.as_ref().map(|entry| entry.state.clone());
        let state = state.unwrap_or_else(|| match gathered.world.load {
            Some(_) => "EMQX does not list it".to_owned(),
            None => "EMQX was not asked".to_owned(),
        });
        let reason = match verdict {
            Verdict::StillRunning => format!("{}, EMQX goes on ({state})", contradiction(Some(object))),
            _ => state,
        };
        (verdict, reason)
    });
    item(&gathered.id, object, verdict, reason, object.started.map(|started| seconds_between(started, now)))
}

fn past(gathered: &Gathered, object: &Rebalance, counts: Option<&Counts>, now: Timestamp) -> RebalanceItem {
    let began_since = judge::began_since(&gathered.world, object);
    let (verdict, reason, duration) = judge::past(object, counts, now, began_since);
    item(&gathered.id, object, verdict, reason, duration)
}

fn item(
    id: &InstanceId,
    object: &Rebalance,
    verdict: Verdict,
    reason: String,
    duration_seconds: Option<u64>,
) -> RebalanceItem {
    RebalanceItem {
        name: object.name.clone(),
        instance: id.clone(),
        phase: object.phase.text().map(str::to_owned),
        verdict,
        message: reason,
        started_time: object.started.or(object.created.filter(|_| object.phase != Phase::Pending)),
        duration_seconds,
        backend: Backend::Rebalance,
        terminating: object.deleting.is_some(),
    }
}

/// What is said of an object that EMQX does not run although it is not over: it waits for an operator, or says Processing
/// on its own.
fn not_started(world: &World, object: &Rebalance, now: Timestamp) -> Option<(Verdict, String)> {
    if let Some(seconds) = waiting::seconds(object, now) {
        return Some((waiting::verdict(seconds), waiting::message(seconds)));
    }
    let load = &world.load.as_ref()?.value;
    ownership::not_run(object, load, now).then(|| (Verdict::Unknown, ownership::not_run_message().to_owned()))
}

/// Objects whose instance is not there: it was deleted, the kind is lost, or the name is wrong.
pub(super) fn strays(world: &World, now: Timestamp) -> Vec<(&Rebalance, RebalanceItem)> {
    let objects = world.rebalances.values().map(|seen| &seen.value);
    objects
        .filter(|object| world.instance_of(object).is_none())
        .map(|object| {
            let id = instance_of(object);
            let (verdict, reason) = stray(world, object, &id, now);
            (object, item(&id, object, verdict, reason, None))
        })
        .collect()
}

fn stray(world: &World, object: &Rebalance, id: &InstanceId, now: Timestamp) -> (Verdict, String) {
    let unlisted = gather::unlisted(world, id.kind.plural()).and_then(Link::why);
    let other = InstanceKind::ALL
        .into_iter()
        .find(|kind| *kind != id.kind && world.instance(&InstanceId { kind: *kind, ..id.clone() }).is_some());
    let missing = match (unlisted, other) {
        (Some(why), _) => format!("whether {id} exists is not known: {why}"),
        (None, Some(kind)) => {
            format!("there is no {id}, but {kind} {}: the object names another kind", id.name)
        }
        (None, None) => format!("there is no {id}"),
    };
    if let Some(seconds) = waiting::seconds(object, now) {
        return (waiting::verdict(seconds), format!("{}; {missing}", waiting::message(seconds)));
    }
    match object.phase {
        Phase::Failed if !object.processed => {
            judge::never_started(object.failure.as_deref(), &object.strategy, None, false)
        }
        Phase::Processing if unlisted.is_none() => {
            (Verdict::Failed, format!("the instance was deleted: {missing}"))
        }
        _ => (Verdict::Unknown, format!("not followed; {missing}")),
    }
}
