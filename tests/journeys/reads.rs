//! Reading: `status`, `nodes`, `version`, `rebalance`, `rebalance list`, in every form.

use serde_json::Value;

use crate::harness::{Cluster, alone, harmless, keys};

pub(crate) const NODE: &str = "node pod set revision role running ready serving connections sessions share part state \
                               version membership podReason since source";
pub(crate) const STATUS: &str = "apiVersion kind instance api operator edition versions nodes totals operation phase \
                                 percent etaSeconds verdict message health membership operations sources";
pub(crate) const API_VERSION: &str = "cli.emqx.io/v1alpha1";

fn counts(nodes: &Value) -> Vec<u64> {
    nodes.as_array().expect("nodes").iter().map(|it| it["connections"].as_u64().expect("a count")).collect()
}

#[test]
fn status_as_json_holds_what_the_contract_names_and_nothing_else() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run("status -o json").exits(0);
    let status = ran.json();
    keys(&status, STATUS);
    assert_eq!(status["apiVersion"], API_VERSION);
    assert_eq!(status["kind"], "Status");
    keys(&status["instance"], "kind namespace name");
    assert_eq!(status["instance"]["name"], "emqx");
    assert_eq!(status["instance"]["namespace"], "mq");
    assert_eq!(status["api"], "v2beta1");
    keys(&status["operator"], "line silentSeconds process leaseSeconds");
    assert_eq!(status["operator"]["line"], "2.2");
    assert_eq!(status["versions"], serde_json::json!(["5.8.6"]));
    assert_eq!(counts(&status["nodes"]), [3333, 3333, 3334, 0]);
    for node in status["nodes"].as_array().expect("nodes") {
        keys(node, NODE);
        assert_eq!(node["role"], "core");
        assert_eq!(node["ready"], true);
        assert_eq!(node["serving"], true);
        assert_eq!(node["part"], Value::Null, "nothing runs: null, not a word");
        assert_eq!(node["state"], Value::Null);
        assert_eq!(node["source"], "emqx");
    }
    assert_eq!(status["nodes"][2]["share"], 0.3334);
    keys(&status["totals"], "connections sessions nodes serving");
    assert_eq!(status["totals"]["connections"], 10_000);
    assert_eq!(status["operation"], "none");
    assert_eq!(status["verdict"], "idle");
    for unknown in ["phase", "percent", "etaSeconds"] {
        assert_eq!(status[unknown], Value::Null, "{unknown} is unknown, never 0");
    }
    keys(&status["sources"], "kubernetes pods endpoints emqx");
    for source in ["kubernetes", "pods", "endpoints", "emqx"] {
        keys(&status["sources"][source], "state ageSeconds");
        assert_eq!(status["sources"][source]["state"], "ok");
    }
}

#[test]
fn every_read_prints_the_same_as_yaml_and_as_json() {
    let demo = Cluster::demo("documented", 40);
    for verb in ["status", "nodes", "version", "rebalance list", "rebalance plan", "status -A", "nodes -A"] {
        // The ages of the sources may differ by a second between two calls.
        let without_ages = |value: &Value| {
            let mut value = value.clone();
            forget(&mut value);
            value
        };
        let json = demo.run(&format!("{verb} -o json")).exits(0).json();
        let ran = demo.run(&format!("{verb} -o yaml")).exits(0);
        let yaml: Value = serde_yaml::from_str(&ran.out).expect("YAML");
        assert_eq!(without_ages(&json), without_ages(&yaml), "{verb}");
        assert_eq!(json["apiVersion"], API_VERSION, "{verb}");
    }
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                !["ageSeconds", "silentSeconds", "leaseSeconds", "durationSeconds"].contains(&key.as_str())
            });
            map.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

#[test]
fn with_all_namespaces_or_a_selector_a_read_is_a_list() {
    let demo = Cluster::demo("documented", 40);
    for select in ["-A", "-l apps.emqx.io/none!=1", "--field-selector metadata.name=emqx"] {
        let list = demo.run(&format!("status {select} -o json")).exits(0).json();
        keys(&list, "apiVersion kind items");
        assert_eq!(list["kind"], "StatusList", "{select}");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{select}");
        keys(&list["items"][0], STATUS);
        let list = demo.run(&format!("nodes {select} -o json")).exits(0).json();
        assert_eq!(list["kind"], "NodesList", "{select}");
        keys(&list["items"][0], "apiVersion kind instance items");
        keys(&list["items"][0]["items"][0], NODE);
    }
    let none = demo.run("status -l no=such -o json").exits(0).json();
    assert_eq!(none["items"], serde_json::json!([]));
    assert_eq!(demo.run("status -A -o name").exits(0).out, "emqx.apps.emqx.io/emqx\n");
    // Events follow the selected instance: the only one, never one of several.
    demo.run("watch -A --timeout 1s").exits(0).reports("watching EMQX mq/emqx: ");
    demo.run("watch -l no=such --timeout 1s").fails(1).reports("no EMQX cluster");
    let other = r#"{"apiVersion":"apps.emqx.io/v2beta1","kind":"EMQX","metadata":{"name":"other","namespace":"default"},
        "spec":{"image":"emqx/emqx-enterprise:5.8.6"}}"#;
    let (status, answer) = demo.api("POST", "/apis/apps.emqx.io/v2beta1/namespaces/default/emqxes", other);
    assert_eq!(status, 201, "{answer}");
    demo.run("watch -A --timeout 1s")
        .fails(2)
        .reports("2 EMQX clusters were selected")
        .reports("kubectl emqx watch -n ");
}

#[test]
fn nodes_version_and_list_hold_what_the_contract_names() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    let nodes = demo.run("nodes -o json").exits(0).json();
    keys(&nodes, "apiVersion kind instance items");
    assert_eq!(nodes["kind"], "Nodes");
    assert_eq!(nodes["instance"]["kind"], "EmqxEnterprise");
    assert_eq!(counts(&nodes["items"]), [3333, 3333, 3334, 0]);
    keys(&nodes["items"][0], NODE);
    let version = demo.run("version -o json").exits(0).json();
    keys(&version, "apiVersion kind plugin kubernetes operator clusters");
    assert_eq!(version["plugin"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["operator"], "2.2");
    assert_eq!(version["clusters"][0]["instance"]["name"], "emqx-ee");
    let list = demo.run("rebalance list -o json").exits(0).json();
    keys(&list, "apiVersion kind items");
    assert_eq!(list["kind"], "RebalanceList");
    assert_eq!(demo.run("status -o name").exits(0).out, "emqxenterprise.apps.emqx.io/emqx-ee\n");
    for name in ["emqx-ee", "emqxenterprise/emqx-ee"] {
        demo.run(&format!("status {name}")).exits(0).shows("10,000 connections");
    }
    demo.run("status emqx/emqx-ee").fails(1);
}

#[test]
fn text_is_for_people_and_has_no_escape_sequence_in_a_pipe() {
    let demo = Cluster::demo("documented", 40);
    let status = demo.run("status").exits(0).shows("3,334").shows("SERVING").shows("idle");
    harmless(&status.out);
    harmless(&status.err);
    // The recommended command is a message, not data.
    assert!(status.err.contains("kubectl emqx rebalance plan emqx"), "{status}");
    assert!(!status.out.contains("next:"), "{status}");
    for verb in ["nodes", "version", "status -o wide", "nodes -o wide", "rebalance plan"] {
        let ran = demo.run(verb).exits(0);
        harmless(&ran.out);
        harmless(&ran.err);
        assert!(!ran.out.is_empty(), "{verb}");
    }
    demo.run("status -o wide").exits(0).shows("emqx@emqx-core-66c88f5c8-3");
}

#[test]
fn colour_comes_when_it_is_asked_for_and_never_else() {
    let demo = Cluster::demo("documented", 40);
    assert!(demo.run("status --color always").exits(0).out.contains('\u{1b}'));
    assert!(!demo.run("status --color never").exits(0).out.contains('\u{1b}'));
    assert!(
        !demo.run("status -o json --color always").exits(0).out.contains('\u{1b}'),
        "data is not painted"
    );
    let no_color = |arguments: &str| {
        let mut command = demo.command(arguments);
        command.env("NO_COLOR", "1");
        crate::harness::Going::start(command, None).end().exits(0)
    };
    assert!(!no_color("status").out.contains('\u{1b}'));
    let plain = demo.run("status --color never").exits(0).out;
    let painted = demo.run("status --color always").exits(0).out;
    assert!(painted.len() > plain.len());
    // The words are the same: colour is never the only information.
    let words = |text: &str| {
        let mut clean = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            clean.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        clean + rest
    };
    assert_eq!(words(&painted), plain);
}

#[test]
fn ascii_is_ascii_on_both_streams() {
    let demo = Cluster::demo("documented", 40);
    for verb in
        ["status", "nodes", "rebalance plan", "rebalance plan --conn-evict-rate 10 -o wide", "version"]
    {
        let ran = demo.run(&format!("{verb} --ascii")).exits(0);
        assert!(ran.out.is_ascii() && ran.err.is_ascii(), "{verb}\n{ran}");
    }
    let ran =
        demo.run(&format!("rebalance apply --yes --watch --ascii {}", crate::harness::DOCUMENTED)).exits(0);
    assert!(ran.out.is_ascii() && ran.err.is_ascii(), "{ran}");
}

#[test]
fn bare_rebalance_lists_and_prints_what_to_type_next() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run("rebalance").exits(0).reports("kubectl emqx rebalance plan");
    assert_eq!(ran.out, "", "there is none");
    let name = demo.running(crate::harness::SLOW);
    let ran = demo.run("rebalance").exits(0).shows(&name).shows("running");
    assert!(ran.err.contains(&format!("kubectl emqx rebalance watch {name}")), "{ran}");
    let list = demo.run("rebalance list -o json").exits(0).json();
    let item = &list["items"][0];
    keys(item, "name instance phase verdict message startedTime durationSeconds backend");
    assert_eq!(item["name"], name.as_str());
    assert_eq!(item["backend"], "rebalance");
    assert!(["running", "stillRunning"].contains(&item["verdict"].as_str().expect("a verdict")), "{item}");
    assert!(item["startedTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{item}");
    assert_eq!(demo.run("rebalance list -o name").exits(0).out, format!("rebalance.apps.emqx.io/{name}\n"));
    assert_eq!(demo.run("rebalance list -A -o json").exits(0).json()["kind"], "RebalanceList");
    // The status of a running rebalance.
    let status = demo.run("status -o json").exits(0).json();
    assert_eq!(status["operation"], "rebalance");
    assert!(status["percent"].is_u64() && status["etaSeconds"].is_u64(), "{status:#}");
    assert_eq!(status["nodes"][0]["part"], "donor");
    assert_eq!(status["nodes"][3]["part"], "recipient");
    demo.run("status").exits(0).reports(&format!("kubectl emqx rebalance watch {}", "emqx"));
}

#[test]
fn the_version_alone_contacts_nothing() {
    let ran = alone("--version").exits(0);
    assert_eq!(ran.out.trim(), format!("kubectl emqx {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_has_help_with_examples() {
    for verb in [
        "",
        "status",
        "nodes",
        "version",
        "rebalance",
        "rebalance plan",
        "rebalance generate",
        "rebalance apply",
        "rebalance watch",
        "rebalance stop",
        "rebalance list",
        "rebalance prune",
        "demo",
        "demo serve",
        "replay",
        "completion",
        "completion install",
    ] {
        let ran = alone(&format!("{verb} --help")).exits(0);
        let examples = ran.out.lines().filter(|line| line.trim().starts_with("kubectl emqx")).count();
        assert!(examples >= 2, "{verb}: {examples} examples\n{ran}");
        assert_eq!(ran.err, "", "{verb}");
    }
}

#[test]
fn a_template_picks_from_the_document_that_json_shows() {
    let demo = Cluster::demo("documented", 40);
    let picks = |verb: &[&str], template: &str| {
        let form = format!("jsonpath={template}");
        let mut command = demo.command("");
        command.args(verb).args(["-o", &form]);
        crate::harness::Going::start(command, None).end()
    };
    let is = |verb: &str, template: &str, expected: &str| {
        let words: Vec<&str> = verb.split(' ').collect();
        assert_eq!(picks(&words, template).exits(0).out, expected, "{verb}");
    };
    is("status", "{.verdict}", "idle");
    is("status", "{.nodes[*].connections} {.nodes[2].share}{'\\n'}", "3333 3333 3334 0 0.3334\n");
    is("status", "{.phase},{.nodes[-1].state}", "null,null");
    is(
        "status -A",
        "{range .items[*]}{.instance.name}: {.totals}{end}",
        "emqx: {\"connections\":10000,\"nodes\":4,\"serving\":4,\"sessions\":10000}",
    );
    is("nodes", "{range .items[*]}{.connections};{end}", "3333;3333;3334;0;");
    is("version", "{.plugin} {.clusters[0].instance.name}", concat!(env!("CARGO_PKG_VERSION"), " emqx"));
    is(
        "rebalance plan --counts 3333,3333,3334,0 --conn-evict-rate 10 --abs-conn-threshold 100",
        "{.moves.rounds}",
        "78",
    );
    is("rebalance list", "{.kind}{.items[*].name}", "RebalanceList");
    is(
        "rebalance apply --yes --dry-run=client --conn-evict-rate 1",
        "{.instance.name} {.plan.decision}",
        "emqx go",
    );
    let name = demo.running(crate::harness::SLOW);
    is("rebalance", "{.items[*].name}", &name);
    is("rebalance stop --yes", "{.verdict} {.name}", &format!("stopped rebalance.apps.emqx.io/{name}"));
    // For a path without a value nothing is printed, and the exit code shows it.
    let ran = picks(&["nodes"], "{.items[0].node}{.items[9].node}")
        .exits(1)
        .reports("out of bounds: index 9, length 4");
    assert_eq!(ran.out, "");
    for template in ["{..node}", "{.items[?(@.ready)]}", "{.items[0:2]}", "{.a", ""] {
        picks(&["nodes"], template).fails(2);
    }
    picks(&["watch", "--timeout", "1s"], "{.x}").fails(2);
}
