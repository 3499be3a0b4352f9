//! An upgrade that stalls: no progress for three times the expected duration of the step, and at least 60 s;
//! with the cause, where it is known.

use jiff::Timestamp;

use super::super::operator::{OperatorProcess, evidence};
use super::messages;
use super::revisions::UpgradeRevisions;
use super::run::{UpgradeRun, UpgradeStep, evacuations};
use super::target::undoing;
use crate::model::human::{count, duration, plural, seconds_between};
use crate::model::{ApiVersion, Pod, Stage, World};
use crate::plan::durations::DrainTiming;
use crate::plan::upgrade::sources::{blind, known_until, load_answers};
use crate::timing::{IMAGE_PULL_SECONDS, LOOP_SECONDS, POD_GRACE_SECONDS, SHORTEST_STALL_SECONDS};

/// The reason for a stall; `None` where there is none.
pub(super) fn find(
    run: &UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
) -> Option<String> {
    let broker = world.broker(&revisions.instance.id);
    // What EMQX does meanwhile is not known: only the pods make no progress.
    let what = if blind(broker, now) { "no progress of the pods" } else { "no progress" };
    // Without answers it is unknown whether it stalls.
    let now = known_until(world, broker, now);
    let still = seconds_between(run.moved.max(run.step_since), now);
    // A step that changes back and forth looks new, and is no progress.
    let still = still.max(seconds_between(run.moved, now).saturating_sub(SHORTEST_STALL_SECONDS));
    // Where pods cannot be listed, the progress is unknown.
    if still < SHORTEST_STALL_SECONDS
        || (revisions.old.is_empty() && revisions.new.is_empty() && revisions.answered)
    {
        return None;
    }
    let (limit, cause) = expected(run, revisions, world, now)?;
    (still >= limit).then(|| format!("{what} for {}: {cause}", duration(still)))
}

fn expected(
    run: &UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
) -> Option<(u64, String)> {
    if run.holding && undoing(revisions.instance) {
        return None;
    }
    let timing = DrainTiming::of(revisions.instance);
    let three = |step: u64| (3 * step).max(SHORTEST_STALL_SECONDS);
    match run.step {
        UpgradeStep::NewPods => {
            if !run.evacuating(revisions).is_empty() && run.rolling {
                return emptying(run, revisions, world, now, &timing);
            }
            if !revisions.answered && revisions.new.is_empty() {
                return Some((
                    SHORTEST_STALL_SECONDS,
                    silent(run, revisions, world, now, "it has not made a new set"),
                ));
            }
            if let Some(cause) = not_ready(revisions, world) {
                return Some((SHORTEST_STALL_SECONDS, cause));
            }
            let unknown = run.blind.as_ref().map_or_else(String::new, |why| format!("; {why}"));
            Some((IMAGE_PULL_SECONDS, format!("new pods are not ready{unknown}")))
        }
        // Paused by this program or by another client: no progress is expected.
        _ if run.holding
            && run.evacuating(revisions).iter().all(|(_, stage)| **stage == Stage::Prohibiting) =>
        {
            None
        }
        UpgradeStep::Moved | UpgradeStep::Waiting => {
            // The operator touches no old pod before all new ones are ready.
            if let Some(cause) = not_ready(revisions, world) {
                return Some((SHORTEST_STALL_SECONDS, cause));
            }
            let step = match revisions.instance.api {
                ApiVersion::V1beta4 => LOOP_SECONDS + timing.delay,
                _ => timing.delay.max(LOOP_SECONDS),
            };
            Some((three(step), silent(run, revisions, world, now, "the next old pod is not touched")))
        }
        UpgradeStep::Emptying => emptying(run, revisions, world, now, &timing),
        UpgradeStep::Removing => {
            let going = revisions.old.iter().find(|member| member.pod.deleting.is_some())?;
            Some((three(POD_GRACE_SECONDS), format!("{} does not go although it is deleted", going.pod.name)))
        }
        UpgradeStep::Settling => {
            let (ready, wanted) = run.ready;
            let cause = not_ready(revisions, world).unwrap_or_else(|| {
                if ready < wanted {
                    format!("{} of {} ready", ready, plural(wanted, "new pod"))
                } else {
                    "EMQX still lists an old node as running, or does not list a new one".to_owned()
                }
            });
            Some((three(LOOP_SECONDS), cause))
        }
    }
}

fn emptying(
    run: &UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
    timing: &DrainTiming,
) -> Option<(u64, String)> {
    if let Some(why) = &run.blind {
        let text = format!("no old pod was removed; {why}, so that what is left on the old pods is unknown");
        return Some((IMAGE_PULL_SECONDS, text));
    }
    let busy = run.evacuating(revisions);
    let (member, stage) = busy.iter().min_by_key(|(_, stage)| *stage)?;
    let name = &member.pod.name;
    let holds = member.holds.unwrap_or_default();
    Some(match stage {
        Stage::WaitHealthCheck => (
            (3 * timing.wait_health_check).max(SHORTEST_STALL_SECONDS),
            format!("{name} stays in waiting_health_check"),
        ),
        Stage::EvictingConns if holds.connections == 0 => {
            (SHORTEST_STALL_SECONDS, format!("{name} stays in evicting_conns although no client is on it"))
        }
        Stage::EvictingConns => (
            SHORTEST_STALL_SECONDS,
            format!("{} on {name} come back to it or do not go", plural(holds.connections, "client")),
        ),
        Stage::WaitTakeover => (
            (3 * timing.wait_takeover).max(SHORTEST_STALL_SECONDS),
            format!("{name} stays in waiting_takeover"),
        ),
        Stage::EvictingSessions if holds.sessions == 0 => (
            SHORTEST_STALL_SECONDS,
            format!("{name} stays in evicting_sessions although no session is on it"),
        ),
        Stage::EvictingSessions => (
            SHORTEST_STALL_SECONDS,
            format!(
                "{} on {name} do not go (known: emqx#14353 fixed in 5.8.4, emqx#14907 in 5.9.0; durable sessions are \
                 counted but cannot be moved)",
                plural(holds.sessions, "session")
            ),
        ),
        Stage::Prohibiting => {
            if let Some(cause) = pod_problem(revisions).or_else(|| foreign(revisions, world)) {
                return Some((SHORTEST_STALL_SECONDS, cause));
            }
            let limit = (timing.wait_takeover + POD_GRACE_SECONDS).max(SHORTEST_STALL_SECONDS);
            let again = world
                .kubernetes
                .events
                .values()
                .map(|seen| &seen.value)
                .filter(|event| event.namespace == run.id.namespace && event.about == run.id.name)
                .filter(|event| event.last.is_some_and(|last| last >= run.began))
                .find(|event| event.reason == "NodeEvacuation" && event.count > 10);
            match again {
                Some(event) if holds.sessions > 0 => (
                    limit,
                    format!(
                        "{} are left on {name}, and the operator starts its evacuation again and again ({} times)",
                        plural(holds.sessions, "session"),
                        count(event.count)
                    ),
                ),
                _ => (
                    limit,
                    silent(run, revisions, world, now, &format!("{name} is empty and is not removed")),
                ),
            }
        }
        Stage::Unknown(text) => (SHORTEST_STALL_SECONDS, format!("{name} stays in {text}")),
    })
}

/// Why new pods are not ready: the reason that Kubernetes reports, an evacuation of one of them, or a gate
/// that stays closed.
fn not_ready(revisions: &UpgradeRevisions<'_>, world: &World) -> Option<String> {
    pod_problem(revisions).or_else(|| foreign(revisions, world)).or_else(|| closed_gate(revisions))
}

/// The problem of a new pod.
pub(super) fn trouble(revisions: &UpgradeRevisions<'_>) -> Option<String> {
    pod_problem(revisions).or_else(|| closed_gate(revisions))
}

fn pod_problem(revisions: &UpgradeRevisions<'_>) -> Option<String> {
    let image = |pod: &Pod| pod.image.clone().unwrap_or_else(|| "its image".to_owned());
    for pod in pods_not_ready(revisions) {
        match pod.waiting.as_deref() {
            Some(why @ ("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull")) => {
                return Some(format!("{} cannot pull {} ({why})", pod.name, image(pod)));
            }
            Some("CrashLoopBackOff") => {
                return Some(format!("{} crashes again and again (CrashLoopBackOff)", pod.name));
            }
            Some(why @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError")) => {
                return Some(format!("{} cannot be started ({why})", pod.name));
            }
            _ => {}
        }
        let unscheduled = pod.condition("PodScheduled").filter(|it| it.status == "False");
        if let Some(condition) = unscheduled {
            return Some(format!("{} finds no node to run on: {}", pod.name, condition.message));
        }
    }
    None
}

fn pods_not_ready<'a>(revisions: &UpgradeRevisions<'a>) -> impl Iterator<Item = &'a Pod> {
    revisions.new.iter().map(|member| member.pod).filter(|pod| !pod.ready)
}

fn closed_gate(revisions: &UpgradeRevisions<'_>) -> Option<String> {
    let gate = pods_not_ready(revisions)
        .find(|pod| pod.containers_ready && pod.gated && pod.on_serving != Some(true))?;
    Some(format!(
        "{} runs, but the operator does not open its gate apps.emqx.io/on-serving: EMQX in it is not in the cluster, or its API \
         does not answer",
        gate.name
    ))
}

/// Another client's evacuation: the operators check only the first of EMQX's list ([OP-64]).
fn foreign(revisions: &UpgradeRevisions<'_>, world: &World) -> Option<String> {
    // While EMQX does not answer, its last list is no evidence.
    let broker = world.broker(&revisions.instance.id);
    if broker.load.is_some() && !load_answers(broker) {
        return None;
    }
    let first = evacuations(world, revisions).first()?;
    let ours = revisions.old.iter().any(|member| member.node.as_ref() == Some(&first.node));
    (!ours).then(|| {
        format!(
            "{} is being evacuated ({}) and is no old pod: the operator waits for it; {} ends it",
            first.node.short(),
            first.state,
            messages::ends(&revisions.instance.id.namespace, &first.node, revisions.pod(&first.node))
        )
    })
}

/// The text where the operator does nothing, with its last warning event, if there is one.
fn silent(
    run: &UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
    what: &str,
) -> String {
    let id = &revisions.instance.id;
    let complaint = world
        .kubernetes
        .events
        .values()
        .map(|seen| &seen.value)
        .filter(|event| event.namespace == id.namespace && event.about == id.name)
        .filter(|event| matches!(event.reason.as_str(), "ReconcilerFailed" | "ReconcileError"))
        // An event from before this upgrade does not explain it.
        .filter(|event| event.last.is_some_and(|last| last.as_second() >= run.began.as_second()))
        .max_by_key(|event| event.last);
    match complaint {
        Some(event) => format!("the operator is stuck ({what}); it reports: {}", event.message),
        None => match (evidence(world, None, now), &run.blind) {
            (Some(it), _) if it.process == OperatorProcess::Gone => format!("{what}: {}", it.cause()),
            (_, Some(why)) => format!("{what}; {why}, and the operator may not be able to ask EMQX either"),
            (Some(_), None) => format!("the operator is silent although its process runs: {what}"),
            (None, None) => format!("the operator is silent: {what}"),
        },
    }
}
