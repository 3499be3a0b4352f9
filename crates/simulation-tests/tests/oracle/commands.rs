//! Commands that stop, evacuate, list and read.

use serde_json::json;
use simulation_tests::Write;
use simulation_tests::case::Operation;
use simulation_tests::truth::Moment;

use super::story::{Story, no_run, run};

#[test]
fn a_command_that_reads_and_writes_is_found() {
    let watch =
        || Story::new().operation(Operation::OthersRebalance).typed("rebalance watch -o jsonl", 0.0, 63.0, 0);
    let mut story = watch();
    let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
    story.0.writes.push(Write { at: 10.0, request });
    story.breaks("a command that reads has written");
    let mut story = watch();
    story.0.orders.push((10.0, "/api/v5/load_rebalance/emqx@a/stop".to_owned()));
    story.breaks("a command that reads has given EMQX an order");
}

#[test]
fn one_apply_that_creates_two_objects_is_found() {
    let mut story = Story::new().follows(63.0, "balanced", 0, "");
    for at in [1.0, 2.0] {
        let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
        story.0.writes.push(Write { at, request });
    }
    story.breaks("one apply creates two objects");
}

#[test]
fn a_stop_that_leaves_something_running_is_found() {
    let story = || Story::new().operation(Operation::StoppedRebalance);
    story().typed("rebalance stop emqx --yes", 20.0, 30.0, 0).breaks("stop leaves it running");
    story().at(28.0, 400.0, no_run).typed("rebalance stop emqx --yes", 20.0, 30.0, 0).is_true();
    let emptied = || {
        Story::new()
            .operation(Operation::StoppedEvacuation)
            .at(0.0, 400.0, no_run)
            .at(5.0, 60.0, |moment| moment.evacuations.push((3, "evicting_conns")))
    };
    emptied()
        .typed("evacuate stop emqx-core-3 --yes", 20.0, 30.0, 0)
        .breaks("stop leaves an evacuation running");
}

#[test]
fn an_evacuation_that_is_not_empty_is_not_evacuated() {
    let emptied = |clients: u64| {
        let state = if clients == 0 { "prohibiting" } else { "evicting_conns" };
        Story::new()
            .operation(Operation::Evacuation)
            .at(0.0, 400.0, no_run)
            .at(5.0, 400.0, move |moment| moment.evacuations.push((3, "evicting_conns")))
            .at(40.0, 400.0, move |moment| {
                moment.evacuations = vec![(3, state)];
                moment.nodes[3].connections = clients;
            })
            .typed("evacuate start emqx-core-3 --yes --watch -o jsonl", 0.0, 42.0, 0)
            .event(20.0, "progress", 30, None, "")
            .event(42.0, "verdict", 100, Some("evacuated"), "")
    };
    emptied(0).is_true();
    emptied(12).breaks("an evacuation is evacuated while it runs");
}

#[test]
fn a_status_that_differs_from_what_runs_is_found() {
    let status = |at: f64, verdict: &str, operation: &str| {
        let document = json!({
            "verdict": verdict, "operation": operation, "message": "", "sources": { "emqx": { "state": "ok" } },
        });
        Story::new()
            .operation(Operation::Status)
            .typed("status -o json", at, at + 0.5, 0)
            .prints(at, &document)
    };
    status(30.0, "running", "rebalance").is_true();
    status(30.0, "idle", "none").breaks("idle while a rebalance runs");
    status(200.0, "even", "none").is_true();
    status(200.0, "running", "rebalance").breaks("a rebalance is reported although none runs");
    status(200.0, "uneven", "none").breaks("uneven although it is even");
    let crowded = |moment: &mut Moment| moment.nodes[0].connections += 1500;
    status(200.0, "even", "none").at(100.0, 400.0, crowded).breaks("even although it is uneven");
    status(200.0, "even", "none")
        .at(100.0, 400.0, |moment| moment.nodes[2].alive = false)
        .breaks("even although a node is down");
}

#[test]
fn a_list_with_a_verdict_that_was_not_true_is_found() {
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        Story::new().typed("rebalance list -o json", 90.0, 90.5, 0).prints(90.4, &document)
    };
    list("balanced").is_true();
    list("unknown").is_true();
    list("uneven").breaks("the list has uneven instead of");
}

#[test]
fn a_list_long_after_the_end_is_not_judged_by_the_counts_of_now() {
    let crowded = |moment: &mut Moment| moment.nodes[0].connections += 1500;
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        Story::new()
            .operation(Operation::UnfollowedRebalance)
            .at(250.0, 400.0, crowded)
            .typed("rebalance list -o json", 300.0, 300.5, 0)
            .prints(300.4, &document)
    };
    list("unknown").is_true();
    list("balanced").is_true();
    list("uneven").breaks("the list has uneven instead of");
}

#[test]
fn a_list_is_not_compared_with_a_rebalance_that_an_operator_starts_later() {
    let list = |at: f64| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": "waiting", "message": "" }] });
        Story::new()
            .at(58.0, 400.0, |moment| moment.runs = vec![run()])
            .at(0.0, 50.0, no_run)
            .typed("rebalance list -o json", at, at + 0.5, 0)
            .prints(at + 0.4, &document)
    };
    list(40.0).is_true();
    list(70.0).breaks("the list has waiting while it runs");
}
