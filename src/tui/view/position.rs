//! The position in a list.

use crate::model::human::count;

/// The position in a list of which not every row is visible: `11–20 of 1,003`; `None` where all are.
pub(super) fn position(first: usize, shown: usize, all: usize) -> Option<String> {
    let text = |number: usize| count(number as u64);
    (shown < all).then(|| match shown {
        0 => format!("0 of {}", text(all)),
        _ => format!("{}–{} of {}", text(first + 1), text(first + shown), text(all)),
    })
}
