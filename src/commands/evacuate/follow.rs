//! `evacuate watch`: follows evacuations until each has a verdict.

use crate::cli::intent::Follow;
use crate::cli::intent::evacuate::EvacuateWatch;
use crate::commands::cluster_view::ClusterView;
use crate::commands::fact_loop::{FactLoop, WaitEnd};
use crate::commands::follow_output::FollowOutput;
use crate::commands::{CommandContext, Outcome, history, limit_stop, limits};
use crate::error::{Exit, Problem};
use crate::model::{Event, EventType, HistoryEntry, Judgement, NodeName, Operation, Verdict};
use crate::plan::history as past;
use crate::plan::limits::{LimitTracker, OperationFacts};
use crate::plan::rebalance::progress::Counts;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::ports::RefreshScope;
use crate::timing::POLL;
use tokio::time::Instant;

use super::target::{name, resolve};

/// `evacuate watch`.
pub(super) async fn watch(context: &CommandContext, intent: &EvacuateWatch) -> Outcome {
    let (cluster, here) = resolve(context, &intent.targets).await?;
    if here.is_empty() {
        return Ok(Exit::Reached);
    }
    let operations = OperationTracker::of(&cluster.id);
    follow(context, cluster, operations, &here, &intent.follow, true).await
}

/// Follows these evacuations until each has a verdict; the exit is that of the worst one.
pub(super) async fn follow(
    context: &CommandContext,
    mut cluster: ClusterView,
    mut operations: OperationTracker,
    nodes: &[NodeName],
    follow: &Follow,
    data: bool,
) -> Outcome {
    let names: Vec<String> = nodes.iter().map(name).collect();
    history::begins(context, &cluster.id, Operation::Evacuation);
    // An evacuation that was joined began with other counts.
    let start = if data { None } else { clients(&cluster) };
    let want = if follow.record.is_some() { RefreshScope::ALL } else { RefreshScope::REBALANCE };
    let mut output = FollowOutput::of(context, follow, data);
    let limit = follow.timeout.map(|limit| Instant::now() + limit);
    let mut facts = FactLoop::new(context, &cluster, want, POLL, limit);
    let mut tracker = limits::tracker(context, &follow.limits);
    let mut verdicts: std::collections::BTreeMap<String, Verdict> = std::collections::BTreeMap::new();
    let mut ended: Vec<HistoryEntry> = Vec::new();
    let left = |what: &str, verdicts: &std::collections::BTreeMap<String, Verdict>| {
        let open: Vec<&str> =
            nodes.iter().filter(|node| !verdicts.contains_key(&name(node))).map(NodeName::as_str).collect();
        Problem::new(what, format!("EMQX continues to evacuate {}", open.join(", "))).hint(format!(
            "kubectl emqx evacuate watch {0}, or kubectl emqx evacuate stop {0}",
            open.join(" ")
        ))
    };
    loop {
        let now = context.clock.now();
        for event in operations.observe(&cluster.world, now) {
            if !names.contains(&event.name) || verdicts.contains_key(&event.name) {
                continue;
            }
            if event.kind == EventType::Verdict
                && let Some(verdict) = event.verdict
            {
                verdicts.insert(event.name.clone(), verdict);
                if let Some(run) = operations.evacuation(&event.name) {
                    let message = || event.reason.clone().unwrap_or_else(|| event.message.clone());
                    let judged = run.verdict.clone().unwrap_or_else(|| Judgement::new(verdict, message()));
                    let counts = (start, clients(&cluster));
                    ended.push(past::of_evacuation(run, &cluster.id, judged, counts, now));
                }
            }
            output.event(context, &event);
        }
        if let Some(open) = names.iter().find(|name| !verdicts.contains_key(*name)).or(names.last()) {
            output.draw(context, &cluster, &operations, open, now);
        }
        output.notified(context, false).await;
        let open: Vec<NodeName> =
            nodes.iter().filter(|node| !verdicts.contains_key(&name(node))).cloned().collect();
        let limit = match &mut tracker {
            Some(tracker) if !open.is_empty() => {
                limited(context, tracker, &cluster, &operations, &open, &mut output)
            }
            _ => None,
        };
        if let Some(why) = limit {
            let emptied: Vec<NodeName> = nodes.iter().filter(|node| !open.contains(node)).cloned().collect();
            let stop = limit_stop::evacuations(context, &mut cluster, &open, &emptied, &why);
            let stopped = facts.during_stop(stop).await.unwrap_or_else(|_| Err(limits::interrupted()));
            let what = open.iter().map(name).collect::<Vec<_>>().join(", ");
            match stopped {
                Ok(limit_stop::LimitStop::Over) => tracker = None,
                Ok(limit_stop::LimitStop::Done(stopping) | limit_stop::LimitStop::RollsBack(stopping)) => {
                    let reason = format!("{why}; {}", stopping.sentence());
                    let first = open.first().map(name).unwrap_or_default();
                    let judgement = Judgement::new(Verdict::Stopped, reason);
                    let event = report(context, EventType::Verdict, first, judgement.sentence());
                    output.event(context, &event.judged(judgement.clone()));
                    output.finish();
                    output.notified(context, true).await;
                    let (counts, now) = ((start, clients(&cluster)), context.clock.now());
                    for run in open.iter().filter_map(|node| operations.evacuation(&name(node))) {
                        let entry = past::of_evacuation(run, &cluster.id, judgement.clone(), counts, now);
                        Box::pin(history::record(context, entry, false)).await;
                    }
                    let hint = format!("kubectl emqx status {}", cluster.id.name);
                    return Err(limits::reached(&what, &why, hint));
                }
                Err(problem) => {
                    let problem = limits::not_stopped(&what, &why, problem);
                    let first = open.first().map(name).unwrap_or_default();
                    output.event(context, &report(context, EventType::Notice, first, problem.to_string()));
                    output.finish();
                    output.notified(context, true).await;
                    return Err(problem);
                }
            }
        }
        // The stream may use the only connection to EMQX; writing the record needs none.
        for entry in ended.drain(..) {
            Box::pin(history::record(context, entry, false)).await;
        }
        if verdicts.len() == names.len() {
            output.finish();
            output.notified(context, true).await;
            let worst = verdicts.values().copied().max_by_key(|verdict| verdict.exit().code());
            if let Some(tap) = &context.tap {
                tap.ends(context.clock.now());
            }
            return Ok(worst.map_or(Exit::Reached, Verdict::exit));
        }
        if context.printer.closed() {
            return Ok(Exit::Reached);
        }
        let cut = match facts.next(context, &mut cluster).await {
            Ok(notices) => {
                for notice in &notices {
                    output.notice(context, notice);
                }
                continue;
            }
            Err(cut) => cut,
        };
        output.finish();
        output.notified(context, true).await;
        return Err(match cut {
            WaitEnd::Interrupted => left("interrupted", &verdicts).interrupted(),
            WaitEnd::TimedOut => left("timed out", &verdicts).exit(Exit::TimedOut),
        });
    }
}

/// Compares evacuations with their limits; returns why they have to be stopped, if they have to.
fn limited(
    context: &CommandContext,
    tracker: &mut LimitTracker,
    cluster: &ClusterView,
    operations: &OperationTracker,
    open: &[NodeName],
    output: &mut FollowOutput,
) -> Option<String> {
    let runs = open.iter().filter_map(|node| operations.evacuation(&name(node)));
    let known = OperationFacts { start: None, eta_seconds: runs.filter_map(|run| run.seconds).max() };
    let outcomes = tracker.observe(cluster.answers(), known, context.clock.now());
    if !outcomes.is_empty() {
        output.pause();
    }
    let mut stop = None;
    for outcome in outcomes {
        let (message, why) = outcome.into_notice();
        stop = stop.or(why);
        let first = open.first().map(name).unwrap_or_default();
        output.event(context, &report(context, EventType::Notice, first, message));
    }
    stop
}

/// All live clients, where every node reports them.
fn clients(cluster: &ClusterView) -> Option<u64> {
    cluster.answers().nodes.as_ref().and_then(|nodes| Counts::of(&nodes.value).known_connections())
}

fn report(context: &CommandContext, kind: EventType, name: String, message: String) -> Event {
    Event::of(context.clock.now(), kind, Operation::Evacuation, name, message)
}
