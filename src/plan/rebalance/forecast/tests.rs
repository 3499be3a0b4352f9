//! The documented run and similar ones, and properties that hold for any counts.

use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

use super::super::warnings::session_round_too_long;
use super::*;

fn plan(
    counts: &[u64],
    sessions: Option<&[u64]>,
    abs: u64,
    rel: f64,
    rate: u64,
    delay: u64,
) -> RebalancePlan {
    let strategy = Strategy {
        conn_evict_rate: rate,
        abs_conn_threshold: abs,
        rel_conn_threshold: rel,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        ..Strategy::default()
    };
    forecast(None, &numbered(counts, sessions), &strategy, Return { delay, ..Return::default() })
}

fn after(plan: &RebalancePlan) -> Vec<u64> {
    plan.nodes.iter().map(|node| node.connections_after).collect()
}

#[test]
fn v1_the_documented_run_is_forecast_exactly() {
    let plan = plan(&[3333, 3333, 3334, 0], None, 100, 1.1, 10, 0);
    assert_eq!(plan.decision, Decision::Go);
    assert_eq!((plan.moves.rounds, plan.total_seconds), (78, 98));
    assert_eq!(after(&plan), [2553, 2553, 2554, 2340]);
    assert_eq!(plan.moves.peak_reconnects_per_second, 30);
    assert_eq!(
        plan.message,
        "donors hold 3333.33 connections on average, the recipient 0; 78 rounds until 2553.33 <= 2340.00 x 1.1"
    );
    assert_eq!(
        plan.sentence(),
        "donors hold 3,333.33 connections on average, the recipient 0; 78 rounds until 2,553.33 <= 2,340 x 1.1"
    );
    assert_eq!(plan.findings.iter().map(|f| f.id).collect::<Vec<_>>(), ["few-recipients"]);
    let json = serde_json::to_value(&plan).expect("json");
    assert_eq!(json["averages"]["donorsBefore"], 3333.33);
    assert_eq!(json["averages"]["recipientsAfter"], 2340.0);
    assert_eq!(json["phases"][1], serde_json::json!({"name": "evictConnections", "seconds": 78}));
}

#[test]
fn v1_in_another_order_gives_the_same() {
    assert_eq!(after(&plan(&[3333, 3334, 3333, 0], None, 100, 1.1, 10, 0)), [2553, 2554, 2553, 2340]);
}

#[test]
fn v2_three_full_nodes_and_an_empty_one() {
    let plan = plan(&[10_000, 10_000, 10_000, 0], None, 100, 1.1, 10, 0);
    assert_eq!(plan.moves.rounds, 233);
    assert_eq!(after(&plan), [7670, 7670, 7670, 6990]);
}

#[test]
fn v3_the_default_threshold_hides_a_small_cluster_and_the_plan_reports_it() {
    let plan = plan(&[900, 100, 0], None, 1000, 1.1, 500, 0);
    assert_eq!(plan.decision, Decision::NothingToDo);
    assert!(plan.phases.is_empty());
    assert_eq!(plan.total_seconds, 0);
    let ids: Vec<_> = plan.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["nothing-to-balance", "threshold-blind"]);
    assert_eq!(
        plan.findings[0].hint.as_deref(),
        Some("it would start with --abs-conn-threshold 849 or less")
    );
}

#[test]
fn the_suggested_threshold_does_start_it() {
    assert_eq!(plan(&[900, 100, 0], None, 849, 1.1, 500, 0).decision, Decision::Go);
    assert_eq!(plan(&[900, 100, 0], None, 850, 1.1, 500, 0).decision, Decision::NothingToDo);
}

#[test]
fn v4_and_v6_equal_nodes_and_one_node_have_no_recipient() {
    for counts in [&[5000, 5000, 5000][..], &[5000][..], &[0, 0][..]] {
        let plan = plan(counts, None, 100, 1.1, 10, 0);
        assert_eq!(plan.decision, Decision::NothingToDo, "{counts:?}");
        assert_eq!(after(&plan), counts);
    }
}

#[test]
fn v5_both_rules_must_fail_for_a_start() {
    assert_eq!(plan(&[1200, 1000, 1000], None, 100, 1.1, 10, 0).decision, Decision::Go);
}

#[test]
fn v7_ten_donors_feed_one_recipient() {
    let plan = plan(&[3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 0], None, 100, 1.1, 50, 0);
    assert_eq!(plan.moves.rounds, 5);
    assert_eq!(plan.moves.peak_reconnects_per_second, 500);
    assert_eq!(after(&plan), [2750, 2750, 2750, 2750, 2750, 2750, 2750, 2750, 2750, 2750, 2500]);
}

#[test]
fn v9_sessions_alone_cannot_start_it_when_connections_are_equal() {
    let plan = plan(&[1000, 1000, 1000], Some(&[9000, 1000, 1000]), 1000, 1.1, 10, 0);
    assert_eq!(plan.decision, Decision::NothingToDo);
}

#[test]
fn v10_a_second_of_delay_costs_a_round() {
    assert_eq!(plan(&[0, 45, 45], None, 3, 1.05, 1, 0).moves.rounds, 14);
    let late = plan(&[0, 45, 45], None, 3, 1.05, 1, 1);
    assert_eq!(late.moves.rounds, 15);
}

#[test]
fn other_documented_checks() {
    assert_eq!(after(&plan(&[10_000, 0], None, 1000, 1.1, 500, 0)), [5500, 4500]);
    assert_eq!(plan(&[100, 0], None, 1000, 1.1, 500, 0).decision, Decision::NothingToDo);
    assert_eq!(after(&plan(&[3000, 3000, 0], None, 100, 1.1, 500, 0)), [2000, 2000, 2000]);
}

#[test]
fn offline_sessions_move_in_a_phase_of_their_own() {
    let plan = plan(&[1000, 1010, 0], Some(&[9000, 9010, 0]), 1000, 1.1, 500, 0);
    assert!(plan.moves.session_rounds > 0);
    // A round lasts a second, and a millisecond for each of the 500 sessions that one donor moves in it.
    assert_eq!(plan.phases[3].seconds, (plan.moves.session_rounds * 1500).div_ceil(1000));
    let sum = |of: fn(&PlannedNode) -> u64| plan.nodes.iter().map(of).sum::<u64>();
    assert_eq!(sum(|node| node.sessions), sum(|node| node.sessions_after));
}

#[test]
fn a_rate_that_jumps_over_the_goal_is_warned_of() {
    let plan = plan(&[3000, 3000, 0], None, 100, 1.1, 600, 0);
    assert!(plan.findings.iter().any(|finding| finding.id == "overshoot"), "{:?}", plan.findings);
}

#[test]
fn a_plan_that_ends_more_uneven_than_it_begins_is_refused() {
    let mut refused = plan(&[100, 100, 0], None, 10, 1.1, 100, 0);
    assert_eq!(after(&refused), [0, 0, 200]);
    let overshoot = refused.findings.iter().find(|finding| finding.id == "overshoot").expect("overshoot");
    assert_eq!(overshoot.severity, Severity::Blocked);
    assert!(overshoot.message.ends_with("more uneven than now"), "{}", overshoot.message);
    refused.judge(Vec::new());
    assert_eq!(refused.decision, Decision::Refused);
    // As uneven as before, in the other direction: a warning.
    let turned = plan(&[1000, 0], None, 10, 1.1, 1000, 0);
    let overshoot = turned.findings.iter().find(|finding| finding.id == "overshoot").expect("overshoot");
    assert_eq!((after(&turned), overshoot.severity), (vec![0, 1000], Severity::Warning));
}

#[test]
fn a_session_round_that_emqx_may_abort_is_warned_of_from_5_9_on_with_a_rate_that_fits() {
    let sessions = |rate: u64, move_ms: u64| {
        let strategy = Strategy { sess_evict_rate: rate, ..Strategy::default() };
        let counts = [100, 100, 100, 0];
        let back = Return { session_move_ms: move_ms, ..Return::default() };
        forecast(None, &numbered(&counts, Some(&[16_100, 16_100, 16_100, 0])), &strategy, back)
    };
    let plan = sessions(20_000, 1);
    assert_eq!(session_round_too_long(&plan, (5, 8)), None, "before 5.9 a round has no limit");
    let finding = session_round_too_long(&plan, (5, 9)).expect("17 s");
    assert_eq!((finding.id, finding.severity), ("session-round-too-long", Severity::Warning));
    assert!(
        finding.message.contains("about 17 s") && finding.message.contains("when one takes 15 s"),
        "{}",
        finding.message
    );
    let hint = finding.hint.expect("a rate");
    assert!(hint.starts_with("try --sess-evict-rate 4000"), "{hint}");
    assert_eq!(session_round_too_long(&sessions(4_000, 1), (5, 10)), None);
    // On a slow network the same rate is too much, and 9,000 sessions in 10 s are not.
    assert!(session_round_too_long(&sessions(4_000, 3), (5, 10)).is_some());
    assert_eq!(session_round_too_long(&sessions(9_000, 1), (5, 10)), None);
}

#[test]
fn a_last_round_that_turns_a_small_gap_round_is_warned_of() {
    // Each round closes less than half of the first gap, and the third one reverses what remains of it.
    let mut counts = [11_111; 100];
    counts[90..].fill(0);
    let overshooting = plan(&counts, None, 1000, 1.1, 500, 0);
    assert_eq!(
        (overshooting.moves.rounds, after(&overshooting)[0], after(&overshooting)[99]),
        (3, 9611, 13_500)
    );
    let overshoot =
        overshooting.findings.iter().find(|finding| finding.id == "overshoot").expect("overshoot");
    assert_eq!(
        overshoot.message,
        "it goes past the goal: recipients end with 13,500 on average, donors with 9,611"
    );
    let hint = overshoot.hint.as_deref().and_then(|hint| hint.strip_prefix("try --conn-evict-rate "));
    let slower = plan(&counts, None, 1000, 1.1, hint.and_then(|rate| rate.parse().ok()).expect("a rate"), 0);
    assert!(slower.findings.iter().all(|finding| finding.id != "overshoot"), "{:?}", slower.findings);
    // A plan that ends exactly even has no such finding.
    let even = plan(&[10_000, 10_000, 10_000, 0], None, 1000, 1.1, 500, 0);
    assert_eq!(after(&even), [7500; 4]);
    assert!(even.findings.iter().all(|finding| finding.id != "overshoot"), "{:?}", even.findings);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn donors_and_recipients_are_all_nodes_and_clients_stay(
        counts in prop::collection::vec(0_u64..1_000_000_000, 0..12),
        more in prop::collection::vec(0_u64..1_000_000, 12),
        rate in 1_u64..100_000, abs in 1_u64..5000, rel in 1.0001_f64..3.0, delay in 0_u64..100,
    ) {
        let sessions: Vec<u64> = counts.iter().zip(&more).map(|(count, more)| count + more).collect();
        let plan = plan(&counts, Some(&sessions), abs, rel, rate, delay);
        let (donors, recipients) = plan.participant_counts();
        prop_assert!(donors + recipients == counts.len() || plan.decision == Decision::NothingToDo);
        prop_assert_eq!(after(&plan).iter().sum::<u64>(), counts.iter().sum::<u64>());
        prop_assert_eq!(plan.nodes.iter().map(|n| n.sessions_after).sum::<u64>(), sessions.iter().sum::<u64>());
        prop_assert_eq!(plan.total_seconds, plan.phases.iter().map(|phase| phase.seconds).sum::<u64>());
    }
}

#[test]
fn rounds_without_number_are_jumped_over_without_a_delay_too() {
    use emqx_rebalance::eviction::{Landing, Loop, run};
    let outcome = run(&Loop {
        donors: &[1_000_000_000_000_000],
        recipients: &[0],
        rate: 1,
        threshold: emqx_rebalance::rules::Threshold { abs: 1000.0, rel: 1.1 },
        delay: 0,
        landing: Landing::Even,
        donors_open_after_ms: 0,
    });
    assert!(outcome.rounds > 400_000_000_000_000, "{}", outcome.rounds);
    assert_eq!(outcome.donors[0] + outcome.recipients[0], 1_000_000_000_000_000);
}
