//! Sessions without a client while they move from one node to another: one after another from each node, each
//! to a random recipient. Measured on EMQX 5.4.1, 5.8.11 and 5.10.4: about 1 ms for each without a network.

use std::time::Duration;

use super::broker::Broker;
use super::operations::Moving;

const SECOND: Duration = Duration::from_secs(1);
/// The most sessions in one step that are distributed one by one; the rest is split evenly, because single
/// sessions no longer matter.
const PICKED: u64 = 20_000;

impl Broker {
    /// Starts to move this many sessions from each of these nodes to `targets`; returns the time of the
    /// slowest node.
    pub(super) fn move_sessions(&mut self, moves: &[(usize, u64)], targets: &[usize]) -> Duration {
        let targets = self.in_name_order(targets);
        let most = moves.iter().map(|&(_, count)| count).max().unwrap_or(0);
        for &(node, left) in moves.iter().filter(|&&(_, count)| count > 0) {
            self.moves.push(Moving { node, left, targets: targets.clone(), next: self.now });
        }
        let lasts = self.take_for(most);
        for moving in &mut self.moves {
            if moving.next == self.now {
                let step = self.session_move.saturating_mul(u32::try_from(moving.left).unwrap_or(u32::MAX));
                moving.next = self.now + step.min(SECOND);
            }
        }
        self.step_moves();
        lasts
    }

    fn take_for(&self, sessions: u64) -> Duration {
        self.session_move.saturating_mul(u32::try_from(sessions).unwrap_or(u32::MAX))
    }

    /// Counts the sessions that have been moved by now.
    pub(super) fn step_moves(&mut self) {
        let now = self.now;
        let mut all = std::mem::take(&mut self.moves);
        for moving in all.iter_mut().filter(|moving| moving.next <= now) {
            let whole = SECOND.as_nanos().checked_div(self.session_move.as_nanos());
            let step = whole.map_or(moving.left, |whole| {
                moving.left.min(u64::try_from(whole).unwrap_or(u64::MAX).max(1))
            });
            moving.left -= step;
            moving.next = now + self.take_for(moving.left).min(SECOND);
            let offline = &mut self.nodes[moving.node].offline;
            let moved = step.min(*offline);
            *offline -= moved;
            self.scatter(moved, &moving.targets);
        }
        all.retain(|moving| moving.left > 0);
        self.moves = all;
    }

    /// Each of these sessions to a node picked at random.
    fn scatter(&mut self, sessions: u64, targets: &[usize]) {
        let number = targets.len() as u64;
        if number == 0 {
            return;
        }
        let picked = if number == 1 { 0 } else { sessions.min(PICKED) };
        for _ in 0..picked {
            let place = usize::try_from(self.draw() % number).unwrap_or(0);
            self.nodes[targets[place]].offline += 1;
        }
        let (each, rest) = ((sessions - picked) / number, (sessions - picked) % number);
        for (place, &node) in targets.iter().enumerate() {
            self.nodes[node].offline += each + u64::from((place as u64) < rest);
        }
    }

    /// The next number of a generator with the same sequence in each run (xorshift).
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}
