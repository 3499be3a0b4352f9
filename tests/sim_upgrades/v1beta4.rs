//! EmqxEnterprise v1beta4 of operator 2.2: rows 15 to 17 of what the real one did.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kubectl_emqx::model::{EventType, Verdict};
use kubectl_emqx::plan::upgrade::ask::Manner;
use kubectl_emqx::sim::Scenario;
use kubectl_emqx::sim::coordinator::{EvacuationOrder, EvacuationState};
use serde_json::{Value, json};

use crate::tape::{Stage, messages, moved, verdict};

const NEW: &str = "emqx/emqx-ee:4.4.24";
const SET: &str = "emqx-ee-5dd746946d";

fn upgrade() -> Value {
    json!({ "spec": { "emqxContainer": { "image": { "version": "4.4.24" } } } })
}

fn node(pod: u8) -> String {
    format!("emqx-ee@{SET}-{pod}.emqx-ee-headless.mq.svc.cluster.local")
}

fn over(stage: &Stage) -> bool {
    let status = stage.status();
    let first = &status["conditions"][0];
    let nodes = status["emqxNodes"].as_array().unwrap();
    first["type"] == "Running"
        && first["status"] == "True"
        && nodes.iter().all(|it| it["version"] == "4.4.24")
}

#[tokio::test]
async fn a_loaded_pod_is_removed_in_the_second_its_evacuation_starts() {
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    stage.change(json!({ "template": upgrade() })).await;
    // It looks idle until the operator's next look.
    stage.pass(5).await;
    assert_eq!(stage.status()["conditions"][0]["type"], "Running");
    assert!(stage.status()["blueGreenUpdateStatus"].is_null());
    stage.pass(15).await;
    stage.until(300, over).await;
    stage.pass(5).await;
    let mut wanted = vec!["Delay 5 seconds".to_owned()];
    for pod in (0..4).rev() {
        // `Scale down` comes before `Evacuate`, and the pod is deleted at once.
        wanted.push(format!("Scale down StatefulSet {SET} to {pod}"));
        wanted.push(format!("Evacuate node {} start", node(pod)));
        wanted.push(format!("Delete Pod {SET}-{pod} in StatefulSet {SET} successful"));
    }
    assert_eq!(stage.events(&["Evacuate", "SuccessfulDelete"]), wanted);
    let tape = stage.tape("upgrade-v1beta4");
    let told = tape.told();
    let notices = messages(&told, EventType::Notice);
    let clients = ["800 clients", "915 clients", "clients", "1,283 clients"];
    assert_eq!(notices.len(), 4, "{notices:?}");
    for ((notice, pod), clients) in notices.iter().zip((0..4).rev()).zip(clients) {
        assert!(notice.starts_with(&format!("{SET}-{pod} is deleted with ")), "{notice}");
        assert!(notice.contains(clients) && notice.contains("60 sessions"), "{notice}");
    }
    let (verdict, end, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("none missing, 240 sessions lost"), "{reason}");
    assert_eq!(stage.running.emqx().with(|broker| broker.tally.lost_sessions), 240);
    let plan = tape.plan(7.9, NEW, |ask| ask.manner = Manner::Unguarded);
    let (said, was) = (plan.total_seconds as f64, end - moved(&told));
    assert!((said - was).abs() / was <= 0.05, "said {said}, was {was}");
    // It is never taken back.
    let conditions = stage.status()["conditions"].take();
    assert!(conditions.as_array().unwrap().iter().any(|it| it["type"] == "BlueGreenUpdating"));
}

#[tokio::test]
async fn held_and_emptied_from_outside_nothing_is_lost_and_each_client_is_cut_once() {
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    let hold = |seconds: u64| json!({ "initialDelaySeconds": seconds });
    stage.change(json!({ "template": upgrade(), "blueGreenUpdate": hold(31_536_000) })).await;
    stage.until(60, |stage| !stage.status()["blueGreenUpdateStatus"]["startedAt"].is_null()).await;
    // The gates of the old pods, which the sleeping operator does not undo.
    for pod in 0..4 {
        let gate = json!({ "type": "apps.emqx.io/on-serving", "status": "False" });
        let patch = Patch::Strategic(json!({ "status": { "conditions": [gate] } }));
        let name = format!("{SET}-{pod}");
        stage.pods().patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    }
    stage.pass(4).await;
    let (new, order) = stage.running.emqx().with(|broker| {
        let new: Vec<String> =
            broker.members().map(|(_, node)| node.name.clone()).filter(|name| !name.contains(SET)).collect();
        let order = EvacuationOrder {
            conn_rate: 50,
            sess_rate: 50,
            wait_takeover: Duration::from_secs(5),
            migrate_to: Some(new.clone()),
            ..EvacuationOrder::default()
        };
        (new, order)
    });
    assert_eq!(new.len(), 4);
    for pod in 0..4 {
        let started = stage.running.emqx().with(|broker| broker.start_evacuation(&node(pod), order.clone()));
        assert_eq!(started, Ok(()));
    }
    let emptying = stage
        .until(60, |stage| {
            stage
                .running
                .emqx()
                .with(|broker| broker.evacuations().iter().all(|it| it.state == EvacuationState::Prohibiting))
        })
        .await;
    assert!((22..=24).contains(&emptying), "23 s as recorded, not {emptying}");
    stage.change(json!({ "blueGreenUpdate": hold(0) })).await;
    stage.until(120, over).await;
    stage.pass(5).await;
    let mut wanted = vec!["Delay 31536000 seconds".to_owned()];
    for pod in (0..4).rev() {
        wanted.push(format!("Evacuated node {} successfully", node(pod)));
        wanted.push(format!("Scale down StatefulSet {SET} to {pod}"));
    }
    assert_eq!(stage.events(&["Evacuate"]), wanted);
    let (connections, tally) = stage.running.emqx().with(|broker| {
        (broker.members().map(|(_, node)| node.connections).collect::<Vec<_>>(), broker.tally)
    });
    assert_eq!(connections, [800, 800, 800, 800]);
    assert_eq!((tally.cuts, tally.lost_sessions), (3200, 0));
    let told = stage.tape("guarded-v1beta4").told();
    let (verdict, _, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    // One pod each twenty seconds.
    let removals: Vec<f64> = told
        .iter()
        .filter(|it| it.event.kind == EventType::Phase && it.event.message.starts_with("removing"))
        .map(|it| it.t)
        .collect();
    assert!(removals.windows(2).all(|pair| (19.5..=21.0).contains(&(pair[1] - pair[0]))), "{removals:?}");
}

#[tokio::test]
async fn without_the_block_the_pods_of_the_one_set_are_replaced_one_by_one() {
    let text = "name: plain\napi: v1beta4\nnodes: [{count: 3, connections: 100, offlineSessions: 5}]\n";
    let mut stage = Stage::open(Scenario::from_yaml(text).unwrap()).await;
    stage.change(json!({ "template": upgrade() })).await;
    stage.until(200, over).await;
    stage.pass(2).await;
    let gone: Vec<String> = (0..3)
        .rev()
        .map(|pod| format!("Delete Pod emqx-ee-{pod} in StatefulSet emqx-ee successful"))
        .collect();
    assert_eq!(stage.events(&["SuccessfulDelete"]), gone);
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert_eq!(tally.lost_sessions, 15);
    assert!(tally.cuts > 300, "some are cut again: {tally:?}");
}
