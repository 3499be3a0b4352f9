//! The rebalance that a command line names: by its object, by its coordinator, or as the one that runs in an instance.

use super::CommandContext;
use super::cluster_view::{self, ClusterView};
use crate::cli::intent::{InstanceName, OperationName};
use crate::error::{Cause, Problem};
use crate::model::{
    BackendRequest, Fact, InstanceKind, Judgement, Link, NodeName, Object, Phase, Rebalance, Source, Update,
};
use crate::plan::assessment::assess;
use crate::plan::rebalance::backend::backend;
use crate::plan::rebalance::ownership;
use crate::plan::rebalance::preflight::{RebalanceCheck, running};
use crate::plan::snapshot::{SourceState, snapshot};
use crate::plan::status::status;
use crate::plan::tracker::{OperationTracker, Tracker as _};
use crate::ports::RefreshScope;

/// The hint when EMQX cannot be queried.
pub(crate) const REACH_EMQX: &str =
    "let EMQX be reached: --emqx-url and --api-key-file, or the rights that `kubectl emqx status` names";

/// The operation that a name on the command line resolves to.
pub struct RebalanceTarget {
    pub cluster: ClusterView,
    /// The object's name, or `coordinator/NODE`; `None` when nothing runs.
    pub name: Option<String>,
}

/// Resolves a name: a Rebalance first, otherwise the running operation of an instance with this name.
pub(crate) async fn resolve(
    context: &CommandContext,
    operation: Option<&OperationName>,
) -> Result<RebalanceTarget, Problem> {
    let running = async |name: Option<&InstanceName>| -> Result<RebalanceTarget, Problem> {
        let cluster = cluster_view::load_one(context, name, RefreshScope::REBALANCE).await?;
        let name = what_runs(context, &cluster);
        Ok(RebalanceTarget { cluster, name })
    };
    match operation {
        None => running(None).await,
        Some(OperationName::Instance(name)) => running(Some(name)).await,
        Some(OperationName::Coordinator(node)) => conducted(context, node).await,
        Some(OperationName::Rebalance(name)) => {
            match context.kubernetes.rebalance(&context.namespace, name).await? {
                Some(object) => of_object(context, &object).await,
                None => Err(no_such(context, name)),
            }
        }
        Some(OperationName::Name(name)) => {
            // Where the kind is not served, or may not be read, the name can still be that of an instance.
            let object = context.kubernetes.rebalance(&context.namespace, name).await;
            if let Ok(Some(object)) = object {
                return of_object(context, &object).await;
            }
            let instance = InstanceName { kind: None, name: name.clone() };
            match running(Some(&instance)).await {
                Err(problem) if problem.cause != Cause::Ambiguous => Err(match object {
                    Ok(_) => {
                        let no_such = no_such(context, name);
                        Problem {
                            what: format!("{}, and {}", no_such.what, problem.what),
                            why: problem.why,
                            ..no_such
                        }
                    }
                    Err(unread) => unread,
                }),
                other => other,
            }
        }
    }
}

fn no_such(context: &CommandContext, name: &str) -> Problem {
    Problem::new(format!("there is no Rebalance {name} in namespace {}", context.namespace), "")
        .hint("kubectl emqx rebalance list")
}

async fn of_object(context: &CommandContext, object: &Rebalance) -> Result<RebalanceTarget, Problem> {
    let exact = InstanceName { kind: Some(object.instance_kind), name: object.instance_name.clone() };
    let mut cluster = match cluster_view::load_one(context, Some(&exact), RefreshScope::REBALANCE).await {
        Err(problem) if problem.cause == Cause::Forbidden => return Err(problem),
        // The kind may no longer be served, or the instance may be deleted: the object can still be judged.
        Err(problem) if problem.cause != Cause::Ambiguous => {
            let other = match object.instance_kind {
                InstanceKind::Emqx => InstanceKind::EmqxEnterprise,
                _ => InstanceKind::Emqx,
            };
            let name = InstanceName { kind: Some(other), name: object.instance_name.clone() };
            cluster_view::load_one(context, Some(&name), RefreshScope::REBALANCE).await.map_err(|_| {
                let why = object.failure.clone().unwrap_or_else(|| problem.to_string());
                Problem::new(
                    format!(
                        "Rebalance {} is for {} {}",
                        object.name, object.instance_kind, object.instance_name
                    ),
                    why,
                )
            })?
        }
        other => other?,
    };
    let listed = cluster.world.kubernetes.sources.get(&(Source::Kubernetes, "rebalances"));
    if listed.is_some_and(|source| matches!(source.link, Link::Forbidden(_))) {
        // A user who may read only this object does not get it from a list.
        let update = Update::Upserted(Object::Rebalance(Box::new(object.clone())));
        cluster.take(context, [Fact { at: context.clock.now(), update }]);
    }
    Ok(RebalanceTarget { cluster, name: Some(object.name.clone()) })
}

async fn conducted(context: &CommandContext, node: &NodeName) -> Result<RebalanceTarget, Problem> {
    let all =
        cluster_view::load_many(context, &crate::cli::intent::Filter::default(), RefreshScope::REBALANCE)
            .await?;
    let unanswered = all.iter().find_map(|it| it.answers().link("nodes")?.why());
    let unanswered = unanswered.map(str::to_owned);
    for cluster in all {
        let runs = cluster
            .answers()
            .load
            .as_ref()
            .is_some_and(|load| load.value.rebalances.iter().any(|entry| &entry.coordinator == node));
        let knows = cluster.answers().listed().iter().any(|it| &it.name == node);
        if runs {
            let all = ownership::running(&cluster.world, &cluster.id);
            let name = all.into_iter().find(|(_, entry)| &entry.coordinator == node).map(|(name, _)| name);
            return Ok(RebalanceTarget { cluster, name });
        }
        if knows {
            return Ok(RebalanceTarget { cluster, name: None });
        }
    }
    let what = format!("no EMQX cluster in namespace {} has a node {node}", context.namespace);
    let known = unanswered.is_none();
    let what = if known { what } else { format!("cannot find the EMQX cluster that has a node {node}") };
    Err(Problem::new(what, unanswered.unwrap_or_default()).hint("kubectl emqx nodes lists them"))
}

/// The verdict of an object that has ended and that EMQX does not run; `None` while it runs or may run.
pub(crate) fn over(context: &CommandContext, cluster: &ClusterView, name: &str) -> Option<Judgement> {
    let key = (cluster.id.namespace.clone(), name.to_owned());
    let object = &cluster.world.kubernetes.rebalances.get(&key)?.value;
    if !matches!(object.phase, Phase::Completed | Phase::Failed) {
        return None;
    }
    let now = context.clock.now();
    // The object may name another kind than the instance has.
    let id = object.instance_id();
    let mut operations = OperationTracker::of(&id);
    operations.observe(&cluster.world, now);
    let assessed = assess(&cluster.world, &id, &operations, now);
    let mut past = assessed.rebalances.into_iter().filter(|it| !it.open);
    past.find(|it| it.name == name).map(|it| Judgement::new(it.verdict, it.message))
}

/// Whether the operation uses the requested backend: an object, or EMQX itself.
pub(crate) fn driven(cluster: &ClusterView, name: &str, backend: BackendRequest) -> bool {
    let key = (cluster.id.namespace.clone(), name.to_owned());
    let object = cluster.world.kubernetes.rebalances.contains_key(&key);
    match backend {
        BackendRequest::Auto => true,
        BackendRequest::Rebalance => object,
        BackendRequest::Emqx => {
            ownership::running(&cluster.world, &cluster.id).iter().any(|(running, _)| running == name)
        }
    }
}

/// The message that nothing runs, by EMQX's response or by the Service, which donors leave. An error if neither is known: a
/// script would continue with work that must not run during a rebalance.
pub(crate) fn nothing(
    context: &CommandContext,
    cluster: &ClusterView,
    backend: BackendRequest,
) -> Result<String, Problem> {
    let id = &cluster.id;
    if backend == BackendRequest::Rebalance {
        return Ok(format!("no Rebalance object of {id} runs"));
    }
    if cluster.answers().load.is_some() {
        return Ok(format!("nothing runs in {id}"));
    }
    let status = status(&cluster.world, id, context.clock.now());
    // Donors are in the Service for the first 20 to 24 s: that decides only where EMQX may not be asked at all.
    let refused =
        snapshot(&cluster.world, id, context.clock.now()).source(Source::Emqx) != SourceState::Unreachable;
    if status.quiet && refused {
        return Ok(format!("nothing runs in {id}, judged by its Service: EMQX was not queried"));
    }
    Err(Problem::new(format!("cannot determine whether anything runs in {id}"), status.message)
        .hint(REACH_EMQX))
}

/// The running operation, otherwise one that an operator has yet to start; for the other commands.
pub(crate) fn what_runs(context: &CommandContext, cluster: &ClusterView) -> Option<String> {
    let waiting = || {
        let waiting = ownership::waiting(&cluster.world, &cluster.id, context.clock.now());
        waiting.first().map(|object| object.name.clone())
    };
    runs(context, cluster).or_else(waiting)
}

/// The running operation.
pub(crate) fn runs(context: &CommandContext, cluster: &ClusterView) -> Option<String> {
    let instance = cluster.instance().ok()?;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let (backend, _) =
        backend(BackendRequest::Auto, &cluster.world.kubernetes.served, instance, snapshot.operator_process)
            .ok()?;
    running(&RebalanceCheck {
        world: &cluster.world,
        instance,
        snapshot: &snapshot,
        backend,
        name: None,
        allowed: None,
    })
}
