//! The deliberate faults of the simulated cluster, and that the simulated operator survives them.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use emqx_sim::scenario::Answer;
use emqx_sim::{self as sim, Running, Scenario};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpStream;

async fn serve(scenario: Scenario, speed: f64) -> Running {
    sim::serve(sim::Options { scenario, speed, kubeconfig_out: None }).await.unwrap()
}

async fn client(running: &Running) -> Client {
    let kubeconfig = Kubeconfig::read_from(running.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn create(client: &Client, name: &str) {
    let kind = GroupVersionKind::gvk("apps.emqx.io", "v2beta1", "Rebalance");
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "mq", &ApiResource::from_gvk_with_plural(&kind, "rebalances"));
    let object = json!({
        "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": { "name": name },
        "spec": { "instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {
            "connEvictRate": 10, "sessEvictRate": 10, "waitHealthCheck": 10, "waitTakeover": 10,
            "absConnThreshold": 100, "absSessThreshold": 100,
        } },
    });
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Asks EMQX outside Kubernetes.
async fn ask(url: &str, path: &str, key: Option<(&str, &str)>, post: Option<Value>) -> (u16, Bytes) {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::builder().uri(path).header("host", "emqx");
    if let Some((key, secret)) = key {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
        request = request.header("authorization", format!("Basic {pair}"));
    }
    let body = post.map(|body| body.to_string());
    if body.is_some() {
        request = request.method("POST");
    }
    let response = sender
        .send_request(request.body(Full::<Bytes>::from(body.unwrap_or_default())).unwrap())
        .await
        .unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

fn phase(running: &Running, name: &str) -> Value {
    running.faults().object("rebalances", name).unwrap_or_default()["status"]["phase"].clone()
}

#[tokio::test]
async fn emqx_answers_with_the_faults_that_are_set() {
    let running = serve(Scenario::built_in("documented").unwrap(), 0.0).await;
    let url = running.emqx_url(None).await.unwrap();
    let key = running.emqx().key().clone();
    let key = Some((key.key.as_str(), key.secret.as_str()));
    for (answer, status, contains) in [
        (Answer::Error, 500, "INTERNAL_ERROR"),
        (Answer::Unauthorized, 401, "BAD_API_KEY_OR_SECRET"),
        (Answer::Html, 200, "<!doctype html>"),
        (Answer::WrongShape, 200, "\"rebalances\":7"),
    ] {
        running.faults().emqx_answers(Some(answer));
        let (code, body) = ask(&url, "/api/v5/nodes", key, None).await;
        assert_eq!(code, status);
        assert!(String::from_utf8_lossy(&body).contains(contains));
    }
    running.faults().emqx_answers(Some(Answer::Huge));
    assert_eq!(ask(&url, "/api/v5/nodes", key, None).await.1.len(), 50_000_000);
    running.faults().emqx_answers(None);
    assert_eq!(ask(&url, "/api/v5/nodes", key, None).await.0, 200);
    assert_eq!(ask(&url, "/api/v5/nodes", None, None).await.0, 401);
    assert_eq!(ask(&url, "/status", None, None).await.0, 200);
    assert_eq!(ask(&url, "/api/v5/load_rebalance/availability_check", None, None).await.0, 200);
    let viewer = running.emqx().viewer_key().clone();
    let viewer = Some((viewer.key.as_str(), viewer.secret.as_str()));
    assert_eq!(ask(&url, "/api/v5/nodes", viewer, None).await.0, 200);
    let (status, body) = ask(&url, "/api/v5/load_rebalance/x/start", viewer, Some(json!({}))).await;
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&body).contains("UNAUTHORIZED_ROLE"));
    let (status, body) = ask(&url, "/api/v5/load_rebalance/emqx@gone/stop", key, Some(json!({}))).await;
    assert_eq!(status, 404);
    assert_eq!(body, r#"{"code":"NOT_FOUND","message":"Node not found: emqx@gone"}"#);
    running.shutdown().await;
}

#[tokio::test]
async fn a_dropped_port_forward_is_felt_and_a_new_one_works() {
    let running = serve(Scenario::built_in("documented").unwrap(), 0.0).await;
    let client = client(&running).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "mq");
    for _ in 0..2 {
        let mut forward = pods.portforward("emqx-core-66c88f5c8-1", &[18083]).await.unwrap();
        let stream = TokioIo::new(forward.take_stream(18083).unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        let task = tokio::spawn(connection);
        let request =
            || hyper::Request::get("/status").header("host", "emqx").body(Full::<Bytes>::default()).unwrap();
        let response = sender.send_request(request()).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        running.faults().drop_port_forwards();
        let _ = tokio::time::timeout(Duration::from_secs(5), task).await.unwrap();
        assert!(sender.send_request(request()).await.is_err());
    }
    // A port without a listener, and a stopped node.
    let mut forward = pods.portforward("emqx-core-66c88f5c8-1", &[9]).await.unwrap();
    let refused = forward.take_error(9).unwrap().await.unwrap();
    assert!(refused.contains("connection refused"), "{refused}");
    assert!(running.faults().set_node_running("emqx-core-66c88f5c8-1", false));
    let mut forward = pods.portforward("emqx-core-66c88f5c8-1", &[18083]).await.unwrap();
    assert!(forward.take_error(18083).unwrap().await.is_some());
    running.shutdown().await;
}

#[tokio::test]
async fn the_operator_survives_a_restart_of_the_api_server_and_forgets_nothing_when_it_was_away() {
    let running = serve(Scenario::built_in("documented").unwrap(), 0.0).await;
    let client = client(&running).await;
    running.faults().restart_api_server();
    running.faults().set_operator_alive(false);
    create(&client, "r").await;
    running.clock().advance(Duration::from_secs(10)).await;
    assert_eq!(phase(&running, "r"), Value::Null);
    running.faults().set_operator_alive(true);
    running.clock().advance(Duration::from_secs(2)).await;
    assert_eq!(phase(&running, "r"), "Processing");
    running.faults().emqx_answers(Some(Answer::Error));
    running.clock().advance(Duration::from_secs(6)).await;
    let object = running.faults().object("rebalances", "r").unwrap();
    assert_eq!(
        object["status"]["conditions"][0]["message"],
        "Failed to get rebalance status: request api failed: 500 Internal Server Error"
    );
    running.shutdown().await;
}

#[tokio::test]
async fn an_operator_that_dies_in_mid_run_leaves_the_simulated_cluster_at_work() {
    // Its next pass over the object is due while it is stopped.
    let text = "name: lost\napi: v2beta1\nnodes: [{connections: 3333}, {connections: 3333}, {connections: 3334}, {}]\n\
                faults:\n- {at: 25, fault: stopOperator}\n- {at: 200, fault: startOperator}\n";
    let running = serve(Scenario::from_yaml(text).unwrap(), 0.0).await;
    let client = client(&running).await;
    running.clock().advance(Duration::from_secs(22)).await;
    create(&client, "r").await;
    let advanced = running.clock().advance(Duration::from_secs(150));
    tokio::time::timeout(Duration::from_mins(1), advanced).await.expect("time passes without an operator");
    assert_eq!(phase(&running, "r"), "Processing", "no client writes anything else");
    assert!(running.emqx().with(|broker| broker.rebalances().is_empty()), "EMQX came to the end");
    running.clock().advance(Duration::from_secs(40)).await;
    assert_eq!(phase(&running, "r"), "Completed", "the operator reconciles it when it is back");
    running.shutdown().await;
}

#[tokio::test]
async fn a_stopped_node_ends_the_rebalance_and_its_pod_is_not_ready() {
    let running = serve(Scenario::built_in("documented").unwrap(), 0.0).await;
    let client = client(&running).await;
    create(&client, "r").await;
    running.clock().advance(Duration::from_secs(15)).await;
    assert!(running.faults().set_node_running("emqx-core-66c88f5c8-3", false));
    running.clock().advance(Duration::from_secs(1)).await;
    assert!(running.emqx().with(|broker| broker.rebalances().is_empty()));
    let pod = Api::<Pod>::namespaced(client, "mq").get("emqx-core-66c88f5c8-3").await.unwrap();
    let ready = pod.status.unwrap().conditions.unwrap().into_iter().find(|one| one.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "False");
    assert!(!running.faults().set_node_running("nobody", false));
    running.shutdown().await;
}

#[tokio::test]
async fn faults_come_at_their_time() {
    let text = "name: timed\napi: v2beta1\nnodes: [{connections: 10}, {connections: 10}]\nfaults:\n\
                - {at: 5, fault: {emqxAnswers: unauthorized}}\n- {at: 8, fault: emqxRecovers}\n\
                - {at: 9, fault: {deleteObject: pods/emqx-core-66c88f5c8-1}}\n";
    let running = serve(Scenario::from_yaml(text).unwrap(), 0.0).await;
    let uid = || running.faults().object("pods", "emqx-core-66c88f5c8-1").unwrap()["metadata"]["uid"].take();
    let before = uid();
    running.clock().advance(Duration::from_secs(6)).await;
    assert_eq!(running.emqx().answer(), Some(Answer::Unauthorized));
    running.clock().advance(Duration::from_secs(2)).await;
    assert_eq!(running.emqx().answer(), None);
    running.clock().advance(Duration::from_secs(2)).await;
    assert_ne!(uid(), before, "the pod is gone, and its set has made another");
    running.shutdown().await;
}

#[tokio::test]
async fn an_unknown_token_is_refused_and_a_malformed_request_is_answered() {
    let running = serve(Scenario::built_in("documented").unwrap(), 0.0).await;
    let address = running.url();
    let bearer = |token: &str, path: &str, method: &str, body: &str| {
        hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sim")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap()
    };
    let send = async |request| {
        let stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap().status().as_u16()
    };
    assert_eq!(send(bearer("stranger", "/api/v1/namespaces/mq/pods", "GET", "")).await, 401);
    let rebalances = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";
    for (path, method, body, status) in [
        ("/api/v1/componentstatuses", "GET", "", 404),
        ("//", "GET", "", 404),
        ("/api/v1/namespaces/mq/pods/%ff%00", "GET", "", 404),
        ("/api/v1/namespaces/mq/pods?limit=many", "GET", "", 400),
        ("/api/v1/namespaces/mq/pods?limit=1&continue=nonsense", "GET", "", 400),
        ("/api/v1/namespaces/mq/pods?labelSelector=a+b+c", "GET", "", 400),
        ("/api/v1/namespaces/mq/pods/x/portforward", "GET", "", 404),
        ("/api/v1/namespaces/mq/pods/emqx-core-66c88f5c8-0/portforward", "GET", "", 400),
        (rebalances, "POST", "{", 400),
        (rebalances, "POST", "7", 400),
        (rebalances, "POST", "[]", 400),
        (rebalances, "POST", "{\"metadata\":7}", 400),
        (
            rebalances,
            "POST",
            "{\"apiVersion\":\"apps.emqx.io/v2beta1\",\"kind\":\"Rebalance\",\"metadata\":{}}",
            422,
        ),
        (rebalances, "PUT", "{}", 404),
        (rebalances, "BREW", "", 405),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", "[1]", 400),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", "{}", 201),
        ("/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "PATCH", "{}", 415),
        ("/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "PUT", "[]", 400),
    ] {
        let answered = send(bearer("admin", path, method, body)).await;
        assert_eq!(answered, status, "{method} {path} {body}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_running_clock_plays_the_documented_run_in_seconds() {
    let started = Instant::now();
    let running = serve(Scenario::built_in("documented").unwrap(), 40.0).await;
    let client = client(&running).await;
    create(&client, "r").await;
    let ended = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let over = running
                .emqx()
                .with(|broker| broker.rebalances().is_empty() && broker.nodes[3].connections > 0);
            if over {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap();
    let counts: Vec<u64> =
        running.emqx().with(|broker| broker.nodes.iter().map(|node| node.connections).collect());
    assert_eq!(counts, [2553, 2553, 2554, 2340]);
    assert_eq!(phase(&running, "r"), "Failed");
    assert!(started.elapsed() < Duration::from_mins(1), "98 virtual seconds");
    let events: Api<DynamicObject> = Api::namespaced_with(
        client,
        "mq",
        &ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Event"), "events"),
    );
    let replayed = events.list(&ListParams::default().fields("involvedObject.name=r")).await.unwrap();
    assert_eq!(replayed.items.len(), 1);
    assert_eq!(replayed.items[0].data["message"], "rebalance is processing");
    running.shutdown().await;
}
