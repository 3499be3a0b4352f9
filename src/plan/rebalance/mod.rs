//! Rebalances: forecast and checks before, tracking and verdict after.
pub mod calibration;
pub mod difference;
pub mod forecast;
pub mod goal;
pub mod manifest;
pub mod messages;
pub mod ownership;
pub mod preflight;
pub mod progress;
pub mod record;
pub mod requirement;
pub mod saved;
pub mod spread;
pub mod tracker;
pub mod verdict;
pub mod waiting;
pub mod warnings;
