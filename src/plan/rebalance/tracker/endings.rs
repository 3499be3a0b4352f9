//! Whether one that is followed has come to its end, and to which.

use jiff::Timestamp;

use super::run::RebalanceRun;
use crate::model::human::{plural, seconds_between};
use crate::model::{Phase, Rebalance, Stage, Verdict, World};
use crate::plan::rebalance::messages::utc;
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::verdict::{self, Ending, LaterEvents};
use crate::plan::rebalance::waiting;
use crate::timing::{
    CONFIRM_SECONDS, DIRECT_START_SECONDS, END_COUNTS_SECONDS, END_GAP_SECONDS, LONGEST_OUTAGE_SECONDS,
    POLL_SLACK_SECONDS, RECONNECT_SECONDS, RETURN_SECONDS, STALL_SECONDS, STOP_MARK_SECONDS, STOP_SECONDS,
    UNANSWERED_END_SECONDS,
};

/// Who stopped it, where that is seen.
pub(super) fn stopped(run: &RebalanceRun, now: Timestamp) -> Option<String> {
    let ended = run.ended.unwrap_or(now);
    if run.stopped_by_us {
        return Some("you".to_owned());
    }
    let object = run.object.as_ref();
    if let Some(mark) = object.and_then(|object| object.stopped_by.as_ref()) {
        let near = seconds_between(mark.time, ended) <= STOP_MARK_SECONDS;
        if near || object.is_some_and(|object| object.deleting.is_some()) {
            return Some("another client (kubectl emqx rebalance stop)".to_owned());
        }
    }
    // It ended at some time after it was last seen: EMQX may not have answered meanwhile.
    let near = run.deleted.is_some_and(|deleted| {
        seconds_between(deleted, run.seen).max(seconds_between(ended, deleted)) <= STOP_SECONDS
    });
    near.then(|| "the deletion of its object".to_owned())
}

/// Whether it can have been in `wait_takeover` for as long as it has to be there: it was entered at some time after it was
/// last seen in the stage before.
fn waited(run: &RebalanceRun) -> bool {
    if run.entry.as_ref().is_none_or(|entry| entry.stage != Stage::WaitTakeover) {
        return false;
    }
    let Some(strategy) = &run.strategy else { return true };
    let spent = seconds_between(run.stage_after, run.ended.unwrap_or(run.seen));
    spent + POLL_SLACK_SECONDS >= strategy.wait_takeover_seconds
}

/// Whether the cause of its end is seen, so that no second answer is needed.
pub(super) fn cause_seen(run: &RebalanceRun, now: Timestamp) -> bool {
    let Some(entry) = &run.entry else { return false };
    let last = entry.stage == Stage::EvictingSessions || waited(run);
    let fresh = run.ended.is_some_and(|ended| counted(run, ended));
    !run.losses.lost.is_empty()
        || stopped(run, now).is_some()
        || (last && fresh && run.strategy.is_some() && verdict::reached(&ending(run, now)) == Some(true))
}

fn ending(run: &RebalanceRun, now: Timestamp) -> Ending<'_> {
    let ended = run.ended.unwrap_or(now);
    Ending {
        donors: run.donors(),
        recipients: run.recipients(),
        strategy: run.strategy.as_ref(),
        start: run.start.as_ref(),
        counted_since: run.counted_since,
        at_end: &run.at_end,
        // Of what another operation moved since it is not known whose clients are missing.
        now: if run.overtaken { &run.at_end } else { &run.counts },
        stage: run.entry.as_ref().map(|entry| &entry.stage),
        waited: waited(run),
        unheard: run.unheard,
        unseen: run.ended.map(|ended| (run.seen, ended)).filter(|(seen, ended)| {
            // The end of one whose strategy is not known is only the latest.
            let rest = run.left.filter(|_| run.strategy.is_some()).map(|left| left.seconds);
            // Counts may be older than the answer that listed it.
            rest.is_some_and(|rest| seconds_between(run.left_at.min(*seen), *ended) >= rest)
        }),
        lost: &run.losses.lost,
        stopped: stopped(run, now),
        seconds: run.begin_known.then(|| seconds_between(run.began, ended)),
    }
}

pub(super) fn conclude(run: &RebalanceRun, now: Timestamp) -> (Verdict, String) {
    let uncounted = Counts::default();
    let ended = run.ended.unwrap_or(now);
    let known = counted(run, ended) && !late_counts(run, ended);
    let ending = ending(run, now);
    if run.overtaken
        && ending.lost.is_empty()
        && ending.stopped.is_none()
        && verdict::missing(run.start.as_ref(), &run.at_end)
    {
        let lost = verdict::lost(run.start.as_ref(), &run.at_end).unwrap_or(0);
        let reason = format!(
            "it ended, and {} had not come back when something else began on the cluster",
            plural(lost, "client")
        );
        return (Verdict::Unknown, reason);
    }
    verdict::end(&if known { ending } else { Ending { at_end: &uncounted, now: &uncounted, ..ending } })
}

/// The end of the outage in which it ended, if EMQX did not answer then.
pub(super) fn unheard(run: &RebalanceRun, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    (seconds_between(run.seen, now) > END_GAP_SECONDS).then_some((run.seen, now))
}

/// Whether the counts that were known when it was first missed may be of a moment in which it still moved clients.
pub(super) fn late_counts(run: &RebalanceRun, ended: Timestamp) -> bool {
    let moves = |stage: &Stage| matches!(stage, Stage::EvictingConns | Stage::EvictingSessions);
    run.entry.as_ref().is_some_and(|entry| moves(&entry.stage))
        && run.end_counted.is_some_and(|counted| seconds_between(counted, ended) > POLL_SLACK_SECONDS)
}

/// Whether the counts that are known are those of its end.
fn counted(run: &RebalanceRun, ended: Timestamp) -> bool {
    run.counted.is_some_and(|counted| seconds_between(counted, ended) <= END_COUNTS_SECONDS)
}

/// The last verdict when following ends before the end was confirmed.
pub(super) fn unconfirmed(run: &RebalanceRun, now: Timestamp) -> Option<(Verdict, String)> {
    let ended = run.ended.filter(|_| !run.confirmed)?;
    // With nothing left to do it is at its goal, whatever a second answer shows.
    let done = run.strategy.is_none() && waited(run) && conclude(run, now).0 == Verdict::Balanced;
    (!done).then(|| {
        let since = plural(seconds_between(ended, now), "second");
        let reason =
            format!("EMQX no longer listed it, and {since} later nothing was known to confirm that it ended");
        (Verdict::Unknown, reason)
    })
}

/// The last verdict when following ends before the clients had time to reconnect.
pub(super) fn cut_short(run: &RebalanceRun, now: Timestamp) -> Option<(Verdict, String)> {
    let since = seconds_between(run.ended?, now);
    let early = since < RETURN_SECONDS
        && run.losses.lost.is_empty()
        && !run.overtaken
        && verdict::missing(run.start.as_ref(), &run.counts);
    early
        .then(|| (Verdict::Unknown, verdict::not_back(verdict::lost(run.start.as_ref(), &run.counts), since)))
}

/// The last verdict when following ends and EMQX never listed the rebalance.
pub(super) fn unseen(run: &RebalanceRun, heard: bool) -> (Verdict, String) {
    if let Some(seconds) = run.waits() {
        return (waiting::verdict(seconds), waiting::message(seconds));
    }
    let object = run.object.as_ref().filter(|_| !run.object_gone);
    let asked = if heard { "EMQX was not seen to run it" } else { "EMQX cannot be asked" };
    match object.map(|object| (&object.phase, object.phase.text().unwrap_or_default())) {
        Some((Phase::Processing, says)) => {
            (Verdict::Running, format!("the operator reports {says}; {asked}"))
        }
        Some((Phase::Pending, _)) if heard => {
            (Verdict::Unknown, "the operator has not requested the start from EMQX".to_owned())
        }
        Some((Phase::Pending, _)) | None => (Verdict::Unknown, asked.to_owned()),
        Some((_, says)) => (Verdict::Unknown, format!("the object reports {says}, but {asked}")),
    }
}

/// The verdict, if there is one by now.
pub(super) fn word(
    run: &RebalanceRun,
    heard: Option<Timestamp>,
    others: bool,
    world: &World,
    now: Timestamp,
) -> Option<(Verdict, String)> {
    if let Some(ended) = run.ended {
        let since = seconds_between(ended, now);
        if !run.confirmed {
            return None;
        }
        let missing = verdict::missing(run.start.as_ref(), &run.counts) && !run.overtaken;
        let open = missing || !counted(run, ended) || late_counts(run, ended);
        if open && run.losses.lost.is_empty() && since < RETURN_SECONDS {
            return None;
        }
        let verdict = conclude(run, now);
        // The last evicted clients are on their way back: a bad verdict waits for them. And a stop calls EMQX first and
        // deletes the object then: while the operator still calls it running, that may be about to be seen.
        let stopping = verdict.0 == Verdict::CoordinatorLost
            && run
                .object
                .as_ref()
                .is_some_and(|object| !run.object_gone && object.phase == Phase::Processing);
        let early = since < if stopping { STOP_SECONDS } else { RECONNECT_SECONDS };
        return (!early || matches!(verdict.0, Verdict::Balanced | Verdict::Stopped)).then_some(verdict);
    }
    if run.entry.is_some() {
        return stalled(run, heard?);
    }
    if run.direct && run.object.is_none() {
        let answered = heard.is_some_and(|heard| seconds_between(run.began, heard) >= DIRECT_START_SECONDS);
        return answered.then(|| {
            let reason =
                format!("EMQX accepted the start, but did not list it within {DIRECT_START_SECONDS} s");
            (Verdict::Unknown, reason)
        });
    }
    let object = run.object.as_ref()?;
    if object.phase == Phase::Failed && !object.processed {
        return Some(verdict::never_started(
            object.failure.as_deref(),
            &object.strategy,
            Some(&run.before).filter(|before| !before.is_empty()).map(Vec::as_slice),
            others,
        ));
    }
    if run.object_gone && !object.processed {
        return Some((Verdict::Stopped, "its object was deleted before it started".to_owned()));
    }
    let over = run.object_gone || matches!(object.phase, Phase::Completed | Phase::Failed);
    if !over {
        return None;
    }
    // One that saw its end has recorded it; EMQX need not be asked again.
    if let Some(recorded) = &object.recorded {
        return Some((recorded.verdict, recorded.message.clone()));
    }
    match heard.filter(|heard| seconds_between(*heard, now) < UNANSWERED_END_SECONDS) {
        // EMQX can be asked and runs nothing of it: it was over before it was seen.
        Some(heard) => (heard >= run.moved && seconds_between(run.moved, heard) >= CONFIRM_SECONDS)
            .then(|| conclude_unseen(run, object, world, now)),
        None if seconds_between(run.moved, now) >= UNANSWERED_END_SECONDS => Some((
            Verdict::Unknown,
            format!(
                "the object reports {}, but EMQX cannot be asked whether it still runs",
                object.phase.text().unwrap_or("nothing")
            ),
        )),
        None => None,
    }
}

/// One whose entry was never seen, although EMQX was asked: too short, or over before we came.
fn conclude_unseen(
    run: &RebalanceRun,
    object: &Rebalance,
    world: &World,
    now: Timestamp,
) -> (Verdict, String) {
    if run.stopped_by_us || run.deleted.is_some() {
        return (Verdict::Stopped, "stopped before EMQX was seen to move anything".to_owned());
    }
    let afterwards = LaterEvents::of(world, object);
    let (verdict, reason, _) = verdict::past(object, Some(&run.counts), now, &afterwards);
    if verdict == Verdict::Unknown {
        let reason = format!("EMQX does not run it, and was not seen to: {reason}");
        return (verdict, reason);
    }
    (verdict, reason)
}

/// An operation that ran at EMQX's last answer, long ago.
pub(super) fn lost(run: &RebalanceRun, silent: u64) -> Option<(Verdict, String)> {
    if silent >= LONGEST_OUTAGE_SECONDS { unanswered(run, silent) } else { None }
}

/// The last verdict when following ends while EMQX does not answer: its last answer does not prove that the rebalance
/// still runs.
pub(super) fn silent(run: &RebalanceRun, now: Timestamp) -> Option<(Verdict, String)> {
    unanswered(run, seconds_between(run.silent_since()?, now))
}

fn unanswered(run: &RebalanceRun, seconds: u64) -> Option<(Verdict, String)> {
    let entry = run.entry.as_ref().filter(|_| run.ended.is_none())?;
    let why = format!(
        "EMQX has not answered since {}, for {seconds} s; when it last did, the rebalance was in {}",
        utc(run.seen),
        entry.state
    );
    Some((Verdict::Unknown, why))
}

/// No progress up to EMQX's last answer: while it does not answer, or not with counts, it is unknown whether it
/// stands still.
fn stalled(run: &RebalanceRun, heard: Timestamp) -> Option<(Verdict, String)> {
    let entry = run.entry.as_ref().filter(|_| counted(run, heard))?;
    run.counts.each(&entry.donors, Counts::connections)?;
    let strategy = run.strategy.clone().unwrap_or_default();
    let step = match entry.stage {
        Stage::WaitHealthCheck => strategy.wait_health_check_seconds,
        Stage::WaitTakeover => strategy.wait_takeover_seconds,
        _ => 1,
    };
    let since = if step > 1 { run.stage_since } else { run.moved };
    let limit = (3 * step).max(STALL_SECONDS);
    let still = seconds_between(since, heard);
    (still >= limit).then(|| {
        (Verdict::Stalled, format!("no progress for {still} s in {}: no count has changed", entry.state))
    })
}
