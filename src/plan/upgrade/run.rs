//! One upgrade that is followed: what is known of it, and its progress.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::eviction_alarm::{EvictionAlarm, EvictionCounts};
use super::super::happened::Happened;
use super::super::limits::flight;
use super::super::tracked::Quiet;
use super::revisions::{Member, UpgradeRevisions};
use super::target::one_by_one;
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::{plural, seconds_between};
use crate::model::{
    ApiVersion, Evacuation, Event, EventNode, EventType, InstanceId, Judgement, NodeName, Operation, Part,
    SetKind, Stage, Verdict, World,
};
use crate::plan::alarm::Alarm;
use crate::plan::durations::NodeContent;
use crate::plan::rebalance::progress::{Counts, PRESENT};
use crate::plan::upgrade::sources::load_answers;

/// What was observed or reported of an upgrade; each of them once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Milestone {
    /// It was observed from its beginning.
    Beginning,
    /// Its beginning was not observed, and there were fewer old pods than the object requests.
    LateStart,
    /// An old pod was ready.
    OldPodServed,
    /// Empty pods of a guard were reported.
    EmptyPodsReported,
    /// That the old pods left the Service was reported.
    OutOfServiceReported,
    /// A third set of this kind was reported.
    ThirdSetReported(SetKind),
}

/// The present step of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpgradeStep {
    /// New pods are starting.
    NewPods,
    /// The new pods are ready and receive the traffic; no old pod is being emptied yet.
    Moved,
    /// An old pod, or several, are being emptied.
    Emptying,
    /// An old pod is being removed.
    Removing,
    /// Between the removal of one old pod and the evacuation of the next one.
    Waiting,
    /// Only new pods are left; EMQX still lists an old node, or new ones are not ready again.
    Settling,
}

impl UpgradeStep {
    /// The name of the phase in machine output.
    pub(crate) fn phase(self) -> &'static str {
        match self {
            Self::NewPods => "newPods",
            Self::Moved => "trafficMoved",
            Self::Emptying | Self::Waiting => "emptying",
            Self::Removing => "removing",
            Self::Settling => "settling",
        }
    }
}

/// An old pod, in its last observed state.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousPod {
    /// Its name.
    pub pod: String,
    pub node: Option<NodeName>,
    pub set: String,
    /// What was on it.
    pub holds: Option<NodeContent>,
    /// EMQX's stage of its evacuation, and since when.
    pub stage: Option<(Stage, String, Timestamp)>,
    /// Whether its deletion was seen.
    pub deleting: bool,
    /// Whether its set creates it again, because the set still requests the same number of pods: that is no
    /// removal.
    pub again: bool,
    /// When it no longer existed; `None` while it exists.
    pub gone: Option<Timestamp>,
}

/// Clients and sessions at the start; `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpgradeBaseline {
    /// Live clients.
    pub connections: Option<u64>,
    pub sessions: Option<u64>,
}

/// The furthest state that was reached, so that values that change back and forth are no progress.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FurthestProgress {
    pub(super) new: usize,
    pub(super) up: usize,
    pub(super) ready: u64,
    pub(super) gone: usize,
    pub(super) removing: usize,
    /// All old pods that were seen.
    old: usize,
    nodes: BTreeMap<String, (u8, u64, u64)>,
}

/// When an old pod is emptied, by the present forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodTurn {
    /// Seconds until its evacuation begins.
    Starts(u64),
    /// Seconds for which EMQX still waits: for load balancers to notice, or for sessions to be taken over.
    Waits(u64),
}

#[expect(clippy::struct_excessive_bools, reason = "each is something that was seen once")]
#[derive(Clone, Debug)]
pub struct UpgradeRun {
    /// `upgrade/NAME`, with the name of the cluster: it has one at a time.
    pub name: String,
    /// The cluster.
    pub id: InstanceId,
    pub api: ApiVersion,
    /// The previous image.
    pub from: Option<String>,
    /// The target image.
    pub to: Option<String>,
    /// When it began.
    pub began: Timestamp,
    /// When the new pods received the traffic.
    pub started: Option<Timestamp>,
    /// Clients and sessions at the start.
    pub start: UpgradeBaseline,
    /// The counts now.
    pub counts: Counts,
    /// Clients on new nodes.
    pub arrived: u64,
    /// The present step.
    pub step: UpgradeStep,
    /// Old pods, by uid, in the order in which they were seen.
    pub known: BTreeMap<String, PreviousPod>,
    /// New pods that are ready, and how many are wanted.
    pub ready: (u64, u64),
    /// Whether pods are replaced in place, without a second set beside the first.
    pub rolling: bool,
    /// Whether the operator is, or was, paused by a long delay.
    pub held: bool,
    /// Whether the operator is paused by such a delay now.
    pub holding: bool,
    /// Work done, in percent.
    pub percent: u8,
    /// Seconds to the end; `None` while that is unknown.
    pub seconds: Option<u64>,
    /// Seconds from its beginning to its end by the first forecast.
    pub planned: Option<u64>,
    /// When each old pod has its turn, by the name of the pod.
    pub turns: BTreeMap<String, PodTurn>,
    /// Clients that were disconnected at once because a pod with clients was deleted.
    pub cut: u64,
    /// Whether the image was changed again during the upgrade.
    pub turned: bool,
    /// When the last old pod was removed, at the latest.
    pub ended: Option<Timestamp>,
    /// Until when it was known not to be over.
    pub(super) known_until: Timestamp,
    /// The same, where an outage of a source followed in which it ended.
    pub(super) before_outage: Option<Timestamp>,
    /// The verdict and its reason.
    pub verdict: Option<Judgement>,
    /// When the present target was requested; `None` for an upgrade that was in progress when it was first
    /// seen.
    pub(super) asked: Option<Timestamp>,
    pub(super) nodes: Vec<EventNode>,
    pub(super) best: FurthestProgress,
    pub(super) moved: Timestamp,
    pub(super) step_since: Timestamp,
    /// When it was last observed after a time in which it was not: what is new then began earlier.
    pub(super) unobserved: Option<Timestamp>,
    pub(super) seen: BTreeSet<Milestone>,
    pub(super) key: String,
    pub(super) removed: Option<Timestamp>,
    /// When the object reported that it is ready while old pods remained.
    pub(super) contradicted: Option<Timestamp>,
    /// When the image was seen to change, while it is unknown who changed it.
    pub(super) changed: Option<Timestamp>,
    /// Why EMQX cannot be asked, while its last answer is too old: clients are unknown.
    pub blind: Option<String>,
    /// The problem of a new pod.
    pub trouble: Option<String>,
    /// Seconds of work of the whole upgrade, by the first forecast.
    pub(super) work: Option<u64>,
    /// From what the last forecast of an undo was made.
    pub(super) forecast_from: Option<ForecastBasis>,
    /// Whether the clients of this upgrade stay missing.
    pub(super) alarm: EvictionAlarm,
    /// When something was last reported of it, and since when EMQX does not answer.
    pub(super) quiet: Quiet,
}

/// From what a forecast was made: while all of it is the same, nothing was done but to wait.
#[derive(Clone, Debug)]
pub(super) struct ForecastBasis {
    /// When it was made.
    pub(super) at: Timestamp,
    /// The seconds that remained.
    pub(super) rest: u64,
    /// The pods, by uid: 0, 1 when their containers run, 2 when they are ready.
    pub(super) pods: BTreeMap<String, u8>,
    /// The nodes that EMQX evacuates, and in which stage.
    pub(super) evacuations: BTreeMap<NodeName, Stage>,
    /// What the nodes held.
    pub(super) counts: Counts,
}

impl ForecastBasis {
    /// Whether nothing was done between the two: no pod was created, removed or started, no evacuation came to another stage,
    /// and the clients are the same.
    fn is_same(&self, next: &Self) -> bool {
        let started = next.pods.iter().any(|(uid, now)| self.pods.get(uid).is_some_and(|then| now > then));
        !started
            && self.pods.keys().eq(next.pods.keys())
            && self.evacuations == next.evacuations
            && self.counts == next.counts
    }

    /// Whether less remains now than the time that has passed explains, although nothing was done: then the forecast
    /// changed, as where an operator reports another target revision.
    pub(super) fn is_revised_by(&self, next: &Self) -> bool {
        self.is_same(next) && next.rest + seconds_between(self.at, next.at) < self.rest
    }
}

impl UpgradeRun {
    /// Until when it was known not to be over, where it is not known when after that it ended.
    pub(crate) fn ended_after(&self) -> Option<Timestamp> {
        self.before_outage.filter(|_| self.ended.is_some())
    }

    /// The present verdict.
    pub(crate) fn standing(&self) -> Verdict {
        match &self.verdict {
            Some(Judgement { verdict, .. }) => *verdict,
            None if self.contradicted.is_some() => Verdict::StillRunning,
            None => Verdict::Running,
        }
    }

    /// Why it should be stopped now; `None` while nothing supports that, and once it is being undone.
    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        self.alarm.raised().filter(|_| self.verdict.is_none() && !self.turned)
    }

    pub(crate) fn stop_command(&self) -> String {
        format!("kubectl emqx upgrade undo {}", self.id.name)
    }

    /// Compares the clients with those at the start; the first alarm is announced once.
    pub(super) fn watch_clients(
        &mut self,
        world: &World,
        revisions: &UpgradeRevisions<'_>,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let counts = self.eviction_counts(world, revisions);
        self.alarm.observe(counts);
        if self.alarm().is_none() {
            return;
        }
        let command = self.stop_command();
        if let Some(message) = self.alarm.announce(&command) {
            events.push(self.event(now, EventType::Notice, message));
        }
    }

    fn eviction_counts(&self, world: &World, revisions: &UpgradeRevisions<'_>) -> Option<EvictionCounts> {
        let broker = world.broker(&revisions.instance.id);
        let at = broker.nodes.as_ref().filter(|_| self.blind.is_none())?.at;
        let start = self.start.connections?;
        let on_old: u64 =
            revisions.old.iter().map(|it| it.holds.map(|holds| holds.connections)).sum::<Option<u64>>()?;
        Some(EvictionCounts {
            at,
            start,
            connected: self.counts.all_connections()?,
            evicted: start.saturating_sub(on_old),
            per_second: flight(broker)?,
            began: (!self.seen.contains(&Milestone::Beginning)).then_some(self.began),
        })
    }

    /// When what an event of it reports happened.
    pub(crate) fn happened(&self, event: &Event) -> Happened {
        let is_unseen = self.unobserved == Some(event.time);
        let known = match event.kind {
            EventType::Created => Some(self.began),
            EventType::Phase => match self.step {
                UpgradeStep::NewPods if !self.turned => Some(self.began),
                UpgradeStep::Moved => self.started,
                _ => None,
            },
            EventType::Verdict if self.before_outage.is_some() => return Happened::Before(event.time),
            EventType::Progress | EventType::Notice | EventType::Verdict => return Happened::At(event.time),
        };
        match known.filter(|known| *known < event.time) {
            Some(known) if is_unseen => Happened::At(known),
            None if is_unseen => Happened::Before(event.time),
            _ => Happened::At(event.time),
        }
    }

    /// Whether old pods may have been gone before it was first seen.
    pub(super) fn is_late(&self) -> bool {
        self.seen.contains(&Milestone::LateStart)
    }

    /// How many old pods are gone, in words; how many are left, where some may have been gone before the run was first seen.
    pub(super) fn pods_gone(&self) -> String {
        let (gone, total) = self.places();
        if self.is_late() {
            format!("{} left", plural(total.saturating_sub(gone) as u64, "old pod"))
        } else {
            format!("{gone} of {} gone", plural(total as u64, "old pod"))
        }
    }

    /// `old pod 2 of 3`, or `old pod` where the number of old pods at the start is not known.
    pub(super) fn place(&self, place: usize) -> String {
        let (_, total) = self.places();
        if self.is_late() { "old pod".to_owned() } else { format!("old pod {place} of {total}") }
    }

    /// The number of old pods that were removed, and of all old pods.
    pub fn places(&self) -> (usize, usize) {
        (self.known.values().filter(|known| known.gone.is_some()).count(), self.known.len())
    }

    /// Clients fewer than at the start.
    pub(crate) fn lost_clients(&self) -> Option<u64> {
        let now = self.counts.known_connections().filter(|_| self.blind.is_none())?;
        Some(self.start.connections?.saturating_sub(now))
    }

    /// Sessions fewer than at the start.
    pub(crate) fn lost_sessions(&self) -> Option<u64> {
        let now = self.counts.all_sessions().filter(|_| self.blind.is_none())?;
        Some(self.start.sessions?.saturating_sub(now))
    }

    /// Whether more clients are missing than natural churn explains.
    pub(crate) fn missing(&self) -> bool {
        // A node that does not report its clients may hold those that seem to be missing.
        match (self.start.connections, self.counts.known_connections()) {
            (Some(before), Some(now)) if self.blind.is_none() => (now as f64) < before as f64 * PRESENT,
            _ => false,
        }
    }

    pub(super) fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        let over = self.verdict.is_some();
        Event {
            time: now,
            kind,
            name: self.name.clone(),
            operation: Operation::Upgrade,
            phase: (!over).then(|| self.step.phase().to_owned()),
            nodes: self.nodes.clone(),
            moved_connections: self.blind.is_none().then_some(self.arrived),
            percent: Some(self.percent),
            eta_seconds: self.seconds.filter(|_| !over),
            lost_clients: self.lost_clients(),
            lost_sessions: self.lost_sessions(),
            landing_ratio: None,
            message,
            verdict: None,
            reason: None,
        }
    }

    /// Old pods that are being evacuated: those of which EMQX (or the operator's copy) has an entry.
    pub(super) fn evacuating<'s, 'a>(
        &self,
        revisions: &'s UpgradeRevisions<'a>,
    ) -> Vec<(&'s Member<'a>, &Stage)> {
        let stage = |uid: &str| self.known.get(uid)?.stage.as_ref().map(|(stage, _, _)| stage);
        revisions
            .old
            .iter()
            .filter(|member| member.pod.deleting.is_none())
            .filter_map(|member| Some((member, stage(&member.pod.uid)?)))
            .collect()
    }

    /// The same without empty nodes that wait for the others, where a guard empties one after another.
    pub(super) fn at_work<'s, 'a>(
        &self,
        revisions: &'s UpgradeRevisions<'a>,
    ) -> Vec<(&'s Member<'a>, &Stage)> {
        let mut busy = self.evacuating(revisions);
        let empty = |stage: &Stage| *stage == Stage::Prohibiting;
        if one_by_one(revisions.instance) && busy.iter().any(|(_, stage)| !empty(stage)) {
            busy.retain(|(_, stage)| !empty(stage));
        }
        busy
    }

    /// Processes the counts of EMQX's nodes; returns whether they changed.
    pub(super) fn count(&mut self, world: &World, revisions: &UpgradeRevisions<'_>, now: Timestamp) -> bool {
        let Some(nodes) = &world.broker(&revisions.instance.id).nodes else { return false };
        let counts = Counts::of(&nodes.value);
        let changed = counts != self.counts;
        self.counts = counts;
        // A follower from the beginning has the counts of the start: nothing is moved until the new pods
        // receive the traffic.
        if self.seen.contains(&Milestone::Beginning)
            && self.step == UpgradeStep::NewPods
            && self.start.connections.is_none()
        {
            self.start = UpgradeBaseline {
                connections: self.counts.all_connections(),
                sessions: self.counts.all_sessions(),
            };
        }
        let on_new = |member: &Member<'_>| member.holds.map_or(0, |holds| holds.connections);
        self.arrived = revisions.new.iter().map(on_new).sum();
        changed && nodes.at <= now
    }

    /// Fills the rows of an event: old and new nodes.
    pub(super) fn rows(&mut self, revisions: &UpgradeRevisions<'_>) {
        let row = |member: &Member<'_>, old: bool| {
            let known = self.known.get(&member.pod.uid).filter(|_| old);
            let state = known.and_then(|known| known.stage.as_ref()).map(|(_, state, _)| state.clone());
            Some(EventNode {
                node: member.node.clone()?,
                connections: member.holds.map(|holds| holds.connections),
                sessions: member.holds.map(|holds| holds.sessions),
                part: state.is_some().then_some(Part::Evacuating),
                state,
            })
        };
        let mut nodes: Vec<EventNode> = revisions
            .old
            .iter()
            .filter_map(|member| row(member, true))
            .chain(revisions.new.iter().filter_map(|member| row(member, false)))
            .collect();
        nodes.sort_by(|one, other| one.node.as_str().cmp(other.node.as_str()));
        self.nodes = nodes;
    }

    /// Records any progress beyond the furthest state so far.
    pub(super) fn advance(&mut self, revisions: &UpgradeRevisions<'_>, world: &World, now: Timestamp) {
        let up = revisions.new.iter().filter(|member| member.pod.containers_ready).count();
        let (gone, old) = self.places();
        if old > self.best.old {
            // Pods that counted as new are old, since the operator created their successors.
            self.best.new = self.best.new.min(revisions.new.len());
            self.best.up = self.best.up.min(up);
            self.best.ready = self.best.ready.min(self.ready.0);
            self.best.old = old;
        }
        let mut best = self.best.clone();
        best.new = best.new.max(revisions.new.len());
        best.up = best.up.max(up);
        best.ready = best.ready.max(self.ready.0);
        best.gone = best.gone.max(gone);
        best.removing =
            best.removing.max(self.known.values().filter(|known| known.deleting && !known.again).count());
        for known in self.known.values().filter(|known| known.gone.is_none()) {
            let order =
                known.stage.as_ref().and_then(|(stage, _, _)| stage.order()).map_or(0, |order| order + 1);
            let holds = known.holds.unwrap_or_default();
            let reached =
                best.nodes.entry(known.pod.clone()).or_insert((order, holds.connections, holds.sessions));
            // New clients connect to an old node until its turn: only an evacuated node loses clients and
            // gets none.
            *reached =
                (reached.0.max(order), reached.1.min(holds.connections), reached.2.min(holds.sessions));
        }
        // After an undo an evacuation may continue in a pod that stays: its clients still move, also where EMQX does not
        // report how many they are.
        let old = |node: &NodeName| self.known.values().any(|known| known.node.as_ref() == Some(node));
        for evacuation in evacuations(world, revisions).iter().filter(|it| !old(&it.node)) {
            let member = revisions.new.iter().find(|member| member.node.as_ref() == Some(&evacuation.node));
            let holds = member.and_then(|member| member.holds);
            let (connections, sessions) =
                holds.map_or((u64::MAX, u64::MAX), |holds| (holds.connections, holds.sessions));
            let order = evacuation.stage.order().map_or(0, |order| order + 1);
            let reached = best.nodes.entry(evacuation.node.as_str().to_owned());
            let reached = reached.or_insert((order, connections, sessions));
            *reached = (reached.0.max(order), reached.1.min(connections), reached.2.min(sessions));
        }
        if best != self.best {
            self.best = best;
            self.moved = now;
        }
    }
}

/// The evacuations that EMQX reports, else those of the operator's copy, also while EMQX does not answer: an upgrade continues
/// without EMQX's answers.
pub(super) fn evacuations<'w>(world: &'w World, revisions: &'w UpgradeRevisions<'_>) -> &'w [Evacuation] {
    let broker = world.broker(&revisions.instance.id);
    let current = broker.eviction_status().filter(|_| load_answers(broker));
    evacuations_or_copy(current, Some(revisions.instance))
}
