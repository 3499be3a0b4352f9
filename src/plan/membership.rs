//! Membership: the pods of a cluster compared with the list of nodes that EMQX reports.
//!
//! A pod can run and serve clients without being a node of the cluster (a split brain, a node that was removed from the
//! cluster), and EMQX can list nodes that have no pod. Counts are complete only where every row is a member.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::human::{duration, seconds_between};
use crate::model::{Node, Pod};
use crate::timing::JOIN_SECONDS;

/// How a node or a pod belongs to the EMQX cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Membership {
    /// EMQX lists the node as running.
    Member,
    /// The pod runs, and EMQX does not list it.
    NotInCluster,
    /// EMQX lists the node, and the node does not run.
    Stopped,
    /// The pod does not run yet, or does not run again.
    Starting,
    /// Kubernetes has found no node for the pod.
    Unschedulable,
    /// The deletion of the pod was requested.
    Terminating,
    /// EMQX lists the node as running, and no pod of the instance fits it.
    Foreign,
}

impl Membership {
    /// As it is written in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::NotInCluster => "notInCluster",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Unschedulable => "unschedulable",
            Self::Terminating => "terminating",
            Self::Foreign => "foreign",
        }
    }

    /// In words, for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NotInCluster => "not in cluster",
            other => other.as_str(),
        }
    }
}

/// The membership of one row, with the reason that the pod gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// How it belongs to the cluster; `None` is not known.
    pub membership: Option<Membership>,
    /// The pod's reason: `Unschedulable`, `ImagePullBackOff`, `CrashLoopBackOff`.
    pub reason: Option<String>,
    /// Since when; `None` is not known, and for members.
    pub since: Option<Timestamp>,
}

/// Which sources a row can be judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSources {
    /// Whether the pods of the instance could be listed.
    pub pods: bool,
    /// Whether the list of nodes is EMQX's own; else it is the operator's copy, which may be old.
    pub emqx: bool,
}

/// Judges one row: the node as EMQX (or the operator) lists it, and the pod that fits it.
pub(crate) fn standing(
    node: Option<&Node>,
    pod: Option<&Pod>,
    known: KnownSources,
    now: Timestamp,
) -> Standing {
    let Some(pod) = pod else { return without_pod(node, known) };
    let (reason, since) = trouble(pod);
    let is = |membership, since| Standing { membership, reason: reason.clone(), since };
    if pod.deleting.is_some() {
        return Standing { membership: Some(Membership::Terminating), reason: None, since: pod.deleting };
    }
    match node {
        Some(node) if known.emqx && node.running => Standing { reason, ..member() },
        Some(_) if known.emqx => is(Some(Membership::Stopped), not_ready_since(pod)),
        _ if unschedulable(pod) => is(Some(Membership::Unschedulable), since),
        _ if !up(pod) => is(Some(Membership::Starting), since),
        Some(node) if node.running => member(),
        Some(_) => is(Some(Membership::Stopped), not_ready_since(pod)),
        None if joining(pod, now) => is(Some(Membership::Starting), ready_since(pod)),
        // The operator copies EMQX's list every 30 s: a node that the copy lacks may be a member.
        None if !known.emqx => is(None, None),
        // The age of the pod does not show since when EMQX has not listed its node.
        None => Standing { membership: Some(Membership::NotInCluster), reason: None, since: None },
    }
}

/// Whether the containers of the pod have been ready for so short a time that EMQX may not list its node yet.
fn joining(pod: &Pod, now: Timestamp) -> bool {
    ready_since(pod).is_some_and(|since| seconds_between(since, now) < JOIN_SECONDS)
}

/// Since when the containers of the pod are ready.
fn ready_since(pod: &Pod) -> Option<Timestamp> {
    ["ContainersReady", "Ready"].into_iter().find_map(|kind| pod.true_since(kind))
}

fn member() -> Standing {
    Standing { membership: Some(Membership::Member), reason: None, since: None }
}

fn without_pod(node: Option<&Node>, known: KnownSources) -> Standing {
    let membership = match node {
        None => None,
        Some(node) if !node.running && (known.emqx || !known.pods) => Some(Membership::Stopped),
        Some(_) if known.pods && known.emqx => Some(Membership::Foreign),
        // The operator's copy can name a deleted pod or a stopped node.
        Some(_) if known.pods => None,
        Some(_) => Some(Membership::Member),
    };
    Standing { membership, reason: None, since: None }
}

/// Whether EMQX can have joined the cluster from this pod: its containers are ready.
fn up(pod: &Pod) -> bool {
    pod.containers_ready && (pod.phase == "Running" || pod.phase.is_empty())
}

/// Whether the pod will never run again: evicted by the kubelet, or finished. Its controller makes another one.
pub(crate) fn finished(pod: &Pod) -> bool {
    matches!(pod.phase.as_str(), "Failed" | "Succeeded")
}

fn unschedulable(pod: &Pod) -> bool {
    pod.condition("PodScheduled").is_some_and(|it| it.status == "False")
}

/// Why the pod does not run, and since when.
fn trouble(pod: &Pod) -> (Option<String>, Option<Timestamp>) {
    if let Some(condition) = pod.condition("PodScheduled").filter(|it| it.status == "False") {
        let reason = if condition.reason.is_empty() { "Unschedulable" } else { &condition.reason };
        return (Some(reason.to_owned()), condition.since.or(pod.created));
    }
    let since = not_ready_since(pod).or(pod.created);
    if let Some(waiting) = &pod.waiting {
        return (Some(waiting.clone()), since);
    }
    if up(pod) {
        return (None, None);
    }
    let reason = pod
        .condition("ContainersReady")
        .filter(|it| it.status == "False" && !it.reason.is_empty())
        .map(|it| it.reason.clone());
    (reason, since)
}

/// Since when the containers of the pod are not ready. `Ready` shows less: its gates also take a donor out of the Service.
fn not_ready_since(pod: &Pod) -> Option<Timestamp> {
    pod.condition("ContainersReady").filter(|it| it.status == "False")?.since
}

/// `for 12m`, empty where that is not known.
pub(crate) fn lasting(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map(|since| format!(" for {}", duration(seconds_between(since, now)))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::model::Condition;

    const BOTH: KnownSources = KnownSources { pods: true, emqx: true };

    fn condition(kind: &str, status: &str, reason: &str, since: i64) -> Condition {
        Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            since: Some(fixtures::at(since)),
            ..Condition::default()
        }
    }

    fn of(node: Option<&Node>, pod: Option<&Pod>) -> (Option<Membership>, Option<String>, Option<Timestamp>) {
        let Standing { membership, reason, since } = standing(node, pod, BOTH, fixtures::at(100));
        (membership, reason, since)
    }

    #[test]
    fn a_donor_that_left_the_service_earlier_is_not_stopped_since_then() {
        let gated = Pod { conditions: vec![condition("Ready", "False", "", 10)], ..Pod::default() };
        assert_eq!(not_ready_since(&gated), None);
        let down = [condition("Ready", "False", "", 10), condition("ContainersReady", "False", "", 80)];
        assert_eq!(
            not_ready_since(&Pod { conditions: down.to_vec(), ..Pod::default() }),
            Some(fixtures::at(80))
        );
    }

    #[test]
    fn a_ready_pod_that_emqx_does_not_list_is_not_in_the_cluster() {
        let pod = fixtures::pod("emqx-core-1", |pod| {
            pod.conditions = vec![condition("ContainersReady", "True", "", 7)];
        });
        assert_eq!(of(None, Some(&pod)), (Some(Membership::NotInCluster), None, None));
    }

    #[test]
    fn a_pod_that_just_got_ready_is_starting_until_emqx_had_the_time_to_list_it() {
        let pod = fixtures::pod("emqx-core-1", |pod| {
            pod.conditions = vec![condition("ContainersReady", "True", "", 80)];
        });
        for emqx in [true, false] {
            let known = KnownSources { pods: true, emqx };
            let is = standing(None, Some(&pod), known, fixtures::at(109));
            assert_eq!((is.membership, is.since), (Some(Membership::Starting), Some(fixtures::at(80))));
        }
        assert_eq!(
            standing(None, Some(&pod), BOTH, fixtures::at(110)).membership,
            Some(Membership::NotInCluster)
        );
    }

    #[test]
    fn a_pod_that_does_not_run_has_the_reason_that_kubernetes_gives() {
        let pending = fixtures::pod("emqx-core-1", |pod| {
            (pod.phase, pod.ready, pod.containers_ready) = ("Pending".into(), false, false);
            pod.conditions = vec![condition("PodScheduled", "False", "Unschedulable", 5)];
        });
        let unschedulable =
            (Some(Membership::Unschedulable), Some("Unschedulable".to_owned()), Some(fixtures::at(5)));
        assert_eq!(of(None, Some(&pending)), unschedulable);
        for reason in ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerError"] {
            let pod = fixtures::pod("emqx-core-1", |pod| {
                (pod.ready, pod.containers_ready) = (false, false);
                pod.waiting = Some(reason.to_owned());
                pod.conditions = vec![condition("ContainersReady", "False", "ContainersNotReady", 9)];
            });
            let expected = (Some(Membership::Starting), Some(reason.to_owned()), Some(fixtures::at(9)));
            assert_eq!(of(None, Some(&pod)), expected);
        }
    }

    #[test]
    fn a_node_that_emqx_lists_and_that_does_not_run_is_stopped_with_and_without_a_pod() {
        let stopped = Node { name: fixtures::core(1), stopped: true, ..Node::default() };
        assert_eq!(of(Some(&stopped), None).0, Some(Membership::Stopped));
        let pod = fixtures::pod("emqx-core-1", |pod| {
            (pod.ready, pod.containers_ready) = (false, false);
            pod.waiting = Some("CrashLoopBackOff".to_owned());
        });
        let (membership, reason, _) = of(Some(&stopped), Some(&pod));
        assert_eq!((membership, reason.as_deref()), (Some(Membership::Stopped), Some("CrashLoopBackOff")));
    }

    #[test]
    fn a_running_node_without_a_pod_is_foreign_only_where_pods_are_known() {
        let running = &fixtures::nodes(&[5])[0];
        assert_eq!(of(Some(running), None).0, Some(Membership::Foreign));
        let blind =
            standing(Some(running), None, KnownSources { pods: false, emqx: true }, fixtures::at(100));
        assert_eq!(blind.membership, Some(Membership::Member));
    }

    #[test]
    fn without_the_list_of_emqx_a_running_pod_is_neither_in_nor_out() {
        let pod = fixtures::pod("emqx-core-1", |_| ());
        let copy = KnownSources { pods: true, emqx: false };
        assert_eq!(standing(None, Some(&pod), copy, fixtures::at(100)).membership, None);
        assert_eq!(
            standing(Some(&fixtures::nodes(&[5])[0]), Some(&pod), copy, fixtures::at(100)).membership,
            Some(Membership::Member)
        );
    }

    #[test]
    fn a_pod_whose_deletion_was_requested_is_terminating_whatever_emqx_lists() {
        let pod = fixtures::pod("emqx-core-0", |pod| pod.deleting = Some(fixtures::at(3)));
        let expected = (Some(Membership::Terminating), None, Some(fixtures::at(3)));
        assert_eq!(of(Some(&fixtures::nodes(&[5])[0]), Some(&pod)), expected);
        assert_eq!(of(None, Some(&pod)), expected);
    }
}
