//! EMQX at a URL, instead of through its pods.

use std::rc::Rc;
use std::time::Duration;

use kubectl_emqx::emqx::EmqxBrokers;
use kubectl_emqx::model::{BrokerUpdate, EmqxUrl, Update};
use kubectl_emqx::ports::Brokers;

use super::{Key, Local, NODES, Reply, emqx, good, http, reported, serve, target};

/// One of several addresses: the node of this name, in the middle of a rebalance whose only donor is
/// `emqx@b`.
async fn address_of(name: &'static str) -> EmqxUrl {
    let (port, _) = serve(move |head| {
        let running = r#"{"evacuations":[],"purges":[],"rebalances":[{"node":"emqx@a","coordinator_node":"emqx@a",
            "state":"evicting_conns","donors":["emqx@b"],"recipients":["emqx@a"],"connection_eviction_rate":10,
            "session_eviction_rate":10}]}"#;
        let begun = r#"{"status":"enabled","process":"rebalance","coordinator_node":"emqx@a","state":"evicting_conns",
            "stats":{"initial_connected":700,"initial_sessions":700,"current_connected":500,"current_sessions":500}}"#;
        let body = match head {
            head if head.contains("global_status") => running.to_owned(),
            head if head.contains("load_rebalance/status") && name == "emqx@b" => begun.to_owned(),
            head if head.contains("load_rebalance/status") => r#"{"status":"disabled"}"#.to_owned(),
            head if head.contains("/status?format=json") => format!(r#"{{"node_name":"{name}"}}"#),
            _ => NODES.to_owned(),
        };
        Reply::Send(http("200 OK", &body))
    })
    .await;
    EmqxUrl { tls: false, host: "127.0.0.1".to_owned(), port }
}

#[tokio::test]
async fn of_several_addresses_the_one_of_a_donor_is_asked_for_the_start() {
    let addresses = vec![address_of("emqx@a").await, address_of("emqx@b").await];
    let brokers = EmqxBrokers::at(addresses, Rc::new(Key(Ok(()))), Rc::new(Local), None, false);
    let facts = brokers.broker(target(&[], false)).read().await.expect("never fails");
    let place = |of: fn(&Update) -> bool| facts.iter().position(|fact| of(&fact.update));
    let (began, listed) = (
        place(|it| matches!(it, Update::Broker(_, BrokerUpdate::Began(_)))),
        place(|it| matches!(it, Update::Broker(_, BrokerUpdate::Evictions(_)))),
    );
    assert!(began.is_some() && began < listed, "it comes before the list: {facts:?}");
    let begun = emqx(facts).begun;
    let starts: Vec<_> = begun.values().map(|it| (it.donor.as_str(), it.connections)).collect();
    assert_eq!(starts, [("emqx@b", 700)]);
    // No address belongs to the donor: the running rebalance is still reported.
    let brokers =
        EmqxBrokers::at(vec![address_of("emqx@a").await], Rc::new(Key(Ok(()))), Rc::new(Local), None, false);
    let emqx = emqx(brokers.broker(target(&[], false)).read().await.expect("never fails"));
    assert!(emqx.begun.is_empty() && emqx.load.is_some());
}

fn at(url: &str) -> EmqxUrl {
    EmqxUrl::parse(url).expect("a good URL")
}

#[tokio::test]
async fn at_a_url_the_version_is_found_by_asking() {
    for v4 in [false, true] {
        let (port, _) = serve(move |head| {
            let path = if v4 { "GET /api/v4/" } else { "GET /api/v5/" };
            if head.starts_with(path) { good(head) } else { Reply::Send(http("404 Not Found", "")) }
        })
        .await;
        let url = format!("http://127.0.0.1:{port}");
        let brokers = EmqxBrokers::at(vec![at(&url)], Rc::new(Key(Ok(()))), Rc::new(Local), None, false);
        // The target's assumption is wrong on purpose.
        let broker = brokers.broker(target(&[], !v4));
        assert!(emqx(broker.read().await.expect("never fails")).load.is_some(), "v4: {v4}");
    }
    let brokers =
        EmqxBrokers::at(vec![at("http://127.0.0.1:9")], Rc::new(Key(Ok(()))), Rc::new(Local), None, false);
    let facts = brokers.broker(target(&[], false)).read().await.expect("never fails");
    assert_eq!(reported(&facts), "EMQX at http://127.0.0.1:9 does not answer: connection refused");
}

#[tokio::test]
async fn https_towards_http_is_explained() {
    let (port, _) = serve(good).await;
    let url = format!("https://127.0.0.1:{port}");
    let brokers = EmqxBrokers::at(vec![at(&url)], Rc::new(Key(Ok(()))), Rc::new(Local), None, true);
    let brokers = brokers.with_time_limit(Duration::from_millis(500));
    let reported = reported(&brokers.broker(target(&[], false)).read().await.expect("never fails"));
    assert!(reported.contains("does not answer"), "{reported}");
}
