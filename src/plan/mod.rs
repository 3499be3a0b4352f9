//! Decisions: what is known (and was asked, and the time) in, a plan or a judgement out. Pure: values in,
//! values out; no clock, no IO. May import `model`.
pub mod assessment;
pub mod drain;
pub mod evacuation;
pub mod finding;
pub mod limits;
pub mod membership;
mod memory;
#[cfg(test)]
pub(crate) mod mk;
pub mod next;
pub mod picture;
pub mod purges;
mod quiet;
pub mod reach;
pub mod rebalance;
pub mod removal;
pub mod results;
pub mod scale;
pub mod status;
pub mod tape;
pub mod upgrade;
