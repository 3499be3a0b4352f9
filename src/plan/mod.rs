//! Decisions: what is known (and was asked, and the time) in, a plan or a judgement out. Pure: values in,
//! values out; no clock, no IO. May import `model`.
pub mod eviction;
pub mod follow;
pub mod judge;
pub mod picture;
pub mod progress;
pub mod rebalance;
pub mod record;
pub mod results;
pub mod rules;
pub mod words;
