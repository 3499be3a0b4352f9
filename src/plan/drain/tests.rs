//! Drains of three or four cores, each on its own Kubernetes node.

mod continued;
mod plans;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use super::super::evacuation::tracker::EvacuationTracker;
use super::super::finding::Decision;
use super::super::fixtures;
use super::super::snapshot::snapshot;
use super::next::{PodProgress, RemovalAction, RemovalRun, next, standings};
use super::*;
use crate::model::drain::{
    Alternatives, Amount, Budget, DrainState, Machine, NodeRequirement, Placed, Taint, Volume,
};
use crate::model::evacuation::EvacuationWaits;
use crate::model::{
    ApiVersion, BrokerUpdate, Evacuation, EvictionStatus, Fact, Node, Object, OperationState, Owner, PodName,
    Set, SetKind, Stage, Update,
};
use crate::plan::evacuation::Settings;
use crate::plan::removal::sizes;

const SET: &str = "emqx-core";

fn pod(number: usize) -> Pod {
    fixtures::pod(&format!("{SET}-{number}"), |pod| {
        pod.owner = Some(Owner { kind: "StatefulSet".into(), name: SET.into(), uid: "set".into() });
    })
}

fn set(replicas: u64) -> Fact {
    let set = Set {
        namespace: "mq".into(),
        name: SET.into(),
        uid: "set".into(),
        kind: SetKind::StatefulSet,
        instance: Some("emqx".into()),
        replicas,
        present: replicas,
        ready: replicas,
        ..Set::default()
    };
    fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set))))
}

/// A core for each of these numbers of clients, each core on its own Kubernetes node.
fn world(counts: &[u64], load: EvictionStatus) -> World {
    let mut world = World::of([
        fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ),
        set(counts.len() as u64),
    ]);
    for number in 0..counts.len() {
        world.apply(fixtures::is_pod(pod(number)));
    }
    world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(counts))));
    world.apply(fixtures::answer(0, BrokerUpdate::Evictions(load)));
    world
}

fn placement(number: usize) -> Placement {
    let machine = |number: usize| Machine {
        name: format!("worker-{number}"),
        labels: BTreeMap::from([("kubernetes.io/hostname".to_owned(), format!("worker-{number}"))]),
        ready: true,
        allocatable: Amount { cpu_millis: 4000, memory: 1 << 32, pods: 10 },
        ..Machine::default()
    };
    let placed = |number: usize| Placed {
        namespace: "mq".into(),
        name: PodName::from(format!("{SET}-{number}")),
        uid: format!("uid-{SET}-{number}"),
        machine: Some(format!("worker-{number}")),
        labels: BTreeMap::from([("app".to_owned(), "emqx".to_owned())]),
        requests: Amount { cpu_millis: 1000, memory: 1 << 30, pods: 1 },
        ..Placed::default()
    };
    Placement {
        machines: (0..number).map(machine).collect(),
        pods: (0..number).map(placed).collect(),
        all_pods: true,
        budgets: Some(Vec::new()),
        ..Placement::default()
    }
}

fn request(machines: &[usize]) -> DrainRequest {
    DrainRequest {
        machines: machines.iter().map(|number| format!("worker-{number}")).collect(),
        parallel: 1,
        cordon: true,
        settings: Settings { conn_evict_rate: 100, ..Settings::default() },
        skip: Vec::new(),
    }
}

fn planned(world: &World, placement: &Placement, request: &DrainRequest) -> DrainPlan {
    let snapshot = snapshot(world, &fixtures::id(ApiVersion::V2beta1), fixtures::at(1));
    plan(world, &snapshot, placement, request).expect("a plan").expect("pods are there")
}

fn blocked(drain: &DrainPlan) -> Option<&'static str> {
    let first = drain.removal.findings.iter().find(|it| it.severity == Severity::Blocked);
    (drain.removal.decision == Decision::Refused).then(|| first.map_or("", |it| it.id))
}

fn entry(number: usize, stage: Stage) -> Evacuation {
    Evacuation {
        node: fixtures::core(number),
        state: if stage == Stage::Prohibiting { "prohibiting".into() } else { "evicting_conns".into() },
        stage,
        recipients: Vec::new(),
        conn_evict_rate: Some(10),
        sess_evict_rate: Some(10),
        initial_connections: Some(10),
        connections: Some(0),
        initial_sessions: Some(10),
        sessions: Some(0),
    }
}

fn stored_pods(numbers: &[usize], started: bool) -> Vec<DrainedPod> {
    let one = |number: &usize| DrainedPod {
        pod: PodName::from(format!("{SET}-{number}")),
        uid: format!("uid-{SET}-{number}"),
        node: Some(fixtures::core(*number)),
        machine: format!("worker-{number}"),
        set: SET.into(),
        started,
        closed: false,
        waits: None,
    };
    numbers.iter().map(one).collect()
}
