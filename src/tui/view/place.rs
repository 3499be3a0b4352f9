//! The place of the cluster: the context and the API server, shortened in their middle.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::tui::state::State;

/// The columns of the context, and of the API server, below which other parts of the first line are shortened.
pub(super) const PLACE_LEAST: usize = 14;

/// The width of the place on a narrow screen, where the time of the end is omitted.
pub(super) const PLACE_NARROW: usize = 9;

/// The width below which only the version and the namespace are shortened.
pub(super) const PLACE_USUAL: usize = 24;

/// The place of the cluster: the context, and the API server.
pub(super) struct Place<'a> {
    pub(super) context: &'a str,
    server: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let (context, server) = (state.setup.place.as_str(), state.setup.server.as_str());
        // Without a context the address replaces it.
        let server = if server == context { "" } else { server };
        Self { context, server: server.strip_prefix("https://").unwrap_or(server) }
    }

    /// The width with at most `each` columns for each part.
    pub(super) fn width(&self, each: usize) -> usize {
        let part = |text: &str| if text.is_empty() { 0 } else { text.width().min(each) + 3 };
        part(self.context) + part(self.server)
    }

    /// ` @ CONTEXT (SERVER)` in at most `width` columns. Both ends of each part stay: they distinguish clusters.
    pub(super) fn text(&self, width: usize, ellipsis: &str) -> String {
        if self.server.is_empty() {
            return format!(" @ {}", middle(self.context, width.saturating_sub(3), ellipsis));
        }
        let both = width.saturating_sub(6);
        let server = self.server.width().min((both / 2).max(both.saturating_sub(self.context.width())));
        let context = middle(self.context, both - server, ellipsis);
        format!(" @ {context} ({})", middle(self.server, server, ellipsis))
    }
}

/// A text shortened in its middle: both ends stay.
fn middle(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(ellipsis.width());
    let end = keep.div_ceil(2);
    // Letters can take two columns.
    let fitting = |letters: &mut dyn Iterator<Item = char>, columns: usize| -> Vec<char> {
        let mut used = 0;
        letters
            .take_while(|letter| {
                used += letter.width().unwrap_or(0);
                used <= columns
            })
            .collect()
    };
    let begin: String = fitting(&mut text.chars(), keep - end).into_iter().collect();
    let end: String = fitting(&mut text.chars().rev(), end).into_iter().rev().collect();
    format!("{begin}{ellipsis}{end}")
}
