//! A plan that was saved with `-o json`: what `apply -f` needs of it.

use serde_json::Value;

use crate::error::Problem;
use crate::model::{Backend, InstanceId, InstanceKind, NodeName, Strategy};

#[derive(Clone, Debug, PartialEq)]
pub struct SavedPlan {
    /// The cluster it was made for.
    pub instance: InstanceId,
    /// What is asked of EMQX.
    pub strategy: Strategy,
    /// What would drive it.
    pub backend: Backend,
    /// The live clients of each node that takes part, as they were.
    pub counts: Vec<(NodeName, u64)>,
}

/// Whether a document is a saved plan.
pub(crate) fn is_plan(object: &Value) -> bool {
    object["kind"] == "RebalancePlan"
}

/// Reads a saved plan. `from` is where it came from, for messages.
pub(crate) fn read(object: &Value, from: &str) -> Result<SavedPlan, Problem> {
    let bad = |why: String| {
        Problem::new(format!("cannot use {from}"), why)
            .hint("kubectl emqx rebalance plan NAME -o json > plan.json saves a plan")
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let id = &object["instance"];
    if id.is_null() {
        return Err(bad("it is a plan of plain numbers (--counts): it names no cluster".to_owned()));
    }
    let kind = text(&id["kind"]).and_then(|kind| InstanceKind::parse(&kind));
    let (Some(kind), Some(namespace), Some(name)) = (kind, text(&id["namespace"]), text(&id["name"])) else {
        return Err(bad("its instance has no kind, namespace or name".to_owned()));
    };
    let strategy: Strategy = serde_json::from_value(object["strategy"].clone())
        .map_err(|error| bad(format!("its strategy cannot be read: {error}")))?;
    if strategy.conn_evict_rate == 0
        || strategy.sess_evict_rate == 0
        || strategy.rel_conn_threshold <= 1.0
        || strategy.rel_sess_threshold <= 1.0
    {
        return Err(bad("EMQX needs rates of at least 1 and factors above 1".to_owned()));
    }
    let backend = match object["backend"].as_str() {
        Some("emqx") => Backend::Emqx,
        Some("rebalance") => Backend::Rebalance,
        _ => return Err(bad("its backend is neither `rebalance` nor `emqx`".to_owned())),
    };
    let counts: Option<Vec<(NodeName, u64)>> = object["nodes"].as_array().and_then(|nodes| {
        let node = |node: &Value| Some((NodeName::from(text(&node["node"])?), node["connections"].as_u64()?));
        nodes.iter().map(node).collect()
    });
    let counts = counts.filter(|counts| !counts.is_empty());
    let counts = counts.ok_or_else(|| bad("its nodes have no names or counts".to_owned()))?;
    Ok(SavedPlan { instance: InstanceId { kind, namespace, name }, strategy, backend, counts })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::rebalance::forecast::{forecast, numbered};
    use crate::plan::rebalance::plan::Return;

    fn saved() -> Value {
        let id = InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() };
        let plan = forecast(
            Some(id),
            &numbered(&[3333, 3333, 3334, 0], None),
            &Strategy::default(),
            Return::default(),
        );
        let mut object = serde_json::to_value(plan).expect("JSON");
        object["kind"] = json!("RebalancePlan");
        object
    }

    #[test]
    fn what_the_plan_prints_can_be_read_again() {
        let read = read(&saved(), "plan.json").expect("a plan");
        assert_eq!(read.strategy, Strategy::default());
        assert_eq!(read.instance.to_string(), "EMQX mq/emqx");
        assert_eq!(read.counts[2], (NodeName::from("node-3"), 3334));
        assert!(is_plan(&saved()) && !is_plan(&json!({"kind": "Rebalance"})));
    }

    #[test]
    fn a_plan_without_what_is_needed_is_refused_with_the_reason() {
        let why = |key: &str, value: Value| {
            let mut object = saved();
            object[key] = value;
            read(&object, "plan.json").expect_err("refused").to_string()
        };
        assert!(why("instance", Value::Null).contains("plain numbers"));
        assert!(why("strategy", json!({})).contains("strategy cannot be read"));
        assert!(why("nodes", json!([])).contains("no names or counts"));
        assert!(why("backend", json!("x")).contains("neither"));
        let mut strategy = saved()["strategy"].clone();
        strategy["connEvictRate"] = json!(0);
        assert!(why("strategy", strategy).contains("at least 1"));
    }
}
