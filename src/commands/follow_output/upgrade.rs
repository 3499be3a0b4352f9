//! The inline progress of an upgrade.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::parts::about;
use crate::model::human::clock;
use crate::model::{Judgement, NodeName, Part, Verdict, World};
use crate::output::theme::Tone;
use crate::output::{InlineRow, InlineStep, InlineView, When};
use crate::plan::snapshot::Snapshot;
use crate::plan::upgrade::messages;
use crate::plan::upgrade::revisions::{Member, UpgradeRevisions};
use crate::plan::upgrade::run::UpgradeRun;

/// The inline progress of this run.
pub(super) fn view(
    world: &World,
    snapshot: &Snapshot,
    run: &UpgradeRun,
    deltas: &[(NodeName, i64)],
    now: Timestamp,
    zone: &TimeZone,
) -> InlineView {
    let (headline, tone) = match (&run.verdict, run.standing()) {
        (Some(Judgement { verdict, .. }), _) => (verdict.as_str().to_owned(), Tone::of(*verdict)),
        (None, Verdict::StillRunning) => {
            ("the operator reports ready, but old pods remain".to_owned(), Tone::Warning)
        }
        (None, _) => (messages::between(run.from.as_deref(), run.to.as_deref()), Tone::Plain),
    };
    let (names, here) = messages::timeline(run);
    let step = |(place, name): (usize, &&str)| InlineStep {
        name: (*name).to_owned(),
        when: match (run.verdict.is_some(), place.cmp(&here)) {
            (true, _) | (false, std::cmp::Ordering::Less) => When::Done,
            (false, std::cmp::Ordering::Equal) => When::Now,
            (false, std::cmp::Ordering::Greater) => When::Later,
        },
        seconds: None,
    };
    let end = |left: u64| {
        let end = now.checked_add(SignedDuration::from_secs(left.min(1 << 32).cast_signed())).ok()?;
        Some(clock(end, zone))
    };
    InlineView {
        title: format!("UPGRADING {}", snapshot.instance.name),
        headline,
        tone,
        percent: Some(run.percent),
        ends: run.seconds.filter(|_| run.verdict.is_none()).and_then(end),
        timeline: names.iter().enumerate().map(step).collect(),
        facts: messages::facts(run).into_iter().map(|fact| fact.text).collect(),
        rows: UpgradeRevisions::of(world, &run.id)
            .map(|revisions| rows(run, &revisions, deltas))
            .unwrap_or_default(),
        ..about(snapshot)
    }
}

/// Old pods in the order of their removal, then the new ones.
fn rows(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>, deltas: &[(NodeName, i64)]) -> Vec<InlineRow> {
    let row = |member: &Member<'_>, side: &str| {
        let emptied = run.known.get(&member.pod.uid).is_some_and(|known| known.stage.is_some());
        let delta = deltas.iter().find(|(node, _)| Some(node) == member.node.as_ref());
        InlineRow {
            label: format!("{side} {}", member.pod.name),
            part: emptied.then_some(Part::Evacuating),
            connections: member.holds.map(|holds| holds.connections),
            sessions: member.holds.map(|holds| holds.sessions),
            delta: delta.map(|(_, delta)| *delta),
        }
    };
    let old = revisions.old.iter().map(|member| row(member, "old"));
    old.chain(revisions.new.iter().map(|member| row(member, "new"))).collect()
}
