//! EMQX's answers, v4 and v5, as types of `model` ([EMQX-40], [EMQX-53]). What EMQX calls `connections` are
//! sessions; live clients are `live_connections`, which versions before 5.1.0 and 4.4.19 do not report.

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error;
use crate::model::human::MAX_PLAUSIBLE_COUNT;
use crate::model::report::{Licence, Listener};
use crate::model::{
    BrokerUpdate, DonorStart, Evacuation, EvictionStatus, Fact, InstanceId, Link, Node, NodeName, Role,
    RunningRebalance, Stage, Strategy,
};

/// The path of the list of nodes.
pub(crate) const NODES_PATH: &str = "nodes";

/// The path of the running operations of the cluster.
pub(crate) const STATUS_PATH: &str = "load_rebalance/global_status";

/// The path of the running operation of one node.
pub(crate) const OWN_STATUS: &str = "load_rebalance/status";

/// Reads the body of an answer; the error names the shape that is wrong.
type Reader = fn(&Value) -> Result<BrokerUpdate, String>;

/// The content of a whole answer, by the end of its path: nodes, or running operations. A failure has a content, too.
fn answers(path: &str, status: u16, body: &Value) -> Vec<BrokerUpdate> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.ends_with(OWN_STATUS) {
        // The answer does not name its node; the request's query does. Without an answer only the percent is unknown.
        let node = query.strip_prefix("node=").filter(|_| status == 200);
        let start = node.and_then(|node| donor_start(node.into(), payload(body)));
        return start.map(BrokerUpdate::Began).into_iter().collect();
    }
    let (resource, read): (&'static str, Reader) = if path.ends_with(STATUS_PATH) {
        ("load_rebalance", |body| load(body).map(BrokerUpdate::Evictions))
    } else if path.ends_with("/nodes") || path == NODES_PATH {
        ("nodes", |body| nodes(body).map(BrokerUpdate::Nodes))
    } else {
        return Vec::new();
    };
    if status == 0 {
        // The form in which recordings store a request without an answer.
        let why = body.as_str().filter(|why| !why.is_empty()).map(|why| format!(": {why}"));
        let link = Link::Unreachable(format!("EMQX does not answer{}", why.unwrap_or_default()));
        return vec![BrokerUpdate::Link(resource, link)];
    }
    vec![match error::failure(status, body) {
        None => read(body).unwrap_or_else(|wrong| {
            BrokerUpdate::Link(resource, Link::Unreachable(format!("cannot ask EMQX: {wrong}")))
        }),
        Some(failure) => BrokerUpdate::Link(resource, failure.link(resource)),
    }]
}

/// The facts about the EMQX of this instance in a whole answer.
pub fn facts(at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
    answers(path, status, body).into_iter().map(|answer| Fact::answer(at, instance, answer)).collect()
}

/// The nodes. A list with an entry that names no node, or has no state, is refused as a whole: an omitted node would look
/// like one that does not run.
///
/// # Errors
/// What is wrong with the shape of the answer.
pub(crate) fn nodes(body: &Value) -> Result<Vec<Node>, String> {
    let rows = payload(body).as_array().ok_or_else(|| error::NOT_EMQX.to_owned())?;
    rows.iter().map(listed_node).collect()
}

/// The same from the text of an answer, one entry after the other: as one value the answer of 1000 nodes takes ten times its
/// text. `None` for an answer that is no bare list.
pub(super) fn nodes_in_text(text: &[u8]) -> Option<Result<Vec<Node>, String>> {
    let rows: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
    let row = |row: &RawValue| listed_node(&serde_json::from_str(row.get()).unwrap_or_default());
    let mut nodes = Vec::with_capacity(rows.len());
    for text in rows {
        match row(text) {
            Ok(node) => nodes.push(node),
            Err(wrong) => return Some(Err(wrong)),
        }
    }
    Some(Ok(nodes))
}

fn listed_node(row: &Value) -> Result<Node, String> {
    let node = node(row).ok_or("EMQX's list of nodes has an entry that names no node")?;
    if text(row, "node_status").is_none() && row.get("error").is_none() {
        return Err("EMQX's list of nodes has an entry without `node_status`".to_owned());
    }
    Ok(node)
}

/// The running operations. Only an answer of the right shape counts: both lists exist, and each entry names
/// its node. Anything else must not be taken for "nothing runs".
///
/// # Errors
/// What is wrong with the shape of the answer.
pub(crate) fn load(body: &Value) -> Result<EvictionStatus, String> {
    // v4 sends these answers without its envelope; one with an envelope is read as well.
    let object = payload(body).as_object().ok_or_else(|| error::NOT_EMQX.to_owned())?;
    if !object.contains_key("rebalances") && !object.contains_key("evacuations") {
        return Err(error::NOT_EMQX.to_owned());
    }
    Ok(EvictionStatus {
        rebalances: entries(object.get("rebalances"), "rebalances", rebalance)?,
        evacuations: entries(object.get("evacuations"), "evacuations", evacuation)?,
        // EMQX before 5.2 has no purges.
        purges: match object.get("purges") {
            None => Vec::new(),
            purges => entries(purges, "purges", |purge| text(purge, "node").map(NodeName::from))?,
        },
    })
}

/// The entries of one list of the status.
fn entries<T>(list: Option<&Value>, key: &str, read: fn(&Value) -> Option<T>) -> Result<Vec<T>, String> {
    let wrong = |is: &str| format!("EMQX's answer has an unexpected shape: `{key}` {is}");
    let list = match list {
        None => return Err(wrong("is missing")),
        Some(Value::Null) => return Err(wrong("is null")),
        Some(list) => list.as_array().ok_or_else(|| wrong("is not a list"))?,
    };
    list.iter().map(|entry| read(entry).ok_or_else(|| wrong("has an entry without `node`"))).collect()
}

/// What v4 wraps in `{"code":0,"data":…}` and v5 sends bare.
fn payload(body: &Value) -> &Value {
    match body.get("data") {
        Some(data) if body.get("code").is_some() => data,
        _ => body,
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|it| it.is_finite() && *it >= 0.0).map(|it| it as u64))
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .filter(|number| *number <= MAX_PLAUSIBLE_COUNT)
}

fn mean(value: &Value, key: &str) -> Option<f64> {
    let value = value.get(key)?;
    value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).filter(|it| it.is_finite())
}

fn names(value: &Value, key: &str) -> Vec<NodeName> {
    let list = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(NodeName::from).collect()
}

/// One node. A stopped core has three fields; v4 gives `{node,error}` for one that did not answer.
fn node(value: &Value) -> Option<Node> {
    let state = text(value, "node_status");
    let is = |wanted: &str| state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case(wanted));
    Some(Node {
        // 5.0.0 named a stopped node in `name`.
        name: text(value, "node").or_else(|| text(value, "name"))?.into(),
        pod: None,
        pod_uid: None,
        role: value.get("role").and_then(Value::as_str).and_then(Role::parse),
        running: is("running") && value.get("error").is_none(),
        stopped: is("stopped") && value.get("error").is_none(),
        connections: number(value, "live_connections"),
        sessions: number(value, "connections"),
        version: text(value, "version"),
        edition: text(value, "edition"),
        memory_used: memory(value, "memory_used"),
        memory_total: memory(value, "memory_total"),
        load: mean(value, "load1"),
        uptime_millis: value.get("uptime").and_then(uptime),
    })
}

/// `1.02G`; EMQX 4.4 reports bytes of the Erlang VM, which is another quantity.
fn memory(value: &Value, key: &str) -> Option<String> {
    text(value, key).filter(|text| text != "0")
}

/// Which core each replicant is connected to. Items of `replicant_nodes` are objects with `node`.
pub(crate) fn topology(body: &Value) -> Vec<(NodeName, NodeName)> {
    let cores = body.as_array().map(Vec::as_slice).unwrap_or_default();
    let replicants = |core: &Value| -> Vec<(NodeName, NodeName)> {
        let Some(name) = text(core, "core_node") else { return Vec::new() };
        let list =
            core.get("replicant_nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let node = |item: &Value| text(item, "node").or_else(|| item.as_str().map(str::to_owned));
        list.iter()
            .filter_map(node)
            .map(|node| (NodeName::from(node), NodeName::from(name.as_str())))
            .collect()
    };
    cores.iter().flat_map(replicants).collect()
}

/// The licence. EMQX 5.9 renamed its limit from connections to sessions.
pub(crate) fn licence(body: &Value) -> Option<Licence> {
    let day = text(body, "expiry_at");
    let counts_sessions = body.get("max_sessions").is_some();
    let licence = Licence {
        kind: text(body, "type"),
        customer_type: number(body, "customer_type"),
        max_sessions: number(body, if counts_sessions { "max_sessions" } else { "max_connections" }),
        counts_sessions,
        expires: day.and_then(|day| day.parse().ok()),
        expired: body.get("expiry").and_then(Value::as_bool).unwrap_or(false),
    };
    (licence.kind.is_some() || licence.max_sessions.is_some()).then_some(licence)
}

/// The listeners that are enabled, without their rates, which are not in the list.
pub(crate) fn listeners(body: &Value) -> Vec<Listener> {
    let rows = body.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter(|row| row.get("enable").and_then(Value::as_bool) != Some(false))
        .filter_map(|row| {
            let connections = row.get("status").and_then(|status| number(status, "current_connections"));
            Some(Listener { id: text(row, "id")?, rate: None, connections })
        })
        .collect()
}

/// Clients per second that a listener accepts; `None` is unlimited. `1000/s`, `500/100ms` and `10/m`; without
/// a unit of time the rate is per second.
pub(crate) fn listener_rate(body: &Value) -> Option<f64> {
    let value = body.get("max_conn_rate")?;
    let Some(text) = value.as_str() else { return value.as_f64().filter(|rate| *rate > 0.0) };
    let (number, period) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
    let number: f64 = number.trim().parse().ok()?;
    let period = period.trim().to_ascii_lowercase();
    let digits = period.find(|letter: char| !letter.is_ascii_digit())?;
    let (many, unit) = period.split_at(digits);
    let many: f64 = if many.is_empty() { 1.0 } else { many.parse().ok()? };
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number / (many * seconds)).filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// Milliseconds in EMQX 5; EMQX 4.4 writes `4 hours, 21 minutes, 19 seconds`.
fn uptime(value: &Value) -> Option<u64> {
    let Value::String(text) = value else { return value.as_u64() };
    let seconds = |part: &str| {
        let (number, unit) = part.trim().split_once(' ')?;
        let unit = match unit.strip_suffix('s').unwrap_or(unit) {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    };
    let all: Option<Vec<u64>> = text.split(',').map(seconds).collect();
    all?.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part))?.checked_mul(1000)
}

fn rebalance(value: &Value) -> Option<RunningRebalance> {
    let state = text(value, "state").unwrap_or_default();
    Some(RunningRebalance {
        coordinator: text(value, "coordinator_node").or_else(|| text(value, "node"))?.into(),
        stage: Stage::parse(&state),
        donors: names(value, "donors"),
        recipients: names(value, "recipients"),
        conn_evict_rate: number(value, "connection_eviction_rate"),
        sess_evict_rate: number(value, "session_eviction_rate"),
        // In the session phase the means of sessions replace those of connections; the answer still has the
        // earlier ones.
        donors_mean: session_phase(&state)
            .then(|| mean(value, "donor_sess_avg"))
            .flatten()
            .or_else(|| mean(value, "donor_conn_avg").filter(|_| !session_phase(&state))),
        recipients_mean: session_phase(&state)
            .then(|| mean(value, "disconnected_session_goal"))
            .flatten()
            .or_else(|| mean(value, "connection_goal").filter(|_| !session_phase(&state))),
        requested: None,
        state,
    })
}

/// The strategy of a request to start a rebalance, as [`super::request`] makes it; `None` where a field is missing.
pub(crate) fn strategy(request: &Value) -> Option<Strategy> {
    let relative = |key: &str| request.get(key).and_then(Value::as_f64).filter(|it| it.is_finite());
    Some(Strategy {
        conn_evict_rate: number(request, "conn_evict_rate")?,
        sess_evict_rate: number(request, "sess_evict_rate")?,
        wait_health_check_seconds: number(request, "wait_health_check")?,
        wait_takeover_seconds: number(request, "wait_takeover")?,
        abs_conn_threshold: number(request, "abs_conn_threshold")?,
        rel_conn_threshold: relative("rel_conn_threshold")?,
        abs_sess_threshold: number(request, "abs_sess_threshold")?,
        rel_sess_threshold: relative("rel_sess_threshold")?,
    })
}

/// What a donor held when its rebalance began ([EMQX-55]).
fn donor_start(donor: NodeName, value: &Value) -> Option<DonorStart> {
    let stats = value.get("stats").filter(|_| text(value, "process").as_deref() == Some("rebalance"))?;
    Some(DonorStart {
        donor,
        coordinator: text(value, "coordinator_node")?.into(),
        connections: number(stats, "initial_connected")?,
        sessions: number(stats, "initial_sessions"),
    })
}

fn session_phase(state: &str) -> bool {
    state == "evicting_sessions"
}

fn evacuation(value: &Value) -> Option<Evacuation> {
    let state = text(value, "state").unwrap_or_default();
    let stats = value.get("stats").unwrap_or(&Value::Null);
    Some(Evacuation {
        node: text(value, "node")?.into(),
        stage: Stage::parse(&state),
        recipients: names(value, "session_recipients"),
        conn_evict_rate: number(value, "connection_eviction_rate"),
        sess_evict_rate: number(value, "session_eviction_rate"),
        initial_connections: number(stats, "initial_connected"),
        connections: number(stats, "current_connected"),
        initial_sessions: number(stats, "initial_sessions"),
        sessions: number(stats, "current_sessions"),
        state,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn connections_are_sessions_and_missing_live_ones_are_unknown() {
        let v5 = json!([{"node": "emqx@a", "node_status": "running", "role": "core", "connections": 120, "live_connections": 0,
            "uptime": 5, "memory_used": "1.02G", "load1": "0.3"},
            {"node": "emqx@b", "node_status": "running", "connections": 7},
            {"node": "emqx@gone", "node_status": "stopped", "role": "core"}]);
        let nodes = nodes(&v5).expect("a list");
        let counts: Vec<_> =
            nodes.iter().map(|node| (node.running, node.connections, node.sessions)).collect();
        assert_eq!(counts, [(true, Some(0), Some(120)), (true, None, Some(7)), (false, None, None)]);
    }

    #[test]
    fn v4_is_unwrapped_and_a_node_that_failed_does_not_run() {
        let v4 = json!({"code": 0, "data": [
            {"node": "emqx@a", "node_status": "Running", "connections": 860, "live_connections": 800, "uptime": "1 hours", "memory_used": 512},
            {"node": "emqx@b", "error": "timeout"}]});
        let nodes = nodes(&v4).expect("a list");
        assert_eq!(
            (nodes[0].connections, nodes[0].sessions, nodes[0].uptime_millis),
            (Some(800), Some(860), Some(3_600_000))
        );
        assert!(nodes[0].running && !nodes[1].running);
        assert!(super::nodes(&json!({"code": 0, "data": {}})).is_err());
    }

    #[test]
    fn a_list_of_nodes_is_the_same_whether_it_is_read_whole_or_entry_by_entry() {
        let good = json!([
            {"node": "emqx@a", "node_status": "running", "connections": 860, "live_connections": 800, "role": "core"},
            {"node": "emqx@b", "error": "timeout"}]);
        for body in [
            good,
            json!([]),
            json!([{"node_status": "running"}]),
            json!([{"node": "emqx@a"}]),
            json!([1, "x"]),
        ] {
            assert_eq!(nodes_in_text(body.to_string().as_bytes()), Some(nodes(&body)), "{body}");
        }
        for other in [r#"{"code": 0, "data": []}"#, "null", "", "[{]", "<html>"] {
            assert_eq!(nodes_in_text(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_limit_of_a_licence_is_read_under_its_old_and_its_new_name() {
        let old = json!({"customer": "Foo", "customer_type": 10, "expiry": false, "expiry_at": "2295-10-27",
            "max_connections": 100, "start_at": "2022-01-11", "type": "trial"});
        let old = licence(&old).expect("a licence");
        assert_eq!((old.max_sessions, old.counts_sessions, old.is_evaluation()), (Some(100), false, false));
        assert_eq!(old.expires, Some(jiff::civil::date(2295, 10, 27)));
        assert!(old.restricts_when_expired() && !old.is_single_node());
        let new = json!({"customer_type": 10, "expiry": true, "max_sessions": 25, "type": "community"});
        let new = licence(&new).expect("a licence");
        assert_eq!((new.max_sessions, new.expired), (Some(25), true));
        assert!(new.is_evaluation() && new.is_single_node());
        assert_eq!(licence(&json!({"code": "NOT_FOUND"})), None);
    }

    #[test]
    fn rates_of_listeners_are_read_in_every_form_that_emqx_takes() {
        let rate = |value: Value| listener_rate(&json!({ "max_conn_rate": value }));
        assert_eq!(rate(json!("1000/s")), Some(1000.0));
        assert_eq!(rate(json!(" 1000/1s ")), Some(1000.0));
        assert_eq!(rate(json!("50/100ms")), Some(500.0));
        assert_eq!(rate(json!("600/m")), Some(10.0));
        assert_eq!(rate(json!("250")), Some(250.0));
        assert_eq!(rate(json!(40)), Some(40.0));
        for unlimited in [json!("infinity"), json!(null), json!("0/s"), json!("10/fortnight"), json!("10/")] {
            assert_eq!(rate(unlimited.clone()), None, "{unlimited}");
        }
        assert_eq!(listener_rate(&json!({})), None);
    }

    #[test]
    fn disabled_listeners_are_left_out() {
        let body = json!([
            {"id": "tcp:default", "enable": true, "status": {"current_connections": 7}},
            {"id": "ssl:default", "enable": false, "status": {"current_connections": 0}},
            {"enable": true},
        ]);
        let found = listeners(&body);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].connections), ("tcp:default", Some(7)));
    }

    #[test]
    fn uptimes_are_read_in_milliseconds_and_in_words() {
        let days = json!("1 days, 4 hours, 21 minutes, 19 seconds");
        assert_eq!(super::uptime(&days), Some((86_400 + 4 * 3600 + 21 * 60 + 19) * 1000));
        assert_eq!(super::uptime(&json!(5_120_000)), Some(5_120_000));
        for unreadable in
            [json!("soon"), json!(""), json!("4 weeks"), json!(null), json!("99999999999999999999 days")]
        {
            assert_eq!(super::uptime(&unreadable), None, "{unreadable}");
        }
    }

    #[test]
    fn goals_are_those_of_the_phase_and_unknown_states_are_carried() {
        let body = json!({"evacuations": [{"node": "emqx@e", "state": "napping", "stats": {"current_connected": 3}}],
            "purges": [{"node": "emqx@p"}], "rebalances": [
            {"node": "emqx@a", "state": "evicting_conns", "donors": ["emqx@a"], "recipients": [], "connection_goal": "750.0", "donor_conn_avg": 2933.5},
            {"coordinator_node": "emqx@b", "state": "evicting_sessions", "connection_goal": 1.0, "donor_sess_avg": 9.0, "disconnected_session_goal": 2}]});
        let load = load(&body).expect("an answer");
        assert_eq!(load.rebalances[0].recipients_mean, Some(750.0));
        assert_eq!(
            (load.rebalances[1].donors_mean, load.rebalances[1].recipients_mean),
            (Some(9.0), Some(2.0))
        );
        assert_eq!(load.evacuations[0].stage, Stage::Unknown("napping".to_owned()));
        assert_eq!(load.evacuations[0].connections, Some(3));
        assert_eq!(load.purges.len(), 1);
        assert!(super::load(&json!({"status": "disabled"})).is_err());
    }

    #[test]
    fn an_answer_of_another_shape_is_never_taken_for_nothing_runs() {
        for (body, wrong) in [
            (json!({"rebalances": null, "evacuations": []}), "`rebalances` is null"),
            (json!({"evacuations": []}), "`rebalances` is missing"),
            (json!({"rebalances": []}), "`evacuations` is missing"),
            (json!({"rebalances": {}, "evacuations": []}), "`rebalances` is not a list"),
            (json!({"rebalances": [{"state": "evicting_conns"}], "evacuations": []}), "without `node`"),
            (json!({"rebalances": [7], "evacuations": []}), "without `node`"),
            (json!({"rebalances": [], "evacuations": [{}]}), "without `node`"),
            (json!({"rebalances": [], "evacuations": [], "purges": 3}), "`purges` is not a list"),
            (json!({"rebalances": [], "evacuations": [], "purges": null}), "`purges` is null"),
            (json!([]), "not EMQX's API"),
            (json!(null), "not EMQX's API"),
        ] {
            let why = load(&body).expect_err("a wrong shape");
            assert!(why.contains(wrong), "{body}: {why}");
            let answers = answers(STATUS_PATH, 200, &body);
            assert!(
                matches!(answers[..], [BrokerUpdate::Link("load_rebalance", Link::Unreachable(_))]),
                "{body}"
            );
        }
        for body in [
            json!({"rebalances": [], "evacuations": []}),
            json!({"code": 0, "data": {"rebalances": [], "evacuations": []}}),
        ] {
            assert_eq!(load(&body), Ok(EvictionStatus::default()), "{body}");
        }
        let running = json!({"node": "emqx@a", "node_status": "running"});
        assert!(nodes(&json!([running])).is_ok());
        for body in [
            json!([{"role": "core"}]),
            json!([running, 5]),
            json!([running, {"node": "emqx@b", "connections": 7}]),
            json!({"x": 1}),
        ] {
            assert!(nodes(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_request_that_was_recorded_without_an_answer_is_no_answer() {
        let answers = answers("/api/v5/nodes", 0, &json!("connection refused"));
        let [BrokerUpdate::Link("nodes", Link::Unreachable(why))] = &answers[..] else {
            panic!("{answers:?}");
        };
        assert_eq!(why, "EMQX does not answer: connection refused");
    }

    #[test]
    fn a_donor_reports_what_it_held_when_its_rebalance_began() {
        let body = json!({"status": "enabled", "process": "rebalance", "coordinator_node": "emqx@a", "state": "evicting_conns",
            "stats": {"initial_connected": 3333, "initial_sessions": 3400, "current_connected": 3000, "current_sessions": 3067}});
        let of = |path: &str, body: &Value| answers(path, 200, body);
        let path = "/api/v5/load_rebalance/status?node=emqx@b";
        let start = DonorStart {
            donor: "emqx@b".into(),
            coordinator: "emqx@a".into(),
            connections: 3333,
            sessions: Some(3400),
        };
        assert_eq!(of(path, &body), [BrokerUpdate::Began(start)]);
        // A recipient, an evacuated node, and an answer of an unknown node report no start of a rebalance.
        assert_eq!(of(path, &json!({"status": "disabled"})), []);
        let mut evacuation = body.clone();
        evacuation["process"] = json!("evacuation");
        assert_eq!(of(path, &evacuation), []);
        assert_eq!(of("/api/v5/load_rebalance/status", &body), []);
    }

    #[test]
    fn a_failure_is_an_answer() {
        let update = |path: &str, status, body: Value| answers(path, status, &body).remove(0);
        assert!(matches!(
            update("/api/v5/nodes", 401, json!({"code": "BAD_API_KEY_OR_SECRET", "message": "x"})),
            BrokerUpdate::Link("nodes", Link::Forbidden(_))
        ));
        assert!(matches!(
            update("/api/v5/load_rebalance/global_status", 404, json!({"code": "NOT_FOUND"})),
            BrokerUpdate::Link("load_rebalance", Link::Absent(_))
        ));
        assert!(matches!(
            update("/api/v5/nodes", 200, json!({"x": 1})),
            BrokerUpdate::Link(_, Link::Unreachable(_))
        ));
        assert_eq!(answers("/api/v5/metrics", 200, &json!({})), []);
    }
}
