//! Hours of following, on a clock that is only a number: the memory of the view and the plain follower must
//! not grow.

#[path = "it/screens/make.rs"]
#[expect(dead_code, reason = "the screens' tests use the rest")]
mod make;

use std::alloc::System;

use cap::Cap;
use jiff::SignedDuration;
use kubectl_emqx::model::{Fact, World};
use kubectl_emqx::plan::tracker::{OperationTracker, Tracker};
use make::{Bench, at, core, documented, emqx, evacuation, id, kubernetes, nodes, nothing, pod, setup};
use serde_json::{Value, json};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Seconds after which the sequence begins again.
const ROUND: i64 = 20;

/// The facts of an hour: every second another count, and in every round a pod that leaves the Service and
/// returns, an evacuation that begins and ends, a Rebalance that fails, is deleted and replaced by one of
/// another name, and an event.
fn second(second: i64) -> Vec<Fact> {
    let pods: Vec<String> = (0..4).map(core).collect();
    let counts: Vec<u64> =
        (0..4).map(|number| 3000 + (second.unsigned_abs() * 7 + number * 31) % 113).collect();
    let (round, within) = (second / ROUND, second % ROUND);
    let load = match within {
        3..=9 => evacuation(&core(3), "evicting_conns", 3000 - within.unsigned_abs() * 100, 20),
        _ => nothing(),
    };
    let names: Vec<String> = pods.iter().map(|pod| make::node(pod)).collect();
    let mut facts = emqx(second, "/api/v5/nodes", &nodes(&names, &counts));
    facts.extend(emqx(second, "/api/v5/load_rebalance/global_status", &load));
    let mut object = |event: &str, object: &Value| facts.extend(kubernetes(second, event, object));
    match within {
        3 | 10 => object("MODIFIED", &pod(&pods[3], within == 10)),
        12 => object("ADDED", &rebalance(round)),
        16 => object("DELETED", &rebalance(round)),
        18 => object("ADDED", &event(round)),
        _ => {}
    }
    if within == 2 && round > 0 {
        // Kubernetes drops events after an hour; here sooner.
        object("DELETED", &event(round - 1));
    }
    facts
}

fn rebalance(round: i64) -> Value {
    json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": format!("emqx-{round}"), "namespace": "mq", "uid": format!("rebalance-{round}"),
            "resourceVersion": "1", "generation": 1, "creationTimestamp": at(round * ROUND + 12).to_string()},
        "spec": {"instanceName": "emqx", "instanceKind": "EMQX",
            "rebalanceStrategy": {"connEvictRate": 10, "absConnThreshold": 100}},
        "status": {"phase": "Failed", "conditions": [{"type": "Failed", "status": "True",
            "lastTransitionTime": at(round * ROUND + 12).to_string(),
            "message": "Failed to start rebalance: request api failed: 400 Bad Request"}]}})
}

fn event(round: i64) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("emqx.{round}"), "namespace": "mq",
            "uid": format!("event-{round}"), "resourceVersion": "1", "creationTimestamp": at(round * ROUND + 18).to_string()},
        "involvedObject": {"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "name": "emqx", "namespace": "mq",
            "uid": "one"},
        "type": "Warning", "reason": "ReconcilerFailed", "message": format!("attempt {round} failed"),
        "firstTimestamp": at(round * ROUND + 18).to_string(), "lastTimestamp": at(round * ROUND + 18).to_string(), "count": 1})
}

/// An hour with one poll per second. Returns the bytes in use after half of it, and at its end.
fn weighed(mut poll: impl FnMut(i64)) -> (usize, usize) {
    (1..=1800).for_each(&mut poll);
    let half = HEAP.allocated();
    (1801..=3600).for_each(&mut poll);
    (half, HEAP.allocated())
}

/// One test, so that no other test allocates at the same time.
#[test]
fn an_hour_of_following_does_not_grow() {
    let start = documented(0, &[3000, 3000, 3000, 3000], &nothing());

    let mut world = World::of(start.clone());
    let mut operations = OperationTracker::of(&id());
    let mut reported = 0;
    let (half, hour) = weighed(|moment| {
        for fact in second(moment) {
            world.apply(fact);
        }
        reported += operations.observe(&world, at(moment) + SignedDuration::from_millis(1)).len();
    });
    assert!(reported > 3 * 180, "few events: {reported}");
    assert!(hour < half + half / 100, "following: {half} bytes after half an hour, {hour} after an hour");
    drop((world, operations));

    let mut bench = Bench::of(setup(), start);
    let (half, hour) = weighed(|moment| {
        bench.learn(moment, second(moment));
        bench.tick(moment);
        if moment % ROUND == 5 {
            assert!(bench.screen(80, 24).contains("evacuat"));
        }
        bench.effects.clear();
    });
    // The chart of four hours adds one count of each node every minute.
    let chart = 30 * 4 * 16;
    assert!(hour < half + half / 50 + chart, "view: {half} bytes after half an hour, {hour} after an hour");
}
