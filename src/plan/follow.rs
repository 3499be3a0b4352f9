//! Following: the world as it changes in, the steps of every rebalance out, each to its verdict.
//!
//! A [`Run`] is one rebalance: an object of the operator's, an entry of EMQX's, or (as it should be) both. EMQX's entry
//! says whether it runs; the object says what was asked and what the operator believes.
//!
//! ```text
//!   object appears ──► pending ──► EMQX's entry appears ──► running ──► entry vanishes ──► verdict
//!        │                                 ▲                   │
//!        └─ Failed, never processed        │                   └─ object says Failed: a notice, it goes on
//!                 └──► verdict      (no object: coordinator/NODE)
//! ```

use jiff::{SignedDuration, Timestamp};

use super::judge::{self, Ending};
use super::progress::{Counts, Remaining, percent, remaining};
use super::rebalance::Participant;
use super::record::PlanRecord;
use super::words;
use crate::model::human::seconds_between;
use crate::model::{
    Event, EventNode, EventType, InstanceId, NodeName, Operation, Part, Phase, Rebalance, Role,
    RunningRebalance, Seen, Stage, Strategy, Verdict, World,
};

/// Seconds in which the counts at the first sight of an entry may still be replaced by those of the same moment: nodes
/// and entries are asked one after the other.
const BASELINE_SECONDS: u64 = 2;

/// Seconds after an end in which clients that were cut in the last rounds come back, before the counts are judged.
const LANDING_SECONDS: u64 = 3;

/// Seconds without a word of EMQX's, with an object that is over, after which nobody can tell.
const DEAF_SECONDS: u64 = 30;

/// Seconds for which an entry that appears may be that of an object which does not say so yet.
const PENDING_SECONDS: u64 = 10;

/// A stall is no progress for three times the expected step, and at least this long.
const STALL_SECONDS: u64 = 60;

/// Seconds without a word of EMQX's after which nobody knows any more how one that ran then stands.
const LOST_SECONDS: u64 = 180;

/// What passes between two looks counts for at most so many seconds without a word: a laptop that slept, or a clock that
/// was put right, has not listened in vain.
const LONGEST_LOOK: u64 = 10;

/// One rebalance that is followed.
#[expect(clippy::struct_excessive_bools, reason = "each is something that was seen or told once")]
#[derive(Clone, Debug)]
pub struct Run {
    /// `NAME` of the object, or `coordinator/NODE`.
    pub name: String,
    /// The object, in its last version.
    pub object: Option<Rebalance>,
    /// EMQX's entry, in its last version.
    pub entry: Option<RunningRebalance>,
    /// What was asked, where that is known.
    pub strategy: Option<Strategy>,
    /// When it began; when it was first seen, where nothing tells.
    pub began: Timestamp,
    /// Whether its beginning is known.
    begin_known: bool,
    /// Counts at the start.
    pub start: Option<Counts>,
    /// Counts now.
    pub counts: Counts,
    /// When the present stage was entered, as far as that was seen.
    pub stage_since: Timestamp,
    /// What is left.
    pub left: Option<Remaining>,
    /// How far.
    pub percent: u8,
    /// Whether it came as far as `wait_takeover`.
    pub through_takeover: bool,
    /// When EMQX's entry vanished.
    pub ended: Option<Timestamp>,
    /// How it ended, and why.
    pub verdict: Option<(Verdict, String)>,
    /// Set by the one who stops it.
    pub stopped_by_us: bool,
    /// When the deletion of the object was asked for while it said `Processing`.
    deleted: Option<Timestamp>,
    /// Whether the object is gone.
    object_gone: bool,
    /// When something last moved.
    moved: Timestamp,
    /// When its entry was last seen.
    seen: Timestamp,
    told_failed: bool,
    told_deleting: bool,
    /// The counts at the moment the object appeared: what EMQX judged by.
    before: Vec<Participant>,
    /// What the one who started it wrote down.
    recorded: Option<Counts>,
    baseline: Baseline,
}

/// Whether the counts that come are still those of the start.
#[derive(Clone, Debug)]
enum Baseline {
    /// EMQX has not begun: they are. The counts before the last ones are kept, as both may come with the first entry.
    Open(Option<Counts>),
    /// The entry was just seen: they are until then, if it waits.
    Until(Timestamp),
    /// They are not.
    Closed,
}

impl Run {
    /// How it stands now: its verdict, or that it runs, and whether in spite of the object.
    pub fn standing(&self) -> Verdict {
        match &self.verdict {
            Some((verdict, _)) => *verdict,
            None if self.entry.is_some() && self.ended.is_none() && self.contradicted() => {
                Verdict::StillRunning
            }
            None => Verdict::Running,
        }
    }

    /// Whether the object says that it is over, or is on its way out, while EMQX goes on.
    fn contradicted(&self) -> bool {
        self.object_gone
            || self.object.as_ref().is_some_and(|object| {
                object.deleting.is_some() || matches!(object.phase, Phase::Failed | Phase::Completed)
            })
    }

    /// The donors.
    pub fn donors(&self) -> &[NodeName] {
        self.entry.as_ref().map(|entry| entry.donors.as_slice()).unwrap_or_default()
    }

    /// The recipients.
    pub fn recipients(&self) -> &[NodeName] {
        self.entry.as_ref().map(|entry| entry.recipients.as_slice()).unwrap_or_default()
    }

    /// Of what donors lost, the share that arrived on recipients; `None` before anything was evicted.
    pub fn landing_ratio(&self) -> Option<f64> {
        let gone = judge::gone(self.start.as_ref(), &self.counts, self.donors())?;
        let arrived = judge::arrived(self.start.as_ref(), &self.counts, self.recipients())?;
        (gone > 0).then(|| arrived as f64 / gone as f64)
    }

    fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        let node = |name: &NodeName, part: Part| EventNode {
            node: name.clone(),
            connections: self.counts.connections(name),
            sessions: self.counts.sessions(name),
            part: Some(part),
            state: (part == Part::Donor && self.ended.is_none())
                .then(|| self.entry.as_ref().map(|entry| entry.state.clone()))
                .flatten(),
        };
        let donors = self.donors().iter().map(|name| node(name, Part::Donor));
        let recipients = self.recipients().iter().map(|name| node(name, Part::Recipient));
        let mut nodes: Vec<EventNode> = donors.chain(recipients).collect();
        nodes.sort_by(|one, other| one.node.as_str().cmp(other.node.as_str()));
        let lost = |of: fn(&Counts) -> Option<u64>| {
            Some(of(self.start.as_ref()?)?.saturating_sub(of(&self.counts)?))
        };
        Event {
            time: now,
            kind,
            name: self.name.clone(),
            operation: Operation::Rebalance,
            phase: self
                .entry
                .as_ref()
                .filter(|_| self.ended.is_none())
                .map(|entry| entry.stage.phase().to_owned()),
            nodes,
            moved_connections: judge::arrived(self.start.as_ref(), &self.counts, self.recipients())
                .filter(|_| self.entry.is_some()),
            percent: self.entry.is_some().then_some(self.percent),
            eta_seconds: self.left.filter(|_| self.ended.is_none()).map(|left| left.seconds),
            lost_clients: lost(Counts::all_connections),
            lost_sessions: lost(Counts::all_sessions),
            landing_ratio: self.landing_ratio(),
            message,
            verdict: None,
            reason: None,
        }
    }
}

/// Follows every rebalance in a world.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// The runs, in the order in which they began.
    pub runs: Vec<Run>,
    /// One instance only; `None` for all that is in the world.
    focus: Option<InstanceId>,
    /// What we asked EMQX for ourselves, by name: no source but us knows it.
    asked: Vec<(String, Strategy)>,
    /// The object that is asked for by its name.
    wanted: Option<String>,
    /// Objects that were over when they were first seen: past, unless asked for.
    past: Vec<String>,
    began: bool,
    seen_load: Option<Timestamp>,
    seen_nodes: Option<Timestamp>,
    looked: Option<Timestamp>,
    /// Seconds of looking in which EMQX said nothing.
    silent: u64,
}

impl Follower {
    /// Follows the rebalances of one instance, or of all in a recording.
    pub fn new(focus: Option<InstanceId>) -> Self {
        Self { focus, ..Self::default() }
    }

    /// The same; the object of this name is followed even if it is over when it is first seen, as EMQX may go on.
    #[must_use]
    pub fn wanting(mut self, name: &str) -> Self {
        self.wanted = Some(name.to_owned());
        self
    }

    /// The run of this name: the one that goes on, else the last.
    pub fn run(&self, name: &str) -> Option<&Run> {
        let named = || self.runs.iter().filter(|run| run.name == name);
        named().find(|run| run.verdict.is_none()).or_else(|| named().next_back())
    }

    /// The run that goes on, if one does.
    pub fn running(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.verdict.is_none())
    }

    /// Remembers that we stopped it, so that its end is judged so.
    pub fn we_stopped(&mut self, name: &str) {
        self.runs.iter_mut().filter(|run| run.name == name).for_each(|run| run.stopped_by_us = true);
    }

    /// Remembers what EMQX itself is asked for under this name, before its entry is seen.
    pub fn asked(&mut self, name: String, strategy: Strategy) {
        self.asked.push((name, strategy));
    }

    /// Takes in how the world is now; tells what became different.
    pub fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let passed = self.looked.replace(now).map_or(0, |looked| seconds_between(looked, now));
        self.silent += passed.min(LONGEST_LOOK);
        self.absorb_objects(world, now, &mut events);
        let load = world.load.as_ref().filter(|load| self.seen_load.is_none_or(|seen| load.at > seen));
        let nodes = world.nodes.as_ref().filter(|nodes| self.seen_nodes.is_none_or(|seen| nodes.at > seen));
        let counted = nodes.is_some();
        self.seen_nodes = nodes.map(|nodes| nodes.at).or(self.seen_nodes);
        self.absorb_counts(world, now);
        if let Some(load) = load {
            self.silent = 0;
            if self.absorb_load(&load.value.rebalances, world, now, &mut events) {
                self.seen_load = Some(load.at);
            }
        }
        self.progress(counted, now, &mut events);
        self.judge(world, now, &mut events);
        self.began = true;
        events
    }

    /// The source is over: what is not judged goes on, as far as anybody knows.
    pub fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            if run.ended.is_some() {
                let verdict = conclude(run, now);
                settle(run, verdict, now, &mut events);
            } else if run.entry.is_some() {
                let verdict = run.standing();
                let reason = match verdict {
                    Verdict::StillRunning => {
                        format!("{}; EMQX goes on", words::contradiction(run.object.as_ref()))
                    }
                    _ => "it goes on".to_owned(),
                };
                settle(run, (verdict, reason), now, &mut events);
            } else {
                let reason = match world.load {
                    Some(_) => "the operator has not told EMQX to start",
                    None => "EMQX cannot be asked",
                };
                settle(run, (Verdict::Unknown, reason.to_owned()), now, &mut events);
            }
        }
        events
    }

    fn concerns(&self, object: &Rebalance) -> bool {
        self.focus.as_ref().is_none_or(|id| {
            object.namespace == id.namespace
                && object.instance_name == id.name
                && object.instance_kind == id.kind
        })
    }

    fn absorb_objects(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        for Seen { value: object, .. } in world.rebalances.values() {
            if !self.concerns(object) || self.past.contains(&object.uid) {
                continue;
            }
            let of = |run: &Run| run.object.as_ref().is_some_and(|it| it.uid == object.uid);
            if let Some(run) = self.runs.iter_mut().find(|run| of(run)) {
                absorb_object(run, object, now, events);
                continue;
            }
            let over = matches!(object.phase, Phase::Completed | Phase::Failed);
            if over && !self.began && self.wanted.as_ref() != Some(&object.name) {
                self.past.push(object.uid.clone());
                continue;
            }
            let run = begin(Some(object), None, world, now, self.began);
            // One that was there before we came was created at another time, by whomever.
            if self.began {
                let message = words::created(&run.name, run.object.as_ref(), false);
                events.push(run.event(now, EventType::Created, message));
            }
            self.runs.push(run);
            if let Some(run) = self.runs.last_mut() {
                absorb_object(run, object, now, events);
            }
        }
        for run in self.runs.iter_mut().filter(|run| !run.object_gone) {
            let Some(object) = &run.object else { continue };
            let key = (object.namespace.clone(), object.name.clone());
            let here = world.rebalances.get(&key).is_some_and(|seen| seen.value.uid == object.uid);
            if !here {
                run.object_gone = true;
                if let Some(last) = world.departed.iter().rfind(|seen| seen.value.uid == object.uid) {
                    let deleting = last.value.deleting.unwrap_or(last.at);
                    if last.value.phase == Phase::Processing && run.deleted.is_none() {
                        run.deleted = Some(deleting.max(run.began));
                    }
                    run.object = Some(last.value.clone());
                }
            }
        }
    }

    fn absorb_counts(&mut self, world: &World, now: Timestamp) {
        let Some(nodes) = &world.nodes else { return };
        let counts = Counts::of(&nodes.value);
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            if run.counts != counts {
                run.counts = counts.clone();
                run.moved = now;
            }
            match &mut run.baseline {
                Baseline::Open(before) if run.start.as_ref() != Some(&counts) => {
                    *before = run.start.replace(counts.clone());
                }
                Baseline::Until(until) if nodes.at <= *until => run.start = Some(counts.clone()),
                _ => {}
            }
        }
    }

    /// Whether it is settled whose each entry is; if not, the same ones are looked at again.
    fn absorb_load(
        &mut self,
        entries: &[RunningRebalance],
        world: &World,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> bool {
        let mut settled = true;
        let mut fresh: Vec<&RunningRebalance> = entries.iter().collect();
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && run.ended.is_none()) {
            let Some(old) = &run.entry else { continue };
            let same =
                fresh.iter().position(|entry| entry.coordinator == old.coordinator && continues(old, entry));
            match same {
                Some(place) => {
                    let entry = fresh.remove(place).clone();
                    enter(run, entry, now, events);
                }
                None => run.ended = Some(now),
            }
        }
        for entry in fresh {
            let mine = |run: &&mut Run| {
                run.verdict.is_none()
                    && run.entry.is_none()
                    && run.ended.is_none()
                    && run.object.as_ref().is_some_and(|object| {
                        object.processed
                            && object.states.first().is_none_or(|it| it.coordinator == entry.coordinator)
                    })
            };
            // The object that was told to start last is the one whose entry appears now.
            let run = self.runs.iter_mut().filter(mine).max_by_key(|run| run.began);
            if let Some(run) = run {
                run.close_baseline(entry, now);
                enter(run, entry.clone(), now, events);
                continue;
            }
            if self.may_be_of_a_pending_one(entry, now) {
                settled = false;
                continue;
            }
            let object = self.orphan(world, entry);
            if let Some(object) = &object {
                self.past.retain(|uid| *uid != object.uid);
            }
            let mut run = begin(object.as_ref(), Some(entry), world, now, self.began);
            run.close_baseline(entry, now);
            let ours = self.asked.iter().position(|(name, _)| *name == run.name);
            if let Some(ours) = ours {
                run.strategy = Some(self.asked.remove(ours).1);
            }
            if self.began {
                let message = words::created(&run.name, run.object.as_ref(), ours.is_some());
                events.push(run.event(now, EventType::Created, message));
            }
            if let Some(object) = &object {
                absorb_object(&mut run, object, now, events);
            }
            enter(&mut run, entry.clone(), now, events);
            self.runs.push(run);
        }
        settled
    }

    /// The operator tells EMQX first and writes `Processing` after it: between the two an entry seems to be nobody's.
    fn may_be_of_a_pending_one(&self, entry: &RunningRebalance, now: Timestamp) -> bool {
        let ours = format!("coordinator/{}", entry.coordinator);
        let pending = |run: &Run| {
            run.verdict.is_none()
                && run.entry.is_none()
                && seconds_between(run.began, now) < PENDING_SECONDS
                && run.object.as_ref().is_some_and(|it| it.phase == Phase::Pending && it.deleting.is_none())
        };
        !self.asked.iter().any(|(name, _)| *name == ours) && self.runs.iter().any(pending)
    }

    /// The object behind an entry that was there before we looked: one that was processed and whose copy of EMQX's
    /// states names the same coordinator, or one that is `Processing` without states; the newest of them.
    fn orphan(&self, world: &World, entry: &RunningRebalance) -> Option<Rebalance> {
        let taken = |object: &Rebalance| {
            self.runs.iter().any(|run| run.object.as_ref().is_some_and(|it| it.uid == object.uid))
        };
        world
            .rebalances
            .values()
            .map(|seen| &seen.value)
            .filter(|object| self.concerns(object) && !taken(object) && object.processed)
            .filter(|object| object.phase != Phase::Completed)
            .filter(|object| match object.states.first() {
                Some(state) => state.coordinator == entry.coordinator,
                None => true,
            })
            .max_by_key(|object| object.started.or(object.created))
            .cloned()
    }

    fn progress(&mut self, counted: bool, now: Timestamp, events: &mut Vec<Event>) {
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none() && run.ended.is_none()) {
            if run.entry.is_none() {
                continue;
            }
            forecast(run, now);
            // The operator tells EMQX at once, if it does at all.
            let asked = run.deleted.or(run.object.as_ref().and_then(|object| object.deleting));
            if asked.is_some_and(|asked| seconds_between(asked, now) >= judge::STOP_SECONDS)
                && !run.told_deleting
            {
                run.told_deleting = true;
                let message = format!("the deletion of {} was asked for, but EMQX goes on", run.name);
                events.push(run.event(now, EventType::Notice, message));
            }
            if counted && run.moved == now {
                let message = words::progress(run);
                events.push(run.event(now, EventType::Progress, message));
            }
        }
    }

    fn judge(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        let running: Vec<String> = self
            .runs
            .iter()
            .filter(|run| run.entry.is_some() && run.verdict.is_none() && run.ended.is_none())
            .map(|run| run.name.clone())
            .collect();
        let heard = world.load.as_ref().map(|load| load.at);
        let busy = world
            .load
            .as_ref()
            .is_some_and(|load| !load.value.evacuations.is_empty() || !load.value.rebalances.is_empty());
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            let others = busy || running.iter().any(|name| *name != run.name);
            if let Some(verdict) = lost(run, self.silent) {
                settle(run, verdict, now, events);
                continue;
            }
            if let Some(verdict) = word(run, heard, others, now) {
                settle(run, verdict, now, events);
            }
        }
    }
}

impl Run {
    /// The entry was seen for the first time: from here on the counts are those of the start only while it waits.
    fn close_baseline(&mut self, entry: &RunningRebalance, now: Timestamp) {
        let open = std::mem::replace(&mut self.baseline, Baseline::Closed);
        if entry.stage == Stage::WaitHealthCheck {
            self.start.get_or_insert_with(|| self.counts.clone());
            let after = |at: Timestamp, seconds: u64| {
                at.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
            };
            // But not longer than it waits: who came in the last moment of the wait would take what is evicted already
            // for the start.
            let strategy = self.strategy.as_ref();
            let wait = strategy.and_then(|it| after(self.began, it.wait_health_check_seconds));
            let soon = after(now, BASELINE_SECONDS);
            if let Some(until) = soon.map(|soon| wait.map_or(soon, |wait| wait.min(soon))) {
                self.baseline = Baseline::Until(until);
            }
        } else if let Baseline::Open(before) = open {
            self.start = self.recorded.take().or(before).or(self.start.take());
        }
    }
}

/// Whether an entry is the same rebalance a moment later. Two runs on one coordinator can follow without an empty
/// status between: then the stage goes backwards, or the donors are others.
fn continues(old: &RunningRebalance, new: &RunningRebalance) -> bool {
    let forwards = match (old.stage.order(), new.stage.order()) {
        (Some(old), Some(new)) => new >= old,
        _ => true,
    };
    forwards && old.donors == new.donors && old.recipients == new.recipients
}

fn participants(world: &World) -> Vec<Participant> {
    let Some(nodes) = &world.nodes else { return Vec::new() };
    let replicants = nodes.value.iter().any(|node| node.role == Some(Role::Replicant) && node.running);
    nodes
        .value
        .iter()
        .filter(|node| node.running && (!replicants || node.role == Some(Role::Replicant)))
        .map(|node| Participant {
            node: node.name.clone(),
            pod: None,
            connections: node.connections.unwrap_or(0),
            sessions: node.sessions.unwrap_or(0),
        })
        .collect()
}

/// A run that is seen for the first time. `fresh`: it appeared while we looked, so what is seen now is its start.
fn begin(
    object: Option<&Rebalance>,
    entry: Option<&RunningRebalance>,
    world: &World,
    now: Timestamp,
    fresh: bool,
) -> Run {
    let counts = world.nodes.as_ref().map(|seen| Counts::of(&seen.value)).unwrap_or_default();
    let record = object.and_then(|object| object.plan.as_deref()).and_then(PlanRecord::read);
    let at_start = fresh || entry.is_some_and(|entry| entry.stage == Stage::WaitHealthCheck);
    // What was written down at the start, over what is seen of nodes that take no part.
    let recorded = record.as_ref().map(|record| {
        let mut start = counts.clone();
        for (node, connections, sessions) in &record.nodes {
            start.0.insert(node.clone(), (Some(*connections), Some(*sessions)));
        }
        start
    });
    let start = if at_start && world.nodes.is_some() { Some(counts.clone()) } else { recorded.clone() };
    let told = object.and_then(|object| object.started.or(object.created));
    let name = match (object, entry) {
        (Some(object), _) => object.name.clone(),
        (None, Some(entry)) => format!("coordinator/{}", entry.coordinator),
        (None, None) => String::new(),
    };
    Run {
        name,
        object: object.cloned(),
        entry: None,
        strategy: object
            .map(|object| object.strategy.clone())
            .or_else(|| record.map(|record| record.strategy)),
        began: told.filter(|told| *told <= now && !fresh).unwrap_or(now),
        begin_known: fresh || told.is_some(),
        start,
        counts,
        stage_since: now,
        left: None,
        percent: 0,
        through_takeover: false,
        ended: None,
        verdict: None,
        stopped_by_us: false,
        deleted: None,
        object_gone: false,
        moved: now,
        seen: now,
        told_failed: false,
        told_deleting: false,
        before: participants(world),
        recorded,
        baseline: if fresh { Baseline::Open(None) } else { Baseline::Closed },
    }
}

fn absorb_object(run: &mut Run, object: &Rebalance, now: Timestamp, events: &mut Vec<Event>) {
    if run.object.as_ref() != Some(object) {
        run.moved = now;
    }
    if run.deleted.is_none() && object.deleting.is_some() && object.phase == Phase::Processing {
        run.deleted = Some(now);
    }
    let processed = object.processed;
    run.object = Some(object.clone());
    if !processed || run.verdict.is_some() {
        return;
    }
    let goes_on = run.entry.is_some() && run.ended.is_none();
    if object.phase == Phase::Failed && goes_on && !run.told_failed {
        run.told_failed = true;
        let message = words::operator_failed(run, now);
        events.push(run.event(now, EventType::Notice, message));
    }
}

/// Takes EMQX's entry in: the same stage, or another.
fn enter(run: &mut Run, entry: RunningRebalance, now: Timestamp, events: &mut Vec<Event>) {
    let before = run.entry.replace(entry);
    let Some(entry) = &run.entry else { return };
    run.seen = now;
    run.through_takeover |= entry.stage.order().is_some_and(|order| order >= 2);
    let entered = before.as_ref().is_none_or(|before| before.stage != entry.stage);
    if before.is_none() && run.donors().iter().all(|node| !run.counts.0.contains_key(node)) {
        run.counts.0.clear();
    }
    if !entered {
        return;
    }
    let wait = matches!(run.entry.as_ref().map(|entry| &entry.stage), Some(Stage::WaitHealthCheck));
    // One that was under way when we came: the object tells when its first wait began.
    run.stage_since = if before.is_none() && wait { run.began } else { now };
    run.moved = now;
    forecast(run, now);
    let message = words::entered(run);
    events.push(run.event(now, EventType::Phase, message));
    // An object that already said Failed when its entry was first seen.
    let failed = run.object.as_ref().is_some_and(|object| object.phase == Phase::Failed);
    if before.is_none() && failed && !run.told_failed {
        run.told_failed = true;
        let message = words::operator_failed(run, now);
        events.push(run.event(now, EventType::Notice, message));
    }
}

fn forecast(run: &mut Run, now: Timestamp) {
    let (Some(entry), Some(strategy)) = (&run.entry, &run.strategy) else { return };
    let in_stage = seconds_between(run.stage_since, now);
    run.left = remaining(&entry.stage, in_stage, strategy, &run.counts, &entry.donors, &entry.recipients);
    if let Some(left) = run.left {
        run.percent = percent(seconds_between(run.began, now), left.seconds, run.percent);
    }
}

fn settle(run: &mut Run, verdict: (Verdict, String), now: Timestamp, events: &mut Vec<Event>) {
    if verdict.0.final_word() && run.entry.is_some() {
        run.percent = 100;
    }
    let mut event = run.event(now, EventType::Verdict, words::verdict(verdict.0, &verdict.1));
    event.verdict = Some(verdict.0);
    event.reason = Some(verdict.1.clone());
    run.verdict = Some(verdict);
    events.push(event);
}

fn conclude(run: &Run, now: Timestamp) -> (Verdict, String) {
    let ended = run.ended.unwrap_or(now);
    // It ended at some time after it was last seen: EMQX may not have been heard meanwhile.
    let near = run.deleted.is_some_and(|deleted| {
        seconds_between(deleted, run.seen).max(seconds_between(ended, deleted)) <= judge::STOP_SECONDS
    });
    let stopped = if run.stopped_by_us {
        Some("you".to_owned())
    } else if near {
        Some("the deletion of its object".to_owned())
    } else {
        None
    };
    judge::end(&Ending {
        donors: run.donors(),
        recipients: run.recipients(),
        strategy: run.strategy.as_ref(),
        start: run.start.as_ref(),
        now: &run.counts,
        through_takeover: run.through_takeover,
        stopped,
        seconds: run.begin_known.then(|| seconds_between(run.began, ended)),
    })
}

/// The verdict, if there is one by now.
fn word(run: &Run, heard: Option<Timestamp>, others: bool, now: Timestamp) -> Option<(Verdict, String)> {
    if let Some(ended) = run.ended {
        let since = seconds_between(ended, now);
        if judge::missing(run.start.as_ref(), &run.counts) && since < judge::RETURN_SECONDS {
            return None;
        }
        let verdict = conclude(run, now);
        // The last that were cut are on their way back: a bad word waits for them.
        let early = since < LANDING_SECONDS;
        return (!early || matches!(verdict.0, Verdict::Balanced | Verdict::Stopped)).then_some(verdict);
    }
    if run.entry.is_some() {
        return stalled(run, heard?);
    }
    let object = run.object.as_ref()?;
    if object.phase == Phase::Failed && !object.processed {
        return Some(judge::never_started(
            object.failure.as_deref(),
            &object.strategy,
            Some(&run.before).filter(|before| !before.is_empty()).map(Vec::as_slice),
            others,
        ));
    }
    if run.object_gone && !object.processed {
        return Some((Verdict::Stopped, "its object was deleted before it started".to_owned()));
    }
    let over = run.object_gone || matches!(object.phase, Phase::Completed | Phase::Failed);
    if !over {
        return None;
    }
    match heard.filter(|heard| seconds_between(*heard, now) < DEAF_SECONDS) {
        // EMQX can be asked and runs nothing of it: it was over before it was seen.
        Some(heard) => (heard >= run.moved).then(|| conclude_unseen(run, object, now)),
        None if seconds_between(run.moved, now) >= DEAF_SECONDS => Some((
            Verdict::Unknown,
            format!(
                "the object says {}, but EMQX cannot be asked whether it still runs",
                object.phase.text().unwrap_or("nothing")
            ),
        )),
        None => None,
    }
}

/// One whose entry was never seen, although EMQX was asked: too short, or over before we came.
fn conclude_unseen(run: &Run, object: &Rebalance, now: Timestamp) -> (Verdict, String) {
    if run.stopped_by_us || run.deleted.is_some() {
        return (Verdict::Stopped, "stopped before EMQX was seen to move anything".to_owned());
    }
    let (verdict, reason, _) = judge::past(object, Some(&run.counts), now);
    if verdict == Verdict::Unknown {
        let reason = format!("EMQX does not run it, and was not seen to: {reason}");
        return (verdict, reason);
    }
    (verdict, reason)
}

/// One that ran when EMQX was last heard, long ago.
fn lost(run: &Run, silent: u64) -> Option<(Verdict, String)> {
    let entry = run.entry.as_ref().filter(|_| run.ended.is_none() && silent >= LOST_SECONDS)?;
    let why = format!("EMQX has not answered for {silent} s; when it last did, it was in {}", entry.state);
    Some((Verdict::Unknown, why))
}

/// No progress up to when EMQX was last heard: while it is silent, nobody knows whether it stands still.
fn stalled(run: &Run, heard: Timestamp) -> Option<(Verdict, String)> {
    let entry = run.entry.as_ref()?;
    let strategy = run.strategy.clone().unwrap_or_default();
    let step = match entry.stage {
        Stage::WaitHealthCheck => strategy.wait_health_check_seconds,
        Stage::WaitTakeover => strategy.wait_takeover_seconds,
        _ => 1,
    };
    let since = if step > 1 { run.stage_since } else { run.moved };
    let limit = (3 * step).max(STALL_SECONDS);
    let still = seconds_between(since, heard);
    (still >= limit).then(|| {
        (Verdict::Stalled, format!("no progress for {still} s in {}: no count has changed", entry.state))
    })
}

#[cfg(test)]
mod tests;
