//! The released program beside kubectl, each doing the nearest thing on the same real API server, in turn; and what it costs
//! to follow. `scripts/bench` builds the program and runs this; it prints Markdown tables and asserts nothing. The parts `alone`,
//! `reads`, `link`, `latency`, `requests`, `changing` and `following` can be named: `cargo bench --bench beside_kubectl -- link`.
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

#[path = "beside/link.rs"]
mod link;
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
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let runs = |part: &str| chosen.is_empty() || chosen.iter().any(|it| it == part);
    if runs("alone") {
        measure::alone(&program);
    }
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    plane.install(Line::V22).await;
    let few = cluster::RealCluster::start(&plane, reads::FEW).await;
    if runs("reads") {
        reads::beside_kubectl(&plane, &program, &few).await;
    }
    if runs("link") {
        link::round_trips(&plane, &program, &few).await;
    }
    if runs("latency") {
        stream::latency(&plane, &program, &few).await;
    }
    drop(few);
    if runs("requests") {
        reads::requests(&plane, &program).await;
    }
    if runs("changing") {
        stream::changing(&plane, &program).await;
    }
    if runs("following") {
        stream::following(&program).await;
    }
}
