//! The effects of keys. The table of [`super::keys`] maps a key to a command; overlays and text fields handle
//! it first.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::keys::{Command, command};
use super::msg::{Effect, Play};
use super::pages::{image, logs, reading, text, topology, upgrade};
use super::setup::{Confirm, Overlay};
use super::state::{Page, State};
use super::{actions, copy, texts};
use crate::model::human::{duration, plural};
use crate::output::theme::Tone;

/// Handles a key.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    state.message = None;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c' | 'C')) {
        return vec![Effect::Interrupt];
    }
    if control && matches!(key.code, KeyCode::Char('z' | 'Z')) {
        return vec![Effect::Suspend];
    }
    match state.overlay.take() {
        Some(Overlay::Help(top)) => return help(state, key, top),
        Some(Overlay::Confirm(confirm)) => return confirming(state, key, confirm),
        Some(Overlay::Text(page)) => {
            reading(state, key, page);
            return Vec::new();
        }
        None => {}
    }
    if state.filtering {
        filter(state, key);
        return Vec::new();
    }
    if state.page == Page::Plan && !state.notices && form(state, key) {
        return Vec::new();
    }
    if state.page == Page::Upgrade
        && let Some(effects) = image(state, key)
    {
        return effects;
    }
    if let Some(command) = command(key, state.page, |needs| state.can(needs)) {
        return obey(state, command);
    }
    why_not(state, key);
    Vec::new()
}

/// A key whose action is refused shows the reason.
fn why_not(state: &mut State, key: KeyEvent) {
    let acts = matches!(key.code, KeyCode::Char('a' | 'x' | 'e' | 'E' | 'u'));
    if acts && state.setup.playback.is_some() {
        state.show_message(Tone::Warning, "replay: nothing can be changed");
    } else if acts && state.setup.read_only {
        state.show_message(Tone::Warning, "--read-only: nothing can be changed from here");
    } else if key.code == KeyCode::Char('x') {
        state.show_message(Tone::Faint, "nothing runs that could be stopped");
    } else if matches!(key.code, KeyCode::Char('l')) && state.setup.playback.is_none() {
        state.show_message(Tone::Faint, "logs are read on the page of nodes");
    } else if key.code == KeyCode::Char('a') && state.page != Page::Clusters {
        state.show_message(Tone::Faint, "p plans a rebalance first");
    }
}

fn help(state: &mut State, key: KeyEvent, top: usize) -> Vec<Effect> {
    let last = state.last_top.get();
    let by = |steps: isize| top.saturating_add_signed(steps).min(last);
    match key.code {
        KeyCode::Char('j') | KeyCode::Down => state.overlay = Some(Overlay::Help(by(1))),
        KeyCode::Char('k') | KeyCode::Up => state.overlay = Some(Overlay::Help(by(-1))),
        KeyCode::PageDown => state.overlay = Some(Overlay::Help(by(10))),
        KeyCode::PageUp => state.overlay = Some(Overlay::Help(by(-10))),
        _ => {}
    }
    Vec::new()
}

fn confirming(state: &mut State, key: KeyEvent, mut confirm: Confirm) -> Vec<Effect> {
    match key.code {
        KeyCode::Esc => {
            state.show_message(Tone::Faint, "nothing was changed");
            return Vec::new();
        }
        KeyCode::Backspace => {
            confirm.typed.pop();
        }
        KeyCode::Up | KeyCode::PageUp => confirm.top = confirm.top.saturating_sub(1),
        KeyCode::Down | KeyCode::PageDown => confirm.top = (confirm.top + 1).min(state.last_top.get()),
        KeyCode::Char(letter)
            if !key.modifiers.contains(KeyModifiers::CONTROL)
                && !confirm.word.is_empty()
                && confirm.typed.chars().count() < 64 =>
        {
            confirm.typed.push(letter);
        }
        KeyCode::Enter if confirm.typed.trim() == confirm.word => return actions::make(state, confirm.act),
        KeyCode::Enter => {
            let text = format!("type {} to go ahead, Esc to leave it", confirm.word);
            state.show_message(Tone::Warning, text);
        }
        _ => {}
    }
    state.overlay = Some(Overlay::Confirm(confirm));
    Vec::new()
}

fn filter(state: &mut State, key: KeyEvent) {
    match key.code {
        KeyCode::Enter => state.filtering = false,
        KeyCode::Esc => {
            state.filtering = false;
            state.order.filter.clear();
        }
        KeyCode::Backspace => {
            state.order.filter.pop();
        }
        KeyCode::Char(letter) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            state.order.filter.push(letter);
        }
        KeyCode::Up => state.select(state.cursor.saturating_sub(1)),
        KeyCode::Down => state.select(state.cursor + 1),
        _ => {}
    }
    state.arrange();
}

/// Digits change the value under the cursor. Returns whether the key was handled.
fn form(state: &mut State, key: KeyEvent) -> bool {
    let plain = !key.modifiers.contains(KeyModifiers::CONTROL);
    let taken = match key.code {
        KeyCode::Char(letter) if plain => state.form.letter(letter),
        KeyCode::Backspace => state.form.unletter(),
        KeyCode::Enter if state.form.typing.is_empty() => {
            state.form.nodes = !state.form.nodes;
            state.top.set(0);
            true
        }
        KeyCode::Enter => {
            state.form.commit();
            true
        }
        KeyCode::Esc if !state.form.typing.is_empty() => {
            state.form.typing.clear();
            true
        }
        _ => false,
    };
    if taken {
        state.foresee();
    }
    taken
}

fn obey(state: &mut State, command: Command) -> Vec<Effect> {
    let page = isize::try_from(state.lines.get().max(2) - 1).unwrap_or(10);
    match command {
        Command::Quit => return vec![Effect::Quit],
        Command::Interrupt => return vec![Effect::Interrupt],
        Command::Suspend => return vec![Effect::Suspend],
        Command::Redraw => return vec![Effect::Redraw],
        Command::Help => state.overlay = Some(Overlay::Help(0)),
        Command::Back => back(state),
        Command::Up => go_by(state, -1),
        Command::Down => go_by(state, 1),
        Command::PageUp => scroll(state, -page),
        Command::PageDown => scroll(state, page),
        Command::Top => scroll(state, isize::MIN / 2),
        Command::Bottom => scroll(state, isize::MAX / 2),
        Command::Open => open(state),
        Command::Focus => {
            state.notices = !state.notices;
            state.back = 0;
        }
        Command::Filter => state.filtering = true,
        Command::Sort => {
            let by = state.order.by.next(&state.sortable.borrow());
            state.order.by = by;
            state.order.reverse = false;
            state.arrange();
            let text = format!("sorted by {}", state.order.by.as_str());
            state.show_message(Tone::Faint, text);
        }
        Command::Reverse => {
            state.order.reverse = !state.order.reverse;
            state.arrange();
        }
        Command::Freeze => return freeze(state),
        Command::Refresh => return vec![Effect::Refresh],
        Command::Wide => state.wide = !state.wide,
        Command::Quantity => state.chart.quantity = state.chart.quantity.next(),
        Command::Shorter => widen(state, false),
        Command::Longer => widen(state, true),
        Command::Chart => state.chart.whole = !state.chart.whole,
        Command::More => return change_rate(state, true),
        Command::Less => return change_rate(state, false),
        Command::Record => return vec![Effect::Record(state.recording.is_none())],
        Command::Copy => {
            let text = copy::text(state);
            let lines = text.lines().count();
            state.show_message(Tone::Faint, format!("copied {}", plural(lines as u64, "line")));
            return vec![Effect::Copy(text)];
        }
        Command::Plan => return plan(state),
        Command::Apply if state.page == Page::Upgrade => actions::upgrade(state),
        Command::Apply => actions::apply(state),
        Command::Stop => actions::stop(state),
        Command::Evacuate => actions::evacuate(state),
        Command::EndEvacuation => actions::stop_evacuation(state),
        Command::Upgrade => upgrade(state),
        Command::Settings => {
            // Every setting begins with the strategy that was found for the present requirement.
            state.forecast_again();
            state.form.switch();
            state.foresee();
        }
        Command::Logs => return logs(state),
        Command::Describe | Command::Events => text(state, command),
        Command::Topology => return topology(state),
        Command::History => {
            state.page = Page::History;
            state.cursor = 0;
            state.stale = true;
            state.refresh();
        }
        Command::Left => return sideways(state, false),
        Command::Right => return sideways(state, true),
        Command::Step => {
            if let Some(playback) = &mut state.setup.playback {
                playback.paused = true;
            }
            return vec![Effect::Play(Play::Step)];
        }
        Command::StepBack => {
            if let Some(playback) = &mut state.setup.playback {
                playback.paused = true;
            }
            return vec![Effect::Play(Play::StepBack)];
        }
        Command::NextMark => return vec![Effect::Play(Play::Mark(true))],
        Command::LastMark => return vec![Effect::Play(Play::Mark(false))],
        Command::Begin => return vec![Effect::Play(Play::Begin)],
        Command::End => return vec![Effect::Play(Play::End)],
    }
    Vec::new()
}

fn widen(state: &mut State, longer: bool) {
    let mut chart = state.chart;
    if let Some(board) = state.board() {
        chart.widen(board, longer);
    }
    state.chart = chart;
}

fn back(state: &mut State) {
    if state.notices {
        state.notices = false;
        return;
    }
    if state.page == Page::Table && state.chart.whole {
        state.chart.whole = false;
        return;
    }
    match state.page {
        Page::Detail | Page::Plan | Page::Topology | Page::History | Page::Upgrade => {
            state.page = Page::Table;
            state.stale = true;
        }
        Page::Table if !state.order.filter.is_empty() => {
            state.order.filter.clear();
            state.arrange();
        }
        Page::Table if state.setup.many => {
            state.page = Page::Clusters;
            state.open = None;
            state.frozen = None;
            state.stale = true;
        }
        Page::Clusters => state.order.filter.clear(),
        Page::Table => {}
    }
    state.refresh();
}

/// Moves by pages. On the plan page the list of nodes moves, because the keys of single steps choose a value.
pub(super) fn scroll(state: &mut State, steps: isize) {
    if state.page == Page::Plan && state.form.nodes && !state.notices {
        state.top.set(state.top.get().saturating_add_signed(steps));
    } else {
        go_by(state, steps);
    }
}

fn go_by(state: &mut State, steps: isize) {
    if state.notices && state.page == Page::Plan {
        state.forecast_again();
        let plan = state.forecast.as_ref().and_then(|forecast| forecast.as_ref().ok());
        let most = plan.map_or(0, |(plan, ..)| plan.findings.len()).saturating_sub(1);
        state.back = state.back.saturating_add_signed(steps).min(most);
        return;
    }
    if state.notices {
        // Up shows older notices.
        let most = state.here().map_or(0, |cluster| cluster.log.len()).saturating_sub(1);
        state.back = state.back.saturating_add_signed(steps.saturating_neg()).min(most);
        return;
    }
    match state.page {
        Page::Clusters => {
            let last = state.listed().len().saturating_sub(1);
            state.cluster = state.cluster.saturating_add_signed(steps).min(last);
        }
        // The detail page moves to the next node.
        Page::Table | Page::Detail => state.select(state.cursor.saturating_add_signed(steps)),
        Page::Plan => state.form.go(steps),
        Page::Topology => state.top.set(state.top.get().saturating_add_signed(steps)),
        Page::History => {
            let last = state.board().map_or(0, |board| board.operations.len()).saturating_sub(1);
            state.past = state.past.saturating_add_signed(steps).min(last);
        }
        Page::Upgrade => {
            if let Some(form) = &mut state.upgrade {
                form.top = form.top.saturating_add_signed(steps).min(form.lines.get().saturating_sub(1));
            }
        }
    }
}

fn open(state: &mut State) {
    match state.page {
        Page::Clusters => {
            let id = state.listed().get(state.cluster).map(|id| (*id).clone());
            if let Some(id) = id {
                state.open(&id);
            }
        }
        Page::Table if state.selected.is_some() => state.page = Page::Detail,
        Page::History => {
            if let Some(page) = texts::operation(state) {
                state.overlay = Some(Overlay::Text(page));
            }
        }
        Page::Upgrade => {
            if let Some(form) = &mut state.upgrade {
                form.editing = true;
            }
        }
        _ => {}
    }
    state.refresh();
}

fn freeze(state: &mut State) -> Vec<Effect> {
    if let Some(playback) = &mut state.setup.playback {
        playback.paused = !playback.paused;
        return vec![Effect::Play(Play::Pause(playback.paused))];
    }
    state.frozen = match state.frozen {
        None => Some(state.now),
        Some(_) => None,
    };
    state.stale = true;
    Vec::new()
}

/// The speeds of a recording.
const SPEEDS: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// The intervals of requests to EMQX, in seconds.
const PERIODS: [u64; 5] = [1, 2, 5, 10, 30];

fn change_rate(state: &mut State, faster: bool) -> Vec<Effect> {
    if let Some(playback) = &mut state.setup.playback {
        let speed = playback.speed;
        let next = if faster {
            SPEEDS.iter().find(|it| **it > speed)
        } else {
            SPEEDS.iter().rev().find(|it| **it < speed)
        };
        playback.speed = next.copied().unwrap_or(speed);
        return vec![Effect::Play(Play::Speed(playback.speed))];
    }
    let now = state.every.map_or_else(
        || if state.open.as_ref().is_some_and(|id| state.busy(id)) { 1 } else { 10 },
        |every| every.as_secs(),
    );
    let next = if faster {
        PERIODS.iter().rev().find(|it| **it < now)
    } else {
        PERIODS.iter().find(|it| **it > now)
    };
    let seconds = next.copied().unwrap_or(now);
    state.every = Some(Duration::from_secs(seconds));
    state.show_message(Tone::Faint, format!("EMQX is asked every {}", duration(seconds)));
    Vec::new()
}

fn sideways(state: &mut State, right: bool) -> Vec<Effect> {
    if state.page == Page::Plan && state.notices {
        return Vec::new();
    }
    if state.page == Page::Plan {
        state.form.change(right);
        state.foresee();
        return Vec::new();
    }
    if state.setup.playback.is_some() {
        return vec![Effect::Play(Play::Jump(if right { 10 } else { -10 }))];
    }
    Vec::new()
}

fn plan(state: &mut State) -> Vec<Effect> {
    let Some(id) = state.open.clone() else { return Vec::new() };
    state.page = Page::Plan;
    state.top.set(0);
    state.frozen = None;
    state.notices = false;
    state.stale = true;
    state.refresh();
    if state.allowed.is_none() { vec![Effect::Allowed(id)] } else { Vec::new() }
}
