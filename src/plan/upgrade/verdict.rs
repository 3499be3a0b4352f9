//! The end of an upgrade, and its verdict: `upgraded` when only the new set remains and all its nodes run and
//! serve; `clientsMissing` when live connections are under 98 % of those at the start, 30 s after the end;
//! `reverted` when the last image is the first one. Lost sessions are named in the reason.

use jiff::Timestamp;

use super::messages;
use super::revisions::UpgradeRevisions;
use super::run::UpgradeRun;
use crate::model::human::{count, plural, seconds_between};
use crate::model::{BrokerState, Judgement, Verdict, World};
use crate::plan::rebalance::verdict::not_back;
use crate::plan::upgrade::sources::{answers, may_answer};
use crate::timing::{RECONNECT_SECONDS, RETURN_SECONDS};

/// Whether only new pods are left, all ready, and EMQX lists their nodes as running and none of the old ones.
pub(super) fn over(
    run: &UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
) -> bool {
    let (ready, wanted) = run.ready;
    if !revisions.answered || !revisions.old.is_empty() || wanted == 0 || ready < wanted {
        return false;
    }
    let broker = world.broker(&revisions.instance.id);
    if !answers(broker) {
        return !may_answer(broker, now) && revisions.instance.ready() && !revisions.instance.upgrading();
    }
    let Some(nodes) = &broker.nodes else { return false };
    // EMQX is asked once a second: an answer from before the last removal of a pod shows nothing.
    if run.removed.is_some_and(|removed| nodes.at < removed) {
        return false;
    }
    let again = |name| revisions.new.iter().any(|member| member.node.as_ref() == Some(name));
    let old_runs = nodes.value.iter().any(|node| {
        node.running
            && !again(&node.name)
            && run.known.values().any(|known| known.node.as_ref() == Some(&node.name))
    });
    !old_runs && revisions.new.iter().all(|member| member.running)
}

/// Whether pods, sets and the operator report the end: all pods are new and ready, the object is ready and
/// lists only new nodes.
pub(super) fn reported_over(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>) -> bool {
    let instance = revisions.instance;
    let (ready, wanted) = revisions.ready();
    let new = |name| revisions.new.iter().any(|member| member.node.as_ref() == Some(name));
    run.started.is_some()
        && revisions.converged()
        && ready >= wanted
        && instance.ready()
        && !instance.upgrading()
        && !instance.nodes.is_empty()
        && instance.nodes.iter().all(|node| new(&node.name))
}

/// The verdict of an upgrade that is over, once the verdict is certain.
pub(super) fn verdict_if_final(run: &UpgradeRun, broker: &BrokerState, now: Timestamp) -> Option<Judgement> {
    let since = seconds_between(run.ended?, now);
    if run.missing() && since < RETURN_SECONDS {
        return None;
    }
    let whole = run.lost_clients().is_none_or(|lost| lost == 0);
    (whole || since >= RECONNECT_SECONDS).then(|| conclude(run, broker, now))
}

/// The verdict of an upgrade whose follower ends before its clients had the time to reconnect.
pub(super) fn cut_short(run: &UpgradeRun, since: u64) -> Option<Judgement> {
    let early = run.missing() && since < RETURN_SECONDS;
    early.then(|| Judgement::new(Verdict::Unknown, not_back(run.lost_clients(), since)))
}

/// The verdict of an upgrade that is over.
pub(super) fn conclude(run: &UpgradeRun, broker: &BrokerState, now: Timestamp) -> Judgement {
    let tail = messages::tail(run, now);
    if run.missing() {
        let (lost, before) = (run.lost_clients().unwrap_or(0), run.start.connections.unwrap_or(0));
        let reason = format!(
            "{} of {} clients are missing after the end; does the load balancer route them to the new pods? {tail}",
            count(lost),
            count(before)
        );
        return Judgement::new(Verdict::ClientsMissing, reason);
    }
    let image = run.to.as_deref().unwrap_or("the new template");
    let asked = match &run.blind {
        Some(why) => format!(" ({why})"),
        None if answers(broker) => String::new(),
        None => " (EMQX could not be asked)".to_owned(),
    };
    let nodes = plural(run.ready.1, "node");
    let does = if run.ready.1 == 1 { "runs and serves" } else { "run and serve" };
    let reason = format!("{nodes} of {image} {does}{asked}; {tail}");
    if run.turned && run.to == run.from {
        Judgement::new(Verdict::Reverted, reason)
    } else {
        Judgement::new(Verdict::Upgraded, reason)
    }
}

/// Why an upgrade is not over.
pub(super) fn remaining(run: &UpgradeRun) -> String {
    let held = if run.holding { ", held: nothing is removed until its delay is taken back" } else { "" };
    let although = if run.contradicted.is_some() { ", although the operator reports ready" } else { "" };
    format!("{}{held}{although}", run.pods_gone())
}
