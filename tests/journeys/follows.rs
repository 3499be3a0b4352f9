//! Following to a verdict: `apply --watch`, `rebalance watch`, their ends, `--record` and `replay`.

use std::sync::atomic::Ordering;

use emqx_sim::Scenario;
use emqx_sim::scenario::Answer;
use serde_json::{Value, json};

use crate::between::{Rule, proxy};
use crate::harness::{Cluster, DOCUMENTED, Ran, SLOW, alone, harmless, keys, until};

const EVENT: &str = "apiVersion kind time type name operation phase nodes movedConnections percent etaSeconds \
                     lostClients lostSessions landingRatio message verdict";

/// Every event of a stream matches the contract, and the events are in the right order.
#[track_caller]
fn are_events(ran: &Ran) -> Vec<Value> {
    let events = ran.events();
    let mut percent = 0;
    for (index, event) in events.iter().enumerate() {
        keys(event, EVENT);
        assert_eq!((&event["apiVersion"], &event["kind"]), (&json!("cli.emqx.io/v1alpha1"), &json!("Event")));
        assert_eq!(event["operation"], "rebalance");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
        for node in event["nodes"].as_array().expect("nodes") {
            keys(node, "node connections sessions part state");
        }
        let last = index + 1 == events.len();
        assert_eq!(event["type"] == "verdict", last, "the verdict is the last event\n{ran}");
        assert_eq!(event["verdict"].is_string(), last);
        if let Some(now) = event["percent"].as_u64() {
            assert!(now >= percent, "percent falls\n{ran}");
            assert!(last || now < 100, "100 only with a verdict\n{ran}");
            percent = now;
        }
    }
    events
}

/// Follows with `--record`; the recording is then replayed to the same end, with the same figures.
#[track_caller]
fn recorded(demo: &Cluster, flags: &str, exit: i32) -> Ran {
    let record = demo.home.join("recorded.jsonl");
    let shown = record.display();
    let ran =
        demo.run(&format!("rebalance apply --yes --watch -o jsonl --record {shown} {flags}")).exits(exit);
    let again = alone(&format!("replay {shown} -o jsonl")).exits(0);
    let end = |ran: &Ran| {
        let mut last = ran.events().pop().expect("a verdict");
        // The duration is the only figure that may differ, by a second.
        let reason = last["message"].as_str().expect("a reason").to_owned();
        let known: Vec<&str> = reason.split(", ").filter(|part| !part.ends_with(" s")).collect();
        last["message"] = known.join(", ").into();
        last["time"].take();
        last
    };
    assert_eq!(end(&again), end(&ran), "live and again\n{ran}\n{again}");
    ran
}

/// A Rebalance as another client would create it.
fn foreign(demo: &Cluster, name: &str, spec: &Value) -> u16 {
    let object = json!({
        "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": {"name": name}, "spec": spec,
    });
    demo.api("POST", "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances", &object.to_string()).0
}

fn spec(kind: &str, instance: &str, rate: u64) -> Value {
    json!({"instanceKind": kind, "instanceName": instance, "rebalanceStrategy": {
        "connEvictRate": rate, "sessEvictRate": 10, "waitHealthCheck": 10, "waitTakeover": 10,
        "absConnThreshold": 100, "absSessThreshold": 100, "relConnThreshold": "1.1", "relSessThreshold": "1.1"}})
}

#[test]
fn balanced_although_the_operator_reports_failed() {
    let demo = Cluster::demo("documented", 20);
    let ran = recorded(&demo, DOCUMENTED, 0);
    let events = are_events(&ran);
    assert_eq!(events[0]["type"], "created");
    let ran = ran.verdict("balanced");
    let last = events.last().expect("a verdict");
    assert_eq!(last["percent"], 100);
    assert_eq!(last["movedConnections"], 2340);
    assert_eq!(last["lostClients"], 0);
    let counts: Vec<&Value> =
        last["nodes"].as_array().expect("nodes").iter().map(|it| &it["connections"]).collect();
    assert_eq!(counts, [2553, 2553, 2554, 2340]);
    assert!(ran.err.contains("operator-will-report-failed"), "reported before\n{ran}");
    assert!(events.iter().any(|event| event["type"] == "notice"), "and when it happens\n{ran}");
    let name = last["name"].as_str().expect("a name").to_owned();
    assert_eq!(demo.rebalance(&name)["status"]["phase"], "Failed", "the operator was wrong");
    // Afterwards the rebalance is past: judged by the plan that `apply` recorded.
    let list = demo.run("rebalance list -o json").exits(0).json();
    assert_eq!(list["items"][0]["verdict"], "balanced");
    assert_eq!(list["items"][0]["phase"], "Failed");
    demo.run(&format!("rebalance watch {name} -o jsonl")).exits(0).verdict("balanced");
    demo.run(&format!("rebalance watch {name}")).exits(0).shows("balanced");
    // There is nothing to do, and nothing is created.
    demo.run(&format!("rebalance apply --yes {DOCUMENTED}")).exits(0).reports("nothing to do");
    assert_eq!(demo.rebalances().len(), 1);
}

/// `apply --watch` is followed to its verdict although lists of Rebalances get this answer after the object
/// was created.
#[track_caller]
fn followed_although(status: u16, body: &str, times: usize) {
    let demo = Cluster::faulty("documented", 20.0);
    let target = demo.url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    let rule = Rule {
        method: "GET".to_owned(),
        times,
        after_post: true,
        // The API server itself answers watches, unless reading is forbidden.
        ..Rule::on(if status == 403 { "/rebalances" } else { "/rebalances?limit=" }, status, body)
    };
    let used = rule.used.clone();
    let address = proxy(&target, vec![rule]);
    let strategy = "--conn-evict-rate 100 --abs-conn-threshold 100 --wait-health-check 5 --wait-takeover 5";
    let ran = demo.run(&format!(
        "rebalance apply --yes --watch -o jsonl --timeout 60s {strategy} -n mq --server http://{address}/as/admin"
    ));
    let ran = ran.exits(0).verdict("balanced");
    assert!(used.load(Ordering::SeqCst) > 0, "no list was made after the object was created");
    let events = are_events(&ran);
    assert_eq!(events[0]["type"], "created");
    let name = &events[0]["name"];
    assert!(events.iter().all(|event| event["name"] == *name), "one operation, one name\n{ran}");
    assert!(events.iter().any(|event| event["type"] == "progress"), "{ran}");
}

#[test]
fn apply_follows_to_the_verdict_although_the_list_after_create_is_refused_with_429() {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests",
        "message": "too many requests", "code": 429});
    followed_although(429, &body.to_string(), 3);
}

#[test]
fn apply_follows_to_the_verdict_although_rebalances_may_not_be_listed_after_create() {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
        "message": "rebalances.apps.emqx.io is forbidden", "code": 403});
    followed_although(403, &body.to_string(), usize::MAX);
}

#[test]
fn apply_follows_to_the_verdict_although_the_list_after_create_is_from_before() {
    let body = json!({"kind": "RebalanceList", "apiVersion": "apps.emqx.io/v2beta1", "items": [],
        "metadata": {"resourceVersion": "1"}});
    followed_although(200, &body.to_string(), 3);
}

#[test]
fn text_output_prints_names_to_stdout_and_progress_to_stderr() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    let ran = demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED}")).exits(0);
    assert_eq!(ran.out.lines().count(), 1, "{ran}");
    assert!(ran.out.starts_with("rebalance.apps.emqx.io/emqx-ee-"), "{ran}");
    harmless(&ran.err);
    let ran = ran.reports("balanced").reports("2,340 clients moved").reports("none missing");
    let name = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a resource");
    until("the operator notices", || demo.rebalance(name)["status"]["phase"] == "Completed");
}

#[test]
fn only_replicants_take_part_where_there_are_any() {
    let demo = Cluster::demo("documented-v2", 20);
    let ran = demo
        .run(&format!("rebalance apply --yes --watch -o jsonl {DOCUMENTED}"))
        .exits(0)
        .verdict("balanced");
    let events = are_events(&ran);
    let nodes = events.last().expect("a verdict")["nodes"].as_array().expect("nodes").clone();
    assert_eq!(nodes.len(), 4, "the two cores are left alone\n{ran}");
    let name = events[0]["name"].as_str().expect("a name");
    let object = demo.rebalance(name);
    assert_eq!(object["status"]["phase"], "Failed");
    assert_eq!(object["spec"].get("instanceKind"), None, "2.3 has no such field");
}

#[test]
fn where_the_kind_is_not_served_emqx_itself_is_asked() {
    let demo = Cluster::demo("documented-v3beta1", 40);
    let ran = demo.run(&format!("rebalance plan {DOCUMENTED}")).exits(0);
    assert!(
        ran.out.contains("does not serve") || ran.out.contains("no Rebalance"),
        "it gives the reason\n{ran}"
    );
    demo.run("rebalance generate").fails(1);
    demo.run(&format!("rebalance apply --yes --backend rebalance {DOCUMENTED}")).fails(1);
    demo.run(&format!("rebalance plan --backend rebalance {DOCUMENTED}")).fails(1);
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
    let ran = demo
        .run(&format!("rebalance apply --yes --watch -o jsonl {DOCUMENTED}"))
        .exits(0)
        .verdict("balanced");
    let events = are_events(&ran);
    assert!(events[0]["name"].as_str().is_some_and(|name| name.starts_with("coordinator/emqx@")), "{ran}");
}

#[test]
fn a_lost_coordinator_is_a_failure_although_the_operator_reports_completed() {
    let demo = Cluster::demo("coordinator-crash", 40);
    let ran = recorded(&demo, DOCUMENTED, 4).verdict("coordinatorLost");
    let name = are_events(&ran)[0]["name"].as_str().expect("a name").to_owned();
    until("the operator notices", || demo.rebalance(&name)["status"]["phase"] == "Completed");
    demo.run(&format!("rebalance watch {name} -o jsonl")).exits(4).verdict("coordinatorLost");
}

#[test]
fn a_sticky_load_balancer_ends_uneven() {
    let demo = Cluster::demo("sticky-balancer", 40);
    let flags = "--conn-evict-rate 100 --wait-health-check 10 --wait-takeover 10";
    let ran = recorded(&demo, flags, 7).verdict("uneven");
    let events = are_events(&ran);
    assert!(events.iter().any(|it| it["landingRatio"].as_f64().is_some_and(|ratio| ratio < 0.1)), "{ran}");
}

#[test]
fn clients_that_stay_away_are_missing() {
    let text = "name: away\napi: v1beta4\nreconnectDelay: 100000\nnodes:\n- connections: 3333\n- connections: 3333\n\
                - connections: 3334\n- connections: 0\n";
    let demo = Cluster::inside(Scenario::from_yaml(text).expect("a scenario"), 40.0);
    let flags = "--conn-evict-rate 100 --wait-health-check 5 --wait-takeover 5";
    are_events(&recorded(&demo, flags, 7).verdict("clientsMissing"));
}

#[test]
fn a_verdict_is_recorded_on_the_object_and_shown_by_later_commands() {
    let demo = Cluster::demo("documented", 60);
    let ran = demo.run(&format!("rebalance apply --yes --watch -o jsonl {DOCUMENTED}")).exits(0);
    let name = are_events(&ran.verdict("balanced"))[0]["name"].as_str().expect("a name").to_owned();
    let annotation = || demo.rebalance(&name)["metadata"]["annotations"]["cli.emqx.io/verdict"].clone();
    let recorded: Value = serde_json::from_str(annotation().as_str().expect("it is recorded")).expect("JSON");
    keys(&recorded, "uid verdict message started ended connections sessions by");
    assert_eq!((&recorded["verdict"], &recorded["by"]), (&json!("balanced"), &json!("kubectl-emqx")));
    assert_eq!(recorded["connections"], json!([10_000, 10_000]), "{recorded:#}");
    let path = format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}");
    let annotate = |text: &str| {
        let patch = json!({"metadata": {"annotations": {"cli.emqx.io/verdict": text}}});
        assert_eq!(demo.api("PATCH", &path, &patch.to_string()).0, 200);
    };
    let listed = || {
        let list = demo.run("rebalance list -o json").exits(0).json();
        (list["items"][0]["verdict"].clone(), list["items"][0]["message"].clone())
    };
    // A recorded verdict is used, and not computed again.
    let mut other = recorded.clone();
    other["verdict"] = json!("uneven");
    other["message"] = json!("seen by another\u{1b}[31m");
    annotate(&other.to_string());
    let (verdict, message) = listed();
    assert_eq!(verdict, "uneven");
    assert!(message.as_str().is_some_and(|message| message.starts_with("seen by another")), "{message}");
    harmless(&demo.run("rebalance list").exits(0).out);
    demo.run(&format!("rebalance watch {name} -o jsonl")).exits(7).verdict("uneven");
    assert_eq!(annotation().as_str(), Some(other.to_string().as_str()), "a recorded verdict stays");
    // A verdict that no client can have recorded for this object is ignored.
    for (key, value) in [("uid", "another"), ("verdict", "running"), ("ended", "1999-01-01T00:00:00Z")] {
        let mut forged = other.clone();
        forged[key] = json!(value);
        annotate(&forged.to_string());
        let (_, message) = listed();
        assert!(!message.to_string().contains("seen by another"), "{key}: {message}");
    }
}

#[test]
fn without_the_permission_to_patch_a_verdict_is_not_recorded_and_a_notice_names_the_permission() {
    let demo = Cluster::demo("documented", 60);
    let follow = format!("rebalance apply {DOCUMENTED} --yes --watch -o jsonl --context no-patch");
    let ran = demo.run(&follow).exits(0).verdict("balanced");
    let name = demo.rebalances().remove(0).0;
    ran.reports(&format!("the verdict is not recorded on {name}"))
        .reports("verb patch on rebalances.apps.emqx.io");
    assert_eq!(demo.rebalance(&name)["metadata"]["annotations"]["cli.emqx.io/verdict"], Value::Null);
}

#[test]
fn a_delete_by_another_client_is_a_stop_and_exits_7() {
    let demo = Cluster::demo("documented-v1beta4", 10);
    let name = demo.running(SLOW);
    until("the states are stored", || demo.rebalance(&name)["status"]["rebalanceStates"].is_array());
    let mut watch = demo.start(&format!("rebalance watch {name} -o jsonl"));
    watch.until("\"evictConnections\"");
    let path = format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}");
    assert!(demo.api("DELETE", &path, "").0 < 300);
    let ran = watch.end().exits(7).verdict("stopped");
    assert!(!ran.out.contains("by you"), "it was not us\n{ran}");
}

#[test]
fn one_that_had_nothing_to_do_is_no_failure() {
    let demo = Cluster::faulty("balanced", 20.0);
    demo.faults().set_operator_alive(false);
    assert_eq!(foreign(&demo, "needless", &spec("EMQX", "emqx", 10)), 201);
    let mut watch = demo.start("rebalance watch needless -o jsonl");
    watch.until("waiting for the operator");
    demo.faults().set_operator_alive(true);
    watch.end().exits(0).verdict("nothingToDo");
    assert_eq!(demo.rebalance("needless")["status"]["phase"], "Failed");
    let listed = || demo.run("rebalance list -o json").exits(0).json()["items"][0]["verdict"].clone();
    assert_eq!(listed(), "nothingToDo");
    demo.run("rebalance watch needless -o jsonl").exits(0).verdict("nothingToDo");
    // Without a recorded verdict, on the object or in the state folder, only the operator's phase remains,
    // without a reason and without counts of that time.
    std::fs::remove_dir_all(demo.home.join(".local/state/kubectl-emqx")).expect("the watch recorded it");
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/needless";
    let forgotten = json!({"metadata": {"annotations": {"cli.emqx.io/verdict": null}}});
    assert_eq!(demo.api("PATCH", path, &forgotten.to_string()).0, 200);
    assert_eq!(listed(), "unknown");
    demo.run("rebalance watch needless -o jsonl").exits(1).verdict("unknown");
    let ran = demo.run("rebalance apply --yes").exits(0).reports("nothing to do");
    assert_eq!(ran.out, "");
    demo.run("rebalance apply --yes --error-unchanged").exits(3);
    demo.run("rebalance apply --yes --watch --error-unchanged").exits(3);
    assert_eq!(demo.rebalances().len(), 1, "only the foreign one");
}

#[test]
fn one_that_emqx_refused_is_failed_with_the_reason() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    demo.running(SLOW);
    assert_eq!(foreign(&demo, "second", &spec("EmqxEnterprise", "emqx-ee", 10)), 201);
    until("the operator tried", || demo.rebalance("second")["status"]["phase"] == "Failed");
    let ran = demo.run("rebalance watch second -o jsonl").exits(4).verdict("failed");
    let reason = ran.events().last().expect("a verdict")["message"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("nodes") || reason.contains("already"), "EMQX's reason\n{reason}");
}

#[test]
fn a_lost_kind_is_reported_with_its_reason() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    assert_eq!(foreign(&demo, "lost", &spec("EMQX", "emqx-ee", 10)), 201);
    until("the operator tried", || demo.rebalance("lost")["status"]["phase"] == "Failed");
    let ran = demo.run("rebalance watch lost");
    assert!([Some(1), Some(4)].contains(&ran.code), "{ran}");
    assert!(ran.out.contains("not found") || ran.err.contains("not found"), "{ran}");
    let list = demo.run("rebalance list -o json").exits(0).json();
    assert_eq!(
        (&list["items"][0]["name"], &list["items"][0]["verdict"]),
        (&json!("lost"), &json!("failed")),
        "{list:#}"
    );
}

#[test]
fn an_emqx_that_falls_silent_leaves_the_verdict_unknown() {
    let demo = Cluster::faulty("documented", 60.0);
    let name = demo.running(SLOW);
    let mut watch = demo.start(&format!("rebalance watch {name} -o jsonl"));
    watch.until("\"type\":\"progress\"");
    demo.faults().emqx_answers(Some(Answer::Error));
    let ran = watch.end().exits(1).verdict("unknown");
    assert!(ran.events().last().expect("a verdict")["message"].to_string().contains("EMQX"), "{ran}");
}

#[test]
fn watch_resolves_every_form_of_a_name() {
    let demo = Cluster::demo("documented", 40);
    demo.run("rebalance watch").exits(0).reports("nothing runs");
    demo.run("rebalance watch emqx").exits(0).reports("nothing runs");
    let name = demo.running(SLOW);
    let status = demo.run("status -o json").json();
    let node = status["nodes"][0]["node"].as_str().expect("a node").to_owned();
    let ways = [
        String::new(),
        name.clone(),
        "emqx".into(),
        "emqx/emqx".into(),
        format!("coordinator/{node}"),
        format!("rebalance/{name}"),
        format!("rebalance.apps.emqx.io/{name}"),
    ];
    for way in ways {
        let mut watch = demo.start(&format!("rebalance watch {way} -o jsonl --timeout 60s"));
        watch.until(&format!("\"name\":\"{name}\""));
    }
    demo.run("rebalance watch no-such").fails(1).reports("no-such");
    demo.run("rebalance watch coordinator/emqx@nowhere").fails(1);
    demo.run("rebalance watch -o json").fails(2).reports("jsonl");
}

#[test]
fn a_follow_that_times_out_names_how_to_continue() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run(&format!("rebalance apply --yes --watch --timeout 1s {SLOW}")).exits(5);
    let name = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("it was made").to_owned();
    let ran = ran.reports(&format!("kubectl emqx rebalance watch {name}"));
    ran.reports(&format!("kubectl emqx rebalance stop {name}"));
    demo.run(&format!("rebalance watch {name} --timeout 500ms")).exits(5);
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance", "it continues");
    demo.run("rebalance watch --timeout 0").fails(2);
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_it_running_and_reports_it() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    for output in ["text", "jsonl"] {
        let mut watch = demo.start(&format!("rebalance watch -o {output}"));
        watch.until("evict");
        watch.signal("INT");
        let ran = watch
            .end()
            .exits(130)
            .reports("is still running in the cluster")
            .reports(&format!("kubectl emqx rebalance stop {name}"));
        harmless(&ran.out);
    }
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance", "it continues");
}

#[test]
fn what_was_recorded_replays_to_the_same_verdict_and_holds_no_secret() {
    let demo = Cluster::faulty("documented", 20.0);
    let record = demo.home.join("run.jsonl");
    let shown = record.display();
    let ran =
        demo.run(&format!("rebalance apply --yes --watch -o jsonl --record {shown} {DOCUMENTED}")).exits(0);
    let ran = ran.verdict("balanced");
    let text = std::fs::read_to_string(&record).expect("a recording");
    let key = demo.parts().emqx.key().clone();
    for secret in [&key.key, &key.secret, "Bearer", "authorization", "bootstrap_api_keys"] {
        assert!(!text.contains(secret), "the recording holds {secret}");
    }
    let again = alone(&format!("replay {shown} -o jsonl")).exits(0);
    let last = |ran: &Ran| ran.events().last().expect("a verdict").clone();
    assert_eq!(last(&again)["verdict"], "balanced", "{again}");
    assert_eq!(last(&again)["name"], last(&ran)["name"]);
    assert_eq!(last(&again)["movedConnections"], last(&ran)["movedConnections"]);
    // An existing file is not overwritten.
    demo.run(&format!("rebalance watch --record {shown}")).fails(1);
    assert_eq!(std::fs::read_to_string(&record).expect("it is there"), text);
}

#[test]
fn a_recording_of_a_bad_end_replays_to_the_same_verdict_and_figures() {
    let gentle = "--conn-evict-rate 100 --wait-health-check 10 --wait-takeover 10";
    for (scenario, strategy, verdict, exit) in
        [("coordinator-crash", DOCUMENTED, "coordinatorLost", 4), ("sticky-balancer", gentle, "uneven", 7)]
    {
        let demo = Cluster::demo(scenario, 40);
        let record = demo.home.join("run.jsonl");
        let shown = record.display();
        let ran = demo
            .run(&format!("rebalance apply --yes --watch -o jsonl --record {shown} {strategy}"))
            .exits(exit)
            .verdict(verdict);
        let again = alone(&format!("replay {shown} -o jsonl"));
        let last = |ran: &Ran| ran.events().last().expect("a verdict").clone();
        let (live, replayed) = (last(&ran), last(&again));
        for key in ["name", "verdict", "movedConnections", "lostClients", "lostSessions", "percent", "nodes"]
        {
            assert_eq!(replayed[key], live[key], "{scenario}: {key}\n{live}\n{replayed}");
        }
    }
}

#[test]
fn a_recording_of_a_rebalance_without_an_object_has_its_thresholds() {
    let demo = Cluster::demo("documented-v3beta1", 40);
    let record = demo.home.join("run.jsonl");
    let coarse = "--backend emqx --conn-evict-rate 1500 --abs-conn-threshold 100 --wait-health-check 1 --wait-takeover 1";
    let ran = demo
        .run(&format!("rebalance apply --yes --watch -o jsonl --record {} {coarse}", record.display()))
        .exits(7)
        .verdict("overshot");
    let again = alone(&format!("replay {} -o jsonl", record.display())).verdict("overshot");
    let last = |ran: &Ran| ran.events().last().expect("a verdict").clone();
    assert_eq!(last(&again)["movedConnections"], last(&ran)["movedConnections"], "{again}");
    // A recording of an earlier version has no request, and EMQX reports no thresholds.
    let text = std::fs::read_to_string(&record).expect("a recording");
    let old: Vec<&str> = text.lines().filter(|line| !line.contains("\"from\":\"request\"")).collect();
    assert_eq!(old.len() + 1, text.lines().count(), "{text}");
    let earlier = demo.home.join("earlier.jsonl");
    std::fs::write(&earlier, old.join("\n")).expect("a file");
    alone(&format!("replay {} -o jsonl", earlier.display())).verdict("unknown");
}
