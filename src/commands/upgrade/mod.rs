//! `upgrade` and its subcommands: plan, generate, apply, watch, undo, list.
//!
//! ```text
//!   plan ──► apply ──► one server-side apply ──► follow ──────────────► verdict, and the edit for the user's manifest
//!     ▲        ▲                                   ▲    │
//!     └── prepare (checks, forecast, change)       └── guard (v1beta4: empties what is held, then lets the operator continue)
//! ```

mod apply;
mod generate;
pub mod guard;
mod list;
mod plan;
mod prepare;
pub mod shown;
mod undo;
pub mod watch;

pub(crate) use apply::run as apply;
pub(crate) use plan::planned;
pub(crate) use undo::run as undo;

use super::{CommandContext, Outcome};
use crate::cli::intent::upgrade::Upgrade;

/// One of the subcommands.
pub async fn run(context: &CommandContext, upgrade: Upgrade) -> Outcome {
    match upgrade {
        Upgrade::Plan(intent) => plan::run(context, &intent).await,
        Upgrade::Generate(intent) => generate::run(context, &intent).await,
        Upgrade::Apply(intent) => Ok(Box::pin(apply(context, &intent)).await?.exit),
        Upgrade::Watch(intent) => Box::pin(watch::run(context, &intent)).await,
        Upgrade::List(intent) => list::run(context, &intent).await,
        Upgrade::Undo(intent) => Ok(Box::pin(undo(context, &intent)).await?.exit),
    }
}
