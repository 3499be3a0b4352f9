//! Limits that stop an operation, and the command of `--notify`.

use emqx_sim::Scenario;

use crate::harness::{Cluster, Going, SLOW, until};
use crate::ran::Ran;

/// Evicted clients do not reconnect.
fn away(api: &str) -> Cluster {
    let text = format!(
        "name: away\napi: {api}\nreconnectDelay: 100000\nnodes:\n- connections: 0\n- connections: 3333\n\
         - connections: 3333\n- connections: 3334\n"
    );
    Cluster::inside(Scenario::from_yaml(&text).expect("a scenario"), 20.0)
}

/// The only verdict of a follow that a limit ended.
#[track_caller]
fn stopped(ran: Ran) -> String {
    let ran = ran.exits(8).verdict("stopped").reports("was stopped by a limit");
    let verdicts = ran.events().iter().filter(|it| it["type"] == "verdict").count();
    assert_eq!(verdicts, 1, "an operation is stopped once\n{ran}");
    let message = ran.events().pop().expect("a verdict")["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("; undone: ") && message.contains("; not undone: "), "{message}");
    message
}

#[test]
fn lost_clients_stop_a_rebalance_on_each_backend_and_the_stop_is_verified() {
    for (api, backend) in [("v2beta1", "rebalance"), ("v2beta1", "emqx"), ("v1beta4", "rebalance")] {
        let demo = away(api);
        let limits =
            format!("--wait-health-check 1 --wait-takeover 3600 --abort-if-lost 2% --backend {backend}");
        let ran = demo.run(&format!("rebalance apply --yes --watch -o jsonl {limits} --conn-evict-rate 20"));
        let message = stopped(ran);
        assert!(message.contains("--abort-if-lost 2%"), "{message}");
        assert!(message.contains("donors asked: they accept clients"), "{message}");
        assert_eq!(demo.run("status -o json").exits(0).json()["operation"], "none", "{backend}");
    }
}

#[test]
fn a_limit_stops_what_another_client_started() {
    let demo = Cluster::demo("documented-v2beta1", 20);
    let name = demo.running(SLOW);
    let past = "--not-after 2020-01-01T00:00:00Z";
    stopped(demo.run(&format!("rebalance watch {name} -o jsonl {past}")));
    assert_eq!(demo.run("status -o json").exits(0).json()["operation"], "none");
    let pod = "emqx-core-66c88f5c8-0";
    demo.run(&format!("evacuate start {pod} --wait-health-check 10h --yes")).exits(0);
    stopped(demo.run(&format!("evacuate watch {pod} -o jsonl {past}")));
    demo.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
}

#[cfg(unix)]
#[test]
fn a_limit_stops_a_drain_that_another_process_left() {
    let demo = away("v2beta1");
    let mut first = demo.start("drain sim-1 --conn-evict-rate 5 --wait-health-check 1 --yes");
    first.until("disconnecting clients");
    first.signal("INT");
    first.end();
    // The number of clients at its start is recorded.
    let message = stopped(demo.run("drain sim-1 --abort-if-lost 20 --yes -o jsonl"));
    assert!(message.contains("--abort-if-lost 20"), "{message}");
    demo.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
}

#[test]
fn without_limits_nothing_is_stopped_and_status_and_list_recommend_it() {
    let demo = away("v2beta1");
    demo.running("--conn-evict-rate 100 --wait-health-check 1 --wait-takeover 3600");
    until("status recommends it", || {
        let message = demo.run("status -o json").exits(0).json()["message"].to_string();
        message.contains("STOP IT")
    });
    demo.run("status").exits(0).reports("kubectl emqx rebalance stop emqx");
    demo.run("rebalance list -o wide").exits(0).shows("STOP IT");
    assert_eq!(demo.run("status -o json").exits(0).json()["operation"], "rebalance");
}

/// Follows a command that evicts clients which do not reconnect until it recommends to stop, and ends it.
#[cfg(unix)]
#[track_caller]
fn recommends(demo: &Cluster, command: &str, stop: &str) {
    let mut going = demo.start(command);
    going.until("STOP IT: ");
    going.until(stop);
    going.signal("INT");
    let ran = going.end();
    assert_eq!(ran.code, Some(130), "nothing is stopped without a limit\n{ran}");
}

#[cfg(unix)]
#[test]
fn without_limits_every_operation_recommends_to_stop_when_evicted_clients_stay_away() {
    let slow = "--conn-evict-rate 5 --wait-health-check 1 --yes";
    let demo = away("v2beta1");
    let nodes = demo.run("nodes -o json").exits(0).json();
    let (pod, node) = (nodes["items"][3]["pod"].as_str().expect("a pod"), &nodes["items"][3]["node"]);
    let stop = format!("kubectl emqx evacuate stop {}", node.as_str().expect("a node"));
    recommends(&demo, &format!("evacuate start {pod} {slow} --watch"), &stop);
    // The same for an operation that another client started.
    recommends(&demo, "watch --plain", &stop);
    let demo = away("v2beta1");
    recommends(&demo, &format!("drain sim-1 {slow}"), "kubectl emqx drain sim-1 --undo");
    let status = demo.run("status").exits(0).shows("STOP IT: ");
    assert!(status.err.contains("next: kubectl emqx drain sim-1 --undo"), "{status}");
    let demo = away("v1beta4");
    recommends(&demo, &format!("scale --replicas 3 {slow}"), "kubectl emqx scale emqx-ee --undo");
    let status = demo.run("status").exits(0).shows("STOP IT: ");
    assert!(status.err.contains("next: kubectl emqx scale emqx-ee --undo"), "{status}");
}

#[cfg(unix)]
#[test]
fn an_upgrade_whose_clients_stay_away_recommends_the_undo_on_every_api_version_with_evacuations() {
    let two = "updateStrategy:\n    initialDelaySeconds: 5\n    \
        evacuationStrategy: {connEvictRate: 20, sessEvictRate: 200, waitTakeover: 3600}";
    let four = "blueGreenUpdate:\n    initialDelaySeconds: 5\n    \
        evacuationStrategy: {connEvictRate: 20, sessEvictRate: 200, waitTakeover: 3600}";
    for (api, name, spec, image) in [
        ("v2beta1", "emqx", two, "--image emqx/emqx-enterprise:5.8.7"),
        ("v2", "emqx", two, "--image emqx/emqx-enterprise:5.10.2"),
        ("v1beta4", "emqx-ee", four, "--version 4.4.24"),
    ] {
        let text = format!(
            "name: away\napi: {api}\nreconnectDelay: 100000\nspec:\n  {spec}\nnodes:\n- {{count: 4, connections: 800}}\n"
        );
        let demo = Cluster::inside(Scenario::from_yaml(&text).expect("a scenario"), 40.0);
        let undo = format!("kubectl emqx upgrade undo {name}");
        recommends(&demo, &format!("upgrade apply {image} --yes --watch"), &undo);
        let status = demo.run("status").exits(0).shows("STOP IT: ");
        assert!(status.err.contains(&format!("next: {undo}")), "{api}\n{status}");
        demo.run("upgrade list -o wide").exits(0).shows("STOP IT: ");
    }
}

#[test]
fn lost_clients_stop_an_evacuation_and_its_node_serves_again() {
    let demo = away("v2beta1");
    let nodes = demo.run("nodes -o json").exits(0).json();
    let pod = nodes["items"][3]["pod"].as_str().expect("a pod").to_owned();
    let flags = "--conn-evict-rate 5 --wait-health-check 1 --abort-if-lost 50 -o jsonl";
    let message = stopped(demo.run(&format!("evacuate start {pod} --yes --watch {flags}")));
    assert!(message.contains("the Service routes clients to the node"), "{message}");
    demo.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
}

#[test]
fn lost_clients_stop_a_drain_and_a_scale_whose_evacuations_are_stopped() {
    let flags = "--conn-evict-rate 5 --wait-health-check 1 --abort-if-lost 50 --yes -o jsonl";
    for (api, command) in [("v2beta1", "drain sim-1"), ("v1beta4", "scale --replicas 3")] {
        let demo = away(api);
        let ran = demo.run(&format!("{command} {flags}"));
        let message = stopped(ran);
        assert!(message.contains("the Service routes clients to the node"), "{message}");
        assert!(message.contains("0 of 1 pod"), "{message}");
        demo.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        let late = demo.run(&format!("{command} --yes --not-after 2020-01-01T00:00:00Z"));
        late.fails(6).reports("has passed");
    }
}

#[test]
fn a_guarded_upgrade_is_paused_and_its_evacuations_are_stopped() {
    let demo = Cluster::demo("upgrade-v1beta4", 40);
    demo.run("upgrade apply --version 4.4.24 --yes --conn-evict-rate 1").exits(0);
    let message = stopped(demo.run("upgrade watch -o jsonl --not-after 2020-01-01T00:00:00Z"));
    assert!(message.contains("it removes no old pod"), "{message}");
    let evacuations = demo.run("evacuate list -o json").exits(0).json();
    assert_eq!(evacuations["items"].as_array().map(Vec::len), Some(0), "{evacuations:#}");
}

#[test]
fn the_rollback_of_any_other_upgrade_is_followed_to_its_end_and_reported() {
    let text = "name: back\napi: v2beta1\nreconnectDelay: 20\nspec:\n  updateStrategy:\n    initialDelaySeconds: 5\n    \
        evacuationStrategy: {connEvictRate: 50, sessEvictRate: 200, waitTakeover: 5}\nnodes:\n\
        - {count: 2, connections: 200}\n";
    let demo = Cluster::inside(Scenario::from_yaml(text).expect("a scenario"), 50.0);
    let upgrade = "upgrade apply --image emqx/emqx-enterprise:5.8.7 --yes --watch -o jsonl --abort-if-lost 5";
    let ran = demo.run(upgrade);
    let out = ran.out.clone();
    let message = stopped(ran);
    assert!(out.contains("the rollback is followed to its end"), "{out}");
    assert!(message.contains("has its previous image again"), "{message}");
    // On a slow machine clients may be missing for longer than the follower waits for them: the message then
    // reports that.
    assert!(message.contains("not undone: ") && message.contains("disconnections of clients"), "{message}");
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!((&status["operation"], &status["verdict"]), (&"none".into(), &"idle".into()), "{status:#}");
}

#[test]
fn a_forecast_above_a_limit_is_refused_before_anything_is_written() {
    let demo = Cluster::demo("documented-v2beta1", 20);
    let rate = "--conn-evict-rate 100 --max-reconnect-rate 50";
    demo.run(&format!("rebalance apply --yes {rate}")).fails(6).reports("--max-reconnect-rate 50");
    let late = "--watch --not-after 2020-01-01T00:00:00Z";
    demo.run(&format!("rebalance apply --yes {late}")).fails(6).reports("has passed");
    let pod = "emqx-core-66c88f5c8-0";
    demo.run(&format!("evacuate start {pod} --yes {late}")).fails(6).reports("has passed");
    let upgrade = "upgrade apply --image emqx/emqx-enterprise:5.10.0 --yes";
    demo.run(&format!("{upgrade} {late}")).fails(6).reports("has passed");
    assert_eq!(demo.run("status -o json").exits(0).json()["operation"], "none");
    demo.run("rebalance apply --yes --abort-if-lost 5").fails(2).reports("needs --watch");
    demo.run("rebalance apply --yes --skip-check not-after").fails(2).reports("cannot be skipped");
}

#[cfg(unix)]
#[test]
fn a_command_learns_of_the_start_the_warnings_and_the_verdict() {
    let demo = away("v2beta1");
    let file = demo.home.join("notified.jsonl");
    let with = |arguments: &str, notify: &str| {
        let mut command = demo.command(arguments);
        command.env("KUBECTL_EMQX_NOTIFY", notify);
        Going::start(command, None).end()
    };
    let limits = "rebalance apply --yes --watch --wait-health-check 1 --wait-takeover 3600 --conn-evict-rate 20 --abort-if-lost 200";
    let ran = with(limits, &format!("tee -a {}", file.display())).exits(8);
    assert_eq!(ran.out.lines().count(), 1, "the command's output is not ours\n{ran}");
    let text = std::fs::read_to_string(&file).expect("the events");
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let mut kinds: Vec<String> = documents.map(|it| it.expect("JSON")["type"].to_string()).collect();
    kinds.sort();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"\"created\"".into()), Some(&"\"verdict\"".into())));
    let past = "--not-after 2020-01-01T00:00:00Z";
    let pod = "emqx-core-66c88f5c8-0";
    demo.run(&format!("evacuate start {pod} --yes --conn-evict-rate 1 --wait-health-check 1")).exits(0);
    let failing = with(&format!("evacuate watch {pod} {past}"), "/no/such/program").exits(8);
    assert!(failing.err.contains("cannot be started"), "{failing}");
}
