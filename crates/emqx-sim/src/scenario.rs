//! The simulated cluster, its faults and the expected result: scenarios in YAML, inside the program
//! (`scenarios/*.yaml`) or from a file. A new case is a new file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coordinator::RebalanceOrder;
use emqx_rebalance::rules::Threshold;

/// The API version of the custom resources; it determines the operator line and EMQX's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `EmqxEnterprise` of operator 2.2, EMQX 4.4.
    V1beta4,
    /// EMQX of operator 2.2.
    V2beta1,
    /// EMQX of operator 2.3.
    V2,
    /// EMQX of operator 3.x; no Rebalance.
    V3beta1,
}

impl Api {
    /// As it stands in `apiVersion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1beta4 => "v1beta4",
            Self::V2beta1 => "v2beta1",
            Self::V2 => "v2",
            Self::V3beta1 => "v3beta1",
        }
    }

    /// The line of the operator that manages it.
    pub fn line(self) -> Line {
        match self {
            Self::V1beta4 | Self::V2beta1 => Line::V2_2,
            Self::V2 => Line::V2_3,
            Self::V3beta1 => Line::V3,
        }
    }

    /// The port of EMQX's REST API on a pod.
    pub fn port(self) -> u16 {
        if self == Self::V1beta4 { 8081 } else { 18083 }
    }

    /// The instance's kind.
    pub fn kind(self) -> &'static str {
        if self == Self::V1beta4 { "EmqxEnterprise" } else { "EMQX" }
    }

    /// The plural of the instance's kind.
    pub fn plural(self) -> &'static str {
        if self == Self::V1beta4 { "emqxenterprises" } else { "emqxes" }
    }
}

/// The operator's release line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// 2.2.x
    V2_2,
    /// 2.3.x
    V2_3,
    /// 3.x
    V3,
}

/// The role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the data.
    Core,
    /// Only serves clients.
    Replicant,
}

impl Role {
    /// EMQX's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Replicant => "replicant",
        }
    }
}

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

/// An answer that replaces the normal ones of EMQX's REST API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// 500 with EMQX's JSON.
    Error,
    /// 401 `BAD_API_KEY_OR_SECRET`.
    Unauthorized,
    /// 200 with an HTML page, as a proxy in between would send.
    Html,
    /// 200 with bytes that are no JSON.
    Garbage,
    /// 200 with JSON of another shape.
    WrongShape,
    /// 200 and 50 MB.
    Huge,
    /// Never.
    Silence,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The coordinator's process ends; EMQX loses the rebalance.
    CrashCoordinator,
    /// Every open port-forward is closed.
    DropPortForwards,
    /// Every connection to the API server is closed, including watches.
    CloseConnections,
    /// The API server restarts: connections are closed and old resource versions are expired (410).
    RestartApiServer,
    /// EMQX's answers are replaced from now on.
    EmqxAnswers(Answer),
    /// EMQX answers normally again.
    EmqxRecovers,
    /// A node (by its EMQX name or its pod's name) stops.
    StopNode(String),
    /// A stopped node starts again.
    StartNode(String),
    /// A node's process is suspended: it does not answer, and EMQX's calls to all nodes hang.
    FreezeNode(String),
    /// A frozen node continues.
    ThawNode(String),
    /// A node sees no other node any more, although the others see it.
    BlindNode(String),
    /// A purge of all sessions begins, as by EMQX's command line: led by this node, with this many sessions a second.
    StartPurge {
        /// The node, by its EMQX name or its pod's name.
        node: String,
        /// Sessions a second.
        rate: u64,
    },
    /// The purge is stopped.
    StopPurge,
    /// The operator stops working.
    StopOperator,
    /// A stopped operator works again.
    StartOperator,
    /// An object is deleted: `plural/name` in the scenario's namespace.
    DeleteObject(String),
}

/// A fault with its time: seconds after the start of the cluster, or after the start of each rebalance
/// (coordinators only).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimedFault {
    /// Virtual seconds after the cluster's start.
    #[serde(default)]
    pub at: Option<f64>,
    /// Virtual seconds after the start of a rebalance; for `crashCoordinator`.
    #[serde(default)]
    pub after_start: Option<f64>,
    /// What happens.
    pub fault: FaultText,
}

/// A fault in YAML: a plain word, or `{word: argument}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum FaultText {
    /// Without an argument.
    Word(String),
    /// With one.
    Argument(std::collections::BTreeMap<String, Value>),
}

impl FaultText {
    /// The fault of this name.
    pub fn parse(&self) -> Result<Fault, ScenarioError> {
        let value = match self {
            Self::Word(word) => Value::String(word.clone()),
            Self::Argument(map) => {
                serde_json::to_value(map).map_err(|error| ScenarioError::Fault(error.to_string()))?
            }
        };
        serde_json::from_value(value).map_err(|error| ScenarioError::Fault(error.to_string()))
    }
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

/// The rebalance that the expectation is about, in EMQX's names.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Strategy {
    /// Connections a donor loses a second.
    pub conn_evict_rate: u64,
    /// Sessions a donor loses a second.
    pub sess_evict_rate: u64,
    /// Seconds before the first eviction.
    pub wait_health_check: u64,
    /// Seconds between connections and sessions.
    pub wait_takeover: u64,
    /// Absolute threshold of connections.
    pub abs_conn_threshold: u64,
    /// Relative threshold of connections.
    pub rel_conn_threshold: f64,
    /// Absolute threshold of sessions.
    pub abs_sess_threshold: u64,
    /// Relative threshold of sessions.
    pub rel_sess_threshold: f64,
}

impl Default for Strategy {
    /// The documented example's.
    fn default() -> Self {
        Self {
            conn_evict_rate: 10,
            sess_evict_rate: 10,
            wait_health_check: 10,
            wait_takeover: 10,
            abs_conn_threshold: 100,
            rel_conn_threshold: 1.1,
            abs_sess_threshold: 100,
            rel_sess_threshold: 1.1,
        }
    }
}

impl Strategy {
    /// As an order to the broker.
    pub fn order(&self) -> RebalanceOrder {
        RebalanceOrder {
            nodes: None,
            conn_rate: self.conn_evict_rate,
            sess_rate: self.sess_evict_rate,
            wait_health_check: Duration::from_secs(self.wait_health_check),
            wait_takeover: Duration::from_secs(self.wait_takeover),
            conn: Threshold { abs: self.abs_conn_threshold as f64, rel: self.rel_conn_threshold },
            sess: Threshold { abs: self.abs_sess_threshold as f64, rel: self.rel_sess_threshold },
            ..RebalanceOrder::default()
        }
    }
}

/// The expected result when the scenario's rebalance is run to its end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// The rebalance that is run; the documented one when absent.
    #[serde(default)]
    pub strategy: Strategy,
    /// EMQX's refusal, when it does not start.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Rounds that evict connections.
    #[serde(default)]
    pub rounds: Option<u64>,
    /// Seconds from the start to the end in EMQX.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Connections of each node a minute after the end, in the order of the scenario's nodes.
    #[serde(default)]
    pub connections: Option<Vec<u64>>,
    /// The phase of the Rebalance object at its end; absent where the kind does not exist.
    #[serde(default)]
    pub phase: Option<String>,
    /// The message of the object's condition `Failed`.
    #[serde(default)]
    pub message: Option<String>,
    /// The expected verdict.
    #[serde(default)]
    pub verdict: Option<String>,
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
    /// Whether an operator is at work.
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
    pub licence: super::limits::Licence,
    /// The listeners of every node; one without limits when absent.
    #[serde(default = "super::limits::usual")]
    pub listeners: Vec<super::limits::Listener>,
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

/// Why a scenario cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No such scenario inside the program.
    #[error("there is no scenario {name}: there are {known}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
    },
    /// Not YAML, or not a scenario.
    #[error("not a scenario: {0}")]
    Yaml(String),
    /// An invalid fault.
    #[error("not a fault: {0}")]
    Fault(String),
    /// A readable scenario with contradictions.
    #[error("the scenario makes no sense: {0}")]
    Senseless(String),
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

    /// When a coordinator dies, counted from its start.
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

/// The address of the pod with this number.
pub(super) fn address(number: usize) -> String {
    let place = number % 60_000 + 7;
    format!("10.244.{}.{}", place / 250, place % 250 + 1)
}

/// A hash as Kubernetes and the operators put it into names: FNV-1a, its decimal digits in letters that form
/// no words.
pub(super) fn hash(text: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let sum =
        text.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    sum.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// Five letters as Kubernetes appends them to generated names; different for each number, the same in each
/// run.
pub(super) fn suffix(number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let base = LETTERS.len() as u64;
    // A multiplication by a number prime to 27^5 is a permutation: two numbers never have the same result.
    let mut mixed = (number + 11).wrapping_mul(7_654_321) % base.pow(5);
    let mut text = String::with_capacity(5);
    for _ in 0..5 {
        text.push(char::from(LETTERS[(mixed % base) as usize]));
        mixed /= base;
    }
    text
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
