//! Readiness gates: where EMQX evicts at once, the pods of a drain or a scale leave the Service before the first evacuation.

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::super::CommandContext;
use super::super::cluster_view::ClusterView;
use super::permissions::forbidden;
use super::runner::Runner;
use super::task::Task;
use crate::error::{Cause, Problem};
use crate::model::drain::DrainedPod;
use crate::model::human::{duration, plural, seconds_between};
use crate::model::{EventType, PodName};
use crate::plan::finding::{self, Finding};
use crate::plan::removal::{RemovalAction, RemovalPlan};
use crate::ports::Right;
use crate::timing::{GATES_CLOSE_SECONDS, REMOVAL_STEP_PAUSE};

/// Warns where several pods are evacuated by an EMQX that evicts at once, and their gates may not be closed before.
pub(in crate::commands) async fn gates(context: &CommandContext, plan: &mut RemovalPlan, skip: &[String]) {
    let starts = plan.steps.iter().filter(|step| step.seconds.is_some()).count() as u64;
    if !plan.gates || starts < 2 {
        return;
    }
    let Some(missing) = forbidden(context, &[Right::of_gates(&plan.instance)]).await else { return };
    plan.gates = false;
    let message = format!(
        "{missing}: pods cannot leave the Service before EMQX evicts, which begins at once, and up to {} that reconnect to a pod \
         whose evacuation begins a moment later are disconnected twice",
        plural(plan.settings.conn_evict_rate.saturating_mul(starts - 1), "client")
    );
    let hint =
        "the role kubectl-emqx-remove of plugin-manifest/rbac.yaml; or drain one Kubernetes node at a time";
    plan.findings.push(Finding::warning("sequential-disconnects", message).hint(hint));
    finding::skip(&mut plan.findings, skip);
}

/// Opens the gates that a drain or a scale closed, of pods that stay and that EMQX does not evacuate. The operator opens them
/// as well, at its next pass.
pub(in crate::commands) async fn open_gates(
    context: &CommandContext,
    cluster: &ClusterView,
    pods: &[DrainedPod],
) {
    let load = cluster.answers().evacuations();
    let evacuated = |it: &DrainedPod| load.iter().any(|entry| Some(&entry.node) == it.node.as_ref());
    for it in pods.iter().filter(|it| it.closed && !evacuated(it)) {
        let pod = cluster.world.pods_of(&cluster.id).find(|pod| pod.uid == it.uid);
        let closed = pod.filter(|pod| pod.gated && pod.on_serving == Some(false) && pod.containers_ready);
        let Some(pod) = closed.filter(|pod| pod.deleting.is_none()) else { continue };
        if let Err(problem) = context.kubernetes.set_gate(&cluster.id.namespace, &pod.name, true).await {
            context.notice(&format!("{problem}; the operator does so at its next pass"));
        }
    }
}

/// The pods whose gates are to be closed.
pub(super) fn closing(acts: &[RemovalAction]) -> Vec<(PodName, String)> {
    let gate = |act: &RemovalAction| match act {
        RemovalAction::CloseGate { pod, uid } => Some((pod.clone(), uid.clone())),
        _ => None,
    };
    acts.iter().filter_map(gate).collect()
}

impl<T: Task> Runner<'_, T> {
    /// Whether pods leave the Service first; not for longer than a limit, because an operator opens gates again.
    pub(super) fn gates(&mut self, cluster: &ClusterView, now: Timestamp) -> bool {
        let since = self.closing.map_or(0, |since| seconds_between(since, now));
        if self.manner.gates && since > GATES_CLOSE_SECONDS {
            self.manner.gates = false;
            let message = format!(
                "pods are still in the Service {} after their gates were closed; their evacuations begin all the same, and some clients \
                 may be disconnected twice",
                duration(since)
            );
            self.notice(cluster, message);
        }
        self.manner.gates
    }

    /// Takes pods out of the Service, all at the same time.
    pub(super) async fn close(
        &mut self,
        cluster: &ClusterView,
        pods: &[(PodName, String)],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let key = format!("{pods:?}");
        if pods.is_empty() || self.done.get(&key).is_some_and(|at| at.elapsed() < REMOVAL_STEP_PAUSE) {
            return Ok(());
        }
        self.done.insert(key, Instant::now());
        let close = |(pod, _): &(PodName, String)| {
            let (kubernetes, namespace, pod) = (&self.context.kubernetes, &cluster.id.namespace, pod.clone());
            async move { kubernetes.set_gate(namespace, &pod, false).await }
        };
        let outcomes = join_all(pods.iter().map(close)).await;
        for outcome in outcomes {
            match outcome {
                Ok(_) => {}
                Err(problem) if problem.cause == Cause::Forbidden => {
                    self.manner.gates = false;
                    self.notice(cluster, format!("{problem}; some clients may be disconnected twice"));
                    return Ok(());
                }
                Err(problem) => return self.failed(problem),
            }
        }
        if self.closing.is_none() {
            self.closing = Some(now);
            let names: Vec<&str> = pods.iter().map(|(pod, _)| pod.as_str()).collect();
            let message =
                format!("{} leave the Service before EMQX disconnects their clients", names.join(", "));
            self.announce(cluster, EventType::Phase, message);
        }
        Ok(())
    }
}
