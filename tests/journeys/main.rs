//! Journeys of the built program: every verb and every exit code as a user meets them, against the pretend cluster.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes files, and waits with a limit")]

mod bench;
mod reads;
mod plans;
mod follows;
mod stops;
mod rights;
mod troubles;
mod inputs;
mod demos;
mod terminals;
