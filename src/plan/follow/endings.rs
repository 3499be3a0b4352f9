//! Whether one that is followed has come to its end, and to which.

use jiff::Timestamp;

use super::run::Run;
use crate::model::human::seconds_between;
use crate::model::{Phase, Rebalance, Stage, Verdict};
use crate::plan::judge::{self, Ending};
use crate::plan::progress::Counts;

/// Seconds after an end in which clients that were cut in the last rounds come back, before the counts are judged.
const LANDING_SECONDS: u64 = 3;

/// Counts that EMQX told up to so many seconds before an end are those of the end: nothing moves in the last stages.
const COUNTED_SECONDS: u64 = 5;

/// Seconds without a word of EMQX's, with an object that is over, after which nobody can tell.
const DEAF_SECONDS: u64 = 30;

/// A stall is no progress for three times the expected step, and at least this long.
const STALL_SECONDS: u64 = 60;

/// Seconds without a word of EMQX's after which nobody knows any more how one that ran then stands.
const LOST_SECONDS: u64 = 180;

pub(super) fn conclude(run: &Run, now: Timestamp) -> (Verdict, String) {
    let ended = run.ended.unwrap_or(now);
    // It ended at some time after it was last seen: EMQX may not have been heard meanwhile.
    let near = run.deleted.is_some_and(|deleted| {
        seconds_between(deleted, run.seen).max(seconds_between(ended, deleted)) <= judge::STOP_SECONDS
    });
    let stopped = if run.stopped_by_us {
        Some("you".to_owned())
    } else if near {
        Some("the deletion of its object".to_owned())
    } else {
        None
    };
    let uncounted = Counts::default();
    judge::end(&Ending {
        donors: run.donors(),
        recipients: run.recipients(),
        strategy: run.strategy.as_ref(),
        start: run.start.as_ref(),
        now: if counted(run, ended) { &run.counts } else { &uncounted },
        through_takeover: run.through_takeover,
        stopped,
        seconds: run.begin_known.then(|| seconds_between(run.began, ended)),
    })
}

/// Whether the counts that are known are those of its end.
fn counted(run: &Run, ended: Timestamp) -> bool {
    run.counted.is_some_and(|counted| seconds_between(counted, ended) <= COUNTED_SECONDS)
}

/// What is said of one that is over in EMQX when nobody listens any longer, before its clients had the time to come back.
pub(super) fn cut_short(run: &Run, now: Timestamp) -> Option<(Verdict, String)> {
    let since = seconds_between(run.ended?, now);
    let early = since < judge::RETURN_SECONDS && judge::missing(run.start.as_ref(), &run.counts);
    early.then(|| (Verdict::Unknown, judge::not_back(judge::lost(run.start.as_ref(), &run.counts), since)))
}

/// What is said of one whose entry was never seen when nobody listens any longer.
pub(super) fn unseen(run: &Run, heard: bool) -> (Verdict, String) {
    let object = run.object.as_ref().filter(|_| !run.object_gone);
    let asked = if heard { "EMQX was not seen to run it" } else { "EMQX cannot be asked" };
    match object.map(|object| (&object.phase, object.phase.text().unwrap_or_default())) {
        Some((Phase::Processing, says)) => (Verdict::Running, format!("the operator says {says}; {asked}")),
        Some((Phase::Pending, _)) if heard => {
            (Verdict::Unknown, "the operator has not told EMQX to start".to_owned())
        }
        Some((Phase::Pending, _)) | None => (Verdict::Unknown, asked.to_owned()),
        Some((_, says)) => (Verdict::Unknown, format!("the object says {says}, but {asked}")),
    }
}

/// The verdict, if there is one by now.
pub(super) fn word(
    run: &Run,
    heard: Option<Timestamp>,
    others: bool,
    now: Timestamp,
) -> Option<(Verdict, String)> {
    if let Some(ended) = run.ended {
        let since = seconds_between(ended, now);
        let open = judge::missing(run.start.as_ref(), &run.counts) || !counted(run, ended);
        if open && since < judge::RETURN_SECONDS {
            return None;
        }
        let verdict = conclude(run, now);
        // The last that were cut are on their way back: a bad word waits for them. And who stops one tells EMQX first and
        // deletes the object then: while the operator still calls it running, that may be about to be seen.
        let stopping = verdict.0 == Verdict::CoordinatorLost
            && run
                .object
                .as_ref()
                .is_some_and(|object| !run.object_gone && object.phase == Phase::Processing);
        let early = since < if stopping { judge::STOP_SECONDS } else { LANDING_SECONDS };
        return (!early || matches!(verdict.0, Verdict::Balanced | Verdict::Stopped)).then_some(verdict);
    }
    if run.entry.is_some() {
        return stalled(run, heard?);
    }
    let object = run.object.as_ref()?;
    if object.phase == Phase::Failed && !object.processed {
        return Some(judge::never_started(
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
    match heard.filter(|heard| seconds_between(*heard, now) < DEAF_SECONDS) {
        // EMQX can be asked and runs nothing of it: it was over before it was seen.
        Some(heard) => (heard >= run.moved).then(|| conclude_unseen(run, object, now)),
        None if seconds_between(run.moved, now) >= DEAF_SECONDS => Some((
            Verdict::Unknown,
            format!(
                "the object says {}, but EMQX cannot be asked whether it still runs",
                object.phase.text().unwrap_or("nothing")
            ),
        )),
        None => None,
    }
}

/// One whose entry was never seen, although EMQX was asked: too short, or over before we came.
fn conclude_unseen(run: &Run, object: &Rebalance, now: Timestamp) -> (Verdict, String) {
    if run.stopped_by_us || run.deleted.is_some() {
        return (Verdict::Stopped, "stopped before EMQX was seen to move anything".to_owned());
    }
    let (verdict, reason, _) = judge::past(object, Some(&run.counts), now);
    if verdict == Verdict::Unknown {
        let reason = format!("EMQX does not run it, and was not seen to: {reason}");
        return (verdict, reason);
    }
    (verdict, reason)
}

/// One that ran when EMQX was last heard, long ago.
pub(super) fn lost(run: &Run, silent: u64) -> Option<(Verdict, String)> {
    let entry = run.entry.as_ref().filter(|_| run.ended.is_none() && silent >= LOST_SECONDS)?;
    let why = format!("EMQX has not answered for {silent} s; when it last did, it was in {}", entry.state);
    Some((Verdict::Unknown, why))
}

/// No progress up to when EMQX was last heard: while it is silent, or does not tell its counts, nobody knows whether it
/// stands still.
fn stalled(run: &Run, heard: Timestamp) -> Option<(Verdict, String)> {
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
