//! What a scale is asked for, its plan, and the pods and sets that it is about.

use serde::Serialize;

use crate::model::scale::{Autoscalers, ScaledField};
use crate::model::{Instance, InstanceId, NodeName, Pod, Set, SetKind, World};
use crate::plan::evacuation::Settings;
use crate::plan::removal::RemovalPlan;
use crate::plan::upgrade::check::FieldOwner;

/// What is requested.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleRequest {
    /// What is changed.
    pub field: ScaledField,
    /// The requested number.
    pub to: u64,
    /// What is requested of EMQX; the rates are those of all evacuated nodes together.
    pub settings: Settings,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
}

/// What is known beside the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outside {
    /// Other managers that own the field.
    pub owners: Vec<FieldOwner>,
    /// Autoscalers of the namespace, and what could not be read.
    pub autoscalers: Autoscalers,
    /// Nodes that hold replicas of durable storage, as EMQX reports.
    pub sites: Vec<NodeName>,
}

/// A scale of one instance: its plan, and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalePlan {
    /// The pods that are removed, and how.
    #[serde(flatten)]
    pub removal: RemovalPlan,
    /// What is changed.
    pub field: ScaledField,
    /// The number before.
    pub from: u64,
    /// The requested number.
    pub to: u64,
    /// Whether the operator evacuates the pods that it removes (operator 3.x), so that only the number is changed.
    pub by_operator: bool,
}

/// The sets of what is scaled, oldest first: those that have or want pods.
pub(super) fn sets<'w>(world: &'w World, id: &'w InstanceId, field: ScaledField) -> Vec<&'w Set> {
    let kind = if field == ScaledField::Replicants { SetKind::ReplicaSet } else { SetKind::StatefulSet };
    let mut found: Vec<&Set> =
        world.sets_of(id).filter(|set| set.kind == kind && (set.replicas > 0 || set.present > 0)).collect();
    found.sort_by_key(|set| set.created);
    found
}

/// Whether sets of this kind may be listed, as far as one is known: otherwise only the pods count.
pub(super) fn listed(world: &World, id: &InstanceId, field: ScaledField) -> bool {
    let kind = if field == ScaledField::Replicants { SetKind::ReplicaSet } else { SetKind::StatefulSet };
    world.sets_of(id).any(|set| set.kind == kind)
}

/// The pods of what is scaled, without those that are being deleted.
pub(super) fn living<'w>(
    world: &'w World,
    id: &'w InstanceId,
    field: ScaledField,
) -> impl Iterator<Item = &'w Pod> {
    world.pods_of(id).filter(move |pod| {
        let fits = field == ScaledField::Replicas || pod.role == Some(field.role());
        pod.deleting.is_none() && pod.owner.is_some() && fits
    })
}

/// The number that the custom resource requests, or that its sets request where it leaves the number to a
/// default.
pub fn wanted(world: &World, instance: &Instance, field: ScaledField) -> u64 {
    field
        .of(instance)
        .unwrap_or_else(|| sets(world, &instance.id, field).iter().map(|set| set.replicas).sum())
}
