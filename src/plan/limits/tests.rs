//! The rules of the limits.

use super::*;
use crate::model::limits::{LostLimit, Percent};
use crate::model::{ApiVersion, BrokerUpdate, Node, World};
use crate::plan::fixtures;

fn limits(change: impl FnOnce(&mut Limits)) -> LimitTracker {
    let mut limits = Limits::default();
    change(&mut limits);
    LimitTracker::new(limits, None)
}

fn lost(limit: LostLimit) -> LimitTracker {
    limits(|it| it.abort_if_lost = Some(limit))
}

/// A world that takes one answer of EMQX after another.
struct Answers {
    world: World,
    tracker: LimitTracker,
}

impl Answers {
    fn of(tracker: LimitTracker) -> Self {
        let world =
            World::of([fixtures::answer(0, BrokerUpdate::Evictions(fixtures::load("evicting_conns")))]);
        Self { world, tracker }
    }

    fn nodes(&mut self, at: i64, nodes: Vec<Node>) -> Vec<LimitOutcome> {
        self.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(fixtures::load("evicting_conns"))));
        self.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
        self.again(at)
    }

    fn again(&mut self, at: i64) -> Vec<LimitOutcome> {
        let broker = self.world.broker(&fixtures::id(ApiVersion::V2));
        self.tracker.observe(broker, OperationFacts::default(), fixtures::at(at))
    }

    fn counts(&mut self, at: i64, counts: &[u64]) -> Vec<LimitOutcome> {
        self.nodes(at, fixtures::nodes(counts))
    }
}

fn stops(outcomes: &[LimitOutcome]) -> Option<&str> {
    outcomes.iter().find_map(|outcome| match outcome {
        LimitOutcome::Stop(why) => Some(why.as_str()),
        LimitOutcome::Warning(_) => None,
    })
}

#[test]
fn lost_clients_stop_an_operation_once_and_only_after_five_seconds() {
    let mut it = Answers::of(lost(LostLimit::Clients(100)));
    assert!(it.counts(1, &[3333, 3333, 3334, 0]).is_empty());
    let near = it.counts(2, &[3293, 3293, 3294, 0]);
    assert!(
        matches!(near.as_slice(), [LimitOutcome::Warning(text)] if text.contains("90 clients are missing"))
    );
    for at in 3..8 {
        assert_eq!(stops(&it.counts(at, &[3233, 3233, 3234, 0])), None, "at {at}");
    }
    let stop = it.counts(8, &[3233, 3233, 3234, 0]);
    assert_eq!(stops(&stop), Some("270 clients have been missing for 5s (--abort-if-lost 100)"));
    assert!(it.counts(20, &[0, 0, 0, 0]).is_empty(), "an operation is stopped once");
}

#[test]
fn clients_that_come_back_in_between_stop_nothing() {
    let mut it = Answers::of(lost(LostLimit::Share(Percent(100))));
    it.counts(1, &[3333, 3333, 3334, 0]);
    for round in 0..10 {
        assert_eq!(stops(&it.counts(2 + round * 6, &[3233, 3233, 3234, 0])), None);
        assert_eq!(stops(&it.counts(6 + round * 6, &[3233, 3233, 3234, 300])), None);
    }
}

#[test]
fn clients_of_the_last_round_are_not_missing() {
    // Three donors lose 10 clients each per second: 30 may be on their way.
    let mut it = Answers::of(lost(LostLimit::Clients(0)));
    it.counts(1, &[3333, 3333, 3334, 0]);
    for at in 2..30 {
        assert!(it.counts(at, &[3323, 3323, 3324, 0]).is_empty(), "at {at}");
    }
}

#[test]
fn an_unknown_number_stops_nothing() {
    let silent = || {
        let mut nodes = fixtures::nodes(&[3333, 3333, 3334, 0]);
        nodes[0].connections = None;
        nodes
    };
    let mut it = Answers::of(lost(LostLimit::Clients(100)));
    it.counts(1, &[3333, 3333, 3334, 0]);
    let first = it.nodes(2, silent());
    assert!(
        matches!(first.as_slice(), [LimitOutcome::Warning(text)] if text.contains("not known")),
        "{first:?}"
    );
    for at in 3..60 {
        assert!(it.nodes(at, silent()).is_empty(), "at {at}");
    }
    assert_eq!(stops(&it.counts(60, &[3333, 3333, 3334, 0])), None);

    // The evictions of this second are unknown as well where EMQX does not report what runs.
    let mut it = Answers::of(lost(LostLimit::Clients(100)));
    it.counts(1, &[3333, 3333, 3334, 0]);
    it.world.brokers.values_mut().for_each(|broker| broker.load = None);
    for at in 2..60 {
        it.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(&[0, 0, 0, 0]))));
        assert_eq!(stops(&it.again(at)), None);
    }
}

#[test]
fn a_node_that_is_missing_from_one_answer_is_unknown_and_one_that_stays_away_is_empty() {
    let without_first = || fixtures::nodes(&[3333, 3333, 3334, 0]).split_off(1);
    let mut it = Answers::of(lost(LostLimit::Clients(1000)));
    it.counts(1, &[3333, 3333, 3334, 0]);
    for at in 2..11 {
        assert_eq!(stops(&it.nodes(at, without_first())), None, "at {at}");
    }
    assert!((11..20).any(|at| stops(&it.nodes(at, without_first())).is_some()));
}

#[test]
fn the_same_answer_again_is_no_time_that_passes() {
    let mut it = Answers::of(lost(LostLimit::Clients(100)));
    it.counts(1, &[3333, 3333, 3334, 0]);
    it.counts(2, &[2333, 2333, 2334, 0]);
    for at in 3..60 {
        assert_eq!(stops(&it.again(at)), None);
    }
}

#[test]
fn an_operation_is_stopped_at_the_time_that_the_user_named() {
    let mut tracker = LimitTracker::new(
        Limits { not_after: Some(crate::model::limits::NotAfter::At(fixtures::at(60))), ..Limits::default() },
        Some(fixtures::at(60)),
    );
    let world = World::default();
    let broker = world.broker(&fixtures::id(ApiVersion::V2));
    let known = OperationFacts { eta_seconds: Some(90), ..OperationFacts::default() };
    let warned = tracker.observe(broker, known, fixtures::at(10));
    assert!(
        matches!(warned.as_slice(), [LimitOutcome::Warning(text)] if text.contains("in 50s")),
        "{warned:?}"
    );
    assert!(tracker.observe(broker, known, fixtures::at(59)).is_empty());
    assert!(stops(&tracker.observe(broker, known, fixtures::at(60))).is_some());
    assert!(tracker.observe(broker, known, fixtures::at(61)).is_empty());
}

#[test]
fn a_time_of_another_day_is_printed_with_its_day() {
    let now = fixtures::at(10);
    let refused = |seconds: i64| {
        let end = fixtures::at(seconds);
        let limits = Limits { not_after: Some(crate::model::limits::NotAfter::At(end)), ..Limits::default() };
        let forecast = LimitForecast { seconds: Some(1_000_000), reconnects: None };
        findings(&limits, Some(end), forecast, now)[0].message.clone()
    };
    let day = |seconds: i64| fixtures::at(seconds).strftime("%Y-%m-%d").to_string();
    assert!(!refused(60).contains(&day(60)), "{}", refused(60));
    let tomorrow = refused(86_400);
    assert!(tomorrow.contains(&format!("--not-after {} 10:00:00 UTC is in", day(86_400))), "{tomorrow}");
}

#[test]
fn clients_of_other_origin_are_a_drift_in_either_direction() {
    for counts in [[3333, 3333, 3334, 2000], [2333, 3333, 3334, 0]] {
        let mut it = Answers::of(limits(|it| it.max_drift = Some(Percent(500))));
        it.counts(1, &[3333, 3333, 3334, 0]);
        assert!((2..9).any(|at| stops(&it.counts(at, &counts)).is_some()), "{counts:?}");
    }
    // A rebalance moves clients, which is no drift.
    let mut it = Answers::of(limits(|it| it.max_drift = Some(Percent(500))));
    it.counts(1, &[3333, 3333, 3334, 0]);
    assert!((2..30).all(|at| it.counts(at, &[2500, 2500, 2500, 2500]).is_empty()));
}

#[test]
fn clients_that_move_to_a_node_that_takes_no_part_are_a_drift_although_the_total_stays() {
    let mut it = Answers::of(limits(|it| it.max_drift = Some(Percent(500))));
    it.counts(1, &[3333, 3333, 3334, 0, 1000]);
    let stop = (2..9).find_map(|at| stops(&it.counts(at, &[2933, 3333, 3334, 0, 1400])).map(str::to_owned));
    let stop = stop.expect("400 of 11,000 left the participants, and 400 came to another node");
    assert!(stop.contains("400 clients came or left on nodes that take no part"), "{stop}");
}

#[test]
fn reconnects_above_the_limit_stop_and_a_rate_at_the_limit_does_not() {
    for (per_second, expected) in [(50, false), (100, true)] {
        let mut it = Answers::of(limits(|it| it.max_reconnect_rate = Some(50)));
        let stopped = (1..40).any(|at: i64| {
            let moved = at.cast_unsigned() * per_second;
            stops(&it.counts(at, &[10_000 - moved, 0, 0, moved])).is_some()
        });
        assert_eq!(stopped, expected, "{per_second} per second");
    }
}

#[test]
fn a_forecast_above_a_limit_is_refused() {
    let ids = |limits: &Limits, end: Option<i64>, seconds, reconnects| -> Vec<&'static str> {
        let forecast = LimitForecast { seconds: Some(seconds), reconnects: Some(reconnects) };
        let found = findings(limits, end.map(fixtures::at), forecast, fixtures::at(0));
        found.into_iter().map(|it| it.id).collect()
    };
    let limits = Limits { max_reconnect_rate: Some(50), ..Limits::default() };
    assert_eq!(ids(&limits, Some(100), 100, 50), Vec::<&str>::new());
    assert_eq!(ids(&limits, Some(100), 101, 51), ["not-after", "reconnect-rate"]);
    assert_eq!(ids(&Limits::default(), Some(0), 0, 51), ["not-after"]);
}

#[test]
fn drift_counts_clients_that_came_left_or_are_elsewhere() {
    let of =
        |counts: &[u64]| fixtures::nodes(counts).into_iter().map(|it| (it.name, it.connections.unwrap_or(0)));
    let (plan, moved): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (of(&[100, 100]).collect(), of(&[95, 105]).collect());
    assert!((drift(&plan, &moved) - 0.05).abs() < 1e-9);
    assert!(drifted(Percent(500), &plan, &moved).is_none());
    let gone: BTreeMap<_, _> = of(&[100]).collect();
    assert!((drift(&plan, &gone) - 0.5).abs() < 1e-9);
    assert!(drifted(Percent(500), &plan, &gone).is_some_and(|it| it.id == "drift"));
    assert!(drift(&BTreeMap::new(), &moved) > 1.0, "an empty plan differs from everything");
}
