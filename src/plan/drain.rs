//! A drain of Kubernetes nodes: which EMQX pods are evacuated and moved, in which order, how often each client is
//! disconnected, what refuses it ([`checks`]), where the pods can go ([`room`]), and what to do next ([`next`]).

use std::collections::BTreeMap;

use super::evacuation::checks::EvacuatedBy;
use super::evacuation::{self};
use super::finding::{Finding, Severity};
pub use super::removal::RemovalStep;
use super::removal::StepState;
use super::snapshot::{self, Snapshot};
use super::upgrade::revisions::ordinal;
use crate::error::Problem;
use crate::model::drain::{DrainedPod, Placement};
use crate::model::human::{count, plural};
use crate::model::{InstanceId, NodeName, Pod, Role, World};

pub mod checks;
pub mod next;
mod plan;
pub mod room;

pub use plan::{DrainPlan, DrainRequest, continued};

/// The pods of this instance that run on these Kubernetes nodes, replicants first, then cores from the highest number down.
fn targets<'w>(
    world: &'w World,
    id: &'w InstanceId,
    placement: &Placement,
    machines: &[String],
) -> Vec<(&'w Pod, String)> {
    let mut found: Vec<(&Pod, String)> = world
        .pods_of(id)
        .filter(|pod| pod.deleting.is_none() && pod.owner.is_some())
        .filter_map(|pod| {
            let placed = placement.pod(&pod.uid).filter(|placed| !placed.ended)?;
            let machine = placed.machine.clone()?;
            machines.contains(&machine).then_some((pod, machine))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| {
        let key =
            |pod: &Pod| (pod.role != Some(Role::Replicant), std::cmp::Reverse(ordinal(pod.name.as_str())));
        key(one).cmp(&key(other)).then_with(|| one.name.as_str().cmp(other.name.as_str()))
    });
    found
}

/// The plan for one instance; `None` when none of its pods runs on these Kubernetes nodes and no drain of them is unfinished.
pub(crate) fn plan(
    world: &World,
    snapshot: &Snapshot,
    placement: &Placement,
    request: &DrainRequest,
) -> Result<Option<DrainPlan>, Problem> {
    let id = &snapshot.instance;
    let state = continued(world, id, &request.machines);
    let mut pods: Vec<DrainedPod> = state.map(|state| state.pods.clone()).unwrap_or_default();
    let resumed = state.is_some();
    let here = targets(world, id, placement, &request.machines);
    // A resumed drain without a cordon moves only recorded pods: a replacement may run on the drained node
    // again.
    for (pod, machine) in here.into_iter().filter(|_| request.cordon || !resumed) {
        if pods.iter().any(|it| it.uid == pod.uid) {
            continue;
        }
        let row = snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.name));
        pods.push(DrainedPod {
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            node: row.and_then(|row| row.node.clone()),
            machine,
            set: pod.owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default(),
            started: false,
            closed: false,
            waits: None,
        });
    }
    if pods.is_empty() {
        return Ok(None);
    }
    let mut drain = DrainPlan::of(world, snapshot, &request.machines, pods, &request.settings);
    drain.removal.resumed = resumed;
    forecast(&mut drain, world, snapshot, placement, request)?;
    drain.removal.findings.extend(checks::findings(&drain, world, snapshot, placement, request));
    super::finding::skip(&mut drain.removal.findings, &request.skip);
    drain.removal.decide();
    Ok(Some(drain))
}

/// The evacuations of a drain: whether all at once, how long each takes, and how often clients are disconnected.
fn forecast(
    drain: &mut DrainPlan,
    world: &World,
    snapshot: &Snapshot,
    placement: &Placement,
    request: &DrainRequest,
) -> Result<(), Problem> {
    let evacuations = world.broker(&snapshot.instance).evacuations();
    let waits = |step: &&RemovalStep| {
        let evacuated = evacuations.iter().any(|it| Some(&it.node) == step.node.as_ref());
        step.state == StepState::Planned && step.connections.is_some() && !evacuated
    };
    let serving = snapshot.participants();
    let role = snapshot.participating_role();
    let with_clients: Vec<usize> = (0..drain.removal.steps.len())
        .filter(|place| waits(&&drain.removal.steps[*place]) && drain.removal.steps[*place].role == role)
        .collect();
    let remain = serving.len().saturating_sub(
        drain
            .removal
            .steps
            .iter()
            .filter(|step| step.role == role && step.state == StepState::Planned)
            .count(),
    );
    drain.together = with_clients.len() > 1
        && remain * 2 >= serving.len()
        && checks::budgets_allow(drain, placement, with_clients.len() as u64);
    let at_once = if drain.together {
        with_clients.len() as u64
    } else {
        request.parallel.min(with_clients.len().max(1) as u64)
    };
    drain.removal.settings = request.settings.shared(at_once);
    let groups: Vec<Vec<usize>> = {
        let chunk = |role: Role, size: u64| -> Vec<Vec<usize>> {
            let own: Vec<usize> = (0..drain.removal.steps.len())
                .filter(|place| {
                    waits(&&drain.removal.steps[*place]) && drain.removal.steps[*place].role == role
                })
                .collect();
            own.chunks(size.max(1) as usize).map(<[usize]>::to_vec).collect()
        };
        let size = |of: Role| match of {
            of if of == role && drain.together => with_clients.len() as u64,
            Role::Core => 1,
            Role::Replicant => request.parallel,
        };
        let mut groups = chunk(Role::Replicant, size(Role::Replicant));
        groups.extend(chunk(Role::Core, size(Role::Core)));
        groups
    };
    let own: Vec<NodeName> = drain.removal.steps.iter().filter_map(|step| step.node.clone()).collect();
    // One after the other, each pod is evacuated when the pods before it are replaced and serve.
    let at_its_turn = (!drain.together && evacuations.iter().any(|entry| own.contains(&entry.node)))
        .then(|| without_evacuations(world, snapshot, &own));
    let (then, snapshot_then) =
        at_its_turn.as_ref().map_or((world, snapshot), |(world, snapshot)| (world, snapshot));
    let mut found: Vec<Finding> = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let nodes: Vec<NodeName> =
            group.iter().filter_map(|at| drain.removal.steps[*at].node.clone()).collect();
        let planned = evacuation::checks::plan(
            then,
            snapshot_then,
            &nodes,
            &drain.removal.settings,
            &request.skip,
            EvacuatedBy::Removal(&own),
        )?;
        for at in group {
            let step = &mut drain.removal.steps[*at];
            let own = planned.nodes.iter().find(|it| Some(&it.node) == step.node.as_ref());
            step.seconds = own.map(|own| own.seconds);
        }
        drain.removal.total_seconds = drain.removal.total_seconds.saturating_add(planned.total_seconds);
        let most = planned.recipients.iter().map(|it| it.reconnects_per_second).max().unwrap_or(0);
        drain.removal.reconnects_per_second = drain.removal.reconnects_per_second.max(most);
        // Later groups are checked again at their turn: of their findings only refusals are printed now.
        if place == 0 {
            found = planned.findings;
        } else {
            found.extend(planned.findings.into_iter().filter(|it| it.severity == Severity::Blocked));
        }
    }
    let mut seen: Vec<&'static str> = Vec::new();
    found.retain(|finding| {
        let new = !seen.contains(&finding.id);
        seen.push(finding.id);
        new
    });
    drain.removal.findings = found;
    disconnections(drain, snapshot, &groups, role);
    drain.removal.message = message(drain, remain);
    Ok(())
}

/// The cluster as it is after the evacuations of these nodes.
fn without_evacuations(world: &World, snapshot: &Snapshot, nodes: &[NodeName]) -> (World, Snapshot) {
    let id = &snapshot.instance;
    let mut world = world.clone();
    if let Some(load) = world.brokers.get_mut(id).and_then(|broker| broker.load.as_mut()) {
        load.value.evacuations.retain(|entry| !nodes.contains(&entry.node));
    }
    let snapshot = snapshot::snapshot(&world, id, snapshot.now);
    (world, snapshot)
}

/// Clients of a group reconnect evenly to the nodes outside of it; those on a node whose turn comes later are
/// disconnected again.
fn disconnections(drain: &mut DrainPlan, snapshot: &Snapshot, groups: &[Vec<usize>], role: Role) {
    let mut held: BTreeMap<&NodeName, f64> = snapshot
        .participants()
        .into_iter()
        .filter_map(|row| Some((row.node.as_ref()?, row.connections? as f64)))
        .collect();
    let mut all = 0.0;
    let mut clients = 0.0;
    for group in groups.iter().filter(|group| group.iter().any(|at| drain.removal.steps[*at].role == role)) {
        let nodes: Vec<&NodeName> =
            group.iter().filter_map(|at| drain.removal.steps[*at].node.as_ref()).collect();
        clients += group.iter().filter_map(|at| drain.removal.steps[*at].connections).sum::<u64>() as f64;
        let mut moved = 0.0;
        for node in &nodes {
            moved += held.get_mut(node).map_or(0.0, std::mem::take);
        }
        all += moved;
        let others = held.keys().filter(|node| !nodes.contains(*node)).count();
        for (node, own) in &mut held {
            if !nodes.contains(node) {
                *own += moved / others.max(1) as f64;
            }
        }
    }
    drain.removal.disconnections = all.round() as u64;
    drain.disconnections_per_client = if clients > 0.0 { all / clients } else { 0.0 };
}

fn message(drain: &DrainPlan, remain: usize) -> String {
    let pods = plural(drain.removal.steps.len() as u64, "pod");
    let how = if drain.together {
        ", all evacuated first and then moved one after another".to_owned()
    } else {
        String::new()
    };
    if drain.removal.disconnections == 0 {
        return format!("{pods} without clients{how}");
    }
    format!(
        "{pods}{how}: {} of clients, {:.2} per client, at most {} reconnects a second on each of {}",
        plural(drain.removal.disconnections, "disconnection"),
        drain.disconnections_per_client,
        count(drain.removal.reconnects_per_second),
        plural(remain as u64, "remaining node"),
    )
}

#[cfg(test)]
mod tests;
