//! Changes of the image in the middle of an upgrade: undos, and other targets.

use jiff::Timestamp;

use super::super::change::UpgradeRecord;
use super::super::messages;
use super::super::revisions::UpgradeRevisions;
use super::super::run::{Milestone, UpgradeRun};
use crate::model::human::seconds_between;
use crate::model::{ApiVersion, Event, EventType};
use crate::timing::OWN_UNDO_SECONDS;

/// The meaning of a change of the image in the middle of an upgrade.
pub(super) enum Turn {
    /// The image did not change, or the upgrade continues with the new target.
    On,
    /// It may be the undo of this program: that is stored before the image changes, but may be observed after
    /// the change.
    Unsure,
    /// Another client changed the image.
    Superseded(String),
}

/// Judges a change of the image. An undo of this program continues the run, and so does a change back where
/// the operator itself drains the newer set; any other change ends the run.
pub(super) fn turn(
    run: &mut UpgradeRun,
    revisions: &UpgradeRevisions<'_>,
    now: Timestamp,
    events: &mut Vec<Event>,
) -> Turn {
    let image = &revisions.instance.image;
    if *image == run.to || image.is_none() {
        run.changed = None;
        finish_back(run, revisions);
        return Turn::On;
    }
    let back = *image == run.from;
    let record = revisions.instance.upgrade_record().filter(|record| Some(&record.to) == image.as_ref());
    let undo = record.is_some_and(|record| record.is_undo());
    let guarded = run.api == ApiVersion::V1beta4 && !run.rolling && run.held;
    if !undo && (!back || guarded) {
        let since = *run.changed.get_or_insert(now);
        if back && seconds_between(since, now) < OWN_UNDO_SECONDS {
            return Turn::Unsure;
        }
        return Turn::Superseded(messages::superseded(run, revisions));
    }
    run.changed = None;
    run.to.clone_from(image);
    run.turned = true;
    let message = messages::turned(run, back);
    events.push(run.event(now, EventType::Notice, message));
    run.asked = Some(now);
    run.began = now;
    run.started = None;
    run.moved = now;
    // What an undo has to do is not what the upgrade had to do.
    run.work = None;
    Turn::On
}

/// Another client changed the image back before this process began, and now an undo is stored that completes
/// that change: the image does not change any more.
fn finish_back(run: &mut UpgradeRun, revisions: &UpgradeRevisions<'_>) {
    if run.turned || run.seen.contains(&Milestone::Beginning) {
        return;
    }
    let record = revisions.instance.upgrade_record().filter(|record| Some(&record.to) == run.to.as_ref());
    let Some(record) = record.filter(UpgradeRecord::is_undo) else { return };
    run.turned = true;
    // The duration of an undo is counted from its own start.
    run.began = record.time;
    run.from = record.from;
    run.start.connections = run.start.connections.or(record.connections);
    run.start.sessions = run.start.sessions.or(record.sessions);
}
