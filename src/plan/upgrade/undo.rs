//! The undo: to which image, and with which effect in each API version. Where it is not known to come to an
//! end, it is refused.

use super::forecast::{UpgradePlan, turn_back};
use super::guard::deserted;
use super::revisions::{Member, UpgradeRevisions};
use super::run::evacuations;
use super::target::{UpgradeTarget, undoing};
use crate::model::human::{duration, plural};
use crate::model::{ApiVersion, InstanceId, Stage, World};
use crate::plan::durations::NodeContent;
use crate::plan::finding::{Decision, Finding};

/// The effect of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// No upgrade is half-finished: the undo is an upgrade like any other, to an earlier image.
    Upgrade,
    /// The operator completes the undo of a half-finished upgrade by itself (v2beta1, v2).
    Third {
        /// Seconds until the third set is the only one, from the moment it is up.
        back: u64,
        /// Seconds until the second set would be the only one.
        forward: u64,
    },
    /// Pods are replaced in place, and those that were replaced are replaced again.
    InPlace,
    /// v1beta4 before anything was emptied: the first set stays, and the second one is removed.
    Keep,
    /// v1beta4 later: the undo is not known to come to an end.
    Never(String),
}

/// The image of the undo: that of the newest other set, else the recorded one.
pub(crate) fn target(world: &World, id: &InstanceId) -> Option<String> {
    let instance = world.instance(id)?;
    // Another client changed the image back while old pods are held: the undo completes that change.
    if deserted(instance)
        && let Some(record) = instance.upgrade_record()
        && record.from == instance.image
    {
        return record.from;
    }
    let other = |image: &String| Some(image) != instance.image.as_ref();
    let mut sets: Vec<_> =
        world.sets_of(id).filter_map(|set| Some((set.created, set.image.clone().filter(other)?))).collect();
    sets.sort();
    let pods = || {
        let revisions = UpgradeRevisions::of(world, id)?;
        revisions.old_images().into_iter().map(str::to_owned).rfind(other)
    };
    let written = || instance.upgrade_record()?.from.filter(other);
    sets.pop().map(|(_, image)| image).or_else(pods).or_else(written)
}

/// The effect of an undo now.
pub(crate) fn undo(world: &World, id: &InstanceId) -> Option<Undo> {
    let revisions = UpgradeRevisions::of(world, id)?;
    let instance = revisions.instance;
    let held = UpgradeTarget::resumed(instance).is_some();
    let half_way = revisions.in_transition()
        || instance.upgrading()
        || held
        || (!revisions.answered && !revisions.old.is_empty());
    if !half_way {
        return Some(Undo::Upgrade);
    }
    Some(match instance.api {
        ApiVersion::V3beta1 => Undo::InPlace,
        ApiVersion::V1beta4 if !instance.update.present => Undo::InPlace,
        ApiVersion::V2beta1 | ApiVersion::V2 => match turn_back(world, id) {
            Some(turn) => Undo::Third { back: turn.back, forward: turn.forward },
            None => Undo::Upgrade,
        },
        ApiVersion::V1beta4 => match touched(world, &revisions) {
            _ if undoing(instance) => Undo::Keep,
            None => Undo::Keep,
            Some(why) => Undo::Never(why),
        },
    })
}

/// The part of the first set that is emptied or removed; `None` where there is none.
fn touched(world: &World, revisions: &UpgradeRevisions<'_>) -> Option<String> {
    let wanted = revisions.instance.cores.unwrap_or(0);
    let here = revisions.old.iter().filter(|member| member.pod.deleting.is_none()).count() as u64;
    if here < wanted {
        return Some(format!("{} of {} gone", wanted - here, plural(wanted, "old pod")));
    }
    let evacuations = evacuations(world, revisions);
    let empty = |member: &&Member<'_>| {
        let entry = evacuations.iter().find(|entry| Some(&entry.node) == member.node.as_ref());
        entry.is_some_and(|entry| {
            entry.stage == Stage::Prohibiting || member.holds.is_some_and(NodeContent::nothing)
        })
    };
    let empty = revisions.old.iter().filter(empty).count();
    (empty > 0).then(|| format!("{empty} of {} empty", plural(wanted, "old pod")))
}

/// Changes the plan of an upgrade into that of the undo.
pub(crate) fn plan(plan: &mut UpgradePlan, undo: &Undo) {
    match undo {
        Undo::Upgrade | Undo::InPlace => {}
        Undo::Third { back, forward } => {
            plan.total_seconds = *back;
            plan.message = format!(
                "a third set is made, and the older ones are emptied one after another: about {}; continuing would take about {}",
                duration(*back),
                duration(*forward)
            );
        }
        Undo::Keep => {
            plan.steps.clear();
            plan.total_seconds = 0;
            "nothing is empty yet: the template is put back, what empties old pods is stopped, they stay, and the new ones are \
             emptied into them"
                .clone_into(&mut plan.message);
            plan.findings.push(Finding::info(
                "second-set-stays",
                "the operator leaves the second set alone, and with two of them it would empty the first: it stays held until the \
                 second one is empty; then this program scales that set to 0 and restores the operator's own delay",
            ));
        }
        Undo::Never(why) => {
            plan.steps.clear();
            plan.total_seconds = 0;
            plan.decision = Decision::Refused;
            plan.message = format!(
                "{why}, and from there this operator is not known to find back: it may empty the first set again and again"
            );
            plan.findings.push(
                Finding::blocked("no-way-back", plan.message.clone())
                    .hint(format!("go forward: kubectl emqx upgrade watch {}", plan.instance.name)),
            );
        }
    }
}
