//! The inline progress of a rebalance.

use super::parts::{about, steps};
use crate::model::human::{clock, count, plural};
use crate::model::{Judgement, NodeName, Part, Verdict};
use crate::output::theme::Tone;
use crate::output::{InlineRow, InlineStep, InlineView};
use crate::plan::rebalance::messages::{self, contradiction};
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::snapshot::Snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The inline progress of this run: donors, then recipients.
pub(super) fn view(
    snapshot: &Snapshot,
    run: &RebalanceRun,
    plan: Option<&RebalancePlan>,
    deltas: &[(NodeName, i64)],
    now: Timestamp,
    zone: &TimeZone,
) -> InlineView {
    let standing = run.standing();
    let (headline, tone) = match (&run.verdict, standing) {
        (Some(Judgement { verdict, .. }), _) => (verdict.words().to_owned(), Tone::of(*verdict)),
        (None, Verdict::StillRunning) => {
            (format!("{}, EMQX continues", contradiction(run.object.as_ref())), Tone::Warning)
        }
        (None, _) => (String::new(), Tone::default()),
    };
    let left = run.left.map_or(0, |left| left.seconds);
    let end = now + jiff::SignedDuration::from_secs(left.min(1 << 32).cast_signed());
    let participants = run.donors().iter().chain(run.recipients());
    let rows = participants
        .map(|node| InlineRow {
            label: run.label(node).to_owned(),
            part: Some(if run.donors().contains(node) { Part::Donor } else { Part::Recipient }),
            connections: run.counts.connections(node),
            sessions: run.counts.sessions(node),
            delta: deltas.iter().find(|(name, _)| name == node).map(|(_, delta)| *delta),
        })
        .collect();
    InlineView {
        title: format!("REBALANCING {}", snapshot.instance.name),
        headline,
        tone,
        percent: run.work_percent(),
        ends: run.left.filter(|_| run.ended.is_none()).map(|_| clock(end, zone)),
        timeline: timeline(run),
        facts: facts(run),
        rows,
        goal: plan.map(goal),
        landing_ratio: run.landing_ratio(),
        ..about(snapshot)
    }
}

/// The four steps of a rebalance, and its present step.
fn timeline(run: &RebalanceRun) -> Vec<InlineStep> {
    let Some(entry) = &run.entry else { return Vec::new() };
    let waits = run
        .strategy
        .as_ref()
        .map(|strategy| [strategy.wait_health_check_seconds, strategy.wait_takeover_seconds]);
    steps(&entry.stage, run.ended.is_some(), waits)
}

fn facts(run: &RebalanceRun) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(left) = run.left.filter(|left| run.ended.is_none() && left.rounds > 0) {
        facts.push(format!("{} to go", plural(left.rounds, "round")));
    }
    if let Some(now) = run.counts.all_connections() {
        facts.push(format!("{} connected", count(now)));
    }
    facts.extend(messages::missing(run).map(|fact| fact.text));
    facts
}

fn goal(plan: &RebalancePlan) -> String {
    let average = |value: f64| count(value.round() as u64);
    format!(
        "{} on donors, {} on recipients",
        average(plan.averages.donors_after),
        average(plan.averages.recipients_after.unwrap_or(0.0))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus, Object, Update, World};
    use crate::plan::fixtures;
    use crate::plan::rebalance::tracker::RebalanceTracker;

    #[test]
    fn clients_of_one_round_are_reconnecting_and_not_missing_in_every_output() {
        let instance = Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1))));
        let mut world = World::of([fixtures::fact(0, instance)]);
        let mut follower = RebalanceTracker::new(fixtures::id(ApiVersion::V2));
        let mut after = |at: i64, connections: &[u64], load: EvictionStatus| {
            world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(connections))));
            world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
            follower.observe(&world, fixtures::at(at));
            facts(follower.running().expect("a rebalance"))
        };
        after(1, &[3333, 3333, 3334, 0], fixtures::load("wait_health_check"));
        let flying = after(12, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
        assert_eq!(flying[flying.len() - 2..], ["9,970 connected", "none missing"]);
        let lost = after(13, &[3313, 3313, 3314, 0], fixtures::load("evicting_conns"));
        assert_eq!(lost[lost.len() - 2..], ["9,940 connected", "60 clients missing"]);
    }
}
