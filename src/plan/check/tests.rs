//! Each check has a scenario in which it finds something; in a healthy cluster no check finds anything.

use std::collections::BTreeMap;

use super::*;
use crate::model::drain::{Amount, Budget, DrainState, Machine, Placed, Volume};
use crate::model::report::{Licence, Listener, Reading};
use crate::model::scale::{Autoscaler, ScaleState, ScaledField};
use crate::model::surroundings::{Conversion, QuotaLimit, ServiceView};
use crate::model::{
    ApiVersion, BrokerUpdate, Evacuation, EvictionStatus, InstanceKind, Link, Node, Object, OperationState,
    OperatorLine, Owner, Phase, Pod, PodName, ReadinessProbe, Served, Set, SetKind, Source, Update,
};
use crate::plan::fixtures;
use crate::plan::snapshot::snapshot;
use serde_json::json;

const SET: &str = "emqx-core";

/// Everything that a world is made of, and what is read beside it.
pub(super) struct Case {
    pub(super) instance: Instance,
    pub(super) pods: Vec<Pod>,
    pub(super) nodes: Vec<Node>,
    pub(super) load: EvictionStatus,
    pub(super) more: Vec<crate::model::Fact>,
    served: Served,
    pub(super) beside: Beside,
}

impl Case {
    pub(super) fn healthy(api: ApiVersion) -> Self {
        let mut instance = fixtures::instance(api);
        instance.image = Some("emqx/emqx-enterprise:5.10.1".into());
        if api == ApiVersion::V1beta4 {
            instance.image = Some("emqx/emqx-ee:4.4.24".into());
            instance.update.present = true;
            instance.update.conn_evict_rate = Some(100);
            instance.update.sess_evict_rate = Some(100);
        }
        let mut nodes = fixtures::nodes(&[500, 500, 500, 500]);
        for node in &mut nodes {
            node.version = Some(if api == ApiVersion::V1beta4 { "4.4.24" } else { "5.10.1" }.into());
        }
        let pod = |number: usize| {
            fixtures::pod(&format!("{SET}-{number}"), |pod| {
                pod.owner = Some(Owner { kind: "StatefulSet".into(), name: SET.into(), uid: "set".into() });
            })
        };
        let mut pods: Vec<Pod> = (0..4).map(pod).collect();
        let machine = |number: usize| Machine {
            name: format!("worker-{number}"),
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
        let placement = Placement {
            machines: (0..4).map(machine).collect(),
            pods: (0..4).map(placed).collect(),
            all_pods: true,
            budgets: Some(Vec::new()),
            ..Placement::default()
        };
        let service = ServiceView {
            name: "emqx-listeners".into(),
            kind: "LoadBalancer".into(),
            selector: BTreeMap::from([("app".to_owned(), "emqx".to_owned())]),
            ..ServiceView::default()
        };
        for pod in &mut pods {
            // Operator 3.x has a probe in place of a gate.
            pod.gated = api != ApiVersion::V3beta1;
            let path = Some("/api/v5/load_rebalance/availability_check".into());
            pod.readiness = Some(ReadinessProbe { path, period_seconds: 5, failures: 1 });
        }
        let permission = |purpose| Permission { purpose, right: "patch pods".into(), allowed: Some(true) };
        let line = match api {
            ApiVersion::V1beta4 | ApiVersion::V2beta1 => OperatorLine::Two2,
            ApiVersion::V2 => OperatorLine::Two3,
            ApiVersion::V3beta1 => OperatorLine::Three,
        };
        let kinds = if api == ApiVersion::V3beta1 {
            Vec::new()
        } else {
            vec![("rebalances".to_owned(), "v2beta1".to_owned())]
        };
        Self {
            pods,
            nodes: nodes.clone(),
            load: EvictionStatus::default(),
            more: Vec::new(),
            served: Served { operator: line, kinds, ..Served::default() },
            beside: Beside {
                placement: Some(placement),
                autoscalers: Some(Autoscalers::default()),
                surroundings: Surroundings {
                    services: Some(vec![service]),
                    quotas: Some(Vec::new()),
                    conversion: Some(None),
                    ..Surroundings::default()
                },
                object: Some(json!({})),
                permissions: Purpose::ALL.map(permission).to_vec(),
                emqx: super::emqx::tests::report(&nodes),
            },
            instance,
        }
    }

    pub(super) fn licence(&mut self) -> &mut Licence {
        match &mut self.beside.emqx.licence {
            Reading::Is(licence) => licence,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn placement(&mut self) -> &mut Placement {
        self.beside.placement.as_mut().expect("a placement")
    }

    fn service(&mut self) -> &mut ServiceView {
        &mut self.beside.surroundings.services.as_mut().expect("Services")[0]
    }

    pub(super) fn store(&mut self, drain: Option<DrainState>, scale: Option<ScaleState>) {
        let state = OperationState {
            drain,
            scale,
            ..fixtures::operation_state(&self.instance.id, &self.instance.uid)
        };
        self.more.push(fixtures::fact(0, Update::Upserted(Object::State(Box::new(state)))));
    }

    pub(super) fn checks(&self, purpose: Option<Purpose>) -> Checks {
        self.judged(|subject| check(subject, purpose))
    }

    /// What this makes of the case.
    pub(super) fn judged<R>(&self, judge: impl FnOnce(Subject<'_>) -> R) -> R {
        let mut facts = vec![
            fixtures::fact(0, Update::Served(self.served.clone())),
            fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(self.instance.clone())))),
        ];
        for (source, resource) in
            [(Source::Kubernetes, "emqxes"), (Source::Pods, "pods"), (Source::Endpoints, "endpointslices")]
        {
            facts.push(fixtures::fact(0, Update::Link(source, resource, Link::Up)));
        }
        let number = self.pods.len() as u64;
        let set = Set {
            namespace: "mq".into(),
            name: SET.into(),
            uid: "set".into(),
            kind: SetKind::StatefulSet,
            instance: Some("emqx".into()),
            replicas: number,
            present: number,
            ready: number,
            ..Set::default()
        };
        facts.push(fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set)))));
        facts.extend(self.pods.iter().cloned().map(fixtures::is_pod));
        facts.push(fixtures::answer_of(self.instance.api, 0, BrokerUpdate::Nodes(self.nodes.clone())));
        facts.push(fixtures::answer_of(self.instance.api, 0, BrokerUpdate::Evictions(self.load.clone())));
        facts.extend(self.more.iter().cloned());
        let world = World::of(facts);
        let id = world.ids().remove(0);
        let snapshot = snapshot(&world, &id, fixtures::at(1));
        let instance = world.instance(&id).expect("an instance");
        judge(Subject { world: &world, instance, snapshot: &snapshot, beside: &self.beside })
    }

    pub(super) fn status(&self, id: &str) -> CheckStatus {
        let checks = self.checks(None);
        let found = checks.checks.iter().find(|check| check.id == id);
        found.unwrap_or_else(|| panic!("no check {id}")).status
    }
}

pub(super) fn evacuation(number: usize) -> Evacuation {
    Evacuation::in_state(fixtures::core(number), "prohibiting")
}

pub(super) fn drain_state() -> DrainState {
    DrainState {
        version: 1,
        time: fixtures::at(0),
        machines: vec!["worker-9".into()],
        pods: Vec::new(),
        connections: None,
        by: None,
        reason: None,
    }
}

pub(super) fn scale_state() -> ScaleState {
    ScaleState {
        version: 1,
        time: fixtures::at(0),
        field: ScaledField::Cores,
        from: 4,
        to: 3,
        pods: Vec::new(),
        costs: BTreeMap::new(),
        connections: None,
        by: None,
        reason: None,
        ended: false,
    }
}

use ApiVersion::{V1beta4, V2, V2beta1, V3beta1};
use CheckStatus::{Blocked, Warning};

type Trip = (&'static str, ApiVersion, CheckStatus, fn(&mut Case));

/// What trips each check.
fn trips() -> Vec<Trip> {
    vec![
        ("instance-not-ready", V2beta1, Blocked, |it| it.instance.deleting = Some(fixtures::at(0))),
        ("emqx-not-asked", V2beta1, Blocked, |it| {
            it.more
                .push(fixtures::answer(1, BrokerUpdate::Link("nodes", Link::Forbidden("no secrets".into()))));
            it.more.push(fixtures::answer(
                1,
                BrokerUpdate::Link("load_rebalance", Link::Forbidden("no secrets".into())),
            ));
        }),
        ("wrong-emqx", V2beta1, Blocked, |it| {
            for node in &mut it.nodes {
                node.name = NodeName::from(format!("{}.elsewhere", node.name).replace("emqx-core", "other"));
            }
        }),
        ("membership", V2beta1, Blocked, |it| {
            it.nodes.pop();
        }),
        ("cores-disagree", V2beta1, Blocked, |it| {
            it.beside.emqx.views[2].running = Ok([fixtures::core(2)].into());
        }),
        ("too-few-nodes", V2beta1, Blocked, |it| {
            it.nodes.truncate(1);
            it.pods.truncate(1);
        }),
        ("recipients-not-serving", V2beta1, Blocked, |it| {
            it.pods.iter_mut().for_each(|pod| pod.ready = false);
        }),
        ("already-running", V2beta1, Blocked, |it| it.load = fixtures::load("evicting_conns")),
        ("evacuation-running", V2beta1, Blocked, |it| it.load.evacuations.push(evacuation(1))),
        ("purge-running", V2beta1, Blocked, |it| it.load.purges.push(fixtures::core(1))),
        ("upgrade-running", V2beta1, Blocked, |it| {
            it.instance.conditions[0].kind = "CoreNodesProgressing".into();
            it.instance.core_revisions.current = Some("a".into());
            it.instance.core_revisions.update = Some("b".into());
        }),
        ("drain-unfinished", V2beta1, Blocked, |it| it.store(Some(drain_state()), None)),
        ("scale-unfinished", V2beta1, Blocked, |it| it.store(None, Some(scale_state()))),
        ("orphans", V2beta1, Warning, |it| it.load = fixtures::load("evicting_conns")),
        ("object-stuck", V2beta1, Warning, |it| {
            it.more.push(fixtures::rebalance("dying", Phase::Failed, |object| {
                object.deleting = Some(fixtures::at(-120));
            }));
        }),
        ("operator-silent", V2beta1, Warning, |it| {
            let event = crate::model::pod::PodEvent {
                namespace: "mq".into(),
                name: "failed".into(),
                about_kind: "EMQX".into(),
                about: "emqx".into(),
                warning: true,
                reason: "ReconcilerFailed".into(),
                message: "no site".into(),
                count: 9,
                last: Some(fixtures::at(-30)),
                ..crate::model::pod::PodEvent::default()
            };
            it.more.push(fixtures::fact(0, Update::Upserted(Object::Event(Box::new(event)))));
        }),
        ("conversion-webhook", V2beta1, Blocked, |it| {
            let webhook = Conversion {
                service: "emqx-operator-system/webhook".into(),
                ready: Some(0),
                stored: Some("v2".into()),
            };
            it.beside.surroundings.conversion = Some(Some(webhook));
        }),
        ("operator-lines", V3beta1, Warning, |it| {
            it.served.kinds.push(("rebalances".into(), "v2beta1".into()));
        }),
        ("operator-ends-evacuation", V3beta1, Blocked, |_| ()),
        ("status-old", V2beta1, Warning, |it| {
            it.instance.nodes = fixtures::nodes(&[1, 1, 1]);
        }),
        ("no-rebalance-api", V2beta1, Blocked, |it| {
            for node in &mut it.nodes {
                node.version = Some("5.8.6".into());
                node.edition = Some("Opensource".into());
            }
        }),
        ("no-evacuation", V2beta1, Warning, |it| {
            it.nodes.iter_mut().for_each(|node| node.edition = Some("Opensource".into()));
        }),
        ("licence", V2beta1, Blocked, |it| it.licence().max_sessions = Some(1000)),
        ("connection-rate", V2beta1, Warning, |it| {
            let listener = Listener { id: "tcp:default".into(), rate: Some(10.0), connections: Some(2000) };
            it.beside.emqx.listeners = Reading::Is(vec![listener]);
        }),
        ("version-defect", V2beta1, Warning, |it| {
            it.instance.image = Some("emqx/emqx-enterprise:5.3.2".into());
            it.nodes.iter_mut().for_each(|node| node.version = Some("5.3.2".into()));
        }),
        ("mixed-versions", V2beta1, Warning, |it| it.nodes[0].version = Some("5.10.0".into())),
        ("image", V2beta1, Warning, |it| it.instance.image = Some("emqx/emqx-enterprise".into())),
        ("blue-green-missing", V1beta4, Blocked, |it| it.instance.update.present = false),
        ("rates-missing", V1beta4, Warning, |it| it.instance.update.conn_evict_rate = None),
        ("zero-wait", V2, Warning, |it| it.instance.update.wait_takeover = Some(0)),
        ("too-many-pods", V1beta4, Warning, |it| it.instance.cores = Some(12)),
        ("replicas-changing", V1beta4, Blocked, |it| it.instance.cores = Some(5)),
        ("cluster-domain", V2beta1, Warning, |it| {
            for node in &mut it.nodes {
                node.name = NodeName::from(node.name.as_str().replace("cluster.local", "corp.example"));
            }
        }),
        ("durable-sessions", V2beta1, Warning, |it| it.instance.durable_sessions = true),
        ("capacity", V2beta1, Warning, |it| {
            it.placement().machines.iter_mut().for_each(|machine| machine.allocatable.cpu_millis = 1500);
        }),
        ("quota", V2beta1, Blocked, |it| {
            let limit = QuotaLimit { name: "team".into(), resource: "pods".into(), hard: 6, used: 4 };
            it.beside.surroundings.quotas = Some(vec![limit]);
        }),
        ("field-conflict", V2beta1, Blocked, |it| {
            it.beside.object = Some(json!({"metadata": {"managedFields": [{"manager": "argocd-controller",
                "operation": "Apply", "fieldsV1": {"f:spec": {"f:image": {}}}}]}, "spec": {"image": "emqx/a:1"}}));
        }),
        ("gitops", V2beta1, Warning, |it| {
            it.instance.managed_by = vec!["argocd.argoproj.io/tracking-id=emqx".into()];
        }),
        ("threshold-blind", V2beta1, Warning, |it| {
            for (node, clients) in it.nodes.iter_mut().zip([700, 700, 700, 10]) {
                (node.connections, node.sessions) = (Some(clients), Some(clients));
            }
        }),
        ("publish-not-ready", V2beta1, Warning, |it| it.service().publishes_not_ready = true),
        ("probe-period", V3beta1, Warning, |it| {
            for pod in &mut it.pods {
                pod.readiness.as_mut().expect("a probe").failures = 20;
            }
        }),
        ("session-affinity", V2beta1, Warning, |it| it.service().affinity_seconds = Some(10_800)),
        ("traffic-policy", V2beta1, Warning, |it| it.service().local = true),
        ("load-balancer", V2beta1, Warning, |it| it.beside.surroundings.services = Some(Vec::new())),
        ("autoscaled", V2beta1, Warning, |it| {
            let scaler = Autoscaler {
                kind: "HorizontalPodAutoscaler".into(),
                name: "emqx".into(),
                target_kind: "EMQX".into(),
                target: "emqx".into(),
                owner: None,
            };
            it.beside.autoscalers = Some(Autoscalers { found: vec![scaler], unread: Vec::new() });
        }),
        ("disruption-budget", V2beta1, Blocked, |it| {
            let budget = Budget {
                namespace: "mq".into(),
                name: "emqx".into(),
                selector: Some(Vec::new()),
                current_healthy: Some(4),
                desired_healthy: Some(4),
                ..Budget::default()
            };
            it.placement().budgets = Some(vec![budget]);
        }),
        ("no-room", V2beta1, Blocked, |it| {
            it.placement().machines.iter_mut().for_each(|machine| machine.allocatable.pods = 1);
        }),
        ("volume-bound", V2beta1, Blocked, |it| {
            let here = crate::model::drain::NodeRequirement {
                key: "kubernetes.io/hostname".into(),
                operator: "In".into(),
                values: vec!["worker-0".into()],
            };
            let placement = it.placement();
            placement.pods[0].claims = vec!["data".into()];
            placement.machines[0].labels =
                BTreeMap::from([("kubernetes.io/hostname".to_owned(), "worker-0".to_owned())]);
            placement.volumes =
                vec![Volume { namespace: "mq".into(), claim: "data".into(), affinity: vec![vec![here]] }];
        }),
        ("single-replica", V2beta1, Blocked, |it| {
            it.pods.truncate(1);
            it.nodes.truncate(1);
        }),
        ("pods-not-ready", V2beta1, Blocked, |it| it.pods[2].ready = false),
        ("cordoned-nodes", V2beta1, Warning, |it| it.placement().machines[1].cordoned = true),
        ("no-permission", V2beta1, Blocked, |it| it.beside.permissions[3].allowed = Some(false)),
    ]
}

#[test]
fn a_healthy_cluster_trips_no_check() {
    for api in [V1beta4, V2beta1, V2, V3beta1] {
        let checks = Case::healthy(api).checks(None);
        // Operator 3.x ends evacuations of other clients, whatever the state of the cluster.
        let found: Vec<&CheckResult> = checks
            .checks
            .iter()
            .filter(|check| check.status != CheckStatus::Ok)
            .filter(|check| api != V3beta1 || check.id != "operator-ends-evacuation")
            .collect();
        assert!(found.is_empty(), "{api}: {found:#?}");
        assert_eq!(checks.checks.len(), CATALOG.len());
    }
}

#[test]
fn each_check_is_tripped_by_its_scenario() {
    let mut wrong = Vec::new();
    for (id, api, expected, change) in trips() {
        let mut case = Case::healthy(api);
        change(&mut case);
        let status = case.status(id);
        if status != expected {
            wrong.push(format!("{id}: {status:?} instead of {expected:?}"));
        }
        // Each finding has evidence and a hint.
        let checks = case.checks(None);
        let found = checks.checks.iter().find(|check| check.id == id).expect("the check");
        if found.evidence.is_empty() || found.hint.is_none() {
            wrong.push(format!("{id}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_with_the_cluster_is_found_for_every_operation() {
    for id in ["membership", "emqx-not-asked", "wrong-emqx"] {
        let (_, api, _, change) = trips().into_iter().find(|trip| trip.0 == id).expect("a scenario");
        for purpose in Purpose::ALL {
            let mut case = Case::healthy(api);
            change(&mut case);
            let checks = case.checks(Some(purpose));
            let found = checks.checks.iter().find(|check| check.id == id).expect("the check");
            assert!(matches!(found.status, Blocked | Warning), "{purpose:?}: {found:?}");
        }
    }
}

#[test]
fn every_check_of_the_catalog_has_a_scenario() {
    let tripped: Vec<&str> = trips().iter().map(|trip| trip.0).collect();
    let ids: Vec<&str> = CATALOG.iter().map(|entry| entry.id).collect();
    assert_eq!(tripped, ids);
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_ok() {
    let mut case = Case::healthy(V2beta1);
    case.beside = Beside::default();
    case.more.push(fixtures::answer(1, BrokerUpdate::Link("nodes", Link::Unreachable("no route".into()))));
    let checks = case.checks(None);
    for check in &checks.checks {
        let entry = CATALOG.iter().find(|entry| entry.id == check.id).expect("an entry");
        let unread =
            entry.needs.iter().any(|need| !matches!(need, Need::Pods | Need::Serving | Need::Events));
        assert!(!unread || check.status != CheckStatus::Ok, "{check:?}");
        assert!(check.status != CheckStatus::Unknown || check.hint.is_some(), "{check:?}");
    }
}

#[test]
fn an_operation_has_only_the_checks_that_matter_to_it_and_only_its_permissions() {
    let mut case = Case::healthy(V2beta1);
    case.beside.permissions[3].allowed = Some(false);
    assert_eq!(case.beside.permissions[3].purpose, Purpose::Drain);
    for purpose in Purpose::ALL {
        let checks = case.checks(Some(purpose));
        let ids: Vec<&str> = checks.checks.iter().map(|check| check.id).collect();
        assert_eq!(ids.contains(&"quota"), purpose == Purpose::Upgrade, "{ids:?}");
        let blocked = checks.checks.iter().any(|check| check.status == Blocked);
        assert_eq!(blocked, purpose == Purpose::Drain, "{:#?}", checks.checks);
    }
    assert_eq!(InstanceKind::Emqx, case.instance.id.kind);
}
