//! Reads what surrounds a cluster, for `check` and for the checks that an operation runs before it starts.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::CommandContext;
use super::cluster_view::ClusterView;
use super::fact_loop::refresh_interval;
use crate::model::check::Purpose;
use crate::model::report::EmqxReport;
use crate::model::surroundings::Surroundings;
use crate::model::{InstanceId, NodeName, PodName, Role};
use crate::plan::check::emqx::{confirmed, cores_differ};
use crate::plan::check::{Beside, Permission, Planned, Subject, before};
use crate::plan::finding::{Finding, skip};
use crate::plan::snapshot::snapshot;
use crate::ports::{Right, SurroundingScope};

/// Reads all of it; what cannot be read makes its checks unknown.
pub(super) async fn everything(context: &CommandContext, cluster: &ClusterView) -> Beside {
    let id = &cluster.id;
    let namespaces = [id.namespace.clone()];
    let pods: BTreeSet<String> = cluster.world.pods_of(id).map(|pod| pod.uid.clone()).collect();
    let kubernetes = &context.kubernetes;
    let (placement, autoscalers, surroundings, object, permissions, emqx) = futures::join!(
        kubernetes.placement(&namespaces, &pods),
        kubernetes.autoscalers(&id.namespace),
        kubernetes.surroundings(id),
        kubernetes.object(id),
        permissions(context, cluster),
        report(context, cluster),
    );
    Beside {
        placement: placement.ok(),
        autoscalers: autoscalers.ok(),
        surroundings: surroundings.unwrap_or_else(|problem| Surroundings {
            unread: vec![problem.to_string()],
            ..Surroundings::default()
        }),
        object: object.ok().flatten(),
        permissions,
        emqx,
    }
}

/// The findings about the surroundings before an operation starts. Only resources with permission are read:
/// nothing is reported as missing, and `check` names it.
pub(super) async fn findings(
    context: &CommandContext,
    cluster: &ClusterView,
    purpose: Purpose,
    planned: Planned<'_>,
    skipped: &[String],
) -> Vec<Finding> {
    let Ok(instance) = cluster.instance() else { return Vec::new() };
    let id = &cluster.id;
    let namespaces = [id.namespace.clone()];
    let pods: BTreeSet<String> = cluster.world.pods_of(id).map(|pod| pod.uid.clone()).collect();
    let room = purpose == Purpose::Upgrade || planned.added.is_some();
    let wanted = wanted(id, room, planned.writes);
    let kubernetes = &context.kubernetes;
    let readable = async {
        let answers = kubernetes.may(&wanted).await.unwrap_or_default();
        let may = |resource: &str| {
            let mut of =
                wanted.iter().zip(&answers).filter(|(right, _)| right.resource == resource).peekable();
            of.peek().is_some() && of.all(|(_, answer)| *answer == Some(true))
        };
        let placement = async {
            let all = may("nodes") && may("pods");
            if all { kubernetes.placement(&namespaces, &pods).await.ok() } else { None }
        };
        let autoscalers = async {
            let all = may("horizontalpodautoscalers") && may("scaledobjects");
            if all { kubernetes.autoscalers(&id.namespace).await.ok() } else { None }
        };
        let surroundings = async {
            let want = SurroundingScope {
                services: may("services"),
                quotas: may("resourcequotas"),
                webhook: may("customresourcedefinitions"),
            };
            kubernetes.part_of_surroundings(id, want).await.unwrap_or_default()
        };
        futures::join!(placement, autoscalers, surroundings)
    };
    let ((placement, autoscalers, surroundings), emqx) = futures::join!(readable, report(context, cluster));
    let beside = Beside { placement, autoscalers, surroundings, emqx, ..Beside::default() };
    let snapshot = snapshot(&cluster.world, id, context.clock.now());
    let subject = Subject { world: &cluster.world, instance, snapshot: &snapshot, beside: &beside };
    let mut found = before(subject, purpose, planned);
    skip(&mut found, skipped);
    found
}

/// The resources that are read: Services and autoscalers; those that added pods need; and the CRD of an object that
/// is written.
fn wanted(id: &InstanceId, room: bool, writes: bool) -> Vec<Right> {
    let list = |group, resource, namespace: &str| Right {
        verb: "list",
        group,
        resource,
        namespace: namespace.to_owned(),
        name: None,
    };
    let namespace = id.namespace.as_str();
    let mut all = vec![
        list("", "services", namespace),
        list("autoscaling", "horizontalpodautoscalers", namespace),
        list("keda.sh", "scaledobjects", namespace),
    ];
    if room {
        all.push(list("", "resourcequotas", namespace));
        all.push(list("", "nodes", ""));
        all.push(list("", "pods", ""));
    }
    if writes {
        let name = Some(format!("{}.apps.emqx.io", id.kind.plural()));
        let crd = list("apiextensions.k8s.io", "customresourcedefinitions", "");
        all.push(Right { verb: "get", name, ..crd });
    }
    all
}

/// What EMQX reports about itself; nothing where EMQX did not answer before.
async fn report(context: &CommandContext, cluster: &ClusterView) -> EmqxReport {
    if cluster.answers().nodes.is_none() {
        return EmqxReport::default();
    }
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let cores: Vec<(NodeName, Option<PodName>)> = snapshot
        .nodes
        .iter()
        .filter(|row| row.running && row.role == Role::Core)
        .filter_map(|row| Some((row.node.clone()?, row.pod.clone())))
        .collect();
    let first = cluster.broker.report(&cores).await.unwrap_or_default();
    if !cores_differ(&first) {
        return first;
    }
    sleep(refresh_interval(context)).await;
    match cluster.broker.report(&cores).await {
        Ok(second) => confirmed(&first, second),
        Err(_) => first,
    }
}

/// The permissions of each operation, and whether they are granted.
async fn permissions(context: &CommandContext, cluster: &ClusterView) -> Vec<Permission> {
    let id = &cluster.id;
    let object = cluster.world.kubernetes.served.version_of("rebalances").is_some();
    let mut asked: Vec<(Purpose, Right)> = Vec::new();
    if object {
        let rebalance = |verb| (Purpose::Rebalance, Right::of_rebalance(verb, &id.namespace));
        asked.extend(["create", "delete", "patch"].map(rebalance));
    }
    asked.extend(Right::of_upgrade(id).map(|right| (Purpose::Upgrade, right)));
    asked.extend(Right::of_drain(id, true).into_iter().map(|right| (Purpose::Drain, right)));
    let rights: Vec<Right> = asked.iter().map(|(_, right)| right.clone()).collect();
    let answers = context.kubernetes.may(&rights).await.unwrap_or_else(|_| vec![None; rights.len()]);
    let permission = |((purpose, right), allowed): ((Purpose, Right), Option<bool>)| Permission {
        purpose,
        right: right.sentence(),
        allowed,
    };
    asked.into_iter().zip(answers).map(permission).collect()
}
