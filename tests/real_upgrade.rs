//! Whole upgrades by the built program on a real Kubernetes control plane, as in `real.rs`: most of it is time that passes
//! really, so both operators' ways run beside each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a failure here is a failed test; the harness offers more"
)]

#[path = "real/asked.rs"]
mod asked;
#[path = "real/cluster.rs"]
mod cluster;
#[path = "support/control_plane.rs"]
mod control_plane;
#[path = "real/lives.rs"]
mod lives;
#[path = "real/program.rs"]
mod program;
#[path = "real/rights.rs"]
mod rights;
#[path = "real/upgrades.rs"]
mod upgrades;

use control_plane::{ControlPlane, Line, Options};

#[tokio::test]
async fn upgrades_of_2_2() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    plane.install(Line::V22).await;
    let (emqx, enterprise) = upgrades::start(&plane).await;
    asked::generated(&plane, &emqx, &enterprise).await;
    asked::kept_by_a_tool(&plane, &emqx).await;
    asked::without_the_right(&plane, &emqx).await;
    futures::join!(upgrades::by_the_operator(&plane, &emqx), upgrades::guarded(&plane, &enterprise));
}
