//! `upgrade` and its subcommands: plan, generate, apply, watch, undo, list.
//!
//! ```text
//!   plan ──► apply ──► one server-side apply ──► follow ──────────────► verdict, and the edit for the user's manifest
//!     ▲        ▲                                   ▲    │
//!     └── prepare (checks, forecast, change)       └── guard (v1beta4: empties what is held, then lets the operator continue)
//! ```

pub(crate) mod apply;
mod change;
mod generate;
pub mod guard;
mod list;
pub(crate) mod plan;
mod prepare;
pub(crate) mod undo;
pub mod watch;

use super::{CommandContext, Outcome};
use crate::cli::intent::upgrade::Upgrade;

/// One of the subcommands.
pub async fn run(context: &CommandContext, upgrade: Upgrade) -> Outcome {
    match upgrade {
        Upgrade::Plan(intent) => plan::run(context, &intent).await,
        Upgrade::Generate(intent) => generate::run(context, &intent).await,
        Upgrade::Apply(intent) => Ok(Box::pin(apply::run(context, &intent)).await?.exit),
        Upgrade::Watch(intent) => Box::pin(watch::run(context, &intent)).await,
        Upgrade::List(intent) => list::run(context, &intent).await,
        Upgrade::Undo(intent) => {
            let change = Box::pin(undo::roll_back(context, &intent)).await?;
            let followed = apply::followed(context, change, &intent.then, &intent.write, true);
            Ok(Box::pin(followed).await?.exit)
        }
    }
}
