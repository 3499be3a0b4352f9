//! Evacuations of single nodes: with Kubernetes of every API version, and without it.

use crate::harness::{Cluster, until};
use crate::ran::keys;
use crate::standalone::Emqx;
#[cfg(unix)]
use crate::terminals::Terminal;

const QUICK: &str = "--conn-evict-rate 2000 --sess-evict-rate 2000 --wait-health-check 1 --wait-takeover 1";
const SLOW: &str = "--conn-evict-rate 1 --wait-health-check 1 --wait-takeover 1";

/// The first node with clients: its name, and its pod's.
fn busy(cluster: &Cluster) -> (String, String) {
    let nodes = cluster.run("nodes -o json").exits(0).json();
    let items = nodes["items"].as_array().expect("rows").clone();
    let row = items.iter().find(|row| row["connections"].as_u64() > Some(0)).expect("a node with clients");
    let text = |key: &str| row[key].as_str().expect("a name").to_owned();
    (text("node"), text("pod"))
}

#[test]
fn a_node_is_evacuated_to_its_verdict_and_serves_again_after_stop_on_every_api_version() {
    for scenario in ["documented-v1beta4", "documented-v2beta1", "documented-v2", "documented-v3beta1"] {
        let demo = Cluster::demo(scenario, 10);
        let (node, pod) = busy(&demo);
        let skip = if scenario.ends_with("v3beta1") { "--skip-check operator-ends-evacuation" } else { "" };
        if !skip.is_empty() {
            demo.run(&format!("evacuate start {pod} --yes")).fails(6).reports("apps.emqx.io/paused");
        }
        let ran =
            demo.run(&format!("evacuate start {pod} {QUICK} {skip} --yes --watch -o jsonl --timeout 60s"));
        assert_eq!(ran.code, Some(0), "{scenario}\n{ran}");
        let ran = ran.verdict("evacuated");
        let last = ran.events().pop().expect("a verdict");
        assert_eq!((&last["operation"], &last["percent"]), (&"evacuation".into(), &100.into()), "{ran}");
        let status = demo.run(&format!("evacuate status {node} -o json")).exits(0).json();
        assert_eq!(
            (&status["kind"], &status["state"]),
            (&"Evacuation".into(), &"prohibiting".into()),
            "{status:#}"
        );
        assert_eq!(
            (&status["verdict"], &status["connections"]),
            (&"evacuated".into(), &0.into()),
            "{status:#}"
        );
        let stopped = demo.run(&format!("evacuate stop {pod} --yes -o json")).exits(0).json();
        assert_eq!(
            (&stopped["kind"], &stopped["verdict"]),
            (&"Stopped".into(), &"stopped".into()),
            "{stopped:#}"
        );
        let proof = stopped["proof"].to_string();
        assert!(proof.contains("availability check passes"), "{scenario}: {proof}");
        assert!(proof.contains("the Service routes clients to the node"), "{scenario}: {proof}");
        demo.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        demo.run(&format!("evacuate stop {pod} --yes")).exits(0).reports("not being evacuated");
        demo.run(&format!("evacuate stop {pod} --yes --error-unchanged")).exits(3);
    }
}

#[test]
fn without_kubernetes_a_node_is_evacuated_watched_from_another_terminal_and_stopped() {
    let emqx = Emqx::of("documented", 1.0);
    let node = emqx.node(0);
    let started = emqx.run(&format!("evacuate start {node} {SLOW} --yes")).exits(0);
    assert_eq!(started.out.trim(), format!("evacuation/{node}"));
    let mut one = emqx.start(&format!("evacuate watch {node} -o jsonl"));
    let mut other = emqx.start("evacuate watch --plain");
    one.until("evictConnections");
    other.until("clients");
    emqx.run(&format!("evacuate start {node} --yes")).fails(6).reports("already");
    let lists = emqx.run("evacuate list -o json").exits(0).json();
    assert_eq!(
        (&lists["kind"], lists["items"].as_array().map(Vec::len)),
        (&"EvacuationList".into(), Some(1))
    );
    let list = lists["items"][0].clone();
    let own = emqx.run(&format!("evacuate status {node} -o json")).exits(0).json();
    keys(
        &own,
        "apiVersion kind connections etaSeconds initialConnections initialSessions instance message node percent pod \
         recipients sessions state verdict",
    );
    // Another client does not know the waits: the end is the latest one by EMQX's defaults.
    assert!(list["etaSeconds"].as_u64().is_some_and(|left| left > 60), "{list:#}");
    assert!(list["message"].to_string().contains("at most"), "{list:#}");
    let stopped = emqx.run("evacuate stop --yes").exits(0);
    assert!(stopped.out.contains("the node's availability check passes"), "{stopped}");
    let past = emqx.run("evacuate list -o json").exits(0).json();
    assert_eq!(past["kind"], "EvacuationList", "the same form whatever there is: {past:#}");
    let ran = one.end();
    assert_eq!(ran.code, Some(7), "{ran}");
    ran.verdict("stopped");
    let ran = other.end();
    assert_eq!(ran.code, Some(7), "{ran}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_the_evacuation_running_and_prints_how_to_continue() {
    let emqx = Emqx::of("documented", 1.0);
    let node = emqx.node(0);
    let mut watch = emqx.start(&format!("evacuate start {node} {SLOW} --yes --watch"));
    watch.until("evacuation of ");
    watch.signal("INT");
    let ran = watch.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(ran.err.contains(&format!(" evacuate stop {node}")), "{ran}");
    until("it evicts", || {
        emqx.run("evacuate status -o json").json()["items"][0]["state"] == "evicting_conns"
    });
    let ran = emqx.run(&format!("evacuate watch {node} --timeout 1s")).exits(5);
    assert!(ran.err.contains("continues to evacuate"), "{ran}");
}

#[test]
fn a_node_that_restarts_with_clients_is_lost_and_its_restored_evacuation_is_named() {
    let emqx = Emqx::of("documented", 1.0);
    let node = emqx.node(0);
    let mut watch = emqx.start(&format!("evacuate start {node} {SLOW} --yes --watch -o jsonl"));
    watch.until("evictConnections");
    emqx.down(&node);
    let ran = watch.end();
    assert_eq!(ran.code, Some(7), "{ran}");
    let ran = ran.verdict("nodesLost");
    assert!(ran.out.contains("clients connected"), "{ran}");
    // Without Kubernetes it is unknown whether the stopped node has a pod: the status is not idle or even,
    // and does not recommend to remove the node as a remainder of a scale-down.
    let status = emqx.run("status -o json").exits(0);
    let found = status.json();
    assert_eq!((&found["operation"], &found["verdict"]), (&"none".into(), &"unknown".into()), "{found:#}");
    assert!(found["message"].to_string().contains("is stopped in EMQX"), "{found:#}");
    assert!(!status.err.contains("scale-down"), "{status}");
    let plan = emqx.run("rebalance plan -o json");
    assert_eq!((plan.code, &plan.json()["findings"][0]["id"]), (Some(6), &"membership".into()), "{plan}");
    emqx.up(&node);
    until("the evacuation is restored", || emqx.run(&format!("evacuate status {node}")).code == Some(0));
    let status = emqx.run(&format!("evacuate status {node} -o json")).exits(0).json();
    assert_eq!(status["initialConnections"], 0, "{status:#}");
    assert!(status["message"].to_string().contains("restored"), "{status:#}");
}

#[test]
fn what_must_not_be_evacuated_is_refused_with_the_reason() {
    let emqx = Emqx::of("documented", 1.0);
    let nodes: Vec<String> = (0..4).map(|number| emqx.node(number)).collect();
    let start = |flags: &str| emqx.run(&format!("evacuate start {flags}"));
    start("no-such-pod --yes").fails(1).reports("no EMQX node or EMQX pod no-such-pod");
    start(&format!("{} --yes", nodes.join(" "))).fails(6).reports("no EMQX node would remain");
    start(&format!("{} --yes --skip-check too-few-nodes", nodes.join(" ")))
        .fails(2)
        .reports("cannot be skipped");
    start(&format!("{} --yes --conn-evict-rate 0", nodes[0])).fails(2).reports("--conn-evict-rate");
    start(&format!("{} --yes --sess-evict-rate 0", nodes[0])).fails(2).reports("--sess-evict-rate");
    start(&format!("{0} --yes --migrate-to {0}", nodes[0])).fails(2).reports("--migrate-to");
    start(&format!("{} --yes --migrate-to emqx@nowhere", nodes[0])).fails(1).reports("emqx@nowhere");
    start(&format!("{} --yes --redirect-to nowhere", nodes[0])).fails(2).reports("HOST:PORT");
    start(&format!("{} --yes --dry-run=server", nodes[0])).fails(2).reports("--dry-run");
    start(&nodes[0]).fails(6).reports("--yes");
    let dry = start(&format!("{} --dry-run=client", nodes[0])).exits(0);
    assert!(dry.err.contains("reconnect, at most") && dry.out.contains("(dry run)"), "{dry}");
    let applied = start(&format!("{} --dry-run=client -o json", nodes[0])).exits(0).json();
    assert_eq!(applied["plan"]["recipients"].as_array().map(Vec::len), Some(3), "{applied:#}");
    emqx.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
    // A second evacuation that would leave fewer than half of the nodes.
    start(&format!("{} {SLOW} --yes", nodes[0])).exits(0);
    start(&format!("{} {} {SLOW} --yes", nodes[1], nodes[2])).fails(6).reports("1 of 4 nodes");
    start(&format!("{} {} {SLOW} --yes --skip-check evacuation-running", nodes[1], nodes[2])).exits(0);
    emqx.run("evacuate stop --yes").fails(2).reports("3 nodes");
    emqx.run("rebalance apply --yes").fails(6);
    for node in &nodes[..3] {
        emqx.run(&format!("evacuate stop {node} --yes")).exits(0);
    }
    // A node of a rebalance, donor or recipient.
    emqx.run("rebalance apply --yes --conn-evict-rate 1 --abs-conn-threshold 100").exits(0);
    for node in [&nodes[0], &nodes[3]] {
        start(&format!("{node} --yes")).fails(6).reports("rebalance");
    }
}

#[cfg(unix)]
#[test]
fn on_a_terminal_the_start_is_followed_in_place_and_the_watch_on_the_full_screen() {
    let demo = Cluster::demo("documented", 20);
    let (node, pod) = busy(&demo);
    let flags = "--conn-evict-rate 100 --wait-health-check 1 --wait-takeover 1";
    let mut start = Terminal::start(&demo, &format!("evacuate start {pod} {flags} --yes --watch"), &[]);
    start.until(&format!("EVACUATING {pod}"));
    let mut full = Terminal::start(&demo, &format!("evacuate watch {pod} --full"), &[]);
    full.until("q quit");
    let (code, screen) = start.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("evacuated"), "{screen}");
    assert_eq!(screen.matches(&format!("EVACUATING {pod}")).count(), 1, "redrawn in place\n{screen}");
    full.until("EVACUATED");
    full.types("q");
    assert_eq!(full.end().0, 0, "the exit is that of the evacuation");
    demo.run(&format!("evacuate stop {node} --yes")).exits(0);
}

#[cfg(unix)]
#[test]
fn leaving_the_full_screen_before_the_verdict_prints_what_is_running() {
    let demo = Cluster::demo("documented", 1);
    let (node, pod) = busy(&demo);
    let mut full = Terminal::start(&demo, &format!("evacuate start {pod} {SLOW} --yes --watch --full"), &[]);
    full.until("q quit");
    full.until("EVACUATING");
    full.types("q");
    let (code, screen) = full.end();
    assert_eq!(code, 130, "{screen}");
    let words = screen.split_whitespace().collect::<String>();
    assert!(words.contains(&format!("kubectlemqxevacuatestop{node}")), "{screen}");
}

#[test]
fn a_key_that_may_only_read_cannot_evacuate() {
    let emqx = Emqx::viewing("documented", 1.0);
    let node = emqx.node(0);
    emqx.run("evacuate list").exits(0);
    let ran = emqx.run(&format!("evacuate start {node} {SLOW} --yes")).fails(1);
    assert!(ran.err.contains("administrator"), "{ran}");
    emqx.run("evacuate list").exits(0).reports("no EMQX node");
}

/// A recording of the real EMQX in the format of `--record`: `at` is the unix second at which it began.
fn recorded(name: &str) -> (String, std::path::PathBuf) {
    let home = crate::harness::folder();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(name);
    let text = std::fs::read_to_string(path).expect("a recording");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let begin = lines[0]["time"].as_f64().expect("a time");
    let at = jiff::Timestamp::from_second(begin as i64).expect("a time");
    let mut out = format!("{}\n", serde_json::json!({"t": 0, "from": "clock", "at": at.to_string()}));
    for line in lines.iter().filter(|line| line["who"] == "poll" && line["status"].is_u64()) {
        let path = line["path"].as_str().unwrap_or_default();
        if !path.ends_with("/nodes") && !path.ends_with("/global_status") || line["status"] != 200 {
            continue;
        }
        let t = line["time"].as_f64().expect("a time") - begin;
        let one =
            serde_json::json!({"t": t, "from": "emqx", "get": path, "status": 200, "body": line["body"]});
        out += &one.to_string();
        out.push('\n');
    }
    let file = home.join("recording.jsonl");
    std::fs::write(&file, out).expect("a file");
    (file.display().to_string(), home)
}

#[test]
fn the_real_emqx_5_4_empties_a_node_as_forecast_in_every_output() {
    let (file, home) = recorded("emqx-5.4-evacuation.jsonl");
    let ran = crate::harness::alone(&format!("replay {file} -o jsonl")).exits(0);
    let events = ran.events();
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).cloned().collect::<Vec<_>>();
    let phases: Vec<String> = of("phase").iter().map(|event| event["phase"].to_string()).collect();
    assert_eq!(
        phases,
        [
            "\"waitHealthCheck\"",
            "\"evictConnections\"",
            "\"waitTakeover\"",
            "\"evictSessions\"",
            "\"prohibiting\""
        ],
        "{ran}"
    );
    let verdicts = of("verdict");
    assert_eq!(verdicts[0]["verdict"], "evacuated", "{ran}");
    assert_eq!(verdicts[0]["movedConnections"], 500, "{ran}");
    let mut before = 0;
    for event in &events {
        let percent = event["percent"].as_u64().expect("a number");
        assert!(percent >= before && (percent < 100 || event["type"] == "verdict"), "{ran}");
        before = percent;
    }
    // Rates 60 and 40, waits 6 s and 8 s, 500 clients, 150 sessions without a client: the forecast is 28 s.
    let time = |event: &serde_json::Value| {
        event["time"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_second()
    };
    let took = time(&verdicts[0]) - time(&of("created")[0]);
    assert!((26..=30).contains(&took), "{took} s\n{ran}");
    let text = crate::harness::alone(&format!("replay {file}")).exits(0);
    assert!(text.out.contains("evacuated") && text.out.contains("500 clients"), "{text}");
    let _ = std::fs::remove_dir_all(home);
}

#[test]
fn the_real_emqx_5_8_restores_an_evacuation_from_disk_after_its_node_was_lost() {
    let (file, home) = recorded("emqx-5.8-evacuation-restart.jsonl");
    let ran = crate::harness::alone(&format!("replay {file} -o jsonl")).exits(0);
    let verdicts: Vec<_> = ran.events().into_iter().filter(|event| event["type"] == "verdict").collect();
    let words: Vec<&str> = verdicts.iter().filter_map(|event| event["verdict"].as_str()).collect();
    assert_eq!(words, ["nodesLost", "evacuated"], "{ran}");
    assert!(verdicts[0]["message"].to_string().contains("clients connected"), "{ran}");
    assert!(verdicts[1]["message"].to_string().contains("restored from disk"), "{ran}");
    let _ = std::fs::remove_dir_all(home);
}
