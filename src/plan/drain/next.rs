//! What to do next in a drain. Nothing is remembered beside what is stored, so that a drain continues from any point: after
//! Ctrl-C, a kill, or from another machine.
//!
//! ```text
//! a pod:  evacuate ─► EMQX reports it empty ─► evict (this uid) ─► its set is complete again ─► the next one
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::membership::Membership;
use super::super::picture::{NodeRow, Picture, picture};
use super::super::upgrade::words::doing;
use super::super::words::short;
use super::sizes;
use crate::model::drain::DrainedPod;
use crate::model::human::{plural, seconds_between};
use crate::model::{Evacuation, InstanceId, Load, NodeName, PodName, Role, Seen, Stage, World};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask EMQX to empty a node.
    StartEvacuation {
        /// The node.
        node: NodeName,
        /// The pod's uid.
        uid: String,
    },
    /// Ask EMQX to let a node serve again: its pod was replaced, and EMQX restored our evacuation from the volume.
    StopEvacuation {
        /// The node.
        node: NodeName,
    },
    /// Evict this very pod.
    Evict {
        /// The pod.
        pod: PodName,
        /// Its uid.
        uid: String,
    },
    /// Nothing; why.
    Wait(String),
    /// Nothing; which replacement has not started yet.
    Starting(String),
    /// A replacement does not come up; why.
    Missing(String),
    /// What another client has to do before the drain can continue.
    Needs(String),
    /// Nothing any more: every pod was moved.
    Done,
}

/// What is drained, and how.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The cluster.
    pub id: &'a InstanceId,
    /// The pods, in their order.
    pub pods: &'a [DrainedPod],
    /// The wanted pods of each set at the start.
    pub sizes: &'a BTreeMap<String, u64>,
    /// Whether all pods that hold clients are evacuated first.
    pub together: bool,
    /// Pods that are moved at a time.
    pub parallel: u64,
    /// Seconds that an answer of EMQX's may be old and still prove something.
    pub fresh_seconds: u64,
}

/// How one pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its turn has not come.
    Planned,
    /// EMQX empties it.
    Evacuating,
    /// EMQX reports that it is empty.
    Empty,
    /// It is being deleted, or its set is not complete again.
    Replacing,
    /// Its set is complete again.
    Done,
}

impl Standing {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Evacuating => "evacuating",
            Self::Empty => "empty",
            Self::Replacing => "replacing",
            Self::Done => "done",
        }
    }
}

struct View<'a> {
    run: Run<'a>,
    picture: Picture,
    load: Option<&'a Load>,
    present: BTreeSet<&'a str>,
    /// The names of pods that are up: not being deleted, and their containers are started.
    up: BTreeSet<&'a str>,
    sizes: BTreeMap<String, u64>,
}

impl<'a> View<'a> {
    fn of(world: &'a World, run: Run<'a>, now: Timestamp) -> Self {
        let present: BTreeSet<&str> = world
            .pods_of(run.id)
            .filter(|pod| pod.deleting.is_none())
            .map(|pod| pod.uid.as_str())
            .filter(|uid| run.pods.iter().any(|it| it.uid == *uid))
            .collect();
        let up = world.pods_of(run.id).filter(|pod| pod.deleting.is_none() && pod.phase == "Running");
        let up = up.map(|pod| pod.name.as_str()).collect();
        let mut wanted = run.sizes.clone();
        let seen = sizes(world, run.id);
        let listed: BTreeSet<&str> = world.sets_of(run.id).map(|set| set.name.as_str()).collect();
        for (set, size) in &mut wanted {
            // Sets that may not be read keep the size that they had.
            if let Some(now) = seen.get(set).filter(|_| listed.contains(set.as_str())) {
                *size = *now;
            }
        }
        Self {
            picture: picture(world, run.id, now),
            load: world.load.as_ref().map(|load| &load.value),
            present,
            up,
            sizes: wanted,
            run,
        }
    }

    fn entry(&self, node: Option<&NodeName>) -> Option<&'a Evacuation> {
        let load = self.load?;
        load.evacuations.iter().find(|entry| Some(&entry.node) == node)
    }

    /// The rows of a set, without the pods that are still to be moved.
    fn others<'s>(&'s self, set: &'s str) -> impl Iterator<Item = &'s NodeRow> {
        self.picture.nodes.iter().filter(move |row| {
            row.set.as_deref() == Some(set)
                && !self
                    .run
                    .pods
                    .iter()
                    .any(|it| self.present.contains(it.uid.as_str()) && row.pod.as_ref() == Some(&it.pod))
        })
    }

    fn serves(&self, row: &NodeRow) -> bool {
        let takes_clients = self.picture.participants().first().is_none_or(|first| first.role == row.role);
        row.running
            && row.ready == Some(true)
            && row.pod.as_ref().is_some_and(|pod| self.up.contains(pod.as_str()))
            && (!takes_clients || row.serving != Some(false))
            && self.entry(row.node.as_ref()).is_none()
    }

    /// Pods that a set lacks.
    fn lacks(&self, set: &str) -> u64 {
        let wanted = self.sizes.get(set).copied().unwrap_or(0);
        let still = self.run.pods.iter().filter(|it| it.set == set && self.present.contains(it.uid.as_str()));
        let needed = wanted.saturating_sub(still.count() as u64);
        needed.saturating_sub(self.others(set).filter(|row| self.serves(row)).count() as u64)
    }

    fn role(&self, set: &str) -> Role {
        let row = self.picture.nodes.iter().find(|row| row.set.as_deref() == Some(set));
        row.map_or(Role::Core, |row| row.role)
    }

    fn row(&self, pod: &DrainedPod) -> Option<&NodeRow> {
        self.picture.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.pod))
    }
}

fn fresh<T>(seen: Option<&Seen<T>>, within: u64, now: Timestamp) -> bool {
    seen.is_some_and(|seen| seconds_between(seen.at, now) <= within)
}

/// Whether EMQX reports that nothing is left on an evacuated node.
fn empty(entry: &Evacuation, row: Option<&NodeRow>) -> bool {
    let clients = row.and_then(|row| row.connections).or(entry.connections);
    entry.stage == Stage::Prohibiting && clients == Some(0) && entry.sessions.unwrap_or(0) == 0
}

/// What to do now.
pub fn next(world: &World, run: Run<'_>, now: Timestamp) -> Vec<Act> {
    let view = View::of(world, run, now);
    let sets: BTreeSet<&str> = run.pods.iter().map(|it| it.set.as_str()).collect();
    if !fresh(world.load.as_ref(), run.fresh_seconds, now)
        || !fresh(world.nodes.as_ref(), run.fresh_seconds, now)
    {
        return vec![Act::Wait("EMQX has not answered for some seconds".to_owned())];
    }
    let mut acts = restored(&view, &sets);
    let lacking: Vec<(&str, u64)> =
        sets.iter().map(|set| (*set, view.lacks(set))).filter(|(_, lacks)| *lacks > 0).collect();
    if view.present.is_empty() && lacking.is_empty() && acts.is_empty() {
        return vec![Act::Done];
    }
    let waves = |role: Role| {
        let to_move =
            run.pods.iter().any(|it| view.present.contains(it.uid.as_str()) && view.role(&it.set) == role);
        to_move || lacking.iter().any(|(set, _)| view.role(set) == role)
    };
    // Replicants before cores: a core that goes while a replicant is missing would be one node too many.
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
                    acts.push(Act::Evict { pod: pod.pod.clone(), uid: pod.uid.clone() });
                }
            }
            (Some(entry), _) => waits.push(format!("{}: {}", pod.pod, doing(&entry.stage))),
            (None, Some(row)) if row.running => match node {
                Some(node) => acts.extend(start(&view, node, &pod.uid)),
                None => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
            },
            // There is no EMQX in it: nothing is lost with it.
            (None, Some(row)) if row.ready != Some(true) => {
                if free > 0 {
                    free -= 1;
                    acts.push(Act::Evict { pod: pod.pod.clone(), uid: pod.uid.clone() });
                }
            }
            (None, _) => waits.push(format!("EMQX does not list the node of {}", pod.pod)),
        }
    }
    if acts.is_empty() && missing > 0 {
        return vec![absent(&view, &lacking)];
    }
    if acts.is_empty() {
        acts.push(Act::Wait(waits.join(", ")));
    }
    acts
}

/// Evacuations in pods that are not to be moved: EMQX restored them from the volume of a pod that was.
fn restored(view: &View<'_>, sets: &BTreeSet<&str>) -> Vec<Act> {
    let mut acts = Vec::new();
    for set in sets {
        let up = |row: &&NodeRow| row.pod.as_ref().is_some_and(|pod| view.up.contains(pod.as_str()));
        for row in view.others(set).filter(|row| row.running).filter(up) {
            let Some(entry) = view.entry(row.node.as_ref()) else { continue };
            let ours = |it: &&DrainedPod| it.node.as_ref() == Some(&entry.node);
            match view.run.pods.iter().find(ours) {
                Some(pod) if pod.started => acts.push(Act::StopEvacuation { node: entry.node.clone() }),
                _ => acts.push(Act::Needs(format!(
                    "{} is being evacuated ({}), and this drain did not start it: kubectl emqx evacuate stop {} lets it \
                     serve, then the drain continues",
                    row.label(),
                    entry.state,
                    entry.node
                ))),
            }
        }
    }
    acts
}

/// Starts an evacuation, if nothing speaks against it now.
fn start(view: &View<'_>, node: &NodeName, uid: &str) -> Option<Act> {
    let load = view.load?;
    if let Some(entry) = load.rebalances.first() {
        return Some(Act::Needs(format!(
            "a rebalance runs (coordinator {}): kubectl emqx rebalance stop coordinator/{} ends it, then the drain continues",
            short(&entry.coordinator),
            entry.coordinator
        )));
    }
    if let Some(purge) = load.purges.first() {
        return Some(Act::Needs(format!(
            "EMQX purges its sessions (on {purge}); the drain continues afterwards"
        )));
    }
    let moved = |row: &NodeRow| {
        view.run
            .pods
            .iter()
            .any(|it| row.pod.as_ref() == Some(&it.pod) && view.present.contains(it.uid.as_str()))
    };
    let participants = view.picture.participants();
    let takes = participants
        .iter()
        .any(|row| row.node.as_ref() != Some(node) && view.serves(row) && !(view.run.together && moved(row)));
    if !takes {
        return Some(Act::Needs(
            "no other EMQX node takes clients now; the drain continues when one does".to_owned(),
        ));
    }
    Some(Act::StartEvacuation { node: node.clone(), uid: uid.to_owned() })
}

/// What a set waits for.
fn absent(view: &View<'_>, lacking: &[(&str, u64)]) -> Act {
    let named = |row: &&NodeRow| row.membership != Some(Membership::Stopped) || row.pod.is_some();
    for (set, _) in lacking {
        let row = view.others(set).filter(named).find(|row| !view.serves(row));
        if let Some(row) = row {
            let why = match (&row.pod_reason, row.running, row.ready) {
                (Some(reason), _, _) => reason.clone(),
                (None, false, _) => "it is not in EMQX's cluster yet".to_owned(),
                (None, true, Some(true)) => "the Service does not lead clients to it yet".to_owned(),
                (None, true, _) => "it is not ready yet".to_owned(),
            };
            let message = format!("waiting for {} of {set}: {why}", row.label());
            return if row.pod_reason.is_some() { Act::Missing(message) } else { Act::Starting(message) };
        }
    }
    let parts: Vec<String> =
        lacking.iter().map(|(set, lacks)| format!("{} of {set}", plural(*lacks, "new pod"))).collect();
    Act::Starting(format!("waiting for {}", parts.join(", ")))
}

/// How each pod stands, in their order.
pub fn standings(world: &World, run: Run<'_>, now: Timestamp) -> Vec<Standing> {
    let view = View::of(world, run, now);
    let stand = |pod: &DrainedPod| {
        if !view.present.contains(pod.uid.as_str()) {
            return if view.lacks(&pod.set) == 0 { Standing::Done } else { Standing::Replacing };
        }
        let row = view.row(pod);
        match view.entry(row.and_then(|row| row.node.as_ref()).or(pod.node.as_ref())) {
            Some(entry) if empty(entry, row) => Standing::Empty,
            Some(_) => Standing::Evacuating,
            None => Standing::Planned,
        }
    };
    run.pods.iter().map(stand).collect()
}
