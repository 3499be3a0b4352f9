//! The forecast of an upgrade: the order and the duration of the removal of each old pod, and the total,
//! counted from the moment the new pods are ready (`startedAt`, `Available`): the time for pulling images is
//! unknown.

use serde::Serialize;

use super::revisions::{Member, UpgradeRevisions, sort};
use super::target::{UpgradeTarget, Way};
use crate::model::human::{count, duration, plural};
use crate::model::{ApiVersion, InstanceId, NodeName, PodName, World};
use crate::plan::durations::{self, DrainTiming, NodeContent, boot};
use crate::plan::finding::{Decision, Finding, Severity};
use crate::timing::{BOOT_SECONDS, GUARD_SECONDS, LOOP_SECONDS};

/// An old pod in a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// Its node; `None` when EMQX does not list one.
    pub node: Option<NodeName>,
    pub pod: PodName,
    pub set: String,
    /// Its place in the order of removal, from 1.
    pub order: u64,
    /// Live clients now.
    pub connections: Option<u64>,
    /// Sessions now.
    pub sessions: Option<u64>,
    /// Seconds from its turn until it is empty and removed.
    pub seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradePlan {
    /// The cluster.
    pub instance: InstanceId,
    /// The image that runs.
    pub from: Option<String>,
    /// The requested image.
    pub to: String,
    /// How pods are replaced.
    pub strategy: Way,
    /// Whether this program empties old pods before the operator may remove them.
    pub guarded: bool,
    pub decision: Decision,
    /// The reason for the decision, as a sentence.
    pub message: String,
    /// Old pods, in the order of their removal; empty when there is nothing to do.
    pub steps: Vec<PlannedStep>,
    /// Seconds from the moment the new pods are ready until the last old pod is removed.
    pub total_seconds: u64,
    /// What the checks found.
    pub findings: Vec<Finding>,
}

impl UpgradePlan {
    /// Adds what the checks found; a blocked finding refuses a plan that would go.
    pub(crate) fn judge(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let blocked = self.findings.iter().find(|finding| finding.severity == Severity::Blocked);
        if let Some(finding) = blocked
            && self.decision == Decision::Go
        {
            self.decision = Decision::Refused;
            self.message.clone_from(&finding.message);
        }
    }
}

/// The plan for one cluster as it is now; `None` when it is not known.
pub fn forecast(world: &World, id: &InstanceId, target: &UpgradeTarget) -> Option<UpgradePlan> {
    let revisions = UpgradeRevisions::of(world, id)?;
    // An upgrade to this image that is in progress is not "nothing to do": the checks name it. It is once all
    // pods are new and ready, although the operator's status does not report that yet.
    let under_way = (revisions.in_transition() || revisions.instance.upgrading()) && !revisions.converged();
    let UpgradeRevisions { instance, groups, old, new, .. } = revisions;
    let mut plan = UpgradePlan {
        instance: id.clone(),
        from: target.from.clone(),
        to: target.to.clone(),
        strategy: target.way,
        guarded: target.guarded,
        decision: Decision::Go,
        message: String::new(),
        steps: Vec::new(),
        total_seconds: 0,
        findings: Vec::new(),
    };
    if target.from.as_deref() == Some(target.to.as_str()) && !under_way {
        plan.decision = Decision::NothingToDo;
        plan.message = format!("{} runs {} already", id.name, target.to);
        return Some(plan);
    }
    // All pods that run now will be the old ones, without the pods of this very image that another change has made already.
    let continues = under_way && instance.image.as_deref() == Some(target.to.as_str());
    let new = if continues { Vec::new() } else { new };
    let mut members: Vec<Member<'_>> = old.into_iter().chain(new).collect();
    sort(&mut members, instance.api, &groups);
    let known = boot(members.iter().map(|member| member.pod));
    let timing = DrainTiming { startup: known.unwrap_or(BOOT_SECONDS), ..target.timing(instance) };
    let (seconds, total, mut reason) = match (instance.api, target.way) {
        (ApiVersion::V1beta4, Way::BlueGreen) if target.guarded => guarded(&members, &timing, target),
        (ApiVersion::V1beta4, Way::BlueGreen) => unguarded(&members, &timing),
        (ApiVersion::V1beta4, Way::Rolling) => restarts(&members, &timing),
        (ApiVersion::V3beta1, _) => rolling(&members, &timing, target),
        (ApiVersion::V2beta1 | ApiVersion::V2, _) => one_by_one(&members, &timing),
    };
    // With a blue-green upgrade the old pods are removed while the new ones already run.
    if target.way == Way::Rolling || instance.api == ApiVersion::V3beta1 {
        reason = match known {
            Some(seconds) => format!("{reason}; a pod starts in {seconds} s, as it last did"),
            None => format!("{reason}; {BOOT_SECONDS} s are assumed for the start of a pod"),
        };
    }
    plan.total_seconds = total;
    plan.message = reason;
    plan.steps = members
        .iter()
        .zip(seconds)
        .zip(1..)
        .map(|((member, seconds), order)| PlannedStep {
            node: member.node.clone(),
            pod: member.pod.name.clone(),
            set: member.set.clone(),
            order,
            connections: member.holds.map(|holds| holds.connections),
            sessions: member.holds.map(|holds| holds.sessions),
            seconds,
        })
        .collect();
    if members.iter().any(|member| member.holds.is_none()) {
        plan.findings.push(Finding::warning(
            "counts-unknown",
            "the clients of some nodes are not known: their seconds are those of an empty node",
        ));
    }
    Some(plan)
}

type Times = (Vec<u64>, u64, String);

fn holds(member: &Member<'_>) -> NodeContent {
    member.holds.unwrap_or_default()
}

/// v2beta1, v2: the operator removes one pod after another.
fn one_by_one(members: &[Member<'_>], timing: &DrainTiming) -> Times {
    let seconds: Vec<u64> = members.iter().map(|member| timing.per_pod(holds(member))).collect();
    let total = timing.first_eviction_at() + seconds.iter().sum::<u64>();
    let reason = format!(
        "{} emptied one after another, {} of waiting for load balancers each",
        plural(members.len() as u64, "old pod"),
        duration(timing.wait_health_check)
    );
    (seconds, total, reason)
}

/// v1beta4, guarded: this program empties them, in groups or one by one; then the operator removes one in
/// each loop.
fn guarded(members: &[Member<'_>], timing: &DrainTiming, target: &UpgradeTarget) -> Times {
    let sizes = if target.one_by_one { vec![1; members.len()] } else { timing.groups(members.len()) };
    let mut seconds = Vec::with_capacity(members.len());
    let mut emptying = 0;
    let mut rest = members;
    for size in &sizes {
        let (group, later) = rest.split_at(*size);
        rest = later;
        let shared = timing.shared(*size as u64);
        let drains: Vec<u64> = group.iter().map(|member| shared.drain(holds(member))).collect();
        emptying += drains.iter().copied().max().unwrap_or(0);
        seconds.extend(drains.iter().map(|drain| drain + timing.pod_removal()));
    }
    let removing = durations::removals(members.len() as u64, None);
    let all = plural(members.len() as u64, "old pod");
    let rate = count(timing.conn_evict_rate.unwrap_or(0));
    let how = match sizes.len() {
        _ if target.one_by_one => format!("{all} emptied one by one at {rate} clients a second"),
        0 | 1 => format!("{all} emptied together at {rate} clients a second in sum"),
        groups => {
            format!("{all} emptied in {groups} groups of {} at {rate} clients a second in sum", sizes[0])
        }
    };
    let total = GUARD_SECONDS + emptying + 1 + removing;
    (seconds, total, format!("{how} ({emptying} s), then removed one every {LOOP_SECONDS} s"))
}

/// v1beta4, unguarded: each pod is deleted in the second in which its evacuation starts ([OP-15]).
fn unguarded(members: &[Member<'_>], timing: &DrainTiming) -> Times {
    let pods = members.len() as u64;
    let total = timing.delay + durations::removals(pods, Some(timing.delay));
    let clients: u64 =
        cuts(&members.iter().map(|it| holds(it).connections).collect::<Vec<_>>(), pods).iter().sum();
    let reason = format!(
        "{} deleted with their clients still connected, one every {} to {} s: {} disconnections at once in all",
        plural(pods, "old pod"),
        LOOP_SECONDS,
        LOOP_SECONDS + timing.delay,
        count(clients)
    );
    (vec![LOOP_SECONDS; members.len()], total, reason)
}

/// v1beta4 without the block: the StatefulSet's own rolling update.
fn restarts(members: &[Member<'_>], timing: &DrainTiming) -> Times {
    let seconds = vec![timing.startup; members.len()];
    let reason = format!(
        "{} replaced one after another, each cutting its clients",
        plural(members.len() as u64, "pod")
    );
    (seconds, timing.startup * members.len() as u64, reason)
}

/// v3beta1: cores one at a time, replicants within their budget ([OP-62], [OP-76]).
fn rolling(members: &[Member<'_>], timing: &DrainTiming, target: &UpgradeTarget) -> Times {
    let alone = nowhere_to_evacuate(members);
    let turn = |member: &Member<'_>| {
        let empty = target.update.disabled || alone || holds(member).sessions == 0;
        if empty { timing.startup } else { timing.drain(holds(member)) + timing.startup }
    };
    let seconds: Vec<u64> = members.iter().map(turn).collect();
    let (replicants, cores): (Vec<_>, Vec<_>) =
        members.iter().zip(&seconds).partition(|(member, _)| replicant(member));
    let budget = budget(target, replicants.len());
    let batches: u64 =
        replicants.chunks(budget).map(|batch| batch.iter().map(|(_, it)| **it).max().unwrap_or(0)).sum();
    let total = batches + cores.iter().map(|(_, seconds)| **seconds).sum::<u64>();
    let reason = if replicants.is_empty() {
        format!("{} replaced one at a time, the highest number first", plural(cores.len() as u64, "core"))
    } else {
        format!(
            "{} replaced one at a time, the highest number first, and {} up to {budget} at a time; the last core waits for \
             the replicants",
            plural(cores.len() as u64, "core"),
            plural(replicants.len() as u64, "replicant")
        )
    };
    (seconds, total, reason)
}

fn replicant(member: &Member<'_>) -> bool {
    member.pod.owner.as_ref().is_some_and(|owner| owner.kind == "ReplicaSet")
}

/// Whether there is one core and no replicant: operator 3.x replaces it without an evacuation, because its sessions have
/// nowhere to go (source: the 3.x operator).
fn nowhere_to_evacuate(members: &[Member<'_>]) -> bool {
    members.len() == 1 && !replicant(&members[0])
}

/// The number of replicants that may be replaced at once: those that may be missing, and those that may be
/// surplus.
fn budget(target: &UpgradeTarget, replicants: usize) -> usize {
    let amount = |text: &Option<String>, default: usize, up: bool| {
        let Some(text) = text else { return default };
        match text.strip_suffix('%') {
            Some(percent) => {
                let share = percent.parse::<usize>().unwrap_or(0) * replicants;
                if up { share.div_ceil(100) } else { share / 100 }
            }
            None => text.parse().unwrap_or(default),
        }
    };
    let missing = amount(&target.update.max_unavailable, 1, false);
    let more = amount(&target.update.max_surge, 0, true);
    (missing + more).max(1)
}

/// Disconnections when old pods are removed one after another and stay in the Service until then:
/// disconnected clients reconnect evenly to all remaining pods, and are disconnected again ([OP-15], [OP-16]:
/// 800 + 914 + 1,068 + 1,282).
pub(crate) fn cuts(connections: &[u64], new: u64) -> Vec<u64> {
    let mut left = connections.to_vec();
    let mut cuts = Vec::with_capacity(left.len());
    for place in 0..left.len() {
        let cut = left[place];
        cuts.push(cut);
        let others = (left.len() - place - 1) as u64 + new;
        for later in left.iter_mut().skip(place + 1) {
            *later += cut / others.max(1);
        }
    }
    cuts
}

/// The duration of an undo of a half-finished upgrade, and of its continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackComparison {
    /// Seconds until the end if it continues.
    pub forward: u64,
    /// Seconds until the end if the image is put back, from the moment the third set is ready.
    pub back: u64,
    /// Sets that will run at once.
    pub sets: usize,
}

/// On v2beta1 and v2 an undo of a half-finished upgrade creates a third set. The oldest set is emptied first,
/// then the middle one, which stays in the Service and gains clients until its turn ([OP-21], [OP-22]).
/// `None` where no upgrade is half-finished, or where it is not known to converge (v1beta4: [OP-74]).
pub fn turn_back(world: &World, id: &InstanceId) -> Option<RollbackComparison> {
    let revisions = UpgradeRevisions::of(world, id)?;
    if !matches!(revisions.instance.api, ApiVersion::V2beta1 | ApiVersion::V2) || revisions.old.is_empty() {
        return None;
    }
    let timing = DrainTiming::of(revisions.instance);
    let forward: u64 = revisions.old.iter().map(|member| timing.per_pod(holds(member))).sum();
    // Clients of the oldest set reconnect evenly to the middle and the third set, which are equally large.
    // Where there are replicants, the Service sends no client to a core ([OP-14]).
    let replicants = revisions.old.iter().chain(&revisions.new).any(replicant);
    let serves = |member: &&Member<'_>| replicant(member) == replicants;
    let middle = revisions.new.iter().filter(serves).count() as u64;
    let coming = |of: fn(NodeContent) -> u64| -> u64 {
        revisions.old.iter().map(|member| of(holds(member))).sum::<u64>() / (2 * middle).max(1)
    };
    let (connections, sessions) = (coming(|it| it.connections), coming(|it| it.sessions));
    let later: u64 = revisions
        .new
        .iter()
        .map(|member| {
            let now = holds(member);
            if !serves(&member) {
                return timing.per_pod(now);
            }
            timing.per_pod(NodeContent {
                connections: now.connections + connections,
                sessions: now.sessions + sessions,
            })
        })
        .sum();
    Some(RollbackComparison { forward, back: forward + later, sets: 3 })
}

#[cfg(test)]
mod tests;
