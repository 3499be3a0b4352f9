//! EMQX v2beta1 of operator 2.2: the behaviour of [OP-13] and [OP-22].

use kubectl_emqx::model::{EventType, Verdict};
use serde_json::{Value, json};

use crate::sim_upgrades::recorded_cluster::{Stage, messages, moved, verdict};

const OLD: &str = "emqx/emqx-enterprise:5.8.6";
const NEW: &str = "emqx/emqx-enterprise:5.8.7";
const ON_SERVING: &str = "apps.emqx.io/on-serving";

fn ready(stage: &Stage) -> bool {
    stage.status()["conditions"][0]["type"] == "Ready"
        && stage.status()["coreNodesStatus"]["currentRevision"]
            == stage.status()["coreNodesStatus"]["updateRevision"]
}

#[tokio::test]
async fn one_old_pod_after_another_is_emptied_the_highest_first_as_recorded() {
    let mut stage = Stage::built_in("upgrade-v2beta1").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(10).await;
    stage.until(400, ready).await;
    stage.pass(35).await;
    let tape = stage.tape("upgrade-v2beta1");
    let replayed = tape.replayed();
    let (verdict, end, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded, "{reason}");
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    // All old pods leave the Service at the same moment, before the first one is emptied.
    assert_eq!(
        messages(&replayed, EventType::Notice),
        ["all 4 old pods left the Service at one moment: new clients go to new pods only"]
    );
    // The recording's events in the recording's order.
    let node = |pod: u8| format!("emqx@emqx-core-66c88f5c8-{pod}.emqx-headless.mq.svc.cluster.local");
    let wanted: Vec<String> = (0..4)
        .rev()
        .flat_map(|pod| {
            let set = "emqx-core-66c88f5c8";
            [
                format!("Node {} is being evacuated", node(pod)),
                format!("Delete Pod {set}-{pod} in StatefulSet {set} successful"),
            ]
        })
        .collect();
    assert_eq!(stage.events(&["NodeEvacuation", "SuccessfulDelete"]), wanted);
    // 71 to 72 s a pod: the hidden minute, four rounds, five seconds, removal.
    let starts = starts(&replayed);
    for pair in starts.windows(2) {
        assert!((70.0..=72.5).contains(&(pair[1] - pair[0])), "{starts:?}");
    }
    let plan = tape.plan(1.9, NEW, |_| {});
    assert_eq!(plan.from.as_deref(), Some(OLD));
    let (reported, was) = (plan.total_seconds as f64, end - moved(&replayed));
    assert!((reported - was).abs() / was <= 0.05, "reported {reported}, was {was}");
    // No client was disconnected twice.
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert_eq!((tally.cuts, tally.lost_sessions), (3200, 0));
}

/// When each old pod's turn began.
fn starts(replayed: &[crate::sim_upgrades::recorded_cluster::ReplayedEvent]) -> Vec<f64> {
    replayed
        .iter()
        .filter(|it| {
            it.event.kind == EventType::Phase && it.event.message.contains(": waiting for load balancers")
        })
        .map(|it| it.t)
        .collect()
}

#[tokio::test]
async fn the_counts_and_conditions_on_the_way_are_the_recordings() {
    let mut stage = Stage::built_in("upgrade-v2beta1").await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(1).await;
    // The stages begin again; the revisions differ at once.
    let status = stage.status();
    let kinds = |status: &Value| -> Vec<String> {
        let list = status["conditions"].as_array().unwrap().iter();
        list.map(|it| it["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&status), ["CoreNodesProgressing"]);
    assert_eq!(status["coreNodesStatus"]["currentRevision"], "66c88f5c8");
    assert_ne!(status["coreNodesStatus"]["updateRevision"], "66c88f5c8");
    stage.pass(6).await;
    let status = stage.status();
    assert_eq!(kinds(&status), ["Available", "CoreNodesReady", "CoreNodesProgressing"]);
    let counts = &status["coreNodesStatus"];
    assert_eq!((&counts["replicas"], &counts["readyReplicas"]), (&json!(4), &json!(8)), "8 of 4");
    let pod = stage.object("pods", "emqx-core-66c88f5c8-0");
    let gate = pod["status"]["conditions"].as_array().unwrap().iter().find(|it| it["type"] == ON_SERVING);
    assert_eq!(gate.unwrap()["status"], "False");
}

#[tokio::test]
async fn an_undo_half_way_makes_a_third_set_and_converges() {
    let mut stage = Stage::built_in("upgrade-v2beta1").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(100).await;
    stage.change(json!({ "image": OLD })).await;
    stage.pass(5).await;
    let counts = stage.status()["coreNodesStatus"].take();
    assert_eq!(counts["collisionCount"], 1);
    assert_eq!(counts["currentRevision"], "66c88f5c8", "the oldest set goes first");
    stage.until(700, ready).await;
    stage.pass(35).await;
    let replayed = stage.tape("undo-v2beta1").replayed();
    let notices = messages(&replayed, EventType::Notice);
    assert!(notices.iter().any(|it| it.starts_with("3 sets run at once")), "{notices:?}");
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Reverted, "{reason}");
    assert!(reason.contains("none missing"), "{reason}");
    let (connections, lost) = stage.running.emqx().with(|broker| {
        (broker.members().map(|(_, node)| node.connections).sum::<u64>(), broker.tally.lost_sessions)
    });
    assert_eq!((connections, lost), (3200, 0));
}
