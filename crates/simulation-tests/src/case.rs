//! What a seed makes: a cluster, an operation, and a schedule of faults at every port. A case is also a file, so that a run
//! can be kept when the seeds come to mean something else.

use kubectl_emqx::sim::Scenario;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::random::Random;

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

    /// The image to which an upgrade goes.
    pub fn next_image(self) -> &'static str {
        match self {
            Self::V1beta4 => "emqx/emqx-ee:4.4.24",
            Self::V2beta1 => "emqx/emqx-enterprise:5.8.7",
            Self::V2 | Self::V3beta1 => "emqx/emqx-enterprise:5.10.2",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `rebalance apply --watch`, by an object.
    Rebalance,
    /// `rebalance apply --watch --backend emqx`.
    DirectRebalance,
    /// An object that another client creates; we watch.
    OthersRebalance,
    /// A rebalance that another client starts in EMQX; we watch.
    OthersDirectRebalance,
    /// `rebalance apply`, then `rebalance stop`.
    StoppedRebalance,
    /// `upgrade --yes --watch`.
    Upgrade,
    /// Another client changes the image; we watch.
    OthersUpgrade,
    /// An evacuation that another client starts in EMQX; `watch --plain` follows.
    OthersEvacuation,
    /// Nothing runs; `status` again and again.
    Status,
}

/// How EMQX's `global_status` is misshapen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// `rebalances: []`, although one runs.
    Empty,
    /// `rebalances: null`.
    Null,
    /// No `rebalances` at all.
    Missing,
    /// `rebalances` is no list.
    NoList,
    /// An entry without its coordinator.
    BadEntry,
    /// The lists the other way round: no fault.
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
    /// Who coordinates.
    Coordinator,
    /// The last core.
    Core,
}

/// Which requests for the API server a fault hits.
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
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The coordinator's process dies.
    CoordinatorCrash,
    /// The coordinator hangs: the rebalance is listed and nothing moves.
    CoordinatorHang,
    /// A node stops with its clients; it starts again after this number of seconds, or never.
    NodeDown {
        /// Which.
        part: Part,
        /// Seconds.
        back: Option<f64>,
    },
    /// EMQX does not answer, for this number of seconds.
    EmqxSilent(f64),
    /// One node does not answer, for this number of seconds.
    NodeSilent(f64),
    /// EMQX answers 500, for this number of seconds.
    EmqxErrors(f64),
    /// EMQX refuses the key, for this number of seconds.
    KeyRefused(f64),
    /// EMQX answers a web page, for this number of seconds.
    EmqxHtml(f64),
    /// EMQX's answers are late by the first number of seconds, for the second.
    EmqxSlow(f64, f64),
    /// This number of answers of `global_status` has a wrong shape.
    Misshapen(Shape, u32),
    /// A stop through EMQX's API, by another client.
    StoppedByOther,
    /// The object is deleted by another client.
    ObjectDeleted,
    /// Clients go away for good: a percentage of each node's.
    ClientsLeave(u32),
    /// The API server restarts: connections are cut, old versions are gone (410).
    ApiRestart,
    /// Every connection to the API server is cut once.
    ApiCut,
    /// The API server cannot be reached, for this number of seconds.
    ApiDown(f64),
    /// The API server does not answer, for this number of seconds.
    ApiHang(f64),
    /// Requests are answered with this status, for this number of seconds.
    ApiStatus {
        /// 401, 403, 410, 429, 500 or 503.
        code: u16,
        /// Which.
        requests: Requests,
        /// Seconds.
        seconds: f64,
    },
    /// The next so many requests are answered with 429.
    TooManyRequests(u32),
    /// Answers are late by the first number of seconds, for the second.
    ApiSlow(f64, f64),
    /// The `Date` header jumps by so many seconds.
    DateJump(i64),
    /// Every other answer comes from a server whose clock is so many seconds ahead.
    TwoServers(i64),
    /// The machine we run on sleeps for this number of seconds.
    Asleep(f64),
    /// Port-forwards are cut once.
    ForwardsCut,
    /// A pod is deleted; its set makes another.
    PodKilled(Part),
    /// A pod is no longer ready although EMQX runs.
    PodNotReady(Part),
    /// The operator does nothing, for so many seconds; none is for ever.
    OperatorDead(Option<f64>),
    /// Our process is killed, and so many seconds later `watch` is started.
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

    /// How long a source is away because of it, in seconds; `None` where it is for ever, 0 where no source is away.
    pub fn outage(&self) -> Option<f64> {
        match self {
            Self::EmqxSilent(seconds)
            | Self::NodeSilent(seconds)
            | Self::EmqxErrors(seconds)
            | Self::KeyRefused(seconds)
            | Self::EmqxHtml(seconds)
            | Self::EmqxSlow(_, seconds)
            | Self::ApiDown(seconds)
            | Self::ApiHang(seconds)
            | Self::ApiSlow(_, seconds)
            | Self::ApiStatus { seconds, .. }
            | Self::Asleep(seconds)
            | Self::Killed(seconds) => Some(*seconds),
            Self::OperatorDead(seconds) => *seconds,
            Self::Misshapen(_, times) => Some(f64::from(*times)),
            Self::ApiRestart | Self::ApiCut | Self::ForwardsCut => Some(5.0),
            Self::TooManyRequests(times) => Some(f64::from(*times) * 5.0),
            _ => Some(0.0),
        }
    }

    /// Whether it takes EMQX's answers away from us.
    pub fn hides_emqx(&self) -> bool {
        matches!(
            self,
            Self::EmqxSilent(_)
                | Self::NodeSilent(_)
                | Self::EmqxErrors(_)
                | Self::KeyRefused(_)
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
                | Self::PodKilled(_)
        )
    }
}

/// A fault and when: seconds after the operation began in EMQX or in Kubernetes, or after the start of the process where it
/// has not begun by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Seconds.
    pub at: f64,
    /// What.
    pub fault: Fault,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Whether it is a replicant.
    pub replicant: bool,
    /// Live clients.
    pub connections: u64,
    /// Sessions of clients that are away.
    pub offline: u64,
}

/// How a rebalance is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Connections a second and donor.
    pub conn_rate: u64,
    /// Sessions a second and donor.
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

/// All that one run is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// The seed; jitter comes from it.
    pub seed: u64,
    /// The API version.
    pub api: Api,
    /// What is done.
    pub operation: Operation,
    /// The nodes, cores first.
    pub nodes: Vec<Node>,
    /// `even`, `least`, `one` or `sticky`.
    pub balancer: String,
    /// Rounds after which evicted clients come back, beyond the next.
    pub reconnect_delay: u64,
    /// How it is asked for.
    pub strategy: Strategy,
    /// Whether the output is read as lines for people rather than as JSON.
    pub text: bool,
    /// What goes wrong.
    pub faults: Vec<Timed>,
}

/// How much a seed may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// {v2beta1, v2} with a rebalance by an object and at most one of six faults.
    Narrow,
    /// Every operation but upgrades, every fault.
    Wide,
    /// Upgrades, every fault. The operator's passes make them slower than the others by far.
    Upgrades,
}

impl Case {
    /// What a seed makes.
    pub fn of(seed: u64, breadth: Breadth) -> Self {
        let choose = |decision: &str| Random::of(seed, decision);
        let (api, operation) = match breadth {
            Breadth::Narrow => (*choose("api").pick(&[Api::V2beta1, Api::V2]), Operation::Rebalance),
            Breadth::Wide => wide_operation(seed),
            Breadth::Upgrades => upgrade_operation(seed),
        };
        let nodes = nodes(seed, api, operation);
        let strategy = strategy(&mut choose("strategy"), &nodes, breadth);
        let balancer = match (breadth, choose("balancer").below(12)) {
            (Breadth::Narrow, _) | (_, 0..=7) => "even",
            (_, 8 | 9) => "least",
            (_, 10) => "one",
            _ => "sticky",
        };
        let reconnect_delay =
            if breadth == Breadth::Narrow { 0 } else { *choose("delay").pick(&[0, 0, 0, 0, 1, 3]) };
        let faults = match breadth {
            Breadth::Narrow => narrow_faults(&mut choose("faults")),
            Breadth::Wide | Breadth::Upgrades => wide_faults(&mut choose("faults"), operation),
        };
        Self {
            seed,
            api,
            operation,
            nodes,
            balancer: balancer.to_owned(),
            reconnect_delay,
            strategy,
            text: breadth != Breadth::Narrow && choose("text").once_in(4),
            faults,
        }
    }

    /// The simulated cluster of it.
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
        let upgrade = matches!(self.operation, Operation::Upgrade | Operation::OthersUpgrade);
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
        });
        Scenario::from_yaml(&document.to_string()).map_err(|error| error.to_string())
    }

    /// In one line: what is special about it.
    pub fn summary(&self) -> String {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|timed| {
                format!("{} at {:.0}s", serde_json::to_string(&timed.fault).unwrap_or_default(), timed.at)
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

fn wide_operation(seed: u64) -> (Api, Operation) {
    let api = *Random::of(seed, "api").pick(&[
        Api::V2beta1,
        Api::V2beta1,
        Api::V2beta1,
        Api::V2,
        Api::V2,
        Api::V2,
        Api::V1beta4,
        Api::V1beta4,
        Api::V3beta1,
    ]);
    let operation = *Random::of(seed, "operation").pick(&[
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::DirectRebalance,
        Operation::DirectRebalance,
        Operation::OthersRebalance,
        Operation::OthersDirectRebalance,
        Operation::StoppedRebalance,
        Operation::OthersEvacuation,
        Operation::Status,
    ]);
    let operation = match operation {
        Operation::Rebalance if api == Api::V3beta1 => Operation::DirectRebalance,
        Operation::OthersRebalance if api == Api::V3beta1 => Operation::OthersDirectRebalance,
        other => other,
    };
    (api, operation)
}

fn upgrade_operation(seed: u64) -> (Api, Operation) {
    let api = *Random::of(seed, "api").pick(&[Api::V1beta4, Api::V2beta1, Api::V2, Api::V3beta1]);
    let operation = *Random::of(seed, "operation").pick(&[Operation::Upgrade, Operation::OthersUpgrade]);
    (api, operation)
}

fn nodes(seed: u64, api: Api, operation: Operation) -> Vec<Node> {
    let mut random = Random::of(seed, "nodes");
    let replicants = match api {
        Api::V1beta4 => 0,
        _ if random.once_in(2) => random.between(3, 5),
        _ => 0,
    };
    let cores = if replicants > 0 { random.between(1, 3) } else { random.between(3, 5) };
    let base = *random.pick(&[400, 1200, 3000]);
    let mut nodes: Vec<Node> = (0..cores + replicants)
        .map(|index| {
            let replicant = index >= cores;
            let serves = replicant || replicants == 0;
            let spread = base / 10;
            let connections = if serves { base - spread / 2 + random.below(spread + 1) } else { 0 };
            let offline = if serves && random.once_in(4) { random.below(base / 4) } else { 0 };
            Node { replicant, connections, offline }
        })
        .collect();
    let even = matches!(
        operation,
        Operation::Upgrade | Operation::OthersUpgrade | Operation::OthersEvacuation | Operation::Status
    );
    if !even && let Some(last) = nodes.last_mut() {
        // The one that was just added.
        (last.connections, last.offline) = (random.below(base / 20 + 1), 0);
    }
    nodes
}

fn strategy(random: &mut Random, nodes: &[Node], breadth: Breadth) -> Strategy {
    let serving: Vec<u64> = nodes.iter().map(|node| node.connections).filter(|&count| count > 0).collect();
    let most = serving.iter().copied().max().unwrap_or(100);
    // Ten to forty rounds.
    let rate = (most / 4 / random.between(10, 40)).max(1);
    let narrow = breadth == Breadth::Narrow;
    Strategy {
        conn_rate: rate,
        sess_rate: rate.max(5),
        wait_health_check: if narrow { 10 } else { *random.pick(&[1, 5, 10]) },
        wait_takeover: if narrow { 10 } else { *random.pick(&[1, 5, 10]) },
        abs: (most / 30).max(10),
        rel: 1.1,
    }
}

fn narrow_faults(random: &mut Random) -> Vec<Timed> {
    let at = 8.0 + random.below(40) as f64;
    let fault = match random.below(6) {
        0 => return Vec::new(),
        1 => Fault::CoordinatorCrash,
        2 => Fault::NodeDown { part: *random.pick(&PARTS), back: None },
        3 => Fault::EmqxSilent(20.0 + random.below(60) as f64),
        4 => Fault::ApiRestart,
        _ => Fault::Misshapen(Shape::Empty, 1),
    };
    vec![Timed { at, fault }]
}

const PARTS: [Part; 4] = [Part::Donor, Part::Recipient, Part::Coordinator, Part::Core];

fn wide_faults(random: &mut Random, operation: Operation) -> Vec<Timed> {
    let number = *random.pick(&[0, 1, 1, 1, 1, 2, 2, 3]);
    let mut faults: Vec<Timed> = (0..number)
        .map(|_| {
            let at = if random.once_in(8) { random.below(4) as f64 } else { 4.0 + random.below(60) as f64 };
            Timed { at, fault: wide_fault(random, operation) }
        })
        .collect();
    faults.sort_by(|a, b| a.at.total_cmp(&b.at));
    faults
}

fn wide_fault(random: &mut Random, operation: Operation) -> Fault {
    let seconds = *random.pick(&[3.0, 12.0, 25.0, 70.0, 150.0]);
    let part = *random.pick(&PARTS);
    match random.below(31) {
        0 => Fault::CoordinatorCrash,
        1 => Fault::CoordinatorHang,
        2 | 3 => Fault::NodeDown { part, back: None },
        4 => Fault::NodeDown { part, back: Some(seconds) },
        5 => Fault::EmqxSilent(seconds),
        6 => Fault::NodeSilent(seconds),
        7 => Fault::EmqxErrors(seconds),
        8 => Fault::KeyRefused(seconds),
        9 => Fault::EmqxHtml(seconds),
        10 => Fault::EmqxSlow(*random.pick(&[0.5, 2.0, 6.0]), seconds),
        11..=13 => {
            let shapes =
                [Shape::Empty, Shape::Null, Shape::Missing, Shape::NoList, Shape::BadEntry, Shape::Reordered];
            Fault::Misshapen(*random.pick(&shapes), random.between(1, 2) as u32)
        }
        14 => Fault::StoppedByOther,
        15 if matches!(operation, Operation::Rebalance | Operation::OthersRebalance) => Fault::ObjectDeleted,
        16 => Fault::ClientsLeave(random.between(3, 12) as u32),
        17 => Fault::ApiRestart,
        18 => Fault::ApiCut,
        19 => Fault::ApiDown(seconds),
        20 => Fault::ApiHang(seconds),
        21 | 22 => {
            let requests = [Requests::All, Requests::Rebalances, Requests::Pods, Requests::Forwards];
            Fault::ApiStatus {
                code: *random.pick(&[401, 403, 410, 429, 500, 503]),
                requests: *random.pick(&requests),
                seconds,
            }
        }
        23 => Fault::TooManyRequests(random.between(1, 3) as u32),
        24 => Fault::ApiSlow(*random.pick(&[0.3, 2.0, 5.0]), seconds),
        25 => Fault::DateJump(*random.pick(&[3600, -3600, 120, -30])),
        26 => Fault::TwoServers(*random.pick(&[120, -120])),
        27 => Fault::Asleep(*random.pick(&[30.0, 600.0, 3600.0])),
        28 => Fault::PodKilled(part),
        29 => Fault::OperatorDead(*random.pick(&[None, Some(30.0), Some(120.0)])),
        30 => Fault::Killed(*random.pick(&[1.0, 20.0])),
        _ => Fault::ForwardsCut,
    }
}
