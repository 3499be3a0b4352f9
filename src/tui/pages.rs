//! Opening the pages beside the table, and the keys of texts and of the image of an upgrade.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::Command;
use super::msg::Effect;
use super::setup::{Overlay, TextPage, UpgradeForm};
use super::state::{Page, State};
use super::texts;
use crate::output::theme::Tone;

/// Moves the lines of a text; any other key closes it.
pub(super) fn reading(state: &mut State, key: KeyEvent, mut page: TextPage) {
    let step = state.lines.get().max(2) - 1;
    let last = state.last_top.get();
    let by = |top: usize, steps: isize| top.saturating_add_signed(steps).min(last);
    // A text that is shown from its end scrolls in the opposite direction.
    let sign: isize = if page.from_end { -1 } else { 1 };
    page.top = match key.code {
        KeyCode::Char('j') | KeyCode::Down => by(page.top, sign),
        KeyCode::Char('k') | KeyCode::Up => by(page.top, -sign),
        KeyCode::PageDown | KeyCode::Char(' ') => by(page.top, sign * step.cast_signed()),
        KeyCode::PageUp => by(page.top, -sign * step.cast_signed()),
        KeyCode::Char('g') | KeyCode::Home => {
            if page.from_end {
                last
            } else {
                0
            }
        }
        KeyCode::Char('G') | KeyCode::End => {
            if page.from_end {
                0
            } else {
                last
            }
        }
        _ => return,
    };
    state.overlay = Some(Overlay::Text(page));
}

/// The image of an upgrade is typed; afterwards keys move its plan. `None` for a key that has its usual meaning.
pub(super) fn image(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let id = state.open.clone()?;
    let form = state.upgrade.as_mut()?;
    if !form.editing {
        return None;
    }
    match key.code {
        KeyCode::Char(letter) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            if letter.is_ascii_graphic() && form.image.len() < 512 {
                form.image.push(letter);
            }
        }
        KeyCode::Char('u') => form.image.clear(),
        KeyCode::Backspace => {
            form.image.pop();
        }
        KeyCode::Enter if !form.image.is_empty() => {
            form.editing = false;
            form.planning = true;
            form.plan = None;
            form.top = 0;
            return Some(vec![Effect::PlanUpgrade(id, form.image.clone())]);
        }
        _ => return None,
    }
    Some(Vec::new())
}

/// The page of an upgrade, with the image that the object requests, else the one that runs now, to be edited.
pub(super) fn upgrade(state: &mut State) {
    let Some(board) = state.board() else { return };
    let namespace = &board.status.instance.namespace;
    let pods = board.rows.iter().filter_map(|row| row.pod.as_ref());
    let runs = || {
        pods.rev().find_map(|pod| {
            let key = (namespace.clone(), pod.as_str().to_owned());
            state.world.kubernetes.pods.get(&key)?.value.image.clone()
        })
    };
    let requested = state.world.instance(&board.status.instance).and_then(|it| it.image.clone());
    let image = requested.or_else(runs).unwrap_or_default();
    state.upgrade = Some(UpgradeForm { image, editing: true, ..UpgradeForm::default() });
    state.page = Page::Upgrade;
    state.frozen = None;
    state.notices = false;
}

pub(super) fn topology(state: &mut State) -> Vec<Effect> {
    let Some(id) = state.open.clone() else { return Vec::new() };
    state.page = Page::Topology;
    state.top.set(0);
    state.stale = true;
    state.refresh();
    if state.setup.playback.is_none() { vec![Effect::Replicants(id)] } else { Vec::new() }
}

pub(super) fn logs(state: &mut State) -> Vec<Effect> {
    let row = state.board().and_then(|board| board.row(state.selected.as_deref()?));
    let pod = row.and_then(|row| row.pod.clone());
    let (Some(id), Some(pod)) = (state.open.clone(), pod) else {
        state.show_message(Tone::Warning, "the selected row has no pod");
        return Vec::new();
    };
    state.show_message(Tone::Faint, format!("reading the log of pod {pod} …"));
    vec![Effect::Logs(id, pod)]
}

/// Why a rebalance should be stopped, the description of the selected pod, or its events.
pub(super) fn text(state: &mut State, command: Command) {
    let Some(board) = state.board() else { return };
    if command == Command::Describe
        && state.page == Page::Table
        && let Some(page) = texts::why(state, board)
    {
        state.overlay = Some(Overlay::Text(page));
        return;
    }
    let row = state.selected.as_deref().and_then(|key| board.row(key));
    let page = row.and_then(|row| match command {
        Command::Events => texts::events(state, board, row),
        _ => texts::describe(state, board, row),
    });
    match page {
        Some(page) => state.overlay = Some(Overlay::Text(page)),
        None => state.show_message(Tone::Warning, "the selected row has no pod"),
    }
}
