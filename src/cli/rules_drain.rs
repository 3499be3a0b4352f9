//! The rules of `drain`.

use super::args_drain::DrainArgs;
use super::intent::drain::Drain;
use super::rules_removal::{removal, undo};
use super::rules_shared::{filter, with_surroundings};
use crate::error::Problem;
use crate::model::drain;

/// What `drain` means.
pub(super) fn drain(args: DrainArgs) -> Result<Drain, Problem> {
    if args.undo {
        let flags = [("--parallel", args.parallel != 1), ("--no-cordon", args.no_cordon)];
        undo(&args.removal, &flags, "an undo starts no evacuation and moves no pod")?;
    }
    let firm: Vec<&'static str> = drain::DRAIN_FIRM
        .into_iter()
        .chain(["drain-unfinished", "no-permission", "scale-unfinished"])
        .collect();
    let mut machines = args.machines;
    let mut seen = std::collections::BTreeSet::new();
    machines.retain(|machine| seen.insert(machine.clone()));
    Ok(Drain {
        machines,
        filter: filter(args.select),
        parallel: args.parallel,
        cordon: !args.no_cordon,
        undo: args.undo,
        removal: removal(args.removal, &with_surroundings(&drain::DRAIN_CHECKS), &firm)?,
    })
}
