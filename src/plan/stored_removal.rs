//! The stored state of a drain or a scale of an instance, and what it refuses while it is not finished.

use jiff::Timestamp;

use crate::model::drain::{DrainState, DrainedPod};
use crate::model::evacuation::EvacuationWaits;
use crate::model::human::plural;
use crate::model::scale::{ScaleState, ScaledField};
use crate::model::{InstanceId, NodeName, World};
use crate::plan::finding::Finding;

/// The stored state of this very instance, also of a scale that has ended.
pub(crate) fn stored_scale<'w>(world: &'w World, id: &InstanceId) -> Option<&'w ScaleState> {
    let state = &world.kubernetes.states.get(id)?.value;
    let own = world.instance(id)?.uid == state.owner;
    state.scale.as_ref().filter(|_| own)
}

/// The stored state of a scale that has not ended.
pub(crate) fn scale_to_finish<'w>(world: &'w World, id: &InstanceId) -> Option<&'w ScaleState> {
    stored_scale(world, id).filter(|state| !state.ended)
}

/// `3 replicants`.
pub(crate) fn amount(field: ScaledField, number: u64) -> String {
    plural(number, field.singular())
}

/// The stored state of an unfinished drain of this very instance.
pub(crate) fn stored_drain<'w>(world: &'w World, id: &InstanceId) -> Option<&'w DrainState> {
    let state = &world.kubernetes.states.get(id)?.value;
    let own = world.instance(id)?.uid == state.owner;
    state.drain.as_ref().filter(|_| own)
}

/// What refuses every other operation on a cluster: a drain or a scale of it that has not ended. It continues with evacuations
/// and removals of its own, whether its process runs or not.
pub(in crate::plan) fn unfinished_removal(world: &World, id: &InstanceId) -> Option<Finding> {
    let drain = stored_drain(world, id).map(unfinished_drain);
    drain.or_else(|| scale_to_finish(world, id).map(|state| unfinished_scale(id, state)))
}

/// A drain was not finished.
pub(in crate::plan) fn unfinished_drain(state: &DrainState) -> Finding {
    let machines = state.machines.join(" ");
    let message = format!(
        "a drain of {}{}, begun at {}, is not finished",
        state.machines.join(", "),
        by(state.by.as_deref()),
        when(state.time)
    );
    Finding::blocked("drain-unfinished", message).hint(format!(
        "kubectl emqx drain {machines} finishes it, kubectl emqx drain {machines} --undo puts back what was not moved"
    ))
}

/// A scale was not finished.
pub(in crate::plan) fn unfinished_scale(id: &InstanceId, state: &ScaleState) -> Finding {
    let message = format!(
        "a scale from {} to {}{}, begun at {}, is not finished",
        state.from,
        amount(state.field, state.to),
        by(state.by.as_deref()),
        when(state.time)
    );
    Finding::blocked("scale-unfinished", message).hint(format!(
        "kubectl emqx scale {0} --{1} {2} finishes it, kubectl emqx scale {0} --undo takes it back",
        id.name,
        state.field.as_str(),
        state.to
    ))
}

/// How long EMQX waits in an evacuation that a drain or a scale started: EMQX does not report it. `None` for an evacuation that
/// no unfinished drain or scale started, and where its pod was removed since.
pub(in crate::plan) fn stored_waits(
    world: &World,
    id: &InstanceId,
    node: &NodeName,
) -> Option<EvacuationWaits> {
    let drain = stored_drain(world, id).map(|state| &state.pods);
    let scale = scale_to_finish(world, id).map(|state| &state.pods);
    let pods = drain.into_iter().chain(scale).flatten();
    let mut started = pods.filter(|pod| pod.started && pod.node.as_ref() == Some(node));
    let here = |it: &&DrainedPod| world.pods_of(id).any(|pod| pod.uid == it.uid && pod.deleting.is_none());
    started.find(here)?.waits
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub(super) fn by(name: Option<&str>) -> String {
    name.map(|name| format!(" by {name}")).unwrap_or_default()
}
