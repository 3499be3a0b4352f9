//! Guarded upgrades of EmqxEnterprise v1beta4, whose operator deletes pods with clients: nothing is lost,
//! wherever the upgrade is interrupted; and it can be undone as long as no pod is empty.

use serde_json::{Value, json};

use crate::harness::{Cluster, Ran, until};
use crate::upgraded::are_events;

const NEXT: &str = "--version 4.4.24";

const PATH: &str = "/apis/apps.emqx.io/v1beta4/namespaces/mq/emqxenterprises/emqx-ee";

fn object(demo: &Cluster) -> Value {
    demo.api("GET", PATH, "").1
}

fn pods(demo: &Cluster) -> usize {
    let (_, list) = demo.api("GET", "/api/v1/namespaces/mq/pods", "");
    list["items"].as_array().map_or(0, Vec::len)
}

/// The user's own delay is restored, and nothing of this program remains on the object.
#[track_caller]
fn is_tidy(demo: &Cluster) {
    let object = object(demo);
    assert_eq!(object["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 5, "{object:#}");
    let notes = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    assert!(!notes.keys().any(|key| key.starts_with("cli.emqx.io/")), "{notes:?}");
    let template = object["spec"]["template"]["metadata"]["annotations"].to_string();
    assert!(!template.contains("cli.emqx.io/"), "{template}");
}

/// The stored state of the upgrade.
fn stored(demo: &Cluster) -> (Value, Value) {
    let path = "/api/v1/namespaces/mq/configmaps/kubectl-emqx-emqxenterprise-emqx-ee";
    let (code, map) = demo.api("GET", path, "");
    assert_eq!(code, 200, "{map:#}");
    let text = map["data"]["guard.json"].as_str().expect("guard.json").to_owned();
    (map, serde_json::from_str(&text).expect("JSON"))
}

/// It ended with every client and every session.
#[track_caller]
fn is_whole(ran: &Ran) {
    let last = ran.events().pop().expect("a verdict");
    assert_eq!((&last["lostClients"], &last["lostSessions"]), (&json!(0), &json!(0)), "{ran}");
    assert!(!ran.out.contains("disconnected at once"), "{ran}");
}

/// Waits until EMQX's own state, as `status` shows it, contains this text.
#[track_caller]
fn shows(demo: &Cluster, text: &str) {
    until(text, || demo.run("nodes").out.contains(text));
}

#[test]
fn guarded_every_client_and_session_is_kept_and_the_forecast_holds() {
    let demo = Cluster::demo("upgrade-v1beta4", 6);
    let plan = demo.run(&format!("upgrade plan {NEXT} -o json")).exits(0).json();
    assert_eq!((&plan["guarded"], &plan["strategy"]), (&json!(true), &json!("blueGreen")));
    let ran = demo.run(&format!("upgrade emqx-ee {NEXT} --yes -o jsonl")).exits(0).verdict("upgraded");
    let events = are_events(&ran, "upgrade/emqx-ee");
    is_whole(&ran);
    is_tidy(&demo);
    let reported = |text: &str| events.iter().find(|event| event["message"].to_string().contains(text));
    assert!(reported("all 4 old pods left the Service at one moment").is_some(), "{ran}");
    assert!(reported("emptying all 4 old pods together").is_some(), "{ran}");
    let time =
        |event: &Value| event["time"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let up = time(reported("4 new pods up").expect("they come up"));
    let took = time(events.last().expect("a verdict")).duration_since(up).as_secs_f64();
    let forecast = plan["totalSeconds"].as_f64().expect("seconds");
    // On a loaded machine times are longer: the simulated operator and the follower run in real time. The
    // exact times are tested on the virtual clock.
    assert!((0.85..1.8).contains(&(took / forecast)), "{took} s, {forecast} s were forecast\n{ran}");
    ran.reports("spec.template.spec.emqxContainer.image.version: 4.4.24  (was 4.4.19)");
}

#[test]
fn one_by_one_keeps_every_client_too() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let ran =
        demo.run(&format!("upgrade emqx-ee {NEXT} --one-by-one --yes -o jsonl")).exits(0).verdict("upgraded");
    is_whole(&ran);
    is_tidy(&demo);
    ran.never_reports("old pods together: disconnecting").reports("emptied one by one");
}

#[test]
fn without_permission_to_write_gates_it_is_reported_and_done_all_the_same() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let ran = demo.run(&format!("upgrade emqx-ee {NEXT} --yes -o jsonl --context no-gates")).exits(0);
    let ran = ran.verdict("upgraded").reports("you may not patch pods/status");
    is_whole(&ran);
    is_tidy(&demo);
}

#[test]
fn the_effects_of_an_unguarded_upgrade_are_reported_before_and_after() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let ran =
        demo.run(&format!("upgrade emqx-ee {NEXT} --unguarded --yes -o jsonl")).exits(0).verdict("upgraded");
    let ran = ran.reports("this operator deletes a pod in the second it starts to empty it");
    let last = ran.events().pop().expect("a verdict");
    assert!(last["lostSessions"].as_u64().is_some_and(|lost| lost > 0), "{ran}");
    assert!(last["message"].to_string().contains("disconnected when loaded pods were deleted"), "{ran}");
}

#[cfg(unix)]
#[test]
fn killed_at_any_step_it_continues_there() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --yes"));
    first.until("new pods are coming up");
    first.signal("KILL");
    drop(first);
    for moment in ["disconnecting clients", "taken over", "\"removing\"", "\"removing\""] {
        let mut next = demo.start("upgrade watch emqx-ee -o jsonl");
        next.until(moment);
        next.signal("KILL");
        drop(next);
    }
    // All of it may be over by now, except the restoration of the object.
    let ran = demo.run("upgrade watch emqx-ee -o jsonl").exits(0);
    is_tidy(&demo);
    if let Some(last) = ran.events().pop() {
        assert_eq!((&last["verdict"], &last["lostClients"]), (&json!("upgraded"), &json!(0)), "{ran}");
    }
    let nodes = demo.run("status -o json").json();
    assert_eq!((&nodes["totals"]["connections"], &nodes["totals"]["nodes"]), (&json!(3200), &json!(4)));
    assert_eq!(nodes["totals"]["sessions"], 3440, "no session was lost");
    demo.run("upgrade watch").exits(0).reports("no upgrade is under way");
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_old_pods_retained_and_reports_it() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --yes"));
    first.until("disconnecting clients");
    first.signal("INT");
    first
        .end()
        .exits(130)
        .reports("old pods of EmqxEnterprise mq/emqx-ee are held")
        .reports("nothing is removed until");
    // EMQX continues and comes to its end; minutes later all old pods still exist.
    shows(&demo, "prohibiting");
    let status = || demo.run("status -o json").json();
    let silence = |status: &Value| status["operator"]["silentSeconds"].as_u64().unwrap_or(0);
    until("three looks of the operator's go by", || silence(&status()) > 60);
    assert_eq!(pods(&demo), 8, "nothing was removed");
    let ran = demo.run("status").exits(0).shows("held: nothing is removed until old pods are empty");
    ran.reports("kubectl emqx upgrade watch emqx-ee");
    // A read-only follower changes nothing.
    demo.run("upgrade watch --read-only --timeout 1s").exits(5).reports("held");
    assert_eq!(pods(&demo), 8);
    let (map, state) = stored(&demo);
    assert_eq!(state["hold"], json!({"ownDelaySeconds": 5, "manner": "together"}));
    let owner = &map["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("EmqxEnterprise"), &json!(false)), "{map:#}");
    demo.run("upgrade undo --yes").fails(6).reports("go forward: kubectl emqx upgrade watch emqx-ee");
    let ran = demo.run("upgrade watch -o jsonl").exits(0).verdict("upgraded");
    is_whole(&ran);
    is_tidy(&demo);
}

#[cfg(unix)]
#[test]
fn before_anything_is_empty_there_is_a_way_back() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --conn-evict-rate 20 --yes"));
    first.until("disconnecting clients");
    first.signal("INT");
    first.end().exits(130);
    let ran = demo.run("upgrade undo emqx-ee --yes -o jsonl").exits(0).verdict("reverted");
    let ran = ran.never_reports("kubectl scale statefulset");
    is_whole(&ran);
    is_tidy(&demo);
    let nodes = demo.run("nodes -o json").json();
    let items = nodes["items"].as_array().expect("nodes");
    let clients: u64 = items.iter().filter_map(|node| node["connections"].as_u64()).sum();
    assert_eq!((items.len(), clients), (4, 3200), "{nodes:#}");
    assert!(items.iter().all(|node| node["version"] == "4.4.19"), "{nodes:#}");
    assert_eq!(object(&demo)["spec"]["template"]["spec"]["emqxContainer"]["image"]["version"], "4.4.19");
    assert_eq!(pods(&demo), 4);
}

#[test]
fn fields_of_people_are_taken_over_and_those_of_tools_are_not() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut kept = object(&demo);
    kept["spec"]["blueGreenUpdate"]["evacuationStrategy"]["connEvictRate"] = json!(100);
    demo.replace(&format!("{PATH}?fieldManager=argocd-controller"), kept);
    let flags = format!("{NEXT} --conn-evict-rate 400 --yes");
    let ran = demo.run(&format!("upgrade emqx-ee {flags}")).fails(6).reports("belongs to argocd-controller");
    ran.reports("connEvictRate").reports("--force-conflicts");
    let ran = demo.run(&format!("upgrade apply emqx-ee {flags} --force-conflicts")).exits(0);
    ran.reports("kubectl-client-side-apply wrote").reports("argocd-controller, which will write it back");
    let strategy = object(&demo)["spec"]["blueGreenUpdate"]["evacuationStrategy"].clone();
    assert_eq!(strategy["connEvictRate"], 400);
}

#[cfg(unix)]
#[test]
fn another_client_that_applies_the_old_image_again_ends_it_as_superseded_and_the_old_pods_serve_again() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --conn-evict-rate 20 --yes -o jsonl"));
    first.until("disconnecting clients");
    let mut back = object(&demo);
    back["spec"]["template"]["spec"]["emqxContainer"]["image"]["version"] = json!("4.4.19");
    demo.replace(&format!("{PATH}?fieldManager=kubectl-client-side-apply"), back);
    let ran = first.end().exits(7).verdict("superseded");
    let ran = ran.shows("changed from emqx/emqx-ee:4.4.24 to emqx/emqx-ee:4.4.19");
    ran.never_reports("image.version: 4.4.24  (was");
    let pods = demo.api("GET", "/api/v1/namespaces/mq/pods", "").1;
    for pod in pods["items"].as_array().expect("pods") {
        let conditions = pod["status"]["conditions"].as_array().expect("conditions");
        let gate = conditions.iter().find(|it| it["type"] == "apps.emqx.io/on-serving").expect("a gate");
        assert_eq!(gate["status"], "True", "{}", pod["metadata"]["name"]);
    }
    demo.run("status").exits(0).shows("held");
    // The recommended command works.
    let ran = demo.run("upgrade undo emqx-ee --yes -o jsonl").exits(0).verdict("reverted");
    is_whole(&ran);
    is_tidy(&demo);
}

#[cfg(unix)]
#[test]
fn a_third_image_of_another_client_ends_it_as_superseded_and_the_way_out_continues_to_that_image() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --conn-evict-rate 20 --yes -o jsonl"));
    first.until("disconnecting clients");
    let mut third = object(&demo);
    third["spec"]["template"]["spec"]["emqxContainer"]["image"]["version"] = json!("4.4.25");
    third["metadata"]["resourceVersion"] = Value::Null;
    let path = format!("{PATH}?fieldManager=kubectl-client-side-apply");
    assert_eq!(demo.api("PUT", &path, &third.to_string()).0, 200);
    let ran = first.end().exits(7).verdict("superseded");
    let ran = ran.shows("changed from emqx/emqx-ee:4.4.24 to emqx/emqx-ee:4.4.25");
    let way = "kubectl emqx upgrade apply emqx-ee --image emqx/emqx-ee:4.4.25 continues to that image";
    let ran = ran.shows(way);
    ran.never_reports("--image emqx/emqx-ee:4.4.24");
    let ran = demo.run("upgrade apply emqx-ee --image emqx/emqx-ee:4.4.25 --yes --watch -o jsonl");
    // Some clients were on their way at its start, so that none can be counted as lost.
    ran.exits(0).verdict("upgraded").shows("3,200 clients").never_reports("disconnected at once");
    is_tidy(&demo);
}

#[test]
fn a_new_pod_that_restarts_while_the_operator_sleeps_is_put_into_the_service_by_the_guard() {
    let demo = Cluster::demo("upgrade-v1beta4", 20);
    let mut first = demo.start(&format!("upgrade emqx-ee {NEXT} --conn-evict-rate 20 --yes -o jsonl"));
    first.until("disconnecting clients");
    let pods = demo.api("GET", "/api/v1/namespaces/mq/pods", "").1;
    let new = pods["items"].as_array().expect("pods").iter().find(|pod| {
        pod["spec"]["containers"][0]["image"].as_str().is_some_and(|image| image.ends_with("4.4.24"))
    });
    let name = new.expect("a new pod")["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(demo.api("DELETE", &format!("/api/v1/namespaces/mq/pods/{name}"), "").0, 200);
    first.end().exits(0).verdict("upgraded");
    is_tidy(&demo);
}
