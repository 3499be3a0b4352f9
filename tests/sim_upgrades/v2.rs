//! EMQX v2 of operator 2.3: row 14 of what the real one did.

use kubectl_emqx::model::Verdict;
use serde_json::json;

use crate::tape::{Stage, moved, verdict};

const NEW: &str = "emqx/emqx-enterprise:5.10.2";

fn ready(stage: &Stage) -> bool {
    let status = stage.status();
    status["conditions"][0]["type"] == "Ready"
        && status["conditions"][0]["status"] == "True"
        && status["coreNodes"][0]["version"] == "5.10.2"
}

#[tokio::test]
async fn replicants_go_first_in_ascending_order_then_empty_cores_a_second_apart() {
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
    assert_eq!(evacuations.len(), 4, "empty cores go without a word: {evacuations:?}");
    assert!(evacuations.iter().all(|it| it.ends_with(" evacuation started")), "{evacuations:?}");
    let tape = stage.tape("upgrade-v2");
    let told = tape.told();
    let (verdict, end, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    let starts: Vec<f64> = told
        .iter()
        .filter(|it| it.event.message.contains(": waiting for load balancers"))
        .map(|it| it.t)
        .collect();
    assert!(starts.windows(2).all(|pair| (24.0..=28.0).contains(&(pair[1] - pair[0]))), "{starts:?}");
    let plan = tape.plan(1.9, NEW, |_| {});
    let (said, was) = (plan.total_seconds as f64, end - moved(&told));
    assert!((said - was).abs() / was <= 0.05, "said {said}, was {was}");
    let tally = stage.running.emqx().with(|broker| broker.tally);
    assert_eq!((tally.cuts, tally.lost_sessions), (3200, 0));
}
