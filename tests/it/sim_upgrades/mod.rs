//! The simulated operator's upgrades, on a standing clock: the run is recorded, and read by the same follower
//! that reads the recordings of the real operators.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod apply;
mod one_answer;
mod recorded_cluster;
mod stuck;
mod v1beta4;
mod v2;
mod v2beta1;
mod v3beta1;
