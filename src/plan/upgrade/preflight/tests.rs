//! The checks, table by table.

use super::super::target::{DrainMethod, UpgradeRequest, UpgradeTarget, Wanted, Way};
use super::findings;
use crate::model::image::Image;
use crate::model::upgrade::UPGRADE_CHECKS;
use crate::model::{
    ApiVersion, BrokerUpdate, Condition, Evacuation, EvictionStatus, Fact, ImageParts, Instance,
    InstanceKind, Link, Node, Object, Owner, Requests, Source, Update, UpdateSpec, World,
};
use crate::plan::finding::{Finding, Severity};
use crate::plan::fixtures;
use crate::plan::snapshot::snapshot;
use crate::plan::upgrade::check::{FieldOwner, UpgradeCheck};

/// A ready cluster of this version, changed, with this number of EMQX nodes `running`.
fn world(api: ApiVersion, running: &str, change: impl FnOnce(&mut Instance)) -> (World, Instance) {
    let mut instance = fixtures::instance(api);
    instance.update = fixtures::update_spec();
    if api == ApiVersion::V1beta4 {
        instance.image = Some(format!("emqx/emqx-ee:{running}"));
        instance.image_parts = Some(ImageParts {
            repository: Some("emqx/emqx-ee".into()),
            version: Some(running.into()),
            ..ImageParts::default()
        });
    } else {
        instance.image = Some(format!("emqx/emqx-enterprise:{running}"));
    }
    change(&mut instance);
    let nodes: Vec<Node> = fixtures::nodes(&[100, 100, 100, 100])
        .into_iter()
        .map(|node| Node { version: Some(running.into()), sessions: Some(110), ..node })
        .collect();
    let facts: [Fact; 3] = [
        fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance.clone())))),
        Fact::answer(fixtures::at(0), &instance.id, BrokerUpdate::Nodes(nodes)),
        Fact::answer(fixtures::at(0), &instance.id, BrokerUpdate::Evictions(EvictionStatus::default())),
    ];
    (World::of(facts), instance)
}

fn image(text: &str) -> Wanted {
    Wanted::Image(Image::parse(text).expect("an image"))
}

fn check(
    world: &World,
    instance: &Instance,
    ask: &UpgradeRequest,
    owners: &[FieldOwner],
    force: bool,
) -> Vec<Finding> {
    let snapshot = snapshot(world, &instance.id, fixtures::at(1));
    let target = UpgradeTarget::of(instance, ask).expect("it can be resolved");
    findings(&UpgradeCheck {
        world,
        instance,
        snapshot: &snapshot,
        ask,
        target: &target,
        owners,
        force,
        allowed: None,
        stores: [None; 2],
        scales: None,
    })
}

fn found(api: ApiVersion, running: &str, wanted: Wanted, change: impl FnOnce(&mut Instance)) -> Vec<Finding> {
    let (world, instance) = world(api, running, change);
    check(&world, &instance, &UpgradeRequest::new(wanted), &[], false)
}

fn blocked(findings: &[Finding]) -> Vec<&str> {
    findings.iter().filter(|it| it.severity == Severity::Blocked).map(|it| it.id).collect()
}

fn ids(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|it| it.id).collect()
}

const V4: ApiVersion = ApiVersion::V1beta4;

#[test]
fn a_plain_upgrade_has_no_finding_that_refuses_it() {
    for (api, running, to) in [
        (V4, "4.4.20", "emqx/emqx-ee:4.4.24"),
        (ApiVersion::V2beta1, "5.9.1", "emqx/emqx-enterprise:5.10.0"),
        (ApiVersion::V2, "5.10.1", "emqx/emqx-enterprise:5.10.2"),
        (ApiVersion::V3beta1, "5.10.1", "emqx/emqx-enterprise:5.10.2"),
    ] {
        let findings = found(api, running, image(to), |_| {});
        assert!(findings.iter().all(|it| it.severity == Severity::Info), "{api}: {findings:?}");
    }
}

#[test]
fn a_paused_instance_of_3x_is_not_upgraded() {
    let pause = |instance: &mut Instance| {
        instance.conditions.push(Condition {
            kind: "Paused".into(),
            status: "True".into(),
            ..Condition::default()
        });
    };
    let findings = found(ApiVersion::V3beta1, "5.10.1", image("emqx/emqx-enterprise:5.10.2"), pause);
    assert_eq!(blocked(&findings), ["paused"]);
    assert_eq!(
        blocked(&found(ApiVersion::V2, "5.10.1", image("emqx/emqx-enterprise:5.10.2"), pause)),
        [""; 0]
    );
}

#[test]
fn an_upgrade_of_which_no_node_is_in_the_service_is_refused_and_pods_decide_where_endpoints_may_not_be_listed()
 {
    let of = |ready: bool| {
        let (mut world, instance) = world(ApiVersion::V2, "5.10.1", |_| {});
        world.apply(fixtures::fact(0, Update::Link(Source::Pods, "pods", Link::Up)));
        let forbidden = Link::Forbidden("user u may not list endpointslices".into());
        world.apply(fixtures::fact(0, Update::Link(Source::Endpoints, "endpointslices", forbidden)));
        for number in 0..4 {
            let pod = fixtures::pod(&format!("emqx-core-{number}"), |pod| pod.ready = ready);
            world.apply(fixtures::is_pod(pod));
        }
        let ask = UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.2"));
        let findings = check(&world, &instance, &ask, &[], false);
        blocked(&findings).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(true), [""; 0]);
    assert!(of(false).contains(&"recipients-not-serving".to_owned()), "{:?}", of(false));
}

#[test]
fn v1beta4_takes_versions_of_its_range_only() {
    for (to, why) in [
        ("emqx/emqx-ee:latest", "`latest`"),
        ("emqx/emqx-ee:4.4.13", "too old"),
        ("emqx/emqx-ee:5.0.0", "too new"),
        ("emqx/emqx-ee:5.8.7", "too new"),
        ("emqx/emqx-ee:nightly", "no version"),
    ] {
        let findings = found(V4, "4.4.14", image(to), |_| {});
        let finding = findings.iter().find(|it| it.id == "version-refused").expect(to);
        assert!(finding.message.contains(why), "{to}: {}", finding.message);
    }
    assert_eq!(blocked(&found(V4, "4.4.14", Wanted::Version("4.4.24".into()), |_| {})), [""; 0]);
    assert!(!UPGRADE_CHECKS.contains(&"version-refused"), "the webhook cannot be skipped");
}

#[test]
fn ways_that_a_version_does_not_have_are_refused_with_the_way_that_it_has() {
    let ask =
        |way| UpgradeRequest { way: Some(way), ..UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.2")) };
    let of = |api, way, change: fn(&mut Instance)| {
        let (world, instance) = world(api, "5.10.1", change);
        let findings = check(&world, &instance, &ask(way), &[], false);
        findings.into_iter().find(|it| it.severity == Severity::Blocked)
    };
    let three = of(ApiVersion::V3beta1, Way::BlueGreen, |_| {}).expect("3.x has no blue-green");
    assert!(three.id == "no-blue-green" && three.hint.expect("a way").contains("--rolling"));
    let two = of(ApiVersion::V2, Way::Rolling, |_| {}).expect("2.3 has no rolling");
    assert!(two.id == "no-rolling" && two.hint.expect("a way").contains("--blue-green"));
    assert!(of(ApiVersion::V3beta1, Way::Rolling, |_| {}).is_none());
    let bare = found(V4, "4.4.20", image("emqx/emqx-ee:4.4.24"), |it| it.update = UpdateSpec::default());
    assert_eq!(blocked(&bare), ["blue-green-missing"]);
    let (world, instance) = world(V4, "4.4.20", |it| it.update = UpdateSpec::default());
    let ask =
        UpgradeRequest { way: Some(Way::BlueGreen), ..UpgradeRequest::new(image("emqx/emqx-ee:4.4.24")) };
    assert_eq!(blocked(&check(&world, &instance, &ask, &[], false)), [""; 0], "it writes the block");
    let ask = UpgradeRequest { way: Some(Way::Rolling), ..ask };
    assert_eq!(blocked(&check(&world, &instance, &ask, &[], false)), [""; 0], "it was reported");
}

#[test]
fn a_cluster_that_is_not_at_rest_is_left_alone() {
    let v2 = ApiVersion::V2;
    let to = || image("emqx/emqx-enterprise:5.10.2");
    assert_eq!(blocked(&found(v2, "5.10.1", to(), |it| it.deleting = Some(fixtures::at(0)))), ["deleting"]);
    assert_eq!(blocked(&found(v2, "5.10.1", to(), |it| it.conditions = Vec::new())), ["instance-not-ready"]);
    let two = found(v2, "5.10.1", to(), |it| {
        it.core_revisions.current = Some("a".into());
        it.core_revisions.update = Some("b".into());
    });
    assert_eq!(blocked(&two), ["upgrade-running"]);
    let (mut lagging, object) = world(v2, "5.10.1", |it| {
        it.core_revisions.current = Some("a".into());
        it.core_revisions.update = Some("b".into());
    });
    lagging.apply(fixtures::is_pod(fixtures::pod("emqx-core-b-0", |pod| {
        pod.owner =
            Some(Owner { kind: "StatefulSet".into(), name: "emqx-core-b".into(), uid: "uid-b".into() });
        pod.revision = Some("b".into());
        pod.ready = true;
    })));
    let listed = "emqx@emqx-core-b-0.emqx-headless.mq.svc.cluster.local".into();
    lagging.apply(fixtures::answer(
        1,
        BrokerUpdate::Nodes(vec![Node { name: listed, ..fixtures::nodes(&[100]).remove(0) }]),
    ));
    let late = check(&lagging, &object, &UpgradeRequest::new(to()), &[], false);
    assert_eq!(blocked(&late), ["upgrade-running"]);
    let finding = &late.iter().find(|it| it.id == "upgrade-running").expect("it is there");
    assert!(finding.message.contains("in its status"), "the pods are through: {finding:?}");
    assert!(finding.hint.as_deref().is_some_and(|hint| !hint.contains("undo")), "{finding:?}");
    let same = UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.1"));
    assert_eq!(blocked(&check(&lagging, &object, &same, &[], false)), [""; 0], "it is so already");
    let (mut world, instance) = world(v2, "5.10.1", |_| {});
    let load = EvictionStatus {
        evacuations: vec![Evacuation::in_state(fixtures::core(1), "prohibiting")],
        ..fixtures::load("evicting_conns")
    };
    world.apply(fixtures::answer(1, BrokerUpdate::Evictions(load)));
    let both = check(&world, &instance, &UpgradeRequest::new(to()), &[], false);
    assert_eq!(blocked(&both), ["rebalance-running", "evacuation-running"]);
}

#[test]
fn downgrades_and_known_defects_are_reported() {
    assert_eq!(
        blocked(&found(ApiVersion::V2, "5.10.1", image("emqx/emqx-enterprise:5.9.0"), |_| {})),
        ["downgrade"]
    );
    let old = found(ApiVersion::V2beta1, "5.8.2", image("emqx/emqx-enterprise:5.8.6"), |_| {});
    let defects: Vec<&str> =
        old.iter().filter(|it| it.id == "version-defect").map(|it| it.message.as_str()).collect();
    assert_eq!(defects.len(), 2, "{defects:?}");
    assert!(defects[0].contains("emqx#14353") && defects[1].contains("emqx#14907"), "{defects:?}");
    let ancient = found(ApiVersion::V2beta1, "5.1.0", image("emqx/emqx-enterprise:5.8.6"), |_| {});
    assert!(ancient.iter().any(|it| it.message.contains("emqx#11733")), "{ancient:?}");
}

#[test]
fn fields_of_people_are_taken_over_and_those_of_controllers_are_not() {
    let (world, instance) = world(ApiVersion::V2, "5.10.1", |_| {});
    let ask = UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.2"));
    let owner =
        |manager: &str| vec![FieldOwner { manager: manager.into(), fields: vec!["spec.image".into()] }];
    let of = |manager: &str, force| check(&world, &instance, &ask, &owner(manager), force);
    assert!(ids(&of("kubectl-client-side-apply", false)).contains(&"fields-taken-over"));
    assert_eq!(blocked(&of("kubectl-edit", false)), [""; 0]);
    assert_eq!(blocked(&of("argocd-controller", false)), ["field-conflict"]);
    let forced = of("argocd-controller", true);
    assert!(blocked(&forced).is_empty() && ids(&forced).contains(&"field-conflict"));
}

#[test]
fn gitops_gets_a_warning_and_the_other_way() {
    for (mark, tool) in [
        ("argocd.argoproj.io/instance=apps", "Argo CD"),
        ("kustomize.toolkit.fluxcd.io/name=apps", "Flux"),
        ("app.kubernetes.io/managed-by=Helm", "Helm"),
    ] {
        let findings = found(ApiVersion::V2, "5.10.1", image("emqx/emqx-enterprise:5.10.2"), |it| {
            it.managed_by = vec![mark.into()];
        });
        let finding = findings.iter().find(|it| it.id == "gitops").expect(mark);
        assert!(finding.message.contains(tool) && finding.hint.as_ref().expect("a way").contains("generate"));
    }
}

#[test]
fn the_effects_are_listed() {
    let of = |change: fn(&mut UpgradeRequest)| {
        let (world, instance) = world(V4, "4.4.20", |it| {
            it.requests = Requests {
                core_cpu: Some("2".into()),
                core_memory: Some("4Gi".into()),
                volumes: true,
                ..Requests::default()
            };
        });
        let mut ask = UpgradeRequest::new(image("emqx/emqx-ee:4.4.24"));
        change(&mut ask);
        check(&world, &instance, &ask, &[], false)
    };
    let message = |findings: &[Finding], id: &str| {
        findings.iter().find(|it| it.id == id).map(|it| it.message.clone()).unwrap_or_default()
    };
    assert!(message(&of(|_| {}), "capacity").contains("4 pods (2 CPU, 4Gi each), 4 volumes"));
    assert!(message(&of(|_| {}), "traffic-moves").contains("at one moment"));
    assert!(ids(&of(|ask| ask.gates = Some(false))).contains(&"no-gates"));
    let bare = message(&of(|ask| ask.manner = DrainMethod::Unguarded), "deleted-loaded");
    assert!(bare.contains("506 disconnections") && bare.contains("40 sessions"), "{bare}");
    let many = |manner| {
        let (world, instance) = world(V4, "4.4.20", |it| it.cores = Some(11));
        let ask = UpgradeRequest { manner, ..UpgradeRequest::new(image("emqx/emqx-ee:4.4.24")) };
        check(&world, &instance, &ask, &[], false)
            .into_iter()
            .find(|it| it.id == "too-many-pods")
            .expect("11 pods")
    };
    assert_eq!(many(DrainMethod::Together).severity, Severity::Warning);
    assert_eq!(many(DrainMethod::Unguarded).severity, Severity::Blocked);
}

#[test]
fn an_upgrade_of_an_open_source_broker_warns_that_clients_are_disconnected() {
    let findings = found(V4, "4.4.19", image("emqx/emqx:4.4.20"), |it| {
        it.id.kind = InstanceKind::EmqxBroker;
        it.update = UpdateSpec::default();
    });
    assert_eq!(blocked(&findings), [""; 0]);
    assert!(
        findings
            .iter()
            .any(|it| it.id == "no-evacuation" && it.message.contains("400 clients are disconnected")),
        "{findings:?}"
    );
    let rolled = found(ApiVersion::V3beta1, "5.10.1", image("emqx/emqx-enterprise:5.10.2"), |it| {
        it.update.disabled = true;
    });
    assert!(ids(&rolled).contains(&"no-evacuation"));
    let durable = found(ApiVersion::V2, "5.10.1", image("emqx/emqx-enterprise:5.10.2"), |it| {
        it.durable_sessions = true;
    });
    assert!(ids(&durable).contains(&"durable-sessions"));
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let of = |api, change: fn(&mut UpgradeRequest)| {
        let (_, instance) = world(api, "5.10.1", |_| {});
        let mut ask = UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.2"));
        change(&mut ask);
        UpgradeTarget::of(&instance, &ask).map(|_| ()).map_err(|problem| problem.what)
    };
    let refused = |api, flag: &str, change| {
        let what = of(api, change).expect_err(flag);
        assert!(what.starts_with(flag), "{what}");
    };
    refused(ApiVersion::V2beta1, "--one-by-one", |ask| ask.manner = DrainMethod::OneByOne);
    refused(ApiVersion::V3beta1, "--unguarded", |ask| ask.manner = DrainMethod::Unguarded);
    refused(ApiVersion::V2beta1, "--wait-health-check", |ask| ask.wait_health_check = Some(5));
    refused(ApiVersion::V3beta1, "--conn-evict-rate", |ask| ask.conn_evict_rate = Some(5));
    assert!(of(ApiVersion::V2, |ask| ask.wait_health_check = Some(5)).is_ok());
}

#[test]
fn a_version_alone_needs_an_object_that_holds_it_alone() {
    let (_, instance) = world(ApiVersion::V2, "5.10.1", |it| {
        it.conditions = vec![Condition::default()];
    });
    let problem = UpgradeTarget::of(&instance, &UpgradeRequest::new(Wanted::Version("5.10.2".into())))
        .expect_err("one piece");
    assert!(problem.hint.expect("a way").contains("--image"), "{}", problem.what);
}

#[test]
fn waits_of_0_are_reported_and_written_as_1_where_the_operator_drops_zeros() {
    let zero = |api| {
        let (world, instance) = world(api, "5.10.1", |it| it.update.initial_delay = Some(0));
        let mut ask = UpgradeRequest::new(image("emqx/emqx-enterprise:5.10.2"));
        ask.wait_takeover = Some(0);
        let target = UpgradeTarget::of(&instance, &ask).expect("it can be resolved");
        let found = check(&world, &instance, &ask, &[], false);
        let message = found.iter().find(|it| it.id == "zero-wait").map(|it| it.message.clone());
        (message, target.update.wait_takeover, target.update.initial_delay)
    };
    let (message, takeover, delay) = zero(ApiVersion::V2);
    let message = message.expect("it is reported");
    assert!(message.contains("initialDelaySeconds, waitTakeover"), "{message}");
    assert_eq!((takeover, delay), (Some(1), Some(1)));
    assert_eq!(zero(ApiVersion::V2beta1), (None, Some(0), Some(0)), "operator 2.2 was not seen to drop them");
}

#[test]
fn a_single_core_of_3x_is_replaced_with_its_clients_connected() {
    let next = || image("emqx/emqx-enterprise:5.10.2");
    let (mut world, instance) = world(ApiVersion::V3beta1, "5.10.1", |_| {});
    world.apply(fixtures::answer(2, BrokerUpdate::Nodes(fixtures::nodes(&[100]))));
    let found = check(&world, &instance, &UpgradeRequest::new(next()), &[], false);
    let finding = found.iter().find(|it| it.id == "no-evacuation").expect("it is reported");
    assert!(finding.message.contains("a single core without replicants"), "{}", finding.message);
}
