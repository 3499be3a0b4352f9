//! Whether a followed rebalance has ended, and with which verdict.

use jiff::Timestamp;

use crate::model::human::{duration, plural, seconds_between, utc};
use crate::model::{Judgement, Phase, Rebalance, Stage, Verdict, World};
use crate::plan::rebalance::progress::{Counts, lost_clients, missing};
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::rebalance::verdict::{self, Ending, LaterEvents};
use crate::plan::rebalance::waiting;
use crate::timing::{
    CONFIRM_SECONDS, DIRECT_START_SECONDS, END_COUNTS_SECONDS, END_GAP_SECONDS, LONGEST_OUTAGE_SECONDS,
    POLL_SLACK_SECONDS, PROCESSING_UNLISTED_SECONDS, RECONNECT_SECONDS, RETURN_SECONDS, STALL_SECONDS,
    STOP_MARK_SECONDS, STOP_SECONDS, UNANSWERED_END_SECONDS,
};

/// Who stopped it, where a source shows that.
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
    // The rebalance ended at some time after it was last seen: EMQX may not have answered in between.
    let near = run.deleted.is_some_and(|deleted| {
        seconds_between(deleted, run.seen).max(seconds_between(ended, deleted)) <= STOP_SECONDS
    });
    near.then(|| "the deletion of its object".to_owned())
}

/// Whether it can have been in `wait_takeover` for the required time: it entered that stage at some time
/// after it was last seen in the stage before.
fn waited(run: &RebalanceRun) -> bool {
    if run.entry.as_ref().is_none_or(|entry| entry.stage != Stage::WaitTakeover) {
        return false;
    }
    let Some(strategy) = &run.strategy else { return true };
    let spent = seconds_between(run.stage_after, run.ended.unwrap_or(run.seen));
    spent + POLL_SLACK_SECONDS >= strategy.wait_takeover_seconds
}

/// Whether the cause of the end is known, so that no second answer is needed.
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
        // After another operation began, a missing client cannot be attributed: the counts at the end are
        // used.
        now: if run.overtaken { &run.at_end } else { &run.counts },
        stage: run.entry.as_ref().map(|entry| &entry.stage),
        waited: waited(run),
        outage: run.outage,
        unseen: run.ended.map(|ended| (run.seen, ended)).filter(|(seen, ended)| {
            // Without a known strategy the forecast gives only the latest end.
            let rest = run.left.filter(|_| run.strategy.is_some()).map(|left| left.seconds);
            // Counts may be older than the answer that listed the rebalance.
            rest.is_some_and(|rest| seconds_between(run.left_at.min(*seen), *ended) >= rest)
        }),
        lost: &run.losses.lost,
        may_precede_losses: may_precede_losses(run),
        stopped: stopped(run, now),
        seconds: run
            .begin_known
            .then(|| seconds_between(run.began, ended))
            .filter(|_| run.ended_after().is_none()),
        between: run.end_span().filter(|(earliest, latest)| earliest < latest),
    }
}

/// Whether the rebalance can have come to its end before any node stopped: EMQX reported neither for as long as the rest of
/// it was forecast to take.
fn may_precede_losses(run: &RebalanceRun) -> bool {
    let Some(ended) = run.ended else { return false };
    // Without a known strategy the forecast gives only the latest end.
    let rest = run.left.as_ref().filter(|_| run.strategy.is_some()).map_or(0, |left| left.seconds);
    let lost = &run.losses.lost;
    !lost.is_empty()
        && lost.iter().all(|lost| lost.was_unobserved() && lost.at >= run.seen)
        && seconds_between(run.left_at.min(run.seen), ended) >= rest
}

pub(super) fn conclude(run: &RebalanceRun, now: Timestamp) -> Judgement {
    let uncounted = Counts::default();
    let ended = run.ended.unwrap_or(now);
    let known = counted(run, ended) && !late_counts(run, ended);
    let ending = ending(run, now);
    if run.overtaken
        && ending.lost.is_empty()
        && ending.stopped.is_none()
        && missing(run.start.as_ref(), &run.at_end)
    {
        let lost = lost_clients(run.start.as_ref(), &run.at_end).unwrap_or(0);
        let reason = format!(
            "it ended, and {} had not come back when something else began on the cluster",
            plural(lost, "client")
        );
        return Judgement::new(Verdict::Unknown, reason);
    }
    let judgement =
        verdict::end(&if known { ending } else { Ending { at_end: &uncounted, now: &uncounted, ..ending } });
    if proved(run, judgement.verdict, ended, now) {
        return judgement;
    }
    let counted = run.counted.unwrap_or(run.seen);
    Judgement::new(Verdict::Unknown, format!("{}, and what came then is not known", standstill(run, counted)))
}

/// How it stood when EMQX last reported counts.
fn standstill(run: &RebalanceRun, counted: Timestamp) -> String {
    let state = run.entry.as_ref().map_or("", |entry| entry.state.as_str());
    format!("it was last seen in {state}; EMQX has reported no counts since {}", utc(counted))
}

/// Whether the known counts verify this verdict: what they show before the end, or long ago, may not be so any more.
fn proved(run: &RebalanceRun, verdict: Verdict, ended: Timestamp, now: Timestamp) -> bool {
    let counted = run.counted;
    match verdict {
        Verdict::CoordinatorLost | Verdict::Uneven | Verdict::Overshot => {
            counted.is_some_and(|counted| counted >= ended)
        }
        Verdict::ClientsMissing => counted
            .is_some_and(|counted| counted >= ended && seconds_between(counted, now) <= END_GAP_SECONDS),
        _ => true,
    }
}

/// The outage of EMQX in which it ended, from its last answer until now; `None` if EMQX answered in time.
pub(super) fn outage(run: &RebalanceRun, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    (seconds_between(run.seen, now) > END_GAP_SECONDS).then_some((run.seen, now))
}

/// Whether the counts known when the entry was first missing may be from a moment in which clients still
/// moved.
pub(super) fn late_counts(run: &RebalanceRun, ended: Timestamp) -> bool {
    let moves = |stage: &Stage| matches!(stage, Stage::EvictingConns | Stage::EvictingSessions);
    run.entry.as_ref().is_some_and(|entry| moves(&entry.stage))
        && run.end_counted.is_some_and(|counted| seconds_between(counted, ended) > POLL_SLACK_SECONDS)
}

/// Whether the known counts are those of the end.
fn counted(run: &RebalanceRun, ended: Timestamp) -> bool {
    run.counted.is_some_and(|counted| seconds_between(counted, ended) <= END_COUNTS_SECONDS)
}

/// The last verdict when following ends before the end was confirmed.
pub(super) fn unconfirmed(run: &RebalanceRun, now: Timestamp) -> Option<Judgement> {
    let ended = run.ended.filter(|_| !run.confirmed)?;
    // With no work left the rebalance has reached its goal, whatever a second answer shows.
    let done = run.strategy.is_none() && waited(run) && conclude(run, now).verdict == Verdict::Balanced;
    (!done).then(|| {
        let since = duration(seconds_between(ended, now));
        let reason =
            format!("EMQX no longer listed it, and {since} later nothing was known to confirm that it ended");
        Judgement::new(Verdict::Unknown, reason)
    })
}

/// The last verdict when following ends before the clients had time to reconnect.
pub(super) fn cut_short(run: &RebalanceRun, now: Timestamp) -> Option<Judgement> {
    let since = seconds_between(run.ended?, now);
    let early = since < RETURN_SECONDS
        && run.losses.lost.is_empty()
        && !run.overtaken
        && missing(run.start.as_ref(), &run.counts);
    early.then(|| {
        Judgement::new(
            Verdict::Unknown,
            verdict::not_back(lost_clients(run.start.as_ref(), &run.counts), since),
        )
    })
}

/// The last verdict when following ends and EMQX never listed the rebalance.
pub(super) fn unseen(run: &RebalanceRun, last_seen: bool) -> Judgement {
    if let Some(seconds) = run.waits() {
        return waiting::judgement(&run.name, seconds);
    }
    let object = run.object.as_ref().filter(|_| !run.object_gone);
    let asked = if last_seen { "EMQX was not seen to run it" } else { "EMQX cannot be asked" };
    match object.map(|object| (&object.phase, object.phase.text().unwrap_or_default())) {
        Some((Phase::Processing, phase)) => {
            Judgement::new(Verdict::Running, format!("the operator reports {phase}; {asked}"))
        }
        Some((Phase::Pending, _)) if last_seen => {
            Judgement::new(Verdict::Unknown, "the operator has not requested the start from EMQX".to_owned())
        }
        Some((Phase::Pending, _)) | None => Judgement::new(Verdict::Unknown, asked.to_owned()),
        Some((_, phase)) => {
            Judgement::new(Verdict::Unknown, format!("the object reports {phase}, but {asked}"))
        }
    }
}

/// The verdict, if there is one by now.
pub(super) fn verdict_if_final(
    run: &RebalanceRun,
    last_seen: Option<Timestamp>,
    others: bool,
    world: &World,
    now: Timestamp,
) -> Option<Judgement> {
    if let Some(ended) = run.ended {
        let since = seconds_between(ended, now);
        if !run.confirmed {
            return None;
        }
        let missing = missing(run.start.as_ref(), &run.counts) && !run.overtaken;
        let open = missing || !counted(run, ended) || late_counts(run, ended);
        if open && run.losses.lost.is_empty() && since < RETURN_SECONDS {
            return None;
        }
        let judgement = conclude(run, now);
        if judgement.verdict == Verdict::Unknown
            && since < RETURN_SECONDS
            && run.counted.is_none_or(|counted| counted < ended)
        {
            return None;
        }
        // The last evicted clients are still reconnecting: a bad verdict waits for them. A stop calls EMQX
        // first and deletes the object afterwards: while the operator still reports it as running, the
        // deletion may follow.
        let stopping = judgement.verdict == Verdict::CoordinatorLost
            && run
                .object
                .as_ref()
                .is_some_and(|object| !run.object_gone && object.phase == Phase::Processing);
        let early = since < if stopping { STOP_SECONDS } else { RECONNECT_SECONDS };
        return (!early || matches!(judgement.verdict, Verdict::Balanced | Verdict::Stopped))
            .then_some(judgement);
    }
    if run.entry.is_some() {
        return stalled(run, last_seen?);
    }
    if run.direct && run.object.is_none() {
        let answered =
            last_seen.is_some_and(|last_seen| seconds_between(run.began, last_seen) >= DIRECT_START_SECONDS);
        return answered.then(|| {
            let reason =
                format!("EMQX accepted the start, but did not list it within {DIRECT_START_SECONDS} s");
            Judgement::new(Verdict::Unknown, reason)
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
        return Some(Judgement::new(Verdict::Stopped, "its object was deleted before it started".to_owned()));
    }
    let over = run.object_gone || matches!(object.phase, Phase::Completed | Phase::Failed);
    if !over {
        // The operator writes Processing when EMQX has accepted the start, and EMQX lists it from then on.
        let begun = object.phase == Phase::Processing && object.processed;
        let unlisted = last_seen
            .is_some_and(|last_seen| seconds_between(run.moved, last_seen) >= PROCESSING_UNLISTED_SECONDS);
        return (begun && unlisted).then(|| {
            let reason = format!(
                "the operator reports Processing, and EMQX has not listed it for {PROCESSING_UNLISTED_SECONDS} s: it ended \
                 before it was seen"
            );
            Judgement::new(Verdict::Unknown, reason)
        });
    }
    // The follower that saw the end has recorded it: EMQX need not be asked.
    if let Some(recorded) = &object.recorded {
        return Some(Judgement::new(recorded.verdict, &recorded.message));
    }
    match last_seen.filter(|last_seen| seconds_between(*last_seen, now) < UNANSWERED_END_SECONDS) {
        // EMQX answers and does not list it: it was over before this process observed it.
        Some(last_seen) => (last_seen >= run.moved
            && seconds_between(run.moved, last_seen) >= CONFIRM_SECONDS)
            .then(|| conclude_unseen(run, object, world, now)),
        None if seconds_between(run.moved, now) >= UNANSWERED_END_SECONDS => Some(Judgement::new(
            Verdict::Unknown,
            format!(
                "the object reports {}, but EMQX cannot be asked whether it still runs",
                object.phase.text().unwrap_or("nothing")
            ),
        )),
        None => None,
    }
}

/// The verdict of a rebalance whose entry was never seen although EMQX was asked: it was too short, or was
/// over before this process began.
fn conclude_unseen(run: &RebalanceRun, object: &Rebalance, world: &World, now: Timestamp) -> Judgement {
    if run.stopped_by_us || run.deleted.is_some() {
        return Judgement::new(Verdict::Stopped, "stopped before EMQX was seen to move anything".to_owned());
    }
    let afterwards = LaterEvents::of(world, object);
    let (judgement, _) = verdict::past(object, Some(&run.counts), now, &afterwards);
    if judgement.verdict == Verdict::Unknown {
        let reason = format!("EMQX does not run it, and was not seen to: {}", judgement.message);
        return Judgement::new(Verdict::Unknown, reason);
    }
    judgement
}

/// The verdict of a rebalance that ran at EMQX's last answer, once the outage is too long to wait for its
/// end.
pub(super) fn lost(run: &RebalanceRun, silent: u64) -> Option<Judgement> {
    if silent >= LONGEST_OUTAGE_SECONDS { unanswered(run, silent) } else { None }
}

/// The last verdict when following ends while EMQX does not answer: its last answer does not verify that the
/// rebalance still runs.
pub(super) fn silent(run: &RebalanceRun, now: Timestamp) -> Option<Judgement> {
    unanswered(run, seconds_between(run.silent_since()?, now))
}

fn unanswered(run: &RebalanceRun, seconds: u64) -> Option<Judgement> {
    let entry = run.entry.as_ref().filter(|_| run.ended.is_none())?;
    let why = format!(
        "EMQX has not answered since {}, for {seconds} s; when it last did, the rebalance was in {}",
        utc(run.seen),
        entry.state
    );
    Some(Judgement::new(Verdict::Unknown, why))
}

/// The verdict where EMQX's answers show no progress. While EMQX does not answer, or does not report counts,
/// it is unknown whether the rebalance makes progress.
fn stalled(run: &RebalanceRun, last_seen: Timestamp) -> Option<Judgement> {
    let entry = run.entry.as_ref().filter(|_| counted(run, last_seen))?;
    run.counts.each(&entry.donors, Counts::connections_of)?;
    let strategy = run.strategy.clone().unwrap_or_default();
    let step = match entry.stage {
        Stage::WaitHealthCheck => strategy.wait_health_check_seconds,
        Stage::WaitTakeover => strategy.wait_takeover_seconds,
        _ => 1,
    };
    let since = if step > 1 { run.stage_since } else { run.moved };
    let limit = (3 * step).max(STALL_SECONDS);
    let still = seconds_between(since, last_seen);
    (still >= limit).then(|| {
        Judgement::new(
            Verdict::Stalled,
            format!("no progress for {still} s in {}: no count has changed", entry.state),
        )
    })
}
