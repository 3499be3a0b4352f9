//! What a drain would do, and what refuses it.

use super::*;

fn budget(current: u64, desired: u64) -> Budget {
    Budget {
        namespace: "mq".into(),
        name: "emqx".into(),
        selector: Some(vec![NodeRequirement {
            key: "app".into(),
            operator: "In".into(),
            values: vec!["emqx".into()],
        }]),
        current_healthy: Some(current),
        desired_healthy: Some(desired),
        evicts_unready: false,
    }
}

#[test]
fn a_node_without_pods_of_an_instance_has_no_plan() {
    let world = world(&[1, 1, 1], EvictionStatus::default());
    let mut placement = placement(3);
    placement.machines.push(Machine { name: "worker-9".into(), ready: true, ..Machine::default() });
    let snapshot = snapshot(&world, &fixtures::id(ApiVersion::V2beta1), fixtures::at(1));
    assert_eq!(plan(&world, &snapshot, &placement, &request(&[9])), Ok(None));
}

#[test]
fn cores_are_moved_from_the_highest_number_down_and_the_plan_names_clients_and_seconds() {
    let world = world(&[500, 200, 300, 0], EvictionStatus::default());
    let drain = planned(&world, &placement(4), &request(&[0, 2]));
    let pods: Vec<&str> = drain.removal.steps.iter().map(|step| step.pod.as_str()).collect();
    assert_eq!(pods, ["emqx-core-2", "emqx-core-0"]);
    assert_eq!((drain.removal.steps[0].connections, drain.removal.steps[0].sessions), (Some(300), Some(300)));
    assert_eq!(blocked(&drain), None, "{:?}", drain.removal.findings);
    // The two evacuations share the rate of 100/s.
    assert_eq!(drain.removal.settings.conn_evict_rate, 50);
    assert_eq!(drain.removal.steps[1].seconds, Some(60 + 10 + 60));
}

#[test]
fn pods_of_several_nodes_are_evacuated_together_so_that_each_client_is_disconnected_once() {
    let world = world(&[500, 500, 500, 500], EvictionStatus::default());
    let drain = planned(&world, &placement(4), &request(&[0, 1]));
    assert!(drain.together, "{drain:?}");
    assert_eq!(drain.removal.disconnections, 1000);
    assert!((drain.disconnections_per_client - 1.0).abs() < 0.001);
}

#[test]
fn where_too_few_nodes_remain_pods_are_evacuated_in_turn_and_the_plan_warns_of_repeated_disconnections() {
    let world = world(&[400, 400, 400], EvictionStatus::default());
    let mut placement = placement(3);
    placement.machines.push(Machine { name: "spare".into(), ..placement.machines[0].clone() });
    let drain = planned(&world, &placement, &request(&[0, 1]));
    assert!(!drain.together);
    // 400 clients leave the first node; half of them reconnect to the second, which then holds 600.
    assert_eq!(drain.removal.disconnections, 1000);
    assert!((drain.disconnections_per_client - 1.25).abs() < 0.001, "{}", drain.disconnections_per_client);
    assert_eq!(blocked(&drain), None, "{:?}", drain.removal.findings);
    assert!(
        drain.removal.findings.iter().any(|it| it.id == "sequential-disconnects"),
        "{:?}",
        drain.removal.findings
    );
}

#[test]
fn a_budget_is_compared_with_one_ready_pod_fewer_because_an_evacuated_pod_is_not_ready() {
    let world = world(&[100, 100, 100, 100], EvictionStatus::default());
    let mut placement = placement(4);
    for (current, desired, unready, refused) in [
        (4, 3, false, None),
        (4, 4, false, Some("disruption-budget")),
        (4, 4, true, None),
        (1, 0, false, Some("disruption-budget")),
    ] {
        placement.budgets = Some(vec![Budget { evicts_unready: unready, ..budget(current, desired) }]);
        let drain = planned(&world, &placement, &request(&[0]));
        assert_eq!(blocked(&drain), refused, "{current} of {desired}: {:?}", drain.removal.findings);
    }
    // The budget allows one disruption: the two pods are evacuated one after the other.
    placement.budgets = Some(vec![budget(4, 3)]);
    let drain = planned(&world, &placement, &request(&[0, 1]));
    assert_eq!((blocked(&drain), drain.together), (None, false));
    placement.budgets = Some(vec![budget(4, 3), budget(4, 3)]);
    let drain = planned(&world, &placement, &request(&[0]));
    assert_eq!(blocked(&drain), Some("disruption-budget"));
    assert!(drain.removal.message.contains("2 PodDisruptionBudgets"), "{}", drain.removal.message);
}

#[test]
fn a_pod_that_could_not_start_elsewhere_is_refused_before_anything_is_done() {
    let world = world(&[100, 100, 100, 100], EvictionStatus::default());
    let of = |change: &dyn Fn(&mut Placement)| {
        let mut placement = placement(4);
        change(&mut placement);
        let drain = planned(&world, &placement, &request(&[0]));
        (blocked(&drain), drain.removal.message)
    };
    assert_eq!(of(&|_| {}).0, None);
    let (id, message) = of(&|it| {
        for machine in &mut it.machines[1..] {
            machine.cordoned = true;
        }
    });
    assert_eq!(id, Some("no-room"));
    assert!(message.contains("3 cordoned"), "{message}");
    let (id, message) = of(&|it| {
        for machine in &mut it.machines[1..] {
            machine.allocatable.memory = 1 << 30;
        }
    });
    assert_eq!(id, Some("no-room"));
    assert!(message.contains("free CPU, memory or pods"), "{message}");
    let tainted = Taint { key: "dedicated".into(), value: "db".into(), effect: "NoSchedule".into() };
    assert_eq!(
        of(&|it| it.machines[1..].iter_mut().for_each(|machine| machine.taints.push(tainted.clone()))).0,
        Some("no-room")
    );
    let app = NodeRequirement { key: "app".into(), operator: "In".into(), values: vec!["emqx".into()] };
    assert_eq!(of(&|it| it.pods[0].apart_from.push(vec![app.clone()])).0, Some("no-room"));
    let here = NodeRequirement {
        key: "kubernetes.io/hostname".into(),
        operator: "In".into(),
        values: vec!["worker-0".into()],
    };
    let bound: Alternatives = vec![vec![here]];
    let (id, message) = of(&|it| {
        it.pods[0].claims.push("data-0".into());
        it.volumes.push(Volume { namespace: "mq".into(), claim: "data-0".into(), affinity: bound.clone() });
    });
    assert_eq!(id, Some("volume-bound"));
    assert!(message.contains("data-0") && message.contains("worker-0"), "{message}");
}

#[test]
fn all_nodes_at_once_and_a_single_replica_are_refused() {
    let three = world(&[1, 1, 1], EvictionStatus::default());
    let drain = planned(&three, &placement(3), &request(&[0, 1, 2]));
    assert_eq!(drain.removal.decision, Decision::Refused);
    assert!(
        drain
            .removal
            .findings
            .iter()
            .any(|it| it.id == "no-room" && it.message.contains("no other Kubernetes node"))
    );
    let one = world(&[1], EvictionStatus::default());
    let mut placement = placement(1);
    placement.machines.push(Machine { name: "spare".into(), ..placement.machines[0].clone() });
    let drain = planned(&one, &placement, &request(&[0]));
    assert_eq!(drain.removal.decision, Decision::Refused);
    assert!(
        drain.removal.findings.iter().any(|it| it.id == "single-replica"),
        "{:?}",
        drain.removal.findings
    );
}

#[test]
fn a_pod_that_stays_and_is_not_ready_refuses_the_drain() {
    let mut world = world(&[1, 1, 1], EvictionStatus::default());
    world.apply(fixtures::is_pod(Pod { ready: false, ..pod(2) }));
    let drain = planned(&world, &placement(3), &request(&[0]));
    assert_eq!(blocked(&drain), Some("pods-not-ready"));
}

#[test]
fn without_an_answer_of_emqx_a_drain_is_refused_because_the_clients_are_unknown() {
    let mut silent = World::of([
        fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ),
        set(3),
    ]);
    (0..3).for_each(|number| {
        silent.apply(fixtures::is_pod(pod(number)));
    });
    let drain = planned(&silent, &placement(4), &request(&[0]));
    assert_eq!(blocked(&drain), Some("emqx-not-asked"));
}
