//! Every scenario's expectation about EMQX itself, run on the broker alone: no sockets, no Kubernetes.

use std::time::Duration;

use super::super::broker::Broker;
use super::super::operations::{EvacuationState, RebalanceState};
use super::super::orders::{EvacuationOrder, RebalanceOrder};
use super::super::refusal::Refusal;
use super::super::scenario::{Role, Scenario};

const SECOND: Duration = Duration::from_secs(1);

fn scenario(name: &str) -> Scenario {
    match Scenario::built_in(name) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// A v5 cluster of cores with these connections.
fn broker(counts: &[(u64, u64)], extra: &str) -> Broker {
    let nodes: Vec<String> = counts
        .iter()
        .map(|(connections, offline)| format!("- {{connections: {connections}, offlineSessions: {offline}}}"))
        .collect();
    let text = format!("name: test\napi: v2beta1\n{extra}nodes:\n{}\n", nodes.join("\n"));
    match Scenario::from_yaml(&text) {
        Ok(scenario) => Broker::new(&scenario),
        Err(error) => panic!("{error}"),
    }
}

fn connections(broker: &Broker) -> Vec<u64> {
    broker.nodes.iter().map(|node| node.connections).collect()
}

fn order(rate: u64, abs: f64) -> RebalanceOrder {
    let mut order = RebalanceOrder { conn_rate: rate, sess_rate: rate, ..RebalanceOrder::default() };
    (order.conn.abs, order.sess.abs) = (abs, abs);
    (order.wait_health_check, order.wait_takeover) = (SECOND * 10, SECOND * 10);
    order
}

#[test]
fn every_scenario_has_the_result_that_it_states() {
    for name in Scenario::names() {
        let scenario = scenario(name);
        let expect = &scenario.expect;
        let mut broker = Broker::new(&scenario);
        let nodes: Vec<String> = broker
            .participants()
            .into_iter()
            .filter(|name| broker.find(name).is_some_and(|node| broker.nodes[node].running))
            .collect();
        let total = |broker: &Broker| connections(broker).iter().sum::<u64>() + broker.in_flight();
        let before = total(&broker);
        let order = RebalanceOrder { nodes: Some(nodes.clone()), ..expect.strategy.order() };
        let started = broker.start_rebalance(&nodes[0], order);
        let refusal = started.err().map(|refusal| refusal.message());
        assert_eq!(refusal.is_some(), expect.refusal.is_some(), "{name}: {refusal:?}");
        if let (Some(refusal), Some(wanted)) = (&refusal, &expect.refusal) {
            assert!(refusal.contains(wanted.as_str()), "{name}: {refusal}");
        }
        let (mut seconds, mut rounds) = (0, 0);
        while let Some(rebalance) = broker.rebalances().first() {
            rounds = rebalance.rounds;
            seconds += 1;
            broker.advance_to(SECOND * seconds);
            assert_eq!(total(&broker), before, "{name}: clients are conserved at {seconds}");
            assert!(seconds < 10_000, "{name} does not end");
        }
        broker.advance_to(SECOND * (seconds + 60));
        assert!(expect.rounds.is_none_or(|wanted| wanted == rounds), "{name}: {rounds} rounds");
        // A crash may come between two seconds; the loop above sees it at the next.
        let crash = scenario.coordinator_crash().map(|after| after.as_secs());
        let ended = crash.unwrap_or(u64::from(seconds));
        assert!(expect.seconds.is_none_or(|wanted| wanted == ended), "{name}: {ended} s");
        let after = connections(&broker);
        assert!(expect.connections.as_ref().is_none_or(|wanted| *wanted == after), "{name}: {after:?}");
    }
}

#[test]
fn the_documented_run_is_78_rounds_and_98_seconds_exactly() {
    let mut broker = Broker::new(&scenario("documented"));
    let leader = broker.nodes[0].name.clone();
    let order = RebalanceOrder { nodes: None, ..scenario("documented").expect.strategy.order() };
    assert_eq!(broker.start_rebalance(&leader, order), Ok(()));
    let state = |broker: &Broker| broker.rebalances().first().map(|rebalance| rebalance.state);
    broker.advance_to(Duration::from_millis(9_999));
    assert_eq!(state(&broker), Some(RebalanceState::WaitHealthCheck));
    broker.advance_to(SECOND * 10);
    assert_eq!(state(&broker), Some(RebalanceState::EvictingConns));
    assert_eq!(connections(&broker), [3323, 3323, 3324, 0]);
    broker.advance_to(SECOND * 87);
    assert_eq!(broker.rebalances()[0].rounds, 78);
    broker.advance_to(SECOND * 88);
    assert_eq!(state(&broker), Some(RebalanceState::WaitTakeover));
    assert_eq!(connections(&broker), [2553, 2553, 2554, 2340]);
    broker.advance_to(Duration::from_millis(97_999));
    assert_eq!(state(&broker), Some(RebalanceState::WaitTakeover));
    broker.advance_to(SECOND * 98);
    assert_eq!(state(&broker), None);
}

#[test]
fn one_big_step_is_many_small_ones() {
    let run = |steps: &[u64]| {
        let mut broker = broker(&[(10_000, 900), (7000, 0), (0, 3)], "reconnectDelay: 2\n");
        let leader = broker.nodes[0].name.clone();
        assert_eq!(broker.start_rebalance(&leader, order(77, 10.0)), Ok(()));
        for &step in steps {
            broker.advance_to(SECOND * u32::try_from(step).unwrap_or(0));
        }
        broker.nodes.iter().map(|node| (node.connections, node.offline)).collect::<Vec<_>>()
    };
    assert_eq!(run(&[1000]), run(&(1..=1000).collect::<Vec<_>>()));
}

#[test]
fn the_remainder_goes_bytewise_by_name_and_least_fills_the_lowest() {
    let landed = |balancer: &str| {
        let mut broker =
            broker(&[(1000, 0), (30, 0), (0, 0), (10, 0)], &format!("loadBalancer: {balancer}\n"));
        let leader = broker.nodes[0].name.clone();
        assert_eq!(broker.start_rebalance(&leader, order(50, 10.0)), Ok(()));
        broker.advance_to(Duration::from_millis(10_999));
        broker.crash_coordinators();
        broker.advance_to(SECOND * 11);
        connections(&broker)
    };
    // The donor serves again by then, but the clients were sent to the recipients.
    assert_eq!(landed("even"), [950, 47, 17, 26]);
    assert_eq!(landed("one"), [950, 80, 0, 10]);
    assert_eq!(landed("least"), [950, 30, 30, 30]);
    assert_eq!(landed("sticky"), [950, 30, 0, 10]);
}

#[test]
fn a_delay_brings_clients_back_that_much_later() {
    let mut broker = broker(&[(1000, 0), (0, 0)], "reconnectDelay: 3\n");
    let leader = broker.nodes[0].name.clone();
    assert_eq!(broker.start_rebalance(&leader, order(10, 100.0)), Ok(()));
    broker.advance_to(SECOND * 13);
    assert_eq!((connections(&broker), broker.in_flight()), (vec![960, 0], 40));
    broker.advance_to(SECOND * 14);
    assert_eq!((connections(&broker), broker.in_flight()), (vec![950, 10], 40));
}

#[test]
fn refusals_are_emqx_s_own() {
    let mut broker = broker(&[(3000, 0), (0, 0), (0, 0)], "");
    let names: Vec<String> = broker.nodes.iter().map(|node| node.name.clone()).collect();
    let refused = |result: Result<(), Refusal>| result.map_err(|refusal| (refusal.code(), refusal.message()));
    let bad = |text: String| Err(((400, "BAD_REQUEST"), text));
    let first = &names[0];
    assert_eq!(refused(broker.stop_rebalance(first)), bad(format!("error on node '{first}': not_started")));
    let quiet = broker.start_rebalance(first, order(10, 5000.0));
    assert_eq!(refused(quiet), bad(format!("error on node '{first}': nothing_to_balance")));
    assert_eq!(
        refused(broker.start_rebalance("emqx@gone", order(10, 1.0))),
        Err(((404, "NOT_FOUND"), "Node not found: emqx@gone".to_owned()))
    );
    let mut unknown = order(10, 1.0);
    unknown.nodes = Some(vec!["emqx@never".to_owned()]);
    assert_eq!(
        refused(broker.start_rebalance(first, unknown)),
        bad("Invalid nodes: [<<\"emqx@never\">>]".to_owned())
    );
    assert_eq!(broker.start_rebalance(first, order(10, 1.0)), Ok(()));
    assert_eq!(
        refused(broker.start_rebalance(first, order(10, 1.0))),
        bad(format!("error on node '{first}': already_started"))
    );
    let mut again = order(10, 1.0);
    again.nodes = Some(names.clone());
    let unavailable = format!("Nodes unavailable: ['{first}']");
    assert_eq!(refused(broker.start_rebalance(first, again)), Err(((400, "NOT_FOUND"), unavailable)));
    let busy = broker.start_evacuation(first, EvacuationOrder::default());
    assert_eq!(refused(busy), bad(format!("error on node '{first}': eviction_agent_busy")));
    assert_eq!(broker.stop_rebalance(first), Ok(()));
    assert!(broker.available(0));
}

#[test]
fn an_evacuation_empties_a_node_and_then_keeps_it_closed() {
    let mut broker = broker(&[(100, 30), (0, 0), (0, 0)], "");
    let name = broker.nodes[0].name.clone();
    let order = EvacuationOrder {
        conn_rate: 40,
        sess_rate: 20,
        wait_health_check: SECOND * 5,
        wait_takeover: SECOND * 3,
        migrate_to: None,
    };
    assert_eq!(broker.start_evacuation(&name, order), Ok(()));
    let state = |broker: &Broker| broker.evacuations()[0].state;
    assert!(!broker.available(0));
    broker.advance_to(SECOND * 4);
    assert_eq!(state(&broker), EvacuationState::WaitingHealthCheck);
    broker.advance_to(SECOND * 8);
    assert_eq!((state(&broker), connections(&broker)), (EvacuationState::WaitingTakeover, vec![0, 50, 50]));
    // The twenty of a round take 20 ms.
    broker.advance_to(SECOND * 11);
    assert_eq!((state(&broker), broker.nodes[0].offline), (EvacuationState::EvictingSessions, 30));
    broker.advance_to(Duration::from_millis(11_020));
    assert_eq!((state(&broker), broker.nodes[0].offline), (EvacuationState::EvictingSessions, 10));
    broker.advance_to(SECOND * 60);
    assert_eq!(state(&broker), EvacuationState::Prohibiting);
    // Each goes to a node picked at random.
    let offline: Vec<u64> = broker.nodes.iter().map(|node| node.offline).collect();
    assert_eq!((offline[0], offline[1] + offline[2]), (0, 30));
    assert!(offline[1] > 5 && offline[2] > 5, "{offline:?}");
    assert_eq!(broker.stop_evacuation(&name), Ok(()));
    assert!(broker.available(0));
}

#[test]
fn sessions_are_moved_after_the_connections() {
    let mut broker = broker(&[(0, 5000), (0, 0), (10, 0)], "");
    let leader = broker.nodes[0].name.clone();
    // By connections only the third gives, so nothing helps the first.
    assert!(broker.start_rebalance(&leader, order(100, 100.0)).is_err());
    let mut broker = self::broker(&[(500, 5000), (0, 0)], "");
    assert_eq!(broker.start_rebalance(&leader, order(100, 1000.0)), Ok(()));
    broker.advance_to(SECOND * 20);
    assert_eq!(broker.rebalances()[0].state, RebalanceState::EvictingSessions);
    broker.advance_to(SECOND * 200);
    assert!(broker.rebalances().is_empty());
    assert_eq!(broker.nodes.iter().map(|node| node.offline).collect::<Vec<_>>(), [3000, 2000]);
}

#[test]
fn ten_million_clients_cost_no_more_than_ten() {
    let started = std::time::Instant::now();
    let scenario = scenario("big");
    let mut broker = Broker::new(&scenario);
    let nodes = broker.participants();
    assert!(broker.nodes.iter().filter(|node| node.role == Role::Core).count() == 3 && nodes.len() == 1000);
    let order = RebalanceOrder { nodes: Some(nodes.clone()), ..scenario.expect.strategy.order() };
    assert_eq!(broker.start_rebalance(&nodes[0], order), Ok(()));
    broker.advance_to(SECOND * 600);
    assert!(broker.rebalances().is_empty());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
