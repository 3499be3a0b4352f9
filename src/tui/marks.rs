//! The marks of the chart: when the phases of operations began, and when the operator's phase changed.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::{Event, EventType, Phase};
use crate::plan::happened::Happened;
use crate::plan::rebalance::run::RebalanceRun;

/// The most marks that are kept; older ones are dropped.
const MAX_MARKS: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The time, at the latest.
    pub at: Timestamp,
    /// Whether it is the time: what was first seen after it began has none.
    pub timed: bool,
    /// The text, one or two words.
    pub text: String,
}

/// The marks of a cluster, oldest first. Bounded.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    all: VecDeque<Mark>,
    /// The operator's last phase of the rebalance of this name.
    operator: Option<(String, String)>,
    /// The operation whose start was last marked.
    created: Option<String>,
}

impl Marks {
    /// The marks, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.all.iter()
    }

    fn push(&mut self, at: Timestamp, text: String) {
        self.insert(Mark { at, timed: true, text });
    }

    fn insert(&mut self, mark: Mark) {
        if self.all.len() == MAX_MARKS {
            self.all.pop_front();
        }
        let place =
            self.all.partition_point(|it| it.at < mark.at || (it.at == mark.at && mark.text != "created"));
        self.all.insert(place, mark);
    }

    /// Adds the mark of an event.
    pub(crate) fn event(&mut self, event: &Event, happened: Happened) {
        if event.kind == EventType::Created {
            self.created = Some(event.name.clone());
            if matches!(happened, Happened::Before(_)) {
                return;
            }
        }
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
        let (at, timed) = match happened {
            Happened::At(at) => (at, true),
            Happened::Before(at) => (at, false),
        };
        self.insert(Mark { at, timed, text });
    }

    /// Adds a mark when the operator's phase of a rebalance changes; for an object that existed before it was first seen,
    /// those that it has the times of.
    pub(crate) fn operator(&mut self, now: Timestamp, run: &RebalanceRun) {
        let Some(object) = &run.object else { return };
        let Some(phase) = object.phase.text() else { return };
        let reported = (run.name.clone(), phase.to_owned());
        let before = self.operator.replace(reported.clone());
        let at = match object.phase {
            Phase::Failed => object.failed,
            Phase::Completed => object.completed,
            _ => None,
        };
        let at = at.filter(|at| *at <= now);
        match before {
            Some(before) if before.0 == reported.0 => {
                if before.1 != reported.1 {
                    self.push(at.unwrap_or(now), format!("operator: {phase}"));
                }
            }
            _ => {
                let known = self.created.as_ref() == Some(&run.name);
                if let Some(created) = object.created.filter(|created| !known && *created <= now) {
                    self.push(created, "created".to_owned());
                }
                if let Some(at) = at {
                    self.push(at, format!("operator: {phase}"));
                }
            }
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
