//! The simulated EMQX: nodes with counts of clients, when clients are evicted, and where they reconnect.
//!
//! ```text
//!            evict (its rules)            land (the load balancer)
//!   donor ───────────────────────► in flight ───────────────────────► recipient
//!   connections −n, sessions −n    (delay+1) s    connections +n, sessions +n
//! ```
//!
//! Clients are counts, never single objects: ten million on a thousand nodes cost as much as ten. Nothing
//! runs by itself: each access calls [`Broker::advance_to`], which processes everything that is due, in order
//! of time. At one instant returning clients land first, then coordinators judge: clients evicted in round
//! *t* are back before round *t+1+delay* is judged. The state machines are in [`super::coordinator`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::limits::{Licence, Listener};
use super::operations::{Evacuation, Moving, Purge, Rebalance};
use super::scenario::{Api, Balancer, Role, Scenario};

const SECOND: Duration = Duration::from_secs(1);
/// The time for which a core that starts again is in no list.
const RESTART: Duration = Duration::from_secs(2);
/// The number of sets of open nodes for which a balancer remembers the next node.
const TURNS: usize = 8;

/// One EMQX node.
#[derive(Clone, Debug)]
pub struct Node {
    /// EMQX's name of it, `emqx@host`.
    pub name: String,
    /// The pod it runs in.
    pub pod: String,
    /// The version that it reports.
    pub version: String,
    /// Core or replicant.
    pub role: Role,
    /// Whether it runs; a stopped core stays in the list with only its name.
    pub running: bool,
    /// When it will run again after a restart; until then no node lists it, neither as running nor as stopped.
    pub back_at: Option<Duration>,
    /// When it started; `None`: long before the scenario began.
    pub started: Option<Duration>,
    /// Whether it has left the cluster and does not return: no node lists it. Its index is not used again.
    pub gone: bool,
    /// Whether the Service sends clients to it; set by the part that maintains the endpoints.
    pub in_service: bool,
    /// Live clients.
    pub connections: u64,
    /// Sessions whose client is not connected.
    pub offline: u64,
    /// Evicted clients that reconnect only to this node, and wait until it accepts them again.
    pub away: u64,
}

impl Node {
    /// All sessions: those of connected clients and those of disconnected ones.
    pub fn sessions(&self) -> u64 {
        self.connections + self.offline
    }
}

/// Clients that are reconnecting.
#[derive(Debug)]
struct Flight {
    due: Duration,
    clients: u64,
    to: Landing,
}

#[derive(Clone, Debug, PartialEq)]
enum Landing {
    /// The load balancer sends them to these nodes, while one of them accepts clients.
    Among(Vec<usize>),
    /// To any node that accepts clients then.
    Anywhere,
    /// To one address, the only one that they know.
    Home(usize),
}

/// The losses of clients since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Disconnections, by eviction or with the end of a node.
    pub cuts: u64,
    /// Sessions that were lost with their node.
    pub lost_sessions: u64,
}

/// The whole cluster as EMQX sees it. Times are virtual, since the clock's start.
#[derive(Debug)]
pub struct Broker {
    /// The API that it serves.
    pub api: Api,
    /// The version it began with.
    pub version: String,
    /// In the order in which EMQX lists them.
    pub nodes: Vec<Node>,
    /// Indices of `nodes`, bytewise by name: the order in which a remainder is distributed.
    pub(super) by_name: Vec<usize>,
    pub(super) now: Duration,
    pub(super) rebalances: Vec<Rebalance>,
    pub(super) evacuations: Vec<Evacuation>,
    flights: Vec<Flight>,
    /// The losses of clients.
    pub tally: Tally,
    /// Nodes whose process is suspended: a request to them waits without an answer.
    frozen: BTreeSet<usize>,
    /// Evacuations on the disks of nodes that do not run: they survive a restart. A pod that is replaced
    /// loses its disk, except for cores of 3.x.
    saved: Vec<Evacuation>,
    /// Whether the volumes of cores survive their pods.
    durable: bool,
    /// The next node, for each set of nodes to which clients are sent; the latest last.
    turns: Vec<(Vec<usize>, usize)>,
    /// Sessions that are being moved.
    pub(super) moves: Vec<Moving>,
    /// The state of the generator that chooses a recipient for each session.
    pub(super) random: u64,
    /// The time for moving one session.
    pub(super) session_move: Duration,
    pub(super) purges: Vec<Purge>,
    /// The limits of its licence.
    pub licence: Licence,
    /// The listeners of every node.
    pub listeners: Vec<Listener>,
    /// Nodes that see no other node, although the others see them.
    blind: BTreeSet<usize>,
    balancer: Balancer,
    reconnect: Duration,
    /// Coordinators end this long after their start.
    pub(super) crash_after: Option<Duration>,
}

impl Broker {
    /// The cluster of a scenario at its beginning.
    pub fn new(scenario: &Scenario) -> Self {
        let nodes: Vec<Node> = scenario
            .members()
            .into_iter()
            .map(|member| Node {
                name: member.node,
                pod: member.pod,
                version: scenario.version.clone(),
                role: member.role,
                running: !member.stopped,
                back_at: None,
                started: None,
                gone: false,
                in_service: true,
                connections: if member.stopped { 0 } else { member.connections },
                offline: if member.stopped { 0 } else { member.offline },
                away: 0,
            })
            .collect();
        let mut broker = Self {
            api: scenario.api,
            version: scenario.version.clone(),
            nodes,
            by_name: Vec::new(),
            now: Duration::ZERO,
            rebalances: Vec::new(),
            evacuations: Vec::new(),
            flights: Vec::new(),
            tally: Tally::default(),
            frozen: BTreeSet::new(),
            saved: Vec::new(),
            durable: scenario.api == Api::V3beta1 || scenario.persistent_volumes,
            turns: Vec::new(),
            moves: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15,
            session_move: Duration::from_millis(scenario.session_move_ms),
            purges: Vec::new(),
            licence: scenario.licence.clone(),
            listeners: scenario.listeners.clone(),
            blind: BTreeSet::new(),
            balancer: scenario.load_balancer,
            reconnect: Duration::from_secs(scenario.reconnect_delay + 1),
            crash_after: scenario.coordinator_crash(),
        };
        broker.by_name = broker.in_name_order(&(0..broker.nodes.len()).collect::<Vec<_>>());
        broker
    }

    /// The index of a node that is part of the cluster.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| !node.gone && node.name == name)
    }

    /// The index of the node in a pod.
    pub fn in_pod(&self, pod: &str) -> Option<usize> {
        self.nodes.iter().position(|node| !node.gone && node.pod == pod)
    }

    /// The nodes that are part of the cluster, with their indices.
    pub fn members(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| !node.gone)
    }

    /// EMQX has started in a pod and joins the cluster: as a new node, or as one that was in it before under
    /// this name.
    pub fn join(&mut self, name: &str, pod: &str, role: Role, version: &str) {
        let known = self.nodes.iter().position(|node| node.name == name);
        let node = known.unwrap_or_else(|| {
            self.nodes.push(Node {
                name: name.to_owned(),
                pod: String::new(),
                version: String::new(),
                role,
                running: false,
                back_at: None,
                started: None,
                gone: false,
                in_service: false,
                connections: 0,
                offline: 0,
                away: 0,
            });
            self.nodes.len() - 1
        });
        let found = &mut self.nodes[node];
        pod.clone_into(&mut found.pod);
        version.clone_into(&mut found.version);
        found.gone = false;
        if known.is_none() {
            self.by_name = self.in_name_order(&(0..self.nodes.len()).collect::<Vec<_>>());
        }
        self.set_running(node, true);
    }

    /// EMQX in a pod has ended, and the node leaves the cluster and does not return.
    pub fn leave(&mut self, node: usize) {
        self.set_running(node, false);
        if !(self.durable && self.nodes[node].role == Role::Core) {
            self.saved.retain(|evacuation| evacuation.node != node);
        }
        self.nodes[node].gone = true;
        self.nodes[node].in_service = false;
    }

    /// Whether the node's eviction agent is on: it is a donor, or it is evacuated.
    pub fn agent_on(&self, node: usize) -> bool {
        self.evacuations.iter().any(|evacuation| evacuation.node == node)
            || self.rebalances.iter().any(|rebalance| rebalance.donors.contains(&node))
    }

    /// The answer of `availability_check`: whether a load balancer should send clients here.
    pub fn available(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.running)
            && !self.agent_on(node)
            && self.purges.is_empty()
    }

    /// The answer of the eviction agent of a node to another coordinator, while the agent is on.
    pub(super) fn agent_refusal(&self, node: usize) -> &'static str {
        let led = self.rebalances.iter().any(|rebalance| rebalance.donors.contains(&node));
        if led { "invalid_coordinator" } else { "eviction_agent_busy" }
    }

    /// Whether this EMQX limits how long a coordinator waits for a round: 5.9 and later.
    pub fn has_rpc_timeouts(&self) -> bool {
        self.at_least(5, 9)
    }

    /// Whether the version with which the cluster began is this one or later.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }

    /// The nodes that run.
    pub(super) fn running_nodes(&self) -> Vec<usize> {
        self.members().filter(|(_, node)| node.running).map(|(node, _)| node).collect()
    }

    /// Lets a node lose its view of the others, or find it again; the others see the node all the time.
    pub fn set_blind(&mut self, node: usize, blind: bool) {
        if blind {
            self.blind.insert(node);
        } else {
            self.blind.remove(&node);
        }
    }

    /// Whether this node sees the other one run.
    pub(super) fn sees(&self, node: usize, other: usize) -> bool {
        self.nodes[other].running && (node == other || !self.blind.contains(&node))
    }

    /// Suspends a node's process, or lets it continue.
    pub fn set_frozen(&mut self, node: usize, frozen: bool) {
        if frozen {
            self.frozen.insert(node);
        } else {
            self.frozen.remove(&node);
        }
    }

    /// Whether a node's process is suspended.
    pub fn is_frozen(&self, node: usize) -> bool {
        self.frozen.contains(&node)
    }

    /// Whether a call to every node hangs because one of them does not answer.
    pub fn cluster_hangs(&self) -> bool {
        self.members().any(|(index, node)| node.running && self.is_frozen(index))
    }

    /// Whether a coordinator is inside a session round, in which it does not answer.
    pub fn coordinator_busy(&self) -> bool {
        self.rebalances.iter().any(|rebalance| rebalance.busy_until > self.now)
    }

    /// Whether the node leads a rebalance.
    pub fn leads(&self, node: usize) -> bool {
        self.rebalances.iter().any(|rebalance| rebalance.coordinator == node)
    }

    /// Whether the node is a donor.
    pub fn donates(&self, node: usize) -> bool {
        self.rebalances.iter().any(|rebalance| rebalance.donors.contains(&node))
    }

    /// Starts a stopped node again. For 2 s it is neither listed as running nor as stopped (seen on EMQX 5.4.1, 5.8.11).
    pub fn restart(&mut self, node: usize) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(node).filter(|node| !node.running && !node.gone) {
            node.back_at = Some(now + RESTART);
        }
    }

    /// Processes everything that is due until `now`, in order of time.
    pub fn advance_to(&mut self, now: Duration) {
        loop {
            let flights = self.flights.iter().map(|flight| flight.due);
            let rebalances = self.rebalances.iter().map(|rebalance| rebalance.due(self.crash_after));
            let evacuations = self.evacuations.iter().filter_map(|evacuation| evacuation.next);
            let moves = self.moves.iter().map(|moving| moving.next);
            let restarts = self.nodes.iter().filter_map(|node| node.back_at);
            let purges = self.purges.iter().map(|purge| purge.next);
            let all = flights.chain(rebalances).chain(evacuations).chain(moves).chain(restarts).chain(purges);
            let Some(next) = all.min().filter(|&next| next <= now) else { break };
            self.now = self.now.max(next);
            self.step_restarts();
            self.step_moves();
            self.step_purges();
            self.land_due();
            self.step_rebalances();
            self.step_evacuations();
        }
        self.now = self.now.max(now);
    }

    /// Disconnects `clients` from a node; they reconnect by the load balancer's rule among `targets`.
    pub(super) fn evict(&mut self, node: usize, clients: u64, targets: &[usize]) {
        if clients == 0 {
            return;
        }
        let Some(donor) = self.nodes.get_mut(node) else { return };
        donor.connections -= clients.min(donor.connections);
        self.tally.cuts += clients;
        if self.balancer == Balancer::Sticky {
            donor.away += clients;
            return;
        }
        self.fly(clients, Landing::Among(targets.to_vec()));
    }

    /// Nodes that stop and nodes that are back.
    fn step_restarts(&mut self) {
        let now = self.now;
        let back = |node: &Node| node.back_at.is_some_and(|at| at <= now);
        while let Some(node) = self.nodes.iter().position(back) {
            self.set_running(node, true);
        }
    }

    /// A rebalance with these recipients has ended: its clients that have not reconnected yet go to all
    /// nodes.
    pub(super) fn reopen(&mut self, recipients: &[usize]) {
        let now = self.now;
        for flight in &mut self.flights {
            // A flight is due at the earliest one second after its clients are back.
            let back = flight.due.saturating_sub(SECOND);
            if back > now && matches!(&flight.to, Landing::Among(targets) if targets == recipients) {
                flight.to = Landing::Anywhere;
            }
        }
    }

    /// The next clients go to the first of the open nodes, independently of the last one.
    pub(super) fn forget_turns(&mut self) {
        self.turns.clear();
    }

    fn fly(&mut self, clients: u64, to: Landing) {
        let due = self.now + self.reconnect;
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.due == due && flight.to == to) {
            flight.clients += clients;
        } else {
            self.flights.push(Flight { due, clients, to });
        }
    }

    /// A node accepts clients again: those that only know its address reconnect.
    pub(super) fn welcome(&mut self, node: usize) {
        if let Some(found) = self.nodes.get_mut(node) {
            let clients = std::mem::take(&mut found.away);
            if clients > 0 {
                self.fly(clients, Landing::Home(node));
            }
        }
    }

    fn land_due(&mut self) {
        let now = self.now;
        let (due, later) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.due <= now);
        self.flights = later;
        let due: Vec<Flight> = due;
        for flight in due {
            match flight.to {
                Landing::Anywhere => self.land(flight.clients, &[]),
                Landing::Home(node) if self.available(node) => self.nodes[node].connections += flight.clients,
                Landing::Home(node) => self.nodes[node].away += flight.clients,
                Landing::Among(targets) => {
                    let targets = self.with_later_nodes(targets);
                    self.land(flight.clients, &targets);
                }
            }
        }
    }

    /// The recipients of a rebalance, and the nodes that serve clients and joined after its start.
    fn with_later_nodes(&self, mut targets: Vec<usize>) -> Vec<usize> {
        let run = self.rebalances.iter().find(|run| run.recipients == targets);
        if let Some(known) = run.map(|run| run.known).filter(|known| *known < self.nodes.len()) {
            targets.extend(self.serving().into_iter().filter(|&node| node >= known));
        }
        targets
    }

    /// Distributes `clients` among those of `targets` that accept clients, else to any node that does;
    /// otherwise they retry.
    fn land(&mut self, clients: u64, targets: &[usize]) {
        let mut open = self.in_name_order(targets);
        open.retain(|&node| self.takes(node));
        if open.is_empty() {
            open = self.serving();
        }
        if open.is_empty() {
            self.fly(clients, Landing::Among(targets.to_vec()));
            return;
        }
        match self.balancer {
            Balancer::Even | Balancer::Sticky => self.round_robin(clients, open),
            Balancer::One => self.nodes[open[0]].connections += clients,
            Balancer::Least => self.fill(clients, &open),
        }
    }

    /// To one node after another, beginning with the next one in turn: the balancer remembers it while the
    /// same nodes are open.
    fn round_robin(&mut self, clients: u64, open: Vec<usize>) {
        let number = open.len();
        let known = self.turns.iter().position(|(nodes, _)| *nodes == open);
        let turn = known.map_or(0, |at| self.turns.remove(at).1);
        let shares = emqx_rebalance::eviction::round_robin(u128::from(clients), number);
        for (place, share) in shares.enumerate() {
            self.nodes[open[(turn + place) % number]].connections += u64::try_from(share).unwrap_or(u64::MAX);
        }
        let rest = usize::try_from(clients % number as u64).unwrap_or(0);
        self.turns.push((open, (turn + rest) % number));
        if self.turns.len() > TURNS {
            self.turns.remove(0);
        }
    }

    /// Equal shares, the remainder one each from the first.
    fn spread(&mut self, clients: u64, open: &[usize]) {
        let number = open.len() as u64;
        let (share, rest) = (clients / number, clients % number);
        for (place, &node) in open.iter().enumerate() {
            self.nodes[node].connections += share + u64::from((place as u64) < rest);
        }
    }

    /// Each client to the node with the fewest, the first of equal ones; computed by levels, so that a
    /// million clients are not a million steps.
    fn fill(&mut self, mut clients: u64, open: &[usize]) {
        while clients > 0 {
            let Some(lowest) = open.iter().map(|&node| self.nodes[node].connections).min() else { return };
            let low: Vec<usize> =
                open.iter().copied().filter(|&node| self.nodes[node].connections == lowest).collect();
            let above =
                open.iter().map(|&node| self.nodes[node].connections).filter(|&count| count > lowest).min();
            let number = low.len() as u64;
            let room = above.map_or(u64::MAX, |above| (above - lowest).saturating_mul(number));
            let now = clients.min(room);
            self.spread(now, &low);
            clients -= now;
        }
    }

    /// Whether a client that the load balancer sends on its way ends up here.
    fn takes(&self, node: usize) -> bool {
        self.available(node) && self.nodes[node].in_service && !self.is_frozen(node)
    }

    /// The role that serves clients: replicants if the cluster has any, else cores.
    pub(super) fn front(&self) -> Role {
        let replicants = self.members().any(|(_, node)| node.role == Role::Replicant);
        if replicants { Role::Replicant } else { Role::Core }
    }

    /// The nodes a load balancer sends clients to: those in the Service that accept them.
    pub fn serving(&self) -> Vec<usize> {
        let role = self.front();
        self.by_name
            .iter()
            .copied()
            .filter(|&node| self.nodes[node].role == role && self.takes(node))
            .collect()
    }

    /// The same nodes, bytewise by name.
    pub(super) fn in_name_order(&self, nodes: &[usize]) -> Vec<usize> {
        let mut sorted = nodes.to_vec();
        sorted.sort_by(|&a, &b| self.nodes[a].name.as_bytes().cmp(self.nodes[b].name.as_bytes()));
        sorted
    }

    /// Clients that are reconnecting at this moment, and those that wait for a node that refuses them.
    pub fn in_flight(&self) -> u64 {
        self.flights.iter().map(|flight| flight.clients).sum::<u64>()
            + self.nodes.iter().map(|node| node.away).sum::<u64>()
    }

    /// Stops or starts a node from outside. Its clients reconnect to another one.
    pub fn set_running(&mut self, node: usize, running: bool) {
        let Some(found) = self.nodes.get_mut(node) else { return };
        if !running {
            found.back_at = None;
        }
        if found.running == running {
            return;
        }
        found.running = running;
        found.back_at = None;
        if running {
            found.started = Some(self.now);
        }
        self.frozen.remove(&node);
        if running {
            if let Some(at) = self.saved.iter().position(|evacuation| evacuation.node == node) {
                let mut evacuation = self.saved.remove(at);
                let others =
                    self.running_nodes().into_iter().filter(|&other| other != node).collect::<Vec<_>>();
                evacuation.resume(self.now, self.in_name_order(&others));
                self.evacuations.push(evacuation);
            }
            self.welcome(node);
            return;
        }
        let clients = std::mem::take(&mut found.connections);
        self.tally.lost_sessions += std::mem::take(&mut found.offline);
        self.tally.cuts += clients;
        let (lost, kept) = std::mem::take(&mut self.evacuations)
            .into_iter()
            .partition(|evacuation: &Evacuation| evacuation.node == node);
        self.evacuations = kept;
        self.saved.retain(|evacuation| evacuation.node != node);
        self.saved.extend::<Vec<_>>(lost);
        self.moves.retain(|moving| moving.node != node);
        self.node_lost(node);
        let targets = self.serving();
        if clients > 0 {
            self.fly(clients, Landing::Among(targets));
        }
    }
}
