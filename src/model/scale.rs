//! The number that `scale` changes, what prevents a change outside of EMQX, and the stored state of a scale.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cluster::{Instance, Role};
use super::drain::DrainedPod;
use super::name::{ApiVersion, InstanceId};

/// The ConfigMap's key with the state of a scale.
pub(crate) const SCALE_KEY: &str = "scale.json";

/// The deletion cost of a pod that is to be removed: the lowest that Kubernetes accepts.
pub(crate) const FIRST_COST: i64 = i32::MIN as i64;

/// The checks that `scale --skip-check` may name, those of its evacuations included.
pub(crate) const SCALE_CHECKS: [&str; 7] = [
    "autoscaled",
    "durable-sessions",
    "evacuation-running",
    "few-recipients",
    "instance-not-ready",
    "recipients-not-serving",
    "unknown-limits",
];

/// Checks of a scale that cannot be skipped.
pub(crate) const SCALE_FIRM: [&str; 9] = [
    "deletion-cost",
    "drain-unfinished",
    "durable-storage",
    "emqx-not-asked",
    "field-conflict",
    "no-permission",
    "pods-not-ready",
    "replicas-changing",
    "scale-unfinished",
];

/// The field with the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaledField {
    /// The cores of an EMQX.
    Cores,
    /// The replicants of an EMQX.
    Replicants,
    /// The nodes of an EmqxEnterprise or EmqxBroker.
    Replicas,
}

impl ScaledField {
    /// The flag, which is also the name of the pods.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Replicants => "replicants",
            Self::Replicas => "replicas",
        }
    }

    /// The name of one of them.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Cores => "core",
            Self::Replicants => "replicant",
            Self::Replicas => "replica",
        }
    }

    /// The role of its pods.
    pub(crate) fn role(self) -> Role {
        if self == Self::Replicants { Role::Replicant } else { Role::Core }
    }

    /// Whether this API version has it.
    pub(crate) fn fits(self, api: ApiVersion) -> bool {
        (api == ApiVersion::V1beta4) == (self == Self::Replicas)
    }

    /// Its path in the spec.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Cores => "spec.coreTemplate.spec.replicas",
            Self::Replicants => "spec.replicantTemplate.spec.replicas",
            Self::Replicas => "spec.replicas",
        }
    }

    /// The number that the custom resource requests; `None` where the spec leaves it to a default.
    pub(crate) fn of(self, instance: &Instance) -> Option<u64> {
        if self == Self::Replicants { instance.replicants } else { instance.cores }
    }

    /// The body of the apply: this field alone.
    pub(crate) fn body(self, instance: &Instance, to: u64) -> Value {
        let spec = match self {
            Self::Cores => json!({ "coreTemplate": { "spec": { "replicas": to } } }),
            Self::Replicants => json!({ "replicantTemplate": { "spec": { "replicas": to } } }),
            Self::Replicas => json!({ "replicas": to }),
        };
        json!({
            "apiVersion": format!("apps.emqx.io/{}", instance.api), "kind": instance.id.kind.as_str(),
            "metadata": { "name": instance.id.name, "namespace": instance.id.namespace }, "spec": spec,
        })
    }
}

/// The state of a scale (`scale.json`), written before the first action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleState {
    /// The form; 1.
    pub version: u32,
    /// When it began.
    pub time: Timestamp,
    /// The field that is changed.
    pub field: ScaledField,
    /// The number before.
    pub from: u64,
    /// The requested number.
    pub to: u64,
    /// The pods that are removed.
    pub pods: Vec<DrainedPod>,
    /// The deletion costs that the pods had before, by uid.
    #[serde(default)]
    pub costs: BTreeMap<String, Option<i64>>,
    /// Live clients at the start.
    pub connections: Option<u64>,
    /// The client that ran it last: user, host and process.
    #[serde(default)]
    pub by: Option<String>,
    /// The user's reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether it has ended. It stays stored for the nodes whose evacuation EMQX may restore from a volume.
    #[serde(default)]
    pub ended: bool,
}

impl ScaleState {
    /// The state of `scale.json`; `None` when there is none, or it is of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|state: &Self| state.version == 1)
    }

    /// As it is stored.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An object that changes the number of pods by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscaler {
    /// `HorizontalPodAutoscaler` or `ScaledObject`.
    pub kind: String,
    pub name: String,
    pub target_kind: String,
    /// The name of its target.
    pub target: String,
    /// The KEDA ScaledObject that owns a HorizontalPodAutoscaler.
    pub owner: Option<String>,
}

impl Autoscaler {
    /// Whether it scales this instance, or one of these sets.
    pub(crate) fn scales(&self, id: &InstanceId, sets: &[&str]) -> bool {
        (self.target_kind == id.kind.as_str() && self.target == id.name)
            || (["StatefulSet", "ReplicaSet"].contains(&self.target_kind.as_str())
                && sets.contains(&self.target.as_str()))
    }

    /// Its name in messages.
    pub(crate) fn label(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{} {} (of the KEDA ScaledObject {owner})", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// The autoscalers of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscalers {
    /// All of them.
    pub found: Vec<Autoscaler>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}
