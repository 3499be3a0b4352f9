//! The result of a seed: a cluster, an operation, and a schedule of faults. A case is also a file, so that a
//! run can be kept when the meaning of seeds changes.

use emqx_sim::Scenario;
pub use emqx_sim::scenario::NewPods;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The API versions of the custom resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `EmqxEnterprise`, operator 2.2.
    V1beta4,
    /// EMQX, operator 2.2.
    V2beta1,
    /// EMQX, operator 2.3.
    V2,
    /// EMQX, operator 3.x, without Rebalance.
    V3beta1,
}

impl Api {
    /// As in `apiVersion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1beta4 => "v1beta4",
            Self::V2beta1 => "v2beta1",
            Self::V2 => "v2",
            Self::V3beta1 => "v3beta1",
        }
    }

    /// The name of the instance in the simulated namespace.
    pub fn instance(self) -> &'static str {
        if self == Self::V1beta4 { "emqx-ee" } else { "emqx" }
    }

    /// The image before an upgrade.
    pub fn previous_image(self) -> &'static str {
        match self {
            Self::V1beta4 => "emqx/emqx-ee:4.4.19",
            Self::V2beta1 => "emqx/emqx-enterprise:5.8.6",
            Self::V2 | Self::V3beta1 => "emqx/emqx-enterprise:5.10.1",
        }
    }

    /// The image to which another client changes it during an upgrade.
    pub fn third_image(self) -> &'static str {
        match self {
            Self::V1beta4 => "emqx/emqx-ee:4.4.25",
            Self::V2beta1 => "emqx/emqx-enterprise:5.8.8",
            Self::V2 | Self::V3beta1 => "emqx/emqx-enterprise:5.10.3",
        }
    }

    /// The target image of an upgrade.
    pub fn next_image(self) -> &'static str {
        match self {
            Self::V1beta4 => "emqx/emqx-ee:4.4.24",
            Self::V2beta1 => "emqx/emqx-enterprise:5.8.7",
            Self::V2 | Self::V3beta1 => "emqx/emqx-enterprise:5.10.2",
        }
    }
}

/// The operation of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `rebalance apply --watch`, by an object.
    Rebalance,
    /// `rebalance apply --watch --backend emqx`.
    DirectRebalance,
    /// An object that another client creates; the product follows it.
    OthersRebalance,
    /// A rebalance that another client starts in EMQX; the product follows it.
    OthersDirectRebalance,
    /// `rebalance apply`, then `rebalance stop`.
    StoppedRebalance,
    /// `upgrade --yes --watch`.
    Upgrade,
    /// Another client changes the image; the product follows the upgrade.
    OthersUpgrade,
    /// A rebalance by an object, and a second one after the first has ended and clients have moved.
    RebalanceTwice,
    /// An object that another client creates; `watch` of the whole instance.
    WatchInstance,
    /// An evacuation that another client starts in EMQX; `status` repeatedly.
    OthersEvacuation,
    /// `evacuate start --watch`.
    Evacuation,
    /// `evacuate start`, then `evacuate stop`.
    StoppedEvacuation,
    /// A purge that another client starts; `status` repeatedly.
    OthersPurge,
    /// Nothing runs; `status` repeatedly.
    Status,
    /// `rebalance apply` without a follower; `rebalance list` some time after its end.
    UnfollowedRebalance,
    /// `upgrade`, ended from outside before its end; then `upgrade undo`.
    UndoneUpgrade,
    /// Another client changes the templates of all pods and not the image; the product follows it.
    OthersTemplate,
    /// The same with the template of the cores alone.
    OthersCoreTemplate,
}

impl Operation {
    /// Whether it is an upgrade, or the rollback of one.
    pub fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::OthersUpgrade | Self::UndoneUpgrade) || self.renews()
    }

    /// Whether it is a rebalance.
    pub fn rebalances(self) -> bool {
        matches!(
            self,
            Self::Rebalance
                | Self::DirectRebalance
                | Self::OthersRebalance
                | Self::OthersDirectRebalance
                | Self::StoppedRebalance
                | Self::RebalanceTwice
                | Self::UnfollowedRebalance
                | Self::WatchInstance
        )
    }

    /// Whether pods are replaced by others of the same image.
    pub fn renews(self) -> bool {
        matches!(self, Self::OthersTemplate | Self::OthersCoreTemplate)
    }
}

/// The wrong shape of EMQX's `global_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// `rebalances: []`, although one runs.
    Empty,
    /// `rebalances: null`.
    Null,
    /// No `rebalances` at all.
    Missing,
    /// `rebalances` is not a list.
    NoList,
    /// An entry without its coordinator.
    BadEntry,
    /// The lists in the opposite order: not a fault.
    Reordered,
}

/// Which node a fault hits, by its part in the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The first donor that does not coordinate, else the coordinator.
    Donor,
    /// The first recipient that does not coordinate, else the coordinator.
    Recipient,
    Coordinator,
    /// The last core.
    Core,
}

/// The image to which another client changes an instance that is being upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Image {
    /// The image before the upgrade.
    Previous,
    Third,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn healthy(new_pods: &NewPods) -> bool {
    *new_pods == NewPods::Healthy
}

/// The requests to the API server that a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Requests {
    /// Every one.
    All,
    /// Lists and watches of rebalances.
    Rebalances,
    /// Lists and watches of pods.
    Pods,
    /// Port-forward.
    Forwards,
    /// The instance by its name: reads of the whole object and changes. Seeds do not draw it.
    Instance,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The coordinator's process ends.
    CoordinatorCrash,
    /// The coordinator hangs: the rebalance is listed and nothing moves.
    CoordinatorHang,
    /// A node stops with its clients; it starts again after this number of seconds, or never.
    NodeDown {
        /// The node.
        part: Part,
        /// Seconds.
        back: Option<f64>,
    },
    /// EMQX does not answer, for this number of seconds.
    EmqxSilent(f64),
    /// EMQX answers neither the product nor the operator, for this number of seconds.
    EmqxAnswersNobody(f64),
    /// EMQX answers every client with 500, including the operator, for this number of seconds.
    EmqxFailsForAll(f64),
    /// One node does not answer, for this number of seconds.
    NodeSilent(f64),
    /// EMQX answers 500, for this number of seconds.
    EmqxErrors(f64),
    /// EMQX answers 500 only to requests for its nodes and their counts, for this number of seconds.
    CountsRefused(f64),
    /// EMQX refuses the key, for this number of seconds.
    KeyRefused(f64),
    /// EMQX answers with a web page, for this number of seconds.
    EmqxHtml(f64),
    /// EMQX's answers are late by the first number of seconds, for the second.
    EmqxSlow(f64, f64),
    /// This number of answers of `global_status` has a wrong shape.
    Misshapen(Shape, u32),
    /// A stop through EMQX's API, by another client.
    StoppedByOther,
    /// The object is deleted by another client.
    ObjectDeleted,
    /// Clients disconnect and do not return: a percentage of each node's clients.
    ClientsLeave(u32),
    /// The API server restarts: connections are closed, old versions are expired (410).
    ApiRestart,
    /// Every connection to the API server is closed once.
    ApiCut,
    /// The API server cannot be reached, for this number of seconds.
    ApiDown(f64),
    /// The API server does not answer, for this number of seconds.
    ApiHang(f64),
    /// Requests are answered with this status, for this number of seconds.
    ApiStatus { code: u16, requests: Requests, seconds: f64 },
    /// The next requests, this many, are answered with 429.
    TooManyRequests(u32),
    /// Answers are late by the first number of seconds, for the second.
    ApiSlow(f64, f64),
    /// The `Date` header jumps by this many seconds.
    DateJump(i64),
    /// Every other answer comes from a server whose clock is this many seconds ahead.
    TwoServers(i64),
    /// The machine of the product sleeps for this number of seconds.
    Asleep(f64),
    /// Port-forwards are closed once.
    ForwardsCut,
    /// A pod is deleted; its set creates another.
    PodKilled(Part),
    /// A pod is no longer ready although EMQX runs.
    PodNotReady(Part),
    /// EMQX of a pod leaves the cluster, and the pod continues.
    NotInCluster(Part),
    /// The process of a node is suspended, for this number of seconds: calls to every node hang.
    NodeFrozen {
        /// The node.
        part: Part,
        seconds: f64,
    },
    /// Another client changes the image of an upgrade.
    ImageChanged(Image),
    /// Another client changes the templates of all pods, and not the image.
    TemplateChanged,
    /// The operator scales a previous set of replicants down once more than the number of pods that it
    /// emptied ([OP-23]).
    ReplicantRemoved,
    /// Another client applies the manifest from before the upgrade again: image and delay.
    ManifestReapplied,
    /// Another client adds this number of nodes that serve clients, or removes them.
    Scaled(i64),
    /// Another client creates a Rebalance.
    RebalanceCreated,
    /// Clients move from one node to another without any operation, as after a change of the load balancer.
    ClientsCrowd,
    /// The operator does nothing for this many seconds; `None` until the end.
    OperatorDead(Option<f64>),
    /// The product's process is killed, and this many seconds later `watch` is started.
    Killed(f64),
}

impl Fault {
    /// The kind, for statistics.
    pub fn kind(&self) -> String {
        let text = serde_json::to_value(self).unwrap_or_default();
        match text {
            serde_json::Value::String(word) => word,
            serde_json::Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// How long a source is unavailable because of it, in seconds; `None` for an outage without an end, 0
    /// where no source is unavailable.
    pub fn outage(&self) -> Option<f64> {
        match self {
            Self::EmqxSilent(seconds)
            | Self::NodeSilent(seconds)
            | Self::EmqxAnswersNobody(seconds)
            | Self::EmqxFailsForAll(seconds)
            | Self::EmqxErrors(seconds)
            | Self::KeyRefused(seconds)
            | Self::CountsRefused(seconds)
            | Self::EmqxHtml(seconds)
            | Self::EmqxSlow(_, seconds)
            | Self::ApiDown(seconds)
            | Self::ApiHang(seconds)
            | Self::ApiSlow(_, seconds)
            | Self::ApiStatus { seconds, .. }
            | Self::NodeFrozen { seconds, .. }
            | Self::Asleep(seconds)
            | Self::Killed(seconds) => Some(*seconds),
            Self::OperatorDead(seconds) => *seconds,
            // Up to two seconds pass between two requests.
            Self::Misshapen(_, times) => Some(f64::from(*times) * 2.0),
            Self::ApiRestart | Self::ApiCut | Self::ForwardsCut => Some(5.0),
            Self::TooManyRequests(times) => Some(f64::from(*times) * 5.0),
            _ => Some(0.0),
        }
    }

    /// Whether it hides EMQX's answers from the product.
    pub fn hides_emqx(&self) -> bool {
        matches!(
            self,
            Self::EmqxSilent(_)
                | Self::NodeSilent(_)
                | Self::EmqxAnswersNobody(_)
                | Self::EmqxFailsForAll(_)
                | Self::EmqxErrors(_)
                | Self::KeyRefused(_)
                | Self::CountsRefused(_)
                | Self::EmqxHtml(_)
                | Self::EmqxSlow(..)
                | Self::Misshapen(..)
                | Self::ApiDown(_)
                | Self::ApiHang(_)
                | Self::ApiSlow(..)
                | Self::ApiStatus { .. }
                | Self::ApiRestart
                | Self::ApiCut
                | Self::ForwardsCut
                | Self::TooManyRequests(_)
                | Self::Asleep(_)
                | Self::Killed(_)
                | Self::NodeDown { .. }
                | Self::NodeFrozen { .. }
                | Self::NotInCluster(_)
                | Self::PodKilled(_)
                | Self::Scaled(_)
        )
    }
}

/// A fault with its time: seconds after the operation began in EMQX or in Kubernetes, or after the start of
/// the process where the operation has not begun by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Seconds.
    pub at: f64,
    pub fault: Fault,
    /// From which moment on the seconds are counted instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

impl Timed {
    /// A fault this many seconds after the begin.
    pub fn at(at: f64, fault: Fault) -> Self {
        Self { at, fault, since: None }
    }

    /// A fault this many seconds after EMQX entered a state.
    pub fn since(since: Since, at: f64, fault: Fault) -> Self {
        Self { at, fault, since: Some(since) }
    }
}

/// A state of a rebalance or of an evacuation in EMQX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Since {
    /// `wait_takeover`.
    LastWait,
    /// `evicting_sessions`.
    Sessions,
}

impl Since {
    /// As EMQX names it.
    pub fn state(self) -> &'static str {
        match self {
            Self::LastWait => "wait_takeover",
            Self::Sessions => "evicting_sessions",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseNode {
    /// Whether it is a replicant.
    pub replicant: bool,
    /// Live clients.
    pub connections: u64,
    /// Sessions of clients that are not connected.
    pub offline: u64,
}

/// The requested strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Connections per second and donor.
    pub conn_rate: u64,
    /// Sessions per second and donor.
    pub sess_rate: u64,
    /// Seconds.
    pub wait_health_check: u64,
    /// Seconds.
    pub wait_takeover: u64,
    /// Absolute threshold, of connections and of sessions.
    pub abs: u64,
    /// Relative threshold, of connections and of sessions.
    pub rel: f64,
}

/// The inputs of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// The seed; jitter is derived from it.
    pub seed: u64,
    /// The API version.
    pub api: Api,
    pub operation: Operation,
    /// The nodes, cores first.
    pub nodes: Vec<CaseNode>,
    /// `even`, `least`, `one` or `sticky`.
    pub balancer: String,
    /// Rounds after which evicted clients reconnect, counted from the next round.
    pub reconnect_delay: u64,
    /// The requested strategy.
    pub strategy: Strategy,
    /// Whether the output is read as lines for people rather than as JSON.
    pub text: bool,
    /// The behaviour of new pods.
    #[serde(default, skip_serializing_if = "healthy")]
    pub new_pods: NewPods,
    /// How long after the start of another client's operation the product starts, in seconds; by default 2 or
    /// 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<f64>,
    /// How long after the start of a rebalance the operator's next pass is, in seconds; by default as
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_pass: Option<f64>,
    /// How long the operator does nothing from the start on, in seconds; by default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_away: Option<f64>,
    /// Whether another client evacuated the last node before the operation, and did not stop the evacuation
    /// ([OP-20]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// Whether the product's `watch` of the instance begins some seconds before the operation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watching: bool,
    pub faults: Vec<Timed>,
}

/// The range of cases that a seed may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// {v2beta1, v2} with a rebalance by an object and at most one of six faults.
    Narrow,
    /// Every operation but upgrades, every fault.
    Wide,
    /// Upgrades, every fault.
    Upgrades,
}

impl Case {
    /// The simulated cluster of the case.
    pub fn scenario(&self) -> Result<Scenario, String> {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                json!({
                    "role": if node.replicant { "replicant" } else { "core" },
                    "connections": node.connections, "offlineSessions": node.offline,
                })
            })
            .collect();
        let upgrade = self.operation.upgrades();
        let spec = match self.api {
            Api::V1beta4 if upgrade => json!({
                "blueGreenUpdate": {
                    "initialDelaySeconds": 5,
                    "evacuationStrategy": { "waitTakeover": 5, "connEvictRate": 200, "sessEvictRate": 200 },
                },
            }),
            Api::V3beta1 | Api::V1beta4 => json!({}),
            Api::V2beta1 | Api::V2 => json!({
                "updateStrategy": {
                    "type": "Recreate", "initialDelaySeconds": 5,
                    "evacuationStrategy": { "waitTakeover": 5, "connEvictRate": 200, "sessEvictRate": 200 },
                },
            }),
        };
        let document = json!({
            "name": format!("seed {}", self.seed), "api": self.api.name(), "nodes": nodes,
            "loadBalancer": self.balancer, "reconnectDelay": self.reconnect_delay, "spec": spec,
            "newPods": self.new_pods, "operatorLooksAfter": self.next_pass,
            "operatorAlive": self.operator_away.is_none(),
        });
        Scenario::from_yaml(&document.to_string()).map_err(|error| error.to_string())
    }

    /// The special properties of the case, in one line.
    pub fn summary(&self) -> String {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|timed| {
                let since = timed.since.map(|since| format!(" after {}", since.state())).unwrap_or_default();
                let fault = serde_json::to_string(&timed.fault).unwrap_or_default();
                format!("{fault} at {:.0}s{since}", timed.at)
            })
            .collect();
        let faults = if faults.is_empty() { "no fault".to_owned() } else { faults.join(", ") };
        let operation = serde_json::to_value(self.operation).unwrap_or_default();
        let counts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("{}{}", if node.replicant { "r" } else { "" }, node.connections))
            .collect();
        format!(
            "{} {} {} ({} balancer): {faults}",
            self.api.name(),
            operation.as_str().unwrap_or_default(),
            counts.join("/"),
            self.balancer
        )
    }
}
