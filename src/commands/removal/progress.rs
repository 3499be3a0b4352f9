//! The messages of a drain or a scale while it runs, and its end: what EMQX and Kubernetes report, as events.

use jiff::Timestamp;

use super::evacuation;
use super::runner::Runner;
use super::task::Task;
use crate::cli::intent::Stream;
use crate::commands::cluster_view::ClusterView;
use crate::commands::{limit_stop, limits};
use crate::error::Problem;
use crate::model::human::{count, plural, seconds_between};
use crate::model::{
    EvacuationTimes, Event, EventNode, EventType, Judgement, NodeName, Operation, Part, Verdict,
};
use crate::plan::limits::{OperationFacts, Stopping};
use crate::plan::rebalance::progress::Counts;
use crate::plan::removal::{PodProgress, StepState};
use crate::plan::tracker::Tracker;
use crate::timing::RETURN_SECONDS;

impl<T: Task> Runner<'_, T> {
    /// Processes what EMQX reports about the evacuations; returns an end of an evacuation that ends the whole
    /// operation.
    pub(super) fn observe(&mut self, cluster: &ClusterView, now: Timestamp) -> Option<Judgement> {
        let ours: Vec<String> =
            self.state.pods.iter().filter_map(|it| it.node.as_ref()).map(evacuation).collect();
        let mut end = None;
        for event in self.operations.observe(&cluster.world, now) {
            if event.operation != Operation::Evacuation || !ours.contains(&event.name) {
                continue;
            }
            let present = |name: &str| {
                let mut pods = self.state.pods.iter().zip(&self.standings);
                pods.any(|(it, stands)| {
                    it.node.as_ref().is_some_and(|node| evacuation(node) == name)
                        && !matches!(stands, PodProgress::Replacing | PodProgress::Done)
                })
            };
            let why = event.reason.clone().unwrap_or_else(|| event.message.clone());
            match event.verdict {
                Some(Verdict::Stalled) => end = Some(Judgement::new(Verdict::Stalled, why)),
                Some(Verdict::Stopped) if present(&event.name) => {
                    end = Some(Judgement::new(Verdict::Stopped, why));
                }
                Some(Verdict::NodesLost) => self.lost = Some(why),
                None if event.kind == EventType::Progress && self.manner.watch
                    || event.kind == EventType::Phase =>
                {
                    self.announce(cluster, event.kind, event.message.clone());
                }
                Some(_) | None => {}
            }
        }
        self.watch_clients(cluster);
        end
    }

    /// Recommends once to stop, when clients stay missing.
    fn watch_clients(&mut self, cluster: &ClusterView) {
        let emptied = self.state.pods.iter().filter(|pod| pod.started).filter_map(|pod| pod.node.clone());
        let start = self.state.connections.map(|start| (start, self.began));
        self.watch.observe(cluster.answers(), &emptied.collect(), start);
        if let Some(message) = self.watch.announce(&self.task.undo()) {
            self.announce(cluster, EventType::Notice, message);
        }
    }

    /// Prints which pods changed their state.
    pub(super) fn stand(&mut self, cluster: &ClusterView, standings: &[PodProgress], now: Timestamp) {
        let evacuates = standings.contains(&PodProgress::Evacuating);
        match self.evacuating {
            (None, before) if evacuates => self.evacuating = (Some(now), before),
            (Some(since), before) if !evacuates => {
                self.evacuating = (None, before.saturating_add(seconds_between(since, now)));
            }
            _ => {}
        }
        let mut done = 0.0;
        for (place, stands) in standings.iter().enumerate() {
            let (began, ended) = &mut self.turns[place];
            if *stands != PodProgress::Planned && began.is_none() {
                *began = Some(now);
            }
            match stands {
                PodProgress::Done => *ended = ended.or(Some(now)),
                _ => *ended = None,
            }
            let node = self.state.pods[place].node.as_ref();
            let percent = node
                .and_then(|node| self.operations.evacuation(&evacuation(node)))
                .map_or(0.0, |run| f64::from(run.percent) / 100.0);
            done += match stands {
                PodProgress::Planned => 0.0,
                PodProgress::Evacuating => percent * 0.7,
                PodProgress::Empty => 0.7,
                PodProgress::Replacing => 0.8,
                PodProgress::Done => 1.0,
            };
            if self.standings[place] != *stands {
                let message = self.task.standing(&self.state.pods[place], *stands);
                self.standings[place] = *stands;
                if let Some(message) = message {
                    self.announce(cluster, EventType::Phase, message);
                }
            }
        }
        let percent = done * 100.0 / standings.len().max(1) as f64;
        self.percent = self.percent.max((percent as u8).min(99));
    }

    /// How long the evacuations took, where all of them came to their end in this run.
    pub(super) fn evacuations(&self) -> Option<EvacuationTimes> {
        let ended = self.standings.iter().all(|stands| *stands == PodProgress::Done);
        let (now, seconds) = self.evacuating;
        let planned_seconds = self.manner.planned_seconds.filter(|_| ended && now.is_none())?;
        Some(EvacuationTimes { planned_seconds, seconds })
    }

    /// The verdict after every pod was moved: whether every client came back.
    pub(super) fn complete(&mut self, cluster: &ClusterView, now: Timestamp) -> Option<Judgement> {
        if let Some(lost) = &self.lost {
            return Some(Judgement::new(Verdict::NodesLost, lost.clone()));
        }
        let since = *self.complete.get_or_insert(now);
        let counts =
            cluster.answers().nodes.as_ref().and_then(|nodes| Counts::of(&nodes.value).all_connections());
        let (before, left) = self.state.connections.zip(counts)?;
        let Judgement { verdict, message: reached } = self.task.reached(&cluster.world, &self.state.pods);
        if !verdict.is_reached() {
            return Some(Judgement::new(verdict, reached));
        }
        if left as f64 >= before as f64 * 0.98 {
            let message = format!("{reached}; {} of {} are connected", count(left), plural(before, "client"));
            return Some(Judgement { verdict, message });
        }
        (seconds_between(since, now) >= RETURN_SECONDS).then(|| {
            let message = format!(
                "{reached}, but {} of {} are connected {RETURN_SECONDS}s later",
                count(left),
                plural(before, "client")
            );
            Judgement::new(Verdict::ClientsMissing, message)
        })
    }

    pub(super) fn left(&mut self, what: &str) -> Problem {
        let of = |wanted: &[PodProgress]| -> Vec<&str> {
            let pods = self.state.pods.iter().zip(&self.standings);
            pods.filter(|(_, stands)| wanted.contains(stands)).map(|(it, _)| it.pod.as_str()).collect()
        };
        let (moved, emptied, rest) = (
            of(&[PodProgress::Done]),
            of(&[PodProgress::Evacuating, PodProgress::Empty]),
            of(&[PodProgress::Planned, PodProgress::Replacing]),
        );
        let mut parts =
            vec![format!("{} of {} {}", moved.len(), plural(self.state.pods.len() as u64, "pod"), T::DONE)];
        if !emptied.is_empty() {
            parts.push(format!("EMQX continues to evacuate {}", emptied.join(", ")));
        }
        if !rest.is_empty() {
            parts.push(format!("remaining: {}", rest.join(", ")));
        }
        let parts = if self.state.pods.is_empty() { self.task.begins() } else { parts.join("; ") };
        let judgement = Judgement::new(Verdict::Running, parts);
        self.task.report(&judgement);
        self.task.unfinished(what, &judgement.message)
    }

    /// Writes the state of each pod into the result.
    pub(super) fn report(&mut self) {
        let states: Vec<StepState> =
            self.standings.iter().map(|stands| self.task.step_state(*stands)).collect();
        for (place, step) in self.task.steps().iter_mut().enumerate() {
            if let Some(state) = states.get(place) {
                step.state = *state;
            }
            if let Some((Some(began), Some(ended))) = self.turns.get(place) {
                step.seconds = Some(seconds_between(*began, *ended));
            }
        }
    }

    /// Compares the run with its limits; returns why it has to be stopped, if it has to.
    pub(super) fn limit(&mut self, cluster: &ClusterView) -> Option<String> {
        let now = self.context.clock.now();
        let known = OperationFacts { start: self.state.connections, eta_seconds: None };
        let outcomes = self.limits.as_mut()?.observe(cluster.answers(), known, now);
        let mut stop = None;
        for outcome in outcomes {
            let (message, why) = outcome.into_notice();
            stop = stop.or(why);
            self.announce(cluster, EventType::Notice, message);
        }
        stop
    }

    /// The nodes of this run that EMQX evacuates.
    pub(super) fn evacuated(&self, cluster: &ClusterView) -> Vec<NodeName> {
        let load = cluster.answers().load.as_ref().map(|load| load.value.evacuations.as_slice());
        let listed = |node: &NodeName| load.unwrap_or_default().iter().any(|entry| entry.node == *node);
        let ours = self.state.pods.iter().filter(|pod| pod.started).filter_map(|pod| pod.node.clone());
        ours.filter(listed).collect()
    }

    /// The last event of a run that reached a limit, and the problem with which it ends.
    pub(super) fn stopped(
        &mut self,
        cluster: &ClusterView,
        why: &str,
        stopped: Result<limit_stop::LimitStop, Problem>,
    ) -> Problem {
        let stopping = match stopped {
            Err(problem) => {
                let problem = limits::not_stopped(&self.name, why, problem);
                self.announce(cluster, EventType::Notice, problem.to_string());
                return problem;
            }
            Ok(limit_stop::LimitStop::Done(stopping) | limit_stop::LimitStop::RollsBack(stopping)) => {
                stopping
            }
            Ok(limit_stop::LimitStop::Over) => {
                let undone = vec!["no evacuation of it runs".to_owned()];
                Stopping { undone, kept: Vec::new() }
            }
        };
        let hint = self.task.unfinished(why, "").hint.unwrap_or_default();
        let done = self.standings.iter().filter(|stands| **stands == PodProgress::Done).count();
        let all = plural(self.standings.len() as u64, "pod");
        let stays = format!("{done} of {all} {}, which stays so", T::DONE);
        let stopping =
            Stopping { kept: stopping.kept.into_iter().chain([stays]).collect(), undone: stopping.undone };
        let reason = format!("{why}; {}", stopping.sentence());
        self.end(cluster, Judgement::new(Verdict::Stopped, reason));
        limits::reached(&self.name, why, hint)
    }

    /// Reports the verdict, in the result and as the last event.
    pub(super) fn end(&mut self, cluster: &ClusterView, judgement: Judgement) {
        self.task.report(&judgement);
        let event = Event { phase: None, ..self.event(cluster, EventType::Verdict, judgement.sentence()) };
        self.judged = Some(judgement.clone());
        self.send(&event.judged(judgement));
    }

    pub(super) fn announce(&mut self, cluster: &ClusterView, kind: EventType, message: String) {
        let event = self.event(cluster, kind, message);
        self.send(&event);
    }

    fn event(&self, cluster: &ClusterView, kind: EventType, message: String) -> Event {
        let now = self.context.clock.now();
        let listed = cluster.answers().listed();
        let load = cluster.answers().eviction_status();
        let nodes = self.state.pods.iter().filter_map(|it| it.node.as_ref()).map(|node| {
            let counts = listed.iter().find(|it| it.name == *node);
            let entry = load.and_then(|load| load.evacuations.iter().find(|it| it.node == *node));
            EventNode {
                node: node.clone(),
                connections: counts.and_then(|it| it.connections),
                sessions: counts.and_then(|it| it.sessions),
                part: entry.map(|_| Part::Evacuating),
                state: entry.map(|it| it.state.clone()),
            }
        });
        let place = self.standings.iter().position(|stands| *stands != PodProgress::Done);
        Event {
            nodes: nodes.collect(),
            percent: Some(self.percent),
            phase: place.map(|place| self.task.step_state(self.standings[place]).as_str().to_owned()),
            ..Event::of(now, kind, T::OPERATION, self.name.clone(), message)
        }
    }

    fn send(&mut self, event: &Event) {
        if let Some(notifier) = &mut self.notifier {
            notifier.take(event);
        }
        if self.manner.stream == Stream::Jsonl {
            self.context.printer.jsonl(event);
        } else if self.filtering.shows(event) {
            self.context.printer.talk_event(event);
        }
    }
}
