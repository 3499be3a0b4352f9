//! The checks before a drain, beside those of its evacuations.

use std::collections::BTreeSet;

use super::super::removal::StepState;
use super::super::snapshot::Snapshot;
use super::plan::{DrainPlan, DrainRequest, continued};
use super::room::ClusterCapacity;
use crate::model::drain::{Budget, Placed, Placement};
use crate::model::human::{count, plural};
use crate::model::{Role, World};
use crate::plan::finding::Finding;
use crate::plan::removal::RemovalStep;
use crate::plan::stored_removal::{scale_to_finish, stored_drain, unfinished_drain, unfinished_scale};

/// Disconnections per client above which a warning explains how to reduce them.
const MOST_PER_CLIENT: f64 = 1.05;

/// The pods that are still to be moved.
fn present(drain: &DrainPlan) -> impl Iterator<Item = &RemovalStep> {
    drain.removal.steps.iter().filter(|step| step.state == StepState::Planned)
}

/// All of them.
pub(super) fn findings(
    drain: &DrainPlan,
    world: &World,
    snapshot: &Snapshot,
    placement: &Placement,
    request: &DrainRequest,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(super::super::removal::not_asked(world, snapshot));
    found.extend(unfinished(drain, world, request));
    found.extend(scale_unfinished(drain, world));
    found.extend(volumes(drain, placement, request));
    found.extend(room(drain, placement, request));
    found.extend(single(drain));
    found.extend(not_ready(drain, world, snapshot));
    found.extend(too_parallel(drain, snapshot, request));
    found.extend(budgets(drain, placement, request));
    found.extend(sequential(drain));
    if !placement.unread.is_empty() {
        let message =
            format!("not every limit could be checked; not readable: {}", placement.unread.join("; "));
        found.push(
            Finding::warning("unknown-placement", message)
                .hint("kubectl auth can-i --list shows your permissions"),
        );
    }
    found
}

/// A drain of other nodes is unfinished: a new drain would lose the record of its evacuations.
fn unfinished(drain: &DrainPlan, world: &World, request: &DrainRequest) -> Option<Finding> {
    let state = stored_drain(world, &drain.removal.instance)?;
    let other = continued(world, &drain.removal.instance, &request.machines).is_none();
    other.then(|| unfinished_drain(state))
}

/// A scale is unfinished: it removes pods that a drain would move.
fn scale_unfinished(drain: &DrainPlan, world: &World) -> Option<Finding> {
    let id = &drain.removal.instance;
    let state = scale_to_finish(world, id)?;
    Some(unfinished_scale(id, state))
}

fn volumes(drain: &DrainPlan, placement: &Placement, request: &DrainRequest) -> Option<Finding> {
    let room = ClusterCapacity::new(placement, &request.machines, !request.cordon);
    present(drain).find_map(|step| {
        let claim = room.bound(placement.pod(&step.uid)?)?;
        let message = format!(
            "the volume of {} (PersistentVolumeClaim {claim}) is bound to {}: the pod could not start elsewhere",
            step.pod, step.kubernetes_node
        );
        Some(Finding::blocked("volume-bound", message).hint(format!("kubectl get pvc -n {} {claim}", drain.removal.instance.namespace)))
    })
}

fn room(drain: &DrainPlan, placement: &Placement, request: &DrainRequest) -> Option<Finding> {
    let mut room = ClusterCapacity::new(placement, &request.machines, !request.cordon);
    present(drain).find_map(|step| {
        let pod = placement.pod(&step.uid)?;
        let why = room.place(pod).err()?;
        Some(
            Finding::blocked("no-room", format!("there is no room for {}: {why}", step.pod))
                .hint("kubectl get nodes; add a node, or drain fewer nodes at once"),
        )
    })
}

fn single(drain: &DrainPlan) -> Option<Finding> {
    let step = present(drain).find(|step| drain.sizes.get(&step.set).copied().unwrap_or(1) <= 1)?;
    let message = format!(
        "{} is the only pod of {}: {} would be without it until its replacement runs",
        step.pod, step.set, drain.removal.instance
    );
    Some(Finding::blocked("single-replica", message).hint("add a replica first"))
}

/// Pods that stay and do not serve: the drain would wait for them while one more pod is missing.
fn not_ready(drain: &DrainPlan, world: &World, snapshot: &Snapshot) -> Option<Finding> {
    if drain.removal.resumed {
        return None;
    }
    let sets: BTreeSet<&str> = drain.removal.steps.iter().map(|step| step.set.as_str()).collect();
    let evacuations = world.broker(&snapshot.instance).evacuations();
    let row = snapshot.nodes.iter().find(|row| {
        let moved = drain.removal.steps.iter().any(|step| row.pod.as_ref() == Some(&step.pod));
        let evacuated = evacuations.iter().any(|entry| Some(&entry.node) == row.node.as_ref());
        row.set.as_deref().is_some_and(|set| sets.contains(set))
            && !moved
            && (!row.running || row.ready == Some(false) || evacuated)
    })?;
    let how =
        if row.running { "is not ready, or is being evacuated" } else { "does not run in EMQX's cluster" };
    let message = format!("{} stays, but {how}: no pod beside it is taken away", row.label());
    Some(
        Finding::blocked("pods-not-ready", message)
            .hint(format!("kubectl emqx nodes {}", drain.removal.instance.name)),
    )
}

fn too_parallel(drain: &DrainPlan, snapshot: &Snapshot, request: &DrainRequest) -> Option<Finding> {
    let all = snapshot.participants().len() as u64;
    let role = snapshot.participating_role();
    let moved = present(drain).filter(|step| step.role == role).count() as u64;
    let at_once = request.parallel.min(moved);
    if drain.together || role == Role::Core || at_once <= 1 || all.saturating_sub(at_once) * 2 >= all {
        return None;
    }
    let message = format!(
        "--parallel {} would leave {} of {} that take clients",
        request.parallel,
        all.saturating_sub(at_once),
        plural(all, "node")
    );
    Some(
        Finding::blocked("too-few-nodes", message)
            .hint("leave --parallel out, or lower it: half of the nodes have to stay"),
    )
}

/// Whether a budget allows `unready` of its ready pods to become not ready and to be evicted one after another.
fn allows(budget: &Budget, unready: u64) -> Option<bool> {
    if budget.evicts_unready {
        return Some(true);
    }
    let (current, desired) = (budget.current_healthy?, budget.desired_healthy?);
    // An evacuated pod is not ready: it may be evicted while the desired number of ready pods remains.
    let left = current.saturating_sub(unready);
    Some(left >= desired && (desired > 0 || left > 0))
}

fn protected<'p>(drain: &'p DrainPlan, placement: &'p Placement) -> impl Iterator<Item = &'p Placed> {
    present(drain).filter_map(|step| placement.pod(&step.uid))
}

/// Whether every budget allows `at_once` of the pods to be evacuated at the same time.
pub(super) fn budgets_allow(drain: &DrainPlan, placement: &Placement, at_once: u64) -> bool {
    let Some(budgets) = &placement.budgets else { return false };
    budgets.iter().all(|budget| {
        let own = protected(drain, placement).filter(|pod| budget.protects(pod)).count() as u64;
        own == 0 || allows(budget, own.min(at_once)) == Some(true)
    })
}

fn budgets(drain: &DrainPlan, placement: &Placement, request: &DrainRequest) -> Option<Finding> {
    let budgets = placement.budgets.as_ref()?;
    for pod in protected(drain, placement) {
        let own: Vec<&Budget> = budgets.iter().filter(|budget| budget.protects(pod)).collect();
        if own.len() > 1 {
            let names: Vec<&str> = own.iter().map(|budget| budget.name.as_str()).collect();
            let message = format!(
                "{} is protected by {} PodDisruptionBudgets ({}), and Kubernetes then refuses every eviction",
                pod.name,
                own.len(),
                names.join(", ")
            );
            return Some(
                Finding::blocked("disruption-budget", message)
                    .hint(format!("kubectl get pdb -n {}", drain.removal.instance.namespace)),
            );
        }
    }
    let at_once = if drain.together { 1 } else { request.parallel };
    for budget in budgets {
        // Evacuated pods already count as not ready.
        let ready = protected(drain, placement)
            .filter(|pod| budget.protects(pod))
            .filter(|pod| {
                drain.removal.steps.iter().any(|step| step.uid == pod.uid && step.seconds.is_some())
            })
            .count() as u64;
        let own = protected(drain, placement).filter(|pod| budget.protects(pod)).count();
        if own == 0 || drain.together || allows(budget, ready.min(at_once)) != Some(false) {
            continue;
        }
        let (current, desired) = (budget.current_healthy.unwrap_or(0), budget.desired_healthy.unwrap_or(0));
        let message = format!(
            "PodDisruptionBudget {} needs {} and {} are ready: an evacuated pod is not ready, so that {} would be left",
            budget.name,
            plural(desired, "ready pod"),
            count(current),
            count(current.saturating_sub(ready.min(at_once).max(1)))
        );
        let hint = if at_once > 1 {
            "leave --parallel out".to_owned()
        } else {
            format!(
                "kubectl get pdb -n {} {}; add a replica, or relax it",
                drain.removal.instance.namespace, budget.name
            )
        };
        return Some(Finding::blocked("disruption-budget", message).hint(hint));
    }
    None
}

/// Clients that land on a pod whose turn comes later are disconnected again.
fn sequential(drain: &DrainPlan) -> Option<Finding> {
    if drain.disconnections_per_client <= MOST_PER_CLIENT {
        return None;
    }
    let message = format!(
        "clients are disconnected {:.2} times on average: too few nodes remain to evacuate all of these pods first",
        drain.disconnections_per_client
    );
    Some(
        Finding::warning("sequential-disconnects", message)
            .hint("drain fewer Kubernetes nodes at once, or add replicas first"),
    )
}
