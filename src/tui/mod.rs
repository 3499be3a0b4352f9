//! The live screen: one picture of a cluster, drawn anew only when it is another one.
//!
//! ```text
//!  keys ─┐                                     ┌─► view ─► terminal
//!  facts ┼─► Msg ─► update ─► State ─► ViewModel ──┤
//!  ticks ┘            └─► Effect ─► run ───────┴─► the cluster (and from there, facts)
//! ```
//!
//! May import `model`, `plan`, `seam`, `error` and `output::{theme, names, table}`. What both faces do to a cluster (create,
//! stop, record) is reached through the traits of [`hands`], which `app` fills.

pub mod context;
mod copy;
pub mod curves;
mod feed;
pub mod form;
pub mod history;
mod input;
pub mod keys;
pub mod log;
pub mod marks;
pub mod mouse;
pub mod msg;
pub mod order;
pub mod player;
mod run;
pub mod state;
mod terminal;
pub mod update;
pub mod view;
pub mod view_model;

pub use context::{ClusterActions, Live, OpenTape, Records, ViewContext};
pub use msg::{ActionResult, Done, Effect, Msg, Play};
pub use run::open;
pub use state::{Playback, State, ViewSetup};
pub use update::update;
