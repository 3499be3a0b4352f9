//! The line that stays in the scrollback after the view is closed.

use super::state::State;
use super::view::headline::doing;
use crate::model::human::count_or_unknown;
use crate::plan::rebalance::messages;

/// The verdict, or what is still running and the command to follow it; `None` before anything is known, and where several
/// clusters were shown.
pub(super) fn line(state: &State) -> Option<String> {
    let board = state.board()?;
    let id = state.open.as_ref()?;
    let theme = state.theme();
    let (word, _, headline, _) = doing(board, theme.symbols().arrow);
    let percent = board.status.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
    let clients = count_or_unknown(board.status.totals.connections);
    let text =
        format!("{}/{}: {word}{percent} {headline}, {clients} clients connected", id.namespace, id.name);
    let follow = state.going().map(|name| format!("; {}", messages::left(&state.world, id, &name).1));
    Some(theme.clean(&text) + &follow.unwrap_or_default())
}
