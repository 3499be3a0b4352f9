//! What several test targets and benchmarks share: a real Kubernetes control plane, and programs built from Go modules.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a failure here is a failed test, and a test that does not run reports it"
)]

pub mod control_plane;
pub mod go_modules;
