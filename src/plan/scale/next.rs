//! The next step of a scale. Whether the number was changed is read from the custom resource, so that a scale
//! continues from any point.
//!
//! ```text
//! down: evacuate all ─► EMQX reports them empty ─► the others are ready ─► deletion costs ─► change ─► they are removed
//! up, back, and operator 3.x: change ─► as many nodes as requested serve; evacuations of ours are stopped
//! ```

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use super::super::removal::{PodProgress, RemovalAction, RemovalRun};
use super::super::removal::{RemovalView, absent, empty, out_of_service_first, restored, start};
use super::plan::{listed, living, sets};
use crate::model::human::plural;
use crate::model::scale::{FIRST_COST, ScaledField};
use crate::model::{NodeName, Pod, World};
use crate::plan::evacuation::doing;

/// What is changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The number that is changed.
    pub field: ScaledField,
    /// The number before.
    pub from: u64,
    /// The requested number.
    pub to: u64,
    /// Whether the operator evacuates what it removes.
    pub by_operator: bool,
    /// Nodes whose evacuation we started, now or in an earlier scale.
    pub ours: &'a [NodeName],
}

/// The number that the custom resource asks for.
pub(crate) fn requested(world: &World, run: &RemovalRun<'_>, change: &Change<'_>) -> Option<u64> {
    let instance = world.instance(run.id)?;
    Some(super::wanted(world, instance, change.field))
}

/// What to do now.
pub(crate) fn next(
    world: &World,
    run: RemovalRun<'_>,
    change: Change<'_>,
    now: Timestamp,
) -> Vec<RemovalAction> {
    if !world.broker(run.id).is_within(run.fresh_seconds, now) {
        return vec![RemovalAction::Wait("EMQX has not answered for some seconds".to_owned())];
    }
    let view = RemovalView::of(world, run, now);
    if requested(world, &run, &change) == Some(change.to) {
        return after(world, &view, &change);
    }
    if change.to >= change.from || change.by_operator {
        return vec![RemovalAction::Change];
    }
    before(world, &view, &change)
}

/// The number is not changed yet: the pods that are removed are evacuated first.
fn before(world: &World, view: &RemovalView<'_>, change: &Change<'_>) -> Vec<RemovalAction> {
    let run = &view.run;
    let mut acts = Vec::new();
    let mut waits = Vec::new();
    for pod in run.pods.iter().filter(|it| view.present.contains(it.uid.as_str())) {
        let row = view.row(pod);
        let node = row.and_then(|row| row.node.as_ref()).or(pod.node.as_ref());
        match (view.entry(node), row) {
            (Some(entry), row) if empty(entry, row) => {}
            (Some(entry), _) => waits.push(format!("{}: {}", pod.pod, doing(&entry.stage))),
            (None, Some(row)) if row.running => match node {
                Some(node) => acts.extend(start(view, node, &pod.uid)),
                None => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
            },
            // EMQX does not run in this pod: its removal disconnects no client.
            (None, Some(row)) if row.ready != Some(true) => {}
            (None, _) => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
        }
    }
    if !acts.is_empty() {
        return out_of_service_first(view, acts);
    }
    if !waits.is_empty() {
        return vec![RemovalAction::Wait(waits.join(", "))];
    }
    let removed = |pod: &Pod| run.pods.iter().any(|it| it.uid == pod.uid);
    let pods: Vec<&Pod> = living(world, run.id, change.field).collect();
    if let Some(other) = pods.iter().find(|pod| !removed(pod) && !pod.ready) {
        let why = other.waiting.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return vec![RemovalAction::Starting(format!(
            "{} stays and is not ready{why}: Kubernetes could remove it instead",
            other.name
        ))];
    }
    if change.field == ScaledField::Replicants {
        for pod in pods.iter().filter(|pod| removed(pod) && pod.deletion_cost != Some(FIRST_COST)) {
            acts.push(RemovalAction::SetCost { pod: pod.name.clone(), uid: pod.uid.clone() });
        }
    }
    if acts.is_empty() { vec![RemovalAction::Change] } else { acts }
}

/// The number is changed: Kubernetes removes or adds pods.
fn after(world: &World, view: &RemovalView<'_>, change: &Change<'_>) -> Vec<RemovalAction> {
    let run = &view.run;
    let pods: Vec<&Pod> = living(world, run.id, change.field).collect();
    let found = sets(world, run.id, change.field);
    let listed = listed(world, run.id, change.field);
    let names: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| pod.owner.as_ref().map(|owner| owner.name.as_str()))
        .chain(found.iter().map(|set| set.name.as_str()))
        .collect();
    let there: u64 = found.iter().map(|set| set.replicas).sum();
    if listed && there != change.to {
        let message = if change.by_operator && change.to < change.from {
            format!("waiting for the operator, which evacuates and removes pods: {}", evacuating(view, there))
        } else {
            format!("waiting for the operator to change {} to {}", plural(there, "pod"), change.to)
        };
        // The operator's own evacuations take time.
        let busy = change.by_operator && view.evacuates();
        return vec![if busy { RemovalAction::Wait(message) } else { RemovalAction::Starting(message) }];
    }
    let mut acts = Vec::new();
    let number = pods.len() as u64;
    if number <= change.to {
        // Deletion costs of this program, and its evacuations of pods that stay, are removed.
        let cost = pods.iter().filter(|pod| pod.deletion_cost == Some(FIRST_COST));
        acts.extend(cost.map(|pod| RemovalAction::ClearCost { pod: pod.name.clone(), uid: pod.uid.clone() }));
        let here = run.pods.iter().filter(|it| view.present.contains(it.uid.as_str()));
        for pod in here.filter(|it| it.started) {
            if let Some(entry) = view.entry(pod.node.as_ref()) {
                acts.push(RemovalAction::StopEvacuation { node: entry.node.clone() });
            }
        }
        if !change.by_operator {
            acts.extend(restored(view, &names, |node| change.ours.contains(node)));
        }
        if !acts.is_empty() {
            return acts;
        }
    }
    let going: Vec<&str> = world
        .pods_of(run.id)
        .filter(|pod| {
            pod.deleting.is_some() && pod.owner.as_ref().is_some_and(|it| names.contains(it.name.as_str()))
        })
        .map(|pod| pod.name.as_str())
        .collect();
    if number > change.to {
        return vec![RemovalAction::Starting(format!(
            "waiting for {} to be removed",
            plural(number - change.to, "pod")
        ))];
    }
    if !going.is_empty() {
        return vec![RemovalAction::Starting(format!("waiting until {} is deleted", going.join(", ")))];
    }
    let serving: u64 =
        names.iter().map(|set| view.rows(set).filter(|row| view.serves(row)).count() as u64).sum();
    if serving < change.to {
        let lacking: Vec<(&str, u64)> = names.iter().map(|set| (*set, change.to - serving)).collect();
        return vec![absent(view, &lacking)];
    }
    vec![RemovalAction::Done]
}

fn evacuating(view: &RemovalView<'_>, there: u64) -> String {
    format!("{} now", plural(there, "pod"))
        + if view.evacuates() { ", and EMQX evacuates a node" } else { "" }
}

/// The state of each pod that is removed, in their order.
pub(crate) fn standings(world: &World, run: RemovalRun<'_>, now: Timestamp) -> Vec<PodProgress> {
    let view = RemovalView::of(world, run, now);
    let stand = |pod: &crate::model::drain::DrainedPod| {
        if !view.present.contains(pod.uid.as_str()) {
            let there = world.pods_of(run.id).any(|it| it.uid == pod.uid);
            return if there { PodProgress::Replacing } else { PodProgress::Done };
        }
        view.stands(pod)
    };
    run.pods.iter().map(stand).collect()
}
