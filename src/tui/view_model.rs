//! The content of the view for one cluster, computed once per change and not per frame: the status that all
//! outputs share, and a row per EMQX node and per pod without one, in order.

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::past::PastOperation;
use super::rows::{
    Group, Row, Sources, deletions, draining, group, has_replicants, held_at_start, label, pods_in, rows,
    state, turns,
};
use super::sort::{Order, SortBy};
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::{duration, seconds_between};
use crate::model::{Evacuation, Operation, Part, PodName, Role, Stage, Verdict};
use crate::output::names::shorten;
use crate::plan::alarm::Alarm;
use crate::plan::assessment::assess;
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::eviction_alarm::StopAdvice;
use crate::plan::next_step::wait_left;
use crate::plan::rebalance::goal::{Goals, goals};
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::results::Status;
use crate::plan::snapshot::SourceState;
use crate::plan::upgrade::revisions::UpgradeRevisions;
use crate::plan::upgrade::run::UpgradeRun as Upgrade;
use crate::timing::{PAST_REBALANCE_SECONDS, VERDICT_SECONDS};
use emqx_rebalance::rules::mean;

/// The most entries of the user's own history that are shown, the newest.
const MAX_PAST_SHOWN: usize = 100;

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The title of a group.
    Title(Group),
    /// A row, by its index in [`ViewModel::rows`].
    Row(usize),
}

/// The content of the view for one cluster.
#[derive(Clone, Debug)]
pub struct ViewModel {
    /// The time of the content.
    pub now: Timestamp,
    /// The status that all outputs share.
    pub status: Status,
    /// The rows, by name.
    pub rows: Vec<Row>,
    /// The lines of the table.
    pub lines: Vec<Line>,
    /// The running rebalance, or the last one.
    pub run: Option<RebalanceRun>,
    /// Where the rebalance ends.
    pub goals: Option<Goals>,
    /// The mean of the nodes that would take part; the mark while nothing runs.
    pub mean: Option<u64>,
    /// The value of a full bar.
    pub scale: u64,
    /// Clients that connect to any node, per second.
    pub arrivals: Option<f64>,
    pub evacuations: Vec<Evacuation>,
    /// The tracked evacuations.
    pub emptied: Vec<EvacuationRun>,
    /// The running upgrade, or the last one.
    pub upgrade: Option<Upgrade>,
    /// The recommendation to stop an operation other than a rebalance.
    pub advice: Option<StopAdvice>,
    /// A drain or a scale that has not ended.
    pub removal: Option<Operation>,
    /// Whether two revisions run.
    pub upgrading: bool,
    /// Whether the custom resource exists.
    pub present: bool,
    /// The last operation that ended before the view was opened.
    pub past: Option<Past>,
    /// All known operations, newest first.
    pub operations: Vec<PastOperation>,
    /// Why the numbers are not current; `None` where they are.
    pub unsure: Option<String>,
    /// The widths of the columns of names, states, sets and versions.
    pub widths: Widths,
}

/// The widths of texts over all shown rows: columns must not move while the user scrolls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// The width of the names.
    pub name: usize,
    /// The width of the states.
    pub state: usize,
    /// The width of the notes.
    pub note: usize,
    /// The width of the column about the Service.
    pub service: usize,
    /// Whether a pod itself is not ready.
    pub unhealthy: bool,
    pub set: usize,
    pub version: usize,
    /// Whether both cores and replicants are shown.
    pub roles: bool,
    /// Whether several versions are shown.
    pub versions: bool,
}

impl ViewModel {
    /// Computes the board of one cluster.
    pub(crate) fn of(sources: Sources<'_>, order: &Order) -> Self {
        let Sources { world, id, operations, history, recorded, now, theme, zone } = sources;
        let follower = &operations.rebalances;
        let assessment = assess(world, id, operations, now);
        let own = recorded.iter().map(|past| &past.entry).filter(|entry| entry.instance == *id);
        // The ConfigMap first: a verdict that others can read has precedence over one that only this user
        // has.
        let entries = world.recorded(id).iter().rev().chain(own.rev().take(MAX_PAST_SHOWN));
        let past_operations = super::past::operations(&assessment.rebalances, operations, id, entries);
        let past = past(&past_operations, now);
        let (removal, advice) = (assessment.removal, assessment.advice.clone());
        let status = Status::from(assessment);
        let instance = world.instance(id);
        let recent = |ended: Option<Timestamp>| {
            ended.is_none_or(|ended| seconds_between(ended, now) <= VERDICT_SECONDS)
        };
        // A rebalance that EMQX never started has no end: its beginning is used.
        let last = || {
            let ended = |run: &&RebalanceRun| run.ended.or(run.verdict.is_some().then_some(run.began));
            follower.runs.iter().filter(|run| recent(ended(run))).max_by_key(ended)
        };
        let run = follower.running().or_else(last).cloned();
        let last = || operations.upgrades.last().filter(|run| recent(run.ended));
        let upgrade = operations.upgrades.running().or_else(last).cloned();
        let active = run.as_ref().filter(|run| run.verdict.is_none());
        let goals = active.and_then(goals);
        let running = || status.nodes.iter().filter(|row| row.running);
        let role = Role::participating(running().map(|row| row.role));
        let counts = running().filter(|row| row.role == role);
        let counts: Vec<u64> = counts.filter_map(|row| row.connections).collect();
        let mean = (!counts.is_empty()).then(|| mean(counts).round() as u64);
        let revisions = UpgradeRevisions::under_way(world, id).filter(|revisions| !revisions.old.is_empty());
        let upgrading = upgrade.as_ref().is_some_and(|run| run.verdict.is_none()) || revisions.is_some();
        let evacuations = evacuations_or_copy(world.broker(id).eviction_status(), instance).to_vec();
        let pods = pods_in(world, &id.namespace);
        let mut rows = rows(&sources, &status, instance, &pods);
        group(&mut rows, revisions.as_ref());
        let waits = active.and_then(|run| {
            let (spent, length) = wait_left(run, now)?;
            Some((length - spent, run.entry.as_ref()?.stage == Stage::WaitHealthCheck))
        });
        for row in &mut rows {
            let node = row.node.as_ref();
            row.rate = node.and_then(|node| history.rate(node, now));
            row.goal = match (&goals, node) {
                (Some(goals), Some(node)) => goals.nodes.get(node).copied(),
                (None, Some(_)) if active.is_none() && !upgrading && evacuations.is_empty() => {
                    mean.filter(|_| row.role == role)
                }
                _ => None,
            };
            row.start = node.and_then(|node| held_at_start(node, active, &evacuations));
            state(row, &evacuations, waits, theme);
        }
        if upgrading {
            let upgrade = upgrade.as_ref();
            draining(&mut rows, &evacuations, history, upgrade.map(|run| run.began), theme);
            if let Some(run) = upgrade.filter(|run| run.verdict.is_none()) {
                turns(&mut rows, run, zone, now);
            }
        }
        deletions(&mut rows, &pods, now);
        let names = shorten(Some(&id.name), rows.iter().map(label), theme);
        for (row, name) in rows.iter_mut().zip(names) {
            row.name = theme.clean(&name);
            for text in [&mut row.state, &mut row.note] {
                if !text.is_empty() {
                    *text = theme.clean(text);
                }
            }
        }
        let start = run.iter().flat_map(|run| run.start.iter()).flat_map(|start| start.0.values());
        let most = rows.iter().flat_map(|row| [row.connections, row.goal, row.start]).flatten();
        let scale = start.filter_map(|counts| counts.connections).chain(most).max().unwrap_or(0).max(1);
        let mut board = Self {
            now,
            arrivals: history.arrivals(now),
            status,
            rows,
            lines: Vec::new(),
            run,
            goals,
            mean,
            scale,
            evacuations,
            emptied: operations.upgrades.evacuations.runs.to_vec(),
            upgrade,
            advice,
            removal,
            upgrading,
            present: instance.is_some(),
            past,
            operations: past_operations,
            unsure: None,
            widths: Widths::default(),
        };
        board.unsure = unsure(&board.status);
        board.arrange(order);
        board
    }

    /// Sorts the rows in another order.
    pub(crate) fn arrange(&mut self, order: &Order) {
        let needle = order.filter.to_lowercase();
        let mut places: Vec<usize> = (0..self.rows.len())
            .filter(|place| needle.is_empty() || fits(&self.rows[*place], &needle))
            .collect();
        places.sort_by(|one, other| {
            let (one, other) = (&self.rows[*one], &self.rows[*other]);
            let mut by = order.by.compare(one, other);
            if order.by == SortBy::Name {
                // Old pods are shown in the order of their removal.
                by = one.order.cmp(&other.order).then_with(|| one.key.cmp(&other.key));
            }
            if order.reverse {
                by = by.reverse();
            }
            one.group.cmp(&other.group).then(by).then_with(|| one.key.cmp(&other.key))
        });
        self.lines.clear();
        let mut group = Group::All;
        for place in places {
            let own = self.rows[place].group;
            if own != group {
                group = own;
                self.lines.push(Line::Title(own));
            }
            self.lines.push(Line::Row(place));
        }
        self.widths = self.measure();
    }

    fn measure(&self) -> Widths {
        let mut widths = Widths { versions: self.status.versions.len() > 1, ..Widths::default() };
        let (mut cores, mut replicants) = (false, false);
        for row in self.shown() {
            widths.name = widths.name.max(row.name.width());
            widths.state = widths.state.max(row.state.width());
            widths.note = widths.note.max(row.note.width());
            widths.service = widths.service.max(row.leaving.as_deref().map_or(3, UnicodeWidthStr::width));
            widths.unhealthy |= row.healthy == Some(false);
            widths.set = widths.set.max(row.set.as_deref().map_or(0, UnicodeWidthStr::width));
            widths.version = widths.version.max(row.version.as_deref().map_or(0, UnicodeWidthStr::width));
            cores |= row.role == Role::Core;
            replicants |= row.role == Role::Replicant;
        }
        widths.roles = cores && replicants;
        widths
    }

    /// The rows that are shown, in order.
    pub fn shown(&self) -> impl Iterator<Item = &Row> {
        self.lines.iter().filter_map(|line| match line {
            Line::Row(place) => self.rows.get(*place),
            Line::Title(_) => None,
        })
    }

    /// Nodes in the Service, and those that should be in it: where there are replicants, cores need not be, and
    /// during an upgrade the nodes of the previous revision need not be; `None` where unknown.
    pub fn in_service(&self) -> Option<(usize, usize)> {
        self.status.totals.serving?;
        let nodes = || self.rows.iter().filter(|row| row.node.is_some());
        let replicants = has_replicants(&self.rows);
        let should = |row: &&Row| {
            row.serving == Some(true)
                || (row.group != Group::Old && (!replicants || row.role == Role::Replicant))
        };
        let serving = nodes().filter(|row| row.serving == Some(true)).count();
        Some((serving, nodes().filter(should).count()))
    }

    /// Whether it is in the Service, in one word: `-` for a core beside replicants, which need not be.
    pub(crate) fn service_word(&self, row: &Row) -> &'static str {
        match row.serving {
            Some(true) => "yes",
            Some(false) if row.role == Role::Core && has_replicants(&self.rows) => "-",
            Some(false) => "no",
            None => "?",
        }
    }

    /// Why the running rebalance should be stopped.
    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        self.run.as_ref()?.alarm()
    }

    /// A row by its key.
    pub(crate) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == key)
    }
}

/// A rebalance that ended before the view was opened, with the verdict that is recorded, or that its object supports.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The kind of operation.
    pub operation: Operation,
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// When it ended; where that was not observed, when it began.
    pub at: Timestamp,
    /// Whether the time of its end is known.
    pub end_known: bool,
}

fn past(operations: &[PastOperation], now: Timestamp) -> Option<Past> {
    let when = |it: &PastOperation| it.ended.or(it.started);
    let last = operations.iter().filter(|it| !it.open).max_by_key(|it| when(it))?;
    let at = when(last).filter(|at| seconds_between(*at, now) <= PAST_REBALANCE_SECONDS)?;
    let (name, message) = (last.name.clone(), last.message.clone());
    let end_known = last.ended.is_some();
    Some(Past { operation: last.operation, name, verdict: last.verdict, message, at, end_known })
}

/// Why the numbers of a status are not current; `None` while EMQX reports them.
fn unsure(status: &Status) -> Option<String> {
    let emqx = &status.sources.emqx;
    let lost = matches!(emqx.state, SourceState::Unreachable | SourceState::Stale | SourceState::Forbidden);
    if !lost && status.verdict != Verdict::Unknown || emqx.state == SourceState::Ok {
        return None;
    }
    // The head names the cluster already.
    let named = format!("{} cannot be asked: ", status.instance);
    let why = emqx.why.as_deref().map(|why| why.strip_prefix(&named).unwrap_or(why));
    let mut text = match (why, emqx.age_seconds) {
        (Some(why), Some(age)) if lost => format!("EMQX has not answered for {}: {why}", duration(age)),
        (Some(why), _) => format!("EMQX cannot be queried: {why}"),
        (None, Some(age)) if lost => format!("EMQX has not answered for {}", duration(age)),
        (None, _) => "EMQX cannot be queried".to_owned(),
    };
    if let Some(silent) = status.operator.silent_seconds {
        text.extend(["; operator status is ", &duration(silent), " old"]);
    }
    Some(text)
}

fn fits(row: &Row, needle: &str) -> bool {
    let part = row.part.map_or("", Part::as_str);
    let role = row.role.as_str();
    let texts = [row.key.as_str(), &row.name, &row.state, part, role];
    let more = [row.pod.as_ref().map(PodName::as_str), row.set.as_deref(), row.version.as_deref()];
    texts.into_iter().chain(more.into_iter().flatten()).any(|text| text.to_lowercase().contains(needle))
}
