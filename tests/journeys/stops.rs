//! `rebalance stop` and `rebalance prune`.

use serde_json::Value;

use crate::harness::{Cluster, DOCUMENTED, SLOW, keys, until};

fn idle(demo: &Cluster) -> bool {
    demo.run("status -o json").exits(0).json()["operation"] == "none"
}

#[test]
fn stop_calls_emqx_verifies_it_and_deletes_the_object() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    let stopped = demo.run("rebalance stop --yes -o json").exits(0).json();
    keys(&stopped, "apiVersion kind name instance backend verdict message proof");
    assert_eq!(stopped["kind"], "Stopped");
    assert_eq!(stopped["verdict"], "stopped");
    assert_eq!(stopped["backend"], "rebalance");
    assert!(stopped["name"].as_str().is_some_and(|it| it.ends_with(&name)), "{stopped:#}");
    assert!(stopped["proof"].as_array().is_some_and(|proof| proof.len() >= 2), "{stopped:#}");
    assert!(idle(&demo));
    until("the object goes", || demo.rebalances().is_empty());
    // A second stop finds nothing.
    demo.run("rebalance stop --yes").exits(0).reports("nothing");
    demo.run("rebalance stop --yes --error-unchanged").exits(3);
    demo.run(&format!("rebalance stop {name} --yes")).fails(1);
    demo.run("rebalance stop emqx --yes").exits(0).reports("nothing");
}

#[test]
fn stop_works_after_the_operator_reported_failed() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    until("the trap", || demo.rebalance(&name)["status"]["phase"] == "Failed");
    demo.run(&format!("rebalance watch {name} --timeout 100ms")).exits(5).reports("is still running");
    demo.run(&format!("rebalance stop {name} --yes --timeout 20s")).exits(0).shows("stopped");
    assert!(idle(&demo));
}

#[test]
fn stop_works_without_an_object() {
    let demo = Cluster::demo("documented-v3beta1", 40);
    let name = demo.running(SLOW);
    assert!(name.starts_with("coordinator/emqx@"), "{name}");
    demo.run(&format!("rebalance apply --yes {SLOW}")).fails(6);
    let list = demo.run("rebalance list -o json").exits(0).json();
    assert_eq!(list["items"][0]["backend"], "emqx");
    assert_eq!(list["items"][0]["phase"], Value::Null);
    // For a user who sees neither EMQX nor the Service the program does not report that nothing runs.
    for verb in ["stop --yes", "stop --yes --backend emqx", "watch"] {
        let ran = demo.run(&format!("rebalance {verb} --context no-pods")).fails(1);
        assert!(ran.err.contains("cannot determine whether anything runs in EMQX mq/emqx"), "{ran}");
    }
    let stopped = demo.run(&format!("rebalance stop {name} --yes -o json")).exits(0).json();
    assert_eq!((&stopped["name"], &stopped["backend"]), (&name.into(), &"emqx".into()));
    assert!(idle(&demo));
}

#[test]
fn stop_asks_first_and_a_dry_run_changes_nothing() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    demo.run("rebalance stop").fails(6).reports("--yes");
    for way in ["client", "server"] {
        demo.run(&format!("rebalance stop --dry-run {way}")).exits(0).shows(&name);
    }
    assert!(!idle(&demo));
    assert_eq!(demo.rebalances().len(), 1);
}

#[test]
fn without_emqx_only_a_young_processing_object_can_be_stopped() {
    // A user without permission for Secrets, so EMQX cannot be asked; the object is Processing with states.
    let demo = Cluster::demo("documented-v1beta4", 40);
    let name = demo.running(SLOW);
    until("the states are stored", || demo.rebalance(&name)["status"]["rebalanceStates"].is_array());
    let ran = demo.run(&format!("rebalance stop {name} --yes --context no-secrets")).exits(0);
    assert!(ran.out.contains("not verified"), "{ran}");
    assert!(idle(&demo));
    // On v2beta1 the operator has reported Failed by now: a delete would only get stuck.
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    until("the trap", || demo.rebalance(&name)["status"]["phase"] == "Failed");
    demo.run(&format!("rebalance stop {name} --yes --context no-secrets")).fails(6);
    let status = demo.run("status -o json --context no-secrets").exits(0).json();
    assert_eq!((&status["operation"], &status["verdict"]), (&"rebalance".into(), &"unknown".into()));
    assert!(
        status["message"].to_string().contains(&format!("{name}: the object reports Failed, its donors")),
        "{status:#}"
    );
    demo.run("rebalance watch nowhere").fails(1).reports("nowhere in namespace mq, and there is no EMQX");
    // A user who may not ask EMQX cannot follow it either: the command reports that and does not wait.
    let ran = demo.run(&format!("rebalance watch {name} --context no-secrets")).exits(1);
    assert!(ran.out.contains("unknown: the object reports Failed, but EMQX cannot be asked"), "{ran}");
    assert!(!idle(&demo));
    assert_eq!(demo.rebalances().len(), 1);
}

#[test]
fn prune_takes_what_is_over_and_never_what_runs() {
    let demo = Cluster::demo("documented", 40);
    demo.run("rebalance prune --yes").exits(0).reports("nothing to prune");
    demo.run("rebalance prune --yes --error-unchanged").exits(3);
    let first = demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED}")).exits(0);
    let first = first.out.trim().to_owned();
    demo.run("rebalance prune --yes --older-than 1h").exits(0).reports("nothing to prune");
    demo.run("rebalance prune").fails(6);
    let strategy =
        "--conn-evict-rate 1 --wait-health-check 1h --rel-conn-threshold 1.01 --abs-conn-threshold 1";
    // The operator reports EMQX Ready some seconds after the end of the first.
    until("EMQX is Ready", || {
        demo.run(&format!("rebalance apply {strategy} --dry-run client")).code == Some(0)
    });
    let second = demo.running(strategy);
    until("the trap", || demo.rebalance(&second)["status"]["phase"] == "Failed");
    let ran = demo.run("rebalance prune --dry-run client -o name").exits(0);
    assert_eq!(ran.out.trim(), first);
    demo.run("rebalance prune --dry-run server").exits(0).shows(&first);
    assert_eq!(demo.rebalances().len(), 2);
    let terminating = |name: &str| demo.rebalance(name)["metadata"]["deletionTimestamp"].is_string();
    let bare = first.strip_prefix("rebalance.apps.emqx.io/").expect("a resource");
    // While the second rebalance keeps the instance from being ready, a delete of the first object would get
    // stuck.
    let ran = demo.run("rebalance prune --yes").exits(0);
    assert_eq!(ran.out, "", "{ran}");
    assert!(ran.err.contains(&format!("{bare} stays: EMQX is not Ready")), "{ran}");
    assert!(!terminating(bare));
    // EMQX cannot be asked: the object that reports Failed may still run, and stays.
    demo.run("rebalance prune --yes --context no-secrets").exits(0).reports(&format!("{second} stays"));
    assert!(!terminating(&second) && demo.rebalances().iter().any(|(name, _)| *name == second));
}

#[test]
fn prune_waits_until_its_objects_are_deleted() {
    let demo = Cluster::demo("documented-v1beta4", 60);
    let ran = demo.run(&format!("rebalance apply --yes --watch {DOCUMENTED}")).exits(0);
    let name = ran.out.trim().to_owned();
    // The verdict is based on EMQX; the operator writes its own phase at its next reconcile.
    let bare = name.strip_prefix("rebalance.apps.emqx.io/").expect("a resource");
    until("the operator's status", || demo.rebalance(bare)["status"]["phase"] == "Completed");
    let ran = demo.run("rebalance prune --yes").exits(0);
    assert_eq!(ran.out.trim(), format!("{name} deleted"), "{ran}");
    assert_eq!(demo.rebalances(), []);
}
