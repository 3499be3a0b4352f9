//! The live screen: the state of a cluster, drawn again only when it changed.
//!
//! ```text
//!  keys ─┐                                     ┌─► view ─► terminal
//!  facts ┼─► Msg ─► update ─► State ─► ViewModel ──┤
//!  ticks ┘            └─► Effect ─► run ───────┴─► the cluster (and from there, facts)
//! ```
//!
//! May import `model`, `plan`, `ports`, `error` and `output::{theme, names, table}`. Actions on a cluster
//! that the commands share (create, stop, record) are reached through the traits of [`context`], which `app`
//! fills.

mod actions;
pub mod click_targets;
pub mod closing_line;
mod cluster_state;
pub mod context;
mod copy;
pub mod curves;
mod effects;
pub mod endings;
mod feed;
pub mod form;
mod found_strategy;
pub mod history;
mod input;
pub mod keys;
pub mod log;
pub mod marks;
pub mod mouse;
pub mod msg;
mod pages;
pub mod past;
pub mod player;
mod results;
pub mod rows;
mod run;
pub mod setup;
pub mod sort;
pub mod state;
mod terminal;
mod texts;
pub mod update;
pub mod view;
pub mod view_model;

pub use context::{ClusterActions, Live, OpenRecording, Records, ViewContext};
pub use msg::{ActionResult, Done, Effect, Msg, Play};
pub use run::{Closed, open};
pub use setup::{Playback, ViewSetup};
pub use state::State;
pub use texts::LOG_LINES;
pub use update::update;
