//! What the view shows of one cluster, worked out once when something changed and not in every frame: the status that all
//! faces share, a row per EMQX node and per pod without one, in order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::history::History;
use super::order::{Order, SortBy};
use crate::model::human::{duration, seconds_between};
use crate::model::{
    Evacuation, Instance, InstanceId, NodeName, Part, Pod, PodName, Role, Stage, Verdict, World,
};
use crate::output::names::shorten;
use crate::output::theme::{Theme, Tone};
use crate::plan::assessment::{RebalanceStatus, assess};
use crate::plan::evacuation::tracker::EvacuationRun;
use crate::plan::membership::Membership;
use crate::plan::next_step::{evacuations, seconds_left, wait_left};
use crate::plan::playback::OperationTracker;
use crate::plan::rebalance::goal::{Goals, goals};
use crate::plan::rebalance::tracker::{Alarm, Run};
use crate::plan::results::Status;
use crate::plan::snapshot::{NodeRow, SourceState};
use crate::plan::upgrade::revisions::UpgradeRevisions;
use crate::plan::upgrade::run::Run as Upgrade;
use emqx_rebalance::rules::mean;

/// The set of a node while an upgrade is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// No upgrade.
    #[default]
    All,
    /// Of the previous revision.
    Old,
    /// Of the target revision.
    New,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is known by as long as it lives: the node's name, else the pod's.
    pub key: String,
    /// Its short name.
    pub name: String,
    /// The EMQX node.
    pub node: Option<NodeName>,
    pub pod: Option<PodName>,
    pub set: Option<String>,
    /// Core or replicant.
    pub role: Option<Role>,
    /// The tag of its pod's image, while two sets run.
    pub tag: Option<String>,
    pub group: Group,
    /// The place in the order in which old pods go, from 1.
    pub order: Option<usize>,
    /// Whether Kubernetes calls the pod ready.
    pub ready: Option<bool>,
    /// Whether the Service leads clients to it.
    pub serving: Option<bool>,
    /// `leaving 12s`: it is about to leave the Service.
    pub leaving: Option<String>,
    /// Whether its containers are ready, whatever the operator's readiness gate.
    pub healthy: Option<bool>,
    /// Its part in the running operation.
    pub part: Option<Part>,
    /// Its short state, in words.
    pub state: String,
    /// EMQX's own name of the state of its evacuation.
    pub emqx_state: Option<String>,
    /// What comes next, in a few words: `2s left`, `of about 800`.
    pub note: String,
    /// What the state means.
    pub tone: Tone,
    /// Live clients.
    pub connections: Option<u64>,
    /// What it held when what runs began.
    pub start: Option<u64>,
    /// What a full bar stands for, where that is its own start: of a node that is being emptied.
    pub scale: Option<u64>,
    /// What it will hold at the end; while nothing runs, the mean.
    pub goal: Option<u64>,
    /// Clients more or fewer per second.
    pub rate: Option<f64>,
    pub sessions: Option<u64>,
    /// Its part of all clients.
    pub share: Option<f64>,
    /// EMQX's version.
    pub version: Option<String>,
    /// Memory in use.
    pub memory: Option<String>,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The title of a group.
    Title(Group),
    /// A row, by its place in [`ViewModel::rows`].
    Row(usize),
}

/// What the view shows of one cluster.
#[derive(Clone, Debug)]
pub struct ViewModel {
    /// The moment.
    pub now: Timestamp,
    /// The status that all faces share.
    pub status: Status,
    /// The rows, by name.
    pub rows: Vec<Row>,
    /// The lines of the table.
    pub lines: Vec<Line>,
    /// The running rebalance, or the last one.
    pub run: Option<Run>,
    /// Where it ends.
    pub goals: Option<Goals>,
    /// The mean of those that would take part; the mark while nothing runs.
    pub mean: Option<u64>,
    /// What a full bar stands for.
    pub scale: u64,
    /// Clients that arrive anywhere, per second.
    pub arrivals: Option<f64>,
    pub evacuations: Vec<Evacuation>,
    /// The tracked evacuations.
    pub emptied: Vec<EvacuationRun>,
    /// The running upgrade, or the last one.
    pub upgrade: Option<Upgrade>,
    /// Whether two revisions run.
    pub upgrading: bool,
    /// Whether the custom resource is there.
    pub present: bool,
    /// The last rebalance that ended before the view was opened.
    pub past: Option<Past>,
    /// Why the numbers are not those of now.
    pub unsure: Option<String>,
    /// The columns that names, states, sets and versions take.
    pub widths: Widths,
}

/// How wide texts are, over all rows that are shown: columns must not jump while one scrolls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// Of names.
    pub name: usize,
    /// Of states.
    pub state: usize,
    /// Of notes.
    pub note: usize,
    /// Of what is in the Service, or leaves it.
    pub service: usize,
    /// Whether a pod itself is not ready.
    pub unhealthy: bool,
    pub set: usize,
    pub version: usize,
    /// Whether cores and replicants are among them.
    pub roles: bool,
    /// Whether several versions are.
    pub versions: bool,
}

/// What a board is made of.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The world, with EMQX's answers of this cluster.
    pub world: &'a World,
    /// The cluster.
    pub id: &'a InstanceId,
    /// The trackers of its operations.
    pub operations: &'a OperationTracker,
    /// What its nodes held.
    pub history: &'a History,
    /// Colour and form.
    pub theme: Theme,
    pub now: Timestamp,
}

/// Seconds for which a verdict is shown before the present state of the cluster.
pub const VERDICT_SECONDS: u64 = 600;

impl ViewModel {
    /// Computes the board of one cluster.
    pub fn of(sources: Sources<'_>, order: &Order) -> Self {
        let Sources { world, id, operations, history, now, theme } = sources;
        let follower = &operations.rebalances;
        let assessment = assess(world, id, operations, now);
        let past = past(&assessment.rebalances, now);
        let status = Status::from(assessment);
        let instance = world.instance(id);
        let recent = |ended: Option<Timestamp>| {
            ended.is_none_or(|ended| seconds_between(ended, now) <= VERDICT_SECONDS)
        };
        // A rebalance that EMQX never started has no end: its age is that of its beginning.
        let last = || {
            let ended = |run: &&Run| run.ended.or(run.verdict.is_some().then_some(run.began));
            follower.runs.iter().filter(|run| recent(ended(run))).max_by_key(ended)
        };
        let run = follower.running().or_else(last).cloned();
        let last = || operations.upgrades.last(id).filter(|run| recent(run.ended));
        let upgrade = operations.upgrades.running(id).or_else(last).cloned();
        let active = run.as_ref().filter(|run| run.verdict.is_none());
        let goals = active.and_then(goals);
        let replicants = status.nodes.iter().any(|row| row.role == Role::Replicant && row.running);
        let takes_part = |role: Option<Role>| !replicants || role == Some(Role::Replicant);
        let counts = status.nodes.iter().filter(|row| row.running && takes_part(Some(row.role)));
        let counts: Vec<u64> = counts.filter_map(|row| row.connections).collect();
        let mean = (!counts.is_empty()).then(|| mean(counts).round() as u64);
        let sides = UpgradeRevisions::of(world, id).filter(|sides| sides.two() && !sides.old.is_empty());
        let upgrading = upgrade.as_ref().is_some_and(|run| run.verdict.is_none()) || sides.is_some();
        let evacuations = evacuations(world, instance).to_vec();
        let mut rows = rows(&sources, &status, instance);
        group(&mut rows, sides.as_ref());
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
                    mean.filter(|_| takes_part(row.role))
                }
                _ => None,
            };
            row.start = node.and_then(|node| held_at_start(node, active, &evacuations));
            state(row, &evacuations, waits, theme);
        }
        if upgrading {
            let began = upgrade.as_ref().map(|run| run.began);
            draining(&mut rows, &evacuations, history, began, theme);
        }
        let names = shorten(Some(&id.name), rows.iter().map(label), theme);
        for (row, name) in rows.iter_mut().zip(names) {
            row.name = theme.clean(&name);
            row.state = theme.clean(&row.state);
            row.note = theme.clean(&row.note);
        }
        let start = run.iter().flat_map(|run| run.start.iter()).flat_map(|start| start.0.values());
        let most = rows.iter().flat_map(|row| [row.connections, row.goal, row.start]).flatten();
        let scale = start.filter_map(|counts| counts.0).chain(most).max().unwrap_or(0).max(1);
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
            emptied: operations.upgrades.evacuations.runs.clone(),
            upgrade,
            upgrading,
            present: instance.is_some(),
            past,
            unsure: None,
            widths: Widths::default(),
        };
        board.unsure = unsure(&board.status);
        board.arrange(order);
        board
    }

    /// Puts the rows in another order.
    pub fn arrange(&mut self, order: &Order) {
        let needle = order.filter.to_lowercase();
        let mut places: Vec<usize> = (0..self.rows.len())
            .filter(|place| needle.is_empty() || fits(&self.rows[*place], &needle))
            .collect();
        places.sort_by(|one, other| {
            let (one, other) = (&self.rows[*one], &self.rows[*other]);
            let mut by = order.by.compare(one, other);
            if order.by == SortBy::Name {
                // Old pods stand in the order in which they go.
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
            cores |= row.role == Some(Role::Core);
            replicants |= row.role == Some(Role::Replicant);
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

    /// Whether the counts are EMQX's own; else the operator's copy.
    pub fn from_emqx(&self) -> bool {
        self.status.nodes.iter().all(|node| node.source == crate::model::Source::Emqx)
    }

    /// Why the running rebalance should be stopped.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.run.as_ref()?.alarm()
    }

    /// A row by its key.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == key)
    }
}

/// A rebalance that ended before the view was opened, with the verdict that is recorded, or that its object supports.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// When.
    pub ended: Timestamp,
}

/// Seconds for which a rebalance that ended before the view was opened is more important than that nothing runs.
const PAST_SECONDS: u64 = 86_400;

fn past(rebalances: &[RebalanceStatus], now: Timestamp) -> Option<Past> {
    let ended = |rebalance: &&RebalanceStatus| {
        let object = rebalance.object.as_ref()?;
        object.completed.or(object.failed).or(object.started).or(object.created)
    };
    let last = rebalances.iter().filter(|rebalance| !rebalance.open).max_by_key(ended)?;
    let ended = ended(&last).filter(|ended| seconds_between(*ended, now) <= PAST_SECONDS)?;
    let (name, message) = (last.name.clone(), last.message.clone());
    Some(Past { name, verdict: last.verdict, message, ended })
}

/// Why the numbers of a status are not those of now; `None` while EMQX reports them.
fn unsure(status: &Status) -> Option<String> {
    let emqx = &status.sources.emqx;
    let lost = matches!(emqx.state, SourceState::Unreachable | SourceState::Stale | SourceState::Forbidden);
    if !lost && status.verdict != Verdict::Unknown || emqx.state == SourceState::Ok {
        return None;
    }
    let mut text = match (&emqx.why, emqx.age_seconds) {
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

/// What a node held when the rebalance or its own evacuation began.
fn held_at_start(node: &NodeName, active: Option<&Run>, evacuations: &[Evacuation]) -> Option<u64> {
    let evacuation = evacuations.iter().find(|it| it.node == *node).and_then(|it| it.initial_connections);
    let rebalance = || active?.start.as_ref()?.0.get(node)?.0;
    evacuation.or_else(rebalance)
}

fn fits(row: &Row, needle: &str) -> bool {
    let part = row.part.map_or("", Part::as_str);
    let role = row.role.map_or("", Role::as_str);
    let texts = [row.key.as_str(), &row.name, &row.state, part, role];
    let more = [row.pod.as_ref().map(PodName::as_str), row.set.as_deref(), row.version.as_deref()];
    texts.into_iter().chain(more.into_iter().flatten()).any(|text| text.to_lowercase().contains(needle))
}

fn label(row: &Row) -> &str {
    match (&row.pod, &row.node) {
        (Some(pod), _) => pod.as_str(),
        (None, Some(node)) if node.ip().is_some() => node.host(),
        (None, Some(node)) => node.first_label(),
        (None, None) => &row.key,
    }
}

fn rows(sources: &Sources<'_>, status: &Status, instance: Option<&Instance>) -> Vec<Row> {
    let Sources { world, .. } = sources;
    let nodes: BTreeMap<&NodeName, &crate::model::Node> = world
        .nodes
        .iter()
        .flat_map(|seen| &seen.value)
        .chain(instance.into_iter().flat_map(|instance| &instance.nodes).rev())
        .map(|node| (&node.name, node))
        .rev()
        .collect();
    let mut rows: Vec<Row> = Vec::with_capacity(status.nodes.len());
    for node in &status.nodes {
        rows.push(Row {
            key: match (&node.node, &node.pod) {
                (Some(node), _) => node.as_str().to_owned(),
                (None, pod) => pod.as_ref().map(|pod| pod.as_str().to_owned()).unwrap_or_default(),
            },
            node: node.node.clone(),
            pod: node.pod.clone(),
            set: node.set.clone(),
            role: Some(node.role),
            ready: node.ready,
            serving: node.serving,
            healthy: node.pod.as_ref().and_then(|pod| {
                let key = (status.instance.namespace.clone(), pod.as_str().to_owned());
                world.pods.get(&key).map(|seen| seen.value.containers_ready || seen.value.ready)
            }),
            part: node.part,
            state: standing(node).0,
            tone: standing(node).1,
            connections: node.connections,
            sessions: node.sessions,
            share: node.share,
            version: node.version.clone(),
            memory: node
                .node
                .as_ref()
                .and_then(|node| nodes.get(node))
                .and_then(|node| node.memory_used.clone()),
            ..Row::default()
        });
    }
    rows
}

/// The state of a row by its membership, and what it means.
fn standing(row: &NodeRow) -> (String, Tone) {
    match row.membership {
        Some(Membership::Member) | None => match (row.running, &row.node) {
            (true, _) => (row.state.clone().unwrap_or_default(), Tone::Plain),
            (false, Some(_)) => ("stopped".to_owned(), Tone::Bad),
            (false, None) => (String::new(), Tone::Plain),
        },
        Some(membership) => {
            // Kubernetes' reason for a pod is more precise than the membership.
            let words = membership.words();
            let state = row.pod_reason.clone().filter(|_| membership != Membership::Stopped);
            let known = row.pod_reason.is_some();
            let tone = match membership {
                Membership::Terminating => Tone::Warning,
                Membership::Starting if !known => Tone::Warning,
                _ => Tone::Bad,
            };
            (state.unwrap_or_else(|| words.to_owned()), tone)
        }
    }
}

/// Old or new, and the order in which the old ones go.
fn group(rows: &mut [Row], sides: Option<&UpgradeRevisions<'_>>) {
    let Some(sides) = sides else { return };
    let members = sides.old.iter().zip(1..).map(|(member, place)| (member, Some(place)));
    let members: BTreeMap<&str, (&Pod, Option<usize>)> = members
        .chain(sides.new.iter().map(|member| (member, None)))
        .map(|(member, order)| (member.pod.name.as_str(), (member.pod, order)))
        .collect();
    for row in rows {
        let member = row.pod.as_ref().and_then(|pod| members.get(pod.as_str()));
        row.order = member.and_then(|(_, order)| *order);
        row.group = if row.order.is_some() { Group::Old } else { Group::New };
        row.tag = member.and_then(|(pod, _)| Some(pod.image.as_deref()?.rsplit_once(':')?.1.to_owned()));
    }
}

/// The stage of an evacuation, in words.
pub fn stage_words(stage: &Stage, theme: Theme) -> String {
    match stage {
        Stage::WaitHealthCheck => "leaving Service".to_owned(),
        Stage::EvictingConns => "disconnecting".to_owned(),
        Stage::WaitTakeover => "session takeover".to_owned(),
        Stage::EvictingSessions => "moving sessions".to_owned(),
        Stage::Prohibiting => format!("{} empty", theme.symbols().done),
        Stage::Unknown(text) => text.clone(),
    }
}

/// The short state, with the remaining seconds of a known wait.
fn state(row: &mut Row, evacuations: &[Evacuation], waits: Option<(u64, bool)>, theme: Theme) {
    match row.part {
        // A problem of a participant has priority over its part.
        _ if row.tone == Tone::Bad => {}
        Some(Part::Evacuating) => {
            row.tone = Tone::Warning;
            let Some(evacuation) = evacuations.iter().find(|it| Some(&it.node) == row.node.as_ref()) else {
                return;
            };
            row.emqx_state = Some(evacuation.state.clone());
            row.state = stage_words(&evacuation.stage, theme);
            if evacuation.stage == Stage::WaitHealthCheck && row.serving == Some(true) {
                row.leaving = Some("leaving".to_owned());
            }
            if evacuation.stage == Stage::Prohibiting {
                row.tone = Tone::Good;
            }
            if let Some(left) = seconds_left(evacuation, row.connections) {
                row.note = format!("{} left", crate::model::human::duration(left));
            }
            row.scale = row.start.filter(|start| *start > 0);
        }
        Some(part @ Part::Donor) => {
            row.tone = Tone::Warning;
            part.as_str().clone_into(&mut row.state);
            if let Some((left, health)) = waits {
                row.state = format!("{} {left}s", part.as_str());
                if health && row.serving == Some(true) {
                    row.leaving = Some(format!("leaving {left}s"));
                }
            }
        }
        Some(part @ Part::Recipient) => {
            row.tone = Tone::Busy;
            part.as_str().clone_into(&mut row.state);
        }
        None => {}
    }
}

/// The rows of an upgrade: previous ones drain, each on its own scale; target ones fill.
fn draining(
    rows: &mut [Row],
    evacuations: &[Evacuation],
    history: &History,
    began: Option<Timestamp>,
    theme: Theme,
) {
    let all: u64 = rows.iter().filter_map(|row| row.connections).sum();
    let replicants = rows.iter().any(|row| row.role == Some(Role::Replicant));
    let fills = |row: &Row| {
        row.group == Group::New
            && row.serving != Some(false)
            && (!replicants || row.role == Some(Role::Replicant))
    };
    let filled = rows.iter().filter(|row| fills(row)).count() as u64;
    let evacuating = |row: &Row| evacuations.iter().any(|it| Some(&it.node) == row.node.as_ref());
    let first =
        rows.iter().filter(|row| row.group == Group::Old && !evacuating(row)).filter_map(|row| row.order);
    let first = first.min();
    for row in rows {
        let quiet = row.state.is_empty() || row.tone == Tone::Plain;
        match row.group {
            Group::Old => {
                let most = row.node.as_ref().and_then(|node| history.most(node, began));
                row.start = row.start.max(most).max(row.connections);
                row.scale = row.start.filter(|start| *start > 0);
                if evacuating(row) {
                    if row.connections == Some(0) && row.emqx_state.as_deref() == Some("prohibiting") {
                        "pod is removed next".clone_into(&mut row.note);
                    }
                } else if quiet && row.order == first {
                    "next".clone_into(&mut row.state);
                    row.tone = Tone::Plain;
                } else if quiet {
                    "waiting".clone_into(&mut row.state);
                    row.tone = Tone::Faint;
                }
            }
            Group::New => {
                if quiet && row.serving == Some(true) {
                    "serving".clone_into(&mut row.state);
                    row.tone = Tone::Good;
                }
                if fills(row) && row.node.is_some() && filled > 0 {
                    row.note = format!("of about {}", crate::model::human::count(all / filled));
                }
            }
            Group::All => {}
        }
        row.state = theme.clean(&row.state);
    }
}
