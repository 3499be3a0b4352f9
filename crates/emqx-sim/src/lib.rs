//! A simulated cluster as a loopback server, used by real clients: kubectl, the `kube` crate, and the EMQX
//! client of the program. It ships with the program (`kubectl emqx demo`) and drives the tests.
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
//! The simulated operator behaves as the real one did (docs/evidence): the readiness trap, the false
//! `Completed`, the 400 without a reason, the deletion that gets stuck. It is an ordinary Kubernetes client,
//! so it also works with a real API server. All of it runs on one thread: no code here may block.
//!
//! It does not depend on the program that uses it.

mod access;
mod apiserver;
pub mod broker;
mod budgets;
pub mod clock;
mod conditions;
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
mod names;
pub mod operations;
pub mod operator;
pub mod orders;
mod patch;
mod pod_lifecycle;
pub mod population;
pub mod purge;
mod refusal;
mod resources;
pub mod rest;
mod rest_bodies;
mod rest_limits;
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
