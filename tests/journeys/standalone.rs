//! EMQX without Kubernetes: every command with only EMQX's address and a key.

use serde_json::Value;

use crate::harness::{Cluster, Going, Ran, program, until};

/// A simulated EMQX of which only the REST API is used.
pub(crate) struct Emqx {
    cluster: Cluster,
    key: String,
}

impl Emqx {
    pub(crate) fn of(scenario: &str, speed: f64) -> Self {
        Self::with(scenario, speed, |emqx| emqx.key().clone())
    }

    /// The same with a key that may only read.
    pub(crate) fn viewing(scenario: &str, speed: f64) -> Self {
        Self::with(scenario, speed, |emqx| emqx.viewer_key().clone())
    }

    fn with(
        scenario: &str,
        speed: f64,
        key: fn(&emqx_sim::emqx::Emqx) -> emqx_sim::emqx::SimulatedKey,
    ) -> Self {
        let cluster = Cluster::faulty(scenario, speed);
        let key = key(&cluster.parts().emqx);
        let key = cluster.file("key", &format!("{}:{}\n", key.key, key.secret));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&key, private).expect("a file of ours");
        }
        Self { cluster, key }
    }

    pub(crate) fn node(&self, number: usize) -> String {
        self.cluster.parts().emqx.with(|broker| broker.nodes[number].name.clone())
    }

    /// A node stops at once, with its clients.
    pub(crate) fn down(&self, name: &str) {
        assert!(self.cluster.faults().set_node_running(name, false), "a node");
    }

    /// The node starts again.
    pub(crate) fn up(&self, name: &str) {
        assert!(self.cluster.faults().set_node_running(name, true), "a node");
    }

    pub(crate) fn url(&self) -> &str {
        &self.cluster.parts().emqx_url
    }

    /// Starts the program without any kubeconfig.
    pub(crate) fn start(&self, arguments: &str) -> Going {
        self.start_at(arguments, self.url())
    }

    pub(crate) fn start_at(&self, arguments: &str, urls: &str) -> Going {
        let urls: Vec<String> = urls.split(' ').map(|url| format!("--emqx-url {url}")).collect();
        let all = format!("{arguments} {} --api-key-file {}", urls.join(" "), self.key);
        let words: Vec<&str> = all.split_whitespace().collect();
        Going::start(program(&self.cluster.home, &words), None)
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.start(arguments).end()
    }

    /// Starts the command that a text names after `label`, as it is printed.
    #[track_caller]
    fn as_printed(&self, text: &str, label: &str) -> Going {
        let command = text.split(label).nth(1).and_then(|rest| rest.split(['\n', ';']).next());
        let command = command.unwrap_or_else(|| panic!("no {label} in {text}"));
        let words: Vec<&str> = command.trim().strip_prefix("kubectl emqx ").expect(text).split(' ').collect();
        Going::start(program(&self.cluster.home, &words), None)
    }
}

const QUICK: &str = "--conn-evict-rate 100 --wait-health-check 1 --wait-takeover 1 --abs-conn-threshold 100";

#[test]
fn reads_show_emqx_alone_and_leave_out_what_kubernetes_would_know() {
    let emqx = Emqx::of("documented", 1.0);
    let ran = emqx.run("status -o json").exits(0);
    assert_eq!(ran.err, "", "{ran}");
    let status = ran.json();
    assert_eq!(status["instance"]["name"], "emqxcl", "{ran}");
    assert_eq!((&status["instance"]["namespace"], &status["api"]), (&Value::Null, &"none".into()), "{ran}");
    for source in ["kubernetes", "pods", "endpoints"] {
        assert_eq!(status["sources"][source]["state"], "absent", "{source}\n{ran}");
    }
    assert_eq!(status["sources"]["emqx"]["state"], "ok", "{ran}");
    assert_eq!((&status["operation"], &status["totals"]["connections"]), (&"none".into(), &10_000.into()));
    assert_eq!(status["nodes"][0]["serving"], Value::Null);
    emqx.run("nodes").exits(0).shows("3,333");
    emqx.run("status emqxcl").exits(0).shows("emqxcl");
    emqx.run("status no-such").fails(1).reports("no-such");
    emqx.run("rebalance list").exits(0);
    let plan = emqx.run(&format!("rebalance plan -o json {QUICK}")).exits(0).json();
    assert_eq!(plan["decision"], "go", "{plan:#}");
    emqx.run("watch --plain --timeout 1s").exits(0).reports("watching EMQX emqxcl");
}

#[test]
fn the_version_of_emqx_is_its_own_answer() {
    let emqx = Emqx::of("documented", 1.0);
    let version = emqx.run("version -o json").exits(0).json();
    assert_eq!(version["clusters"][0]["versions"][0], "5.8.6", "{version:#}");
}

#[test]
fn what_needs_kubernetes_is_refused_with_the_reason() {
    let emqx = Emqx::of("documented", 1.0);
    emqx.run("rebalance apply --backend rebalance --yes").fails(1).reports("no EMQX object");
    emqx.run("upgrade plan --image emqx/emqx:5.8.7").fails(1).reports("kubeconfig");
    emqx.run("rebalance prune --yes").fails(1).reports("kubeconfig");
    let ran = emqx.run("rebalance apply --yes --dry-run=server").fails(2);
    assert!(ran.err.contains("--dry-run=server"), "{ran}");
}

#[test]
fn a_rebalance_is_started_found_followed_and_stopped_without_kubernetes() {
    let emqx = Emqx::of("documented", 1.0);
    let record = emqx.cluster.home.join("record.jsonl");
    let slow = "--conn-evict-rate 5 --wait-health-check 1 --wait-takeover 1 --abs-conn-threshold 100";
    let started = emqx.run(&format!("rebalance apply --yes {slow}")).exits(0);
    let name = started.out.trim().to_owned();
    assert!(name.starts_with("coordinator/emqx@"), "{started}");
    let listed = emqx.run("rebalance list -o json").exits(0).json();
    assert_eq!(listed["items"][0]["name"], name.as_str(), "{listed:#}");
    emqx.run("rebalance apply --yes").fails(6).reports("already");
    let mut watch = emqx.start(&format!("rebalance watch -o jsonl --record {}", record.display()));
    watch.until("evict");
    let stopped = emqx.run("rebalance stop --yes").exits(0);
    assert!(stopped.out.contains("stopped by you"), "{stopped}");
    // The watcher knows no strategy, and no donor had lost many clients: the verdict is uneven or unknown.
    let watched = watch.end();
    let verdict = watched.events().last().expect("a verdict")["verdict"].clone();
    assert!(verdict == "uneven" || verdict == "unknown", "{watched}");
    let text = std::fs::read_to_string(&record).expect("a recording");
    assert!(text.contains("global_status") && !text.contains("Authorization"), "{text}");
    until("nothing runs", || emqx.run("status -o json").json()["operation"] == "none");
}

#[test]
fn printed_commands_work_as_they_are_printed() {
    let emqx = Emqx::of("documented", 1.0);
    let slow = "--conn-evict-rate 1 --wait-health-check 10h --abs-conn-threshold 100";
    let started = emqx.run(&format!("rebalance apply --yes {slow}")).exits(0);
    let mut watch = emqx.as_printed(&started.err, "next: ");
    watch.until("waiting for load balancers");
    drop(watch);
    let status = emqx.run("status").exits(0);
    let mut watch = emqx.as_printed(&status.err, "next: ");
    watch.until("waiting for load balancers");
    drop(watch);
    // Within a sentence the flags are before the subcommand.
    let refused = emqx.run(&format!("rebalance apply --yes {slow}")).fails(6);
    let of = format!("kubectl emqx --emqx-url {} --api-key-file", emqx.url().trim_end_matches('/'));
    assert!(refused.err.contains(&of), "{refused}");
    emqx.run("rebalance stop --yes").exits(0);
    let node = emqx.node(0);
    let started = emqx.run(&format!("evacuate start {node} --wait-health-check 10h --yes")).exits(0);
    let mut watch = emqx.as_printed(&started.err, "next: ");
    watch.until("evacuation of");
    drop(watch);
    // With a namespace of Kubernetes.
    let listed = emqx.cluster.run("status -n mq").exits(0);
    assert!(!listed.err.contains("next:") || listed.err.contains(" -n mq"), "{listed}");
}

#[test]
fn a_rebalance_that_another_machine_started_has_percent_end_and_goal_from_its_first_wait_on() {
    let rate = "--conn-evict-rate 1 --wait-takeover 10h --abs-conn-threshold 100";
    // The first wait of one rebalance, and the eviction of the other, do not end before the journey does.
    for (speed, wait) in [(1.0, "10h"), (20.0, "1")] {
        let emqx = Emqx::of("documented", speed);
        emqx.run(&format!("rebalance apply --yes {rate} --wait-health-check {wait}")).exits(0);
        let phase = if wait == "1" { "evictConnections" } else { "waitHealthCheck" };
        until("it is in that phase", || emqx.run("status -o json").json()["phase"] == phase);
        let status = emqx.run("status -o json").exits(0).json();
        let message = status["message"].as_str().expect("a message");
        assert!(status["percent"].is_number() && status["etaSeconds"].is_number(), "{status:#}");
        assert!(message.contains("goal at most 2,50"), "{message}");
        let one_shot = emqx.run("rebalance watch -o jsonl --timeout 2s").exits(5);
        let events = one_shot.events();
        let last = events.iter().rfind(|event| event["verdict"].is_null()).expect("an event");
        assert!(last["percent"].is_number() && last["etaSeconds"].is_number(), "{one_shot}");
    }
}

#[test]
fn a_rebalance_is_followed_to_balanced_and_the_next_address_is_used_when_one_is_dead() {
    let emqx = Emqx::of("documented", 1.0);
    let urls = format!("http://127.0.0.1:9 {}", emqx.url());
    let ran = emqx.start_at(&format!("rebalance apply --yes --watch -o jsonl {QUICK}"), &urls).end();
    ran.exits(0).verdict("balanced");
}

#[test]
fn beside_a_kubernetes_without_the_kinds_emqx_is_shown_and_the_reason_is_given() {
    let emqx = Emqx::of("documented", 1.0);
    // A namespace in which Kubernetes has no EMQX object.
    let arguments = format!("status -o json -n other --emqx-url {} --api-key-file {}", emqx.url(), emqx.key);
    let ran = emqx.cluster.run(&arguments).exits(0).reports("only EMQX's own API is used");
    let status = ran.json();
    assert_eq!(status["instance"]["name"], "emqxcl", "{ran}");
    assert_eq!(status["sources"]["kubernetes"]["state"], "absent", "{ran}");
    // Where an object exists, it is used as before.
    let arguments = format!("status -o json --emqx-url {} --api-key-file {}", emqx.url(), emqx.key);
    let status = emqx.cluster.run(&arguments).exits(0).json();
    assert_eq!((&status["instance"]["name"], &status["api"]), (&"emqx".into(), &"v2beta1".into()));
}

#[test]
fn a_rebalance_of_chosen_nodes_is_planned_and_leaves_the_others_alone() {
    let emqx = Emqx::of("documented", 20.0);
    let nodes: Vec<String> = (0..4).map(|number| emqx.node(number)).collect();
    let two = format!("--nodes {},{}", nodes[0], nodes[3]);
    let plan = emqx.run(&format!("rebalance plan {two} {QUICK} -o json")).exits(0).json();
    let planned: Vec<&str> =
        plan["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["node"].as_str()).collect();
    assert_eq!(planned, [nodes[0].as_str(), nodes[3].as_str()], "{plan:#}");
    assert_eq!(plan["backend"], "emqx", "{plan:#}");
    let connections = || -> Vec<u64> {
        let rows = emqx.run("nodes -o json").exits(0).json();
        let of = |node: &String| rows["items"].as_array()?.iter().find(|row| row["node"] == **node).cloned();
        nodes.iter().map(|node| of(node).expect("a row")["connections"].as_u64().expect("a count")).collect()
    };
    let before = connections();
    let ran = emqx.run(&format!("rebalance apply --yes --watch -o jsonl {two} {QUICK}"));
    let ran = ran.verdict("balanced");
    assert_eq!(ran.code, Some(0), "{ran}");
    let after = connections();
    let expected: Vec<u64> = plan["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|it| it["connectionsAfter"].as_u64())
        .collect();
    assert_eq!([after[0], after[3]], [expected[0], expected[1]], "as planned: {plan:#}");
    assert_eq!([after[1], after[2]], [before[1], before[2]], "the others keep their clients");
}

#[test]
fn nodes_that_cannot_take_part_are_refused() {
    let emqx = Emqx::of("documented", 1.0);
    let nodes: Vec<String> = (0..4).map(|number| emqx.node(number)).collect();
    emqx.run(&format!("rebalance plan --nodes {}", nodes[0])).fails(2).reports("--nodes names one node");
    let same = format!("{},{}", nodes[0], nodes[0].split('@').nth(1).expect("a host"));
    emqx.run(&format!("rebalance plan --nodes {same}")).fails(2).reports("--nodes names one node");
    emqx.run(&format!("rebalance plan --nodes {},emqx@nowhere", nodes[0])).fails(1).reports("emqx@nowhere");
    let two = format!("{},{}", nodes[0], nodes[3]);
    emqx.run(&format!("rebalance plan --nodes {two} --backend rebalance")).fails(2).reports("--backend emqx");
    emqx.run(&format!("rebalance apply --nodes {two} --yes --dry-run=server")).fails(2).reports("--dry-run");
    emqx.run(&format!("rebalance plan --nodes {two} --counts 1,2")).fails(2).reports("--counts");
    emqx.down(&nodes[3]);
    let ran = emqx.run(&format!("rebalance plan --nodes {two} --abs-conn-threshold 1")).exits(6);
    assert!(ran.out.contains("does not run") || ran.err.contains("does not run"), "{ran}");
}

#[test]
fn certificates_of_emqx_are_accepted_as_those_of_the_api_server() {
    let emqx = Emqx::of("documented", 1.0);
    let target = emqx.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let status = |certificate: &str, ca: &str| {
        let url = crate::plugin_conventions::secure(&target, certificate);
        emqx.start_at(
            &format!("status --emqx-ca {}", crate::plugin_conventions::data(&format!("tls/{ca}.crt"))),
            &url,
        )
        .end()
    };
    // A certificate that is its own CA; a leaf given as CA; one on P-521; one signed by an authority on P-521.
    for (certificate, ca) in [("own-ca", "own-ca"), ("leaf", "leaf"), ("p521", "p521"), ("leaf", "authority")]
    {
        status(certificate, ca).exits(0).shows("10,000 connections");
    }
    status("leaf", "own-ca").exits(0).shows("unknown, ").reports("authority that is not known");
    status("other-name", "other-name").exits(0).shows("unknown, ").reports("another name");
}
