//! The pretend cluster under the real `kube` client, on a clock that stands: time passes only when told to.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use base64::Engine as _;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubectl_emqx::sim::{self, Running, Scenario};
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
        running.clock().advance(Duration::from_secs(3600)).await;
        let (_, later, _) = forwarded(&client, pod, port, get(path, &authorization)).await;
        assert_ne!(date, later, "the Date header is virtual");
        let (status, _, body) = forwarded(&client, pod, port, get(path, "Basic bm86bm8=")).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("BAD_API_KEY_OR_SECRET")));
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_a_watch_goes_on_from_it() {
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
async fn a_user_sees_what_its_name_says() {
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
    let nobody = client(&running, "nobody").await;
    let listed = rebalances(&nobody).list(&ListParams::default()).await.unwrap_err();
    assert_eq!(
        message(listed),
        (403, "rebalances.apps.emqx.io is forbidden: User \"nobody\" cannot list resource \"rebalances\" in API group \"apps.emqx.io\" in the namespace \"mq\"".to_owned())
    );
    running.shutdown().await;
}
