//! Starts and evacuations that are sent, and refusals that are explained.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kubectl_emqx::emqx::EmqxBrokers;
use kubectl_emqx::error::Exit;
use kubectl_emqx::model::{NodeName, Strategy};
use kubectl_emqx::ports::{Brokers, EvacuationOrder};
use serde_json::json;

use super::{Key, Local, Pods, Reply, broker, good, http, serve, target};

#[tokio::test]
async fn a_start_is_never_sent_twice_and_a_refusal_is_explained() {
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = starts.clone();
    let (port, _) = serve(move |head| {
        if !head.starts_with("POST") {
            return good(head);
        }
        assert!(head.starts_with("POST /api/v5/load_rebalance/emqx%40a/start "), "{head}");
        counted.fetch_add(1, Ordering::SeqCst);
        Reply::Last(Vec::new())
    })
    .await;
    let (broker, _) = broker(&[("a", port), ("b", port)]);
    broker.read().await.expect("never fails");
    let node = NodeName::from("emqx@a");
    let problem = broker.start(&node, &[], &Strategy::default()).await.expect_err("it was cut");
    assert!(problem.why.contains("whether it was done is not known"), "{problem}");
    assert_eq!(starts.load(Ordering::SeqCst), 1);

    let refusal = "{\"code\":\"BAD_REQUEST\",\"message\":\"error on node 'emqx@a': nothing_to_balance\"}";
    let (port, _) = serve(move |_| Reply::Send(http("400 Bad Request", refusal))).await;
    let (broker, _) = self::broker(&[("a", port)]);
    let problem = broker.start(&node, &[], &Strategy::default()).await.expect_err("it is refused");
    assert!(problem.why.contains("nothing to balance") && problem.hint.is_some(), "{problem}");

    let not_started = "{\"code\":400,\"message\":\"error on node 'emqx@a': not_started\"}";
    let (port, _) = serve(move |_| Reply::Send(http("200 OK", not_started))).await;
    let (broker, _) = self::broker(&[("a", port)]);
    assert_eq!(broker.stop(&node).await, Ok(false));
}

#[tokio::test]
async fn an_evacuation_that_is_refused_is_explained_in_both_versions() {
    let node = NodeName::from("emqx@a");
    let order = EvacuationOrder { conn_evict_rate: 5, sess_evict_rate: 5, ..EvacuationOrder::default() };
    let cases = [
        (
            "error on node 'emqx@a': eviction_agent_busy",
            "BAD_REQUEST",
            400,
            "donor of a running rebalance",
            "rebalance stop",
            Exit::Refused,
        ),
        (
            "Nodes unavailable: ['emqx@b',\n     'emqx@c']",
            "NOT_FOUND",
            400,
            "['emqx@b', 'emqx@c']",
            "kubectl emqx nodes",
            Exit::Refused,
        ),
        (
            "Node not found: emqx@a",
            "NOT_FOUND",
            404,
            "the node does not run",
            "kubectl emqx nodes",
            Exit::Error,
        ),
        (
            "wait_health_check: unknown field",
            "BAD_REQUEST",
            400,
            "does not accept one of the values",
            "above 0",
            Exit::Error,
        ),
        (
            "RPC error on node 'emqx@a': timeout",
            "RPC_ERROR",
            503,
            "did not answer",
            "kubectl emqx nodes",
            Exit::Error,
        ),
    ];
    for (message, code, status, why, hint, exit) in cases {
        for v4 in [false, true] {
            let (status, code) = if v4 { (200, json!(400)) } else { (status, json!(code)) };
            let answer = http(&format!("{status} X"), &json!({"code": code, "message": message}).to_string());
            let root = if v4 { "v4" } else { "v5" };
            let (port, _) = serve(move |head| {
                assert!(
                    head.starts_with(&format!("POST /api/{root}/load_rebalance/emqx%40a/evacuation/")),
                    "{head}"
                );
                Reply::Send(answer.clone())
            })
            .await;
            let tunnel = Rc::new(Pods { ports: BTreeMap::from([("a".to_owned(), port)]), ..Pods::default() });
            let brokers = EmqxBrokers::through(tunnel, Rc::new(Key(Ok(()))), Rc::new(Local), None, false);
            let broker = brokers.broker(target(&["a"], v4));
            let problem = broker.evacuate(&node, &order).await.expect_err("it is refused");
            assert!(problem.why.contains(why), "{root}: {problem}");
            assert_eq!(problem.exit, exit, "{root}: {problem}");
            assert!(
                problem.hint.as_ref().is_some_and(|it| it.contains(hint)),
                "{root} {message}: {:?}",
                problem.hint
            );
            let stopped = broker.stop_evacuation(&node).await;
            assert!(stopped.is_err_and(|problem| problem.what == "cannot stop the evacuation of emqx@a"));
        }
    }
    let busy = r#"{"code":"BAD_REQUEST","message":"error on node 'emqx@a': already_started"}"#;
    let (port, _) = serve(move |_| Reply::Send(http("400 Bad Request", busy))).await;
    assert_eq!(broker(&[("a", port)]).0.evacuate(&node, &order).await, Ok(false));
    let idle = r#"{"code":"BAD_REQUEST","message":"error on node 'emqx@a': not_started"}"#;
    let (port, _) = serve(move |_| Reply::Send(http("400 Bad Request", idle))).await;
    assert_eq!(broker(&[("a", port)]).0.stop_evacuation(&node).await, Ok(false));
}
