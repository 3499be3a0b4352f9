//! Upgrades and their rollbacks.

use serde_json::json;
use simulation_tests::case::{Fault, Operation, Part};
use simulation_tests::truth::Moment;

use super::story::{Story, no_run, run, verdict};

fn upgraded(version: &'static str, cuts: u64, lost: u64) -> Story {
    let mut story = Story::new().operation(Operation::Upgrade).at(0.0, 400.0, no_run);
    story.0.case.api = simulation_tests::case::Api::V1beta4;
    story.at(50.0, 400.0, move |moment| {
        for node in &mut moment.nodes {
            version.clone_into(&mut node.version);
        }
        (moment.cuts, moment.lost_sessions) = (cuts, lost);
    })
}

#[test]
fn an_upgrade_is_upgraded_only_when_every_node_is() {
    verdict(upgraded("4.4.24", 3000, 0), "upgraded", 0).is_true();
    verdict(upgraded("4.4.19", 0, 0), "upgraded", 0).breaks("upgraded although it is not done");
    let serves = |moment: &mut Moment| moment.nodes[1].serves = false;
    verdict(upgraded("4.4.24", 0, 0).at(50.0, 400.0, serves), "upgraded", 0)
        .breaks("upgraded although it is not done");
}

#[test]
fn an_upgrade_that_disconnects_twice_or_loses_sessions_is_found() {
    verdict(upgraded("4.4.24", 4000, 0), "upgraded", 0)
        .breaks("a guarded upgrade disconnects clients more than once");
    verdict(upgraded("4.4.24", 3000, 5), "upgraded", 0).breaks("a guarded upgrade loses sessions");
}

#[test]
fn an_unchanged_upgrade_is_neither_superseded_nor_reverted_nor_failed() {
    let story = || upgraded("4.4.24", 3000, 0);
    verdict(story(), "superseded", 7).breaks("an upgrade is superseded although no client changed the image");
    verdict(story(), "reverted", 7)
        .breaks("an upgrade is reverted although no client changed the image back");
    verdict(story(), "failed", 4).breaks("an upgrade is failed although it continues");
    verdict(story(), "unknown", 1).breaks("the end of an upgrade is unknown");
    verdict(story(), "clientsMissing", 7).breaks("clientsMissing although all are there");
    verdict(upgraded("4.4.19", 0, 0), "nothingToDo", 0)
        .breaks("an upgrade has nothing to do although old nodes run");
}

#[test]
fn a_rollback_is_reverted_only_when_every_node_is() {
    let undo = |version: &'static str| {
        let mut story = upgraded(version, 0, 0).operation(Operation::UndoneUpgrade);
        story = story.typed("upgrade undo emqx-ee --yes -o jsonl", 0.0, 61.0, 0);
        for at in [10.0, 30.0, 50.0] {
            story = story.event(at, "progress", at as u64, None, "");
        }
        story.event(61.0, "verdict", 100, Some("reverted"), "")
    };
    undo("4.4.19").is_true();
    undo("4.4.24").breaks("reverted although it is not done");
}

#[test]
fn an_upgrade_that_is_upgraded_although_clients_are_missing_is_found() {
    let left =
        |from: f64| upgraded("4.4.24", 3000, 0).at(from, 400.0, |moment| moment.nodes[0].connections -= 200);
    verdict(left(15.0), "upgraded", 0).breaks("upgraded although clients are missing");
    // Clients that left a moment ago may come back.
    verdict(left(45.0), "upgraded", 0).is_true();
}

#[test]
fn a_watcher_of_an_instance_may_see_the_upgrade_to_a_third_image_end() {
    let story = |superseded: bool, third: bool| {
        let image = simulation_tests::case::Image::Third;
        let version = if third { "4.4.25" } else { "4.4.24" };
        let mut story = upgraded(version, 0, 0)
            .operation(Operation::OthersUpgrade)
            .fault(20.0, Fault::ImageChanged(image))
            .typed("watch --plain -o jsonl", 0.0, 63.0, 0);
        if superseded {
            story = story.event(22.0, "verdict", 10, Some("superseded"), "");
        }
        story.event(61.0, "verdict", 100, Some("upgraded"), "")
    };
    let third = simulation_tests::case::Api::V1beta4.third_image();
    assert!(third.ends_with(":4.4.25"), "{third}");
    let rules = story(true, true).rules();
    assert!(!rules.iter().any(|rule| rule.starts_with("upgraded although")), "{rules:?}");
    story(false, true).breaks("upgraded although it is not done");
}

#[test]
fn pods_that_stop_and_start_in_turn_are_no_progress_of_an_upgrade() {
    let story = |period: u32, news: Option<f64>| {
        let mut story = upgraded("4.4.19", 0, 0).at(0.0, 400.0, move |moment| {
            moment.nodes[3].alive = (moment.at as u32 / period).is_multiple_of(2);
        });
        if let Some(news) = news {
            story = story.at(news, 400.0, |moment| moment.nodes[2].connections = 1);
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(20, None).is_true();
    // Clients of the pod that stopped at 140 s connect again.
    story(20, Some(145.0)).is_true();
    story(20, Some(155.0)).breaks("an upgrade is stalled while it moves");
}

#[test]
fn clients_that_a_rebalance_moves_are_no_progress_of_an_upgrade() {
    let story = |rebalanced: bool, another: fn(&mut Moment)| {
        let mut story = upgraded("4.4.19", 0, 0).at(100.0, 180.0, |moment| {
            moment.nodes[0].connections = 1000 - moment.at as u64;
        });
        if rebalanced {
            story = story.at(100.0, 180.0, |moment| moment.runs = vec![run()]);
        }
        story = story.at(150.0, 180.0, another).typed(
            "upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl",
            0.0,
            200.0,
            4,
        );
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(true, |_| {}).is_true();
    story(true, |_| {}).at(60.0, 120.0, |moment| moment.nodes[1].serves = false).is_true();
    story(false, |_| {}).breaks("an upgrade is stalled while it moves");
    story(true, |moment| moment.nodes[3].serves = false).breaks("an upgrade is stalled while it moves");
}

#[test]
fn an_upgrade_may_be_stalled_by_its_pods_alone_while_no_core_runs() {
    let story = |message: &str, core: bool| {
        let mut story = upgraded("4.4.19", 0, 0)
            .at(100.0, 400.0, move |moment| (moment.nodes[0].alive, moment.nodes[1].alive) = (core, core))
            .at(150.0, 400.0, |moment| moment.nodes[3].connections = 77);
        for node in [2, 3] {
            story = story.at(0.0, 400.0, move |moment| moment.nodes[node].core = false);
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), message)
    };
    let pods = "stalled: no progress of the pods for 90s: a pod finds no node to run on";
    story(pods, false).is_true();
    story(pods, true).breaks("an upgrade is stalled while it moves");
    story("stalled: no progress for 90s", false).breaks("an upgrade is stalled while it moves");
}

#[test]
fn a_node_that_comes_back_after_a_fault_is_no_progress_of_an_upgrade() {
    let story = |fault: Option<f64>| {
        let mut story = upgraded("4.4.19", 0, 0)
            .at(10.0, 150.0, |moment| (moment.nodes[3].alive, moment.nodes[3].connections) = (false, 0))
            .at(150.0, 400.0, |moment| moment.nodes[3].connections = 0);
        if let Some(back) = fault {
            story = story.fault(10.0, Fault::NodeDown { part: Part::Recipient, back: Some(back) });
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(Some(140.0)).is_true();
    story(Some(20.0)).breaks("an upgrade is stalled while it moves");
    story(None).breaks("an upgrade is stalled while it moves");
}

#[test]
fn the_verdict_of_another_clients_rebalance_is_not_that_of_the_upgrade() {
    let story = |operation: &str, runs: bool| {
        let event = json!({ "kind": "Event", "type": "verdict", "name": "others", "operation": operation, "percent": null,
            "verdict": "failed", "message": "failed: the instance is not ready" });
        let mut story = upgraded("4.4.24", 0, 0)
            .typed("watch --plain -o jsonl", 0.0, 61.0, 0)
            .prints(30.0, &event)
            .event(59.0, "verdict", 100, Some("upgraded"), "");
        if runs {
            story = story.at(25.0, 35.0, |moment| moment.runs = vec![run()]);
        }
        story
    };
    story("rebalance", false).is_true();
    story("rebalance", true).breaks("a rebalance has a verdict while it runs");
    story("upgrade", false).breaks("an upgrade is failed although it continues");
}
