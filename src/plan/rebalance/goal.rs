//! Where a running rebalance will leave every node: the forecast again, from the counts of this moment.

use std::collections::BTreeMap;

use super::progress::{Counts, NodeCounts};
use crate::model::{NodeName, Stage};
use crate::plan::rebalance::plan::thresholds;
use crate::plan::rebalance::progress::lost_clients;
use crate::plan::rebalance::run::RebalanceRun;
use emqx_rebalance::eviction::{Landing, Loop, run};
use emqx_rebalance::rules::mean;

/// Where a rebalance ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goals {
    /// What each participant will hold.
    pub nodes: BTreeMap<NodeName, u64>,
    /// The donors' mean.
    pub donors: f64,
    /// The recipients' mean.
    pub recipients: f64,
    /// Rounds from the start to the end, where the start is known.
    pub rounds: Option<u64>,
    /// Whether thresholds and waits are not known: then this is the latest end, and EMQX may stop earlier.
    pub latest: bool,
}

/// Where this rebalance ends; the latest possible end where its thresholds are unknown. `None` when counts or
/// rates are unknown, or when it is over.
pub(crate) fn goals(of: &RebalanceRun) -> Option<Goals> {
    let (entry, strategy) = (of.entry.as_ref().filter(|_| of.ended.is_none())?, of.assumed()?);
    let (threshold, _) = thresholds(&strategy);
    let forecast = |counts: &Counts| {
        let donors = counts.each(&entry.donors, Counts::connections_of)?;
        let recipients = counts.each(&entry.recipients, Counts::connections_of)?;
        Some(run(&Loop {
            donors: &donors,
            recipients: &recipients,
            rate: strategy.conn_evict_rate,
            threshold,
            delay: 0,
            landing: Landing::Even,
            donors_open_after_ms: 0,
        }))
    };
    // A start that was observed too early or too late would give fewer rounds than remain.
    let left = of.left.map_or(0, |left| left.rounds);
    let rounds = of.start.as_ref().and_then(forecast).map(|outcome| outcome.rounds);
    let rounds = rounds.filter(|rounds| *rounds >= left.max(1));
    let (donors, recipients) = if matches!(entry.stage, Stage::WaitHealthCheck | Stage::EvictingConns) {
        let outcome = forecast(&landed(of, &entry.recipients))?;
        (outcome.donors, outcome.recipients)
    } else {
        // After the eviction of connections the present counts are final.
        (
            of.counts.each(&entry.donors, Counts::connections_of)?,
            of.counts.each(&entry.recipients, Counts::connections_of)?,
        )
    };
    let means = (mean(donors.iter().copied()), mean(recipients.iter().copied()));
    let runs = |node: &&NodeName| of.counts.0.contains_key(*node);
    let names = entry.donors.iter().chain(&entry.recipients).filter(runs).cloned();
    Some(Goals {
        nodes: names.zip(donors.into_iter().chain(recipients)).collect(),
        donors: means.0,
        recipients: means.1,
        rounds,
        latest: of.strategy.is_none(),
    })
}

/// The counts after the clients that were just evicted have reconnected evenly.
fn landed(of: &RebalanceRun, recipients: &[NodeName]) -> Counts {
    let mut counts = of.counts.clone();
    let lost = lost_clients(of.start.as_ref(), &counts).unwrap_or(0);
    if lost == 0 || lost > of.reconnecting() || recipients.is_empty() {
        return counts;
    }
    let each = lost / recipients.len() as u64;
    let rest = (lost % recipients.len() as u64) as usize;
    for (place, node) in recipients.iter().enumerate() {
        if let Some(NodeCounts { connections: Some(connections), .. }) = counts.0.get_mut(node) {
            *connections += each + u64::from(place < rest);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tracker::RebalanceTracker;
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, Object, Phase, Update, World};
    use crate::plan::fixtures;

    #[test]
    fn the_documented_run_ends_as_planned_at_every_moment() {
        let mut world = World::of([fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        )]);
        world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(&[3333, 3333, 3334, 0]))));
        world.apply(fixtures::rebalance("golden", Phase::Processing, |_| ()));
        world.apply(fixtures::answer(0, BrokerUpdate::Evictions(fixtures::load("wait_health_check"))));
        let mut follower = RebalanceTracker::new(fixtures::id(ApiVersion::V2));
        follower.observe(&world, fixtures::at(0));
        for (second, counts, state) in [
            (1, [3333, 3333, 3334, 0], "wait_health_check"),
            (42, [3013, 3013, 3014, 960], "evicting_conns"),
            (95, [2553, 2553, 2554, 2340], "wait_takeover"),
        ] {
            world.apply(fixtures::answer(second, BrokerUpdate::Nodes(fixtures::nodes(&counts))));
            world.apply(fixtures::answer(second, BrokerUpdate::Evictions(fixtures::load(state))));
            follower.observe(&world, fixtures::at(second));
            let goals = goals(follower.running().expect("it runs")).expect("all is known");
            assert_eq!(goals.nodes.values().copied().collect::<Vec<_>>(), [2553, 2553, 2554, 2340]);
            assert_eq!(goals.rounds, Some(78));
        }
    }
}
