//! Parts that several pages share.

use super::painter::Painter;
use super::{foot, head};
use crate::model::human::count;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// The position in a list of which not every row is visible: `11–20 of 1,003`; `None` where all are.
pub(super) fn position(first: usize, shown: usize, all: usize) -> Option<String> {
    let text = |number: usize| count(number as u64);
    (shown < all).then(|| match shown {
        0 => format!("0 of {}", text(all)),
        _ => format!("{}–{} of {}", text(first + 1), text(first + shown), text(all)),
    })
}

/// The board of the selected cluster; before EMQX's first answer the page shows what it waits for.
pub(super) fn board_or_waiting<'s>(
    state: &'s State,
    pen: &mut Painter<'_>,
    narrow: bool,
) -> Option<&'s ViewModel> {
    let board = state.board();
    if board.is_none() {
        head::waiting(state, pen);
        foot::draw(state, None, pen, narrow);
    }
    board
}
