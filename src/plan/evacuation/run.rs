//! One evacuation that is followed: its stages, the clients that remain, and its end.

use jiff::Timestamp;

use crate::model::evacuation::{EvacuationWaits, NO_WAITS};
use crate::model::human::{duration, plural, seconds_between};
use crate::model::{
    BrokerState, Evacuation, Event, EventNode, EventType, InstanceId, Judgement, Node, NodeName, Operation,
    OperationRef, Part, Stage, Verdict, World,
};
use crate::plan::durations::{DrainTiming, NodeContent, evacuation_left};
use crate::plan::evacuation::doing;
use crate::plan::happened::Happened;
use crate::plan::percent;
use crate::plan::snapshot::label;
use crate::plan::stored_removal::stored_waits;
use crate::plan::tracked::{Quiet, Tracked as _};
use crate::timing::{
    END_GAP_SECONDS, EVACUATION_MISSING_SECONDS, EVACUATION_STALLED_SECONDS, RESTORED_SECONDS,
    UPTIME_SLACK_MILLIS,
};

#[derive(Clone, Debug)]
pub struct EvacuationRun {
    /// `evacuation/NODE`.
    pub name: String,
    /// Its node as the rows of a status name it.
    pub label: String,
    /// EMQX's entry.
    pub entry: Evacuation,
    /// When it was first seen.
    pub began: Timestamp,
    /// The stage in EMQX's first answer, or in the first one after an outage, where that answer lists it already: then its
    /// start was not seen.
    pub(super) joined: Option<Stage>,
    /// What is on the node.
    pub holds: Option<NodeContent>,
    /// What was on it at the start.
    pub start: Option<NodeContent>,
    /// The timing that this program requested; `None` for an evacuation of another client.
    pub timing: Option<DrainTiming>,
    /// The waits that an earlier process of a drain or a scale requested and stored; when they began is not known.
    pub(super) stored_waits: Option<EvacuationWaits>,
    /// Whether EMQX restored it from disk when its node started again.
    pub restored: bool,
    /// Work done, in percent.
    pub percent: u8,
    /// Seconds to the end, where that can be known.
    pub seconds: Option<u64>,
    /// Seconds from its beginning to its end by the first forecast, where it is known how EMQX waits.
    pub planned: Option<u64>,
    /// When it ended, at the latest.
    pub ended: Option<Timestamp>,
    /// How it ended, and why.
    pub verdict: Option<Judgement>,
    /// When it entered its present stage.
    pub(super) since: Timestamp,
    /// When the node last held something else.
    pub(super) moved: Timestamp,
    /// Since when EMQX's answers have not listed it.
    pub(super) missing: Option<Timestamp>,
    /// When EMQX last listed it, and when it did before an outage that just ended.
    pub(super) seen: Timestamp,
    pub(super) before_outage: Option<Timestamp>,
    /// Milliseconds for which the node was up, and when that was reported.
    pub(super) uptime: Option<(u64, Timestamp)>,
    /// Whether the entry of a run with a verdict is still listed: then it is no new evacuation.
    pub(super) listed: bool,
    /// When something was last reported of it, and since when EMQX does not answer.
    pub(super) quiet: Quiet,
}

/// `300 clients`; their number may be unknown.
pub(super) fn clients(number: Option<u64>) -> String {
    number.map_or_else(|| "an unknown number of clients".to_owned(), |number| plural(number, "client"))
}

/// The end of an evacuation whose node runs again.
const RESTARTED: &str = "restarted";

pub(super) fn node<'w>(broker: &'w BrokerState, name: &NodeName) -> Option<&'w Node> {
    broker.nodes.as_ref()?.value.iter().find(|node| node.name == *name)
}

impl EvacuationRun {
    /// When it began, where that was seen.
    pub(crate) fn began_at(&self) -> Option<Timestamp> {
        self.joined.is_none().then_some(self.began)
    }

    /// When what an event of it reports happened.
    pub(crate) fn happened(&self, event: &Event) -> Happened {
        // Its first event and the first phase belong to one answer.
        let is_unseen = self.joined.is_some() && event.time == self.began;
        match event.kind {
            EventType::Created | EventType::Phase if is_unseen => Happened::Before(event.time),
            EventType::Phase if self.before_outage.is_some() => Happened::Before(event.time),
            EventType::Verdict if self.ended_unseen() || self.ended_after().is_some() => {
                Happened::Before(event.time)
            }
            _ => Happened::At(event.time),
        }
    }

    /// Whether its node was empty in EMQX's first answer: neither its start nor its end was seen.
    pub(crate) fn ended_unseen(&self) -> bool {
        self.joined == Some(Stage::Prohibiting)
    }

    pub(super) fn begin(
        entry: &Evacuation,
        timing: Option<DrainTiming>,
        again: bool,
        (world, id): (&World, &InstanceId),
        now: Timestamp,
    ) -> Self {
        let start = match (entry.initial_connections, entry.initial_sessions) {
            (Some(connections), Some(sessions)) => Some(NodeContent { connections, sessions }),
            _ => None,
        };
        let uptime = node(world.broker(id), &entry.node).and_then(|node| node.uptime_millis);
        Self {
            name: OperationRef::Evacuation(entry.node.clone()).to_string(),
            label: label(world, id, &entry.node),
            entry: entry.clone(),
            began: now,
            joined: None,
            holds: start,
            start,
            timing,
            stored_waits: stored_waits(world, id, &entry.node),
            restored: again || restored(entry, uptime),
            percent: 0,
            seconds: None,
            planned: None,
            ended: None,
            verdict: None,
            since: now,
            moved: now,
            missing: None,
            seen: now,
            before_outage: None,
            uptime: None,
            listed: true,
            quiet: Quiet::new(now),
        }
    }

    /// An answer of EMQX about it: after an outage, nothing is known of the time since the answer before.
    pub(super) fn answered(&mut self, now: Timestamp) {
        self.before_outage = (seconds_between(self.seen, now) > END_GAP_SECONDS).then_some(self.seen);
    }

    /// When EMQX last listed it, where it is not known when after that it ended.
    pub(crate) fn ended_after(&self) -> Option<Timestamp> {
        self.before_outage.filter(|_| self.ended.is_some())
    }

    pub(super) fn absorb(
        &mut self,
        entry: &Evacuation,
        broker: &BrokerState,
        first: bool,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        self.missing = None;
        self.answered(now);
        self.seen = now;
        if self.lost(broker, now, events) {
            return;
        }
        let entered = first || entry.stage != self.entry.stage;
        if entered {
            self.since = now;
        }
        let counted = (self.entry.connections, self.entry.sessions);
        self.entry = entry.clone();
        let holds = node(broker, &entry.node)
            .and_then(|node| Some((node.connections?, node.sessions?)))
            .or_else(|| Some((entry.connections?, entry.sessions?)))
            .map(|(connections, sessions)| NodeContent { connections, sessions });
        let moved = holds.is_some() && holds != self.holds;
        if entered || moved || counted != (entry.connections, entry.sessions) {
            self.moved = now;
        }
        self.holds = holds.or(self.holds);
        self.forecast(now);
        if entered {
            let message = format!("{}: {}{}", self.label, doing(&entry.stage), self.to_go());
            events.push(self.event(now, EventType::Phase, message));
        } else if moved {
            let holds = self.holds.unwrap_or_default();
            let message = format!(
                "{} %: {} and {} remain on {}",
                self.percent,
                plural(holds.connections, "client"),
                plural(holds.sessions, "session"),
                self.label
            );
            events.push(self.event(now, EventType::Progress, message));
        }
        if entry.stage == Stage::Prohibiting {
            self.record_verdict(Judgement::new(Verdict::Evacuated, self.emptied()), now, events);
        } else if let Some(why) = self.stalled(broker, now) {
            self.record_verdict(Judgement::new(Verdict::Stalled, why), now, events);
        }
    }

    /// The text for a node that is empty by EMQX's counts.
    pub(super) fn emptied(&self) -> String {
        let moved = match self.start {
            _ if self.restored => ", which EMQX restored from disk after the node restarted".to_owned(),
            Some(start) => format!(
                "; {} and {} were on it",
                plural(start.connections, "client"),
                plural(start.sessions, "session")
            ),
            None => String::new(),
        };
        let rest = self.holds.filter(|holds| !holds.nothing()).map(|holds| {
            format!("; EMQX still counts {} there", plural(holds.connections.max(holds.sessions), "session"))
        });
        format!(
            "{} is empty and refuses clients{moved}{}; kubectl emqx evacuate stop {} lets it serve again",
            self.label,
            rest.unwrap_or_default(),
            self.entry.node
        )
    }

    /// Whether its node went down or restarted: the evacuation is then over, and its verdict is final.
    pub(super) fn lost(&mut self, broker: &BrokerState, now: Timestamp, events: &mut Vec<Event>) -> bool {
        let here = node(broker, &self.entry.node);
        let seen = broker.nodes.as_ref().map_or(now, |nodes| nodes.at);
        let uptime = here.filter(|node| node.running).and_then(|node| node.uptime_millis);
        let restarted = match (uptime, self.uptime) {
            (Some(now), Some((before, _))) => now.saturating_add(UPTIME_SLACK_MILLIS) < before,
            _ => false,
        };
        let down = here.is_some_and(|node| node.stopped);
        if down || restarted {
            self.answered(now);
            let end = self.gone(if restarted { RESTARTED } else { "stopped running" });
            self.record_verdict(end, now, events);
            // An entry that EMQX restores from disk is another evacuation.
            self.listed = false;
            return true;
        }
        if let Some(uptime) = uptime {
            self.uptime = Some((uptime, seen));
        }
        false
    }

    /// The verdict of an evacuation whose node went down.
    pub(super) fn gone(&self, how: &str) -> Judgement {
        let label = &self.label;
        let holds = self.holds.unwrap_or_default();
        let empty = self.holds.is_some_and(NodeContent::nothing);
        if empty && self.entry.stage != Stage::Prohibiting {
            let when = if how == RESTARTED { "" } else { " when it runs again" };
            let message = format!(
                "{label} was empty, and {how} in {}: it accepts clients{when}, unless EMQX restores the evacuation from disk",
                self.entry.state
            );
            return Judgement::new(Verdict::Failed, message);
        }
        if self.entry.stage == Stage::Prohibiting {
            return Judgement::new(Verdict::Evacuated, format!("{label} was empty, and {how}"));
        }
        if holds.connections > 0 || self.holds.is_none() {
            let clients = clients(self.holds.map(|holds| holds.connections));
            let message = format!(
                "{label} {how} in {} with {clients} connected, which were disconnected at once; EMQX restores the \
                 evacuation from disk when the node starts again",
                self.entry.state
            );
            return Judgement::new(Verdict::NodesLost, message);
        }
        let message = format!(
            "{label} {how} in {} before {} were moved",
            self.entry.state,
            plural(holds.sessions, "session")
        );
        Judgement::new(Verdict::Failed, message)
    }

    /// EMQX's answer does not list the evacuation.
    pub(super) fn absent(
        &mut self,
        broker: &BrokerState,
        stopped: bool,
        at: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        if self.missing.is_none() {
            self.answered(now);
        }
        if self.lost(broker, now, events) {
            return;
        }
        let since = *self.missing.get_or_insert(at);
        if node(broker, &self.entry.node).is_none() && broker.nodes.is_some() {
            // A core that restarts is missing from every list for about two seconds; a stopped replicant
            // stays missing.
            if seconds_between(since, at) >= 2 {
                let end = self.gone("left the cluster");
                self.record_verdict(end, now, events);
                self.listed = false;
            }
            return;
        }
        if !stopped && seconds_between(since, at) < EVACUATION_MISSING_SECONDS {
            return;
        }
        let clients = self
            .holds
            .map_or_else(String::new, |holds| format!("; {} on it", plural(holds.connections, "client")));
        let who = if stopped { "you stopped it" } else { "it was stopped" };
        let message = format!("{who} in {}{clients}, and the node accepts clients again", self.entry.state);
        self.record_verdict(Judgement::new(Verdict::Stopped, message), now, events);
        self.listed = false;
    }

    /// Why nothing has moved for a long time, if nothing has.
    pub(super) fn stalled(&self, broker: &BrokerState, now: Timestamp) -> Option<String> {
        let spent = seconds_between(self.moved, now);
        let limit = match self.entry.stage {
            Stage::EvictingConns | Stage::EvictingSessions => EVACUATION_STALLED_SECONDS,
            Stage::WaitHealthCheck => {
                (self.timing.as_ref()?.wait_health_check * 3).max(EVACUATION_STALLED_SECONDS)
            }
            Stage::WaitTakeover => (self.timing.as_ref()?.wait_takeover * 3).max(EVACUATION_STALLED_SECONDS),
            Stage::Prohibiting | Stage::Unknown(_) => return None,
        };
        if spent < limit {
            return None;
        }
        let label = &self.label;
        let why = match self.entry.stage {
            Stage::EvictingSessions if self.entry.recipients.is_empty() => {
                "no other node can take sessions; EMQX tries again every 30 s".to_owned()
            }
            Stage::EvictingSessions => match residue(broker, &self.entry) {
                Some(rest) => format!(
                    "the same {} are counted on every node: durable sessions, which no evacuation can move",
                    plural(rest, "session")
                ),
                None => format!(
                    "{} remain; durable sessions cannot be moved by an evacuation",
                    plural(self.holds.map_or(0, |holds| holds.sessions), "session")
                ),
            },
            _ => format!("EMQX reports {}", self.entry.state),
        };
        Some(format!("nothing moved on {label} for {spent}s: {why}"))
    }

    pub(super) fn forecast(&mut self, now: Timestamp) {
        let (Some(holds), Some(start)) = (self.holds, self.start) else { return };
        let stage = &self.entry.stage;
        let rates = (self.entry.conn_evict_rate, self.entry.sess_evict_rate);
        let waits = self.timing.as_ref().map_or(NO_WAITS, DrainTiming::waits);
        let spent = seconds_between(self.since, now);
        let seconds_left = |holds: NodeContent| evacuation_left(stage, spent, waits, rates, holds);
        let left = seconds_left(holds);
        // Nothing is moved during the first wait: clients and sessions that disappear by then left by
        // themselves.
        let rest = if stage.order().unwrap_or(0) == 0 { seconds_left(start) } else { left };
        let whole = evacuation_left(&Stage::WaitHealthCheck, 0, waits, rates, start);
        self.percent = percent::done(whole, rest, self.percent);
        // EMQX reports neither the length nor the begin of its waits: with the stored waits, or its default
        // ones, this is the latest end.
        let assumed = match self.timing {
            Some(_) => 0,
            None => self.stored_waits.unwrap_or_default().left(&self.entry.stage, spent),
        };
        // Where no work remains and EMQX has not finished, the end is unknown.
        self.seconds = Some(left + assumed).filter(|left| *left > 0);
        let whole = self.seconds.map(|left| seconds_between(self.began, now).saturating_add(left));
        self.planned = self.planned.or(whole.filter(|_| self.timing.is_some()));
    }

    /// Whether the end is the latest one: when the waits began is unknown, or how long they are, where EMQX's defaults are
    /// assumed.
    pub(crate) fn end_is_bound(&self) -> bool {
        self.timing.is_none() && self.entry.stage.order().is_some_and(|order| order < 3)
    }

    /// `, 30s to go`; `, at most 30s to go`, with `with EMQX's default waits` where the waits are not known. Empty where the end is
    /// unknown.
    pub(crate) fn to_go(&self) -> String {
        let Some(left) = self.seconds else { return String::new() };
        let left = duration(left);
        if self.end_is_bound() {
            let by = if self.stored_waits.is_none() { " with EMQX's default waits" } else { "" };
            format!(", at most {left} to go{by}")
        } else {
            format!(", {left} to go")
        }
    }

    /// Its present state, in one sentence.
    pub(crate) fn message(&self) -> String {
        if let Some(judgement) = &self.verdict {
            return judgement.message.clone();
        }
        // For an evacuation of this program the plan shows the end.
        let to_go = if self.timing.is_none() { self.to_go() } else { String::new() };
        self.present(&to_go)
    }

    /// What EMQX does and what remains, with the end where `to_go` has it.
    pub(crate) fn present(&self, to_go: &str) -> String {
        let holds = self.holds.map_or_else(String::new, |holds| {
            let (clients, sessions) =
                (plural(holds.connections, "client"), plural(holds.sessions, "session"));
            format!(", {clients} and {sessions} remain")
        });
        let restored =
            if self.restored { "; EMQX restored it from disk after the node restarted" } else { "" };
        format!("{}{holds}{to_go}{restored}", doing(&self.entry.stage))
    }

    pub(super) fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        let over = self.verdict.is_some();
        Event {
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
            ..Event::of(now, kind, Operation::Evacuation, self.name.clone(), message)
        }
    }
}

/// Whether EMQX restored this evacuation from disk: it then counts from 0, and its node started not long ago.
pub(crate) fn restored(entry: &Evacuation, uptime_millis: Option<u64>) -> bool {
    entry.initial_connections == Some(0)
        && entry.initial_sessions == Some(0)
        && entry.stage != Stage::WaitHealthCheck
        && uptime_millis.is_some_and(|millis| millis / 1000 < RESTORED_SECONDS)
}

/// The number of sessions that remain on an evacuated node and are counted on every other node of the same kind as well:
/// from EMQX 5.8 on each node counts the cluster's disconnected durable sessions.
pub(crate) fn residue(broker: &BrokerState, entry: &Evacuation) -> Option<u64> {
    let rest = entry.sessions.filter(|rest| *rest > 0)?;
    let nodes = &broker.nodes.as_ref()?.value;
    let others: Vec<&Node> = nodes.iter().filter(|node| node.running && node.name != entry.node).collect();
    let offline = |node: &Node| Some(node.sessions?.saturating_sub(node.connections?));
    (!others.is_empty() && others.iter().all(|node| offline(node).is_some_and(|number| number >= rest)))
        .then_some(rest)
}
