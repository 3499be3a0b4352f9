//! The parts of the inline progress that every operation has.

use crate::model::Stage;
use crate::output::{InlineStep, InlineView, When};
use crate::plan::snapshot::Snapshot;

/// The data of the inline progress about the cluster: which nodes serve, and the age of the data.
pub(super) fn about(snapshot: &Snapshot) -> InlineView {
    let ages = snapshot.sources.iter().map(|(source, age)| (source.as_str().to_owned(), age.age_seconds));
    InlineView {
        serving: snapshot.totals.serving.map(|serving| (serving, snapshot.totals.nodes)),
        ages: ages.collect(),
        ..InlineView::default()
    }
}

/// The four steps in which EMQX moves clients and sessions. `waits` are the seconds before and after the clients move,
/// where they are known.
pub(super) fn steps(stage: &Stage, over: bool, waits: Option<[u64; 2]>) -> Vec<InlineStep> {
    let steps = [
        ("wait", Stage::WaitHealthCheck, waits.map(|[before, _]| before)),
        ("evict", Stage::EvictingConns, None),
        ("takeover", Stage::WaitTakeover, waits.map(|[_, after]| after)),
        ("sessions", Stage::EvictingSessions, None),
    ];
    let here = stage.order();
    steps
        .into_iter()
        .map(|(name, stage, seconds)| InlineStep {
            name: name.to_owned(),
            when: match (over, stage.order().cmp(&here)) {
                (true, _) | (false, std::cmp::Ordering::Less) => When::Done,
                (false, std::cmp::Ordering::Equal) => When::Now,
                (false, std::cmp::Ordering::Greater) => When::Later,
            },
            seconds,
        })
        .collect()
}
