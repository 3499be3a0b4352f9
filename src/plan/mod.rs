//! Decisions: what is known (and was asked, and the time) in, a plan or a judgement out. Pure: values in,
//! values out; no clock, no IO. May import `model`.
pub mod assessment;
pub mod drain;
pub mod evacuation;
pub mod finding;
pub mod limits;
pub mod membership;
mod retention;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod next_step;
pub mod snapshot;
pub mod purges;
mod quiet;
pub mod endpoint;
pub mod rebalance;
pub mod removal;
pub mod results;
pub mod scale;
pub mod status;
pub mod playback;
pub mod upgrade;
