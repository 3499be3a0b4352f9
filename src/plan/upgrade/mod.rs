//! Upgrades: the forecast, the checks before, the change, the guarded sequence, and following one to its verdict. Pure:
//! everything here is a function of the world, of what was asked, and of the time.
//!
//! ```text
//!   sides     which pods are old, which are new, in which order the old ones go
//!   pace      how long it takes: the settings of each API version, and what was measured ([OP-13] to [OP-22])
//!   ask       what is wanted, and what follows from it for the object
//!   forecast  the plan: which pod goes when, and how long all of it takes
//!   preflight what speaks against it
//!   owners    who else owns what the apply writes, and what of ours an apply leaves behind
//!   undo      the way back, and where there is none
//!   change    the one apply, and the edit that the user's own manifest needs
//!   guard     the guarded sequence of v1beta4, from any point on, by looking at the world
//!   follow    the world as it changes in, steps and verdicts out   (run, words, judge, stall, evacuation)
//! ```

mod announcements;
pub mod change;
#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod checks_tests;
pub mod durations;
pub mod field_owners;
#[cfg(test)]
mod follow_tests;
pub mod forecast;
#[cfg(test)]
mod forecast_tests;
pub mod guard;
mod impact;
pub mod messages;
pub mod preflight;
mod progress;
pub mod revisions;
pub mod run;
pub mod stall;
pub mod target;
#[cfg(test)]
mod tests;
pub mod tracker;
pub mod undo;
mod verdict;
mod versions;
