//! Upgrades of EMQX v2beta1 followed to their verdicts: to their end, interrupted and continued, undone, and
//! the messages in between.

use serde_json::{Value, json};

use crate::harness::{Cluster, Ran, harmless, keys, until};

const NEXT: &str = "--image emqx/emqx-enterprise:5.8.7";

const EVENT: &str = "apiVersion kind time type name operation phase nodes movedConnections percent etaSeconds lostClients \
                     lostSessions landingRatio message verdict";

/// The events of an upgrade: each complete, the percentage never falling, and the last one with the verdict.
#[track_caller]
pub(crate) fn are_events(ran: &Ran, name: &str) -> Vec<Value> {
    let events = ran.events();
    let mut percent = 0;
    for event in &events {
        keys(event, EVENT);
        assert_eq!((&event["operation"], &event["name"]), (&json!("upgrade"), &json!(name)), "{ran}");
        let now = event["percent"].as_u64().expect("a percent");
        assert!(now >= percent, "the percent falls\n{ran}");
        percent = now;
    }
    let (last, before) = events.split_last().expect("events");
    assert_eq!((&last["type"], percent), (&json!("verdict"), 100), "{ran}");
    assert!(before.iter().all(|event| event["percent"] != 100 && event["verdict"].is_null()), "{ran}");
    events
}

fn image(demo: &Cluster) -> Value {
    demo.api("GET", "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "").1["spec"]["image"].clone()
}

/// Two nodes, where four would only take longer.
#[track_caller]
fn two() -> Cluster {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/two-cores.yaml");
    Cluster::serving(&["--file", &file.display().to_string(), "--speed", "20"])
}

/// Begins an upgrade and waits until the first old pod is being emptied.
#[track_caller]
fn begun(demo: &Cluster) {
    demo.run(&format!("upgrade apply {NEXT} --yes"))
        .exits(0)
        .reports("next: kubectl emqx upgrade watch emqx");
    until("old pods are emptied", || demo.run("status -o json").json()["phase"] == "emptying");
}

#[test]
fn an_upgrade_is_followed_to_its_end_and_the_forecast_holds() {
    let demo = Cluster::demo("upgrade-v2beta1", 20);
    let plan = demo.run(&format!("upgrade plan {NEXT} -o json")).exits(0).json();
    let ran = demo.run(&format!("upgrade emqx {NEXT} --yes -o jsonl")).exits(0).verdict("upgraded");
    let events = are_events(&ran, "upgrade/emqx");
    assert_eq!(events[0]["type"], "created");
    let last = events.last().expect("a verdict");
    assert_eq!((&last["lostClients"], &last["lostSessions"]), (&json!(0), &json!(0)), "{ran}");
    assert_eq!(last["movedConnections"], 3200);
    // Counted from the moment the new pods are ready.
    let moment = |phase: &str| {
        let event =
            events.iter().find(|event| event["phase"] == phase).unwrap_or_else(|| panic!("{phase}\n{ran}"));
        event["time"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time")
    };
    let end: jiff::Timestamp = last["time"].as_str().expect("a time").parse().expect("a time");
    let took = end.duration_since(moment("trafficMoved")).as_secs_f64();
    let forecast = plan["totalSeconds"].as_f64().expect("seconds");
    // On a loaded machine times are longer: the simulated operator and the follower run in real time. The
    // exact times are tested on the virtual clock.
    assert!((0.85..1.8).contains(&(took / forecast)), "{took} s, {forecast} s were forecast\n{ran}");
    ran.reports("the next apply of your own manifest would undo it")
        .reports("spec.image: emqx/emqx-enterprise:5.8.7  (was emqx/emqx-enterprise:5.8.6)");
    assert_eq!(image(&demo), "emqx/emqx-enterprise:5.8.7");
    // A second run has nothing to do, and nothing to follow.
    demo.run(&format!("upgrade emqx {NEXT} --yes --error-unchanged")).exits(3).reports("nothing to do");
    demo.run("upgrade watch").exits(0).reports("no upgrade is under way");
}

#[test]
fn text_output_prints_names_to_stdout_and_progress_to_stderr() {
    let demo = Cluster::demo("upgrade-v2beta1", 20);
    let ran = demo.run(&format!("upgrade emqx {NEXT} --yes --reason evening")).exits(0);
    assert_eq!(ran.out, "emqx.apps.emqx.io/emqx\n", "{ran}");
    harmless(&ran.err);
    ran.reports("all 4 old pods left the Service at one moment")
        .reports("emptying old pod 2 of 4")
        .reports("upgraded: 4 nodes of emqx/emqx-enterprise:5.8.7 run and serve; 3,200 clients, none missing, no session lost");
    // Not on the object: operators copy its annotations into pod templates.
    let object = demo.api("GET", "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "").1;
    assert_eq!(object["metadata"]["annotations"]["cli.emqx.io/reason"], Value::Null);
    let map = demo.api("GET", "/api/v1/namespaces/mq/configmaps/kubectl-emqx-emqx-emqx", "").1;
    let state: Value = map["data"]["guard.json"].as_str().expect("guard.json").parse().expect("JSON");
    assert_eq!(state["reason"], "evening");
}

#[test]
fn one_that_is_under_way_is_shown_and_a_second_is_refused() {
    let demo = Cluster::demo("upgrade-v2beta1", 20);
    begun(&demo);
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!((&status["operation"], &status["verdict"]), (&json!("upgrade"), &json!("running")));
    assert!(status["etaSeconds"].as_u64().is_some_and(|eta| eta > 100), "{status:#}");
    demo.run("status")
        .exits(0)
        .shows("upgrade from emqx/emqx-enterprise:5.8.6")
        .reports("kubectl emqx upgrade watch emqx");
    for next in [NEXT, "--image emqx/emqx-enterprise:5.8.9"] {
        demo.run(&format!("upgrade emqx {next} --yes")).fails(6).reports("is under way");
    }
    demo.run("rebalance apply --yes").fails(6);
    let mut watch = demo.start("watch emqx -o jsonl --timeout 60s");
    watch.until("\"operation\":\"upgrade\"");
}

#[cfg(unix)]
#[test]
fn an_operation_that_is_left_continues_and_is_followed_again() {
    let demo = two();
    let mut first = demo.start(&format!("upgrade emqx {NEXT} --yes"));
    first.until("emptying old pod 1 of 2");
    first.signal("INT");
    first
        .end()
        .exits(130)
        .reports("is still running in the cluster")
        .reports("kubectl emqx upgrade watch emqx");
    let mut second = demo.start("upgrade watch emqx -o jsonl");
    second.until("\"phase\":\"emptying\"");
    second.signal("KILL");
    drop(second);
    demo.run("upgrade watch --timeout 100ms")
        .exits(5)
        .reports("time ran out")
        .reports("kubectl emqx upgrade undo emqx");
    let ran = demo.run("upgrade watch emqx -o jsonl").exits(0).verdict("upgraded");
    let last = are_events(&ran, "upgrade/emqx").pop().expect("a verdict");
    assert_eq!(last["lostClients"], 0, "what was there at the start is written down\n{ran}");
    ran.reports("spec.image: emqx/emqx-enterprise:5.8.7");
}

#[test]
fn half_way_back_leads_through_a_third_set() {
    let demo = two();
    begun(&demo);
    let ran = demo.run("upgrade undo emqx --yes -o jsonl").exits(0).verdict("reverted");
    let ran = ran.reports("a third set is made").reports("continuing would take");
    let events = are_events(&ran, "upgrade/emqx");
    assert_eq!(events.last().expect("a verdict")["lostClients"], 0, "{ran}");
    assert!(events.iter().any(|event| event["message"].to_string().contains("3 sets run at once")), "{ran}");
    assert_eq!(image(&demo), "emqx/emqx-enterprise:5.8.6");
}

#[test]
fn an_upgrade_that_another_client_reverts_exits_7() {
    let demo = two();
    let mut watch = demo.start(&format!("upgrade emqx {NEXT} --yes -o jsonl"));
    watch.until("emptying old pod 1 of 2");
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx";
    let mut object = demo.api("GET", path, "").1;
    object["spec"]["image"] = json!("emqx/emqx-enterprise:5.8.6");
    demo.replace(path, object);
    watch.end().exits(7).verdict("reverted");
}

#[test]
fn when_it_is_over_undo_is_an_upgrade_to_the_image_before() {
    let demo = two();
    demo.run("upgrade undo").fails(6).reports("--to IMAGE");
    demo.run(&format!("upgrade emqx {NEXT} --yes")).exits(0);
    // The operator reports the end of the upgrade a moment later than the program.
    let older = "upgrade undo --skip-check downgrade";
    until("the operator's status", || demo.run(&format!("{older} --dry-run=client")).code == Some(0));
    demo.run("upgrade undo --yes").fails(6).reports("older than");
    let ran = demo.run(&format!("{older} --dry-run=client")).exits(0);
    ran.reports("from emqx/emqx-enterprise:5.8.7 to emqx/emqx-enterprise:5.8.6").reports("go: 2 old pods");
    demo.run(&format!("{older} --yes")).exits(0).reports("upgraded: 2 nodes of emqx/emqx-enterprise:5.8.6");
    demo.run("upgrade undo --to emqx/emqx-enterprise:5.8.6 --yes").exits(0).reports("nothing to do");
}

#[test]
fn a_missing_right_refuses_before_anything_is_asked() {
    let demo = Cluster::demo("upgrade-v2beta1", 20);
    demo.run(&format!("upgrade plan {NEXT} --context viewer")).exits(6).shows("you may not patch emqxes");
    demo.run(&format!("upgrade emqx {NEXT} --yes --context viewer")).fails(6).reports("no-permission");
    assert_eq!(image(&demo), "emqx/emqx-enterprise:5.8.6");
}

#[test]
fn what_was_recorded_replays_to_the_same_verdict() {
    let demo = two();
    let record = demo.home.join("run.jsonl");
    let shown = record.display();
    let ran = demo.run(&format!("upgrade emqx {NEXT} --yes -o jsonl --record {shown}")).exits(0);
    let again = crate::harness::alone(&format!("replay {shown} -o jsonl")).exits(0).verdict("upgraded");
    let last = |ran: &Ran| ran.events().pop().expect("a verdict")["movedConnections"].clone();
    assert_eq!(last(&again), last(&ran));
}

#[test]
fn on_v2_replicants_go_first_and_cores_without_sessions_at_once() {
    let demo = Cluster::demo("upgrade-v2", 20);
    let ran =
        demo.run("upgrade emqx --image emqx/emqx-enterprise:5.10.2 --wait-health-check 10 --yes -o jsonl");
    let ran = ran.exits(0).verdict("upgraded");
    let events = are_events(&ran, "upgrade/emqx");
    assert_eq!(events.last().expect("a verdict")["lostSessions"], 0, "{ran}");
    let place = |text: &str| events.iter().position(|event| event["message"].to_string().contains(text));
    let (replicant, core) =
        (place("removing old pod 4 of 6, emqx-replicant"), place("removing old pod 5 of 6, emqx-core"));
    assert!(replicant.is_some() && replicant < core, "{ran}");
    let object = demo.api("GET", "/apis/apps.emqx.io/v2/namespaces/mq/emqxes/emqx", "").1;
    assert_eq!(object["spec"]["updateStrategy"]["evacuationStrategy"]["waitHealthCheck"], 10);
}

#[test]
fn on_v3beta1_pods_are_replaced_in_place_and_back_again() {
    let demo = Cluster::demo("upgrade-v3beta1", 20);
    let next = "--image emqx/emqx-enterprise:5.10.2";
    demo.run(&format!("upgrade emqx {next} --blue-green --yes")).fails(6).reports("--rolling");
    let mut going = demo.start(&format!("upgrade emqx {next} --rolling --yes -o jsonl"));
    going.until("removing old pod 2 of 7");
    drop(going);
    let ran = demo.run("upgrade undo emqx --yes -o jsonl").exits(0);
    let last = ran.events().pop().expect("a verdict");
    assert_eq!((&last["verdict"], &last["lostClients"]), (&json!("reverted"), &json!(0)), "{ran}");
    let (_, list) = demo.api("GET", "/api/v1/namespaces/mq/pods", "");
    for pod in list["items"].as_array().expect("pods") {
        assert_eq!(pod["spec"]["containers"][0]["image"], "emqx/emqx-enterprise:5.10.1");
    }
}

#[test]
fn one_that_does_not_go_on_is_stalled_with_its_cause() {
    let demo = Cluster::demo("upgrade-stuck", 20);
    let ran = demo.run(&format!("upgrade emqx {NEXT} --yes -o jsonl")).exits(4).verdict("stalled");
    let reason = ran.events().pop().expect("a verdict")["message"].to_string();
    assert!(reason.contains("finds no node to run on"), "{reason}");
}
