//! Which of several pods is asked, and how long that takes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kubectl_emqx::model::{BrokerUpdate, Link, Update};

use super::{Reply, broker, emqx, good, http, patient, reported, serve};

#[tokio::test]
async fn another_pod_takes_over_when_one_is_deleted() {
    let (port, _) = serve(good).await;
    let (broker, tunnel) = broker(&[("gone", 0), ("alive", port)]);
    assert!(emqx(broker.read().await.expect("never fails")).load.is_some());
    assert_eq!(*tunnel.opened.borrow(), ["gone", "alive"]);
}

#[tokio::test]
async fn beside_a_silent_pod_the_next_one_is_asked() {
    let (silent, _) = serve(|_| Reply::Silence).await;
    let (port, connections) = serve(good).await;
    let (broker, pods) = self::broker(&[("a", silent), ("b", port)]);
    assert!(emqx(broker.read().await.expect("never fails")).load.is_some());
    // The next request goes directly to the address that answered.
    assert!(emqx(broker.read().await.expect("never fails")).load.is_some());
    assert_eq!(*pods.opened.borrow(), ["a", "b", "b"]);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn silent_pods_cost_together_what_one_costs() {
    let (silent, connections) = serve(|_| Reply::Silence).await;
    let (broker, pods) = self::broker(&[("a", silent), ("b", silent), ("c", silent), ("d", silent)]);
    let began = std::time::Instant::now();
    let facts = broker.read().await.expect("never fails");
    // The time limit is 500 ms: one for the cluster, one for the answer of each node about itself; three
    // would be 1500.
    assert!(began.elapsed() < Duration::from_millis(1490), "{:?}", began.elapsed());
    assert!(reported(&facts).ends_with("does not answer: no answer within 0.5 s"), "{}", reported(&facts));
    assert_eq!(*pods.opened.borrow(), ["a", "b", "c", "b", "c", "d"]);
    assert_eq!(connections.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_fourth_pod_is_asked_when_three_do_not_answer() {
    let (silent, _) = serve(|_| Reply::Silence).await;
    let (port, _) = serve(good).await;
    let silent_ones = [("a", silent), ("b", silent), ("c", silent), ("d", port)];
    let gone_ones = [("a", 0), ("b", 0), ("c", 0), ("d", port)];
    for pods in [silent_ones, gone_ones] {
        let (broker, opened) = self::broker(&pods);
        let facts = broker.read().await.expect("never fails");
        assert!(emqx(facts.clone()).load.is_some(), "{}", reported(&facts));
        assert_eq!(opened.opened.borrow().last().map(String::as_str), Some("d"));
    }
}

#[tokio::test]
async fn a_status_that_is_late_in_a_session_round_is_waited_for() {
    let (port, _) =
        serve(|line: &str| if line.contains("global_status") { Reply::Silence } else { good(line) }).await;
    let (broker, _) = patient(&[("a", port)], Duration::from_millis(200));
    let begun = std::time::Instant::now();
    let facts = broker.read().await.expect("facts");
    assert!(begun.elapsed() >= Duration::from_millis(400), "twice the usual time: {:?}", begun.elapsed());
    assert!(
        matches!(&facts[0].update, Update::Broker(_, BrokerUpdate::Nodes(nodes)) if nodes.len() == 1),
        "{facts:?}"
    );
    let Update::Broker(_, BrokerUpdate::Link("load_rebalance", Link::Unreachable(why))) = &facts[1].update
    else {
        panic!("{facts:?}")
    };
    assert!(why.contains("lists its nodes but does not report what it moves"), "{why}");
}

#[tokio::test]
async fn a_pod_that_answers_errors_does_not_keep_the_other_pods_from_being_asked() {
    for answer in [
        http("500 Internal Server Error", "{\"code\":\"INTERNAL_ERROR\",\"message\":\"x\"}"),
        http("503 Service Unavailable", ""),
        http("401 Unauthorized", ""),
        http("200 OK", "<!DOCTYPE html><html>"),
        http("200 OK", "{\"a\":1}"),
    ] {
        let (bad, _) = serve(move |_| Reply::Send(answer.clone())).await;
        let (port, _) = serve(good).await;
        let (broker, pods) = self::broker(&[("old", bad), ("new", port)]);
        for _ in 0..2 {
            let facts = broker.read().await.expect("never fails");
            assert_eq!(reported(&facts), "");
            assert!(emqx(facts).load.is_some());
        }
        // The next request goes directly to the pod that answered.
        assert_eq!(*pods.opened.borrow(), ["old", "new", "new"]);
    }
}

#[tokio::test]
async fn where_every_pod_answers_an_error_the_first_one_is_reported() {
    let (first, _) = serve(|_| Reply::Send(http("401 Unauthorized", ""))).await;
    let (second, _) = serve(|_| Reply::Send(http("500 Internal Server Error", ""))).await;
    let (broker, _) = self::broker(&[("a", first), ("b", second), ("gone", 0)]);
    let facts = broker.read().await.expect("never fails");
    assert!(reported(&facts).contains("does not accept this key"), "{}", reported(&facts));
}
