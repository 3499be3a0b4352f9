//! A drain or a scale that has not ended, as `status`, `watch` and the view report it: by whom, its progress,
//! and the command that continues it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::eviction_alarm::EvictionWatch;
use super::super::finding::{Finding, Severity};
use super::super::rebalance::tracker::Alarm;
use super::super::{drain, scale};
use super::{PodProgress, RemovalRun, StepState, sizes};
use crate::model::drain::{DrainState, DrainedPod};
use crate::model::evacuation::EvacuationWaits;
use crate::model::human::{plural, seconds_between};
use crate::model::scale::ScaleState;
use crate::model::{BrokerState, InstanceId, NodeName, Operation, World};
use crate::timing::REMOVAL_ALARM_SECONDS;

/// A drain or a scale that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// A drain or a scale.
    pub operation: Operation,
    /// What it is, by whom, and its progress.
    pub message: String,
    /// The command that continues it.
    pub next: String,
    /// The command that puts back what was not removed.
    pub undo: String,
    /// Why it should be stopped: clients are missing while EMQX evacuates.
    pub alarm: Option<Alarm>,
}

/// Compares the clients with those at the recorded start, while EMQX empties one of the pods.
fn alarm(
    broker: &BrokerState,
    pods: &[DrainedPod],
    (connections, began): (Option<u64>, Timestamp),
    now: Timestamp,
) -> Option<Alarm> {
    let load = broker.evacuations();
    let emptied = pods.iter().filter(|pod| pod.started).filter_map(|pod| pod.node.clone());
    let emptied: BTreeSet<NodeName> =
        emptied.filter(|node| load.iter().any(|entry| entry.node == *node)).collect();
    if emptied.is_empty() || seconds_between(began, now) > REMOVAL_ALARM_SECONDS {
        return None;
    }
    let mut watch = EvictionWatch::default();
    watch.observe(broker, &emptied, Some((connections?, began)));
    watch.raised().cloned()
}

/// A message that begins with the alarm.
fn alarmed(alarm: Option<&Alarm>, message: String) -> String {
    match alarm {
        Some(alarm) => format!("{}; {message}", alarm.sentence()),
        None => message,
    }
}

/// The unfinished operation that is stored for this very instance; `None` where there is none.
pub fn unfinished(world: &World, id: &InstanceId, now: Timestamp) -> Option<Unfinished> {
    if let Some(state) = drain::stored(world, id) {
        let sizes = sizes(world, id);
        let standings = drain::next::standings(world, run("drain", id, &state.pods, &sizes), now);
        let machines = state.machines.join(" ");
        let alarm = alarm(world.broker(id), &state.pods, (state.connections, state.time), now);
        let message = format!(
            "drain of {}{}: {}",
            state.machines.join(", "),
            by(state.by.as_deref()),
            far(&state.pods, &standings, "moved")
        );
        return Some(Unfinished {
            operation: Operation::Drain,
            message: alarmed(alarm.as_ref(), message),
            next: format!("kubectl emqx drain {machines}"),
            undo: format!("kubectl emqx drain {machines} --undo"),
            alarm,
        });
    }
    let state = scale::unfinished(world, id)?;
    let sizes = BTreeMap::new();
    let standings = scale::next::standings(world, run("scale", id, &state.pods, &sizes), now);
    let far = if state.pods.is_empty() {
        "its pods start".to_owned()
    } else {
        far(&state.pods, &standings, "removed")
    };
    let alarm = alarm(world.broker(id), &state.pods, (state.connections, state.time), now);
    let message = format!(
        "scale from {} to {}{}: {far}",
        state.from,
        scale::amount(state.field, state.to),
        by(state.by.as_deref())
    );
    Some(Unfinished {
        operation: Operation::Scale,
        message: alarmed(alarm.as_ref(), message),
        next: format!("kubectl emqx scale {} --{} {}", id.name, state.field.as_str(), state.to),
        undo: format!("kubectl emqx scale {} --undo", id.name),
        alarm,
    })
}

/// What refuses every other operation on a cluster: a drain or a scale of it that has not ended. It continues with evacuations
/// and removals of its own, whether its process runs or not.
pub(in crate::plan) fn unfinished_removal(world: &World, id: &InstanceId) -> Option<Finding> {
    let drain = drain::stored(world, id).map(unfinished_drain);
    drain.or_else(|| scale::unfinished(world, id).map(|state| unfinished_scale(id, state)))
}

/// A drain was not finished.
pub(in crate::plan) fn unfinished_drain(state: &DrainState) -> Finding {
    let machines = state.machines.join(" ");
    let message = format!(
        "a drain of {}{}, begun at {}, is not finished",
        state.machines.join(", "),
        by(state.by.as_deref()),
        when(state.time)
    );
    Finding::new("drain-unfinished", Severity::Blocked, message).hint(format!(
        "kubectl emqx drain {machines} finishes it, kubectl emqx drain {machines} --undo puts back what was not moved"
    ))
}

/// A scale was not finished.
pub(in crate::plan) fn unfinished_scale(id: &InstanceId, state: &ScaleState) -> Finding {
    let message = format!(
        "a scale from {} to {}{}, begun at {}, is not finished",
        state.from,
        scale::amount(state.field, state.to),
        by(state.by.as_deref()),
        when(state.time)
    );
    Finding::new("scale-unfinished", Severity::Blocked, message).hint(format!(
        "kubectl emqx scale {0} --{1} {2} finishes it, kubectl emqx scale {0} --undo takes it back",
        id.name,
        state.field.as_str(),
        state.to
    ))
}

/// How long EMQX waits in an evacuation that a drain or a scale started: EMQX does not report it. `None` for an evacuation that
/// no unfinished drain or scale started, and where its pod was removed since.
pub(in crate::plan) fn stored_waits(
    world: &World,
    id: &InstanceId,
    node: &NodeName,
) -> Option<EvacuationWaits> {
    let drain = drain::stored(world, id).map(|state| &state.pods);
    let scale = scale::unfinished(world, id).map(|state| &state.pods);
    let pods = drain.into_iter().chain(scale).flatten();
    let mut started = pods.filter(|pod| pod.started && pod.node.as_ref() == Some(node));
    let here = |it: &&DrainedPod| world.pods_of(id).any(|pod| pod.uid == it.uid && pod.deleting.is_none());
    started.find(here)?.waits
}

fn run<'r>(
    task: &'static str,
    id: &'r InstanceId,
    pods: &'r [DrainedPod],
    sizes: &'r BTreeMap<String, u64>,
) -> RemovalRun<'r> {
    RemovalRun { task, id, pods, sizes, together: true, parallel: 1, fresh_seconds: u64::MAX, gates: false }
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn by(name: Option<&str>) -> String {
    name.map(|name| format!(" by {name}")).unwrap_or_default()
}

/// `1 of 3 pods moved; emqx-core-2 evacuating`.
fn far(pods: &[DrainedPod], standings: &[PodProgress], done: &str) -> String {
    let ended = standings.iter().filter(|stands| **stands == PodProgress::Done).count();
    let busy = pods
        .iter()
        .zip(standings)
        .filter(|(_, stands)| !matches!(stands, PodProgress::Done | PodProgress::Planned))
        .map(|(pod, stands)| format!("; {} {}", pod.pod, StepState::from(*stands).as_str()));
    format!("{ended} of {} {done}{}", plural(pods.len() as u64, "pod"), busy.collect::<String>())
}
