//! The bodies of EMQX's REST API: what it says of nodes and of what runs, and what it understands of an order.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::broker::Broker;
use super::coordinator::{Evacuation, EvacuationOrder, Rebalance, RebalanceOrder, Refusal};
use super::scenario::Api;

/// How long the pretend EMQX had been running when the clock started.
const UPTIME: Duration = Duration::from_secs(5120);

/// `GET /nodes`: v4 knows only running nodes, v5 names stopped ones too.
pub(super) fn nodes(broker: &Broker) -> Value {
    broker
        .members()
        .filter(|(_, node)| node.running || broker.api != Api::V1beta4)
        .map(|(index, _)| node(broker, index))
        .collect()
}

pub(super) fn node(broker: &Broker, index: usize) -> Value {
    let node = &broker.nodes[index];
    if !node.running {
        return json!({ "node": node.name, "node_status": "stopped", "role": node.role.name() });
    }
    let uptime = UPTIME + broker.now;
    if broker.api == Api::V1beta4 {
        let seconds = uptime.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        return json!({
            "node": node.name, "node_status": "Running", "version": node.version,
            "uptime": format!("{hours} hours, {minutes} minutes, {seconds} seconds"),
            "connections": node.sessions(), "live_connections": node.connections,
            "load1": "0.31", "load5": "0.2", "load15": "0.15", "memory_total": "7.43G", "memory_used": "1.02G",
            "process_available": 2_097_152, "process_used": 812, "max_fds": 1_048_576,
            "otp_release": "24.3.4.2/12.3.2.2", "sys_path": "/opt/emqx", "log_path": "none",
        });
    }
    json!({
        "node": node.name, "node_status": "running", "role": node.role.name(), "edition": "Enterprise",
        "version": node.version, "uptime": uptime.as_millis() as u64,
        "connections": node.sessions(), "live_connections": node.connections,
        "cluster_sessions": broker.nodes.iter().map(super::broker::Node::sessions).sum::<u64>(),
        "load1": 0.31, "load5": 0.2, "load15": 0.15, "memory_total": "7.43G", "memory_used": "1.02G",
        "process_available": 2_097_152, "process_used": 812, "max_fds": 1_048_576,
        "otp_release": "26.2.5/14.2.5", "sys_path": "/opt/emqx", "log_path": "none",
    })
}

/// `GET /stats`: connections.count is sessions, live_connections.count is clients.
pub(super) fn stats(broker: &Broker) -> Value {
    broker
        .nodes
        .iter()
        .filter(|node| node.running)
        .map(|node| {
            let mut stats = json!({
                "connections.count": node.sessions(), "live_connections.count": node.connections,
                "sessions.count": node.sessions(), "channels.count": node.sessions(),
            });
            if broker.api == Api::V1beta4 {
                return json!({ "node": node.name, "stats": stats });
            }
            stats["node"] = json!(node.name);
            stats
        })
        .collect()
}

pub(super) fn cluster(broker: &Broker, node: usize) -> Value {
    let running: Vec<&str> =
        broker.nodes.iter().filter(|node| node.running).map(|node| node.name.as_str()).collect();
    json!({ "name": "emqxcl", "nodes": running, "self": broker.nodes[node].name })
}

pub(super) fn monitor(broker: &Broker) -> Value {
    let sum = |count: fn(&super::broker::Node) -> u64| broker.nodes.iter().map(count).sum::<u64>();
    json!({
        "connections": sum(super::broker::Node::sessions), "live_connections": sum(|node| node.connections),
        "subscriptions": 0, "topics": 0, "received_msg_rate": 0, "sent_msg_rate": 0, "dropped_msg_rate": 0,
    })
}

fn names(broker: &Broker, nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|&node| broker.nodes[node].name.clone()).collect()
}

/// Whether this EMQX knows RPC timeouts: 5.9 and later.
fn knows_timeouts(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 9)
}

pub(super) fn global_status(broker: &Broker) -> Value {
    let rebalances: Vec<Value> =
        broker.rebalances().iter().map(|rebalance| rebalance_entry(broker, rebalance)).collect();
    let evacuations: Vec<Value> =
        broker.evacuations().iter().map(|evacuation| evacuation_entry(broker, evacuation)).collect();
    if broker.api == Api::V1beta4 {
        return json!({ "rebalances": rebalances, "evacuations": evacuations });
    }
    json!({ "evacuations": evacuations, "purges": [], "rebalances": rebalances })
}

fn rebalance_entry(broker: &Broker, rebalance: &Rebalance) -> Value {
    let coordinator = &broker.nodes[rebalance.coordinator].name;
    let mut entry = json!({
        "node": coordinator, "coordinator_node": coordinator, "state": rebalance.state.name(),
        "donors": names(broker, &rebalance.donors), "recipients": names(broker, &rebalance.recipients),
        "connection_eviction_rate": rebalance.order.conn_rate, "session_eviction_rate": rebalance.order.sess_rate,
    });
    if knows_timeouts(&broker.version) {
        entry["connection_eviction_rpc_timeout"] = json!(15000);
        entry["session_eviction_rpc_timeout"] = json!(15000);
    }
    // Both only after the first round of their phase, and as floats.
    if let Some((donors, recipients)) = rebalance.conn_means {
        entry["connection_goal"] = json!(recipients);
        entry["donor_conn_avg"] = json!(donors);
    }
    if let Some((donors, recipients)) = rebalance.sess_means {
        entry["disconnected_session_goal"] = json!(recipients);
        entry["donor_sess_avg"] = json!(donors);
    }
    entry
}

fn evacuation_entry(broker: &Broker, evacuation: &Evacuation) -> Value {
    json!({
        "node": broker.nodes[evacuation.node].name, "state": evacuation.state.name(),
        "connection_eviction_rate": evacuation.order.conn_rate, "session_eviction_rate": evacuation.order.sess_rate,
        "connection_goal": 0, "session_goal": 0,
        "session_recipients": names(broker, &broker.session_recipients(evacuation)),
        "stats": evacuation_stats(evacuation),
    })
}

fn evacuation_stats(evacuation: &Evacuation) -> Value {
    json!({
        "initial_connected": evacuation.initial.0, "current_connected": evacuation.current.0,
        "initial_sessions": evacuation.initial.1, "current_sessions": evacuation.current.1,
    })
}

/// `GET /load_rebalance/status`: only donors and evacuated nodes have something to say.
pub(super) fn local_status(broker: &Broker, index: usize) -> Value {
    if let Some(evacuation) = broker.evacuations().iter().find(|evacuation| evacuation.node == index) {
        return json!({
            "status": "enabled", "process": "evacuation", "state": evacuation.state.name(),
            "connection_eviction_rate": evacuation.order.conn_rate,
            "session_eviction_rate": evacuation.order.sess_rate, "connection_goal": 0, "session_goal": 0,
            "session_recipients": names(broker, &broker.session_recipients(evacuation)),
            "stats": evacuation_stats(evacuation),
        });
    }
    let Some(rebalance) = broker.rebalances().iter().find(|rebalance| rebalance.donors.contains(&index))
    else {
        return json!({ "status": "disabled" });
    };
    let node = &broker.nodes[index];
    let (connected, sessions) = rebalance.at_start(index);
    json!({
        "status": "enabled", "process": "rebalance", "state": rebalance.state.name(),
        "coordinator_node": broker.nodes[rebalance.coordinator].name,
        "recipients": names(broker, &rebalance.recipients),
        "connection_eviction_rate": rebalance.order.conn_rate, "session_eviction_rate": rebalance.order.sess_rate,
        "connection_goal": rebalance.conn_means.map_or(0.0, |means| means.1),
        "disconnected_session_goal": rebalance.sess_means.map_or(0.0, |means| means.1),
        "stats": {
            "initial_connected": connected, "current_connected": node.connections,
            "initial_sessions": sessions, "current_sessions": node.sessions(),
            "current_disconnected_sessions": node.offline,
        },
    })
}

/// Reads one field of an order; an unknown one is refused as EMQX's schema does.
struct Fields<'a> {
    body: &'a Map<String, Value>,
    api: Api,
}

impl Fields<'_> {
    fn refuse<T>(field: &str, reason: &str) -> Result<T, Refusal> {
        Err(Refusal::Bad(format!("{{{field},{reason}}}")))
    }

    fn check_known(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.body.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Self::refuse(unknown, "unknown_fields"),
            None => Ok(()),
        }
    }

    fn count(&self, field: &str, default: u64) -> Result<u64, Refusal> {
        match self.body.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|&count| count > 0)
                .map_or_else(|| Self::refuse(field, "not a positive integer"), Ok),
        }
    }

    fn seconds(&self, field: &str, default: Duration) -> Result<Duration, Refusal> {
        match self.body.get(field) {
            None => Ok(default),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(seconds) => Ok(Duration::from_secs(seconds)),
                None => Self::refuse(field, "not a duration"),
            },
            Some(Value::String(text)) if self.api != Api::V1beta4 => match duration(text) {
                Some(span) => Ok(span),
                None => Self::refuse(field, "not a duration"),
            },
            Some(_) => Self::refuse(field, "not a duration"),
        }
    }

    fn ratio(&self, field: &str, default: f64) -> Result<f64, Refusal> {
        match self.body.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|&ratio| ratio > 1.0)
                .map_or_else(|| Self::refuse(field, "not a number greater than 1.0"), Ok),
        }
    }

    fn nodes(&self, field: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.body.get(field) else { return Ok(None) };
        let list: Option<Vec<String>> = value
            .as_array()
            .map(|list| list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>())
            .filter(|list| !list.is_empty() && Some(list.len()) == value.as_array().map(Vec::len));
        list.map_or_else(|| Self::refuse(field, "not a list of nodes"), |list| Ok(Some(list)))
    }
}

/// EMQX's duration strings, as far as seconds, minutes and hours go: `10s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..letters)? {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(unit)?;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(total)
}

pub(super) fn rebalance_order(
    body: &Map<String, Value>,
    api: Api,
    version: &str,
) -> Result<RebalanceOrder, Refusal> {
    let fields = Fields { body, api };
    let mut known = vec![
        "nodes",
        "conn_evict_rate",
        "sess_evict_rate",
        "wait_health_check",
        "wait_takeover",
        "abs_conn_threshold",
        "abs_sess_threshold",
        "rel_conn_threshold",
        "rel_sess_threshold",
    ];
    if knows_timeouts(version) {
        known.extend(["conn_evict_rpc_timeout", "sess_evict_rpc_timeout"]);
    }
    fields.check_known(&known)?;
    let mut order = RebalanceOrder::default();
    order.nodes = fields.nodes("nodes")?;
    order.conn_rate = fields.count("conn_evict_rate", order.conn_rate)?;
    order.sess_rate = fields.count("sess_evict_rate", order.sess_rate)?;
    order.wait_health_check = fields.seconds("wait_health_check", order.wait_health_check)?;
    order.wait_takeover = fields.seconds("wait_takeover", order.wait_takeover)?;
    order.conn.abs = fields.count("abs_conn_threshold", 1000)? as f64;
    order.sess.abs = fields.count("abs_sess_threshold", 1000)? as f64;
    order.conn.rel = fields.ratio("rel_conn_threshold", order.conn.rel)?;
    order.sess.rel = fields.ratio("rel_sess_threshold", order.sess.rel)?;
    Ok(order)
}

pub(super) fn evacuation_order(body: &Map<String, Value>, api: Api) -> Result<EvacuationOrder, Refusal> {
    let fields = Fields { body, api };
    let mut known = vec!["conn_evict_rate", "sess_evict_rate", "wait_takeover", "redirect_to", "migrate_to"];
    if api != Api::V1beta4 {
        known.push("wait_health_check");
    }
    fields.check_known(&known)?;
    let mut order = EvacuationOrder::default();
    order.conn_rate = fields.count("conn_evict_rate", order.conn_rate)?;
    order.sess_rate = fields.count("sess_evict_rate", order.sess_rate)?;
    order.wait_health_check = fields.seconds("wait_health_check", order.wait_health_check)?;
    order.wait_takeover = fields.seconds("wait_takeover", order.wait_takeover)?;
    order.migrate_to = fields.nodes("migrate_to")?;
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_emqx_writes_them() {
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("10"), None);
        assert_eq!(duration(""), None);
        assert_eq!(duration("9999999999999999999h"), None);
    }

    #[test]
    fn an_order_is_read_strictly() {
        let read = |body: Value| match body {
            Value::Object(body) => rebalance_order(&body, Api::V2beta1, "5.8.6").map(|order| order.conn_rate),
            _ => Ok(0),
        };
        assert_eq!(read(json!({ "conn_evict_rate": 10, "wait_takeover": "10s" })), Ok(10));
        assert!(read(json!({ "conn_evict_rate": 0 })).is_err());
        assert!(read(json!({ "rel_conn_threshold": "1.1" })).is_err());
        assert!(read(json!({ "rel_conn_threshold": 1.0 })).is_err());
        assert!(read(json!({ "conn_evict_rpc_timeout": 15000 })).is_err());
        assert!(read(json!({ "nodes": [] })).is_err());
        assert!(read(json!({ "nodes": ["a", 7] })).is_err());
    }
}
