//! `kubectl emqx`: rebalances, evacuations and upgrades of EMQX on Kubernetes.
//!
//! ```text
//! layer 5   app              reads the environment, connects the modules, dispatches to commands
//! layer 4   commands   tui   the subcommands, and the full-screen view
//! layer 3   cli   output     arguments in, text and JSON out; output also draws the inline progress
//! layer 3   k8s   emqx       the clients of the Kubernetes API and of EMQX's API
//! layer 3   replay           recordings
//! layer 3   state_folder     the user's own history of operations
//! layer 2   plan             forecasts, checks, tracking, verdicts, messages
//! layer 2   ports            the traits through which clusters are read and changed
//! layer 2   tls              which certificates are trusted
//! layer 1   model   error    plain data; they use no other module
//! layer 1   timing           every time limit, interval and grace period
//! ```
//!
//! A module uses modules of lower layers only; `tests/it/layers.rs` checks it. Terms: the glossary of `ARCHITECTURE.md`.

pub mod app;
pub mod cli;
pub mod commands;
pub mod emqx;
pub mod error;
pub mod k8s;
pub mod model;
pub mod output;
pub mod plan;
pub mod ports;
pub mod replay;
pub mod state_folder;
pub mod timing;
pub mod tls;
pub mod tui;
