//! Drains of Kubernetes nodes: on every API version, with obstacles, interrupted, and undone.

use emqx_sim::Scenario;
use serde_json::{Value, json};

use crate::harness::{Cluster, until};

const QUICK: &str =
    "--conn-evict-rate 4000 --sess-evict-rate 4000 --wait-health-check 1s --wait-takeover 1s --yes";
const SLOW: &str = "--conn-evict-rate 5 --wait-health-check 1s --wait-takeover 1s --yes";

/// Four nodes with clients, each on its own Kubernetes node, and further settings.
fn scenario(api: &str, more: &str) -> Scenario {
    let text = format!(
        "name: drained\napi: {api}\nnodes:\n  - {{role: core, connections: 500, offlineSessions: 30}}\n  - {{role: core, count: 3, connections: 500, offlineSessions: 20}}\n{more}\n"
    );
    Scenario::from_yaml(&text).expect("a scenario")
}

fn cluster(more: &str) -> Cluster {
    Cluster::inside(scenario("v2beta1", more), 40.0)
}

/// A cluster of each API version, and the flag with which evacuations can be started there: operator 3.x ends
/// those that it did not start, and is therefore stopped here.
fn on_each_version(more: &str, journey: impl Fn(&str, &Cluster, &str)) {
    for api in ["v1beta4", "v2beta1", "v2", "v3beta1"] {
        let (silent, skip) = match api {
            "v3beta1" => ("\noperatorAlive: false", "--skip-check operator-ends-evacuation"),
            _ => ("", ""),
        };
        journey(api, &Cluster::inside(scenario(api, &format!("{more}{silent}")), 40.0), skip);
    }
}

fn cuts(cluster: &Cluster) -> u64 {
    cluster.parts().emqx.with(|broker| broker.tally.cuts)
}

fn clients(cluster: &Cluster) -> u64 {
    cluster.parts().emqx.with(|broker| broker.members().map(|(_, node)| node.connections).sum())
}

fn machine(cluster: &Cluster, name: &str) -> Value {
    cluster.api("GET", &format!("/api/v1/nodes/{name}"), "").1
}

fn pods_on(cluster: &Cluster, name: &str) -> Vec<String> {
    let (_, list) = cluster.api("GET", "/api/v1/namespaces/mq/pods", "");
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let here = pods.iter().filter(|pod| pod["spec"]["nodeName"] == name);
    here.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

fn budget(cluster: &Cluster, spec: &Value) {
    let body = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "emqx"},
        "spec": spec});
    let path = "/apis/policy/v1/namespaces/mq/poddisruptionbudgets";
    assert_eq!(cluster.api("POST", path, &body.to_string()).0, 201);
    until("it is counted", || {
        cluster.api("GET", &format!("{path}/emqx"), "").1["status"]["currentHealthy"] == 4
    });
}

fn selector(api: &str) -> Value {
    json!({"matchLabels": {"apps.emqx.io/instance": if api == "v1beta4" { "emqx-ee" } else { "emqx" }}})
}

#[test]
fn a_node_is_drained_on_every_api_version_and_every_client_is_disconnected_once() {
    on_each_version("", |api, cluster, skip| {
        if api == "v3beta1" {
            cluster.run(&format!("drain sim-3 {QUICK}")).fails(6).reports("apps.emqx.io/paused");
        }
        let plan = cluster
            .run("drain sim-3 --dry-run=client -o json --skip-check operator-ends-evacuation")
            .exits(0)
            .json();
        assert_eq!(
            (&plan["kind"], &plan["disconnections"], &plan["verdict"]),
            (&"Drain".into(), &500.into(), &Value::Null)
        );
        let moved = pods_on(cluster, "sim-3");
        assert_eq!(moved.len(), 1, "{api}");
        assert!(machine(cluster, "sim-3")["spec"]["unschedulable"].is_null(), "a dry run cordons nothing");
        let ran = cluster.run(&format!("drain sim-3 {QUICK} {skip} --timeout 60s -o jsonl"));
        assert_eq!(ran.code, Some(0), "{api}\n{ran}");
        let ran = ran.verdict("done").reports("kubectl drain sim-3 --ignore-daemonsets");
        let last = ran.events().pop().expect("a verdict");
        assert_eq!((&last["operation"], &last["percent"]), (&"drain".into(), &100.into()), "{ran}");
        assert_eq!((cuts(cluster), clients(cluster)), (500, 2000), "{api}\n{ran}");
        assert!(pods_on(cluster, "sim-3").is_empty(), "{api}");
        let node = machine(cluster, "sim-3");
        assert_eq!(node["spec"]["unschedulable"], true);
        assert!(node["metadata"]["annotations"]["cli.emqx.io/cordoned"].is_string(), "{node:#}");
        cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        // A second run has nothing to do.
        cluster.run("drain sim-3 --yes").exits(0).reports("no EMQX pod").reports("kubectl drain sim-3");
        cluster.run("drain sim-3 --yes --error-unchanged").exits(3);
    });
}

#[test]
fn pods_of_two_nodes_leave_the_service_first_so_that_no_client_is_disconnected_twice() {
    on_each_version("", |api, cluster, skip| {
        // Both evacuations begin before either disconnects a client, even on a busy machine.
        let flags = format!("--conn-evict-rate 4000 --wait-health-check 60s --wait-takeover 1s --yes {skip}");
        let ran = cluster.run(&format!("drain sim-0 sim-1 {flags} -o json --timeout 60s"));
        assert_eq!(ran.code, Some(0), "{api}\n{ran}");
        let drain = ran.json();
        assert_eq!(drain["verdict"], "done", "{api}\n{ran}");
        assert_eq!((&drain["together"], &drain["disconnections"]), (&true.into(), &1000.into()), "{ran}");
        assert_eq!(drain["disconnectionsPerClient"], 1.0, "{api}\n{ran}");
        let steps = drain["steps"].as_array().into_iter().flatten();
        let states: Vec<&str> = steps.filter_map(|it| it["state"].as_str()).collect();
        assert_eq!(states, ["done", "done"], "{api}\n{ran}");
        assert_eq!(clients(cluster), 2000, "{api}\n{ran}");
        // EMQX 4.4 evicts at once, so that the pods leave the Service first. Its operator opens their gates every 20 s, which is
        // half a second here: on a busy machine that can happen between the last check and the start.
        let closed = ran.err.contains("leave the Service before EMQX disconnects their clients");
        assert_eq!(closed, api == "v1beta4", "{api}\n{ran}");
        let most = if api == "v1beta4" { 1100 } else { 1000 };
        assert!((1000..=most).contains(&cuts(cluster)), "{api}: {}\n{ran}", cuts(cluster));
    });
}

#[test]
fn where_gates_may_not_be_closed_the_plan_reports_how_many_clients_may_be_disconnected_twice() {
    let cluster = Cluster::inside(scenario("v1beta4", ""), 40.0);
    for command in ["drain sim-0 sim-1", "scale --replicas 2"] {
        let plan = format!("{command} --dry-run=client --conn-evict-rate 100");
        cluster.run(&plan).exits(0).never_reports("disconnected twice");
        let ran = cluster.run(&format!("{plan} --context no-gates")).exits(0);
        assert!(ran.err.contains("you may not patch pods/status"), "{command}\n{ran}");
        assert!(ran.err.contains("up to 50 clients"), "{command}\n{ran}");
    }
}

#[test]
fn a_budget_in_the_way_is_refused_before_and_an_eviction_that_it_refuses_is_tried_again() {
    on_each_version("", |api, cluster, skip| {
        budget(cluster, &json!({"minAvailable": 4, "selector": selector(api)}));
        let ran = cluster.run(&format!("drain sim-3 {QUICK} {skip}")).fails(6);
        assert!(ran.err.contains("PodDisruptionBudget emqx"), "{api}\n{ran}");
        assert!(ran.err.contains("hint: kubectl get pdb"), "{api}\n{ran}");
        assert!(machine(cluster, "sim-3")["spec"]["unschedulable"].is_null(), "nothing was done");
        assert_eq!(cuts(cluster), 0, "{api}");
        let mut going = cluster.start(&format!("drain sim-3 {QUICK} --skip-check disruption-budget {skip}"));
        going.until("is not evicted yet: Cannot evict pod");
        let path = "/apis/policy/v1/namespaces/mq/poddisruptionbudgets/emqx";
        assert_eq!(cluster.api("DELETE", path, "").0, 200);
        going.end().exits(0).reports("done: 1 pod moved off sim-3");
        assert_eq!(clients(cluster), 2000, "{api}");
    });
}

#[test]
fn a_pod_without_capacity_is_refused_before_the_start_and_one_that_does_not_come_back_is_a_stall() {
    on_each_version("podsPerKubernetesNode: 1", |api, cluster, skip| {
        let ran =
            cluster.run(&format!("drain sim-3 {QUICK} {skip}")).fails(6).reports("there is no room for");
        assert!(ran.err.contains("3 without enough free"), "{api}\n{ran}");
        assert_eq!(cuts(cluster), 0, "{api}");
        let ran = cluster.run(&format!("drain sim-3 {QUICK} --skip-check no-room {skip}"));
        assert_eq!(ran.code, Some(4), "{api}\n{ran}");
        let ran = ran.reports("stalled").reports("Unschedulable");
        assert!(ran.err.contains("next: kubectl emqx drain sim-3"), "{api}\n{ran}");
        // After the uncordon the pod starts on its old node.
        cluster.run("drain sim-3 --undo --yes").exits(0).shows("node/sim-3 uncordoned");
        until("it runs again", || {
            cluster.run("nodes -o json").json()["items"]
                .as_array()
                .is_some_and(|it| it.iter().filter(|row| row["ready"] == true).count() == 4)
        });
        assert!(machine(cluster, "sim-3")["spec"]["unschedulable"].is_null(), "{api}");
        cluster.run("drain sim-3 --undo --yes").exits(0).reports("nothing to undo");
        assert_eq!(clients(cluster), 2000, "{api}");
    });
}

#[test]
fn an_evacuation_that_a_replacement_restores_from_its_volume_is_stopped() {
    on_each_version("persistentVolumes: true", |api, cluster, skip| {
        let ran = cluster.run(&format!("drain sim-3 {QUICK} --timeout 60s {skip}"));
        assert_eq!(ran.code, Some(0), "{api}\n{ran}");
        let ran = ran.reports("EMQX restored the evacuation");
        assert!(ran.out.contains("done"), "{api}\n{ran}");
        cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        assert_eq!(clients(cluster), 2000, "{api}");
    });
}

#[test]
fn an_evacuation_of_another_client_is_named_and_left_alone() {
    let cluster = cluster("persistentVolumes: true");
    let node = cluster.run("nodes -o json").json()["items"][0].clone();
    let (name, pod) = (node["node"].as_str().expect("a node"), node["pod"].as_str().expect("a pod"));
    cluster.run(&format!("evacuate start {pod} {QUICK} --watch")).exits(0);
    let place =
        cluster.api("GET", &format!("/api/v1/namespaces/mq/pods/{pod}"), "").1["spec"]["nodeName"].clone();
    let mut going = cluster.start(&format!("drain {} {QUICK}", place.as_str().expect("a place")));
    going.until("this drain did not start it");
    // Until its replacement is up, EMQX does not list the node.
    until("it is stopped", || cluster.run(&format!("evacuate stop {name} --yes")).code == Some(0));
    going.end().exits(0);
    assert_eq!(clients(&cluster), 2000);
}

#[cfg(unix)]
#[test]
fn killed_at_any_step_it_continues_when_it_is_run_again() {
    let steps = [
        ("v1beta4", "is evicted"),
        ("v2beta1", "begins"),
        ("v2beta1", "disconnecting clients"),
        ("v2beta1", "is empty"),
        ("v2beta1", "is evicted"),
        ("v2beta1", "is deleted"),
        ("v2", "is empty"),
        ("v3beta1", "is deleted"),
    ];
    for (api, step) in steps {
        let (silent, skip) = match api {
            "v3beta1" => ("\noperatorAlive: false", "--skip-check operator-ends-evacuation"),
            _ => ("", ""),
        };
        let cluster = Cluster::inside(scenario(api, &format!("persistentVolumes: true{silent}")), 40.0);
        let slow = "--conn-evict-rate 50 --wait-health-check 1s --wait-takeover 1s --yes";
        let mut going = cluster.start(&format!("drain sim-3 {slow} {skip}"));
        going.until(step);
        going.signal("KILL");
        going.end();
        let (_, stored) = cluster.api("GET", "/api/v1/namespaces/mq/configmaps", "");
        let mut stored = stored["items"].as_array().into_iter().flatten();
        let stored = stored.find_map(|it| it["data"]["drain.json"].as_str()).expect("a state");
        let stored: Value = serde_json::from_str(stored).expect("JSON");
        // The Lease expires first.
        let again = format!("drain sim-3 {QUICK} {skip} --timeout 60s");
        let mut ran = cluster.run(&again);
        until("the lease runs out", || {
            let refused = ran.code == Some(6) && ran.err.contains("another process of kubectl-emqx");
            if refused {
                ran = cluster.run(&again);
            }
            !refused
        });
        assert_eq!(ran.code, Some(0), "{api}, {step}\n{ran}");
        assert!(pods_on(&cluster, "sim-3").is_empty(), "{api}, {step}\n{ran}");
        assert_eq!((cuts(&cluster), clients(&cluster)), (500, 2000), "{api}, {step}\n{ran}");
        cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        // The history has the whole drain, not its last run.
        let past = cluster.run("history -o json").exits(0).json();
        let started: jiff::Timestamp =
            past["items"][0]["startedTime"].as_str().and_then(|it| it.parse().ok()).expect("a time");
        let began: jiff::Timestamp = stored["time"].as_str().and_then(|it| it.parse().ok()).expect("a time");
        assert_eq!(started.as_second(), began.as_second(), "{api}, {step}\n{past:#}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_prints_what_is_running_and_an_undo_reverts_only_its_own_changes() {
    let cluster = cluster("");
    let other = machine(&cluster, "sim-2");
    let mut cordoned = other.clone();
    cordoned["spec"]["unschedulable"] = json!(true);
    cluster.replace("/api/v1/nodes/sim-2", cordoned);
    let mut going = cluster.start(&format!("drain sim-2 sim-3 {SLOW}"));
    going.until("disconnecting clients");
    // A second drain is refused and names the first one; so is a drain of a part of its nodes.
    cluster.run(&format!("drain sim-3 {QUICK}")).fails(6).reports("a drain of sim-2, sim-3 by ");
    let second = cluster
        .run(&format!("drain sim-2 sim-3 {QUICK}"))
        .fails(6)
        .reports("another process of kubectl-emqx is at work on it");
    assert!(second.err.contains(&format!("(process {})", going.pid())), "{second}");
    going.signal("INT");
    let ran = going.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(
        ran.err.contains("EMQX continues to evacuate") && ran.err.contains("drain sim-2 sim-3 --undo"),
        "{ran}"
    );
    let status = cluster.run("status").exits(0).shows("drain of sim-2, sim-3 by ");
    assert!(status.err.contains("next: kubectl emqx drain sim-2 sim-3"), "{status}");
    cluster.run(&format!("drain sim-0 {QUICK}")).fails(6).reports("is not finished");
    cluster.run("drain sim-3 --undo --yes").fails(6).reports("it is a drain of sim-2, sim-3");
    let ran =
        cluster.run("drain sim-2 sim-3 --undo --yes").exits(0).reports("was cordoned by another client");
    assert_eq!(ran.out.trim(), "node/sim-3 uncordoned", "{ran}");
    assert!(machine(&cluster, "sim-3")["spec"]["unschedulable"].is_null());
    assert_eq!(machine(&cluster, "sim-2")["spec"]["unschedulable"], true);
    cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
    assert_eq!(pods_on(&cluster, "sim-3").len(), 1);
}

#[cfg(unix)]
#[test]
fn an_unfinished_drain_refuses_every_other_operation_and_names_the_commands_that_end_it() {
    let cluster = cluster("");
    let mut going = cluster.start(&format!("drain sim-3 {SLOW}"));
    going.until("disconnecting clients");
    going.signal("INT");
    assert_eq!(going.end().code, Some(130));
    let pod = pods_on(&cluster, "sim-0").remove(0);
    let image = "--image emqx/emqx-enterprise:5.10.1";
    let others = [
        "rebalance apply --yes --conn-evict-rate 5".to_owned(),
        format!("upgrade apply emqx {image} --yes"),
        format!("evacuate start {pod} --yes"),
        "scale emqx --cores 3 --yes".to_owned(),
        format!("drain sim-0 {QUICK}"),
    ];
    for other in &others {
        let ran = cluster.run(other).fails(6);
        assert!(
            ran.err.contains("a drain of sim-3 by ") && ran.err.contains("is not finished"),
            "{other}\n{ran}"
        );
        assert!(ran.err.contains("kubectl emqx drain sim-3 --undo"), "{other}\n{ran}");
    }
    cluster.run("rebalance plan").exits(6).shows("a drain of sim-3 by ");
    for purpose in ["rebalance", "upgrade", "evacuate"] {
        let checks = cluster.run(&format!("check --for {purpose} -o json")).exits(6).json();
        let all = checks["checks"].as_array().cloned().unwrap_or_default();
        let own = all.iter().find(|it| it["id"] == "drain-unfinished").expect("the check");
        assert_eq!(own["status"], "blocked", "{purpose}");
    }
    cluster.run(&format!("evacuate start {pod} --dry-run=client --skip-check drain-unfinished")).exits(0);
    cluster.run("drain sim-3 --undo --yes").exits(0);
    cluster.run(&format!("evacuate start {pod} --dry-run=client")).exits(0);
}

#[test]
fn what_cannot_be_drained_is_refused_with_the_reason() {
    let cluster = cluster("kubernetesNodes: 5");
    let drain = |flags: &str| cluster.run(&format!("drain {flags}"));
    drain("sim-4 --yes")
        .exits(0)
        .reports("no EMQX pod of namespace mq runs on sim-4")
        .never_reports("no EMQX or EmqxEnterprise found")
        .reports("kubectl drain sim-4");
    drain("worker-9 --yes").fails(1).reports("no Kubernetes node worker-9").reports("sim-0, sim-1");
    drain("sim-0 sim-1 sim-2 sim-3 sim-4 --yes").fails(6);
    drain("sim-0").fails(6).reports("--yes");
    drain("").fails(2);
    drain("sim-0 --parallel 0 --yes").fails(2).reports("--parallel");
    drain("sim-0 --dry-run=server").fails(2).reports("--dry-run");
    drain("sim-0 --dry-run=client --watch").fails(2).reports("--watch");
    drain("sim-0 --watch -o json --yes").fails(2).reports("-o jsonl");
    drain("sim-0 --undo --no-cordon --yes").fails(2).reports("--undo");
    drain("sim-0 --skip-check volume-bound --yes").fails(2).reports("cannot be skipped");
    drain("sim-0 --timeout 0 --yes").fails(2);
    drain("sim-0 --yes --context viewer").fails(6).reports("you may not");
    drain("sim-0 --undo --yes").exits(0).reports("nothing to undo");
    let timed = drain(&format!("sim-0 {SLOW} --timeout 1s")).fails(5);
    assert!(timed.err.contains("--undo puts back"), "{timed}");
    drain("sim-0 --undo --yes -o json").exits(0).shows("reverted");
    assert!(cluster.run("evacuate list").exits(0).err.contains("no EMQX node"));
    // Without a cordon the node takes pods again, and only the pods of the beginning are moved.
    drain(&format!("sim-0 {QUICK} --no-cordon --timeout 60s")).exits(0).reports("done");
    assert!(machine(&cluster, "sim-0")["spec"]["unschedulable"].is_null());
}
