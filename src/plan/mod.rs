//! Decisions: what is known (and was asked, and the time) in, a plan or a judgement out. Pure: values in,
//! values out; no clock, no IO. May import `model`.
pub mod assessment;
pub mod drain;
pub mod evacuation;
pub mod follow;
pub mod goal;
pub mod judge;
pub mod limits;
pub mod manifest;
pub mod membership;
mod memory;
#[cfg(test)]
pub(crate) mod mk;
pub mod next;
pub mod ownership;
pub mod picture;
pub mod preflight;
pub mod progress;
pub mod purges;
mod quiet;
pub mod reach;
pub mod rebalance;
pub mod record;
pub mod removal;
pub mod results;
pub mod scale;
pub mod spread;
pub mod status;
pub mod tape;
pub mod upgrade;
pub mod waiting;
pub mod words;
