//! A purge: every session of the cluster is discarded, at a rate. EMQX starts one by its command line only. Seen on
//! EMQX 5.10.4: all nodes refuse clients, and `initial_sessions` is the node's while `current_sessions` is the cluster's.

use std::time::Duration;

use super::broker::{Broker, Node};
use super::operations::Purge;
use super::refusal::Refusal;

const SECOND: Duration = Duration::from_secs(1);

impl Broker {
    /// The running purges.
    pub fn purges(&self) -> &[Purge] {
        &self.purges
    }

    /// All sessions of the cluster.
    pub fn all_sessions(&self) -> u64 {
        self.members().map(|(_, node)| node.sessions()).sum()
    }

    /// Starts a purge led by `node`.
    pub fn start_purge(&mut self, node: usize, rate: u64) -> Result<(), Refusal> {
        let name = self.nodes[node].name.clone();
        if !self.purges.is_empty() {
            return Err(Refusal::on(&name, "already_started"));
        }
        if (0..self.nodes.len()).any(|node| self.agent_on(node)) {
            return Err(Refusal::on(&name, "eviction_agent_busy"));
        }
        let initial = self.nodes[node].sessions();
        self.purges.push(Purge { node, rate: rate.max(1), initial, next: self.now });
        self.advance_to(self.now);
        Ok(())
    }

    /// Ends every purge; all nodes accept clients again.
    pub fn stop_purges(&mut self) {
        self.purges.clear();
        for node in self.running_nodes() {
            self.welcome(node);
        }
    }

    pub(super) fn step_purges(&mut self) {
        let now = self.now;
        let Some(rate) = self.purges.iter().find(|purge| purge.next <= now).map(|purge| purge.rate) else {
            return;
        };
        let mut left = rate;
        for Node { connections, offline, .. } in &mut self.nodes {
            for count in [offline, connections] {
                let gone = left.min(*count);
                *count -= gone;
                left -= gone;
                self.tally.lost_sessions += gone;
            }
        }
        if self.all_sessions() == 0 {
            self.stop_purges();
        }
        for purge in &mut self.purges {
            purge.next = now + SECOND;
        }
    }
}
