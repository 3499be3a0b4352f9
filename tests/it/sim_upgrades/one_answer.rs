//! All outputs give the same answer at every step of every scenario that the program contains.

use emqx_sim::Scenario;
use emqx_sim::scenario::{Api, Role};
use serde_json::json;

use super::recorded_cluster::{Stage, Tape};

use crate::outputs;

use outputs::Outputs;

/// The differences in a recording, at most a few of them.
fn differences(name: &str, tape: &Tape) -> Vec<String> {
    let mut moments = tape.moments();
    let mut outputs = Outputs::new(moments[0].at);
    // Changes at the same time are one step.
    moments.dedup_by(|later, first| {
        let same = (later.t - first.t).abs() < f64::EPSILON && later.change == first.change;
        if same {
            first.facts.append(&mut later.facts);
        }
        same
    });
    for moment in moments {
        outputs.take(moment);
    }
    assert!(outputs.steps > 20, "{name}: {} steps", outputs.steps);
    outputs.differences.into_iter().take(5).map(|difference| format!("{name} {difference}")).collect()
}

/// The rebalance of the scenario, by an object where the kind is served, until some time after its end.
async fn rebalanced(name: &str) -> Tape {
    let scenario = Scenario::built_in(name).unwrap();
    let strategy = scenario.expect.strategy.clone();
    let seconds = scenario.expect.seconds.unwrap_or(20) + 60;
    let mut stage = Stage::open(scenario).await;
    stage.pass(2).await;
    if stage.api == Api::V3beta1 {
        let started = stage.running.emqx().with(|broker| {
            let coordinator = broker.participants().remove(0);
            broker.start_rebalance(&coordinator, strategy.order())
        });
        started.unwrap();
    } else {
        stage.rebalance("golden", &strategy).await;
    }
    stage.pass(seconds).await;
    stage.tape(&format!("one-answer-{name}"))
}

/// The upgrade of the scenario, until some time after its end.
async fn upgraded(name: &str) -> Tape {
    let scenario = Scenario::built_in(name).unwrap();
    let image = scenario.upgrade_to.clone().unwrap();
    let stuck = name == "upgrade-stuck";
    let replicants = scenario.members().iter().any(|member| member.role == Role::Replicant);
    let mut stage = Stage::open(scenario).await;
    stage.pass(2).await;
    match stage.api {
        Api::V1beta4 => {
            let spec = json!({ "template": { "spec": { "emqxContainer": { "image": {
                "version": image.rsplit_once(':').unwrap().1,
            } } } } });
            stage.change(spec).await;
        }
        _ => stage.change(json!({ "image": image })).await,
    }
    stage
        .pass(if stuck {
            90
        } else if replicants {
            200
        } else {
            330
        })
        .await;
    stage.tape(&format!("one-answer-{name}"))
}

/// The scenarios with, or without, an upgrade. A thousand nodes give the same answers a thousand times, and
/// `documented` is another name of `documented-v2beta1`.
fn scenarios(upgrades: bool) -> impl Iterator<Item = &'static str> {
    let upgrade = |name: &str| Scenario::built_in(name).unwrap().upgrade_to.is_some();
    let again = |name: &str| matches!(name, "big" | "documented");
    Scenario::names().filter(move |name| !again(name) && upgrade(name) == upgrades)
}

#[tokio::test]
async fn every_output_gives_the_same_answer_at_every_step_of_every_scenario_of_a_rebalance() {
    let mut found = Vec::new();
    for name in scenarios(false) {
        found.extend(differences(name, &rebalanced(name).await));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn every_output_gives_the_same_answer_at_every_step_of_every_scenario_of_an_upgrade() {
    let mut found = Vec::new();
    for name in scenarios(true) {
        found.extend(differences(name, &upgraded(name).await));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
