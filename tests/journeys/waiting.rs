//! Objects without an active operator: one that was never picked up, one whose deletion is stuck, one whose
//! operator stopped; and a stop that EMQX does not accept.

use std::time::Duration;

use emqx_rebalance::rules::Threshold;
use emqx_sim::Scenario;
use emqx_sim::orders::RebalanceOrder;
use emqx_sim::scenario::Answer;
use serde_json::{Value, json};

use crate::between::{Rule, proxy};
use crate::harness::{Cluster, Ran, SLOW, until};

const NO_OPERATOR: &str = include_str!("../data/field/scenarios/sc_opdown.yaml");
const OPERATOR_DIES: &str = include_str!("../data/field/scenarios/operator-lost.yaml");

/// A cluster of 3,333, 3,333, 3,334 and 0 connections without a living operator.
fn without_operator(speed: f64) -> Cluster {
    Cluster::inside(Scenario::from_yaml(NO_OPERATOR).expect("a scenario"), speed)
}

/// Creates an object that no operator picks up; returns its bare name.
fn created(demo: &Cluster) -> String {
    let ran = demo.run(&format!("rebalance apply --yes {SLOW}")).exits(0);
    ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a resource").to_owned()
}

fn age(demo: &Cluster, name: &str) -> u64 {
    let list = demo.run("rebalance list -o json").exits(0).json();
    let items = list["items"].as_array().expect("items");
    let item = items.iter().find(|item| item["name"] == name).expect("it is listed");
    item["durationSeconds"].as_u64().expect("an age")
}

fn annotation(demo: &Cluster, name: &str, key: &str) -> Value {
    demo.rebalance(name)["metadata"]["annotations"][key].clone()
}

#[test]
fn an_object_that_no_operator_picks_up_is_listed_as_waiting_and_not_as_nothing() {
    let demo = without_operator(20.0);
    let name = created(&demo);
    until("30 s", || age(&demo, &name) >= 30);
    let list = demo.run("rebalance list -o json").exits(0).json();
    assert_eq!(list["items"][0]["verdict"], "waiting", "{list:#}");
    let message = list["items"][0]["message"].as_str().expect("a message");
    assert!(message.starts_with("waiting for the operator ("), "{message}");
    demo.run("rebalance list").exits(0).shows("waiting for the operator (");
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!(
        (&status["operation"], &status["verdict"]),
        (&"rebalance".into(), &"waiting".into()),
        "{status:#}"
    );
    assert!(status["message"].to_string().contains("waiting for the operator ("), "{status:#}");
    let stop = format!("kubectl emqx rebalance stop {name} deletes the object");
    assert!(
        message.contains("kubectl get pods -A | grep emqx-operator shows") && message.ends_with(&stop),
        "{message}"
    );
    demo.run("status")
        .exits(0)
        .shows("waiting for the operator (")
        .shows(&stop)
        .reports("kubectl get pods -A | grep emqx-operator");
    demo.run(&format!("rebalance watch {name} --timeout 1s")).exits(5);
    let again = demo.run(&format!("rebalance apply --yes {SLOW}")).fails(6);
    assert!(again.err.contains(&name), "{again}");
    demo.run("rebalance prune --yes")
        .exits(0)
        .reports(&format!("{name} stays: no operator has picked it up"));
    assert_eq!(demo.rebalances().len(), 1);
}

#[test]
fn an_object_that_no_operator_picks_up_is_deleted_by_stop_of_its_name_and_a_dead_operator_process_is_named() {
    let demo = Cluster::faulty("documented", 60.0);
    demo.faults().set_operator_alive(false);
    let ran = demo.run(&format!("rebalance apply --yes --backend rebalance {SLOW}")).exits(0);
    let name = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a resource").to_owned();
    // The Lease expires after 15 s; the process counts as gone 15 s later.
    until("the Lease is overdue", || age(&demo, &name) > 40);
    let gone = "the operator's process is gone: its Lease was last renewed";
    let dry = demo.run(&format!("rebalance stop {name} --dry-run client")).exits(0);
    let dry = dry.reports("waiting for the operator (").reports(gone);
    assert_eq!(demo.rebalances().len(), 1, "{dry}");
    demo.run(&format!("rebalance stop {name} --dry-run client --context no-leases"))
        .exits(0)
        .never_reports(gone);
    let stopped = demo.run(&format!("rebalance stop {name} --yes -o json")).exits(0).json();
    assert_eq!(stopped["verdict"], "stopped", "{stopped:#}");
    assert!(stopped["message"].to_string().contains(gone), "{stopped:#}");
    assert!(stopped["proof"].to_string().contains("EMQX started nothing"), "{stopped:#}");
    assert_eq!(demo.rebalances(), []);
    // The operator starts again, and has nothing to start.
    demo.faults().set_operator_alive(true);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
}

#[test]
fn an_object_that_no_operator_picks_up_is_deleted_by_stop_of_its_instance() {
    let demo = without_operator(20.0);
    let name = created(&demo);
    demo.run("rebalance stop --yes").exits(0).shows(&name).shows("waiting for the operator");
    assert_eq!(demo.rebalances(), []);
    demo.run("rebalance stop emqx --yes").exits(0).reports("there is nothing to stop");
    // There are two objects: the program does not guess which one is meant.
    let one = created(&demo);
    let mut object = demo.rebalance(&one);
    object["metadata"] = json!({"name": "second", "namespace": "mq"});
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";
    assert_eq!(demo.api("POST", path, &object.to_string()).0, 201);
    demo.run("rebalance stop emqx --yes").fails(2).reports(&one).reports("second");
    demo.run("rebalance stop second --yes").exits(0);
    demo.run("rebalance stop emqx --yes").exits(0).shows(&one);
}

#[test]
fn a_waiting_object_can_be_stopped_while_emqx_cannot_be_asked_and_stop_reports_what_is_not_verified() {
    let demo = without_operator(20.0);
    let name = created(&demo);
    let ran = demo.run(&format!("rebalance stop {name} --yes --context no-secrets")).exits(0);
    assert!(ran.out.contains("not verified: that EMQX started nothing"), "{ran}");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn an_object_of_an_operator_that_died_is_named_as_one_that_emqx_does_not_run() {
    let demo = Cluster::faulty("documented", 40.0);
    let strategy = "--conn-evict-rate 200 --wait-health-check 1 --wait-takeover 1 --abs-conn-threshold 100";
    let ran = demo.run(&format!("rebalance apply --yes {strategy}")).exits(0);
    let name = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a resource").to_owned();
    // Without stored states the object owns no rebalance: the last refusal of this test needs them.
    until("the operator has stored states, or is done", || {
        let status = &demo.rebalance(&name)["status"];
        status["rebalanceStates"].as_array().is_some_and(|states| !states.is_empty())
            || status["phase"] == "Completed"
            || status["phase"] == "Failed"
    });
    demo.faults().set_operator_alive(false);
    until("EMQX is done", || demo.parts().emqx.with(|broker| broker.rebalances().is_empty()));
    if demo.rebalance(&name)["status"]["phase"] != "Processing" {
        // The operator was faster than this test: there is nothing to check.
        return;
    }
    let ran = demo.run("rebalance list -o json").exits(0);
    let waits =
        format!("{name} may still run, and EMQX does not list it: EMQX is asked again for up to 10 s");
    let list = ran.reports(&waits).json();
    assert_eq!(list["items"][0]["verdict"], "unknown", "{list:#}");
    let message = list["items"][0]["message"].as_str().expect("a message");
    assert!(message.contains("EMQX does not run it") && message.contains("starts nothing"), "{message}");
    // A rebalance that is started directly is not that of the old object.
    let nodes: Vec<String> =
        demo.parts().emqx.with(|broker| broker.members().map(|(_, node)| node.name.clone()).collect());
    let order = RebalanceOrder {
        nodes: Some(nodes.clone()),
        // It must not come to its end before the last command of this test.
        wait_health_check: std::time::Duration::from_hours(1),
        conn: Threshold { abs: 0.5, rel: 1.0 },
        ..RebalanceOrder::default()
    };
    demo.parts().emqx.with(|broker| broker.start_rebalance(&nodes[0], order)).expect("it starts");
    let list = demo.run("rebalance list -o json").exits(0).json();
    let items = list["items"].as_array().expect("items");
    let direct = items.iter().find(|item| item["backend"] == "emqx").expect("one in EMQX");
    assert_eq!(direct["name"], format!("coordinator/{}", nodes[0]), "{list:#}");
    let old = items.iter().find(|item| item["name"] == name.as_str()).expect("the object");
    assert_eq!(old["verdict"], "unknown", "{list:#}");
    // Deleting the old object would make the operator stop the running rebalance.
    let ran = demo.run(&format!("rebalance stop {name} --yes")).fails(6);
    assert!(ran.err.contains("another rebalance"), "{ran}");
    demo.run(&format!("rebalance stop coordinator/{} --yes", nodes[0])).exits(0);
    let ran =
        demo.run(&format!("rebalance stop {name} --yes --timeout 15s")).exits(0).shows("does not run it");
    ran.shows("the object is terminating: the operator's process is gone: its Lease was last renewed");
}

#[test]
fn a_stop_that_only_the_operator_could_make_is_refused_while_its_process_is_gone() {
    let demo = Cluster::faulty("documented-v1beta4", 60.0);
    let name = demo.running(SLOW);
    until("states are stored", || demo.rebalance(&name)["status"]["rebalanceStates"].is_array());
    demo.faults().set_operator_alive(false);
    let silent = || demo.run("status -o json").json()["operator"]["process"] == "gone";
    until("the Lease is overdue", silent);
    let ran = demo.run(&format!("rebalance stop {name} --yes --backend rebalance")).fails(6);
    assert!(ran.err.contains("only a running operator stops EMQX"), "{ran}");
    assert!(ran.err.contains("the operator's process is gone"), "{ran}");
    assert!(demo.rebalance(&name)["metadata"]["deletionTimestamp"].is_null());
}

#[test]
fn the_demo_of_an_operator_that_dies_answers_and_ends_on_a_signal() {
    let home = crate::harness::folder();
    let file = home.join("lost.yaml");
    std::fs::write(&file, OPERATOR_DIES).expect("a file");
    let demo = Cluster::serving(&["--file", &file.display().to_string(), "--speed", "20"]);
    let name = demo.running(SLOW);
    std::thread::sleep(Duration::from_secs(3));
    demo.run("rebalance list").exits(0).shows(&name);
    demo.ends_on_a_signal();
}

#[test]
fn a_stop_while_emqx_answers_errors_stops_nothing_keeps_the_object_and_names_the_retry() {
    let demo = Cluster::faulty("documented-v1beta4", 20.0);
    let name = demo.running(SLOW);
    let plan = annotation(&demo, &name, "cli.emqx.io/plan");
    for answer in [Answer::Error, Answer::Html] {
        demo.faults().emqx_answers(Some(answer.clone()));
        let ran = demo.run(&format!("rebalance stop {name} --yes --timeout 2s")).fails(5);
        assert!(ran.err.contains("is not stopped"), "{answer:?}\n{ran}");
        assert!(ran.err.contains(&format!("kubectl emqx rebalance stop {name}")), "{answer:?}\n{ran}");
        assert!(demo.rebalance(&name)["metadata"]["deletionTimestamp"].is_null(), "{answer:?}");
    }
    assert_eq!(annotation(&demo, &name, "cli.emqx.io/plan"), plan);
    assert_eq!(annotation(&demo, &name, "cli.emqx.io/stopped-by"), Value::Null);
    assert!(demo.parts().emqx.with(|broker| !broker.rebalances().is_empty()), "EMQX still runs it");
    // EMQX answers again while the stop is retried.
    demo.faults().emqx_answers(Some(Answer::Error));
    let mut stop = demo.start(&format!("rebalance stop {name} --yes --timeout 60s"));
    stop.until("trying again");
    demo.faults().emqx_answers(None);
    stop.end().exits(0).shows("stopped");
}

#[test]
fn stop_touches_an_object_whose_delete_hangs_as_soon_as_emqx_is_ready() {
    let demo = Cluster::faulty("documented", 20.0);
    let name = demo.running(SLOW);
    until("the operator reports Failed", || demo.rebalance(&name)["status"]["phase"] == "Failed");
    // Another client has deleted the object while EMQX is not Ready: the operator does not process it again.
    let path = format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}");
    assert_eq!(demo.api("DELETE", &path, "").0, 200);
    let stopped = demo.run(&format!("rebalance stop {name} --yes -o json")).exits(0).json();
    assert_eq!(stopped["verdict"], "stopped", "{stopped:#}");
    assert!(stopped["proof"].to_string().contains("the object is deleted"), "{stopped:#}");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn without_the_permission_to_patch_stop_reports_that_nothing_is_marked_and_deletes_once_emqx_is_ready() {
    let demo = Cluster::faulty("documented", 20.0);
    let name = demo.running(SLOW);
    until("the operator reports Failed", || demo.rebalance(&name)["status"]["phase"] == "Failed");
    let ran = demo.run(&format!("rebalance stop {name} --yes --context no-patch")).exits(0);
    assert!(ran.err.contains("verb patch on rebalances.apps.emqx.io"), "{ran}");
    assert!(ran.out.contains("the object is deleted"), "{ran}");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn a_second_stop_after_a_failed_delete_deletes_the_object() {
    let demo = Cluster::faulty("documented-v1beta4", 20.0);
    let name = demo.running(SLOW);
    // The state after a stop whose delete failed: EMQX is stopped, the object is marked and still exists.
    let coordinator = demo.rebalance(&name)["status"]["rebalanceStates"][0]["coordinator_node"].clone();
    let mark = json!({"by": "kubectl-emqx", "time": "2026-11-23T10:00:00Z"}).to_string();
    let mut object = demo.rebalance(&name);
    object["metadata"]["annotations"]["cli.emqx.io/stopped-by"] = json!(mark);
    let path = format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}");
    demo.replace(&path, object);
    let coordinator = coordinator.as_str().expect("a coordinator").to_owned();
    demo.parts().emqx.with(|broker| broker.stop_rebalance(&coordinator)).expect("it is stopped");
    let ran = demo.run(&format!("rebalance stop {name} --yes")).exits(0);
    assert!(ran.out.contains("the object is deleted"), "{ran}");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn two_rebalances_at_once_are_listed_and_stopped_each_by_its_own_coordinator() {
    let demo = Cluster::faulty("documented", 20.0);
    let nodes: Vec<String> =
        demo.parts().emqx.with(|broker| broker.members().map(|(_, node)| node.name.clone()).collect());
    let order = |nodes: &[&String]| RebalanceOrder {
        nodes: Some(nodes.iter().map(|node| (*node).clone()).collect()),
        conn_rate: 1,
        conn: Threshold { abs: 0.5, rel: 1.0 },
        ..RebalanceOrder::default()
    };
    demo.parts().emqx.with(|broker| {
        broker.start_rebalance(&nodes[0], order(&[&nodes[0], &nodes[3]])).expect("the first starts");
        broker.start_rebalance(&nodes[2], order(&[&nodes[1], &nodes[2]])).expect("the second starts");
    });
    let names = [format!("coordinator/{}", nodes[0]), format!("coordinator/{}", nodes[2])];
    let list = demo.run("rebalance list").exits(0);
    for name in &names {
        assert!(list.out.contains(name), "{list}");
    }
    demo.run("rebalance stop emqx --yes").fails(2).reports(&names[0]).reports(&names[1]);
    let ran = demo.run(&format!("rebalance stop {} --yes", names[1])).exits(0);
    assert!(!ran.out.contains("lists no rebalance"), "{ran}");
    assert!(ran.out.contains(&format!("{} still runs", names[0])), "{ran}");
    let left = demo.parts().emqx.with(|broker| broker.rebalances().len());
    assert_eq!(left, 1);
    let ran = demo.run("rebalance stop emqx --yes").exits(0);
    assert!(ran.out.contains("lists no rebalance"), "{ran}");
}

#[test]
fn stop_through_a_url_verifies_the_donors_by_the_endpoints() {
    let demo = Cluster::faulty("documented", 20.0);
    let inside = demo.parts();
    let key = inside.emqx.key();
    let key = demo.file("key", &format!("{}:{}", key.key, key.secret));
    let name = demo.running(SLOW);
    until("the operator reports Failed", || demo.rebalance(&name)["status"]["phase"] == "Failed");
    let ran = demo
        .run(&format!("rebalance stop {name} --yes --emqx-url {} --api-key-file {key}", inside.emqx_url))
        .exits(0);
    assert!(!ran.out.contains("not verified"), "{ran}");
}

#[test]
fn stop_of_a_rebalance_during_an_evacuation_names_what_runs_and_the_command_that_stops_it() {
    let demo = Cluster::faulty("documented", 20.0);
    let node = demo.parts().emqx.with(|broker| broker.members().next().map(|(_, node)| node.name.clone()));
    let node = node.expect("a node");
    let order = emqx_sim::orders::EvacuationOrder::default();
    demo.parts().emqx.with(|broker| broker.start_evacuation(&node, order)).expect("it starts");
    let ran = demo.run("rebalance stop emqx --yes").exits(0);
    assert!(ran.err.contains("is being evacuated"), "{ran}");
    assert!(ran.err.contains(&format!("kubectl emqx evacuate stop {node}")), "{ran}");
}

#[test]
fn stop_of_a_rebalance_during_a_purge_names_what_runs_and_the_command_that_stops_it() {
    let demo = Cluster::faulty("documented", 20.0);
    let pod = "emqx-core-66c88f5c8-1";
    assert!(demo.faults().start_purge(pod, 10));
    let ran = demo.run("rebalance stop emqx --yes").exits(0);
    assert!(ran.err.contains("a purge of"), "{ran}");
    assert!(
        ran.err.contains(&format!("kubectl exec -n mq {pod} -c emqx -- emqx ctl rebalance stop")),
        "{ran}"
    );
}

#[test]
fn stop_of_a_rebalance_during_an_upgrade_names_it_and_the_command_that_rolls_it_back() {
    let demo = Cluster::demo("upgrade-v2beta1", 20);
    demo.run("upgrade apply --image emqx/emqx-enterprise:5.8.7 --yes").exits(0);
    until("the operator upgrades", || demo.run("status -o json").json()["operation"] == "upgrade");
    let ran = demo.run("rebalance stop --yes").exits(0);
    assert!(ran.err.contains("an upgrade does"), "{ran}");
    assert!(ran.err.contains("kubectl emqx upgrade undo emqx"), "{ran}");
}

#[test]
fn objects_whose_instance_does_not_exist_are_listed_and_pruned() {
    let demo = Cluster::faulty("documented", 20.0);
    let name = demo.running(SLOW);
    until("states are stored", || demo.rebalance(&name)["status"]["rebalanceStates"].is_array());
    let mut spec = demo.rebalance(&name)["spec"].clone();
    spec["instanceName"] = json!("elsewhere");
    // An object of a kind that was lost, as the manual's manifest leaves it.
    let lost = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "lost", "namespace": "mq"}, "spec": spec});
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";
    assert_eq!(demo.api("POST", path, &lost.to_string()).0, 201);
    until("the operator reports Failed", || demo.rebalance("lost")["status"]["phase"] == "Failed");
    demo.run("rebalance list").exits(0).shows("lost").shows("elsewhere");
    assert!(demo.faults().delete_object("emqxes/emqx"));
    let list = demo.run("rebalance list -o json").exits(0).json();
    let names: Vec<&str> =
        list["items"].as_array().expect("items").iter().filter_map(|item| item["name"].as_str()).collect();
    assert!(names.contains(&name.as_str()) && names.contains(&"lost"), "{list:#}");
    let ran = demo.run("rebalance prune --yes").exits(0);
    assert!(ran.out.contains("lost deleted"), "{ran}");
    assert!(demo.rebalances().iter().all(|(name, _)| name != "lost"));
}

#[test]
fn what_may_not_be_listed_is_not_reported_as_none() {
    let demo = Cluster::demo("documented", 20);
    let ran = demo.run("rebalance list --context no-rebalances").exits(0);
    assert!(!ran.err.contains("no rebalances found"), "{ran}");
    assert!(ran.err.contains("verb list on rebalances.apps.emqx.io"), "{ran}");
    let ran = demo.run("rebalance prune --yes --context no-rebalances").fails(1);
    assert!(ran.err.contains("verb list on rebalances.apps.emqx.io"), "{ran}");
}

/// `rebalance stop` of what runs, while this number of lists of Rebalances is answered with 500.
fn stopped_unlisted(demo: &Cluster, times: usize, limit: &str) -> Ran {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError",
        "message": "etcdserver: request timed out", "code": 500});
    let target = demo.url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    let rule = Rule { times, ..Rule::on("/rebalances?limit=", 500, &body.to_string()) };
    let address = proxy(&target, vec![rule]);
    demo.run(&format!("rebalance stop --yes --timeout {limit} -n mq --server http://{address}/as/admin"))
}

#[test]
fn a_stop_while_rebalances_cannot_be_listed_deletes_the_object_as_soon_as_they_can() {
    let demo = Cluster::faulty("documented-v1beta4", 20.0);
    let name = demo.running(SLOW);
    let ran = stopped_unlisted(&demo, 8, "60s").exits(0).reports("trying again");
    assert!(ran.out.contains(&format!("rebalance.apps.emqx.io/{name}: stopped by you")), "{ran}");
    assert!(ran.out.contains("the object is deleted"), "{ran}");
    assert!(!ran.out.contains("ended between"), "it was stopped at a known time\n{ran}");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn an_object_that_a_stop_could_not_list_is_stopped_and_not_coordinator_lost() {
    let demo = Cluster::faulty("documented-v1beta4", 20.0);
    let name = demo.running(SLOW);
    let ran = stopped_unlisted(&demo, usize::MAX, "2s").exits(0);
    assert!(ran.out.contains("not verified: that no object of it is left"), "{ran}");
    assert!(ran.out.contains("the API server answered 500: etcdserver: request timed out"), "{ran}");
    until("the operator notices", || demo.rebalance(&name)["status"]["phase"] == "Completed");
    let list = demo.run("rebalance list -o json").exits(0).json();
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "one rebalance: {list}");
    assert_eq!((&items[0]["name"], &items[0]["verdict"]), (&json!(name), &json!("stopped")), "{list}");
    let history = demo.run("history -o json").exits(0).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "{history}");
    assert_eq!(history["items"][0]["verdict"], "stopped", "{history}");
}
