//! The requests to EMQX: paths and bodies ([EMQX-53]). Waits are whole seconds, which EMQX 4 and every
//! version of 5 accept; a field that a version does not know is omitted, because EMQX would refuse the whole
//! request.

use serde_json::{Value, json};

use crate::model::url::encode;
use crate::model::{NodeName, Strategy};
use crate::ports::EvacuationOrder;

/// The path under the API's root. EMQX's names hold an `@`.
pub(super) fn path(node: &NodeName, verb: &str) -> String {
    format!("load_rebalance/{}/{verb}", encode(node.as_str()))
}

/// A rebalance among these nodes.
pub(super) fn rebalance(nodes: &[NodeName], strategy: &Strategy) -> Value {
    json!({
        "nodes": nodes,
        "conn_evict_rate": strategy.conn_evict_rate,
        "sess_evict_rate": strategy.sess_evict_rate,
        "wait_health_check": strategy.wait_health_check_seconds,
        "wait_takeover": strategy.wait_takeover_seconds,
        "abs_conn_threshold": strategy.abs_conn_threshold,
        "rel_conn_threshold": strategy.rel_conn_threshold,
        "abs_sess_threshold": strategy.abs_sess_threshold,
        "rel_sess_threshold": strategy.rel_sess_threshold,
    })
}

/// An evacuation. EMQX 4 has no wait for a health check; no version accepts an empty list of nodes.
pub(super) fn evacuation(order: &EvacuationOrder, v4: bool) -> Value {
    let mut body =
        json!({"conn_evict_rate": order.conn_evict_rate, "sess_evict_rate": order.sess_evict_rate});
    if let Some(seconds) = order.wait_takeover {
        body["wait_takeover"] = json!(seconds);
    }
    if let Some(seconds) = order.wait_health_check.filter(|_| !v4) {
        body["wait_health_check"] = json!(seconds);
    }
    if !order.migrate_to.is_empty() {
        body["migrate_to"] = json!(order.migrate_to);
    }
    if let Some(redirect) = &order.redirect_to {
        body["redirect_to"] = json!(redirect);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strategy_of_a_request_is_read_again() {
        let strategy = Strategy { abs_conn_threshold: 7, rel_sess_threshold: 1.25, ..Strategy::default() };
        let body = rebalance(&["emqx@a".into()], &strategy);
        assert_eq!(crate::emqx::wire::strategy(&body), Some(strategy));
        assert_eq!(crate::emqx::wire::strategy(&json!({"conn_evict_rate": 5})), None);
    }

    #[test]
    fn names_are_encoded_and_only_fields_of_the_version_are_sent() {
        assert_eq!(path(&"emqx@a.b".into(), "stop"), "load_rebalance/emqx%40a.b/stop");
        let mut order =
            EvacuationOrder { conn_evict_rate: 5, sess_evict_rate: 6, ..EvacuationOrder::default() };
        assert_eq!(evacuation(&order, false), json!({"conn_evict_rate": 5, "sess_evict_rate": 6}));
        order.wait_takeover = Some(0);
        order.wait_health_check = Some(7);
        order.migrate_to = vec!["emqx@c".into()];
        let v4 =
            json!({"conn_evict_rate": 5, "sess_evict_rate": 6, "wait_takeover": 0, "migrate_to": ["emqx@c"]});
        assert_eq!(evacuation(&order, true), v4);
        let mut v5 = v4;
        v5["wait_health_check"] = json!(7);
        assert_eq!(evacuation(&order, false), v5);
    }
}
