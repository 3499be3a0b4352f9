//! One assessment of one instance at one moment: health, membership, what runs, the verdict with its message, what is not
//! known, and the command to type next. Every output of the program uses this function, and none judges for itself.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::eviction_alarm::StopAdvice;
use super::membership::{Membership, lasting};
use super::rebalance::preflight;
use super::rebalance::spread::{Spread, uneven};
use super::rebalance::waiting;
use super::removal;
use super::snapshot::{NodeRow, Snapshot, SourceState, snapshot};
use super::tracker::OperationTracker;
use super::upgrade::guard::{continues, unfinished};
use crate::model::human::{and_more, average, count, duration, first_phrases, plural, seconds_between};
use crate::model::{
    ApiVersion, BrokerState, EvictionStatus, Instance, InstanceId, Judgement, Link, Operation, Role, Source,
    Verdict, World,
};
use crate::timing::{FAILED_REQUEST_SECONDS, OLD_ANSWER_SECONDS};
use emqx_rebalance::rules::mean;

mod operations;
mod rebalances;

pub use operations::OperationStatus;
pub use rebalances::RebalanceStatus;

/// The condition of the instance, as the operator last wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The type of the condition that describes it best; `None` where the operator has written none.
    pub condition: Option<String>,
    /// Since when that condition has held.
    pub since: Option<Timestamp>,
    /// What is wrong; `None` for an instance that is ready.
    #[serde(skip)]
    pub problem: Option<HealthProblem>,
}

/// What is wrong with an instance, with its details in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProblem {
    /// It is being deleted.
    Deleting(String),
    /// The operator does not report it as ready.
    NotReady(String),
}

impl fmt::Display for HealthProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting(text) => out.write_str(text),
            Self::NotReady(why) => write!(out, "not ready: {why}"),
        }
    }
}

/// How the nodes that are wanted, the pods and EMQX's list of nodes fit together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipSummary {
    /// Expected nodes; `None` where neither the custom resource nor its sets have a number.
    pub expected: Option<u64>,
    /// Nodes that EMQX lists as running and that fit a pod; `None` where EMQX's list is not known.
    pub member: Option<u64>,
    /// What does not fit, a sentence each.
    pub discrepancies: Vec<String>,
    /// Discrepancies that are only a warning and change no verdict: nodes that a scale-down left in EMQX's
    /// list.
    #[serde(skip)]
    pub left_over: Vec<String>,
}

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

/// The data by which an operation is judged.
#[derive(Clone, Copy)]
struct Current<'a> {
    world: &'a World,
    instance: Option<&'a Instance>,
    snapshot: &'a Snapshot,
    /// EMQX's answer about the operations that it runs; `None` where it is not current.
    load: Option<&'a EvictionStatus>,
    now: Timestamp,
}

impl<'a> Current<'a> {
    /// What the EMQX of the instance has answered.
    fn broker(&self) -> &'a BrokerState {
        self.world.broker(&self.snapshot.instance)
    }

    /// Why it is unknown what EMQX runs; `None` where it is known.
    fn unknown(&self) -> Option<String> {
        if self.load.is_some() {
            return None;
        }
        if let Some(wrong) = &self.snapshot.wrong_emqx {
            return Some(wrong.clone());
        }
        Some(match self.broker().load {
            Some(_) => silence(self.world, self.snapshot, self.now),
            None => not_asked(self.snapshot),
        })
    }
}

/// For how long EMQX has not answered, as text.
fn silence(world: &World, snapshot: &Snapshot, now: Timestamp) -> String {
    let answered = world.broker(&snapshot.instance).load.as_ref().map(|load| load.at);
    let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    let since = answered.map(|at| duration(seconds_between(at, now))).unwrap_or_default();
    match why {
        // It answers, and refuses one of its calls.
        Some(why) if snapshot.source(Source::Emqx) == SourceState::Forbidden => why,
        Some(why) => format!("EMQX has not answered for {since}: {why}"),
        None => format!("EMQX has not answered for {since}"),
    }
}

/// Why EMQX's answer is missing.
fn not_asked(snapshot: &Snapshot) -> String {
    let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    why.unwrap_or_else(|| "EMQX was not asked".to_owned())
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
    let removal = removal::unfinished(world, id, now);
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
fn advice(operations: &OperationTracker, removal: Option<&removal::Unfinished>) -> Option<StopAdvice> {
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

/// Whether EMQX's last answer about what it moves is current: its links are up, or were lost a moment ago.
pub(crate) fn current_load<'w>(
    world: &'w World,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Option<&'w EvictionStatus> {
    let broker = world.broker(&snapshot.instance);
    let load = broker.load.as_ref().filter(|_| snapshot.wrong_emqx.is_none())?;
    let age = seconds_between(load.at, now);
    let fresh = age <= FAILED_REQUEST_SECONDS;
    let answered = |resource: &'static str| {
        broker.link(resource).is_none_or(|link| match link {
            Link::Up => age <= OLD_ANSWER_SECONDS,
            Link::Unreachable(_) | Link::Hung(_) => fresh,
            Link::Forbidden(_) | Link::Absent(_) => false,
        })
    };
    (answered("nodes") && answered("load_rebalance")).then_some(&load.value)
}

/// Whether EMQX lists its nodes, or did a moment ago.
pub(crate) fn lists_nodes(broker: &BrokerState, now: Timestamp) -> bool {
    let nodes = broker.nodes.as_ref();
    nodes.is_some_and(|nodes| broker.answers_nodes() || nodes.is_within(FAILED_REQUEST_SECONDS, now))
}

/// The condition that describes an instance best: the one by which it is ready, else the one with the reason why not.
pub fn health(instance: &Instance, now: Timestamp) -> Health {
    if instance.standalone {
        return Health::default();
    }
    let wanted = instance.ready_condition();
    let holds = |kind: &str| instance.conditions.iter().find(|it| it.kind == kind && it.holds());
    if let Some(deleting) = instance.deleting {
        return Health {
            condition: instance.state().map(str::to_owned),
            since: Some(deleting),
            problem: Some(HealthProblem::Deleting(format!(
                "the instance is being deleted{}",
                lasting(Some(deleting), now)
            ))),
        };
    }
    if let Some(ready) = holds(wanted) {
        return Health { condition: Some(ready.kind.clone()), since: ready.since, problem: None };
    }
    // The conditions of 3.x are independent of each other: the one in progress is more useful than the first.
    let progressing = instance.conditions.iter().find(|it| {
        it.holds()
            && (it.kind.ends_with("Progressing") || it.kind.ends_with("Updating") || it.kind == "Paused")
    });
    let first = instance.conditions.iter().find(|it| it.holds());
    let found = if instance.api == ApiVersion::V3beta1 { progressing } else { first.or(progressing) };
    match found.or_else(|| instance.conditions.iter().find(|it| it.kind == wanted)) {
        Some(it) if it.holds() => Health {
            condition: Some(it.kind.clone()),
            since: it.since,
            problem: Some(HealthProblem::NotReady(format!("{}{}", it.kind, lasting(it.since, now)))),
        },
        Some(it) => Health {
            condition: None,
            since: it.since,
            problem: Some(HealthProblem::NotReady(format!(
                "{} is {}{}",
                it.kind,
                it.status,
                lasting(it.since, now)
            ))),
        },
        None => Health {
            condition: None,
            since: None,
            problem: Some(HealthProblem::NotReady(match instance.created {
                Some(created) => format!(
                    "the operator has written no condition since the instance was created {} ago",
                    duration(seconds_between(created, now))
                ),
                None => "the operator has written no condition".to_owned(),
            })),
        },
    }
}

/// The number of nodes that the custom resource requests, else that of its status.
fn expected(instance: &Instance) -> Option<u64> {
    let of = |spec: Option<u64>, status: u64| spec.or((status > 0).then_some(status));
    let cores = of(instance.cores, instance.core_revisions.replicas)?;
    Some(cores + of(instance.replicants, instance.replicant_revisions.replicas).unwrap_or(0))
}

/// Compares the requested nodes, the pods and EMQX's list of nodes.
pub fn membership(
    world: &World,
    instance: Option<&Instance>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> MembershipSummary {
    let is =
        |membership: Membership| move |row: &&NodeRow| row.membership == Some(membership) && !row.left_over;
    let rows = |membership| snapshot.nodes.iter().filter(is(membership)).collect::<Vec<_>>();
    let expected = instance.and_then(expected);
    let members = rows(Membership::Member);
    let mut summary = MembershipSummary {
        expected,
        member: (world.broker(&snapshot.instance).nodes.is_some() && snapshot.wrong_emqx.is_none())
            .then_some(members.len() as u64),
        discrepancies: snapshot.wrong_emqx.iter().cloned().collect(),
        left_over: Vec::new(),
    };
    for row in rows(Membership::NotInCluster) {
        let serving = if row.serving == Some(true) { " and serves clients" } else { "" };
        let lasting = lasting(row.since, now);
        summary
            .discrepancies
            .push(format!("{} runs{serving}, and EMQX does not list it as a node{lasting}", row.label()));
    }
    for row in rows(Membership::Foreign) {
        let node = row.node.as_ref().map(ToString::to_string).unwrap_or_default();
        summary.discrepancies.push(format!("EMQX lists {node}, which fits no pod of {}", snapshot.instance));
    }
    let why = |row: &NodeRow| row.pod_reason.clone();
    for row in rows(Membership::Stopped) {
        let reason = why(row).map(|reason| format!(" ({reason})")).unwrap_or_default();
        summary.discrepancies.push(format!(
            "{} is stopped in EMQX{}{reason}",
            row.label(),
            lasting(row.since, now)
        ));
    }
    for row in rows(Membership::Unschedulable) {
        let reason = why(row).unwrap_or_else(|| "Unschedulable".to_owned());
        summary.discrepancies.push(format!("{}: {reason}{}", row.label(), lasting(row.since, now)));
    }
    for row in rows(Membership::Starting) {
        let reason = why(row).unwrap_or_else(|| "starting".to_owned());
        summary.discrepancies.push(format!("{}: {reason}{}", row.label(), lasting(row.since, now)));
    }
    for row in rows(Membership::Terminating) {
        summary.discrepancies.push(format!("{} is terminating{}", row.label(), lasting(row.since, now)));
    }
    summary.discrepancies.extend(too_few(world, snapshot, expected));
    summary.discrepancies.extend(instance.and_then(|instance| too_many(instance, snapshot)));
    for row in snapshot.nodes.iter().filter(|row| row.left_over) {
        let node = row.node.as_ref().map(ToString::to_string).unwrap_or_default();
        summary.left_over.push(node);
    }
    summary
}

/// Pods beyond those that are wanted, where no second set runs beside the first: the operator removes them with their clients
/// ([OP-27]), as soon as it looks.
fn too_many(instance: &Instance, snapshot: &Snapshot) -> Option<String> {
    let of = |role: Role, wanted: Option<u64>, what: &str| {
        let counts = |row: &&NodeRow| {
            row.role == role && row.pod.is_some() && row.membership != Some(Membership::Terminating)
        };
        let rows: Vec<&NodeRow> = snapshot.nodes.iter().filter(counts).collect();
        let (there, wanted) = (rows.len() as u64, wanted?);
        let one_set = rows.windows(2).all(|two| two[0].set == two[1].set);
        (one_set && there > wanted)
            .then(|| format!("{} run, and {} wanted", plural(there, what), wanted_count(wanted)))
    };
    of(Role::Core, instance.cores, "core").or_else(|| of(Role::Replicant, instance.replicants, "replicant"))
}

/// `1 is`, `3 are`.
fn wanted_count(wanted: u64) -> String {
    format!("{} {}", count(wanted), if wanted == 1 { "is" } else { "are" })
}

/// Requested nodes that have neither a pod nor a node in EMQX's list.
fn too_few(world: &World, snapshot: &Snapshot, expected: Option<u64>) -> Option<String> {
    let wanted = expected?;
    let counts = |row: &&NodeRow| {
        !row.left_over && !matches!(row.membership, Some(Membership::Foreign | Membership::Terminating))
    };
    let there = snapshot.nodes.iter().filter(counts).count() as u64;
    // Where neither pods nor EMQX could be listed, missing nodes cannot be counted.
    let listed = world.broker(&snapshot.instance).nodes.is_some()
        || snapshot.nodes.iter().any(|row| row.pod.is_some());
    let known = listed && snapshot.wrong_emqx.is_none();
    (known && there < wanted).then(|| {
        let lacking = wanted - there;
        let one = lacking == 1;
        let what = match snapshot.nodes.iter().any(|row| row.pod.is_some()) {
            true if one => "has no pod",
            true => "have no pod",
            false if one => "is not in EMQX's list of nodes",
            false => "are not in EMQX's list of nodes",
        };
        format!("{} of {} wanted nodes {what}", count(lacking), count(wanted))
    })
}

/// A warning about nodes that EMQX lists as stopped and that have no pod, and how to remove them from its list.
pub fn left_over(summary: &MembershipSummary) -> Option<(String, String)> {
    let first = summary.left_over.first()?;
    let others = and_more(summary.left_over.len() - 1);
    let is = if summary.left_over.len() == 1 { "is" } else { "are" };
    Some((
        format!("{first}{others} {is} stopped in EMQX and {is} without a pod: left after a scale-down"),
        format!("emqx ctl cluster force-leave {first}, in any running EMQX pod"),
    ))
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
    if let Some(why) = preflight::cluster::lacks_api(world, snapshot).filter(|_| !answered)
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
