//! The forecast compared with 36 short runs on the real EMQX 5.4.1, 5.8.11 and 5.10.4 with real MQTT clients
//! (`tests/data/recorded/emqx-battery.jsonl`): the decision, the rounds and seconds, and the distribution of
//! clients and sessions afterwards.

use kubectl_emqx::model::Strategy;
use kubectl_emqx::plan::finding::Decision;
use kubectl_emqx::plan::rebalance::forecast::{forecast, numbered};
use kubectl_emqx::plan::rebalance::plan::{RebalancePlan, Return};
use serde_json::Value;

/// Settings that the start request omits have EMQX's defaults.
fn strategy(body: &Value) -> Strategy {
    let count = |field: &str, default: u64| body.get(field).and_then(Value::as_u64).unwrap_or(default);
    let ratio = |field: &str, default: f64| body.get(field).and_then(Value::as_f64).unwrap_or(default);
    let default = Strategy::default();
    Strategy {
        conn_evict_rate: count("conn_evict_rate", default.conn_evict_rate),
        sess_evict_rate: count("sess_evict_rate", default.sess_evict_rate),
        wait_health_check_seconds: count("wait_health_check", default.wait_health_check_seconds),
        wait_takeover_seconds: count("wait_takeover", default.wait_takeover_seconds),
        abs_conn_threshold: count("abs_conn_threshold", default.abs_conn_threshold),
        abs_sess_threshold: count("abs_sess_threshold", default.abs_sess_threshold),
        rel_conn_threshold: ratio("rel_conn_threshold", default.rel_conn_threshold),
        rel_sess_threshold: ratio("rel_sess_threshold", default.rel_sess_threshold),
    }
}

fn pairs(value: &Value) -> Vec<(u64, u64)> {
    let pair = |pair: &Value| (pair[0].as_u64().expect("a count"), pair[1].as_u64().expect("a count"));
    value.as_array().expect("a list").iter().map(pair).collect()
}

fn plan(run: &Value) -> RebalancePlan {
    let before = pairs(&run["before"]);
    let connections: Vec<u64> = before.iter().map(|pair| pair.0).collect();
    let sessions: Vec<u64> = before.iter().map(|pair| pair.1).collect();
    // Each whole second of delay is one round.
    let delay = run["mode"]["delay"].as_f64().unwrap_or(0.0) as u64;
    let back = Return { delay, ..Return::default() };
    forecast(None, &numbered(&connections, Some(&sessions)), &strategy(&run["body"]), back)
}

/// The runs over all four nodes whose clients reconnected at once, or after a fixed time, through the usual
/// balancer.
fn plain_runs() -> Vec<Value> {
    include_str!("../data/recorded/emqx-battery.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|run| run["nodes"] == 4)
        .filter(|run| run["mode"].as_object().is_some_and(|mode| mode.keys().all(|key| key == "delay")))
        .collect()
}

#[test]
fn every_plain_run_ends_as_forecast() {
    let runs = plain_runs();
    assert!(runs.len() >= 22, "{} runs", runs.len());
    let mut wrong = Vec::new();
    for run in &runs {
        let name = run["name"].as_str().expect("a name");
        let plan = plan(run);
        let mut expect = |what: &str, right: bool, replayed: String| {
            if !right {
                wrong.push(format!("{name}: {what}: {replayed}"));
            }
        };
        let started = run["http"] == 200;
        let decision = if started { Decision::Go } else { Decision::NothingToDo };
        expect("decision", plan.decision == decision, format!("{:?}", plan.decision));
        // The rounds were counted in EMQX's own log, except on 5.10.4.
        let (rounds, session_rounds) = (&run["conn_rounds"], &run["sess_rounds"]);
        if !name.starts_with("510-") {
            expect("rounds", *rounds == plan.moves.rounds, format!("{} for {rounds}", plan.moves.rounds));
            let replayed = plan.moves.session_rounds;
            expect("session rounds", *session_rounds == replayed, format!("{replayed} for {session_rounds}"));
        }
        if started {
            let real = run["seconds"].as_f64().expect("seconds");
            let seconds = plan.total_seconds;
            expect("seconds", (real - seconds as f64).abs() <= 1.3, format!("{seconds} for {real}"));
        }
        for (node, (connections, sessions)) in plan.nodes.iter().zip(pairs(&run["after"])) {
            let (replayed, of_sessions) = (node.connections_after, node.sessions_after);
            expect(
                "connections",
                replayed.abs_diff(connections) <= 2,
                format!("{replayed} for {connections}"),
            );
            let off = of_sessions.abs_diff(sessions) as f64;
            expect("sessions", off <= sessions as f64 * 0.05, format!("{of_sessions} for {sessions}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
