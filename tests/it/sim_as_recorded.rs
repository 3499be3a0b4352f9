//! The simulated EMQX answers as the real EMQX 5.4.1, 5.8.11 and 5.10.4 answered (`tests/data/recorded/emqx-*`): the
//! same requests in the same order get the same status, the same texts, and JSON of the same shape.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "recordings of the tests are read where they lie")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use emqx_sim::Scenario;
use emqx_sim::clock::Clock;
use emqx_sim::emqx::{Emqx, Scope, SimulatedKey};
use emqx_sim::rest::serve_stream;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// A simulated cluster with the names, the version and the counts of a recorded one.
struct Cluster {
    emqx: Emqx,
    clock: Clock,
}

struct Answer {
    status: u16,
    kind: String,
    text: String,
}

impl Answer {
    /// The body as it is in a recording: JSON, or a text.
    fn body(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|_| json!(self.text))
    }
}

impl Cluster {
    fn new(version: &str, counts: &[(u64, u64)], extra: &str) -> Self {
        let nodes: Vec<String> = (1..)
            .zip(counts)
            .map(|(number, (connections, offline))| {
                format!(
                    "- {{node: emqx@127.0.0.{number}, connections: {connections}, offlineSessions: {offline}}}"
                )
            })
            .collect();
        let nodes = nodes.join("\n");
        let text = format!("name: recorded\napi: v2beta1\nversion: {version}\n{extra}nodes:\n{nodes}\n");
        let scenario = Scenario::from_yaml(&text).unwrap();
        let clock = Clock::standing_at("2026-11-26T12:00:00Z".parse().unwrap());
        Self { emqx: Emqx::new(&scenario, clock.clone()), clock }
    }

    async fn pass(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds)).await;
    }

    async fn ask(
        &self,
        node: usize,
        method: &str,
        path: &str,
        key: Option<&SimulatedKey>,
        body: Option<&Value>,
    ) -> Answer {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(serve_stream(far, self.emqx.clone(), node));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "emqx");
        if let Some(SimulatedKey { key, secret, .. }) = key {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
            request = request.header("authorization", format!("Basic {pair}"));
        }
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let response = sender.send_request(request.body(Full::<Bytes>::from(bytes)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        server.abort();
        connection.abort();
        Answer { status, kind, text: String::from_utf8(text.to_vec()).unwrap() }
    }

    async fn get(&self, node: usize, path: &str) -> Value {
        self.ask(node, "GET", path, Some(self.emqx.key()), None).await.body()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let path = format!("/api/v5/load_rebalance/{path}");
        self.ask(0, "POST", &path, Some(self.emqx.key()), Some(&body)).await
    }

    async fn global(&self) -> Value {
        self.get(3, GLOBAL).await
    }
}

const GLOBAL: &str = "/api/v5/load_rebalance/global_status";

fn recording(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Keys and types of a JSON value, without its values; for a list, the shapes of its items.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(number) if number.is_f64() => json!("float"),
        Value::Number(_) => json!("int"),
        Value::String(_) => json!("text"),
        Value::Array(list) => {
            let shapes: BTreeSet<String> = list.iter().map(|one| shape(one).to_string()).collect();
            json!(shapes)
        }
        Value::Object(map) => map.iter().map(|(key, one)| (key.clone(), shape(one))).collect(),
    }
}

/// The types of a machine's numbers differ at random: `1.0` and `1` are both a load.
fn plain_loads(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("load") || key == "load_rebalance");
            map.values_mut().for_each(plain_loads);
        }
        Value::Array(list) => list.iter_mut().for_each(plain_loads),
        _ => {}
    }
}

/// Repeats the requests of a client, and names the answers that differ.
async fn repeated(file: &str, version: &str, counts: &[(u64, u64)]) -> Vec<String> {
    let cluster = Cluster::new(version, counts, "");
    let wrong_key = SimulatedKey { key: "k".into(), secret: "wrong".into(), viewer: false, scope: None };
    let mut different = Vec::new();
    for line in recording(file).iter().filter(|line| line["who"] == "client") {
        let (method, path) = (line["method"].as_str().unwrap(), line["path"].as_str().unwrap());
        let (status, body) = (line["status"].as_u64().unwrap(), &line["body"]);
        // The recorded build had no licence checker, so that its own monitor failed.
        if status == 500 && path.ends_with("monitor_current") {
            continue;
        }
        let node: usize = line["node"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap();
        let key = match (status, body["code"].as_str()) {
            (401, Some("AUTHORIZATION_HEADER_ERROR")) => None,
            (401, _) => Some(&wrong_key),
            (403, _) => Some(cluster.emqx.viewer_key()),
            _ => Some(cluster.emqx.key()),
        };
        let request = line.get("request").filter(|request| !request.is_null());
        let answer = cluster.ask(node - 1, method, path, key, request).await;
        let mut own = answer.body();
        let mut recorded = body.clone();
        plain_loads(&mut own);
        plain_loads(&mut recorded);
        let what = format!("{method} {path} {}", line["request"]);
        if u64::from(answer.status) != status {
            different.push(format!("{what}: {} for {status}: {own}", answer.status));
        } else if let (Value::String(own), Value::String(recorded)) = (&own, &recorded) {
            // For a text that is not JSON, the part with the reason; line numbers of EMQX's source are
            // ignored.
            let head = |text: &str| {
                text.replace("\\n", " ").split_whitespace().take(16).collect::<Vec<_>>().join(" ")
            };
            if head(own) != head(recorded) || (recorded.starts_with('<') && own != recorded) {
                different.push(format!("{what}: {} for {}", head(own), head(recorded)));
            }
            let html = answer.kind.starts_with("text/html");
            if html != recorded.starts_with('<') {
                different.push(format!("{what}: {}", answer.kind));
            }
        } else if own.get("message") != recorded.get("message") || own.get("code") != recorded.get("code") {
            different.push(format!("{what}: {own} for {recorded}"));
        } else if shape(&own) != shape(&recorded) && !path.ends_with("monitor_current") {
            different.push(format!("{what}: {} for {}", shape(&own), shape(&recorded)));
        }
    }
    different
}

#[tokio::test]
async fn every_request_of_the_recorded_refusals_is_answered_in_the_same_way() {
    let even = [(700, 0), (700, 0), (700, 0), (300, 0)];
    let after = [(2553, 0), (2553, 0), (2554, 0), (2340, 0)];
    let mut different = Vec::new();
    for (file, version, counts) in [
        ("emqx-5.8-refusals.jsonl", "5.8.11", &even),
        ("emqx-5.10-refusals.jsonl", "5.10.4", &even),
        ("emqx-5.4-refusals-while-running.jsonl", "5.4.1", &after),
    ] {
        let found = repeated(file, version, counts).await;
        different.extend(found.into_iter().map(|one| format!("{file}: {one}")));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// For every state in a list of `global_status`, the shapes of its entries.
type Shapes = BTreeMap<String, BTreeSet<String>>;

fn collect(into: &mut Shapes, status: &Value, list: &str) {
    for entry in status[list].as_array().into_iter().flatten() {
        let state = entry["state"].as_str().unwrap().to_owned();
        into.entry(state).or_default().insert(shape(entry).to_string());
    }
}

fn recorded_shapes(file: &str, list: &str) -> Shapes {
    let mut shapes = Shapes::new();
    for line in recording(file) {
        if line["path"] == GLOBAL && line["status"] == 200 {
            collect(&mut shapes, &line["body"], list);
        }
    }
    shapes
}

async fn simulated_shapes(cluster: &Cluster, list: &str, seconds: u32) -> Shapes {
    let mut shapes = Shapes::new();
    for _ in 0..seconds * 2 {
        // No node answers during a session round.
        if let Ok(status) = tokio::time::timeout(Duration::from_millis(100), cluster.global()).await {
            collect(&mut shapes, &status, list);
        }
        cluster.pass(0.47).await;
    }
    shapes
}

fn started(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn every_state_of_a_rebalance_has_the_recorded_fields() {
    let cluster = Cluster::new("5.4.1", &[(700, 300), (700, 300), (700, 300), (0, 0)], "");
    let body = started(
        r#"{"conn_evict_rate": 50, "sess_evict_rate": 30, "wait_health_check": 5, "wait_takeover": 5,
            "abs_conn_threshold": 100, "abs_sess_threshold": 100}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    let own = simulated_shapes(&cluster, "rebalances", 60).await;
    let recorded = recorded_shapes("emqx-5.4-offline-sessions.jsonl", "rebalances");
    assert_eq!(own.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (state, shapes) in &recorded {
        assert_eq!(own[state], *shapes, "{state}");
    }
}

#[tokio::test]
async fn goals_and_means_are_those_of_the_last_round_that_evicted() {
    let cluster = Cluster::new("5.8.11", &[(3333, 0), (3333, 0), (3334, 0), (0, 0)], "");
    let body = started(
        r#"{"conn_evict_rate": 10, "wait_health_check": 10, "wait_takeover": 10, "abs_conn_threshold": 100,
            "nodes": ["emqx@127.0.0.1", "emqx@127.0.0.2", "emqx@127.0.0.3", "emqx@127.0.0.4"]}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    cluster.pass(90.0).await;
    let entry = cluster.global().await["rebalances"][0].clone();
    let recorded = recording("emqx-5.8-documented-10000.jsonl")
        .into_iter()
        .filter(|line| line["path"] == GLOBAL)
        .map(|line| line["body"]["rebalances"][0].clone())
        .find(|entry| entry["state"] == "wait_takeover")
        .unwrap();
    for field in ["state", "connection_goal", "donors", "recipients", "coordinator_node"] {
        assert_eq!(entry[field], recorded[field], "{field}");
    }
    let (own, real) = (&entry["donor_conn_avg"], &recorded["donor_conn_avg"]);
    assert!((own.as_f64().unwrap() - real.as_f64().unwrap()).abs() < 0.01, "{own} for {real}");

    // Connections are within the thresholds at once: no round evicts, and no goal is ever known.
    let cluster = Cluster::new("5.8.11", &[(110, 1000), (100, 0), (100, 0), (100, 0)], "");
    let body = started(
        r#"{"sess_evict_rate": 100, "wait_health_check": 1, "wait_takeover": 5, "abs_sess_threshold": 10}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    cluster.pass(2.0).await;
    let entry = cluster.global().await["rebalances"][0].clone();
    assert_eq!(entry["state"], "wait_takeover");
    assert_eq!((entry.get("connection_goal"), entry.get("donor_conn_avg")), (None, None));
}

#[tokio::test]
async fn every_state_of_an_evacuation_has_the_recorded_fields() {
    let cluster = Cluster::new("5.4.1", &[(100, 0), (100, 0), (500, 150), (100, 0)], "");
    let body = started(
        r#"{"conn_evict_rate": 60, "sess_evict_rate": 40, "wait_takeover": 8, "wait_health_check": 6}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.3/evacuation/start", body).await.status, 200);
    let own = simulated_shapes(&cluster, "evacuations", 40).await;
    assert_eq!(own, recorded_shapes("emqx-5.4-evacuation.jsonl", "evacuations"));
}

#[tokio::test]
async fn an_evacuation_comes_back_from_disk_without_its_recipients() {
    let cluster = Cluster::new("5.8.11", &[(100, 0), (100, 0), (500, 100), (100, 0)], "");
    let body = started(
        r#"{"conn_evict_rate": 20, "sess_evict_rate": 30, "wait_takeover": 5, "wait_health_check": 3,
            "migrate_to": ["emqx@127.0.0.1"]}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.3/evacuation/start", body).await.status, 200);
    cluster.pass(5.0).await;
    assert_eq!(cluster.global().await["evacuations"][0]["session_recipients"], json!(["emqx@127.0.0.1"]));
    let statuses = |nodes: &Value| -> Vec<String> {
        let nodes = nodes.as_array().unwrap().iter();
        nodes.map(|row| format!("{} {}", row["node"], row["node_status"]).replace('"', "")).collect()
    };
    cluster.emqx.with(|broker| broker.set_running(2, false));
    let nodes = cluster.get(3, "/api/v5/nodes").await;
    assert_eq!(statuses(&nodes)[3], "emqx@127.0.0.3 stopped");
    assert_eq!(nodes[3].as_object().unwrap().len(), 3, "a stopped core has a name, a status and a role");
    assert_eq!(cluster.global().await["evacuations"], json!([]));
    cluster.emqx.with(|broker| broker.restart(2));
    cluster.pass(1.0).await;
    assert_eq!(statuses(&cluster.get(3, "/api/v5/nodes").await).len(), 3, "neither running nor stopped");
    cluster.pass(1.5).await;
    assert_eq!(statuses(&cluster.get(3, "/api/v5/nodes").await)[2], "emqx@127.0.0.3 running");
    let entry = cluster.global().await["evacuations"][0].clone();
    let recorded = recording("emqx-5.8-evacuation-restart.jsonl")
        .into_iter()
        .filter(|line| line["path"] == GLOBAL && line["status"] == 200)
        .map(|line| line["body"]["evacuations"][0].clone())
        .find(|entry| entry["state"] == "waiting_takeover")
        .unwrap();
    assert_eq!(entry, recorded);
}

#[tokio::test]
async fn a_session_round_blocks_global_status_and_a_long_one_crashes_the_coordinator() {
    let cluster = Cluster::new("5.10.4", &[(110, 16_000), (100, 0), (100, 0), (100, 0)], "");
    let body = started(
        r#"{"sess_evict_rate": 20000, "wait_health_check": 2, "wait_takeover": 1, "abs_conn_threshold": 100,
            "abs_sess_threshold": 100}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    cluster.pass(4.0).await;
    let blocked = tokio::time::timeout(Duration::from_millis(200), cluster.global()).await;
    assert!(blocked.is_err(), "the coordinator answers in a round: {blocked:?}");
    let sessions = async || {
        let nodes = cluster.get(1, "/api/v5/nodes").await;
        nodes[0]["connections"].as_u64().unwrap()
    };
    let (before, ()) = (sessions().await, cluster.pass(5.0).await);
    assert!(sessions().await + 4000 < before, "sessions move meanwhile");
    cluster.pass(9.2).await;
    assert_eq!(cluster.global().await["rebalances"], json!([]), "15 s are over");
    let left = sessions().await;
    assert!(left > 110, "{left}");
    cluster.pass(3.0).await;
    assert!(sessions().await < left, "the donor moves on for some seconds");

    // Before 5.9 the coordinator waits for the same round.
    let cluster = Cluster::new("5.8.11", &[(110, 16_000), (100, 0), (100, 0), (100, 0)], "");
    let body = started(
        r#"{"sess_evict_rate": 20000, "wait_health_check": 2, "wait_takeover": 1, "abs_sess_threshold": 100}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    cluster.pass(18.5).await;
    let blocked = tokio::time::timeout(Duration::from_millis(200), cluster.global()).await;
    assert!(blocked.is_err(), "{blocked:?}");
    cluster.pass(0.6).await;
    assert_eq!(cluster.global().await["rebalances"][0]["state"], "evicting_sessions");
}

#[tokio::test]
async fn a_frozen_node_makes_the_calls_of_all_nodes_hang_until_it_continues() {
    let cluster = Cluster::new("5.10.4", &[(3000, 0), (3000, 0), (3000, 0), (0, 0)], "");
    let body = started(
        r#"{"conn_evict_rate": 10, "wait_health_check": 1, "wait_takeover": 1, "abs_conn_threshold": 100}"#,
    );
    assert_eq!(cluster.post("emqx@127.0.0.1/start", body).await.status, 200);
    cluster.pass(5.0).await;
    cluster.emqx.with(|broker| broker.set_frozen(1, true));
    let before = cluster.emqx.with(|broker| broker.nodes[3].connections);
    for path in ["/api/v5/nodes", GLOBAL] {
        let hung = tokio::time::timeout(Duration::from_millis(150), cluster.get(3, path)).await;
        assert!(hung.is_err(), "{path}: {hung:?}");
    }
    let check = "/api/v5/load_rebalance/availability_check";
    assert_eq!(cluster.ask(3, "GET", check, None, None).await.status, 200, "a node's own check answers");
    cluster.pass(60.0).await;
    let meanwhile = cluster.emqx.with(|broker| broker.nodes[3].connections);
    assert!(meanwhile <= before + 300, "the rebalance stands still: {before}, {meanwhile}");
    cluster.emqx.with(|broker| broker.set_frozen(1, false));
    cluster.pass(20.0).await;
    assert_eq!(cluster.global().await["rebalances"][0]["state"], "evicting_conns");
    assert!(cluster.emqx.with(|broker| broker.nodes[3].connections) > meanwhile, "and then continues");
}

#[tokio::test]
async fn a_purge_closes_all_nodes_and_counts_the_whole_cluster() {
    let cluster = Cluster::new("5.10.4", &[(500, 0), (100, 0), (100, 0), (100, 0)], "");
    cluster.emqx.with(|broker| broker.start_purge(0, 20)).unwrap();
    cluster.pass(3.0).await;
    let status = cluster.global().await;
    let recorded = json!({ "node": "emqx@127.0.0.1", "purge_rate": 20, "session_goal": 0, "state": "purging",
        "stats": { "current_sessions": 720, "initial_sessions": 500 } });
    assert_eq!(status["purges"], json!([recorded]));
    for node in 0..4 {
        let check = cluster.ask(node, "GET", "/api/v5/load_rebalance/availability_check", None, None).await;
        assert_eq!(check.status, 503);
    }
    assert_eq!(cluster.get(0, "/api/v5/load_rebalance/status").await["process"], "purge");
    cluster.pass(60.0).await;
    assert_eq!(cluster.global().await["purges"], json!([]));
}

#[tokio::test]
async fn a_key_with_a_scope_reads_only_what_its_scope_covers() {
    let cluster = Cluster::new("5.10.4", &[(700, 0), (700, 0), (700, 0), (300, 0)], "");
    let ask = async |scope, path| {
        cluster.ask(0, "GET", path, Some(cluster.emqx.scoped_key(scope)), None).await.status
    };
    for path in ["/api/v5/nodes", "/api/v5/cluster", GLOBAL] {
        assert_eq!(ask(Scope::Monitoring, path).await, 403, "{path}");
        assert_eq!(ask(Scope::ClusterOperations, path).await, 200, "{path}");
    }
    assert_eq!(ask(Scope::Monitoring, "/api/v5/stats").await, 200);
    assert_eq!(ask(Scope::ClusterOperations, "/api/v5/stats").await, 403);
    let stop = "/api/v5/load_rebalance/emqx@127.0.0.1/stop";
    let key = cluster.emqx.scoped_key(Scope::ClusterOperations);
    let stopped = cluster.ask(0, "POST", stop, Some(key), None).await;
    assert_eq!(
        (stopped.status, stopped.body()["message"].as_str()),
        (400, Some("error on node 'emqx@127.0.0.1': not_started"))
    );
}

#[tokio::test]
async fn a_wrong_method_is_405_without_a_body() {
    let cluster = Cluster::new("5.8.11", &[(700, 0), (700, 0), (700, 0), (300, 0)], "");
    let key = Some(cluster.emqx.key());
    for (method, path) in
        [("POST", "/api/v5/nodes"), ("GET", "/api/v5/load_rebalance/emqx@127.0.0.1/start"), ("PUT", GLOBAL)]
    {
        let answer = cluster.ask(0, method, path, key, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (405, ""), "{method} {path}");
    }
}

#[tokio::test]
async fn two_rebalances_of_different_nodes_run_side_by_side() {
    let cluster = Cluster::new("5.4.1", &[(3000, 0), (0, 0), (3000, 0), (0, 0)], "");
    let body =
        |nodes: [&str; 2]| json!({ "nodes": nodes, "abs_conn_threshold": 100, "wait_health_check": 60 });
    let first = body(["emqx@127.0.0.1", "emqx@127.0.0.2"]);
    assert_eq!(cluster.post("emqx@127.0.0.1/start", first).await.status, 200);
    let second = body(["emqx@127.0.0.3", "emqx@127.0.0.4"]);
    assert_eq!(cluster.post("emqx@127.0.0.3/start", second).await.status, 200);
    assert_eq!(cluster.global().await["rebalances"].as_array().unwrap().len(), 2);
}
