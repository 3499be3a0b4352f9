//! What a drain and a scale have in common: pods are evacuated before they are removed, and the next step
//! follows from the stored state and from what EMQX and Kubernetes report now, so that both continue from any
//! point.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::evacuation::{Settings, counted};
use super::finding::{Decision, Finding, Severity};
use super::membership::Membership;
use super::snapshot::{NodeRow, Snapshot, snapshot};
use crate::model::drain::DrainedPod;
use crate::model::human::plural;
use crate::model::{
    Evacuation, EvictionStatus, InstanceId, NodeName, Pod, PodName, Role, Stage, Verdict, World,
};
use crate::plan::evacuation::waits_for_health_check;

mod gates;

pub(super) use gates::out_of_service_first;

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalAction {
    /// Ask EMQX to empty a node.
    StartEvacuation {
        node: NodeName,
        /// The pod's uid.
        uid: String,
    },
    /// Take a pod out of the Service before its evacuation begins.
    CloseGate { pod: PodName, uid: String },
    /// Ask EMQX to let a node serve again: its pod was replaced, and EMQX restored the evacuation from the
    /// volume.
    StopEvacuation { node: NodeName },
    /// Evict this very pod.
    Evict { pod: PodName, uid: String },
    /// No action; the reason.
    Wait(String),
    /// No action; the replacement that has not started yet.
    Starting(String),
    /// A replacement does not start; the reason.
    Missing(String),
    /// What another client has to do before the drain can continue.
    Needs(String),
    /// Let Kubernetes remove this pod first.
    SetCost { pod: PodName, uid: String },
    /// Let Kubernetes remove this pod no sooner than any other.
    ClearCost { pod: PodName, uid: String },
    /// Change the number of pods.
    Change,
    /// No further action: the goal is reached.
    Done,
}

/// The state of a pod in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    Planned,
    Evacuating,
    Empty,
    /// A drain: it is being deleted, or its set is not complete again.
    Replacing,
    /// A scale: it is being deleted.
    Removing,
    Done,
}

impl StepState {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Evacuating => "evacuating",
            Self::Empty => "empty",
            Self::Replacing => "replacing",
            Self::Removing => "removing",
            Self::Done => "done",
        }
    }
}

/// One pod that is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalStep {
    /// The EMQX node; `None` where EMQX lists none.
    pub node: Option<NodeName>,
    pub pod: PodName,
    /// The Kubernetes node; empty where it does not matter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_node: String,
    pub set: String,
    /// Core or replicant.
    pub role: Role,
    pub state: StepState,
    /// Live clients at the start; `None` where that is not known.
    pub connections: Option<u64>,
    /// Sessions at the start; `None` where that is not known.
    pub sessions: Option<u64>,
    /// Seconds until it is empty, and afterwards the seconds that it took until its replacement served.
    pub seconds: Option<u64>,
    /// The pod's uid.
    #[serde(skip)]
    pub uid: String,
}

/// A drain or a scale of one instance: the pods that it removes, its decision, and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalPlan {
    /// The cluster.
    pub instance: InstanceId,
    /// Whether it would start.
    pub decision: Decision,
    /// How it ended; `None` for a plan.
    pub verdict: Option<Verdict>,
    /// The reason for the decision or verdict, as a sentence.
    pub message: String,
    /// Disconnections of all clients together.
    pub disconnections: u64,
    /// The most clients that reconnect to one node in one second.
    pub reconnects_per_second: u64,
    /// Seconds of all evacuations, without the time that replacements take to start.
    pub total_seconds: u64,
    /// The pods, in their order.
    pub steps: Vec<RemovalStep>,
    /// What the checks found.
    pub findings: Vec<Finding>,
    /// Rates for each evacuated node, and waits.
    #[serde(skip)]
    pub settings: Settings,
    /// What is stored, as far as it is resumed or planned.
    #[serde(skip)]
    pub pods: Vec<DrainedPod>,
    /// Whether an unfinished operation is continued.
    #[serde(skip)]
    pub resumed: bool,
    /// Whether this EMQX waits for load balancers.
    #[serde(skip)]
    pub waits_for_load_balancers: bool,
    /// Whether pods leave the Service through their gates before the first evacuation begins.
    #[serde(skip)]
    pub gates: bool,
}

impl RemovalPlan {
    /// These pods, before anything is forecast or checked.
    pub(super) fn of(world: &World, snapshot: &Snapshot, pods: Vec<DrainedPod>, settings: &Settings) -> Self {
        let id = &snapshot.instance;
        let waits = world.instance(id).is_some_and(|it| waits_for_health_check(world, it));
        Self {
            instance: id.clone(),
            decision: Decision::Go,
            verdict: None,
            message: String::new(),
            disconnections: 0,
            reconnects_per_second: 0,
            total_seconds: 0,
            steps: steps(world, snapshot, id, &pods),
            findings: Vec::new(),
            settings: settings.clone(),
            pods,
            resumed: false,
            waits_for_load_balancers: waits,
            gates: !waits,
        }
    }

    /// Seconds of all evacuations of the operation; `None` where this plan is of a part of them, or of none.
    pub(crate) fn planned_seconds(&self) -> Option<u64> {
        Some(self.total_seconds).filter(|seconds| *seconds > 0 && !self.resumed)
    }

    /// Refuses the operation for a reason that is found outside of the plan.
    pub(crate) fn refuse(&mut self, id: &'static str, message: String, hint: &str) {
        self.findings.insert(0, Finding::new(id, Severity::Blocked, message).hint(hint));
        self.decide();
    }

    /// Refuses the operation when a finding blocks it.
    pub(crate) fn decide(&mut self) {
        if let Some(blocked) = self.findings.iter().find(|it| it.severity == Severity::Blocked) {
            self.decision = Decision::Refused;
            self.message.clone_from(&blocked.message);
        }
    }
}

/// Without EMQX's answer it is unknown which clients a pod holds, and nothing could be evacuated.
pub(super) fn not_asked(world: &World, snapshot: &Snapshot) -> Option<Finding> {
    let found = super::cluster_checks::not_asked(world, snapshot)?;
    Some(Finding::blocked("emqx-not-asked", found.message).hint(
        "let EMQX be asked: get secrets and get,create pods/portforward, or --emqx-url and --api-key-file",
    ))
}

/// The operation for which the next step is determined.
#[derive(Clone, Copy, Debug)]
pub struct RemovalRun<'a> {
    /// The command, as messages name it: `drain` or `scale`.
    pub task: &'static str,
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
    /// The age in seconds up to which an answer of EMQX is evidence.
    pub fresh_seconds: u64,
    /// Whether pods leave the Service through their gates before the first evacuation begins: this EMQX evicts at once.
    pub gates: bool,
}

/// The state of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodProgress {
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

impl From<PodProgress> for StepState {
    fn from(progress: PodProgress) -> Self {
        match progress {
            PodProgress::Planned => Self::Planned,
            PodProgress::Evacuating => Self::Evacuating,
            PodProgress::Empty => Self::Empty,
            PodProgress::Replacing => Self::Replacing,
            PodProgress::Done => Self::Done,
        }
    }
}

/// The world, prepared for the decision about the next step.
pub(super) struct RemovalView<'a> {
    pub(super) run: RemovalRun<'a>,
    pub(super) snapshot: Snapshot,
    load: Option<&'a EvictionStatus>,
    /// The uids of the pods that are still to be removed.
    pub(super) present: BTreeSet<&'a str>,
    /// The names of pods that are up: not being deleted, and their containers are started.
    up: BTreeSet<&'a str>,
    sizes: BTreeMap<String, u64>,
    world: &'a World,
    now: Timestamp,
}

impl<'a> RemovalView<'a> {
    pub(super) fn of(world: &'a World, run: RemovalRun<'a>, now: Timestamp) -> Self {
        let present: BTreeSet<&str> = world
            .pods_of(run.id)
            .filter(|pod| pod.deleting.is_none())
            .map(|pod| pod.uid.as_str())
            .filter(|uid| run.pods.iter().any(|it| it.uid == *uid))
            .collect();
        let up = world.pods_of(run.id).filter(|pod| pod.runs());
        let up = up.map(|pod| pod.name.as_str()).collect();
        let mut wanted = run.sizes.clone();
        let seen = sizes(world, run.id);
        let listed: BTreeSet<&str> = world.sets_of(run.id).map(|set| set.name.as_str()).collect();
        for (set, size) in &mut wanted {
            // Sets that may not be read keep their recorded size.
            if let Some(now) = seen.get(set).filter(|_| listed.contains(set.as_str())) {
                *size = *now;
            }
        }
        Self {
            snapshot: snapshot(world, run.id, now),
            load: world.broker(run.id).eviction_status(),
            present,
            up,
            sizes: wanted,
            run,
            world,
            now,
        }
    }

    /// A pod that is still to be removed.
    fn pod(&self, uid: &str) -> Option<&'a Pod> {
        self.world.pods_of(self.run.id).find(|pod| pod.uid == uid)
    }

    pub(super) fn entry(&self, node: Option<&NodeName>) -> Option<&'a Evacuation> {
        let load = self.load?;
        load.evacuations.iter().find(|entry| Some(&entry.node) == node)
    }

    /// The rows of a set, without the pods that are still to be moved.
    pub(super) fn others<'s>(&'s self, set: &'s str) -> impl Iterator<Item = &'s NodeRow> {
        self.snapshot.nodes.iter().filter(move |row| {
            row.set.as_deref() == Some(set)
                && !self
                    .run
                    .pods
                    .iter()
                    .any(|it| self.present.contains(it.uid.as_str()) && row.pod.as_ref() == Some(&it.pod))
        })
    }

    pub(super) fn serves(&self, row: &NodeRow) -> bool {
        let takes_clients = self.snapshot.participating_role() == row.role;
        row.running
            && row.ready == Some(true)
            && row.pod.as_ref().is_some_and(|pod| self.up.contains(pod.as_str()))
            && (!takes_clients || row.serving != Some(false))
            && self.entry(row.node.as_ref()).is_none()
    }

    /// The rows of a set.
    pub(super) fn rows<'s>(&'s self, set: &'s str) -> impl Iterator<Item = &'s NodeRow> {
        self.snapshot.nodes.iter().filter(move |row| row.set.as_deref() == Some(set))
    }

    /// Whether EMQX evacuates a node.
    pub(super) fn evacuates(&self) -> bool {
        self.load.is_some_and(|load| !load.evacuations.is_empty())
    }

    /// The state of a pod that still exists.
    pub(super) fn stands(&self, pod: &DrainedPod) -> PodProgress {
        let row = self.row(pod);
        match self.entry(row.and_then(|row| row.node.as_ref()).or(pod.node.as_ref())) {
            Some(entry) if empty(entry, row) => PodProgress::Empty,
            Some(_) => PodProgress::Evacuating,
            None => PodProgress::Planned,
        }
    }

    /// The number of pods that a set lacks.
    pub(super) fn lacks(&self, set: &str) -> u64 {
        let wanted = self.sizes.get(set).copied().unwrap_or(0);
        let still = self.run.pods.iter().filter(|it| it.set == set && self.present.contains(it.uid.as_str()));
        let needed = wanted.saturating_sub(still.count() as u64);
        needed.saturating_sub(self.others(set).filter(|row| self.serves(row)).count() as u64)
    }

    pub(super) fn role(&self, set: &str) -> Role {
        let row = self.snapshot.nodes.iter().find(|row| row.set.as_deref() == Some(set));
        row.map(|row| row.role).unwrap_or_default()
    }

    pub(super) fn row(&self, pod: &DrainedPod) -> Option<&NodeRow> {
        self.snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.pod))
    }
}

/// Whether EMQX reports that nothing is left on an evacuated node.
pub(super) fn empty(entry: &Evacuation, row: Option<&NodeRow>) -> bool {
    let clients = row.and_then(|row| row.connections).or(entry.connections);
    entry.stage == Stage::Prohibiting && clients == Some(0) && entry.sessions.unwrap_or(0) == 0
}

/// The number of requested pods of each set; the number of present pods where sets may not be read.
pub(super) fn sizes(world: &World, id: &InstanceId) -> BTreeMap<String, u64> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for pod in world.pods_of(id).filter(|pod| pod.deleting.is_none()) {
        if let Some(owner) = &pod.owner {
            *sizes.entry(owner.name.clone()).or_default() += 1;
        }
    }
    for set in world.sets_of(id) {
        if let Some(size) = sizes.get_mut(&set.name) {
            *size = set.replicas;
        }
    }
    sizes
}

/// A step for each pod, with its present state.
pub(super) fn steps(
    world: &World,
    snapshot: &Snapshot,
    id: &InstanceId,
    pods: &[DrainedPod],
) -> Vec<RemovalStep> {
    let step = |it: &DrainedPod| {
        let pod = world.pods_of(id).find(|pod| pod.uid == it.uid && pod.deleting.is_none());
        let held = pod.and(it.node.as_ref()).and_then(|node| counted(world, snapshot, node));
        let role = pod.and_then(|pod| pod.role).or_else(|| {
            let row = snapshot.nodes.iter().find(|row| row.set.as_ref() == Some(&it.set));
            row.map(|row| row.role)
        });
        RemovalStep {
            node: it.node.clone(),
            pod: it.pod.clone(),
            kubernetes_node: it.machine.clone(),
            set: it.set.clone(),
            role: role.unwrap_or_default(),
            state: if pod.is_some() { StepState::Planned } else { StepState::Replacing },
            connections: held.as_ref().map(|held| held.connections),
            sessions: held.as_ref().map(|held| held.sessions),
            seconds: None,
            uid: it.uid.clone(),
        }
    };
    pods.iter().map(step).collect()
}

/// Evacuations in pods that stay: EMQX restored them from the volume of a removed pod. `ours` is whether this
/// program started the evacuation of a node.
pub(super) fn restored(
    view: &RemovalView<'_>,
    sets: &BTreeSet<&str>,
    ours: impl Fn(&NodeName) -> bool,
) -> Vec<RemovalAction> {
    let mut acts = Vec::new();
    for set in sets {
        let up = |row: &&NodeRow| row.pod.as_ref().is_some_and(|pod| view.up.contains(pod.as_str()));
        for row in view.others(set).filter(|row| row.running).filter(up) {
            let Some(entry) = view.entry(row.node.as_ref()) else { continue };
            if ours(&entry.node) {
                acts.push(RemovalAction::StopEvacuation { node: entry.node.clone() });
                continue;
            }
            let task = view.run.task;
            acts.push(RemovalAction::Needs(format!(
                "{} is being evacuated ({}), and this {task} did not start it: kubectl emqx evacuate stop {} lets it serve, \
                 then the {task} continues",
                row.label(),
                entry.state,
                entry.node
            )));
        }
    }
    acts
}

/// The action that starts an evacuation; `None` if something prevents it now.
pub(super) fn start(view: &RemovalView<'_>, node: &NodeName, uid: &str) -> Option<RemovalAction> {
    let load = view.load?;
    if let Some(entry) = load.rebalances.first() {
        return Some(RemovalAction::Needs(format!(
            "a rebalance runs (coordinator {}): kubectl emqx rebalance stop coordinator/{} ends it, then the {} continues",
            entry.coordinator.short(),
            entry.coordinator,
            view.run.task
        )));
    }
    if let Some(purge) = load.purges.first() {
        return Some(RemovalAction::Needs(format!(
            "EMQX purges its sessions (on {purge}); the {} continues afterwards",
            view.run.task
        )));
    }
    let moved = |row: &NodeRow| {
        view.run
            .pods
            .iter()
            .any(|it| row.pod.as_ref() == Some(&it.pod) && view.present.contains(it.uid.as_str()))
    };
    let participants = view.snapshot.participants();
    let takes = participants
        .iter()
        .any(|row| row.node.as_ref() != Some(node) && view.serves(row) && !(view.run.together && moved(row)));
    if !takes {
        return Some(RemovalAction::Needs(format!(
            "no other EMQX node takes clients now; the {} continues when one does",
            view.run.task
        )));
    }
    Some(RemovalAction::StartEvacuation { node: node.clone(), uid: uid.to_owned() })
}

/// The action that reports which pods a set waits for.
pub(super) fn absent(view: &RemovalView<'_>, lacking: &[(&str, u64)]) -> RemovalAction {
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
            return if row.pod_reason.is_some() {
                RemovalAction::Missing(message)
            } else {
                RemovalAction::Starting(message)
            };
        }
    }
    let parts: Vec<String> =
        lacking.iter().map(|(set, lacks)| format!("{} of {set}", plural(*lacks, "new pod"))).collect();
    RemovalAction::Starting(format!("waiting for {}", parts.join(", ")))
}
