//! Upgrades of the real operator without a recording, composed of the existing ones.

use kubectl_emqx::model::{Operation, Verdict};
use serde_json::{Value, json};

use super::changed_recording::{ChangedRecording, STATUS, answers, reason, second, verdicts};

#[test]
fn without_rates_loaded_pods_are_deleted_all_the_same() {
    let mut changed = ChangedRecording::read("v1beta4-bluegreen-operator-2.2");
    for line in changed.0.iter_mut().filter(|line| line["object"]["kind"] == "EmqxEnterprise") {
        let strategy = &mut line["object"]["spec"]["blueGreenUpdate"]["evacuationStrategy"];
        *strategy = json!({"waitTakeover": 5});
    }
    let events = changed.replayed();
    assert_eq!(verdicts(&events), [("upgrade/emqx-ee".to_owned(), Verdict::Upgraded)]);
    assert!(reason(&events, "upgrade/emqx-ee").contains("4,064 clients disconnected"));
}

/// The verdict of the upgrade with the lost clients and sessions, and the number of disconnected clients in
/// its reason.
fn ended(text: &str) -> (Option<Verdict>, Option<u64>, Option<u64>, Option<String>) {
    let events = ChangedRecording::parse(text).replayed();
    let last = events.iter().rfind(|it| it.operation == Operation::Upgrade && it.verdict.is_some());
    let last = last.expect("a verdict");
    let cut = last.reason.as_deref().and_then(|reason| reason.split_once(" clients disconnected"));
    let cut = cut.and_then(|(before, _)| before.rsplit(' ').next()).map(str::to_owned);
    (last.verdict, last.lost_clients, last.lost_sessions, cut)
}

#[test]
fn a_new_template_with_the_same_image_is_followed_with_the_start_counts_and_losses_of_a_new_image() {
    for (name, new, old) in [
        ("v1beta4-bluegreen-operator-2.2", "4.4.24", "4.4.19"),
        ("v2beta1-bluegreen-operator-2.2", "5.8.7", "5.8.6"),
        ("v2-bluegreen-operator-2.3", "5.10.2", "5.10.1"),
    ] {
        let text = ChangedRecording::text(name);
        let same = text.replace(new, old);
        assert!(same != text, "{name} has other images");
        assert!(ended(&text).1.is_some(), "{name}: the clients at the start are known");
        assert_eq!(ended(&same), ended(&text), "{name}");
    }
}

#[test]
fn a_manual_evacuation_on_an_old_pod_is_no_stall() {
    // Another client left the first old replicant in `prohibiting`; the operator removes that pod first.
    let node = "emqx@10.244.0.11";
    let mut changed = ChangedRecording::read("v2-bluegreen-operator-2.3");
    changed.0.retain(|line| line["object"]["kind"] != "Rebalance");
    let gone = changed.0.iter().position(|line| second(line) > 40.0).expect("the first is removed");
    for (place, line) in changed.0.iter_mut().enumerate().filter(|(_, line)| answers(line, STATUS)) {
        let body = &mut line["body"];
        body["rebalances"] = json!([]);
        if place < gone {
            body["evacuations"] = json!([{"node": node, "state": "prohibiting", "session_recipients": [],
                "connection_eviction_rate": 100, "session_eviction_rate": 100, "connection_goal": 0, "session_goal": 0,
                "stats": {"initial_connected": 800, "current_connected": 0, "initial_sessions": 800, "current_sessions": 0}}]);
        }
    }
    let events = changed.replayed();
    let upgrade: Vec<Verdict> = events
        .iter()
        .filter(|event| event.operation == Operation::Upgrade)
        .filter_map(|event| event.verdict)
        .collect();
    assert_eq!(upgrade, [Verdict::Upgraded], "{:?}", verdicts(&events));
    let by_hand = format!("evacuation/{node}");
    let replayed = verdicts(&events).into_iter().filter(|(name, _)| *name == by_hand).count();
    assert_eq!(replayed, 1, "{:?}", verdicts(&events));
}

#[test]
fn a_third_image_whose_set_is_not_seen_is_superseded_and_not_upgraded() {
    // The image is changed again when some old pods are removed, and the operator has not processed it.
    for (name, at, kind) in [
        ("v1beta4-bluegreen-operator-2.2", 70.0, "EmqxEnterprise"),
        ("v2-bluegreen-operator-2.3", 60.0, "EMQX"),
    ] {
        let mut changed = ChangedRecording::read(name);
        for line in changed.0.iter_mut().filter(|line| second(line) > at && line["object"]["kind"] == kind) {
            let text =
                line.to_string().replace("4.4.24", "4.4.25").replace("emqx/emqx:5.10.2", "emqx/emqx:5.10.3");
            *line = serde_json::from_str(&text).expect("JSON");
        }
        let events = changed.replayed();
        let upgrade: Vec<Verdict> = events
            .iter()
            .filter(|event| event.operation == Operation::Upgrade)
            .filter_map(|event| event.verdict)
            .collect();
        // Another upgrade follows, which did not end.
        let open = |verdict: &Verdict| {
            matches!(verdict, Verdict::Running | Verdict::StillRunning | Verdict::Stalled)
        };
        let (first, rest) = upgrade.split_first().expect("a verdict");
        assert!(*first == Verdict::Superseded && rest.iter().all(open), "{name}: {upgrade:?}");
    }
}

#[test]
fn an_instance_of_the_third_line_is_read_and_nothing_is_made_up() {
    let text = ChangedRecording::text("v2-bluegreen-operator-2.3")
        .replace("apps.emqx.io/v2\"", "apps.emqx.io/v3beta1\"");
    assert!(text.contains("apps.emqx.io/v3beta1"));
    let mut changed = ChangedRecording::parse(&text);
    // Its cores have Kubernetes' own revision and no hash of a template.
    for line in &mut changed.0 {
        let labels = line.pointer_mut("/object/metadata/labels").and_then(Value::as_object_mut);
        let core = |labels: &&mut serde_json::Map<String, Value>| {
            labels.get("apps.emqx.io/db-role") == Some(&json!("core"))
        };
        if let Some(labels) = labels.filter(core) {
            labels.remove("apps.emqx.io/pod-template-hash");
        }
    }
    let events = changed.replayed();
    let verdicts = verdicts(&events);
    let upgrade: Vec<&Verdict> = verdicts
        .iter()
        .filter(|(name, _)| name.starts_with("upgrade/"))
        .map(|(_, verdict)| verdict)
        .collect();
    let wrong = |verdict: &&Verdict| matches!(verdict, Verdict::Failed | Verdict::Superseded);
    let why = reason(&events, "upgrade/emqx");
    assert!(upgrade.len() <= 1 && !upgrade.iter().any(wrong), "{verdicts:?} {why}");
}

#[test]
fn a_stopped_coordinator_holds_nothing_and_is_named_as_a_lost_node() {
    // A node stops in mid-run: EMQX lists it with three fields, and its clients reconnect to all other nodes.
    let mut changed = ChangedRecording::read("v2beta1-rebalance-operator-2.2").until(50.0);
    let mut nodes = changed.0.iter().rfind(|line| answers(line, "/nodes")).expect("nodes").clone();
    nodes["t"] = 50.5.into();
    let rows = nodes["body"].as_array_mut().expect("a list");
    let share = rows[0]["live_connections"].as_u64().expect("a count") / 3;
    rows[0] = json!({"node": rows[0]["node"], "node_status": "stopped", "role": "core"});
    for row in &mut rows[1..] {
        for key in ["live_connections", "connections"] {
            let count: u64 = row[key].as_u64().expect("a count");
            row[key] = Value::from(count + share);
        }
    }
    changed.insert(nodes);
    changed.insert(
        json!({"t": 50.6, "from": "emqx", "get": "/api/v5/load_rebalance/global_status", "status": 200,
        "body": {"evacuations": [], "purges": [], "rebalances": []}}),
    );
    changed.insert(
        json!({"t": 100.0, "from": "emqx", "get": "/api/v5/load_rebalance/global_status", "status": 200,
        "body": {"evacuations": [], "purges": null, "rebalances": []}}),
    );
    let events = changed.replayed();
    let why = reason(&events, "golden");
    assert_eq!(verdicts(&events), [("golden".to_owned(), Verdict::NodesLost)], "{why}");
}
