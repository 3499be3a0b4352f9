//! The timeline of an operation: past, present and future steps.
//!
//! ```text
//! wait 10s ✓ ── evict 78s ━━━━━━━━━━━━━━━━━╸──────────── takeover 10s ── sessions
//! ```

use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use crate::model::human::{duration, seconds_between};
use crate::model::{Evacuation, Operation, Stage};
use crate::output::theme::Tone;
use crate::plan::next_step::wait_left;
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::upgrade::messages;
use crate::plan::upgrade::run::{UpgradeRun as Upgrade, UpgradeStep as Walk};
use crate::tui::view_model::ViewModel;

struct Step {
    name: &'static str,
    seconds: Option<u64>,
    /// The finished part: 1 for a past step, 0 for a future one.
    part: f64,
    now: bool,
}

/// The name of a stage in one word.
pub(super) fn short(stage: &Stage) -> String {
    match stage {
        Stage::WaitHealthCheck => "wait".to_owned(),
        Stage::EvictingConns => "evict".to_owned(),
        Stage::WaitTakeover => "takeover".to_owned(),
        Stage::EvictingSessions => "sessions".to_owned(),
        Stage::Prohibiting => "empty".to_owned(),
        Stage::Unknown(text) => text.clone(),
    }
}

/// Draws the steps on one line; `false` when there are none.
pub(super) fn draw(board: &ViewModel, pen: &mut Painter<'_>) -> bool {
    let steps = steps(board);
    if steps.is_empty() {
        return false;
    }
    let symbols = pen.symbols();
    let width = pen.width();
    let label = |step: &Step| {
        let seconds = step.seconds.map(|seconds| format!(" {}", duration(seconds))).unwrap_or_default();
        let mark = if step.part >= 1.0 && !step.now { format!(" {}", symbols.done) } else { String::new() };
        format!("{}{seconds}{mark}", step.name)
    };
    let labels: Vec<String> = steps.iter().map(label).collect();
    let between = format!(" {} ", symbols.rule.repeat(2));
    let fixed: usize = labels.iter().map(|label| label.width()).sum::<usize>()
        + between.width() * (steps.len() - 1)
        + usize::from(steps.iter().any(|step| step.now));
    let bar = width.saturating_sub(fixed).min(48);
    let mut x = 0;
    for (place, (step, label)) in steps.iter().zip(&labels).enumerate() {
        if place > 0 {
            x = pen.put(x, 0, width, &between, Tone::Faint);
        }
        let tone = match (step.now, step.part >= 1.0) {
            (true, _) => Tone::Busy,
            (false, true) => Tone::Good,
            (false, false) => Tone::Faint,
        };
        x = pen.put(x, 0, width, label, tone);
        if step.now && bar >= 4 {
            x += 1;
            let done = (step.part.clamp(0.0, 1.0) * bar as f64).round() as usize;
            x = pen.put(x, 0, width, &symbols.bar.repeat(done), Tone::Busy);
            x = pen.put(x, 0, width, &symbols.rule.repeat(bar - done), Tone::Faint);
        }
    }
    true
}

fn steps(board: &ViewModel) -> Vec<Step> {
    if let Some(run) = board.run.as_ref().filter(|run| run.entry.is_some() && run.verdict.is_none()) {
        return rebalance(board, run);
    }
    if let Some(run) = board.upgrade.as_ref().filter(|run| run.verdict.is_none()) {
        return upgrade(run);
    }
    match board.status.operation {
        Operation::Evacuation => board.evacuations.first().map(evacuation).unwrap_or_default(),
        Operation::Rebalance
        | Operation::Upgrade
        | Operation::Purge
        | Operation::Drain
        | Operation::Scale
        | Operation::None => Vec::new(),
    }
}

fn rebalance(board: &ViewModel, run: &RebalanceRun) -> Vec<Step> {
    let Some(entry) = &run.entry else { return Vec::new() };
    let strategy = run.strategy.as_ref();
    // Where the start was not observed, the earlier rounds are unknown.
    let whole = board.goals.as_ref().and_then(|goals| goals.rounds).filter(|_| run.counted_since.is_none());
    let all = [
        ("wait", Stage::WaitHealthCheck, strategy.map(|it| it.wait_health_check_seconds)),
        ("evict", Stage::EvictingConns, whole),
        ("takeover", Stage::WaitTakeover, strategy.map(|it| it.wait_takeover_seconds)),
        ("sessions", Stage::EvictingSessions, None),
    ];
    // Which steps precede a stage of an unknown version is not known.
    let Some(here) = entry.stage.order() else { return Vec::new() };
    let over = run.ended.is_some();
    let within = match (wait_left(run, board.now), run.left) {
        (Some((spent, length)), _) => spent as f64 / length.max(1) as f64,
        (None, Some(left)) => {
            let to_go = if entry.stage == Stage::EvictingConns { left.rounds } else { left.session_rounds };
            let spent = seconds_between(run.stage_since, board.now);
            let all = match (&entry.stage, board.goals.as_ref().and_then(|goals| goals.rounds)) {
                (Stage::EvictingConns, Some(rounds)) if rounds >= to_go => rounds,
                _ => spent + to_go,
            };
            all.saturating_sub(to_go) as f64 / all.max(1) as f64
        }
        (None, None) => 0.0,
    };
    all.into_iter()
        .map(|(name, stage, seconds)| match stage.order().unwrap_or(0).cmp(&here) {
            std::cmp::Ordering::Less => Step { name, seconds, part: 1.0, now: false },
            // It may have been stopped in its last stage: only earlier ones are known to be done.
            std::cmp::Ordering::Equal if over => Step { name, seconds, part: 0.0, now: false },
            std::cmp::Ordering::Equal => Step { name, seconds, part: within, now: true },
            std::cmp::Ordering::Greater => Step { name, seconds, part: 0.0, now: false },
        })
        .collect()
}

fn evacuation(evacuation: &Evacuation) -> Vec<Step> {
    let share = |initial: Option<u64>, left: Option<u64>| match (initial, left) {
        (Some(initial), Some(left)) if initial > 0 => initial.saturating_sub(left) as f64 / initial as f64,
        _ => 0.0,
    };
    let all = [
        ("wait", Stage::WaitHealthCheck),
        ("connections", Stage::EvictingConns),
        ("takeover", Stage::WaitTakeover),
        ("sessions", Stage::EvictingSessions),
        ("empty", Stage::Prohibiting),
    ];
    let here = evacuation.stage.order();
    let within = match evacuation.stage {
        Stage::EvictingConns => share(evacuation.initial_connections, evacuation.connections),
        Stage::EvictingSessions => share(evacuation.initial_sessions, evacuation.sessions),
        Stage::Prohibiting => 1.0,
        _ => 0.0,
    };
    all.into_iter()
        .map(|(name, stage)| {
            let order = stage.order().cmp(&here);
            Step {
                name,
                seconds: None,
                part: match order {
                    std::cmp::Ordering::Less => 1.0,
                    std::cmp::Ordering::Equal => within,
                    std::cmp::Ordering::Greater => 0.0,
                },
                now: order.is_eq() && stage != Stage::Prohibiting,
            }
        })
        .collect()
}

/// The steps of an upgrade: new pods, then the traffic to them, then old pods are emptied one after another.
fn upgrade(run: &Upgrade) -> Vec<Step> {
    let (ready, wanted) = run.ready;
    let (gone, old) = run.places();
    let share = |some: u64, all: u64| if all == 0 { 0.0 } else { some as f64 / all as f64 };
    let (names, here) = messages::timeline(run);
    let within = match run.step {
        Walk::NewPods => share(ready, wanted),
        Walk::Emptying | Walk::Removing | Walk::Waiting => share(gone as u64, old as u64),
        Walk::Moved | Walk::Settling => 0.0,
    };
    names
        .iter()
        .enumerate()
        .map(|(place, name)| Step {
            name,
            seconds: None,
            part: match place.cmp(&here) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => within,
                std::cmp::Ordering::Greater => 0.0,
            },
            now: place == here,
        })
        .collect()
}
