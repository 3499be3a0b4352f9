//! EmqxEnterprise v1beta4 of operator 2.2: the behaviour of [OP-15] to [OP-17].

use std::time::Duration;

use emqx_sim::Scenario;
use emqx_sim::operations::EvacuationState;
use emqx_sim::orders::EvacuationOrder;
use kube::api::{Patch, PatchParams};
use kubectl_emqx::model::{EventType, Verdict};
use kubectl_emqx::plan::upgrade::target::DrainMethod;
use serde_json::{Value, json};

use crate::sim_upgrades::recorded_cluster::{Stage, messages, moved, verdict};

const NEW: &str = "emqx/emqx-ee:4.4.24";
const SET: &str = "emqx-ee-5dd746946d";

fn upgrade() -> Value {
    json!({ "spec": { "emqxContainer": { "image": { "version": "4.4.24" } } } })
}

fn node(pod: u8) -> String {
    format!("emqx-ee@{SET}-{pod}.emqx-ee-headless.mq.svc.cluster.local")
}

fn over(stage: &Stage) -> bool {
    over_with(stage, "4.4.24")
}

fn over_with(stage: &Stage, version: &str) -> bool {
    let status = stage.status();
    let first = &status["conditions"][0];
    let nodes = status["emqxNodes"].as_array().unwrap();
    first["type"] == "Running" && first["status"] == "True" && nodes.iter().all(|it| it["version"] == version)
}

#[tokio::test]
async fn a_loaded_pod_is_removed_in_the_second_its_evacuation_starts() {
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    stage.change(json!({ "template": upgrade() })).await;
    // It looks idle until the operator's next pass.
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
    let replayed = tape.replayed();
    let notices = messages(&replayed, EventType::Notice);
    // The same numbers as in the recorded run [OP-15]: 800, 914, 1,068 and 1,282. EMQX's last answer about
    // the third node came after the first 200 of its clients were evicted.
    let clients = ["800 clients", "914 clients", "868 clients", "1,282 clients"];
    assert_eq!(notices.len(), 4, "{notices:?}");
    for ((notice, pod), clients) in notices.iter().zip((0..4).rev()).zip(clients) {
        assert!(notice.starts_with(&format!("{SET}-{pod} is deleted with ")), "{notice}");
        assert!(notice.contains(clients) && notice.contains("60 sessions"), "{notice}");
    }
    let (verdict, end, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("none missing, 240 sessions lost"), "{reason}");
    assert_eq!(stage.running.emqx().with(|broker| broker.tally.lost_sessions), 240);
    let plan = tape.plan(7.9, NEW, |ask| ask.manner = DrainMethod::Unguarded);
    let (reported, was) = (plan.total_seconds as f64, end - moved(&replayed));
    assert!((reported - was).abs() / was <= 0.05, "reported {reported}, was {was}");
    // The condition is never removed.
    let conditions = stage.status()["conditions"].take();
    assert!(conditions.as_array().unwrap().iter().any(|it| it["type"] == "BlueGreenUpdating"));
}

#[tokio::test]
async fn paused_and_emptied_by_us_nothing_is_lost_and_each_client_is_disconnected_once() {
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    let hold = |seconds: u64| json!({ "initialDelaySeconds": seconds });
    stage.change(json!({ "template": upgrade(), "blueGreenUpdate": hold(31_536_000) })).await;
    stage.until(60, |stage| !stage.status()["blueGreenUpdateStatus"]["startedAt"].is_null()).await;
    // The gates of the old pods, which the sleeping operator does not reset.
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
    let replayed = stage.tape("guarded-v1beta4").replayed();
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    // One pod every twenty seconds.
    let removals: Vec<f64> = replayed
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
    assert!(tally.cuts > 300, "some are disconnected again: {tally:?}");
}

#[tokio::test]
async fn paused_and_emptied_one_by_one_clients_are_disconnected_again_but_nothing_is_lost() {
    // [OP-16], one by one: the gates are not changed, so that old pods stay in the Service.
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    let hold = |seconds: u64| json!({ "initialDelaySeconds": seconds });
    stage.change(json!({ "template": upgrade(), "blueGreenUpdate": hold(31_536_000) })).await;
    stage.until(60, |stage| !stage.status()["blueGreenUpdateStatus"]["startedAt"].is_null()).await;
    for pod in (0..4).rev() {
        let order = EvacuationOrder {
            conn_rate: 200,
            sess_rate: 200,
            wait_takeover: Duration::from_secs(5),
            ..EvacuationOrder::default()
        };
        let started = stage.running.emqx().with(|broker| broker.start_evacuation(&node(pod), order));
        assert_eq!(started, Ok(()));
        let empty = |stage: &Stage| {
            let all = |it: &emqx_sim::operations::Evacuation| it.state == EvacuationState::Prohibiting;
            stage.running.emqx().with(|broker| broker.evacuations().iter().all(all))
        };
        stage.until(60, empty).await;
    }
    stage.change(json!({ "blueGreenUpdate": hold(0) })).await;
    stage.until(120, over).await;
    stage.pass(5).await;
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert!((3900..4200).contains(&tally.cuts), "4,075 as recorded: {tally:?}");
    let replayed = stage.tape("one-by-one-v1beta4").replayed();
    assert_eq!(messages(&replayed, EventType::Notice), Vec::<&str>::new());
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    let created = replayed.iter().filter(|it| it.event.kind == EventType::Created).count();
    assert_eq!(created, 1, "a delay that changes begins no other upgrade");
    let percents: Vec<u8> = replayed.iter().filter_map(|it| it.event.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[tokio::test]
async fn without_rates_pods_are_deleted_all_the_same_and_that_is_reported() {
    // [OP-17]: EMQX refuses a rate of 0, and the operator ignores the answer.
    let text = "name: no-rates\napi: v1beta4\nspec: {blueGreenUpdate: {initialDelaySeconds: 5}}\n\
                nodes: [{count: 3, connections: 100, offlineSessions: 5}]\n";
    let mut stage = Stage::open(Scenario::from_yaml(text).unwrap()).await;
    stage.pass(3).await;
    stage.change(json!({ "template": upgrade() })).await;
    stage.pass(20).await;
    stage.until(200, over).await;
    stage.pass(5).await;
    let replayed = stage.tape("no-rates-v1beta4").replayed();
    let notices = messages(&replayed, EventType::Notice);
    let loaded =
        notices.iter().filter(|it| it.contains(" is deleted with ") && it.contains("5 sessions")).count();
    assert_eq!(loaded, 3, "{notices:?}");
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("15 sessions lost"), "{reason}");
}

#[tokio::test]
async fn a_third_template_on_the_way_supersedes_the_first_and_goes_through_three_sets() {
    // The older set is drained first, then the next one ([OP-18]).
    let mut stage = Stage::built_in("upgrade-v1beta4").await;
    stage.pass(8).await;
    stage.change(json!({ "template": upgrade() })).await;
    stage.until(100, |stage| !stage.events(&["SuccessfulDelete"]).is_empty()).await;
    let third = json!({ "spec": { "emqxContainer": { "image": { "version": "4.4.25" } } } });
    stage.change(json!({ "template": third })).await;
    stage.pass(25).await;
    stage.until(400, |stage| over_with(stage, "4.4.25")).await;
    stage.pass(5).await;
    let replayed = stage.tape("third-v1beta4").replayed();
    let notices = messages(&replayed, EventType::Notice);
    assert!(notices.iter().any(|it| it.starts_with("3 sets run at once")), "{notices:?}");
    let verdicts: Vec<Verdict> = replayed.iter().filter_map(|it| it.event.verdict).collect();
    assert_eq!(verdicts, [Verdict::Superseded, Verdict::Upgraded]);
    let first = replayed.iter().find(|it| it.event.verdict.is_some()).unwrap();
    assert!(
        first.event.message.contains("4.4.24") && first.event.message.contains("4.4.25"),
        "{:?}",
        first.event
    );
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded, "{reason}");
    assert!(reason.contains("4.4.25"), "{reason}");
    let created = replayed.iter().filter(|it| it.event.kind == EventType::Created).count();
    assert_eq!(created, 2, "what follows is another upgrade");
}
