//! Data for a drain of Kubernetes nodes beside the EMQX clusters: nodes, where pods can be placed,
//! PodDisruptionBudgets and volumes; and the stored state of a drain.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evacuation::EvacuationWaits;
use super::name::{NodeName, PodName};

/// The annotation on a Kubernetes node that this program cordoned; its value is the time. Without it an undo
/// leaves the node unchanged.
pub(crate) const CORDONED_ANNOTATION: &str = "cli.emqx.io/cordoned";

/// The annotation by which a ReplicaSet chooses the pods that it removes first: the lowest.
pub(crate) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The ConfigMap's key with the state of a drain.
pub(crate) const DRAIN_KEY: &str = "drain.json";

/// The checks that `drain --skip-check` may name, those of its evacuations included.
pub(crate) const DRAIN_CHECKS: [&str; 11] = [
    "disruption-budget",
    "durable-sessions",
    "evacuation-running",
    "few-recipients",
    "instance-not-ready",
    "no-room",
    "operator-ends-evacuation",
    "recipients-not-serving",
    "sequential-disconnects",
    "single-replica",
    "unknown-placement",
];

/// Checks of a drain that cannot be skipped.
pub(crate) const DRAIN_FIRM: [&str; 3] = ["emqx-not-asked", "pods-not-ready", "volume-bound"];

/// One condition on labels, as selectors and node affinities write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRequirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: String,
    pub values: Vec<String>,
}

impl NodeRequirement {
    /// Whether these labels meet it. An unknown operator is never met.
    pub(crate) fn met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = |text: &str| text.parse::<i64>().ok();
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" | "Lt" => {
                let limit = self.values.first().and_then(|limit| number(limit));
                value.and_then(|value| number(value)).zip(limit).is_some_and(|(value, limit)| {
                    if self.operator == "Gt" { value > limit } else { value < limit }
                })
            }
            _ => false,
        }
    }
}

/// Alternatives of requirements: all requirements of one alternative must be met. An empty list requires
/// nothing.
pub type Alternatives = Vec<Vec<NodeRequirement>>;

/// Whether these labels meet one of the alternatives.
pub(crate) fn admits(alternatives: &Alternatives, labels: &BTreeMap<String, String>) -> bool {
    alternatives.is_empty()
        || alternatives.iter().any(|all| all.iter().all(|requirement| requirement.met(labels)))
}

/// A taint of a Kubernetes node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// The key; `None` is every key.
    pub key: Option<String>,
    /// Whether any value is tolerated.
    pub exists: bool,
    pub value: String,
    /// The effect; `None` is every effect.
    pub effect: Option<String>,
}

impl Toleration {
    /// Whether it tolerates this taint.
    pub(crate) fn covers(&self, taint: &Taint) -> bool {
        self.effect.as_ref().is_none_or(|effect| *effect == taint.effect)
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && (self.exists || self.value == taint.value)
    }
}

/// CPU in thousandths of a core, memory in bytes, and pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    pub pods: u64,
}

impl Amount {
    /// The sum of both.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
            pods: self.pods.saturating_add(other.pods),
        }
    }

    /// Whether it fits into the allocatable amount.
    pub(crate) fn fits(self, allocatable: Self) -> bool {
        self.cpu_millis <= allocatable.cpu_millis
            && self.memory <= allocatable.memory
            && self.pods <= allocatable.pods
    }
}

/// A Kubernetes node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether this program cordoned it.
    pub cordoned_by_us: bool,
    /// Whether its kubelet reports that it is ready.
    pub ready: bool,
    pub taints: Vec<Taint>,
    /// The amount that its pods may use together.
    pub allocatable: Amount,
    /// The version that was read: a cordon applies only to this version.
    pub resource_version: String,
}

/// A pod and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    pub namespace: String,
    pub name: PodName,
    pub uid: String,
    /// The Kubernetes node; `None` while it is not scheduled.
    pub machine: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Whether it has ended and uses no resources.
    pub ended: bool,
    /// What it requests.
    pub requests: Amount,
    /// Required labels of its Kubernetes node (`nodeSelector`).
    pub node_selector: BTreeMap<String, String>,
    /// Required labels of its Kubernetes node (required node affinity).
    pub affinity: Alternatives,
    /// The taints that it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Labels of pods beside which it does not run on one node (required anti-affinity by host name).
    pub apart_from: Vec<Vec<NodeRequirement>>,
    /// Its PersistentVolumeClaims.
    pub claims: Vec<String>,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub namespace: String,
    pub name: String,
    /// The pods that it protects; `None` protects none.
    pub selector: Option<Vec<NodeRequirement>>,
    /// Ready pods now; `None` until its controller has counted.
    pub current_healthy: Option<u64>,
    /// Pods that have to be ready; `None` until its controller has counted.
    pub desired_healthy: Option<u64>,
    /// Whether pods that are not ready may always be evicted.
    pub evicts_unready: bool,
}

impl Budget {
    /// Whether it protects this pod.
    pub fn protects(&self, pod: &Placed) -> bool {
        self.namespace == pod.namespace
            && self
                .selector
                .as_ref()
                .is_some_and(|all| all.iter().all(|requirement| requirement.met(&pod.labels)))
    }
}

/// The volume of a claim, as far as it is bound to nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// The claim's namespace.
    pub namespace: String,
    pub claim: String,
    /// Required labels of a Kubernetes node.
    pub affinity: Alternatives,
}

/// Kubernetes nodes, the pods on them, and the limits for moving these pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// The Kubernetes nodes.
    pub machines: Vec<Machine>,
    /// Pods: of the whole cluster, or of the namespaces of the EMQX clusters.
    pub pods: Vec<Placed>,
    /// Whether the pods are those of the whole cluster.
    pub all_pods: bool,
    /// PodDisruptionBudgets; `None` where they may not be listed.
    pub budgets: Option<Vec<Budget>>,
    /// Volumes of EMQX pods.
    pub volumes: Vec<Volume>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

impl Placement {
    /// A Kubernetes node by name.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    pub fn pod(&self, uid: &str) -> Option<&Placed> {
        self.pods.iter().find(|pod| pod.uid == uid)
    }
}

/// The result of a cordon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cordon {
    /// The node is as requested, and this call changed it.
    Changed,
    /// The node was as requested before.
    Unchanged,
    /// The node no longer exists.
    Gone,
}

/// The result of a request to evict a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The pod is being deleted.
    Accepted,
    /// This very pod no longer exists.
    Gone,
    /// A PodDisruptionBudget does not allow it now; the reason.
    Refused(String),
}

/// A pod that a drain moves or a scale removes, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainedPod {
    pub pod: PodName,
    pub uid: String,
    /// Its EMQX node; `None` where EMQX did not list one.
    pub node: Option<NodeName>,
    /// The Kubernetes node; empty where it does not matter.
    #[serde(default)]
    pub machine: String,
    pub set: String,
    /// Whether this program started the evacuation of its node.
    #[serde(default)]
    pub started: bool,
    /// Whether we closed its readiness gate before its evacuation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// How long EMQX waits in the evacuation that this program started: EMQX does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<EvacuationWaits>,
}

/// The state of a drain (`drain.json`), written before the first action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainState {
    /// The form; 1.
    pub version: u32,
    /// When it began.
    pub time: Timestamp,
    /// The Kubernetes nodes.
    pub machines: Vec<String>,
    /// The pods that are moved.
    pub pods: Vec<DrainedPod>,
    /// Live clients at the start.
    pub connections: Option<u64>,
    /// The client that ran it last: user, host and process.
    #[serde(default)]
    pub by: Option<String>,
    /// The user's reason.
    #[serde(default)]
    pub reason: Option<String>,
}

impl DrainState {
    /// The state of `drain.json`; `None` when there is none, or it is of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|state: &Self| state.version == 1)
    }

    /// As it is stored.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Thousandths of a core, or bytes times a thousand, of a Kubernetes quantity; `None` when it is none.
fn thousandths(text: &str) -> Option<f64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && !".-+".contains(letter));
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let (number, unit) = match unit.strip_prefix(['e', 'E']) {
        Some(exponent) if exponent.parse::<i32>().is_ok() => (text.parse::<f64>().ok()?, ""),
        _ => (number.parse::<f64>().ok()?, unit),
    };
    let factor = match unit {
        "" => 1e3,
        "n" => 1e-6,
        "u" => 1e-3,
        "m" => 1.0,
        "k" => 1e6,
        "M" => 1e9,
        "G" => 1e12,
        "T" => 1e15,
        "P" => 1e18,
        "E" => 1e21,
        "Ki" => 1024e3,
        "Mi" => 1_048_576e3,
        "Gi" => 1_073_741_824e3,
        "Ti" => 1_099_511_627_776e3,
        "Pi" => 1_125_899_906_842_624e3,
        _ => return None,
    };
    Some(number * factor).filter(|value| value.is_finite() && *value >= 0.0)
}

/// Thousandths of a core of a quantity as `500m` or `2`.
pub(crate) fn millis(text: &str) -> Option<u64> {
    thousandths(text).map(|value| value.ceil() as u64)
}

/// Bytes of a quantity as `512Mi` or `1e9`; also a plain number of pods.
pub(crate) fn whole(text: &str) -> Option<u64> {
    thousandths(text).map(|value| (value / 1e3).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        assert_eq!((millis("500m"), millis("2"), millis("0.1")), (Some(500), Some(2000), Some(100)));
        assert_eq!(
            (whole("512Mi"), whole("1e9"), whole("110")),
            (Some(536_870_912), Some(1_000_000_000), Some(110))
        );
        assert_eq!(
            (whole("1G"), whole("1E"), whole("nonsense"), whole("-1")),
            (Some(1_000_000_000), Some(1_000_000_000_000_000_000), None, None)
        );
    }

    #[test]
    fn requirements_are_met_as_kubernetes_defines_them() {
        let met = |operator: &str, values: &[&str], labels: &BTreeMap<String, String>| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            NodeRequirement { key: "zone".into(), operator: operator.into(), values }.met(labels)
        };
        let (a, none) = (labels(&[("zone", "a")]), labels(&[]));
        assert!(met("In", &["a", "b"], &a) && !met("In", &["b"], &a) && !met("In", &["a"], &none));
        assert!(met("NotIn", &["b"], &a) && met("NotIn", &["a"], &none) && !met("NotIn", &["a"], &a));
        assert!(met("Exists", &[], &a) && met("DoesNotExist", &[], &none));
        assert!(
            met("Gt", &["3"], &labels(&[("zone", "4")])) && !met("Lt", &["3"], &labels(&[("zone", "4")]))
        );
        assert!(!met("Unheard", &["a"], &a));
    }

    #[test]
    fn a_toleration_covers_a_taint_by_key_value_and_effect() {
        let taint = Taint { key: "k".into(), value: "v".into(), effect: "NoSchedule".into() };
        let of = |key: Option<&str>, exists: bool, value: &str, effect: Option<&str>| Toleration {
            key: key.map(str::to_owned),
            exists,
            value: value.into(),
            effect: effect.map(str::to_owned),
        };
        assert!(of(None, true, "", None).covers(&taint));
        assert!(of(Some("k"), false, "v", Some("NoSchedule")).covers(&taint));
        assert!(!of(Some("k"), false, "w", None).covers(&taint));
        assert!(!of(Some("k"), true, "", Some("NoExecute")).covers(&taint));
    }
}
