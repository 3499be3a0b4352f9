//! `rebalance list`, and bare `rebalance`: running and past ones, each with a verdict.

use jiff::Timestamp;

use super::gather::{self, Gathered};
use super::{Hands, Outcome};
use crate::cli::intent::{BackendChoice, List, Output};
use crate::error::Exit;
use crate::model::human::seconds_between;
use crate::model::{Phase, Rebalance, Verdict};
use crate::plan::follow::{Follower, Run};
use crate::plan::judge;
use crate::plan::progress::Counts;
use crate::plan::results::{Backend, RebalanceItem};
use crate::plan::words::contradiction;
use crate::seam::Want;

/// What is looked at.
const WANT: Want = Want { endpoints: false, ..Want::REBALANCE };

/// `rebalance list`.
pub async fn run(hands: &Hands, intent: &List) -> Outcome {
    let gathered = gather::several(hands, &intent.filter, WANT).await?;
    let now = hands.clock.now();
    let mut items: Vec<RebalanceItem> = gathered.iter().flat_map(|it| of(it, now)).collect();
    if let Some(first) = gathered.first() {
        items.extend(strays(first, &gathered, now));
    }
    items.retain(|item| match intent.backend {
        BackendChoice::Auto => true,
        BackendChoice::Rebalance => item.backend == Backend::Rebalance,
        BackendChoice::Emqx => item.backend == Backend::Emqx,
    });
    items.sort_by(|one, other| one.started_time.cmp(&other.started_time).then(one.name.cmp(&other.name)));
    hands.printer.rebalances(&items, intent.output, now);
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
    item(gathered, object, verdict, reason, object.started.map(|started| seconds_between(started, now)))
}

fn past(gathered: &Gathered, object: &Rebalance, counts: Option<&Counts>, now: Timestamp) -> RebalanceItem {
    let (verdict, reason, duration) = judge::past(object, counts, now);
    item(gathered, object, verdict, reason, duration)
}

fn item(
    gathered: &Gathered,
    object: &Rebalance,
    verdict: Verdict,
    reason: String,
    duration_seconds: Option<u64>,
) -> RebalanceItem {
    RebalanceItem {
        name: object.name.clone(),
        instance: gathered.id.clone(),
        phase: object.phase.text().map(str::to_owned),
        verdict,
        message: reason,
        started_time: object.started.or(object.created.filter(|_| object.phase != Phase::Pending)),
        duration_seconds,
        backend: Backend::Rebalance,
        terminating: object.deleting.is_some(),
    }
}

/// Objects whose instance is not there: a lost kind, a wrong name. They are over, or never began.
fn strays(any: &Gathered, all: &[Gathered], now: Timestamp) -> Vec<RebalanceItem> {
    let known = |object: &Rebalance| {
        all.iter().any(|it| {
            it.id.namespace == object.namespace
                && it.id.name == object.instance_name
                && it.id.kind == object.instance_kind
        })
    };
    any.world
        .rebalances
        .values()
        .map(|seen| &seen.value)
        .filter(|object| !known(object))
        .map(|object| {
            let (verdict, reason, duration) = judge::past(object, None, now);
            let mut item = item(any, object, verdict, reason, duration);
            item.instance.kind = object.instance_kind;
            item.instance.namespace.clone_from(&object.namespace);
            item.instance.name.clone_from(&object.instance_name);
            item
        })
        .collect()
}
