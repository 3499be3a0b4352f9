//! Seeded runs of the real client code on a simulated cluster, on virtual time. An oracle that sees every
//! client and every node compares the product's output with what happened. It is written from the rules of
//! EMQX and Kubernetes, and shares no judging code with the product.
//!
//! ```text
//! seed ─► case (cluster, operation, faults) ─► run (virtual time) ─► record ─► oracle ─► findings ─► shrink
//! ```
//!
//! `cargo test` runs a budget of 6 narrow seeds, 12 wide ones and 3 with upgrades, and every kept case.

pub mod case;
mod faults;
pub mod kept;
mod operations;
pub mod oracle;
mod port;
mod product;
pub mod put_back;
mod random;
pub mod removals;
pub mod run;
mod seeds;
pub mod shrink;
pub mod truth;

pub use case::{Breadth, Case};
pub use oracle::{Finding, judge};
pub use port::Write;
pub use product::Line;
pub use run::{Record, run};

/// Runs a case and judges it.
pub fn findings(case: &Case) -> Result<Vec<Finding>, String> {
    run(case).map(|record| judge(&record))
}
