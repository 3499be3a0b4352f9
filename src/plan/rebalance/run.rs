//! One rebalance that is followed: its beginning, its steps, and its state.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::model::human::seconds_between;
use crate::model::{
    BrokerState, Event, EventNode, EventType, FIELD_MANAGER, Judgement, Node, NodeName, Operation, Part,
    Phase, PodName, Rebalance, RecordedVerdict, RunningRebalance, Seen, Stage, Strategy, Verdict,
};
use crate::plan::alarm::Alarm;
use crate::plan::happened::Happened;
use crate::plan::rebalance::losses::Losses;
use crate::plan::rebalance::plan::Participant;
use crate::plan::rebalance::progress::{Counts, NodeCounts, Remaining, arrived, gone, lost_clients};
use crate::plan::rebalance::waiting;
use crate::plan::tracked::Quiet;
use crate::timing::{BASELINE_SECONDS, CURRENT_COUNTS_SECONDS, LISTED_SECONDS};

/// One rebalance that is followed.
#[expect(clippy::struct_excessive_bools, reason = "each is an observation or an announcement")]
#[derive(Clone, Debug)]
pub struct RebalanceRun {
    /// `NAME` of the object, or `coordinator/NODE`.
    pub name: String,
    /// The counts from before its start are not those of its start: the next ones are counted from.
    pub(super) recounts: bool,
    /// Its keys before its object and its entry turned out to be one rebalance.
    pub(super) formerly: Vec<RunKey>,
    /// The object, in its last version.
    pub object: Option<Rebalance>,
    /// EMQX's entry, in its last version.
    pub entry: Option<RunningRebalance>,
    /// The requested strategy, where it is known.
    pub strategy: Option<Strategy>,
    /// When it began; when it was first seen, where its start is unknown.
    pub began: Timestamp,
    /// Whether its beginning is known.
    pub(super) begin_known: bool,
    /// Counts at the start.
    pub start: Option<Counts>,
    /// Counts now.
    pub counts: Counts,
    /// When EMQX reported them.
    pub(super) counted: Option<Timestamp>,
    /// When the present stage was entered, as far as that was seen.
    pub stage_since: Timestamp,
    /// When it was last seen in the stage before: it entered the present stage after that.
    pub(super) stage_after: Timestamp,
    /// Whether the begin of the present stage was observed, or follows from the object.
    pub(super) stage_seen: bool,
    /// Whether `stage_since` is the time of that begin: not where EMQX did not answer before it.
    pub(super) stage_timed: bool,
    /// The remaining work.
    pub left: Option<Remaining>,
    /// The time of the counts from which the remaining work was forecast.
    pub(super) left_at: Timestamp,
    /// Work done, in percent.
    pub percent: u8,
    /// The forecast of the whole rebalance in seconds, by what was known when it was first seen.
    pub(super) total: Option<u64>,
    /// Whether that forecast is only an upper bound from the counts, so that the percentage is an upper
    /// bound.
    pub(super) total_is_bound: bool,
    /// When EMQX's entry vanished.
    pub ended: Option<Timestamp>,
    /// When EMQX first reported an earlier stage than before: another rebalance, or one odd answer.
    pub(super) backwards: Option<Timestamp>,
    /// Whether its end is certain: a second answer confirms it, or the cause is seen.
    pub confirmed: bool,
    /// The outage of EMQX in which it ended: from and until when.
    pub(super) outage: Option<(Timestamp, Timestamp)>,
    /// EMQX's last answer that did not list it.
    pub(super) missed: Timestamp,
    /// Counts at its end, with the clients that came back since.
    pub(super) at_end: Counts,
    /// When EMQX reported the first of them.
    pub(super) end_counted: Option<Timestamp>,
    /// When something else began on the cluster after its end: counts from then on are not its own.
    pub(super) overtaken: bool,
    /// Nodes that stopped running during it.
    pub(super) losses: Losses,
    /// Since when clients are counted, where the start was not seen and is not recorded.
    pub counted_since: Option<Timestamp>,
    /// This process created the object, and no list has shown it so far: a list without it does not show a
    /// deletion.
    pub(super) unlisted: bool,
    /// The coordinator of an entry that appeared before the object reported it.
    pub(super) expects: Option<NodeName>,
    /// This process started it in EMQX, without an object.
    pub(super) direct: bool,
    /// When something was last reported of it, and since when EMQX does not answer.
    pub(super) quiet: Quiet,
    /// How it ended, and the reason.
    pub verdict: Option<Judgement>,
    /// Set by the process that stops it.
    pub stopped_by_us: bool,
    /// When the deletion of the object was requested while it reported `Processing`.
    pub(super) deleted: Option<Timestamp>,
    /// Whether the object no longer exists.
    pub(super) object_gone: bool,
    /// When it last made progress.
    pub(super) moved: Timestamp,
    /// When its entry was last seen.
    pub(super) seen: Timestamp,
    /// When it was last observed.
    pub(super) observed: Timestamp,
    /// When it was first observed.
    pub(super) first_seen: Timestamp,
    /// The pods of nodes that are named by an address, which a reader cannot assign.
    pub(super) pods: BTreeMap<NodeName, PodName>,
    pub(super) failed_reported: bool,
    pub(super) alarms: Alarms,
    pub(super) deletion_reported: bool,
    /// The counts when the object appeared: EMQX decided by them whether to start.
    pub(super) before: Vec<Participant>,
    /// The counts at the start that the client recorded in the object.
    pub(super) recorded: Option<Counts>,
    /// Connections and sessions of the donors at the start, as far as donors report them.
    pub(super) begun: BTreeMap<NodeName, (u64, Option<u64>)>,
    pub(super) baseline: Baseline,
}

/// Which rebalance a run is, when the name is used again: the name, and when it was first seen.
pub type RunKey = (String, Timestamp);

/// Whether new counts are still those of the start.
#[derive(Clone, Debug)]
pub(super) enum Baseline {
    /// They are: EMQX has not begun. The counts before the last ones are kept, because the last ones may come
    /// with the first entry.
    Open(Option<Counts>),
    /// They are until this time, if EMQX waits: the entry was just seen.
    Until(Timestamp),
    /// They are not.
    Closed,
}

/// Since when each condition has held, and the alarm that follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    pub(super) offline_since: Option<Timestamp>,
    pub(super) not_arriving_since: Option<Timestamp>,
    /// Clients that left donors and clients that arrived on recipients, over the last seconds.
    pub(super) moved: VecDeque<(Timestamp, u64, u64)>,
    pub(super) raised: Option<Alarm>,
    pub(super) announced: bool,
}

impl RebalanceRun {
    /// Which of the rebalances of its name it is.
    pub(crate) fn key(&self) -> RunKey {
        (self.name.clone(), self.first_seen)
    }

    /// What is recorded on its object once its verdict is final; `None` where there is no object, or one that has a
    /// recorded verdict already.
    pub(crate) fn to_record(&self, now: Timestamp) -> Option<(&Rebalance, RecordedVerdict)> {
        let Judgement { verdict, message } =
            self.verdict.as_ref().filter(|judgement| judgement.verdict.ends_a_rebalance())?;
        let object = self
            .object
            .as_ref()
            .filter(|object| !self.object_gone && object.deleting.is_none() && object.recorded.is_none())?;
        let pair = |of: fn(&Counts) -> Option<u64>| (self.start.as_ref().and_then(of), of(&self.counts));
        let record = RecordedVerdict {
            uid: object.uid.clone(),
            verdict: *verdict,
            message: message.clone(),
            started: self.begin_known.then_some(self.began),
            ended: self.end_span().map_or(now, |(_, latest)| latest),
            ended_after: self.ended_after(),
            connections: pair(Counts::all_connections),
            sessions: pair(Counts::all_sessions),
            by: FIELD_MANAGER.to_owned(),
        };
        Some((object, record))
    }

    /// The earliest and the latest time at which it can have ended: equal where EMQX answered at its end. An operator that
    /// reports Completed saw the end at that time or before.
    pub(crate) fn end_span(&self) -> Option<(Timestamp, Timestamp)> {
        let ended = self.ended?;
        let Some((from, to)) = self.outage else { return Some((ended, ended)) };
        let completed = self.object.as_ref().and_then(|object| object.completed);
        Some((from, completed.filter(|completed| from < *completed && *completed < to).unwrap_or(to)))
    }

    /// When it was last seen to run, where it is not known when after that it ended.
    pub(crate) fn ended_after(&self) -> Option<Timestamp> {
        self.end_span().filter(|(earliest, latest)| earliest < latest).map(|(earliest, _)| earliest)
    }

    /// EMQX was never seen to run it, although the operator started it: it ended at some time since then.
    pub(super) fn end_unseen(&mut self, now: Timestamp) {
        let started =
            self.object.as_ref().filter(|object| object.processed && object.phase != Phase::Pending);
        if started.is_some() {
            (self.ended, self.outage) = (Some(now), Some((self.began, now)));
        }
    }

    /// How long it took, where its start and its end are known.
    pub(crate) fn duration_seconds(&self) -> Option<u64> {
        let ended = self.ended.filter(|_| self.begin_known && self.ended_after().is_none())?;
        Some(seconds_between(self.began, ended))
    }

    /// Whether its object is deleted, or its deletion was requested.
    pub(crate) fn is_deleted(&self) -> bool {
        self.object_gone || self.object.as_ref().is_some_and(|object| object.deleting.is_some())
    }

    /// Its present state: its verdict, or that it runs, and whether that contradicts the object.
    pub(crate) fn standing(&self) -> Verdict {
        match &self.verdict {
            Some(Judgement { verdict, .. }) => *verdict,
            None if self.entry.is_some() && self.ended.is_none() && self.contradicted() => {
                Verdict::StillRunning
            }
            None if self.entry.is_none() => self.waits().map_or(Verdict::Running, waiting::verdict),
            None => Verdict::Running,
        }
    }

    /// For how many seconds its object has waited for an operator, when something was last observed.
    pub(super) fn waits(&self) -> Option<u64> {
        let object = self.object.as_ref().filter(|_| !self.object_gone && !self.unlisted)?;
        waiting::seconds(object, self.observed)
    }

    /// Whether the object reports an end, or is being deleted, while EMQX continues.
    fn contradicted(&self) -> bool {
        self.object_gone
            || self.object.as_ref().is_some_and(|object| {
                object.deleting.is_some() || matches!(object.phase, Phase::Failed | Phase::Completed)
            })
    }

    /// A node as people call it: its pod's name, or where that is not known, its address.
    pub(crate) fn label<'a>(&'a self, node: &'a NodeName) -> &'a str {
        self.pods.get(node).map_or_else(|| node.short(), PodName::as_str)
    }

    /// Whether its verdict may still change: it has none, it made no progress, or EMQX could not be asked for
    /// a long time.
    pub(crate) fn is_open(&self) -> bool {
        let lost = || self.entry.is_some() && self.ended.is_none();
        self.verdict.as_ref().is_none_or(|judgement| match judgement.verdict {
            Verdict::Stalled => true,
            Verdict::Unknown => lost(),
            _ => false,
        })
    }

    /// Work done, in percent; `None` where the work at the start is unknown, or where the rebalance was not
    /// observed.
    pub(crate) fn work_percent(&self) -> Option<u8> {
        let over = self.verdict.as_ref().is_some_and(|judgement| judgement.verdict.is_final())
            && self.percent == 100;
        (self.entry.is_some() && (self.total.is_some() || over)).then_some(self.percent)
    }

    /// EMQX's last answer before an outage that is reported.
    pub(crate) fn silent_since(&self) -> Option<Timestamp> {
        self.quiet.silent_since
    }

    /// The strategy, with the rates that EMQX reports: an edit of the object's spec in mid-run has no effect.
    /// Where thresholds and waits are unknown, those with the latest end are assumed: equal means, and EMQX's
    /// own waits. No verdict is based on this assumption.
    pub(crate) fn assumed(&self) -> Option<Strategy> {
        let entry = self.entry.as_ref()?;
        let strategy = match &self.strategy {
            Some(strategy) => strategy.clone(),
            None => Strategy {
                conn_evict_rate: entry.conn_evict_rate?,
                sess_evict_rate: entry.sess_evict_rate?,
                abs_conn_threshold: 0,
                rel_conn_threshold: 1.0,
                abs_sess_threshold: 0,
                rel_sess_threshold: 1.0,
                ..Strategy::default()
            },
        };
        Some(Strategy {
            conn_evict_rate: entry.conn_evict_rate.unwrap_or(strategy.conn_evict_rate),
            sess_evict_rate: entry.sess_evict_rate.unwrap_or(strategy.sess_evict_rate),
            ..strategy
        })
    }

    /// Processes what donors of this entry report of its start.
    pub(super) fn take_starts(&mut self, broker: &BrokerState, entry: &RunningRebalance) {
        let counts_of = |node: &NodeName| {
            let start = broker.begun.get(node).filter(|start| start.coordinator == entry.coordinator)?;
            Some((node.clone(), (start.connections, start.sessions)))
        };
        self.begun = entry.donors.iter().filter_map(counts_of).collect();
    }

    /// The counts at the start of a rebalance that was joined. Every donor loses equally many clients in a
    /// round, and recipients hold what donors lost: what one donor reports of its own start ([EMQX-55]) gives
    /// the start of all. Where no donor reports it, the start with the most work that fits the counts is
    /// assumed, at which recipients held nothing. It serves for the amount of work alone: it does not show
    /// whether clients are missing. `None` where counts are unknown.
    pub(super) fn start_of_joined(&self, strategy: &Strategy, reported: bool) -> Option<Counts> {
        let (donors, recipients) = (self.donors(), self.recipients());
        let rate = strategy.conn_evict_rate.max(1);
        let known =
            donors.iter().filter_map(|node| Some((self.begun.get(node)?.0, self.counts.connections(node)?)));
        let lost = known.map(|(then, now)| then.saturating_sub(now).div_ceil(rate) * rate).max();
        let most = |of: fn(NodeCounts) -> Option<u64>| {
            let held: u64 = self.counts.each(recipients, of)?.iter().sum();
            Some(held / donors.len().max(1) as u64)
        };
        let lost = if reported { lost? } else { most(Counts::connections_of)? };
        let mut start = self.counts.clone();
        let (mut connections, mut sessions) = (0, 0);
        for node in donors {
            let counts = start.0.get_mut(node)?;
            let begun = self.begun.get(node);
            let (now, all) = (counts.connections?, counts.sessions);
            let then = begun.map_or(now.saturating_add(lost), |begun| begun.0);
            let all_then = begun.and_then(|begun| begun.1).or(all.map(|all| all.saturating_add(lost)));
            connections += then.saturating_sub(now);
            sessions += all_then.zip(all).map_or(0, |(then, now)| then.saturating_sub(now));
            *counts = NodeCounts { connections: Some(then), sessions: all_then };
        }
        let many = recipients.len().max(1) as u64;
        for node in recipients {
            let counts = start.0.get_mut(node)?;
            let less =
                |count: &mut Option<u64>, by: u64| *count = count.map(|it| it.saturating_sub(by / many));
            less(&mut counts.connections, connections);
            less(&mut counts.sessions, sessions);
        }
        Some(start)
    }

    /// Whether only a bound of the work before the first observation is known: then the percentage is an
    /// upper bound.
    pub(crate) fn percent_is_bound(&self) -> bool {
        self.total_is_bound && self.percent < 100
    }

    /// When what an event of it reports happened.
    pub(crate) fn happened(&self, event: &Event) -> Happened {
        match event.kind {
            EventType::Created => {
                let created = self.object.as_ref().and_then(|object| object.created);
                Happened::At(created.map_or(event.time, |created| created.min(event.time)))
            }
            EventType::Phase if self.stage_timed => Happened::At(self.stage_since.min(event.time)),
            EventType::Phase => Happened::Before(event.time),
            EventType::Verdict if self.ended_after().is_some() => Happened::Before(event.time),
            EventType::Progress | EventType::Notice | EventType::Verdict => Happened::At(event.time),
        }
    }

    /// An answer of EMQX moments before did not list it: its stage began when its entry was first seen.
    pub(super) fn appeared(&mut self) {
        self.stage_timed = true;
    }

    /// When it began, where that is known.
    pub(crate) fn began_at(&self) -> Option<Timestamp> {
        self.begin_known.then_some(self.began)
    }

    /// Clients that were evicted in one round reconnect in the next: this number may be reconnecting, and is not missing.
    pub(crate) fn reconnecting(&self) -> u64 {
        let Some(entry) = &self.entry else { return 0 };
        entry.donors.len() as u64 * entry.conn_evict_rate.unwrap_or(0)
    }

    pub(crate) fn donors(&self) -> &[NodeName] {
        self.entry.as_ref().map(|entry| entry.donors.as_slice()).unwrap_or_default()
    }

    pub(crate) fn recipients(&self) -> &[NodeName] {
        self.entry.as_ref().map(|entry| entry.recipients.as_slice()).unwrap_or_default()
    }

    /// Of what donors lost, the share that arrived on recipients; `None` before anything was evicted.
    pub(crate) fn landing_ratio(&self) -> Option<f64> {
        let gone = gone(self.start.as_ref(), &self.counts, self.donors())?;
        let arrived = arrived(self.start.as_ref(), &self.counts, self.recipients())?;
        (gone > 0).then(|| arrived as f64 / gone as f64)
    }

    /// An event of the rebalance that the follower did not create itself.
    pub(crate) fn report(&self, now: Timestamp, kind: EventType, message: String) -> Event {
        self.event(now, kind, message)
    }

    pub(super) fn event(&self, now: Timestamp, kind: EventType, message: String) -> Event {
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
        let start = self.start.as_ref();
        let lost_sessions = start
            .and_then(|start| Some(start.all_sessions()?.saturating_sub(self.counts.sessions_since(start)?)));
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
            moved_connections: arrived(self.start.as_ref(), &self.counts, self.recipients())
                .filter(|_| self.entry.is_some()),
            percent: self.work_percent(),
            eta_seconds: self.left.filter(|_| self.ended.is_none()).map(|left| left.seconds),
            lost_clients: lost_clients(start, &self.counts),
            lost_sessions,
            landing_ratio: self.landing_ratio(),
            message,
            verdict: None,
            reason: None,
        }
    }

    /// An operator may start it long after the object was created: its start is then that of EMQX's entry, which appeared
    /// since EMQX's answer `unlisted` seconds ago, or in an outage of EMQX. Counts from before an outage are not those of
    /// that start.
    pub(super) fn starts_late(&mut self, unlisted: Option<u64>, now: Timestamp) {
        if seconds_between(self.began, now) <= LISTED_SECONDS {
            return;
        }
        let appeared = unlisted.is_some_and(|seconds| seconds <= LISTED_SECONDS);
        let started = self.object.as_ref().and_then(|object| object.started).filter(|at| *at <= now);
        match started.filter(|_| !appeared) {
            Some(started) if seconds_between(self.began, started) > LISTED_SECONDS => {
                self.began = started;
                self.drop_start();
                return;
            }
            Some(_) => return,
            None if appeared => (self.began, self.begin_known) = (now, true),
            None => self.begin_known = false,
        }
        if !self.has_current_counts(now) {
            self.drop_start();
        }
    }

    fn drop_start(&mut self) {
        (self.start, self.recorded, self.baseline) = (None, None, Baseline::Closed);
        self.recounts = true;
    }

    fn has_current_counts(&self, now: Timestamp) -> bool {
        self.counted.is_some_and(|at| seconds_between(at, now) <= CURRENT_COUNTS_SECONDS)
    }

    /// The entry was seen for the first time: from now on counts are those of the start only while EMQX
    /// waits.
    pub(super) fn close_baseline(&mut self, entry: &RunningRebalance, now: Timestamp) {
        let open = std::mem::replace(&mut self.baseline, Baseline::Closed);
        if entry.stage == Stage::WaitHealthCheck {
            if !self.recounts || self.has_current_counts(now) {
                self.start.get_or_insert_with(|| self.counts.clone());
            }
            let after = |at: Timestamp, seconds: u64| {
                at.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
            };
            // Not after the wait: a client that connects in the last moment of the wait would replace an
            // evicted one in the counts of the start.
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

    /// Counts from now on, where the counts at the start are unknown. Returns the time from which is counted.
    pub(super) fn count_from(
        &mut self,
        nodes: Option<&Seen<Vec<Node>>>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let nodes = nodes.filter(|_| self.start.is_none())?;
        self.start = Some(Counts::of(&nodes.value));
        self.counted_since = Some(now);
        self.counted_since
    }

    /// Why the rebalance should be stopped now; `None` while nothing supports that.
    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        self.alarms.raised.as_ref().filter(|_| self.ended.is_none() && self.verdict.is_none())
    }
}
