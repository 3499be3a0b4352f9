//! Operations that ended while the view is open are recorded as soon as they end: the view may be killed later, and
//! a view that another user opens next shows the record.

use jiff::Timestamp;

use crate::model::{InstanceId, Operation};
use crate::plan::history::FollowedOperation;

/// One end of one operation.
pub type EndingKey = (InstanceId, Operation, String, Timestamp);

/// The ends whose record was requested, and those that are recorded.
#[derive(Debug, Default)]
pub struct Endings {
    requested: Vec<EndingKey>,
    recorded: Vec<EndingKey>,
}

/// Identifies the end of an operation: names are used again.
pub(crate) fn ending_key(ended: &FollowedOperation) -> EndingKey {
    let entry = &ended.entry;
    (entry.instance.clone(), entry.operation, entry.name.clone(), entry.ended)
}

impl Endings {
    /// Of all ended operations those whose record is to be requested now, each once.
    pub(super) fn due(&mut self, all: Vec<FollowedOperation>) -> Vec<FollowedOperation> {
        let keys: Vec<EndingKey> = all.iter().map(ending_key).collect();
        let Self { requested, recorded } = self;
        let due = all
            .into_iter()
            .zip(&keys)
            .filter(|(_, key)| !requested.contains(key))
            .map(|(it, _)| it)
            .collect();
        // Operations that the trackers dropped are not due again.
        recorded.retain(|key| keys.contains(key));
        *requested = keys;
        due
    }

    /// The request for these ends has been carried out.
    pub(super) fn done(&mut self, keys: Vec<EndingKey>) {
        self.recorded.extend(keys);
    }

    /// Of all ended operations those that are not recorded yet, when the view closes.
    pub(super) fn open(&self, mut all: Vec<FollowedOperation>) -> Vec<FollowedOperation> {
        all.retain(|it| !self.recorded.contains(&ending_key(it)));
        all
    }
}
