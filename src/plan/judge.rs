//! The verdict of a rebalance that EMQX no longer runs: numbers and what was seen in, a word and the reason out. No
//! phase of the operator's decides alone.

use jiff::Timestamp;

use super::progress::Counts;
use super::rebalance::{Decision, Participant, Return, forecast, holding, thresholds};
use super::record::PlanRecord;
use super::rules::Threshold;
use crate::model::human::{average, count, plural, seconds_between};
use crate::model::refusal::Refusal;
use crate::model::{NodeName, Part, Phase, Rebalance, Strategy, Verdict};

/// Live clients below this share of those at the start count as missing.
pub const PRESENT: f64 = 0.98;

/// Seconds after the end in which clients may still come back.
pub const RETURN_SECONDS: u64 = 30;

/// An end within so many seconds of a delete while `Processing` is a stop: the operator tells EMQX at once.
pub const STOP_SECONDS: u64 = 6;

/// What was seen of a rebalance that is over.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// Who gave.
    pub donors: &'a [NodeName],
    /// Who received.
    pub recipients: &'a [NodeName],
    /// What was asked; `None` for one that somebody else started in EMQX.
    pub strategy: Option<&'a Strategy>,
    /// Counts at the start; `None` when it was not seen.
    pub start: Option<&'a Counts>,
    /// Counts now.
    pub now: &'a Counts,
    /// Whether it came as far as `wait_takeover`.
    pub through_takeover: bool,
    /// Who stopped it, if somebody did.
    pub stopped: Option<String>,
    /// How long it ran.
    pub seconds: Option<u64>,
}

/// Clients fewer than at the start; `None` when either is not known.
pub fn lost(start: Option<&Counts>, now: &Counts) -> Option<u64> {
    Some(start?.all_connections()?.saturating_sub(now.all_connections()?))
}

/// Whether clients are missing.
pub fn missing(start: Option<&Counts>, now: &Counts) -> bool {
    match (start.and_then(Counts::all_connections), now.all_connections()) {
        (Some(before), Some(after)) => (after as f64) < before as f64 * PRESENT,
        _ => false,
    }
}

/// Why nobody can tell yet: clients were missing at the end, and less than [`RETURN_SECONDS`] passed.
pub fn not_back(lost: Option<u64>, since: u64) -> String {
    let lost = plural(lost.unwrap_or(0), "client");
    format!("it ended, and {lost} had not come back {since} s later; what came then is not known")
}

/// What recipients have more than at the start.
pub fn arrived(start: Option<&Counts>, now: &Counts, recipients: &[NodeName]) -> Option<u64> {
    let sum = |counts: &Counts| Some(counts.each(recipients, Counts::connections)?.iter().sum::<u64>());
    Some(sum(now)?.saturating_sub(sum(start?)?))
}

/// What donors have less than at the start.
pub fn gone(start: Option<&Counts>, now: &Counts, donors: &[NodeName]) -> Option<u64> {
    let sum = |counts: &Counts| Some(counts.each(donors, Counts::connections)?.iter().sum::<u64>());
    Some(sum(start?)?.saturating_sub(sum(now)?))
}

/// Whether the means are within the thresholds, for connections and for sessions without a client; and how the rule
/// for connections reads.
fn within(ending: &Ending<'_>, conn: Threshold, sess: Threshold) -> Option<(bool, Option<String>)> {
    let (donors, recipients) = (ending.donors, ending.recipients);
    let means = ending.now.means(donors, recipients, Counts::connections)?;
    let holds = holding(means, conn);
    let sessions =
        ending.now.means(donors, recipients, Counts::offline).is_none_or(|(d, r)| sess.holds(d, r));
    Some((holds.is_some() && sessions, holds))
}

/// `donors 2,553.33, recipient 2,340`.
fn standing(ending: &Ending<'_>) -> String {
    let who = if ending.recipients.len() == 1 { "recipient" } else { "recipients" };
    match ending.now.means(ending.donors, ending.recipients, Counts::connections) {
        Some((donors, recipients)) => format!("donors {}, {who} {}", average(donors), average(recipients)),
        None => "counts are not known".to_owned(),
    }
}

/// `; 2,340 clients moved, none missing, 98 s`, as far as it is known.
fn tail(ending: &Ending<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(moved) = arrived(ending.start, ending.now, ending.recipients) {
        parts.push(format!("{} moved", plural(moved, "client")));
    }
    match lost(ending.start, ending.now) {
        Some(0) => parts.push("none missing".to_owned()),
        // What the last round cut has not had time to come back.
        Some(lost) if !ending.through_takeover => {
            parts.push(format!("{} on their way or missing", count(lost)));
        }
        Some(lost) => parts.push(format!("{} missing", count(lost))),
        None => {}
    }
    parts.extend(ending.seconds.map(|seconds| format!("{seconds} s")));
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

/// Judges the end: the first rule that fits.
pub fn end(ending: &Ending<'_>) -> (Verdict, String) {
    let tail = tail(ending);
    if missing(ending.start, ending.now) {
        let lost = lost(ending.start, ending.now).unwrap_or(0);
        let before = ending.start.and_then(Counts::all_connections).unwrap_or(0);
        let gone = gone(ending.start, ending.now, ending.donors).unwrap_or(0);
        let arrived = arrived(ending.start, ending.now, ending.recipients).unwrap_or(0);
        return (
            Verdict::ClientsMissing,
            format!(
                "{} of {} clients are missing after the end: donors lost {}, recipients gained {}; does the load balancer \
                 lead them to the recipients?",
                count(lost),
                count(before),
                count(gone),
                count(arrived)
            ),
        );
    }
    let standing = standing(ending);
    if let Some(who) = &ending.stopped {
        return (Verdict::Stopped, format!("stopped by {who}; {standing}{tail}"));
    }
    let Some(strategy) = ending.strategy else {
        let counted = ending.now.means(ending.donors, ending.recipients, Counts::connections).is_some();
        return if !counted {
            (Verdict::Unknown, uncounted(ending))
        } else if ending.through_takeover && no_better(ending) {
            (
                Verdict::Uneven,
                format!(
                    "it came to its end, but {standing} is no better than what EMQX found to balance{tail}"
                ),
            )
        } else if ending.through_takeover {
            (
                Verdict::Balanced,
                format!(
                    "{standing}; EMQX came to the end of it by thresholds that are known to EMQX only{tail}"
                ),
            )
        } else {
            unplanned(ending, &standing, &tail)
        };
    };
    let (conn, sess) = thresholds(strategy);
    match within(ending, conn, sess) {
        None => (Verdict::Unknown, uncounted(ending)),
        Some((true, holds)) => {
            (Verdict::Balanced, format!("{standing} ({}){tail}", marks(&holds.unwrap_or_default())))
        }
        Some((false, _)) if ending.through_takeover => (
            Verdict::Uneven,
            format!("it came to its end, but {standing} is not within the thresholds{tail}"),
        ),
        Some((false, _)) => (
            Verdict::CoordinatorLost,
            format!(
                "EMQX dropped it before its goal: its coordinator went away, or it was stopped by someone else; \
                 {standing}{tail}"
            ),
        ),
    }
}

/// One that somebody started in EMQX, with thresholds we cannot know, and that vanished on the way.
fn unplanned(ending: &Ending<'_>, standing: &str, tail: &str) -> (Verdict, String) {
    let (conn, sess) = thresholds(&Strategy::default());
    match within(ending, conn, sess) {
        Some((true, _)) => (Verdict::Balanced, format!("{standing}, within EMQX's default thresholds{tail}")),
        Some((false, _)) => (
            Verdict::CoordinatorLost,
            format!(
                "EMQX dropped it before wait_takeover, or it was stopped by someone else; {standing}{tail}"
            ),
        ),
        None => (Verdict::Unknown, uncounted(ending)),
    }
}

/// Whether the end is not within any thresholds by which EMQX can have begun: the donors hold no less than at the start,
/// the recipients no more, and EMQX's defaults are no reason for it to have looked at sessions only.
fn no_better(ending: &Ending<'_>) -> bool {
    let means = |counts: &Counts| counts.means(ending.donors, ending.recipients, Counts::connections);
    let (conn, _) = thresholds(&Strategy::default());
    let (Some((donors, recipients)), Some((gave, got))) = (means(ending.now), ending.start.and_then(means))
    else {
        return false;
    };
    donors >= gave && recipients <= got && holding((donors, recipients), conn).is_none()
}

/// Nobody can tell how it ended.
fn uncounted(ending: &Ending<'_>) -> String {
    let what = if ending.through_takeover { "it came to its end" } else { "EMQX no longer runs it" };
    format!("{what}, but EMQX does not tell what its nodes hold")
}

/// Thousands marks in a rule: `2553.33 <= 2340.00 x 1.1` becomes `2,553.33 <= 2,340 x 1.1`.
fn marks(rule: &str) -> String {
    let mut words = Vec::new();
    for (place, word) in rule.split(' ').enumerate() {
        match word.parse::<f64>() {
            // The last number is the threshold itself and stays as it was given.
            Ok(number) if place < 3 => words.push(average(number)),
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// Judges one that EMQX never started: `failure` is what the operator says, `start` the counts at that time as far as
/// anybody knows them, `others` whether EMQX was running another one.
pub fn never_started(
    failure: Option<&str>,
    strategy: &Strategy,
    start: Option<&[Participant]>,
    others: bool,
) -> (Verdict, String) {
    let failure = failure.unwrap_or("the operator gives no reason");
    let refusal = Refusal::parse(failure);
    if refusal == Some(Refusal::NothingToBalance) {
        return (Verdict::NothingToDo, "EMQX answered nothing_to_balance: no work was needed".to_owned());
    }
    // Operator 2.2 drops the body of the answer: what is left is `400 Bad Request`, and the counts tell the rest.
    let bare = failure.contains("400 Bad Request");
    if bare && others {
        return (
            Verdict::Failed,
            format!("EMQX refused the start while another rebalance or evacuation was running ({failure})"),
        );
    }
    if bare {
        let Some(start) = start else {
            let why = Refusal::NoReason.sentence();
            return (
                Verdict::Unknown,
                format!("{why}; nothing tells what the counts were at its start ({failure})"),
            );
        };
        let plan = forecast(None, start, strategy, Return::default());
        if plan.decision == Decision::NothingToDo {
            return (Verdict::NothingToDo, format!("no work was needed: {} ({failure})", plan.message));
        }
    }
    match refusal {
        Some(refusal) => (Verdict::Failed, format!("{} ({failure})", refusal.sentence())),
        None => (Verdict::Failed, failure.to_owned()),
    }
}

/// A rebalance of the past, by what the object and its annotation tell, with the counts of now. EMQX does not run it.
pub fn past(object: &Rebalance, now: Option<&Counts>, at: Timestamp) -> (Verdict, String, Option<u64>) {
    let duration = match (object.started, object.completed, object.failed) {
        (Some(started), Some(completed), _) => Some(seconds_between(started, completed)),
        _ => None,
    };
    let record = object.plan.as_deref().and_then(PlanRecord::read);
    if object.phase == Phase::Failed && !object.processed {
        let start = record.as_ref().map(PlanRecord::participants);
        let (verdict, reason) =
            never_started(object.failure.as_deref(), &object.strategy, start.as_deref(), false);
        return (verdict, reason, None);
    }
    let Some(record) = record else {
        let reason = "it was not created by kubectl emqx: nothing tells what the counts were at its start";
        return (Verdict::Unknown, reason.to_owned(), duration);
    };
    let Some(now) = now else {
        return (
            Verdict::Unknown,
            "EMQX cannot be asked, and the phase alone proves nothing".to_owned(),
            duration,
        );
    };
    let side = |wanted: Part| -> Vec<NodeName> {
        record.parts().into_iter().filter(|(_, part)| *part == wanted).map(|(node, _)| node.clone()).collect()
    };
    let (donors, recipients) = (side(Part::Donor), side(Part::Recipient));
    if donors.iter().chain(&recipients).all(|node| !now.0.contains_key(node)) {
        return (Verdict::Unknown, "the nodes that took part are gone".to_owned(), duration);
    }
    let start = Counts(
        record
            .nodes
            .iter()
            .map(|(node, connections, sessions)| (node.clone(), (Some(*connections), Some(*sessions))))
            .collect(),
    );
    // It went through `wait_takeover` if it was not over long before its time; a tenth is what natural churn moves.
    let ended = object.completed.unwrap_or(at);
    let planned = seconds_between(record.time, record.expected_end);
    let ran = seconds_between(record.time, ended);
    let ending = Ending {
        donors: &donors,
        recipients: &recipients,
        strategy: Some(&record.strategy),
        start: Some(&start),
        now,
        through_takeover: ran + record.strategy.wait_takeover_seconds >= planned - planned / 10,
        stopped: None,
        seconds: duration,
    };
    let (verdict, reason) = end(&ending);
    (verdict, reason, duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{News, Object};
    use crate::plan::mk;

    fn counts(of: &[u64]) -> Counts {
        Counts(
            of.iter()
                .enumerate()
                .map(|(place, count)| (NodeName::from(format!("n{place}")), (Some(*count), Some(*count))))
                .collect(),
        )
    }

    fn nodes(from: usize, to: usize) -> Vec<NodeName> {
        (from..to).map(|place| NodeName::from(format!("n{place}"))).collect()
    }

    fn strategy() -> Strategy {
        Strategy { abs_conn_threshold: 100, conn_evict_rate: 10, ..Strategy::default() }
    }

    fn judged(now: &[u64], through_takeover: bool, stopped: Option<&str>) -> (Verdict, String) {
        judged_by(Some(&strategy()), now, through_takeover, stopped)
    }

    fn judged_by(
        strategy: Option<&Strategy>,
        now: &[u64],
        through_takeover: bool,
        stopped: Option<&str>,
    ) -> (Verdict, String) {
        let (donors, recipients) = (nodes(0, 3), nodes(3, 4));
        end(&Ending {
            donors: &donors,
            recipients: &recipients,
            strategy,
            start: Some(&counts(&[3333, 3333, 3334, 0])),
            now: &counts(now),
            through_takeover,
            stopped: stopped.map(str::to_owned),
            seconds: Some(98),
        })
    }

    #[test]
    fn within_the_thresholds_is_balanced_and_says_by_which_rule() {
        let (verdict, reason) = judged(&[2553, 2553, 2554, 2340], true, None);
        assert_eq!(verdict, Verdict::Balanced);
        assert_eq!(
            reason,
            "donors 2,553.33, recipient 2,340 (2,553.33 <= 2,340 x 1.1); 2,340 clients moved, none missing, 98 s"
        );
    }

    #[test]
    fn a_vanished_one_is_never_called_done() {
        let (verdict, reason) = judged(&[3173, 3173, 3174, 480], false, None);
        assert_eq!(verdict, Verdict::CoordinatorLost);
        assert!(reason.contains("or it was stopped by someone else"), "{reason}");
    }

    #[test]
    fn what_the_last_round_before_a_stop_cut_is_not_called_missing() {
        let (verdict, reason) = judged(&[3263, 3263, 3264, 180], false, Some("you"));
        assert_eq!(verdict, Verdict::Stopped);
        assert!(reason.ends_with("180 clients moved, 30 on their way or missing, 98 s"), "{reason}");
    }

    #[test]
    fn the_end_of_the_road_without_balance_is_uneven() {
        assert_eq!(judged(&[3173, 3173, 3174, 480], true, None).0, Verdict::Uneven);
    }

    #[test]
    fn whatever_the_thresholds_an_end_that_is_no_better_than_the_start_is_uneven() {
        let (verdict, reason) = judged_by(None, &[3333, 3333, 3334, 0], true, None);
        assert_eq!(verdict, Verdict::Uneven);
        assert!(reason.contains("no better than"), "{reason}");
        assert_eq!(judged_by(None, &[2553, 2553, 2554, 2340], true, None).0, Verdict::Balanced);
        // Some went: EMQX's word is all there is.
        assert_eq!(judged_by(None, &[3000, 3000, 3000, 1000], true, None).0, Verdict::Balanced);
    }

    #[test]
    fn missing_clients_come_before_every_other_word() {
        assert_eq!(judged(&[2553, 2553, 2554, 2000], true, Some("you")).0, Verdict::ClientsMissing);
        assert_eq!(judged(&[2480, 2480, 2480, 2361], true, None).0, Verdict::Balanced, "98.01 % are enough");
    }

    #[test]
    fn a_stop_is_a_stop_even_within_the_thresholds() {
        assert_eq!(judged(&[2553, 2553, 2554, 2340], false, Some("you")).0, Verdict::Stopped);
    }

    #[test]
    fn a_refused_start_is_nothing_to_do_or_a_failure() {
        let start = super::super::rebalance::numbered(&[3340, 3330, 3330], None);
        let judged = |failure: &str, others| {
            never_started(Some(failure), &Strategy::default(), Some(&start), others).0
        };
        assert_eq!(judged("Failed to start rebalance: nothing_to_balance", false), Verdict::NothingToDo);
        let bare = "Failed to start rebalance: request api failed: 400 Bad Request";
        assert_eq!(judged(bare, false), Verdict::NothingToDo);
        assert_eq!(judged(bare, true), Verdict::Failed);
        assert_eq!(judged("EMQX emqx-ee is not found", false), Verdict::Failed);
    }

    #[test]
    fn without_a_reason_and_without_the_counts_of_its_start_a_refusal_is_unknown() {
        let bare = "Failed to start rebalance: request api failed: 400 Bad Request";
        let (verdict, reason) = never_started(Some(bare), &Strategy::default(), None, false);
        assert_eq!(verdict, Verdict::Unknown);
        assert!(
            reason.contains("nothing to balance, or one already ran") && reason.contains(bare),
            "{reason}"
        );
        assert_eq!(never_started(Some(bare), &Strategy::default(), None, true).0, Verdict::Failed);
        let told = "Failed to start rebalance: error on node 'emqx@a': nothing_to_balance";
        assert_eq!(never_started(Some(told), &Strategy::default(), None, false).0, Verdict::NothingToDo);
        assert_eq!(never_started(None, &Strategy::default(), None, false).0, Verdict::Failed);
    }

    #[test]
    fn a_past_one_is_told_without_a_duration_that_nobody_saw() {
        let before = super::super::rebalance::numbered(&[3333, 3333, 3334, 0], None);
        let plan = forecast(None, &before, &strategy(), Return::default());
        let record = PlanRecord::of(&plan, mk::at(0)).text();
        let News::Is(Object::Rebalance(object)) = mk::rebalance("r", Phase::Failed, |it| {
            it.processed = true;
            it.plan = Some(record);
            it.failed = Some(mk::at(30));
        })
        .news
        else {
            panic!("a Rebalance")
        };
        let now = Counts(
            before
                .iter()
                .zip([2553, 2553, 2554, 2340])
                .map(|(it, count)| (it.node.clone(), (Some(count), Some(count))))
                .collect(),
        );
        let (verdict, reason, duration) = past(&object, Some(&now), mk::at(2000));
        assert_eq!((verdict, duration), (Verdict::Balanced, None));
        assert!(reason.ends_with("2,340 clients moved, none missing"), "{reason}");
    }
}
