//! The plan of a rebalance that is followed.

use crate::model::NodeName;
use crate::plan::rebalance::forecast::forecast;
use crate::plan::rebalance::plan::{Participant, RebalancePlan, Return};
use crate::plan::rebalance::progress::NodeCounts;
use crate::plan::rebalance::record::PlanRecord;
use crate::plan::rebalance::run::RebalanceRun;

impl RebalanceRun {
    /// The plan on the object; without one, the forecast of the counts at its start, where the start was seen.
    pub(in crate::plan) fn planned(&self) -> Option<RebalancePlan> {
        self.entry.as_ref()?;
        let record = self.object.as_ref().and_then(|object| PlanRecord::read(object.plan.as_deref()?));
        let recorded = record.map(|record| (record.participants(), record.strategy));
        let participant = |node: &NodeName| {
            let NodeCounts { connections, sessions } = *self.start.as_ref()?.0.get(node)?;
            let connections = connections?;
            Some(Participant {
                node: node.clone(),
                pod: None,
                connections,
                sessions: sessions.unwrap_or(connections),
            })
        };
        let observed = || {
            let strategy = self.strategy.clone().filter(|_| self.counted_since.is_none())?;
            let nodes = self.donors().iter().chain(self.recipients());
            let mut participants = nodes.map(participant).collect::<Option<Vec<_>>>()?;
            participants.sort_by(|one, other| one.node.cmp(&other.node));
            Some((participants, strategy))
        };
        let (participants, strategy) = recorded.or_else(observed)?;
        Some(forecast(None, &participants, &strategy, Return::default()))
    }
}
