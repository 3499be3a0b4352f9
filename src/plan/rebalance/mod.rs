//! Rebalances: forecast and checks before, tracking and verdict after.
pub mod tracker;
pub mod forecast;
pub mod goal;
pub mod verdict;
pub mod manifest;
pub mod ownership;
pub mod preflight;
pub mod progress;
pub mod record;
pub mod spread;
pub mod waiting;
pub mod warnings;
pub mod messages;
