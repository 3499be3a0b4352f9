//! The shown page as text for the clipboard.

use super::state::{Page, State};
use super::texts::own_place;
use crate::model::human::{count_or_unknown, share};
use crate::output::theme::Theme;

/// The page as text.
pub(super) fn text(state: &State) -> String {
    let theme = state.theme();
    match state.page {
        Page::Clusters => clusters(state, theme),
        Page::Plan => match state.board() {
            Some(board) => {
                let command = state.form.command("apply", &board.status.instance.name);
                theme.clean(&(command + &own_place(state, board))) + "\n"
            }
            None => String::new(),
        },
        Page::Table | Page::Detail | Page::Topology => table(state, theme),
        Page::History => history(state, theme),
        Page::Upgrade => upgrade(state, theme),
    }
}

fn clusters(state: &State, theme: Theme) -> String {
    let mut text = String::new();
    for id in state.listed() {
        let Some(board) = state.clusters.get(id).and_then(|cluster| cluster.board.as_ref()) else { continue };
        let status = &board.status;
        let line = format!("{id}: {}, {}", status.verdict.words(), status.message);
        text.push_str(&theme.clean(&line));
        text.push('\n');
    }
    text
}

fn table(state: &State, theme: Theme) -> String {
    let Some(board) = state.board() else { return String::new() };
    let status = &board.status;
    let mut text = theme.clean(&format!(
        "{}: {} {}, {} connections, {} sessions",
        status.instance,
        status.verdict.words(),
        status.message,
        count_or_unknown(status.totals.connections),
        count_or_unknown(status.totals.sessions)
    ));
    text.push('\n');
    let one = (state.page == Page::Detail).then_some(state.selected.as_deref()).flatten();
    for row in board.shown().filter(|row| one.is_none_or(|key| row.key == key)) {
        let cells = [
            row.key.clone(),
            if row.state.is_empty() { "-".to_owned() } else { row.state.clone() },
            count_or_unknown(row.connections),
            count_or_unknown(row.sessions),
            row.share.map_or_else(|| "?".to_owned(), share),
        ];
        text.push_str(&theme.clean(&cells.join("  ")));
        text.push('\n');
    }
    text
}

fn history(state: &State, theme: Theme) -> String {
    let operations = state.board().map(|board| board.operations.as_slice()).unwrap_or_default();
    let line = |it: &super::past::PastOperation| {
        theme.clean(&format!("{}  {}: {}", it.name, it.verdict.words(), it.message)) + "\n"
    };
    operations.iter().map(line).collect()
}

/// The command line of the planned upgrade.
fn upgrade(state: &State, theme: Theme) -> String {
    let (Some(form), Some(board)) = (&state.upgrade, state.board()) else { return String::new() };
    let (name, place) = (&board.status.instance.name, own_place(state, board));
    theme.clean(&format!("kubectl emqx upgrade apply {name} --image {}{place}", form.image)) + "\n"
}
