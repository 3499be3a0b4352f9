//! Faults during reads: EMQX's answers, port-forwards, the API server's connections, objects.

use emqx_sim::Scenario;
use emqx_sim::scenario::Answer;
use serde_json::Value;

use crate::harness::{Cluster, DOCUMENTED, SLOW, harmless, until};

#[test]
fn bad_answers_of_emqx_cost_a_notice_and_no_read() {
    let demo = Cluster::faulty("documented", 20.0);
    for (answer, state) in [
        (Answer::Error, "unreachable"),
        (Answer::Unauthorized, "forbidden"),
        (Answer::Html, "unreachable"),
        (Answer::Garbage, "unreachable"),
        (Answer::WrongShape, "unreachable"),
        (Answer::Huge, "unreachable"),
    ] {
        demo.faults().emqx_answers(Some(answer.clone()));
        let ran = demo.run("status -o json").exits(0);
        let status = ran.json();
        assert_eq!(status["sources"]["emqx"]["state"], state, "{answer:?}\n{ran}");
        let notices: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("notice: ")).collect();
        assert!(notices.iter().any(|line| line.contains("EMQX")), "{answer:?}\n{ran}");
        assert!(notices.iter().all(|line| line.len() < 500), "a sentence, not a page: {answer:?}\n{ran}");
        assert_eq!(status["nodes"][0]["connections"], 3333, "the operator knows it: {answer:?}\n{ran}");
        for verb in ["status", "nodes", "rebalance list", "rebalance"] {
            harmless(&demo.run(verb).exits(0).err);
        }
        // No rebalance is started through EMQX without its answer.
        let ran = demo.run(&format!("rebalance apply --yes --backend emqx {SLOW}"));
        assert!([Some(1), Some(6)].contains(&ran.code), "{answer:?}\n{ran}");
        assert_eq!(ran.out, "", "{answer:?}\n{ran}");
    }
    demo.faults().emqx_answers(None);
    assert_eq!(demo.run("status -o json").json()["operation"], "none", "nothing was begun");
    assert_eq!(demo.run("status -o json").json()["sources"]["emqx"]["state"], "ok");
}

#[test]
fn an_emqx_that_never_answers_is_given_up() {
    let demo = Cluster::faulty("documented", 20.0);
    demo.faults().emqx_answers(Some(Answer::Silence));
    for verb in ["status -o json", "nodes -o json"] {
        let began = std::time::Instant::now();
        let ran = demo.run(&format!("{verb} --request-timeout 2s")).exits(0);
        let took = began.elapsed().as_secs_f64();
        assert!(ran.err.contains("no answer within 2 s"), "{ran}");
        // Four cores, one after another, would be eight.
        assert!((2.0..7.5).contains(&took), "{took} s");
    }
    let status = demo.run("status -o json --request-timeout 1s").exits(0).json();
    assert_eq!(status["sources"]["emqx"]["state"], "unreachable", "{status:#}");
}

#[test]
fn a_follower_recovers_from_dead_forwards_closed_connections_and_a_restarted_server() {
    let demo = Cluster::faulty("documented", 20.0);
    let mut watch = demo.start(&format!("rebalance apply --yes --watch -o jsonl --timeout 80s {DOCUMENTED}"));
    watch.until("\"evictConnections\"");
    demo.faults().drop_port_forwards();
    let seen = |watch: &crate::harness::Going| watch.out().matches("\"progress\"").count();
    let more = |watch: &crate::harness::Going, what: &str| {
        let before = seen(watch);
        until(what, || seen(watch) > before + 1 || watch.out().contains("\"verdict\",\"name\""));
    };
    more(&watch, "progress after the port-forward died");
    demo.faults().close_connections();
    more(&watch, "progress after the connections were cut");
    demo.faults().restart_api_server();
    let ran = watch.end().exits(0).verdict("balanced");
    let last = ran.events().last().expect("a verdict").clone();
    assert_eq!(last["lostClients"], 0, "{ran}");
}

#[test]
fn a_coordinator_that_hangs_is_a_stall_and_can_be_stopped() {
    let demo = Cluster::faulty("documented", 40.0);
    let mut watch = demo.start(&format!("rebalance apply --yes --watch -o jsonl {DOCUMENTED}"));
    watch.until("\"evictConnections\"");
    demo.faults().hang_coordinators();
    let ran = watch.end().exits(4).verdict("stalled");
    let last = ran.events().last().expect("a verdict").clone();
    assert!(last["message"].as_str().is_some_and(|why| why.contains("no count has changed")), "{ran}");
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance", "EMQX lists it still");
    demo.run("rebalance stop --yes --timeout 20s").exits(0).shows("stopped");
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
}

#[test]
fn an_object_deleted_and_made_again_is_another_one() {
    let demo = Cluster::faulty("documented", 20.0);
    let name = demo.running(SLOW);
    let mut watch = demo.start(&format!("rebalance watch {name} -o jsonl"));
    watch.until("\"progress\"");
    let mut object = demo.rebalance(&name);
    assert!(demo.faults().delete_object(&format!("rebalances/{name}")));
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|key, _| ["name", "namespace", "annotations"].contains(&key.as_str()));
    object.as_object_mut().expect("an object").remove("status");
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";
    assert_eq!(demo.api("POST", path, &object.to_string()).0, 201);
    // EMQX still runs the first one; stopping it there ends the watch, whatever happens with the name.
    demo.faults().emqx_answers(None);
    let before = watch.out().matches("\"progress\"").count();
    until("it continues", || watch.out().matches("\"progress\"").count() > before);
    demo.run("rebalance stop emqx --yes --timeout 20s");
    until("EMQX runs nothing", || demo.run("status -o json").json()["operation"] == "none");
    let ran = watch.end();
    assert!(matches!(ran.code, Some(4 | 7)), "{ran}");
    let verdict = ran.events().last().expect("a verdict")["verdict"].clone();
    assert!(["stopped", "coordinatorLost", "uneven"].contains(&verdict.as_str().unwrap_or("none")), "{ran}");
}

#[test]
fn a_stopped_node_is_shown_and_takes_no_part() {
    let text =
        "name: stopped\napi: v2beta1\nnodes:\n- connections: 3000\n- connections: 100\n- stopped: true\n";
    let demo = Cluster::inside(Scenario::from_yaml(text).expect("a scenario"), 20.0);
    let status = demo.run("status -o json").exits(0).json();
    let nodes = status["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{status:#}");
    let stopped = nodes.iter().find(|node| node["running"] == false).expect("the stopped one");
    assert_eq!(stopped["connections"], Value::Null, "unknown is null: {status:#}");
    demo.run("status").exits(0).shows("stopped");
    let plan = demo.run("rebalance plan --abs-conn-threshold 100 -o json");
    assert!(plan.json()["nodes"].as_array().expect("nodes").len() == 2, "{plan}");
}

#[test]
fn hostile_names_reach_no_terminal() {
    let demo = Cluster::demo("hostile", 40);
    for verb in [
        "status",
        "status -o wide",
        "nodes",
        "nodes -o wide",
        "version",
        "rebalance plan",
        "status -o json",
        "nodes -o yaml",
        "version -o yaml",
        "status -o name",
        "rebalance list",
        "status nope",
        "rebalance watch nope",
    ] {
        let ran = demo.run(verb);
        harmless(&ran.out);
        harmless(&ran.err);
        assert!(ran.code.is_some_and(|code| code < 7), "{verb}\n{ran}");
    }
    let ran =
        demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED} --skip-check instance-not-ready"));
    harmless(&ran.out);
    harmless(&ran.err);
    let ran = demo.run("status --color always").exits(0);
    assert!(!ran.out.contains("\u{1b}]0;") && !ran.out.contains('\u{7}'), "{ran:?}");
}

#[test]
fn a_thousand_nodes_are_quick() {
    let demo = Cluster::demo("big", 1);
    let began = std::time::Instant::now();
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!(status["totals"]["nodes"], 1003);
    assert_eq!(status["totals"]["connections"], 10_000_000);
    demo.run("status").exits(0).shows("10,000,000");
    let plan = demo.run("rebalance plan -o json").exits(0).json();
    assert_eq!(plan["nodes"].as_array().map(Vec::len), Some(1000));
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}
