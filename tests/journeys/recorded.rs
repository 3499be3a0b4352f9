//! History and report of upgrades, drains and scales; without permissions, of two followers at once, and of hostile annotations.

use emqx_sim::Scenario;
use serde_json::{Value, json};

use crate::harness::{Cluster, DOCUMENTED, Going, until};
use crate::history::{entries, entry, other_user};
use crate::ran::harmless;

const QUICK: &str =
    "--conn-evict-rate 4000 --sess-evict-rate 4000 --wait-health-check 1s --wait-takeover 1s --yes";

/// Two cores, and four replicants that hold clients.
fn scenario() -> Scenario {
    let text = "name: recorded\napi: v2beta1\nnodes:\n  - {role: core, count: 2}\n  \
                - {role: replicant, count: 4, connections: 500, offlineSessions: 20}\n";
    Scenario::from_yaml(text).expect("a scenario")
}

/// The operation is in the history of every user, and in a report of each form, from its recording and without one.
#[track_caller]
fn is_recorded(demo: &Cluster, operation: &str, verdict: &str, name: &str) {
    let expected = entry(operation, verdict, name);
    let found = entries(demo.run("history -o json"));
    assert!(found.contains(&expected), "{found:?}");
    let found = entries(other_user(demo, "history -o json"));
    assert!(found.contains(&expected), "in the cluster: {found:?}");
    for ran in [
        demo.run(&format!("report {name} -o json")),
        other_user(demo, &format!("report {name} -o json")).reports("no recording"),
    ] {
        let report = ran.exits(0).json();
        let operations = report["operations"].as_array().expect("operations");
        let own = operations.iter().find(|it| it["operation"] == operation && it["name"] == name);
        let own = own.unwrap_or_else(|| panic!("{operation} {name}: {report:#}"));
        assert_eq!(own["verdict"], verdict, "{report:#}");
        assert!(own["durationSeconds"].as_u64() > Some(0), "{own:#}");
    }
    demo.run(&format!("report {name}")).exits(0).shows(name);
    let page = demo.run(&format!("report {name} -o html")).exits(0).out;
    assert!(page.starts_with("<!doctype html>") && page.contains(name), "{page}");
    let redacted = other_user(demo, &format!("report {name} --redact")).exits(0).out;
    assert!(redacted.contains("instance-1") && !redacted.contains(name), "{redacted}");
}

#[test]
fn an_upgrade_is_in_the_history_and_in_reports() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/two-cores.yaml");
    let demo = Cluster::serving(&["--file", &file.display().to_string(), "--speed", "20"]);
    demo.run("upgrade emqx --image emqx/emqx-enterprise:5.8.7 --yes").exits(0);
    is_recorded(&demo, "upgrade", "upgraded", "upgrade/emqx");
    let report = other_user(&demo, "report upgrade/emqx -o json").exits(0).json();
    let planned = report["operations"][0]["plannedSeconds"].as_u64();
    assert!(planned > Some(0), "the forecast of the client that followed it: {report:#}");
}

#[test]
fn a_drain_and_a_scale_are_in_the_history_and_in_reports() {
    let demo = Cluster::inside(scenario(), 40.0);
    demo.run(&format!("scale --replicants 3 {QUICK} --timeout 80s")).exits(0);
    is_recorded(&demo, "scale", "done", "scale/emqx");
    let pods = demo.api("GET", "/api/v1/namespaces/mq/pods", "").1;
    let pods = pods["items"].as_array().expect("pods").clone();
    let replicant =
        |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|it| it.contains("replicant"));
    let pod = pods.iter().find(replicant).expect("a replicant");
    let machine = pod["spec"]["nodeName"].as_str().expect("a node");
    demo.run(&format!("drain {machine} {QUICK} --timeout 80s")).exits(0);
    is_recorded(&demo, "drain", "done", "drain/emqx");
}

#[test]
fn without_permission_to_mark_a_rebalance_the_own_history_has_its_verdict() {
    let demo = Cluster::demo("documented", 60);
    let ran = demo.run(&format!("rebalance apply --context no-patch --yes --watch {DOCUMENTED}")).exits(0);
    let ran = ran.reports("the verdict is not recorded on ");
    assert_eq!(ran.err.matches("is not recorded on ").count(), 1, "{ran}");
    let name = demo.rebalances().remove(0).0;
    let annotations = demo.rebalance(&name)["metadata"]["annotations"].clone();
    assert!(annotations["cli.emqx.io/verdict"].is_null(), "{annotations:#}");
    let found = entries(demo.run("history -o json --context no-patch"));
    assert_eq!(found, [entry("rebalance", "balanced", &name)]);
    // Without the verdict another user cannot know how it ended, and no report claims it.
    until("it ended long enough ago", || {
        entries(other_user(&demo, "history -o json")) == [entry("rebalance", "unknown", &name)]
    });
    let report = other_user(&demo, "report -o json").exits(0).json();
    assert_eq!(report["operations"][0]["verdict"], "unknown", "{report:#}");
    assert_eq!(report["operations"][0]["endedTime"], Value::Null, "{report:#}");
}

#[test]
fn several_followers_at_once_record_one_operation() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    let nodes = demo.run("nodes -o json").exits(0).json();
    let rows = nodes["items"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["connections"].as_u64() > Some(0)).expect("a node with clients");
    let node = row["node"].as_str().expect("a name").to_owned();
    demo.run(&format!(
        "evacuate start {node} --conn-evict-rate 30 --wait-health-check 1 --wait-takeover 1 --yes"
    ))
    .exits(0);
    let start = |other: bool| {
        let mut command = demo.command("evacuate watch --timeout 80s");
        if other {
            command.env("XDG_STATE_HOME", demo.home.join("other"));
        }
        Going::start(command, None)
    };
    let followers = [start(false), start(false), start(true)];
    for follower in followers {
        follower.end().exits(0).shows("evacuated");
    }
    let expected = [entry("evacuation", "evacuated", &format!("evacuation/{node}"))];
    assert_eq!(entries(demo.run("history -o json")), expected, "two lines of the own history are one entry");
    assert_eq!(entries(other_user(&demo, "history -o json")), expected);
    let by_config_map = {
        let mut command = demo.command("history -o json");
        command.env("XDG_STATE_HOME", demo.home.join("third"));
        Going::start(command, None).end()
    };
    assert_eq!(entries(by_config_map), expected);
}

#[test]
fn a_hostile_annotation_is_data_and_no_verdict_of_another_object() {
    let demo = Cluster::demo("documented", 60);
    demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED}")).exits(0);
    let (name, uid) = demo.rebalances().remove(0);
    until("its verdict is on it", || {
        demo.rebalance(&name)["metadata"]["annotations"]["cli.emqx.io/verdict"].is_string()
    });
    let own = demo.rebalance(&name)["metadata"]["annotations"]["cli.emqx.io/verdict"].clone();
    let own: Value = serde_json::from_str(own.as_str().expect("text")).expect("JSON");
    let with = |key: &str, value: Value| {
        let mut changed = own.clone();
        changed[key] = value;
        changed.to_string()
    };
    let path = format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}");
    let spoiled = "\u{1b}[2J\u{202e}<script>alert(1)</script>|\n# ";
    for (text, read) in [
        (with("message", json!(spoiled)), true),
        (with("by", json!(spoiled)), true),
        (with("uid", json!(format!("{uid}0"))), false),
        (with("verdict", json!("upgraded")), false),
        (with("ended", json!("1970-01-01T00:00:00Z")), false),
        (with("message", json!("x".repeat(200_000))), false),
        ("[[[[".repeat(10_000), false),
        ("null".to_owned(), false),
        (String::new(), false),
    ] {
        let patch = json!({"metadata": {"annotations": {"cli.emqx.io/verdict": text}}});
        assert_eq!(demo.api("PATCH", &path, &patch.to_string()).0, 200);
        let shown = &text[..text.len().min(200)];
        // The own history of this user would have the verdict nevertheless.
        let list = other_user(&demo, "history -o json").exits(0).json();
        let item = &list["items"][0];
        assert_eq!((&item["name"], &list["items"][1]), (&json!(name), &Value::Null), "{shown}: {list:#}");
        assert_eq!(item["by"].is_string(), read, "{shown}: {item:#}");
        for verb in ["history", "rebalance list", "status", "report"] {
            let ran = other_user(&demo, verb).exits(0);
            harmless(&ran.out);
            harmless(&ran.err);
        }
        let page = other_user(&demo, "report -o html").exits(0).out;
        assert!(!page.contains("<script>alert"), "{shown}");
        assert_eq!(entries(demo.run("history -o json")).len(), 1, "{shown}");
    }
}
