//! The bodies of EMQX's REST API: its nodes, and its running operations.

use std::time::Duration;

use serde_json::{Value, json};

use super::broker::Broker;
use super::operations::Purge;
use super::operations::{Evacuation, Rebalance};
use super::scenario::{Api, Role};

/// How long the simulated EMQX had been running when the clock started.
const UPTIME: Duration = Duration::from_secs(5120);

/// `GET /nodes`: v4 lists only running nodes, v5 stopped ones too.
pub(super) fn nodes(broker: &Broker, asked: usize) -> Value {
    let listed = |running: bool| {
        let members = broker.by_name.iter().copied().filter(|&index| !broker.nodes[index].gone);
        members.filter(move |&index| {
            broker.sees(asked, index) == running && broker.nodes[index].back_at.is_none()
        })
    };
    // A stopped replicant is in no list.
    let stopped =
        listed(false).filter(|&index| broker.api != Api::V1beta4 && broker.nodes[index].role == Role::Core);
    let row = |index: usize| {
        if broker.sees(asked, index) { node(broker, index) } else { stopped_row(&broker.nodes[index]) }
    };
    listed(true).chain(stopped).map(row).collect()
}

fn stopped_row(node: &super::broker::Node) -> Value {
    json!({ "node": node.name, "node_status": "stopped", "role": node.role.name() })
}

pub(super) fn node(broker: &Broker, index: usize) -> Value {
    let node = &broker.nodes[index];
    if !node.running {
        return stopped_row(node);
    }
    let uptime =
        node.started.map_or_else(|| UPTIME + broker.now, |started| broker.now.saturating_sub(started));
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
    let mut row = json!({
        "node": node.name, "node_status": "running", "role": node.role.name(), "edition": "Enterprise",
        "version": node.version, "uptime": uptime.as_millis() as u64,
        "connections": node.sessions(), "live_connections": node.connections,
        "load1": 0.31, "load5": 0.2, "load15": 0.15, "memory_total": "7.43G", "memory_used": "1.02G",
        "process_available": 2_097_152, "process_used": 812, "max_fds": 1_048_576,
        "otp_release": "26.2.5/14.2.5", "sys_path": "/opt/emqx",
        "log_path": "log.file.enable is false, not logging to file.",
    });
    if broker.at_least(5, 6) {
        // The same value on every node.
        row["cluster_sessions"] = json!(broker.all_sessions());
    }
    row
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

/// `GET /cluster/topology`: the cores, and the replicants that are connected to each.
pub(super) fn topology(broker: &Broker) -> Value {
    let of = |role| {
        let members = broker.members().filter(move |(_, node)| node.running && node.role == role);
        members.map(|(_, node)| node.name.as_str())
    };
    let cores: Vec<&str> = of(Role::Core).collect();
    let mut replicants = of(Role::Replicant).collect::<Vec<_>>();
    cores
        .iter()
        .enumerate()
        .map(|(place, core)| {
            let share = replicants.len() / (cores.len() - place);
            let own: Vec<Value> =
                replicants.drain(..share).map(|node| json!({ "node": node, "streams": 8 })).collect();
            json!({ "core_node": core, "replicant_nodes": own })
        })
        .collect()
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

pub(super) fn global_status(broker: &Broker) -> Value {
    let rebalances: Vec<Value> =
        broker.rebalances().iter().map(|rebalance| rebalance_entry(broker, rebalance)).collect();
    let evacuations: Vec<Value> =
        broker.evacuations().iter().map(|evacuation| evacuation_entry(broker, evacuation)).collect();
    if broker.api == Api::V1beta4 {
        return json!({ "rebalances": rebalances, "evacuations": evacuations });
    }
    let purges: Vec<Value> = broker.purges().iter().map(|purge| purge_entry(broker, purge)).collect();
    json!({ "evacuations": evacuations, "purges": purges, "rebalances": rebalances })
}

/// `initial_sessions` is the node's, `current_sessions` the cluster's (seen on EMQX 5.10.4).
fn purge_entry(broker: &Broker, purge: &Purge) -> Value {
    json!({
        "node": broker.nodes[purge.node].name, "state": "purging", "purge_rate": purge.rate, "session_goal": 0,
        "stats": { "initial_sessions": purge.initial, "current_sessions": broker.all_sessions() },
    })
}

/// The time limits of rounds, in milliseconds: only EMQX 5.9 and later has them.
fn add_timeouts(broker: &Broker, rebalance: &Rebalance, entry: &mut Value) {
    if broker.has_rpc_timeouts() {
        entry["connection_eviction_rpc_timeout"] = json!(rebalance.order.conn_timeout.as_millis() as u64);
        entry["session_eviction_rpc_timeout"] = json!(rebalance.order.sess_timeout.as_millis() as u64);
    }
}

fn rebalance_entry(broker: &Broker, rebalance: &Rebalance) -> Value {
    let coordinator = &broker.nodes[rebalance.coordinator].name;
    let mut entry = json!({
        "node": coordinator, "coordinator_node": coordinator, "state": rebalance.state.name(),
        "donors": names(broker, &rebalance.donors), "recipients": names(broker, &rebalance.recipients),
        "connection_eviction_rate": rebalance.order.conn_rate, "session_eviction_rate": rebalance.order.sess_rate,
    });
    add_timeouts(broker, rebalance, &mut entry);
    // Both are those of the last round of their phase that evicted, as floats; absent if no round did.
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

/// `GET /load_rebalance/status`: only donors and evacuated nodes report a process.
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
    if let Some(purge) = broker.purges().iter().find(|purge| purge.node == index) {
        let mut status = purge_entry(broker, purge);
        if let Some(entry) = status.as_object_mut() {
            entry.remove("node");
            entry.insert("status".to_owned(), json!("enabled"));
            entry.insert("process".to_owned(), json!("purge"));
        }
        return status;
    }
    let Some(rebalance) = broker.rebalances().iter().find(|rebalance| rebalance.donors.contains(&index))
    else {
        return json!({ "status": "disabled" });
    };
    let node = &broker.nodes[index];
    let (connected, sessions) = rebalance.at_start(index);
    let mut status = json!({
        "status": "enabled", "process": "rebalance", "state": rebalance.state.name(),
        "coordinator_node": broker.nodes[rebalance.coordinator].name,
        "recipients": names(broker, &rebalance.recipients),
        "connection_eviction_rate": rebalance.order.conn_rate, "session_eviction_rate": rebalance.order.sess_rate,
        "stats": {
            "initial_connected": connected, "current_connected": node.connections,
            "initial_sessions": sessions, "current_sessions": node.sessions(),
            "current_disconnected_sessions": node.offline,
        },
    });
    add_timeouts(broker, rebalance, &mut status);
    if let Some((_, goal)) = rebalance.conn_means {
        status["connection_goal"] = json!(goal);
    }
    if let Some((_, goal)) = rebalance.sess_means {
        status["disconnected_session_goal"] = json!(goal);
    }
    status
}
