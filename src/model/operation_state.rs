//! The stored state of the operations of one instance: a ConfigMap of the same namespace that the custom
//! resource owns. Annotations are not usable: the webhook of operator 2.2 copies every annotation of an
//! `EmqxEnterprise` into its pod template, so that each annotation of this program made a new template and
//! started an upgrade.

use super::drain::DrainState;
use super::guard::GuardState;
use super::history::HistoryEntry;
use super::name::InstanceId;
use super::scale::ScaleState;

/// The label by which the plugin finds its own ConfigMaps.
pub(crate) const STATE_LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "kubectl-emqx");

/// The ConfigMap's key with the state of an upgrade. Other keys of the same ConfigMap belong to other features.
pub const GUARD_KEY: &str = "guard.json";

/// The name of an instance's ConfigMap.
pub(crate) fn state_name(id: &InstanceId) -> String {
    format!("kubectl-emqx-{}-{}", id.kind.singular(), id.name)
}

/// The ConfigMap, as far as this version knows its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationState {
    /// The instance that owns it.
    pub instance: InstanceId,
    /// The uid of that instance: it distinguishes instances of the same name.
    pub owner: String,
    /// The ConfigMap's own uid.
    pub uid: String,
    /// Its version: a change is written only over the version that was read.
    pub version: String,
    /// The state of an upgrade.
    pub guard: Option<GuardState>,
    /// The state of a drain.
    pub drain: Option<DrainState>,
    /// The state of a scale.
    pub scale: Option<ScaleState>,
    /// Past operations with their recorded verdicts, oldest first.
    pub history: Vec<HistoryEntry>,
}
