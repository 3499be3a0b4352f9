//! The recordings of the real operator, truncated, thinned and changed: missing data is not invented, and
//! other sequences of the same operator are reported as they happened.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests read and write files"
)]

mod changed_recording;
mod composed;
mod every_line;
mod late_and_unanswered;
mod laws;
mod one_answer;
mod order;
mod real_emqx;
mod upgrades;
