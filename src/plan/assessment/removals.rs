//! A drain or a scale that has not ended, as `status`, `watch` and the view report it: by whom, its progress,
//! and the command that continues it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::drain::DrainedPod;
use crate::model::human::{plural, seconds_between};
use crate::model::{BrokerState, InstanceId, NodeName, Operation, World};
use crate::plan::alarm::Alarm;
use crate::plan::eviction_alarm::EvictionWatch;
use crate::plan::removal::{PodProgress, RemovalRun, StepState, sizes};
use crate::plan::stored_removal::{amount, by, scale_to_finish, stored_drain};
use crate::plan::{drain, scale};
use crate::timing::REMOVAL_ALARM_SECONDS;

/// A drain or a scale that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemovalStatus {
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
pub(super) fn removal_status(world: &World, id: &InstanceId, now: Timestamp) -> Option<RemovalStatus> {
    if let Some(state) = stored_drain(world, id) {
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
        return Some(RemovalStatus {
            operation: Operation::Drain,
            message: alarmed(alarm.as_ref(), message),
            next: format!("kubectl emqx drain {machines}"),
            undo: format!("kubectl emqx drain {machines} --undo"),
            alarm,
        });
    }
    let state = scale_to_finish(world, id)?;
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
        amount(state.field, state.to),
        by(state.by.as_deref())
    );
    Some(RemovalStatus {
        operation: Operation::Scale,
        message: alarmed(alarm.as_ref(), message),
        next: format!("kubectl emqx scale {} --{} {}", id.name, state.field.as_str(), state.to),
        undo: format!("kubectl emqx scale {} --undo", id.name),
        alarm,
    })
}

fn run<'r>(
    task: &'static str,
    id: &'r InstanceId,
    pods: &'r [DrainedPod],
    sizes: &'r BTreeMap<String, u64>,
) -> RemovalRun<'r> {
    RemovalRun { task, id, pods, sizes, together: true, parallel: 1, fresh_seconds: u64::MAX, gates: false }
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
