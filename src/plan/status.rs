//! One cluster at one moment: the snapshot, what runs, and one verdict with its reason.

use jiff::Timestamp;

use super::assessment::{Assessment, assess};
use super::results::{OperatorStatus, SourceReport, Status};
use super::snapshot::{SourceAge, SourceState};
use super::tracker::{OperationTracker, Tracker};
use crate::model::{InstanceId, Operation, Source, World};
use crate::plan::operator::status_age;
use crate::timing::OLD_REPORT_SECONDS;

/// The status of one cluster.
pub fn status(world: &World, id: &InstanceId, now: Timestamp) -> Status {
    let mut operations = OperationTracker::of(id);
    operations.observe(world, now);
    status_with(world, id, &operations, now)
}

/// The same with trackers that have observed the cluster for a while, and so know more of the start.
pub fn status_with(world: &World, id: &InstanceId, operations: &OperationTracker, now: Timestamp) -> Status {
    Status::from(assess(world, id, operations, now))
}

impl From<Assessment> for Status {
    fn from(of: Assessment) -> Self {
        let snapshot = of.snapshot;
        let source = |source| snapshot.sources.get(&source).cloned();
        let absent = || SourceAge { state: SourceState::Absent, age_seconds: None, why: None };
        let first = of.operations.first();
        Self {
            api: snapshot.api,
            operator: OperatorStatus {
                line: snapshot.operator,
                silent_seconds: snapshot.operator_silent,
                process: snapshot.operator_process.map(|it| it.process),
                lease_seconds: snapshot.operator_process.map(|it| it.lease_seconds),
            },
            operation: first.map_or(Operation::None, |first| first.operation),
            phase: first.and_then(|first| first.phase.clone()),
            percent: first.and_then(|first| first.percent),
            eta_seconds: first.and_then(|first| first.eta_seconds),
            verdict: of.verdict,
            message: of.message,
            health: of.health,
            membership: of.membership,
            sources: SourceReport {
                kubernetes: source(Source::Kubernetes).unwrap_or_else(absent),
                pods: source(Source::Pods).unwrap_or_else(absent),
                endpoints: source(Source::Endpoints).unwrap_or_else(absent),
                emqx: source(Source::Emqx).unwrap_or_else(absent),
            },
            uneven: of.uneven,
            quiet: of.quiet,
            next: of.next,
            operations: of.operations,
            instance: snapshot.instance,
            edition: snapshot.edition,
            versions: snapshot.versions,
            totals: snapshot.totals,
            nodes: snapshot.nodes,
        }
    }
}

/// How old the operator's last update may be, where that matters: an operation runs, and the counts are the
/// operator's copy.
///
/// The age alone does not show staleness: the operator writes nothing while nothing changes, it writes counts
/// without a date, and on operator 3.x it has no part in a rebalance ([OP-41]). Where EMQX reports the counts
/// itself, the age of the operator's copy does not matter.
pub(crate) fn operator_silence(status: &Status) -> Option<String> {
    let silent = status.operator.silent_seconds.filter(|silent| *silent > OLD_REPORT_SECONDS)?;
    let busy = status.operation != Operation::None;
    (busy && copied(status)).then(|| status_age(silent))
}

/// What Kubernetes alone reports, for the time in which EMQX has not answered.
pub(crate) fn before_emqx(status: &Status) -> String {
    let pods = status.nodes.len();
    let ready = status.nodes.iter().filter(|row| row.ready == Some(true)).count();
    let ready = if pods == 0 { "no pods".to_owned() } else { format!("{ready} of {pods} pods ready") };
    format!("{}: {ready}; waiting for EMQX", status.instance)
}

/// Whether the counts are the operator's copy of EMQX's answer.
pub(crate) fn copied(status: &Status) -> bool {
    status.nodes.iter().any(|row| row.source == Source::Kubernetes)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus, Link, Object, Phase, Update, Verdict};

    fn world(connections: &[u64], load: Option<EvictionStatus>) -> World {
        let mut world = World::of([fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        )]);
        world.kubernetes.instances.values_mut().for_each(|seen| seen.value.cores = None);
        world.apply(fixtures::answer(0, BrokerUpdate::Nodes(fixtures::nodes(connections))));
        if let Some(load) = load {
            world.apply(fixtures::answer(0, BrokerUpdate::Evictions(load)));
        }
        world
    }

    fn of(world: &World) -> Status {
        status(world, &fixtures::id(ApiVersion::V2beta1), fixtures::at(5))
    }

    #[test]
    fn an_uneven_idle_cluster_is_called_so() {
        let status = of(&world(&[3333, 3333, 3334, 0], Some(EvictionStatus::default())));
        assert_eq!((status.verdict, status.operation), (Verdict::Idle, Operation::None));
        assert_eq!(status.message, "uneven: 3 nodes hold everything, emqx-core-3 is empty");
        assert_eq!(status.totals.connections, Some(10_000));
        assert_eq!(status.nodes[0].share, Some(0.3333));
    }

    #[test]
    fn one_empty_node_among_many_full_ones_is_not_called_even() {
        let reason = |connections: &[u64]| of(&world(connections, Some(EvictionStatus::default()))).message;
        let mut many = [1000; 12];
        many[11] = 0;
        assert_eq!(reason(&many), "uneven: 11 nodes hold everything, emqx-core-11 is empty");
        assert_eq!(reason(&[3, 2, 2, 2, 2, 0]), "even");
        assert_eq!(reason(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 0]), "even");
        assert_eq!(reason(&[100, 105, 95]), "even");
    }

    #[test]
    fn a_handful_of_clients_is_counted_and_neither_called_none_nor_uneven() {
        let reason = |connections: &[u64]| of(&world(connections, Some(EvictionStatus::default()))).message;
        assert_eq!(reason(&[3, 0, 0, 0]), "3 clients on 4 nodes");
        assert_eq!(reason(&[1, 0]), "1 client on 2 nodes");
        assert_eq!(reason(&[0, 0]), "no clients");
    }

    #[test]
    fn a_running_one_is_named_with_its_phase_and_its_end() {
        let mut world = world(&[2953, 2953, 2954, 1140], Some(fixtures::load("evicting_conns")));
        world.apply(fixtures::rebalance("golden", Phase::Failed, |it| it.processed = true));
        let status = of(&world);
        assert_eq!((status.operation, status.verdict), (Operation::Rebalance, Verdict::StillRunning));
        assert_eq!(status.phase.as_deref(), Some("evictConnections"));
        assert!(status.eta_seconds.is_some_and(|eta| eta > 40), "{status:?}");
        assert!(status.message.contains("golden: operator reports Failed"), "{}", status.message);
    }

    #[test]
    fn what_kubernetes_reports_is_a_line_before_emqx_answers() {
        assert_eq!(before_emqx(&of(&world(&[], None))), "EMQX mq/emqx: no pods; waiting for EMQX");
        let mut status = of(&world(&[1, 2], Some(EvictionStatus::default())));
        status.nodes[0].ready = Some(true);
        status.nodes[1].ready = None;
        assert!(before_emqx(&status).ends_with(": 1 of 2 pods ready; waiting for EMQX"));
    }

    #[test]
    fn the_operators_silence_is_reported_where_its_counts_are_shown_and_an_operation_runs() {
        let text = |emqx: bool, version: ApiVersion| {
            let mut instance = fixtures::instance(version);
            instance.nodes = fixtures::nodes(&[2953, 2953, 2954, 1140]);
            instance.conditions[0].since = Some(fixtures::at(0));
            let mut world =
                World::of([fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance))))]);
            if emqx {
                world.apply(fixtures::answer_of(
                    version,
                    499,
                    BrokerUpdate::Nodes(fixtures::nodes(&[2953, 2953, 2954, 1140])),
                ));
                world.apply(fixtures::answer_of(
                    version,
                    499,
                    BrokerUpdate::Evictions(fixtures::load("evicting_conns")),
                ));
            } else {
                world.apply(fixtures::rebalance("golden", Phase::Processing, |it| it.processed = true));
            }
            let status = status(&world, &fixtures::id(version), fixtures::at(500));
            assert_eq!((status.operation, status.operator.silent_seconds), (Operation::Rebalance, Some(500)));
            operator_silence(&status)
        };
        for version in [ApiVersion::V1beta4, ApiVersion::V2beta1, ApiVersion::V2, ApiVersion::V3beta1] {
            assert_eq!(text(true, version), None, "{version:?}: EMQX tells the counts itself");
        }
        let silence = text(false, ApiVersion::V2beta1).expect("the operator's counts");
        assert!(silence.contains("last dated status update is 8m20s old"), "{silence}");
    }

    #[test]
    fn while_emqx_answers_errors_the_nodes_are_those_of_the_pods_and_of_the_custom_resource() {
        let mut instance = fixtures::instance(ApiVersion::V2beta1);
        instance.nodes = fixtures::nodes(&[100, 200, 300]);
        let error = Link::Unreachable("EMQX answered 500".to_owned());
        let mut world = World::of([
            fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance)))),
            fixtures::fact(0, Update::Link(Source::Pods, "pods", Link::Up)),
            fixtures::answer(0, BrokerUpdate::Link("nodes", error)),
        ]);
        for number in 0..4 {
            world.apply(fixtures::is_pod(fixtures::pod(&format!("emqx-core-{number}"), |_| ())));
        }
        let status = of(&world);
        assert_eq!(status.nodes.len(), 4, "{:?}", status.nodes);
        assert_ne!(status.totals.nodes, 0);
        let counts: Vec<_> = status.nodes.iter().map(|row| row.connections).collect();
        assert_eq!(counts, [Some(100), Some(200), Some(300), None]);
        assert_eq!(status.verdict, Verdict::Unknown, "{}", status.message);
    }

    #[test]
    fn without_emqx_it_is_unknown_with_the_reason() {
        let mut world = World::of([fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        )]);
        world.apply(fixtures::answer(
            0,
            BrokerUpdate::Link("secrets", Link::Forbidden("cannot get the key".into())),
        ));
        let status = of(&world);
        assert_eq!(status.verdict, Verdict::Unknown);
        assert_eq!(status.message, "cannot get the key");
        assert_eq!(status.totals.connections, None);
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(json["totals"]["connections"], serde_json::Value::Null);
        assert_eq!(json["sources"]["emqx"]["state"], "forbidden");
    }
}
