//! The records of operations that were followed to their end, and reports of them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Cluster, DOCUMENTED, Going, SLOW, alone, until};
use crate::ran::{Ran, harmless, keys};

const QUICK: &str = "--conn-evict-rate 2000 --sess-evict-rate 2000 --wait-health-check 1 --wait-takeover 1";

fn state(cluster: &Cluster) -> PathBuf {
    cluster.home.join(".local/state/kubectl-emqx")
}

/// The operation, the verdict and the name of each entry of `history`.
#[track_caller]
pub(crate) fn entries(ran: Ran) -> Vec<(String, String, String)> {
    let list = ran.exits(0).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().expect("items").iter();
    items.map(|it| (text(&it["operation"]), text(&it["verdict"]), text(&it["name"]))).collect()
}

pub(crate) fn entry(operation: &str, verdict: &str, name: &str) -> (String, String, String) {
    (operation.to_owned(), verdict.to_owned(), name.to_owned())
}

/// The program with another home folder: another user of the same cluster.
pub(crate) fn other_user(cluster: &Cluster, arguments: &str) -> Ran {
    let mut command: Command = cluster.command(arguments);
    command.env("XDG_STATE_HOME", cluster.home.join("other"));
    Going::start(command, None).end()
}

/// Evacuates the first node with clients; returns its name.
#[track_caller]
fn evacuated(cluster: &Cluster, more: &str) -> String {
    let nodes = cluster.run("nodes -o json").exits(0).json();
    let rows = nodes["items"].as_array().expect("rows").clone();
    let row = rows.iter().find(|row| row["connections"].as_u64() > Some(0)).expect("a node with clients");
    let node = row["node"].as_str().expect("a name").to_owned();
    cluster.run(&format!("evacuate start {node} {QUICK} --yes --watch {more}")).exits(0);
    node
}

#[test]
fn a_rebalance_stays_in_the_history_when_its_object_is_gone_and_is_reported_in_every_form() {
    let demo = Cluster::demo("documented", 60);
    demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED}")).exits(0);
    let name = demo.rebalances().remove(0).0;
    let list = demo.run("history -o json").exits(0).json();
    assert_eq!(list["kind"], "History");
    keys(
        &list["items"][0],
        "operation instance name verdict message startedTime durationSeconds movedConnections lostClients by",
    );
    assert_eq!(list["items"][0]["movedConnections"], 2340, "{list:#}");
    demo.run("rebalance prune --yes").exits(0);
    until("the object is gone", || demo.rebalances().is_empty());
    assert_eq!(entries(demo.run("history -o json")), [entry("rebalance", "balanced", &name)]);
    demo.run("history").exits(0).shows("balanced").shows(&name);
    demo.run("history emqx -o name").exits(0).shows(&name);
    demo.run("history unknown").fails(1);

    let report = demo.run("report -o json").exits(0).json();
    let operation = &report["operations"][0];
    assert_eq!((&report["kind"], &operation["verdict"]), (&json!("Report"), &json!("balanced")));
    assert_eq!((&operation["movedConnections"], &operation["plannedSeconds"]), (&json!(2340), &json!(98)));
    assert!(operation["forecastErrorSeconds"].as_i64().is_some(), "{operation:#}");
    assert_eq!(operation["nodes"].as_array().map(Vec::len), Some(4), "{operation:#}");
    let page = demo.run(&format!("report {name} -o html")).exits(0).out;
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg") && page.contains(&name));
    let text = demo.run("report emqx --redact").exits(0).out;
    assert!(text.contains("**balanced**") && !text.contains(&name) && !text.contains("emqx-core"), "{text}");
}

#[test]
fn reports_from_the_history_compare_a_rebalance_without_an_object_a_drain_and_a_scale_with_their_forecasts() {
    let demo = Cluster::demo("documented", 40);
    demo.run(&format!("rebalance apply --backend emqx --yes --watch {DOCUMENTED}")).exits(0);
    let report = |name: &str, form: &str| other_user(&demo, &format!("report {name} {form}")).exits(0);
    let operation =
        |name: &str| report(name, "-o json").reports("no recording").json()["operations"][0].clone();
    let past = demo.run("history -o json").exits(0).json();
    let name = past["items"][0]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("coordinator/"), "{past:#}");
    let rebalance = operation(&name);
    let seconds =
        |value: &Value, key: &str| value[key].as_i64().unwrap_or_else(|| panic!("{key} of {value:#}"));
    assert_eq!(seconds(&rebalance, "plannedSeconds"), 98);
    let took = seconds(&rebalance, "durationSeconds");
    assert_eq!(seconds(&rebalance, "forecastErrorSeconds"), took - 98);

    let quick = "--conn-evict-rate 100 --sess-evict-rate 2000 --wait-health-check 3 --wait-takeover 5 --yes";
    for (command, name) in [("drain sim-3", "drain/"), ("scale emqx --cores 3", "scale/")] {
        let plan = demo.run(&format!("{command} {quick} --dry-run=client -o json")).exits(0).json();
        demo.run(&format!("{command} {quick}")).exits(0);
        let past = demo.run("history -o json").exits(0).json();
        let items = past["items"].as_array().expect("items");
        let of = items.iter().filter_map(|item| item["name"].as_str());
        let name = of.rev().find(|it| it.starts_with(name)).expect("an entry").to_owned();
        let operation = operation(&name);
        let phase = &operation["phases"][0];
        assert_eq!(
            (&phase["name"], &phase["plannedSeconds"]),
            (&json!("evacuations"), &plan["totalSeconds"])
        );
        let error = seconds(&operation, "forecastErrorSeconds");
        assert_eq!(error, seconds(phase, "seconds") - seconds(phase, "plannedSeconds"));
        assert!(error.abs() <= 20, "{operation:#}");
        // The time that new pods take to start is in the duration alone.
        assert!(operation["plannedSeconds"].is_null(), "{operation:#}");
        assert!(seconds(&operation, "durationSeconds") >= seconds(phase, "seconds"), "{operation:#}");
        report(&name, "").shows("| evacuations | ").shows(&format!("| forecast error | - | {error:+} s"));
        let page = report(&name, "-o html").out;
        assert!(page.contains("<td>evacuations</td>") && page.contains(&format!("{error:+} s")), "{page}");
    }
}

#[cfg(unix)]
#[test]
fn an_evacuation_is_recorded_for_the_user_and_for_every_other_user_of_the_cluster() {
    use std::os::unix::fs::PermissionsExt as _;
    let demo = Cluster::demo("documented-v1beta4", 60);
    let node = evacuated(&demo, "");
    let expected = [entry("evacuation", "evacuated", &format!("evacuation/{node}"))];
    assert_eq!(entries(demo.run("history -o json")), expected);
    assert_eq!(entries(other_user(&demo, "history -o json")), expected, "by the ConfigMap");
    assert!(!demo.home.join("other").exists(), "reading creates nothing");
    let mode = |path: PathBuf| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(state(&demo)), 0o700);
    assert_eq!(mode(state(&demo).join("history.jsonl")), 0o600);
    let recordings = std::fs::read_dir(state(&demo).join("recordings")).expect("recordings");
    let paths: Vec<PathBuf> = recordings.map(|file| file.expect("a file").path()).collect();
    assert_eq!(paths.len(), 1);
    assert_eq!(mode(paths[0].clone()), 0o600);
    let report = demo.run(&format!("report evacuation/{node} -o json")).exits(0).json();
    assert_eq!(report["operations"][0]["verdict"], "evacuated", "{report:#}");
    // Without a recording the report uses the history.
    let report = other_user(&demo, "report -o json").exits(0).reports("no recording");
    let report = report.json();
    let operation = &report["operations"][0];
    assert_eq!(operation["verdict"], "evacuated");
    let seconds = |key: &str| operation[key].as_i64().expect("a number");
    assert_eq!(seconds("forecastErrorSeconds"), seconds("durationSeconds") - seconds("plannedSeconds"));
    // The report also holds the findings of the cluster now.
    let findings = report["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|it| it["id"] == "evacuation-running"), "{report:#}");
    assert!(report["checkedTime"].is_string(), "{report:#}");
    let text = other_user(&demo, "report").exits(0);
    text.shows("Findings in the cluster at ").shows("`evacuation-running`: ");
    let redacted = other_user(&demo, "report --redact -o html").exits(0).out;
    let label = node.split(['@', '.']).nth(1).expect("a host");
    assert!(redacted.contains("evacuation-running") && !redacted.contains(label), "{redacted}");
    // Entries in the folder are untrusted data.
    let file = state(&demo).join("history.jsonl");
    let hostile =
        std::fs::read_to_string(&file).expect("text").replace("evacuation/", "evacuation/\\u001b[2J");
    std::fs::write(&file, format!("{hostile}nonsense\n")).expect("written");
    let ran = demo.run("history").exits(0).reports("1 line of your history cannot be read");
    harmless(&ran.out);
}

#[test]
fn nothing_is_written_with_no_history_and_a_folder_that_cannot_be_written_is_a_notice() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    evacuated(&demo, "--no-history");
    assert!(!state(&demo).exists(), "nothing is written");
    let file = demo.file("file", "");
    let mut command = demo.command("evacuate watch --timeout 30s");
    command.env("XDG_STATE_HOME", &file);
    // The node is evacuated, which its follower reports at once.
    let ran = Going::start(command, None).end().exits(0);
    ran.reports("is not in your history");
}

#[cfg(unix)]
#[test]
fn an_operation_continues_when_no_file_can_be_written() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    let nodes = demo.run("nodes -o json").exits(0).json();
    let node = nodes["items"][0]["node"].as_str().expect("a name").to_owned();
    let inner = demo.command(&format!("evacuate start {node} {QUICK} --yes --watch"));
    // As on a full disk: a limit of 0 blocks makes each write into a file an error.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ran = Going::start(command, None).end().exits(0);
    let ran = ran.reports("is not in your history").reports("File too large");
    ran.reports("evacuated");
    // Other users find the operation in the cluster.
    let name = format!("evacuation/{node}");
    assert_eq!(entries(other_user(&demo, "history -o json")), [entry("evacuation", "evacuated", &name)]);
}

#[test]
fn a_stop_is_recorded_for_the_user_and_for_every_other_user() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    demo.run("rebalance stop --yes").exits(0);
    let stopped = [entry("rebalance", "stopped", &name)];
    assert_eq!(entries(demo.run("history -o json")), stopped);
    assert_eq!(entries(other_user(&demo, "history -o json")), stopped);
}

#[test]
fn the_plain_view_records_what_ended_while_it_was_open() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    let nodes = demo.run("nodes -o json").exits(0).json();
    let node = nodes["items"][0]["node"].as_str().expect("a name").to_owned();
    let mut watch = demo.start("watch --plain");
    watch.until("watching");
    demo.run(&format!("evacuate start {node} {QUICK} --yes")).exits(0);
    let name = format!("evacuation/{node}");
    let expected = [entry("evacuation", "evacuated", &name)];
    until("the view has recorded it in the cluster", || {
        entries(other_user(&demo, "history -o json")) == expected
    });
    assert_eq!(entries(demo.run("history -o json")), expected);
    assert!(state(&demo).join("history.jsonl").exists());
    drop(watch);
}

#[test]
fn the_own_history_is_shown_without_a_cluster() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    let node = evacuated(&demo, "--no-record");
    assert!(!state(&demo).join("recordings").exists(), "nothing is recorded");
    let mut command = demo.command("history -o json");
    command.env("KUBECONFIG", demo.home.join("none"));
    let ran = Going::start(command, None).end();
    let ran = ran.reports("only your own history is shown");
    assert_eq!(entries(ran), [entry("evacuation", "evacuated", &format!("evacuation/{node}"))]);
    alone("history").fails(1);
    alone("report").fails(1);
    alone("report --from nowhere.jsonl").fails(1);
}
