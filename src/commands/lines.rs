//! `watch` without a full screen: a line for every step of whatever goes on in one cluster, until the user interrupts or the
//! time is over.

use std::time::Duration;

use futures::{FutureExt, StreamExt};

use super::face::Face;
use super::gather::{self, Gathered};
use super::{Hands, Interrupt, Outcome};
use crate::cli::intent::{Follow, InstanceName, Stream};
use crate::error::{Exit, Problem};
use crate::model::{Fact, Phase};
use crate::plan::status::status;
use crate::plan::tape::{Looks, Operations};
use crate::seam::Want;

/// How often EMQX is asked while something goes on, by the server's clock.
const BUSY: Duration = Duration::from_secs(1);

/// The same while nothing does.
const IDLE: Duration = Duration::from_secs(10);

/// Facts that are taken in before the next look.
const BURST: usize = 4096;

/// Tells what goes on.
pub async fn run(hands: &Hands, name: Option<&InstanceName>, follow: &Follow) -> Outcome {
    let mut gathered = gather::one(hands, name, Want::ALL).await?;
    let mut operations = Operations::of(&gathered.id);
    let mut face = Face::lines(follow.stream);
    let now = hands.clock.now();
    if follow.stream == Stream::Text {
        let is = status(&gathered.world, &gathered.id, now);
        hands.printer.talk(&format!("watching {}: {}, {}", gathered.id, is.verdict.as_str(), is.reason));
    }
    let exact = InstanceName { kind: Some(gathered.id.kind), name: gathered.id.name.clone() };
    let mut scope = gather::scope(hands, Some(&exact), Want::ALL);
    scope.namespace = Some(gathered.id.namespace.clone());
    let mut objects = hands.kubernetes.follow(&scope).fuse();
    let mut every = if busy(&gathered, &operations) { BUSY } else { IDLE };
    let mut emqx = gathered.broker.follow(every).fuse();
    let mut interrupt: Interrupt = (hands.interrupt)();
    let limit = follow.timeout;
    let mut out_of_time = std::pin::pin!(async move {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    });
    // Stalls and verdicts come without facts, too.
    let mut beat = tokio::time::interval(BUSY.div_f64(hands.clock.speed().clamp(1.0, 10.0)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        for event in operations.observe(&gathered.world, hands.clock.now()) {
            face.event(hands, &event);
        }
        if hands.printer.closed() {
            return Ok(Exit::Reached);
        }
        let wanted = if busy(&gathered, &operations) { BUSY } else { IDLE };
        if wanted != every {
            every = wanted;
            emqx = gathered.broker.follow(every).fuse();
        }
        let first: Option<Fact> = tokio::select! {
            biased;
            () = &mut interrupt => return Err(left(&operations, "interrupted", Exit::Interrupted)),
            () = &mut out_of_time => {
                return match operations.rebalances.running() {
                    Some(_) => Err(left(&operations, "time ran out", Exit::TimedOut)),
                    None => Ok(Exit::Reached),
                };
            }
            Some(fact) = objects.next() => Some(fact),
            Some(fact) = emqx.next() => Some(fact),
            _ = beat.tick() => None,
        };
        let mut facts: Vec<Fact> = first.into_iter().collect();
        while facts.len() < BURST {
            let Some(Some(fact)) = objects.next().now_or_never() else { break };
            facts.push(fact);
        }
        gather::take(hands, &mut gathered.world, facts);
    }
}

fn busy(gathered: &Gathered, operations: &Operations) -> bool {
    let world = &gathered.world;
    let moves = world
        .load
        .as_ref()
        .is_some_and(|load| !load.value.rebalances.is_empty() || !load.value.evacuations.is_empty());
    let object = world
        .rebalances_of(&gathered.id)
        .iter()
        .any(|seen| matches!(seen.value.phase, Phase::Pending | Phase::Processing));
    let upgrading = gathered.instance().is_ok_and(crate::model::Instance::upgrading);
    moves || object || upgrading || operations.rebalances.running().is_some()
}

/// What goes on when we leave.
fn left(operations: &Operations, what: &str, exit: Exit) -> Problem {
    match operations.rebalances.running() {
        Some(run) => {
            let name = &run.name;
            Problem::new(what, format!("{name} goes on in the cluster; nothing was held by us"))
                .hint(super::follow::way(name))
                .exit(exit)
        }
        None => Problem::new(what, "nothing goes on that was followed").exit(exit),
    }
}
