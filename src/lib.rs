//! `kubectl emqx`: the honest picture of an EMQX cluster on Kubernetes.
//!
//! ```text
//! floor 5   app              knows every room, does almost nothing (main.rs calls it)
//! floor 4   commands   tui   the two faces: verbs, and the live screen
//! floor 3   cli   output     words in, words out; output also draws the small inline progress
//! floor 3   k8s   emqx   sim   replay   the outside: two clients, a pretend server, a recording
//! floor 2   plan   seam      decisions; and the traits through which the outside is known and changed
//! floor 2   files  tls       files read with limits and created private; which certificates are trusted
//! floor 1   model   error    nouns; import nothing of ours
//! ```
//!
//! A room imports from lower floors only; `tests/arrows.rs` checks it.

pub mod app;
pub mod cli;
pub mod commands;
pub mod emqx;
pub mod error;
pub mod files;
pub mod k8s;
pub mod model;
pub mod output;
pub mod plan;
pub mod replay;
pub mod seam;
pub mod sim;
pub mod tls;
pub mod tui;
