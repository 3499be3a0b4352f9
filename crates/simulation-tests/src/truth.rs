//! The truth: every node and every operation of EMQX, four times a virtual second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use emqx_sim::emqx::Emqx;
use emqx_sim::scenario::Role;

/// The annotation of pods that are created from a changed template.
pub(crate) const RENEWED: &str = "example.com/renewed";

/// Time between two samples.
const STEP: Duration = Duration::from_millis(250);

/// One node at one moment.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// EMQX's name.
    pub name: String,
    pub version: String,
    /// Whether it is a core.
    pub core: bool,
    /// Whether it runs and is part of the cluster.
    pub alive: bool,
    /// Whether it accepts clients and the Service sends clients to it.
    pub serves: bool,
    /// Live clients.
    pub connections: u64,
    /// Sessions of clients that are not connected.
    pub offline: u64,
    /// Whether its pod is created from a changed template.
    pub renewed: bool,
}

impl Node {
    /// The same node without clients and sessions.
    pub(crate) fn without_counts(&self) -> Self {
        Self { connections: 0, offline: 0, ..self.clone() }
    }
}

/// One rebalance at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Indices of nodes.
    pub coordinator: usize,
    /// The nodes that give clients.
    pub donors: Vec<usize>,
    /// The nodes that receive clients.
    pub recipients: Vec<usize>,
    /// EMQX's name of the state.
    pub state: &'static str,
    /// Absolute and relative threshold, of connections and of sessions.
    pub thresholds: [(f64, f64); 2],
}

#[derive(Clone, Debug)]
pub struct Moment {
    /// Seconds since the start.
    pub at: f64,
    /// The nodes; indices stay the same.
    pub nodes: Vec<Node>,
    /// The names of the pods, including those in which EMQX does not run; empty where no pod is replaced.
    pub pods: Vec<String>,
    /// Clients between two nodes.
    pub in_flight: u64,
    /// Rebalances.
    pub runs: Vec<Run>,
    /// Evacuated nodes and their states.
    pub evacuations: Vec<(usize, &'static str)>,
    /// Whether sessions are purged.
    pub purging: bool,
    /// Disconnections so far.
    pub cuts: u64,
    /// Sessions that were lost with their nodes so far.
    pub lost_sessions: u64,
}

impl Moment {
    /// Live clients of all nodes.
    pub fn live(&self) -> u64 {
        self.nodes.iter().map(|node| node.connections).sum()
    }
}

/// A rebalance from its start to its end.
#[derive(Clone, Debug)]
pub struct History {
    /// Its last observed state.
    pub run: Run,
    /// Seconds since the start.
    pub start: f64,
    /// Seconds since the start; `None` while it runs.
    pub end: Option<f64>,
}

/// All samples.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// In order of time.
    pub moments: Vec<Moment>,
}

impl Truth {
    /// The last moment at or before a time.
    pub fn at(&self, at: f64) -> Option<&Moment> {
        let after = self.moments.partition_point(|moment| moment.at <= at);
        self.moments.get(after.saturating_sub(1))
    }

    /// The moments within a span.
    pub fn within(&self, from: f64, to: f64) -> impl Iterator<Item = &Moment> {
        self.moments.iter().filter(move |moment| moment.at >= from && moment.at <= to)
    }

    /// Every rebalance, in order of their starts.
    pub fn histories(&self) -> Vec<History> {
        let mut all: Vec<History> = Vec::new();
        for moment in &self.moments {
            for history in all.iter_mut().filter(|history| history.end.is_none()) {
                let same = |run: &&Run| {
                    run.coordinator == history.run.coordinator && run.donors == history.run.donors
                };
                match moment.runs.iter().find(same) {
                    Some(run) => history.run = run.clone(),
                    None => history.end = Some(moment.at),
                }
            }
            for run in &moment.runs {
                let known = all.iter().any(|history| {
                    history.end.is_none()
                        && history.run.coordinator == run.coordinator
                        && history.run.donors == run.donors
                });
                if !known {
                    all.push(History { run: run.clone(), start: moment.at, end: None });
                }
            }
        }
        all
    }
}

/// Samples EMQX until the run ends; `renewed` reports whether a pod was replaced, `pods` names the pods.
pub(crate) async fn record(
    emqx: Emqx,
    renewed: impl Fn(&str) -> bool,
    pods: impl Fn() -> Vec<String>,
    truth: Rc<RefCell<Truth>>,
) {
    loop {
        let mut now = moment(&emqx);
        now.pods = pods();
        let of_nodes: Vec<String> =
            emqx.with(|broker| broker.nodes.iter().map(|node| node.pod.clone()).collect());
        for (node, pod) in now.nodes.iter_mut().zip(of_nodes) {
            node.renewed = renewed(&pod);
        }
        truth.borrow_mut().moments.push(now);
        tokio::time::sleep(STEP).await;
    }
}

fn moment(emqx: &Emqx) -> Moment {
    let at = emqx.clock().elapsed().as_secs_f64();
    emqx.with(|broker| Moment {
        at,
        nodes: broker
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| Node {
                name: node.name.clone(),
                version: node.version.clone(),
                core: node.role == Role::Core,
                alive: node.running && !node.gone,
                serves: node.in_service && !node.gone && broker.available(index),
                connections: node.connections,
                offline: node.offline,
                renewed: false,
            })
            .collect(),
        pods: Vec::new(),
        in_flight: broker.in_flight(),
        runs: broker
            .rebalances()
            .iter()
            .map(|run| Run {
                coordinator: run.coordinator,
                donors: run.donors.clone(),
                recipients: run.recipients.clone(),
                state: run.state.name(),
                thresholds: [
                    (run.order.conn.abs, run.order.conn.rel),
                    (run.order.sess.abs, run.order.sess.rel),
                ],
            })
            .collect(),
        evacuations: broker
            .evacuations()
            .iter()
            .map(|evacuation| (evacuation.node, evacuation.state.name()))
            .collect(),
        purging: !broker.purges().is_empty(),
        cuts: broker.tally.cuts,
        lost_sessions: broker.tally.lost_sessions,
    })
}
