//! A page before EMQX's first answer.

use super::foot;
use super::painter::Painter;
use crate::output::theme::Tone;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// Before anything is known.
pub(super) fn waiting(state: &State, pen: &mut Painter<'_>) {
    let text = match (&state.setup.playback, state.ready) {
        (Some(_), _) if state.route.is_some() => "the beginning of the recording",
        (Some(_), _) => "reading the recording",
        (None, false) => "asking the cluster",
        (None, true) => "no EMQX in sight",
    };
    let width = pen.width();
    pen.put(1, 0, width, text, Tone::Busy);
}

/// The board of the selected cluster; before EMQX's first answer the page shows what it waits for.
pub(super) fn board_or_waiting<'s>(
    state: &'s State,
    pen: &mut Painter<'_>,
    narrow: bool,
) -> Option<&'s ViewModel> {
    let board = state.board();
    if board.is_none() {
        waiting(state, pen);
        foot::draw(state, None, pen, narrow);
    }
    board
}
