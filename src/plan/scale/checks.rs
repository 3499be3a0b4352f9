//! The checks before a change of the number of nodes, beside those of its evacuations.

use super::super::snapshot::Snapshot;
use super::super::upgrade::field_owners::{conflicts, managed};
use super::super::upgrade::revisions::UpgradeRevisions;
use super::plan::{Outside, ScalePlan, listed, living, sets, wanted};
use crate::model::scale::{FIRST_COST, ScaledField};
use crate::model::{Condition, Instance, NodeName, Pod, World};
use crate::plan::finding::Finding;
use crate::plan::stored_removal::{
    amount, scale_to_finish, stored_drain, unfinished_drain, unfinished_scale,
};

/// The condition of a core that holds replicas of durable storage, as operator 2.3 writes it.
const STORAGE_SITE: &str = "apps.emqx.io/ds-replication-site";

/// All of them.
pub(super) fn findings(
    scale: &ScalePlan,
    world: &World,
    snapshot: &Snapshot,
    instance: &Instance,
    outside: &Outside,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(super::super::removal::not_asked(world, snapshot));
    found.extend(deleting_or_upgrading(world, instance));
    found.extend(other_unfinished(scale, world));
    found.extend(changing(scale, world, instance));
    found.extend(none_left(scale));
    found.extend(autoscaled(scale, world, outside));
    let keep = format!("change {} where it is kept, after: {}", scale.field.path(), evacuate(scale));
    found.extend(conflicts(&outside.owners, false, &keep));
    found.extend(managed(instance, format!("change {} where it is kept, and commit it", scale.field.path())));
    if scale.to < scale.from {
        found.extend(not_ready(scale, world));
        found.extend(cost_taken(scale, world));
        found.extend(durable_storage(scale, world, snapshot, instance, outside));
    }
    if !outside.autoscalers.unread.is_empty() {
        let message = format!(
            "not every limit could be checked; not readable: {}",
            outside.autoscalers.unread.join("; ")
        );
        found.push(
            Finding::warning("unknown-limits", message)
                .hint("kubectl auth can-i --list shows your permissions"),
        );
    }
    found
}

/// The command that evacuates the pods, for a user who changes the number with another tool.
fn evacuate(scale: &ScalePlan) -> String {
    let pods: Vec<&str> = scale.removal.steps.iter().map(|step| step.pod.as_str()).collect();
    if pods.is_empty() {
        return "nothing else has to be done before".to_owned();
    }
    format!("kubectl emqx evacuate start {}", pods.join(" "))
}

fn deleting_or_upgrading(world: &World, instance: &Instance) -> Option<Finding> {
    let id = &instance.id;
    let two = UpgradeRevisions::of(world, id).is_some_and(|revisions| revisions.in_transition());
    let message = if instance.deleting.is_some() {
        format!("{id} is being deleted")
    } else if two || instance.upgrading() {
        format!("{id} is being upgraded: the operator changes the number of pods itself")
    } else {
        return None;
    };
    Some(Finding::blocked("instance-not-ready", message).hint(format!("kubectl emqx status {}", id.name)))
}

/// A drain, or a scale to another number, is unfinished: a new scale would lose the record of its
/// evacuations.
fn other_unfinished(scale: &ScalePlan, world: &World) -> Option<Finding> {
    let id = &scale.removal.instance;
    if let Some(state) = stored_drain(world, id) {
        return Some(unfinished_drain(state));
    }
    scale_to_finish(world, id).filter(|_| !scale.removal.resumed).map(|state| unfinished_scale(id, state))
}

/// Another change of the number is in progress.
fn changing(scale: &ScalePlan, world: &World, instance: &Instance) -> Option<Finding> {
    if scale.removal.resumed {
        return None;
    }
    let sets = sets(world, &instance.id, scale.field);
    let there: u64 = sets.iter().map(|set| set.replicas).sum();
    let listed = listed(world, &instance.id, scale.field);
    let wanted = wanted(world, instance, scale.field);
    (listed && there != wanted).then(|| {
        let message = format!(
            "{} {} requested and the operator has made {there}: an earlier change is not finished",
            amount(scale.field, wanted),
            if wanted == 1 { "is" } else { "are" },
        );
        Finding::blocked("replicas-changing", message)
            .hint(format!("kubectl emqx status {}", instance.id.name))
    })
}

fn none_left(scale: &ScalePlan) -> Option<Finding> {
    (scale.to == 0 && scale.from > 0).then(|| {
        let message = format!(
            "no {} would remain: the clients of {} would have no node to go to",
            scale.field.singular(),
            amount(scale.field, scale.from)
        );
        Finding::blocked("too-few-nodes", message).hint(format!(
            "kubectl emqx scale {} --{} 1",
            scale.removal.instance.name,
            scale.field.as_str()
        ))
    })
}

fn autoscaled(scale: &ScalePlan, world: &World, outside: &Outside) -> Option<Finding> {
    let sets = sets(world, &scale.removal.instance, scale.field);
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    let scaler = outside.autoscalers.found.iter().find(|it| it.scales(&scale.removal.instance, &names))?;
    let message =
        format!("{} scales {}: it would change the number back", scaler.label(), scale.removal.instance);
    let (resource, name) = match &scaler.owner {
        Some(owner) => ("scaledobject", owner),
        None if scaler.kind == "ScaledObject" => ("scaledobject", &scaler.name),
        None => ("hpa", &scaler.name),
    };
    Some(Finding::blocked("autoscaled", message).hint(format!(
        "change its limits instead: kubectl edit {resource} -n {} {name}; or delete it first",
        scale.removal.instance.namespace
    )))
}

/// Kubernetes removes pods that are not ready before it compares deletion costs, and a node that is not ready takes no
/// clients.
fn not_ready(scale: &ScalePlan, world: &World) -> Option<Finding> {
    let unready: Vec<&Pod> = stay(scale, world).filter(|pod| !pod.ready).collect();
    // Operator 3.x chooses the replicants that it removes: those that are not ready can be among them.
    let chosen = scale.by_operator && scale.field == ScaledField::Replicants;
    if chosen && unready.len() as u64 <= scale.from.saturating_sub(scale.to) {
        return None;
    }
    let stays = unready.first()?;
    let why = stays.waiting.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let message = format!("{} stays, but is not ready{why}: no pod beside it is taken away", stays.name);
    Some(
        Finding::blocked("pods-not-ready", message)
            .hint(format!("kubectl emqx nodes {}", scale.removal.instance.name)),
    )
}

fn stay<'w>(scale: &'w ScalePlan, world: &'w World) -> impl Iterator<Item = &'w Pod> {
    living(world, &scale.removal.instance, scale.field)
        .filter(|pod| !scale.removal.pods.iter().any(|it| it.uid == pod.uid))
}

/// Another pod that Kubernetes could remove first.
fn cost_taken(scale: &ScalePlan, world: &World) -> Option<Finding> {
    if scale.field != ScaledField::Replicants || scale.by_operator {
        return None;
    }
    let pod = stay(scale, world).find(|pod| pod.deletion_cost.is_some_and(|cost| cost <= FIRST_COST))?;
    let message =
        format!("{} has the lowest pod-deletion-cost: Kubernetes could remove it instead", pod.name);
    Some(Finding::blocked("deletion-cost", message).hint(format!(
        "kubectl annotate pod -n {} {} controller.kubernetes.io/pod-deletion-cost-",
        pod.namespace, pod.name
    )))
}

/// Cores that hold replicas of durable storage: a scale-down would lose their data, or stop its replication.
fn durable_storage(
    scale: &ScalePlan,
    world: &World,
    snapshot: &Snapshot,
    instance: &Instance,
    outside: &Outside,
) -> Option<Finding> {
    if scale.field == ScaledField::Replicants {
        return None;
    }
    let holds = |node: &NodeName| outside.sites.contains(node);
    let (pod, node) = scale.removal.steps.iter().find_map(|step| {
        let pod = world.pods_of(&scale.removal.instance).find(|pod| pod.uid == step.uid)?;
        let condition = pod.condition(STORAGE_SITE);
        // Where EMQX cannot be asked, every core of a cluster with durable sessions is assumed to hold
        // replicas.
        let configured = instance.durable_sessions && outside.sites.is_empty() && condition.is_none();
        (condition.is_some_and(Condition::holds) || configured || step.node.as_ref().is_some_and(holds))
            .then_some((&step.pod, &step.node))
    })?;
    let node = node.as_ref().map_or_else(|| pod.as_str().to_owned(), NodeName::to_string);
    let another = snapshot.nodes.iter().find(|row| row.running && row.pod.as_ref() != Some(pod));
    let other = another.and_then(|row| row.pod.as_ref()).map_or("POD", |pod| pod.as_str());
    let message = format!(
        "{node} holds replicas of durable storage, which are lost with the core: move them to other cores first"
    );
    let exec = format!("kubectl exec -n {} {other} -- emqx ctl ds", instance.id.namespace);
    Some(Finding::blocked("durable-storage", message).hint(format!(
        "{exec} info names the sites and shards; {exec} leave DB SITE for each DB moves them; wait until none is left"
    )))
}
