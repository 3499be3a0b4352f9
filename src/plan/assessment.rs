//! One assessment of one instance at one moment: health, membership, what runs, the verdict with its message, what is not
//! known, and the command to type next. Every output of the program uses this function, and none judges for itself.

use jiff::Timestamp;

use super::cluster_checks;
use super::eviction_alarm::StopAdvice;
use super::rebalance::spread::{Spread, uneven};
use super::rebalance::{preflight, waiting};
use super::snapshot::{NodeRow, Snapshot, SourceState, snapshot};
use super::tracker::OperationTracker;
use super::upgrade::guard::{continues, unfinished};
use crate::model::human::{average, count, first_phrases, plural};
use crate::model::{Instance, InstanceId, Judgement, Operation, Source, Verdict, World};
use crate::plan::answers::{current_load, lists_nodes};
use crate::plan::discrepancies::{MembershipSummary, membership};
use crate::plan::health::{Health, health};
use emqx_rebalance::rules::mean;

mod current;
mod operations;
mod rebalances;
mod removals;

use current::{Current, not_asked, silence};
pub use operations::OperationStatus;
pub use rebalances::RebalanceStatus;
use removals::{RemovalStatus, removal_status};

/// What is known of one instance at one moment, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Nodes, pods, sources.
    pub snapshot: Snapshot,
    /// The condition of the instance.
    pub health: Health,
    /// Its nodes compared with its pods.
    pub membership: MembershipSummary,
    /// The operations that run; the verdict is about the first one.
    pub operations: Vec<OperationStatus>,
    /// Every rebalance of the instance: running, waiting, and past ones whose object still exists.
    pub rebalances: Vec<RebalanceStatus>,
    /// The verdict about the first operation, else about the instance.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// Whether clients are spread unevenly over nodes that are all members.
    pub uneven: bool,
    /// EMQX was not asked, and all nodes serve: nothing suggests that an operation runs.
    pub quiet: bool,
    /// The recommendation to stop an upgrade, an evacuation, a drain or a scale; a rebalance has its own.
    pub advice: Option<StopAdvice>,
    /// An unfinished drain or scale; `None` where another operation runs that is no part of it.
    pub removal: Option<Operation>,
    /// The command to type next.
    pub next: Option<String>,
}

/// Judges one instance. `operations` are followers that have observed the world up to this moment.
pub fn assess(world: &World, id: &InstanceId, operations: &OperationTracker, now: Timestamp) -> Assessment {
    let snapshot = snapshot(world, id, now);
    let instance = world.instance(id);
    let health = instance.map(|instance| health(instance, now)).unwrap_or_default();
    let membership = membership(world, instance, &snapshot, now);
    let load = current_load(world, &snapshot, now);
    let current = Current { world, instance, snapshot: &snapshot, load, now };
    let rebalances = rebalances::all(&current, id, operations);
    let running = operations::running(&current, operations, &rebalances);
    let (uneven, spread) = spread(&snapshot);
    let quiet = running.is_empty() && load.is_none() && quiet(instance, &snapshot);
    let unfinished = if running.is_empty() { unfinished(world, id) } else { None };
    let held = unfinished.is_some();
    let removal = removal_status(world, id, now);
    let evacuates = running.iter().all(|it| it.operation == Operation::Evacuation);
    let removal = removal.filter(|_| evacuates && !held);
    let Judgement { verdict, message } = match (running.first(), unfinished) {
        (first, None) if removal.is_some() => {
            let evacuation = first.map(|first| format!("; {}", first.message)).unwrap_or_default();
            let message = removal.as_ref().map(|it| it.message.as_str()).unwrap_or_default();
            Judgement::new(Verdict::Running, format!("{message}{evacuation}"))
        }
        (Some(first), _) => Judgement::new(first.verdict, &first.message),
        (None, Some(unfinished)) => Judgement::new(Verdict::Running, unfinished),
        (None, None) => idle(world, &snapshot, &health, &membership, load.is_some(), quiet, &spread),
    };
    let sound = membership.discrepancies.is_empty() && verdict == Verdict::Idle;
    let uneven = uneven && sound;
    let mut assessment = Assessment {
        snapshot,
        health,
        membership,
        operations: running,
        rebalances,
        verdict,
        message,
        uneven,
        quiet,
        advice: advice(operations, removal.as_ref()),
        removal: removal.as_ref().map(|it| it.operation),
        next: None,
    };
    assessment.next = if let Some(advice) = &assessment.advice {
        Some(advice.command.clone())
    } else if let Some(removal) = removal {
        Some(removal.next)
    } else if held {
        instance.map(continues)
    } else {
        next(&assessment, world, instance)
    };
    assessment
}

/// Which operation should be stopped, and with which command.
fn advice(operations: &OperationTracker, removal: Option<&RemovalStatus>) -> Option<StopAdvice> {
    let evacuations = &operations.upgrades.evacuations;
    let (alarm, command) = match (removal, operations.upgrades.running().filter(|run| run.alarm().is_some()))
    {
        (Some(removal), _) => (removal.alarm.as_ref().or(evacuations.alarm())?, removal.undo.clone()),
        (None, Some(upgrade)) => (upgrade.alarm()?, upgrade.stop_command()),
        (None, None) => (evacuations.alarm()?, evacuations.stop_command()?),
    };
    Some(StopAdvice { alarm: alarm.clone(), command })
}

/// The recommended next command. A plan is recommended only where no check would refuse it.
fn next(of: &Assessment, world: &World, instance: Option<&Instance>) -> Option<String> {
    let name = &of.snapshot.instance.name;
    if let Some(bad) = of.rebalances.iter().find(|rebalance| rebalance.alarm.is_some()) {
        let several = of.operations.len() > 1;
        return Some(format!("kubectl emqx rebalance stop {}", if several { &bad.name } else { name }));
    }
    match of.operations.first() {
        Some(first) => match first.operation {
            Operation::Rebalance if of.verdict == Verdict::Waiting => Some(waiting::SEE_OPERATOR.to_owned()),
            Operation::Rebalance if of.operations.len() > 1 => {
                Some(format!("kubectl emqx rebalance watch {}", first.name))
            }
            Operation::Rebalance => Some(format!("kubectl emqx rebalance watch {name}")),
            Operation::Upgrade => instance.map(continues),
            Operation::None
            | Operation::Evacuation
            | Operation::Purge
            | Operation::Drain
            | Operation::Scale => None,
        },
        None if of.uneven => {
            let refused = preflight::obstacles(world, instance?, &of.snapshot);
            refused.is_empty().then(|| format!("kubectl emqx rebalance plan {name}"))
        }
        None => None,
    }
}

/// Whether all nodes serve. A donor leaves the Service at the operator's next reconcile, so no node is a
/// donor then.
fn quiet(instance: Option<&Instance>, snapshot: &Snapshot) -> bool {
    let ready = instance.is_some_and(Instance::ready);
    let participants = snapshot.participants();
    ready && !participants.is_empty() && participants.iter().all(|row| row.serving == Some(true))
}

/// The verdict where nothing is known to run.
fn idle(
    world: &World,
    snapshot: &Snapshot,
    health: &Health,
    membership: &MembershipSummary,
    answered: bool,
    quiet: bool,
    spread: &str,
) -> Judgement {
    let mut parts: Vec<String> = Vec::new();
    let discrepancies = &membership.discrepancies;
    if !discrepancies.is_empty() {
        parts.push(first_phrases(discrepancies));
    }
    parts.extend(health.problem.as_ref().map(ToString::to_string));
    if snapshot.wrong_emqx.is_some() {
        return Judgement::new(Verdict::Unknown, parts.join("; "));
    }
    if let Some(why) = cluster_checks::lacks_api(world, snapshot).filter(|_| !answered)
        && world.broker(&snapshot.instance).nodes.is_some()
        && discrepancies.is_empty()
        && matches!(snapshot.source(Source::Emqx), SourceState::Ok | SourceState::Absent)
    {
        // Where there is no rebalance API, no rebalance runs.
        parts.push(spread.to_owned());
        parts.push(why);
        return Judgement::new(Verdict::Idle, parts.join("; "));
    }
    if !answered {
        // The reason why EMQX is unknown precedes what the pods show: both are printed.
        let absent = snapshot.source(Source::Emqx) == SourceState::Absent
            || world.broker(&snapshot.instance).load.is_none();
        parts.push(if absent { not_asked(snapshot) } else { silence(world, snapshot, snapshot.now) });
        if quiet {
            parts.push("all nodes serve clients".to_owned());
        }
        return Judgement::new(Verdict::Unknown, parts.join("; "));
    }
    if !discrepancies.is_empty() {
        parts.push("nothing runs in EMQX".to_owned());
        return Judgement::new(Verdict::Unknown, parts.join("; "));
    }
    if !lists_nodes(world.broker(&snapshot.instance), snapshot.now) {
        parts.push("nothing runs in EMQX, but it does not list its nodes".to_owned());
        parts.extend(snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone()));
        return Judgement::new(Verdict::Unknown, parts.join("; "));
    }
    parts.push(spread.to_owned());
    Judgement::new(Verdict::Idle, parts.join("; "))
}

/// Whether clients are spread unevenly over the nodes that should serve them, and how, in one phrase.
fn spread(snapshot: &Snapshot) -> (bool, String) {
    let rows: Vec<&NodeRow> = snapshot.participants();
    let known: Vec<(&NodeRow, u64)> = rows.iter().filter_map(|row| Some((*row, row.connections?))).collect();
    if known.len() < rows.len() || known.is_empty() {
        let text = match rows.len() {
            0 => "no EMQX node is running",
            _ => "live connections are not known",
        };
        return (false, text.to_owned());
    }
    let connections: Vec<u64> = known.iter().map(|(_, count)| *count).collect();
    let sessions: Vec<u64> = known.iter().map(|(row, count)| row.sessions.unwrap_or(*count)).collect();
    let all: u64 = connections.iter().sum();
    if all == 0 && sessions.iter().sum::<u64>() == 0 {
        return (false, "no clients".to_owned());
    }
    let Some(spread) = Spread::of(&connections).filter(|_| known.len() > 1) else {
        return (false, "one node".to_owned());
    };
    if !uneven(&connections, &sessions) {
        // With fewer clients than nodes, a spread is neither even nor uneven.
        if all < known.len() as u64 {
            return (false, format!("{} on {}", plural(all, "client"), plural(known.len() as u64, "node")));
        }
        return (false, "even".to_owned());
    }
    let empty: Vec<&NodeRow> = known.iter().filter(|(_, count)| *count == 0).map(|(row, _)| *row).collect();
    let full = (known.len() - empty.len()) as u64;
    let hold = if full == 1 { "holds" } else { "hold" };
    let text = match empty.as_slice() {
        _ if all == 0 || !(spread.uneven() || would_move(&connections)) => {
            let most = sessions.iter().max().copied().unwrap_or(0);
            let usual = average(mean(sessions.iter().copied()));
            format!("uneven: one node holds {} sessions, {usual} on average", count(most))
        }
        [] => {
            let (row, held) = known[spread.farthest];
            format!(
                "uneven: {} holds {}, {} on average",
                row.label(),
                plural(held, "client"),
                average(spread.mean)
            )
        }
        [one] => format!("uneven: {} {hold} everything, {} is empty", plural(full, "node"), one.label()),
        many => format!("uneven: {} {hold} everything, {} are empty", plural(full, "node"), many.len()),
    };
    (true, text)
}

/// Whether EMQX would move connections by its default thresholds.
fn would_move(connections: &[u64]) -> bool {
    super::rebalance::spread::would_start(connections, connections, &crate::model::Strategy::default())
}

#[cfg(test)]
mod tests;
