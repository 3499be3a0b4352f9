use super::*;
use crate::model::{
    ApiVersion, BrokerUpdate, EvacuationTimes, EvictionStatus, HistoryEntry, InstanceKind, Object, Update,
};
use crate::plan::fixtures;
use crate::plan::playback::{PlaybackState, RecordedFacts};
use crate::plan::rebalance::forecast::forecast;
use crate::plan::rebalance::plan::Return;
use crate::plan::rebalance::progress::NodeCounts;
use crate::plan::rebalance::record::PlanRecord;

/// A report of these answers of EMQX, by the seconds at which they came.
fn made(answers: Vec<(i64, Vec<BrokerUpdate>)>) -> (Report, ReportNames) {
    let (mut world, mut operations) = (World::new(), RecordedOperations::default());
    let (mut playback, mut builder, mut names) =
        (PlaybackState::default(), ReportBuilder::default(), ReportNames::default());
    let instance = Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1))));
    world.apply(fixtures::fact(0, instance));
    for (at, updates) in answers {
        let facts = updates.into_iter().map(|update| fixtures::answer(at, update)).collect();
        let recorded = RecordedFacts { t: at as f64, at: fixtures::at(at), change: at > 0, facts };
        let (events, notices) = playback.take(&mut world, &mut operations, recorded);
        names.observe(&world);
        builder.observe(&world, &operations, (&events, &notices), fixtures::at(at));
    }
    (builder.finish("test".to_owned()), names)
}

fn answer(connections: &[u64], load: EvictionStatus) -> Vec<BrokerUpdate> {
    vec![BrokerUpdate::Nodes(fixtures::nodes(connections)), BrokerUpdate::Evictions(load)]
}

#[test]
fn a_rebalance_is_reported_with_its_plan_its_phases_and_its_nodes() {
    let (report, _) = made(vec![
        (0, answer(&[3333, 3333, 3334, 0], EvictionStatus::default())),
        (1, answer(&[3333, 3333, 3334, 0], fixtures::load("wait_health_check"))),
        (12, answer(&[3323, 3323, 3324, 20], fixtures::load("evicting_conns"))),
        (13, answer(&[3313, 3313, 3314, 60], fixtures::load("evicting_conns"))),
    ]);
    let [operation] = report.operations.as_slice() else { panic!("one operation: {report:?}") };
    assert_eq!(operation.verdict, Verdict::Running);
    assert_eq!(operation.ended_time, None);
    let phases: Vec<(&str, Option<u64>)> =
        operation.phases.iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect();
    assert_eq!(phases[0].0, "waitHealthCheck");
    assert_eq!(phases[1].0, "evictConnections");
    assert_eq!(phases[0].1, Some(11));
    assert_eq!(operation.nodes.len(), 4);
    let recipient = operation.nodes.iter().find(|node| node.part.as_deref() == Some("recipient"));
    let recipient = recipient.expect("a recipient");
    assert_eq!((recipient.connections_before, recipient.connections_after), (Some(0), Some(60)));
    assert_eq!(recipient.peak_reconnects_per_second, Some(40), "40 came within one second");
    assert_eq!(operation.peak_reconnects_per_second, Some(40));
    assert_eq!(report.curves.milliseconds, [0, 12_000, 13_000], "equal answers are one point");
}

#[test]
fn names_are_replaced_consistently_also_within_messages() {
    let (mut report, names) = made(vec![
        (0, answer(&[10, 10], EvictionStatus::default())),
        (1, answer(&[10, 10], fixtures::load("wait_health_check"))),
    ]);
    let node = report.operations[0].nodes[0].node.clone();
    report.operations[0].message = format!("{node} of mq/emqx (emqx-1234 is kept, emqxes too)");
    report.notices = vec![format!("cannot read {node}: forbidden in namespace mq")];
    report.redact(&names);
    let new = report.operations[0].nodes[0].node.clone();
    assert!(new.starts_with("node-") && report.redacted, "{new}");
    assert_eq!(
        report.operations[0].message,
        format!("{new} of namespace-1/instance-1 (instance-1-1234 is kept, emqxes too)")
    );
    assert_eq!(report.notices, [format!("cannot read {new}: forbidden in namespace namespace-1")]);
    assert!(report.curves.nodes.iter().any(|curve| curve.node == new));
    assert_eq!(report.instance.map(|it| it.name), Some("instance-1".to_owned()));
}

#[test]
fn the_curves_of_a_long_recording_are_bounded_and_reach_to_its_end() {
    let mut samples = Samples::default();
    let node = NodeName::from("a");
    for second in 0..100_000 {
        let counts =
            Counts([(node.clone(), NodeCounts { connections: Some(second), sessions: None })].into());
        samples.push(fixtures::at(second.cast_signed()), &counts);
    }
    let curves = samples.curves();
    assert!(curves.milliseconds.len() <= 1300, "{}", curves.milliseconds.len());
    assert_eq!(curves.milliseconds.last(), Some(&99_999_000));
    assert_eq!(curves.nodes[0].connections.last(), Some(&Some(99_999)));
    assert!(curves.milliseconds.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn without_a_recording_the_report_holds_the_entry_and_the_plan_of_the_object() {
    let entry = HistoryEntry {
        version: 1,
        operation: Operation::Rebalance,
        instance: InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() },
        cluster: None,
        name: "evening".to_owned(),
        uid: None,
        object_unknown: false,
        verdict: Verdict::Balanced,
        message: "balanced".to_owned(),
        started: Some(fixtures::at(0)),
        ended_after: None,
        ended: fixtures::at(99),
        followed: None,
        planned_seconds: None,
        evacuations: None,
        connections: (Some(10_000), Some(9_999)),
        sessions: (None, None),
        moved_connections: Some(2340),
        by: "ann".to_owned(),
        recording: None,
    };
    let strategy = crate::model::Strategy {
        conn_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..crate::model::Strategy::default()
    };
    let nodes = crate::plan::rebalance::forecast::numbered(&[3333, 3333, 3334, 0], None);
    let plan = forecast(None, &nodes, &strategy, Return::default());
    let report = Report::of_entry(&entry, Some(&PlanRecord::of(&plan, fixtures::at(0))));
    let operation = &report.operations[0];
    assert_eq!((operation.planned_seconds, operation.duration_seconds), (Some(98), Some(99)));
    assert_eq!((operation.forecast_error_seconds, operation.lost_clients), (Some(1), Some(1)));
    assert_eq!(operation.nodes[3].planned_connections_after, Some(2340));
    assert_eq!(operation.nodes[3].connections_after, None, "unknown is not what was planned");
    // Of a drain only the evacuations are forecast, not the starts of new pods.
    let drain = HistoryEntry {
        operation: Operation::Drain,
        evacuations: Some(EvacuationTimes { planned_seconds: 40, seconds: 36 }),
        ..entry
    };
    let report = Report::of_entry(&drain, None);
    let operation = &report.operations[0];
    assert_eq!((operation.planned_seconds, operation.duration_seconds), (None, Some(99)));
    assert_eq!((operation.forecast_error_seconds, operation.forecast_error_percent), (Some(-4), Some(-10.0)));
    assert_eq!((operation.phases[0].planned_seconds, operation.phases[0].seconds), (Some(40), Some(36)));
}
