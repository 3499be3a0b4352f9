//! Decisions: what is known (and was asked, and the time) in, a plan or a judgement out. Pure: values in,
//! values out; no clock, no IO. May import `model`.
//!
//! No modules use each other in a circle: each uses only modules of the lines above its own.
//!
//! ```text
//!   alarm durations emqx_defects finding happened membership operator percent      ground
//!   health limits snapshot stored_removal tracked                                  one cluster at one moment, the runs of trackers
//!   answers discrepancies eviction_alarm purges                                    what its answers and its nodes show
//!   cluster_checks                                                                 checks that all operations share
//!   evacuation rebalance                                                           forecast, checks, tracking, verdict
//!   removal upgrade                                                                the same for removals of pods, and for upgrades
//!   drain scale endpoint next_step tracker                                         which pods to ask, what happens next, all trackers
//!   assessment check playback                                                      one verdict about a cluster, the doctor, recordings
//!   history report results                                                         what is recorded and returned
//!   status                                                                         one cluster at one moment
//! ```
pub mod alarm;
pub mod answers;
pub mod assessment;
pub mod check;
pub(crate) mod cluster_checks;
pub mod discrepancies;
pub mod drain;
pub mod durations;
mod emqx_defects;
pub mod endpoint;
pub mod evacuation;
pub mod eviction_alarm;
pub mod finding;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod happened;
pub mod health;
pub mod history;
pub mod limits;
pub mod membership;
pub mod next_step;
pub mod operator;
pub(crate) mod percent;
pub mod playback;
pub mod purges;
pub mod rebalance;
pub mod removal;
pub mod report;
pub mod results;
pub mod scale;
pub mod snapshot;
pub mod status;
pub mod stored_removal;
pub mod tracked;
pub mod tracker;
pub mod upgrade;
