//! What `drain` and `scale` have in common: the Lease of an instance, the permissions, and the run to the verdict ([`run`]).

use super::cluster_view::ClusterView;
use super::{CommandContext, surroundings};
use crate::error::Problem;
use crate::model::operation_state::state_name;
use crate::model::{NodeName, OperationRef};
use crate::plan::check::{Planned, Purpose};
use crate::plan::finding::{Decision, Finding, Severity};
use crate::plan::removal::RemovalPlan;
use crate::ports::RefreshScope;
use crate::timing::LEASE_SECONDS;

mod gates;
mod permissions;
mod progress;
pub(super) mod run;
mod runner;
pub(super) mod task;

pub(super) use gates::{gates, open_gates};
pub(super) use permissions::forbidden;

/// The resources that are read.
pub(super) const REMOVAL_SCOPE: RefreshScope = RefreshScope { events: false, ..RefreshScope::ALL };

/// Takes the Lease of an instance, or names the process that holds it.
pub(super) async fn lease(
    context: &CommandContext,
    cluster: &ClusterView,
    what: &str,
) -> Result<(), Problem> {
    match context.kubernetes.take_lease(cluster.instance()?).await? {
        None => Ok(()),
        Some(other) => Err(taken(cluster, what, &other)),
    }
}

fn taken(cluster: &ClusterView, what: &str, other: &str) -> Problem {
    let what = format!("will not {what} pods of {}", cluster.id);
    Problem::refused(what, format!("another process of kubectl-emqx is at work on it: {other}")).hint(
        format!(
            "wait until it has ended; the Lease of a process that was killed ends {LEASE_SECONDS}s after its last renewal: \
             kubectl get lease -n {} {}",
            cluster.id.namespace,
            state_name(&cluster.id)
        ),
    )
}

/// Releases the Leases; one that was not released expires.
pub(super) async fn release(context: &CommandContext, all: &[ClusterView]) {
    for cluster in all {
        if let Ok(instance) = cluster.instance()
            && let Err(problem) = context.kubernetes.release_lease(instance).await
        {
            tracing::debug!(%problem, "a lease was not released");
        }
    }
}

/// Adds the findings about the surroundings that the operation's own checks do not have.
pub(super) async fn around(
    context: &CommandContext,
    cluster: &ClusterView,
    (purpose, planned): (Purpose, Planned<'_>),
    plan: &mut RemovalPlan,
    skip: &[String],
) {
    if plan.decision != Decision::Go {
        return;
    }
    let planned = Planned {
        reconnects: Some(plan.reconnects_per_second),
        wait_health_check: Some(plan.settings.wait_health_check_seconds),
        ..planned
    };
    let found = surroundings::findings(context, cluster, purpose, planned, skip).await;
    let own: Vec<&'static str> = plan.findings.iter().map(|finding| finding.id).collect();
    let mut found: Vec<Finding> = found.into_iter().filter(|finding| !own.contains(&finding.id)).collect();
    for finding in found.iter_mut().filter(|finding| plan.resumed && finding.id == "cores-disagree") {
        // Cores notice one after another that a pod of this removal left the cluster or joined it again.
        finding.severity = finding.severity.min(Severity::Warning);
    }
    plan.findings.extend(found);
    plan.decide();
}

/// The name of an evacuation in events.
fn evacuation(node: &NodeName) -> String {
    OperationRef::Evacuation(node.clone()).to_string()
}
