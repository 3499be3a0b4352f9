//! All outputs give the same answer at every step of every recording.

use jiff::Timestamp;
use kubectl_emqx::model::{Fact, Instance, InstanceId, InstanceKind, Object, Update};

use super::changed_recording::{ChangedRecording, REBALANCES, UPGRADES};
use super::real_emqx::polled;

use crate::outputs;

use outputs::Outputs;

/// The differences in a recording, at most a few of them.
fn differences(name: &str, changed: &ChangedRecording, without_kubernetes: bool) -> Vec<String> {
    let moments = changed.moments();
    let mut outputs = Outputs::new(moments[0].at);
    for (place, mut moment) in moments.into_iter().enumerate() {
        if place == 0 && without_kubernetes {
            moment.facts.push(alone(moment.at));
        }
        outputs.take(moment);
    }
    assert!(outputs.steps > 20, "{name}: {} steps", outputs.steps);
    outputs.differences.into_iter().take(5).map(|difference| format!("{name} {difference}")).collect()
}

#[test]
fn every_output_gives_the_same_answer_at_every_step_of_the_recorded_operators() {
    let all = REBALANCES.into_iter().chain(UPGRADES).chain(["v2beta1-undo-by-plugin-operator-2.2"]);
    let found: Vec<String> =
        all.flat_map(|name| differences(name, &ChangedRecording::read(name), false)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_output_gives_the_same_answer_at_every_step_of_the_recorded_emqx() {
    let all = super::real_emqx::ALL.into_iter().chain(["emqx-5.8-evacuation-restart"]);
    let found: Vec<String> = all.flat_map(|name| differences(name, &polled(name), true)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The fact that an EMQX without Kubernetes exists, for recordings of EMQX alone.
fn alone(at: Timestamp) -> Fact {
    let id = InstanceId { kind: InstanceKind::Emqx, namespace: String::new(), name: "emqx".to_owned() };
    Fact { at, update: Update::Upserted(Object::Instance(Box::new(Instance::without_kubernetes(id)))) }
}
