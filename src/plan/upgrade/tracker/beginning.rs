//! Runs of upgrades that are seen for the first time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::revisions::UpgradeRevisions;
use super::super::run::{FurthestProgress, Milestone, UpgradeBaseline, UpgradeRun, UpgradeStep};
use crate::model::human::seconds_between;
use crate::model::{ApiVersion, OperationRef, World};
use crate::plan::eviction_alarm::EvictionAlarm;
use crate::plan::rebalance::progress::Counts;
use crate::plan::tracked::Quiet;
use crate::plan::upgrade::sources::{blind, outage_reason};
use crate::timing::BEGINNING_SECONDS;

/// Whether the operator has not reacted yet to a change that was stored recently: only the record shows the
/// upgrade then.
pub(super) fn awaited(revisions: &UpgradeRevisions<'_>, now: Timestamp) -> bool {
    let record = revisions.instance.upgrade_record();
    !revisions.answered
        && !revisions.old.is_empty()
        && record.is_some_and(|record| {
            Some(&record.to) == revisions.instance.image.as_ref()
                && seconds_between(record.time, now) <= BEGINNING_SECONDS
        })
}

/// An upgrade that is seen for the first time; `fresh` when its begin was seen.
pub(super) fn begin(
    revisions: &UpgradeRevisions<'_>,
    world: &World,
    from: Option<String>,
    fresh: bool,
    now: Timestamp,
) -> UpgradeRun {
    let instance = revisions.instance;
    let images = revisions.old_images();
    let oldest = images.first().map(|image| (*image).to_owned());
    let broker = world.broker(&instance.id);
    let counts = broker.nodes.as_ref().map(|seen| Counts::of(&seen.value)).unwrap_or_default();
    // A third set with the image of the first, and another image between them: an undo began before this
    // process.
    let record = instance.upgrade_record().filter(|record| Some(&record.to) == instance.image.as_ref());
    // The record can show an undo that has no third set.
    let noted = record.as_ref().is_some_and(|record| record.from.as_ref() == Some(&record.to));
    let turned = !fresh && (noted || (images.len() > 1 && oldest == instance.image));
    let began = if fresh { now } else { birth(revisions).filter(|birth| *birth <= now).unwrap_or(now) };
    let mut seen = BTreeSet::new();
    if fresh {
        seen.insert(Milestone::Beginning);
    }
    let wanted = instance.cores.unwrap_or(0) + instance.replicants.unwrap_or(0);
    if !fresh && (revisions.old.len() as u64) < wanted {
        seen.insert(Milestone::LateStart);
    }
    // The counts that the client recorded when it started the upgrade.
    let recorded = record.as_ref().map_or(UpgradeBaseline::default(), |record| UpgradeBaseline {
        connections: record.connections,
        sessions: record.sessions,
    });
    let began =
        record.as_ref().map(|record| record.time).filter(|time| !fresh && *time <= now).unwrap_or(began);
    let start = UpgradeBaseline { connections: counts.all_connections(), sessions: counts.all_sessions() };
    UpgradeRun {
        name: OperationRef::Upgrade(instance.id.name.clone()).to_string(),
        id: instance.id.clone(),
        api: instance.api,
        from: from.or(record.and_then(|record| record.from)).or(oldest).or_else(|| instance.image.clone()),
        to: instance.image.clone(),
        began,
        started: None,
        start: if fresh { start } else { recorded },
        counts,
        arrived: 0,
        step: UpgradeStep::NewPods,
        known: BTreeMap::new(),
        ready: (0, 0),
        rolling: instance.api == ApiVersion::V3beta1
            || (instance.api == ApiVersion::V1beta4 && !instance.update.present),
        held: false,
        holding: false,
        percent: 0,
        seconds: None,
        planned: None,
        turns: BTreeMap::new(),
        cut: 0,
        turned,
        ended: None,
        known_until: now,
        before_outage: None,
        verdict: None,
        asked: (fresh || revisions.requested()).then_some(now),
        nodes: Vec::new(),
        best: FurthestProgress::default(),
        moved: now,
        step_since: now,
        unobserved: (!fresh).then_some(now),
        seen,
        key: String::new(),
        removed: None,
        contradicted: None,
        changed: None,
        blind: blind(broker, now).then(|| outage_reason(broker)),
        trouble: None,
        work: None,
        forecast_from: None,
        alarm: EvictionAlarm::default(),
        quiet: Quiet::new(now),
    }
}

/// When the newest of the new sets was created.
fn birth(revisions: &UpgradeRevisions<'_>) -> Option<Timestamp> {
    let new = |name: &String| revisions.new_sets.contains(name);
    revisions.groups.iter().filter(|group| new(&group.name)).filter_map(|group| group.created).min()
}
