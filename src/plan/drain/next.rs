//! What to do next in a drain. Nothing is remembered beside what is stored, so that a drain continues from any point: after
//! Ctrl-C, a kill, or from another machine.
//!
//! ```text
//! a pod:  evacuate ─► EMQX reports it empty ─► evict (this uid) ─► its set is complete again ─► the next one
//! ```

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use super::super::removal::{PodProgress, RemovalAction, RemovalRun};
use super::super::removal::{RemovalView, absent, empty, out_of_service_first, restored, start};
use crate::model::drain::DrainedPod;
use crate::model::{NodeName, Role, World};
use crate::plan::evacuation::doing;

/// What to do now.
pub(crate) fn next(world: &World, run: RemovalRun<'_>, now: Timestamp) -> Vec<RemovalAction> {
    let view = RemovalView::of(world, run, now);
    let sets: BTreeSet<&str> = run.pods.iter().map(|it| it.set.as_str()).collect();
    if !world.broker(run.id).is_within(run.fresh_seconds, now) {
        return vec![RemovalAction::Wait("EMQX has not answered for some seconds".to_owned())];
    }
    let ours = |node: &NodeName| run.pods.iter().any(|it| it.started && it.node.as_ref() == Some(node));
    let mut acts = restored(&view, &sets, ours);
    let lacking: Vec<(&str, u64)> =
        sets.iter().map(|set| (*set, view.lacks(set))).filter(|(_, lacks)| *lacks > 0).collect();
    if view.present.is_empty() && lacking.is_empty() && acts.is_empty() {
        return vec![RemovalAction::Done];
    }
    let waves = |role: Role| {
        let to_move =
            run.pods.iter().any(|it| view.present.contains(it.uid.as_str()) && view.role(&it.set) == role);
        to_move || lacking.iter().any(|(set, _)| view.role(set) == role)
    };
    // Replicants before cores: removing a core while a replicant is missing would remove one node too many.
    let wave = if waves(Role::Replicant) { Role::Replicant } else { Role::Core };
    let to_move: Vec<&DrainedPod> = run
        .pods
        .iter()
        .filter(|it| view.present.contains(it.uid.as_str()) && view.role(&it.set) == wave)
        .collect();
    let limit = if wave == Role::Core { 1 } else { run.parallel.max(1) };
    let missing: u64 = lacking.iter().filter(|(set, _)| view.role(set) == wave).map(|(_, lacks)| lacks).sum();
    let mut free = limit.saturating_sub(missing);
    let active = if run.together { to_move.len() } else { free as usize };
    let mut waits = Vec::new();
    for pod in to_move.into_iter().take(active) {
        let row = view.row(pod);
        let node = row.and_then(|row| row.node.as_ref()).or(pod.node.as_ref());
        match (view.entry(node), row) {
            (Some(entry), row) if empty(entry, row) => {
                if free > 0 {
                    free -= 1;
                    acts.push(RemovalAction::Evict { pod: pod.pod.clone(), uid: pod.uid.clone() });
                }
            }
            (Some(entry), _) => waits.push(format!("{}: {}", pod.pod, doing(&entry.stage))),
            (None, Some(row)) if row.running => match node {
                Some(node) => acts.extend(start(&view, node, &pod.uid)),
                None => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
            },
            // EMQX does not run in this pod: an eviction disconnects no client.
            (None, Some(row)) if row.ready != Some(true) => {
                if free > 0 {
                    free -= 1;
                    acts.push(RemovalAction::Evict { pod: pod.pod.clone(), uid: pod.uid.clone() });
                }
            }
            (None, _) => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
        }
    }
    if acts.is_empty() && missing > 0 {
        return vec![absent(&view, &lacking)];
    }
    if acts.is_empty() {
        acts.push(RemovalAction::Wait(waits.join(", ")));
    }
    out_of_service_first(&view, acts)
}

/// The state of each pod, in their order.
pub(crate) fn standings(world: &World, run: RemovalRun<'_>, now: Timestamp) -> Vec<PodProgress> {
    let view = RemovalView::of(world, run, now);
    // The replacement in a StatefulSet has the same name. In a ReplicaSet it is that of the pods that were evicted last, in their
    // order, that is lacking.
    let absent = |pod: &&DrainedPod| !view.present.contains(pod.uid.as_str());
    let stand = |(place, pod): (usize, &DrainedPod)| {
        if view.present.contains(pod.uid.as_str()) {
            return view.stands(pod);
        }
        if view.row(pod).is_some_and(|row| view.serves(row)) {
            return PodProgress::Done;
        }
        let later = run.pods[place + 1..].iter().filter(|it| it.set == pod.set).filter(absent).count();
        if view.lacks(&pod.set) > later as u64 { PodProgress::Replacing } else { PodProgress::Done }
    };
    run.pods.iter().enumerate().map(stand).collect()
}
