//! A change of the number of nodes: which pods are removed, how often their clients are disconnected, the
//! checks ([`checks`]), and the next step ([`next`]).

use super::evacuation::checks::EvacuatedBy;
use super::evacuation::{self, counted};
use super::finding::Decision;
pub use super::removal::RemovalStep;
use super::removal::{RemovalPlan, StepState};
use super::snapshot::Snapshot;
use super::upgrade::revisions::ordinal;
use crate::error::Problem;
use crate::model::drain::DrainedPod;
use crate::model::human::{count, plural};
use crate::model::scale::ScaledField;
use crate::model::{ApiVersion, NodeName, Pod, Strategy, World};
use crate::plan::stored_removal::{amount, scale_to_finish};
use emqx_rebalance::rules::donors;

pub mod checks;
pub mod next;
mod plan;

use plan::living;
pub use plan::{Outside, ScalePlan, ScaleRequest, wanted};

/// The pods that are removed: of a StatefulSet the highest numbers; of a ReplicaSet those that are not ready, then those
/// with the fewest clients.
fn removed<'w>(
    world: &'w World,
    snapshot: &Snapshot,
    request: &ScaleRequest,
    kept: &[DrainedPod],
) -> Vec<&'w Pod> {
    let id = &snapshot.instance;
    let Some(instance) = world.instance(id) else { return Vec::new() };
    let mut pods: Vec<&Pod> = living(world, &instance.id, request.field).collect();
    let clients = |pod: &Pod| {
        let row = snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.name));
        row.and_then(|row| counted(world, snapshot, row.node.as_ref()?)).map(|it| it.connections)
    };
    if request.field == ScaledField::Replicants {
        pods.sort_by_cached_key(|pod| {
            let stored = kept.iter().any(|it| it.uid == pod.uid);
            let born = std::cmp::Reverse(pod.created);
            (!stored, pod.ready, clients(pod).unwrap_or(0), born, pod.name.as_str().to_owned())
        });
        let number = (pods.len() as u64).saturating_sub(request.to);
        pods.truncate(usize::try_from(number).unwrap_or(usize::MAX));
    } else {
        pods.retain(|pod| ordinal(pod.name.as_str()).is_some_and(|number| number >= request.to));
        pods.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod.name.as_str())));
    }
    pods
}

pub(crate) fn plan(
    world: &World,
    snapshot: &Snapshot,
    request: &ScaleRequest,
    outside: &Outside,
) -> Result<ScalePlan, Problem> {
    let id = &snapshot.instance;
    let instance = world.instance(id).ok_or_else(|| Problem::new(format!("{id} is deleted"), ""))?;
    let state =
        scale_to_finish(world, id).filter(|state| state.field == request.field && state.to == request.to);
    let from = state.map_or_else(|| wanted(world, instance, request.field), |state| state.from);
    let by_operator = instance.api == ApiVersion::V3beta1;
    let kept: Vec<DrainedPod> = state.map(|state| state.pods.clone()).unwrap_or_default();
    let mut pods: Vec<DrainedPod> = Vec::new();
    if request.to < from && !(by_operator && request.field == ScaledField::Replicants) {
        for pod in removed(world, snapshot, request, &kept) {
            let row = snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.name));
            let before = kept.iter().find(|it| it.uid == pod.uid);
            pods.push(before.cloned().unwrap_or_else(|| DrainedPod {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                node: row.and_then(|row| row.node.clone()),
                machine: String::new(),
                set: pod.owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default(),
                started: false,
                closed: false,
                waits: None,
            }));
        }
        // Recorded pods that are removed already stay in the result.
        pods.extend(kept.iter().filter(|it| world.pods_of(id).all(|pod| pod.uid != it.uid)).cloned());
    }
    let mut removal = RemovalPlan::of(world, snapshot, pods, &request.settings);
    removal.resumed = state.is_some();
    let mut scale = ScalePlan { removal, field: request.field, from, to: request.to, by_operator };
    for step in scale.removal.steps.iter_mut().filter(|step| step.state == StepState::Replacing) {
        step.state = StepState::Done;
    }
    if scale.to == scale.from && scale_to_finish(world, id).is_none() {
        scale.removal.decision = Decision::NothingToDo;
        scale.removal.message = format!("{id} has {} already", amount(request.field, request.to));
        return Ok(scale);
    }
    let remain = forecast(&mut scale, world, snapshot, request)?;
    scale.removal.message = message(&scale, remain);
    let found = checks::findings(&scale, world, snapshot, instance, outside);
    scale.removal.findings.splice(0..0, found);
    super::finding::skip(&mut scale.removal.findings, &request.skip);
    scale.removal.decide();
    Ok(scale)
}

/// The evacuations of a scale-down: all at the same time, so that no client reconnects to a pod that is
/// removed as well. Returns the number of nodes that take clients then.
fn forecast(
    scale: &mut ScalePlan,
    world: &World,
    snapshot: &Snapshot,
    request: &ScaleRequest,
) -> Result<usize, Problem> {
    let evacuations = world.broker(&snapshot.instance).evacuations();
    let gone = |row: &&&super::snapshot::NodeRow| {
        scale.removal.steps.iter().any(|step| step.node.is_some() && step.node == row.node)
    };
    let remain = snapshot.participants().len() - snapshot.participants().iter().filter(gone).count();
    let nodes: Vec<NodeName> = scale
        .removal
        .steps
        .iter()
        .filter(|step| step.state == StepState::Planned && step.connections.is_some())
        .filter_map(|step| step.node.clone())
        .filter(|node| !evacuations.iter().any(|entry| entry.node == *node))
        .collect();
    if nodes.is_empty() {
        return Ok(remain);
    }
    scale.removal.disconnections = scale
        .removal
        .steps
        .iter()
        .filter(|step| step.state == StepState::Planned)
        .filter_map(|step| step.connections)
        .sum();
    if scale.by_operator {
        return Ok(remain);
    }
    scale.removal.settings = request.settings.shared(nodes.len() as u64);
    let settings = &scale.removal.settings;
    let own: Vec<NodeName> = scale.removal.steps.iter().filter_map(|step| step.node.clone()).collect();
    let by = EvacuatedBy::Removal(&own);
    let planned = evacuation::checks::plan(world, snapshot, &nodes, settings, &request.skip, by)?;
    for step in &mut scale.removal.steps {
        let own = planned.nodes.iter().find(|it| Some(&it.node) == step.node.as_ref());
        step.seconds = own.map(|own| own.seconds);
    }
    scale.removal.total_seconds = planned.total_seconds;
    scale.removal.reconnects_per_second =
        planned.recipients.iter().map(|it| it.reconnects_per_second).max().unwrap_or(0);
    scale.removal.findings = planned.findings;
    Ok(remain)
}

fn message(scale: &ScalePlan, remain: usize) -> String {
    let change = format!("{} to {}", scale.from, amount(scale.field, scale.to));
    if scale.to > scale.from {
        return format!("{change}: {} added", plural(scale.to - scale.from, "pod"));
    }
    let number = plural(scale.from.saturating_sub(scale.to), "pod");
    if scale.by_operator {
        return format!("{change}: operator 3.x evacuates and removes {number} itself");
    }
    if scale.removal.disconnections == 0 {
        return format!("{change}: {number} without clients removed");
    }
    format!(
        "{change}: {number} removed after {} of clients, at most {} reconnects a second on each of {}",
        plural(scale.removal.disconnections, "disconnection"),
        count(scale.removal.reconnects_per_second),
        plural(remain as u64, "remaining node"),
    )
}

/// Clients that reconnect to one new node in one second while a scale-up is evened out.
const RECONNECTS_PER_SECOND: u64 = 50;

/// The rebalance after a scale-up, to within 5 % of the mean: rates by the number of nodes that take clients,
/// thresholds by the clients of a node.
pub(crate) fn evening_out(snapshot: &Snapshot) -> Strategy {
    let counts: Vec<u64> = snapshot.participants().iter().filter_map(|row| row.connections).collect();
    let all: u64 = counts.iter().sum();
    let mean = all / (counts.len() as u64).max(1);
    let donors = donors(&counts).into_iter().filter(|gives| *gives).count() as u64;
    let recipients = (counts.len() as u64).saturating_sub(donors);
    let rate = (RECONNECTS_PER_SECOND * recipients / donors.max(1)).max(1);
    let threshold = (mean / 20).max(1);
    Strategy {
        conn_evict_rate: rate,
        sess_evict_rate: rate,
        abs_conn_threshold: threshold,
        rel_conn_threshold: 1.05,
        abs_sess_threshold: threshold,
        rel_sess_threshold: 1.05,
        ..Strategy::default()
    }
}

/// The flags of `rebalance apply` for a strategy of `evening_out`.
pub(crate) fn flags(strategy: &Strategy) -> String {
    format!(
        "--conn-evict-rate {} --sess-evict-rate {} --abs-conn-threshold {} --rel-conn-threshold {} --abs-sess-threshold {} \
         --rel-sess-threshold {}",
        strategy.conn_evict_rate,
        strategy.sess_evict_rate,
        strategy.abs_conn_threshold,
        strategy.rel_conn_threshold,
        strategy.abs_sess_threshold,
        strategy.rel_sess_threshold
    )
}

#[cfg(test)]
mod tests;
