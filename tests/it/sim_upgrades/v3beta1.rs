//! EMQX v3beta1 of operator 3.x: rolling, as in its source (there is no recording).

use emqx_sim::Scenario;
use kubectl_emqx::model::Verdict;
use serde_json::json;

use crate::sim_upgrades::recorded_cluster::{Stage, verdict};

const NEW: &str = "emqx/emqx-enterprise:5.10.2";

fn ready(stage: &Stage) -> bool {
    let status = stage.status();
    let ready = status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap();
    ready["status"] == "True"
        && status["coreNodes"].as_array().unwrap().iter().all(|it| it["version"] == "5.10.2")
}

#[tokio::test]
async fn cores_roll_the_highest_first_and_the_last_waits_for_the_replicants() {
    let mut stage = Stage::built_in("upgrade-v3beta1").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(5).await;
    stage.until(600, ready).await;
    stage.pass(35).await;
    let events = stage.events(&["SuccessfulCreate", "SuccessfulDelete"]);
    let at = |text: &str| events.iter().position(|it| it.contains(text)).unwrap();
    assert!(at("emqx-core-2 ") < at("emqx-core-1 "), "{events:?}");
    let replicants: Vec<usize> = events
        .iter()
        .enumerate()
        .filter(|(_, it)| it.starts_with("Deleted pod: emqx-replicant-"))
        .map(|(place, _)| place)
        .collect();
    assert_eq!(replicants.len(), 4, "{events:?}");
    assert!(replicants.iter().all(|&it| at("emqx-core-1 ") < it && it < at("emqx-core-0 ")), "{events:?}");
    assert!(stage.object("statefulsets", "emqx-core")["spec"]["updateStrategy"]["type"] == "OnDelete");
    let replayed = stage.tape("upgrade-v3beta1").replayed();
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
}

#[tokio::test]
async fn an_evacuation_that_outlives_the_restart_of_a_core_is_stopped() {
    let text = "name: cores\napi: v3beta1\nspec: {updateStrategy: {evacuationStrategy: {connectionEvictionRate: 200,\n\
                sessionEvictionRate: 200, waitTakeover: 5, waitHealthCheck: 5}}}\n\
                nodes: [{count: 3, connections: 400, offlineSessions: 20}]\n";
    let mut stage = Stage::open(Scenario::from_yaml(text).unwrap()).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(5).await;
    stage.until(300, ready).await;
    let node = |pod: u8| format!("Node emqx@emqx-core-{pod}.emqx-headless.mq.svc.cluster.local evacuation");
    let wanted: Vec<String> = (0..3)
        .rev()
        .flat_map(|pod| [format!("{} started", node(pod)), format!("{} stopped", node(pod))])
        .collect();
    assert_eq!(stage.events(&["NodeEvacuation"]), wanted);
    let (connections, lost) = stage.running.emqx().with(|broker| {
        let held: u64 = broker.members().map(|(_, node)| node.connections).sum();
        (held + broker.in_flight(), broker.tally.lost_sessions)
    });
    assert_eq!((connections, lost), (1200, 0));
}

#[tokio::test]
async fn a_replicant_that_was_being_evacuated_serves_again_after_the_image_is_put_back() {
    let mut stage = Stage::built_in("upgrade-v3beta1").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    let evacuates = |stage: &Stage| {
        stage.events(&["NodeEvacuation"]).iter().any(|it| it.contains("@10.244.") && it.ends_with("started"))
    };
    stage.until(600, evacuates).await;
    stage.change(json!({ "image": "emqx/emqx-enterprise:5.10.1" })).await;
    stage.pass(5).await;
    let back = |stage: &Stage| {
        let status = stage.status();
        let ready = status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap();
        ready["status"] == "True"
            && status["coreNodes"].as_array().unwrap().iter().all(|it| it["version"] == "5.10.1")
            && status["nodeEvacuations"].as_array().is_none_or(Vec::is_empty)
    };
    stage.until(900, back).await;
    let events = stage.events(&["NodeEvacuation"]);
    assert!(events.iter().any(|it| it.contains("@10.244.") && it.ends_with("stopped")), "{events:?}");
}
