//! The bodies of the licence and the listeners, as in emqx/emqx: `emqx_license_http_api.erl` with
//! `emqx_license_checker:dump/0`, and `emqx_mgmt_api_listeners.erl`.

use serde_json::{Value, json};

use super::broker::Broker;
use super::limits::Listener;

/// `GET /license`: before 5.9 the limit is called one of connections, although sessions count.
pub(super) fn licence(broker: &Broker) -> Value {
    let licence = &broker.licence;
    let mut body = json!({
        "customer": "Example", "email": "contact@example.com", "deployment": "default",
        "start_at": "2025-01-09", "expiry_at": licence.expiry_at, "expiry": licence.expired,
        "type": licence.kind, "customer_type": licence.customer_type,
    });
    let key = if broker.at_least(5, 9) { "max_sessions" } else { "max_connections" };
    body[key] = json!(licence.max_sessions);
    body
}

fn status(connections: u64) -> Value {
    json!({ "running": true, "max_connections": "infinity", "current_connections": connections })
}

/// `GET /listeners`: all of them, without their rates.
pub(super) fn listeners(broker: &Broker) -> Value {
    let of = |listener: &Listener| {
        let (kind, name) = listener.id.split_once(':').unwrap_or(("tcp", &listener.id));
        let part = |connections: u64| connections * listener.percent / 100;
        let running: Vec<_> = broker.members().filter(|(_, node)| node.running).collect();
        let nodes: Vec<Value> = running
            .iter()
            .map(|(_, node)| json!({ "node": node.name, "status": status(part(node.connections)) }))
            .collect();
        let total = running.iter().map(|(_, node)| part(node.connections)).sum();
        json!({
            "id": listener.id, "type": kind, "name": name, "enable": true, "acceptors": 16,
            "bind": "0.0.0.0:1883", "number": nodes.len(), "node_status": nodes, "status": status(total),
        })
    };
    broker.listeners.iter().map(of).collect()
}

/// `GET /listeners/{id}`: its configuration.
pub(super) fn listener(broker: &Broker, id: &str) -> Option<Value> {
    let found = broker.listeners.iter().find(|listener| listener.id == id)?;
    let (kind, _) = found.id.split_once(':').unwrap_or(("tcp", &found.id));
    let mut body = json!({
        "id": found.id, "type": kind, "enable": true, "running": true, "bind": "0.0.0.0:1883",
        "acceptors": 16, "max_connections": "infinity", "zone": "default", "mountpoint": "",
        "access_rules": ["allow all"], "proxy_protocol": false,
    });
    if let Some(rate) = &found.max_conn_rate {
        body["max_conn_rate"] = json!(rate);
    }
    Some(body)
}
