//! What is known of the old pods of an upgrade, and which of them were deleted with clients.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::messages;
use super::super::revisions::{Member, UpgradeRevisions};
use super::super::run::{PreviousPod, UpgradeRun, evacuations};
use crate::model::{Event, EventType, Stage, World};

/// Updates what is known of the old pods.
pub(super) fn know(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let evacuations = evacuations(world, revisions);
    let mut going: Vec<String> = Vec::new();
    for member in &revisions.old {
        let known = run.known.entry(member.pod.uid.clone()).or_insert_with(|| PreviousPod {
            pod: member.pod.name.as_str().to_owned(),
            node: None,
            set: member.set.clone(),
            holds: None,
            stage: None,
            deleting: false,
            again: false,
            gone: None,
        });
        known.node = member.node.clone().or(known.node.take());
        if member.pod.deleting.is_some() {
            if !known.deleting {
                known.deleting = true;
                going.push(member.pod.uid.clone());
            }
            continue;
        }
        // The counts of an old pod from before an outage of EMQX are not its present ones.
        known.holds = if run.blind.is_some() { None } else { member.holds.or(known.holds) };
        let entry = evacuations.iter().find(|entry| Some(&entry.node) == known.node.as_ref());
        match (entry, &known.stage) {
            (Some(entry), Some((stage, _, _))) if *stage == entry.stage => {}
            (Some(entry), _) => known.stage = Some((entry.stage.clone(), entry.state.clone(), now)),
            (None, _) => known.stage = None,
        }
    }
    restarted(run, revisions);
    let here: BTreeSet<&str> = world.pods_of(&run.id).map(|pod| pod.uid.as_str()).collect();
    let new: BTreeSet<&str> = revisions.new.iter().map(|member| member.pod.uid.as_str()).collect();
    // Pods of a set that is used again are not old.
    run.known.retain(|uid, _| !new.contains(uid.as_str()));
    for (uid, known) in &mut run.known {
        if known.gone.is_none() && !here.contains(uid.as_str()) {
            known.gone = (!known.again).then_some(now);
            if !known.deleting {
                known.deleting = true;
                going.push(uid.clone());
            }
        }
    }
    for uid in going {
        run.removed = Some(now);
        loaded(run, &uid, revisions, now, events);
    }
}

/// Marks old pods that were deleted, or vanished, and that their sets create again: the operator did not
/// remove them.
fn restarted(run: &mut UpgradeRun, revisions: &UpgradeRevisions<'_>) {
    if run.rolling {
        return;
    }
    let stays = |member: &&Member<'_>| member.pod.deleting.is_none();
    // A pod that was created again has another uid, and replaces the first one.
    run.known.retain(|uid, known| {
        !known.again
            || !revisions.old.iter().filter(stays).any(|member| {
                member.pod.name.as_str() == known.pod && member.set == known.set && member.pod.uid != *uid
            })
    });
    for (uid, known) in run.known.iter_mut().filter(|(_, known)| known.gone.is_none()) {
        let there = revisions.old.iter().filter(stays).any(|member| member.pod.uid == *uid);
        let others =
            revisions.old.iter().filter(stays).filter(|member| member.set == known.set).count() as u64;
        let wanted =
            revisions.groups.iter().find(|group| group.name == known.set).and_then(|group| group.wanted);
        known.again = !there && wanted.is_some_and(|wanted| wanted > others);
    }
}

/// Reports a pod that was deleted with clients or sessions on it.
fn loaded(
    run: &mut UpgradeRun,
    uid: &str,
    revisions: &UpgradeRevisions<'_>,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let Some(known) = run.known.get(uid) else { return };
    let Some(holds) = known.holds.filter(|holds| !holds.nothing()) else { return };
    // EMQX is asked once a second, and the node may have been emptied since; the operator's copy may be
    // newer.
    let empty = |stage: &Stage| *stage == Stage::Prohibiting;
    let copied = revisions.instance.evacuations.iter().find(|it| Some(&it.node) == known.node.as_ref());
    if known.stage.as_ref().is_some_and(|(stage, _, _)| empty(stage))
        || copied.is_some_and(|copy| empty(&copy.stage))
    {
        return;
    }
    let message = messages::loaded(known, holds);
    run.cut += holds.connections;
    events.push(run.event(now, EventType::Notice, message));
}
