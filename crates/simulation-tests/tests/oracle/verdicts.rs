//! Verdicts of rebalances, and what is printed about them.

use serde_json::{Value, json};
use simulation_tests::Write;
use simulation_tests::case::{Fault, Operation, Part};
use simulation_tests::truth::Moment;

use super::story::{Story, apply, no_run};

#[test]
fn a_true_output_breaks_no_rule() {
    Story::new().follows(63.0, "balanced", 0, "750 each, none missing").is_true();
}

#[test]
fn a_verdict_while_it_runs_is_found() {
    Story::new().follows(40.0, "balanced", 0, "").breaks("balanced while it runs");
    Story::new().follows(40.0, "coordinatorLost", 4, "").breaks("coordinatorLost while it runs");
    Story::new().follows(40.0, "stalled", 4, "").breaks("stalled while it runs");
    Story::new().follows(40.0, "clientsMissing", 7, "").breaks("clientsMissing while it runs");
}

#[test]
fn another_verdict_than_the_true_one_is_found() {
    for (verdict, exit) in [("coordinatorLost", 4), ("uneven", 7), ("overshot", 7), ("clientsMissing", 7)] {
        Story::new().follows(63.0, verdict, exit, "").breaks(&format!("{verdict} instead of balanced"));
    }
    Story::new().follows(63.0, "unknown", 1, "").breaks("unknown instead of balanced");
}

#[test]
fn unknown_is_accepted_only_where_a_source_was_away() {
    let away = || Story::new().fault(50.0, Fault::EmqxSilent(25.0));
    away().follows(70.0, "unknown", 1, "EMQX has not answered since 50 s").is_true();
    Story::new()
        .fault(10.0, Fault::EmqxSilent(5.0))
        .follows(70.0, "unknown", 1, "")
        .breaks("unknown instead of balanced");
}

#[test]
fn a_lost_node_forbids_balanced_and_has_to_be_named() {
    let died = || {
        Story::new()
            .fault(50.0, Fault::NodeDown { part: Part::Donor, back: None })
            .at(50.0, 400.0, |moment| (moment.nodes[1].alive, moment.nodes[1].connections) = (false, 0))
            .at(50.0, 400.0, no_run)
    };
    died().follows(63.0, "balanced", 0, "").breaks("balanced instead of nodesLost");
    died().follows(63.0, "nodesLost", 7, "emqx-core-1 stopped at 08:00:50 with 750 clients").is_true();
    died().follows(63.0, "nodesLost", 7, "a node stopped").breaks("a lost node is not named");
}

#[test]
fn an_end_that_is_reported_too_late_or_never_is_found() {
    Story::new().follows(140.0, "balanced", 0, "").breaks("an end is reported too late");
    let mut story = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 399.0, 0);
    story.0.processes[0].ended = None;
    story.breaks("an end is never reported");
    let mut gave_up = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 30.0, 1);
    gave_up.0.processes[0].ended = Some(30.0);
    gave_up.breaks("following ends without a verdict");
}

#[test]
fn a_follower_that_prints_nothing_for_long_is_found() {
    let story = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0);
    story.event(63.0, "verdict", 100, Some("balanced"), "").breaks("a follower prints nothing for long");
}

#[test]
fn an_exit_code_that_does_not_fit_the_verdict_is_found() {
    Story::new().follows(63.0, "balanced", 4, "").breaks("the exit code does not fit balanced");
}

#[test]
fn words_about_clients_are_compared_with_the_clients() {
    let fewer = || Story::new().at(20.0, 400.0, |moment| moment.nodes[0].connections -= 200);
    fewer().follows(63.0, "balanced", 0, "none missing").breaks("none missing is not true");
    let message = "2,900 clients at the start, 1,500 clients missing";
    fewer().follows(95.0, "clientsMissing", 7, message).breaks("more clients are reported missing than are");
    fewer().follows(95.0, "clientsMissing", 7, "200 clients missing").is_true();
    Story::new()
        .at(30.0, 400.0, |moment| moment.lost_sessions = 3)
        .follows(63.0, "balanced", 0, "no session lost")
        .breaks("no session lost is not true");
}

#[test]
fn means_that_no_moment_had_are_found() {
    let story = |message: &str| Story::new().follows(63.0, "balanced", 0, message);
    story("donors 900, recipient 400; none missing").breaks("the means of a verdict are not those");
    story("donors 750, recipient 750; none missing").is_true();
}

#[test]
fn a_duration_that_is_not_the_true_one_is_found() {
    let story = |message: &str| Story::new().follows(63.0, "balanced", 0, message);
    story("none missing, 227 s").breaks("another duration is reported than it took");
    story("none missing, 58 s").is_true();
    let list = |seconds: Value| {
        let item = json!({ "verdict": "balanced", "message": "", "durationSeconds": seconds });
        let story = Story::new().follows(63.0, "balanced", 0, "");
        story.typed("rebalance list -o json", 80.0, 81.0, 0).prints(81.0, &json!({ "items": [item] }))
    };
    list(json!(227)).breaks("another duration is reported than it took");
    list(json!(57)).is_true();
    list(Value::Null).is_true();
}

#[test]
fn the_number_of_clients_that_moved_is_compared_with_those_that_did() {
    Story::new().follows(63.0, "balanced", 0, "750 each; 750 clients moved, none missing").is_true();
    Story::new()
        .follows(63.0, "balanced", 0, "750 each; 1,500 clients moved, none missing")
        .breaks("another number of clients is reported moved than was");
}

#[test]
fn an_object_that_no_operator_picks_up_and_that_does_not_wait_is_found() {
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        let mut story = Story::new().at(0.0, 400.0, no_run).typed("rebalance list -o json", 60.0, 60.5, 0);
        story.0.case.operator_away = Some(100.0);
        let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
        story.0.writes.push(Write { at: 1.0, request });
        story.0.processes.insert(0, apply());
        story.prints(60.4, &document)
    };
    list("waiting").is_true();
    list("running").breaks("an object that no operator picks up does not wait");
    list("unknown").breaks("an object that no operator picks up does not wait");
}

#[test]
fn a_clock_that_was_set_forward_explains_as_many_seconds_of_a_duration_as_it_jumped() {
    let joined = |jump: i64, message: &str| {
        Story::new()
            .operation(Operation::OthersRebalance)
            .fault(10.0, Fault::DateJump(jump))
            .typed("rebalance watch -o jsonl", 12.0, 63.0, 0)
            .event(30.0, "progress", 30, None, "")
            .event(63.0, "verdict", 100, Some("balanced"), message)
    };
    joined(120, "none missing, 176 s").is_true();
    joined(120, "none missing, 56 s").is_true();
    joined(120, "none missing, 290 s").breaks("another duration is reported than it took");
    joined(5, "none missing, 176 s").breaks("another duration is reported than it took");
}

#[test]
fn an_object_may_seem_too_old_only_where_the_jump_of_the_clock_makes_it_so() {
    let joined = |jump: i64, started: f64| {
        let mut story = Story::new()
            .operation(Operation::OthersRebalance)
            .fault(6.0, Fault::DateJump(jump))
            .typed("rebalance watch -o jsonl", started, 63.0, 1)
            .event(40.0, "progress", 30, None, "")
            .prints(63.0, &json!({ "kind": "Event", "type": "verdict", "name": "emqx-1", "verdict": "unknown", "message": "" }));
        story.0.case.strategy.wait_health_check = 10;
        story
    };
    joined(3600, 8.0).is_true();
    joined(60, 8.0).breaks("unknown instead of balanced");
    joined(-3600, 8.0).breaks("unknown instead of balanced");
    // The first wait was over, or the clock jumped afterwards.
    joined(3600, 30.0).breaks("unknown instead of balanced");
    joined(3600, 5.5).breaks("unknown instead of balanced");
}

#[test]
fn a_process_that_begins_after_the_end_may_not_know_the_verdict() {
    let watch = |started: f64| {
        Story::new()
            .operation(Operation::OthersRebalance)
            .typed("rebalance watch -o jsonl", started, 75.0, 1)
            .prints(75.0, &json!({ "kind": "Event", "type": "verdict", "name": "emqx-1", "verdict": "unknown", "message": "" }))
    };
    watch(61.0).is_true();
    watch(59.0).breaks("unknown instead of balanced");
}

#[test]
fn the_deletion_of_an_object_does_not_end_a_rebalance_that_has_none() {
    let direct = |operation: Operation| {
        let uneven = |moment: &mut Moment| moment.nodes[0].connections += 1500;
        Story::new()
            .operation(operation)
            .fault(30.0, Fault::ObjectDeleted)
            .at(50.0, 400.0, uneven)
            .at(0.0, 400.0, |moment| moment.runs.iter_mut().for_each(|run| run.state = "evicting_conns"))
            .follows(63.0, "uneven", 7, "")
    };
    direct(Operation::DirectRebalance).is_true();
    direct(Operation::Rebalance).breaks("uneven instead of");
}
