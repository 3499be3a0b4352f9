//! The simulated cluster, its faults and the expected result: scenarios in YAML, inside the program
//! (`scenarios/*.yaml`) or from a file. A new case is a new file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::limits::{Licence, Listener};
use super::names::{address, suffix};

mod api;
mod error;
mod expectation;
mod fault;

pub use api::{Api, Line, Role};
pub use error::ScenarioError;
pub use expectation::{Expectation, Strategy};
pub use fault::{Answer, Fault, FaultText, TimedFault};

/// Where evicted clients reconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balancer {
    /// Equal shares.
    #[default]
    Even,
    /// Each to the node with the fewest.
    Least,
    /// All to the first.
    One,
    /// To the node that they came from, which refuses them until it is no longer a donor.
    Sticky,
}

/// One or several equal nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// Core or replicant.
    #[serde(default = "core")]
    pub role: Role,
    /// How many of this kind.
    #[serde(default = "one")]
    pub count: u32,
    /// Live clients of each.
    #[serde(default)]
    pub connections: u64,
    /// Sessions of clients that are not connected, of each node.
    #[serde(default)]
    pub offline_sessions: u64,
    /// Whether it is stopped.
    #[serde(default)]
    pub stopped: bool,
    /// EMQX's name of it, when it is not the usual one (hostile names).
    #[serde(default)]
    pub node: Option<String>,
}

fn core() -> Role {
    Role::Core
}

fn one() -> u32 {
    1
}

/// A simulated cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line about it.
    #[serde(default)]
    pub about: String,
    /// The version of the custom resources.
    pub api: Api,
    /// EMQX's version; a usual one of the line when absent.
    #[serde(default)]
    pub version: String,
    #[serde(default = "namespace")]
    pub namespace: String,
    /// The instance's name; `emqx`, on v1beta4 `emqx-ee`, when absent.
    #[serde(default)]
    pub instance: String,
    /// Whether an operator runs.
    #[serde(default = "alive")]
    pub operator_alive: bool,
    /// Seconds from the start of a rebalance to the operator's next pass over the instance. On a real cluster
    /// this is random; when absent, it is as in the recordings.
    #[serde(default)]
    pub operator_looks_after: Option<f64>,
    /// Where evicted clients reconnect.
    #[serde(default)]
    pub load_balancer: Balancer,
    /// When they reconnect: this many rounds after the next one.
    #[serde(default)]
    pub reconnect_delay: u64,
    /// The time for moving one session, in milliseconds.
    #[serde(default = "session_move_ms")]
    pub session_move_ms: u64,
    pub nodes: Vec<NodeGroup>,
    /// The limits of EMQX's licence; ample when absent.
    #[serde(default)]
    pub licence: Licence,
    /// The listeners of every node; one without limits when absent.
    #[serde(default = "super::limits::usual")]
    pub listeners: Vec<Listener>,
    /// Merged over the instance's own `spec` (a merge patch).
    #[serde(default)]
    pub spec: Value,
    /// Merged over the instance's own `metadata`: labels and annotations of Argo CD, Flux or Helm.
    #[serde(default)]
    pub metadata: Value,
    /// The field manager that owns the instance's `spec`; kubectl's client-side apply when absent.
    #[serde(default = "owner")]
    pub owner: Owner,
    /// The behaviour of pods that are created later.
    #[serde(default)]
    pub new_pods: NewPods,
    /// How many Kubernetes nodes there are: `sim-0`, `sim-1`, … Pods are spread over them in turn.
    #[serde(default = "machines")]
    pub kubernetes_nodes: u32,
    /// The capacity of a Kubernetes node in pods; ample when absent.
    #[serde(default)]
    pub pods_per_kubernetes_node: Option<u64>,
    /// Whether cores keep their volume: EMQX then restores an evacuation in a replaced pod. Always on v3beta1.
    #[serde(default)]
    pub persistent_volumes: bool,
    /// The image to which `demo` upgrades it; without one it rebalances.
    #[serde(default)]
    pub upgrade_to: Option<String>,
    /// The faults, with their times.
    #[serde(default)]
    pub faults: Vec<TimedFault>,
    /// The expected result.
    #[serde(default)]
    pub expect: Expectation,
}

/// The owner of the fields of the instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The manager's name: `argocd-controller`, `kustomize-controller`, `helm`.
    pub manager: String,
    /// `Apply` (server-side) or `Update` (everything else).
    #[serde(default = "update")]
    pub operation: String,
}

fn update() -> String {
    "Update".to_owned()
}

fn owner() -> Owner {
    Owner { manager: "kubectl-client-side-apply".to_owned(), operation: update() }
}

/// The behaviour of pods that are created while the cluster runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NewPods {
    /// They start, if their image exists.
    #[default]
    Healthy,
    /// There is no capacity for them.
    Pending,
    /// EMQX crashes again and again.
    CrashLoop,
}

fn session_move_ms() -> u64 {
    emqx_rebalance::rules::SESSION_MOVE_MS
}

fn machines() -> u32 {
    4
}

fn namespace() -> String {
    "mq".to_owned()
}

fn alive() -> bool {
    true
}

/// One node of the scenario with all its names.
#[derive(Clone, Debug)]
pub struct Member {
    /// EMQX's name.
    pub node: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's address.
    pub ip: String,
    /// Core or replicant.
    pub role: Role,
    /// Its number within its set.
    pub ordinal: usize,
    /// Its number among all.
    pub number: usize,
    /// Live clients.
    pub connections: u64,
    /// Sessions of clients that are not connected.
    pub offline: u64,
    /// Whether it is stopped.
    pub stopped: bool,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("documented", include_str!("scenarios/documented-v2beta1.yaml")),
    ("documented-v2beta1", include_str!("scenarios/documented-v2beta1.yaml")),
    ("documented-v1beta4", include_str!("scenarios/documented-v1beta4.yaml")),
    ("documented-v2", include_str!("scenarios/documented-v2.yaml")),
    ("documented-v3beta1", include_str!("scenarios/documented-v3beta1.yaml")),
    ("balanced", include_str!("scenarios/balanced.yaml")),
    ("coordinator-crash", include_str!("scenarios/coordinator-crash.yaml")),
    ("sticky-balancer", include_str!("scenarios/sticky-balancer.yaml")),
    ("hostile", include_str!("scenarios/hostile.yaml")),
    ("upgrade-v1beta4", include_str!("scenarios/upgrade-v1beta4.yaml")),
    ("upgrade-v2beta1", include_str!("scenarios/upgrade-v2beta1.yaml")),
    ("upgrade-v2", include_str!("scenarios/upgrade-v2.yaml")),
    ("upgrade-v3beta1", include_str!("scenarios/upgrade-v3beta1.yaml")),
    ("upgrade-stuck", include_str!("scenarios/upgrade-stuck.yaml")),
    ("big", include_str!("scenarios/big.yaml")),
];

impl Scenario {
    /// The names of the scenarios inside the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A scenario inside the program.
    pub fn built_in(name: &str) -> Result<Self, ScenarioError> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| ScenarioError::Unknown {
            name: name.to_owned(),
            known: Self::names().collect::<Vec<_>>().join(", "),
        })?;
        Self::from_yaml(text)
    }

    /// A scenario from a file's text.
    pub fn from_yaml(text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self =
            serde_yaml::from_str(text).map_err(|error| ScenarioError::Yaml(error.to_string()))?;
        if scenario.instance.is_empty() {
            let usual = if scenario.api == Api::V1beta4 { "emqx-ee" } else { "emqx" };
            usual.clone_into(&mut scenario.instance);
        }
        if scenario.version.is_empty() {
            let usual = match scenario.api {
                Api::V1beta4 => "4.4.19",
                Api::V2beta1 => "5.8.6",
                Api::V2 | Api::V3beta1 => "5.10.1",
            };
            usual.clone_into(&mut scenario.version);
        }
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let senseless = |text: String| Err(ScenarioError::Senseless(text));
        if self.api == Api::V1beta4 && self.nodes.iter().any(|group| group.role == Role::Replicant) {
            return senseless("v1beta4 has no replicants".to_owned());
        }
        let number: u64 = self.nodes.iter().map(|group| u64::from(group.count)).sum();
        if number > 60_000 {
            return senseless(format!(
                "{number} nodes are more than the simulated network has addresses for (60000)"
            ));
        }
        if !(1..=1000).contains(&self.kubernetes_nodes) {
            return senseless("`kubernetesNodes` is from 1 to 1000".to_owned());
        }
        if self.nodes.iter().any(|group| group.node.is_some() && group.count > 1) {
            return senseless("a group of several nodes cannot have one node name".to_owned());
        }
        if self.operator_looks_after.is_some_and(|after| !after.is_finite() || !(0.0..=1e6).contains(&after))
        {
            return senseless("`operatorLooksAfter` is in seconds".to_owned());
        }
        for timed in &self.faults {
            let fault = timed.fault.parse()?;
            match (timed.at, timed.after_start) {
                (Some(at), None) if at.is_finite() && at >= 0.0 => {}
                (None, Some(after))
                    if after.is_finite() && after >= 0.0 && fault == Fault::CrashCoordinator => {}
                (None, Some(_)) if fault != Fault::CrashCoordinator => {
                    return senseless("only crashCoordinator can come `afterStart`".to_owned());
                }
                _ => return senseless("a fault needs either `at` or `afterStart`, in seconds".to_owned()),
            }
        }
        Ok(())
    }

    /// When a coordinator crashes, counted from its start.
    pub(super) fn coordinator_crash(&self) -> Option<Duration> {
        self.faults.iter().find_map(|timed| timed.after_start).map(Duration::from_secs_f64)
    }

    /// The hash in the names of a role's set; fixed, so that names are the same each time.
    pub fn revision(&self, role: Role) -> &'static str {
        match (self.api, role) {
            (Api::V1beta4, _) => "5dd746946d",
            (Api::V2beta1, Role::Core) => "66c88f5c8",
            (_, Role::Core) => "6fbd774985",
            (_, Role::Replicant) => "94bc956d",
        }
    }

    /// The name of the StatefulSet or ReplicaSet of a role.
    pub fn set(&self, role: Role) -> String {
        match (self.api, role) {
            // A cluster that was created with blue-green updates has a hash in the names of its sets from the
            // start.
            (Api::V1beta4, _) if !self.spec["blueGreenUpdate"].is_null() => {
                format!("{}-{}", self.instance, self.revision(role))
            }
            (Api::V1beta4, _) => self.instance.clone(),
            (Api::V3beta1, Role::Core) => format!("{}-core", self.instance),
            (_, role) => format!("{}-{}-{}", self.instance, role.name(), self.revision(role)),
        }
    }

    /// The Kubernetes node of the pod with this number.
    pub(super) fn machine(&self, number: usize) -> String {
        format!("sim-{}", number % self.kubernetes_nodes.max(1) as usize)
    }

    /// How many pods a Kubernetes node takes.
    pub(super) fn pods_per_machine(&self) -> u64 {
        let nodes: u64 = self.nodes.iter().map(|group| u64::from(group.count)).sum();
        self.pods_per_kubernetes_node.unwrap_or_else(|| (nodes * 2).max(110))
    }

    /// Every node with its names, cores first, as EMQX lists them.
    pub fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for role in [Role::Core, Role::Replicant] {
            let mut ordinal = 0;
            for group in self.nodes.iter().filter(|group| group.role == role) {
                for _ in 0..group.count {
                    members.push(self.member(group, ordinal, members.len()));
                    ordinal += 1;
                }
            }
        }
        members
    }

    fn member(&self, group: &NodeGroup, ordinal: usize, number: usize) -> Member {
        let set = self.set(group.role);
        let pod = match group.role {
            Role::Core => format!("{set}-{ordinal}"),
            Role::Replicant => format!("{set}-{}", suffix(ordinal as u64)),
        };
        let ip = address(number);
        let node = group.node.clone().unwrap_or_else(|| self.node_name(group.role, &pod, &ip));
        Member {
            node,
            pod,
            ip,
            role: group.role,
            ordinal,
            number,
            connections: group.connections,
            offline: group.offline_sessions,
            stopped: group.stopped,
        }
    }

    /// EMQX's name of the node in a pod.
    pub fn node_name(&self, role: Role, pod: &str, ip: &str) -> String {
        let Self { instance, namespace, .. } = self;
        let name = if self.api == Api::V1beta4 { instance } else { "emqx" };
        match role {
            Role::Core => format!("{name}@{pod}.{instance}-headless.{namespace}.svc.cluster.local"),
            Role::Replicant => format!("{name}@{ip}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_inside_the_program_can_be_read() {
        for name in Scenario::names() {
            let scenario = Scenario::built_in(name);
            assert!(scenario.is_ok(), "{name}: {scenario:?}");
        }
    }

    #[test]
    fn big_is_a_thousand_replicants_with_ten_million_clients() {
        let members = Scenario::built_in("big").map(|scenario| scenario.members()).unwrap_or_default();
        let replicants: Vec<_> = members.iter().filter(|member| member.role == Role::Replicant).collect();
        assert_eq!(replicants.len(), 1000);
        assert_eq!(replicants.iter().map(|member| member.connections).sum::<u64>(), 10_000_000);
        assert_eq!(members.iter().map(|member| &member.pod).collect::<BTreeSet<_>>().len(), members.len());
        assert_eq!(members.iter().map(|member| &member.ip).collect::<BTreeSet<_>>().len(), members.len());
    }

    #[test]
    fn usage_errors_are_plain() {
        let error_of = |text: &str| Scenario::from_yaml(text).map(|_| ()).map_err(|error| error.to_string());
        let unknown = error_of("name: x\napi: v2\nnodes: []\ncolour: red\n");
        assert!(
            unknown.as_ref().is_err_and(|text| text.contains("colour") && text.contains("line 4")),
            "{unknown:?}"
        );
        let fault = error_of("name: x\napi: v2\nnodes: []\nfaults: [{at: 1, fault: explode}]\n");
        assert!(fault.as_ref().is_err_and(|text| text.contains("explode")), "{fault:?}");
        let when = error_of("name: x\napi: v2\nnodes: []\nfaults: [{fault: dropPortForwards}]\n");
        assert!(when.as_ref().is_err_and(|text| text.contains("`at`")), "{when:?}");
        let replicant = error_of("name: x\napi: v1beta4\nnodes: [{role: replicant}]\n");
        assert!(replicant.as_ref().is_err_and(|text| text.contains("no replicants")), "{replicant:?}");
        assert!(
            Scenario::built_in("nope").is_err_and(|error| error.to_string().contains("documented-v1beta4"))
        );
    }
}
