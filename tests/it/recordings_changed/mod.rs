//! The recordings of the real operator, cut, thinned and changed: what is missing is not made up, and other stories of the same
//! operator are told as they were.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests read and write files"
)]

mod changed_recording;
mod every_line;
mod late_and_deaf;
mod laws;
mod one_answer;
mod order;
mod real_emqx;
mod stories;
mod upgrades;
