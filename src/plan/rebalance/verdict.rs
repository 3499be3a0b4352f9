//! The verdict of a rebalance that EMQX no longer runs, from counts and observations. The operator's phase
//! alone decides nothing, and counts that are not those of the end support no verdict.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::forecast::{NumberStyle, forecast, holding};
use super::progress::{Counts, NodeCounts};
use super::record::PlanRecord;
use crate::model::human::{average, count, plural, seconds_between, utc};
use crate::model::refusal::Refusal;
use crate::model::{
    HistoryEntry, Judgement, NodeName, Part, Phase, Rebalance, RunningRebalance, Stage, Strategy, Verdict,
    World,
};
use crate::plan::finding::Decision;
use crate::plan::rebalance::losses::LostNode;
use crate::plan::rebalance::plan::{Participant, Return, thresholds};
use crate::plan::rebalance::progress::{arrived, arrived_sessions, gone, lost_clients, missing};
use crate::timing::{
    CLOCK_BACK_SECONDS, LATE_COMPLETION_SECONDS, NODE_START_SLACK_SECONDS, RETURN_SECONDS,
    UNFOLLOWED_VERDICT_SECONDS,
};
use emqx_rebalance::rules::Threshold;

/// Where the thresholds are not known: above this factor, recipients hold more than the donors by more than a last round
/// explains.
const REVERSED: f64 = 1.1;

/// What was observed of a rebalance that is over.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The nodes that gave clients.
    pub donors: &'a [NodeName],
    /// The nodes that received clients.
    pub recipients: &'a [NodeName],
    /// The requested strategy; `None` for a rebalance that another client started in EMQX.
    pub strategy: Option<&'a Strategy>,
    /// Counts at the start; `None` when it was not seen.
    pub start: Option<&'a Counts>,
    /// Since when clients are counted, where that is not the start.
    pub counted_since: Option<Timestamp>,
    /// Counts at its end, with the clients that came back since.
    pub at_end: &'a Counts,
    /// The last counts.
    pub now: &'a Counts,
    /// The stage in which it was last seen.
    pub stage: Option<&'a Stage>,
    /// Whether it was in `wait_takeover` for as long as it has to be there.
    pub waited: bool,
    /// The outage of EMQX in which it ended: from and until when.
    pub outage: Option<(Timestamp, Timestamp)>,
    /// From when to when it was not seen, where that is as long as the rest of it was forecast to take.
    pub unseen: Option<(Timestamp, Timestamp)>,
    /// Nodes that stopped running during it.
    pub lost: &'a [LostNode],
    /// Whether it can have come to its end before any of them stopped.
    pub may_precede_losses: bool,
    /// Who stopped it, if it was stopped.
    pub stopped: Option<String>,
    /// How long it ran.
    pub seconds: Option<u64>,
    /// The earliest and the latest time at which it can have ended, where its end was not seen.
    pub between: Option<(Timestamp, Timestamp)>,
}

impl Ending<'_> {
    /// Whether EMQX moved all connections that it had to move: it reached the wait after that stage.
    fn through_takeover(&self) -> bool {
        self.stage.and_then(Stage::order).is_some_and(|order| order >= 2)
    }

    /// `, ended between 10:02:03 UTC and 10:05:45 UTC`; empty where its end was seen.
    fn time_of_end(&self) -> String {
        let between = |(from, to)| format!(", ended between {} and {}", utc(from), utc(to));
        self.between.map(between).unwrap_or_default()
    }
}

/// Why there is no verdict yet: clients were missing at the end, and less than [`RETURN_SECONDS`] passed.
pub(crate) fn not_back(lost: Option<u64>, since: u64) -> String {
    let lost = plural(lost.unwrap_or(0), "client");
    format!("it ended, and {lost} had not come back {since} s later; what came then is not known")
}

/// How the means at the end compare with the thresholds.
#[derive(Clone, Debug)]
struct Balance {
    /// Whether donors are within the thresholds, with connections and with sessions without a client.
    within: bool,
    /// The same for sessions without a client alone; the last phase moves them.
    sessions_within: bool,
    /// The means of sessions without a client, of donors and recipients, where they are known.
    sessions: Option<(f64, f64)>,
    /// What recipients hold more of than the thresholds allow, among what was moved.
    reversed: Option<&'static str>,
    /// The rule for connections, as text.
    rule: Option<String>,
}

fn balance(ending: &Ending<'_>, conn: Threshold, sess: Threshold) -> Option<Balance> {
    let (donors, recipients) = (ending.donors, ending.recipients);
    let means = ending.at_end.means(donors, recipients, Counts::connections_of)?;
    let rule = holding(means, conn, NumberStyle::Text);
    let sessions = ending.at_end.means(donors, recipients, Counts::offline_of);
    // Only what was moved can overshoot. Where the start is unknown, everything that may have been moved is
    // judged.
    let moved = arrived(ending.start, ending.at_end, recipients).is_none_or(|moved| moved > 0);
    let moved_sessions = match arrived_sessions(ending.start, ending.at_end, recipients) {
        Some(moved) => moved > 0,
        None => ending.stage == Some(&Stage::EvictingSessions),
    };
    let reversed = if moved && !conn.holds(means.1, means.0) {
        Some("connections")
    } else if moved_sessions && sessions.is_some_and(|(donors, recipients)| !sess.holds(recipients, donors)) {
        Some("sessions")
    } else {
        None
    };
    let sessions_within = sessions.map(|(donors, recipients)| sess.holds(donors, recipients));
    let within = rule.is_some() && sessions_within != Some(false);
    Some(Balance { within, sessions_within: sessions_within == Some(true), sessions, reversed, rule })
}

/// Whether a rebalance that came to its end is within its thresholds, in both directions; `None` where that
/// is unknown.
pub(crate) fn reached(ending: &Ending<'_>) -> Option<bool> {
    let (conn, sess) = thresholds(ending.strategy?);
    balance(ending, conn, sess).map(|it| it.within && it.reversed.is_none())
}

/// `donors 2,553.33, recipient 2,340`.
fn standing(ending: &Ending<'_>) -> Option<String> {
    let who = if ending.recipients.len() == 1 { "recipient" } else { "recipients" };
    let means = ending.at_end.means(ending.donors, ending.recipients, Counts::connections_of);
    means.map(|(donors, recipients)| format!("donors {}, {who} {}", average(donors), average(recipients)))
}

/// `; 2,340 clients moved, none missing, 98 s`, as far as it is known.
fn tail(ending: &Ending<'_>) -> String {
    let mut parts = Vec::new();
    let moved = arrived(ending.start, ending.at_end, ending.recipients);
    let sessions =
        arrived_sessions(ending.start, ending.at_end, ending.recipients).filter(|moved| *moved > 0);
    let sessions = sessions.filter(|_| ending.stage == Some(&Stage::EvictingSessions) || moved == Some(0));
    let since = ending.counted_since.map(|since| format!(" since {}", utc(since))).unwrap_or_default();
    if let Some(moved) = moved.filter(|moved| *moved > 0 || sessions.is_none()) {
        parts.push(format!("{} moved{since}", plural(moved, "client")));
    }
    parts.extend(sessions.map(|moved| format!("{} moved{since}", plural(moved, "session"))));
    match lost_clients(ending.start, ending.at_end) {
        Some(0) => parts.push("none missing".to_owned()),
        // Clients that the last round evicted have not had time to reconnect.
        Some(lost) if !ending.through_takeover() => {
            parts.push(format!("{} on their way or missing", count(lost)));
        }
        Some(lost) => parts.push(format!("{} missing", count(lost))),
        None => {}
    }
    parts.extend(ending.seconds.map(|seconds| format!("{seconds} s")));
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

/// The verdict: the first rule that fits.
pub(crate) fn end(ending: &Ending<'_>) -> Judgement {
    let tail = tail(ending);
    if !ending.lost.is_empty() {
        let verdict = if ending.may_precede_losses { Verdict::Unknown } else { Verdict::NodesLost };
        return Judgement::new(verdict, nodes_lost(ending));
    }
    if missing(ending.start, ending.now) {
        let lost = lost_clients(ending.start, ending.now).unwrap_or(0);
        let before = ending.start.and_then(Counts::all_connections).unwrap_or(0);
        let gone = gone(ending.start, ending.now, ending.donors).unwrap_or(0);
        let arrived = arrived(ending.start, ending.now, ending.recipients).unwrap_or(0);
        let since = ending.counted_since.map(|since| format!(" (counted since {})", utc(since)));
        return Judgement::new(
            Verdict::ClientsMissing,
            format!(
                "{} of {} clients are missing after the end{}: donors lost {}, recipients gained {}; does the load balancer \
                 route them to the recipients?",
                count(lost),
                count(before),
                since.unwrap_or_default(),
                count(gone),
                count(arrived)
            ),
        );
    }
    let standing = standing(ending).unwrap_or_else(|| "counts are not known".to_owned());
    let when = ending.time_of_end();
    if let Some(who) = &ending.stopped {
        return Judgement::new(Verdict::Stopped, format!("stopped by {who}; {standing}{tail}{when}"));
    }
    let Some(strategy) = ending.strategy else { return unplanned(ending, &standing, &tail) };
    let (conn, sess) = thresholds(strategy);
    let Some(balance) = balance(ending, conn, sess) else {
        return Judgement::new(Verdict::Unknown, uncounted(ending));
    };
    if let Some(what) = balance.reversed {
        let reason = format!(
            "{standing}: more {what} were moved than the thresholds allow, and the recipients now hold too many{tail}{when}"
        );
        return Judgement::new(Verdict::Overshot, reason);
    }
    if balance.within {
        let rule = balance.rule.unwrap_or_default();
        return Judgement::new(Verdict::Balanced, format!("{standing} ({rule}){tail}{when}"));
    }
    if let Some((from, to)) = ending.outage {
        let reason = format!(
            "EMQX did not answer from {} to {}, and no longer runs it: how it ended is not known; {standing}{tail}",
            utc(from),
            utc(to)
        );
        return Judgement::new(Verdict::Unknown, reason);
    }
    // The phase that moves sessions ends when sessions are within their thresholds, wherever clients
    // reconnected.
    let through = match ending.stage {
        Some(Stage::WaitTakeover) => ending.waited,
        Some(Stage::EvictingSessions) => balance.sessions_within,
        _ => false,
    };
    let standing = match balance.sessions {
        Some((donors, recipients)) if !balance.sessions_within => format!(
            "{standing}, sessions without a client on donors {}, on {} {}",
            average(donors),
            if ending.recipients.len() == 1 { "the recipient" } else { "recipients" },
            average(recipients)
        ),
        _ => standing,
    };
    if through {
        let reason = format!("it came to its end, but {standing} is not within the thresholds{tail}");
        return Judgement::new(Verdict::Uneven, reason);
    }
    if let Some((from, to)) = ending.unseen {
        let reason = format!(
            "it was not seen from {} to {}, in which it can have come to its end, but {standing} is not within the \
             thresholds{tail}",
            utc(from),
            utc(to)
        );
        return Judgement::new(Verdict::Uneven, reason);
    }
    let seen = ending.stage.map(|stage| format!(" (last seen in {})", stage.phase())).unwrap_or_default();
    let reason = format!(
        "EMQX dropped it before its goal{seen}: its coordinator went away, or it was stopped by someone else; {standing}{tail}"
    );
    Judgement::new(Verdict::CoordinatorLost, reason)
}

/// Which nodes were lost, when, and with how many clients; then the rest of the text.
fn nodes_lost(ending: &Ending<'_>) -> String {
    let nodes: Vec<String> = ending.lost.iter().map(LostNode::sentence).collect();
    let back = match lost_clients(ending.start, ending.now) {
        Some(0) => "; all clients are back".to_owned(),
        Some(lost) => format!("; {} clients fewer than at the start", count(lost)),
        None => String::new(),
    };
    let seconds = ending.seconds.map(|seconds| format!(", {seconds} s"));
    let seconds = seconds.unwrap_or_else(|| ending.time_of_end());
    // Without the averages, which a lost node leaves unknown, the clients may still be known.
    let standing = standing(ending).map(|standing| format!("; {standing}")).unwrap_or_default();
    let order = if ending.may_precede_losses {
        ", and whether the rebalance had ended before is not known"
    } else {
        ""
    };
    format!("{}{order}{standing}{back}{seconds}", nodes.join(", "))
}

/// The verdict of a rebalance that another client started in EMQX, with unknown thresholds. EMQX's defaults
/// decide nothing; EMQX's own decision does: it leaves `evicting_conns` only when its own thresholds hold.
fn unplanned(ending: &Ending<'_>, standing: &str, tail: &str) -> Judgement {
    let means = |counts: &Counts, of: fn(NodeCounts) -> Option<u64>| {
        counts.means(ending.donors, ending.recipients, of)
    };
    let Some((donors, recipients)) = means(ending.at_end, Counts::connections_of) else {
        return Judgement::new(Verdict::Unknown, uncounted(ending));
    };
    if no_better(ending) {
        let reason =
            format!("{standing} is no better than what EMQX found to balance{tail}{}", ending.time_of_end());
        return Judgement::new(Verdict::Uneven, reason);
    }
    let even = |(donors, recipients): (f64, f64)| recipients <= (donors * REVERSED).max(donors + 1.0);
    let sessions = means(ending.at_end, Counts::offline_of);
    let over = match ending.stage {
        // The session phase had nothing to do, or it would have been observed.
        Some(Stage::WaitTakeover) => sessions.is_none_or(|(donors, recipients)| {
            let moved = arrived_sessions(ending.start, ending.at_end, ending.recipients);
            let clients = ending.at_end.all_connections().unwrap_or(0);
            donors <= recipients
                && (even((donors, recipients)) || moved.is_some_and(|moved| moved <= clients / 50))
        }),
        Some(Stage::EvictingSessions) => {
            sessions.is_some_and(|(donors, recipients)| donors <= recipients && even((donors, recipients)))
        }
        _ => false,
    };
    if over && even((donors, recipients)) && ending.outage.is_none() {
        let reason =
            format!("{standing}; EMQX came to the end of it by thresholds that only EMQX knows{tail}");
        return Judgement::new(Verdict::Balanced, reason);
    }
    let seen = ending.stage.map(|stage| format!(", last seen in {},", stage.phase())).unwrap_or_default();
    let outage =
        ending.outage.map(|(from, to)| format!("; EMQX did not answer from {} to {}", utc(from), utc(to)));
    let reason = format!(
        "EMQX no longer runs it{seen} and its thresholds are not known: it came to its end, its coordinator went away, or it \
         was stopped by someone else{}; {standing}{tail}",
        outage.unwrap_or_default()
    );
    Judgement::new(Verdict::Unknown, reason)
}

/// Whether neither donors fell nor recipients rose, in connections and in sessions without a client.
fn no_better(ending: &Ending<'_>) -> bool {
    if ending.counted_since.is_some() {
        return false;
    }
    // EMQX starts only where donors hold more: counts that show otherwise were taken later, and are not those
    // of the start.
    let held_more = |of: fn(NodeCounts) -> Option<u64>| {
        let start = ending.start.and_then(|start| start.means(ending.donors, ending.recipients, of));
        start.is_some_and(|(gave, got)| gave > got)
    };
    if !held_more(Counts::connections_of) && !held_more(Counts::offline_of) {
        return false;
    }
    let no_better = |of: fn(NodeCounts) -> Option<u64>| {
        let means = |counts: &Counts| counts.means(ending.donors, ending.recipients, of);
        let before = ending.start.and_then(means);
        before
            .zip(means(ending.at_end))
            .map(|((gave, got), (donors, recipients))| donors >= gave && recipients <= got)
    };
    no_better(Counts::connections_of) == Some(true) && no_better(Counts::offline_of).unwrap_or(true)
}

/// The text where it cannot be determined how the rebalance ended.
fn uncounted(ending: &Ending<'_>) -> String {
    let what = if ending.waited { "it came to its end" } else { "EMQX no longer runs it" };
    format!("{what}, but the counts of its nodes at its end are not known")
}

/// Judges one that EMQX never started: `failure` is the operator's reason, `start` the counts at that time as far as
/// they are known, `others` whether EMQX was running another one.
pub(crate) fn never_started(
    failure: Option<&str>,
    strategy: &Strategy,
    start: Option<&[Participant]>,
    others: bool,
) -> Judgement {
    let failure = failure.unwrap_or("the operator gives no reason");
    let refusal = Refusal::parse(failure);
    if refusal == Some(Refusal::NothingToBalance) {
        return Judgement::new(
            Verdict::NothingToDo,
            "EMQX answered nothing_to_balance: no work was needed".to_owned(),
        );
    }
    // Operator 2.2 drops the body of the answer: `400 Bad Request` remains, and the counts decide.
    let bare = refusal == Some(Refusal::NoReason);
    if bare && others {
        return Judgement::new(
            Verdict::Failed,
            format!("EMQX refused the start while another rebalance or evacuation was running ({failure})"),
        );
    }
    if bare {
        let Some(start) = start else {
            let why = Refusal::NoReason.sentence();
            return Judgement::new(
                Verdict::Unknown,
                format!("{why}; the counts at its start are unknown ({failure})"),
            );
        };
        let plan = forecast(None, start, strategy, Return::default());
        if plan.decision == Decision::NothingToDo {
            return Judgement::new(
                Verdict::NothingToDo,
                format!("no work was needed: {} ({failure})", plan.sentence()),
            );
        }
    }
    match refusal {
        Some(refusal) => Judgement::new(Verdict::Failed, format!("{} ({failure})", refusal.sentence())),
        None => Judgement::new(Verdict::Failed, failure.to_owned()),
    }
}

/// What happened on the cluster of an object since it started, as far as that can be seen now.
#[derive(Clone, Debug, Default)]
pub struct LaterEvents {
    /// Whether another operation began.
    pub began: bool,
    /// Since when each node runs, by the uptime that EMQX reports.
    pub up_since: BTreeMap<NodeName, Timestamp>,
}

impl LaterEvents {
    /// Events that can be seen now.
    pub(crate) fn of(world: &World, object: &Rebalance) -> Self {
        let since = |at: Timestamp, millis: u64| {
            at.checked_sub(SignedDuration::from_millis(i64::try_from(millis).ok()?)).ok()
        };
        let up = world.broker(&object.instance_id()).nodes.iter().flat_map(|seen| {
            let each = seen.value.iter().filter(|node| node.running);
            each.filter_map(|node| Some((node.name.clone(), since(seen.at, node.uptime_millis?)?)))
        });
        Self { began: began_since(world, object), up_since: up.collect() }
    }

    /// The first of these nodes that started again after this time, and when.
    fn restarted<'n>(&self, nodes: &'n [NodeName], after: Timestamp) -> Option<(&'n NodeName, Timestamp)> {
        let since = |node: &'n NodeName| Some((node, *self.up_since.get(node)?));
        nodes.iter().filter_map(since).filter(|(_, since)| *since > after).min_by_key(|(_, since)| *since)
    }
}

/// Whether anything began on the cluster of this object since, as far as that can be seen now.
fn began_since(world: &World, object: &Rebalance) -> bool {
    let id = object.instance_id();
    let began = |it: &Rebalance| it.started.or(it.created);
    let others = world.rebalances_of(&id).into_iter().map(|seen| &seen.value);
    let later = others.filter(|it| it.uid != object.uid).any(|it| began(it) >= began(object));
    // One that is over, and was recorded by its follower.
    let other = |entry: &&HistoryEntry| {
        entry.uid.as_ref().map_or(entry.name != object.name, |uid| *uid != object.uid)
    };
    let mut recorded = world.recorded(&id).iter().filter(other);
    let ran = recorded.any(|entry| Some(entry.ended) > began(object));
    let load = world.broker(&id).eviction_status().is_some_and(|load| !load.is_idle());
    later || ran || load || world.instance(&id).is_some_and(crate::model::Instance::upgrading)
}

/// When a rebalance without a follower ended: the earliest and the latest time that fits. The operator
/// reports the end only for phase `Completed`; for the others there is the forecast of the client that
/// started it.
fn ended(object: &Rebalance, record: &PlanRecord, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    if let Some(completed) = object.completed {
        // An operator that was away reports the end later than it was: the rebalance may have ended as planned.
        let late = seconds_between(record.expected_end, completed) > LATE_COMPLETION_SECONDS;
        return Some((if late { record.expected_end } else { completed }, completed));
    }
    let failed = object.failed?;
    let expected = record.expected_end.max(failed);
    Some(if expected <= now { (expected, expected) } else { (failed, now) })
}

/// The verdict of a past rebalance that EMQX does not run, from its object, its annotation and the current
/// counts. A verdict that its follower recorded has precedence. Current counts are those of the end for two
/// minutes only ([`timing`](crate::timing)), and only if nothing began since.
pub(crate) fn past(
    object: &Rebalance,
    now: Option<&Counts>,
    at: Timestamp,
    afterwards: &LaterEvents,
) -> (Judgement, Option<u64>) {
    if let Some(recorded) = &object.recorded {
        return (Judgement::new(recorded.verdict, &recorded.message), recorded.seconds());
    }
    let duration = match (object.started, object.completed, object.failed) {
        (Some(started), Some(completed), _) => Some(seconds_between(started, completed)),
        _ => None,
    };
    let record = object.plan.as_deref().and_then(PlanRecord::read);
    if object.phase == Phase::Failed && !object.processed {
        let start = record.as_ref().map(PlanRecord::participants);
        return (never_started(object.failure.as_deref(), &object.strategy, start.as_deref(), false), None);
    }
    let unknown = |why: &str| (Judgement::new(Verdict::Unknown, format!("not followed: {why}")), duration);
    let times = [object.created, object.started, object.completed, object.failed];
    if times.into_iter().flatten().any(|time| seconds_between(at, time) > CLOCK_BACK_SECONDS) {
        return unknown(
            "the clock of the API server is behind the times of the object, and when it ended is not known",
        );
    }
    let Some(record) = record else {
        return unknown("it was not created by kubectl emqx, and the counts at its start are not known");
    };
    if let Some(seconds) = record.started_late(object) {
        return unknown(&format!(
            "the operator started it {seconds} s after it was planned, and the counts at its start are not known"
        ));
    }
    let Some(now) = now else {
        return unknown("EMQX cannot be asked, and the phase alone is no evidence");
    };
    if afterwards.began {
        return unknown("something else began since, and the counts at its end are not known");
    }
    let Some((first, last)) = ended(object, &record, at)
        .filter(|(first, _)| seconds_between(*first, at) <= UNFOLLOWED_VERDICT_SECONDS)
    else {
        return unknown("the counts at its end are not known");
    };
    let side = |wanted: Part| -> Vec<NodeName> {
        record.parts().into_iter().filter(|(_, part)| *part == wanted).map(|(node, _)| node.clone()).collect()
    };
    let (donors, recipients) = (side(Part::Donor), side(Part::Recipient));
    if donors.iter().chain(&recipients).any(|node| !now.0.contains_key(node)) {
        return unknown("not all of the nodes that took part are running");
    }
    let members = [donors.as_slice(), recipients.as_slice()].concat();
    let began =
        record.time.checked_add(SignedDuration::from_secs(NODE_START_SLACK_SECONDS)).unwrap_or(record.time);
    if let Some((node, since)) = afterwards.restarted(&members, began) {
        let what = format!("{} restarted at {}", node.short(), utc(since));
        if since <= first {
            let reason = format!("{what}, before the rebalance ended");
            return (Judgement::new(Verdict::NodesLost, reason), duration);
        }
        return unknown(&format!("{what}, and the counts at the end of the rebalance are not known"));
    }
    let start = record.counts();
    if missing(Some(&start), now) && seconds_between(last, at) < RETURN_SECONDS {
        let reason = not_back(lost_clients(Some(&start), now), seconds_between(last, at));
        return (Judgement::new(Verdict::Unknown, reason), duration);
    }
    let planned = seconds_between(record.time, record.expected_end);
    // The operator may report the end long after it, for example because EMQX did not answer the operator.
    let duration = duration.filter(|seconds| *seconds <= planned + LATE_COMPLETION_SECONDS);
    let ran = seconds_between(record.time, last);
    // A rebalance that was over long before its planned end did not come to its end, if its clients
    // reconnected where they were expected; a tenth of them can be natural churn.
    let gave = gone(Some(&start), now, &donors).unwrap_or(0);
    let landed = arrived(Some(&start), now, &recipients).is_some_and(|arrived| arrived * 10 >= gave * 8);
    let early = ran + object.strategy.wait_takeover_seconds < planned - planned / 10;
    let vanished = early && ((gave > 0 && landed) || ran <= object.strategy.wait_health_check_seconds);
    let ending = Ending {
        donors: &donors,
        recipients: &recipients,
        strategy: Some(&object.strategy),
        start: Some(&start),
        counted_since: None,
        at_end: now,
        now,
        // The operator may notice a crash as late as the planned end.
        stage: None,
        waited: false,
        outage: None,
        unseen: None,
        lost: &[],
        may_precede_losses: false,
        stopped: None,
        seconds: duration,
        between: None,
    };
    let judgement = end(&ending);
    if judgement.verdict == Verdict::CoordinatorLost && !vanished {
        let uneven = standing(&ending).map(|counts| format!("{counts} is not within the thresholds, and "));
        return unknown(&format!("{}whether it came to its end is not known", uneven.unwrap_or_default()));
    }
    (judgement, duration)
}

/// The state after a stop of a rebalance that EMQX no longer runs, by the current counts. `who` stopped it;
/// `None` where it ended by itself before.
pub(crate) fn stopped(
    entry: &RunningRebalance,
    strategy: Option<&Strategy>,
    now: &Counts,
    who: Option<&str>,
) -> Judgement {
    end(&Ending {
        donors: &entry.donors,
        recipients: &entry.recipients,
        strategy,
        start: None,
        counted_since: None,
        at_end: now,
        now,
        stage: Some(&entry.stage),
        waited: entry.stage == Stage::WaitTakeover,
        outage: None,
        unseen: None,
        lost: &[],
        may_precede_losses: false,
        stopped: who.map(str::to_owned),
        seconds: None,
        between: None,
    })
}

#[cfg(test)]
mod tests;
