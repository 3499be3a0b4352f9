//! The state of the cluster in one word, and the most important message about it: a present problem precedes
//! the last verdict.

use jiff::Timestamp;

use crate::model::human::{count, duration, seconds_between};
use crate::model::image::Image;
use crate::model::{Judgement, Operation, OperationRef, Stage, Verdict};
use crate::output::theme::Tone;
use crate::plan::rebalance::progress::PRESENT;
use crate::plan::rebalance::{messages, waiting};
use crate::plan::upgrade::messages as upgrade_words;
use crate::plan::upgrade::run::UpgradeRun as Upgrade;
use crate::timing::VERDICT_SECONDS;
use crate::tui::view_model::ViewModel;

/// The operation in one word, and the most important message.
pub(in crate::tui) fn doing(board: &ViewModel, arrow: &str) -> (String, Tone, String, Tone) {
    let status = &board.status;
    if !board.present {
        return ("GONE".to_owned(), Tone::Bad, "its custom resource is not there".to_owned(), Tone::Plain);
    }
    if let Some(alarm) = board.alarm() {
        return ("STOP IT:".to_owned(), Tone::Bad, alarm.reason.clone(), Tone::Bad);
    }
    if let Some(advice) = board.advice.as_ref().filter(|_| board.unsure.is_none()) {
        let text = format!("{}: {}", advice.alarm.reason, advice.command);
        return ("STOP IT:".to_owned(), Tone::Bad, text, Tone::Bad);
    }
    if let Some(unsure) = &board.unsure {
        let before = match status.operation {
            Operation::None => String::new(),
            operation => format!("; {} before that", operation.as_str()),
        };
        return ("NOT SURE".to_owned(), Tone::Warning, format!("{unsure}{before}"), Tone::Plain);
    }
    let verdict = Tone::of(status.verdict);
    if let Some(upgrade) = board.upgrade.as_ref().filter(|run| run.verdict.is_none()) {
        let headline = images(upgrade, arrow);
        let (word, tone) = match upgrade.standing() {
            Verdict::StillRunning => ("STILL UPGRADING", Tone::Warning),
            _ => ("UPGRADING", Tone::Busy),
        };
        return (word.to_owned(), tone, headline, Tone::Plain);
    }
    if let Some(removal) = board.removal {
        let word = if removal == Operation::Drain { "DRAINING" } else { "SCALING" };
        return (word.to_owned(), Tone::Busy, status.message.clone(), Tone::Plain);
    }
    match status.operation {
        Operation::Rebalance if status.verdict == Verdict::Waiting || status.phase.is_none() => {
            let word = match status.verdict {
                Verdict::Unknown => "UNKNOWN",
                _ => "WAITING",
            };
            let reason = waiting::reason(&status.message);
            let run = board.run.as_ref();
            let rest = run.and_then(|run| Some((run, reason.strip_prefix(&run.name)?)));
            let reason = match rest {
                Some((run, rest)) => format!("{}{rest}", labelled(&run.name, board)),
                None => reason.to_owned(),
            };
            (word.to_owned(), Tone::of(status.verdict), reason, Tone::Plain)
        }
        Operation::Rebalance => {
            let contradiction = board.run.as_ref().filter(|run| run.standing() == Verdict::StillRunning);
            let (headline, tone) = match (contradiction, &board.run) {
                (Some(run), _) => {
                    let words = messages::contradiction(run.object.as_ref());
                    (format!("{words}, EMQX continues"), Tone::Warning)
                }
                (None, Some(run)) => (named(&run.name, board), Tone::Plain),
                (None, None) => (status.message.clone(), Tone::Plain),
            };
            ("REBALANCING".to_owned(), Tone::Busy, headline, tone)
        }
        Operation::Upgrade => {
            let (word, tone) = match status.verdict {
                Verdict::Stalled => ("STALLED", Tone::of(Verdict::Stalled)),
                _ => ("UPGRADING", Tone::Busy),
            };
            (word.to_owned(), tone, status.message.clone(), Tone::Plain)
        }
        Operation::Evacuation => {
            // An empty node that refuses clients stays in EMQX's list until its evacuation is stopped.
            let through = board.evacuations.iter().all(|entry| entry.stage == Stage::Prohibiting);
            let (word, tone) = if through && !board.evacuations.is_empty() {
                ("EVACUATED", Tone::of(Verdict::Evacuated))
            } else {
                ("EVACUATING", Tone::Busy)
            };
            (word.to_owned(), tone, status.message.clone(), Tone::Plain)
        }
        Operation::Drain => ("DRAINING".to_owned(), Tone::Plain, status.message.clone(), Tone::Plain),
        Operation::Scale => ("SCALING".to_owned(), Tone::Plain, status.message.clone(), Tone::Plain),
        Operation::Purge => ("PURGING".to_owned(), Tone::Bad, status.message.clone(), Tone::Plain),
        Operation::None => {
            // A present problem has priority over a past verdict.
            let sound = status.membership.discrepancies.is_empty() && status.verdict == Verdict::Idle;
            if let Some(missing) = missing_since(board).filter(|_| sound) {
                return ("CLIENTS MISSING".to_owned(), Tone::Bad, missing, Tone::Plain);
            }
            if let Some(Judgement { verdict, message: reason }) = ended(board).filter(|_| sound) {
                let word = verdict.words().to_uppercase();
                return (word, Tone::of(verdict), reason, Tone::Plain);
            }
            // Uneven nodes are news after an upgrade; after a rebalance the verdict itself reports them.
            let past = board.past.as_ref();
            let past = past.filter(|past| !status.uneven || past.operation == Operation::Rebalance);
            if let Some(past) = past.filter(|_| sound && board.run.is_none()) {
                let word = past.verdict.words().to_uppercase();
                let ago = duration(seconds_between(past.at, board.now));
                let began = if past.end_known { "" } else { "began " };
                let text = format!("{began}{ago} ago, {}: {}", labelled(&past.name, board), past.message);
                return (word, Tone::of(past.verdict), text, Tone::Plain);
            }
            // A verdict that an evacuation followed is news no more.
            if let Some(run) = board.run.as_ref().filter(|run| run.verdict.is_none()) {
                let text = match run.ended {
                    Some(_) => format!("{} is over in EMQX: its clients come back", run.name),
                    None => format!("{} waits for the operator to start it in EMQX", run.name),
                };
                return ("WAITING".to_owned(), Tone::Busy, text, Tone::Plain);
            }
            let word = match status.verdict {
                Verdict::Idle => "IDLE".to_owned(),
                other => other.as_str().to_uppercase(),
            };
            let tone = if status.uneven { Tone::Warning } else { verdict };
            (word, tone, status.message.clone(), Tone::Plain)
        }
    }
}

/// The name of a rebalance; without an object the coordinator as the table names it: the whole name of a node fills a line.
fn named(name: &str, board: &ViewModel) -> String {
    match OperationRef::of(name) {
        OperationRef::Coordinator(_) => format!("without an object, {}", labelled(name, board)),
        _ => name.to_owned(),
    }
}

/// The name of an operation, with its node as the table names it.
fn labelled(name: &str, board: &ViewModel) -> String {
    let (kind, node) = match OperationRef::of(name) {
        OperationRef::Coordinator(node) => ("coordinator", node),
        OperationRef::Evacuation(node) => ("evacuation of", node),
        OperationRef::Purge(node) => ("purge of", node),
        _ => return name.to_owned(),
    };
    match board.row(node.as_str()) {
        Some(row) => format!("{kind} {}", row.name),
        None => format!("{kind} {}", node.short()),
    }
}

/// The previous and the target image; a common part is shown once.
fn images(run: &Upgrade, arrow: &str) -> String {
    let parts = |image: &str| {
        let image = Image::parse(image).ok().filter(|image| image.digest.is_none())?;
        Some((image.name(), image.tag?))
    };
    match (run.from.as_deref().and_then(parts), run.to.as_deref().and_then(parts)) {
        (Some((from, old)), Some((to, new))) if from == to => format!("{from} {old} {arrow} {new}"),
        _ => upgrade_words::between(run.from.as_deref(), run.to.as_deref()),
    }
}

/// An operation that ended: when, how, and the clients after it.
type Past = (Option<Timestamp>, Judgement, Option<u64>);

/// The operation that ended last; an operation that never began ended at its creation.
fn last(board: &ViewModel) -> Option<Past> {
    let past = |ended: Option<Timestamp>, began, verdict: &Option<Judgement>, clients| {
        Some((ended.or(Some(began)), verdict.clone()?, clients))
    };
    let rebalance = board
        .run
        .as_ref()
        .and_then(|run| past(run.ended, run.began, &run.verdict, run.counts.all_connections()));
    let upgrade = board
        .upgrade
        .as_ref()
        .and_then(|run| past(run.ended, run.began, &run.verdict, run.counts.all_connections()));
    let recent =
        |ended: Option<Timestamp>| ended.is_some_and(|at| seconds_between(at, board.now) <= VERDICT_SECONDS);
    let emptied = board.emptied.iter().filter(|run| recent(run.ended));
    let emptied = emptied.filter_map(|run| past(run.ended, run.began, &run.verdict, None));
    rebalance.into_iter().chain(upgrade).chain(emptied).max_by_key(|(ended, ..)| *ended)
}

/// The verdict of the operation that ended last.
fn ended(board: &ViewModel) -> Option<Judgement> {
    let (_, judgement, _) = last(board)?;
    // A node that was evacuated and that EMQX no longer lists as evacuated serves again: no message is
    // needed.
    (judgement.verdict != Verdict::Evacuated).then_some(judgement)
}

/// Clients that were connected when the last operation ended and are not connected now.
fn missing_since(board: &ViewModel) -> Option<String> {
    let (_, judgement, clients) = last(board)?;
    let (before, now) = (clients?, board.status.totals.connections?);
    let fewer = (now as f64) < before as f64 * PRESENT;
    (fewer && judgement.verdict != Verdict::ClientsMissing).then(|| {
        format!(
            "{} of {} clients that were connected at the end of the last operation; it ended {}",
            count(now),
            count(before),
            judgement.sentence()
        )
    })
}
