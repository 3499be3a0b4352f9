//! Following the evacuation of one node that is part of no upgrade: started by a person, or by our own `evacuate`.
//!
//! EMQX's entry is all there is. It ends in `prohibiting`, in which the node is empty and refuses clients for ever, and
//! vanishes when it is stopped or when its node goes (`emqx-facts.md` 4.7).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::memory::forget;
use super::super::progress::percent;
use super::super::words::{short, verdict};
use super::pace::{Holds, Pace};
use super::words::doing;
use crate::model::human::{plural, seconds_between};
use crate::model::{
    Evacuation, Event, EventNode, EventType, InstanceId, NodeName, Operation, Part, Stage, Verdict, World,
};

/// One evacuation.
#[derive(Clone, Debug)]
pub struct Emptied {
    /// `evacuation/NODE`.
    pub name: String,
    /// EMQX's entry.
    pub entry: Evacuation,
    /// When it was first seen.
    pub began: Timestamp,
    /// What is on the node.
    pub holds: Option<Holds>,
    /// What was on it at the start.
    pub start: Option<Holds>,
    /// How it was asked for, where we did.
    pub pace: Option<Pace>,
    /// How far.
    pub percent: u8,
    /// Seconds to the end, where that can be known.
    pub seconds: Option<u64>,
    /// How it ended, and why.
    pub verdict: Option<(Verdict, String)>,
    since: Timestamp,
}

/// Follows evacuations.
#[derive(Clone, Debug, Default)]
pub struct Evacuations {
    /// Those that go on and the last that are over, in the order in which they began.
    pub runs: Vec<Emptied>,
    asked: Vec<(NodeName, Pace)>,
    seen: Option<Timestamp>,
}

impl Evacuations {
    /// Remembers how we asked for one, before its entry is seen.
    pub fn asked(&mut self, node: NodeName, pace: Pace) {
        self.asked.push((node, pace));
    }

    /// Takes in how the world is now. `ours` are the nodes of upgrades.
    pub fn observe(
        &mut self,
        world: &World,
        focus: Option<&InstanceId>,
        ours: &BTreeSet<NodeName>,
        now: Timestamp,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let copied = || -> Vec<Evacuation> {
            let of = |id: &InstanceId| focus.is_none_or(|focus| focus == id);
            let instances = world.instances.iter().filter(|(id, _)| of(id));
            instances.flat_map(|(_, seen)| seen.value.evacuations.clone()).collect()
        };
        let (entries, at) = match &world.load {
            Some(load) => (load.value.evacuations.clone(), load.at),
            None => (copied(), now),
        };
        // One answer of EMQX's is taken once: entries vanish with the next one, not with the next fact.
        if self.seen.is_some_and(|seen| at <= seen) {
            return events;
        }
        self.seen = Some(at);
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            if !entries.iter().any(|entry| entry.node == run.entry.node) {
                let end = run.end(world);
                run.settle(end, now, &mut events);
            }
        }
        for entry in entries.iter().filter(|entry| !ours.contains(&entry.node)) {
            let open = self.runs.iter().position(|run| run.verdict.is_none() && run.entry.node == entry.node);
            let place = open.unwrap_or_else(|| {
                let asked = self.asked.iter().position(|(node, _)| *node == entry.node);
                let pace = asked.map(|place| self.asked.remove(place).1);
                let run = Emptied::begin(entry, pace, now);
                let message = format!("evacuation of {}", short(&entry.node));
                events.push(run.event(now, EventType::Created, message));
                self.runs.push(run);
                self.runs.len() - 1
            });
            if let Some(run) = self.runs.get_mut(place) {
                run.absorb(entry, world, open.is_none(), now, &mut events);
            }
        }
        // What an upgrade took over (its run began later) is its own.
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && ours.contains(&run.entry.node))
        {
            let reason = "it goes on as a part of the upgrade".to_owned();
            run.settle((Verdict::Running, reason), now, &mut events);
        }
        forget(&mut self.runs, |run| run.verdict.is_some());
        events
    }

    /// The source is over.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            let reason = match run.entry.stage {
                Stage::Prohibiting => "the node is empty, and refuses clients until it is stopped".to_owned(),
                _ => "it goes on".to_owned(),
            };
            run.settle((Verdict::Running, reason), now, &mut events);
        }
        events
    }
}

impl Emptied {
    fn begin(entry: &Evacuation, pace: Option<Pace>, now: Timestamp) -> Self {
        let start = match (entry.initial_connections, entry.initial_sessions) {
            (Some(connections), Some(sessions)) => Some(Holds { connections, sessions }),
            _ => None,
        };
        Self {
            name: format!("evacuation/{}", entry.node),
            entry: entry.clone(),
            began: now,
            holds: start,
            start,
            pace,
            percent: 0,
            seconds: None,
            verdict: None,
            since: now,
        }
    }

    fn absorb(
        &mut self,
        entry: &Evacuation,
        world: &World,
        first: bool,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let entered = first || entry.stage != self.entry.stage;
        if entered {
            self.since = now;
        }
        self.entry = entry.clone();
        let nodes = world.nodes.as_ref().map(|seen| seen.value.as_slice()).unwrap_or_default();
        let node = nodes.iter().find(|node| node.name == entry.node);
        let holds = node
            .and_then(|node| Some((node.connections?, node.sessions?)))
            .or_else(|| Some((entry.connections?, entry.sessions?)))
            .map(|(connections, sessions)| Holds { connections, sessions });
        let moved = holds.is_some() && holds != self.holds;
        self.holds = holds.or(self.holds);
        self.forecast(now);
        if entered {
            let left = self.seconds.map(|left| format!(", {left} s to go")).unwrap_or_default();
            let message = format!("{}: {}{left}", short(&entry.node), doing(&entry.stage));
            events.push(self.event(now, EventType::Phase, message));
        } else if moved {
            let holds = self.holds.unwrap_or_default();
            let message = format!(
                "{} %: {} and {} left on {}",
                self.percent,
                plural(holds.connections, "client"),
                plural(holds.sessions, "session"),
                short(&entry.node)
            );
            events.push(self.event(now, EventType::Progress, message));
        }
    }

    fn forecast(&mut self, now: Timestamp) {
        let (Some(holds), Some(start)) = (self.holds, self.start) else { return };
        if let Some(pace) = &self.pace {
            let left = pace.left(&self.entry.stage, seconds_between(self.since, now), holds);
            self.percent = percent(seconds_between(self.began, now), left, self.percent);
            self.seconds = Some(left);
            return;
        }
        // What EMQX waits for is not told by it: how far is how much has gone.
        let (whole, left) = (start.connections + start.sessions, holds.connections + holds.sessions);
        self.percent = percent(whole.saturating_sub(left), left, self.percent);
    }

    /// How one ended whose entry is gone.
    fn end(&self, world: &World) -> (Verdict, String) {
        let nodes = world.nodes.as_ref().map(|seen| seen.value.as_slice()).unwrap_or_default();
        let runs = nodes.iter().any(|node| node.running && node.name == self.entry.node);
        let holds = self.holds.unwrap_or_default();
        // `prohibiting` may last a fifth of a second only.
        let empty = self.entry.stage == Stage::Prohibiting || self.holds.is_some_and(Holds::nothing);
        match (runs, empty) {
            (true, _) => (
                Verdict::Stopped,
                format!(
                    "it was stopped in {}; {} on the node, which takes new ones again",
                    self.entry.state,
                    plural(holds.connections, "client")
                ),
            ),
            (false, true) => (Verdict::Stopped, "the node was emptied, and left the cluster".to_owned()),
            (false, false) => (
                Verdict::Failed,
                format!(
                    "the node left the cluster in {}, with {} and {} on it",
                    self.entry.state,
                    plural(holds.connections, "client"),
                    plural(holds.sessions, "session")
                ),
            ),
        }
    }

    fn settle(&mut self, word: (Verdict, String), now: Timestamp, events: &mut Vec<Event>) {
        if word.0.final_word() {
            self.percent = 100;
        }
        self.verdict = Some(word.clone());
        let mut event = self.event(now, EventType::Verdict, verdict(word.0, &word.1));
        event.verdict = Some(word.0);
        event.reason = Some(word.1);
        events.push(event);
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        let over = self.verdict.is_some();
        Event {
            time: now,
            kind,
            name: self.name.clone(),
            operation: Operation::Evacuation,
            phase: (!over).then(|| self.entry.stage.phase().to_owned()),
            nodes: vec![EventNode {
                node: self.entry.node.clone(),
                connections: self.holds.map(|holds| holds.connections),
                sessions: self.holds.map(|holds| holds.sessions),
                part: Some(Part::Evacuating),
                state: (!over).then(|| self.entry.state.clone()),
            }],
            moved_connections: self
                .start
                .zip(self.holds)
                .map(|(start, holds)| start.connections.saturating_sub(holds.connections)),
            percent: Some(self.percent),
            eta_seconds: self.seconds.filter(|_| !over),
            lost_clients: None,
            lost_sessions: None,
            landing_ratio: None,
            message,
            verdict: None,
            reason: None,
        }
    }
}
