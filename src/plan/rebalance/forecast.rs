//! The forecast of a rebalance: donors and recipients, the counts of every node afterwards, the length of
//! each phase, and why it would start or not. The rules are EMQX's ([`emqx_rebalance::rules`],
//! [`emqx_rebalance::eviction`]).

use super::warnings::{blind, warnings};

use crate::model::human::{average, plural};
use crate::plan::durations::PlannedPhase;
use crate::plan::rebalance::plan::{
    Averages, Moves, Participant, PlannedNode, RebalancePlan, Return, SessionRounds, thresholds,
};
use emqx_rebalance::eviction::{Landing, Loop, Outcome, round_robin, run};
use emqx_rebalance::rules::{Threshold, donors, mean};

use crate::model::{Backend, InstanceId, NodeName, Part, Strategy};
use crate::plan::finding::{Decision, Finding, Severity};

/// Forecasts a rebalance of these nodes, in this order. Its findings are not judged yet: [`RebalancePlan::judge`].
pub fn forecast(
    instance: Option<InstanceId>,
    nodes: &[Participant],
    strategy: &Strategy,
    back: Return,
) -> RebalancePlan {
    let counts: Vec<u64> = nodes.iter().map(|node| node.connections).collect();
    let gives = donors(&counts);
    let side = |wanted: bool, of: fn(&Participant) -> u64| -> Vec<u64> {
        nodes.iter().zip(&gives).filter(|(_, gives)| **gives == wanted).map(|(node, _)| of(node)).collect()
    };
    let connections = |node: &Participant| node.connections;
    let sessions = |node: &Participant| node.sessions;
    let (givers, takers) = (side(true, connections), side(false, connections));
    let (conn, sess) = thresholds(strategy);
    let means = (mean(givers.iter().copied()), mean(takers.iter().copied()));
    let session_means = (mean(side(true, sessions)), mean(side(false, sessions)));

    let mut plan = RebalancePlan {
        instance,
        strategy: strategy.clone(),
        decision: Decision::NothingToDo,
        backend: Backend::Rebalance,
        message: String::new(),
        sentence: None,
        nodes: nodes
            .iter()
            .zip(&gives)
            .map(|(node, gives)| PlannedNode {
                node: node.node.clone(),
                pod: node.pod.clone(),
                part: if takers.is_empty() { None } else { Some(part(*gives)) },
                connections: node.connections,
                sessions: node.sessions,
                connections_after: node.connections,
                sessions_after: node.sessions,
            })
            .collect(),
        averages: Averages {
            donors_before: means.0,
            recipients_before: Some(means.1).filter(|_| !takers.is_empty()),
            donors_after: means.0,
            recipients_after: Some(means.1).filter(|_| !takers.is_empty()),
        },
        moves: Moves::default(),
        phases: Vec::new(),
        total_seconds: 0,
        findings: Vec::new(),
        requirement: None,
        load_balancers: None,
        command: None,
        diff: None,
        session_rounds: SessionRounds::default(),
    };

    if takers.is_empty() {
        plan.message = match nodes.len() {
            0 => "no node takes part".to_owned(),
            1 => "one node alone has nowhere to move clients to".to_owned(),
            _ => format!(
                "all {} nodes hold {} connections: EMQX picks donors by connections alone, and none is above another",
                nodes.len(),
                average(means.0)
            ),
        };
        plan.findings.push(nothing(&plan.message, None));
        return plan;
    }
    if conn.holds(means.0, means.1) && sess.holds(session_means.0, session_means.1) {
        let hint = would_start(means, conn);
        let why = |style| why_within(means, conn, session_means, sess, style);
        plan.message = why(NumberStyle::Json);
        plan.findings.push(nothing(plan.sentence.insert(why(NumberStyle::Text)), hint.clone()));
        if let Some(finding) = blind(&counts, strategy, hint) {
            plan.findings.push(finding);
        }
        return plan;
    }

    plan.decision = Decision::Go;
    let (offline_givers, offline_takers) =
        (side(true, Participant::offline), side(false, Participant::offline));
    let shifting = run(&Loop {
        donors: &offline_givers,
        recipients: &offline_takers,
        rate: strategy.sess_evict_rate,
        threshold: sess,
        delay: 0,
        landing: Landing::Even,
        donors_open_after_ms: 0,
    });
    let session_ms = shifting.session_ms(back.session_move_ms);
    let moving = run(&Loop {
        donors: &givers,
        recipients: &takers,
        rate: strategy.conn_evict_rate,
        threshold: conn,
        delay: back.delay,
        landing: back.landing,
        donors_open_after_ms: u128::from(strategy.wait_takeover_seconds) * 1000 + session_ms,
    });
    plan.session_rounds = SessionRounds {
        longest_ms: shifting.longest_session_round_ms(back.session_move_ms),
        move_ms: back.session_move_ms,
    };
    let conn_ms = u128::from(moving.rounds) * u128::from(back.round_ms);
    write_results(&mut plan, nodes, &gives, &moving, &shifting, (seconds(conn_ms), seconds(session_ms)));
    let why = |style| why_go(means, conn, session_means, &moving, takers.len(), style);
    plan.message = why(NumberStyle::Json);
    plan.sentence = Some(why(NumberStyle::Text));
    let found = warnings(&plan, means, &moving, &shifting);
    plan.findings.extend(found);
    plan
}

/// Whole seconds, rounded up.
fn seconds(milliseconds: u128) -> u64 {
    u64::try_from(milliseconds.div_ceil(1000)).unwrap_or(u64::MAX)
}

fn part(gives: bool) -> Part {
    if gives { Part::Donor } else { Part::Recipient }
}

/// Writes the results of the two loops into the plan.
fn write_results(
    plan: &mut RebalancePlan,
    nodes: &[Participant],
    gives: &[bool],
    moving: &Outcome,
    shifting: &Outcome,
    lasting_seconds: (u64, u64),
) {
    let mut after = [
        (moving.recipients.iter(), shifting.recipients.iter()),
        (moving.donors.iter(), shifting.donors.iter()),
    ];
    let late = round_robin(moving.late, nodes.len());
    for ((planned, (node, gives)), late) in plan.nodes.iter_mut().zip(nodes.iter().zip(gives)).zip(late) {
        let (connections, offline) = &mut after[usize::from(*gives)];
        let connections = connections.next().copied().unwrap_or(node.connections);
        planned.connections_after = connections.saturating_add(u64::try_from(late).unwrap_or(u64::MAX));
        planned.sessions_after =
            planned.connections_after.saturating_add(offline.next().copied().unwrap_or(node.offline()));
    }
    let mean_after = |part| {
        let nodes = plan.nodes.iter().filter(|node| node.part == Some(part));
        mean(nodes.map(|node| node.connections_after))
    };
    (plan.averages.donors_after, plan.averages.recipients_after) =
        (mean_after(Part::Donor), Some(mean_after(Part::Recipient)));
    plan.moves = Moves {
        rounds: moving.rounds,
        connections: moving.moved,
        session_rounds: shifting.rounds,
        sessions: shifting.moved,
        peak_reconnects_per_second: moving.peak.max(moving.late_peak.div_ceil(nodes.len().max(1) as u64)),
    };
    plan.phases = phases(&plan.strategy, lasting_seconds);
    plan.total_seconds = plan.phases.iter().fold(0, |total: u64, phase| total.saturating_add(phase.seconds));
}

/// The phases of a rebalance with these seconds of connection rounds and of session rounds.
fn phases(strategy: &Strategy, (conn_seconds, session_seconds): (u64, u64)) -> Vec<PlannedPhase> {
    vec![
        PlannedPhase { name: "waitHealthCheck", seconds: strategy.wait_health_check_seconds },
        PlannedPhase { name: "evictConnections", seconds: conn_seconds },
        PlannedPhase { name: "waitTakeover", seconds: strategy.wait_takeover_seconds },
        PlannedPhase { name: "evictSessions", seconds: session_seconds },
    ]
}

fn nothing(reason: &str, hint: Option<String>) -> Finding {
    Finding {
        id: "nothing-to-balance",
        severity: Severity::Info,
        message: format!("EMQX would answer nothing_to_balance: {reason}"),
        hint,
    }
}

/// How the numbers of a sentence are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberStyle {
    /// With thousands separators: `2,553.33`, `2,340`.
    Text,
    /// Without, because programs read it: `2553.33`, `2340.00`.
    Json,
}

impl NumberStyle {
    /// A mean beside another: in JSON always with two decimals.
    fn mean(self, value: f64) -> String {
        match self {
            Self::Text => average(value),
            Self::Json => format!("{value:.2}"),
        }
    }

    /// A mean alone: without decimals where it is whole.
    fn count(self, value: f64) -> String {
        match self {
            Self::Json if value.fract() == 0.0 => format!("{value:.0}"),
            _ => self.mean(value),
        }
    }

    /// `1,200 rounds`.
    fn plural(self, number: u64, one: &str) -> String {
        match self {
            Self::Json if number != 1 => format!("{number} {one}s"),
            _ => plural(number, one),
        }
    }
}

/// A factor as it was given: `1.1`, `2.0`.
fn factor(value: f64) -> String {
    format!("{value:?}")
}

/// The rule as text, where it holds: `2,553.33 <= 2,340 x 1.1`.
pub(crate) fn holding(means: (f64, f64), threshold: Threshold, style: NumberStyle) -> Option<String> {
    let sides = format!("{} <= {}", style.mean(means.0), style.mean(means.1));
    let (donors, recipients) = means;
    if donors <= recipients + threshold.abs {
        Some(format!("{sides} + {}", style.count(threshold.abs)))
    } else if donors <= recipients * threshold.rel {
        Some(format!("{sides} x {}", factor(threshold.rel)))
    } else {
        None
    }
}

fn why_within(
    means: (f64, f64),
    conn: Threshold,
    session_means: (f64, f64),
    sess: Threshold,
    style: NumberStyle,
) -> String {
    let mut text = format!("within the thresholds: {}", holding(means, conn, style).unwrap_or_default());
    if (session_means.0 - means.0).abs() > 0.5 || (session_means.1 - means.1).abs() > 0.5 {
        text.push_str("; sessions ");
        text.push_str(&holding(session_means, sess, style).unwrap_or_default());
    }
    text
}

/// The thresholds with which the rebalance would start: below the difference, and below the ratio, of the two
/// means.
fn would_start(means: (f64, f64), threshold: Threshold) -> Option<String> {
    let (donors, recipients) = means;
    let mut flags = Vec::new();
    if donors <= recipients + threshold.abs {
        let below = (donors - recipients).ceil() - 1.0;
        if below < 1.0 {
            return None;
        }
        flags.push(format!("--abs-conn-threshold {below}"));
    }
    if donors <= recipients * threshold.rel {
        // The CRD of 2.3 takes digits 1-9 and a dot; anything down to 1.0 (exclusive) is EMQX's own limit.
        let below = ((donors / recipients - 1.0) * 100.0).ceil() - 1.0;
        if below < 1.0 {
            return None;
        }
        flags.push(format!("--rel-conn-threshold {}", factor(1.0 + below / 100.0)));
    }
    Some(format!("it would start with {} or less", flags.join(" and ")))
}

fn why_go(
    means: (f64, f64),
    conn: Threshold,
    session_means: (f64, f64),
    moving: &Outcome,
    recipients: usize,
    style: NumberStyle,
) -> String {
    let who = if recipients == 1 { "the recipient" } else { "recipients" };
    if moving.rounds == 0 {
        return format!(
            "connections are within ({}), but donors hold {} sessions on average, {who} {}: only sessions move",
            holding(means, conn, style).unwrap_or_default(),
            style.count(session_means.0),
            style.count(session_means.1)
        );
    }
    let end = holding((moving.donors_mean, moving.recipients_mean), conn, style).unwrap_or_default();
    format!(
        "donors hold {} connections on average, {who} {}; {} until {end}",
        style.count(means.0),
        style.count(means.1),
        style.plural(moving.rounds, "round"),
    )
}

/// Participants of plain numbers: `node-1`, `node-2`, …
pub fn numbered(connections: &[u64], sessions: Option<&[u64]>) -> Vec<Participant> {
    connections
        .iter()
        .enumerate()
        .map(|(place, &count)| Participant {
            node: NodeName::from(format!("node-{}", place + 1)),
            pod: None,
            connections: count,
            sessions: sessions.and_then(|sessions| sessions.get(place).copied()).unwrap_or(count),
        })
        .collect()
}

#[cfg(test)]
mod tests;
