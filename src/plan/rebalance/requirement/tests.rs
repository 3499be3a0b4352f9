use proptest::prelude::*;

use super::super::forecast::numbered;
use super::search::Search;
use super::*;
use crate::model::Strategy;

/// The plan that is found, judged.
fn found(counts: &[u64], required: Requirement) -> RebalancePlan {
    planned(&numbered(counts, None), required, GivenSettings::default(), Return::default())
}

fn planned(
    nodes: &[Participant],
    required: Requirement,
    given: GivenSettings,
    back: Return,
) -> RebalancePlan {
    let strategy = strategy_for(nodes, required, given, back);
    let mut plan = forecast(None, nodes, &strategy, back);
    judge(&mut plan, required, given, back, &[]);
    plan
}

fn ids(plan: &RebalancePlan) -> Vec<&str> {
    plan.findings.iter().map(|finding| finding.id).collect()
}

fn even(plan: &RebalancePlan, required: Requirement) -> bool {
    spread_percent(plan).is_none_or(|spread| spread <= required.spread_percent * (1.0 + 1e-6))
}

#[test]
fn the_documented_counts_end_within_five_percent_in_half_an_hour() {
    let plan = found(&[3333, 3333, 3334, 0], Requirement::default());
    assert_eq!(plan.strategy.conn_evict_rate, 1, "the lowest rate that ends in time: {plan:?}");
    assert!(even(&plan, Requirement::default()) && plan.total_seconds <= 1800, "{plan:?}");
    assert_eq!(plan.moves.peak_reconnects_per_second, 3);
    assert!(!ids(&plan).iter().any(|id| id.ends_with("-missed")), "{:?}", plan.findings);
}

#[test]
fn a_short_deadline_needs_a_higher_rate() {
    let required = Requirement { deadline_seconds: 300, ..Requirement::default() };
    let plan = found(&[3333, 3333, 3334, 0], required);
    assert!(even(&plan, required) && plan.total_seconds <= 300 && plan.total_seconds > 250, "{plan:?}");
}

#[test]
fn a_deadline_that_cannot_be_reached_gives_way_and_the_plan_states_by_how_much() {
    let required = Requirement { deadline_seconds: 150, ..Requirement::default() };
    let plan = found(&[3333, 3333, 3334, 0], required);
    assert!(even(&plan, required), "the deadline gives way before the spread");
    assert!(plan.moves.peak_reconnects_per_second <= 50, "the reconnects never do");
    let missed = plan.findings.iter().find(|finding| finding.id == "deadline-missed").expect("it is missed");
    assert!(missed.message.contains("longer than --deadline 2m30s"), "{missed:?}");
    let hint = missed.hint.clone().unwrap_or_default();
    let rate: u64 = hint.split(' ').nth(1).and_then(|rate| rate.parse().ok()).expect("a rate");
    let faster = Requirement { reconnects_per_second: rate, ..required };
    assert!(found(&[3333, 3333, 3334, 0], faster).total_seconds <= 150, "what the hint names ends in time");
    assert_eq!(plan.decision, Decision::Go);
}

#[test]
fn more_donors_than_reconnects_are_refused_with_the_number_that_is_needed() {
    let mut counts = vec![1000; 20];
    counts.push(0);
    let plan = found(&counts, Requirement { reconnects_per_second: 5, ..Requirement::default() });
    assert_eq!(plan.decision, Decision::Refused);
    assert!(plan.message.contains("up to 20 reconnects a second"), "{}", plan.message);
    let plan = found(&counts, Requirement { reconnects_per_second: 20, ..Requirement::default() });
    assert_eq!(plan.decision, Decision::Go);
}

#[test]
fn a_spread_that_emqx_cannot_reach_gives_way_and_the_plan_states_by_how_much() {
    // Both donors lose the same, and both recipients gain the same.
    let plan = found(&[10_000, 6_000, 4_000, 0], Requirement::default());
    assert!(ids(&plan).contains(&"spread-missed"), "{:?}", plan.findings);
    let spread = spread_percent(&plan).expect("a spread");
    assert!((40.0..43.0).contains(&spread), "{spread}");
    assert!(plan.total_seconds <= 1800, "the deadline is kept: {plan:?}");
}

#[test]
fn nodes_that_are_even_enough_are_left_alone() {
    for counts in [vec![1030, 970], vec![500, 500], vec![0, 0], vec![7]] {
        assert_eq!(found(&counts, Requirement::default()).decision, Decision::NothingToDo, "{counts:?}");
    }
    // Sessions differ by as much as clients, and none of them is offline: nothing could be moved.
    let nodes = numbered(&[1030, 970], Some(&[1030, 970]));
    let plan = planned(&nodes, Requirement::default(), GivenSettings::default(), Return::default());
    assert_eq!(plan.decision, Decision::NothingToDo);
}

#[test]
fn offline_sessions_alone_are_moved() {
    let nodes = numbered(&[1000, 990], Some(&[9000, 1000]));
    let plan = planned(&nodes, Requirement::default(), GivenSettings::default(), Return::default());
    assert_eq!((plan.decision, plan.moves.rounds), (Decision::Go, 0), "{plan:?}");
    assert!(plan.moves.sessions > 3000, "{plan:?}");
}

#[test]
fn what_is_given_is_kept() {
    let given = GivenSettings {
        sess_evict_rate: Some(7),
        wait_health_check_seconds: Some(9),
        wait_takeover_seconds: Some(11),
        abs_conn_threshold: Some(500),
        rel_conn_threshold: Some(1.3),
        abs_sess_threshold: Some(501),
        rel_sess_threshold: Some(1.4),
    };
    let nodes = numbered(&[3333, 3333, 3334, 0], None);
    let plan = planned(&nodes, Requirement::default(), given, Return::default());
    let expected = Strategy {
        conn_evict_rate: plan.strategy.conn_evict_rate,
        sess_evict_rate: 7,
        wait_health_check_seconds: 9,
        wait_takeover_seconds: 11,
        abs_conn_threshold: 500,
        rel_conn_threshold: 1.3,
        abs_sess_threshold: 501,
        rel_sess_threshold: 1.4,
    };
    assert_eq!(plan.strategy, expected);
    assert!(plan.total_seconds <= 1800);
    let missed = plan.findings.iter().find(|finding| finding.id == "spread-missed").expect("too wide");
    assert!(missed.message.contains("thresholds that were given"), "{missed:?}");
}

#[test]
fn many_offline_sessions_raise_the_session_rate_only_if_the_deadline_needs_it() {
    let plan = |deadline_seconds| {
        let nodes = numbered(&[9000, 1000], Some(&[409_000, 1000]));
        let required = Requirement { deadline_seconds, ..Requirement::default() };
        planned(&nodes, required, GivenSettings::default(), Return::default())
    };
    assert_eq!(plan(3600).strategy.sess_evict_rate, 500);
    let quick = plan(600);
    assert_eq!((quick.strategy.sess_evict_rate, quick.total_seconds <= 600), (4000, true), "{quick:?}");
}

#[test]
fn a_longer_round_is_part_of_the_duration() {
    let nodes = numbered(&[3333, 3333, 3334, 0], None);
    let back = Return { round_ms: 1500, ..Return::default() };
    let required = Requirement { deadline_seconds: 600, ..Requirement::default() };
    let plan = planned(&nodes, required, GivenSettings::default(), back);
    assert!(plan.total_seconds <= 600 && even(&plan, required), "{plan:?}");
    assert_eq!(plan.phases[1].seconds, (plan.moves.rounds * 3).div_ceil(2));
}

#[test]
fn a_plan_that_is_late_has_the_lowest_rate_that_is_no_later() {
    let required = Requirement { spread_percent: 2.0, deadline_seconds: 130, reconnects_per_second: 47 };
    let plan = found(&[49, 1833], required);
    let late = Strategy { conn_evict_rate: 46, abs_conn_threshold: 46, ..plan.strategy.clone() };
    let other = forecast(None, &numbered(&[49, 1833], None), &late, Return::default());
    assert!(even(&other, required) && plan.total_seconds <= other.total_seconds, "{plan:?}");
    assert!(plan.strategy.conn_evict_rate <= 46, "{:?}", plan.strategy);
}

#[test]
fn a_thousand_nodes_and_a_billion_clients_need_few_forecasts() {
    let counts: Vec<u64> = (0..1000).map(|node| if node < 900 { 1_100_000 + node * 37 } else { 0 }).collect();
    let required = Requirement { reconnects_per_second: 5_000, ..Requirement::default() };
    let nodes = numbered(&counts, None);
    let (given, back) = (GivenSettings::default(), Return::default());
    let plan = planned(&nodes, required, given, back);
    let mut search =
        Search::new(&nodes, required, given, back, &plan.strategy).expect("there are recipients");
    search.sessions(&nodes, &mut plan.strategy.clone(), true);
    assert_eq!(search.settings(), (plan.strategy.conn_evict_rate, plan.strategy.abs_conn_threshold));
    assert!(search.runs.get() < 300, "{}", search.runs.get());
    assert!(even(&plan, required) && plan.moves.peak_reconnects_per_second <= 5_000, "{:?}", plan.findings);
}

#[test]
fn the_command_names_every_setting_that_is_not_the_default_and_always_the_rate() {
    assert_eq!(
        command("plan", "emqx", &Strategy::default()),
        "kubectl emqx rebalance plan emqx --conn-evict-rate 500"
    );
    let strategy = Strategy {
        conn_evict_rate: 3,
        abs_conn_threshold: 9,
        rel_sess_threshold: 1.05,
        ..Strategy::default()
    };
    assert_eq!(
        command("apply", "emqx", &strategy),
        "kubectl emqx rebalance apply emqx --conn-evict-rate 3 --abs-conn-threshold 9 --rel-sess-threshold 1.05"
    );
}

#[test]
fn load_balancers_are_compared_only_where_they_differ() {
    let plan = found(&[3333, 3333, 3334, 0], Requirement::default());
    assert_eq!(landings(&plan, Return::default()), None, "one recipient gets all");
    let plan = found(&[6000, 6000, 0, 1000], Requirement::default());
    let all = landings(&plan, Return::default()).expect("two recipients");
    assert_eq!(all.iter().map(|it| it.lb).collect::<Vec<_>>(), ["even", "least", "one"]);
    assert!(all[2].spread_percent > all[0].spread_percent, "{all:?}");
    assert!(all[1].spread_percent <= all[0].spread_percent, "{all:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_reaches_what_is_required_or_states_what_it_misses(
        counts in prop::collection::vec(0_u64..20_000, 2..8),
        spread in 1_u32..30,
        reconnects in 1_u64..500,
        deadline_seconds in 60_u64..7200,
        landing in prop_oneof![Just(Landing::Even), Just(Landing::Least), Just(Landing::One)],
        delay in 0_u64..4,
    ) {
        let required = Requirement {
            spread_percent: f64::from(spread), deadline_seconds, reconnects_per_second: reconnects,
        };
        let back = Return { delay, landing, ..Return::default() };
        let plan = planned(&numbered(&counts, None), required, GivenSettings::default(), back);
        let found = ids(&plan);
        prop_assert!(plan.strategy.conn_evict_rate >= 1 && plan.strategy.abs_conn_threshold >= 1);
        prop_assert_eq!(found.contains(&"spread-missed"), !even(&plan, required), "{:?}", plan);
        prop_assert_eq!(found.contains(&"deadline-missed"), plan.total_seconds > deadline_seconds, "{:?}", plan);
        prop_assert_eq!(found.contains(&"reconnect-rate"), plan.moves.peak_reconnects_per_second > reconnects);
        if plan.strategy.conn_evict_rate > 1 {
            prop_assert!(!found.contains(&"reconnect-rate"), "the reconnects never give way: {:?}", plan);
        }
        // Equal inputs give equal plans.
        prop_assert_eq!(&plan, &planned(&numbered(&counts, None), required, GivenSettings::default(), back));
    }

    #[test]
    fn no_lower_rate_reaches_what_the_plan_reaches(
        counts in prop::collection::vec(0_u64..3000, 2..6),
        spread in 2_u32..20,
        reconnects in 2_u64..200,
        deadline_seconds in 130_u64..600,
    ) {
        let required = Requirement {
            spread_percent: f64::from(spread), deadline_seconds, reconnects_per_second: reconnects,
        };
        let nodes = numbered(&counts, None);
        let plan = found(&counts, required);
        prop_assume!(plan.decision == Decision::Go && even(&plan, required));
        let longest = deadline_seconds.max(plan.total_seconds);
        let gap = counts.iter().max().copied().unwrap_or(1);
        for rate in 1..plan.strategy.conn_evict_rate {
            for threshold in (1..=gap).step_by((gap / 40).max(1) as usize) {
                let strategy = Strategy {
                    conn_evict_rate: rate, abs_conn_threshold: threshold, ..plan.strategy.clone()
                };
                let other = forecast(None, &nodes, &strategy, Return::default());
                if other.decision != Decision::Go || other.total_seconds > longest {
                    continue;
                }
                prop_assert!(!even(&other, required), "{rate}/s and {threshold} as well: {:?}", plan.strategy);
            }
        }
    }
}
