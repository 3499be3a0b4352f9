//! Makers of test data, in one place.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history;
use crate::model::{
    ApiVersion, BrokerUpdate, Condition, EvictionStatus, Fact, HistoryEntry, Instance, InstanceId,
    InstanceKind, Judgement, Node, NodeName, Object, Operation, OperationState, Phase, Pod, PodName,
    Rebalance, Requests, Revisions, Role, RunningRebalance, Stage, Strategy, Update, UpdateSpec, Verdict,
};

/// A moment, this many seconds after ten o'clock.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
    start + jiff::SignedDuration::from_secs(seconds)
}

/// A fact at a moment.
pub(crate) fn fact(seconds: i64, update: Update) -> Fact {
    Fact { at: at(seconds), update }
}

/// An answer of the EMQX of these makers' instance (v2) at a moment.
pub(crate) fn answer(seconds: i64, update: BrokerUpdate) -> Fact {
    answer_of(ApiVersion::V2, seconds, update)
}

/// As [`answer`], for the instance of another API version.
pub(crate) fn answer_of(api: ApiVersion, seconds: i64, update: BrokerUpdate) -> Fact {
    Fact::answer(at(seconds), &id(api), update)
}

/// The id of the instance of all these makers.
pub(crate) fn id(api: ApiVersion) -> InstanceId {
    let kind = if api == ApiVersion::V1beta4 { InstanceKind::EmqxEnterprise } else { InstanceKind::Emqx };
    InstanceId { kind, namespace: "mq".into(), name: "emqx".into() }
}

/// The settings of a blue-green upgrade, with every field but the wait for load balancers.
pub(crate) fn update_spec() -> UpdateSpec {
    UpdateSpec {
        present: true,
        evacuation: true,
        initial_delay: Some(5),
        conn_evict_rate: Some(200),
        sess_evict_rate: Some(200),
        wait_takeover: Some(5),
        ..UpdateSpec::default()
    }
}

/// A ready instance.
pub(crate) fn instance(api: ApiVersion) -> Instance {
    let ready = if api == ApiVersion::V1beta4 { "Running" } else { "Ready" };
    Instance {
        id: id(api),
        api,
        standalone: false,
        uid: "instance".into(),
        resource_version: "1".into(),
        generation: 1,
        created: Some(at(-3600)),
        deleting: None,
        image: Some("emqx/emqx-enterprise:5.8.6".into()),
        cores: Some(4),
        replicants: None,
        conditions: vec![Condition { kind: ready.into(), status: "True".into(), ..Condition::default() }],
        nodes: Vec::new(),
        core_revisions: Revisions::default(),
        replicant_revisions: Revisions::default(),
        evacuations: Vec::new(),
        blue_green: None,
        api_port: None,
        managed_by: Vec::new(),
        update: UpdateSpec::default(),
        image_parts: None,
        requests: Requests::default(),
        durable_sessions: false,
        guard: None,
        notes: BTreeMap::new(),
    }
}

/// A running pod.
pub(crate) fn pod(name: &str, change: impl FnOnce(&mut Pod)) -> Pod {
    let mut pod = Pod {
        namespace: "mq".into(),
        name: PodName::from(name),
        uid: format!("uid-{name}"),
        instance: Some("emqx".into()),
        role: Some(Role::Core),
        ready: true,
        containers_ready: true,
        phase: "Running".into(),
        created: Some(at(-3600)),
        ..Pod::default()
    };
    change(&mut pod);
    pod
}

/// The fact that a pod is there.
pub(crate) fn is_pod(pod: Pod) -> Fact {
    fact(0, Update::Upserted(Object::Pod(Box::new(pod))))
}

/// The full name of core `number`.
pub(crate) fn core(number: usize) -> NodeName {
    NodeName::from(format!("emqx@emqx-core-{number}.emqx-headless.mq.svc.cluster.local"))
}

/// EMQX's list of cores with these connections, and as many sessions.
pub(crate) fn nodes(connections: &[u64]) -> Vec<Node> {
    connections
        .iter()
        .enumerate()
        .map(|(number, count)| Node {
            name: core(number),
            role: Some(Role::Core),
            running: true,
            connections: Some(*count),
            sessions: Some(*count),
            version: Some("5.8.6".into()),
            edition: Some("Enterprise".into()),
            ..Node::default()
        })
        .collect()
}

/// The requested strategy of the documented run.
pub(crate) fn strategy() -> Strategy {
    Strategy {
        conn_evict_rate: 10,
        sess_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..Strategy::default()
    }
}

/// The entry of a rebalance of which only its end is known.
pub(crate) fn history_entry(
    instance: &InstanceId,
    name: &str,
    verdict: Verdict,
    ended: Timestamp,
) -> HistoryEntry {
    let judgement = Judgement::new(verdict, "why");
    HistoryEntry {
        by: "ann@laptop".to_owned(),
        ..history::ended(Operation::Rebalance, instance, name, judgement, ended)
    }
}

/// The ConfigMap of an instance, with nothing in it.
pub(crate) fn operation_state(instance: &InstanceId, owner: &str) -> OperationState {
    OperationState {
        instance: instance.clone(),
        owner: owner.to_owned(),
        uid: "state".to_owned(),
        version: String::new(),
        guard: None,
        drain: None,
        scale: None,
        history: Vec::new(),
    }
}

/// EMQX's entry of the documented run: three donors, one recipient.
pub(crate) fn load(state: &str) -> EvictionStatus {
    EvictionStatus {
        rebalances: vec![RunningRebalance {
            coordinator: core(0),
            stage: Stage::parse(state),
            state: state.into(),
            donors: vec![core(0), core(1), core(2)],
            recipients: vec![core(3)],
            conn_evict_rate: Some(10),
            sess_evict_rate: Some(10),
            donors_mean: None,
            recipients_mean: None,
            requested: None,
        }],
        ..EvictionStatus::default()
    }
}

/// A Rebalance object.
pub(crate) fn rebalance(name: &str, phase: Phase, change: impl FnOnce(&mut Rebalance)) -> Fact {
    let mut rebalance = Rebalance {
        namespace: "mq".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        resource_version: "1".into(),
        created: Some(at(0)),
        deleting: None,
        finalizers: vec!["apps.emqx.io/finalizer".into()],
        instance_kind: InstanceKind::Emqx,
        instance_name: "emqx".into(),
        strategy: strategy(),
        processed: phase == Phase::Processing,
        phase,
        failure: None,
        states: Vec::new(),
        started: Some(at(0)),
        completed: None,
        failed: None,
        plan: None,
        created_by: None,
        stopped_by: None,
        recorded: None,
    };
    change(&mut rebalance);
    fact(0, Update::Upserted(Object::Rebalance(Box::new(rebalance))))
}
