//! Upgrades: the forecast, the checks before, the change, the guarded sequence, and the tracking up to the verdict. Pure:
//! everything here is a function of the world, of the request, and of the time.
//!
//! ```text
//!   revisions    which pods are old, which are new, in which order the old ones are removed
//!   target       the requested image, and what follows from it for the object
//!   forecast     the plan: which pod is removed when, and how long all of it takes
//!   preflight    the checks that refuse it   (check, impact, versions)
//!   field_owners who else owns what the apply writes, and what an apply of this program leaves behind
//!   undo         the undo, and where there is none
//!   change       the one apply, and the edit that the user's own manifest needs
//!   guard        the guarded sequence of v1beta4, from any point on, from the world alone
//!   tracker      the world as it changes in, steps and verdicts out
//!                (run, sources, messages, announcements, verdict, stall, progress)
//! ```

mod announcements;
pub mod change;
pub mod check;

pub mod field_owners;
pub mod forecast;
pub mod guard;
mod impact;
pub mod messages;
pub mod preflight;
mod progress;
pub mod revisions;
pub mod run;
mod sources;
pub mod stall;
pub mod target;
#[cfg(test)]
mod tests;
pub mod tracker;
pub mod undo;
mod verdict;
mod versions;
