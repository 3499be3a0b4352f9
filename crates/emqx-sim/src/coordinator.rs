//! EMQX's two state machines: the rebalance, led by a coordinator, and the evacuation of one node.
//!
//! ```text
//! rebalance   wait_health_check ─► evicting_conns ─► wait_takeover ─► evicting_sessions ─► gone
//! evacuation  waiting_health_check ─► evicting_conns ─► waiting_takeover ─► evicting_sessions ─► prohibiting
//!             (not on v4)                                                                         (until stopped)
//! ```
//!
//! The arithmetic is only that of [`emqx_rebalance::rules`]. Refusals have EMQX's own texts.

use std::time::Duration;

use super::broker::Broker;
use super::operations::{Evacuation, EvacuationState, Rebalance, RebalanceState};
use super::orders::{EvacuationOrder, RebalanceOrder};
use super::refusal::Refusal;
use super::scenario::Api;
use emqx_rebalance::rules::{donors, evicted, mean};

const TICK: Duration = Duration::from_secs(1);
/// The time for which an evacuation waits when no node accepts its sessions.
const NO_TARGET: Duration = Duration::from_secs(30);

impl Broker {
    /// The running rebalances.
    pub fn rebalances(&self) -> &[Rebalance] {
        &self.rebalances
    }

    /// The running evacuations.
    pub fn evacuations(&self) -> &[Evacuation] {
        &self.evacuations
    }

    /// The nodes that can receive the sessions of an evacuated node at this moment.
    pub fn session_recipients(&self, evacuation: &Evacuation) -> Vec<usize> {
        evacuation.targets.iter().copied().filter(|&node| self.available(node)).collect()
    }

    fn path_node(&self, name: &str) -> Result<usize, Refusal> {
        self.find(name)
            .filter(|&node| self.nodes[node].running)
            .ok_or_else(|| Refusal::NoNode(name.to_owned()))
    }

    fn named(&self, names: &[String]) -> Result<Vec<usize>, Refusal> {
        // EMQX prepends each name to the list, so that the list is reversed.
        let unknown: Vec<String> = names
            .iter()
            .rev()
            .filter(|name| self.find(name).is_none())
            .map(|name| format!("<<\"{name}\">>"))
            .collect();
        if !unknown.is_empty() {
            return Err(Refusal::Bad(format!("Invalid nodes: [{}]", unknown.join(","))));
        }
        let nodes: Vec<usize> = names.iter().rev().filter_map(|name| self.find(name)).collect();
        let closed: Vec<String> = nodes
            .iter()
            .filter(|&&node| !self.available(node))
            .map(|&node| self.nodes[node].name.clone())
            .collect();
        if closed.is_empty() { Ok(nodes) } else { Err(Refusal::Unavailable(closed)) }
    }

    /// Starts a rebalance led by `coordinator`.
    pub fn start_rebalance(&mut self, coordinator: &str, order: RebalanceOrder) -> Result<(), Refusal> {
        let leader = self.path_node(coordinator)?;
        let nodes = match &order.nodes {
            Some(names) => self.named(names)?,
            None => self.in_name_order(&self.running_nodes()),
        };
        if self.rebalances.iter().any(|rebalance| rebalance.coordinator == leader) {
            return Err(Refusal::on(coordinator, "already_started"));
        }
        let connections: Vec<u64> = nodes.iter().map(|&node| self.nodes[node].connections).collect();
        let gives = donors(&connections);
        let pick = |give: bool| -> Vec<usize> {
            nodes.iter().zip(&gives).filter(|&(_, &gives)| gives == give).map(|(&node, _)| node).collect()
        };
        let (givers, takers) = (pick(true), pick(false));
        let even = givers.is_empty() || takers.is_empty() || {
            let of = |group: &[usize], count: fn(&super::broker::Node) -> u64| {
                mean(group.iter().map(|&node| count(&self.nodes[node])))
            };
            let by_connections = |node: &super::broker::Node| node.connections;
            order.conn.holds(of(&givers, by_connections), of(&takers, by_connections))
                && order.sess.holds(
                    of(&givers, super::broker::Node::sessions),
                    of(&takers, super::broker::Node::sessions),
                )
        };
        if even {
            return Err(Refusal::on(coordinator, "nothing_to_balance"));
        }
        let busy: Vec<(String, &'static str)> = givers
            .iter()
            .filter(|&&node| self.agent_on(node))
            .map(|&node| (self.nodes[node].name.clone(), self.agent_refusal(node)))
            .collect();
        if !busy.is_empty() {
            return Err(Refusal::Rpc {
                node: coordinator.to_owned(),
                results: self.has_rpc_timeouts(),
                donors: busy,
            });
        }
        self.forget_turns();
        let initial = givers
            .iter()
            .map(|&node| (node, self.nodes[node].connections, self.nodes[node].sessions()))
            .collect();
        self.rebalances.push(Rebalance {
            coordinator: leader,
            known: self.nodes.len(),
            donors: givers,
            recipients: takers,
            state: RebalanceState::WaitHealthCheck,
            conn_means: None,
            sess_means: None,
            rounds: 0,
            busy_until: Duration::ZERO,
            gives_up: None,
            initial,
            started: self.now,
            next: self.now + order.wait_health_check,
            order,
        });
        // Without any wait the first round is due now.
        self.advance_to(self.now);
        Ok(())
    }

    /// Stops the rebalance led by `coordinator`.
    pub fn stop_rebalance(&mut self, coordinator: &str) -> Result<(), Refusal> {
        let leader = self.path_node(coordinator)?;
        let Some(at) = self.rebalances.iter().position(|rebalance| rebalance.coordinator == leader) else {
            return Err(Refusal::on(coordinator, "not_started"));
        };
        let ended = self.rebalances.remove(at);
        self.release(&ended);
        Ok(())
    }

    /// Ends every rebalance at once, as when the coordinators' processes end.
    pub fn crash_coordinators(&mut self) {
        for ended in std::mem::take(&mut self.rebalances) {
            self.release(&ended);
        }
    }

    /// Makes every coordinator hang: its rebalance stays listed, and nothing is moved.
    pub fn hang_coordinators(&mut self) {
        for rebalance in &mut self.rebalances {
            rebalance.next = Duration::MAX;
        }
    }

    fn release(&mut self, ended: &Rebalance) {
        self.reopen(&ended.recipients);
        for &donor in &ended.donors {
            if self.available(donor) {
                self.welcome(donor);
            }
        }
    }

    /// A node stopped: every rebalance it takes part in ends.
    pub(super) fn node_lost(&mut self, node: usize) {
        let (ended, going): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.rebalances).into_iter().partition(|rebalance| {
                rebalance.coordinator == node
                    || rebalance.donors.contains(&node)
                    || rebalance.recipients.contains(&node)
            });
        self.rebalances = going;
        for rebalance in &ended {
            self.release(rebalance);
        }
    }

    /// Starts the evacuation of a node.
    pub fn start_evacuation(&mut self, name: &str, order: EvacuationOrder) -> Result<(), Refusal> {
        let node = self.path_node(name)?;
        let targets = if let Some(names) = &order.migrate_to {
            self.named(names)?
        } else {
            let others = self.running_nodes().into_iter().filter(|&other| other != node);
            self.in_name_order(&others.collect::<Vec<_>>())
        };
        if self.evacuations.iter().any(|evacuation| evacuation.node == node) {
            return Err(Refusal::on(name, "already_started"));
        }
        if self.agent_on(node) {
            return Err(Refusal::on(name, "eviction_agent_busy"));
        }
        let counts = (self.nodes[node].connections, self.nodes[node].sessions());
        let (state, wait) = if self.api == Api::V1beta4 {
            (EvacuationState::EvictingConns, Duration::ZERO)
        } else {
            (EvacuationState::WaitingHealthCheck, order.wait_health_check)
        };
        let next = Some(self.now + wait);
        self.evacuations.push(Evacuation {
            node,
            state,
            order,
            initial: counts,
            current: counts,
            targets,
            next,
        });
        self.advance_to(self.now);
        Ok(())
    }

    /// Stops the evacuation of a node; it takes clients again.
    pub fn stop_evacuation(&mut self, name: &str) -> Result<(), Refusal> {
        let node = self.path_node(name)?;
        let Some(at) = self.evacuations.iter().position(|evacuation| evacuation.node == node) else {
            return Err(Refusal::on(name, "not_started"));
        };
        self.evacuations.remove(at);
        self.welcome(node);
        Ok(())
    }

    pub(super) fn step_rebalances(&mut self) {
        let now = self.now;
        let mut running = std::mem::take(&mut self.rebalances);
        let mut ended = Vec::new();
        let mut place = 0;
        while place < running.len() {
            let rebalance = &mut running[place];
            // A frozen participant delays the rebalance: the coordinator waits for it.
            if rebalance.next <= now && self.waits_for_frozen(rebalance) {
                rebalance.next = now + TICK;
            }
            let crashed = self.crash_after.is_some_and(|crash| rebalance.started + crash <= now)
                || rebalance.gives_up.is_some_and(|end| end <= now);
            if crashed || (rebalance.next <= now && !self.step_rebalance(rebalance)) {
                ended.push(running.remove(place));
            } else {
                place += 1;
            }
        }
        self.rebalances = running;
        for rebalance in &ended {
            self.release(rebalance);
        }
    }

    /// One step of one rebalance; `false` when it is over.
    fn step_rebalance(&mut self, rebalance: &mut Rebalance) -> bool {
        let now = self.now;
        if rebalance.state == RebalanceState::WaitHealthCheck {
            rebalance.state = RebalanceState::EvictingConns;
        }
        if rebalance.state == RebalanceState::EvictingConns {
            let count = |node: &usize| self.nodes[*node].connections;
            let gives = mean(rebalance.donors.iter().map(count));
            let takes = mean(rebalance.recipients.iter().map(count));
            if rebalance.order.conn.holds(gives, takes) {
                rebalance.state = RebalanceState::WaitTakeover;
                rebalance.next = now + rebalance.order.wait_takeover;
                if !rebalance.order.wait_takeover.is_zero() {
                    return true;
                }
            } else {
                rebalance.conn_means = Some((gives, takes));
                rebalance.rounds += 1;
                for &donor in &rebalance.donors {
                    let lost = evicted(self.nodes[donor].connections, takes, rebalance.order.conn_rate);
                    self.evict(donor, lost, &rebalance.recipients);
                }
                rebalance.next = now + TICK;
                return true;
            }
        }
        rebalance.state = RebalanceState::EvictingSessions;
        let count = |node: &usize| self.nodes[*node].offline;
        let gives = mean(rebalance.donors.iter().map(count));
        let takes = mean(rebalance.recipients.iter().map(count));
        if rebalance.order.sess.holds(gives, takes) {
            return false;
        }
        rebalance.sess_means = Some((gives, takes));
        let moves: Vec<(usize, u64)> = rebalance
            .donors
            .iter()
            .map(|&donor| (donor, evicted(self.nodes[donor].offline, takes, rebalance.order.sess_rate)))
            .collect();
        let lasts = self.move_sessions(&moves, &rebalance.recipients);
        rebalance.busy_until = now + lasts;
        if self.has_rpc_timeouts() && lasts > rebalance.order.sess_timeout {
            rebalance.gives_up = Some(now + rebalance.order.sess_timeout);
        }
        rebalance.next = now + lasts + TICK;
        true
    }

    fn waits_for_frozen(&self, rebalance: &Rebalance) -> bool {
        let nodes = rebalance.donors.iter().chain(&rebalance.recipients);
        nodes.chain([&rebalance.coordinator]).any(|&node| self.is_frozen(node))
    }

    pub(super) fn step_evacuations(&mut self) {
        let now = self.now;
        let mut running = std::mem::take(&mut self.evacuations);
        // The agents must be visible as on while other clients look for a node.
        self.evacuations.clone_from(&running);
        for evacuation in &mut running {
            if evacuation.next.is_some_and(|next| next <= now) {
                self.step_evacuation(evacuation);
            }
        }
        self.evacuations = running;
    }

    fn step_evacuation(&mut self, evacuation: &mut Evacuation) {
        let now = self.now;
        let node = evacuation.node;
        if self.is_frozen(node) {
            evacuation.next = Some(now + TICK);
            return;
        }
        if evacuation.state == EvacuationState::WaitingHealthCheck {
            evacuation.state = EvacuationState::EvictingConns;
        }
        if evacuation.state == EvacuationState::EvictingConns {
            let own = self.nodes[node].connections;
            evacuation.current.0 = own;
            if own > 0 {
                let others = self.serving();
                self.evict(node, own.min(evacuation.order.conn_rate), &others);
                evacuation.next = Some(now + TICK);
                return;
            }
            evacuation.state = EvacuationState::WaitingTakeover;
            evacuation.next = Some(now + evacuation.order.wait_takeover);
            if !evacuation.order.wait_takeover.is_zero() {
                return;
            }
        }
        evacuation.state = EvacuationState::EvictingSessions;
        let own = self.nodes[node].sessions();
        evacuation.current.1 = own;
        if own == 0 {
            evacuation.state = EvacuationState::Prohibiting;
            evacuation.next = None;
            return;
        }
        let targets = self.session_recipients(evacuation);
        if targets.is_empty() {
            evacuation.next = Some(now + NO_TARGET);
            return;
        }
        let moved = self.nodes[node].offline.min(evacuation.order.sess_rate);
        let lasts = self.move_sessions(&[(node, moved)], &targets);
        evacuation.next = Some(now + lasts + TICK);
    }

    /// The participants if an operator started a rebalance: replicants if there are any, else cores.
    pub fn participants(&self) -> Vec<String> {
        let role = self.front();
        self.members().filter(|(_, node)| node.role == role).map(|(_, node)| node.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
