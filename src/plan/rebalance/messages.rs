//! The messages of a rebalance, for every output of the program.

use super::progress::Counts;
use crate::model::human::{MAX_NODES_NAMED, average, count, plural, seconds_between, share, utc, utc_from};
use crate::model::{NodeName, Phase, Rebalance, Stage};
use crate::plan::alarm::Alarm;
use crate::plan::rebalance::progress::lost_clients;
use crate::plan::rebalance::run::RebalanceRun;
use crate::timing::OBSERVED_SECONDS;
use jiff::Timestamp;

/// `donors core-0 core-1`, `900 donors`.
fn several(run: &RebalanceRun, nodes: &[NodeName], one: &str) -> String {
    match nodes.len() {
        1 => format!("{one} {}", run.label(&nodes[0])),
        2..=MAX_NODES_NAMED => {
            // EMQX lists them in the order of the request, reversed.
            let mut labels: Vec<String> = nodes.iter().map(|node| run.label(node).to_owned()).collect();
            labels.sort();
            format!("{one}s {}", labels.join(" "))
        }
        more => plural(more as u64, one),
    }
}

/// One answer did not list a rebalance that still runs.
pub(crate) fn listed_again(at: Timestamp) -> String {
    format!("still running: EMQX lists it again, which it did not at {}", utc(at))
}

/// The start was not seen and is not recorded.
pub(crate) fn counted_since(since: Timestamp) -> String {
    format!("already running when first seen: clients are counted from {} on, not from its start", utc(since))
}

/// An operation that was reported as stalled moves again.
pub(crate) const RESUMED: &str = "it resumed";

/// The first line. `ours`: this program started it in EMQX, without an object.
pub(crate) fn created(name: &str, object: Option<&Rebalance>, ours: bool) -> String {
    match object {
        Some(object) => format!("created rebalance.apps.emqx.io/{}", object.name),
        None if ours => format!("started {name} in EMQX"),
        None => format!("EMQX runs a rebalance without an object: {name}"),
    }
}

/// The message when a stage is entered.
pub(crate) fn entered(run: &RebalanceRun) -> String {
    let Some(entry) = &run.entry else { return String::new() };
    let strategy = run.strategy.as_ref();
    match &entry.stage {
        Stage::WaitHealthCheck => {
            let wait = strategy
                .map_or(String::new(), |strategy| format!(" {} s", strategy.wait_health_check_seconds));
            format!(
                "waiting{wait} for load balancers to notice; {}, {}",
                several(run, &entry.donors, "donor"),
                several(run, &entry.recipients, "recipient")
            )
        }
        Stage::EvictingConns => {
            let rate = entry
                .conn_evict_rate
                .map(|rate| format!(" {} a second", plural(rate * entry.donors.len() as u64, "client")));
            let most = latest(run);
            let rounds = run.left.map(|left| format!(", {most}{} to go", plural(left.rounds, "round")));
            format!("evicting{}{}", rate.unwrap_or_default(), rounds.unwrap_or_default())
        }
        Stage::WaitTakeover => {
            let wait =
                strategy.map_or(String::new(), |strategy| format!(" {} s", strategy.wait_takeover_seconds));
            format!("waiting{wait} for sessions to be taken over")
        }
        Stage::EvictingSessions => match run.left {
            Some(left) => {
                let (most, rounds) = (latest(run), plural(left.session_rounds, "round"));
                format!("moving sessions without a client, {most}{rounds} to go")
            }
            None => "moving sessions without a client".to_owned(),
        },
        Stage::Prohibiting => "refusing connections".to_owned(),
        Stage::Unknown(text) => format!("EMQX reports {text}"),
    }
}

/// The message when counts changed.
pub(crate) fn progress(run: &RebalanceRun) -> String {
    let mut parts = Vec::new();
    if let Some((donors, recipients)) =
        run.counts.means(run.donors(), run.recipients(), Counts::connections_of)
    {
        let many = |nodes: &[NodeName]| if nodes.len() == 1 { "" } else { "s" };
        parts.push(format!("donor{} {}", many(run.donors()), average(donors)));
        parts.push(format!("recipient{} {}", many(run.recipients()), average(recipients)));
    }
    parts.extend(missing(run).map(|fact| fact.text));
    if let Some(ratio) = run.landing_ratio().filter(|ratio| *ratio < 0.9) {
        parts.push(format!("{} of the evicted arrived", share(ratio)));
    }
    let parts = parts.join(", ");
    let most = if run.percent_is_bound() { "at most " } else { "" };
    match run.work_percent() {
        Some(percent) if parts.is_empty() => format!("{most}{percent} %"),
        Some(percent) => format!("{most}{percent} %: {parts}"),
        None if parts.is_empty() => "still running".to_owned(),
        None => parts,
    }
}

/// `at most ` before the rounds of a rebalance whose thresholds are unknown.
fn latest(run: &RebalanceRun) -> &'static str {
    if run.strategy.is_none() { "at most " } else { "" }
}

/// What is worked out for a rebalance whose thresholds and waits, or whose start, nothing reports: `goal at most 2,500
/// clients on a recipient: …`, `at most 48 % is done: …`.
pub(crate) fn assumption(run: &RebalanceRun) -> Option<String> {
    run.left?;
    let goals = || super::goal::goals(run).filter(|_| run.strategy.is_none());
    let goal = goals().map(|goals| {
        format!(
            "goal at most {} clients on a recipient: its thresholds and waits are unknown, this is the latest end",
            average(goals.recipients)
        )
    });
    let percent = run.work_percent().filter(|_| run.percent_is_bound());
    let done = percent.map(|percent| {
        format!("at most {percent} % is done, unless evicted clients stayed away: its start is unknown")
    });
    let parts: Vec<String> = goal.into_iter().chain(done).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A phrase of the progress, and whether it reports a loss of clients or sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressFact {
    pub text: String,
    pub loss: bool,
    /// Whether clients that reconnect may be among those that are missing.
    pub may_return: bool,
}

impl ProgressFact {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), loss: false, may_return: false }
    }

    pub(crate) fn loss(text: String) -> Self {
        Self { text, loss: true, may_return: false }
    }

    /// Clients that are missing, some of which may be reconnecting.
    pub(crate) fn offline(text: String) -> Self {
        Self { text, loss: true, may_return: true }
    }
}

/// Whether clients are missing: `none missing`, `35 clients missing`; `None` when the start is not known.
pub(crate) fn missing(run: &RebalanceRun) -> Option<ProgressFact> {
    let lost = lost_clients(run.start.as_ref(), &run.counts)?;
    Some(if lost <= run.reconnecting() {
        ProgressFact::plain("none missing")
    } else {
        ProgressFact::loss(format!("{} clients missing", count(lost)))
    })
}

/// A reason to stop a running rebalance, with the command that stops it.
pub(crate) fn stop_it(run: &RebalanceRun, alarm: &Alarm) -> String {
    format!("{}; kubectl emqx rebalance stop {} stops it", alarm.sentence(), run.name)
}

/// The message when the operator reports Failed while EMQX continues.
pub(crate) fn operator_failed(run: &RebalanceRun, now: Timestamp) -> String {
    let failed = run.object.as_ref().and_then(|object| object.failed);
    let since = failed
        .filter(|failed| seconds_between(*failed, now) > OBSERVED_SECONDS)
        .map(|failed| format!(" since {}", utc_from(failed, now)))
        .unwrap_or_default();
    let why = run
        .object
        .as_ref()
        .and_then(|object| object.failure.as_deref())
        .map(|failure| format!(" (\"{failure}\")"))
        .unwrap_or_default();
    let left = run.left.filter(|left| left.rounds > 0);
    let left = left.map(|left| format!(", {} to go", plural(left.rounds, "round"))).unwrap_or_default();
    format!("operator reports Failed{since}{why}; EMQX continues{left}")
}

/// How the object contradicts EMQX.
pub(crate) fn contradiction(object: Option<&Rebalance>) -> String {
    match object {
        Some(object) if object.deleting.is_some() => "the object is being deleted".to_owned(),
        Some(object) if object.phase == Phase::Processing => "the object is gone".to_owned(),
        Some(object) => format!("operator reports {}", object.phase.text().unwrap_or("nothing")),
        None => "there is no object".to_owned(),
    }
}
