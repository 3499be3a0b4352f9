//! The output for machines: the documents of `-o json`, key by key.

use kubectl_emqx::model::form::{Look, Manifest, Output};
use kubectl_emqx::model::{
    ApiVersion, Backend, Event, EventNode, EventType, InstanceId, InstanceKind, Operation, OperatorLine,
    Part, Role, Source, Strategy, Verdict,
};
use kubectl_emqx::output::{Printer, Terminal};
use kubectl_emqx::plan::discrepancies::MembershipSummary;
use kubectl_emqx::plan::health::Health;
use kubectl_emqx::plan::membership::Membership;
use kubectl_emqx::plan::rebalance::forecast::{forecast, numbered};
use kubectl_emqx::plan::rebalance::plan::{RebalancePlan, Return};
use kubectl_emqx::plan::results::{
    Applied, ClusterVersion, Nodes, OperatorStatus, RebalanceItem, SourceReport, Status, Stopped,
    VersionReport,
};
use kubectl_emqx::plan::snapshot::{NodeRow, SourceAge, SourceState, Totals};
use serde_json::{Value, json};

fn at(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time")
}

fn printed(say: impl FnOnce(&Printer)) -> String {
    let (printer, out, err) = Printer::captured(Look::default(), Terminal::default());
    say(&printer);
    assert_eq!(err.text(), "", "data is on stdout alone");
    out.text()
}

fn document(say: impl Fn(&Printer, Output)) -> Value {
    let json: Value = serde_json::from_str(&printed(|printer| say(printer, Output::Json))).expect("JSON");
    let yaml: Value = serde_yaml::from_str(&printed(|printer| say(printer, Output::Yaml))).expect("YAML");
    assert_eq!(json, yaml, "both forms say the same");
    json
}

fn instance() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() }
}

fn row() -> NodeRow {
    NodeRow {
        node: Some("emqx@10.0.0.7".into()),
        pod: None,
        set: None,
        revision: None,
        role: Role::Replicant,
        running: true,
        ready: None,
        serving: Some(false),
        connections: None,
        sessions: Some(7),
        share: Some(0.3333),
        part: Some(Part::Donor),
        state: Some("evicting_conns".into()),
        version: Some("5.8.6".into()),
        membership: Some(Membership::Member),
        pod_reason: None,
        since: None,
        source: Source::Emqx,
        left_over: false,
    }
}

fn status() -> Status {
    let ok = || SourceAge { state: SourceState::Ok, age_seconds: Some(1), why: None };
    Status {
        instance: instance(),
        api: None,
        operator: OperatorStatus {
            line: OperatorLine::Two2,
            silent_seconds: None,
            process: None,
            lease_seconds: None,
        },
        edition: None,
        versions: vec!["5.8.6".into()],
        nodes: vec![row()],
        totals: Totals { connections: None, sessions: Some(7), nodes: 1, serving: Some(0) },
        operation: Operation::None,
        phase: None,
        percent: None,
        eta_seconds: None,
        verdict: Verdict::CoordinatorLost,
        message: "so it is".into(),
        sources: SourceReport {
            kubernetes: ok(),
            pods: SourceAge { state: SourceState::Forbidden, age_seconds: None, why: Some("no".into()) },
            endpoints: ok(),
            emqx: ok(),
        },
        health: Health { condition: Some("Ready".into()), since: None, problem: None },
        membership: MembershipSummary {
            expected: Some(2),
            member: Some(1),
            discrepancies: vec!["1 of 2 wanted nodes has no pod".into()],
            left_over: Vec::new(),
        },
        operations: Vec::new(),
        uneven: false,
        quiet: false,
        next: None,
    }
}

fn node_json() -> Value {
    json!({"node": "emqx@10.0.0.7", "pod": null, "set": null, "revision": null, "role": "replicant", "running": true,
           "ready": null, "serving": false, "connections": null, "sessions": 7, "share": 0.3333, "part": "donor",
           "state": "evicting_conns", "version": "5.8.6", "membership": "member", "podReason": null,
           "since": null, "source": "emqx"})
}

fn instance_json() -> Value {
    json!({"kind": "EMQX", "namespace": "mq", "name": "emqx"})
}

fn status_json() -> Value {
    let ok = json!({"state": "ok", "ageSeconds": 1});
    json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "Status", "instance": instance_json(), "api": "none",
           "operator": {"line": "2.2", "silentSeconds": null, "process": null, "leaseSeconds": null}, "edition": null, "versions": ["5.8.6"],
           "nodes": [node_json()], "totals": {"connections": null, "sessions": 7, "nodes": 1, "serving": 0},
           "operation": "none", "phase": null, "percent": null, "etaSeconds": null, "verdict": "coordinatorLost",
           "message": "so it is", "health": {"condition": "Ready", "since": null}, "operations": [],
           "membership": {"expected": 2, "member": 1, "discrepancies": ["1 of 2 wanted nodes has no pod"]},
           "sources": {"kubernetes": ok, "pods": {"state": "forbidden", "ageSeconds": null}, "endpoints": ok, "emqx": ok}})
}

#[test]
fn status_has_the_keys_of_the_contract_and_null_for_the_unknown() {
    assert_eq!(document(|printer, output| printer.status(&status(), output)), status_json());
    let list = document(|printer, output| printer.statuses(&[status()], output));
    assert_eq!(
        list,
        json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "StatusList", "items": [status_json()]})
    );
    let none = document(|printer, output| printer.statuses(&[], output));
    assert_eq!(none["items"], json!([]), "nothing found is an empty list");
}

#[test]
fn nodes_have_the_keys_of_the_contract() {
    let nodes = Nodes { instance: instance(), items: vec![row()] };
    let one = document(|printer, output| printer.nodes(&nodes, output));
    let wanted = json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "Nodes", "instance": instance_json(), "items": [node_json()]});
    assert_eq!(one, wanted);
    let list = document(|printer, output| printer.nodes_of_several(std::slice::from_ref(&nodes), output));
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("NodesList"), &wanted));
}

fn documented() -> RebalancePlan {
    let strategy = Strategy {
        conn_evict_rate: 10,
        sess_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..Strategy::default()
    };
    forecast(None, &numbered(&[3333, 3333, 3334, 0], None), &strategy, Return::default())
}

#[test]
fn the_documented_plan_is_the_one_of_the_contract_to_the_letter() {
    let text = printed(|printer| printer.plan(&documented(), None, Output::Json, None));
    let plan: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in [
        ("instance", Value::Null),
        ("decision", json!("go")),
        ("backend", json!("rebalance")),
        (
            "message",
            json!(
                "donors hold 3333.33 connections on average, the recipient 0; 78 rounds until 2553.33 <= 2340.00 x 1.1"
            ),
        ),
        (
            "strategy",
            json!({"connEvictRate": 10, "sessEvictRate": 10, "waitHealthCheckSeconds": 10, "waitTakeoverSeconds": 10,
                   "absConnThreshold": 100, "relConnThreshold": 1.1, "absSessThreshold": 100, "relSessThreshold": 1.1}),
        ),
        (
            "averages",
            json!({"donorsBefore": 3333.33, "recipientsBefore": 0.0, "donorsAfter": 2553.33, "recipientsAfter": 2340.0}),
        ),
        (
            "moves",
            json!({"rounds": 78, "connections": 2340, "sessionRounds": 0, "sessions": 0, "peakReconnectsPerSecond": 30}),
        ),
        (
            "phases",
            json!([{"name": "waitHealthCheck", "seconds": 10}, {"name": "evictConnections", "seconds": 78},
                   {"name": "waitTakeover", "seconds": 10}, {"name": "evictSessions", "seconds": 0}]),
        ),
        ("totalSeconds", json!(98)),
    ] {
        assert_eq!(plan[key], value, "{key}");
    }
    assert_eq!(
        plan["nodes"][0],
        json!({"node": "node-1", "pod": null, "part": "donor", "connections": 3333, "sessions": 3333,
               "connectionsAfter": 2553, "sessionsAfter": 2553})
    );
    let order: Vec<usize> =
        ["\"apiVersion\"", "\"kind\"", "\"instance\"", "\"strategy\"", "\"decision\"", "\"findings\""]
            .iter()
            .map(|key| text.find(key).expect("a key"))
            .collect();
    assert!(order.is_sorted(), "the keys stand in the order of the contract");
    assert!(text.starts_with("{\n  \"apiVersion\""), "indented as kubectl does it");
}

#[test]
fn lists_applied_stopped_and_version_have_the_keys_of_the_contract() {
    let item = RebalanceItem {
        name: "emqx-1".into(),
        instance: instance(),
        phase: Some("Failed".into()),
        verdict: Verdict::NothingToDo,
        message: "r".into(),
        started_time: Some(at("2026-11-23T10:10:00Z")),
        duration_seconds: None,
        backend: Backend::Rebalance,
        terminating: true,
        alarm: false,
    };
    let now = at("2026-11-23T10:14:52Z");
    assert_eq!(
        document(|printer, output| printer.rebalances(std::slice::from_ref(&item), output, now)),
        json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "RebalanceList", "items": [
            {"name": "emqx-1", "instance": instance_json(), "phase": "Failed", "verdict": "nothingToDo", "message": "r",
             "startedTime": "2026-11-23T10:10:00Z", "durationSeconds": null, "backend": "rebalance"}]})
    );
    let applied =
        Applied { name: "n".into(), instance: instance(), backend: Some(Backend::Emqx), plan: documented() };
    let applied = document(|printer, output| printer.applied(&applied, output, " (server dry run)"));
    assert_eq!(
        (&applied["kind"], &applied["name"], &applied["backend"]),
        (&json!("Applied"), &json!("n"), &json!("emqx"))
    );
    assert_eq!(applied["plan"]["totalSeconds"], 98);
    let stopped = Stopped {
        name: "n".into(),
        instance: instance(),
        backend: Backend::Emqx,
        verdict: Verdict::Stopped,
        message: "r".into(),
        proof: vec!["p".into()],
    };
    assert_eq!(
        document(|printer, output| printer.stopped(&stopped, output)),
        json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "Stopped", "name": "n", "instance": instance_json(),
               "backend": "emqx", "verdict": "stopped", "message": "r", "proof": ["p"]})
    );
    let cluster =
        ClusterVersion { instance: instance(), api: Some(ApiVersion::V2), versions: vec!["5.8.6".into()] };
    let version = VersionReport {
        plugin: "0.1.0".into(),
        kubernetes: Some("v1.33.1".into()),
        operator: OperatorLine::Two3,
        clusters: vec![cluster],
    };
    assert_eq!(
        document(|printer, output| printer.version(&version, output)),
        json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "Version", "plugin": "0.1.0", "kubernetes": "v1.33.1",
               "operator": "2.3", "clusters": [{"instance": instance_json(), "api": "v2", "versions": ["5.8.6"]}]})
    );
}

#[test]
fn an_event_is_one_line() {
    let node = EventNode {
        node: "emqx@10.0.0.7".into(),
        connections: Some(3013),
        sessions: None,
        part: Some(Part::Donor),
        state: None,
    };
    let event = Event {
        time: at("2026-11-23T10:14:52Z"),
        kind: EventType::Progress,
        name: "emqx-1".into(),
        operation: Operation::Rebalance,
        phase: Some("evictConnections".into()),
        nodes: vec![node],
        moved_connections: Some(960),
        percent: Some(41),
        eta_seconds: Some(57),
        lost_clients: Some(0),
        lost_sessions: None,
        landing_ratio: Some(0.994_6),
        message: "m\u{1b}".into(),
        verdict: None,
        reason: None,
    };
    let text = printed(|printer| printer.jsonl(&event));
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{1b}'));
    assert_eq!(
        serde_json::from_str::<Value>(&text).expect("JSON"),
        json!({"apiVersion": "cli.emqx.io/v1alpha1", "kind": "Event", "time": "2026-11-23T10:14:52Z", "type": "progress",
               "name": "emqx-1", "operation": "rebalance", "phase": "evictConnections",
               "nodes": [{"node": "emqx@10.0.0.7", "connections": 3013, "sessions": null, "part": "donor", "state": null}],
               "movedConnections": 960, "percent": 41, "etaSeconds": 57, "lostClients": 0, "lostSessions": null,
               "landingRatio": 0.99, "message": "m\u{1b}", "verdict": null})
    );
}

#[test]
fn a_manifest_keeps_its_quotes() {
    let manifest = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": {"name": "a"},
                          "spec": {"rebalanceStrategy": {"relConnThreshold": "1.1", "connEvictRate": 10}}});
    insta::assert_snapshot!(printed(|printer| printer.manifest(&manifest, Manifest::Yaml)), @r"
        apiVersion: apps.emqx.io/v2beta1
        kind: Rebalance
        metadata:
          name: a
        spec:
          rebalanceStrategy:
            connEvictRate: 10
            relConnThreshold: '1.1'
    ");
    let json = printed(|printer| printer.manifest(&manifest, Manifest::Json));
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), manifest);
}
