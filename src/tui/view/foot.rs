//! The foot: how old every source is, and the keys.
//!
//! ```text
//!  emqx 0s ago · cluster 1s · operator's status 33s old
//!  ? keys  / filter  s sort  Enter node  p plan  x stop  Space freeze  q quit
//! ```

use unicode_width::UnicodeWidthStr;

use super::painter::{Painter, wrap};
use crate::model::human::{duration, seconds_between};
use crate::model::{InstanceId, Source};
use crate::output::theme::Tone;
use crate::plan::operator::OperatorProcess;
use crate::plan::snapshot::{SourceAge, SourceState};
use crate::plan::status::operator_silence;
use crate::tui::keys;
use crate::tui::state::{Page, State};
use crate::tui::view_model::ViewModel;

/// Seconds for which a message replaces the keys.
const MESSAGE_SECONDS: i64 = 15;

/// Draws the foot at the bottom; returns the number of lines.
pub(super) fn draw(state: &State, board: Option<&ViewModel>, pen: &mut Painter<'_>, narrow: bool) -> usize {
    let width = pen.width();
    let message = message(state, pen);
    let more = message.as_ref().map_or(0, |(_, lines)| lines.len().saturating_sub(1));
    match message {
        Some((tone, lines)) => {
            let top = pen.height() - lines.len().max(1);
            for (place, line) in lines.iter().enumerate() {
                pen.put(1, top + place, width - 1, line, tone);
            }
        }
        None => keys(state, pen, pen.height() - 1),
    }
    // The lines above the message move up with it.
    let height = pen.height() - more;
    let Some(board) = board else {
        if state.route.is_some() {
            position(state, pen, height - 2);
        }
        return 1 + more;
    };
    if state.route.is_some() {
        position(state, pen, if narrow { height - 2 } else { height - 3 });
        if narrow {
            return 2 + more;
        }
    }
    ages_line(state, board, pen, (1, height - 2));
    more + if narrow { 2 } else { 3 }
}

/// Draws the foot of the list of clusters, with the ages of the sources of one of them; returns the number of lines.
pub(super) fn of_list(
    state: &State,
    chosen: Option<(&InstanceId, &ViewModel)>,
    pen: &mut Painter<'_>,
    narrow: bool,
) -> usize {
    let lines = draw(state, None, pen, narrow);
    let Some((id, board)) = chosen.filter(|_| pen.height() > lines + 6) else { return lines };
    let y = pen.height() - lines - 1;
    let width = pen.width();
    let x = pen.put(1, y, width / 2, &format!("{}/{}:", id.namespace, id.name), Tone::Faint) + 1;
    ages_line(state, board, pen, (x, y));
    lines + if narrow { 1 } else { 2 }
}

/// The ages of the sources on one line.
fn ages_line(state: &State, board: &ViewModel, pen: &mut Painter<'_>, (mut x, y): (usize, usize)) {
    let width = pen.width();
    let dot = format!(" {} ", pen.symbols().dot);
    for (place, (text, tone)) in ages(board, state.setup.playback.is_some()).into_iter().enumerate() {
        if x + text.width() + dot.width() > width {
            break;
        }
        if place > 0 {
            x = pen.put(x, y, width, &dot, Tone::Faint);
        }
        x = pen.put(x, y, width, &text, tone);
    }
}

/// The message that replaces the keys, in lines: an error and its hint take more than one line.
fn message(state: &State, pen: &Painter<'_>) -> Option<(Tone, Vec<String>)> {
    if state.filtering {
        return None;
    }
    let (tone, text) = match (&state.doing, &state.message) {
        (Some(doing), _) => (Tone::Busy, format!("{doing} …")),
        // After a while the keys are more useful than the message.
        (None, Some((tone, text, at))) if state.now.duration_since(*at).as_secs() < MESSAGE_SECONDS => {
            (*tone, text.clone())
        }
        (None, _) => return None,
    };
    let most = pen.height().div_ceil(4);
    let mut lines = wrap(&pen.theme.clean(&text), pen.width().saturating_sub(2));
    if lines.len() > most {
        // The ellipsis of the last line shows that the message is longer.
        let rest = lines.split_off(most - 1).join(" ");
        lines.push(rest);
    }
    Some((tone, lines))
}

/// The position in a recording: a bar with its marks, and the next mark.
fn position(state: &State, pen: &mut Painter<'_>, y: usize) {
    let Some(route) = &state.route else { return };
    let width = pen.width();
    let all = seconds_between(route.begin, route.end).max(1);
    let at = seconds_between(route.begin, state.now).min(all);
    let dot = pen.symbols().dot;
    let mut text = format!("{} of {}", duration(at), duration(all));
    let last = route.marks.iter().rfind(|mark| mark.at <= state.now);
    let next = route.timed().find(|mark| mark.at > state.now);
    if let Some(last) = last {
        text.extend([" ", dot, " ", &last.text]);
    }
    if let Some(next) = next {
        let left = duration(seconds_between(state.now, next.at));
        text.extend([" ", dot, " n ", &next.text, " in ", &left]);
    }
    // The same width at every position, so that the marks do not move.
    let cells = match width {
        ..72 => 10,
        72..100 => width / 4,
        _ => (width * 2 / 5).min(80),
    };
    let cell = |at: jiff::Timestamp| {
        let part = seconds_between(route.begin, at).min(all) as f64 / all as f64;
        (part * (cells - 1) as f64).round() as usize
    };
    let (mark, here) = if pen.theme.ascii { ("|", "o") } else { ("┼", "●") };
    let (done, rule) = (pen.symbols().bar, pen.symbols().rule);
    let now = cell(state.now);
    for x in 0..cells {
        let (text, tone) = if x < now { (done, Tone::Busy) } else { (rule, Tone::Faint) };
        pen.put(1 + x, y, 1, text, tone);
    }
    for place in route.timed() {
        pen.put(1 + cell(place.at), y, 1, mark, Tone::Plain);
    }
    pen.put(1 + now, y, 1, here, Tone::Strong);
    pen.put(cells + 3, y, width.saturating_sub(cells + 4), &text, Tone::Faint);
}

fn ages(board: &ViewModel, recorded: bool) -> Vec<(String, Tone)> {
    let mut words = Vec::new();
    let sources = &board.status.sources;
    let all = sources.each();
    words.extend(age(Source::Emqx.as_str(), &sources.emqx, true));
    // While all sources of Kubernetes answer, one age is enough.
    let others: Vec<&(Source, &SourceAge)> =
        all.iter().filter(|(source, _)| *source != Source::Emqx).collect();
    if others.iter().all(|(_, age)| age.state == SourceState::Ok) {
        let oldest = others.iter().filter_map(|(_, age)| age.age_seconds).max();
        if let Some(oldest) = oldest {
            words.push((format!("cluster {}", duration(oldest)), Tone::Faint));
        }
    } else {
        for (source, it) in others {
            // A recording does not have the state of its sources.
            if !recorded || it.state != SourceState::Absent {
                words.extend(age(source.as_str(), it, false));
            }
        }
    }
    let operator = &board.status.operator;
    if let (Some(OperatorProcess::Gone), Some(age)) = (operator.process, operator.lease_seconds) {
        words.push((format!("operator GONE for {}", duration(age)), Tone::Bad));
    }
    if let Some(silent) = operator.silent_seconds {
        let tone = if operator_silence(&board.status).is_some() { Tone::Warning } else { Tone::Faint };
        let runs = if operator.process == Some(OperatorProcess::Running) {
            "operator runs, its"
        } else {
            "operator's"
        };
        words.push((format!("{runs} status {} old", duration(silent)), tone));
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

fn keys(state: &State, pen: &mut Painter<'_>, y: usize) {
    let width = pen.width();
    if state.filtering {
        let x = pen.put(1, y, width, "filter: ", Tone::Strong);
        let x = pen.put(x, y, width, &format!("{}_", state.order.filter), Tone::Plain);
        pen.put(x + 3, y, width, "Enter keeps it, Esc drops it", Tone::Faint);
        return;
    }
    let mut x = 1;
    if !state.order.filter.is_empty() {
        x = pen.put(x, y, width / 2, &format!("/{}  ", state.order.filter), Tone::Strong) + 2;
    }
    let alarm = state.page == Page::Table && state.board().is_some_and(|board| board.alarm().is_some());
    let mut hints: Vec<(&str, &str, bool)> = keys::at(state.page, |needs| state.can(needs))
        .filter_map(|binding| {
            let key = match *binding.keys.first()? {
                "Left" if !pen.theme.ascii => "←→",
                key => key,
            };
            let why = binding.command == keys::Command::Describe && alarm;
            let special = match binding.command {
                _ if why => Some("why"),
                keys::Command::Back if !state.order.filter.is_empty() => Some("no filter"),
                // One of several clusters.
                keys::Command::Back if state.page == Page::Table && state.setup.many => Some("clusters"),
                _ => None,
            };
            Some((key, special.or(binding.hint)?, why))
        })
        .collect();
    // With a reason to stop, its key comes first.
    hints.sort_by_key(|(.., why)| !why);
    let hints: Vec<(&str, &str)> = hints.into_iter().map(|(key, what, _)| (key, what)).collect();
    // The keys that leave a page and the view are always shown.
    let need = |(key, what): &(&str, &str)| key.width() + 1 + what.width() + 2;
    let always = |(key, _): &(&str, &str)| matches!(*key, "Esc" | "q");
    for (place, hint) in hints.iter().enumerate() {
        let reserved: usize = hints[place + 1..].iter().filter(|hint| always(hint)).map(need).sum();
        if !always(hint) && x + need(hint) + reserved > width + 2 {
            continue;
        }
        let (key, what) = hint;
        x = pen.put(x, y, width, key, Tone::Strong) + 1;
        x = pen.put(x, y, width, what, Tone::Faint) + 2;
    }
}
