//! How the nodes that are wanted, the pods and EMQX's list of nodes fit together, in words.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::human::{and_more, count, plural};
use crate::model::{Instance, Role, World};
use crate::plan::membership::{Membership, lasting};
use crate::plan::snapshot::{NodeRow, Snapshot};

/// How the nodes that are wanted, the pods and EMQX's list of nodes fit together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipSummary {
    /// Expected nodes; `None` where neither the custom resource nor its sets have a number.
    pub expected: Option<u64>,
    /// Nodes that EMQX lists as running and that fit a pod; `None` where EMQX's list is not known.
    pub member: Option<u64>,
    /// What does not fit, a sentence each.
    pub discrepancies: Vec<String>,
    /// Discrepancies that are only a warning and change no verdict: nodes that a scale-down left in EMQX's
    /// list.
    #[serde(skip)]
    pub left_over: Vec<String>,
}

/// The number of nodes that the custom resource requests, else that of its status.
fn expected(instance: &Instance) -> Option<u64> {
    let of = |spec: Option<u64>, status: u64| spec.or((status > 0).then_some(status));
    let cores = of(instance.cores, instance.core_revisions.replicas)?;
    Some(cores + of(instance.replicants, instance.replicant_revisions.replicas).unwrap_or(0))
}

/// Compares the requested nodes, the pods and EMQX's list of nodes.
pub(crate) fn membership(
    world: &World,
    instance: Option<&Instance>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> MembershipSummary {
    let is =
        |membership: Membership| move |row: &&NodeRow| row.membership == Some(membership) && !row.left_over;
    let rows = |membership| snapshot.nodes.iter().filter(is(membership)).collect::<Vec<_>>();
    let expected = instance.and_then(expected);
    let members = rows(Membership::Member);
    let mut summary = MembershipSummary {
        expected,
        member: (world.broker(&snapshot.instance).nodes.is_some() && snapshot.wrong_emqx.is_none())
            .then_some(members.len() as u64),
        discrepancies: snapshot.wrong_emqx.iter().cloned().collect(),
        left_over: Vec::new(),
    };
    for row in rows(Membership::NotInCluster) {
        let serving = if row.serving == Some(true) { " and serves clients" } else { "" };
        let lasting = lasting(row.since, now);
        summary
            .discrepancies
            .push(format!("{} runs{serving}, and EMQX does not list it as a node{lasting}", row.label()));
    }
    for row in rows(Membership::Foreign) {
        let node = row.node.as_ref().map(ToString::to_string).unwrap_or_default();
        summary.discrepancies.push(format!("EMQX lists {node}, which fits no pod of {}", snapshot.instance));
    }
    let why = |row: &NodeRow| row.pod_reason.clone();
    for row in rows(Membership::Stopped) {
        let reason = why(row).map(|reason| format!(" ({reason})")).unwrap_or_default();
        summary.discrepancies.push(format!(
            "{} is stopped in EMQX{}{reason}",
            row.label(),
            lasting(row.since, now)
        ));
    }
    for row in rows(Membership::Unschedulable) {
        let reason = why(row).unwrap_or_else(|| "Unschedulable".to_owned());
        summary.discrepancies.push(format!("{}: {reason}{}", row.label(), lasting(row.since, now)));
    }
    for row in rows(Membership::Starting) {
        let reason = why(row).unwrap_or_else(|| "starting".to_owned());
        summary.discrepancies.push(format!("{}: {reason}{}", row.label(), lasting(row.since, now)));
    }
    for row in rows(Membership::Terminating) {
        summary.discrepancies.push(format!("{} is terminating{}", row.label(), lasting(row.since, now)));
    }
    summary.discrepancies.extend(too_few(world, snapshot, expected));
    summary.discrepancies.extend(instance.and_then(|instance| too_many(instance, snapshot)));
    for row in snapshot.nodes.iter().filter(|row| row.left_over) {
        let node = row.node.as_ref().map(ToString::to_string).unwrap_or_default();
        summary.left_over.push(node);
    }
    summary
}

/// Pods beyond those that are wanted, where no second set runs beside the first: the operator removes them with their clients
/// ([OP-27]), as soon as it looks.
fn too_many(instance: &Instance, snapshot: &Snapshot) -> Option<String> {
    let of = |role: Role, wanted: Option<u64>, what: &str| {
        let counts = |row: &&NodeRow| {
            row.role == role && row.pod.is_some() && row.membership != Some(Membership::Terminating)
        };
        let rows: Vec<&NodeRow> = snapshot.nodes.iter().filter(counts).collect();
        let (there, wanted) = (rows.len() as u64, wanted?);
        let one_set = rows.windows(2).all(|two| two[0].set == two[1].set);
        (one_set && there > wanted)
            .then(|| format!("{} run, and {} wanted", plural(there, what), wanted_count(wanted)))
    };
    of(Role::Core, instance.cores, "core").or_else(|| of(Role::Replicant, instance.replicants, "replicant"))
}

/// `1 is`, `3 are`.
fn wanted_count(wanted: u64) -> String {
    format!("{} {}", count(wanted), if wanted == 1 { "is" } else { "are" })
}

/// Requested nodes that have neither a pod nor a node in EMQX's list.
fn too_few(world: &World, snapshot: &Snapshot, expected: Option<u64>) -> Option<String> {
    let wanted = expected?;
    let counts = |row: &&NodeRow| {
        !row.left_over && !matches!(row.membership, Some(Membership::Foreign | Membership::Terminating))
    };
    let there = snapshot.nodes.iter().filter(counts).count() as u64;
    // Where neither pods nor EMQX could be listed, missing nodes cannot be counted.
    let listed = world.broker(&snapshot.instance).nodes.is_some()
        || snapshot.nodes.iter().any(|row| row.pod.is_some());
    let known = listed && snapshot.wrong_emqx.is_none();
    (known && there < wanted).then(|| {
        let lacking = wanted - there;
        let one = lacking == 1;
        let what = match snapshot.nodes.iter().any(|row| row.pod.is_some()) {
            true if one => "has no pod",
            true => "have no pod",
            false if one => "is not in EMQX's list of nodes",
            false => "are not in EMQX's list of nodes",
        };
        format!("{} of {} wanted nodes {what}", count(lacking), count(wanted))
    })
}

/// A warning about nodes that EMQX lists as stopped and that have no pod, and how to remove them from its list.
pub(crate) fn left_over(summary: &MembershipSummary) -> Option<(String, String)> {
    let first = summary.left_over.first()?;
    let others = and_more(summary.left_over.len() - 1);
    let is = if summary.left_over.len() == 1 { "is" } else { "are" };
    Some((
        format!("{first}{others} {is} stopped in EMQX and {is} without a pod: left after a scale-down"),
        format!("emqx ctl cluster force-leave {first}, in any running EMQX pod"),
    ))
}
