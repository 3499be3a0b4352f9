//! The running operations of the simulated EMQX, as values; `coordinator`, `purge` and `sessions`
//! advance them.

use std::time::Duration;

use super::orders::{EvacuationOrder, RebalanceOrder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceState {
    /// Load balancers are given time to notice.
    WaitHealthCheck,
    /// Clients are disconnected.
    EvictingConns,
    /// Clients may take their sessions over.
    WaitTakeover,
    /// Sessions are moved.
    EvictingSessions,
}

impl RebalanceState {
    /// EMQX's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WaitHealthCheck => "wait_health_check",
            Self::EvictingConns => "evicting_conns",
            Self::WaitTakeover => "wait_takeover",
            Self::EvictingSessions => "evicting_sessions",
        }
    }
}

/// A running rebalance.
#[derive(Clone, Debug)]
pub struct Rebalance {
    /// The node that coordinates.
    pub coordinator: usize,
    /// The nodes that give clients; fixed at the start.
    pub donors: Vec<usize>,
    /// The nodes that receive clients; fixed at the start.
    pub recipients: Vec<usize>,
    /// The number of nodes at the start: later nodes take no part, and clients can connect to them.
    pub(super) known: usize,
    /// The request.
    pub order: RebalanceOrder,
    /// The present state.
    pub state: RebalanceState,
    /// Donors' and recipients' mean connections at the last round that evicted; a round that only ended the phase
    /// is not stored.
    pub conn_means: Option<(f64, f64)>,
    /// The same of offline sessions.
    pub sess_means: Option<(f64, f64)>,
    /// Rounds that evicted connections.
    pub rounds: u64,
    /// Until when the coordinator waits for its donors to move the sessions of a round: it answers no request
    /// before.
    pub(super) busy_until: Duration,
    /// When the coordinator crashes because a round lasts longer than its time limit.
    pub(super) gives_up: Option<Duration>,
    pub(super) initial: Vec<(usize, u64, u64)>,
    pub(super) started: Duration,
    pub(super) next: Duration,
}

impl Rebalance {
    /// When its next step is due, by itself or because a coordinator ends `crash` after its start.
    pub(super) fn due(&self, crash: Option<Duration>) -> Duration {
        let next = self.gives_up.map_or(self.next, |end| self.next.min(end));
        crash.map_or(next, |crash| next.min(self.started + crash))
    }

    /// A donor's connections and sessions at the start.
    pub(super) fn at_start(&self, donor: usize) -> (u64, u64) {
        let found = self.initial.iter().find(|(node, _, _)| *node == donor);
        found.map_or((0, 0), |&(_, connections, sessions)| (connections, sessions))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvacuationState {
    /// Load balancers are given time to notice (v5 only).
    WaitingHealthCheck,
    /// Clients are disconnected.
    EvictingConns,
    /// Clients may take their sessions over.
    WaitingTakeover,
    /// Sessions are moved.
    EvictingSessions,
    /// The node is empty and refuses clients.
    Prohibiting,
}

impl EvacuationState {
    /// EMQX's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WaitingHealthCheck => "waiting_health_check",
            Self::EvictingConns => "evicting_conns",
            Self::WaitingTakeover => "waiting_takeover",
            Self::EvictingSessions => "evicting_sessions",
            Self::Prohibiting => "prohibiting",
        }
    }
}

/// A running evacuation.
#[derive(Clone, Debug)]
pub struct Evacuation {
    /// The node that is emptied.
    pub node: usize,
    /// The present state.
    pub state: EvacuationState,
    /// The request.
    pub order: EvacuationOrder,
    /// Connections and sessions at the start.
    pub initial: (u64, u64),
    /// Connections and sessions as EMQX reports them: before the last round's eviction.
    pub current: (u64, u64),
    pub(super) targets: Vec<usize>,
    pub(super) next: Option<Duration>,
}

impl Evacuation {
    /// Resumes after a restart from the disk, which has the two rates, the wait for takeovers, and the server
    /// reference. It does not have the nodes for the sessions; `others` are all other nodes. The node has no
    /// clients yet, so that all its numbers are 0 and nothing is evicted.
    pub(super) fn resume(&mut self, now: Duration, others: Vec<usize>) {
        self.state = EvacuationState::EvictingConns;
        self.order.migrate_to = None;
        self.targets = others;
        (self.initial, self.current) = ((0, 0), (0, 0));
        self.next = Some(now);
    }
}

/// A running purge.
#[derive(Clone, Debug)]
pub struct Purge {
    /// The node that leads it.
    pub node: usize,
    /// Sessions discarded a second.
    pub rate: u64,
    /// Sessions of the node at the start.
    pub initial: u64,
    /// When sessions are discarded next.
    pub(super) next: Duration,
}

/// The sessions that one node moves in one round.
#[derive(Clone, Debug)]
pub(super) struct Moving {
    /// The node that gives them.
    pub(super) node: usize,
    pub(super) left: u64,
    pub(super) targets: Vec<usize>,
    /// When moved sessions are counted next.
    pub(super) next: Duration,
}
