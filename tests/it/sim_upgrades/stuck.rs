//! Upgrades without progress: the pods show the cause, and the follower reports `stalled` with the reason.

use emqx_sim::Scenario;
use kubectl_emqx::model::Verdict;
use serde_json::json;

use crate::sim_upgrades::recorded_cluster::{Stage, verdict};

async fn stalls(mut stage: Stage, image: &str, name: &str) -> (Stage, String) {
    stage.pass(2).await;
    stage.change(json!({ "image": image })).await;
    stage.pass(130).await;
    let replayed = stage.tape(name).replayed();
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Stalled, "{reason}");
    // No client was disconnected.
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert_eq!((tally.cuts, tally.lost_sessions), (0, 0));
    let reason = reason.to_owned();
    (stage, reason)
}

#[tokio::test]
async fn an_image_that_is_not_there_stays_in_image_pull_back_off() {
    let stage = Stage::built_in("upgrade-v2beta1").await;
    let (stage, reason) = stalls(stage, "emqx/emqx-enterprise:5.8", "stuck-image").await;
    assert!(reason.contains("emqx/emqx-enterprise:5.8"), "{reason}");
    let waiting = stage.new_pod()["status"]["containerStatuses"][0]["state"]["waiting"].take();
    assert_eq!(waiting["reason"], "ImagePullBackOff");
    assert_eq!(waiting["message"], "Back-off pulling image \"emqx/emqx-enterprise:5.8\"");
}

#[tokio::test]
async fn pods_without_capacity_stay_pending() {
    let stage = Stage::built_in("upgrade-stuck").await;
    let (stage, reason) = stalls(stage, "emqx/emqx-enterprise:5.8.7", "stuck-pending").await;
    assert!(reason.contains("Insufficient memory"), "{reason}");
    assert_eq!(stage.new_pod()["status"]["phase"], "Pending");
}

#[tokio::test]
async fn pods_that_end_again_and_again_are_reported_as_such() {
    let text = "name: crash\napi: v2beta1\nnewPods: crashLoop\nnodes: [{count: 2, connections: 10}]\n";
    let stage = Stage::open(Scenario::from_yaml(text).unwrap()).await;
    let (stage, reason) = stalls(stage, "emqx/emqx-enterprise:5.8.7", "stuck-crash").await;
    assert!(reason.contains("CrashLoopBackOff"), "{reason}");
    assert_eq!(stage.new_pod()["status"]["containerStatuses"][0]["restartCount"], 3);
}

#[tokio::test]
async fn taken_back_before_it_was_available_the_old_set_is_the_wanted_one_again() {
    let mut stage = Stage::built_in("upgrade-stuck").await;
    stage.change(json!({ "image": "emqx/emqx-enterprise:5.8.7" })).await;
    stage.pass(10).await;
    stage.change(json!({ "image": "emqx/emqx-enterprise:5.8.6" })).await;
    stage.until(60, |stage| stage.status()["conditions"][0]["type"] == "Ready").await;
    let counts = stage.status()["coreNodesStatus"].take();
    assert_eq!(
        (&counts["currentRevision"], &counts["updateRevision"]),
        (&json!("66c88f5c8"), &json!("66c88f5c8"))
    );
}
