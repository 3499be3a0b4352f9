//! Connections and sessions of each node over time, in a bounded number of points.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::NodeName;
use crate::plan::rebalance::progress::Counts;

/// The most points of all curves together.
const MOST_POINTS: usize = 200_000;

/// The most points of one curve.
const MOST_OF_ONE: usize = 1200;

/// The fewest points of one curve, for any number of nodes.
const FEWEST: usize = 60;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportCurves {
    /// When each point was taken, in milliseconds since the first.
    pub milliseconds: Vec<u64>,
    /// A curve for each node, by its name.
    pub nodes: Vec<ReportCurve>,
}

/// The curve of one node; `null` where a count was not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportCurve {
    /// EMQX's name of the node.
    pub node: String,
    /// Live clients.
    pub connections: Vec<Option<u64>>,
    pub sessions: Vec<Option<u64>>,
}

/// Points while a recording is read. Beyond a limit every second one is dropped, so that memory is bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    all: Vec<(Timestamp, Counts)>,
    /// The fewest milliseconds between two points.
    every: i64,
    /// The last point, where it came too soon after the one before.
    late: Option<(Timestamp, Counts)>,
}

impl Samples {
    pub(super) fn push(&mut self, at: Timestamp, counts: &Counts) {
        let early = self
            .all
            .last()
            .is_some_and(|(last, _)| at.as_millisecond().saturating_sub(last.as_millisecond()) < self.every);
        if early {
            self.late = Some((at, counts.clone()));
            return;
        }
        self.late = None;
        self.all.push((at, counts.clone()));
        let most = (MOST_POINTS / counts.0.len().max(1)).clamp(FEWEST, MOST_OF_ONE);
        if self.all.len() > most {
            let mut place = 0;
            self.all.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            let span =
                self.all.last().zip(self.all.first()).map(|((last, _), (first, _))| {
                    last.as_millisecond().saturating_sub(first.as_millisecond())
                });
            self.every = span.unwrap_or(0) / i64::try_from(self.all.len().max(2) - 1).unwrap_or(1);
        }
    }

    pub(super) fn curves(mut self) -> ReportCurves {
        self.all.extend(self.late.take());
        let Some(first) = self.all.first().map(|(at, _)| at.as_millisecond()) else {
            return ReportCurves::default();
        };
        let names: BTreeSet<&NodeName> = self.all.iter().flat_map(|(_, counts)| counts.0.keys()).collect();
        let milliseconds = self
            .all
            .iter()
            .map(|(at, _)| u64::try_from(at.as_millisecond().saturating_sub(first)).unwrap_or(0))
            .collect();
        let curve = |node: &NodeName| {
            let counts =
                || self.all.iter().map(|(_, counts)| counts.0.get(node).copied().unwrap_or_default());
            ReportCurve {
                node: node.to_string(),
                connections: counts().map(|counts| counts.connections).collect(),
                sessions: counts().map(|counts| counts.sessions).collect(),
            }
        };
        ReportCurves { milliseconds, nodes: names.into_iter().map(curve).collect() }
    }
}
