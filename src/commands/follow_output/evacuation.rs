//! The inline progress of an evacuation.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::parts::{about, steps};
use crate::model::human::{clock, plural};
use crate::model::{Judgement, NodeName, Part, Stage};
use crate::output::theme::Tone;
use crate::output::{InlineRow, InlineView};
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::snapshot::Snapshot;

/// The inline progress of this run: the evacuated node first, then every other node.
pub(super) fn view(
    snapshot: &Snapshot,
    run: &EvacuationRun,
    deltas: &[(NodeName, i64)],
    now: Timestamp,
    zone: &TimeZone,
) -> InlineView {
    let (headline, tone) = match &run.verdict {
        Some(Judgement { verdict, .. }) => (verdict.words().to_owned(), Tone::of(*verdict)),
        None if run.restored => ("restored from disk after a restart".to_owned(), Tone::Warning),
        None => (String::new(), Tone::default()),
    };
    let over = run.verdict.is_some() || run.entry.stage == Stage::Prohibiting;
    let end = |left: u64| {
        let end = now.checked_add(SignedDuration::from_secs(left.min(1 << 32).cast_signed())).ok()?;
        Some(clock(end, zone))
    };
    let (evacuated, others): (Vec<_>, Vec<_>) =
        snapshot.nodes.iter().partition(|row| row.node.as_ref() == Some(&run.entry.node));
    let rows = evacuated.into_iter().chain(others).map(|row| {
        let delta = deltas.iter().find(|(node, _)| Some(node) == row.node.as_ref());
        InlineRow {
            label: row.label().to_owned(),
            part: row.part.filter(|part| *part == Part::Evacuating),
            connections: row.connections,
            sessions: row.sessions,
            delta: delta.map(|(_, delta)| *delta),
        }
    });
    let label = snapshot
        .node(&run.entry.node)
        .map_or_else(|| run.entry.node.to_string(), |row| row.label().to_owned());
    InlineView {
        title: format!("EVACUATING {label}"),
        headline,
        tone,
        percent: Some(run.percent),
        ends: run
            .seconds
            .filter(|_| !over)
            .and_then(end)
            .map(|end| if run.end_is_bound() { format!("by {end}") } else { end }),
        timeline: steps(
            &run.entry.stage,
            over,
            run.timing.as_ref().map(|timing| [timing.wait_health_check, timing.wait_takeover]),
        ),
        facts: run
            .holds
            .map(|holds| {
                let clients = plural(holds.connections, "client");
                format!("{clients} and {} remain", plural(holds.sessions, "session"))
            })
            .into_iter()
            .collect(),
        rows: rows.collect(),
        ..about(snapshot)
    }
}
