//! `check`: one line per check, as text and as JSON; and the same checks before an operation.

use emqx_sim::Scenario;
use serde_json::Value;

use crate::harness::{Cluster, keys};

/// Four even cores of EMQX 5.10, and more.
fn scenario(more: &str) -> Scenario {
    let text = format!(
        "name: checks\napi: v2beta1\nversion: 5.10.1\nnodes:\n- {{ count: 4, connections: 500 }}\n{more}"
    );
    Scenario::from_yaml(&text).expect("a scenario")
}

/// The result of a check.
#[track_caller]
fn of<'a>(checks: &'a Value, id: &str) -> &'a Value {
    let found = checks["checks"].as_array().into_iter().flatten().find(|check| check["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {checks}"))
}

#[track_caller]
fn status(checks: &Value, id: &str, expected: &str) {
    assert_eq!(of(checks, id)["status"], expected, "{}", of(checks, id));
}

#[test]
fn a_healthy_cluster_passes_with_exit_0_and_every_check_has_evidence() {
    let demo = Cluster::inside(scenario(""), 1.0);
    let checks = demo.run("check -o json").exits(0).json();
    keys(&checks, "apiVersion kind instance checks");
    assert_eq!(checks["kind"], "Checks");
    for check in checks["checks"].as_array().expect("checks") {
        keys(check, "id status evidence hint");
        assert!(!check["evidence"].as_str().unwrap_or_default().is_empty(), "{check}");
    }
    for id in ["licence", "connection-rate", "cores-disagree", "orphans", "probe-period", "membership"] {
        status(&checks, id, "ok");
    }
    let evidence = of(&checks, "cores-disagree")["evidence"].as_str().unwrap_or_default();
    assert!(evidence.starts_with("4 cores asked"), "{evidence}");
    let text = demo.run("check --for upgrade").exits(0);
    assert!(text.out.contains("licence") && !text.out.contains("disruption-budget"), "{text}");
}

#[test]
fn a_blocked_check_exits_6_and_names_what_was_found_and_the_way_out() {
    let licence = "licence: { maxSessions: 1500 }\nlisteners:\n- { id: tcp:default, maxConnRate: 50/s }\n";
    let demo = Cluster::inside(scenario(licence), 1.0);
    let checks = demo.run("check -o json").exits(6).json();
    let found = of(&checks, "licence");
    assert_eq!(found["status"], "blocked");
    let evidence = found["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("1,500 sessions") && evidence.contains("2,000"), "{evidence}");
    assert!(found["hint"].as_str().is_some_and(|hint| hint.contains("license")), "{found}");
    status(&checks, "connection-rate", "warning");

    // The same check refuses an evacuation before anything is done, and can be skipped.
    let ran = demo.run("evacuate start emqx-core-66c88f5c8-0 --dry-run=client").exits(6);
    assert!(ran.err.contains("licence"), "{ran}");
    let skipped = "evacuate start emqx-core-66c88f5c8-0 --dry-run=client --skip-check licence";
    let ran = demo.run(skipped).exits(0);
    assert!(ran.err.contains("connection-rate") || ran.err.contains("max_conn_rate"), "{ran}");
    let ran = demo.run("evacuate start emqx-core-66c88f5c8-0 --skip-check licens").exits(2);
    assert!(ran.err.contains("did you mean licence?"), "{ran}");
}

#[test]
fn every_core_is_asked_so_that_a_core_that_sees_no_other_node_is_found() {
    let demo = Cluster::inside(scenario(""), 1.0);
    assert!(demo.faults().set_node_blind("emqx-core-66c88f5c8-3", true));
    let checks = demo.run("check --for rebalance -o json").exits(6).json();
    let found = of(&checks, "cores-disagree");
    assert_eq!(found["status"], "blocked", "{found}");
    let evidence = found["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("emqx-core-66c88f5c8-3") || evidence.contains("core-3"), "{evidence}");
    assert!(found["hint"].as_str().is_some_and(|hint| hint.contains("cluster status")), "{found}");
}

#[test]
fn what_emqx_may_not_be_asked_for_is_unknown_and_blocks_nothing() {
    // EMQX 4 reports neither of them.
    let text = "name: old\napi: v1beta4\nnodes:\n- { count: 3, connections: 500 }\n";
    let demo = Cluster::inside(Scenario::from_yaml(text).expect("a scenario"), 1.0);
    let checks = demo.run("check --for evacuate -o json").exits(0).json();
    status(&checks, "licence", "unknown");
    status(&checks, "connection-rate", "unknown");
    status(&checks, "cores-disagree", "ok");
}

#[test]
fn a_plan_has_the_checks_of_the_surroundings_and_an_upgrade_looks_at_its_image() {
    let uneven = "licence: { expired: true, kind: trial, expiryAt: \"2026-01-01\" }\n";
    let text = format!(
        "name: checks\napi: v2beta1\nversion: 5.10.1\nnodes:\n- {{ count: 2, connections: 3000 }}\n- {{ count: 1 }}\n{uneven}"
    );
    let demo = Cluster::inside(Scenario::from_yaml(&text).expect("a scenario"), 1.0);
    let plan = demo.run("rebalance plan -o json").exits(6).json();
    let ids: Vec<&str> =
        plan["findings"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!((plan["decision"].as_str(), ids.contains(&"licence")), (Some("refused"), true), "{ids:?}");
    let plan = "upgrade plan --image registry.example/emqx/emqx:5.10.2 --skip-check licence -o json";
    let plan = demo.run(plan).exits(0).json();
    let found = plan["findings"].as_array().into_iter().flatten().find(|it| it["id"] == "image");
    let message = found.and_then(|it| it["message"].as_str()).unwrap_or_default();
    assert!(message.contains("another repository"), "{plan}");
}
