//! The last strategy that was found for the user's requirement.

use crate::model::{GivenSettings, Strategy};
use crate::plan::rebalance::plan::{Participant, Return};
use crate::plan::rebalance::requirement::{Requirement, strategy_for};

/// A strategy, and the inputs of its search.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FoundStrategy {
    of: Option<(Vec<Participant>, Requirement, Return)>,
    strategy: Strategy,
}

impl FoundStrategy {
    /// The strategy for these nodes that meets the requirement. The search forecasts the rebalance many
    /// times, and most keys and answers of EMQX change nothing that it depends on.
    pub(super) fn find(&mut self, nodes: Vec<Participant>, required: Requirement, back: Return) -> Strategy {
        let of = (nodes, required, back);
        if self.of.as_ref() != Some(&of) {
            self.strategy = strategy_for(&of.0, required, GivenSettings::default(), back);
            self.of = Some(of);
        }
        self.strategy.clone()
    }
}
