//! The foot: how old every source is, and the keys.
//!
//! ```text
//!  emqx 0s ago · cluster 1s · operator's word 33s old
//!  ? keys  / filter  s sort  Enter node  p plan  x stop  Space freeze  q quit
//! ```

use unicode_width::UnicodeWidthStr;

use super::pen::Pen;
use crate::model::Source;
use crate::model::human::duration;
use crate::output::theme::Tone;
use crate::plan::picture::{SourceAge, SourceState};
use crate::plan::status::operator_silence;
use crate::tui::board::Board;
use crate::tui::keys;
use crate::tui::state::State;

/// Seconds for which something that was told covers the keys.
const SAID: i64 = 15;

/// Draws the foot at the bottom; gives back how many lines it took.
pub(super) fn draw(state: &State, board: Option<&Board>, pen: &mut Pen<'_>, narrow: bool) -> usize {
    let (width, height) = (pen.width(), pen.height());
    keys(state, pen, height - 1);
    let Some(board) = board else { return 1 };
    let dot = format!(" {} ", pen.symbols().dot);
    let mut x = 1;
    for (place, (text, tone)) in ages(board, state.setup.playback.is_some()).into_iter().enumerate() {
        if x + text.width() + dot.width() > width {
            break;
        }
        if place > 0 {
            x = pen.put(x, height - 2, width, &dot, Tone::Faint);
        }
        x = pen.put(x, height - 2, width, &text, tone);
    }
    if narrow { 2 } else { 3 }
}

fn ages(board: &Board, recorded: bool) -> Vec<(String, Tone)> {
    let mut words = Vec::new();
    let sources = &board.status.sources;
    let all = sources.each();
    words.extend(age(Source::Emqx.as_str(), &sources.emqx, true));
    // While all of Kubernetes is heard, one age is enough.
    let others: Vec<&(Source, &SourceAge)> =
        all.iter().filter(|(source, _)| *source != Source::Emqx).collect();
    if others.iter().all(|(_, age)| age.state == SourceState::Ok) {
        let oldest = others.iter().filter_map(|(_, age)| age.age_seconds).max();
        if let Some(oldest) = oldest {
            words.push((format!("cluster {}", duration(oldest)), Tone::Faint));
        }
    } else {
        for (source, it) in others {
            // A recording does not tell how its sources could be heard.
            if !recorded || it.state != SourceState::Absent {
                words.extend(age(source.as_str(), it, false));
            }
        }
    }
    if let Some(silent) = board.status.operator.silent_seconds {
        let tone = if operator_silence(&board.status).is_some() { Tone::Warning } else { Tone::Faint };
        words.push((format!("operator's status {} old", duration(silent)), tone));
    }
    words
}

fn age(name: &str, age: &SourceAge, first: bool) -> Option<(String, Tone)> {
    let seconds = age.age_seconds.map(duration);
    Some(match (age.state, seconds) {
        (SourceState::Ok, Some(seconds)) => {
            (format!("{name} {seconds}{}", if first { " ago" } else { "" }), Tone::Faint)
        }
        (SourceState::Stale, Some(seconds)) => (format!("{name} stale, {seconds} old"), Tone::Faint),
        (SourceState::Unreachable, Some(seconds)) => (format!("{name} LOST, {seconds} ago"), Tone::Bad),
        (SourceState::Unreachable, None) => (format!("{name} LOST"), Tone::Bad),
        (SourceState::Forbidden, _) => (format!("{name} forbidden"), Tone::Warning),
        (SourceState::Absent, _) => (format!("{name} not asked"), Tone::Faint),
        (SourceState::Ok | SourceState::Stale, None) => return None,
    })
}

fn keys(state: &State, pen: &mut Pen<'_>, y: usize) {
    let width = pen.width();
    if state.filtering {
        let x = pen.put(1, y, width, "filter: ", Tone::Strong);
        let x = pen.put(x, y, width, &format!("{}_", state.order.filter), Tone::Plain);
        pen.put(x + 3, y, width, "Enter keeps it, Esc drops it", Tone::Faint);
        return;
    }
    let said = match (&state.doing, &state.said) {
        (Some(doing), _) => Some((Tone::Busy, format!("{doing} …"))),
        // After a while the keys are of more use again.
        (None, Some((tone, text, at))) if state.now.duration_since(*at).as_secs() < SAID => {
            Some((*tone, text.clone()))
        }
        (None, _) => None,
    };
    if let Some((tone, text)) = said {
        pen.put(1, y, width - 1, &text, tone);
        return;
    }
    let mut x = 1;
    if !state.order.filter.is_empty() {
        x = pen.put(x, y, width / 2, &format!("/{}  ", state.order.filter), Tone::Strong) + 2;
    }
    let hints: Vec<(&str, &str)> = keys::at(state.page, |needs| state.can(needs))
        .filter_map(|binding| {
            let key = match *binding.keys.first()? {
                "Left" if !pen.theme.ascii => "←→",
                key => key,
            };
            Some((key, binding.hint?))
        })
        .collect();
    // How to leave is never what does not fit.
    let last = hints.last().map_or(0, |(key, what)| key.width() + 1 + what.width() + 2);
    for (place, (key, what)) in hints.iter().enumerate() {
        let need = key.width() + 1 + what.width() + 2;
        let room = if place + 1 == hints.len() { width } else { width.saturating_sub(last) };
        if x + need > room + 2 {
            continue;
        }
        x = pen.put(x, y, width, key, Tone::Strong) + 1;
        x = pen.put(x, y, width, what, Tone::Faint) + 2;
    }
}
