//! The built program with a real Kubernetes control plane: real API server, controllers, pods, endpoints and
//! CRDs of every operator line; only EMQX and its operator are simulated, and the operator is an ordinary
//! client.
//!
//! ```text
//! kubectl-emqx ─► kube-apiserver ─► kwok ─► pod's port ─► simulated EMQX (loopback)
//!                      ▲  ▲                                     ▲
//!   real controllers ──┘  └── simulated operator ─────────────────┘
//! ```
//!
//! Four control planes, each with its tests in sequence, because starting one and changing its CRDs is most of the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::large_futures,
    unreachable_pub,
    missing_docs,
    reason = "a failure here is a failed test"
)]

#[path = "../journeys/gateway.rs"]
#[expect(dead_code, reason = "a door with TLS is what a real API server has")]
mod gateway;

mod client;
mod cluster;
mod hanging_delete;
mod least_privilege;
mod line22;
mod line23;
mod line30;
mod partial_permissions;
mod plugin_conventions;
mod pod_lifecycle;
mod program;
mod refused_access;
mod removals;
mod selftest;
mod upgrade_changes;
mod upgrade_inputs;
mod upgrades;

use std::time::Instant;

use test_support::control_plane::{ControlPlane, Line, Options};

/// Prints the name of a part and its duration, in `cargo test -- --nocapture`.
async fn part<T>(name: &str, it: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let value = it.await;
    println!("{:>6.1} s  {name}", began.elapsed().as_secs_f64());
    value
}

#[tokio::test]
async fn operator_2_2() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    part("no way in", refused_access::closed(&plane)).await;
    part("no operator", refused_access::without_crds(&plane)).await;
    part("EMQX of a Helm chart", refused_access::emqx_without_an_operator(&plane)).await;
    part("the CRDs of 2.2", plane.install(Line::V22)).await;
    let (emqx, enterprise) = part("two clusters", line22::start(&plane)).await;
    part("reads", line22::reads(&plane, &emqx, &enterprise)).await;
    // Most of the test waits in real time; so the wait for the stuck deletion runs beside the rest.
    let hangs = async {
        let emqx = part("a third cluster", hanging_delete::start(&plane)).await;
        part("a delete that hangs", hanging_delete::run(&plane, &emqx)).await;
    };
    let others = async {
        part("one after the other", line22::one_at_a_time(&plane, &emqx)).await;
        part("to the end, and deleted", line22::to_the_end(&plane, &emqx, &enterprise)).await;
        part("afterwards", line22::afterwards(&plane, &emqx)).await;
    };
    futures::join!(hangs, others);
    part("restarts", line22::restarts(&plane, &emqx, &enterprise)).await;
    part("prune", line22::prune(&plane)).await;
}

#[tokio::test]
async fn operators_2_3_and_3_0() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    part("the CRDs of 2.3", plane.install(Line::V23)).await;
    let emqx = part("a cluster of v2", line23::start(&plane)).await;
    part("reads of v2", line23::reads(&plane, &emqx)).await;
    part("ways in", plugin_conventions::ways_in(&plane, &emqx)).await;
    futures::join!(
        part("every form", plugin_conventions::outputs(&plane, &emqx)),
        part("login commands", plugin_conventions::login_commands(&plane)),
        part("proxies", plugin_conventions::proxies(&plane)),
        part("names while a user types", plugin_conventions::completes(&plane, &emqx)),
    );
    part("what would be stored", plugin_conventions::changes(&plane, &emqx)).await;
    part("stop", line23::stop(&plane, &emqx)).await;
    part("v2 to the end", line23::to_the_end(&plane, &emqx)).await;
    drop(emqx);
    part("the CRDs of 3.0", plane.install(Line::V30)).await;
    let emqx = part("a cluster of v3beta1", line30::start(&plane)).await;
    part("EMQX itself", line30::through_emqx(&plane, &emqx)).await;
    part("drained, v3beta1", removals::moved(&plane, &emqx)).await;
}

/// Whole upgrades: most of the time is waiting, so the upgrades of both kinds run beside each other.
#[tokio::test]
async fn upgrades_of_2_2() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    part("the CRDs of 2.2, to upgrade", plane.install(Line::V22)).await;
    let (emqx, enterprise) = part("two clusters to upgrade", upgrades::start(&plane)).await;
    part("upgrades, generated", upgrade_inputs::generated(&plane, &emqx, &enterprise)).await;
    part("upgrades, kept by a tool", upgrade_inputs::kept_by_a_tool(&plane, &emqx)).await;
    part("upgrades without the right", upgrade_inputs::without_the_right(&plane, &emqx)).await;
    part("the operator's process", upgrade_inputs::the_operators_process(&plane, &emqx)).await;
    let by_the_operator = part("by the operator", upgrades::by_the_operator(&plane, &emqx));
    futures::join!(by_the_operator, part("guarded", upgrades::guarded(&plane, &enterprise)));
}

/// A drain moves every pod of a node to another one.
#[tokio::test]
async fn removals_of_2_2() {
    let nodes = vec![test_support::control_plane::NODE.to_owned(), "node-1".to_owned()];
    let Some(plane) = ControlPlane::start_or_skip(Options { nodes, ..least_privilege::options() }).await
    else {
        return;
    };
    part("the CRDs of 2.2, to remove pods", plane.install(Line::V22)).await;
    let (emqx, ()) = futures::join!(
        part("a cluster with replicants", removals::start(&plane)),
        part("users who may remove pods", least_privilege::prepare_removals(&plane)),
    );
    part("volumes", removals::volumes(&emqx)).await;
    part("every right of a drain and a scale", least_privilege::removals(&plane)).await;
    part("checked", least_privilege::checked(&plane)).await;
    part("scaled down", removals::scaled_down(&plane, &emqx)).await;
    part("uids", removals::uids(&plane, &emqx)).await;
    part("all pods", emqx.alive(least_privilege::everywhere(&plane))).await;
    part("drained", removals::drained(&plane, &emqx)).await;
    part("by the audit log", least_privilege::removals_audited(&plane)).await;
}

#[tokio::test]
async fn each_command_with_its_least_permissions() {
    let Some(plane) = ControlPlane::start_or_skip(least_privilege::options()).await else { return };
    let (emqx, enterprise) = part("clusters for many users", least_privilege::start(&plane)).await;
    part("every right of every verb", least_privilege::each(&plane, &emqx, &enterprise)).await;
}
