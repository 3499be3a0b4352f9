//! Operations that ended while the view is open are recorded as soon as they end: the view may be killed later, and
//! a view that another user opens next shows the record.

use jiff::Timestamp;

use super::state::State;
use crate::model::{InstanceId, Operation};
use crate::plan::history::{FollowedOperation, followed};

/// One end of one operation.
pub type EndingKey = (InstanceId, Operation, String, Timestamp);

/// The ends whose record was requested, and those that are recorded.
#[derive(Debug, Default)]
pub struct Endings {
    requested: Vec<EndingKey>,
    recorded: Vec<EndingKey>,
}

/// Identifies the end of an operation: names are used again.
pub fn ending_key(ended: &FollowedOperation) -> EndingKey {
    let entry = &ended.entry;
    (entry.instance.clone(), entry.operation, entry.name.clone(), entry.ended)
}

/// The operations of live clusters that ended while the view was open.
fn all(state: &State) -> Vec<FollowedOperation> {
    if state.setup.playback.is_some() {
        return Vec::new();
    }
    let (since, now) = (state.setup.now, state.now);
    let clusters = state.clusters.iter();
    clusters.flat_map(|(id, cluster)| followed(&cluster.operations, id, since, now)).collect()
}

/// The operations whose record is to be requested now, each once.
pub(super) fn due(state: &mut State) -> Vec<FollowedOperation> {
    let all = all(state);
    let keys: Vec<EndingKey> = all.iter().map(ending_key).collect();
    let Endings { requested, recorded } = &mut state.endings;
    let due =
        all.into_iter().zip(&keys).filter(|(_, key)| !requested.contains(key)).map(|(it, _)| it).collect();
    // Operations that the trackers dropped are not due again.
    recorded.retain(|key| keys.contains(key));
    *requested = keys;
    due
}

/// The request for these ends has been carried out.
pub(super) fn done(state: &mut State, keys: Vec<EndingKey>) {
    state.endings.recorded.extend(keys);
}

/// The operations that are not recorded yet when the view closes.
pub(super) fn open(state: &State) -> Vec<FollowedOperation> {
    let mut all = all(state);
    all.retain(|it| !state.endings.recorded.contains(&ending_key(it)));
    all
}
