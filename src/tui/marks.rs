//! The marks of the chart: when the phases of operations began, and when the operator's phase changed.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::{Event, EventType};
use crate::plan::rebalance::tracker::RebalanceRun;

/// The most marks that are kept; older ones are dropped.
const MAX_MARKS: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The time.
    pub at: Timestamp,
    /// The text, one or two words.
    pub text: String,
}

/// The marks of a cluster, oldest first. Bounded.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    marks: VecDeque<Mark>,
    /// The operator's last phase of the rebalance of this name.
    operator: Option<(String, String)>,
}

impl Marks {
    /// The marks, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter()
    }

    fn push(&mut self, at: Timestamp, text: String) {
        if self.marks.len() == MAX_MARKS {
            self.marks.pop_front();
        }
        let place = self.marks.partition_point(|it| it.at <= at);
        self.marks.insert(place, Mark { at, text });
    }

    /// Adds the mark of an event.
    pub fn event(&mut self, event: &Event) {
        let text = match (event.kind, event.verdict) {
            (EventType::Created, _) => "created".to_owned(),
            (_, Some(verdict)) => verdict.as_str().to_owned(),
            (EventType::Phase, None) => match event.phase.as_deref() {
                Some("waitHealthCheck") => "wait".to_owned(),
                Some("evictConnections") => "evict".to_owned(),
                Some("waitTakeover") => "takeover".to_owned(),
                Some("evictSessions") => "sessions".to_owned(),
                Some("newPods") => "new pods".to_owned(),
                Some("trafficMoved") => "traffic moved".to_owned(),
                Some(other) => other.to_owned(),
                None => return,
            },
            (EventType::Progress | EventType::Notice | EventType::Verdict, None) => return,
        };
        self.push(event.time, text);
    }

    /// Adds a mark when the operator's phase of a rebalance changes.
    pub fn operator(&mut self, now: Timestamp, run: &RebalanceRun) {
        let Some(object) = &run.object else { return };
        let Some(phase) = object.phase.text() else { return };
        let reported = (run.name.clone(), phase.to_owned());
        let before = self.operator.replace(reported.clone());
        if before.is_some_and(|before| before.0 == reported.0 && before.1 != reported.1) {
            self.push(now, format!("operator: {}", reported.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_bounded_and_in_order() {
        let mut marks = Marks::default();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        for second in 0..100 {
            marks.push(at(second), second.to_string());
        }
        marks.push(at(50), "late".to_owned());
        assert_eq!(marks.iter().count(), MAX_MARKS);
        let times: Vec<Timestamp> = marks.iter().map(|mark| mark.at).collect();
        assert!(times.is_sorted());
    }
}
