//! Upgrades: the forecast, the checks before, the change, the guarded sequence, and following one to its verdict. Pure:
//! everything here is a function of the world, of what was asked, and of the time.
//!
//! ```text
//!   sides     which pods are old, which are new, in which order the old ones go
//!   pace      how long it takes: the settings of each API version, and what was measured (verified.md 13 to 22)
//!   follow    the world as it changes in, steps and verdicts out   (run, words, judge, stall, evacuation)
//! ```

mod ending;
pub mod evacuation;
pub mod follow;
mod left;
pub mod pace;
pub mod run;
pub mod sides;
pub mod stall;
mod tell;
pub mod words;
