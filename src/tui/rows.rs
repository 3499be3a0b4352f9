//! The rows of the table: one per EMQX node, and one per pod that is not a node yet, with its state and what
//! happens next.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::history::History;
use crate::model::human::{duration, seconds_between};
use crate::model::image::Image;
use crate::model::{Evacuation, Instance, InstanceId, NodeName, Part, Pod, PodName, Role, Stage, World};
use crate::output::theme::{Theme, Tone};
use crate::plan::history::PastEntry;
use crate::plan::membership::Membership;
use crate::plan::next_step::seconds_left;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::results::Status;
use crate::plan::snapshot::NodeRow;
use crate::plan::tracker::OperationTracker;
use crate::plan::upgrade::revisions::UpgradeRevisions;
use crate::plan::upgrade::run::{PodTurn, UpgradeRun};

/// The set of a node during an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// No upgrade.
    #[default]
    All,
    /// The node is of the previous revision.
    Old,
    /// The node is of the target revision.
    New,
}

/// The inputs of a board.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The world, with EMQX's answers of this cluster.
    pub world: &'a World,
    /// The cluster.
    pub id: &'a InstanceId,
    /// The trackers of its operations.
    pub operations: &'a OperationTracker,
    /// The counts of its nodes over time.
    pub history: &'a History,
    /// The entries of the user's own history.
    pub recorded: &'a [PastEntry],
    /// Colour and form.
    pub theme: Theme,
    /// The user's time zone.
    pub zone: &'a TimeZone,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its key for its lifetime: the node's name, else the pod's.
    pub key: String,
    /// Its short name.
    pub name: String,
    /// The EMQX node.
    pub node: Option<NodeName>,
    pub pod: Option<PodName>,
    pub set: Option<String>,
    pub role: Role,
    /// The tag of its pod's image, while two sets run.
    pub tag: Option<String>,
    pub group: Group,
    /// Its place in the order in which old pods are removed, from 1.
    pub order: Option<usize>,
    /// Whether the pod is ready.
    pub ready: Option<bool>,
    /// Whether the Service sends clients to it.
    pub serving: Option<bool>,
    /// `leaving 12s`: it is about to leave the Service.
    pub leaving: Option<String>,
    /// Whether its containers are ready, independently of the operator's readiness gate.
    pub healthy: Option<bool>,
    /// Its part in the running operation.
    pub part: Option<Part>,
    /// Its short state, in words.
    pub state: String,
    /// EMQX's own name of the state of its evacuation.
    pub emqx_state: Option<String>,
    /// What happens next, in a few words: `2s left`, `of about 800`.
    pub note: String,
    /// The meaning of the state.
    pub tone: Tone,
    /// Live clients.
    pub connections: Option<u64>,
    /// Its clients when the running operation began.
    pub start: Option<u64>,
    /// The value of a full bar, where that is the node's own start: for a node that is being emptied.
    pub scale: Option<u64>,
    /// Its clients at the end; while nothing runs, the mean.
    pub goal: Option<u64>,
    /// The change of clients per second.
    pub rate: Option<f64>,
    pub sessions: Option<u64>,
    /// Its share of all clients.
    pub share: Option<f64>,
    /// EMQX's version.
    pub version: Option<String>,
    /// Memory in use.
    pub memory: Option<String>,
}

/// The clients of a node when the rebalance or its own evacuation began.
pub(super) fn held_at_start(
    node: &NodeName,
    active: Option<&RebalanceRun>,
    evacuations: &[Evacuation],
) -> Option<u64> {
    let evacuation = evacuations.iter().find(|it| it.node == *node).and_then(|it| it.initial_connections);
    // Nothing moves before EMQX lists the rebalance.
    let rebalance = || active.filter(|run| run.entry.is_some())?.start.as_ref()?.connections(node);
    evacuation.or_else(rebalance)
}

pub(super) fn label(row: &Row) -> &str {
    match (&row.pod, &row.node) {
        (Some(pod), _) => pod.as_str(),
        (None, Some(node)) if node.ip().is_some() => node.host(),
        (None, Some(node)) => node.first_label(),
        (None, None) => &row.key,
    }
}

/// The pods of a namespace, by name.
pub(super) fn pods_in<'w>(world: &'w World, namespace: &str) -> BTreeMap<&'w str, &'w Pod> {
    let pods =
        world.kubernetes.pods.values().map(|seen| &seen.value).filter(|pod| pod.namespace == namespace);
    pods.map(|pod| (pod.name.as_str(), pod)).collect()
}

pub(super) fn rows(
    sources: &Sources<'_>,
    status: &Status,
    instance: Option<&Instance>,
    pods: &BTreeMap<&str, &Pod>,
) -> Vec<Row> {
    let Sources { world, .. } = sources;
    let nodes: BTreeMap<&NodeName, &crate::model::Node> = world
        .broker(&status.instance)
        .listed()
        .iter()
        .chain(instance.into_iter().flat_map(|instance| &instance.nodes).rev())
        .map(|node| (&node.name, node))
        .rev()
        .collect();
    let mut rows: Vec<Row> = Vec::with_capacity(status.nodes.len());
    for node in &status.nodes {
        let (state, tone) = standing(node);
        rows.push(Row {
            key: match (&node.node, &node.pod) {
                (Some(node), _) => node.as_str().to_owned(),
                (None, pod) => pod.as_ref().map(|pod| pod.as_str().to_owned()).unwrap_or_default(),
            },
            node: node.node.clone(),
            pod: node.pod.clone(),
            set: node.set.clone(),
            role: node.role,
            ready: node.ready,
            serving: node.serving,
            healthy: node
                .pod
                .as_ref()
                .and_then(|pod| pods.get(pod.as_str()))
                .map(|pod| pod.containers_ready || pod.ready),
            part: node.part,
            state,
            tone,
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

/// The tag of an image, where it has one.
fn tag(image: &str) -> Option<String> {
    Image::parse(image).ok()?.tag
}

/// The revision of each row, and the order in which old pods are removed.
pub(super) fn group(rows: &mut [Row], revisions: Option<&UpgradeRevisions<'_>>) {
    let Some(revisions) = revisions else { return };
    let members = revisions.old.iter().zip(1..).map(|(member, place)| (member, Some(place)));
    let members: BTreeMap<&str, (&Pod, Option<usize>)> = members
        .chain(revisions.new.iter().map(|member| (member, None)))
        .map(|(member, order)| (member.pod.name.as_str(), (member.pod, order)))
        .collect();
    for row in rows {
        let member = row.pod.as_ref().and_then(|pod| members.get(pod.as_str()));
        row.order = member.and_then(|(_, order)| *order);
        row.group = if row.order.is_some() { Group::Old } else { Group::New };
        row.tag = member.and_then(|(pod, _)| tag(pod.image.as_deref()?));
    }
}

/// The stage of an evacuation, in words.
pub(crate) fn stage_words(stage: &Stage, theme: Theme) -> String {
    match stage {
        Stage::WaitHealthCheck => "leaves Service".to_owned(),
        Stage::EvictingConns => "disconnecting".to_owned(),
        Stage::WaitTakeover => "session takeover".to_owned(),
        Stage::EvictingSessions => "moving sessions".to_owned(),
        Stage::Prohibiting => format!("{} empty", theme.symbols().done),
        Stage::Unknown(text) => text.clone(),
    }
}

/// The short state, with the remaining seconds of a known wait.
pub(super) fn state(row: &mut Row, evacuations: &[Evacuation], waits: Option<(u64, bool)>, theme: Theme) {
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
            if evacuation.stage == Stage::WaitHealthCheck && row.serving == Some(false) {
                "out of Service".clone_into(&mut row.state);
            }
            if evacuation.stage == Stage::WaitHealthCheck && row.serving == Some(true) {
                row.leaving = Some("leaving".to_owned());
            }
            if evacuation.stage == Stage::Prohibiting {
                row.tone = Tone::Good;
            }
            if let Some(left) = seconds_left(evacuation, row.connections) {
                row.note = format!("{} left", duration(left));
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

/// Whether EMQX has replicants: then cores need no clients.
pub(super) fn has_replicants(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.node.is_some() && row.role == Role::Replicant)
}

/// The rows of an upgrade: previous ones drain, each on its own scale; target ones fill.
pub(super) fn draining(
    rows: &mut [Row],
    evacuations: &[Evacuation],
    history: &History,
    began: Option<Timestamp>,
    theme: Theme,
) {
    let all: u64 = rows.iter().filter_map(|row| row.connections).sum();
    let replicants = has_replicants(rows);
    let fills = |row: &Row| {
        row.group == Group::New && row.serving != Some(false) && (!replicants || row.role == Role::Replicant)
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

/// The turn of an old pod, and the remaining wait of EMQX: `starts 10:33`, `12s left`.
pub(super) fn turns(rows: &mut [Row], run: &UpgradeRun, zone: &TimeZone, now: Timestamp) {
    for row in rows.iter_mut().filter(|row| row.group == Group::Old && row.note.is_empty()) {
        let turn = row.pod.as_ref().and_then(|pod| run.turns.get(pod.as_str()));
        match turn {
            Some(PodTurn::Starts(seconds)) => {
                let seconds = i64::try_from(*seconds).unwrap_or(i64::MAX).min(100 * 365 * 86_400);
                let Ok(at) = now.checked_add(SignedDuration::from_secs(seconds)) else { continue };
                let form = if seconds < 86_400 { "starts %H:%M" } else { "starts %d %b" };
                row.note = at.to_zoned(zone.clone()).strftime(form).to_string();
            }
            Some(PodTurn::Waits(seconds)) => {
                let left = duration(*seconds);
                if row.serving == Some(true) && row.leaving.is_some() {
                    row.leaving = Some(format!("leaving {left}"));
                }
                // Until EMQX disconnects clients, or until it moves sessions.
                let evicts = row.emqx_state.as_deref() == Some("waiting_health_check");
                row.note = if evicts { format!("evicts in {left}") } else { format!("{left} left") };
            }
            None => {}
        }
    }
}

/// Pods whose deletion was requested, with the seconds until Kubernetes kills them.
pub(super) fn deletions(rows: &mut [Row], pods: &BTreeMap<&str, &Pod>, now: Timestamp) {
    let deleted: BTreeMap<&str, Timestamp> =
        pods.iter().filter_map(|(name, pod)| Some((*name, pod.deleting?))).collect();
    for row in rows {
        let Some(at) = row.pod.as_ref().and_then(|pod| deleted.get(pod.as_str())).copied() else { continue };
        row.note = if at > now {
            format!("pod deleted in {}", duration(seconds_between(now, at)))
        } else {
            format!("deletion {} late", duration(seconds_between(at, now)))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_digest_nor_the_port_of_a_registry_is_a_tag() {
        assert_eq!(tag("registry:5000/emqx/emqx:5.8.6").as_deref(), Some("5.8.6"));
        let digest = "0123456789abcdef0123456789abcdef";
        for image in ["registry:5000/emqx/emqx".to_owned(), format!("emqx/emqx@sha256:{digest}")] {
            assert_eq!(tag(&image), None, "{image}");
        }
        assert_eq!(tag(&format!("emqx/emqx:5.8.6@sha256:{digest}")).as_deref(), Some("5.8.6"));
    }
}
