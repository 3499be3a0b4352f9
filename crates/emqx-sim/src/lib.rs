//! A simulated cluster as a loopback server, so that the real clients talk to it: kubectl, the `kube` crate, and our own
//! EMQX client. It ships with the program (`kubectl emqx demo`) and drives the tests.
//!
//! ```text
//!                     ┌───────────────────────── the simulator ─────────────────────────┐
//!  kubectl, kube ────►│ apiserver ─► verbs ─► store ◄── kubelet (pods, endpoints)   │
//!                     │     │          ▲                    │ availability_check    │
//!                     │  forward       │ an ordinary client ▼                       │
//!                     │     ▼          └──── operator ──► emqx ─► broker            │
//!  EMQX clients ─────►│    rest ────────────────────────────┘      │ emqx_rebalance │
//!                     │            clock: virtual time for all of them              │
//!                     └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! What the simulated operator does is what the real one did (docs/evidence): the readiness trap, the false `Completed`,
//! the 400 without a reason, the delete that hangs. It is an ordinary Kubernetes client, so it drives a real API server
//! as well. All of it runs on one thread: nothing here may block.
//!
//! It does not depend on the program that uses it.

mod access;
mod apiserver;
pub mod broker;
mod budgets;
pub mod clock;
pub mod coordinator;
pub mod emqx;
mod endpoints;
pub mod faults;
mod forward;
mod instance;
mod kubelet;
mod lease;
pub mod limits;
mod managed;
pub mod memory;
pub mod operator;
#[cfg(test)]
mod outcome_tests;
mod patch;
mod pod_lifecycle;
pub mod population;
pub mod purge;
mod refusal;
mod resources;
pub mod rest;
mod rest_bodies;
mod rest_orders;
pub mod scenario;
mod schema;
mod selector;
mod serve;
mod sessions;
mod status;
mod store;
mod table;
mod verbs;
mod watching;
mod workloads;

pub use faults::Faults;
pub use scenario::Scenario;
pub use serve::{KUBECONFIG_BEGINS, Options, Running, SimError, serve, serve_privately};
