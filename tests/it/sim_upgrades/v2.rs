//! EMQX v2 of operator 2.3: the behaviour of [OP-14].

use emqx_sim::operations::EvacuationState;
use emqx_sim::orders::EvacuationOrder;
use kubectl_emqx::model::{EventType, Verdict};
use serde_json::json;

use crate::sim_upgrades::recorded_cluster::{Stage, messages, moved, verdict};

const OLD: &str = "emqx/emqx-enterprise:5.10.1";
const NEW: &str = "emqx/emqx-enterprise:5.10.2";

fn ready(stage: &Stage) -> bool {
    ready_with(stage, "5.10.2")
}

fn ready_with(stage: &Stage, version: &str) -> bool {
    let status = stage.status();
    status["conditions"][0]["type"] == "Ready"
        && status["conditions"][0]["status"] == "True"
        && status["coreNodes"][0]["version"] == version
}

#[tokio::test]
async fn replicants_are_removed_first_in_ascending_order_then_empty_cores_one_a_second() {
    let mut stage = Stage::built_in("upgrade-v2").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(3).await;
    let status = stage.status();
    let revisions = |role: &str| {
        let counts = &status[format!("{role}NodesStatus")];
        counts["currentRevision"] == counts["updateRevision"]
    };
    assert!(!revisions("core") && revisions("replicant"), "the replicants' revision follows the cores'");
    stage.pass(7).await;
    stage.until(300, ready).await;
    stage.pass(5).await;
    let gone = stage.events(&["SuccessfulDelete"]);
    let (replicants, cores) = gone.split_at(4);
    assert!(
        replicants.is_sorted() && replicants.iter().all(|it| it.starts_with("Deleted pod: ")),
        "{gone:?}"
    );
    let set = "emqx-core-6fbd774985";
    let of = |pod: u8| format!("Delete Pod {set}-{pod} in StatefulSet {set} successful");
    assert_eq!(cores, [of(1), of(0)]);
    let evacuations = stage.events(&["NodeEvacuation"]);
    assert_eq!(evacuations.len(), 4, "empty cores are removed without an event: {evacuations:?}");
    assert!(evacuations.iter().all(|it| it.ends_with(" evacuation started")), "{evacuations:?}");
    let tape = stage.tape("upgrade-v2");
    let replayed = tape.replayed();
    let (verdict, end, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    let starts: Vec<f64> = replayed
        .iter()
        .filter(|it| it.event.message.contains(": waiting for load balancers"))
        .map(|it| it.t)
        .collect();
    assert!(starts.windows(2).all(|pair| (24.0..=28.0).contains(&(pair[1] - pair[0]))), "{starts:?}");
    let plan = tape.plan(1.9, NEW, |_| {});
    let (reported, was) = (plan.total_seconds as f64, end - moved(&replayed));
    assert!((reported - was).abs() / was <= 0.05, "reported {reported}, was {was}");
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert_eq!((tally.cuts, tally.lost_sessions), (3200, 0));
}

#[tokio::test]
async fn an_undo_half_way_goes_through_a_third_set_and_is_reverted() {
    // [OP-21]: put back while the second of four old replicants was being drained; Ready 177 s later.
    let mut stage = Stage::built_in("upgrade-v2").await;
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.until(200, |stage| stage.events(&["NodeEvacuation"]).len() == 2).await;
    stage.pass(3).await;
    stage.change(json!({ "image": OLD })).await;
    stage.pass(20).await;
    let took = 20 + stage.until(400, |stage| ready_with(stage, "5.10.1")).await;
    stage.pass(5).await;
    assert!((150..=210).contains(&took), "177 s as recorded, not {took}");
    let replayed = stage.tape("undo-v2").replayed();
    let notices = messages(&replayed, EventType::Notice);
    assert!(notices.iter().any(|it| it.starts_with("3 sets run at once")), "{notices:?}");
    assert_eq!(replayed.iter().filter(|it| it.event.verdict.is_some()).count(), 1);
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Reverted, "{reason}");
    assert!(reason.contains("none missing"), "{reason}");
    let percents: Vec<u8> = replayed.iter().filter_map(|it| it.event.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[tokio::test]
async fn a_pod_that_was_emptied_before_is_removed_first_and_nothing_stalls() {
    // [OP-20]: a manual evacuation left in prohibiting on an old pod, then an update.
    let mut stage = Stage::built_in("upgrade-v2").await;
    stage.pass(2).await;
    let node = stage.running.emqx().with(|broker| {
        let last = broker.members().map(|(_, node)| node).filter(|node| node.connections > 0).last().unwrap();
        last.name.clone()
    });
    let order = EvacuationOrder {
        conn_rate: 400,
        sess_rate: 400,
        wait_health_check: std::time::Duration::from_secs(1),
        wait_takeover: std::time::Duration::from_secs(1),
        ..EvacuationOrder::default()
    };
    let started = stage.running.emqx().with(|broker| broker.start_evacuation(&node, order));
    assert_eq!(started, Ok(()));
    let empty = |stage: &Stage| {
        let state = |broker: &mut emqx_sim::broker::Broker| broker.evacuations()[0].state;
        stage.running.emqx().with(state) == EvacuationState::Prohibiting
    };
    stage.until(60, empty).await;
    let before = stage.running.clock().elapsed().as_secs_f64();
    stage.pass(2).await;
    stage.change(json!({ "image": NEW })).await;
    stage.pass(10).await;
    stage.until(300, ready).await;
    stage.pass(5).await;
    let replayed = stage.tape("emptied-before-v2").replayed();
    assert!(replayed[0].t >= before, "an evacuation is no upgrade: {:?}", replayed[0]);
    let (verdict, _, reason) = verdict(&replayed);
    assert_eq!(verdict, Verdict::Upgraded, "{reason}");
    assert!(reason.contains("none missing, no session lost"), "{reason}");
    let removals: Vec<&str> =
        messages(&replayed, EventType::Phase).into_iter().filter(|it| it.starts_with("removing")).collect();
    let starts = messages(&replayed, EventType::Phase);
    let first = starts.iter().position(|it| it.starts_with("removing")).unwrap();
    assert!(
        starts[..first].iter().all(|it| !it.contains("disconnecting clients")),
        "{starts:?} {removals:?}"
    );
}
