//! EMQX's own rules of a rebalance, and the eviction loop that follows from them. The forecast, the progress,
//! the verdict and the simulated EMQX use only these.

pub mod eviction;
pub mod rules;
