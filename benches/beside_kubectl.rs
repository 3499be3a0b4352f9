//! The released program beside kubectl, each doing the nearest thing on the same real API server, in turn; and what it costs
//! to follow. `scripts/bench` builds the program and runs this; it prints Markdown tables and asserts nothing.
//!
//! ```text
//! kubectl-emqx ──► /usr/bin/time ──┐
//!                                  ├──► kube-apiserver ──► kwok ──► simulated EMQX
//! kubectl      ──► /usr/bin/time ──┘
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::large_futures,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a program of its own, which shares the support of the tests and may fail loudly"
)]

#[path = "beside/measure.rs"]
mod measure;
#[path = "beside/reads.rs"]
mod reads;
#[path = "beside/stream.rs"]
mod stream;

#[path = "../tests/real/cluster.rs"]
mod cluster;

use test_support::control_plane::{ControlPlane, Line, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` would run this with a test harness's arguments.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let program = measure::released();
    measure::alone(&program);
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    plane.install(Line::V22).await;
    let few = cluster::RealCluster::start(&plane, reads::FEW).await;
    reads::beside_kubectl(&plane, &program, &few).await;
    stream::latency(&plane, &program, &few).await;
    drop(few);
    reads::requests(&plane, &program).await;
    stream::following(&program).await;
}
