//! Forecasts of clusters with replicants, and of operator 3.x.

use super::super::target::{UpgradeRequest, UpgradeTarget, Wanted};
use super::{forecast, turn_back};
use crate::model::image::Image;
use crate::model::{
    ApiVersion, BrokerUpdate, Fact, Instance, Node, NodeName, Object, Owner, Role, Set, SetKind, Update,
    UpdateSpec, World,
};
use crate::plan::fixtures;
use crate::timing::BOOT_SECONDS;

/// The image that the cluster runs.
const RUNS: &str = "emqx/emqx-enterprise:5.10.0";
/// The image that is requested.
const NEXT: &str = "emqx/emqx-enterprise:5.10.1";

/// A set of cores or replicants: its revision, image, and the live clients of each pod.
struct Sized {
    role: Role,
    revision: &'static str,
    image: &'static str,
    clients: Vec<u64>,
}

fn sized(role: Role, revision: &'static str, image: &'static str, clients: &[u64]) -> Sized {
    Sized { role, revision, image, clients: clients.to_vec() }
}

fn world(api: ApiVersion, sets: &[Sized], change: impl FnOnce(&mut Instance)) -> World {
    let mut instance = fixtures::instance(api);
    instance.image = Some(RUNS.into());
    instance.update = UpdateSpec { wait_health_check: Some(15), ..fixtures::update_spec() };
    change(&mut instance);
    let mut facts: Vec<Fact> =
        vec![fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance))))];
    let mut nodes = Vec::new();
    for (age, set) in (0_i64..).zip(sets) {
        let (role, kind) = match set.role {
            Role::Core => ("core", SetKind::StatefulSet),
            Role::Replicant => ("replicant", SetKind::ReplicaSet),
        };
        let name = format!("emqx-{role}-{}", set.revision);
        facts.push(fixtures::fact(
            0,
            Update::Upserted(Object::Set(Box::new(Set {
                kind,
                namespace: "mq".into(),
                name: name.clone(),
                uid: name.clone(),
                instance: Some("emqx".into()),
                replicas: set.clients.len() as u64,
                revision: Some(set.revision.into()),
                image: Some(set.image.into()),
                created: Some(fixtures::at(age - 3600)),
                ..Set::default()
            }))),
        ));
        for (number, connections) in set.clients.iter().enumerate() {
            let pod = format!("{name}-{number}");
            let node = NodeName::from(format!("emqx@{pod}.emqx-headless.mq.svc.cluster.local"));
            facts.push(fixtures::is_pod(fixtures::pod(&pod, |it| {
                it.role = Some(set.role);
                it.image = Some(set.image.into());
                it.revision = Some(set.revision.into());
                let kind = if kind == SetKind::StatefulSet { "StatefulSet" } else { "ReplicaSet" };
                it.owner = Some(Owner { kind: kind.into(), name: name.clone(), uid: name.clone() });
            })));
            nodes.push(Node {
                name: node,
                role: Some(set.role),
                running: true,
                connections: Some(*connections),
                sessions: Some(*connections),
                version: Some("5.10.0".into()),
                ..Node::default()
            });
        }
    }
    facts.push(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
    World::of(facts)
}

fn plan(world: &World, api: ApiVersion) -> super::UpgradePlan {
    let id = fixtures::id(api);
    let ask = UpgradeRequest::new(Wanted::Image(Image::parse(NEXT).expect("an image")));
    let target =
        UpgradeTarget::of(world.instance(&id).expect("it is there"), &ask).expect("it can be resolved");
    forecast(world, &id, &target).expect("a forecast")
}

#[test]
fn an_undo_with_replicants_leads_no_client_to_a_core() {
    // Three of four old replicants remain; the new set took over a quarter of the clients.
    let sets = [
        sized(Role::Core, "a", RUNS, &[0, 0]),
        sized(Role::Replicant, "a", RUNS, &[800, 800, 800]),
        sized(Role::Core, "b", NEXT, &[0, 0]),
        sized(Role::Replicant, "b", NEXT, &[200, 200, 200, 200]),
    ];
    let world = world(ApiVersion::V2, &sets, |it| {
        it.image = Some(NEXT.into());
        for revisions in [&mut it.core_revisions, &mut it.replicant_revisions] {
            (revisions.current, revisions.update) = (Some("a".into()), Some("b".into()));
        }
    });
    let turn = turn_back(&world, &fixtures::id(ApiVersion::V2)).expect("something is half-way");
    // An old replicant: 15 s, 800 clients at 200/s, 5 s of takeover, 1 s of removal; an empty core: 1 s.
    assert_eq!(turn.forward, 3 * 25 + 2);
    // A replicant of the middle set: 200 clients and an eighth of 2,400; its cores are as empty as the others.
    assert_eq!(turn.back, turn.forward + 4 * (15 + 3 + 5 + 1) + 2);
}

#[test]
fn on_3x_cores_go_highest_first_and_replicants_by_ascending_names() {
    let sets =
        [sized(Role::Core, "a", RUNS, &[0, 0, 0]), sized(Role::Replicant, "a", RUNS, &[100, 100, 100])];
    let plan = plan(&world(ApiVersion::V3beta1, &sets, |_| {}), ApiVersion::V3beta1);
    let order: Vec<&str> = plan.steps.iter().map(|step| step.pod.as_str()).collect();
    assert_eq!(
        order,
        [
            "emqx-core-a-2",
            "emqx-core-a-1",
            "emqx-replicant-a-0",
            "emqx-replicant-a-1",
            "emqx-replicant-a-2",
            "emqx-core-a-0"
        ]
    );
}

#[test]
fn on_3x_a_single_core_without_replicants_is_replaced_without_an_evacuation() {
    let alone = plan(
        &world(ApiVersion::V3beta1, &[sized(Role::Core, "a", RUNS, &[800])], |_| {}),
        ApiVersion::V3beta1,
    );
    assert_eq!(alone.total_seconds, BOOT_SECONDS);
    let two = plan(
        &world(ApiVersion::V3beta1, &[sized(Role::Core, "a", RUNS, &[800, 0])], |_| {}),
        ApiVersion::V3beta1,
    );
    assert!(two.total_seconds > 2 * BOOT_SECONDS, "{}", two.total_seconds);
    let replicants = [sized(Role::Core, "a", RUNS, &[10]), sized(Role::Replicant, "a", RUNS, &[800])];
    let mixed = plan(&world(ApiVersion::V3beta1, &replicants, |_| {}), ApiVersion::V3beta1);
    assert!(mixed.steps.iter().all(|step| step.seconds > BOOT_SECONDS), "{:?}", mixed.steps);
}
