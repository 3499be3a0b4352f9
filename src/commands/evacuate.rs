//! `evacuate`: empties EMQX nodes through EMQX's own API, follows the evacuations, and stops them.

use super::{CommandContext, Outcome};
use crate::cli::intent::evacuate::Evacuate;

mod follow;
mod list;
pub mod start;
pub mod stop;
pub mod target;

/// `evacuate` and its subcommands.
pub async fn run(context: &CommandContext, intent: &Evacuate) -> Outcome {
    match intent {
        Evacuate::Start(start) => Ok(start::run(context, start).await?.exit),
        Evacuate::Stop(stop) => Ok(stop::run(context, stop).await?.exit),
        Evacuate::Show(show) => list::run(context, show).await,
        Evacuate::Watch(watch) => follow::watch(context, watch).await,
    }
}
