//! Rebalance, v2beta1 and v1beta4 ([OP-70]).

use serde_json::Value;

use super::field::{Head, at, conditions, decimal, list, number, text, texts, time};
use crate::model::{
    InstanceKind, NodeName, PLAN_ANNOTATION, Phase, Rebalance, RecordedVerdict, RunningRebalance,
    STOPPED_BY_ANNOTATION, Stage, StopMark, Strategy, VERDICT_ANNOTATION,
};

pub(super) fn read(object: &Value, version: &str) -> Result<Rebalance, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    let phase = Phase::parse(text(object, &["status", "phase"]).as_deref());
    let conditions = conditions(object, &["status", "conditions"]);
    let failure = conditions.iter().find(|condition| condition.kind == "Failed");
    let processed =
        phase == Phase::Processing || conditions.iter().any(|condition| condition.kind == "Processing");
    Ok(Rebalance {
        instance_kind: instance_kind(object, version),
        instance_name: text(object, &["spec", "instanceName"]).unwrap_or_default(),
        strategy: at(object, &["spec", "rebalanceStrategy"]).map(strategy).unwrap_or_default(),
        failure: failure.map(|condition| condition.message.clone()).filter(|message| !message.is_empty()),
        failed: list(object, &["status", "conditions"])
            .find(|condition| text(condition, &["type"]).as_deref() == Some("Failed"))
            .and_then(|it| time(it, &["lastTransitionTime"]).or_else(|| time(it, &["lastUpdateTime"]))),
        processed,
        states: list(object, &["status", "rebalanceStates"]).filter_map(state).collect(),
        started: time(object, &["status", "startedTime"]),
        completed: time(object, &["status", "completedTime"]),
        plan: text(object, &["metadata", "annotations", PLAN_ANNOTATION]),
        created_by: creator(object),
        stopped_by: text(object, &["metadata", "annotations", STOPPED_BY_ANNOTATION])
            .and_then(|text| StopMark::parse(&text)),
        recorded: text(object, &["metadata", "annotations", VERDICT_ANNOTATION])
            .and_then(|text| RecordedVerdict::parse(&text, &head.uid, head.created)),
        finalizers: texts(object, &["metadata", "finalizers"]),
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
        resource_version: head.resource_version,
        created: head.created,
        deleting: head.deleting,
        phase,
    })
}

/// The manager of the oldest fields of the spec: the API server writes it when the object is created. The entry of a manager
/// that writes again, as for a verdict, has the later time, and the operator's entry has its finalizer only.
fn creator(object: &Value) -> Option<String> {
    list(object, &["metadata", "managedFields"])
        .filter(|fields| text(fields, &["subresource"]).is_none_or(|name| name.is_empty()))
        .filter_map(|fields| {
            let without_spec = fields["fieldsV1"]["f:spec"].is_null();
            Some((without_spec, time(fields, &["time"])?, text(fields, &["manager"])?))
        })
        .min_by_key(|(without_spec, at, _)| (*without_spec, *at))
        .map(|(.., manager)| manager)
}

/// How the operator interprets `instanceKind`: exactly `EmqxEnterprise` is that kind, any other text is EMQX.
/// Objects are read in v1beta4 only where nothing else is served, by operator 2.1, whose controller has no
/// other kind (emqx-operator `controllers/apps/v1beta4/rebalance_controller.go`).
fn instance_kind(object: &Value, version: &str) -> InstanceKind {
    match text(object, &["spec", "instanceKind"]).as_deref() {
        _ if version == "v1beta4" => InstanceKind::EmqxEnterprise,
        Some("EmqxEnterprise") => InstanceKind::EmqxEnterprise,
        _ => InstanceKind::Emqx,
    }
}

/// The strategy with the CRD's defaults, which are EMQX's own.
fn strategy(value: &Value) -> Strategy {
    let base = Strategy::default();
    Strategy {
        conn_evict_rate: number(value, &["connEvictRate"]).unwrap_or(base.conn_evict_rate),
        sess_evict_rate: number(value, &["sessEvictRate"]).unwrap_or(base.sess_evict_rate),
        wait_health_check_seconds: number(value, &["waitHealthCheck"])
            .unwrap_or(base.wait_health_check_seconds),
        wait_takeover_seconds: number(value, &["waitTakeover"]).unwrap_or(base.wait_takeover_seconds),
        abs_conn_threshold: number(value, &["absConnThreshold"]).unwrap_or(base.abs_conn_threshold),
        rel_conn_threshold: decimal(value, &["relConnThreshold"]).unwrap_or(base.rel_conn_threshold),
        abs_sess_threshold: number(value, &["absSessThreshold"]).unwrap_or(base.abs_sess_threshold),
        rel_sess_threshold: decimal(value, &["relSessThreshold"]).unwrap_or(base.rel_sess_threshold),
    }
}

fn names(value: &Value, key: &str) -> Vec<NodeName> {
    texts(value, &[key]).into_iter().map(NodeName::from).collect()
}

/// One entry of `rebalanceStates`: snake_case, without EMQX's goals and means.
fn state(value: &Value) -> Option<RunningRebalance> {
    let state = text(value, &["state"]).unwrap_or_default();
    Some(RunningRebalance {
        coordinator: text(value, &["coordinator_node"]).or_else(|| text(value, &["node"]))?.into(),
        stage: Stage::parse(&state),
        donors: names(value, "donors"),
        recipients: names(value, "recipients"),
        conn_evict_rate: number(value, &["connection_eviction_rate"]),
        sess_evict_rate: number(value, &["session_eviction_rate"]),
        donors_mean: None,
        recipients_mean: None,
        requested: None,
        state,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rebalance(version: &str, spec: &Value, status: &Value) -> Rebalance {
        let object = json!({"metadata": {"name": "r1", "namespace": "mq", "uid": "u",
            "annotations": {"cli.emqx.io/plan": "{}"}}, "spec": spec, "status": status});
        read(&object, version).expect("it can be read")
    }

    #[test]
    fn the_creator_is_the_first_manager_that_wrote_more_than_the_status() {
        let fields = |manager: &str, time: &str, subresource: &str| json!({"manager": manager, "operation": "Update", "time": time, "subresource": subresource});
        let mut object = json!({"metadata": {"name": "r1", "namespace": "mq", "uid": "u", "managedFields": [
            fields("manager", "2026-11-27T09:59:00Z", "status"),
            fields("kubectl-annotate", "2026-11-27T10:05:00Z", ""),
            {"manager": "argocd-controller", "operation": "Apply", "time": "2026-11-27T10:00:00Z"},
        ]}, "spec": {}});
        let created_by = |object: &Value| read(object, "v2beta1").expect("it can be read").created_by;
        assert_eq!(created_by(&object).as_deref(), Some("argocd-controller"));
        // The creator wrote the verdict after the operator had added its finalizer.
        object["metadata"]["managedFields"] = json!([
            {"manager": "kubectl-emqx", "operation": "Update", "time": "2026-11-27T10:15:00Z",
                "fieldsV1": {"f:metadata": {"f:annotations": {}}, "f:spec": {"f:instanceName": {}}}},
            {"manager": "manager", "operation": "Update", "time": "2026-11-27T10:00:00Z",
                "fieldsV1": {"f:metadata": {"f:finalizers": {}}}},
        ]);
        assert_eq!(created_by(&object).as_deref(), Some("kubectl-emqx"));
        object["metadata"]["managedFields"] = json!(null);
        assert_eq!(created_by(&object), None);
    }

    #[test]
    fn the_kind_is_what_the_operator_makes_of_it() {
        for (version, kind, expected) in [
            ("v2beta1", json!("EmqxEnterprise"), InstanceKind::EmqxEnterprise),
            ("v2beta1", json!("emqxenterprise"), InstanceKind::Emqx),
            ("v2beta1", json!("EMQX"), InstanceKind::Emqx),
            ("v2beta1", json!(null), InstanceKind::Emqx),
            ("v1beta4", json!(null), InstanceKind::EmqxEnterprise),
        ] {
            let read = rebalance(version, &json!({"instanceKind": kind, "instanceName": "e"}), &json!({}));
            assert_eq!(read.instance_kind, expected, "{version} {kind}");
        }
    }

    #[test]
    fn defaults_fill_in_and_thresholds_are_text() {
        let spec = json!({"instanceName": "e", "rebalanceStrategy": {"connEvictRate": 10, "relConnThreshold": "1.25"}});
        let read = rebalance("v2beta1", &spec, &json!(null));
        let expected = Strategy { conn_evict_rate: 10, rel_conn_threshold: 1.25, ..Strategy::default() };
        assert_eq!(read.strategy, expected);
        assert_eq!((read.phase, read.processed, read.plan.as_deref()), (Phase::Pending, false, Some("{}")));
    }

    #[test]
    fn a_failure_carries_its_message_and_time_and_null_times_are_absent() {
        let status = json!({"phase": "Failed", "startedTime": "2026-01-01T00:00:00Z", "completedTime": null, "conditions": [
            {"type": "Failed", "status": "True", "message": "EMQX emqx is not ready", "lastUpdateTime": "2026-01-01T00:00:20Z"},
            {"type": "Processing", "status": "True"}]});
        let read = rebalance("v2beta1", &json!({"instanceName": "emqx"}), &status);
        assert_eq!(read.failure.as_deref(), Some("EMQX emqx is not ready"));
        assert_eq!(read.failed, "2026-01-01T00:00:20Z".parse().ok());
        assert!(read.processed && read.completed.is_none() && read.started.is_some());
    }

    #[test]
    fn an_unknown_phase_and_state_are_carried() {
        let status = json!({"phase": "Paused", "rebalanceStates": [{"node": "emqx@a", "state": "resting"}, {"state": "x"}, 7]});
        let read = rebalance("v2beta1", &json!({"instanceName": "emqx"}), &status);
        assert_eq!(read.phase, Phase::Unknown("Paused".to_owned()));
        assert_eq!(read.states.len(), 1);
        assert_eq!(read.states[0].stage, Stage::Unknown("resting".to_owned()));
    }

    #[test]
    fn the_mark_of_our_stop_is_read_and_other_text_in_its_place_is_not() {
        let of = |mark: &str| {
            let object = json!({"metadata": {"name": "r", "annotations": {"cli.emqx.io/stopped-by": mark}}});
            read(&object, "v2beta1").expect("a Rebalance").stopped_by
        };
        let mark =
            StopMark { by: "kubectl-emqx".to_owned(), time: "2026-01-01T00:00:20Z".parse().expect("a time") };
        assert_eq!(of(&mark.text()), Some(mark));
        assert_eq!(of("somebody"), None);
    }

    #[test]
    fn wrong_types_cost_their_field_only() {
        let object =
            json!({"metadata": {"name": "r"}, "spec": "?", "status": {"conditions": 3, "phase": ["x"]}});
        let read = read(&object, "v2beta1").expect("the rest is read");
        assert_eq!(read.phase, Phase::Pending);
        assert!(super::read(&json!({"spec": {}}), "v2beta1").is_err());
    }
}
