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

use super::{CommandContext, Outcome};
use crate::cli::intent::upgrade::{Upgrade, UpgradeUndo};

/// Rolls an upgrade back and follows it: `upgrade undo`.
pub(crate) async fn rolled_back(context: &CommandContext, intent: &UpgradeUndo) -> Outcome {
    Box::pin(undo::run(context, intent)).await
}

/// One of the subcommands.
pub async fn run(context: &CommandContext, upgrade: Upgrade) -> Outcome {
    match upgrade {
        Upgrade::Plan(intent) => plan::run(context, &intent).await,
        Upgrade::Generate(intent) => generate::run(context, &intent).await,
        Upgrade::Apply(intent) => Box::pin(apply::run(context, &intent)).await,
        Upgrade::Watch(intent) => Box::pin(watch::run(context, &intent)).await,
        Upgrade::List(intent) => list::run(context, &intent).await,
        Upgrade::Undo(intent) => Box::pin(undo::run(context, &intent)).await,
    }
}
