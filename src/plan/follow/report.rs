//! What is reported while nothing moves: what a rebalance waits for, at least every 30 s, and when EMQX does not answer.

use jiff::Timestamp;

use super::Follower;
use super::run::Run;
use crate::model::human::{plural, seconds_between};
use crate::model::{Event, EventType, Link, Source, World};
use crate::plan::words::{self, utc};
use crate::plan::{judge, waiting};

/// A line comes at least after so many seconds.
const QUIET_SECONDS: u64 = 30;

/// Seconds without an answer of EMQX after which that is reported. A session round, in which EMQX does not list its
/// rebalances, takes up to 15 s.
const SILENT_SECONDS: u64 = 16;

impl Follower {
    /// Reports outages, and what is waited for.
    pub(super) fn report(&mut self, world: &World, now: Timestamp, events: &mut Vec<Event>) {
        let heard = world.load.as_ref().map(|load| load.at);
        let why = unreachable(world);
        for run in self.runs.iter_mut().filter(|run| run.verdict.is_none()) {
            run.observed = now;
            let silent = heard.map(|heard| seconds_between(heard, now)).filter(|_| run.entry.is_some());
            match (run.silent_since, heard, silent) {
                (None, Some(heard), Some(silent)) if silent >= SILENT_SECONDS => {
                    run.silent_since = Some(heard);
                    events.push(run.event(now, EventType::Notice, words::silent(heard, why)));
                }
                (Some(since), Some(heard), Some(silent)) if silent < SILENT_SECONDS && heard > since => {
                    run.silent_since = None;
                    // What stood still meanwhile was not seen.
                    run.moved = run.moved.max(heard);
                    events.push(run.event(now, EventType::Notice, words::heard_again(since, heard)));
                }
                _ => {}
            }
            if let Some(last) = events.iter().rev().find(|event| event.name == run.name) {
                run.reported = last.time;
            } else if seconds_between(run.reported, now) >= QUIET_SECONDS {
                run.reported = now;
                let message = standing(run, world, now);
                events.push(run.event(now, EventType::Progress, message));
            }
        }
    }
}

/// Why EMQX cannot be asked, if it cannot.
fn unreachable(world: &World) -> Option<&str> {
    let link = |resource| world.hearings.get(&(Source::Emqx, resource)).map(|hearing| &hearing.link);
    [link("nodes"), link("load_rebalance")].into_iter().flatten().find_map(Link::why)
}

/// How one stands of which nothing new is known.
fn standing(run: &Run, world: &World, now: Timestamp) -> String {
    if let Some(ended) = run.ended {
        let since = seconds_between(ended, now);
        return match judge::lost(run.start.as_ref(), &run.counts).filter(|lost| *lost > 0) {
            Some(lost) => {
                format!("it ended {since} s ago; {} have not come back so far", plural(lost, "client"))
            }
            None => format!("EMQX has not listed it for {since} s; its end is being verified"),
        };
    }
    if let Some(since) = run.silent_since {
        return words::silent(since, unreachable(world));
    }
    if run.entry.is_some() {
        return words::progress(run);
    }
    if let Some(seconds) = run.waits() {
        return waiting::message(seconds);
    }
    match &world.load {
        Some(load) if seconds_between(load.at, now) < SILENT_SECONDS => {
            "waiting for EMQX to list the rebalance".to_owned()
        }
        Some(load) => words::silent(load.at, unreachable(world)),
        None => match unreachable(world) {
            Some(why) => format!("EMQX cannot be asked ({why}); waiting for the operator's status"),
            None => format!("EMQX has not been asked so far ({})", utc(now)),
        },
    }
}
