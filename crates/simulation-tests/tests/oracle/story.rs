//! A run that is invented: what the nodes held, and what the processes printed.

use serde_json::{Value, json};
use simulation_tests::case::{Fault, Operation};
use simulation_tests::run::{Process, Record};
use simulation_tests::truth::{Moment, Node, Run, Truth};
use simulation_tests::{Breadth, Case, Line, judge};

pub(super) const BEGIN: f64 = 5.0;
pub(super) const END: f64 = 60.0;

pub(super) fn node(name: &str, connections: u64) -> Node {
    Node {
        name: format!("emqx@{name}.emqx-headless.mq.svc.cluster.local"),
        version: "5.8.6".to_owned(),
        core: true,
        alive: true,
        serves: true,
        connections,
        offline: 0,
        renewed: false,
    }
}

pub(super) fn moment(at: f64, connections: [u64; 4]) -> Moment {
    let names = ["emqx-core-0", "emqx-core-1", "emqx-core-2", "emqx-core-3"];
    Moment {
        at,
        nodes: names.iter().zip(connections).map(|(name, connections)| node(name, connections)).collect(),
        pods: Vec::new(),
        in_flight: 0,
        runs: Vec::new(),
        evacuations: Vec::new(),
        purging: false,
        cuts: 0,
        lost_sessions: 0,
    }
}

/// A rebalance of 1000/1000/1000/0 from 5 s to 60 s that ends even, and a process that follows it.
pub(super) struct Story(pub(super) Record);

impl Story {
    pub(super) fn new() -> Self {
        let mut case = Case::of(0, Breadth::Narrow);
        case.faults.clear();
        (case.operation, case.text) = (Operation::Rebalance, false);
        case.api = simulation_tests::case::Api::V2beta1;
        case.nodes.truncate(3);
        let mut moments = Vec::new();
        for step in 0..(400 * 4) {
            let at = f64::from(step) / 4.0;
            let runs = (BEGIN..END).contains(&at);
            let done = ((at - 15.0).clamp(0.0, 25.0) * 10.0) as u64;
            let mut one = moment(at, [1000 - done, 1000 - done, 1000 - done, 3 * done]);
            if runs {
                one.runs.push(Run {
                    coordinator: 0,
                    donors: vec![0, 1, 2],
                    recipients: vec![3],
                    state: if at < 50.0 { "evicting_conns" } else { "wait_takeover" },
                    thresholds: [(50.0, 1.1), (50.0, 1.1)],
                });
            }
            moments.push(one);
        }
        Self(Record {
            case,
            processes: Vec::new(),
            lines: Vec::new(),
            truth: Truth { moments },
            faults: Vec::new(),
            writes: Vec::new(),
            orders: Vec::new(),
            begun_by_other: None,
        })
    }

    pub(super) fn typed(mut self, words: &str, started: f64, ended: f64, exit: u8) -> Self {
        let arguments = words.split(' ').map(str::to_owned).collect();
        self.0.processes.push(Process { arguments, started, ended: Some(ended), exit: Some(exit) });
        self
    }

    pub(super) fn prints(mut self, at: f64, document: &Value) -> Self {
        let process = self.0.processes.len().saturating_sub(1);
        self.0.lines.push(Line { at, process, out: true, text: document.to_string() });
        self
    }

    pub(super) fn event(
        self,
        at: f64,
        kind: &str,
        percent: u64,
        verdict: Option<&str>,
        message: &str,
    ) -> Self {
        self.prints(
            at,
            &json!({
                "kind": "Event", "type": kind, "name": "emqx-1", "percent": percent, "verdict": verdict,
                "message": message,
            }),
        )
    }

    /// `apply --watch` with a line every 20 s and this verdict.
    pub(super) fn follows(self, at: f64, verdict: &str, exit: u8, message: &str) -> Self {
        let mut story = self.typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, at, exit);
        for place in 0..((at / 20.0) as u64) {
            story = story.event(place as f64 * 20.0, "progress", place, None, "continues");
        }
        let percent = if verdict == "unknown" { Value::Null } else { json!(100) };
        story.prints(
            at,
            &json!({
                "kind": "Event", "type": "verdict", "name": "emqx-1", "percent": percent, "verdict": verdict,
                "message": message,
            }),
        )
    }

    pub(super) fn at(mut self, from: f64, to: f64, change: impl Fn(&mut Moment)) -> Self {
        let within = |moment: &&mut Moment| moment.at >= from && moment.at < to;
        self.0.truth.moments.iter_mut().filter(within).for_each(change);
        self
    }

    pub(super) fn fault(mut self, at: f64, fault: Fault) -> Self {
        self.0.faults.push((at, fault));
        self
    }

    pub(super) fn operation(mut self, operation: Operation) -> Self {
        self.0.case.operation = operation;
        self
    }

    pub(super) fn rules(&self) -> Vec<String> {
        judge(&self.0).into_iter().map(|finding| finding.rule).collect()
    }

    #[track_caller]
    pub(super) fn is_true(&self) {
        assert_eq!(judge(&self.0), [], "a true output");
    }

    #[track_caller]
    pub(super) fn breaks(&self, rule: &str) {
        let rules = self.rules();
        assert!(rules.iter().any(|it| it.starts_with(rule)), "{rule:?} is not among {rules:?}");
    }
}

pub(super) fn no_run(moment: &mut Moment) {
    moment.runs.clear();
}

pub(super) fn verdict(story: Story, verdict: &str, exit: u8) -> Story {
    let mut story =
        story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 61.0, exit);
    for at in [10.0, 30.0, 50.0] {
        story = story.event(at, "progress", at as u64, None, "");
    }
    story.event(61.0, "verdict", 100, Some(verdict), "")
}

/// The process that created an object.
pub(super) fn apply() -> Process {
    let arguments = "rebalance apply emqx --yes".split(' ').map(str::to_owned).collect();
    Process { arguments, started: 0.0, ended: Some(2.0), exit: Some(0) }
}

pub(super) fn run() -> Run {
    Run {
        coordinator: 0,
        donors: vec![0, 1, 2],
        recipients: vec![3],
        state: "evicting_conns",
        thresholds: [(50.0, 1.1), (50.0, 1.1)],
    }
}
