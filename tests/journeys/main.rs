//! Journeys of the built program: every verb and every exit code as a user meets them, against the simulated cluster.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes files, and waits with a limit")]

mod as_kubectl;
mod between;
mod checks;
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
mod harness;
mod history;
mod hostile;
mod inputs;
mod limits;
mod manners;
mod partial_permissions;
mod plans;
mod plugin_conventions;
mod ran;
mod reads;
mod recorded;
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
