//! The simulated cluster under the real `kube` client, on a standing clock: time passes only when it is
//! advanced.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use base64::Engine as _;
use emqx_sim::{self as sim, Running, Scenario};
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

async fn standing(scenario: &str) -> Running {
    let scenario = Scenario::built_in(scenario).unwrap();
    sim::serve(sim::Options { scenario, speed: 0.0, kubeconfig_out: None }).await.unwrap()
}

async fn client(running: &Running, context: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(running.kubeconfig()).unwrap();
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap()
}

fn custom(client: &Client, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps.emqx.io", version, kind), plural);
    Api::namespaced_with(client.clone(), "mq", &resource)
}

fn rebalances(client: &Client) -> Api<DynamicObject> {
    custom(client, "v2beta1", "Rebalance", "rebalances")
}

fn rebalance(name: &str, kind: Option<&str>, instance: &str) -> DynamicObject {
    let mut spec = json!({ "instanceName": instance, "rebalanceStrategy": {
        "connEvictRate": 10, "sessEvictRate": 10, "waitHealthCheck": 10, "waitTakeover": 10,
        "absConnThreshold": 100, "absSessThreshold": 100, "relConnThreshold": "1.1", "relSessThreshold": "1.1",
    } });
    if let Some(kind) = kind {
        spec["instanceKind"] = json!(kind);
    }
    serde_json::from_value(json!({
        "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

/// A request to EMQX's REST API over a port-forward.
async fn forwarded(
    client: &Client,
    pod: &str,
    port: u16,
    request: hyper::Request<Full<bytes::Bytes>>,
) -> (u16, String, Value) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "mq");
    let mut forward = pods.portforward(pod, &[port]).await.unwrap();
    let stream = hyper_util::rt::TokioIo::new(forward.take_stream(port).unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let task = tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let date = response.headers()["date"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    task.abort();
    (status, date, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn key(client: &Client, name: &str, field: &str) -> String {
    let secret = Api::<Secret>::namespaced(client.clone(), "mq").get(name).await.unwrap();
    let pair = String::from_utf8(secret.data.unwrap()[field].0.clone()).unwrap();
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn get(path: &str, authorization: &str) -> hyper::Request<Full<bytes::Bytes>> {
    hyper::Request::get(path)
        .header("host", "emqx")
        .header("authorization", authorization)
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn emqx_answers_over_a_port_forward_with_the_key_of_the_secret() {
    for (scenario, secret, field, pod, port, path) in [
        (
            "documented",
            "emqx-bootstrap-api-key",
            "bootstrap_api_key",
            "emqx-core-66c88f5c8-0",
            18083,
            "/api/v5/nodes",
        ),
        (
            "documented-v1beta4",
            "emqx-ee-bootstrap-user",
            "bootstrap_user",
            "emqx-ee-0",
            8081,
            "/api/v4/nodes",
        ),
    ] {
        let running = standing(scenario).await;
        let client = client(&running, "demo").await;
        let authorization = key(&client, secret, field).await;
        let (status, date, body) = forwarded(&client, pod, port, get(path, &authorization)).await;
        assert_eq!(status, 200, "{body}");
        let nodes = if port == 8081 { &body["data"] } else { &body };
        let counts: Vec<u64> =
            nodes.as_array().unwrap().iter().map(|node| node["live_connections"].as_u64().unwrap()).collect();
        assert_eq!(counts, [3333, 3333, 3334, 0]);
        running.clock().advance(Duration::from_hours(1)).await;
        let (_, later, _) = forwarded(&client, pod, port, get(path, &authorization)).await;
        assert_ne!(date, later, "the Date header is virtual");
        let (status, _, body) = forwarded(&client, pod, port, get(path, "Basic bm86bm8=")).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("BAD_API_KEY_OR_SECRET")));
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_a_watch_continues_from_it() {
    let running = standing("documented").await;
    let client = client(&running, "demo").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "mq");
    let first = pods.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (3, Some(1)));
    let token = first.metadata.continue_.unwrap();
    let rest = pods.list(&ListParams::default().limit(3).continue_token(&token)).await.unwrap();
    assert_eq!((rest.items.len(), rest.metadata.continue_), (1, None));

    let api = rebalances(&client);
    let version = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    running.faults().set_operator_alive(false);
    api.create(&PostParams::default(), &rebalance("r", Some("EMQX"), "emqx")).await.unwrap();
    let event = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("r")));
    api.delete("r", &DeleteParams::default()).await.unwrap();
    let event = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Deleted(_)));

    running.faults().restart_api_server();
    assert!(
        watch.try_next().await.is_err() || watch.try_next().await.unwrap().is_none(),
        "the watch was cut"
    );
    let mut old = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    let event = old.try_next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
    running.shutdown().await;
}

#[tokio::test]
async fn a_user_sees_what_its_name_states() {
    let running = standing("documented").await;
    let message = |error: kube::Error| match error {
        kube::Error::Api(status) => (status.code, status.message),
        other => (0, other.to_string()),
    };
    let viewer = client(&running, "viewer").await;
    assert_eq!(
        Api::<Pod>::namespaced(viewer.clone(), "mq").list(&ListParams::default()).await.unwrap().items.len(),
        4
    );
    let secret =
        Api::<Secret>::namespaced(viewer.clone(), "mq").get("emqx-bootstrap-api-key").await.unwrap_err();
    assert_eq!(
        message(secret),
        (403, "secrets \"emqx-bootstrap-api-key\" is forbidden: User \"viewer\" cannot get resource \"secrets\" in API group \"\" in the namespace \"mq\"".to_owned())
    );
    assert!(
        Api::<Pod>::namespaced(viewer, "mq").portforward("emqx-core-66c88f5c8-0", &[18083]).await.is_err()
    );
    let without_rights = client(&running, "nobody").await;
    let listed = rebalances(&without_rights).list(&ListParams::default()).await.unwrap_err();
    assert_eq!(
        message(listed),
        (403, "rebalances.apps.emqx.io is forbidden: User \"nobody\" cannot list resource \"rebalances\" in API group \"apps.emqx.io\" in the namespace \"mq\"".to_owned())
    );
    running.shutdown().await;
}

/// Waits (at most `limit` virtual seconds, in steps of a tenth) until the object's phase is `phase`; the seconds it took.
async fn until_phase(running: &Running, name: &str, phase: &str, limit: u32) -> (f64, Value) {
    for tenth in 0..limit * 10 {
        let object = running.faults().object("rebalances", name).unwrap_or_default();
        if object["status"]["phase"] == phase {
            return (f64::from(tenth) / 10.0, object);
        }
        running.clock().advance(Duration::from_millis(100)).await;
    }
    panic!(
        "{name} is not {phase} after {limit} s: {}",
        running.faults().object("rebalances", name).unwrap_or_default()
    );
}

fn counts(running: &Running) -> Vec<u64> {
    running.emqx().with(|broker| broker.nodes.iter().map(|node| node.connections).collect())
}

fn runs(running: &Running) -> bool {
    running.emqx().with(|broker| !broker.rebalances().is_empty())
}

#[tokio::test]
async fn on_v2beta1_the_object_fails_while_emqx_finishes() {
    let running = standing("documented").await;
    let client = client(&running, "demo").await;
    rebalances(&client).create(&PostParams::default(), &rebalance("r", Some("EMQX"), "emqx")).await.unwrap();
    running.clock().advance(Duration::from_millis(10)).await;
    let first = running.faults().object("rebalances", "r").unwrap();
    assert_eq!(first["status"]["phase"], "Processing", "{first}");
    assert_eq!(first["status"]["rebalanceStates"], Value::Null, "the first write has no states");
    running.clock().advance(Duration::from_millis(100)).await;
    let second = running.faults().object("rebalances", "r").unwrap();
    assert_eq!(second["status"]["rebalanceStates"][0]["state"], "wait_health_check", "{second}");
    let (seconds, failed) = until_phase(&running, "r", "Failed", 60).await;
    assert!((20.0..=35.0).contains(&seconds), "Failed after {seconds} s");
    assert_eq!(failed["status"]["conditions"][0]["message"], "EMQX emqx is not ready");
    assert_eq!(failed["status"]["rebalanceStates"][0]["state"], "evicting_conns", "stale states stay");
    assert!(runs(&running), "EMQX continues");
    let pods = Api::<Pod>::namespaced(client.clone(), "mq").list(&ListParams::default()).await.unwrap();
    let ready = pods.items.iter().filter(|pod| {
        pod.status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .any(|one| one.type_ == "Ready" && one.status == "True")
    });
    assert_eq!(ready.count(), 1, "the donors have left the Service");
    running.clock().advance(Duration::from_secs(98)).await;
    assert!(!runs(&running));
    assert_eq!(counts(&running), [2553, 2553, 2554, 2340]);
    let last = running.faults().object("rebalances", "r").unwrap();
    assert_eq!(last["status"]["phase"], "Failed", "it stays Failed");
    let emqx = running.faults().object("emqxes", "emqx").unwrap();
    assert_eq!(emqx["status"]["conditions"][0]["type"], "Ready", "{}", emqx["status"]["conditions"]);
    assert_eq!(emqx["status"]["coreNodes"][3]["live_connections"], 2340);
    running.shutdown().await;
}

#[tokio::test]
async fn on_v1beta4_the_phase_is_the_truth() {
    let running = standing("documented-v1beta4").await;
    let client = client(&running, "demo").await;
    let lost = rebalance("lost", None, "emqx-ee");
    rebalances(&client).create(&PostParams::default(), &lost).await.unwrap();
    let (_, object) = until_phase(&running, "lost", "Failed", 1).await;
    assert_eq!(object["status"]["conditions"][0]["message"], "EMQX emqx-ee is not found");
    assert_eq!(object["metadata"]["finalizers"], Value::Null);
    let good = rebalance("good", Some("EmqxEnterprise"), "emqx-ee");
    rebalances(&client).create(&PostParams::default(), &good).await.unwrap();
    until_phase(&running, "good", "Processing", 1).await;
    let second = rebalance("second", Some("EmqxEnterprise"), "emqx-ee");
    rebalances(&client).create(&PostParams::default(), &second).await.unwrap();
    let (_, object) = until_phase(&running, "second", "Failed", 5).await;
    let message = object["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Failed to start rebalance: Nodes unavailable: ['emqx-ee@emqx-ee-"),
        "{message}"
    );
    let (seconds, object) = until_phase(&running, "good", "Completed", 150).await;
    assert!((95.0..=105.0).contains(&seconds), "Completed after {seconds} s");
    assert_eq!(object["status"]["rebalanceStates"], Value::Null);
    assert_eq!(counts(&running), [2553, 2553, 2554, 2340]);
    running.shutdown().await;
}

#[tokio::test]
async fn a_crash_looks_like_completed_and_a_balanced_cluster_like_a_bare_400() {
    let crash = standing("coordinator-crash").await;
    let crash_client = client(&crash, "demo").await;
    let object = rebalance("r", Some("EmqxEnterprise"), "emqx-ee");
    rebalances(&crash_client).create(&PostParams::default(), &object).await.unwrap();
    let (seconds, _) = until_phase(&crash, "r", "Completed", 60).await;
    assert!((25.0..=32.0).contains(&seconds), "Completed after {seconds} s");
    crash.clock().advance(Duration::from_secs(5)).await;
    assert_eq!(counts(&crash), [3173, 3173, 3174, 480]);
    crash.shutdown().await;

    let balanced = standing("balanced").await;
    let client = client(&balanced, "demo").await;
    rebalances(&client).create(&PostParams::default(), &rebalance("r", Some("EMQX"), "emqx")).await.unwrap();
    let (_, object) = until_phase(&balanced, "r", "Failed", 1).await;
    assert_eq!(
        object["status"]["conditions"][0]["message"],
        "Failed to start rebalance: request api failed: 400 Bad Request"
    );
    assert_eq!(object["metadata"]["finalizers"][0], "apps.emqx.io/finalizer");
    balanced.shutdown().await;
}

#[tokio::test]
async fn on_v2_it_takes_two_of_the_long_loops() {
    let running = standing("documented-v2").await;
    let client = client(&running, "demo").await;
    rebalances(&client).create(&PostParams::default(), &rebalance("r", None, "emqx")).await.unwrap();
    let (seconds, object) = until_phase(&running, "r", "Failed", 90).await;
    assert!((30.0..=65.0).contains(&seconds), "Failed after {seconds} s");
    assert_eq!(object["status"]["conditions"][0]["message"], "EMQX emqx is not ready");
    let emqx = running.faults().object("emqxes", "emqx").unwrap();
    assert_eq!(emqx["status"]["conditions"][0]["type"], "ReplicantNodesProgressing");
    running.clock().advance(Duration::from_secs(98)).await;
    assert_eq!(counts(&running), [0, 0, 2553, 2553, 2554, 2340]);
    let emqx = running.faults().object("emqxes", "emqx").unwrap();
    assert_eq!(emqx["status"]["conditions"][0]["status"], "True");
    assert_eq!(emqx["status"]["replicantNodes"][3]["connections"], 2340);
    running.shutdown().await;
}

#[tokio::test]
async fn a_delete_stops_emqx_only_in_processing_with_states_and_else_hangs() {
    let running = standing("documented").await;
    let client = client(&running, "demo").await;
    let api = rebalances(&client);
    api.create(&PostParams::default(), &rebalance("quick", Some("EMQX"), "emqx")).await.unwrap();
    running.clock().advance(Duration::from_secs(3)).await;
    assert!(runs(&running));
    api.delete("quick", &DeleteParams::default()).await.unwrap();
    running.clock().advance(Duration::from_secs(1)).await;
    assert!(!runs(&running), "stopped at once");
    assert_eq!(running.faults().object("rebalances", "quick"), None);

    api.create(&PostParams::default(), &rebalance("slow", Some("EMQX"), "emqx")).await.unwrap();
    until_phase(&running, "slow", "Failed", 60).await;
    api.delete("slow", &DeleteParams::default()).await.unwrap();
    running.clock().advance(Duration::from_secs(30)).await;
    assert!(runs(&running), "EMQX is not stopped");
    let terminating = running.faults().object("rebalances", "slow").unwrap();
    assert_ne!(terminating["metadata"]["deletionTimestamp"], Value::Null);
    assert_eq!(terminating["metadata"]["generation"], 2);
    // EMQX ends it and the instance is Ready again, but the operator has returned without requeueing: only
    // another change of the object makes it reconcile.
    running.clock().advance(Duration::from_mins(10)).await;
    let ready = running.faults().object("emqxes", "emqx").unwrap();
    assert_eq!(ready["status"]["conditions"][0]["type"], "Ready");
    let terminating = running.faults().object("rebalances", "slow").unwrap();
    assert_eq!(terminating["metadata"]["finalizers"], json!(["apps.emqx.io/finalizer"]));
    let touch = json!({ "metadata": { "annotations": { "example.com/touched": "now" } } });
    api.patch("slow", &PatchParams::default(), &Patch::Merge(touch)).await.unwrap();
    running.clock().advance(Duration::from_secs(1)).await;
    assert_eq!(running.faults().object("rebalances", "slow"), None, "freed by a mere annotation");
    running.shutdown().await;
}

#[tokio::test]
async fn a_delete_while_emqx_answers_errors_removes_the_object_and_stops_nothing() {
    let running = standing("documented-v1beta4").await;
    let client = client(&running, "demo").await;
    let api = rebalances(&client);
    api.create(&PostParams::default(), &rebalance("r", Some("EmqxEnterprise"), "emqx-ee")).await.unwrap();
    running.clock().advance(Duration::from_secs(7)).await;
    assert!(running.faults().object("rebalances", "r").unwrap()["status"]["rebalanceStates"].is_array());
    running.faults().emqx_answers(Some(emqx_sim::scenario::Answer::Error));
    api.delete("r", &DeleteParams::default()).await.unwrap();
    running.clock().advance(Duration::from_secs(2)).await;
    assert_eq!(running.faults().object("rebalances", "r"), None);
    running.faults().emqx_answers(None);
    assert!(runs(&running), "EMQX was not stopped");
    running.shutdown().await;
}

#[tokio::test]
async fn on_v3beta1_donors_leave_within_the_probe_and_come_back() {
    let running = standing("documented-v3beta1").await;
    let client = client(&running, "demo").await;
    assert!(rebalances(&client).list(&ListParams::default()).await.is_err(), "3.x has no Rebalance");
    let authorization = key(&client, "emqx-bootstrap-api-key", "bootstrap_api_key").await;
    let leader = running.emqx().with(|broker| broker.nodes[0].name.clone());
    let body = json!({ "conn_evict_rate": 10, "wait_health_check": "10s", "wait_takeover": 10, "abs_conn_threshold": 100, "rel_conn_threshold": 1.1 });
    let start = hyper::Request::post(format!("/api/v5/load_rebalance/{}/start", leader.replace('@', "%40")))
        .header("host", "emqx")
        .header("authorization", &authorization)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap();
    let (status, _, answer) = forwarded(&client, "emqx-core-3", 18083, start).await;
    assert_eq!((status, answer), (200, json!({})));
    let ready = || {
        let slices = ["emqx-core-0", "emqx-core-1", "emqx-core-2", "emqx-core-3"];
        slices
            .iter()
            .filter(|name| {
                let pod = running.faults().object("pods", name).unwrap_or_default();
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
            .count()
    };
    assert_eq!(ready(), 4);
    running.clock().advance(Duration::from_millis(5200)).await;
    assert_eq!(ready(), 1);
    running.clock().advance(Duration::from_secs(30)).await;
    let emqx = running.faults().object("emqxes", "emqx").unwrap();
    assert!(
        emqx["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "False")
    );
    running.clock().advance(Duration::from_secs(70)).await;
    assert_eq!(ready(), 4);
    assert_eq!(counts(&running), [2553, 2553, 2554, 2340]);
    running.shutdown().await;
}

#[tokio::test]
async fn big_is_served_in_one_list_and_moved_by_numbers() {
    let running = standing("big").await;
    let client = client(&running, "demo").await;
    let pods = Api::<Pod>::namespaced(client.clone(), "mq").list(&ListParams::default()).await.unwrap();
    assert_eq!(pods.items.len(), 1003);
    rebalances(&client).create(&PostParams::default(), &rebalance("r", None, "emqx")).await.unwrap();
    let (_, object) = until_phase(&running, "r", "Processing", 1).await;
    assert_eq!(object["spec"]["instanceName"], "emqx");
    running.clock().advance(Duration::from_secs(40)).await;
    assert!(counts(&running).iter().sum::<u64>() > 9_900_000);
    running.shutdown().await;
}

#[tokio::test]
async fn every_scenario_s_object_ends_in_its_phase() {
    for name in Scenario::names().filter(|name| *name != "big") {
        let scenario = Scenario::built_in(name).unwrap();
        let Some(phase) = scenario.expect.phase.clone() else { continue };
        let running = standing(name).await;
        let client = client(&running, "demo").await;
        let wanted = &scenario.expect.strategy;
        let kind = (scenario.api == sim::scenario::Api::V1beta4).then_some("EmqxEnterprise");
        let mut object = rebalance("r", kind, &scenario.instance);
        object.data["spec"]["rebalanceStrategy"] = json!({
            "connEvictRate": wanted.conn_evict_rate, "sessEvictRate": wanted.sess_evict_rate,
            "waitHealthCheck": wanted.wait_health_check, "waitTakeover": wanted.wait_takeover,
            "absConnThreshold": wanted.abs_conn_threshold, "absSessThreshold": wanted.abs_sess_threshold,
            "relConnThreshold": wanted.rel_conn_threshold.to_string(),
            "relSessThreshold": wanted.rel_sess_threshold.to_string(),
        });
        rebalances(&client).create(&PostParams::default(), &object).await.unwrap();
        let (_, ended) = until_phase(&running, "r", &phase, 200).await;
        let message = ended["status"]["conditions"][0]["message"].as_str();
        assert_eq!(message, scenario.expect.message.as_deref(), "{name}");
        running.clock().advance(Duration::from_mins(4)).await;
        if let Some(wanted) = &scenario.expect.connections {
            assert_eq!(&counts(&running), wanted, "{name}");
        }
        assert_eq!(
            running.faults().object("rebalances", "r").unwrap()["status"]["phase"],
            phase.as_str(),
            "{name}"
        );
        running.shutdown().await;
    }
}
