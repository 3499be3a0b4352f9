//! What `apply` leaves in an annotation of the object it creates: start counts, participants, thresholds and
//! the expected end, so that any client can judge the end later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::progress::{Counts, NodeCounts};
use crate::model::human::seconds_between;
use crate::model::{NodeName, Part, Rebalance, Strategy};
use crate::plan::rebalance::plan::{Participant, RebalancePlan};
use crate::timing::LISTED_SECONDS;
use emqx_rebalance::rules::donors;

/// The record. Nodes are rows of name, connections, sessions: a thousand of them stay well below the 256 KiB that all
/// annotations of an object may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRecord {
    /// The form of this record; 1.
    pub version: u32,
    /// When it was planned.
    pub time: Timestamp,
    /// When it should be over.
    pub expected_end: Timestamp,
    /// The requested strategy. Verdicts use the object's spec instead, which an annotation cannot forge.
    pub strategy: Strategy,
    /// Who takes part, with connections and sessions at the start.
    pub nodes: Vec<(NodeName, u64, u64)>,
}

impl PlanRecord {
    /// The record of a plan that starts now.
    pub(crate) fn of(plan: &RebalancePlan, now: Timestamp) -> Self {
        let seconds = i64::try_from(plan.total_seconds).unwrap_or(i64::MAX / 2).min(100 * 365 * 86_400);
        Self {
            version: 1,
            time: now,
            expected_end: now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX),
            strategy: plan.strategy.clone(),
            nodes: plan
                .nodes
                .iter()
                .map(|node| (node.node.clone(), node.connections, node.sessions))
                .collect(),
        }
    }

    /// The record in an annotation; `None` when it is not one of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|record: &Self| record.version == 1)
    }

    /// Seconds from the plan of the object to its start, if they are too many for the counts of the plan to be those of the
    /// start: an operator may start an object late.
    pub(crate) fn started_late(&self, object: &Rebalance) -> Option<u64> {
        let began = object.started.or(object.created)?;
        Some(seconds_between(self.time, began)).filter(|seconds| *seconds > LISTED_SECONDS)
    }

    /// As it goes into the annotation.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Each node with its part, by EMQX's rule on the counts at the start.
    pub(crate) fn parts(&self) -> Vec<(&NodeName, Part)> {
        let counts: Vec<u64> = self.nodes.iter().map(|(_, connections, _)| *connections).collect();
        let part = |gives: bool| if gives { Part::Donor } else { Part::Recipient };
        self.nodes.iter().zip(donors(&counts)).map(|((node, _, _), gives)| (node, part(gives))).collect()
    }

    /// The nodes as they were at the start.
    pub(crate) fn participants(&self) -> Vec<Participant> {
        let row = |(node, connections, sessions): &(NodeName, u64, u64)| Participant {
            node: node.clone(),
            pod: None,
            connections: *connections,
            sessions: *sessions,
        };
        self.nodes.iter().map(row).collect()
    }

    /// The counts at the start.
    pub(crate) fn counts(&self) -> Counts {
        let row = |(node, connections, sessions): &(NodeName, u64, u64)| {
            (node.clone(), NodeCounts::known(*connections, *sessions))
        };
        Counts(self.nodes.iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forecast::{forecast, numbered};
    use super::*;
    use crate::plan::rebalance::plan::Return;

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let strategy = Strategy { conn_evict_rate: 10, abs_conn_threshold: 100, ..Strategy::default() };
        let plan = forecast(None, &numbered(&[3333, 3333, 3334, 0], None), &strategy, Return::default());
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
        let record = PlanRecord::of(&plan, now);
        assert_eq!(PlanRecord::read(&record.text()), Some(record.clone()));
        assert_eq!(record.parts()[3].1, Part::Recipient);
        assert_eq!((record.expected_end - now).get_seconds(), 60 + 78 + 60);
    }

    #[test]
    fn what_is_not_a_record_is_none() {
        for text in ["", "{}", "[]", "{\"version\":2}", "nonsense"] {
            assert_eq!(PlanRecord::read(text), None);
        }
    }
}
