//! Journeys of the built program: every verb and every exit code as a user meets them, against the pretend cluster.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes files, and waits with a limit")]

mod as_kubectl;
mod at_home;
mod bench;
mod between;
#[cfg(unix)]
mod completion;
mod demos;
mod drains;
mod evacuates;
mod expected;
mod field;
mod follows;
mod gateway;
mod guarded;
mod history;
mod hostile;
mod inputs;
mod limits;
mod manners;
mod plans;
mod ran;
mod reads;
mod rights;
mod scales;
mod standalone;
mod stops;
mod stuck;
mod terminals;
mod troubles;
mod upgraded;
mod upgrades;
mod waiting;
mod ways_in;
