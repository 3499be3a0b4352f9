//! The page of an upgrade: the user types the image, reads its plan, and applies it after a prompt.
//!
//! ```text
//!  UPGRADE  image: emqx/emqx-enterprise:5.8.7_              Enter plans it
//!  emqx/emqx-enterprise 5.8.6 → 5.8.7, blue-green …
//!  a apply (asks)  Enter edit the image  Esc back
//! ```

use unicode_width::UnicodeWidthStr;

use super::painter::{Painter, wrap};
use super::{foot, head};
use crate::output::text::Layout;
use crate::output::text::upgrade::lines;
use crate::output::theme::Tone;
use crate::tui::state::State;

/// Draws the page.
pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let (Some(board), Some(form)) = (state.board(), &state.upgrade) else {
        super::waiting::waiting(state, pen);
        return;
    };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let x = pen.put(1, 1, width, "UPGRADE", Tone::Strong) + 2;
    let x = pen.put(x, 1, width, "image: ", Tone::Plain);
    let cursor = if form.editing { "_" } else { "" };
    let x = pen.put(x, 1, width.saturating_sub(x), &format!("{}{cursor}", form.image), Tone::Strong);
    let y = 2 + usize::from(!narrow);
    let room = height.saturating_sub(y + foot);
    state.lines.set(room);
    let text = match (&form.plan, form.planning, form.editing) {
        (_, true, _) => "reading the plan …",
        (None, false, true) => {
            "Type the image to run, then Enter: it is planned and checked, nothing is changed."
        }
        (None, false, false) => "",
        (Some(Err(problem)), ..) => {
            let mut place = pen.part(1, y, width - 2, room);
            let mut line = 0;
            for part in problem.to_string().lines() {
                line = place.wrapped(0, line, room.saturating_sub(line), part, Tone::Bad);
            }
            if let Some(hint) = &problem.hint {
                place.wrapped(0, line, room.saturating_sub(line), &format!("hint: {hint}"), Tone::Plain);
            }
            return;
        }
        (Some(Ok(plan)), ..) => {
            let now = Some((state.now, &state.setup.zone));
            let layout = Layout { width: Some(width - 2), ..Layout::default() };
            let lines: Vec<(Tone, String)> = lines(plan, now, layout)
                .into_iter()
                .flat_map(|(tone, line)| broken(&line, width - 2).into_iter().map(move |part| (tone, part)))
                .collect();
            form.lines.set(lines.len());
            let top = form.top.min(lines.len().saturating_sub(room));
            if let Some(position) = super::position::position(top, room.min(lines.len()), lines.len()) {
                let room = width.saturating_sub(x + 3);
                let keys = format!("{position}, j k scroll");
                let text = if keys.width() <= room { keys } else { position };
                pen.right(x + 2, 1, room, &text, Tone::Faint);
            }
            let mut place = pen.part(1, y, width - 2, room);
            for (line, (tone, text)) in lines.iter().skip(top).take(room).enumerate() {
                place.put(0, line, width - 2, text, *tone);
            }
            return;
        }
    };
    pen.part(1, y, width - 2, room).wrapped(0, 0, 3, text, Tone::Faint);
}

fn broken(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width { vec![text.to_owned()] } else { wrap(text, width) }
}
